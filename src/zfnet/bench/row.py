"""One row of the benchmark."""

from __future__ import annotations

from typing import Any


def rate_row(name: str, ours: float, peer: float, unit: str, target: float, note: str) -> dict[str, Any]:
    """Ours and the peer's as rates: more is better; `target` is the ratio to reach."""
    return _row(name, ours, peer, unit, ours / peer, target, note)


def time_row(name: str, ours: float, peer: float, target: float, note: str) -> dict[str, Any]:
    """Ours and the peer's in seconds: less is better."""
    return _row(name, ours, peer, "s", peer / ours, target, note)


def _row(name: str, ours: float, peer: float, unit: str, ratio: float, target: float, note: str) -> dict[str, Any]:
    return {
        **{"name": name, "ours": ours, "peer": peer, "unit": unit},
        **{"ratio": ratio, "target": target, "holds": ratio >= target, "note": note},
    }
