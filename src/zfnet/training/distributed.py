"""Several training processes, started by torch's elastic launcher, which sets the rank of each in its environment.

With one process nothing is initialized and every function here is the identity, so the code path is the same.
Evaluation is exact: shards are strided without padding and counts are summed.
"""

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch import distributed as dist

from zfnet.core.errors import UserError
from zfnet.core.files import os_errors_named
from zfnet.core.interrupt import TERMINATIONS, uninterrupted
from zfnet.core.machine import n_cores, pick_device

# Each restart meets in a store of its own: in the launcher's, restarted processes find the addresses of the dead ones.
FRESH_STORE = {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
# One machine meets at the loopback address, whatever its name resolves to.
ONE_MACHINE = ["--standalone", "--local-addr=127.0.0.1"]
LOOPBACK = {"GLOO_SOCKET_IFNAME": "lo"} if sys.platform == "linux" else {}
LAUNCHED = "TORCHELASTIC_RUN_ID"  # set by torch's launcher
REFUSAL = "refused.txt"  # beside the argument of a worker whose work cannot be done
MEETING_ID = "rendezvous_id.txt"  # beside the argument of workers on several nodes
PATIENCE = 10.0  # seconds for the other workers to end by themselves


@dataclass(frozen=True)
class World:
    """This process: `rank` among `size`, on `device`."""

    rank: int
    size: int
    device: torch.device

    @property
    def is_main(self) -> bool:
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
    """The world that the launcher's environment describes; a world of one without a launcher.

    A scheduler's WORLD_SIZE and RANK are of processes that do not train with this one, and do not count.
    """
    size, rank = 1, 0
    if LAUNCHED in os.environ:
        size, rank = int(os.environ["WORLD_SIZE"]), int(os.environ["RANK"])
    own_device = pick_device(device)
    if own_device.type == "cuda":
        own_device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(own_device)
    if size == 1:
        yield World(0, 1, own_device)
        return
    if own_device.type == "cuda":
        dist.init_process_group("nccl", device_id=own_device)
    else:
        dist.init_process_group("gloo")
    yield World(rank, size, own_device)
    dist.destroy_process_group()  # not after an error of this process alone: it waits for the others, under NCCL


def launch(
    module: str, argument: Path, processes: int, restarts: int = 3, nodes: int = 1, rendezvous: str = ""
) -> None:
    """Run `python -m module argument` in `processes` processes under torch's elastic launcher, and wait.

    nodes: machines with `processes` each, which meet at `rendezvous` (host:port); the launcher is started on each, with
    an `argument` in the same folder.
    When a worker dies, all are restarted from the last checkpoint, up to `restarts` times. Ctrl-C or SIGTERM reaches
    the workers, which write a checkpoint before they end; a second Ctrl-C ends them at once.
    Raises UserError when the work fails for good, KeyboardInterrupt when it was interrupted.
    """
    threads = max(1, n_cores() // processes)
    meeting = [f"--nnodes={nodes}", "--rdzv-backend=c10d", f"--rdzv-endpoint={rendezvous}"]
    command = [
        *(sys.executable, "-m", "zfnet.training.launcher", *(meeting if nodes > 1 else ONE_MACHINE)),
        *(f"--nproc-per-node={processes}", f"--max-restarts={restarts}", f"--log-dir={os.devnull}"),
        *("-m", module, str(argument)),
    ]
    loopback = LOOPBACK if nodes == 1 else {}
    environment = {"OMP_NUM_THREADS": str(threads), **FRESH_STORE, **loopback, **os.environ}
    if nodes > 1:  # as --rdzv-id, which the list of processes would show to every user of the machine
        environment["PET_RDZV_ID"] = shared_id(argument.with_name(MEETING_ID))
    refusal = argument.with_name(REFUSAL)
    refusal.unlink(missing_ok=True)
    launcher = subprocess.Popen(command, env=environment, start_new_session=True)  # the terminal's Ctrl-C is ours alone
    with _forwarding_signals(launcher) as interrupts:
        code = _wait(launcher, refusal)
    if interrupts:
        raise KeyboardInterrupt
    if refusal.exists():
        raise UserError(refusal.read_text(encoding="utf-8"))
    if code:
        raise UserError(f"{module}: a training process failed for good (exit code {code}); see above")


def shared_id(file: Path) -> str:
    """The id in `file`, which the first of the nodes that share its folder draws; only their user can read it."""
    with os_errors_named(file):
        descriptor, draft = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}")
        try:
            with os.fdopen(descriptor, "w") as drawn:
                drawn.write(secrets.token_hex(16))
            with contextlib.suppress(FileExistsError):
                os.link(draft, file)
        finally:
            os.unlink(draft)
        return file.read_text()


def _wait(launcher: subprocess.Popen, refusal: Path) -> int:
    """The launcher's exit code. The other workers of one that refused, which wait for it, are ended."""
    refused = False
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return launcher.wait(PATIENCE)
        if refused:
            launcher.terminate()
        refused = refusal.exists()


def refuse(argument: Path, error: UserError) -> None:
    """Record, in a worker, that the work of `argument` cannot be done and must not be restarted."""
    argument.with_name(REFUSAL).write_text(str(error), encoding="utf-8")


@contextlib.contextmanager
def _forwarding_signals(launcher: subprocess.Popen) -> Iterator[list[int]]:
    """Context in which interrupting signals reach `launcher` instead of this process; yields those received.

    SIGTERM is forwarded as SIGHUP, since the launcher itself ends workers by SIGTERM before it restarts them.
    """
    received: list[int] = []

    def forward(number: int, frame: object) -> None:
        if number == signal.SIGINT:
            launcher.send_signal(number)
        elif number not in received:
            launcher.send_signal(TERMINATIONS[-1])
        received.append(number)

    try:
        before = {number: signal.signal(number, forward) for number in (signal.SIGINT, *TERMINATIONS)}
    except ValueError:  # not in the main thread, which alone gets signals
        before = {}
    try:
        with uninterrupted:  # the workers have a limit of their own
            yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)
