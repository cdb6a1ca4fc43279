"""One forward pass through any torch module, seen call by call.

While the model runs, a function mode of torch sees every torch function that it calls, whether a module does it, a
function of `torch.nn.functional` or a tensor's method, and hands it as a `Call` to a treatment, which returns the
result. Hooks on all modules of the process, for the time of the pass, say which module is running. Nothing is traced:
modules used twice, control flow and work in place are what they are in any forward pass.

The model runs as in evaluation and without gradients of its parameters. So what carries a gradient during the pass
depends on the images, and what does not is a constant. Its flags are put back whatever happens.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode

from zfnet.core.errors import UserError
from zfnet.networks.network import unwrap


@dataclass(frozen=True)
class Call:
    """One call of a torch function by the running model."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    module: str  # name of the innermost module that is running, or the class of the whole model

    @property
    def name(self) -> str:
        """The function's name without the marks of operators and of work in place: relu for torch.relu_."""
        return self._name.strip("_")

    @property
    def is_in_place(self) -> bool:
        has_suffix = self._name.endswith("_") and not self._name.endswith("__")  # relu_, and add_ for x += 1
        return has_suffix or self.name == "setitem" or bool(self.kwargs.get("inplace"))

    @property
    def where(self) -> str:
        """For messages, e.g. "features.1 (silu)"."""
        return f"{self.module} ({self.name})"

    @property
    def input(self) -> Any:
        return self.args[0] if self.args else self.kwargs.get("input")

    @property
    def weight(self) -> Any:
        """Its second argument, which the functions of layers with weights call `weight`."""
        return self.args[1] if len(self.args) > 1 else self.kwargs.get("weight")

    def on(self, x: Tensor) -> Call:
        """The same call with x as its input."""
        rest = {key: value for key, value in self.kwargs.items() if key != "input"}
        return replace(self, args=(x, *self.args[1:]), kwargs=rest)

    def compute(self) -> Any:
        return self.function(*self.args, **self.kwargs)

    def signals(self) -> list[Tensor]:
        """Its arguments that depend on the images."""
        return with_gradient((*self.args, *self.kwargs.values()))

    @property
    def _name(self) -> str:
        return getattr(self.function, "__name__", str(self.function))


Treatment = Callable[[Call], Any]


def with_gradient(values: Any) -> list[Tensor]:
    """The tensors among `values`, or in tuples and lists among them, that carry a gradient."""
    if isinstance(values, Tensor):
        return [values] if values.requires_grad else []
    if not isinstance(values, tuple | list):
        return []
    return [tensor for value in values for tensor in with_gradient(value)]


@dataclass(frozen=True)
class Walk:
    """A model to run: `module` without the wrappers of DataParallel and torch.compile."""

    module: nn.Module
    names: dict[nn.Module, str] = field(default_factory=dict)
    uses: Counter[nn.Module] = field(default_factory=Counter)  # calls of each module in a pass, where counted

    @classmethod
    def of(cls, model: nn.Module) -> Walk:
        module = unwrap(model)
        return cls(module, {part: name for name, part in module.named_modules()})

    def run(
        self,
        images: Tensor,
        layer: str | None = None,
        treatment: Treatment | None = None,
        forward: Callable[[Tensor], Any] | None = None,
    ) -> Tensor:
        """Output of `layer` (None: the model's own) for images (b, 3, h, w), every call computed by `treatment`.

        layer: a module's name; "name:2" is the second call of a module that is called several times. Nothing above
        is computed. forward: what is called in place of the model.
        Raises UserError where there is no such layer, where it is called several times, or returns no tensor.
        """
        forward = forward or self.module
        wanted = None
        if layer is not None:
            module = self._find(layer)
            if not self.uses:
                with torch.no_grad():
                    self.uses.update(self._pass(images[:1], forward, treatment)[1])
            wanted = module, self._use(layer, module)
        output, _ = self._pass(images, forward, treatment, wanted)
        if not isinstance(output, Tensor):
            name = layer or type(self.module).__name__
            raise UserError(f"{name}: returns a {type(output).__name__}, not one tensor to project from")
        return output

    def _find(self, layer: str) -> nn.Module:
        modules = dict(self.module.named_modules(remove_duplicate=False))
        name = layer.partition(":")[0]
        if name not in modules:
            raise UserError(f"no layer {name}; there are {', '.join(filter(None, modules))}")
        return modules[name]

    def _use(self, layer: str, module: nn.Module) -> int:
        """Which call of the module `layer` means, from 1."""
        name, _, use = layer.partition(":")
        n_uses = self.uses[module]
        if n_uses > 1 and not use:
            choices = ", ".join(f"{name}:{i + 1}" for i in range(n_uses))
            raise UserError(f"{name} is called {n_uses} times: name one of {choices}")
        if not 1 <= int(use or 1) <= n_uses:
            raise UserError(f"{layer}: the model calls this module {n_uses} times; name one that it calls")
        return int(use or 1)

    def _pass(
        self,
        images: Tensor,
        forward: Callable[[Tensor], Any],
        treatment: Treatment | None,
        wanted: tuple[nn.Module, int] | None = None,
    ) -> tuple[Any, Counter[nn.Module]]:
        """One forward pass, ended by the wanted call of a module: its output, and how often each module was called."""
        running = [type(self.module).__name__]  # names of the modules that are running, the innermost last
        calls: Counter[nn.Module] = Counter()

        def enter(module: nn.Module, inputs: Any) -> None:
            running.append(self.names.get(module) or running[-1])

        def leave(module: nn.Module, inputs: Any, output: Any) -> None:
            running.pop()
            calls[module] += 1
            if (module, calls[module]) == wanted:
                raise _Reached(output)

        mode = nullcontext() if treatment is None else Treated(treatment, running)
        with evaluation(self.module), _hooks(enter, leave), mode:
            try:
                return forward(images.clone()), calls
            except _Reached as reached:
                return reached.output, calls


@contextmanager
def _hooks(enter: Callable[..., None], leave: Callable[..., None]) -> Iterator[None]:
    """Call `enter` before and `leave` after every call of a module in this process."""
    handles = [register_module_forward_pre_hook(enter), register_module_forward_hook(leave)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class _Reached(BaseException):
    """The wanted layer has been computed; no `except Exception` of the model catches it."""

    def __init__(self, output: Any) -> None:
        self.output = output


class Treated(TorchFunctionMode):
    """Within this context `treatment` computes every call; `running` ends with the name of the running module."""

    def __init__(self, treatment: Treatment, running: Sequence[str] = ("",)) -> None:
        super().__init__()
        self.treatment, self.running = treatment, running

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self.treatment(Call(function, args, kwargs or {}, self.running[-1]))


@contextmanager
def evaluation(model: nn.Module) -> Iterator[None]:
    """The model in evaluation mode, its parameters without gradients, compiled parts run as they were written."""
    training = [module for module in model.modules() if module.training]
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    is_compiled = any(
        hasattr(module, "_orig_mod") or getattr(module, "_compiled_call_impl", None) for module in model.modules()
    )
    try:
        for module in training:
            module.training = False
        for parameter in trained:
            parameter.requires_grad_(False)
        with torch.compiler.set_stance("force_eager") if is_compiled else nullcontext():
            yield
    finally:
        for module in training:
            module.training = True
        for parameter in trained:
            parameter.requires_grad_(True)


def weight_names(model: nn.Module) -> dict[int, str]:
    """id of a parameter -> the name of what it is the weight of: its module's, or its own where it is no `weight`."""
    return {id(parameter): name.removesuffix(".weight") for name, parameter in model.named_parameters()}
