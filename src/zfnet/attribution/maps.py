"""Maps of crops put back in their places in the frame ([SVZ13] 3.1)."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from zfnet.attribution.engine import Backprojection, Target
from zfnet.networks.inputs import Inputs
from zfnet.networks.network import Network


def saliency_maps(
    network: Network,
    frames: np.ndarray,
    classes: np.ndarray,
    method: str = "gradient",
    crops: str = "ten",
    patterns: Mapping[str, Tensor] | None = None,
) -> np.ndarray:
    """Maps M of the outputs `classes` (b,) for frames (b, s, s, 3) uint8: (b, frame, frame) float32, all at once.

    classes (b, k), k classes of each frame, give (b, k, frame, frame): one forward pass for all of them and one
    backward pass for each. The maps have the side of the network's own frame. crops: "ten" averages over the ten crops,
    "center" takes the center crop and leaves 0 around it. patterns: by module name, for the methods of [K17].
    """
    inputs = network.inputs
    if crops == "ten":
        views, places = inputs.ten_crops(frames), inputs.ten_places
    else:
        views, places = inputs.center(frames)[:, None], ((inputs.margin, inputs.margin, False),)
    units = torch.as_tensor(classes).repeat_interleave(len(places), 0).to(network.device)
    passes = Backprojection(network.module, method, patterns)
    targets = [Target(column) for column in units.reshape(len(units), -1).T]
    signals = passes.project_each(views.flatten(0, 1).to(network.device), targets)
    maps = torch.stack([_merge(signal.abs().amax(1), places, inputs) for signal in signals], 1).numpy()
    return maps if units.ndim == 2 else maps[:, 0]


def _merge(maps: Tensor, places: Sequence[tuple[int, int, bool]], inputs: Inputs) -> Tensor:
    """Mean (b, frame, frame) of the maps (b * n, crop, crop) of n crops at their places; 0 where no crop reaches."""
    views = maps.unflatten(0, (-1, len(places))).float().cpu()
    total = torch.zeros((len(views), inputs.frame, inputs.frame))
    covered = torch.zeros((inputs.frame, inputs.frame))
    for i, (top, left, mirrored) in enumerate(places):
        at = (..., slice(top, top + inputs.crop), slice(left, left + inputs.crop))
        total[at] += views[:, i].flip(2) if mirrored else views[:, i]
        covered[at] += 1
    return total / covered.clamp(min=1)
