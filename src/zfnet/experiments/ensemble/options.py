"""Options of stage ensemble."""

from dataclasses import dataclass

from zfnet.core.options import number


@dataclass
class EnsembleOptions:
    seeds: list[int] = number([1, 2, 3, 4], at_least=0, distinct=True)  # beside train.seed: five [ZF13] Table 2
    wide: bool = True  # and one with layers 3, 4, 5 = 512, 1024, 512: net (b) [ZF13] Table 2
