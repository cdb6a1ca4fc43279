"""The batches of a training: crops, labels and dropout masks of each step, on the device.

Threads prepare several batches ahead: they cut the uint8 crops into pinned memory, and mirror and normalize them on the
device. A batch is a function of (seed, epoch, step), whatever the number of threads and processes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from zfnet.data.cache.images import Images
from zfnet.networks.convnet import ConvNet
from zfnet.networks.inputs import Inputs
from zfnet.training.distributed import World
from zfnet.training.sampling import EpochPlan, dropout_masks

AHEAD = 6  # batches prepared ahead
THREADS = 3  # that prepare them


@dataclass(frozen=True)
class Batch:
    """This process's share of one step: inputs (b, 3, crop, crop), labels (b,), and the size of the whole batch."""

    step: int
    inputs: Tensor
    labels: Tensor
    masks: dict[str, Tensor]  # dropout module -> mask (b, units)
    whole: int


def batches(
    images: Images,
    inputs: Inputs,
    plan: EpochPlan,
    steps: range,
    batch: int,
    world: World,
    drops: Dropouts,
    first: int,
) -> Iterator[Batch]:
    """The batches of `steps` of an epoch, in order; `first` is the number of the epoch's first step in the training."""

    def prepare(step: int) -> Batch:
        whole = plan.order[step * batch : (step + 1) * batch]
        rows = world.shard(whole)
        top, left = plan.top[rows], plan.left[rows]
        pixels = images.cut(rows, top, left, inputs.crop).to(world.device, non_blocking=True)
        crops = inputs.crops(pixels, top, left, plan.flip[rows])
        labels = torch.from_numpy(images.index.labels[rows]).to(world.device, non_blocking=True)
        masks = drops.masks(len(whole), first + step, world)
        return Batch(step, crops.contiguous(memory_format=torch.channels_last), labels, masks, len(whole))

    with ThreadPoolExecutor(max_workers=THREADS) as threads:
        ahead: deque[Future[Batch]] = deque(threads.submit(prepare, step) for step in steps[:AHEAD])
        try:
            for step in steps:
                pending = ahead.popleft()
                if step + AHEAD < steps.stop:
                    ahead.append(threads.submit(prepare, step + AHEAD))
                yield pending.result()
        finally:
            threads.shutdown(cancel_futures=True)


class Dropouts:
    """Masks for the dropout modules of a network."""

    def __init__(self, model: ConvNet, seed: int) -> None:
        drops = [module.p for module in model.modules() if isinstance(module, nn.Dropout)]
        self._p = max(drops, default=0.0)
        self._units = {f"drop{n}": units for n, units in model.units.items()} if self._p else {}
        self._seed = seed

    def masks(self, batch: int, step: int, world: World) -> dict[str, Tensor]:
        """This process's rows of the masks of the whole batch, on its device."""
        masks = dropout_masks(self._units, self._p, batch, self._seed, step, world.device)
        return {name: mask[world.rank :: world.size] for name, mask in masks.items()}


def sample_rows(n_images: int, seed: int, limit: int) -> np.ndarray:
    """At most `limit` of the images, drawn by `seed`, in ascending order."""
    return np.sort(np.random.default_rng([seed, n_images]).permutation(n_images)[:limit])
