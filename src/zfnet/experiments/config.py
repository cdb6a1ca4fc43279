"""The typed schema of conf/: every key, its type, its allowed values and why it has its default.

Defaults are the papers' values at the papers' scale; a profile (conf/profile/) sets what a smaller scale needs.
"[NS]" marks what the paper does not state: the value is our choice. Unknown keys and wrong types fail when the
configuration is composed, impossible values in `check`, each with one line that names the key and what is allowed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from zfnet.core.options import choice, number
from zfnet.data.options import DataOptions
from zfnet.experiments.ablations.options import AblationsOptions
from zfnet.experiments.class_model.options import ClassModelOptions
from zfnet.experiments.correspondence.options import CorrespondenceOptions
from zfnet.experiments.ensemble.options import EnsembleOptions
from zfnet.experiments.evolution.options import EvolutionOptions
from zfnet.experiments.explain.options import ExplainOptions
from zfnet.experiments.first_layer.options import FirstLayerOptions
from zfnet.experiments.invariance.options import InvarianceOptions
from zfnet.experiments.localization.options import LocalizationOptions
from zfnet.experiments.occlusion.options import OcclusionOptions
from zfnet.experiments.patterns.options import PatternsOptions
from zfnet.experiments.saliency.options import SaliencyOptions
from zfnet.experiments.top_activations.options import TopActivationsOptions
from zfnet.experiments.transfer.options import TransferOptions
from zfnet.experiments.voc.options import VocOptions
from zfnet.networks.options import ModelOptions, NetworkOptions
from zfnet.pipeline.options import PathsOptions, ReportOptions, WandbOptions
from zfnet.training.options import CheckpointOptions, TrainOptions


@dataclass
class Config:
    stage: str = "report"  # one stage and what it needs; several: "train,occlusion"; `list` names them
    profile: str = "menagerie"  # names the output folder; set by conf/profile/
    image: str = ""  # a photograph of one's own, for stage=explain
    seed: int = number(0, at_least=0)  # of the analyses
    device: str = choice("auto", "auto", "cpu", "cuda")
    gpus: int = number(0, at_least=0)  # training processes, one GPU each; 0: one process on `device`
    workers: int = number(1, at_least=1)  # training processes on the CPU, where gpus=0
    nodes: int = number(1, at_least=1)  # machines that train together, each with so many processes; see docs/runs.md
    rendezvous: str = ""  # host:port at which several nodes meet
    paths: PathsOptions = field(default_factory=PathsOptions)
    data: DataOptions = field(default_factory=DataOptions)
    network: NetworkOptions = field(default_factory=NetworkOptions)
    model: ModelOptions = field(default_factory=ModelOptions)
    train: TrainOptions = field(default_factory=TrainOptions)
    checkpoints: CheckpointOptions = field(default_factory=CheckpointOptions)
    ablations: AblationsOptions = field(default_factory=AblationsOptions)
    ensemble: EnsembleOptions = field(default_factory=EnsembleOptions)
    top_activations: TopActivationsOptions = field(default_factory=TopActivationsOptions)
    evolution: EvolutionOptions = field(default_factory=EvolutionOptions)
    first_layer: FirstLayerOptions = field(default_factory=FirstLayerOptions)
    invariance: InvarianceOptions = field(default_factory=InvarianceOptions)
    occlusion: OcclusionOptions = field(default_factory=OcclusionOptions)
    correspondence: CorrespondenceOptions = field(default_factory=CorrespondenceOptions)
    class_model: ClassModelOptions = field(default_factory=ClassModelOptions)
    saliency: SaliencyOptions = field(default_factory=SaliencyOptions)
    patterns: PatternsOptions = field(default_factory=PatternsOptions)
    transfer: TransferOptions = field(default_factory=TransferOptions)
    voc: VocOptions = field(default_factory=VocOptions)
    localization: LocalizationOptions = field(default_factory=LocalizationOptions)
    explain: ExplainOptions = field(default_factory=ExplainOptions)
    report: ReportOptions = field(default_factory=ReportOptions)
    wandb: WandbOptions = field(default_factory=WandbOptions)
