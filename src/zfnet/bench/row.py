"""One row of the benchmark, and the clock of all of them: ours and the peers' take turns, and medians are compared.

The machine's mood (other processes, heat) then falls on both alike, and a ratio stands where seconds would not.
"""

import time
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import torch

Result = TypeVar("Result")

ROUNDS = 5


def rate_row(name: str, ours: float, peer: float, unit: str, target: float, note: str) -> dict[str, Any]:
    """Ours and the peer's as rates: more is better; `target` is the ratio to reach."""
    return _row(name, ours, peer, unit, ours / peer, target, note)


def time_row(name: str, ours: float, peer: float, target: float, note: str) -> dict[str, Any]:
    """Ours and the peer's in seconds: less is better."""
    return _row(name, ours, peer, "s", peer / ours, target, note)


def size_row(name: str, ours: float, peer: float, target: float, note: str) -> dict[str, Any]:
    """Ours and the peer's in kilobytes: less is better."""
    return _row(name, ours, peer, "kB", peer / ours, target, note)


def limit_row(name: str, ours: float, limit: float, unit: str, note: str) -> dict[str, Any]:
    """Ours against the most that it may be."""
    return _row(name, ours, limit, unit, limit / max(ours, 1e-9 * limit), 1.0, note)


def _row(name: str, ours: float, peer: float, unit: str, ratio: float, target: float, note: str) -> dict[str, Any]:
    return {
        **{"name": name, "ours": ours, "peer": peer, "unit": unit},
        **{"ratio": ratio, "target": target, "holds": ratio >= target, "note": note},
    }


def in_turn(*runs: Callable[[], object], rounds: int = ROUNDS, warm_up: int = 1) -> list[float]:
    """Median seconds of each run over `rounds` rounds, in each of which all take their turn, after `warm_up` rounds."""
    return medians(*(lambda run=run: timed(run)[1] for run in runs), rounds=rounds, warm_up=warm_up)


def medians(*measures: Callable[[], float], rounds: int = ROUNDS, warm_up: int = 1) -> list[float]:
    """As `in_turn`, for measures that give their number (a rate, say) themselves."""
    values = [[measure() for measure in measures] for _ in range(warm_up + rounds)]
    return np.median(values[warm_up:], axis=0).tolist()


def timed(run: Callable[[], Result]) -> tuple[Result, float]:
    """What `run` returns, and its seconds; work left on a GPU is waited for."""
    start = time.perf_counter()
    result = run()
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return result, time.perf_counter() - start
