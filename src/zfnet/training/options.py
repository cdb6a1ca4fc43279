"""Options of a training."""

from dataclasses import dataclass

from zfnet.core.options import choice, number


@dataclass
class TrainOptions:
    epochs: int = number(70, at_least=1)  # [ZF13 3]
    batch: int = number(128, at_least=1)  # images a step over all processes [ZF13 3]
    lr: float = number(0.01, above=0)  # at `reference_batch`, else scaled in proportion to the batch [ZF13 3]
    reference_batch: int = number(128, at_least=1)  # images a step for which `lr` is meant [ZF13 3]
    momentum: float = number(0.9, at_least=0, at_most=0.999)  # [ZF13 3]
    weight_decay: float = number(5e-4, at_least=0)  # [NS]; Krizhevsky's value
    schedule: str = choice("plateau", "plateau", "step", "cosine", "constant")  # plateau: annealed [ZF13 3]
    factor: float = number(0.1, above=0, at_most=1)  # of each annealing [NS]; Krizhevsky's value
    patience: int = number(3, at_least=1)  # epochs without a better validation error before annealing [NS]
    stop_after: int = number(0, at_least=0)  # plateaus that end the training, which has then converged [NS]; 0: never
    milestones: list[int] = number([30, 50, 60], at_least=1)  # epochs at which schedule=step anneals [NS]
    warmup_epochs: float = number(0.0, at_least=0)  # linear from 0; about 5 for batches over 1000 [our choice]
    divisor: float = number(1.0, above=0)  # input = (pixel - mean) / divisor; the papers: 1
    crops: str = choice("ten", "ten", "random")  # training crops: the fixed ten [ZF13 3] or any place
    rms_radius: float = number(0.1, at_least=0)  # filters are scaled back to this RMS, in units of pixels; 0: never
    precision: str = choice("auto", "auto", "fp32", "bf16")  # auto: bf16 where the device is fast at it
    snapshots: list[int] = number([1, 2, 5, 10, 20, 30, 40, 64], at_least=1)  # epochs kept for Fig. 4 [ZF13]
    seed: int = number(0, at_least=0)  # weights, order and crops


@dataclass
class CheckpointOptions:
    minutes: float = number(5.0, above=0)  # between checkpoints inside an epoch; there is one after every epoch
    keep: int = number(2, at_least=1)  # checkpoints kept
