"""Reading activations: the inputs and outputs of named modules while a network runs."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

Visitor = Callable[[Tensor, Tensor], None]  # takes the input and the output of a module
WHOLE = ""  # the name of a network among its own modules


class _Enough(Exception):
    """All the modules that were asked for have run."""


def visit(module: nn.Module, x: Tensor, visitors: Mapping[str, Visitor]) -> None:
    """Run `module` on inputs x, with each visitor called once: when the module of its name first runs.

    The run ends as soon as every visitor was called; a visitor whose module never runs is not called. Tensors are
    handed over as they are: the next module may be a ReLU that works in place, so that what is kept must be copied.
    Raises ValueError for a name that is not there.
    """
    modules = dict(module.named_modules())
    unknown = sorted(set(visitors) - set(modules))
    if unknown:
        raise ValueError(f"no module {unknown[0]!r} in this network")
    visited: set[str] = set()

    def calling(name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def hook(module: nn.Module, arguments: Any, output: Tensor) -> None:
            if name not in visited:
                visited.add(name)
                visitors[name](arguments[0], output)
            if len(visited) == len(visitors):
                raise _Enough

        return hook

    hooks = [modules[name].register_forward_hook(calling(name)) for name in visitors]
    try:
        with contextlib.suppress(_Enough):
            module(x)
    finally:
        for hook in hooks:
            hook.remove()


def outputs(
    module: nn.Module, x: Tensor, names: Sequence[str], take: Callable[[Tensor], Tensor] = Tensor.clone
) -> dict[str, Tensor]:
    """Outputs of the modules called `names` (of its first call, where one is called several times) on inputs x.

    take: what is kept of an output as it passes; a copy by default, since the next module may be a ReLU that works in
    place. The run ends as soon as every name has been seen. Raises ValueError for a name that is not there.
    """
    kept: dict[str, Tensor] = {}

    def keeping(name: str) -> Visitor:
        def keep(inputs: Tensor, output: Tensor) -> None:
            kept[name] = take(output)

        return keep

    visit(module, x, {name: keeping(name) for name in names})
    return {name: kept[name] for name in names}
