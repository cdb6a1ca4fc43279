"""Stage: a name, the stages it needs, the sections of the configuration it reads, and two functions.

`check` raises UserError for what would fail later; it is called for all stages of a run before any of them starts.
`run` does the work, writes its files under `context.out` and returns its numbers.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from zfnet.experiments.context import Context
from zfnet.experiments.control import Control
from zfnet.experiments.trainings import Training
from zfnet.pipeline.record import Outcome


def nothing_to_check(context: Context) -> None:
    """The check of a stage without one."""


@dataclass(frozen=True)
class Stage:
    """One row of the table (zfnet.experiments.table).

    needs: stages that run before it. borrowed_needs: those where the network is not one of ours.
    reads: keys of the configuration that its numbers depend on. version: grows with the numbers of its result.
    """

    name: str
    artefact: str  # what of which paper it makes
    run: Callable[[Context], Outcome]
    check: Callable[[Context], None] = nothing_to_check
    options: type[Any] | None = None  # dataclass of its section of the configuration, which has the stage's name
    control: Control | None = None  # the null control of its numbers, which runs after it
    trainings: Callable[[Context], list[Training]] | None = None  # the networks that it trains, each in its folder
    needs: tuple[str, ...] = ()
    borrowed_needs: tuple[str, ...] = ("data",)
    reads: tuple[str, ...] = ()
    version: int = 1
    keeps: bool = False  # its folder holds resumable work and is not emptied before it runs
    leaves: tuple[str, ...] = ()  # patterns of the files of its folder that others read; changed, it is not done
    trains: bool = False  # it is about training: a borrowed network has none
    uses_network: bool = True  # it uses the network that the configuration names
    of_photo: bool = False  # it uses the key `image`: always runs, and is not in the report
    package: str = ""  # package of resources in its output: it runs again when one changes
