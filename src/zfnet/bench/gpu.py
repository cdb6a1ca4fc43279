"""Training at the papers' scale on a GPU: the full ZF-net at 224 px, fed from JPEGs of drawn pictures, in bf16.

    from the cache     images/s, against the same step on a batch that lies on the GPU already: what the feed costs
    share of peak      FLOPs of a step / its seconds, against a large product of matrices in the same run; the note
                       says where the step's time goes
    LRN                the step against one without it; the layer against PyTorch's own
    ten crops          images/s of the evaluation, against the forward passes alone
    bf16               the losses of the first steps against those in fp32, in means of ten, over which noise evens out
    NCCL               the step of one process in DistributedDataParallel, against the step alone

FLOPs are those of convolutions and products, a multiplication and an addition each, forward and backward; those of LRN
do not count. Where fp32 is named, convolutions may take TF32, as torch does by default.

Everything takes the device, so that a test runs all of it on a CPU at a tiny size.
"""

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from zfnet.bench.feed import QUALITY, draw_photographs, photo_index
from zfnet.bench.row import in_turn, limit_row, rate_row
from zfnet.bench.training import norm_rows, with_norms
from zfnet.core.machine import device_name, keep_memory
from zfnet.core.precision import autocast
from zfnet.data.cache.images import Images, build_cache
from zfnet.data.crops import crop_size
from zfnet.networks.checkpoint import trained_network
from zfnet.networks.convnet import ConvNet, build
from zfnet.networks.inputs import Inputs
from zfnet.networks.network import Classes
from zfnet.networks.predict import predict
from zfnet.training.batches import Batch, Dropouts
from zfnet.training.batches import batches as training_batches
from zfnet.training.distributed import World
from zfnet.training.fit import Seeded
from zfnet.training.renormalize import Renormalizer
from zfnet.training.sampling import plan_epoch

Step = Callable[[Batch], Tensor]

LR, DIVISOR = 0.001, 64.0  # as the small profiles: the loss falls from the first step on
LOSS_LIMIT = 5.0  # per cent between the losses in bf16 and in fp32
TEN_CROP_IMAGES = 25  # of one batch of the evaluation, 250 crops


@dataclass(frozen=True)
class Sizes:
    """How much is computed."""

    frame: int = 256  # px; crops are 224
    width: float = 1.0
    classes: int = 1000
    batches: tuple[int, ...] = (128, 256)
    steps: int = 60  # timed at once
    compared: int = 100  # first steps whose losses are compared
    per_class: int = 40  # pictures drawn
    product: int = 8192  # side of the matrices
    rounds: int = 3


QUICK = Sizes(64, 0.125, 24, (4, 8), 2, 10, 1, 256, 1)


def rows(quick: bool = False) -> list[dict[str, Any]]:
    """Rows {name, ours, peer, unit, ratio, target, holds, note} on the current GPU."""
    return measure(torch.device("cuda", torch.cuda.current_device()), QUICK if quick else Sizes())


def measure(device: torch.device, sizes: Sizes) -> list[dict[str, Any]]:
    """`rows` on `device`, at `sizes`."""
    keep_memory()
    with tempfile.TemporaryDirectory() as name:
        index = photo_index(draw_photographs(Path(name) / "photographs", sizes.per_class))
        images = build_cache(index, Path(name) / "cache", sizes.frame, cache="jpeg", quality=QUALITY, mean=True)
        rows = [
            *(row for batch in sizes.batches for row in step_rows(images, sizes, batch, device)),
            norm_free_row(images, sizes, device),
            *norm_rows(first_maps(sizes, device), sizes.rounds, target=1.0),
            ten_crop_row(images, sizes, device),
            loss_row(images, sizes, device),
            processes_row(images, sizes, device),
        ]
    return [row | {"name": f"GPU: {row['name']}", "note": f"{device_name(device)}; {row['note']}"} for row in rows]


# ---------------------------------------------------------------- the step, and what feeds it
def network(sizes: Sizes, device: torch.device) -> ConvNet:
    """The ZF-net in training mode, as `fit` lays it out, always from the same weights."""
    model = build("zfnet", sizes.classes, crop_size(sizes.frame), sizes.width)
    model.initialize("he", 0)
    return model.to(device).to(memory_format=torch.channels_last).train()


def training_step(model: ConvNet, precision: str, seeded: nn.Module | None = None) -> Step:
    """One step of `fit` on `model`, run through `seeded` (default: the model itself); it returns the loss."""
    device, runner = next(model.parameters()).device, seeded or Seeded(model)
    optimizer = torch.optim.SGD(model.parameters(), LR, 0.9, weight_decay=5e-4, fused=True)
    renormalize = Renormalizer(model, 0.1, DIVISOR)

    def step(batch: Batch) -> Tensor:
        with autocast(device, precision):
            logits = runner(batch.inputs, batch.masks)
        loss = F.cross_entropy(logits.float(), batch.labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        renormalize()
        return loss.detach()

    return step


def inputs_of(images: Images) -> Inputs:
    """The preprocessing of a network that is trained on the images."""
    assert images.mean is not None
    return Inputs.of_mean_image(images.mean, DIVISOR)


def batches(images: Images, model: ConvNet, n_steps: int, size: int) -> Iterator[Batch]:
    """What `fit` feeds `model`, of `n_steps` batches; the pictures come again where they are too few."""
    plan = plan_epoch(len(images), images.size, "random", 0, 0)
    plan = replace(plan, order=np.resize(plan.order, n_steps * size))
    world = World(0, 1, next(model.parameters()).device)
    return training_batches(images, inputs_of(images), plan, range(n_steps), size, world, Dropouts(model, 0), 0)


# ---------------------------------------------------------------- speed
def step_rows(images: Images, sizes: Sizes, size: int, device: torch.device) -> list[dict[str, Any]]:
    """Images/s from the cache and on the device, and the share of peak, with batches of `size`."""
    model = network(sizes, device)
    step = training_step(model, "bf16")
    (batch,) = batches(images, model, 1, size)
    fed, fixed = in_turn(
        lambda: [step(each) for each in batches(images, model, sizes.steps, size)],
        lambda: [step(batch) for _ in range(sizes.steps)],
        rounds=sizes.rounds,
    )
    n, flops = sizes.steps * size, flops_of_step(sizes)
    where = ", ".join(f"{name} {100 * share:.0f} %" for name, share in heaviest(step, batch))
    print(f"batch {size}, where a step's time goes: {where}")
    setting = f"{crop_size(sizes.frame)} px, batch {size}"
    return [
        rate_row(
            f"training from JPEGs, {setting}",
            *(n / fed, n / fixed, "images/s", 0.9),
            note=f"bf16, channels_last, fused SGD, {sizes.steps} steps; peer the same on images on the device",
        ),
        rate_row(
            f"share of peak, {setting}",
            *(n * flops / fixed / 1e12, peak(device, sizes), "TFLOP/s", 0.35),
            note=f"{flops / 1e9:.2f} GFLOP an image; peer a bf16 product of {sizes.product} x {sizes.product}; {where}",
        ),
    ]


def flops_of_step(sizes: Sizes) -> float:
    """Floating-point operations of one image in training, without those of LRN."""
    from torch.utils.flop_counter import FlopCounterMode

    crop = crop_size(sizes.frame)
    with torch.device("meta"):
        model, images = (
            with_norms(build("zfnet", sizes.classes, crop, sizes.width), nn.Identity),
            torch.empty(1, 3, crop, crop),
        )
    with FlopCounterMode(display=False) as counter:
        model(images).sum().backward()
    return counter.get_total_flops()


def peak(device: torch.device, sizes: Sizes) -> float:
    """TFLOP/s of a large product of bf16 matrices: what the device can reach."""
    a, b = torch.randn(2, sizes.product, sizes.product, device=device).bfloat16()
    times = 10
    (seconds,) = in_turn(lambda: [a @ b for _ in range(times)], rounds=sizes.rounds)
    return times * 2 * sizes.product**3 / seconds / 1e12


def heaviest(step: Step, batch: Batch, n: int = 5) -> list[tuple[str, float]]:
    """The `n` operators in which the device spends the most of a step, and their shares of it, largest first."""
    from torch.profiler import ProfilerActivity, profile

    on_gpu = batch.inputs.is_cuda
    with profile(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]) as profiler:
        for _ in range(3):
            step(batch)
        if on_gpu:
            torch.cuda.synchronize()
    key = "self_device_time_total" if on_gpu else "self_cpu_time_total"
    operators = [
        event for event in profiler.key_averages() if event.key.startswith("aten::")
    ]  # each with its own kernels
    spent = {event.key.removeprefix("aten::"): getattr(event, key) for event in operators}
    total = max(sum(spent.values()), 1e-9)  # all 0 where the GPU's counters may not be read
    return [(name, spent[name] / total) for name in sorted(spent, key=spent.__getitem__, reverse=True)[:n]]


def norm_free_row(images: Images, sizes: Sizes, device: torch.device) -> dict[str, Any]:
    """What contrast normalisation costs a step."""
    size, models = sizes.batches[-1], (network(sizes, device), with_norms(network(sizes, device), nn.Identity))
    (batch,) = batches(images, models[0], 1, size)
    ours, peer = (training_step(model, "bf16") for model in models)
    with_it, without = in_turn(lambda: ours(batch), lambda: peer(batch), rounds=5 * sizes.rounds)
    note = f"{crop_size(sizes.frame)} px, batch {size}; peer the network without LRN"
    return rate_row("the step with LRN", size / with_it, size / without, "images/s", 0.95, note)


def first_maps(sizes: Sizes, device: torch.device) -> Tensor:
    """Numbers in the shape of what layer 1's normalisation is given; bf16 on a GPU (on a CPU PyTorch's has none)."""
    crop = crop_size(sizes.frame)
    with torch.device("meta"):
        like = build("zfnet", sizes.classes, crop, sizes.width).upto(torch.empty(1, 3, crop, crop), "pool1")
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    return torch.randn(sizes.batches[-1], *like.shape[1:], device=device, dtype=dtype)


def ten_crop_row(images: Images, sizes: Sizes, device: torch.device) -> dict[str, Any]:
    """The evaluation averaged over ten crops, in images/s."""
    model, inputs = network(sizes, device).eval(), inputs_of(images)
    whole = trained_network(model, inputs, Classes(images.index.classes, images.index.names))
    rows = np.arange(min(4 * TEN_CROP_IMAGES, len(images)))
    crops = inputs.ten_crops(images.frames(rows[:TEN_CROP_IMAGES])).flatten(0, 1).to(device)
    x, step = crops.contiguous(memory_format=torch.channels_last), 10 * TEN_CROP_IMAGES

    def forward() -> Tensor:
        with torch.inference_mode(), autocast(device, "bf16"):
            return model(x)

    ours, peer = in_turn(lambda: list(predict(whole, images, rows, "ten", "bf16", step)), forward, rounds=sizes.rounds)
    note = f"{len(rows)} images; peer the forward passes of crops on the device"
    rates = len(rows) / ours, len(crops) / 10 / peer
    return rate_row(f"ten-crop evaluation, {inputs.crop} px", *rates, "images/s", 0.5, note)


# ---------------------------------------------------------------- agreement
def loss_row(images: Images, sizes: Sizes, device: torch.device) -> dict[str, Any]:
    """How far the losses in bf16 are from those in fp32, in per cent."""
    fp32 = first_losses(images, sizes, device, "fp32")
    bf16 = first_losses(images, sizes, device, "bf16")
    ends = f"fp32 from {fp32[0]:.3f} to {fp32[-1]:.3f}"
    note = f"batch {sizes.batches[0]}; means of ten steps, {ends}; step by step {_difference(bf16, fp32):.2f} % at most"
    means = (losses.reshape(-1, 10).mean(1) for losses in (bf16, fp32))
    return limit_row(f"bf16 loss, first {sizes.compared} steps", _difference(*means), LOSS_LIMIT, "%", note)


def first_losses(images: Images, sizes: Sizes, device: torch.device, precision: str) -> np.ndarray:
    """(compared,) losses of the first steps."""
    model = network(sizes, device)
    step = training_step(model, precision)
    losses = [step(batch) for batch in batches(images, model, sizes.compared, sizes.batches[0])]
    return torch.stack(losses).double().cpu().numpy()


def _difference(actual: np.ndarray, expected: np.ndarray) -> float:
    """The largest relative difference, in per cent."""
    return 100 * float(np.max(np.abs(actual - expected) / expected))


# ---------------------------------------------------------------- one process of many
def processes_row(images: Images, sizes: Sizes, device: torch.device) -> dict[str, Any]:
    """What the exchange of gradients costs a step, with one process: NCCL on a GPU, Gloo on a CPU.

    Raises RuntimeError when the sum over one process is not what went in.
    """
    size, models = sizes.batches[-1], (network(sizes, device), network(sizes, device))
    (batch,) = batches(images, models[0], 1, size)
    with process_group(device) as backend:
        ours = training_step(models[0], "bf16", DistributedDataParallel(Seeded(models[0])))
        peer = training_step(models[1], "bf16")
        through, plain = in_turn(lambda: ours(batch), lambda: peer(batch), rounds=5 * sizes.rounds)
        gradients = torch.cat([value.grad.flatten() for value in models[0].parameters() if value.grad is not None])
        total = gradients.clone()
        dist.all_reduce(total)
        if not torch.equal(total, gradients):
            raise RuntimeError(f"all_reduce over one process by {backend} changed the gradients")
        (alone,) = in_turn(lambda: dist.all_reduce(total), rounds=5 * sizes.rounds)
    exchanged = f"all_reduce of {len(total) / 1e6:.2f} M gradients alone {1000 * alone:.2f} ms"
    note = f"batch {size}; {exchanged}, the step {1000 * (through - plain):+.2f} ms; peer without"
    return rate_row(f"the step through {backend}", size / through, size / plain, "images/s", 0.9, note)


@contextlib.contextmanager
def process_group(device: torch.device) -> Iterator[str]:
    """A group of this process alone; its backend."""
    backend = "nccl" if device.type == "cuda" else "gloo"
    its_gpu = device if device.type == "cuda" else None
    dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1, device_id=its_gpu)
    try:
        yield backend
    finally:
        dist.destroy_process_group()
