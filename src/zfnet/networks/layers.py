"""Layers by number, 1, 2, ..., as the papers count those of their networks.

Two modules a layer: the one whose output is the layer's, after its pooling, and the one whose output are its rectified
feature maps, before the pooling. Those of alexnet are the papers' layers. The numbering of the others is [NS], our
choice: one layer for each size of map (the block of convolutions that ends in a pool or a stride), then each hidden
layer of the classifier; where the classifier is one linear layer on the mean over the last maps, that mean is the last
hidden layer, if a module computes it.

A network that is not in the table is run once and numbered by the same idea, see `find_layers`.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

ACTIVATIONS = {
    *("relu", "relu6", "hardtanh", "threshold", "leaky_relu", "elu", "selu", "celu", "prelu", "silu", "gelu", "mish"),
    *("softplus", "hardswish"),
}  # names of functions of torch and its tensors, without the mark of work in place
CONCATENATIONS = {"cat", "concat", "concatenate"}


@dataclass(frozen=True)
class Layers:
    """The modules of the layers 1, 2, ...: their outputs, and the feature maps of the first, convolutional ones."""

    outputs: tuple[str, ...]
    maps: tuple[str, ...]

    @property
    def numbered(self) -> dict[int, str]:
        return dict(enumerate(self.outputs, 1))

    @property
    def feature_maps(self) -> dict[int, str]:
        return dict(enumerate(self.maps, 1))


def _in_features(pools: tuple[int, ...], maps: tuple[int, ...], *hidden: str) -> Layers:
    outputs = tuple(f"features.{n}" for n in pools)
    return Layers((*outputs, *hidden), tuple(f"features.{n}" for n in maps))


def _vgg(*pools: int) -> Layers:
    """A ReLU before each pool, and two hidden layers."""
    return _in_features(pools, tuple(n - 1 for n in pools), "classifier.1", "classifier.4")


_STAGES = ("layer1", "layer2", "layer3", "layer4")
_RESNET = Layers(("maxpool", *_STAGES, "avgpool"), ("relu", *_STAGES))
_DENSENET = Layers(  # its last ReLU is no module: the maps of layer 5 are those before it
    ("features.pool0", *(f"features.transition{n}" for n in (1, 2, 3)), "features.norm5"),
    ("features.relu0", *(f"features.transition{n}.relu" for n in (1, 2, 3)), "features.norm5"),
)
_GOOGLENET = Layers(
    ("maxpool1", "maxpool2", "maxpool3", "maxpool4", "inception5b", "avgpool"),
    ("conv1", "conv3", "inception3b", "inception4e", "inception5b"),
)
_INCEPTION = Layers(
    ("maxpool1", "maxpool2", "Mixed_5d", "Mixed_6e", "Mixed_7c", "avgpool"),
    ("Conv2d_2b_3x3", "Conv2d_4a_3x3", "Mixed_5d", "Mixed_6e", "Mixed_7c"),
)
_MOBILENET = Layers(  # its blocks end in a linear layer: the maps are those expanded for the next stride
    tuple(f"features.{n}" for n in (1, 3, 6, 13, 18)),
    (*(f"features.{n}.conv.0" for n in (2, 4, 7, 14)), "features.18"),
)
_EFFICIENTNET = Layers(  # likewise
    (*(f"features.{n}" for n in (1, 2, 3, 5, 8)), "avgpool"),
    (*(f"features.{n}.0.block.0" for n in (2, 3, 4, 6)), "features.8"),
)
KNOWN = {
    "alexnet": _in_features((2, 5, 7, 9, 12), (1, 4, 7, 9, 11), "classifier.2", "classifier.5"),
    "vgg11": _vgg(2, 5, 10, 15, 20),
    "vgg11_bn": _vgg(3, 7, 14, 21, 28),
    "vgg13": _vgg(4, 9, 14, 19, 24),
    "vgg13_bn": _vgg(6, 13, 20, 27, 34),
    "vgg16": _vgg(4, 9, 16, 23, 30),
    "vgg16_bn": _vgg(6, 13, 23, 33, 43),
    "vgg19": _vgg(4, 9, 18, 27, 36),
    "vgg19_bn": _vgg(6, 13, 26, 39, 52),
    "squeezenet1_0": _in_features((2, 6, 11, 12), (1, 5, 10, 12)),
    "squeezenet1_1": _in_features((2, 5, 8, 12), (1, 4, 7, 12)),
    **dict.fromkeys(("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"), _RESNET),
    **dict.fromkeys(("resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d"), _RESNET),
    **dict.fromkeys(("wide_resnet50_2", "wide_resnet101_2"), _RESNET),
    **dict.fromkeys(("densenet121", "densenet161", "densenet169", "densenet201"), _DENSENET),
    "googlenet": _GOOGLENET,
    "inception_v3": _INCEPTION,
    "mobilenet_v2": _MOBILENET,
    **dict.fromkeys((f"efficientnet_b{n}" for n in range(8)), _EFFICIENTNET),
}


@dataclass(frozen=True)
class Output:
    """What one module put out."""

    name: str
    shape: torch.Size
    activated: bool  # the very output of an activation function, or a concatenation of such
    has_weights: bool
    is_scores: bool


def find_layers(outputs: Sequence[Output]) -> Layers:
    """The layers of any module, from what `run_once` saw.

    Of the modules that are called once and give the very output of an activation function (or a concatenation of such):
    the last for each size of square maps, and each with outputs (1, units). Where there is none, all modules with
    weights are taken for it, the one that gives the scores excepted. Maps of 1x1 px are left out.
    """
    hidden = [output for output in outputs if not output.is_scores]
    activated = [output for output in hidden if output.activated]
    chosen = activated if _last_of_each_size(activated) else [output for output in hidden if output.has_weights]
    maps = _last_of_each_size(chosen)
    units = tuple(output.name for output in chosen if len(output.shape) == 2)
    return Layers((*maps, *units), maps)


def _last_of_each_size(outputs: Sequence[Output]) -> tuple[str, ...]:
    last: dict[int, str] = {}
    for output in outputs:
        if len(output.shape) == 4 and output.shape[2] == output.shape[3] > 1:
            last.pop(output.shape[3], None)  # it takes its place in the order anew
            last[output.shape[3]] = output.name
    return tuple(last.values())


@torch.no_grad()
def run_once(module: nn.Module, x: Tensor) -> tuple[list[Output], Any]:
    """The outputs of the modules that are called once, in the order in which they end, and the output of the whole.

    A tensor has the name of the module that made it, not of those that pass it on. x may lie on any device, meta
    included.
    """
    calls: list[tuple[str, Tensor, bool, bool]] = []
    mode = _Activations()

    def keep(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, arguments: Any, output: Any) -> None:
            if isinstance(output, Tensor):
                has_weights = next(module.parameters(), None) is not None
                calls.append((name, output, mode.made(output), has_weights))

        return hook

    hooks = [part.register_forward_hook(keep(name)) for name, part in module.named_modules() if name]
    try:
        with mode:
            scores = module(x)
    finally:
        for hook in hooks:
            hook.remove()
    counts = Counter(name for name, *_ in calls)
    ended: dict[int, Output] = {}
    for name, output, activated, has_weights in calls:
        known = ended.get(id(output))
        changed = known is not None and activated and not known.activated  # by a function that works in place
        if counts[name] == 1 and (known is None or changed):
            ended.pop(id(output), None)
            ended[id(output)] = Output(name, output.shape, activated, has_weights, output is scores)
    return list(ended.values()), scores


class _Activations(TorchFunctionMode):
    """Remembers the tensors that activation functions made."""

    def __init__(self) -> None:
        super().__init__()
        self._made: dict[int, Tensor] = {}  # by identity; held, so that no other tensor gets it

    def made(self, tensor: Tensor) -> bool:
        return id(tensor) in self._made

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = getattr(func, "__name__", "").strip("_")  # _threshold, relu_
        joined = name in CONCATENATIONS and all(self.made(part) for part in args[0])
        if isinstance(result, Tensor) and (name in ACTIVATIONS or joined):
            self._made[id(result)] = result
        return result
