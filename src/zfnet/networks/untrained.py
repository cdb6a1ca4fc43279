"""A network as it was before training: the null control of what is said of the trained one.

Ours draw their initial weights as a training does. Of others only the architecture is known: convolutions and fully
connected layers get He's initialization with biases of zero, what else has `reset_parameters` its own.
"""

import copy
from dataclasses import replace

import torch
from torch import nn

from zfnet.networks.convnet import ConvNet
from zfnet.networks.network import Network

WEIGHTED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


def untrained(network: Network, init: str, seed: int) -> Network:
    """A copy with initial weights, whose `chooser` is the network itself.

    init: of ConvNet.initialize, for networks of ours. seed: draws the weights.
    """
    module = copy.deepcopy(network.module)
    if isinstance(module, ConvNet):
        module.initialize(init, seed)
    else:
        _reset(module, seed)
    return replace(network, module=module, title=f"{network.title}, initial weights", chooser=network)


def _reset(module: nn.Module, seed: int) -> None:
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        for part in module.modules():
            if isinstance(part, WEIGHTED):
                device, weight = part.weight.device, torch.empty(part.weight.shape, dtype=part.weight.dtype)
                part.weight.copy_(nn.init.kaiming_normal_(weight, nonlinearity="relu").to(device))
                if part.bias is not None:
                    part.bias.zero_()
            elif callable(reset := getattr(part, "reset_parameters", None)):
                reset()
