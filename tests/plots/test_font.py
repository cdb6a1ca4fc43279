from __future__ import annotations

from zfnet.plots.font import shorten, text_width, wrap


def test_bold_and_larger_letters_are_wider() -> None:
    assert text_width("width", 12) < text_width("width", 12, bold=True) < text_width("width", 24)


def test_lines_are_as_wide_as_allowed_and_words_stay_whole() -> None:
    lines = wrap("the effect of a longword on lines", 12, 60)
    assert " ".join(lines) == "the effect of a longword on lines"
    assert all(text_width(line, 12) <= 60 or " " not in line for line in lines)
    assert all(text_width(f"{line} {after.split()[0]}", 12) > 60 for line, after in zip(lines, lines[1:], strict=False))
    assert wrap("", 12, 60) == []


def test_a_shortened_text_fits_and_says_so() -> None:
    assert shorten("brief", 12, 60) == "brief"
    cut = shorten("a name that is too long", 12, 60)
    assert cut.endswith("…") and text_width(cut, 12) <= 60
    assert "a name that is too long".startswith(cut[:-1])
