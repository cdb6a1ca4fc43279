"""Options of stage occlusion."""

from dataclasses import dataclass

from zfnet.core.options import choice, number


@dataclass
class OcclusionOptions:
    square: int = number(50, at_least=1)  # px of the crop, side of the gray square [NS]
    stride: int = number(6, at_least=1)  # px of the crop between places [NS]
    n_images: int = number(3, at_least=1)  # shown [ZF13] Fig. 7
    n_score: int = number(50, at_least=1)  # scored against the boxes [our choice]
    gray: str = choice("mean", "mean", "128")  # color of the square [NS]; mean: 0 after mean subtraction
    batch: int = number(64, at_least=1)  # places at once; larger ones thrash a CPU's memory
