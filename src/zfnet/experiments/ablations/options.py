"""Options of stage ablations."""

from dataclasses import dataclass, field

from zfnet.core.options import number


@dataclass
class AblationsOptions:
    rows: list[str] = field(default_factory=list)  # of Table 3, and zfnet-noclip; empty: all
    paperscale_epochs: int = number(0, at_least=0)  # of two rows at the paper's input scale, Fig. 6a; 0: none
    epochs: int = number(0, at_least=0)  # 0: as train.epochs
    n_classes: int = number(0, at_least=0)  # the first classes in order; 0: all
    seeds: list[int] = number([0], at_least=0, nonempty=True, distinct=True)  # one training each
