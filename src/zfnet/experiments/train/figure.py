"""Charts of a training: loss, error, learning rate and throughput, and the state of its layers."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zfnet.plots.chart import Panel, Series, lines, save


def draw_history(history: Sequence[Mapping[str, Any]], out: Path) -> dict[str, str]:
    """Write training.svg and layers.svg from the lines of metrics.jsonl; returns their alternative texts."""
    epochs = [line["epoch"] for line in history]

    def series(label: str, key: str) -> Series:
        return Series(label, epochs, [line[key] for line in history])

    def by_layer(key: str, factor: float = 1.0) -> list[Series]:
        layers = history[0][key]
        return [Series(layer, epochs, [factor * line[key][layer] for line in history]) for layer in layers]

    errors = [series("top-1", "val_top1_error"), series("top-5", "val_top5_error")]
    overview = [
        Panel("Training loss", "epoch", "cross-entropy", [series("loss", "loss")]),
        Panel("Validation error, center crop", "epoch", "%", errors),
        Panel("Learning rate", "epoch", "rate", [series("rate", "lr")]),
        Panel("Throughput", "epoch", "images a second", [series("images", "images_per_second")]),
    ]
    layers = [
        Panel("Filter RMS, mean", "epoch", "RMS, pixel units", by_layer("rms_mean")),
        Panel("Filter RMS, largest", "epoch", "RMS, pixel units", by_layer("rms_max")),
        Panel("Filters on the radius", "epoch", "% of filters", by_layer("clipped_filters", 100)),
        Panel("Units that never fire", "epoch", "% of units", by_layer("dead_units", 100)),
    ]
    save(lines(overview, columns=2), out / "training.svg")
    save(lines(layers, columns=2), out / "layers.svg")
    return {
        "training.svg": "Training loss, validation error, learning rate and throughput by epoch.",
        "layers.svg": "For each layer by epoch: mean and largest RMS of the filters, share of filters on the clipping "
        "radius, share of units that never fire.",
    }
