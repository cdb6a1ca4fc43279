"""What a stage is: a name, what it needs, which sections of the configuration it reads, and two functions.

`check` is called for every stage of a run before any of them starts, and raises UserError for what would fail later.
`run` does the work, writes its files under `context.out` and returns its numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from zfnet.experiments.context import Context
from zfnet.pipeline.record import Outcome


def nothing_to_check(context: Context) -> None:
    """The check of a stage that cannot fail early."""


@dataclass(frozen=True)
class Stage:
    """One row of the table (zfnet.experiments.table).

    needs: stages that run before it. borrowed_needs: those where the network is not one of ours.
    reads: keys of the configuration that its numbers depend on. version: grows when the same input gives more.
    """

    name: str
    artefact: str  # what of which paper it makes
    run: Callable[[Context], Outcome]
    check: Callable[[Context], None] = nothing_to_check
    options: type[Any] | None = None  # dataclass of its section of the configuration, which has the stage's name
    needs: tuple[str, ...] = ()
    borrowed_needs: tuple[str, ...] = ("data",)
    reads: tuple[str, ...] = ()
    version: int = 1
    keeps: bool = False  # its folder holds work that can be resumed: it is not emptied before the stage runs again
    leaves: tuple[str, ...] = ()  # files of its folder without which it is not done, whatever result.json says
    trains: bool = False  # it is about trainings: a borrowed network has none
    uses_network: bool = True  # it looks at the network that the configuration names
    of_photo: bool = False  # it looks at the user's `image`: never "done", and not in the report
    package: str = ""  # package of resources that its output is made of: it runs again when one of them has changed
