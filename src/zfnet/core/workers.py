"""Independent items of work in several processes, each with a device of its own.

What `Workers.map` computes of an item depends on the item and on what all items share, and results come in the order of
the items. So every number is the same for any number of processes; where items are summed, they are chunks whose size
does not depend on that number, and they are added in their order. (On a CPU torch splits some sums among its threads:
the last digits are the same for the same OMP_NUM_THREADS.)

Processes are spawned (the parent may hold a GPU) when the first items come, and stay for the next ones. What is shared
is pickled once. At most `WAITING` items a process are made before they are asked for.
"""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import os
import pickle
import shutil
import signal
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, TypeVar

from zfnet.core.errors import UserError
from zfnet.core.machine import keep_memory, n_cores

R = TypeVar("R")
WAITING = 4  # items a process that are computed ahead

_device = "cpu"  # of this process, where it is one of the workers


class Workers:
    """Context with `count` processes, of which process i computes on GPU i where `cuda`; one: this process itself."""

    def __init__(self, count: int = 1, cuda: bool = False) -> None:
        self.count, self._cuda = count, cuda
        self._stack = contextlib.ExitStack()
        self._pool: ProcessPoolExecutor | None = None
        self._shared: tuple[Any, ...] | None = None  # what `_file` holds
        self._file = Path()

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if kind is not None and self._pool is not None:  # Ctrl-C as well: items that run are not waited for
            for process in multiprocessing.active_children():
                process.kill()
        self._stack.close()
        self._pool = self._shared = None

    def map(self, function: Callable[..., R], items: Iterable[Any], *shared: Any) -> Iterator[R]:
        """function(item, *shared) of every item, in their order.

        function: of a module; returns what lies in memory, not on a GPU. shared: what has a method `to`, as networks
        and tensors, is on the process's device.
        Raises UserError where a process dies.
        """
        if self.count == 1:
            yield from (function(item, *shared) for item in items)
            return
        running: deque[Future[bytes]] = deque()
        try:
            for item in items:
                running.append(self._start().submit(_call, function, pickle.dumps(item), self._share(shared)))
                if len(running) >= WAITING * self.count:
                    yield pickle.loads(running.popleft().result())
            while running:
                yield pickle.loads(running.popleft().result())
        except BrokenProcessPool as error:
            raise UserError(
                f"workers: a process died ({error}), for want of memory perhaps; run again, with fewer processes"
            ) from error
        finally:
            for future in running:
                future.cancel()

    def _start(self) -> ProcessPoolExecutor:
        """The processes, which are started when they get their first items."""
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            devices = context.SimpleQueue()
            for number in range(self.count):
                devices.put(f"cuda:{number}" if self._cuda else "cpu")
            threads = max(1, n_cores() // self.count)
            folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="zfnet-"))
            self._file = Path(folder) / "0"
            self._pool = ProcessPoolExecutor(self.count, context, _start_process, (devices, threads, folder))
            self._stack.callback(self._pool.shutdown, cancel_futures=True)
        return self._pool

    def _share(self, shared: tuple[Any, ...]) -> Path:
        """The file of what is shared, the same as long as the same objects are."""
        if self._shared is not None and _are_same(shared, self._shared):
            return self._file
        self._file = self._file.with_name(str(int(self._file.name) + 1))
        try:
            self._file.write_bytes(pickle.dumps([moved(value, "cpu") for value in shared]))
        except (pickle.PicklingError, AttributeError, TypeError, RuntimeError) as error:
            raise UserError(
                f"workers: the network cannot be sent to other processes ({error}); run with workers=1 and gpus=0"
            ) from error
        self._shared = shared
        return self._file


ALONE = Workers()  # this process


def _are_same(some: tuple[Any, ...], others: tuple[Any, ...]) -> bool:
    return len(some) == len(others) and all(a is b for a, b in zip(some, others, strict=True))


def _call(function: Callable[..., Any], item: bytes, file: Path) -> bytes:
    """The pickled result of a pickled item: multiprocessing itself would send tensors as open files."""
    return pickle.dumps(function(pickle.loads(item), *_read_shared(file)))


@functools.lru_cache(maxsize=1)
def _read_shared(file: Path) -> list[Any]:
    return [moved(value, _device) for value in pickle.loads(file.read_bytes())]


def moved(value: Any, device: Any) -> Any:
    """value.to(device) where it has such a method, as networks and tensors have; else the value."""
    return value.to(device) if hasattr(value, "to") else value


def _start_process(devices: Any, threads: int, folder: str) -> None:
    """Prepare this process, before torch is imported; on a CPU not every item needs it."""
    global _device
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    threading.Thread(target=_end_with_parent, args=(folder,), daemon=True).start()
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    _device = devices.get()
    if _device != "cpu":
        import torch

        torch.cuda.set_device(_device)
    import cv2

    cv2.setNumThreads(1)
    keep_memory()


def _end_with_parent(folder: str) -> None:
    """End this process and remove the parent's temporary folder when the parent has been killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(1)
