"""The stage `patterns`: [K17] Figs. 3, 4 and 6 on one network, and the toy of its section 2.

As the paper splits it: patterns from one random half of the training images, v of rho from the other half, and all
measurements on validation images, which neither has seen. All images are center crops.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from zfnet.attribution.patterns import KINDS, Moments, Patterns, estimate, fit, merge, save_patterns
from zfnet.core.progress import track
from zfnet.core.workers import ALONE, Workers
from zfnet.data.cache.images import Images
from zfnet.experiments.patterns import degradation, rho, signal_quality, toy
from zfnet.experiments.patterns import figure as patterns_figure
from zfnet.experiments.patterns.options import PatternsOptions
from zfnet.experiments.patterns.signal_quality import ESTIMATORS, Batches, Quality
from zfnet.networks.inputs import Inputs
from zfnet.networks.network import Network
from zfnet.networks.predict import center_batches
from zfnet.pipeline.record import Outcome, skipped

CHUNKS = 8  # of the images for the patterns, whatever the number of processes
PAPER_CROP = 224  # px, at which the patches are given
CONVERGENCE = (1 / 8, 1 / 4, 1 / 2)  # of the images that v is fitted to, at which rho is measured too
COMPARED = ("gradient x input", "a+")  # at every size of the patches


def run(
    options: PatternsOptions,
    network: Network,
    train: Images,
    images: Images,
    out: Path,
    seed: int,
    workers: Workers = ALONE,
) -> Outcome:
    """Patterns (saved as patterns.pt), rho by layer, image degradation, the methods side by side and the toy.

    Skipped where a half of the training images, or the validation images, are fewer than two.
    """
    if len(train) < 4 or len(images) < 2:
        return skipped(
            f"patterns need two images in each half of the training images and two of validation; there are "
            f"{len(train)} and {len(images)}"
        )
    module, batch = network.module, options.batch
    shuffled = np.random.default_rng([seed, 5]).permutation(len(train))
    first, second = np.split(shuffled, [(len(train) + 1) // 2])
    held_out = np.random.default_rng([seed, 6]).permutation(len(images))
    first = first[: options.n_images or None]
    fitted, measured = second[: options.n_measure], held_out[: options.n_measure]
    patterns = fit(module, _sum_moments(network, train, first, batch, workers))
    save_patterns(out / "patterns.pt", patterns)
    parts = [round(len(fitted) * share) for share in CONVERGENCE]
    fitting = _batches(network, train, fitted, batch, "rho: fitting on batch")
    measuring = _batches(network, images, measured, batch, "rho: measuring on batch")
    by_count = signal_quality.measure(module, patterns, fitting, measuring, options.n_neurons, seed, parts)
    qualities = by_count[max(by_count)]
    degraded = held_out[: options.n_degraded]
    side = _side(options.patch, network.inputs.crop)
    attributions = degradation.Attributions(module, patterns)
    setting = Setting(options, attributions, images, network.inputs, seed, workers)
    counts, curves = _degrade(setting, degraded, side)
    numbers: dict[str, Any] = {
        "n_images": len(first),
        "n_fitted": len(fitted),
        "n_measured": len(measured),
        **_quality_numbers(qualities, module, seed),
        "degradation": degradation.summarize(curves, counts, seed),
        "counts": counts,
        "patch": side,
        "n_degraded": len(degraded),
        "patch_sizes": _sweep(setting, held_out[: options.n_swept]),
        "convergence": {str(count): rho.mean_rho(of_count, seed) for count, of_count in by_count.items()},
        "toy": toy.measure(seed=seed) | {"turned_further": toy.turned_further(seed=seed).to_json()},
        "fallbacks": {kind: sum(patterns.fallbacks[kind].values()) for kind in KINDS},
    }
    figures = _draw(numbers, counts, out)
    figures |= _draw_methods(network, patterns, images, held_out[: options.n_shown], out)
    return Outcome(numbers, figures, _headline(numbers))


def _sum_moments(
    network: Network, images: Images, rows: np.ndarray, batch: int, workers: Workers
) -> dict[str, Moments]:
    """The moments over the rows: sums over at most `CHUNKS` chunks of whole batches, added in their order."""
    size = batch * math.ceil(len(rows) / (batch * CHUNKS))
    chunks = [(chunk, batch) for chunk in np.split(rows, range(size, len(rows), size))]
    moments: dict[str, Moments] = {}
    for of_chunk in track(workers.map(moments_of, chunks, network, images), "patterns, chunk", len(chunks)):
        moments = merge(moments, of_chunk)
    return {name: total.to(network.device) for name, total in moments.items()}


def moments_of(chunk: tuple[np.ndarray, int], network: Network, images: Images) -> dict[str, Moments]:
    """The moments over a chunk: its rows, and the images of a batch."""
    moments = estimate(network.module, center_batches(network, images, *chunk))
    return {name: total.to("cpu") for name, total in moments.items()}


def _batches(network: Network, images: Images, rows: np.ndarray, batch: int, what: str) -> Batches:
    return lambda: center_batches(network, images, rows, batch, what)


def _side(patch: float, crop: int) -> int:
    """Side in px of patches of `patch` px at 224."""
    return max(1, round(patch * crop / PAPER_CROP))


@dataclass(frozen=True)
class Setting:
    """What every measurement of the degradation shares."""

    options: PatternsOptions
    attributions: degradation.Attributions
    images: Images
    inputs: Inputs
    seed: int
    workers: Workers


def _sweep(setting: Setting, rows: np.ndarray) -> dict[str, Any]:
    """Side of the patches in px -> method -> its numbers, for the methods that are compared at every size."""
    by_side = {}
    for side in dict.fromkeys(_side(patch, setting.inputs.crop) for patch in setting.options.patch_sizes):
        counts, curves = _degrade(setting, rows, side, COMPARED)
        by_side[str(side)] = degradation.summarize(curves, counts, setting.seed) | {"counts": counts}
    return by_side


@dataclass(frozen=True)
class Asked:
    """A batch of images that lose patches of `side` px by some methods, all where none is named.

    random: scores (b, patches) of the random order. counts: how many patches have gone where curves are measured.
    """

    rows: np.ndarray
    random: Tensor
    side: int
    counts: list[int]
    methods: Sequence[str]


def _degrade(
    setting: Setting, rows: np.ndarray, side: int, methods: Sequence[str] = ()
) -> tuple[list[int], dict[str, np.ndarray]]:
    """The n at which curves are measured, and method -> curves (b, len(n)); of all methods where none is named."""
    options, crop = setting.options, setting.inputs.crop
    patches = degradation.cut(crop, crop, side)
    counts = degradation.same_share(patches, options.n_patches, options.patch, PAPER_CROP, options.points)
    generator = torch.Generator().manual_seed(setting.seed)
    asked = []
    for part in np.split(rows, range(options.batch, len(rows), options.batch)):
        random = torch.rand(len(part), patches.count, generator=generator)
        asked.append(Asked(part, random, side, counts, methods))
    curves = setting.workers.map(degrade, asked, setting.attributions, setting.images, setting.inputs)
    parts = list(track(curves, "degradation: batch", len(asked)))
    return counts, {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def degrade(
    asked: Asked, attributions: degradation.Attributions, images: Images, inputs: Inputs
) -> dict[str, np.ndarray]:
    """Method -> curves (b, counts) of a batch."""
    module = attributions.module
    x = inputs.center(images.frames(asked.rows)).to(next(module.parameters()).device)
    patches = degradation.cut(inputs.crop, inputs.crop, asked.side)
    orders = degradation.orders(x, attributions, patches, asked.random, asked.methods)
    return degradation.degrade(module, x, orders, patches, asked.counts)


def _quality_numbers(qualities: dict[str, Quality], module: nn.Module, seed: int) -> dict[str, Any]:
    by_target = rho.summarize(qualities, seed)
    enough = {name: q for name, q in qualities.items() if q.has_enough}
    hidden = [name for name in qualities if isinstance(module.get_submodule(name), nn.Linear)]
    if hidden and hidden[-1] == list(qualities)[-1]:  # it gives the scores and has no ReLU
        hidden.pop()
    dense = {name: q for name, q in enough.items() if name in hidden}
    return {
        "rho": by_target["y"],
        "rho_output": by_target["output"],
        "rho_differences": {target: _differences(enough, dense, target, seed) for target in signal_quality.TARGETS},
        "samples": {name: {"samples": q.n_samples, "inputs": q.n_inputs} for name, q in qualities.items()},
        "too_few_samples": [name for name in qualities if name not in enough],
        "n_constant": {name: q.n_constant for name, q in qualities.items()},
    }


def _differences(
    qualities: dict[str, Quality], dense: dict[str, Quality], target: str, seed: int
) -> dict[str, dict[str, Any]]:
    """Differences of rho between estimators over the layers with enough samples, and the fully connected of these."""
    return {
        "a+ above w": rho.advantage(qualities, "a+", "w", target, seed),
        "a above w": rho.advantage(qualities, "a", "w", target, seed),
        "w above random": rho.advantage(qualities, "w", "random", target, seed),
        "a+ above a, fully connected with ReLU": rho.advantage(dense, "a+", "a", target, seed),
    }


def _draw(numbers: dict[str, Any], counts: list[int], out: Path) -> dict[str, str]:
    patterns_figure.quality({"y": numbers["rho"], "output": numbers["rho_output"]}, out / "signal_quality.svg")
    patterns_figure.convergence(numbers["convergence"], out / "signal_quality_by_images.svg")
    patterns_figure.degradation(numbers["degradation"], counts, out / "degradation.svg")
    toy.draw(out / "toy.svg")
    methods = ", ".join(numbers["degradation"])
    return {
        "signal_quality.svg": f"Quality rho by layer of the signal estimators {', '.join(ESTIMATORS)}.",
        "signal_quality_by_images.svg": "Mean quality rho over the layers by the number of images that v was fitted "
        "to: it falls while there are few samples for each input.",
        "degradation.svg": f"Probability of the predicted class as patches turn plain, in the orders of {methods}.",
        "toy.svg": "Toy data in two dimensions: the weights turn with the distractor, the pattern stays on the signal.",
    }


def _draw_methods(network: Network, patterns: Patterns, images: Images, rows: np.ndarray, out: Path) -> dict[str, str]:
    frames, path = images.frames(rows), out / "patterns.png"
    pictures, names = network.inputs.center_pixels(frames), network.classes.names
    patterns_figure.side_by_side(network.module, patterns, network.center(frames), pictures, names, path)
    return {
        path.name: f"{len(rows)} validation images, and what of their predicted class gradient, deconvnet, guided "
        "back-propagation, PatternNet, gradient x input and PatternAttribution show."
    }


def _headline(numbers: dict[str, Any]) -> str:
    layers = [layer for layer in numbers["rho"].values() if layer["w"]["value"] is not None]
    quality = "no neuron varies"
    if layers:
        a, w = (np.mean([layer[estimator]["value"] for layer in layers]) for estimator in ("a+", "w"))
        quality = f"rho {a:.2f} for a+-, {w:.2f} for w"
    area = {name: values["area"]["value"] for name, values in numbers["degradation"].items()}
    return (
        f"{quality}; area under degradation {area['a+']:.2f} for "
        f"PatternAttribution, {area['gradient x input']:.2f} for gradient x input, {area['random']:.2f} at random"
    )
