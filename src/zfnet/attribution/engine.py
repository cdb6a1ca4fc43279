"""One forward and one backward pass through any torch network, by the rules of one method.

The model runs as it is (see `walk`); every torch function that it calls is treated as a layer of the table in `rules`
(see `layers`), and autograd does the rest. The plain gradient needs no treatment, so it is there for every network;
what another method has no rule for is refused by the name of its module. Nothing of the model is changed.

What is projected is a `Target`: per image one map (or several jointly) at one place (or at all places). All other
activations of the layer are zeroed, as [ZF13] 2.1 does, and the rest R is sent back:

    R = start * 1(unit in target),  start = the activation itself or one          image = backward(R)
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from zfnet.attribution.layers import Rules, refuse_custom_functions
from zfnet.attribution.rules import METHODS, Method
from zfnet.attribution.walk import Walk, weight_names
from zfnet.core.errors import UserError


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

    method: a name of `METHODS`, or a changed row. patterns: by module name, shaped as its weight ([K17] methods); a
    weight without a module of its own (a functional convolution's) goes by the parameter's name.
    """

    def __init__(self, model: nn.Module, method: Method | str, patterns: Mapping[str, Tensor] | None = None) -> None:
        self.method = METHODS[method] if isinstance(method, str) else method
        self.patterns = dict(patterns or {})
        self.walk = Walk.of(model)
        scripted = [name or "the model" for module, name in self.walk.names.items() if _is_scripted(module)]
        if scripted and not self.method.is_gradient:
            raise UserError(f"{scripted[0]}: is compiled by TorchScript, which hides its layers; only gradient sees it")

    def activations(self, images: Tensor, layer: str | None = None) -> Tensor:
        """Output of `layer` (None: the model's own output) for images (b, 3, h, w), differentiable by the rules.

        layer: a module's name; where it is called several times "name:2" is its second call.
        """
        return self.walk.run(images, layer, self.treatment())

    def treatment(self) -> Rules | None:
        """What computes the model's calls; None for the gradient, which needs none."""
        weights = weight_names(self.walk.module)
        return None if self.method.is_gradient else Rules(self.method, self.patterns, weights)

    def project(self, images: Tensor, target: Target, layer: str | None = None) -> Tensor:
        """The target's signal in the pixels of each image, (b, 3, h, w); `images` is left as it is.

        Raises UserError naming the module that the method has no rule for.
        """
        return next(self.project_each(images, [target], layer))

    def project_each(self, images: Tensor, targets: Sequence[Target], layer: str | None = None) -> Iterator[Tensor]:
        """The signal of each target as in `project`: one forward pass for all, one backward pass for each."""
        with torch.inference_mode(False), torch.enable_grad():
            x = images.detach().clone().requires_grad_()
            activations = self.activations(x, layer)
        for i, target in enumerate(targets, 1):
            with torch.inference_mode(False), torch.enable_grad():
                signal = self.backward(activations, x, target, keep=i < len(targets))
            yield signal

    def backward(self, activations: Tensor, x: Tensor, target: Target, keep: bool = False) -> Tensor:
        """The target's signal in x, of which `activations` were computed; keep: for another backward pass."""
        if not self.method.is_gradient:
            refuse_custom_functions([activations], "the last layer")
        start = activations.detach() if self.method.start == "activation" else 1.0
        return torch.autograd.grad(activations, x, target.mask(activations) * start, retain_graph=keep)[0]


def _is_scripted(module: nn.Module) -> bool:
    return isinstance(module, torch.jit.ScriptModule)


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
