"""Reading activations: the outputs of named modules while a network runs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

from torch import Tensor, nn


class _Enough(Exception):
    """All the modules that were asked for have run."""


def outputs(
    module: nn.Module, x: Tensor, names: Sequence[str], take: Callable[[Tensor], Tensor] = Tensor.clone
) -> dict[str, Tensor]:
    """Outputs of the modules called `names` (of its first call, where one is called several times) on inputs x.

    take: what is kept of an output as it passes; a copy by default, since the next module may be a ReLU that works in
    place. The run ends as soon as every name has been seen. Raises ValueError for a name that is not there.
    """
    known, kept = dict(module.named_modules()), {}
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise ValueError(f"no module {unknown[0]!r} in this network")

    def keep(name: str) -> Callable[[nn.Module, object, Tensor], None]:
        def hook(module: nn.Module, arguments: object, output: Tensor) -> None:
            if name not in kept:
                kept[name] = take(output)
            if len(kept) == len(set(names)):
                raise _Enough

        return hook

    hooks = [known[name].register_forward_hook(keep(name)) for name in set(names)]
    try:
        with contextlib.suppress(_Enough):
            module(x)
    finally:
        for hook in hooks:
            hook.remove()
    return {name: kept[name] for name in names}
