"""The projection of a unit computed on its receptive field alone, exactly.

A unit of a convolutional layer sees a square of the image, and only there can its projection differ from zero. Where
the layers up to the unit are a chain of convolutions, pools and pointwise functions, each is run on such squares
without padding, so that a batch of units at different places has one shape. What lies outside the true map of a layer
is not what the layer would compute there but its padding: it is set to 0 before a convolution and to -inf before a
max-pool, on the way up and so also on the way back. The result equals the projection of the whole image, borders
included. Elsewhere (branches, padding by reflection, pools that overwrite, ...) the whole image is projected and cut.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from zfnet.attribution.engine import Backprojection, Target
from zfnet.attribution.fields import Field, Step, sliding_layer, survey
from zfnet.attribution.rules import Method
from zfnet.attribution.walk import Call, evaluation


def cut(images: Tensor, field: Field, places: Tensor, fill: float = 0.0) -> Tensor:
    """What the units at `places` (b, 2) see of their images (b, c, h, w): (b, c, size, size), `fill` outside."""
    rows, columns = _span(field, places)
    height, width = images.shape[2:]
    inside = _inside(rows, height)[:, None, :, None] & _inside(columns, width)[:, None, None, :]
    b = torch.arange(len(images), device=images.device)[:, None, None]
    y, x = rows.clamp(0, height - 1)[:, :, None], columns.clamp(0, width - 1)[:, None, :]
    return torch.where(inside, images.movedim(1, -1)[b, y, x].movedim(-1, 1), fill)


def project_window(
    model: nn.Module,
    images: Tensor,
    layer: str,
    units: Tensor,
    places: Tensor,
    method: Method | str = "deconvnet",
    patterns: Mapping[str, Tensor] | None = None,
) -> Tensor:
    """Projection of one activation per image, cut to its receptive field: (b, 3, size, size), 0 outside the image.

    images (b, 3, h, h), units (b,), places (b, 2) in `layer`. Equals `cut(project(...), field, places)`.
    """
    engine = Backprojection(model, method, patterns)
    places = torch.as_tensor(places, device=images.device)
    side = images.shape[-1]
    reach = survey(model, layer, images.shape[1:])
    field = reach.field or Field(side, 0, 0)
    if not reach.is_chain or field.size >= side or engine.method.pool == "overwrite":
        return cut(engine.project(images, Target(units, places), layer), field, places)
    with torch.inference_mode(False), torch.enable_grad():
        x = cut(images.detach().clone(), field, places).requires_grad_()
        signal = engine.backward(_replay(engine, reach.steps, field, places, x), x, Target(units))
    return _keep(signal, field, places, images.shape[2:])


def _replay(engine: Backprojection, steps: Sequence[Step], field: Field, places: Tensor, x: Tensor) -> Tensor:
    """The calls of a chain on squares x (b, c, size, size) of the image; the units' activations (b, c, 1, 1)."""
    treatment = engine.treatment() or Call.compute
    with evaluation(engine.walk.module):
        for step in steps:
            call = step.call.on(x)
            sliding = sliding_layer(call)
            if sliding is not None:
                x = _keep(x, field.within(step.below), places, step.shape, sliding.fill)
                call = replace(call, args=(x, *sliding.unpadded), kwargs={})
            x = treatment(call)
    return x


def _span(field: Field, places: Tensor) -> tuple[Tensor, Tensor]:
    """Rows and columns (b, size) of the squares; they may lie outside the map."""
    reach = torch.arange(field.size, device=places.device)
    start = field.start(places)
    return start[:, :1] + reach, start[:, 1:] + reach


def _inside(positions: Tensor, side: int) -> Tensor:
    return (positions >= 0) & (positions < side)


def _keep(x: Tensor, field: Field, places: Tensor, shape: Sequence[int], fill: float = 0.0) -> Tensor:
    """x (b, c, size, size) where its squares lie in the map of `shape`, `fill` where they do not."""
    rows, columns = _span(field, places)
    inside_rows, inside_columns = _inside(rows, shape[0]), _inside(columns, shape[1])
    if bool(inside_rows.all()) and bool(inside_columns.all()):
        return x
    return torch.where(inside_rows[:, None, :, None] & inside_columns[:, None, None, :], x, fill)
