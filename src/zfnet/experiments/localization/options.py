"""Options of stage localization."""

from dataclasses import dataclass, field

from zfnet.core.options import choice, number

SALIENCY = ("gradient", "guided", "deconvnet", "pattern_attribution", "occlusion")
OF_TRAINING_IMAGES = ("pattern_attribution",)  # sources that need the images that the network was trained on


@dataclass
class GridOptions:
    """Values among which `localization.tune` training images with boxes choose; each combination is tried."""

    seeds: list[str] = choice(["quantile"], "quantile", "range", nonempty=True)
    foreground: list[float] = number([0.95, 0.8, 0.6], above=0.5, at_most=1, nonempty=True)
    background: list[float] = number([0.3, 0.2, 0.1], above=0, at_most=0.5, nonempty=True)
    range_foreground: list[float] = number([0.3, 0.4, 0.5], above=0.25, at_most=1, nonempty=True)
    range_background: list[float] = number([0.1, 0.15], at_least=0, at_most=0.25, nonempty=True)
    clamp: list[str] = choice(["all"], "extreme", "all", nonempty=True)
    smoothing: list[float] = number([0.03, 0.06], at_least=0, at_most=0.5, nonempty=True)
    box_scale: list[float] = number([1.0], above=0, at_most=2, nonempty=True)
    least_size: list[int] = number([0, 128], at_least=0, nonempty=True)
    threshold: list[float] = number([0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4], above=0, at_most=1, nonempty=True)
    threshold_smoothing: list[float] = number([0.03, 0.06, 0.1], at_least=0, at_most=0.5, nonempty=True)
    threshold_box_scale: list[float] = number([1.0], above=0, at_most=2, nonempty=True)
    centre: list[float] = number([0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95], above=0, at_most=1, nonempty=True)


@dataclass
class LocalizationOptions:
    """Stage localization: images, maps, class guesses, the cut of [SVZ13] 3.2 and the baselines."""

    n_images: int = number(0, at_least=0)  # validation images that have boxes; 0: all
    images: str = ""  # further images with boxes, a folder in ILSVRC's layout that needs no train/; empty: none
    saliency: str = choice("gradient", *SALIENCY)
    tune: int = number(0, at_least=0)  # images with boxes that choose from `grid`; 0: values as they are here
    tune_on: str = choice("train", "train", "val")  # where they come from; validation images that choose are not scored
    grid: GridOptions = field(default_factory=GridOptions)
    compare: list[str] = choice([], *SALIENCY)  # sources of maps that are compared on the images of `tune`
    crops: str = choice("ten", "ten", "center")  # class guesses: averaged over ten crops [NS]
    guesses: int = number(5, at_least=1, at_most=5)  # boxes an image, one for each of the likeliest classes [SVZ13 3.2]
    seeds: str = choice("quantile", "quantile", "range")  # quantiles [SVZ13 3.2], or a share of the map's range [NS]
    foreground: float = number(0.95, above=0.5, at_most=1)  # seeds lie above this quantile of the map [SVZ13 3.2]
    background: float = number(0.30, above=0, at_most=0.5)  # and below this one [SVZ13 3.2]
    range_foreground: float = number(0.4, above=0.25, at_most=1)  # with seeds=range: of the way from minimum to maximum
    range_background: float = number(0.1, at_least=0, at_most=0.25)  # likewise, below this share
    hard_foreground: float = number(0.995, above=0.5, at_most=1)  # seeds that the cut cannot undo [NS]; Oxford's code
    hard_background: float = number(0.005, at_least=0, at_most=0.5)  # likewise
    clamp: str = choice("extreme", "extreme", "all")  # what the cut cannot undo: those, or every seed [NS]
    iterations: int = number(1, at_least=1)  # 1: one graph cut with the seeds' colours [SVZ13]; more: GrabCut
    working_size: int = number(256, at_least=16)  # px, short side at the most, when segmented [NS]; Oxford's code
    least_size: int = number(0, at_least=0)  # px, short side at the least: smaller pictures are enlarged [NS]; 0: none
    smoothing: float = number(0.01, at_least=0, at_most=0.5)  # of the map: sigma / short side [NS]
    box_scale: float = number(1.0, above=0, at_most=2)  # of the sides of the mask's box [NS]; 1: its extent [SVZ13 3.2]
    threshold: float = number(0.3, above=0, at_most=1)  # baseline: the way from the map's minimum to its maximum
    threshold_smoothing: float = number(0.06, at_least=0, at_most=0.5)  # baseline: sigma / short side
    threshold_box_scale: float = number(1.0, above=0, at_most=2)  # baseline: of the sides of its box
    centre: float = number(0.7, above=0, at_most=1)  # baseline: sides of the centre box / sides of the image
    blacklist: str = ""  # file of image numbers that the challenge does not score; empty: the devkit's, if any
    n_shown: int = number(8, at_least=1)  # images in the picture, drawn by the seed
    batch: int = number(128, at_least=1)  # crops classified at once
