"""Arithmetic: bf16 where the device is fast at it, and the allocator setting that doubles CPU throughput on glibc."""

from __future__ import annotations

import contextlib
import ctypes
from contextlib import AbstractContextManager

import torch


def resolve(precision: str, device: torch.device) -> str:
    """ "fp32" or "bf16": `auto` is bf16 on a GPU or a processor with native bf16 products."""
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return "bf16" if any(getattr(torch.cpu, probe, bool)() for probe in probes) else "fp32"


def autocast(device: torch.device, precision: str) -> AbstractContextManager:
    """Context in which convolutions and products run in bf16, or in which nothing changes (fp32)."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else contextlib.nullcontext()


def keep_memory() -> None:
    """Tell glibc to keep freed memory instead of returning it page by page (no effect elsewhere).

    Large tensors are allocated and freed at every step; without this most of the time goes into page faults.
    """
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        m_trim_threshold, m_top_pad, m_mmap_max = -1, -2, -4
        libc.mallopt(m_mmap_max, 0)
        libc.mallopt(m_trim_threshold, 2**31 - 1)
        libc.mallopt(m_top_pad, 64 << 20)
