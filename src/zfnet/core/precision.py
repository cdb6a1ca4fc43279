"""Floating-point precision: bf16 where the device is fast at it."""

import contextlib
from contextlib import AbstractContextManager

import torch


def resolve(precision: str, device: torch.device) -> str:
    """The precision "fp32" or "bf16"; `auto` is bf16 on a GPU or a processor with native bf16 products."""
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return "bf16" if any(getattr(torch.cpu, probe, bool)() for probe in probes) else "fp32"


def autocast(device: torch.device, precision: str) -> AbstractContextManager:
    """Context in which convolutions and products run in bf16; without effect for "fp32"."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else contextlib.nullcontext()
