"""The settings of every run; those of a stage are in zfnet.experiments.<stage>.options.

Defaults are the papers' values at the papers' scale; a profile (conf/profile/) sets what a smaller scale needs.
"[NS]" marks what the paper does not state: the value is our choice. Unknown keys and wrong types fail when the
configuration is composed, impossible values in `zfnet.core.options.check`, each with one line that names the key and
what is allowed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, make_dataclass
from typing import TYPE_CHECKING, Any

from zfnet.core.options import choice, number
from zfnet.data.options import DataOptions
from zfnet.networks.options import ModelOptions, NetworkOptions
from zfnet.pipeline.options import PathsOptions, WandbOptions
from zfnet.training.options import CheckpointOptions, TrainOptions


@dataclass
class Settings:
    """The configuration of a run; the table of stages adds a section for each stage that has options."""

    stage: str = "report"  # one stage and what it needs; several: "train,occlusion"
    profile: str = "menagerie"  # names the output folder; set by conf/profile/
    image: str = ""  # file of a photograph, for stage=explain
    objective: str = "top1_error"  # number of the last stage that a sweeper minimizes: its path in result.json
    seed: int = number(0, at_least=0)  # of the analyses
    device: str = choice("auto", "auto", "cpu", "cuda")
    gpus: int = number(0, at_least=0, at_most=1024)  # training processes, one GPU each; 0: one process on `device`
    workers: int = number(1, at_least=1, at_most=1024)  # training processes on the CPU, where gpus=0
    nodes: int = number(1, at_least=1, at_most=4096)  # machines that train together; see docs/cluster.md
    rendezvous: str = ""  # host:port at which several nodes meet
    paths: PathsOptions = field(default_factory=PathsOptions)
    data: DataOptions = field(default_factory=DataOptions)
    network: NetworkOptions = field(default_factory=NetworkOptions)
    model: ModelOptions = field(default_factory=ModelOptions)
    train: TrainOptions = field(default_factory=TrainOptions)
    checkpoints: CheckpointOptions = field(default_factory=CheckpointOptions)
    wandb: WandbOptions = field(default_factory=WandbOptions)

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """The section of a stage."""


def with_sections(sections: dict[str, type]) -> type[Settings]:
    """The whole schema: the settings, and a section of options for each name."""
    fields = [(name, options, field(default_factory=options)) for name, options in sections.items()]
    return make_dataclass("Config", fields, bases=(Settings,), namespace={"__module__": __name__})
