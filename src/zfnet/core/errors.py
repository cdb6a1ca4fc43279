"""The one error that is the user's to mend, and how every command ends: one line and exit code 2, no traceback."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType

TERMINATIONS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
PLACES = {errno.EACCES, errno.EDQUOT, errno.ENOSPC, errno.ENOTDIR, errno.EPERM, errno.EROFS}  # the disk's, not ours


class UserError(Exception):
    """Bad input. The message names the key, file or class and says what to do."""


def exit_code(work: Callable[[], int | None]) -> int:
    """Do a command's work and return its exit code: what `work` gives (None: 0), 2 for bad input, 130 for Ctrl-C and
    for being ended from outside, 141 where the reader of what it prints has gone.
    """
    _take_for_interrupts()
    try:
        code = work() or 0
        sys.stdout.flush()  # into a closed pipe it fails here, not after everything
        return code
    except UserError as error:
        print(f"zfnet: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # who reads what we print has seen enough: `... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is printed at the very end
        return 141  # 128 + SIGPIPE, which Windows lacks
    except OSError as error:
        if error.errno not in PLACES:
            raise
        where = error.filename or "the disk"
        print(f"zfnet: {where}: {error.strerror}; paths.outputs can name another folder", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nzfnet: interrupted; the same command goes on from here", file=sys.stderr)
        return 130


def _take_for_interrupts() -> None:
    """A time limit, a scheduler that takes its node back and a closed terminal are answered like Ctrl-C."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        answer = signal.getsignal(signal.SIGINT)
        (answer if callable(answer) else signal.default_int_handler)(signal.SIGINT, frame)

    with contextlib.suppress(ValueError):  # not in the main thread, which alone gets signals
        for number in TERMINATIONS:
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, interrupt)
