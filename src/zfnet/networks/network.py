"""A network to look at: the module, how pictures become its input, what its classes and layers are called.

Every analysis takes a `Network`, whoever trained it. `zfnet.networks.load.load_network` makes one of a folder of ours,
of a network of torchvision or timm, or of anybody's `nn.Module`.
"""

from __future__ import annotations

import copy
import difflib
import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from zfnet.core.errors import UserError
from zfnet.data.index import Index
from zfnet.networks.inputs import Inputs


@dataclass(frozen=True)
class Classes:
    """The classes in the order of the network's outputs: ids (wnids where there are any), and names for people."""

    ids: tuple[str, ...]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ids)

    def labels(self, index: Index) -> np.ndarray:
        """The output of each image's class, (n,) int64; -1 where the network or the index does not know the class.

        A class is that of its id, or else that of its name if only one output has it. In names, case does not count,
        and underscores and hyphens are spaces.
        """
        by_id, by_name = self._outputs
        of_class = [by_id.get(name, by_name.get(_plain(name), -1)) for name in index.classes]
        return np.array([*of_class, -1], dtype=np.int64)[index.labels]  # the label -1 takes the last

    def output(self, name: str | int) -> int:
        """The output of a class by its number, id or name. Raises UserError where there is no such class."""
        if str(name).isdecimal() and int(name) < len(self):
            return int(name)
        by_id, by_name = self._outputs
        found = by_id.get(str(name), by_name.get(_plain(str(name))))
        if found is not None:
            return found
        close = difflib.get_close_matches(_plain(str(name)), map(_plain, self.names), n=3)
        examples = ", ".join(close or self.names[:3])
        raise UserError(f"target: no class {name!r}; give a number up to {len(self) - 1}, an id or a name: {examples}")

    @cached_property
    def _outputs(self) -> tuple[dict[str, int], dict[str, int]]:
        """(id -> output, plain name -> output) with the names that are of one output alone."""
        names = [_plain(name) for name in self.names]
        counts = Counter(names)
        by_name = {name: output for output, name in enumerate(names) if counts[name] == 1}
        return {name: output for output, name in enumerate(self.ids)}, by_name


@dataclass(frozen=True)
class Network:
    """A convnet to look at.

    module: in evaluation mode; any torch module from images (b, 3, crop, crop) to class scores (b, classes).
    layers: the papers' layer numbers (1 to 7 of ours) -> the module whose output is that layer's, after its pooling.
    feature_maps: layer number -> the module whose output are the layer's rectified feature maps, before its pooling.
    title: what it is, for pictures and the report. source: name of the configuration, "trained" for our own.
    chooser: the network whose right answers choose the images of an analysis; None: this one. It is set where this one
    is a null control, which is to be measured on the same images.
    """

    module: nn.Module
    inputs: Inputs
    classes: Classes
    layers: Mapping[int, str]
    feature_maps: Mapping[int, str] = field(default_factory=dict)
    title: str = ""
    source: str = "trained"
    chooser: Network | None = None

    @property
    def device(self) -> torch.device:
        weights = next(self.module.parameters(), None)
        return torch.device("cpu") if weights is None else weights.device

    @property
    def depth(self) -> int:
        """Number of the last hidden layer: 7 for the papers' networks, 0 for one without hidden layers."""
        return max(self.layers, default=0)

    def layer(self, number: int) -> str:
        """The module of a layer. Raises UserError naming the layers that there are."""
        if number not in self.layers:
            known = ", ".join(str(n) for n in sorted(self.layers))
            raise UserError(f"layer {number}: {self.title or 'this network'} has layers {known}")
        return self.layers[number]

    def maps_of(self, number: int) -> str:
        """The module whose output are the layer's feature maps, or its output where it has none. Raises as `layer`."""
        return self.feature_maps.get(number) or self.layer(number)

    def scores(self, inputs: Tensor) -> Tensor:
        """Class scores (b, classes) of inputs (b, 3, crop, crop)."""
        return self.module(inputs.to(self.device))

    def center(self, frames: np.ndarray) -> Tensor:
        """Inputs of the center crops of frames (b, side, side, 3), on the network's device."""
        return self.inputs.center(frames).to(self.device)

    def to(self, device: torch.device | str) -> Network:
        """The network on a device; the module is copied."""
        chooser = self.chooser.to(device) if self.chooser else None
        return replace(self, module=copy.deepcopy(self.module).to(device), chooser=chooser)

    def fingerprint(self) -> str:
        """Hash of the modules, the weights and the preprocessing."""
        digest = hashlib.sha256(repr(self.module).encode())
        for name, value in self.module.state_dict().items():
            digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
        digest.update(self.inputs.fingerprint().encode())
        return digest.hexdigest()[:16]


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", name).strip().casefold()


def unwrap(module: nn.Module) -> nn.Module:
    """The module inside DataParallel, DistributedDataParallel and torch.compile."""
    parallel = (nn.DataParallel, nn.parallel.DistributedDataParallel)
    while isinstance(module, parallel) or hasattr(module, "_orig_mod"):
        module = module.module if isinstance(module, parallel) else module._orig_mod  # type: ignore[assignment]
    return module


def class_names(classes: Classes, outputs: Sequence[int]) -> list[str]:
    """The names of some outputs."""
    return [classes.names[output] for output in outputs]
