"""Errors of the user's input, and the exit codes of every command."""

import contextlib
import errno
import os
import sys
from collections.abc import Callable

from zfnet.core.interrupt import INTERRUPTED, MESSAGE, treat_terminations_as_interrupts

DISK_ERRORS = {
    *(errno.EACCES, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOSPC),
    *(errno.ENOTDIR, errno.EPERM, errno.EROFS),
}


class UserError(Exception):
    """Bad input. The message names the key, file or class and says what to do."""


class LacksLayer(UserError):
    """A stage needs a layer that the network does not have."""


class LacksData(UserError):
    """A stage needs a dataset that is not there."""


def exit_code(work: Callable[[], int | None]) -> int:
    """The exit code of a command: what `work` returns (None: 0), 2 for bad input, printed as one line to stderr,
    130 for Ctrl-C and termination signals, 141 for a closed pipe.
    """
    treat_terminations_as_interrupts()
    _make_streams_safe()
    try:
        code = work() or 0
        sys.stdout.flush()  # a closed pipe fails here and not at exit
        return code
    except UserError as error:
        print(f"zfnet: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # `... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
        return 141  # 128 + SIGPIPE, which Windows lacks
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            raise
        print(f"zfnet: {error.filename or 'standard output or a file'}: {error.strerror}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(MESSAGE, end="", file=sys.stderr)
        return INTERRUPTED


def _make_streams_safe() -> None:
    """Let what is printed to a closed stream go nowhere, and show characters that a stream lacks as escapes."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8"))
        with contextlib.suppress(AttributeError, ValueError):  # a stream of another kind
            getattr(sys, name).reconfigure(errors="backslashreplace")
