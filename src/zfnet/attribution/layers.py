"""How torch's modules and functions are read as the kinds of layer of the table in `rules`.

`MODULES`, `FUNCTIONS` and `TENSOR_METHODS` are the whole of what can be projected through; anything else is
refused by name. Every layer is computed as in evaluation (dropout is the identity, batch-norm uses its running
statistics) and out of place, whatever its flags say, so that the model is only read.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zfnet.attribution import rules
from zfnet.attribution.rules import Method
from zfnet.core.errors import UserError
from zfnet.networks.normalization import LocalResponseNorm


def _convolution(method: Method, m: nn.Conv2d, x: Tensor, a: Tensor | None) -> Tensor:
    padding = m.padding
    if isinstance(padding, str) or m.padding_mode != "zeros":
        mode = "constant" if m.padding_mode == "zeros" else m.padding_mode
        x, padding = F.pad(x, m._reversed_padding_repeated_twice, mode), (0, 0)
    return rules.convolution(method, x, m.weight, m.bias, (m.stride, padding, m.dilation, m.groups), a)


def _max_pool(method: Method, m: nn.MaxPool2d, x: Tensor, a: None) -> Tensor:
    return rules.max_pool(method, x, m.kernel_size, m.stride, m.padding, m.dilation, m.ceil_mode)


def _batch_norm(method: Method, m: nn.BatchNorm2d, x: Tensor, a: None) -> Tensor:
    if m.running_mean is None:
        raise UserError("BatchNorm2d without running statistics mixes the images of a batch: cannot project")
    return F.batch_norm(x, m.running_mean, m.running_var, m.weight, m.bias, False, 0.0, m.eps)


def _same(method: Method, m: nn.Module, x: Tensor, a: None) -> Tensor:
    return x


def _linear_map(method: Method, m: nn.Module, x: Tensor, a: None) -> Tensor:
    return m.forward(x)


MODULES: dict[type[nn.Module], Callable[..., Tensor]] = {
    nn.Conv2d: _convolution,
    nn.Linear: lambda method, m, x, a: rules.linear(method, x, m.weight, m.bias, a),
    nn.ReLU: lambda method, m, x, a: rules.relu(method, x),
    nn.MaxPool2d: _max_pool,
    LocalResponseNorm: lambda method, m, x, a: rules.norm(method, x, m.forward),
    nn.LocalResponseNorm: lambda method, m, x, a: rules.norm(method, x, m.forward),
    nn.BatchNorm1d: _batch_norm,
    nn.BatchNorm2d: _batch_norm,
    nn.AvgPool2d: _linear_map,
    nn.AdaptiveAvgPool2d: _linear_map,
    nn.ZeroPad2d: _linear_map,
    nn.Flatten: _linear_map,
    nn.Dropout: _same,
    nn.Dropout2d: _same,
    nn.Identity: _same,
}


def _functional_pool(
    method: Method,
    x: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor:
    return rules.max_pool(method, x, kernel_size, stride, padding, dilation, ceil_mode)


def _functional_convolution(
    method: Method, x: Tensor, weight: Tensor, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
    groups: int = 1,
) -> Tensor:  # fmt: skip
    return rules.convolution(method, x, weight, bias, (stride, padding, dilation, groups))


def _functional_norm(method: Method, x: Tensor, *constants: Any, **named: Any) -> Tensor:
    return rules.norm(method, x, lambda x: F.local_response_norm(x, *constants, **named))


def _functional_relu(method: Method, x: Tensor, inplace: bool = False) -> Tensor:
    return rules.relu(method, x)


def _functional_same(method: Method, x: Tensor, *constants: Any, **named: Any) -> Tensor:
    return x


def _plain(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda method, *args, **kwargs: function(*args, **kwargs)


_LINEAR_FUNCTIONS: tuple[Callable[..., Any], ...] = (
    operator.add, torch.add, torch.cat, torch.flatten, torch.mean, torch.squeeze, torch.reshape, torch.permute,
    F.avg_pool2d, F.adaptive_avg_pool2d, operator.getitem, getattr,
)  # fmt: skip
FUNCTIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    **{function: _plain(function) for function in _LINEAR_FUNCTIONS},
    **dict.fromkeys((F.relu, F.relu_, torch.relu, torch.relu_), _functional_relu),
    **dict.fromkeys((F.max_pool2d, torch.max_pool2d), _functional_pool),
    **dict.fromkeys((F.conv2d, torch.conv2d), _functional_convolution),
    **dict.fromkeys((F.dropout, F.dropout2d, torch.dropout), _functional_same),
    F.linear: lambda method, x, weight, bias=None: rules.linear(method, x, weight, bias),
    F.local_response_norm: _functional_norm,
}
_LINEAR_METHODS = (
    "add", "add_", "view", "reshape", "flatten", "size", "dim", "mean", "squeeze", "contiguous", "permute",
)  # fmt: skip
TENSOR_METHODS: dict[str, Callable[..., Any]] = {
    **{name: _plain(getattr(Tensor, name)) for name in _LINEAR_METHODS},
    "relu": _functional_relu,
    "relu_": _functional_relu,
}


def supported() -> str:
    """The names of every module that can be projected through, for messages."""
    return ", ".join(dict.fromkeys(kind.__name__ for kind in MODULES))


def apply_module(
    method: Method, name: str, module: nn.Module, x: Tensor, patterns: Mapping[str, Tensor] | None = None
) -> Tensor:
    """Output of `module` on x, forward as in evaluation, backward by the method.

    Raises UserError naming the module where the table has no row for it or its pattern is missing or of another shape.
    """
    treat = next((MODULES[kind] for kind in type(module).__mro__ if kind in MODULES), None)
    if treat is None:
        raise UserError(f"{name} ({type(module).__name__}): cannot be projected through; supported are {supported()}")
    return treat(method, module, x, pattern_of(method, name, module, patterns))


def pattern_of(method: Method, name: str, module: nn.Module, patterns: Mapping[str, Tensor] | None) -> Tensor | None:
    """The pattern of a convolution or linear layer, where the method needs one, else None.

    Raises UserError naming the module where the pattern is missing or not shaped as the weight.
    """
    if method.weights is None or not isinstance(module, nn.Conv2d | nn.Linear):
        return None
    a = (patterns or {}).get(name)
    if a is None or a.shape != module.weight.shape:
        given = "no pattern" if a is None else f"a pattern of shape {tuple(a.shape)}"
        raise UserError(f"{name}: {given} given, needed is one of shape {tuple(module.weight.shape)}")
    return a.to(module.weight)
