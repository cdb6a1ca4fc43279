"""[SVZ13] section 2: the image that a class score likes best.

    argmax_I  S_c(I) - lambda ||I||^2

S_c is the *unnormalized* score of class c, the weights are fixed, the start is the zero image (the network was
trained on zero-centered images), and the training set's mean image is added to the result. For comparison the same
with the posterior P_c, which [SVZ13] found worse: it also rises when the scores of other classes fall. One number
sums up the other classes,

    rivals = log of the sum over k != c of exp S_k,      log P_c / (1 - P_c) = S_c - rivals,

and the log-odds on the right are what is ascended for the posterior [NS]. They rise with P_c, and their gradient, that
of S_c minus that of the rivals, vanishes neither where P_c is small nor where it is near 1, so that the penalty weighs
on both climbs alike.

Is it by lowering the rivals that the posterior rises? The climb of the score raises it too, and the two end at
different scores. So the rivals are compared where both climbs have reached the same own score, the highest that both
reach: `rivals_higher_on_score`, the rivals on the way up the score minus those on the way up the posterior.

Step and regularizer are not in the paper [NS]. Ours do not depend on how inputs are scaled or how large the image
is; I is in pixel units (the network sees I / std), lambda = l2 / (3 h w):

    I <- I + lr (1 - t / T) g / rms(g),      g = d/dI [ S_c(I) - l2 mean(I^2) ],      t = 0 ... T - 1

A network may be dead around the zero image (no bias, or negative ones): while the score has no gradient the steps go
in one random direction [NS].
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zfnet.core.statistics import Measure
from zfnet.experiments.class_model.options import ClassModelOptions
from zfnet.networks.network import Network, class_names
from zfnet.pipeline.record import Outcome
from zfnet.plots.grid import fit, mosaic, write

FIGURE = "class_models.png"
TILE = 160  # px


def run(options: ClassModelOptions, network: Network, out: Path, seed: int) -> Outcome:
    """The images of `n_classes` classes drawn at random, by score and by posterior, as one figure of two rows."""
    drawn = np.random.default_rng([seed, 2]).permutation(len(network.classes))
    classes = np.sort(drawn[: options.n_classes])
    names = class_names(network.classes, classes.tolist())
    numbers: dict[str, Any] = {"classes": names, "lambda": options.l2 / (3 * network.inputs.crop**2)}
    rows, paths = [], {}
    for objective in ("score", "posterior"):
        inputs, paths[objective] = climb(network, torch.as_tensor(classes), options, objective, seed)
        rows.append([fit(picture, TILE) for picture in network.inputs.to_pixels(inputs)])
        numbers[objective] = _reached(network, inputs, classes)
    higher = rivals_at_equal_score(paths["score"], paths["posterior"])
    numbers["rivals_higher_on_score"] = Measure.bootstrapped(higher, seed, "classes").to_json()
    numbers["start"] = _reached(network, torch.zeros_like(inputs), classes)
    write(out / FIGURE, mosaic(rows, gap=4, row_labels=["score", "posterior"], column_labels=names))
    text = f"Images that maximize the score (above) and the posterior (below) of {', '.join(names)}."
    score, posterior = float(np.mean(numbers["score"]["score"])), float(np.mean(numbers["posterior"]["score"]))
    headline = f"mean score {score:.1f} by ascending the score, {posterior:.1f} by the posterior"
    return Outcome(numbers, {FIGURE: text}, headline)


def ascend(network: Network, classes: Tensor, options: ClassModelOptions, objective: str, seed: int) -> Tensor:
    """Network inputs (k, 3, crop, crop) that maximize the "score" or the "posterior" of each of `classes` (k,)."""
    return climb(network, classes, options, objective, seed)[0]


def climb(
    network: Network, classes: Tensor, options: ClassModelOptions, objective: str, seed: int
) -> tuple[Tensor, np.ndarray]:
    """(inputs of `ascend`, the path (iterations, 2, k): each class's own score and its rivals before every step)."""
    weight = next(network.module.parameters())
    crop, classes = network.inputs.crop, classes.to(weight.device)
    noise = torch.randn((1, 3, crop, crop), generator=torch.Generator().manual_seed(seed)).to(weight)
    path = []
    pixels = torch.zeros((len(classes), 3, crop, crop), dtype=weight.dtype, device=weight.device)
    for t in range(options.iterations):
        pixels.requires_grad_()
        scores = network.module(network.inputs.from_units(pixels))
        own, rivals = _own_and_rivals(scores, classes)
        path.append(torch.stack([own, rivals]).detach().double().cpu().numpy())
        reached = own if objective == "score" else own - rivals
        slope = torch.autograd.grad(reached.sum(), pixels)[0]
        g = slope - 2 * options.l2 * pixels / pixels[0].numel()
        direction = torch.where(_rms(slope) > 0, g / _rms(g), noise)
        pixels = (pixels + options.lr * (1 - t / options.iterations) * direction).detach()
    return network.inputs.from_units(pixels), np.stack(path)


def rivals_at_equal_score(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Rivals on the first path minus those on the second, (k,), at the highest own score that both reach.

    Paths are (steps, 2, k) as `climb` gives them; between two steps the rivals lie on a straight line.
    """
    level = np.minimum(first[:, 0].max(0), second[:, 0].max(0))
    return np.array([
        _rivals_at(first[:, :, k], level[k]) - _rivals_at(second[:, :, k], level[k]) for k in range(len(level))
    ])  # fmt: skip


def _rivals_at(path: np.ndarray, level: float) -> float:
    """The rivals where the own score of a path (steps, 2) first reaches `level`."""
    own, rivals = path.T
    step = int((own >= level).argmax())
    if step == 0:
        return float(rivals[0])
    share = (level - own[step - 1]) / (own[step] - own[step - 1])
    return float(rivals[step - 1] + share * (rivals[step] - rivals[step - 1]))


def _own_and_rivals(scores: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
    """The score (k,) of each row's class, and the log of the sum of the others' exponentials."""
    others = scores.scatter(1, classes[:, None], -torch.inf)
    return scores.gather(1, classes[:, None])[:, 0], others.logsumexp(1)


def _rms(x: Tensor) -> Tensor:
    return x.square().mean((1, 2, 3), keepdim=True).sqrt()


def _reached(network: Network, inputs: Tensor, classes: np.ndarray) -> dict[str, Any]:
    """Scores, posteriors, rivals and size (RMS in pixel units) of the images, by class."""
    with torch.inference_mode():
        scores = network.scores(inputs)
    labels = torch.as_tensor(classes, device=scores.device)
    own, rivals = _own_and_rivals(scores, labels)
    return {
        "score": own.tolist(),
        "posterior": scores.softmax(1).gather(1, labels[:, None])[:, 0].tolist(),
        "rivals": rivals.tolist(),
        "rms": network.inputs.to_units(inputs).square().mean((1, 2, 3)).sqrt().tolist(),
    }
