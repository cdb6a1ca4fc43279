"""Checkpoints of a running training: written atomically, the last few kept, the newest whole one used.

A checkpoint holds weights, momentum, epoch, place in the epoch and the history. There is no random state to keep:
order, crops and dropout masks are functions of (seed, epoch, step).
"""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from zfnet.record import atomic_write


@dataclass
class Place:
    """Where a training stands: epochs and steps done, sums of the running epoch, a line for each whole epoch."""

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    seconds: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)


def save(folder: Path, model: nn.Module, optimiser: Optimizer, place: Place, key: str, keep: int) -> None:
    """Write checkpoint `epoch.step` and remove all but the newest `keep`."""
    path = folder / f"at_{place.epoch:04d}_{place.step:07d}.pt"
    with atomic_write(path) as temporary:
        state = {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "place": asdict(place), "key": key}
        torch.save(state, temporary)
    for old in sorted(folder.glob("at_*.pt"))[:-keep]:
        old.unlink(missing_ok=True)


def restore(folder: Path, model: nn.Module, optimiser: Optimizer, key: str) -> Place:
    """Load the newest whole checkpoint made under the same `key`; a fresh `Place` when there is none."""
    for path in sorted(folder.glob("at_*.pt"), reverse=True):
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            if state["key"] != key:
                continue
            model.load_state_dict(state["model"])
            optimiser.load_state_dict(state["optimiser"])
            return Place(**state["place"])
        except (RuntimeError, KeyError, EOFError, ValueError, OSError, UnpicklingError) as error:
            print(
                f"  warning: {path.name} is damaged ({str(error).splitlines()[0]}); trying an older one",
                file=sys.stderr,
            )
    return Place()
