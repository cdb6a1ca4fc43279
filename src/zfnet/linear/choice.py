"""The choice of C [NS]: the value with the best score on held-out training images, on a grid that grows.

Values are tried in ascending order, as the minimizer at one C is a good start for the next. While the best lies at an
end, the next decade beyond is tried too, at most DECADES at either end. Of equal scores the smaller C is chosen.
"""

from collections.abc import Callable, Sequence

from torch import Tensor

DECADES = 2  # beyond either end of the grid
Trial = Callable[[float, Tensor | None], tuple[float, Tensor]]  # (C, a start or None) -> (score, minimizer)


def choose(grid: Sequence[float], trial: Trial) -> float:
    """The C with the highest score; the only value of a grid of one, untried."""
    values = sorted(grid)
    if len(values) == 1:
        return values[0]
    scores, first, v = {}, None, None
    for c in values:
        scores[c], v = trial(c, v)
        first = v if first is None else first
    for factor, start in ((10.0, v), (0.1, first)):
        for _ in range(DECADES):
            c = _best(scores)
            if c != (max(scores) if factor > 1 else min(scores)):
                break
            scores[c * factor], start = trial(c * factor, start)
    return _best(scores)


def _best(scores: dict[float, float]) -> float:
    return max(sorted(scores), key=lambda c: scores[c])
