"""The network that looks at a photograph: ours, as the stages left it, or one of torchvision's by its name.

A photograph becomes a network input as in [ZF13] 3, whatever its size: the short side to the frame, the centre square,
the centre crop of 224/256 of it. Ours then subtracts the mean image of the training set; torchvision's networks
subtract ImageNet's mean colour and divide by its standard deviation (zfnet.networks.pretrained).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from zfnet.attribution.patterns import few_image_patterns
from zfnet.core.errors import UserError
from zfnet.data.cache.images import ImageStore
from zfnet.data.crops import crop_size, shrink
from zfnet.networks.convnet import ConvNet
from zfnet.networks.pretrained import FRAME, load_pretrained, standardise

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
    from zfnet.data.decode import read_rgb

    if not image:
        raise UserError("image: no photograph given; say which, e.g. stage=look image=photo.jpg")
    path = Path(image).expanduser()
    if not path.is_file():
        raise UserError(f"image: {path} is not a file; give the path of a photograph (JPEG or PNG)")
    try:
        photo = read_rgb(path, upright=True)
    except UserError as error:
        raise UserError(f"image: {path} is not an image that can be read; save it as JPEG or PNG") from error
    short, long = sorted(photo.shape[:2])
    if long > NARROWEST * short:
        raise UserError(f"image: {path} has {photo.shape[1]} x {photo.shape[0]} px, too narrow; cut it out")
    return photo


def ours(model: ConvNet, images: ImageStore, title: str, patterns: Mapping[str, Tensor], patterns_from: str) -> Network:
    """A network of ours; `images` gives the mean image and the names of the classes."""
    layers = [f"relu{n}" for n in model.numbers if f"conv{n}" in dict(model.named_children())]
    return Network(title, model, images.index.names, images.size, images.prepare, layers, patterns, patterns_from)


def estimate_patterns(model: ConvNet, images: ImageStore, count: int, seed: int) -> tuple[dict[str, Tensor], str]:
    """a+ patterns from `count` training images, the first that stage patterns takes, and a sentence that says so."""
    told = f"estimated at once from {min(count, len(images))} training images; stage=patterns takes more"
    return few_image_patterns(model, images, count, [seed, 5]), told


def from_torchvision(name: str, weights: str, device: torch.device | str = "cpu") -> Network:
    """torchvision's network `name` (a key of LAYERS); raises UserError as `load_pretrained` does."""
    found = load_pretrained("look", name, weights, device)
    return Network(found.title, found.model, found.names, FRAME, standardise, LAYERS[name])


def as_table(model: nn.Module) -> nn.Module:
    """alexnet or vgg16 as one list of its layers, of which occlusion computes again only what changes; else `model`."""
    parts = dict(model.named_children())
    if list(parts) != ["features", "avgpool", "classifier"]:
        return model
    return nn.Sequential(
        *parts["features"].children(), parts["avgpool"], nn.Flatten(), *parts["classifier"].children()
    ).eval()
