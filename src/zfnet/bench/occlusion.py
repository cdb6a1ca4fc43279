"""Occluded images a second at 224 px: ours against whole forward passes and against Captum, in one run, in turn.

Three peers: plain forward passes at the best of several batch sizes and memory formats (large batches thrash the
memory), and Captum's Occlusion at its default (one image at a time) and at the best of several
perturbations_per_eval. All see the same ZF-net, picture and squares; the note gives the largest difference of scores.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from zfnet.attribution.incremental import Occluder, Responses, Watch, respond
from zfnet.bench.row import ROUNDS, medians, rate_row, timed
from zfnet.networks.convnet import ConvNet, build

Setup = TypeVar("Setup")

STRIDE = 8
PLAIN_BATCHES, OUR_BATCHES, CAPTUM_BATCHES = (8, 16, 32), (32, 64, 128), (4, 16, 32)
FLOP_BOUND = {32: 3.2, 64: 2.1}  # what the multiplications alone would gain


def rows(quick: bool = False) -> list[dict]:
    """Rows of `make bench`; ratio > 1 means ours is better."""
    model = build("zfnet", 10, 56, 0.25).eval() if quick else build("zfnet", 1000, 224).eval()
    model.initialize("he", seed=0)
    image = torch.randn(3, model.input_size, model.input_size, generator=torch.Generator().manual_seed(0))
    sizes = [min(FLOP_BOUND)] if quick else list(FLOP_BOUND)
    return [row for size in sizes for row in _rows_at(model, image, size, 1 if quick else ROUNDS)]


def _rows_at(model: ConvNet, image: Tensor, size: int, rounds: int) -> list[dict]:
    places = torch.arange(0, model.input_size - size + 1, STRIDE)
    occluder = Occluder(size, torch.cartesian_prod(places, places), torch.zeros_like(image))
    few = Occluder(size, occluder.corners[:: -(-len(occluder.corners) // 32)], occluder.fill)
    ours_batch = _best(OUR_BATCHES, lambda batch: _rate(lambda: respond(model, image, occluder, batch=batch)))
    plain_setup = _best(
        [(batch, layout) for batch in PLAIN_BATCHES for layout in (torch.contiguous_format, torch.channels_last)],
        lambda setup: _plain_rate(model, image, *setup),
    )
    captum_batch = _best(CAPTUM_BATCHES, lambda batch: _captum_rate(model, image, size, batch))
    ours, plain, default, tuned, watched = medians(
        lambda: _rate(lambda: respond(model, image, occluder, batch=ours_batch)),
        lambda: _plain_rate(model, image, *plain_setup),
        lambda: _captum_rate(model, image, size, 1),
        lambda: _captum_rate(model, image, size, captum_batch),
        lambda: _rate(lambda: respond(model, image, occluder, Watch("pool5", 0), scores=False, batch=ours_batch)),
        rounds=rounds,
        warm_up=0,  # _best has warmed up all
    )
    note = f"{len(occluder.corners)} places; {_difference(model, image, few)}"
    unit, bound, same = "images/s", FLOP_BOUND[size], "the same network, our LRN included"
    return [
        rate_row(
            f"Occlusion {size} px, against the best plain batch",
            ours,
            plain,
            unit,
            bound,
            f"{note}; target: FLOP bound",
        ),
        rate_row(f"Occlusion {size} px, against Captum at its default", ours, default, unit, 20.0, same),
        rate_row(f"Occlusion {size} px, against Captum at its best", ours, tuned, unit, 10.0, same),
        rate_row(
            f"Occlusion {size} px, one conv5 map alone", watched, plain, unit, bound, "without fc and the other maps"
        ),
    ]


def _rate(work: Callable[[], Responses]) -> float:
    answer, seconds = timed(work)
    values = answer.scores if answer.scores is not None else answer.totals
    assert values is not None
    return len(values) / seconds


def _plain_rate(model: ConvNet, image: Tensor, batch: int, layout: torch.memory_format, n: int = 64) -> float:
    inputs = image.repeat(batch, 1, 1, 1).contiguous(memory_format=layout)
    with torch.inference_mode():
        return n / timed(lambda: [model(inputs) for _ in range(n // batch)])[1]


def _captum_rate(model: ConvNet, image: Tensor, size: int, batch: int) -> float:
    """Occluded images a second; a wide stride keeps the number of places down, which does not change the rate."""
    from captum.attr import Occlusion

    stride = 32  # Captum allows no more than the square's side
    window, steps, method = (3, size, size), (3, stride, stride), Occlusion(model)
    with torch.inference_mode():
        _, seconds = timed(lambda: method.attribute(image[None], window, steps, target=0, perturbations_per_eval=batch))
    places = -(-(image.shape[-1] - size) // stride) + 1
    return places**2 / seconds


def _best(setups: Sequence[Setup], rate: Callable[[Setup], float]) -> Setup:
    """The setup with the highest rate; the first run of each warms up."""
    return max(setups, key=lambda setup: (rate(setup), rate(setup))[1])


def _difference(model: ConvNet, image: Tensor, occluder: Occluder) -> str:
    ours, plain = respond(model, image, occluder), respond(model, image, occluder, plain=True, batch=8)
    assert ours.scores is not None and plain.scores is not None
    largest = float((ours.scores - plain.scores).abs().max())
    return f"largest difference {largest:.1e} in scores of up to {float(plain.scores.abs().max()):.1f}"
