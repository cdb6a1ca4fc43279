"""A lock per folder, so that two runs do not write the same files."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from zfnet.core.errors import UserError


@contextlib.contextmanager
def lock_folder(folder: Path, busy: str, wait: bool) -> Iterator[None]:
    """Context that one process at a time enters for `folder`, by the lock file `.<name>.lock` beside it.

    When another process holds the lock, prints `busy` to stderr and waits, or without `wait` raises it as a UserError.
    A read-only file system, or one without locks, needs no lock.
    """
    lock = FileLock(folder.with_name(f".{folder.name}.lock"), fallback_to_soft=False)
    with contextlib.ExitStack() as stack:
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(lock.acquire(blocking=False))
        except Timeout:
            if not wait:
                raise UserError(busy) from None
            print(f"  {busy}", file=sys.stderr)
            stack.enter_context(lock)
        except OSError:
            pass
        yield
