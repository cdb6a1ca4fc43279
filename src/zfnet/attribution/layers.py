"""How calls of torch functions are read as the kinds of layer of the table in `rules`.

`TREATMENTS` and `LINEAR` are all that a signal can be sent back through, by the names of the functions. Every call
computes exactly what the model computes; what differs is the way back. A call without a rule (SiLU, layer-norm,
softmax, ...) is computed too, and raises UserError when a signal comes back to it: where none comes, as in what
computes a gate, there is nothing to refuse.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.nn.grad import conv2d_input

from zfnet.attribution.rules import Method
from zfnet.attribution.walk import Call, with_gradient
from zfnet.core.errors import UserError
from zfnet.networks.normalization import Normalize


class Ruled(Function):
    """y = compute(), which is a function of x; on the way back the signal R becomes rule(R)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, compute: Callable[[], Tensor], rule: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.rule = rule
        return compute()

    @staticmethod
    def backward(ctx: Any, signal: Tensor) -> Any:
        return ctx.rule(signal), None, None


KNOWN_FUNCTIONS = (Ruled, Normalize)  # autograd functions whose derivative is meant


@dataclass(frozen=True)
class Rules:
    """The treatment of a model's calls by one method. patterns: by weight name; weights: id of a parameter -> name."""

    method: Method
    patterns: Mapping[str, Tensor]
    weights: Mapping[int, str]

    def __call__(self, call: Call) -> Any:
        signals = call.signals()
        if not signals:
            return call.compute()
        refuse_custom_functions(signals, call.module)
        treatment = TREATMENTS.get(call.name)
        if treatment is None:
            result = call.compute()
            return result if call.name in LINEAR else self.refuse(call, result)
        result = treatment(self, call, *call.args, **call.kwargs)
        return call.input.copy_(result) if call.is_in_place and result is not call.input else result

    def pattern(self, call: Call, weight: Tensor) -> Tensor:
        """The pattern of a weight. Raises UserError naming the layer where it has none, or one of another shape."""
        name = self.weights.get(id(weight))
        if name is None:
            raise UserError(f"{call.where}: its weight is computed in the forward pass, so it has no pattern")
        a = self.patterns.get(name)
        if a is None or a.shape != weight.shape:
            given = "no pattern" if a is None else f"a pattern of shape {tuple(a.shape)}"
            raise UserError(f"{name}: {given} given, needed is one of shape {tuple(weight.shape)}")
        return a.to(weight)

    def refuse(self, call: Call, result: Any, reason: str = "has no rule") -> Any:
        """`result`, at which no signal may come back."""
        for y in with_gradient(result):
            y.register_hook(_refusal(f"{call.where}: {reason} in this method; every network has a gradient"))
        return result


def refuse_custom_functions(signals: list[Tensor], module: str) -> None:
    """No signal may come back to an autograd function that is not ours: its backward is not known to be a rule."""
    known = tuple(function._backward_cls for function in KNOWN_FUNCTIONS)
    for signal in signals:
        node = signal.grad_fn
        if isinstance(node, torch.autograd.function.BackwardCFunction) and not isinstance(node, known):
            signal.register_hook(
                _refusal(
                    f"{module} ({node.name()}): is an autograd function without a rule; every network has a gradient"
                )
            )


def _refusal(message: str) -> Callable[[Tensor], NoReturn]:
    def refuse(signal: Tensor) -> NoReturn:
        raise UserError(message)

    return refuse


def _value(call: Call) -> Tensor:
    """The result of a call, not in place."""
    return (call.on(call.input.clone()) if call.is_in_place else call).compute()


# ---------------------------------------------------------------- rectifiers
BOUNDS: dict[str, Callable[..., tuple[float, float]]] = {  # from the function's arguments
    "relu": lambda input, inplace=False: (0.0, torch.inf),
    "relu6": lambda input, inplace=False: (0.0, 6.0),
    "hardtanh": lambda input, min_val=-1.0, max_val=1.0, inplace=False: (min_val, max_val),
    "clamp": lambda input, min=None, max=None: (min, torch.inf if max is None else max),
    "clamp_min": lambda input, min: (min, torch.inf),
}


def _rectifier(rules: Rules, call: Call, input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    low, high = BOUNDS[call.name](input, *args, **kwargs)
    if isinstance(low, Tensor) or isinstance(high, Tensor) or low != 0:
        return rules.refuse(call, call.compute(), "does not rectify from 0 and has no rule")
    gate = (input > 0) & (input < high)
    return Ruled.apply(input, lambda: _value(call), lambda signal: rules.method.relu(signal, gate))


# ---------------------------------------------------------------- layers with weights
def pad_same(x: Tensor, weight: Tensor, padding: Any, dilation: Any) -> tuple[Tensor, Any]:
    """x and the padding of a convolution, with a padding that is given as a word carried out."""
    if not isinstance(padding, str):
        return x, padding
    if padding == "valid":
        return x, 0
    steps = (dilation, dilation) if isinstance(dilation, int) else dilation
    rows = steps[0] * (weight.shape[2] - 1)
    columns = steps[1] * (weight.shape[3] - 1)
    return F.pad(x, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2)), 0


def _convolution(
    rules: Rules, call: Call, input: Tensor, weight: Tensor, bias: Any = None, stride: Any = 1, padding: Any = 0,
    dilation: Any = 1, groups: int = 1,
) -> Tensor:  # fmt: skip
    if rules.method.weights is None or weight.requires_grad:
        return _bilinear(rules, call)
    back = rules.method.weights(weight, rules.pattern(call, weight))
    x, padding = pad_same(input, weight, padding, dilation)
    return Ruled.apply(
        x, call.compute, lambda signal: conv2d_input(x.shape, back, signal, stride, padding, dilation, groups)
    )


def _linear(rules: Rules, call: Call, input: Tensor, weight: Tensor, bias: Any = None) -> Tensor:
    if rules.method.weights is None or weight.requires_grad:
        return _bilinear(rules, call)
    back = rules.method.weights(weight, rules.pattern(call, weight))
    return Ruled.apply(input, call.compute, lambda signal: signal @ back)


def _bilinear(rules: Rules, call: Call, *args: Any, **kwargs: Any) -> Tensor:
    """Linear in each of two arguments: a layer where one of them is constant."""
    result = call.compute()
    if len(call.signals()) > 1:
        return rules.refuse(call, result, "multiplies two activations and has no rule")
    return result if rules.method.weights is None else rules.refuse(call, result, "has no pattern and no rule")


# ---------------------------------------------------------------- batch-norm, constants and gates
def _scaled(rules: Rules, call: Call, x: Tensor, s: Any) -> Tensor:
    """A call that multiplies x by s, which does not depend on the images."""
    if rules.method.weights is None:
        return call.compute()
    s = torch.as_tensor(s, dtype=x.dtype, device=x.device)
    back = rules.method.weights(s, torch.where(s == 0, 0, 1 / s))
    return Ruled.apply(x, lambda: _value(call), lambda signal: (signal * back).sum_to_size(x.shape))


def _batch_norm(
    rules: Rules, call: Call, input: Tensor, running_mean: Any, running_var: Any, weight: Any = None, bias: Any = None,
    training: bool = False, momentum: float = 0.1, eps: float = 1e-5,
) -> Tensor:  # fmt: skip
    if training or running_var is None:
        reason = "mixes the images of a batch, for it has no running statistics, and has no rule"
        return rules.refuse(call, call.compute(), reason)
    s = (running_var + eps).rsqrt() * (1 if weight is None else weight)
    return _scaled(rules, call, input, s.view(-1, *[1] * (input.ndim - 2)))


def _product(rules: Rules, call: Call, input: Any, other: Any) -> Tensor:
    for x, s in ((input, other), (other, input)):
        is_constant = not with_gradient(s)
        if is_constant:
            return _scaled(rules, call, x, s)
        if with_gradient(x) and is_gate(s, x) and not (call.is_in_place and s is input):
            constant = s.detach()
            args = (input, constant) if s is other else (constant, other)
            return _scaled(rules, replace(call, args=args, kwargs={}), x, constant)
    return rules.refuse(call, call.compute(), "multiplies two activations and has no rule")


def _quotient(rules: Rules, call: Call, input: Any, other: Any, rounding_mode: str | None = None) -> Tensor:
    if with_gradient(other) or rounding_mode:
        return rules.refuse(call, call.compute(), "divides by an activation and has no rule")
    return _scaled(rules, call, input, 1 / torch.as_tensor(other, dtype=input.dtype))


SIGMOIDS = ("SigmoidBackward0", "HardsigmoidBackward0")
VIEWS = ("ViewBackward0", "ExpandBackward0", "UnsqueezeBackward0", "UnsafeViewBackward0", "ReshapeAliasBackward0")


def is_gate(factor: Tensor, other: Tensor) -> bool:
    """Whether `factor` holds one value per map or place of `other`, or is a sigmoid, but not of `other` (SiLU)."""
    if factor.numel() < other.numel():
        return True
    node: Any = factor.grad_fn
    while node is not None and node.name() in VIEWS:
        node = node.next_functions[0][0]
    return node is not None and node.name() in SIGMOIDS and node.next_functions[0][0] is not other.grad_fn


# ---------------------------------------------------------------- pooling and contrast normalization
def _max_pool(rules: Rules, call: Call, input: Tensor, *args: Any, **kwargs: Any) -> Any:
    if rules.method.pool == "add":
        return call.compute()
    with torch.no_grad():
        pooled, switches = WITH_SWITCHES[call.name](input, *args, **{**kwargs, "return_indices": True})
    y = Ruled.apply(input, lambda: pooled, lambda signal: overwrite(signal, switches, input))
    return (y, switches) if call.name.endswith("indices") else y


WITH_SWITCHES: dict[str, Callable[..., Any]] = {
    "max_pool2d": F.max_pool2d,
    "max_pool2d_with_indices": F.max_pool2d,
    "adaptive_max_pool2d": F.adaptive_max_pool2d,
    "adaptive_max_pool2d_with_indices": F.adaptive_max_pool2d,
}


def overwrite(signal: Tensor, switches: Tensor, x: Tensor) -> Tensor:
    """Every pooled value written at its switch, in scan order: where windows share a maximum the last one stays."""
    signal, switches = signal.flatten(2), switches.flatten(2)
    window = torch.arange(signal.shape[2], device=signal.device).expand_as(switches)
    last = switches.new_full((*x.shape[:2], x[0, 0].numel()), -1).scatter_reduce(2, switches, window, "amax")
    kept = signal * (last.gather(2, switches) == window)
    return signal.new_zeros(last.shape).scatter_add(2, switches, kept).view_as(x)


def _contrast_normalization(rules: Rules, call: Call, input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    if rules.method.norm == "exact":
        return call.compute()
    return Ruled.apply(input, call.compute, lambda signal: signal)


# ---------------------------------------------------------------- all of them
TREATMENTS: dict[str, Callable[..., Any]] = {  # (rules, call, the function's own arguments)
    **dict.fromkeys(BOUNDS, _rectifier),
    **dict.fromkeys(WITH_SWITCHES, _max_pool),
    **dict.fromkeys(("mul", "multiply"), _product),
    **dict.fromkeys(("div", "divide", "true_divide"), _quotient),
    **dict.fromkeys(("matmul", "rmatmul", "mm", "bmm", "einsum", "conv1d", "conv3d"), _bilinear),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), _bilinear),
    "conv2d": _convolution,
    "linear": _linear,
    "batch_norm": _batch_norm,
    "local_response_norm": _contrast_normalization,
}

LINEAR_NAMES = """
    add sub subtract rsub neg negative sum mean cat concat concatenate stack hstack getitem setitem get select narrow
    chunk split split_with_sizes tensor_split unbind index_select gather flatten unflatten ravel reshape
    view view_as reshape_as permute transpose swapaxes swapdims movedim moveaxis t adjoint squeeze unsqueeze expand
    expand_as repeat tile roll flip contiguous clone to type type_as float double half bfloat16 cpu cuda
    avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d
    max_pool1d max_pool3d adaptive_max_pool1d adaptive_max_pool3d pad interpolate unfold fold
    channel_shuffle native_channel_shuffle pixel_shuffle pixel_unshuffle
    dropout dropout1d dropout2d dropout3d feature_dropout
"""
LINEAR = frozenset(LINEAR_NAMES.split())  # all of which have the adjoint for their way back
