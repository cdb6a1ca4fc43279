"""Networks of torchvision by name, beside ours: their weights, their inputs, their layers by number.

The weights are, in this order: a state dict in a file, the file torchvision keeps on this machine or downloads, or
random ones (a trial without any meaning). The input is the 224-px crop of a 256-px frame,

    x = (pixel / 255 - MEAN) / STD

A store of images subtracts a mean image and divides by one number: with `mean_image` and DIVISOR it gives the part in
brackets, and `Numbered` divides each colour by its STD.

Layers are tapped as ours are, at the last module of layer n, so that stage transfer can ask for them by number. Those
of alexnet are the papers' layers. The numbering of the others is [NS], our choice: of vgg16 each block of convolutions
with its pool, and the two hidden fully connected layers; of resnet18 the stem, the four stages, and the mean over the
last maps, which is its last hidden layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from zfnet.core.errors import UserError
from zfnet.networks.options import TRAINED

RANDOM = "random"  # weights that are nobody's
FRAME = 256  # px
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's colours in 0..1
DIVISOR = 255.0
TAPS = {  # the last modules of layers 1, 2, ...
    "alexnet": (*(f"features.{n}" for n in (2, 5, 7, 9, 12)), "classifier.2", "classifier.5"),
    "vgg16": (*(f"features.{n}" for n in (4, 9, 16, 23, 30)), "classifier.1", "classifier.4"),
    "resnet18": ("maxpool", "layer1", "layer2", "layer3", "layer4", "avgpool"),
}


@dataclass(frozen=True)
class Pretrained:
    """A network of torchvision in evaluation mode, and the names of its classes."""

    title: str  # e.g. "vgg16, weights of weights.pth"
    model: nn.Module
    names: Sequence[str]


class Numbered(nn.Module):
    """torchvision's network `name` with the layers' numbers of a ConvNet, for inputs pixel / 255 - MEAN."""

    std: Tensor

    def __init__(self, name: str, network: nn.Module) -> None:
        super().__init__()
        self.network, self.taps = network, TAPS[name]
        self.register_buffer("std", torch.tensor(STD).view(3, 1, 1))
        self.to(next(network.parameters()).device).train(network.training)

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x / self.std)

    @property
    def numbers(self) -> tuple[int, ...]:
        """The layer numbers present."""
        return tuple(range(1, 1 + len(self.taps)))

    @property
    def depth(self) -> int:
        """Number of the last hidden layer."""
        return self.numbers[-1]

    def layer(self, n: int) -> str:
        """Name of the last module of layer `n`."""
        return f"network.{self.taps[n - 1]}"


def check_weights(section: str, name: str, weights: str) -> None:
    """Raise UserError for weights that cannot be meant, before anything is computed.

    section: of the configuration, whose keys `network` and `weights` these are.
    """
    if weights and name == TRAINED:
        raise UserError(f"{section}.weights: belongs to a network of torchvision; name it with {section}.network=vgg16")
    if weights not in ("", RANDOM) and not Path(weights).expanduser().is_file():
        raise UserError(f"{section}.weights: {weights} is not a file; give a state dict of {name} (.pth) or `{RANDOM}`")


def load_pretrained(section: str, name: str, weights: str, device: torch.device | str = "cpu") -> Pretrained:
    """torchvision's network `name` (a key of TAPS), its weights as `check_weights` takes them.

    Raises UserError naming <section>.weights where they cannot be had or do not fit.
    """
    from torchvision import models

    known = models.get_model_weights(name).DEFAULT
    saved = None if weights == RANDOM else _state_dict(section, name, weights, known)
    n_classes = len(known.meta["categories"]) if saved is None else len(list(saved.values())[-1])
    with torch.random.fork_rng(devices=[]), torch.device("cpu" if saved is None else "meta"):
        torch.manual_seed(0)
        model = models.get_model(name, weights=None, num_classes=n_classes)
    if saved is not None:
        _assign(section, model, saved, name, weights)
    named = known.meta["categories"] if n_classes == len(known.meta["categories"]) else None
    names = named or [f"class {k}" for k in range(n_classes)]
    kind = {"": "torchvision's weights", RANDOM: "random weights: a trial, its answers mean nothing"}
    title = f"{name}, {kind.get(weights, f'weights of {Path(weights).name}')}"
    return Pretrained(title, model.eval().to(device), names)


def mean_image() -> np.ndarray:
    """The mean image of a store whose images go into a network of torchvision, (FRAME, FRAME, 3): of one colour."""
    return np.full((FRAME, FRAME, 3), [255 * value for value in MEAN], np.float32)


def standardise(pixels: np.ndarray) -> Tensor:
    """(b, h, w, 3) uint8 -> the input of a network of torchvision, (b, 3, h, w)."""
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    return (torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float() / 255 - mean) / std


def _state_dict(section: str, name: str, weights: str, known: Any) -> dict[str, Tensor]:
    """Parameter -> tensor, from the file or from torchvision."""
    if weights:
        try:
            saved = torch.load(Path(weights).expanduser(), map_location="cpu", weights_only=True)
            saved = saved.get("state_dict", saved)
            return {key.removeprefix("module."): value.float() for key, value in saved.items()}
        except Exception as error:  # torch.load raises whatever the damage leads to
            raise UserError(f"{section}.weights: {weights} is not a state dict that torch can load safely") from error
    try:
        return dict(known.get_state_dict(progress=False, check_hash=True))
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"{section}.network: no weights of {name} on this machine and none could be downloaded ({error}); fetch "
            f"{known.url} and give it as {section}.weights=FILE"
        ) from error


def _assign(section: str, model: nn.Module, saved: dict[str, Tensor], name: str, weights: str) -> None:
    try:
        model.load_state_dict(saved, assign=True)  # no weights were made that these would replace
    except (RuntimeError, AttributeError) as error:
        told, file = str(error).strip().splitlines()[-1].strip(), weights or "torchvision's file"
        raise UserError(f"{section}.weights: {file} does not hold the weights of {name} ({told})") from error
