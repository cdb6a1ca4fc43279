"""LRN, forward pass and training step, against the usual way of doing each.

Peers: `F.local_response_norm`; the same network in fp32, NCHW, with that LRN and plain SGD.

Nothing is compiled: beside channels_last and this LRN, `torch.compile` of the full network's forward gave 0.9 to 1.1
times the images of the best eager batch, at 56 and 224 px, in fp32 and bf16, with frozen weights or not, and took 5 s
and more to compile (CPU seconds of one thread, the least of five runs in turn, batches of 32 and 64; at several threads
nothing was measured). With LRN as shifted sums, which compile into one loop, it was 0.97 to 1.07; without any LRN the
eager network is only 1.03 to 1.12 times as fast.
"""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zfnet.bench.row import ROUNDS, in_turn, rate_row
from zfnet.core.machine import keep_memory
from zfnet.core.precision import autocast, resolve
from zfnet.networks.convnet import ConvNet, build
from zfnet.networks.normalization import LocalResponseNorm
from zfnet.training.renormalize import Renormalizer

BATCH = 16
TARGET = 4.0  # times the peer's speed
CPU = torch.device("cpu")


class StockNorm(nn.Module):
    """Contrast normalisation by PyTorch's own operation, which divides alpha by n."""

    def forward(self, x: Tensor) -> Tensor:
        return F.local_response_norm(x, 5, 5e-4, 0.75, 2.0)


def rows(quick: bool = False) -> list[dict[str, Any]]:
    """Rows {name, ours, peer, unit, ratio, target, holds, note} on this processor."""
    keep_memory()
    batch, rounds = (2, 1) if quick else (BATCH, ROUNDS)
    model = build("zfnet", 10, 56, 0.25) if quick else build("zfnet", 1000, 224)
    model.initialize("he", 0)
    images = torch.randn(batch, 3, model.input_size, model.input_size)
    maps = torch.randn(batch, 96, 110, 110)
    return [*norm_rows(maps, rounds), _forward_row(model, images, rounds), _step_row(model, images, rounds)]


def norm_rows(x: Tensor, rounds: int, target: float = TARGET) -> list[dict[str, Any]]:
    """Contrast normalisation of the maps `x` against PyTorch's: forward, and backward too."""
    g = torch.randn_like(x)

    def step(norm: nn.Module, layout: torch.memory_format) -> Callable[[], object]:
        y, back = x.detach().to(memory_format=layout).requires_grad_(), g.to(memory_format=layout)
        return lambda: torch.autograd.grad(norm(y), y, back)

    ours, peer = LocalResponseNorm(), StockNorm()
    last, first = torch.channels_last, torch.contiguous_format
    with torch.no_grad():
        nhwc = x.to(memory_format=last)
        forward = in_turn(lambda: ours(nhwc), lambda: peer(x), rounds=rounds)
    both = in_turn(step(ours, last), step(peer, first), rounds=rounds)
    note = f"{' x '.join(map(str, x.shape))}, {str(x.dtype).removeprefix('torch.')}"
    return [
        _row("LRN, forward", forward, len(x), note, target),
        _row("LRN, forward and backward", both, len(x), note, target),
    ]


def with_norms(model: ConvNet, norm: type[nn.Module]) -> ConvNet:
    """A copy of `model` with `norm` in place of its contrast normalisation."""
    changed = copy.deepcopy(model)
    for name, module in list(changed.named_children()):
        if isinstance(module, LocalResponseNorm):
            setattr(changed, name, norm())
    return changed


def _forward_row(model: ConvNet, images: Tensor, rounds: int) -> dict[str, Any]:
    precision = resolve("auto", CPU)
    ours, stock = copy.deepcopy(model).eval().to(memory_format=torch.channels_last), with_norms(model, StockNorm).eval()
    inputs = images.contiguous(memory_format=torch.channels_last)

    def forward() -> Tensor:
        with autocast(CPU, precision):
            return ours(inputs)

    with torch.inference_mode():
        times = in_turn(forward, lambda: stock(images), rounds=rounds)
    name = f"forward, {model.input_size} px"
    return _row(name, times, len(images), f"ours {precision}, channels_last; peer fp32 NCHW, stock LRN")


def _step_row(model: ConvNet, images: Tensor, rounds: int) -> dict[str, Any]:
    precision, labels = resolve("auto", CPU), torch.arange(len(images))
    ours, stock = copy.deepcopy(model).to(memory_format=torch.channels_last), with_norms(model, StockNorm)
    inputs = images.contiguous(memory_format=torch.channels_last)
    renormalize = Renormalizer(ours, 0.1, 1.0)
    fused = torch.optim.SGD(ours.parameters(), 0.01, 0.9, weight_decay=5e-4, fused=True)
    plain = torch.optim.SGD(stock.parameters(), 0.01, 0.9, weight_decay=5e-4, foreach=False)

    def our_step() -> None:
        with autocast(CPU, precision):
            logits = ours(inputs)
        fused.zero_grad(set_to_none=True)
        F.cross_entropy(logits.float(), labels).backward()
        fused.step()
        renormalize()

    def stock_step() -> None:
        plain.zero_grad()
        F.cross_entropy(stock(images), labels).backward()
        plain.step()

    times, name = in_turn(our_step, stock_step, rounds=rounds), f"training step, {model.input_size} px"
    return _row(name, times, len(images), f"ours {precision}, with RMS renormalization; peer fp32")


def _row(name: str, seconds: Sequence[float], n: int, note: str, target: float = TARGET) -> dict[str, Any]:
    return rate_row(name, n / seconds[0], n / seconds[1], "images/s", target, note)
