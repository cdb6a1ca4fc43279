"""Options of stage explain."""

from dataclasses import dataclass

from zfnet.core.options import number


@dataclass
class ExplainOptions:
    """Stage explain: every method on the photograph, or on those of the folder, that the key `image` names."""

    target: str = ""  # class that is explained: its name, id or number; empty: the likeliest
    layer: int = number(0, at_least=0)  # whose strongest maps are shown; 0: the strongest map of each layer
    unit: int = number(-1, at_least=-1)  # map of that layer, shown at its strongest places; -1: the strongest maps
    square: float = number(0.22, above=0, at_most=0.9)  # side of the gray square / side of the crop
    places: int = number(15, at_least=2)  # of the square along each side of the crop
    n_images: int = number(256, at_least=2)  # training images for patterns, where stage patterns has not run
    batch: int = number(32, at_least=1)  # places of the square at once
