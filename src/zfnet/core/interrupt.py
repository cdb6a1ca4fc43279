"""Ctrl-C is answered within seconds, wherever a process is.

The first Ctrl-C raises KeyboardInterrupt, which waits for a long call into a library to return. So a thread watches: it
ends the process PATIENCE seconds later, and at once at a second Ctrl-C. That costs nothing but the work since the last
checkpoint, since files are written beside their place and renamed. SIGTERM and SIGHUP raise KeyboardInterrupt without
the limit, because a scheduler has a patience of its own.
"""

import contextlib
import gc
import math
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Sequence
from types import FrameType
from typing import Any

TERMINATIONS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
INTERRUPTED = 130  # exit code
MESSAGE = "\nzfnet: interrupted; the same command resumes from here\n"
PATIENCE = 2.0  # seconds after the first Ctrl-C
ONE_PRESS = 0.25  # seconds in which a second signal is the first, forwarded by another process

uninterrupted = threading.Lock()  # held while something must be finished, such as a checkpoint: a second Ctrl-C ends it


def watch_interrupts() -> None:
    """Answer Ctrl-C from here to the end of the process, whose main thread calls this."""
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    signal.set_wakeup_fd(writer.detach(), warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=[reader], name="interrupts", daemon=True).start()


def _watch(signals: socket.socket) -> None:
    while signal.SIGINT not in signals.recv(64):
        pass
    pressed = time.monotonic()
    signals.settimeout(0.05)
    while time.monotonic() < pressed + PATIENCE or uninterrupted.locked():
        with contextlib.suppress(TimeoutError):
            if signal.SIGINT in signals.recv(64) and time.monotonic() > pressed + ONE_PRESS:
                break
    with contextlib.suppress(OSError):
        os.write(2, MESSAGE.encode())
    os._exit(INTERRUPTED)


def end_with_parent() -> None:
    """Start a thread that interrupts this process when its parent has gone, as after kill -9."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=watch, name="parent", daemon=True).start()


def end_process(code: int) -> None:
    """End the process without taking all its objects apart, which takes seconds after an import of torch."""
    gc.collect()  # the semaphores of a process pool are files
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):  # closed
            stream.flush()
    os._exit(code)


def treat_terminations_as_interrupts(numbers: Sequence[int] = TERMINATIONS) -> None:
    """Handle a time limit, a scheduler's SIGTERM and a closed terminal as Ctrl-C."""
    received_at = -math.inf

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal received_at
        is_repeated = time.monotonic() < received_at + ONE_PRESS  # `timeout` sends two
        received_at = time.monotonic()
        if not is_repeated:
            handler: Any = signal.getsignal(signal.SIGINT)
            (handler if callable(handler) else signal.default_int_handler)(signal.SIGINT, frame)

    with contextlib.suppress(ValueError):  # not in the main thread, which alone gets signals
        for number in numbers:
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, interrupt)
