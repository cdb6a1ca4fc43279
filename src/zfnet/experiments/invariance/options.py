"""Options of stage invariance."""

from dataclasses import dataclass

from zfnet.core.options import number


@dataclass
class InvarianceOptions:
    """Stage invariance: how many images, and the ranges of the three transformations."""

    n_images: int = number(5, at_least=1)  # shown as curves [ZF13] Fig. 5
    n_score: int = number(200, at_least=1)  # measured, with intervals [our choice]
    translation: float = number(60.0, above=0)  # px at 224: -60 .. 60 [ZF13] Fig. 5, axis
    scale: float = number(1.8, above=1)  # 1 .. 1.8 [ZF13] Fig. 5, axis
    rotation: float = number(350.0, above=0, at_most=360)  # degrees: 0 .. 350 [ZF13] Fig. 5, axis
    steps: int = number(21, at_least=3)  # points a curve [NS]
    batch: int = number(128, at_least=1)
