"""The sweep of conf/sweep.yaml by Hydra's --multirun, for machines without a service: `make sweep`.

The same file works with `wandb sweep` and `wandb agent`; here its parameters become Hydra's lists, so both ways run the
same points. Words given on the command line are handed on: `python -m zfnet.cli.sweep profile=tiny_imagenet seed=1`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import yaml

SWEEP = Path(__file__).resolve().parents[3] / "conf" / "sweep.yaml"


def multirun_words(path: Path = SWEEP) -> list[str]:
    """What follows `python -m zfnet` to run every point of the sweep: --multirun stage=train train.lr=0.01,0.02."""
    sweep = yaml.safe_load(path.read_text(encoding="utf-8"))
    stage = next(word for word in sweep["command"] if word.startswith("stage="))
    parameters = [
        f"{key}={','.join(str(value) for value in entry.get('values', [entry.get('value')]))}"
        for key, entry in sweep["parameters"].items()
    ]
    return ["--multirun", stage, *parameters]


def main(words: list[str]) -> None:
    """Become the sweep: as one process it gets Ctrl-C itself and ends when, and as, its training does."""
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "zfnet", *multirun_words(), *words])


if __name__ == "__main__":
    main(sys.argv[1:])
