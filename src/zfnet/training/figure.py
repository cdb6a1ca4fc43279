"""The course of a training as small charts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zfnet.figures.chart import Panel, Series, lines, save


def draw_history(history: Sequence[Mapping[str, Any]], out: Path) -> dict[str, str]:
    """Write training.svg from the lines of the epochs; returns its alternative text."""
    epochs = [line["epoch"] for line in history]

    def series(label: str, key: str) -> Series:
        return Series(label, epochs, [line[key] for line in history])

    def by_layer(key: str) -> list[Series]:
        n_layers = len(history[0][key])
        return [Series(f"conv {n + 1}", epochs, [100 * line[key][n] for line in history]) for n in range(n_layers)]

    panels = [
        Panel("Training loss", "epoch", "cross-entropy", [series("loss", "loss")]),
        Panel(
            "Validation error, centre crop",
            "epoch",
            "%",
            [series("top-1", "val_top1_error"), series("top-5", "val_top5_error")],
        ),
        Panel("Maps that never fire", "epoch", "% of maps", by_layer("dead_maps")),
    ]
    save(lines(panels), out / "training.svg")
    return {"training.svg": "Training loss, validation error and share of dead maps by epoch."}
