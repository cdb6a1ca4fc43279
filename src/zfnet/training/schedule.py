"""The learning rate as a function of the configuration, the epoch and the validation errors so far.

[ZF13] 3: "starting with a learning rate of 10^-2, in conjunction with a momentum term of 0.9. We anneal the learning
rate throughout training manually when the validation error plateaus." Here `plateau` does by rule what they did by
hand: after `patience` epochs without a better validation error the rate is multiplied by `factor`. A training has
*converged* when the validation error has stopped falling: when it reaches the plateau number `stop_after`, so that
even a rate that has been lowered `stop_after - 1` times brings no better error. It ends there [our choice: NS].

`lr` is the rate at `reference_batch` images a step, 128 as in the paper; at other batches it is scaled in proportion
(Goyal et al. 2017), which large ones bear after a linear warm-up over the first `warmup_epochs`.
"""

import math
from collections.abc import Sequence

from zfnet.training.options import TrainOptions


def learning_rate(config: TrainOptions, epoch: float, errors: Sequence[float]) -> float:
    """Learning rate at `epoch` (fractional: 2.5 is half-way through the third), given the validation errors so far."""
    rate = config.lr * config.batch / config.reference_batch
    if config.schedule == "plateau":
        rate *= config.factor ** count_plateaus(errors, config.patience)
    elif config.schedule == "step":
        rate *= config.factor ** sum(epoch >= milestone for milestone in config.milestones)
    elif config.schedule == "cosine":
        rate *= 0.5 * (1 + math.cos(math.pi * min(1.0, epoch / config.epochs)))
    if epoch < config.warmup_epochs:
        rate *= (epoch + 1e-3) / config.warmup_epochs
    return rate


def has_converged(config: TrainOptions, errors: Sequence[float]) -> bool:
    """Whether the validation errors, one an epoch, have stopped falling by the rule of `stop_after`."""
    has_rule = config.schedule == "plateau" and config.stop_after > 0
    return has_rule and count_plateaus(errors, config.patience) >= config.stop_after


def count_plateaus(errors: Sequence[float], patience: int) -> int:
    """Number of times that `patience` epochs in a row brought no lower error than the best before."""
    best, waited, plateaus = math.inf, 0, 0
    for error in errors:
        waited = 0 if error < best else waited + 1
        best = min(best, error)
        if waited == patience:
            plateaus, waited = plateaus + 1, 0
    return plateaus
