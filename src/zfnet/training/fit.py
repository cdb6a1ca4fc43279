"""Training a network: the one long loop ([ZF13] section 3).

Stochastic gradient descent with momentum on the cross-entropy, every filter renormalized after every update, the
validation error (center crop) after every epoch, weights kept at the epochs of Fig. 4, and the ten-crop error at the
end. Interrupted at any step, it resumes from its last checkpoint and ends in the same weights.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from zfnet.core.errors import UserError
from zfnet.core.files import write_json
from zfnet.core.interrupt import uninterrupted
from zfnet.core.machine import device_name, keep_memory
from zfnet.core.metrics import log_metrics, log_step, restart_metrics, restart_steps
from zfnet.core.precision import autocast, resolve
from zfnet.core.progress import track
from zfnet.core.resume import checksum
from zfnet.data.cache.images import Images
from zfnet.networks.checkpoint import save_network, trained_network
from zfnet.networks.convnet import ConvNet, build
from zfnet.networks.inputs import Inputs
from zfnet.networks.network import Classes, Network
from zfnet.networks.options import ModelOptions
from zfnet.pipeline.record import commit
from zfnet.training import checkpoint
from zfnet.training.batches import Dropouts, batches, sample_rows
from zfnet.training.distributed import World
from zfnet.training.ended import MODEL, has_ended, keep_previous, read_numbers, write_numbers
from zfnet.training.evaluate import errors
from zfnet.training.health import check_loss, dead_units, not_finite
from zfnet.training.interrupt import StopOnInterrupt
from zfnet.training.options import CheckpointOptions, TrainOptions
from zfnet.training.renormalize import Renormalizer
from zfnet.training.sampling import plan_epoch
from zfnet.training.schedule import has_converged, learning_rate

MEASURED = 20_000  # training images, at most, for the training error
VERSION = 3  # grows when the same training gives more numbers
LOG_EVERY = 20  # steps between lines of steps.jsonl, from the first on
CHECK_EVERY = 20  # steps on a GPU between checks of the loss, of the time and for an interrupt


@dataclass
class Job:
    """Everything a training process needs, as plain values that travel in a JSON file."""

    model: ModelOptions
    train: TrainOptions
    checkpoints: CheckpointOptions
    out: str
    device: str
    train_cache: str = ""  # folders of the image caches, for processes that open them themselves
    val_cache: str = ""

    @classmethod
    def read(cls, path: Path) -> Job:
        values = json.loads(path.read_text(encoding="utf-8"))
        values["model"] = ModelOptions(**values["model"])
        values["train"] = TrainOptions(**values["train"])
        values["checkpoints"] = CheckpointOptions(**values["checkpoints"])
        return cls(**values)

    def write(self, path: Path) -> None:
        write_json(path, asdict(self))


class Seeded(nn.Module):
    """The network with given dropout masks, which do not depend on the number of processes."""

    def __init__(self, model: ConvNet) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, masks: dict[str, Tensor]) -> Tensor:
        for name, module in self.model.named_children():
            x = x * masks[name].to(x.dtype) if name in masks else module(x)
        return x


def fit(
    job: Job, world: World, train: Images, val: Images, inputs: Inputs, start: Network | None = None
) -> dict[str, Any]:
    """The numbers of a training that runs or resumes as `job` says; writes model.pt and snapshots/ under job.out.

    A finished training is read from its trained.json. start: a network whose hidden layers are the initial weights
    (fine-tuning). Raises UserError when the loss is not finite or does not move.
    """
    # ---- data, model, optimizer ---------------------------------------------------------------------------
    config, out = job.train, Path(job.out)
    key = _job_key(job, train, val, inputs, start)
    measured = measured_hash(job, train, val, inputs, start)
    kept = {epoch for epoch in {*config.snapshots, config.epochs} if epoch <= config.epochs}
    if world.is_main:
        keep_previous(out, measured)
    if not any(world.any(world.is_main and not has_ended(out, measured))):
        numbers = read_numbers(out)
        if world.is_main:
            restart_metrics(out, numbers["history"])
        return numbers
    keep_memory()
    classes = Classes(train.index.classes, train.index.names)
    n_classes = len(classes)
    precision = resolve(config.precision, world.device)
    model = build(job.model.name, n_classes, inputs.crop, job.model.width, job.model.dropout)
    model.initialize(job.model.init, config.seed)
    if start is not None:
        weights = start.module.state_dict()
        hidden = {name: value for name, value in weights.items() if not name.startswith(f"{model.classifier}.")}
        model.load_state_dict(hidden, strict=False)
    model.to(world.device).to(memory_format=torch.channels_last)
    network = trained_network(model, inputs, classes)
    optimizer = torch.optim.SGD(
        model.parameters(), config.lr, config.momentum, weight_decay=config.weight_decay, fused=True
    )
    renormalize = Renormalizer(model, config.rms_radius, float(inputs.std[0]))
    drops = Dropouts(model, config.seed)
    seeded: nn.Module = Seeded(model)
    if world.size > 1:
        seeded = DistributedDataParallel(seeded)

    # ---- resume ------------------------------------------------------------------------------------------
    place = checkpoint.restore(out / "checkpoints", model, optimizer, key, config.epochs, kept)
    if world.is_main:
        restart_metrics(out, place.history)
        restart_steps(out, place.epoch * len(train) + place.step * config.batch)
    saved_at = time.monotonic()
    check_every = CHECK_EVERY if world.device.type == "cuda" else 1

    # ---- epochs -------------------------------------------------------------------------------------------
    with StopOnInterrupt() as stop:
        while not _is_over(config, place):
            started = counted = time.monotonic()
            plan = plan_epoch(len(train), train.size, config.crops, config.seed, place.epoch)
            n_steps = math.ceil(len(train) / config.batch)
            past_errors = _past_errors(place)
            loss_so_far = place.loss_sum if world.is_main else 0.0
            loss_sum = torch.tensor(loss_so_far, dtype=torch.float64, device=world.device)
            steps = range(place.step, n_steps)
            first_step = place.epoch * n_steps
            prepared = batches(train, inputs, plan, steps, config.batch, world, drops, first_step)
            what = f"epoch {place.epoch + 1}/{config.epochs}, step"
            model.train()
            for batch in track(prepared, what, len(steps)) if world.is_main else prepared:
                for group in optimizer.param_groups:
                    group["lr"] = learning_rate(config, place.epoch + batch.step / n_steps, past_errors)
                with autocast(world.device, precision):
                    logits = seeded(batch.inputs, batch.masks)
                loss = F.cross_entropy(logits.float(), batch.labels, reduction="sum")
                optimizer.zero_grad(set_to_none=True)
                (loss * (world.size / batch.whole)).backward()  # DDP averages: together the batch mean
                optimizer.step()
                renormalize()
                loss_sum += loss.detach()
                place.step = batch.step + 1
                if (first_step + batch.step) % LOG_EVERY == 0:
                    step_loss = float(world.sum(loss.detach().double())) / batch.whole
                    if world.is_main:
                        log_step(out, images=place.epoch * len(train) + place.step * config.batch, step_loss=step_loss)
                asked_alone = stop.asked and world.size == 1  # several processes decide together
                if place.step % check_every == 0 or place.step == n_steps or asked_alone:
                    due = time.monotonic() - saved_at > 60 * job.checkpoints.minutes
                    broken, stopping, due = world.any(not math.isfinite(loss_sum), stop.asked, due)
                    if broken:
                        raise UserError(not_finite(network, train))
                    if stopping or due:
                        place.loss_sum = float(world.sum(loss_sum.clone()))
                        place.seconds += time.monotonic() - counted
                        with uninterrupted:
                            if world.is_main:
                                checkpoint.save(out / "checkpoints", model, optimizer, place, key, job.checkpoints.keep)
                            world.wait()
                        saved_at = counted = time.monotonic()
                    if stopping:
                        raise KeyboardInterrupt

            # ---- after an epoch -------------------------------------------------------------------------------
            seconds = time.monotonic() - started
            place.seconds += time.monotonic() - counted
            mean_loss = float(world.sum(loss_sum)) / len(train)
            check_loss(network, train, mean_loss, (place.epoch + 1) * n_steps)
            place.epoch += 1
            val_errors = errors(network, val, world, "center", precision)
            line = {
                "epoch": place.epoch,
                "images": place.epoch * len(train),  # seen so far: the other axis of the curves
                "loss": mean_loss,
                "val_loss": val_errors["loss"],
                "val_top1_error": val_errors["top1_error"],
                "val_top5_error": val_errors["top5_error"],
                "lr": optimizer.param_groups[0]["lr"],
                "images_per_second": len(steps) * config.batch / seconds,
                **renormalize.measure(),
                "dead_units": dead_units(network, val),
            }
            place.history.append(line)
            place.step, place.loss_sum = 0, 0.0
            if world.is_main:
                log_metrics(out, **line)
                with uninterrupted:
                    if place.epoch in kept or _is_over(config, place):
                        snapshot = checkpoint.snapshot_file(out, place.epoch)
                        _save(snapshot, network, job)
                        place.snapshots[place.epoch] = checksum(snapshot)
                    checkpoint.save(out / "checkpoints", model, optimizer, place, key, job.checkpoints.keep)
                saved_at = time.monotonic()

    # ---- the numbers --------------------------------------------------------------------------------------
    rows = sample_rows(len(train), config.seed, MEASURED)
    numbers = {
        **errors(network, val, world, "ten", precision),
        "center": errors(network, val, world, "center", precision),
        "train": errors(network, train, world, "center", precision, rows),
        "chance_top1": 100 * (1 - 1 / n_classes),
        "n_classes": n_classes,
        "n_train": len(train),
        "n_val": len(val),
        "epochs": place.epoch,
        "converged": has_converged(config, _past_errors(place)),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "pictures": inputs.crop,
        "precision": precision,
        "processes": world.size,
        "train_seconds": place.seconds,
        "made_by": made_by(world.device),
        "history": place.history,
    }
    if world.is_main:
        _save(out / MODEL, network, job)
        snapshots = {n: part for n, part in sorted(place.snapshots.items()) if n in kept or n == place.epoch}
        write_numbers(out, measured, numbers, snapshots)
    world.wait()
    return numbers


def _past_errors(place: checkpoint.Place) -> list[float]:
    return [line["val_top1_error"] for line in place.history]


def _is_over(config: TrainOptions, place: checkpoint.Place) -> bool:
    return place.epoch >= config.epochs or has_converged(config, _past_errors(place))


def _save(path: Path, network: Network, job: Job) -> None:
    save_network(path, network, job.model.name, job.model.width, made_by=made_by(network.device))


@cache
def made_by(device: torch.device) -> dict[str, Any]:
    """The commit of the code that trains and the device; of a resumed training, those of its last part."""
    revision, dirty = commit()
    return {"commit": revision, "dirty": dirty, "device": device_name(device)}


def measured_hash(job: Job, train: Images, val: Images, inputs: Inputs, start: Network | None = None) -> str:
    """Hash of what the numbers at the end depend on."""
    content: list[Any] = [VERSION, _job_key(job, train, val, inputs, start), val.fingerprint()]
    if job.train.schedule != "cosine":  # where the key has no epochs
        content.append(job.train.epochs)
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def _job_key(job: Job, images: Images, val: Images, inputs: Inputs, start: Network | None) -> str:
    """What a checkpoint must have in common with a training that resumes from it, as JSON.

    Where the learning rate does not depend on the number of epochs, a longer training continues a shorter one.
    """
    recipe = asdict(job.train)
    if job.train.schedule != "cosine":
        recipe["epochs"] = 0
    content: list[Any] = [asdict(job.model), recipe, images.fingerprint(), inputs.fingerprint()]
    if job.train.schedule == "plateau":  # the validation error sets the learning rate
        content.append(val.fingerprint())
    if start is not None:
        content.append(start.fingerprint())
    return json.dumps(content, sort_keys=True)
