"""The sweep of conf/sweep.yaml by Hydra's --multirun, for machines without a service: `zfnet sweep`.

The same file works with `wandb sweep` and `wandb agent`; here its parameters become Hydra's lists, so both ways run the
same points. Settings given on the command line apply to every point: `zfnet sweep profile=tiny_imagenet seed=1`.
"""

from pathlib import Path

import yaml

from zfnet.cli import run
from zfnet.core.resources import CONF

SWEEP = CONF / "sweep.yaml"


def multirun_words(path: Path = SWEEP) -> list[str]:
    """What follows `zfnet run` to run every point of the sweep: --multirun stage=train train.lr=0.01,0.02."""
    sweep = yaml.safe_load(path.read_text(encoding="utf-8"))
    stage = next(word for word in sweep["command"] if word.startswith("stage="))
    words = ["--multirun", stage]
    for key, entry in sweep["parameters"].items():
        values = entry.get("values", [entry.get("value")])
        words.append(f"{key}={','.join(str(value) for value in values)}")
    return words


def main(words: list[str]) -> int:
    """The command `zfnet sweep` with the words that follow it; returns the exit code."""
    if {"-h", "--help"} & set(words):
        print((__doc__ or "").strip())
        return 0
    return run.main([*multirun_words(), *words])
