"""A progress line on stderr for anything over a few seconds: how far, how fast, how long still."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

T = TypeVar("T")

_FIRST_AFTER = 2.0  # seconds: what is shorter than this prints nothing
_EVERY_TERMINAL, _EVERY_LOG = 0.3, 30.0  # seconds between lines


def track(items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """Yield `items`, telling on stderr how many of `total` are done, the rate and the time left."""
    if total is None:
        total = len(items) if isinstance(items, Sized) else 0
    terminal = sys.stderr.isatty()
    every = _EVERY_TERMINAL if terminal else _EVERY_LOG
    start = time.monotonic()
    due, shown = start + (_FIRST_AFTER if terminal else every), False
    for done, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now >= due:
            _show(what, done, total, now - start, terminal)
            due, shown = now + every, True
    if shown and terminal:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _show(what: str, done: int, total: int, elapsed: float, terminal: bool) -> None:
    rate = done / elapsed
    left = f", {duration((total - done) / rate)} left" if total else ""
    speed = f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.2f}/s"
    line = f"  {what} {done:,}{f' of {total:,}' if total else ''} ({speed}{left})"
    print(f"\r\x1b[K{line}" if terminal else line, end="" if terminal else "\n", file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """Seconds as a person says them: "8 s", "4 min 05 s", "2 h 10 min"."""
    whole = int(round(seconds))
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
