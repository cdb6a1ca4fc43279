"""Early signs of a training that fails: units that never fire, a loss that is not finite or does not move."""

import math

import numpy as np
import torch
from torch import Tensor

from zfnet.core.errors import UserError
from zfnet.data.cache.images import Images
from zfnet.networks.network import Network

PROBED = 256  # images that a network is checked on
STUCK_STEPS = 2000  # after these a loss of ln(classes) will not move any more


@torch.inference_mode()
def dead_units(network: Network, images: Images) -> dict[str, float]:
    """Share of the maps or units of each hidden layer that fire nowhere on the first PROBED images."""
    x = _probe(network, images)
    shares, weights = {}, ""
    for name, module in network.module.named_children():
        x = x if name.startswith("drop") else module(x)
        weights = name if name.startswith(("conv", "fc")) else weights
        if name.startswith("relu"):
            largest = x.flatten(2).amax(dim=(0, 2)) if x.dim() == 4 else x.amax(dim=0)
            shares[weights] = float((largest <= 0).float().mean())
    return shares


def check_loss(network: Network, images: Images, loss: float, steps: int) -> None:
    """Raise UserError, naming a layer and what to try, for a mean loss that is not finite or has not moved."""
    if not math.isfinite(loss):
        raise UserError(not_finite(network, images))
    if steps >= STUCK_STEPS and loss > math.log(len(network.classes)) - 0.005:
        raise UserError(_stuck(network, images, loss))


@torch.no_grad()
def not_finite(network: Network, images: Images) -> str:
    """The message for a loss that is not finite, which names the first layer at fault."""
    x = _probe(network, images)
    for name, module in network.module.named_children():
        if any(not torch.isfinite(parameter).all() for parameter in module.parameters()):
            return f"train: the weights of {name} are not finite; try a lower train.lr or train.rms_radius=0.1"
        x = module(x)
        if not torch.isfinite(x).all():
            return f"train: the output of {name} is not finite; try a lower train.lr or train.divisor=64"
    return "train: the loss is not finite; try a lower train.lr"


@torch.no_grad()
def _stuck(network: Network, images: Images, loss: float) -> str:
    x, stds = _probe(network, images), {}
    for name, module in network.module.named_children():
        x = module(x)
        stds[name] = float(x.std())
    rectified = [name for name in stds if name.startswith("relu")] or list(stds)
    flattest = min(rectified, key=lambda name: stds[name])
    return (
        f"train: the loss stays at {loss:.3f} = ln(classes); the output of {flattest} hardly varies "
        f"(std {stds[flattest]:.1e}); try model.init=he, train.divisor=64 or a lower train.lr"
    )


def _probe(network: Network, images: Images) -> Tensor:
    return network.center(images.frames(np.arange(min(PROBED, len(images)))))
