"""The two-dimensional toy of [K17] 2 (Fig. 2): why a linear model's weights do not show where its signal is.

    x = a_s y + a_d eps        signal a_s = (1, 0), y uniform in [-1, 1]; distractor a_d, eps ~ N(0, 1)

The weights that read y off x must be orthogonal to the distractor, wherever the signal lies: they turn when a_d
turns. The pattern a = cov[x, y] / var(y) stays with the signal. For a_d = (1, 1) the optimum is w = (1, -1).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zfnet.core.statistics import Measure
from zfnet.plots import chart

SIGNAL = np.array([1.0, 0.0])
TURNS = (20.0, 45.0, 90.0, 135.0)  # degrees of a_d in the figure; 45 is the paper's (1, 1)
ALL_TURNS = tuple(range(5, 180, 10))  # measured: all directions alike but the signal's own
BOX = 1.6  # half the height of a panel, in data units
SHOWN = 150  # samples drawn


@dataclass(frozen=True)
class Toy:
    """Samples x (n, 2) and y (n,), and what is learnt from them."""

    x: np.ndarray
    y: np.ndarray
    distractor: np.ndarray  # (2,)
    w: np.ndarray  # (2,) least squares: w . x = y
    a: np.ndarray  # (2,) cov[x, w . x] / var(w . x)


def learn(distractor: np.ndarray, n: int, seed: int) -> Toy:
    """`n` samples, w by least squares and the pattern a. `distractor` (2,) must not be parallel to the signal."""
    rng = np.random.default_rng([seed, 2])
    y = rng.uniform(-1, 1, n)
    x = np.outer(y, SIGNAL) + np.outer(rng.normal(0, 1, n), distractor)
    w = np.linalg.lstsq(x, y, rcond=None)[0]
    guess = x @ w
    a = (x - x.mean(0)).T @ (guess - guess.mean()) / (n * guess.var())
    return Toy(x, y, distractor, w, a)


def angle(first: np.ndarray, second: np.ndarray) -> float:
    """Degrees between two directions, 0..90: their signs do not matter."""
    cosine = abs(first @ second) / np.linalg.norm(first) / np.linalg.norm(second)
    return float(np.degrees(np.arccos(min(1.0, cosine))))


def measure(turns: Sequence[float] = ALL_TURNS, n: int = 10_000, seed: int = 0) -> dict[str, Any]:
    """For every turn of the distractor: degrees from w and from a to the signal, and from w to the distractor."""
    toys = [learn(_direction(turn), n, seed) for turn in turns]
    return {
        "turns": list(turns),
        "w_to_signal": [angle(toy.w, SIGNAL) for toy in toys],
        "a_to_signal": [angle(toy.a, SIGNAL) for toy in toys],
        "w_to_distractor": [angle(toy.w, toy.distractor) for toy in toys],
    }


def turned_further(draws: int = 200, n: int = 1000, seed: int = 0) -> Measure:
    """Degrees that the weights lie further from the signal than the pattern, over random distractors and samples."""
    turns = np.random.default_rng([seed, 29]).uniform(5, 175, draws)
    toys = [learn(_direction(turn), n, seed + i) for i, turn in enumerate(turns)]
    further = [angle(toy.w, SIGNAL) - angle(toy.a, SIGNAL) for toy in toys]
    return Measure.bootstrapped(further, seed, "draws of the distractor and the data")


def draw(path: Path, turns: Sequence[float] = TURNS, n: int = 10_000, seed: int = 0) -> None:
    """Samples and the four directions, one panel a turn, as an SVG with equal scales on both axes."""
    panels = [_panel(learn(_direction(turn), n, seed), turn) for turn in turns]
    chart.save(chart.lines(panels, columns=2), path)


def _direction(turn: float) -> np.ndarray:
    """(cos, sin) times sqrt 2: (1, 1) at 45 degrees."""
    return np.sqrt(2) * np.array([np.cos(np.radians(turn)), np.sin(np.radians(turn))])


def _panel(toy: Toy, turn: float) -> chart.Panel:
    wide = BOX * chart.PLOT_WIDTH / chart.PLOT_HEIGHT
    x = toy.x[:SHOWN]
    x = x[(abs(x[:, 0]) < wide) & (abs(x[:, 1]) < BOX)]
    ray = np.array([-1.0, 1.0])
    series = [
        chart.Series("samples", x[:, 0].tolist(), x[:, 1].tolist(), dots=True),
        chart.Series("signal", (ray * wide).tolist(), [0.0, 0.0]),  # spans the panel, and so sets its scale
        chart.Series("distractor", *_through(toy.distractor, wide)),
        chart.Series("weights w", *_through(toy.w, wide, 0.0)),
        chart.Series("pattern a", *_through(toy.a, 1.0, 0.0)),
    ]
    return chart.Panel(f"distractor at {turn:g} degrees", "first input", "second input", series, (-BOX, BOX))


def _through(direction: np.ndarray, wide: float, start: float = -1.0) -> tuple[list[float], list[float]]:
    """The line along a direction, from -1 or 0 times to once as far as the panel reaches."""
    reach = min(wide / max(abs(direction[0]), 1e-9), BOX / max(abs(direction[1]), 1e-9))
    return [start * reach * direction[0], reach * direction[0]], [start * reach * direction[1], reach * direction[1]]
