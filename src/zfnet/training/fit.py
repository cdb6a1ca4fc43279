"""Training a network: the one long loop ([ZF13] section 3).

Stochastic gradient descent with momentum on the cross-entropy, every filter renormalised after every update, the
validation error (centre crop) after every epoch, weights kept at the epochs of Fig. 4, and the ten-crop error at the
end. Interrupted at any step, it goes on from its last checkpoint and ends in the same weights.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from zfnet.config import CheckpointsConfig, ModelConfig, TrainConfig
from zfnet.data.store import ImageStore
from zfnet.distributed import World
from zfnet.errors import UserError
from zfnet.models.checkpoint import save_model
from zfnet.models.net import ConvNet, build
from zfnet.progress import track
from zfnet.record import log_metrics, restart_metrics, write_json
from zfnet.training import checkpoint
from zfnet.training.evaluate import errors
from zfnet.training.interrupt import StopOnInterrupt
from zfnet.training.precision import autocast, keep_memory, resolve
from zfnet.training.renormalise import Renormaliser
from zfnet.training.sampling import EpochPlan, dropout_masks, plan_epoch
from zfnet.training.schedule import learning_rate

STUCK_STEPS = 2000  # a loss that still is ln(classes) after so many steps will not move any more
CHECK_EVERY = 20  # steps on a GPU between looks at the loss and agreements to write a checkpoint or to stop


@dataclass
class Job:
    """Everything a training process needs, as plain values that travel in a JSON file."""

    model: ModelConfig
    train: TrainConfig
    checkpoints: CheckpointsConfig
    out: str
    device: str
    train_store: str = ""  # folders of the image caches, for processes that open them themselves
    val_store: str = ""
    divisor: float = 1.0

    @classmethod
    def read(cls, path: Path) -> Job:
        values = json.loads(path.read_text(encoding="utf-8"))
        values["model"], values["train"] = ModelConfig(**values["model"]), TrainConfig(**values["train"])
        return cls(**values | {"checkpoints": CheckpointsConfig(**values["checkpoints"])})

    def write(self, path: Path) -> None:
        write_json(path, asdict(self))


class Seeded(nn.Module):
    """The network with its dropout masks given from outside, so that they do not depend on the number of processes."""

    def __init__(self, model: ConvNet) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, masks: dict[str, Tensor]) -> Tensor:
        for name, module in self.model.named_children():
            x = x * masks[name].to(x.dtype) if name in masks else module(x)
        return x


def fit(job: Job, world: World, train: ImageStore, val: ImageStore, start: ConvNet | None = None) -> dict[str, Any]:
    """Train as `job` says (or go on with it) and return its numbers; writes model.pt and snapshots/ under job.out.

    start: a trained network whose hidden layers are the initial weights (fine-tuning).

    Raises UserError when the loss is not finite or does not move.
    """
    # ---- data, model, optimiser ---------------------------------------------------------------------------
    keep_memory()
    config, out = job.train, Path(job.out)
    n_classes = len(train.index.classes)
    precision = resolve(config.precision, world.device)
    model = build(job.model.name, n_classes, train.crop, job.model.width, job.model.dropout)
    model.initialise(job.model.init, config.seed)
    if start is not None:
        hidden = {name: value for name, value in start.state_dict().items() if not name.startswith("fc8.")}
        model.load_state_dict(hidden, strict=False)
    model.to(world.device).to(memory_format=torch.channels_last)
    optimiser = torch.optim.SGD(
        model.parameters(), config.lr, config.momentum, weight_decay=config.weight_decay, fused=True
    )
    renormalise = Renormaliser(model, config.rms_radius, train.divisor)
    seeded: nn.Module = Seeded(model)
    if world.size > 1:
        seeded = DistributedDataParallel(seeded)

    # ---- where we stand -----------------------------------------------------------------------------------
    key = _job_key(job, train)
    place = checkpoint.restore(out / "checkpoints", model, optimiser, key)
    if world.leads:
        restart_metrics(out, place.history)
    saved_at = time.monotonic()
    check_every = CHECK_EVERY if world.device.type == "cuda" else 1

    # ---- epochs -------------------------------------------------------------------------------------------
    with StopOnInterrupt() as stop:
        while place.epoch < config.epochs:
            started = time.monotonic()
            plan = plan_epoch(len(train), train.size, config.crops, config.seed, place.epoch)
            n_steps = math.ceil(len(train) / config.batch)
            past_errors = [line["val_top1_error"] for line in place.history]
            loss_sum = torch.tensor(place.loss_sum if world.leads else 0.0, dtype=torch.float64, device=world.device)
            steps = range(place.step, n_steps)
            batches = _batches(train, plan, steps, config.batch, world)
            what = f"epoch {place.epoch + 1}/{config.epochs}, step"
            model.train()
            for step, inputs, labels, n_batch in track(batches, what, len(steps)) if world.leads else batches:
                for group in optimiser.param_groups:
                    group["lr"] = learning_rate(config, place.epoch + step / n_steps, past_errors)
                masks = _masks(model, n_batch, config.seed, place.epoch * n_steps + step, world)
                with autocast(world.device, precision):
                    logits = seeded(inputs, masks)
                loss = F.cross_entropy(logits.float(), labels, reduction="sum")
                optimiser.zero_grad(set_to_none=True)
                (loss * (world.size / n_batch)).backward()  # DDP averages over processes: together the batch mean
                optimiser.step()
                renormalise()
                loss_sum += loss.detach()
                place.step = step + 1
                if place.step % check_every == 0:
                    if world.any(not torch.isfinite(loss_sum)):
                        raise UserError(_not_finite(model, inputs))
                    stopping = world.any(stop.asked)
                    if stopping or world.any(time.monotonic() - saved_at > 60 * job.checkpoints.minutes):
                        place.loss_sum = float(world.sum(loss_sum.clone()))
                        if world.leads:
                            checkpoint.save(out / "checkpoints", model, optimiser, place, key, job.checkpoints.keep)
                        saved_at = time.monotonic()
                    if stopping:
                        world.wait()  # for the checkpoint
                        raise KeyboardInterrupt

            # ---- after an epoch -------------------------------------------------------------------------------
            seconds = time.monotonic() - started
            mean_loss = float(world.sum(loss_sum)) / len(train)
            if not math.isfinite(mean_loss):
                raise UserError(_not_finite(model, inputs))
            if (place.epoch + 1) * n_steps >= STUCK_STEPS and mean_loss > math.log(n_classes) - 0.005:
                raise UserError(_stuck(model, inputs, mean_loss))
            place.epoch += 1
            line = {
                "epoch": place.epoch,
                "loss": mean_loss,
                **{f"val_{name}": value for name, value in errors(model, val, world, "center", precision).items()},
                "lr": optimiser.param_groups[0]["lr"],
                "images_per_second": len(steps) * config.batch / seconds,
                "clipped_filters": renormalise.clipped(),
                "dead_maps": _dead_maps(model, val),
            }
            place.history.append(line)
            place.step, place.loss_sum, place.seconds = 0, 0.0, place.seconds + seconds
            if world.leads:
                log_metrics(out, **line)
                if place.epoch in config.snapshots or place.epoch == config.epochs:
                    _save(out / "snapshots" / f"epoch_{place.epoch:04d}.pt", model, job, train)
                checkpoint.save(out / "checkpoints", model, optimiser, place, key, job.checkpoints.keep)
                saved_at = time.monotonic()

    # ---- the numbers --------------------------------------------------------------------------------------
    numbers = {
        **errors(model, val, world, "ten", precision),
        "center": {name: place.history[-1][f"val_{name}"] for name in ("top1_error", "top5_error")},
        "train": errors(model, train, world, "center", precision, _sample(len(train), config.seed)),
        "chance_top1": 100 * (1 - 1 / n_classes),
        **{"n_classes": n_classes, "n_train": len(train), "n_val": len(val), "epochs": config.epochs},
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        **{"pictures": train.crop, "precision": precision, "processes": world.size, "train_seconds": place.seconds},
        "history": place.history,
    }
    if world.leads:
        _save(out / "model.pt", model, job, train)
        write_json(out / "trained.json", numbers)
    world.wait()
    return numbers


def _batches(
    images: ImageStore, plan: EpochPlan, steps: range, batch: int, world: World
) -> Iterator[tuple[int, Tensor, Tensor, int]]:
    """(step, inputs, labels, size of the whole batch) of this process, cut two batches ahead by a thread."""

    def cut(step: int) -> tuple[int, Tensor, Tensor, int]:
        whole = plan.order[step * batch : (step + 1) * batch]
        rows = world.shard(whole)
        inputs = images.crops(rows, plan.top[rows], plan.left[rows], plan.flip[rows])
        labels = torch.from_numpy(images.index.labels[rows])
        inputs = inputs.contiguous(memory_format=torch.channels_last)
        return step, inputs.to(world.device), labels.to(world.device), len(whole)

    with ThreadPoolExecutor(max_workers=1) as thread:
        ahead = [thread.submit(cut, step) for step in steps[:2]]
        for step in steps:
            ready = ahead.pop(0)
            if step + 2 < steps.stop:
                ahead.append(thread.submit(cut, step + 2))
            yield ready.result()


def _masks(model: ConvNet, n_batch: int, seed: int, step: int, world: World) -> dict[str, Tensor]:
    drops = {name: module for name, module in model.named_children() if isinstance(module, nn.Dropout)}
    units = {name: getattr(model, f"fc{name[-1]}").out_features for name, drop in drops.items() if drop.p > 0}
    p = max((drop.p for drop in drops.values()), default=0.0)
    masks = dropout_masks(units, p, n_batch, seed, step)
    return {name: mask[world.rank :: world.size].to(world.device) for name, mask in masks.items()}


def _dead_maps(model: ConvNet, images: ImageStore, n_images: int = 256) -> list[float]:
    """Share of the maps of each convolution that fire nowhere on some validation images."""
    x = images.center(np.arange(min(n_images, len(images)))).to(next(model.parameters()).device)
    shares = []
    with torch.inference_mode():
        for name, module in model.named_children():
            x = module(x) if not name.startswith("drop") else x
            if name.startswith("relu") and x.dim() == 4:
                shares.append(float((x.amax(dim=(0, 2, 3)) <= 0).float().mean()))
    return shares


def _sample(n_images: int, seed: int, most: int = 20_000) -> np.ndarray:
    """Training images on which the training error is measured: all, or so many at random."""
    return np.sort(np.random.default_rng([seed, n_images]).permutation(n_images)[:most])


def _save(path: Path, model: ConvNet, job: Job, images: ImageStore) -> None:
    save_model(
        path, model, job.model.name, job.model.width, divisor=images.divisor, class_ids=list(images.index.classes)
    )


def _job_key(job: Job, images: ImageStore) -> str:
    """What a checkpoint must agree on to be gone on with; the number of processes may change."""
    told = [asdict(job.model), asdict(job.train), images.divisor, images.index.fingerprint()]
    return json.dumps(told, sort_keys=True)


def _not_finite(model: ConvNet, inputs: Tensor) -> str:
    with torch.no_grad():
        for name, module in model.named_children():
            if any(not torch.isfinite(parameter).all() for parameter in module.parameters()):
                return f"train: the weights of {name} are not finite; try a lower train.lr or train.rms_radius=0.1"
            inputs = module(inputs.float())
            if not torch.isfinite(inputs).all():
                return f"train: the output of {name} is not finite; try a lower train.lr or data.divisor=64"
    return "train: the loss is not finite; try a lower train.lr"


def _stuck(model: ConvNet, inputs: Tensor, loss: float) -> str:
    spread = {}
    with torch.no_grad():
        for name, module in model.named_children():
            inputs = module(inputs.float())
            spread[name] = float(inputs.std())
    flat = min((name for name in spread if name.startswith("relu")), key=lambda name: spread[name])
    return (
        f"train: the loss stays at {loss:.3f} = ln(classes); the output of {flat} hardly varies "
        f"(std {spread[flat]:.1e}); try model.init=he, data.divisor=64 or a lower train.lr"
    )
