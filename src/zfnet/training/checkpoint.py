"""Checkpoints of a running training: written atomically, the last few kept, the newest whole one used.

    <folder>/<hash of the key>/at_<epoch>_<step>.pt

The key holds all that a training must have in common with the one that is resumed; the checkpoints of another key are
removed when the first of this one is written. A checkpoint holds its key, weights, momentum, epoch, step and history,
and the checksums of the snapshots that the training has left: where one is lost or of another training, an older
checkpoint is resumed, which makes it again. A checkpoint needs no random state: order, crops and dropout masks are
functions of (seed, epoch, step).
"""

import hashlib
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torch import nn
from torch.optim import Optimizer

from zfnet.core.resume import Part, is_whole, report_damage
from zfnet.networks.checkpoint import DamagedFile, load_tensors, save_tensors


@dataclass
class Place:
    """The state of a training: epochs and steps done, sums of the running epoch, a line for each whole epoch.

    snapshots: epoch -> checksum of the file that was left at its end.
    """

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    seconds: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)
    snapshots: dict[int, Part] = field(default_factory=dict)


def save(folder: Path, model: nn.Module, optimizer: Optimizer, place: Place, key: str, keep: int) -> None:
    """Write a checkpoint of `key`, and remove all but the `keep` newest of it."""
    home = _home(folder, key)
    path = home / f"at_{place.epoch:04d}_{place.step:07d}.pt"
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
    save_tensors(path, {"key": key, "place": asdict(place), **state})
    kept = sorted(old for old in home.glob("at_*.pt") if old <= path)[-keep:]  # later ones are damaged
    for old in {*folder.iterdir(), *home.iterdir()} - {home, *kept}:
        shutil.rmtree(old) if old.is_dir() else old.unlink(missing_ok=True)


def snapshot_file(out: Path, epoch: int) -> Path:
    """The file of the network at the end of an epoch, in the folder of a training."""
    return out / "snapshots" / f"epoch_{epoch:04d}.pt"


def restore(folder: Path, model: nn.Module, optimizer: Optimizer, key: str, epochs: int, kept: set[int]) -> Place:
    """Load the newest whole checkpoint of the same `key`; a fresh `Place` when there is none.

    epochs: of the training; later checkpoints are of a longer one. kept: epochs whose snapshots must be there.
    """
    for path in sorted(_home(folder, key).glob("at_*.pt"), reverse=True):
        try:
            state = load_tensors(path)
        except DamagedFile as error:
            report_damage(path, f"damaged ({error}); an older checkpoint is tried")
            continue
        if state.get("key") != key:
            report_damage(path, "not a checkpoint of this training; an older one is tried")
            continue
        place = Place(**state["place"])
        if place.epoch > epochs or (place.epoch == epochs and place.step):
            continue
        if lost := _lost_snapshots(folder.parent, place, kept):
            report_damage(lost[0], "missing or of another training; it is made again from an older checkpoint")
            continue
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        return place
    return Place()


def _lost_snapshots(out: Path, place: Place, kept: set[int]) -> list[Path]:
    """The files of those snapshots up to `place` that are not there as they were written."""
    expected = {
        epoch: place.snapshots.get(epoch) for epoch in sorted({*kept, *place.snapshots}) if epoch <= place.epoch
    }
    files = {snapshot_file(out, epoch): part for epoch, part in expected.items()}
    return [file for file, part in files.items() if part is None or not is_whole(file, part)]


def _home(folder: Path, key: str) -> Path:
    return folder / hashlib.sha256(key.encode()).hexdigest()[:12]
