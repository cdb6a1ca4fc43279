"""Options of stage saliency."""

from dataclasses import dataclass

from zfnet.core.options import choice, number


@dataclass
class SaliencyOptions:
    """How many images are shown and measured, and the crops that a map is averaged over."""

    n_images: int = number(8, at_least=1)  # shown
    n_score: int = number(300, at_least=1)  # measured against the boxes [our choice]
    crops: str = choice("ten", "ten", "center")  # maps averaged over ten crops [SVZ13 3.1]
    batch: int = number(32, at_least=1)
