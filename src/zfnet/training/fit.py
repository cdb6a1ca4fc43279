"""Training a network: the one long loop ([ZF13] section 3).

Stochastic gradient descent with momentum on the cross-entropy, every filter renormalised after every update, the
validation error (centre crop) after every epoch, weights kept at the epochs of Fig. 4, and the ten-crop error at the
end. Interrupted at any step, it goes on from its last checkpoint and ends in the same weights.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from zfnet.core.errors import UserError
from zfnet.core.files import write_json
from zfnet.core.machine import keep_memory
from zfnet.core.metrics import log_metrics, restart_metrics
from zfnet.core.precision import autocast, resolve
from zfnet.core.progress import track
from zfnet.core.resume import checksum, is_whole, read_checked, report_damage, write_checked
from zfnet.data.cache.images import Images
from zfnet.networks.checkpoint import save_network, trained_network
from zfnet.networks.convnet import ConvNet, build
from zfnet.networks.inputs import Inputs
from zfnet.networks.network import Classes, Network
from zfnet.networks.options import ModelOptions
from zfnet.training import checkpoint
from zfnet.training.distributed import World
from zfnet.training.evaluate import errors
from zfnet.training.feed import Dropouts, feed, sample_rows
from zfnet.training.health import check_loss, dead_units, not_finite
from zfnet.training.interrupt import StopOnInterrupt
from zfnet.training.options import CheckpointOptions, TrainOptions
from zfnet.training.renormalise import Renormaliser
from zfnet.training.sampling import plan_epoch
from zfnet.training.schedule import learning_rate

NUMBERS = "trained.json"
MODEL = "model.pt"
MEASURED = 20_000  # training images, at most, that the training error is taken over
VERSION = 2  # grows when the same training gives more numbers
CHECK_EVERY = 20  # steps on a GPU between looks at the loss and agreements to write a checkpoint or to stop


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
        values["model"], values["train"] = ModelOptions(**values["model"]), TrainOptions(**values["train"])
        return cls(**values | {"checkpoints": CheckpointOptions(**values["checkpoints"])})

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


def fit(
    job: Job, world: World, train: Images, val: Images, inputs: Inputs, start: Network | None = None
) -> dict[str, Any]:
    """Train as `job` says (or go on with it) and return its numbers; writes model.pt and snapshots/ under job.out.

    A training that has ended is not measured again: its numbers are those of its trained.json.

    inputs: how pictures become the network's input.
    start: a trained network whose hidden layers are the initial weights (fine-tuning).

    Raises UserError when the loss is not finite or does not move.
    """
    # ---- data, model, optimiser ---------------------------------------------------------------------------
    config, out = job.train, Path(job.out)
    key = _job_key(job, train, val, inputs, start)
    measured = _measured(key, val)
    if not any(world.any(not _has_ended(out, measured))):
        numbers = read_numbers(out)
        if world.leads:
            restart_metrics(out, numbers["history"])
        return numbers
    keep_memory()
    classes = Classes(train.index.classes, train.index.names)
    n_classes = len(classes)
    precision = resolve(config.precision, world.device)
    model = build(job.model.name, n_classes, inputs.crop, job.model.width, job.model.dropout)
    model.initialise(job.model.init, config.seed)
    if start is not None:
        weights = start.module.state_dict()
        hidden = {name: value for name, value in weights.items() if not name.startswith(f"{model.classifier}.")}
        model.load_state_dict(hidden, strict=False)
    model.to(world.device).to(memory_format=torch.channels_last)
    network = trained_network(model, inputs, classes)
    optimiser = torch.optim.SGD(
        model.parameters(), config.lr, config.momentum, weight_decay=config.weight_decay, fused=True
    )
    renormalise = Renormaliser(model, config.rms_radius, float(inputs.std[0]))
    drops = Dropouts(model, config.seed)
    seeded: nn.Module = Seeded(model)
    if world.size > 1:
        seeded = DistributedDataParallel(seeded)

    # ---- where we stand -----------------------------------------------------------------------------------
    place = checkpoint.restore(out / "checkpoints", model, optimiser, key)
    if world.leads:
        restart_metrics(out, place.history)
    saved_at = time.monotonic()
    check_every = CHECK_EVERY if world.device.type == "cuda" else 1

    # ---- epochs -------------------------------------------------------------------------------------------
    with StopOnInterrupt() as stop:
        while place.epoch < config.epochs:
            started = counted = time.monotonic()
            plan = plan_epoch(len(train), train.size, config.crops, config.seed, place.epoch)
            n_steps = math.ceil(len(train) / config.batch)
            past_errors = [line["val_top1_error"] for line in place.history]
            loss_sum = torch.tensor(place.loss_sum if world.leads else 0.0, dtype=torch.float64, device=world.device)
            steps = range(place.step, n_steps)
            batches = feed(train, inputs, plan, steps, config.batch, world, drops, place.epoch * n_steps)
            what = f"epoch {place.epoch + 1}/{config.epochs}, step"
            model.train()
            for batch in track(batches, what, len(steps)) if world.leads else batches:
                for group in optimiser.param_groups:
                    group["lr"] = learning_rate(config, place.epoch + batch.step / n_steps, past_errors)
                with autocast(world.device, precision):
                    logits = seeded(batch.inputs, batch.masks)
                loss = F.cross_entropy(logits.float(), batch.labels, reduction="sum")
                optimiser.zero_grad(set_to_none=True)
                (loss * (world.size / batch.whole)).backward()  # DDP averages over processes: together the batch mean
                optimiser.step()
                renormalise()
                loss_sum += loss.detach()
                place.step = batch.step + 1
                if place.step % check_every == 0 or place.step == n_steps:
                    due = time.monotonic() - saved_at > 60 * job.checkpoints.minutes
                    broken, stopping, due = world.any(not math.isfinite(loss_sum), stop.asked, due)
                    if broken:
                        raise UserError(not_finite(network, train))
                    if stopping or due:
                        place.loss_sum = float(world.sum(loss_sum.clone()))
                        place.seconds += time.monotonic() - counted
                        if world.leads:
                            checkpoint.save(out / "checkpoints", model, optimiser, place, key, job.checkpoints.keep)
                        saved_at = counted = time.monotonic()
                    if stopping:
                        world.wait()  # for the checkpoint
                        raise KeyboardInterrupt

            # ---- after an epoch -------------------------------------------------------------------------------
            seconds = time.monotonic() - started
            place.seconds += time.monotonic() - counted
            mean_loss = float(world.sum(loss_sum)) / len(train)
            check_loss(network, train, mean_loss, (place.epoch + 1) * n_steps)
            place.epoch += 1
            line = {
                "epoch": place.epoch,
                "images": place.epoch * len(train),  # seen so far: the other axis of the curves
                "loss": mean_loss,
                **{f"val_{name}": value for name, value in errors(network, val, world, "center", precision).items()},
                "lr": optimiser.param_groups[0]["lr"],
                "images_per_second": len(steps) * config.batch / seconds,
                **renormalise.measure(),
                "dead_units": dead_units(network, val),
            }
            place.history.append(line)
            place.step, place.loss_sum = 0, 0.0
            if world.leads:
                log_metrics(out, **line)
                if place.epoch in config.snapshots or place.epoch == config.epochs:
                    _save(out / "snapshots" / f"epoch_{place.epoch:04d}.pt", network, job)
                checkpoint.save(out / "checkpoints", model, optimiser, place, key, job.checkpoints.keep)
                saved_at = time.monotonic()

    # ---- the numbers --------------------------------------------------------------------------------------
    numbers = {
        **errors(network, val, world, "ten", precision),
        "center": errors(network, val, world, "center", precision),
        "train": errors(network, train, world, "center", precision, sample_rows(len(train), config.seed, MEASURED)),
        "chance_top1": 100 * (1 - 1 / n_classes),
        **{"n_classes": n_classes, "n_train": len(train), "n_val": len(val), "epochs": config.epochs},
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        **{"pictures": inputs.crop, "precision": precision, "processes": world.size, "train_seconds": place.seconds},
        "history": place.history,
    }
    if world.leads:
        _save(out / MODEL, network, job)
        write_checked(out / NUMBERS, {"of": measured, "model_file": checksum(out / MODEL), **numbers})
    world.wait()
    return numbers


def read_numbers(out: Path) -> dict[str, Any]:
    """What `fit` returned, from the folder of a training that has ended. Raises UserError without whole numbers."""
    record = read_checked(out / NUMBERS)
    if record is None:
        raise UserError(f"{out / NUMBERS}: missing or damaged; run the same command again")
    return {name: value for name, value in record.items() if name not in ("of", "model_file")}


def _has_ended(out: Path, measured: str) -> bool:
    """Whether the folder holds the network and the numbers of this very training."""
    record = read_checked(out / NUMBERS)
    if record is None or record.get("of") != measured:
        return False
    has_model = is_whole(out / MODEL, record["model_file"])
    if not has_model:
        report_damage(out / MODEL, "missing or damaged; it is made again from the last checkpoint")
    return has_model


def _save(path: Path, network: Network, job: Job) -> None:
    save_network(path, network, job.model.name, job.model.width)


def _measured(key: str, val: Images) -> str:
    """Hash of what the numbers at the end depend on."""
    told = json.dumps([VERSION, key, val.fingerprint()])
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def _job_key(job: Job, images: Images, val: Images, inputs: Inputs, start: Network | None) -> str:
    """What a checkpoint must agree on to be gone on with; the number of processes may change."""
    told: list[Any] = [asdict(job.model), asdict(job.train), images.fingerprint(), inputs.fingerprint()]
    if job.train.schedule == "plateau":  # the validation error sets the learning rate
        told.append(val.fingerprint())
    if start is not None:
        told.append(start.fingerprint())
    return json.dumps(told, sort_keys=True)
