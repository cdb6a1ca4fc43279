"""Patterns: in which direction of its input a neuron's signal lies ([K17] 4), estimated in one pass over images.

A neuron y = w . x has its signal s(x) = a y along the pattern a, which the data tell and w does not ([K17] 2):

    S_w    a = w / (w . w)
    S_a    a = cov[x, y] / var(y)
    S_a+-  a+ = (E+[x y] - E+[x] E[y]) / (w . the same)  where y > 0, a- likewise with E- elsewhere    ([K17] eq. 8)

E+ is the mean over the samples with y > 0, and E[y] the mean over all. With sums N = sum of x (y - E[y]) over all
samples, those with y > 0, or the others, each is a = N / (w . N), so that w . a = 1 and nothing else need be known.
Adding a constant to y changes no N, so y carries its bias, which matters only to whether y > 0.

Every patch of the image that a convolution looks at is a sample. The sum of x g over the samples is then the gradient
of the convolution's weights for the output gradient g, which torch computes fast: g = y, 1(y > 0) and y 1(y > 0).
A batch is summed in the layer's own precision, batches in float64. `merge` adds what was seen by different processes.

Where w . N vanishes against what was summed (a neuron that is constant, or never in that regime) there is no pattern:
w / (w . w) takes its place and is counted [our choice; the authors' code divides by 1 and renormalises].
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.grad import conv2d_weight

from zfnet.core.errors import UserError
from zfnet.core.files import atomic_write

Layer = nn.Conv2d | nn.Linear
KINDS = ("a", "a+", "a-")
VANISHING = 1e-6  # |w . N| / (|w| |sum of x y|) from which there is a pattern: well above rounding


@dataclass(frozen=True)
class Moments:
    """Sums over samples of one layer's input patches x and outputs y = w . x + b, float64; the weight is (u, ...)."""

    n: Tensor  # ()
    y: Tensor  # (u,)
    x: Tensor  # (groups, ...): all neurons of a group see the same patches
    xy: Tensor  # (u, ...)
    n_on: Tensor  # (u,) samples with y > 0, and over these:
    x_on: Tensor  # (u, ...)
    xy_on: Tensor  # (u, ...)

    def __add__(self, other: Moments) -> Moments:
        return Moments(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


@dataclass(frozen=True)
class Patterns:
    """kind -> module name -> pattern shaped as the module's weight; and how many neurons of each fell back to w."""

    kinds: dict[str, dict[str, Tensor]]
    fallbacks: dict[str, dict[str, int]]


def positive_patterns(module: nn.Module, batches: Iterable[Tensor]) -> dict[str, Tensor]:
    """a+ by module name, float32, as the pattern methods take it, from network inputs (b, 3, h, w)."""
    patterns = fit(module, estimate(module, batches))
    return {name: a.float() for name, a in patterns.kinds["a+"].items()}


def estimate(model: nn.Module, batches: Iterable[Tensor]) -> dict[str, Moments]:
    """Moments of every convolution and linear layer over network inputs (b, 3, h, w); `model` in eval mode."""
    moments: dict[str, Moments] = {}
    with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        for x in batches:
            for name, module in model.named_children():
                y = module(x)
                if isinstance(module, Layer):
                    moments = merge(moments, {name: observe(module, x, y)})
                x = y
    return moments


def observe(layer: Layer, x: Tensor, y: Tensor) -> Moments:
    """Moments of one batch: inputs x and outputs y of `layer`."""
    on = (y > 0).to(y.dtype)
    samples = [0, *range(2, y.ndim)]
    groups = getattr(layer, "groups", 1)
    everywhere = torch.ones_like(y[:1, :1]).expand(1, groups, *y.shape[2:])
    sums = (
        torch.tensor(y.numel() / y.shape[1], device=y.device),
        y.sum(samples, dtype=torch.float64),
        correlate(layer, x.sum(0, keepdim=True), everywhere),
        correlate(layer, x, y),
        on.sum(samples, dtype=torch.float64),
        correlate(layer, x, on),
        correlate(layer, x, y * on),
    )
    return Moments(*(value.double() for value in sums))


def correlate(layer: Layer, x: Tensor, g: Tensor) -> Tensor:
    """Sum over samples of x g: inputs (b, c, h, w) or (b, d), g one value a neuron and sample -> (neurons, ...)."""
    if isinstance(layer, nn.Linear):
        return g.T @ x
    size = (g.shape[1], *layer.weight.shape[1:])
    return conv2d_weight(x, size, g, layer.stride, layer.padding, layer.dilation, layer.groups)


def merge(first: Mapping[str, Moments], second: Mapping[str, Moments]) -> dict[str, Moments]:
    """The moments of both sets of samples together, layer by layer."""
    both = {name: first[name] + second[name] for name in first if name in second}
    return {**first, **second, **both}


def fit(model: nn.Module, moments: Mapping[str, Moments]) -> Patterns:
    """The patterns a, a+ and a- of every layer, float64."""
    kinds: dict[str, dict[str, Tensor]] = {kind: {} for kind in KINDS}
    fallbacks: dict[str, dict[str, int]] = {kind: {} for kind in KINDS}
    for name, layer in layers(model).items():
        w, m = layer.weight.detach().double(), moments[name]
        for kind, (numerator, size) in numerators(m).items():
            a, vanished = _normalised(w, numerator, size)
            kinds[kind][name], fallbacks[kind][name] = a, int(vanished.sum())
    return Patterns(kinds, fallbacks)


def numerators(m: Moments) -> dict[str, tuple[Tensor, Tensor]]:
    """kind -> (N, the sum of x y that it was made of), each (u, ...)."""
    x = m.x.repeat_interleave(len(m.y) // len(m.x), 0)  # (u, ...)
    mean = (m.y / m.n).view(-1, *[1] * (x.ndim - 1))
    sums = {"a": (x, m.xy), "a+": (m.x_on, m.xy_on), "a-": (x - m.x_on, m.xy - m.xy_on)}
    return {kind: (xy - x * mean, xy) for kind, (x, xy) in sums.items()}


def layers(model: nn.Module) -> dict[str, Layer]:
    """The convolutions and linear layers by module name, in order."""
    return {name: module for name, module in model.named_children() if isinstance(module, Layer)}


def weight_patterns(model: nn.Module) -> dict[str, Tensor]:
    """S_w: w / (w . w) by module name, float64; 0 for a neuron without weights."""
    return {name: _over_square(layer.weight.detach().double()) for name, layer in layers(model).items()}


def save_patterns(path: Path, patterns: Patterns) -> None:
    """Write kind -> module name -> float32 tensor, loadable with `weights_only=True`."""
    plain = {kind: {name: a.float().cpu() for name, a in by_name.items()} for kind, by_name in patterns.kinds.items()}
    with atomic_write(path) as temporary:
        torch.save(plain, temporary)


def load_patterns(path: Path) -> dict[str, dict[str, Tensor]]:
    """kind -> module name -> pattern, as `Backprojection` takes them. Raises UserError for a missing or torn file."""
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
        return {kind: dict(saved[kind]) for kind in KINDS}
    except FileNotFoundError as error:
        raise UserError(f"{path}: no patterns; run stage=patterns first") from error
    except Exception as error:  # torch.load raises whatever the damage leads to
        raise UserError(f"{path}: not a whole file of patterns; delete it and run stage=patterns again") from error


def _normalised(w: Tensor, numerator: Tensor, size: Tensor) -> tuple[Tensor, Tensor]:
    """N / (w . N), and which neurons (u,) got w / (w . w) instead."""
    scale = _dot(w, numerator)
    vanished = scale.abs() <= VANISHING * (_dot(w, w) * _dot(size, size)).sqrt()
    a = torch.where(vanished, _over_square(w), numerator / torch.where(vanished, 1, scale))
    return a, vanished.flatten()


def _over_square(w: Tensor) -> Tensor:
    square = _dot(w, w)
    return w / torch.where(square > 0, square, 1)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(list(range(1, a.ndim)), keepdim=True)
