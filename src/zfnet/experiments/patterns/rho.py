"""The numbers of rho: means by layer, by estimator, and differences, with bootstrap intervals over neurons."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from zfnet.core.statistics import Measure
from zfnet.experiments.patterns.signal_quality import ESTIMATORS, TARGETS, Quality


def summarize(qualities: Mapping[str, Quality], seed: int) -> dict[str, Any]:
    """Mean rho by target, layer and estimator, with bootstrap intervals over neurons."""
    return {
        target: {
            name: {e: _rho(row, seed) for e, row in zip(ESTIMATORS, q.rho[target], strict=True)}
            for name, q in qualities.items()
        }
        for target in TARGETS
    }


def mean_rho(qualities: Mapping[str, Quality], seed: int) -> dict[str, Any]:
    """Mean rho for y over the neurons of all layers, by estimator."""
    values = [q.rho["y"] for q in qualities.values()]
    return {e: _rho(np.concatenate([rho[i] for rho in values]), seed) for i, e in enumerate(ESTIMATORS)}


def advantage(qualities: Mapping[str, Quality], better: str, than: str, target: str, seed: int) -> dict[str, Any]:
    """rho of one estimator minus that of another, neuron by neuron, over all layers in `qualities`."""
    i, j = ESTIMATORS.index(better), ESTIMATORS.index(than)
    differences = [q.rho[target][i] - q.rho[target][j] for q in qualities.values()]
    return _rho(np.concatenate([np.zeros(0), *differences]), seed)


def _rho(values: np.ndarray, seed: int) -> dict[str, Any]:
    return Measure.bootstrapped(values, seed, "neurons").to_json()
