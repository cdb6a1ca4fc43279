"""A trained network on disk: plain tensors, numbers and strings, loadable with `weights_only=True`."""

from __future__ import annotations

import hashlib
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from zfnet.core.errors import UserError
from zfnet.core.files import atomic_write
from zfnet.networks.convnet import ConvNet, build

if TYPE_CHECKING:
    from hashlib import _Hash


def save_model(path: Path, model: ConvNet, name: str, width: float, **facts: Any) -> None:
    """Write weights and what is needed to build the network again; `facts` (plain values) are kept beside them."""
    description = {"name": name, "width": width, "classes": model.n_classes, "crop": model.input_size}
    with atomic_write(path) as temporary:
        torch.save({"network": description, "weights": model.state_dict(), **facts}, temporary)


def load_model(path: Path, device: torch.device | str = "cpu") -> ConvNet:
    """The network of a checkpoint, in evaluation mode. Raises UserError for a missing or damaged file."""
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
        network = saved["network"]
        model = build(network["name"], network["classes"], network["crop"], network["width"])
        model.load_state_dict(saved["weights"])
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such checkpoint; run stage=train first") from error
    except (RuntimeError, KeyError, EOFError, ValueError, TypeError, UnpicklingError) as error:
        why = str(error).split(". ")[0].splitlines()[0]  # torch goes on with advice that is not ours
        raise UserError(
            f"{path}: not a whole zfnet checkpoint ({why}); delete it and run the same command again"
        ) from error
    return model.eval().to(device)


def hash_network(model: nn.Module) -> _Hash:
    """SHA-256 of a network's modules and weights, to which more can be added."""
    found = hashlib.sha256(repr(model).encode())
    for name, value in model.state_dict().items():
        found.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return found
