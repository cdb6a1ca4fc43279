"""The figures of [K17]: signals and attributions side by side (Figs. 5, 6), rho by layer (3), degradation (4).

Signals keep the image's colors, x / (2 max |x|) + 1/2, so that mid grey is nothing; attributions are summed over
colors and drawn from blue (against the class) over white to red (for it), each picture by its own maximum.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from zfnet.attribution.engine import Backprojection, Target
from zfnet.attribution.patterns import Patterns
from zfnet.experiments.patterns.degradation import Attributions
from zfnet.experiments.patterns.signal_quality import ESTIMATORS
from zfnet.plots import chart, grid

TILE = 112  # px, about
TITLES = {"y": "left of w·x, as printed", "output": "left of the output"}
ESTIMATOR_LABELS = {"random": "random", "w": "S_w", "a": "S_a", "a+": "S_a±"}
METHOD_LABELS = {"gradient x input": "gradient × input", "w": "S_w", "a": "S_a", "a+": "PatternAttribution"}


def side_by_side(
    module: nn.Module, patterns: Patterns, inputs: Tensor, pictures: np.ndarray, names: Sequence[str], path: Path
) -> None:
    """One row an image: the image, then the predicted class as every method shows it. `names` label the classes."""
    with torch.inference_mode():
        confidence, classes = module(inputs).softmax(1).max(1)
    columns: dict[str, Sequence[np.ndarray]] = {"image": list(pictures)}
    for name, signal in _signals(module, patterns, inputs, classes).items():
        columns[name] = list(grid.contrast(signal.cpu().permute(0, 2, 3, 1).numpy()))
    maps = Attributions(module, patterns).maps(inputs, classes)
    for name, label in {"gradient x input": "grad. x input", "w": "S_w", "a": "S_a", "a+": "PatternAttr."}.items():
        columns[label] = [grid.signed_heatmap(m) for m in maps[name].cpu().numpy()]
    labels = [f"{names[k]} {p:.2f}" for k, p in zip(classes.tolist(), confidence.tolist(), strict=True)]
    scale = max(1, round(TILE / pictures.shape[1]))
    rows = list(zip(*columns.values(), strict=True))
    grid.write(path, grid.mosaic(rows, scale=scale, gap=4, row_labels=labels, column_labels=list(columns)))


def quality(numbers: Mapping[str, Any], path: Path) -> None:
    """rho by layer: `numbers` is target -> module name -> estimator -> measure."""
    panels = []
    for target, layers in numbers.items():
        series = []
        for estimator in ESTIMATORS:
            measures = [[layer[estimator][key] for key in ("value", "low", "high")] for layer in layers.values()]
            values, low, high = np.array(measures, dtype=float).T.tolist()  # null becomes nan
            series.append(chart.Series(ESTIMATOR_LABELS[estimator], range(1, len(values) + 1), values, low, high))
        panels.append(chart.Panel(TITLES[target], "layer, from the image", "rho (1: all signal removed)", series))
    chart.save(chart.lines(panels, columns=2), path)


def convergence(numbers: Mapping[str, Any], path: Path) -> None:
    """Mean rho over the layers against the images that v was fitted to: images -> estimator -> measure."""
    counts = [int(count) for count in numbers]
    series = []
    for estimator in ESTIMATORS:
        measures = [[of_count[estimator][key] for key in ("value", "low", "high")] for of_count in numbers.values()]
        values, low, high = np.array(measures, dtype=float).T.tolist()
        series.append(chart.Series(ESTIMATOR_LABELS[estimator], counts, values, low, high))
    panel = chart.Panel("", "images that v is fitted to", "rho, mean over layers", series, log_x=True)
    chart.save(chart.lines([panel]), path)


def degradation(numbers: Mapping[str, Any], counts: Sequence[int], path: Path) -> None:
    """p(predicted class) against the patches replaced, by method, the steepest named first."""
    order = sorted(numbers, key=lambda name: numbers[name]["area"]["value"])
    series = [chart.Series(METHOD_LABELS.get(name, name), counts, numbers[name]["curve"]) for name in order]
    panel = chart.Panel("", "patches replaced by their mean color", "p(predicted class)", series)
    chart.save(chart.lines([panel]), path)


def _signals(module: nn.Module, patterns: Patterns, inputs: Tensor, classes: Tensor) -> dict[str, Tensor]:
    """Method -> signal (b, 3, h, w)."""
    passes = {name: Backprojection(module, name) for name in ("gradient", "deconvnet", "guided")}
    passes["PatternNet a"] = Backprojection(module, "patternnet", patterns.kinds["a"])
    passes["PatternNet"] = Backprojection(module, "patternnet", patterns.kinds["a+"])
    return {name: projection.project(inputs, Target(classes)) for name, projection in passes.items()}
