"""Options of the network."""

from __future__ import annotations

from dataclasses import dataclass

from zfnet.core.options import choice, number

TRAINED = "trained"  # the profile's own network


@dataclass
class NetworkOptions:
    """The network that is looked at: the profile's own, or one that was trained elsewhere."""

    name: str = TRAINED  # trained, a folder of ours, a name of torchvision, timm:<name> or <module>:<function>
    weights: str = ""  # a checkpoint; empty: the library's own; `random`: a trial without meaning


@dataclass
class ModelOptions:
    name: str = "zfnet"  # a row of zfnet.networks.table.VARIANTS
    width: float = number(1.0, above=0, at_most=4)  # factor on all maps and units; the papers: 1
    dropout: float = number(0.5, at_least=0, at_most=0.95)  # after fc6 and fc7 [ZF13 3]
    init: str = choice("paper", "paper", "he", "gain")  # paper: N(0, 0.01), biases 0 [ZF13 3]; see ConvNet.initialise
