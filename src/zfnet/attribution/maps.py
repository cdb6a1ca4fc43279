"""Maps of crops put back in their places in the frame ([SVZ13] 3.1)."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from zfnet.attribution.engine import Backprojection, Target
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

    The maps have the side of the network's own frame. crops: "ten" averages over the ten crops, "center" takes the
    center crop and leaves 0 around it. patterns: by module name, for the methods of [K17].
    """
    inputs = network.inputs
    if crops == "ten":
        views, places = inputs.ten_crops(frames), inputs.ten_places
    else:
        views, places = inputs.center(frames)[:, None], ((inputs.margin, inputs.margin, False),)
    units = torch.as_tensor(classes).repeat_interleave(len(places)).to(network.device)
    passes = Backprojection(network.module, method, patterns)
    signal = passes.project(views.flatten(0, 1).to(network.device), Target(units))
    maps = signal.abs().amax(1).unflatten(0, (len(frames), len(places))).float().cpu()
    total = torch.zeros((len(frames), inputs.frame, inputs.frame))
    covered = torch.zeros((inputs.frame, inputs.frame))
    for i, (top, left, mirrored) in enumerate(places):
        at = (..., slice(top, top + inputs.crop), slice(left, left + inputs.crop))
        total[at] += maps[:, i].flip(2) if mirrored else maps[:, i]
        covered[at] += 1
    return (total / covered.clamp(min=1)).numpy()
