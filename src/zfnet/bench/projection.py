"""Side by side: projections on receptive fields against Captum on the whole image, top-9 and pattern estimation
against the forward pass, and whether memory stays flat.

Each row runs ours and the peer in turn and compares medians; ratio > 1 means ours is better. The network is the
ZF-net at 224 px with random weights, 16 images (layers) or 32 (top-9, patterns). Estimating patterns sums x g over
the samples of every layer for three g, each as many multiplications as the forward pass: it cannot be faster than a
quarter of it. Memory is watched over 200 steps of a small network.
"""

from typing import Any

import torch
from torch import Tensor, nn

from zfnet.attribution.engine import Backprojection, Target
from zfnet.attribution.incremental import Occluder, respond
from zfnet.attribution.patterns import estimate
from zfnet.attribution.strongest import Strongest, update
from zfnet.attribution.window import project_window
from zfnet.bench.memory import STEPS, memory_row
from zfnet.bench.row import ROUNDS, in_turn, rate_row
from zfnet.networks.convnet import ConvNet, build
from zfnet.networks.walk import Visitor, visit

TARGETS = {5: 2.0, 4: 5.0, 3: 10.0, 2: 50.0}  # layer -> times as fast as Captum
OVERHEAD = 0.10  # of the forward, for the search of the nine strongest
ESTIMATION = 1 / 4  # of the forward's speed: what the multiplications alone allow


def rows(quick: bool = False) -> list[dict[str, Any]]:
    """The rows of the benchmark: {name, ours, peer, unit, ratio, target, holds, note}."""
    torch.manual_seed(0)
    model = build("zfnet", 10 if quick else 1000, 224).eval()
    model.initialize("he", 0)
    images, rounds = torch.randn(2 if quick else 32, 3, 224, 224), 1 if quick else ROUNDS
    layers = [_projection(model, images[:16], n, target, rounds) for n, target in TARGETS.items()]
    return [*layers, _top9(model, images, rounds), _patterns(model, images, rounds), *_memory(4 if quick else STEPS)]


def _projection(model: ConvNet, images: Tensor, n: int, target: float, rounds: int) -> dict[str, Any]:
    layer, b = f"relu{n}", len(images)
    units, places = torch.randint(0, 96, (b,)), torch.randint(0, 13, (b, 2))
    modules = dict(model.named_children())
    below = nn.Sequential(*list(modules.values())[: list(modules).index(layer) + 1])
    ours, theirs = in_turn(
        lambda: project_window(model, images, layer, units, places),
        lambda: captum_deconvolution(below, images, units, places),
        rounds=rounds,
    )
    note = "receptive field only, against captum.attr.Deconvolution on the whole image; forward included"
    return rate_row(f"projection of layer {n}", b / ours, b / theirs, "images/s", target, note)


def captum_deconvolution(below: nn.Module, images: Tensor, units: Tensor, places: Tensor) -> Tensor:
    """Captum's projection of `units` (b,) at `places` (b, 2) in the output of `below`, on whole images (b, 3, h, w)."""
    import warnings

    from captum.attr import Deconvolution

    targets = [(unit, *place) for unit, place in zip(units.tolist(), places.tolist(), strict=True)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Deconvolution(below).attribute(images.clone().requires_grad_(), target=targets)


def _top9(model: ConvNet, images: Tensor, rounds: int) -> dict[str, Any]:
    layers, b = list(model.feature_maps.values()), len(images)
    best: dict[str, Strongest] = {}
    seen = 0

    def keeping(layer: str) -> Visitor:
        def keep(inputs: Tensor, maps: Tensor) -> None:
            best[layer] = update(best.get(layer), maps, torch.arange(seen, seen + b), 9)

        return keep

    def search() -> None:
        nonlocal seen
        with torch.inference_mode():
            visit(model, images, {layer: keeping(layer) for layer in layers})
        seen += b

    def forward_alone() -> None:
        with torch.inference_mode():
            model.upto(images, layers[-1])

    ours, forward = in_turn(search, forward_alone, rounds=rounds)
    return {
        "name": "top-9 of all maps",
        **{"ours": b / ours, "peer": b / forward, "unit": "images/s", "ratio": forward / ours},
        **{"target": 1 / (1 + OVERHEAD), "holds": ours <= forward * (1 + OVERHEAD)},
        "note": f"search of every map of layers 1-5 against the forward pass alone: {ours / forward - 1:+.1%}",
    }


def _patterns(model: ConvNet, images: Tensor, rounds: int) -> dict[str, Any]:
    def forward() -> Tensor:
        with torch.inference_mode():
            return model(images)

    ours, theirs = in_turn(lambda: estimate(model, [images]), forward, rounds=rounds)
    note = "patterns a, a+ and a- of every layer, against the forward pass of the same network; target: FLOP bound"
    return rate_row("pattern estimation", len(images) / ours, len(images) / theirs, "images/s", ESTIMATION, note)


def _memory(steps: int) -> list[dict[str, Any]]:
    model = build("zfnet", 10, 56, 0.25).eval()
    model.initialize("he", 0)
    images, corners = torch.randn(16, 3, 56, 56), torch.cartesian_prod(*[torch.arange(0, 44, 4)] * 2)
    deconvnet, occluder = Backprojection(model, "deconvnet"), Occluder(12, corners, torch.zeros(3, 56, 56))
    return [
        memory_row(
            "memory, projections", lambda: deconvnet.project(images, Target(0), "relu5"), "16 images each", steps
        ),
        memory_row("memory, occlusion", lambda: respond(model, images[0], occluder), "121 places each", steps),
    ]
