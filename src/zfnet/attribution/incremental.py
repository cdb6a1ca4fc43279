"""Exact incremental occlusion: only what the occluder can reach is computed again.

[ZF13] section 4.2 slides a gray square over the image and asks for the network's answer at every place. A square
changes only an interval [low, high] of the rows and columns of every map. For a layer with kernel k, stride t and
padding p the outputs o that see it obey  o t - p <= high  and  o t - p + k - 1 >= low, so

    low' = ceil((low + p - k + 1) / t),    high' = floor((high + p) / t),    both clipped to the map.

The places of a batch share one recomputed shape (the longest interval; shifted inwards at the borders, never outside
the map); places are sorted so that a batch holds equally long ones. A layer gathers its input, rows of channels
(b h w c), from

    [clean padded map ; patches of the layer below]

by an index table that depends on the places alone, and convolves it without padding. ReLU, batch normalization and
contrast normalization act on the patch; the fully connected layers see the clean map with the patch pasted in. The
answer is the plain forward's up to the order of additions. Exact incremental inference is Krypton's idea (Nakandala et
al., SIGMOD 2019).

This works for the leading layers of a network that is a list of layers: an `nn.Sequential`, nested or not, or an
alexnet or vgg of torchvision. From the first module that is not such a layer on, the network runs whole on the pasted
maps; a network that is no list runs in plain batches: the same answer, no gain.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypeAlias, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zfnet.networks.normalization import LocalResponseNorm

Table: TypeAlias = list[tuple[str, nn.Module]]
Sliding: TypeAlias = nn.Conv2d | nn.MaxPool2d

# One place in, the same place out.
POINTWISE = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.SiLU, nn.GELU, nn.Identity, nn.Dropout, LocalResponseNorm,
             nn.LocalResponseNorm)  # fmt: skip
KEEPS_MAPS_APART = (nn.ReLU, nn.MaxPool2d, nn.Dropout)
FLATTENED_BY_FORWARD = (
    "torchvision.models.alexnet",
    "torchvision.models.vgg",
)  # features, avgpool, flatten, classifier


@dataclass(frozen=True)
class Occluder:
    """A square of `size` pixels with its top left corner at each of n places; it shows `fill` there."""

    size: int
    corners: Tensor  # (n, 2) int64: top, left
    fill: Tensor  # (3, h, w) network input


@dataclass(frozen=True)
class Watch:
    """One feature map: channel `channel` of the module called `name`."""

    name: str
    channel: int


@dataclass(frozen=True)
class Responses:
    """What the network answers with the occluder at each of n places; None for what was not asked."""

    scores: Tensor | None  # (n, k) logits
    totals: Tensor | None  # (n,) sum over space of the watched map


@dataclass(frozen=True)
class Window:
    """What the occluder can change of one map: an interval a place and axis, inside one recomputed shape."""

    low: Tensor  # (b, 2) first row and column
    high: Tensor  # (b, 2) last row and column, inclusive
    start: Tensor  # (b, 2) corner of the recomputed patch
    shape: Sequence[int]  # of the recomputed patch


@dataclass(frozen=True)
class Stage:
    """One layer of the table and its clean maps."""

    name: str
    module: nn.Module
    below: Tensor  # (h, w, c) clean input, padded as the layer pads it
    above: Tensor  # (h, w, c) clean output


def respond(
    model: nn.Module,
    image: Tensor,
    occluder: Occluder,
    watch: Watch | None = None,
    scores: bool = True,
    batch: int = 64,
    plain: bool = False,
) -> Responses:
    """Logits and the watched map's total activation for one network input (3, h, w), occluder at each of its places.

    With scores=False nothing above a watched map of the list is computed, and of the last convolution only that map.
    `batch` places at a time, so memory does not grow with their number. plain=True runs whole forward passes: the
    yardstick. Of a module that is called several times in one pass, the first call is watched. Raises ValueError where
    the occluder leaves the image, the model is in training mode (dropout would answer at random), or neither scores nor
    a map is asked for.
    """
    _check(model, image, occluder, watch, scores)
    tail: nn.Module | None
    table, tail = ([], model) if plain else _split(model)
    in_table = watch is not None and watch.name in dict(table)
    if watch and in_table and not scores:
        table, watch, tail = *_narrow(table, watch), None
    answers: list[Tensor] = []
    with torch.inference_mode(), listen(model, None if in_table else watch) as totals:
        stages = _stages(table, image)
        corners = occluder.corners.to(image.device)
        order = _by_reach(stages, corners, occluder.size)
        for places in order.split(batch):
            maps = _climb(stages, image, replace(occluder, corners=corners[places]), watch, totals)
            if tail is not None:
                answers.append(tail(maps.permute(0, 3, 1, 2).contiguous()))
                del totals[len(answers) :]  # of later calls of the watched module
    back = order.argsort()
    return Responses(torch.cat(answers)[back] if scores else None, torch.cat(totals)[back] if watch else None)


@contextmanager
def listen(model: nn.Module, watch: Watch | None) -> Iterator[list[Tensor]]:
    """A list that grows by the watched map's totals (b,) with each call of its module in the block."""
    totals: list[Tensor] = []
    if watch is None:
        yield totals
        return

    def hear(module: nn.Module, inputs: object, maps: Tensor) -> None:
        totals.append(maps[:, watch.channel].reshape(len(maps), -1).sum(1))

    handle = model.get_submodule(watch.name).register_forward_hook(hear)
    try:
        yield totals
    finally:
        handle.remove()


def _by_reach(stages: list[Stage], corners: Tensor, size: int) -> Tensor:
    """The places (n,) sorted by how much they change: a batch of places near a border recomputes less."""
    window = Window(corners, corners + size - 1, corners, (size, size))
    changed = torch.zeros_like(corners)
    for stage in stages:
        if isinstance(stage.module, Sliding):
            window = _reach(window, stage.module, stage.above.shape[:2])
            changed += (window.high - window.low + 1).clamp(min=0)
    return (changed[:, 0] * (changed.max() + 1) + changed[:, 1]).argsort(stable=True)


def gather(clean: Tensor, patches: Tensor, corner: Tensor, shape: Sequence[int], offset: Tensor) -> Tensor:
    """Windows (b, *shape, c) of the map `clean` (h, w, c) with `patches` (b, h', w', c) laid over it.

    `corner` and `offset` (b, 2) place the window and the patch in the clean map's coordinates.
    """
    height, width = patches.shape[1:3]
    rows = corner[:, :1] + torch.arange(shape[0], device=corner.device)  # (b, h)
    cols = corner[:, 1:] + torch.arange(shape[1], device=corner.device)  # (b, w)
    row, col = rows - offset[:, :1], cols - offset[:, 1:]  # in the patch
    inside = ((row >= 0) & (row < height))[:, :, None] & ((col >= 0) & (col < width))[:, None, :]
    first = clean.shape[0] * clean.shape[1] + torch.arange(len(patches), device=corner.device) * height * width
    in_patch = (first[:, None] + row * width)[:, :, None] + col[:, None, :]
    in_clean = (rows * clean.shape[1])[:, :, None] + cols[:, None, :]
    source = torch.cat([clean.flatten(0, 1), patches.flatten(0, 2)])
    index = torch.where(inside, in_patch, in_clean).flatten()
    return source.index_select(0, index).view(len(patches), *shape, -1)


def _climb(stages: list[Stage], image: Tensor, occluder: Occluder, watch: Watch | None, totals: list[Tensor]) -> Tensor:
    """The table's last maps (b, h, w, c), occluder at each place; on the way appends the watched map's totals."""
    corners, size = occluder.corners, occluder.size
    patches = torch.stack([occluder.fill[:, y : y + size, x : x + size] for y, x in corners.tolist()])
    patches = patches.permute(0, 2, 3, 1)
    window = Window(corners, corners + size - 1, corners, (size, size))
    clean = image.permute(1, 2, 0)
    for stage in stages:
        patches, window = _advance(stage, patches, window)
        clean = stage.above
        if watch and stage.name == watch.name:
            channel = slice(watch.channel, watch.channel + 1)
            totals.append(_paste(clean[..., channel], patches[..., channel], window).sum((1, 2, 3)))
    return _paste(clean, patches, window)


def _advance(stage: Stage, patches: Tensor, window: Window) -> tuple[Tensor, Window]:
    """The patches (b, h, w, c) and their window one layer up."""
    layer = stage.module
    if not isinstance(layer, Sliding):
        return layer(patches.permute(0, 3, 1, 2)).permute(0, 2, 3, 1), window
    above = _reach(window, layer, stage.above.shape[:2])
    kernel, stride, padding = (window.low.new_tensor(value) for value in _geometry(layer))
    rows, cols = ((torch.tensor(above.shape) - 1) * stride.cpu() + kernel.cpu()).tolist()
    fields = gather(stage.below, patches, above.start * stride, (rows, cols), window.start + padding)
    return _apply(layer, fields.permute(0, 3, 1, 2)).permute(0, 2, 3, 1), above


def _apply(layer: Sliding, fields: Tensor) -> Tensor:
    """A convolution or pool without its padding, which `fields` (b, c, h, w; channels last) brings along."""
    if isinstance(layer, nn.Conv2d):
        return F.conv2d(fields, layer.weight, layer.bias, layer.stride, groups=layer.groups)
    return F.max_pool2d(fields, layer.kernel_size, layer.stride)


def _paste(clean: Tensor, patches: Tensor, window: Window) -> Tensor:
    return gather(clean, patches, torch.zeros_like(window.start), clean.shape[:2], window.start)


def _reach(window: Window, layer: Sliding, extent: Sequence[int]) -> Window:
    """The outputs of `layer`, in a map of `extent`, that see the window; an interval may be empty (stride > kernel)."""
    kernel, stride, padding = (window.low.new_tensor(value) for value in _geometry(layer))
    last = window.low.new_tensor(extent) - 1
    low = (-((kernel - 1 - padding - window.low) // stride)).clamp(min=0)  # ceil((low + p - k + 1) / t)
    high = ((window.high + padding) // stride).minimum(last)
    length = (high - low + 1).amax(0).clamp(min=1)
    start = low.minimum(last + 1 - length).clamp(min=0)
    return Window(low, high, start, length.tolist())


def _stages(table: Table, image: Tensor) -> list[Stage]:
    """The clean image through the table."""
    stages, maps = [], image[None]
    for name, layer in table:
        above = layer(maps.clone())  # an in-place ReLU would change the clean map below it
        below = _padded(maps, layer, above.shape[2:])
        stages.append(Stage(name, layer, _rows(below), _rows(above)))
        maps = above
    return stages


def _padded(maps: Tensor, layer: nn.Module, extent: Sequence[int]) -> Tensor:
    """`maps` with the margin that the layer's windows reach: zeros for a convolution, -inf for a pool."""
    if not isinstance(layer, Sliding):
        return maps
    sides = []
    for kernel, stride, padding, n, size in zip(*_geometry(layer), extent, maps.shape[2:], strict=True):
        sides.append((padding, max((n - 1) * stride + kernel - padding - size, 0)))  # ceil mode reaches further
    value = 0.0 if isinstance(layer, nn.Conv2d) else -torch.inf
    return F.pad(maps, (*sides[1], *sides[0]), value=value)


def _rows(maps: Tensor) -> Tensor:
    return maps[0].permute(1, 2, 0).contiguous()  # (h, w, c)


def _geometry(layer: Sliding) -> list[list[int]]:
    """Kernel, stride and padding of a convolution or pool, each (rows, columns)."""
    values = cast(list[int | Sequence[int]], [layer.kernel_size, layer.stride, layer.padding])
    return [[value, value] if isinstance(value, int) else list(value) for value in values]


def _split(model: nn.Module) -> tuple[Table, nn.Module]:
    """The leading layers that can be computed in patches, and the rest."""
    layers = list_layers(model)
    n_table = next((i for i, (_, layer) in enumerate(layers) if not _is_local(layer)), len(layers))
    if n_table == 0:
        return [], model
    return layers[:n_table], nn.Sequential(*(layer for _, layer in layers[n_table:]))


def list_layers(model: nn.Module) -> Table:
    """(full name, layer) in the order in which they run; a module that is no list of layers is one layer.

    The forward passes of torchvision's alexnet and vgg flatten the maps between their lists: a Flatten is added.
    """
    if type(model).__module__ not in FLATTENED_BY_FORWARD:
        return _nested_layers(model, "")
    features, classifier = model.get_submodule("features"), model.get_submodule("classifier")
    middle: Table = [("avgpool", model.get_submodule("avgpool")), ("flatten", nn.Flatten())]
    return [*_nested_layers(features, "features"), *middle, *_nested_layers(classifier, "classifier")]


def _nested_layers(module: nn.Module, name: str) -> Table:
    if not isinstance(module, nn.Sequential) or type(module).forward is not nn.Sequential.forward:
        return [(name, module)]
    table: Table = []
    for key, child in module._modules.items():  # named_children would leave out a module that comes twice
        if child is not None:
            table += _nested_layers(child, f"{name}.{key}" if name else key)
    return table


def _is_local(layer: nn.Module) -> bool:
    if isinstance(layer, nn.Conv2d):
        return layer.dilation == (1, 1) and layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
    if isinstance(layer, nn.MaxPool2d):
        return layer.dilation in (1, (1, 1)) and not layer.return_indices
    if isinstance(layer, nn.BatchNorm2d):
        return layer.running_mean is not None
    return isinstance(layer, POINTWISE)


def _narrow(table: Table, watch: Watch) -> tuple[Table, Watch]:
    """The table up to the watched module; its last convolution computes the watched map alone where it can."""
    table = table[: 1 + [name for name, _ in table].index(watch.name)]
    conv = max((i for i, (_, layer) in enumerate(table) if isinstance(layer, nn.Conv2d)), default=-1)
    above = [layer for _, layer in table[conv + 1 :]]
    if conv < 0 or not all(isinstance(layer, KEEPS_MAPS_APART) for layer in above):
        return table, watch  # contrast normalization mixes maps
    name, layer = table[conv]
    assert isinstance(layer, nn.Conv2d)
    table[conv] = name, _one_map(layer, watch.channel)
    return table, replace(watch, channel=0)


def _one_map(conv: nn.Conv2d, channel: int) -> nn.Conv2d:
    """The part of `conv` that computes one map, reading all maps below (zero weights across groups)."""
    kernel, stride, padding = ((a, b) for a, b in _geometry(conv))
    narrow = nn.Conv2d(conv.in_channels, 1, kernel, stride, padding, device="meta")
    group = channel * conv.groups // conv.out_channels
    width = conv.in_channels // conv.groups
    weight = conv.weight.new_zeros(1, conv.in_channels, *kernel)
    weight[:, group * width : (group + 1) * width] = conv.weight[channel]
    narrow.weight = nn.Parameter(weight, requires_grad=False)
    narrow.bias = None if conv.bias is None else nn.Parameter(conv.bias[channel : channel + 1], requires_grad=False)
    return narrow


def _check(model: nn.Module, image: Tensor, occluder: Occluder, watch: Watch | None, scores: bool) -> None:
    if model.training:
        raise ValueError("occlusion needs the model in eval mode")
    if not (scores or watch):
        raise ValueError("nothing to compute: ask for scores, a watched map, or both")
    extent = torch.tensor(image.shape[1:])
    if (
        len(occluder.corners) == 0
        or occluder.corners.min() < 0
        or (occluder.corners.cpu() + occluder.size > extent).any()
    ):
        raise ValueError(f"an occluder of {occluder.size} px leaves the image of {tuple(image.shape[1:])} px")


@dataclass(frozen=True)
class Grid:
    """The places of a square of `size` px in a crop: corners tops x lefts."""

    size: int
    tops: np.ndarray  # (r,)
    lefts: np.ndarray  # (c,)

    @property
    def corners(self) -> Tensor:
        """(r c, 2) int64, row by row."""
        return torch.cartesian_prod(torch.from_numpy(self.tops), torch.from_numpy(self.lefts)).view(-1, 2)

    @property
    def centers(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows (r,) and columns (c,) of the square's center in pixel coordinates."""
        return self.tops + (self.size - 1) / 2, self.lefts + (self.size - 1) / 2

    def inside(self, boxes: np.ndarray) -> np.ndarray:
        """(r, c) bool: the square's center lies in one of the crop's boxes (k, 4)."""
        y, x = self.centers
        within = np.zeros((len(y), len(x)), dtype=bool)
        for x0, y0, x1, y1 in boxes:
            within |= ((y >= y0) & (y <= y1))[:, None] & ((x >= x0) & (x <= x1))[None]
        return within


def covered_probabilities(
    model: nn.Module, image: Tensor, places: Grid, fill: Tensor | None = None, batch: int = 64
) -> np.ndarray:
    """Class probabilities (r, c, k) float64 of one network input (3, h, w), with the square at each of the places.

    fill: (3, h, w), what the square shows; 0 by default, which is the mean color.
    """
    occluder = Occluder(places.size, places.corners, torch.zeros_like(image) if fill is None else fill)
    scores = respond(model, image, occluder, batch=batch).scores
    assert scores is not None
    return scores.double().softmax(1).unflatten(0, (len(places.tops), len(places.lefts))).cpu().numpy()
