"""DejaVu Sans, which matplotlib ships: the letters of picture grids, and the widths that charts are laid out by.

It is the widest of the usual system fonts: text that fits in it fits in whichever font a browser takes for a chart.
"""

from functools import cache
from pathlib import Path

import matplotlib
from PIL import ImageFont


@cache
def load_font(size: float, bold: bool = False) -> ImageFont.FreeTypeFont:
    """The font at `size` px."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name, size)


def text_width(text: str, size: float, bold: bool = False) -> float:
    """Width in px of the text on one line."""
    return load_font(size, bold).getlength(" ".join(text.split()))


def wrap(text: str, size: float, width: float, bold: bool = False) -> list[str]:
    """The text in lines at most `width` px wide; a single longer word stays whole."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and text_width(longer, size, bold) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def shorten(text: str, size: float, width: float) -> str:
    """The text on one line, cut with an ellipsis where it is wider than `width` px."""
    text = " ".join(text.split())
    if text_width(text, size) <= width:
        return text
    while text and text_width(f"{text}…", size) > width:
        text = text[:-1].rstrip()
    return f"{text}…"
