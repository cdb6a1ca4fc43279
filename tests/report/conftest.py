"""Made-up results of every stage, for the report's tests only: no number here was measured."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from zfnet.core.statistics import Measure
from zfnet.plots import chart

HOSTILE = '<script>alert("x")</script> & "quotes" 日本'
VARIANTS = {
    "krizhevsky": (20.1, 41.0),
    "krizhevsky-no34": (24.0, 45.2),
    "krizhevsky-no7": (18.0, 41.9),
    "krizhevsky-no67": (15.2, 44.1),
    "krizhevsky-no3467": (58.3, 64.0),
    "krizhevsky-fc2048": (23.4, 42.6),
    "krizhevsky-fc8192": (17.8, 40.2),
    "zfnet": (17.9, 36.3),
    "zfnet-fc2048": (20.0, 37.4),
    "zfnet-fc8192": (14.1, 36.8),
    "zfnet-wide345": (12.6, 35.5),
    "zfnet-wide345-fc8192": (8.8, 36.0),
    "zfnet-noclip": (22.0, 39.5),
}
ERRORS = ("train_top1_error", "center_top1_error", "val_top1_error", "val_top5_error")
CONFIG = {
    "train": {"batch": 128, "lr": 0.01, "momentum": 0.9, "rms_radius": 0.1}, "model": {"dropout": 0.5},
    "transfer": {"source": "menagerie"}, "voc": {"source": "menagerie"}, "name": HOSTILE,
}  # fmt: skip
SVM = {1: 31.2, 2: 42.7, 3: 50.4, 4: 53.8, 5: 57.9, 7: 56.1}


def interval(value: float, half: float, **known: Any) -> dict[str, Any]:
    return Measure(value, value - half, value + half, interval="made up", **known).to_json()


def folds(percent: float, spread: float = 0.008) -> dict[str, Any]:
    values = [percent / 100 + spread * step for step in (-1.2, -0.5, 0.0, 0.4, 1.3)]
    return Measure.over_repeats(values, "folds").to_json()


def error(percent: float) -> dict[str, Any]:
    return Measure.percentage(percent, 960).to_json()


def seeds(percent: float) -> dict[str, Any]:
    return Measure.over_repeats([percent - 0.4, percent + 0.1, percent + 0.3], "seeds").to_json()


def errors(top5: float, top1: float, known: float) -> dict[str, Any]:
    kinds = {"top5_error": top5, "top1_error": top1, "known_error": known}
    return {kind: interval(value, 3.0) for kind, value in kinds.items()} | {"mean_iou": interval(0.46, 0.02)}


def all_numbers() -> dict[str, dict[str, Any]]:
    history = [
        {"epoch": e, "loss": 3.2 * 0.9**e, "val_top1_error": 96 * 0.93**e + 12, "lr": 0.01} for e in range(1, 21)
    ]
    train = {
        "top1_error": error(34.8), "top5_error": error(9.6),
        "center": {"top1_error": error(36.7), "top5_error": error(10.9)},
        "chance_top1": 95.8, "linear_pixels": {"top1_error": error(78.4), "n_val": 960}, "history": history,
        "n_train": 5760, "n_val": 960, "n_classes": 24, "epochs": 20, "parameters": 1_204_312, "pictures": 56,
    }  # fmt: skip
    rows = {
        name: {kind: seeds(value) for kind, value in zip(ERRORS, (a, b + 1.5, b, b / 3.1), strict=True)}
        | {"converged": True, "clipped_conv1": 0.0}
        for name, (a, b) in VARIANTS.items()
    }
    rows["zfnet-paperscale"] = rows["zfnet"] | {"clipped_conv1": 0.2}
    layers = {str(n): {"purity": interval(0.2 + 0.11 * n, 0.03), "chance": 0.19, "n_maps": 64} for n in range(1, 6)}
    settled = {
        str(n): {"settled": interval(2 * n - 1, 1.0), "settled_alone": interval(2 * n - 1, 1.0), "n_maps": 64}
        for n in range(1, 6)
    }
    networks = {
        name: {
            "dead": Measure.percentage(100 * dead, 32, "filters").scaled(0.01).to_json(), "n_filters": 32,
            "dominance": interval(dominance, 0.04), "aliased_layer2": interval(aliased, 0.02),
        }
        for name, dead, dominance, aliased in (
            ("zfnet", 0.06, 0.21, 0.04), ("zfnet, no RMS clipping", 0.19, 0.55, 0.05), ("krizhevsky", 0.16, 0.24, 0.17)
        )
    }  # fmt: skip
    parts = {"left_eye": 0.081, "right_eye": 0.079, "nose": 0.088, "random": 0.118}
    qualities = {"random": 0.01, "w": 0.06, "a": 0.6, "a+": 0.7}
    methods = {
        "random": 0.8,
        "a": 0.7,
        "w": 0.65,
        "gradient x input": 0.6,
        "a+": 0.41,
        "deconvnet": 0.6,
        "guided": 0.55,
        "occlusion": 0.4,
    }
    advantages = {
        "a+ above w": 0.6,
        "a above w": 0.5,
        "w above random": 0.05,
        "a+ above a, fully connected with ReLU": 0.1,
    }
    return {
        "patterns": {
            "rho": {
                layer: {name: interval(value, 0.02) for name, value in qualities.items()}
                for layer in ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8")
            },
            "rho_differences": {
                target: {name: interval(value, 0.02) for name, value in advantages.items()}
                for target in ("y", "output")
            },
            "degradation": {
                name: {
                    "area": interval(value, 0.05),
                    "above_a+": interval(value - 0.41, 0.04),
                    "below_random": interval(0.8 - value, 0.03),
                }
                for name, value in methods.items()
            },
            "patch_sizes": {side: {"gradient x input": {"above_a+": interval(0.2, 0.04)}} for side in ("2", "4")},
            "toy": {"turned_further": interval(40.0, 9.0)},
        },
        "data": {"n_train": 5760, "n_val": 960},
        "train": train,
        "ablations": {"rows": rows, "n_classes": 24, "n_train": 5760, "n_val": 960, "epochs": 3, "seeds": [0, 1, 2],
                      "n_train_measured": 5760, "full_units": 1024},
        "top_activations": {"layers": layers, "n_images": 960},
        "evolution": {"layers": settled, "epochs": [1, 2, 5, 10, 15, 20]},
        "first_layer": {"networks": networks, "seeds": {
            name: {"dead": [dead, dead + 0.01, dead], "dominance": [0.2, 0.21, dead + 0.2], "shift": [0.2, 0.3, dead]}
            for name, dead in (("zfnet", 0.06), ("krizhevsky", 0.16), ("zfnet, paper's scale", 0.06),
                               ("zfnet, paper's scale, no RMS clipping", 0.19))
        }},
        "invariance": {
            kind: {
                f"layer{n}": {
                    "area": interval(0.8 if n == 1 else 0.35, 0.03), "largest": interval(1.1 if n == 1 else 0.6, 0.04),
                    "linearity": interval(0.3 if n == 1 else 0.94, 0.02), "straightness": interval(0.4, 0.02),
                    "layer1_further": interval(0.45, 0.03),
                }
                for n in (1, 7)
            } | {"probability": {"area": interval({"translation": 0.6, "scale": 0.55, "rotation": 0.2}[kind], 0.03)}}
            for kind in ("translation", "scale", "rotation")
        } | {
            "stability": {
                "translation of 10 %": interval(0.86, 0.04), "scale 1.2": interval(0.81, 0.05),
                "rotation by 30 degrees": interval(0.44, 0.06), "rotation by 90 degrees": interval(0.2, 0.05),
            },
            "stability_of_correct": {"translation of 10 %": interval(0.9, 0.04), "scale 1.2": interval(0.85, 0.05)},
            "equally_far": {f"{kind} minus rotation": interval(0.2, 0.05) for kind in ("translation", "scale")},
            "symmetry": interval(0.3, 0.1),
        },
        "occlusion": {
            "n_scored": 48, "drop_effect": interval(0.9, 0.2), "place_above_others": interval(0.31, 0.11),
            "deepest_activity_in_box": interval(0.72, 0.12), "chance": interval(0.38, 0.05),
            "projection_above_others": interval(0.12, 0.03),
        },
        "correspondence": {
            f"layer{n}": {part: interval(value * f, 0.006, std=0.014)
                          for part, value in parts.items()}
            | {"difference": interval(0.035 if n == 5 else 0.006, 0.007)}
            for n, f in ((5, 1.0), (7, 0.9))
        } | {"shrinks": interval(0.029, 0.008)} | {
            "nonzero": {"layer5": {"difference": interval(-0.02, 0.01)}, "shrinks": interval(0.01, 0.005)}
        },
        "class_model": {
            "score": {"score": [41.0, 38.5, 44.2, 39.9]}, "start": {"rivals": [3.1, 3.0, 3.2, 3.1]},
            "posterior": {"score": [29.0, 27.3, 30.1, 28.8], "rivals": [1.9, 2.2, 1.7, 2.0]},
            "classes": [HOSTILE, "fox", "barn", "bus"], "rivals_higher_on_score": interval(1.2, 0.5, n=4),
        },
        "saliency": {"n_images": 300, "inside": interval(0.52, 0.04), "area": {"value": 0.38},
                     "excess": interval(0.14, 0.02, n=300), "above_others": interval(0.1, 0.02, n=300),
                     "deconvnet": {"largest_elsewhere": {"value": 1e-6}}},
        "transfer": {
            "table7": {
                "svm": {str(n): folds(value) for n, value in SVM.items()},
                "softmax": {"5": folds(55.0), "7": folds(55.9)},
            },
            "table4": {
                "pretrained": {"15": folds(48.1), "30": folds(55.9)},
                "scratch": {"15": folds(33.0), "30": folds(44.5)},
            },
            "n_test": 240,
            "few_shot": {str(m): folds(value) for m, value in ((1, 20.0), (3, 33.0), (15, 48.1), (30, 55.9))},
            "chance": 1 / 12, "n_classes": 12, "n_images": 600,
            "protocol": {"source": "ours, after Caltech-101", "per_class": [15, 30]},
        },
        "voc": {
            "table6": {
                kind: {"ap": {k: interval(ap, 0.04) for k in ("aeroplane", "cat", "sheep")},
                       "mean": interval(ap, 0.02)}
                for kind, ap in (("softmax", 0.41), ("svm", 0.44))
            },
            "n_train": 100, "n_test": 100, "n_classes": 20, "year": 2012, "split": "val", "rule": "all points",
        },
        "localization": {
            "grabcut": errors(47.0, 58.1, 40.2), "threshold": errors(52.2, 62.0, 45.9),
            "centre": errors(55.9, 66.7, 51.3), "whole": errors(70.4, 79.9, 68.0),
            "classification": {"top5_error": interval(9.8, 1.8), "top1_error": interval(35.0, 3.0)},
            "differences": {name: {"known_error": interval(-d, 3.4)}
                            for name, d in (("centre", 11.1), ("threshold", 5.7), ("whole", 27.8))},
        },
    }  # fmt: skip


def draw(path: Path, width: int, height: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 255, (max(height // 24, 2), max(width // 24, 2), 3), dtype=np.uint8)
    Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC).save(path)


@cache
def invariance_chart() -> str:
    x = np.linspace(-60, 60, 21)
    panels = []
    for name in ("vertical translation", "scale", "rotation"):
        series = [chart.Series(f"layer {n}", x, np.abs(x) ** (1 / n)) for n in (1, 7)]
        panels.append(chart.Panel(name, "shift, px", "distance", series))
    return chart.lines(panels)


def draw_figures(stage: str, folder: Path, numbers: dict[str, Any]) -> dict[str, str]:
    if stage == "train":
        history = numbers["history"]
        epochs = [line["epoch"] for line in history]
        series = [chart.Series("validation", epochs, [line["val_top1_error"] for line in history])]
        panels = [chart.Panel("Error", "epoch", "top-1 error, %", series, levels=[("chance", 95.8)])]
        chart.save(chart.lines(panels), folder / "curves.svg")
        return {"curves.svg": "Validation error falls over the epochs."}
    if stage == "invariance":
        chart.save(invariance_chart(), folder / "invariance.svg")
        return {"invariance.svg": "Distance of the features at layer 1 and layer 7 under three transformations."}
    sizes = {"top_activations": (1280, 900), "saliency": (900, 420), "first_layer": (240, 240)}
    if stage == "transfer":
        return {}
    draw(folder / "a picture.png", *sizes.get(stage, (620, 300)), seed=len(stage))
    return {"a picture.png": f"A picture of {stage} for the class {HOSTILE}."}


def draw_atlas(folder: Path) -> None:
    """Two layers of three maps, the last of which never fires."""
    layers = {}
    for n in ("1", "5"):
        maps = []
        for unit in range(3):
            classes = [] if unit == 2 else [0, 0, 1, 0, 2]
            counts = [[0, 3], [1, 1], [2, 1]] if classes else []
            values = [5.125 - i / 4 for i in range(len(classes))]
            files = [f"{HOSTILE}/{i}.jpg" for i in range(len(classes))]
            maps.append({"unit": unit, "values": values, "classes": classes, "files": files, "counts": counts,
                         "purity": 0.6 if classes else 0.0})  # fmt: skip
            if classes:
                (folder / "atlas" / f"layer{n}").mkdir(parents=True, exist_ok=True)
                draw(folder / "atlas" / f"layer{n}" / f"{unit}.jpg", 336, 164, unit)
        layers[n] = {"module": f"relu{n}", "field": 7, "maps": maps}
    content = {"names": [HOSTILE, "fox", "long" * 40], "layers": layers}
    (folder / "atlas.json").write_text(json.dumps(content), encoding="utf-8")


@pytest.fixture(scope="session")
def make_outputs() -> Callable[..., Path]:
    """Writes results of the named stages (default: all) and returns the folder of the profile."""

    def make(root: Path, *stages: str) -> Path:
        outputs = root / "outputs" / "menagerie"
        for stage, numbers in all_numbers().items():
            if stages and stage not in stages:
                continue
            folder = outputs / stage
            folder.mkdir(parents=True)
            result = {
                "stage": stage, "config": CONFIG, "fingerprint": "3f2a" * 4,
                "seed": 0, "versions": {"torch": "2.15.0", "zfnet": "0.1.0"}, "commit": "0123abc", "dirty": True,
                "device": "a processor, 4 cores", "seconds": 83.0, "created": "2026-01-01T12:00:00+00:00",
                "headline": f"{stage}: {HOSTILE}", "numbers": numbers, "figures": draw_figures(stage, folder, numbers),
                "command": f"python -m zfnet stage={stage} profile=menagerie",
            }  # fmt: skip
            (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")
            if stage == "top_activations":
                draw_atlas(folder)
        return outputs

    return make
