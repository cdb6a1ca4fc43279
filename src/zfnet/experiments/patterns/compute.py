"""The stage `patterns`: [K17] Figs. 3, 4 and 6 on one network, and the toy of its section 2.

As the paper splits it: patterns from one random half of the training images, v of rho from the other half, and all
measurements on validation images, which neither has seen. All images are centre crops.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from zfnet.attribution.patterns import KINDS, Patterns, center_inputs, estimate, fit, save_patterns
from zfnet.data.cache.images import ImageStore
from zfnet.experiments.patterns import degradation, signal_quality, toy
from zfnet.experiments.patterns import figure as patterns_figure
from zfnet.experiments.patterns.options import PatternsOptions
from zfnet.experiments.patterns.signal_quality import ESTIMATORS, Quality
from zfnet.networks.convnet import ConvNet
from zfnet.pipeline.record import Outcome

DENSE = "fc"  # how the names of fully connected modules begin


def run(
    config: PatternsOptions, model: ConvNet, train: ImageStore, images: ImageStore, out: Path, seed: int
) -> Outcome:
    """Patterns (saved as patterns.pt), rho by layer, image degradation, the methods side by side and the toy."""
    shuffled = np.random.default_rng([seed, 5]).permutation(len(train))
    first, second = np.split(shuffled, [(len(train) + 1) // 2])
    held_out = np.random.default_rng([seed, 6]).permutation(len(images))
    first = first[: config.n_images or None]
    patterns = fit(model, estimate(model, center_inputs(model, train, first, config.batch, "patterns: batch")))
    save_patterns(out / "patterns.pt", patterns)
    qualities = signal_quality.measure(
        model,
        patterns,
        lambda: center_inputs(model, train, second[: config.n_measure], config.batch, "rho: fitting on batch"),
        lambda: center_inputs(model, images, held_out[: config.n_measure], config.batch, "rho: measuring on batch"),
        config.n_neurons,
        seed,
    )
    counts, curves = _degrade(config, model, images, held_out[: config.n_degraded], patterns, seed)
    numbers: dict[str, Any] = {
        "n_images": len(first),
        "n_fitted": len(second[: config.n_measure]),
        "n_measured": len(held_out[: config.n_measure]),
        **_quality_numbers(qualities, seed),
        "degradation": degradation.summarise(curves, counts, seed),
        "counts": counts,
        "patch": _side(config, images.crop),
        "n_degraded": len(held_out[: config.n_degraded]),
        "toy": toy.measure(seed=seed),
        "fallbacks": {kind: sum(patterns.fallbacks[kind].values()) for kind in KINDS},
    }
    figures = _draw(numbers, counts, out)
    figures |= _draw_methods(model, patterns, images, held_out[: config.n_shown], out)
    return Outcome(numbers, figures, _headline(numbers))


def _side(config: PatternsOptions, crop: int) -> int:
    return max(1, round(config.patch * crop / 224))


def _degrade(
    config: PatternsOptions, model: ConvNet, images: ImageStore, rows: np.ndarray, patterns: Patterns, seed: int
) -> tuple[list[int], dict[str, np.ndarray]]:
    """The n at which curves are measured, and method -> curves (b, len(n))."""
    patches = degradation.cut(images.crop, images.crop, _side(config, images.crop))
    last = min(config.n_patches, patches.count)
    counts = np.unique(np.round(np.linspace(0, last, config.points + 1)).astype(int)).tolist()
    attributions = degradation.Attributions(model, patterns)
    generator = torch.Generator().manual_seed(seed)
    parts = []
    for inputs in center_inputs(model, images, rows, config.batch, "degradation: batch"):
        orders = degradation.orders(model, inputs, attributions, patches, generator)
        parts.append(degradation.degrade(model, inputs, orders, patches, counts))
    return counts, {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _quality_numbers(qualities: dict[str, Quality], seed: int) -> dict[str, Any]:
    by_target = signal_quality.summarise(qualities, seed)
    dense = {name: q for name, q in qualities.items() if name.startswith(DENSE)}
    return {
        "rho": by_target["y"],
        "rho_output": by_target["output"],
        "rho_differences": {
            target: {
                "a+ above w": signal_quality.advantage(qualities, "a+", "w", target, seed),
                "a above w": signal_quality.advantage(qualities, "a", "w", target, seed),
                "w above random": signal_quality.advantage(qualities, "w", "random", target, seed),
                "a+ above a, fully connected": signal_quality.advantage(dense, "a+", "a", target, seed),
            }
            for target in signal_quality.TARGETS
        },
        "n_constant": {name: q.n_constant for name, q in qualities.items()},
    }


def _draw(numbers: dict[str, Any], counts: list[int], out: Path) -> dict[str, str]:
    patterns_figure.quality({"y": numbers["rho"], "output": numbers["rho_output"]}, out / "signal_quality.svg")
    patterns_figure.degradation(numbers["degradation"], counts, out / "degradation.svg")
    toy.draw(out / "toy.svg")
    methods = ", ".join(numbers["degradation"])
    return {
        "signal_quality.svg": f"Quality rho by layer of the signal estimators {', '.join(ESTIMATORS)}.",
        "degradation.svg": f"Probability of the predicted class as patches turn plain, in the orders of {methods}.",
        "toy.svg": "Toy data in two dimensions: the weights turn with the distractor, the pattern stays on the signal.",
    }


def _draw_methods(
    model: ConvNet, patterns: Patterns, images: ImageStore, rows: np.ndarray, out: Path
) -> dict[str, str]:
    inputs = images.center(rows).to(next(model.parameters()).device)
    names, path = images.index.names, out / "patterns.png"
    patterns_figure.side_by_side(model, patterns, inputs, images.center_pixels(rows), names, path)
    return {
        path.name: f"{len(rows)} validation images, and what of their predicted class gradient, deconvnet, guided "
        "back-propagation, PatternNet, gradient x input and PatternAttribution show."
    }


def _headline(numbers: dict[str, Any]) -> str:
    rho = [np.mean([layer[e]["value"] for layer in numbers["rho"].values()]) for e in ("a+", "w")]
    areas = [numbers["degradation"][name]["area"]["value"] for name in ("a+", "gradient x input", "random")]
    return (
        f"rho {rho[0]:.2f} for a+-, {rho[1]:.2f} for w; area under degradation {areas[0]:.2f} for PatternAttribution, "
        f"{areas[1]:.2f} for gradient x input, {areas[2]:.2f} at random"
    )
