"""The sweep of conf/sweep.yaml by Hydra's --multirun, for machines without a service: `zfnet sweep`.

The same file works with `wandb sweep` and `wandb agent`; here its parameters become Hydra's lists, so both ways run the
same points. Settings given on the command line apply to every point: `zfnet sweep profile=tiny_imagenet seed=1`.
"""

from pathlib import Path

import yaml

from zfnet.cli import run
from zfnet.core.errors import UserError
from zfnet.core.resources import CONF
from zfnet.data.tables import read_text

SWEEP = CONF / "sweep.yaml"


def multirun_words(path: Path = SWEEP) -> list[str]:
    """What follows `zfnet run` to run every point of the sweep: --multirun stage=train train.lr=0.01,0.02.

    Raises UserError for a file that is no sweep, and for a parameter whose values are drawn.
    """
    try:
        sweep = yaml.safe_load(read_text(path))
        stage = next(word for word in sweep["command"] if word.startswith("stage="))
        parameters = {key: dict(entry) for key, entry in sweep["parameters"].items()}
    except (yaml.YAMLError, LookupError, TypeError, ValueError, AttributeError, StopIteration) as error:
        reason = " ".join(str(error).split()) or "no stage= in it"
        raise UserError(
            f"{path}: not a sweep ({reason}); it needs a `command` with stage=... and `parameters`"
        ) from error
    words = ["--multirun", stage]
    for key, entry in parameters.items():
        values = entry.get("values", [entry["value"]] if "value" in entry else [])
        if not isinstance(values, list) or not values:
            given = ", ".join(entry) or "nothing"
            raise UserError(f"{path}: {key} has {given}; here it takes `values: [...]`, ranges are of `wandb sweep`")
        words.append(f"{key}={','.join(str(value) for value in values)}")
    return words


def main(words: list[str]) -> int:
    """The command `zfnet sweep` with the words that follow it; returns the exit code."""
    if {"-h", "--help"} & set(words):
        print((__doc__ or "").strip())
        return 0
    return run.main([*multirun_words(), *words])
