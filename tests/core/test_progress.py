from __future__ import annotations

import io
import sys

import pytest

from zfnet.core.progress import duration, track


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def written(monkeypatch):
    """A function that tracks 20 items of `step` seconds each and returns what was written to `stream`."""

    def run(stream: io.StringIO, step: float, items=range(20), total: int | None = None) -> str:
        now = [0.0]
        monkeypatch.setattr("tqdm.std.time", lambda: now[0])
        monkeypatch.setattr(sys, "stderr", stream)
        for number, item in enumerate(track(items, "images:", total)):
            assert item == number
            now[0] += step
        assert number == 19
        return stream.getvalue()

    return run


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_what_is_soon_over_prints_nothing(written, stream) -> None:
    assert written(stream(), step=0.05) == ""


def test_a_terminal_shows_counts_rate_and_time_left_and_is_clean_in_the_end(written) -> None:
    states = written(Terminal(), step=1.0).split("\r")
    shown = [state.strip() for state in states if state.strip()]
    assert shown[0].startswith("images: 2 of 20, ") and shown[0].endswith("00:18 left") and "1.00/s" in shown[0]
    assert shown[-1].startswith("images: 20 of 20")
    assert not states[-2].strip() and not states[-1].strip() and "\n" not in "".join(states)


def test_a_log_gets_a_line_every_half_minute(written) -> None:
    lines = written(io.StringIO(), step=10.0).splitlines()
    assert [line.split(",")[0] for line in lines] == [f"  images: {n} of 20" for n in (3, 6, 9, 12, 15, 18)]


def test_without_a_length_there_is_no_time_left(written) -> None:
    first = written(io.StringIO(), 40.0, iter(range(20))).splitlines()[0]
    assert first.startswith("  images: 1,") and "left" not in first and "of" not in first
    assert "1 of 20" in written(io.StringIO(), 40.0, iter(range(20)), total=20)


@pytest.mark.parametrize(
    ("length", "text"),
    [(8, "8.0 s"), (0.04, "0.0 s"), (59.4, "59 s"), (245, "4 min 05 s"), (3600, "1 h 00 min"), (7800, "2 h 10 min")],
)
def test_durations_are_said_in_two_units(length: float, text: str) -> None:
    assert duration(length) == text
