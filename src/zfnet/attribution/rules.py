"""The table of backprojections: one row a method, one column a kind of layer.

Every method of the three papers sends a signal R from a unit back to the pixels through the layers it came by.
They differ only in what each kind of layer does to R ([SVZ13] 4; x is the layer's input, w its weights, a its
pattern):

    convolution, linear   R w^T                the transpose, no bias     gradient, deconvnet, guided
                          R a^T                where the signal lies      PatternNet           [K17] 4
                          R (w a)^T            what explains the output   PatternAttribution   [K17] 4
    ReLU                  R 1(x > 0)           the forward gate           gradient, both patterns
                          R 1(R > 0)           the rectified signal       deconvnet            [ZF13] 2.1
                          R 1(x > 0) 1(R > 0)  both                       guided
    max-pool              R to the place of the maximum (the "switch"), for all. Where overlapping windows share
                          a maximum [ZF13] is silent [NS]: "add" is the adjoint, "overwrite" keeps the last
                          window's value only.
    LRN                   "passed" unchanged, as in the ECCV text of [ZF13] and the authors' code of [K17];
                          "exact" is its derivative. For guided nobody says [NS]: as the deconvnet.
    batch-norm, average-pool, flatten, dropout, addition, concatenation: the adjoint, for all.

The start is the unit's own activation (deconvnet [ZF13] 2.1, patterns [K17]) or one (gradient [SVZ13] 3).
No ReLU follows the last filter on the way down, so every method can end in negative pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.nn.grad import conv2d_input

Rule = Callable[[Tensor, Tensor], Tensor]  # (R from above, x) -> R below
Weights = Callable[[Tensor, Tensor], Tensor]  # (w, a) -> what is transposed on the way back


# ---------------------------------------------------------------- the rules
def forward_gate(signal: Tensor, x: Tensor) -> Tensor:
    return signal * (x > 0)


def rectify(signal: Tensor, x: Tensor) -> Tensor:
    return signal * (signal > 0)


def gate_and_rectify(signal: Tensor, x: Tensor) -> Tensor:
    return signal * ((x > 0) & (signal > 0))


def passed(signal: Tensor, x: Tensor) -> Tensor:
    return signal


def pattern(w: Tensor, a: Tensor) -> Tensor:
    return a


def weight_times_pattern(w: Tensor, a: Tensor) -> Tensor:
    return w * a


# ---------------------------------------------------------------- the table
@dataclass(frozen=True)
class Method:
    """One row: what each kind of layer does to the signal. Change a cell with `dataclasses.replace`."""

    weights: Weights | None  # None: the layer's own
    relu: Rule
    pool: str  # "add" | "overwrite"
    norm: str  # "exact" | "passed"
    start: str  # "activation" | "one"


# fmt: off
METHODS: dict[str, Method] = {
    #                            convolution, linear   ReLU              max-pool LRN      start
    "gradient":           Method(None,                 forward_gate,     "add", "exact",  "one"),
    "deconvnet":          Method(None,                 rectify,          "add", "passed", "activation"),
    "guided":             Method(None,                 gate_and_rectify, "add", "passed", "one"),
    "patternnet":         Method(pattern,              forward_gate,     "add", "passed", "activation"),
    "patternattribution": Method(weight_times_pattern, forward_gate,     "add", "passed", "activation"),
}
# fmt: on


# ---------------------------------------------------------------- the layers, forward exact, backward by the method
class Ruled(Function):
    """y = forward(x), exactly; on the way back the signal becomes rule(signal, x)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, forward: Callable[[Tensor], Tensor], rule: Rule) -> Tensor:
        ctx.save_for_backward(x)
        ctx.rule = rule
        return forward(x)

    @staticmethod
    def backward(ctx: Any, signal: Tensor) -> Any:
        return ctx.rule(signal, *ctx.saved_tensors), None, None


def convolution(
    method: Method,
    x: Tensor,
    w: Tensor,
    bias: Tensor | None,
    geometry: tuple[Any, Any, Any, int],
    a: Tensor | None = None,
) -> Tensor:
    """Convolution of x (b, c, h, w); `geometry` is stride, padding, dilation, groups; `a` the pattern, shaped as w."""
    if method.weights is None or a is None:
        return F.conv2d(x, w, bias, *geometry)
    back = method.weights(w, a)
    return Ruled.apply(
        x, lambda x: F.conv2d(x, w, bias, *geometry), lambda signal, x: conv2d_input(x.shape, back, signal, *geometry)
    )


def linear(method: Method, x: Tensor, w: Tensor, bias: Tensor | None, a: Tensor | None = None) -> Tensor:
    """Fully connected layer on x (b, d); `a` the pattern, shaped as w."""
    if method.weights is None or a is None:
        return F.linear(x, w, bias)
    back = method.weights(w, a)
    return Ruled.apply(x, lambda x: F.linear(x, w, bias), lambda signal, x: signal @ back)


def relu(method: Method, x: Tensor) -> Tensor:
    """max(x, 0), never in place."""
    return Ruled.apply(x, torch.relu, method.relu)


def norm(method: Method, x: Tensor, forward: Callable[[Tensor], Tensor]) -> Tensor:
    """Contrast normalisation across maps, computed by `forward`."""
    return forward(x) if method.norm == "exact" else Ruled.apply(x, forward, passed)


def max_pool(
    method: Method, x: Tensor, size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil: bool = False
) -> Tensor:
    """Max-pooling of x (b, c, h, w)."""
    if method.pool == "add":
        return F.max_pool2d(x, size, stride, padding, dilation, ceil)
    pooled, switches = F.max_pool2d(x.detach(), size, stride, padding, dilation, ceil, return_indices=True)
    return Ruled.apply(x, lambda x: pooled, lambda signal, x: overwrite(signal, switches, x))


def overwrite(signal: Tensor, switches: Tensor, x: Tensor) -> Tensor:
    """Every pooled value written at its switch, in scan order: where windows share a maximum the last one stays."""
    signal, switches = signal.flatten(2), switches.flatten(2)
    window = torch.arange(signal.shape[2], device=signal.device).expand_as(switches)
    last = switches.new_full((*x.shape[:2], x[0, 0].numel()), -1).scatter_reduce(2, switches, window, "amax")
    kept = signal * (last.gather(2, switches) == window)
    return signal.new_zeros(last.shape).scatter_add(2, switches, kept).view_as(x)
