"""The receptive field of a unit of any model, found by running the model on shapes alone.

With k, s, p the kernel, stride and padding of a layer on top of a field,

    size <- size + (k - 1) stride        offset <- offset - p stride        stride <- stride s       (image: 1, 0, 1)

the unit at row i sees the rows offset + i * stride ... + size - 1. Where branches meet the field is the smallest that
holds theirs. A layer that looks at the whole map (fully connected, squeeze-and-excitation, ...) has the whole frame
for its field, and so has one whose field is no square, or that is not known to look at its own place only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from zfnet.attribution.walk import Call, Walk
from zfnet.core.errors import UserError


@dataclass(frozen=True)
class Field:
    """Rows (and columns) offset + i * stride ... + size - 1 of the image are what unit i sees.

    A stride of 0 is the whole frame, which every unit sees.
    """

    size: int = 1
    stride: int = 1
    offset: int = 0

    def above(self, kernel: int, stride: int, padding: int) -> Field:
        """The field of the units of a layer on top of this one."""
        size = self.size + (kernel - 1) * self.stride
        return Field(size, self.stride * stride, self.offset - padding * self.stride)

    def within(self, lower: Field) -> Field:
        """What these units see of a lower layer, whose units have the field `lower`."""
        size = (self.size - lower.size) // lower.stride + 1
        return Field(size, self.stride // lower.stride, (self.offset - lower.offset) // lower.stride)

    def start(self, places: Tensor) -> Tensor:
        """First row and column that the units at `places` (b, 2) see; negative in the padding."""
        return self.offset + self.stride * places


def receptive_field(model: nn.Module, layer: str, side: int) -> Field:
    """What a unit of `layer` sees of an image of `side` px; the whole frame where it is no square inside."""
    return survey(model, layer, (3, side, side)).field or Field(side, 0, 0)


# ---------------------------------------------------------------- the fields of a model, run on shapes alone
@dataclass(frozen=True)
class Step:
    """One call on the way from the image to a layer; `below` is its input's field and `shape` its rows and columns."""

    call: Call
    below: Field
    shape: Sequence[int]


class Survey:
    """A treatment that follows the fields of everything that depends on the image.

    field: of the layer's units, None where it is no square. steps: the calls in order, where they are a chain.
    """

    def __init__(self, constants: Mapping[int, Tensor]) -> None:
        self.constants = constants  # id of a tensor of shapes alone -> the model's own
        self.fields: dict[int, tuple[Tensor, Field | None]] = {}  # by id of the tensor, which is kept
        self.field: Field | None = None
        self.steps: list[Step] = []
        self.is_chain = True
        self.last = 0  # id of the last call's result

    def start(self, image: Tensor) -> Tensor:
        self.fields, self.steps, self.is_chain = {id(image): (image, Field())}, [], True
        self.last = id(image)
        return image

    def __call__(self, call: Call) -> Any:
        arguments = _tensors((*call.args, *call.kwargs.values()))
        inputs = [x for x in arguments if id(x) in self.fields]
        below = _union([self.fields[id(x)][1] for x in inputs])  # before work in place changes it
        is_alone = len(inputs) == 1 and inputs[0] is call.input
        result = _shape_of_result(call) if is_alone else call.compute()
        outputs = _tensors(call.input if call.is_in_place else result)  # x[...] = y returns nothing
        if inputs and outputs:
            self._extend(call, arguments, inputs, below)
            for y in outputs:
                self.fields[id(y)], self.last = (y, _above(call, below)), id(y)
        return result

    def _extend(self, call: Call, arguments: Sequence[Tensor], inputs: Sequence[Tensor], below: Field | None) -> None:
        constants = [x for x in arguments if id(x) not in self.fields]
        is_next = len(inputs) == 1 and inputs[0] is call.input and id(inputs[0]) == self.last
        self.is_chain &= is_next and below is not None and _can_be_windowed(call, constants)
        self.is_chain &= all(id(x) in self.constants or not x.is_meta for x in constants)
        if self.is_chain and below is not None:
            self.steps.append(Step(self._with_values(call), below, inputs[0].shape[2:]))

    def _with_values(self, call: Call) -> Call:
        """The call with the model's own weights in place of their shapes."""
        args = tuple(self.constants.get(id(value), value) for value in call.args)
        kwargs = {key: self.constants.get(id(value), value) for key, value in call.kwargs.items()}
        return replace(call, args=args, kwargs=kwargs)


def survey(model: nn.Module, layer: str, shape: Sequence[int]) -> Survey:
    """The fields up to `layer` for an image of this shape (c, h, w). Raises UserError where there is no such layer."""
    walk = Walk.of(model)
    own = {**dict(walk.module.named_parameters()), **dict(walk.module.named_buffers())}
    shapes = {name: value.detach().to("meta") for name, value in own.items()}
    record = Survey({id(shapes[name]): value for name, value in own.items()})
    dtype = next(walk.module.parameters(), torch.empty(0)).dtype
    image = torch.empty(1, *shape, dtype=dtype, device="meta")
    try:
        with torch.no_grad():
            output = walk.run(image, layer, record, lambda x: functional_call(walk.module, shapes, (record.start(x),)))
    except UserError:
        raise
    except Exception:  # it looks at values, or at tensors that are neither parameters nor buffers
        record.is_chain = False
        return record
    record.field = record.fields.get(id(output), (output, None))[1]
    record.is_chain &= id(output) == record.last
    return record


# ---------------------------------------------------------------- geometry of the calls
POINTWISE_NAMES = """
    relu relu6 hardtanh clamp clamp_min silu gelu elu leaky_relu sigmoid hardsigmoid hardswish tanh softplus mish
    batch_norm local_response_norm dropout dropout2d feature_dropout
    add sub rsub neg mul div clone contiguous to float double
"""
POINTWISE = frozenset(POINTWISE_NAMES.split())


@dataclass(frozen=True)
class Sliding:
    """A layer that slides over its map; what it sees outside is `fill`. unpadded: its arguments without padding."""

    kernel: int
    stride: int
    padding: int
    fill: float
    unpadded: tuple[Any, ...]
    is_ceil: bool = False  # of the number of windows
    is_uniform: bool = True  # at the borders it does the same as inside, on the padded map

    def above(self, side: int) -> int:
        """Number of windows along a side of the map."""
        room = side + 2 * self.padding - self.kernel
        if not self.is_ceil:
            return room // self.stride + 1
        last = -(-room // self.stride)
        return last + (last * self.stride < side + self.padding)  # a window that starts beyond the map is dropped


def sliding_layer(call: Call) -> Sliding | None:
    """None for other calls, and where kernel, stride, padding or dilation are not the same for rows and columns."""
    read = {"conv2d": _convolution, "max_pool2d": _max_pool, "avg_pool2d": _average_pool}.get(call.name)
    return None if read is None else read(*call.args, **call.kwargs)


def _convolution(
    input: Tensor, weight: Tensor, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
    groups: int = 1,
) -> Sliding | None:  # fmt: skip
    unpadded = (weight, bias, stride, 0, dilation, groups)
    return _make_sliding(tuple(weight.shape[2:]), stride, padding, dilation, 0.0, unpadded)


def _max_pool(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
    return_indices: bool = False,
) -> Sliding | None:  # fmt: skip
    unpadded = (kernel_size, stride, 0, dilation)
    sliding = _make_sliding(kernel_size, stride or kernel_size, padding, dilation, -torch.inf, unpadded)
    return None if return_indices else sliding and replace(sliding, is_ceil=ceil_mode)


def _average_pool(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: int | None = None,
) -> Sliding | None:  # fmt: skip
    unpadded = (kernel_size, stride, 0, False, True, divisor_override)
    sliding = _make_sliding(kernel_size, stride or kernel_size, padding, 1, 0.0, unpadded)
    return sliding and replace(sliding, is_ceil=ceil_mode, is_uniform=count_include_pad and not ceil_mode)


def _make_sliding(
    kernel: Any, stride: Any, padding: Any, dilation: Any, fill: float, unpadded: tuple[Any, ...]
) -> Sliding | None:
    sizes = []
    for value in (kernel, stride, padding, dilation):
        values = set(value) if isinstance(value, tuple | list) else {value}
        if len(values) > 1 or isinstance(value, str):
            return None
        sizes.append(int(values.pop()))
    return Sliding(sizes[3] * (sizes[0] - 1) + 1, sizes[1], sizes[2], fill, unpadded)


def _shape_of_result(call: Call) -> Any:
    """The result of a call whose only input without values is its first, without torch's slow search for its shape."""
    x, sliding = call.input, sliding_layer(call)
    if sliding is not None:
        maps = call.weight.shape[0] if call.name == "conv2d" else x.shape[1]
        return x.new_empty(len(x), maps, sliding.above(x.shape[2]), sliding.above(x.shape[3]))
    if call.name == "linear":
        return x.new_empty(*x.shape[:-1], call.weight.shape[0])
    is_alone = len(_tensors((*call.args, *call.kwargs.values()))) == 1 or call.name == "batch_norm"
    if not (is_alone and _is_pointwise(call)):
        return call.compute()
    return x if call.is_in_place else x.new_empty(x.shape)


def _above(call: Call, below: Field | None) -> Field | None:
    """The field of a call's result over the field of its inputs; None where it is no square."""
    sliding = sliding_layer(call)
    if below is not None and sliding is not None:
        return below.above(sliding.kernel, sliding.stride, sliding.padding)
    joins_maps = call.name == "cat" and (*call.args, *call.kwargs.values())[-1] in (1, -3)
    return below if _is_pointwise(call) or joins_maps else None


def _is_pointwise(call: Call) -> bool:
    """Whether a place of the result depends on that place alone; in training batch-norm and dropout are not so."""
    return call.name in POINTWISE and not call.kwargs.get("training")


def _can_be_windowed(call: Call, constants: Sequence[Tensor]) -> bool:
    sliding = sliding_layer(call)
    if sliding is not None:
        return sliding.is_uniform
    is_per_map = call.name == "batch_norm" or all(x.numel() == 1 or x.shape[-2:] == (1, 1) for x in constants)
    return _is_pointwise(call) and is_per_map


def _union(fields: Sequence[Field | None]) -> Field | None:
    """The smallest field that holds all of them, None where there is none."""
    known = [field for field in fields if field is not None]
    if len(known) < len(fields) or len({field.stride for field in known}) != 1:
        return None
    first = min(field.offset for field in known)
    end = max(field.offset + field.size for field in known)
    return Field(end - first, known[0].stride, first)


def _tensors(values: Any) -> list[Tensor]:
    if isinstance(values, Tensor):
        return [values]
    if not isinstance(values, tuple | list):
        return []
    return [tensor for value in values for tensor in _tensors(value)]
