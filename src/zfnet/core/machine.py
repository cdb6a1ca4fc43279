"""What numbers are computed on: the cores that are ours, their threads and memory, and the device in words."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zfnet.core.errors import UserError


def n_cores() -> int:
    """How many processes or threads can be at work at once here: the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def device_name(device: Any) -> str:
    """The GPU's name, or the processor and its cores."""
    import torch

    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name()
    return f"{_processor()}, {n_cores()} cores"


def keep_memory() -> None:
    """Tell glibc to keep freed memory instead of returning it page by page (no effect elsewhere).

    Large tensors are allocated and freed at every step; without this most of the time goes into page faults. It holds
    for the whole process.
    """
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        m_trim_threshold, m_top_pad, m_mmap_max = -1, -2, -4
        libc.mallopt(m_mmap_max, 0)
        libc.mallopt(m_trim_threshold, 2**31 - 1)
        libc.mallopt(m_top_pad, 64 << 20)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """One thread of torch's on the CPU, beside all those of NumPy's BLAS.

    Torch's others wait for work by spinning, on the cores that BLAS needs: with them a fit took four times as long.
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
        raise UserError("device: cuda was asked for and torch sees no GPU; use device=auto or device=cpu")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")
