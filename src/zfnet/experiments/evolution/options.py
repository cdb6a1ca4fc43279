"""Options of stage evolution."""

from dataclasses import dataclass

from zfnet.core.options import number


@dataclass
class EvolutionOptions:
    """How many feature maps are followed through the training, and over how many images."""

    n_maps: int = number(6, at_least=1)  # maps a layer shown, drawn at random [NS]
    n_measured: int = number(32, at_least=1)  # maps a layer measured, those shown among them [our choice]
    n_images: int = number(0, at_least=0)  # training images searched; 0: all, as the paper
    batch: int = number(256, at_least=1)
