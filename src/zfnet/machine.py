"""What numbers are computed on: how many cores are ours, and the device in words."""

from __future__ import annotations

import contextlib
import os
import platform
from pathlib import Path
from typing import Any


def n_cores() -> int:
    """How many processes or threads can be at work at once here: the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def device_name(device: Any) -> str:
    """The GPU's name, or the processor and its cores."""
    import torch

    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name()
    return f"{_processor()}, {n_cores()} cores"


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
