"""A training in this process, or in several that torch's launcher starts."""

import contextlib
from pathlib import Path
from typing import Any

import torch

from zfnet.core.errors import UserError
from zfnet.core.lock import lock_folder
from zfnet.core.machine import pick_device
from zfnet.data.cache.frames import DELETE
from zfnet.data.cache.images import Images, open_cache
from zfnet.networks.inputs import Inputs
from zfnet.training.distributed import join_world, launch
from zfnet.training.ended import has_ended, read_numbers
from zfnet.training.fit import Job, fit, measured_hash

# Also the processes of a command that was killed: they write a checkpoint before they end.
_BUSY = "another command is training this network; waiting for it"


def train_network(job: Job, processes: int = 1, nodes: int = 1, rendezvous: str = "") -> dict[str, Any]:
    """The numbers of `fit` for the job, which is trained or resumed.

    processes: on this machine, one GPU each where job.device is "cuda". nodes: machines, which meet at `rendezvous`.
    """
    if processes == nodes == 1:
        return run_job(job)
    file = Path(job.out) / "job.json"
    job.write(file)
    launch("zfnet.training.worker", file, processes, nodes=nodes, rendezvous=rendezvous)
    return read_numbers(Path(job.out))


def run_job(job: Job) -> dict[str, Any]:
    """The numbers of the job, trained as one of the processes that the environment describes."""
    train, val, inputs = _images(job)
    with join_world(job.device) as world, contextlib.ExitStack() as locked:
        if world.is_main:
            locked.enter_context(lock_folder(Path(job.out) / "training", f"{job.out}: {_BUSY}", wait=True))
        return fit(job, world, train, val, inputs)


def is_trained(job: Job) -> bool:
    """Whether the job's folder holds the network and the numbers of this very training."""
    return has_ended(Path(job.out), measured_hash(job, *_images(job)))


def _images(job: Job) -> tuple[Images, Images, Inputs]:
    """Training and validation images of the job, and how they become inputs."""
    train, val = open_cache(Path(job.train_cache)), open_cache(Path(job.val_cache))
    if train.mean is None:
        raise UserError(f"{job.train_cache}: has no mean image; {DELETE}")
    return train, val, Inputs.of_mean_image(train.mean, job.train.divisor)


def check_machine(device: str, gpus: int, nodes: int, rendezvous: str) -> None:
    """Raise UserError where this machine cannot train with these settings."""
    if gpus > torch.cuda.device_count():
        raise UserError(f"gpus: {gpus} is more than torch sees here, {torch.cuda.device_count()}")
    pick_device(device)
    if nodes > 1 and ":" not in rendezvous:
        raise UserError(f"rendezvous: {nodes} nodes need a host:port at which they meet")
