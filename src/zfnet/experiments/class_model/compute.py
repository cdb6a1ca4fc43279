"""[SVZ13] section 2: the image that a class score likes best.

    argmax_I  S_c(I) - lambda ||I||^2

S_c is the *unnormalised* score of class c, the weights are fixed, the start is the zero image (the network was
trained on zero-centred images), and the training set's mean image is added to the result. For comparison the same
with the posterior P_c, which [SVZ13] found worse: it also rises when the scores of other classes fall. Its logarithm
is ascended, the same direction without vanishing where P_c is small [NS]. Both are told in one number for the others,

    rivals = log of the sum over k != c of exp S_k,      log P_c / (1 - P_c) = S_c - rivals.

Step and regulariser are not in the paper [NS]. Ours do not depend on how inputs are scaled or how large the image
is; I is in pixel units, lambda = l2 / (3 h w):

    I <- I + lr (1 - t / T) g / rms(g),      g = d/dI [ S_c(I) - l2 mean(I^2) ],      t = 0 ... T - 1

A network may be dead around the zero image (no bias, or negative ones): while the score has no gradient the steps go
in one random direction [NS].
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zfnet.data.cache.images import ImageStore
from zfnet.experiments.class_model.options import ClassModelOptions
from zfnet.networks.convnet import ConvNet
from zfnet.pipeline.record import Outcome
from zfnet.plots.grid import fit, mosaic, write

TILE = 160  # px


def run(config: ClassModelOptions, model: ConvNet, images: ImageStore, out: Path, seed: int) -> Outcome:
    """The images of `n_classes` classes drawn at random, by score and by posterior, as one figure of two rows."""
    n_classes = min(config.n_classes, model.n_classes)
    classes = np.sort(np.random.default_rng([seed, 2]).permutation(model.n_classes)[:n_classes])
    names = [images.index.names[k] for k in classes]
    numbers: dict[str, Any] = {"classes": names, "lambda": config.l2 / (3 * images.crop**2)}
    rows = []
    for objective in ("score", "posterior"):
        inputs = ascend(model, torch.as_tensor(classes), images.crop, images.divisor, config, objective, seed)
        rows.append([fit(picture, TILE) for picture in images.to_pixels(inputs)])
        numbers[objective] = _reached(model, inputs, classes, images.divisor)
    numbers["start"] = _reached(model, torch.zeros_like(inputs), classes, images.divisor)
    write(out / "class_models.png", mosaic(rows, gap=4, row_labels=["score", "posterior"], column_labels=names))
    text = f"Images that maximise the score (above) and the posterior (below) of {', '.join(names)}."
    score, posterior = (float(np.mean(numbers[key]["score"])) for key in ("score", "posterior"))
    headline = f"mean score {score:.1f} by ascending the score, {posterior:.1f} by the posterior"
    return Outcome(numbers, {"class_models.png": text}, headline)


def ascend(
    model: ConvNet, classes: Tensor, crop: int, divisor: float, config: ClassModelOptions, objective: str, seed: int
) -> Tensor:
    """Network inputs (k, 3, crop, crop) that maximise the "score" or the "posterior" of each of `classes` (k,)."""
    weight = next(model.parameters())
    classes = classes.to(weight.device)
    noise = torch.randn((1, 3, crop, crop), generator=torch.Generator().manual_seed(seed)).to(weight)
    pixels = torch.zeros((len(classes), 3, crop, crop), dtype=weight.dtype, device=weight.device)
    for t in range(config.iterations):
        pixels.requires_grad_()
        scores = model(pixels / divisor)
        reached = scores if objective == "score" else scores.log_softmax(1)
        slope = torch.autograd.grad(reached.gather(1, classes[:, None]).sum(), pixels)[0]
        g = slope - 2 * config.l2 * pixels / pixels[0].numel()
        direction = torch.where(_rms(slope) > 0, g / _rms(g), noise)
        pixels = (pixels + config.lr * (1 - t / config.iterations) * direction).detach()
    return pixels / divisor


def _rms(x: Tensor) -> Tensor:
    return x.square().mean((1, 2, 3), keepdim=True).sqrt()


def _reached(model: ConvNet, inputs: Tensor, classes: np.ndarray, divisor: float) -> dict[str, Any]:
    with torch.inference_mode():
        scores = model(inputs)
    own = torch.as_tensor(classes, device=scores.device)[:, None]
    others = scores.scatter(1, own, -torch.inf)
    return {
        "score": scores.gather(1, own)[:, 0].tolist(),
        "posterior": scores.softmax(1).gather(1, own)[:, 0].tolist(),
        "rivals": others.logsumexp(1).tolist(),
        "rms": (inputs * divisor).square().mean((1, 2, 3)).sqrt().tolist(),
    }
