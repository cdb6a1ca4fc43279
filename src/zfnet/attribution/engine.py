"""One forward and one backward pass through any torch convnet, by the rules of one method.

The model is traced once (torch.fx) into its list of operations; each is then computed through `layers`, whose
forward is the model's own and whose backward is the method's rule. No hook is set and nothing of the model is
written: not its weights, gradients or training flag. Modules used twice and in-place ReLUs are ordinary here.

What is projected is a `Target`: per image one map (or several jointly) at one place (or at all places). All other
activations of the layer are zeroed, as [ZF13] 2.1 does, and the rest R is sent back:

    R = start * 1(unit in target),  start = the activation itself or one          image = backward(R)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from zfnet.attribution.layers import FUNCTIONS, TENSOR_METHODS, apply_module, supported
from zfnet.attribution.rules import METHODS, Method
from zfnet.core.errors import UserError
from zfnet.networks.normalization import LocalResponseNorm


@dataclass(frozen=True)
class Target:
    """The units to project, image by image.

    units: an int (the same for every image), (b,) one map or unit per image, or (b, m): m of them jointly.
    places: None for every place of the map (and for layers without space), else (row, column), (b, 2) or (b, m, 2).
    """

    units: Tensor | int
    places: Tensor | tuple[int, int] | None = None

    def mask(self, activations: Tensor) -> Tensor:
        """1 at the target's activations, 0 elsewhere; shaped as the activations (b, c, ...)."""
        b = activations.shape[0]
        units = torch.as_tensor(self.units, device=activations.device).reshape(-1, 1) if self._is_single else self.units
        units = torch.as_tensor(units, device=activations.device).expand(b, -1)
        mask = torch.zeros_like(activations)
        rows = torch.arange(b, device=activations.device)[:, None]
        if self.places is None:
            mask[rows, units] = 1
            return mask
        if activations.ndim != 4:
            raise ValueError(f"a place needs a layer with maps, this one has shape {tuple(activations.shape)}")
        places = torch.as_tensor(self.places, device=activations.device)
        places = places.reshape(-1, 1, 2) if places.ndim < 3 else places
        places = places.expand(b, units.shape[1], 2)
        mask[rows, units, places[..., 0], places[..., 1]] = 1
        return mask

    @property
    def _is_single(self) -> bool:
        return isinstance(self.units, int) or self.units.ndim < 2


class Backprojection:
    """The backprojection of a model by one method, ready for any layer and target.

    method: a name of `METHODS`, or a changed row. patterns: per module name, shaped as its weight ([K17] methods).
    Raises UserError naming the operation that cannot be treated.
    """

    def __init__(self, model: nn.Module, method: Method | str, patterns: Mapping[str, Tensor] | None = None) -> None:
        self.method = METHODS[method] if isinstance(method, str) else method
        self.patterns = dict(patterns or {})
        self.graph = trace(model)
        self.modules = dict(model.named_modules())
        self.attributes = model

    def activations(self, images: Tensor, layer: str | None = None) -> Tensor:
        """Output of `layer` (None: the model's own output) for images (b, 3, h, w), differentiable by the rules."""
        last = find(self.graph, layer)
        needed = _ancestors(last)
        values: dict[fx.Node, Any] = {}
        for node in self.graph.nodes:
            if node in needed:
                values[node] = self._compute(node, values, images)
                if _is_in_place(node, self.modules):
                    values[node.all_input_nodes[0]] = values[node]
            if node is last:
                break
        return values[last]

    def project(self, images: Tensor, target: Target, layer: str | None = None) -> Tensor:
        """The target's signal in the pixels of each image, (b, 3, h, w); `images` is left as it is."""
        with torch.inference_mode(False), torch.enable_grad():
            x = images.detach().clone().requires_grad_()
            activations = self.activations(x, layer)
            start = activations.detach() if self.method.start == "activation" else 1.0
            return torch.autograd.grad(activations, x, target.mask(activations) * start)[0]

    def _compute(self, node: fx.Node, values: dict[fx.Node, Any], images: Tensor) -> Any:
        if node.op == "placeholder":
            return images
        if node.op == "get_attr":
            return _attribute(self.attributes, str(node.target))
        args: Any = fx.map_arg(node.args, values.__getitem__)
        kwargs: Any = fx.map_arg(node.kwargs, values.__getitem__)
        if node.op == "call_module":
            name = str(node.target)
            return apply_module(self.method, name, self.modules[name], args[0], self.patterns)
        return self._treatment(node)(self.method, *args, **kwargs)

    def _treatment(self, node: fx.Node) -> Any:
        table: Mapping[Any, Any] = FUNCTIONS if node.op == "call_function" else TENSOR_METHODS
        if node.target not in table:
            name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", node.target)
            raise UserError(f"{node.name} ({name}): cannot be projected through; supported are {supported()}")
        return table[node.target]


def project(
    model: nn.Module,
    images: Tensor,
    target: Target,
    layer: str | None = None,
    method: Method | str = "deconvnet",
    patterns: Mapping[str, Tensor] | None = None,
) -> Tensor:
    """Backprojection of `target` in `layer` to the pixels, shaped as images (b, 3, h, w). See `Backprojection`."""
    return Backprojection(model, method, patterns).project(images, target, layer)


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, qualified_name: str) -> bool:
        return isinstance(m, LocalResponseNorm) or super().is_leaf_module(m, qualified_name)


def trace(model: nn.Module) -> fx.Graph:
    """The model as a list of operations; UserError where its code decides by values and cannot be listed."""
    try:
        return _Tracer().trace(model)
    except (fx.proxy.TraceError, TypeError) as error:
        raise UserError(f"{type(model).__name__}: its forward cannot be traced by torch.fx ({error})") from error


def find(graph: fx.Graph, layer: str | None) -> fx.Node:
    """The operation that computes `layer`: a module's name, or an operation's where a module is used twice.

    A module with others inside stands for the last operation in it; None is the model's output.
    """
    nodes = list(graph.nodes)
    if layer is None:
        return nodes[-1].all_input_nodes[0]
    calls: dict[str, fx.Node] = {}
    for node in nodes:
        for call, (name, _) in (node.meta.get("nn_module_stack") or {}).items():
            if name == layer:
                calls[call] = node
    if len(calls) == 1:
        return next(iter(calls.values()))
    named = [node for node in nodes if node.name == layer]
    if named:
        return named[0]
    if calls:
        raise UserError(f"{layer} is used {len(calls)} times: name one of {', '.join(n.name for n in calls.values())}")
    raise UserError(f"no layer {layer}; there are {', '.join(str(n.target) for n in nodes if n.op == 'call_module')}")


def _ancestors(last: fx.Node) -> set[fx.Node]:
    needed, stack = {last}, [last]
    while stack:
        fresh = [node for node in stack.pop().all_input_nodes if node not in needed]
        needed.update(fresh)
        stack += fresh
    return needed


def _is_in_place(node: fx.Node, modules: Mapping[str, nn.Module]) -> bool:
    if node.op == "call_module":
        return bool(getattr(modules[str(node.target)], "inplace", False))
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    return node.op.startswith("call") and (str(name).endswith("_") or bool(node.kwargs.get("inplace")))


def _attribute(model: nn.Module, name: str) -> Any:
    value: Any = model
    for part in name.split("."):
        value = getattr(value, part)
    return value
