"""Progress on stderr: items done, rate and time left."""

import io
import sys
from collections.abc import Iterable, Iterator, Sized
from typing import Any, TypeVar

from tqdm import tqdm

T = TypeVar("T")


class _Bar(tqdm):
    monitor_interval = 0  # no thread of its own


class _Log(io.TextIOBase):
    """A stderr that is no terminal: each update of the bar on a line of its own."""

    def write(self, text: str) -> int:
        if text.strip():
            sys.stderr.write(f"  {text.strip()}\n")
        return len(text)


def track(items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """Yield `items`; after 2 s a terminal shows the progress, a log gets a line every 30 s."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    yield from _bar(items, what, total)


def bytes_bar(what: str, total: int, done: int) -> tqdm:
    """A progress bar of bytes, of which `done` are there; as a context with `update(count)`."""
    return _bar(None, what, total, done, unit_scale=True)


def _bar(items: Iterable[Any] | None, what: str, total: int | None, done: int = 0, unit_scale: bool = False) -> tqdm:
    counts = "{n_fmt} of {total_fmt}, {rate_noinv_fmt}, {remaining} left" if total else "{n_fmt}, {rate_noinv_fmt}"
    is_terminal = sys.stderr.isatty()
    return _Bar(
        items,
        desc=f"  {what}",
        total=total,
        initial=done,
        unit_scale=unit_scale,
        leave=False,
        file=sys.stderr if is_terminal else _Log(),
        mininterval=0.3 if is_terminal else 30.0,
        miniters=1,
        unit="",
        bar_format=f"{{desc}} {counts}",
        position=0,
        delay=2.0,
    )


def duration(seconds: float) -> str:
    """Seconds as text: "8 s", "4 min 05 s", "2 h 10 min"."""
    whole = int(round(seconds))
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
