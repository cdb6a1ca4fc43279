"""Weakly supervised localization [SVZ13, section 3.2]: a box for each of the five most probable classes of an image.

    classes  five highest softmax outputs, averaged over ten crops [NS: as Krizhevsky]
    map      saliency of the class, averaged over crops and mapped back to the frame (sources.py)
    box      seeds, color models, graph cut, largest component, its extent (locate.py, segment.py)
    score    the challenge's rule (score.py), on the validation images with boxes: those of the test set were
             never released, so the paper's 46.4 % (ILSVRC-2013 test) has no exact counterpart

Classes are the network's outputs, which may be more than the images have. Of images whose class the network does not
know, only the box of its first guess is scored.

Two rows are of this method: `grabcut` with the settings of the configuration, or those chosen on other images
(tuning.py), and `svz13` with the paper's own. Three baselines share the class guesses, so that only the box differs:
a centered box, the whole image, and the box of the thresholded map. Written beside the numbers, each one line an
image: predictions.txt and truth.txt in the challenge's form, images.txt, and blacklist.txt (line numbers), so that
others can score them (`zfnet score`). partial.jsonl keeps every image's boxes: an
interrupted run resumes, and one that asks for the same boxes again reads them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from zfnet.core.errors import UserError
from zfnet.core.progress import track
from zfnet.core.workers import ALONE, Workers
from zfnet.data.cache.images import Images
from zfnet.experiments.localization.locate import Methods
from zfnet.experiments.localization.measure import measure, truth_of, write_files, write_picture
from zfnet.experiments.localization.options import LocalizationOptions
from zfnet.experiments.localization.score import UNKNOWN
from zfnet.experiments.localization.tasks import Source, TaskMaker, choose_rows, draw_rows
from zfnet.experiments.localization.tuning import compare, published, tune, tuning_rows
from zfnet.networks.network import Network
from zfnet.networks.predict import predict
from zfnet.pipeline.record import Outcome

ALT = (
    "Rows of images with the saliency of their most probable class, the seeds, the segmented object, and its box "
    "against the true boxes in white; images drawn at random, failures included."
)


@dataclass(frozen=True)
class Work:
    """What the parts of the stage share: the network, the maps' source and how to run."""

    network: Network
    source: Source
    name: str  # of the source
    seed: int
    processes: int  # that make boxes
    workers: Workers  # that run the network


def run(
    options: LocalizationOptions,
    network: Network,
    train: Images,
    images: Images,
    sources: Mapping[str, Source],
    out: Path,
    seed: int,
    processes: int,
    further: Images | None = None,
    workers: Workers = ALONE,
) -> Outcome:
    """Errors in percent and mean IoU of the method and the baselines, each a measure, and the picture.

    sources: by name, those of `options.saliency` and `options.compare`. further: images with boxes beside `images`;
    their numbers are in "images". Raises UserError when no image has a box, a blacklist names none of the images, or a
    map is not finite.
    """
    work = Work(network, sources[options.saliency], options.saliency, seed, processes, workers)
    choosing = images if options.tune_on == "val" else train
    options, numbers = _tune(options, work, choosing, sources, out)
    used = np.zeros(0, np.int64)
    if options.tune and choosing is images:
        used = tuning_rows(options, network, images, seed)
    numbers = score_set(options, work, images, out, options.n_images, used) | numbers
    figures = {"localization.png": ALT}
    if further is not None:
        unlisted = replace(options, blacklist="")  # its numbers are those of the validation images
        numbers["images"] = score_set(unlisted, work, further, out / "images")
        figures["images/localization.png"] = f"The further images. {ALT}"
    return Outcome(numbers, figures, _headline(numbers))


def _headline(numbers: Mapping[str, Any]) -> str:
    kind, name = "top5_error", "top-5 localization error"
    if kind not in numbers["grabcut"]:  # the network knows the class of no image
        kind, name = "first_error", "localization error of the first guess's box"
    cut, center = numbers["grabcut"][kind]["value"], numbers["centre"][kind]["value"]
    paper = numbers["svz13"][kind]["value"]
    return f"{name} {cut:.1f} % (the paper's settings {paper:.1f} %, center box {center:.1f} %)"


def check_comparison(options: LocalizationOptions) -> None:
    """Raise UserError where sources are to be compared, but no images are there to compare them on."""
    if options.compare and not options.tune:
        raise UserError("localization.compare: sources are compared on training images; set localization.tune too")


def _tune(
    options: LocalizationOptions, work: Work, images: Images, sources: Mapping[str, Source], out: Path
) -> tuple[LocalizationOptions, dict[str, Any]]:
    """The chosen options, and the numbers of the choice and of the sources compared."""
    check_comparison(options)
    if not options.tune:
        return options, {}
    names = dict.fromkeys([options.saliency, *options.compare])
    tuned = {
        name: tune(options, work.network, images, sources[name], name, out, work.seed, work.processes, work.workers)
        for name in names
    }
    chosen, numbers = tuned[options.saliency]
    if not options.compare:
        return chosen, {"tuning": numbers}
    return chosen, {"tuning": numbers, "sources": compare({name: numbers for name, (_, numbers) in tuned.items()})}


def score_set(
    options: LocalizationOptions,
    work: Work,
    images: Images,
    out: Path,
    n_images: int = 0,
    used: Sequence[int] | np.ndarray = (),
) -> dict[str, Any]:
    """The numbers of one set of images but for the rows `used`; writes its files and its picture under `out`."""
    out.mkdir(parents=True, exist_ok=True)
    rows = draw_rows(np.setdiff1d(choose_rows(images, 0, work.seed), used), n_images, work.seed)
    if len(rows) == 0:
        raise UserError(f"localization.tune: {len(used)} images choose, and none is left to be scored; ask for fewer")
    labels = work.network.classes.labels(images.index)[rows]
    guesses = guess(work.network, images, rows, options, work.workers)
    asked = {int(row): _asked(guessed, label) for row, guessed, label in zip(rows, guesses, labels, strict=True)}
    truth = truth_of(images, rows, labels, options.blacklist)
    tasks = TaskMaker(images, work.source(images), asked, work.seed)
    cuts, paper = {"grabcut": options}, published(options)
    methods = Methods(cuts if paper == options else cuts | {"svz13": paper}, {"threshold": options})
    located = tasks.locate_all(methods, work.network, work.name, out / "partial.jsonl", work.processes, work.workers)
    write_files(out, images, rows, guesses, located, truth)
    write_picture(out / "localization.png", tasks, work.network.classes.names, guesses, truth, options)
    numbers = measure(located, list(asked.values()), guesses, truth, options, work.seed)
    return numbers | {"n_without_boxes": len(images.index) - sum(len(boxes) > 0 for boxes in images.index.boxes)}


def guess(
    network: Network, images: Images, rows: np.ndarray, options: LocalizationOptions, workers: Workers = ALONE
) -> np.ndarray:
    """The most probable outputs (n, j) of the images, best first; j = `options.guesses`, or all classes if fewer."""
    n_images = max(1, options.batch // (10 if options.crops == "ten" else 1))
    batches = np.split(rows, range(n_images, len(rows), n_images))
    guessed = workers.map(_guess, batches, network, images, options)
    return np.concatenate(list(track(guessed, f"classifying images x{n_images}", len(batches))))


def _guess(rows: np.ndarray, network: Network, images: Images, options: LocalizationOptions) -> np.ndarray:
    """The guesses of one batch."""
    count = min(options.guesses, len(network.classes))
    ((_, probabilities),) = predict(network, images, rows, options.crops, batch=options.batch)
    return probabilities.topk(count, dim=1).indices.cpu().numpy()


def _asked(guessed: np.ndarray, true: int) -> list[int]:
    """The classes that need a box: the guesses, then the true one unless it is among them or unknown."""
    classes = guessed.tolist()
    return classes if true in classes or true == UNKNOWN else [*classes, int(true)]
