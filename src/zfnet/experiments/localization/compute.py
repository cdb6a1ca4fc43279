"""Weakly supervised localisation [SVZ13, section 3.2]: a box for each of the five likeliest classes of an image.

    classes  five highest softmax outputs, averaged over ten crops [NS: as Krizhevsky]
    map      saliency of the class, averaged over crops and mapped back to the frame (sources.py)
    box      seeds, colour models, graph cut, largest component, its extent (locate.py, segment.py)
    score    the challenge's rule (score.py), on the validation images with boxes: those of the test set were
             never released, so the paper's 46.4 % (ILSVRC-2013 test) has no exact counterpart

Two rows are of this method: `grabcut` with the settings of the configuration, or those chosen on training images
(tuning.py), and `svz13` with the paper's own. Three baselines share the class guesses, so that only the box differs:
a centred box, the whole image, and the box of the thresholded map. Written beside the numbers, each one line an
image: predictions.txt and truth.txt in the challenge's form, images.txt, and blacklist.txt (line numbers), so that
others can score them (python -m zfnet.experiments.localization). partial.jsonl keeps every image's boxes: an
interrupted run goes on, and one that asks for the same boxes again reads them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from zfnet.core.errors import UserError
from zfnet.core.progress import track
from zfnet.data.cache.images import ImageStore
from zfnet.experiments.localization.locate import Methods
from zfnet.experiments.localization.measure import measure, truth_of, write_files, write_picture
from zfnet.experiments.localization.options import LocalizationOptions
from zfnet.experiments.localization.score import UNKNOWN
from zfnet.experiments.localization.tasks import Source, TaskMaker, choose_rows
from zfnet.experiments.localization.tuning import compare, published, tune
from zfnet.networks.convnet import ConvNet
from zfnet.networks.predict import predict
from zfnet.pipeline.record import Outcome

ALT = (
    "Rows of images with the saliency of their likeliest class, the seeds, the segmented object, and its box against "
    "the true boxes in white; images drawn at random, failures included."
)


@dataclass(frozen=True)
class Work:
    """What the parts of the stage share: the network, the maps' source and how to run."""

    model: ConvNet
    source: Source
    name: str  # of the source
    seed: int
    processes: int


def run(
    config: LocalizationOptions,
    model: ConvNet,
    train: ImageStore,
    images: ImageStore,
    sources: Mapping[str, Source],
    out: Path,
    seed: int,
    processes: int,
    further: ImageStore | None = None,
) -> Outcome:
    """Errors in per cent and mean IoU of the method and the baselines, each {value, low, high}, and the picture.

    sources: by name, those of `config.saliency` and `config.compare`. further: images with boxes beside `images`,
    whose labels are classes of the network or UNKNOWN; their numbers are in "images". Raises UserError when no image
    has a box, a blacklist names none of the images, or a map is not finite.
    """
    work = Work(model, sources[config.saliency], config.saliency, seed, processes)
    config, numbers = _tune(config, work, train, sources, out)
    numbers = score_set(config, work, images, out, config.n_images) | numbers
    figures = {"localization.png": ALT}
    if further is not None:
        unlisted = replace(config, blacklist="")  # its numbers are those of the validation images
        numbers["images"] = score_set(unlisted, work, further, out / "images")
        figures["images/localization.png"] = f"The further images. {ALT}"
    top5, centre = numbers["grabcut"]["top5_error"]["value"], numbers["centre"]["top5_error"]["value"]
    return Outcome(numbers, figures, f"top-5 localisation error {top5:.1f} % (centre box {centre:.1f} %)")


def check_comparison(config: LocalizationOptions) -> None:
    """Raise UserError where sources are to be compared, but no images are there to compare them on."""
    if config.compare and not config.tune:
        raise UserError("localization.compare: sources are compared on training images; set localization.tune too")


def _tune(
    config: LocalizationOptions, work: Work, train: ImageStore, sources: Mapping[str, Source], out: Path
) -> tuple[LocalizationOptions, dict[str, Any]]:
    """The chosen configuration, and the numbers of the choice and of the sources compared."""
    check_comparison(config)
    if not config.tune:
        return config, {}
    names = dict.fromkeys([config.saliency, *config.compare])
    tuned = {
        name: tune(config, work.model, train, sources[name], name, out, work.seed, work.processes) for name in names
    }
    chosen, numbers = tuned[config.saliency]
    if not config.compare:
        return chosen, {"tuning": numbers}
    return chosen, {"tuning": numbers, "sources": compare({name: numbers for name, (_, numbers) in tuned.items()})}


def score_set(
    config: LocalizationOptions, work: Work, images: ImageStore, out: Path, n_images: int = 0
) -> dict[str, Any]:
    """The numbers of one set of images; writes its files and its picture under `out`."""
    out.mkdir(parents=True, exist_ok=True)
    rows = choose_rows(images, n_images, work.seed)
    guesses = guess(work.model, images, rows, config)
    asked = {int(row): _asked(labels, images.index.labels[row]) for row, labels in zip(rows, guesses, strict=True)}
    truth = truth_of(images, rows, config.blacklist)
    tasks = TaskMaker(images, work.source(images), asked, work.seed)
    cuts, paper = {"grabcut": config}, published(config)
    methods = Methods(cuts if paper == config else cuts | {"svz13": paper}, {"threshold": config})
    found = tasks.locate_all(methods, work.model, work.name, out / "partial.jsonl", work.processes)
    write_files(out, images, rows, guesses, found, truth)
    write_picture(out / "localization.png", tasks, guesses, rows, config)
    numbers = measure(found, list(asked.values()), guesses, truth, config, work.seed)
    return numbers | {"n_without_boxes": len(images.index) - sum(len(boxes) > 0 for boxes in images.index.boxes)}


def guess(model: ConvNet, images: ImageStore, rows: np.ndarray, config: LocalizationOptions) -> np.ndarray:
    """The likeliest classes (n, j) of the images, best first; j = `config.guesses`, or all classes if fewer."""
    count = min(config.guesses, len(images.index.classes))
    at_once = config.batch * (10 if config.crops == "ten" else 1)
    batches = predict(model, images, rows, config.crops, batch=at_once)
    n_batches = -(-len(rows) // config.batch)
    found = track(batches, f"classifying images x{config.batch}", n_batches)
    return np.concatenate([scores.topk(count, dim=1).indices.cpu().numpy() for _, scores in found])


def _asked(labels: np.ndarray, true: int) -> list[int]:
    """The classes that need a box: the guesses, then the true one unless it is among them or unknown."""
    return [*labels.tolist(), *([] if true in labels or true == UNKNOWN else [int(true)])]
