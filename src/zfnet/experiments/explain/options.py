"""Options of stage explain."""

from dataclasses import dataclass

from zfnet.core.options import number


@dataclass
class ExplainOptions:
    """Stage explain: every method on the photograph that the key `image` names."""

    square: float = number(0.22, above=0, at_most=0.9)  # side of the gray square / side of the crop
    places: int = number(15, at_least=2)  # of the square along each side of the crop
    n_images: int = number(256, at_least=2)  # training images for patterns, where stage patterns has not run
    batch: int = number(32, at_least=1)  # places of the square at once
