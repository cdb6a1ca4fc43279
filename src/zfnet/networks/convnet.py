"""A network built from its table: an `nn.Sequential` whose modules carry the papers' layer numbers.

    conv1 relu1 pool1 norm1 conv2 relu2 pool2 norm2 conv3 relu3 conv4 relu4 conv5 relu5 pool5
    flatten fc6 relu6 drop6 fc7 relu7 drop7 fc8                                       (ZF-net)

Krizhevsky's order is conv, ReLU, norm, pool. The classifier is layer 8, or one above the last layer where there are
more. No module is used twice or works in place, so that every activation has a name and every backward rule applies.
"""

from collections import OrderedDict

import torch
from torch import Tensor, nn

from zfnet.networks.normalization import LocalResponseNorm
from zfnet.networks.table import Architecture, Conv, architecture

FIRST_LAYER = 0.15  # of the standard deviation of He's initialization


class ConvNet(nn.Sequential):
    """Images (b, 3, crop, crop) -> unnormalized class scores (b, classes)."""

    def __init__(self, layers: Architecture, classes: int, crop: int, dropout: float = 0.5) -> None:
        modules: OrderedDict[str, nn.Module] = OrderedDict()
        channels, side, sides = 3, crop, layers.sides(crop)
        for n, conv in layers.convs.items():
            _add_conv(modules, n, channels, conv, layers.norm_before_pool)
            channels, side = conv.maps, sides[n]
        modules["flatten"] = nn.Flatten()
        features = channels * side * side
        for n, full in layers.fulls.items():
            modules[f"fc{n}"] = nn.Linear(features, full.units)
            modules[f"relu{n}"] = nn.ReLU()
            modules[f"drop{n}"] = nn.Dropout(dropout)
            features = full.units
        modules[f"fc{layers.classifier}"] = nn.Linear(features, classes)
        super().__init__(modules)
        self.n_classes, self.input_size = classes, crop
        self.numbers = layers.numbers
        self.classifier = f"fc{layers.classifier}"  # name of the module that gives the scores
        self.units = {n: full.units for n, full in layers.fulls.items()}  # of the fully connected hidden layers
        self.initial_bias = {f"conv{n}": conv.bias for n, conv in layers.convs.items()}
        self.initial_bias |= {f"fc{n}": full.bias for n, full in layers.fulls.items()}
        self.published_fan_in: dict[str, int] = {}  # of each layer in the papers' own geometry, set by `build`

    @property
    def depth(self) -> int:
        """Number of the last hidden layer: 7, lower in the ablations that remove it, 0 without hidden layers."""
        return max(self.numbers, default=0)

    def layer(self, n: int) -> str:
        """Name of the last module of layer `n` (its pool or norm where it has one; dropout is not counted)."""
        if n not in self.numbers:
            raise ValueError(f"no layer {n} in this network, which has layers {self.numbers}")
        names = (f"relu{n}", f"norm{n}", f"pool{n}")
        return [name for name in self._modules if name in names][-1]

    @property
    def layers(self) -> dict[int, str]:
        """Layer number -> name of its last module."""
        return {n: self.layer(n) for n in self.numbers}

    @property
    def feature_maps(self) -> dict[int, str]:
        """Number of each convolutional layer -> name of its ReLU."""
        return {n: f"relu{n}" for n in self.numbers if n not in self.units}

    def upto(self, x: Tensor, name: str) -> Tensor:
        """Output of the module called `name`."""
        if name not in self._modules:
            raise ValueError(f"no module {name!r} in this network")
        for key, module in self.named_children():
            x = module(x)
            if key == name:
                break
        return x

    def initialize(self, how: str, seed: int) -> None:
        """Draw fresh weights.

        paper: N(0, 0.01) with the biases of the table ([ZF13] 3).
        he: N(0, 2 / fan-in) with biases 0, since Krizhevsky's biases of 1 suit his scale of activations only; conv1 at
            `FIRST_LAYER` of that, so that initial noise does not dominate projections to pixels [our choice].
        gain: "paper" with each layer's standard deviation times sqrt(fan-in in the paper / fan-in here), which keeps
            the paper's scale of activations at other sizes [our choice].
        """
        generator = torch.Generator().manual_seed(seed)
        for name, module in self.named_children():
            if isinstance(module, nn.Conv2d | nn.Linear):
                fan_in = module.weight[0].numel()
                std = {
                    "paper": 0.01,
                    "gain": 0.01 * (self.published_fan_in.get(name, fan_in) / fan_in) ** 0.5,
                    "he": (2 / fan_in) ** 0.5 * (FIRST_LAYER if name == "conv1" else 1),
                }[how]
                with torch.no_grad():  # drawn on the CPU: the same numbers on every device
                    weight = torch.empty(module.weight.shape, dtype=module.weight.dtype)
                    module.weight.copy_(weight.normal_(0, std, generator=generator))
                    module.bias.fill_(0.0 if how == "he" else self.initial_bias.get(name, 0.0))  # type: ignore[union-attr]


def _add_conv(modules: OrderedDict[str, nn.Module], n: int, channels: int, row: Conv, norm_before_pool: bool) -> None:
    """Append layer `n` to `modules`."""
    modules[f"conv{n}"] = nn.Conv2d(channels, row.maps, row.kernel, row.stride, row.padding, groups=row.groups)
    modules[f"relu{n}"] = nn.ReLU()
    if row.norm and norm_before_pool:
        modules[f"norm{n}"] = LocalResponseNorm()
    if row.pool:
        modules[f"pool{n}"] = nn.MaxPool2d(3, row.pool, ceil_mode=True)
    if row.norm and not norm_before_pool:
        modules[f"norm{n}"] = LocalResponseNorm()


def build(name: str, classes: int, crop: int, width: float = 1.0, dropout: float = 0.5) -> ConvNet:
    """The network `name` of the table for `classes` classes and `crop`-px inputs, in PyTorch's initial state."""
    net = ConvNet(architecture(name, crop, width), classes, crop, dropout)
    with torch.device("meta"):
        published = ConvNet(architecture(name, 224), classes, 224)
    layers = {name: module for name, module in published.named_children() if isinstance(module, nn.Conv2d | nn.Linear)}
    net.published_fan_in = {name: module.weight[0].numel() for name, module in layers.items()}
    return net
