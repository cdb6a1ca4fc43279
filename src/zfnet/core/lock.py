"""A lock per folder, so that two runs do not write the same files."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from zfnet.core.errors import UserError


@contextlib.contextmanager
def lock_folder(folder: Path, busy: str, wait: bool) -> Iterator[None]:
    """Context that one process at a time enters for `folder`; the lock file `.<name>.lock` lies beside it.

    Where another process holds the lock, `busy` is printed to stderr and waited for it (`wait`), or raised as a
    UserError. On a read-only file system, or one without locks, the context is entered without a lock.
    """
    lock = FileLock(folder.with_name(f".{folder.name}.lock"), fallback_to_soft=False)
    with contextlib.ExitStack() as held:
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(lock.acquire(blocking=False))
        except Timeout:
            if not wait:
                raise UserError(busy) from None
            print(f"  {busy}", file=sys.stderr)
            held.enter_context(lock)
        except OSError:
            pass
        yield
