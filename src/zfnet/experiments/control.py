"""The null control of a stage: its numbers once more, of the same network with its initial weights.

What holds for a network that has learned nothing says nothing about what was learned. A stage names what changes of its
options for the control (fewer images, nothing to draw); its own `run` does the rest, on the images that the trained
network chose, in a folder that is thrown away.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from zfnet.core.errors import UserError
from zfnet.experiments.context import Context
from zfnet.pipeline.record import Outcome

Numbers = Mapping[str, Any]
Control = Callable[[Context, Numbers], dict[str, Any]]  # (of the stage, its numbers) -> the numbers of its control


def with_initial_weights(run: Callable[[Context], Outcome], change: Callable[[Any, Numbers], Any]) -> Control:
    """The control that is `run` of the untrained network.

    change: gives the options of the control from those of the stage and its numbers.
    """

    def control(context: Context, numbers: Numbers) -> dict[str, Any]:
        config = replace(context.config, **{context.stage: change(context.options, numbers)})
        with tempfile.TemporaryDirectory() as folder:
            again = replace(context, config=config, out=Path(folder), kept=context.out, initial=True)
            return run(again).numbers

    return control


def fewer(count: int, share: float, least: int = 1) -> int:
    """The number of images of a control: a share of those of the stage, `least` of them or as many as there are."""
    return min(count, max(least, round(share * count)))


def add_control(control: Control | None, context: Context, outcome: Outcome) -> None:
    """Set `control` and `control_seconds` among the numbers of an outcome, unless it has none to set beside them."""
    from zfnet.networks.borrowed import RANDOM

    if control is None or "skipped" in outcome.numbers or context.config.network.weights == RANDOM:
        return
    print(f"{context.stage:16} null control", flush=True)
    started = time.monotonic()
    try:
        numbers = control(context, outcome.numbers)
    except UserError as error:  # as where an untrained layer is dead: the page says that there is no control
        print(f"  no null control: {error}", flush=True)
        return
    if "skipped" not in numbers:
        outcome.numbers["control"] = numbers
        outcome.numbers["control_seconds"] = round(time.monotonic() - started, 2)
