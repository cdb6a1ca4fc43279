"""Options of stage class_model."""

from dataclasses import dataclass

from zfnet.core.options import number


@dataclass
class ClassModelOptions:
    """How many classes are shown, and the ascent of each."""

    n_classes: int = number(9, at_least=1)
    iterations: int = number(150, at_least=1)  # [NS]
    lr: float = number(2.0, above=0)  # RMS of the first step, in pixel units; falls to 0 linearly [NS]
    l2: float = number(0.01, at_least=0)  # weight of the mean squared pixel; lambda = l2 / (3 h w) [NS]
