"""What an ended training leaves, and how it is known again.

    <out>/trained.json    its numbers, the hash of what they depend on (`of`), checksums of its files; written last
    <out>/model.pt, <out>/snapshots/epoch_<epoch>.pt
    <out>/previous/       the same files of the training that was replaced last

A training has ended where the record is of it and every file is as it was written. What another training has left is
kept in previous/, as links where the file system has them, and brought back when its settings are given again.
"""

import contextlib
import os
import shutil
from pathlib import Path
from typing import Any

from zfnet.core.errors import UserError
from zfnet.core.files import os_errors_named
from zfnet.core.resume import Part, checksum, is_whole, read_checked, report_damage, write_checked
from zfnet.training.checkpoint import snapshot_file

NUMBERS = "trained.json"
MODEL = "model.pt"
PREVIOUS = "previous"


def write_numbers(out: Path, of: str, numbers: dict[str, Any], snapshots: dict[int, Part]) -> None:
    """Write the record of the training whose files are in `out`."""
    files = {snapshot_file(Path(), epoch).as_posix(): part for epoch, part in snapshots.items()}
    write_checked(out / NUMBERS, {"of": of, "model_file": checksum(out / MODEL), "snapshots": files, **numbers})


def read_numbers(out: Path) -> dict[str, Any]:
    """What `fit` returned, from the folder of an ended training. Raises UserError where they are missing."""
    record = read_checked(out / NUMBERS)
    if record is None:
        raise UserError(f"{out / NUMBERS}: missing or damaged; run the same command again")
    return {name: value for name, value in record.items() if name not in ("of", "model_file", "snapshots")}


def has_ended(out: Path, of: str) -> bool:
    """Whether the folder holds the whole files of this training."""
    record = read_checked(out / NUMBERS)
    if record is None or record.get("of") != of:
        return False
    damaged = _damaged(out, record)
    for path in damaged:
        report_damage(path, "missing or damaged; it is made again from the last checkpoint")
    return not damaged


def keep_previous(out: Path, of: str) -> None:
    """Keep what another training has left in `out`, and bring back this one's where it was kept."""
    current, kept = read_checked(out / NUMBERS), read_checked(out / PREVIOUS / NUMBERS)
    is_other = current is not None and current.get("of") != of and not _damaged(out, current)
    is_kept = kept is not None and kept.get("of") == of and not _damaged(out / PREVIOUS, kept)
    replaced = out / f".{PREVIOUS}"
    with os_errors_named(out / PREVIOUS):
        shutil.rmtree(replaced, ignore_errors=True)
        if current is not None and is_other:
            _link(current, out, replaced)
        if kept is not None and is_kept:
            _link(kept, out / PREVIOUS, out)
            print(f"  the network of these settings is brought back from {out / PREVIOUS}", flush=True)
        elif is_other:
            print(f"  the network of other settings is replaced and kept in {out / PREVIOUS}", flush=True)
        if is_other:
            shutil.rmtree(out / PREVIOUS, ignore_errors=True)
            os.replace(replaced, out / PREVIOUS)


def _files(record: dict[str, Any]) -> dict[str, Part]:
    return {MODEL: record["model_file"], **record.get("snapshots", {})}


def _damaged(out: Path, record: dict[str, Any]) -> list[Path]:
    return [out / name for name, part in _files(record).items() if not is_whole(out / name, part)]


def _link(record: dict[str, Any], source: Path, target: Path) -> None:
    """The files of a record in another folder, its numbers last."""
    for name in (*_files(record), NUMBERS):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        temporary = (target / name).with_name(f".{(target / name).name}.partial")
        temporary.unlink(missing_ok=True)
        try:
            os.link(source / name, temporary)
        except OSError:  # a file system without links
            with contextlib.ExitStack() as undo:
                undo.callback(temporary.unlink, missing_ok=True)
                shutil.copyfile(source / name, temporary)
                undo.pop_all()
        os.replace(temporary, target / name)
