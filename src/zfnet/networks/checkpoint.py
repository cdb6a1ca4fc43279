"""A network trained here, on disk: plain tensors, numbers and strings, loadable with `weights_only=True`.

{"network": {"name", "width", "classes", "crop"}, "weights": state dict,
 "inputs": {"frame", "crop", "mean", "std"}, "class_ids": [...], "class_names": [...], ...}
"""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from zfnet.core.errors import UserError
from zfnet.core.files import atomic_write
from zfnet.networks.convnet import ConvNet, build
from zfnet.networks.inputs import Inputs
from zfnet.networks.network import Classes, Network

DAMAGE = (RuntimeError, KeyError, EOFError, OSError, ValueError, TypeError, UnpicklingError)


def trained_network(module: ConvNet, inputs: Inputs, classes: Classes, title: str = "") -> Network:
    """A network of our table as a `Network`; its mode, training or evaluation, stays as it is."""
    return Network(module, inputs, classes, module.layers, module.feature_maps, title)


def save_network(path: Path, network: Network, name: str, width: float, **facts: Any) -> None:
    """Write a network of our table: what is needed to build it again, and `facts` (plain values) beside it."""
    module, inputs = network.module, network.inputs
    assert isinstance(module, ConvNet)
    content = {
        "network": {"name": name, "width": width, "classes": module.n_classes, "crop": module.input_size},
        "weights": module.state_dict(),
        "inputs": {
            "frame": inputs.frame,
            "crop": inputs.crop,
            "mean": torch.from_numpy(inputs.mean),
            "std": torch.from_numpy(inputs.std),
        },
        "class_ids": list(network.classes.ids),
        "class_names": list(network.classes.names),
        **facts,
    }
    with atomic_write(path) as temporary:
        torch.save(content, temporary)


def load_trained(path: Path, device: torch.device | str = "cpu") -> Network:
    """The network of a checkpoint, in evaluation mode. Raises UserError for a missing or damaged file."""
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
        if "network" not in saved:
            raise UserError(f"{path}: no network of zfnet; give weights of others as network.weights={path}")
        described = saved["network"]
        module = build(described["name"], described["classes"], described["crop"], described["width"])
        module.load_state_dict(saved["weights"])
        inputs = saved["inputs"]
        preprocessing = Inputs(inputs["frame"], inputs["crop"], inputs["mean"].numpy(), inputs["std"].numpy())
        classes = Classes(tuple(saved["class_ids"]), tuple(saved["class_names"]))
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such checkpoint; run stage=train first") from error
    except DAMAGE as error:
        reason = " ".join(str(error).split()).split(". ")[0]  # torch continues with advice that does not apply here
        raise UserError(
            f"{path}: not a whole zfnet checkpoint ({reason[:200]}); delete it and run the same command again"
        ) from error
    title = f"{described['name']}, {described['classes']} classes"
    return trained_network(module.eval().to(device), preprocessing, classes, title)
