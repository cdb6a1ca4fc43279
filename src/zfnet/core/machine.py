"""The machine: cores that this process may use, threads, memory, and the device."""

import contextlib
import ctypes
import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zfnet.core.errors import UserError


def n_cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def device_name(device: Any) -> str:
    """The GPU's name, or the processor and its cores."""
    import torch

    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name()
    return f"{_processor()}, {n_cores()} cores"


def keep_memory() -> None:
    """Make glibc keep freed memory for the whole process (no effect elsewhere).

    Large tensors are allocated and freed at every step; otherwise page faults take most of the time.
    """
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        m_trim_threshold, m_top_pad, m_mmap_max = -1, -2, -4
        libc.mallopt(m_mmap_max, 0)
        libc.mallopt(m_trim_threshold, 2**31 - 1)
        libc.mallopt(m_top_pad, 64 << 20)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Context with one torch thread on the CPU, which leaves the cores to NumPy's BLAS.

    Idle torch threads spin: with all of them a fit of zfnet.linear took four times as long.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def pick_device(name: str) -> Any:
    """The torch device of the configuration key `device`: auto takes a GPU where there is one."""
    import torch

    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("device: cuda needs a GPU and torch sees none; use device=auto or device=cpu")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")
