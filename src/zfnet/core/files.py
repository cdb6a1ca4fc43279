"""Files that are written atomically."""

import contextlib
import io
import json
import math
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from zfnet.core.errors import UserError

FULL = 2**20  # bytes; a disk with less is full
_TORCH_WRITER = "inline_container"  # in its errors


@contextlib.contextmanager
def os_errors_named(path: Path) -> Iterator[None]:
    """Context that turns an OSError into a UserError that names `path`."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error})") from error


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, synced and renamed over it on success, removed on failure."""
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        with os_errors_named(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            with temporary.open("r+b") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
    except RuntimeError as error:  # torch's writer does not say why it stopped
        if shutil.disk_usage(path.parent).free <= FULL:
            raise UserError(f"{path}: cannot be written (no space left on the disk)") from error
        if _TORCH_WRITER in str(error):
            raise UserError(f"{path}: cannot be written (a quota or a limit on file sizes is reached)") from error
        raise
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def remove_unfinished(folder: Path, pattern: str = "**/.*.partial*") -> None:
    """Remove what killed processes of this machine have left: temporary files and folders in `folder` and below it."""
    for old in list(folder.glob(pattern)):
        process = old.name.rpartition(".partial")[0].rpartition(".")[2]
        with contextlib.suppress(OSError):
            if process.isdecimal() and not _is_alive(int(process)):
                shutil.rmtree(old) if old.is_dir() else old.unlink()


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True


def npy_header(shape: tuple[int, ...], dtype: str) -> bytes:
    """The header of a .npy file of `shape` and `dtype` (as "<f4"), after which the values follow in C order."""
    header = io.BytesIO()
    layout = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, layout)
    return header.getvalue()


def write_json(path: Path, content: Any) -> None:
    """Write plain content as JSON, whole or not at all; numbers that are not finite become null."""
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(strict(content), indent=1, allow_nan=False) + "\n", encoding="utf-8")


def strict(content: Any) -> Any:
    """Plain content with None for every number that is not finite, which JSON has no word for."""
    if isinstance(content, dict):
        return {key: strict(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [strict(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
