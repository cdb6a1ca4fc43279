"""Options of stage explain."""

from __future__ import annotations

from dataclasses import dataclass

from zfnet.core.options import choice, number
from zfnet.networks.options import NETWORKS, TRAINED


@dataclass
class ExplainOptions:
    """Stage look: the photograph is the key `image`."""

    network: str = choice(TRAINED, *NETWORKS)  # the profile's own, or torchvision's
    weights: str = ""  # of torchvision's network: a state dict; empty: torchvision's own; `random`: a trial
    square: float = number(0.22, above=0, at_most=0.9)  # side of the grey square / side of the crop
    places: int = number(15, at_least=2)  # of the square along each side of the crop
    n_images: int = number(256, at_least=2)  # training images for patterns, where stage patterns has left none
    batch: int = number(32, at_least=1)  # places of the square at once
