"""The table of backprojections: one row per method, one column per kind of layer.

Every method of the three papers sends a signal R from a unit back to the pixels through the layers that lead to it.
They differ only in what each kind of layer does to R ([SVZ13] 4; x is the layer's input, w its weights, a its
pattern):

    convolution, linear   R w^T                the transpose, no bias     gradient, deconvnet, guided
                          R a^T                where the signal lies      PatternNet           [K17] 4
                          R (w a)^T            what explains the output   PatternAttribution   [K17] 4
    ReLU, ReLU6           R 1(x passes)        the forward gate           gradient, both patterns
                          R 1(R > 0)           the rectified signal       deconvnet            [ZF13] 2.1
                          R 1(x passes) 1(R > 0)  both                    guided
    max-pooling           R to the place of the maximum (the "switch"), for all. Where overlapping windows share
                          a maximum [ZF13] is silent [NS]: "add" is the adjoint, "overwrite" keeps the last
                          window's value only.
    LRN                   "passed" unchanged, as in the ECCV text of [ZF13] and the authors' code of [K17];
                          "exact" is its derivative. For guided nobody says [NS]: as the deconvnet.
    batch-norm, product   y = s x + t, a neuron with one input: its weight s and, exactly, its pattern 1/s, which is
    with a constant       the same as folding it into the convolution below:  R s, PatternNet R / s,
                          PatternAttribution R. [K17] has none.
    gate                  a product with a sigmoid (squeeze-and-excitation) or with one value per map or place: the
                          gate is a constant [NS], and no signal goes into what computes it.
    average pooling, flatten, dropout, padding, addition, concatenation, ...: the adjoint, for all. An addition
                          sends R to both summands; [K17] has none, and a pattern 1/2 for each [NS] would change the
                          scale of a residual network's pictures and nothing else.

The start is the unit's own activation (deconvnet [ZF13] 2.1, patterns [K17]) or one (gradient [SVZ13] 3).
No ReLU follows the last filter on the way down, so every method can end in negative pixels.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

Rule = Callable[[Tensor, Tensor], Tensor]  # (R from above, where x passes) -> R below
Weights = Callable[[Tensor, Tensor], Tensor]  # (w, a) -> what is transposed on the way back


# ---------------------------------------------------------------- the rules
def forward_gate(signal: Tensor, gate: Tensor) -> Tensor:
    return signal * gate


def rectify(signal: Tensor, gate: Tensor) -> Tensor:
    return signal * (signal > 0)


def gate_and_rectify(signal: Tensor, gate: Tensor) -> Tensor:
    return signal * (gate & (signal > 0))


def pattern(w: Tensor, a: Tensor) -> Tensor:
    return a


def weight_times_pattern(w: Tensor, a: Tensor) -> Tensor:
    return w * a


# ---------------------------------------------------------------- the table
@dataclass(frozen=True)
class Method:
    """One row: what each kind of layer does to the signal. Change a cell with `dataclasses.replace`."""

    weights: Weights | None  # None: the layer's own
    relu: Rule
    pool: str  # "add" | "overwrite"
    norm: str  # "exact" | "passed"
    start: str  # "activation" | "one"

    @property
    def is_gradient(self) -> bool:
        """Whether it is the plain derivative, which every torch network has."""
        return (self.weights, self.relu, self.pool, self.norm) == (None, forward_gate, "add", "exact")


# fmt: off
METHODS: dict[str, Method] = {
    #                            convolution, linear   ReLU              max-pool LRN      start
    "gradient":           Method(None,                 forward_gate,     "add", "exact",  "one"),
    "deconvnet":          Method(None,                 rectify,          "add", "passed", "activation"),
    "guided":             Method(None,                 gate_and_rectify, "add", "passed", "one"),
    "patternnet":         Method(pattern,              forward_gate,     "add", "passed", "activation"),
    "patternattribution": Method(weight_times_pattern, forward_gate,     "add", "passed", "activation"),
}
# fmt: on
