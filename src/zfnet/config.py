"""The typed schema of conf/: every key, its type, its allowed values and why it has its default.

Defaults are the papers' values at the papers' scale; a profile (conf/profile/) sets what a smaller scale needs.
"[NS]" marks what the paper does not state: the value is our choice. Unknown keys and wrong types fail when the
configuration is composed, impossible values in `check`, each with one line that names the key and what is allowed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from zfnet.errors import UserError


def number(
    default: Any,
    at_least: float | None = None,
    at_most: float | None = None,
    above: float | None = None,
    some: bool = False,
) -> Any:
    """A field whose value (or each element of whose list) must lie in the stated range; `some`: no empty list."""
    metadata = {"at_least": at_least, "at_most": at_most, "above": above, "some": some}
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def choice(default: Any, *options: str, some: bool = False) -> Any:
    """A field whose value (or each element of whose list) is one of `options`; `some`: no empty list."""
    metadata = {"options": options, "some": some}
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass
class PathsConfig:
    data: str = "data"  # raw data sets: <data>/<source>
    outputs: str = "outputs"  # <outputs>/<profile>/<stage>
    cache: str = ""  # image caches that several runs share: <cache>/<hash>; empty: in <outputs>/<profile>/data


@dataclass
class MenagerieConfig:
    """How many pictures the program draws when the source is `menagerie`."""

    train_per_class: int = number(240, at_least=1)
    val_per_class: int = number(40, at_least=1)
    caltech_per_class: int = number(50, at_least=2)
    voc_images: int = number(200, at_least=1)
    seed: int = number(0, at_least=0)


@dataclass
class DataConfig:
    source: str = choice("menagerie", "menagerie", "tiny_imagenet", "folder", "imagenet")
    root: str = ""  # folder of the data set; empty: see data/README.md
    n_classes: int = number(0, at_least=0)  # the first so many classes; 0: all
    train_per_class: int = number(0, at_least=0)  # images a class; 0: all
    val_per_class: int = number(0, at_least=0)
    leave_out: str = ""  # file of training images not to train on, a path a line; see transfer/leave_out.txt [ZF13 5.2]
    val_share: float = number(0.2, above=0, at_most=0.9)  # of a `folder` without a val/ of its own
    size: int = number(256, at_least=32, at_most=512)  # px, side of the frame; crops are 224/256 of it [ZF13 3]
    cache: str = choice("raw", "raw", "jpeg")  # frames as pixels (196 kB at 256 px), or as JPEGs (about 20 kB)
    quality: int = number(90, at_least=50, at_most=100)  # of those JPEGs
    divisor: float = number(1.0, above=0)  # input = (pixel - mean) / divisor; the papers: 1
    bad_limit: int = number(0, at_least=0)  # unreadable files that are left out, named, before it is an error
    seed: int = number(0, at_least=0)  # which images a limit keeps
    menagerie: MenagerieConfig = field(default_factory=MenagerieConfig)


@dataclass
class ModelConfig:
    name: str = "zfnet"  # a row of zfnet.models.table.VARIANTS
    width: float = number(1.0, above=0, at_most=4)  # factor on all maps and units; the papers: 1
    dropout: float = number(0.5, at_least=0, at_most=0.95)  # after fc6 and fc7 [ZF13 3]
    init: str = choice("paper", "paper", "he", "gain")  # paper: N(0, 0.01), biases 0 [ZF13 3]; see ConvNet.initialise


@dataclass
class TrainConfig:
    epochs: int = number(70, at_least=1)  # [ZF13 3]
    batch: int = number(128, at_least=1)  # images a step over all processes [ZF13 3]
    lr: float = number(0.01, above=0)  # at `reference_batch` images a step, else in proportion [ZF13 3]
    reference_batch: int = number(128, at_least=1)  # images a step for which `lr` is meant [ZF13 3]
    momentum: float = number(0.9, at_least=0, at_most=0.999)  # [ZF13 3]
    weight_decay: float = number(5e-4, at_least=0)  # [NS]; Krizhevsky's value
    schedule: str = choice("plateau", "plateau", "step", "cosine", "constant")  # plateau: annealed [ZF13 3]
    factor: float = number(0.1, above=0, at_most=1)  # of each annealing [NS]; Krizhevsky's value
    patience: int = number(3, at_least=1)  # epochs without a better validation error before annealing [NS]
    milestones: list[int] = number([30, 50, 60], at_least=1)  # epochs at which schedule=step anneals [NS]
    warmup_epochs: float = number(0.0, at_least=0)  # linear from 0; some 5 for batches over 1000 [our choice]
    crops: str = choice("ten", "ten", "random")  # training crops: the fixed ten [ZF13 3] or any place
    rms_radius: float = number(0.1, at_least=0)  # filters are scaled back to this RMS, in units of pixels; 0: never
    precision: str = choice("auto", "auto", "fp32", "bf16")  # auto: bf16 where the device is fast at it
    snapshots: list[int] = number([1, 2, 5, 10, 20, 30, 40, 64], at_least=1)  # epochs kept for Fig. 4 [ZF13]
    seed: int = number(0, at_least=0)  # weights, order and crops


@dataclass
class CheckpointsConfig:
    minutes: float = number(5.0, above=0)  # between checkpoints inside an epoch; there is one after every epoch
    keep: int = number(2, at_least=1)  # checkpoints kept


@dataclass
class AblationsConfig:
    rows: list[str] = field(default_factory=list)  # rows of Table 3 and zfnet-noclip; empty: all
    paperscale_epochs: int = number(0, at_least=0)  # of two more rows at the paper's input scale, Fig. 6a; 0: none
    epochs: int = number(0, at_least=0)  # 0: as train.epochs
    n_classes: int = number(0, at_least=0)  # the first so many classes; 0: all
    seeds: list[int] = number([0], at_least=0, some=True)  # one training a seed; mean and std over them


@dataclass
class EnsembleConfig:
    seeds: list[int] = number([1, 2, 3, 4], at_least=0)  # networks beside that of train.seed: five [ZF13] Table 2
    wide: bool = True  # and one with layers 3, 4, 5 = 512, 1024, 512: net (b) [ZF13] Table 2


@dataclass
class TopActivationsConfig:
    top: int = number(9, at_least=1, at_most=25)  # [ZF13] Fig. 2
    n_maps: list[int] = number(
        [16, 16, 12, 10, 10], at_least=1, some=True
    )  # maps shown of layers 1..5 [ZF13 Fig. 2, layer 1 ours]
    atlas_maps: int = number(0, at_least=0)  # maps a layer in the atlas; 0: all
    batch: int = number(256, at_least=1)


@dataclass
class EvolutionConfig:
    n_maps: int = number(6, at_least=1)  # maps a layer shown, drawn at random [NS]
    n_measured: int = number(32, at_least=1)  # maps a layer measured, those shown among them [our choice]
    n_images: int = number(0, at_least=0)  # training images searched; 0: all, as the paper
    batch: int = number(256, at_least=1)


@dataclass
class FirstLayerConfig:
    n_images: int = number(1000, at_least=1)  # on which a filter must fire not to be called dead [NS]
    batch: int = number(256, at_least=1)


@dataclass
class InvarianceConfig:
    n_images: int = number(5, at_least=1)  # shown as curves [ZF13] Fig. 5
    n_score: int = number(200, at_least=1)  # measured, with intervals [our choice]
    translation: float = number(60.0, above=0)  # px at 224: -60 .. 60 [ZF13] Fig. 5, axis
    scale: float = number(1.8, above=1)  # 1 .. 1.8 [ZF13] Fig. 5, axis
    rotation: float = number(350.0, above=0, at_most=360)  # degrees: 0 .. 350 [ZF13] Fig. 5, axis
    steps: int = number(21, at_least=3)  # points a curve [NS]
    batch: int = number(128, at_least=1)


@dataclass
class OcclusionConfig:
    square: int = number(50, at_least=1)  # px of the crop, side of the grey square [NS]
    stride: int = number(6, at_least=1)  # px of the crop between places [NS]
    n_images: int = number(3, at_least=1)  # shown [ZF13] Fig. 7
    n_score: int = number(50, at_least=1)  # scored against the boxes [our choice]
    grey: str = choice("mean", "mean", "128")  # colour of the square [NS]; mean: 0 after mean subtraction
    batch: int = number(64, at_least=1)  # places at once; larger ones thrash a CPU's memory


@dataclass
class CorrespondenceConfig:
    parts: str = ""  # CSV file,part,x,y,radius; empty: that of the data set, see conf/parts
    n_images: int = number(5, at_least=2)  # [ZF13] 4.3
    repeats: int = number(10, at_least=1)  # random choices of the images [our choice]
    n_random: int = number(10, at_least=1)  # random places an image [NS]


@dataclass
class ClassModelConfig:
    n_classes: int = number(9, at_least=1)
    iterations: int = number(150, at_least=1)  # [NS]
    lr: float = number(2.0, above=0)  # RMS of the first step, in pixel units; falls to 0 linearly [NS]
    l2: float = number(0.01, at_least=0)  # weight of the mean squared pixel; lambda = l2 / (3 h w) [NS]


@dataclass
class SaliencyConfig:
    n_images: int = number(8, at_least=1)  # shown
    n_score: int = number(300, at_least=1)  # measured against the boxes [our choice]
    crops: str = choice("ten", "ten", "center")  # maps averaged over ten crops [SVZ13 3.1]
    batch: int = number(32, at_least=1)


@dataclass
class PatternsConfig:
    n_images: int = number(0, at_least=0)  # training images for the patterns; 0: the first half, as [K17]
    n_measure: int = number(2000, at_least=2)  # images of the second half, and of validation, for rho; the paper: all
    n_neurons: int = number(64, at_least=1)  # neurons a layer whose rho is measured [our choice]; the paper: all
    n_degraded: int = number(64, at_least=1)  # validation images that lose their patches; the paper: all
    patch: float = number(9.0, above=0)  # px at 224, scaled to the crop [K17] Fig. 4
    n_patches: int = number(100, at_least=1)  # that are replaced, one after another [K17] Fig. 4
    points: int = number(20, at_least=1)  # measured on each curve; the paper: every patch
    n_shown: int = number(6, at_least=1)  # images in the picture [K17] Fig. 6
    batch: int = number(128, at_least=1)


TRAINED = "trained"  # the profile's own network
NETWORKS = (TRAINED, "alexnet", "vgg16", "resnet18")  # and those of torchvision


@dataclass
class TransferConfig:
    source: str = choice("menagerie", "menagerie", "caltech101", "caltech256", "none")  # names its protocol too
    root: str = ""  # folder of the transfer set; empty: <paths.data>/<source>
    background: bool = False  # whether BACKGROUND_Google or 257.clutter counts as a class [NS]
    layers: list[int] = number([1, 2, 3, 4, 5, 7], at_least=1, at_most=7)  # with an SVM [ZF13] Table 7
    softmax_layers: list[int] = number([5, 7], at_least=1, at_most=7)  # with a softmax [ZF13] Table 7
    per_class: list[int] = number([], at_least=1)  # training images a class; empty: the protocol's
    test_per_class: int = number(0, at_least=0)  # test images a class, at most; 0: the protocol's
    folds: int = number(0, at_least=0)  # 0: the protocol's
    few_shot: list[int] = number([1, 2, 5, 10, 20], at_least=1)  # further points of the curve [ZF13] Fig. 9
    trained_folds: int = number(1, at_least=1)  # folds on which whole networks are trained; the paper: all
    trained_epochs: int = number(60, at_least=0)  # of those networks [NS]; 0: none is trained
    trained_batch: int = number(32, at_least=1)  # images a step of those networks [NS]
    crops: str = choice("center", "center", "ten")  # ten: features averaged over the ten crops [NS]
    scaling: str = choice("center", "center", "mean", "unit")  # of the features, see zfnet.transfer.gram [NS]
    c_grid: list[float] = number([0.01, 0.1, 1.0, 10.0], above=0, some=True)  # C is chosen on held-out images [NS]
    reverse: int = number(30, at_least=0)  # images a class of the pre-training set, the other way round; 0: not done
    duplicates: float = number(0.975, above=0, at_most=1)  # correlation from which images are near-duplicates [NS]
    batch: int = number(64, at_least=1)  # images in one forward pass
    network: str = choice(TRAINED, *NETWORKS)  # whose frozen features: the profile's own, or torchvision's
    weights: str = ""  # of torchvision's network: a state dict; empty: torchvision's own; `random`: a trial


@dataclass
class VocConfig:
    source: str = choice("menagerie", "menagerie", "voc2007", "voc2012", "none")
    root: str = ""  # VOC<year> or the folder that holds it; empty: <paths.data>/VOCdevkit/VOC<year>
    test: str = choice("auto", "auto", "val", "test")  # val: trained on train; test: on train + val, as [ZF13]
    crops: str = choice("center", "center", "ten")  # ten: features averaged over the ten crops [NS]
    scaling: str = choice("center", "center", "mean", "unit")  # of the features, see zfnet.transfer.gram [NS]
    c_grid: list[float] = number([0.01, 0.1, 1.0, 10.0], above=0, some=True)  # grows where the best is at its end [NS]
    batch: int = number(64, at_least=1)  # images in one forward pass


SALIENCY = ("gradient", "guided", "deconvnet", "pattern_attribution", "occlusion")


@dataclass
class GridConfig:
    """Values among which `localization.tune` training images with boxes choose; each combination is tried."""

    foreground: list[float] = number([0.95, 0.8, 0.6], above=0.5, at_most=1, some=True)
    background: list[float] = number([0.3, 0.2, 0.1], above=0, at_most=0.5, some=True)
    clamp: list[str] = choice(["all"], "extreme", "all", some=True)
    smoothing: list[float] = number([0.03, 0.06], at_least=0, at_most=0.5, some=True)
    least_size: list[int] = number([0, 128], at_least=0, some=True)
    threshold: list[float] = number([0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4], above=0, at_most=1, some=True)
    threshold_smoothing: list[float] = number([0.03, 0.06, 0.1], at_least=0, at_most=0.5, some=True)
    centre: list[float] = number([0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95], above=0, at_most=1, some=True)


@dataclass
class LocalizationConfig:
    n_images: int = number(0, at_least=0)  # validation images that have boxes; 0: all
    images: str = ""  # further images with boxes, a folder in ILSVRC's layout that needs no train/; empty: none
    saliency: str = choice("gradient", *SALIENCY)
    tune: int = number(0, at_least=0)  # training images with boxes that choose from `grid`; 0: values as they are here
    grid: GridConfig = field(default_factory=GridConfig)
    compare: list[str] = choice([], *SALIENCY)  # sources of maps that are compared on the images of `tune`
    crops: str = choice("ten", "ten", "center")  # class guesses: averaged over ten crops [NS]
    guesses: int = number(5, at_least=1, at_most=5)  # boxes an image, one for each of the likeliest classes [SVZ13 3.2]
    foreground: float = number(0.95, above=0.5, at_most=1)  # seeds lie above this quantile of the map [SVZ13 3.2]
    background: float = number(0.30, above=0, at_most=0.5)  # and below this one [SVZ13 3.2]
    hard_foreground: float = number(0.995, above=0.5, at_most=1)  # seeds that the cut cannot undo [NS]; Oxford's code
    hard_background: float = number(0.005, at_least=0, at_most=0.5)  # likewise
    clamp: str = choice("extreme", "extreme", "all")  # what the cut cannot undo: those, or every seed [NS]
    iterations: int = number(1, at_least=1)  # 1: one graph cut with the seeds' colours [SVZ13]; more: GrabCut
    working_size: int = number(256, at_least=16)  # px, short side at the most, when segmented [NS]; Oxford's code
    least_size: int = number(0, at_least=0)  # px, short side at the least: smaller pictures are enlarged [NS]; 0: none
    smoothing: float = number(0.01, at_least=0, at_most=0.5)  # of the map: sigma / short side [NS]
    threshold: float = number(0.3, above=0, at_most=1)  # baseline: the way from the map's minimum to its maximum
    threshold_smoothing: float = number(0.06, at_least=0, at_most=0.5)  # baseline: sigma / short side
    centre: float = number(0.7, above=0, at_most=1)  # baseline: sides of the centre box / sides of the image
    blacklist: str = ""  # file of image numbers that the challenge does not score; empty: the devkit's, if any
    n_shown: int = number(8, at_least=1)  # images in the picture, drawn by the seed
    batch: int = number(128, at_least=1)  # images classified at once


@dataclass
class LookConfig:
    """Stage look: the photograph is the key `image`."""

    network: str = choice(TRAINED, *NETWORKS)  # the profile's own, or torchvision's
    weights: str = ""  # of torchvision's network: a state dict; empty: torchvision's own; `random`: a trial
    square: float = number(0.22, above=0, at_most=0.9)  # side of the grey square / side of the crop
    places: int = number(15, at_least=2)  # of the square along each side of the crop
    n_images: int = number(256, at_least=2)  # training images for patterns, where stage patterns has left none
    batch: int = number(32, at_least=1)  # places of the square at once


@dataclass
class ReportConfig:
    title: str = "Inside a convnet"


@dataclass
class WandbConfig:
    mode: str = choice("offline", "offline", "online", "disabled")
    project: str = "zfnet"
    group: str = ""  # the experiment; empty: the profile
    artifacts: bool = False  # the networks of a stage go along with its numbers


@dataclass
class Config:
    stage: str = "report"  # one stage and what it needs; several: "train,occlusion"; `list` names them
    profile: str = "menagerie"  # names the output folder; set by conf/profile/
    image: str = ""  # a photograph of one's own, for stage=look
    seed: int = number(0, at_least=0)  # of the analyses
    device: str = choice("auto", "auto", "cpu", "cuda")
    gpus: int = number(0, at_least=0)  # training processes, one GPU each; 0: one process on `device`
    workers: int = number(1, at_least=1)  # training processes on the CPU, where gpus=0
    nodes: int = number(1, at_least=1)  # machines that train together, each with so many processes; see docs/runs.md
    rendezvous: str = ""  # host:port at which several nodes meet
    paths: PathsConfig = field(default_factory=PathsConfig)
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    checkpoints: CheckpointsConfig = field(default_factory=CheckpointsConfig)
    ablations: AblationsConfig = field(default_factory=AblationsConfig)
    ensemble: EnsembleConfig = field(default_factory=EnsembleConfig)
    top_activations: TopActivationsConfig = field(default_factory=TopActivationsConfig)
    evolution: EvolutionConfig = field(default_factory=EvolutionConfig)
    first_layer: FirstLayerConfig = field(default_factory=FirstLayerConfig)
    invariance: InvarianceConfig = field(default_factory=InvarianceConfig)
    occlusion: OcclusionConfig = field(default_factory=OcclusionConfig)
    correspondence: CorrespondenceConfig = field(default_factory=CorrespondenceConfig)
    class_model: ClassModelConfig = field(default_factory=ClassModelConfig)
    saliency: SaliencyConfig = field(default_factory=SaliencyConfig)
    patterns: PatternsConfig = field(default_factory=PatternsConfig)
    transfer: TransferConfig = field(default_factory=TransferConfig)
    voc: VocConfig = field(default_factory=VocConfig)
    localization: LocalizationConfig = field(default_factory=LocalizationConfig)
    look: LookConfig = field(default_factory=LookConfig)
    report: ReportConfig = field(default_factory=ReportConfig)
    wandb: WandbConfig = field(default_factory=WandbConfig)


def check(config: Any, prefix: str = "") -> None:
    """Raise UserError for the first impossible value, naming its key and what is allowed."""
    for item, value, key in _fields(config, prefix):
        if dataclasses.is_dataclass(value):
            check(value, f"{key}.")
        if value == [] and item.metadata.get("some"):
            raise UserError(f"{key}: [] is empty; give at least one value")
        for element in value if isinstance(value, list) else [value]:
            _check_value(key, element, item.metadata)


def _fields(config: Any, prefix: str) -> Iterator[tuple[dataclasses.Field, Any, str]]:
    for item in dataclasses.fields(config):
        yield item, getattr(config, item.name), f"{prefix}{item.name}"


def _check_value(key: str, value: Any, allowed: Any) -> None:
    options = allowed.get("options")
    if options and value not in options:
        raise UserError(f"{key}: {value!r} is not one of {', '.join(options)}")
    bounds = [
        (allowed.get("at_least"), "at least", lambda bound: value >= bound),
        (allowed.get("at_most"), "at most", lambda bound: value <= bound),
        (allowed.get("above"), "above", lambda bound: value > bound),
    ]
    for bound, words, holds in bounds:
        if bound is not None and not holds(bound):
            raise UserError(f"{key}: {value} is not {words} {bound:g}")


def keys(config: Any = Config, prefix: str = "") -> list[str]:
    """Every key of the schema, dotted."""
    found = []
    for item in dataclasses.fields(config):
        found.append(prefix + item.name)
        default = item.default_factory
        if dataclasses.is_dataclass(default):
            found += keys(default, f"{prefix}{item.name}.")
    return found
