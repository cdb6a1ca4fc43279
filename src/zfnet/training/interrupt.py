"""Ctrl-C during a training, deferred until a checkpoint is written."""

from __future__ import annotations

import contextlib
import signal
from types import TracebackType
from typing import Any


class StopOnInterrupt:
    """Context in which Ctrl-C sets `asked`, so that the loop can write a checkpoint; a second Ctrl-C ends at once.

    The previous handler is restored at the end.
    """

    def __init__(self) -> None:
        self.asked = False
        self._previous: Any = None
        self._installed = False

    def __enter__(self) -> StopOnInterrupt:
        with contextlib.suppress(ValueError):  # not in the main thread: the usual KeyboardInterrupt
            self._previous = signal.signal(signal.SIGINT, self._ask) or signal.default_int_handler
            self._installed = True
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._installed:
            signal.signal(signal.SIGINT, self._previous)

    def _ask(self, *_: Any) -> None:
        self.asked = True
        signal.signal(signal.SIGINT, signal.default_int_handler)
