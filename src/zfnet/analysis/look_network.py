"""The network that looks at a photograph: ours, as the stages left it, or one of torchvision's by its name.

A photograph becomes a network input as in [ZF13] 3, whatever its size: the short side to the frame, the centre square,
the centre crop of 224/256 of it. Ours then subtracts the mean image of the training set; torchvision's networks
subtract ImageNet's mean colour and divide by its standard deviation. Their weights are, in this order: a state dict in
a file, the file torchvision keeps on this machine or downloads, or random ones (a trial without any meaning).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from zfnet.analysis.patterns import few_image_patterns
from zfnet.data.crops import crop_size, shrink
from zfnet.data.store import ImageStore
from zfnet.errors import UserError
from zfnet.models.net import ConvNet

TRAINED, RANDOM = "trained", "random"
FRAME = 256  # px of torchvision's networks; crops of 224
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's colours in 0..1
NARROWEST = 40  # long side / short side of a photograph, from which resizing it would fill the memory
LAYERS = {  # the last ReLU of each size of map
    "alexnet": ("features.1", "features.4", "features.7", "features.9", "features.11"),
    "vgg16": ("features.3", "features.8", "features.15", "features.22", "features.29"),
    "resnet18": ("relu", "layer1", "layer2", "layer3", "layer4"),
}


@dataclass(frozen=True)
class Network:
    """A network in evaluation mode, and how it takes photographs and names classes."""

    title: str  # for the picture, e.g. "vgg16, weights of weights.pth"
    model: nn.Module
    names: Sequence[str]  # of the classes
    size: int  # px, side of the frame
    normalise: Callable[[np.ndarray], Tensor]  # (1, crop, crop, 3) uint8 -> network input (1, 3, crop, crop)
    layers: Sequence[str]  # modules whose strongest unit is shown
    patterns: Mapping[str, Tensor] | None = None  # a+ by module name ([K17])
    patterns_from: str = ""  # how they were come by

    @property
    def crop(self) -> int:
        return crop_size(self.size)

    def see(self, photo: np.ndarray) -> tuple[np.ndarray, Tensor]:
        """The network's crop of a photograph (h, w, 3): (crop, crop, 3) uint8, and as its input (1, 3, crop, crop)."""
        margin = (self.size - self.crop) // 2
        pixels = shrink(photo, self.size)[margin : margin + self.crop, margin : margin + self.crop]
        device = next(self.model.parameters()).device
        return pixels, self.normalise(pixels[None]).to(device)


def read_photo(image: str) -> np.ndarray:
    """The photograph that the key `image` names, upright (phones store it turned), (h, w, 3) uint8.

    Raises UserError naming the key: nothing given, no such file, not an image, too narrow to be resized.
    """
    from PIL import Image

    from zfnet.data.images import read_rgb

    if not image:
        raise UserError("image: no photograph given; say which, e.g. stage=look image=photo.jpg")
    path = Path(image).expanduser()
    if not path.is_file():
        raise UserError(f"image: {path} is not a file; give the path of a photograph (JPEG or PNG)")
    try:
        photo = read_rgb(path)
        with Image.open(path) as opened:
            turned = int(opened.getexif().get(0x0112, 1))
    except (UserError, OSError, ValueError, SyntaxError, TypeError) as error:
        raise UserError(f"image: {path} is not an image that can be read; save it as JPEG or PNG") from error
    short, long = sorted(photo.shape[:2])
    if long > NARROWEST * short:
        raise UserError(f"image: {path} has {photo.shape[1]} x {photo.shape[0]} px, too narrow; cut it out")
    return _upright(photo, turned)


def _upright(photo: np.ndarray, turned: int) -> np.ndarray:
    """Undo the EXIF orientation 1..8."""
    photo = photo[:, ::-1] if turned in (2, 4, 5, 7) else photo
    quarters = {3: 2, 4: 2, 5: 1, 6: 3, 7: 3, 8: 1}.get(turned, 0)
    return np.ascontiguousarray(np.rot90(photo, quarters))


def ours(model: ConvNet, images: ImageStore, title: str, patterns: Mapping[str, Tensor], patterns_from: str) -> Network:
    """A network of ours; `images` gives the mean image and the names of the classes."""
    layers = [f"relu{n}" for n in model.numbers if f"conv{n}" in dict(model.named_children())]
    return Network(title, model, images.index.names, images.size, images.prepare, layers, patterns, patterns_from)


def estimate_patterns(model: ConvNet, images: ImageStore, count: int, seed: int) -> tuple[dict[str, Tensor], str]:
    """a+ patterns from `count` training images, the first that stage patterns takes, and a sentence that says so."""
    told = f"estimated at once from {min(count, len(images))} training images; stage=patterns takes more"
    return few_image_patterns(model, images, count, [seed, 5]), told


def from_torchvision(name: str, weights: str, device: torch.device | str = "cpu") -> Network:
    """torchvision's network `name` (a key of LAYERS), its weights as `check_weights` takes them.

    Raises UserError naming look.weights where they cannot be had or do not fit.
    """
    from torchvision import models

    known = models.get_model_weights(name).DEFAULT
    saved = None if weights == RANDOM else _state_dict(name, weights, known)
    n_classes = len(known.meta["categories"]) if saved is None else len(list(saved.values())[-1])
    with torch.random.fork_rng(devices=[]), torch.device("cpu" if saved is None else "meta"):
        torch.manual_seed(0)
        model = models.get_model(name, weights=None, num_classes=n_classes)
    if saved is not None:
        _load(model, saved, name, weights)
    named = known.meta["categories"] if n_classes == len(known.meta["categories"]) else None
    names = named or [f"class {k}" for k in range(n_classes)]
    kind = {"": "torchvision's weights", RANDOM: "random weights: a trial, its answers mean nothing"}
    title = f"{name}, {kind.get(weights, f'weights of {Path(weights).name}')}"
    return Network(title, model.eval().to(device), names, FRAME, _standardise, LAYERS[name])


def as_table(model: nn.Module) -> nn.Module:
    """alexnet or vgg16 as one list of its layers, of which occlusion computes again only what changes; else `model`."""
    parts = dict(model.named_children())
    if list(parts) != ["features", "avgpool", "classifier"]:
        return model
    return nn.Sequential(
        *parts["features"].children(), parts["avgpool"], nn.Flatten(), *parts["classifier"].children()
    ).eval()


def check_weights(name: str, weights: str) -> None:
    """Raise UserError for a `look.weights` that cannot be meant: before anything is computed."""
    if weights and name == TRAINED:
        raise UserError("look.weights: belongs to a network of torchvision; name it with look.network=vgg16")
    if weights not in ("", RANDOM) and not Path(weights).expanduser().is_file():
        raise UserError(f"look.weights: {weights} is not a file; give a state dict of {name} (.pth) or `{RANDOM}`")


def _standardise(pixels: np.ndarray) -> Tensor:
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    return (torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float() / 255 - mean) / std


def _state_dict(name: str, weights: str, known: Any) -> dict[str, Tensor]:
    """Parameter -> tensor, from the file or from torchvision."""
    if weights:
        try:
            saved = torch.load(Path(weights).expanduser(), map_location="cpu", weights_only=True)
            saved = saved.get("state_dict", saved)
            return {key.removeprefix("module."): value.float() for key, value in saved.items()}
        except Exception as error:  # torch.load raises whatever the damage leads to
            raise UserError(f"look.weights: {weights} is not a state dict that torch can load safely") from error
    try:
        return dict(known.get_state_dict(progress=False, check_hash=True))
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"look.network: no weights of {name} on this machine and none could be downloaded ({error}); fetch "
            f"{known.url} and give it as look.weights=FILE"
        ) from error


def _load(model: nn.Module, saved: dict[str, Tensor], name: str, weights: str) -> None:
    try:
        model.load_state_dict(saved, assign=True)  # no weights were made that these would replace
    except (RuntimeError, AttributeError) as error:
        told, file = str(error).strip().splitlines()[-1].strip(), weights or "torchvision's file"
        raise UserError(f"look.weights: {file} does not hold the weights of {name} ({told})") from error
