"""The receptive field of a unit, and its projection computed on that part of the image alone, exactly.

A unit of a convolutional layer sees a square of the image, and only there can its projection differ from zero. With
k, s, p the kernel, stride and padding of the layers below, taken from the unit down,

    size <- (size - 1) s + k        stride <- stride * s        offset <- offset * s - p        (start: 1, 1, 0)

the unit at row i sees the rows offset + i * stride ... + size - 1. Every layer is run on such squares without padding,
so that a batch of units at different places has one shape. What lies outside the true map of a layer is not what
the layer would compute there but its padding: it is set to 0 before a convolution and to -inf before a max-pool, on
the way up and so also on the way back. The result equals the projection of the whole image, borders included.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from zfnet.attribution import rules
from zfnet.attribution.engine import Backprojection, Target
from zfnet.attribution.layers import apply_module, pattern_of
from zfnet.attribution.rules import METHODS, Method
from zfnet.core.errors import UserError


@dataclass(frozen=True)
class Field:
    """Rows (and columns) offset + i * stride ... + size - 1 of a layer below are what unit i sees."""

    size: int = 1
    stride: int = 1
    offset: int = 0

    def below(self, kernel: int, stride: int, padding: int) -> Field:
        """The same units' field one layer further down."""
        return Field((self.size - 1) * stride + kernel, self.stride * stride, self.offset * stride - padding)

    def start(self, places: Tensor) -> Tensor:
        """First row and column that the units at `places` (b, 2) see; negative in the padding."""
        return self.offset + self.stride * places


def receptive_field(model: nn.Sequential, layer: str) -> Field:
    """What a unit of `layer` sees of the image. Raises UserError where that is not a square (fc layers)."""
    return _fields(model, layer)[0]


def cut(images: Tensor, field: Field, places: Tensor, fill: float = 0.0) -> Tensor:
    """What the units at `places` (b, 2) see of their images (b, c, h, w): (b, c, size, size), `fill` outside."""
    rows, columns = _span(field, places)
    height, width = images.shape[2:]
    inside = _inside(rows, height)[:, None, :, None] & _inside(columns, width)[:, None, None, :]
    b = torch.arange(len(images), device=images.device)[:, None, None]
    y, x = rows.clamp(0, height - 1)[:, :, None], columns.clamp(0, width - 1)[:, None, :]
    return torch.where(inside, images.movedim(1, -1)[b, y, x].movedim(-1, 1), fill)


def project_window(
    model: nn.Sequential,
    images: Tensor,
    layer: str,
    units: Tensor,
    places: Tensor,
    method: Method | str = "deconvnet",
    patterns: Mapping[str, Tensor] | None = None,
) -> Tensor:
    """Projection of one activation an image, cut to its receptive field: (b, 3, size, size), 0 outside the image.

    images (b, 3, h, h), units (b,), places (b, 2) in `layer`. Equals `cut(project(...), field, places)`.
    """
    method = METHODS[method] if isinstance(method, str) else method
    places = torch.as_tensor(places, device=images.device)
    side = images.shape[-1]
    fields = _fields(model, layer)
    if fields[0].size >= side:  # nothing to save
        whole = Backprojection(model, method, patterns).project(images, Target(units, places), layer)
        return cut(whole, fields[0], places)
    with torch.inference_mode(False), torch.enable_grad():
        x = cut(images.detach().clone(), fields[0], places).requires_grad_()
        y = x
        for (name, module), (below, field) in zip(_upto(model, layer), pairwise(fields), strict=True):
            y, side = _step(method, name, module, patterns, y, side, places, below, field)
        start = y.detach() if method.start == "activation" else 1.0
        signal = torch.autograd.grad(y, x, Target(units).mask(y) * start)[0]
    return _keep(signal, fields[0], places, images.shape[-1])


def _step(
    method: Method,
    name: str,
    module: nn.Module,
    patterns: Mapping[str, Tensor] | None,
    x: Tensor,
    side: int,
    places: Tensor,
    below: Field,
    field: Field,
) -> tuple[Tensor, int]:
    """One layer on squares x of a map of true side `side`: its output squares and the true side of its map."""
    if isinstance(module, nn.Conv2d):
        a = pattern_of(method, name, module, patterns)
        geometry = (module.stride, 0, module.dilation, module.groups)
        y = rules.convolution(method, x, module.weight, module.bias, geometry, a)
    elif isinstance(module, nn.MaxPool2d):
        x = _keep(x, below, places, side, float("-inf"))
        y = rules.max_pool(method, x, module.kernel_size, module.stride, 0, module.dilation)
    else:
        return apply_module(method, name, module, x, patterns), side
    side = _side_after(module, side)
    return _keep(y, field, places, side), side


def _upto(model: nn.Sequential, layer: str) -> list[tuple[str, nn.Module]]:
    modules = list(model.named_children())
    names = [name for name, _ in modules]
    if layer not in names:
        raise UserError(f"no layer {layer}; there are {', '.join(names)}")
    return modules[: names.index(layer) + 1]


def _fields(model: nn.Sequential, layer: str) -> list[Field]:
    """The field of `layer`'s units in the image and in the output of every module up to `layer` (itself: 1)."""
    fields = [Field()]
    for name, module in reversed(_upto(model, layer)):
        fields.append(_below(fields[-1], name, module))
    return fields[::-1]


def _below(field: Field, name: str, module: nn.Module) -> Field:
    if isinstance(module, nn.Flatten | nn.Linear | nn.AdaptiveAvgPool2d):
        raise UserError(f"{name}: its units see the whole image; use project, not project_window")
    if not isinstance(module, nn.Conv2d | nn.MaxPool2d):
        return field
    kernel, stride, padding, dilation = (_square(name, getattr(module, key)) for key in _GEOMETRY)
    return field.below(dilation * (kernel - 1) + 1, stride, padding)


_GEOMETRY = ("kernel_size", "stride", "padding", "dilation")


def _square(name: str, value: int | str | tuple[int, ...]) -> int:
    values = set(value) if isinstance(value, tuple) else {value}
    if len(values) > 1 or not all(isinstance(v, int) for v in values):
        raise UserError(f"{name}: windows are computed for square kernels, strides and numbered paddings, not {value}")
    return int(values.pop())


def _side_after(module: nn.Conv2d | nn.MaxPool2d, side: int) -> int:
    kernel, stride, padding, dilation = (_square("", getattr(module, key)) for key in _GEOMETRY)
    room = side + 2 * padding - dilation * (kernel - 1) - 1
    if isinstance(module, nn.MaxPool2d) and module.ceil_mode:
        last = -(-room // stride)
        return last + (last * stride < side + padding)  # a window that starts beyond the map is dropped
    return room // stride + 1


def _span(field: Field, places: Tensor) -> tuple[Tensor, Tensor]:
    """Rows and columns (b, size) of the squares; they may lie outside the map."""
    reach = torch.arange(field.size, device=places.device)
    start = field.start(places)
    return start[:, :1] + reach, start[:, 1:] + reach


def _inside(positions: Tensor, side: int) -> Tensor:
    return (positions >= 0) & (positions < side)


def _keep(x: Tensor, field: Field, places: Tensor, side: int, fill: float = 0.0) -> Tensor:
    """x (b, c, size, size) where its squares lie in the map of `side`, `fill` where they do not."""
    rows, columns = (_inside(positions, side) for positions in _span(field, places))
    if bool(rows.all()) and bool(columns.all()):
        return x
    return torch.where(rows[:, None, :, None] & columns[:, None, None, :], x, fill)
