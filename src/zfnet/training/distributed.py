"""Several training processes: torch's elastic launcher starts them, environment variables tell them who they are.

With one process nothing is initialised and every function here is the identity, so the code path is the same.
Evaluation is exact: shards are strided without padding and counts are summed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch import distributed as dist

from zfnet.core.errors import TERMINATIONS, UserError
from zfnet.core.machine import n_cores, pick_device

# Each restart meets in a store of its own: in the launcher's, which it would share, restarted processes find the
# addresses of the dead ones.
FRESH_STORE = {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
REFUSAL = "refused.txt"  # beside the argument of a worker that found it cannot do its work
PATIENCE = 10.0  # seconds that the other workers have to find the same


@dataclass(frozen=True)
class World:
    """This process among all: `rank` of `size`, on `device`."""

    rank: int
    size: int
    device: torch.device

    @property
    def leads(self) -> bool:
        return self.rank == 0

    def shard(self, rows: np.ndarray) -> np.ndarray:
        """Every `size`-th row from `rank` on: together the shards hold each row exactly once."""
        return rows[self.rank :: self.size]

    def sum(self, values: Tensor) -> Tensor:
        """Sum over all processes, in place."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def any(self, *flags: bool) -> list[bool]:
        """Of each flag, whether any process says so; one exchange for all of them."""
        return self.sum(torch.tensor(flags, dtype=torch.float32, device=self.device)).bool().tolist()

    def wait(self) -> None:
        if self.size > 1:
            dist.barrier()


@contextlib.contextmanager
def join_world(device: str) -> Iterator[World]:
    """The world that the launcher's environment describes; a world of one without a launcher."""
    size, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    where = pick_device(device)
    if where.type == "cuda":
        where = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(where)
    if size == 1:
        yield World(0, 1, where)
        return
    if where.type == "cuda":
        dist.init_process_group("nccl", device_id=where)
    else:
        dist.init_process_group("gloo")
    yield World(rank, size, where)
    dist.destroy_process_group()  # not after an error of this process alone: it waits for the others, under NCCL


def launch(
    module: str, argument: Path, processes: int, restarts: int = 3, nodes: int = 1, rendezvous: str = ""
) -> None:
    """Run `python -m module argument` in `processes` processes under torch's elastic launcher, and wait.

    nodes: machines with so many processes each, which meet at `rendezvous` (host:port); each of the others starts the
    launcher with the same arguments itself.
    A worker that dies is restarted, with the others, up to `restarts` times; the work goes on from its checkpoint.
    Ctrl-C (or SIGTERM) reaches the workers once, as SIGINT, and is waited for: they write a checkpoint before they end.
    Raises UserError when the work fails for good, KeyboardInterrupt when it was interrupted.
    """
    threads = max(1, n_cores() // processes)
    meeting = [f"--nnodes={nodes}", "--rdzv-backend=c10d", f"--rdzv-endpoint={rendezvous}", "--rdzv-id=zfnet"]
    command = [
        *(sys.executable, "-m", "zfnet.training.distributed", *(meeting if nodes > 1 else ["--standalone"])),
        *(f"--nproc-per-node={processes}", f"--max-restarts={restarts}", "-m", module, str(argument)),
    ]
    environment = {"OMP_NUM_THREADS": str(threads), **FRESH_STORE, **os.environ}
    refusal = argument.with_name(REFUSAL)
    refusal.unlink(missing_ok=True)
    launcher = subprocess.Popen(command, env=environment, start_new_session=True)  # the terminal's Ctrl-C is ours alone
    with _passing_on(launcher) as interrupts:
        code = _wait(launcher, refusal)
    if interrupts:
        raise KeyboardInterrupt
    if refusal.exists():
        raise UserError(refusal.read_text(encoding="utf-8"))
    if code:
        raise UserError(f"{module}: a training process failed for good (exit code {code}); see above")


def _wait(launcher: subprocess.Popen, refusal: Path) -> int:
    """The launcher's exit code. Where one worker alone refused, the others wait for it for ever: they are ended."""
    refused = False
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return launcher.wait(PATIENCE)
        if refused:
            launcher.terminate()
        refused = refusal.exists()


def refuse(argument: Path, error: UserError) -> None:
    """Said by a worker: the work that `argument` describes cannot be done, and starting again would not help."""
    argument.with_name(REFUSAL).write_text(str(error), encoding="utf-8")


@contextlib.contextmanager
def _passing_on(launcher: subprocess.Popen) -> Iterator[list[int]]:
    """Context in which the first interrupting signal goes on to `launcher` as SIGINT, and a second one ends it.

    Yields the list of the signals that came.
    """
    came: list[int] = []

    def pass_on(number: int, frame: object) -> None:
        came.append(number)
        launcher.send_signal(signal.SIGINT if len(came) == 1 else signal.SIGTERM)

    try:
        before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, *TERMINATIONS)}
    except ValueError:  # not in the main thread, which alone gets signals
        before = {}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)


def _elastic(words: list[str]) -> int:
    """torch's elastic launcher, which ends a signal with a traceback, as a command that ends as it was told to."""
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.run import main

    try:
        main(words)
    except SignalException as error:
        return 128 + error.sigval
    return 0


if __name__ == "__main__":
    sys.exit(_elastic(sys.argv[1:]))
