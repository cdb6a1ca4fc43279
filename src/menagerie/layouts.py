"""The drawn pictures in the layouts of ILSVRC, Caltech-101 and PASCAL VOC, which the real loaders read.

ilsvrc/train/<wnid>/<wnid>_<k>.JPEG          ilsvrc/val/ILSVRC2012_val_%08d.JPEG (flat, classes shuffled)
ilsvrc/words.txt (wnid, name)                ilsvrc/val_labels.txt (file, wnid); both tab-separated
ilsvrc/Annotations/{train/<wnid>,val}/*.xml  boxes from pixel 0; of all val and BOXED_OF_TEN / 10 of the train pictures
ilsvrc/parts.csv                             file, part, x, y, radius of frontal faces in val, in pixels of the file
caltech/101_ObjectCategories/<class>/image_%04d.jpg, and BACKGROUND_Google
voc/VOC2012/{JPEGImages, Annotations, ImageSets/Main}   boxes from pixel 1; 1 present, -1 absent, 0 only difficult ones
menagerie.json                               the arguments; written last, so its presence means that all is there
"""

import json
import multiprocessing
import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from menagerie.casting import SETS, draw_caltech, draw_ilsvrc, draw_voc, is_frontal
from menagerie.catalogue import CALTECH_CLASSES, CLASSES, ILSVRC_CLASSES, VOC_CLASSES, WNIDS
from menagerie.picture import Instance, Picture

FORMAT = 2  # raise when the pictures or the layout change: folders drawn earlier are then refused
BOXED_OF_TEN = 6  # of ten training pictures; ILSVRC has boxes for at least 100 of a class's 1,300
BACKGROUND = "BACKGROUND_Google"
PARTS = ("left_eye", "right_eye", "nose")
CHUNK = 16  # pictures handed to a worker at a time
FAINT = 12  # visible pixels: fewer, and a VOC scene does not list the object
DIFFICULT_SHARE = 0.45  # visible share below which a VOC object is difficult
DIFFICULT_SIDE = 9  # pixels: or a box side below this


class MenagerieError(Exception):
    """The folder holds something else than the dataset that was asked for."""


@dataclass(frozen=True)
class Job:
    """One picture to draw: its set, class ("" where none), number within the class, and file stem under the root."""

    set_name: str
    kind: str
    number: int
    stem: str


def draw_menagerie(
    root: Path,
    seed: int,
    train_per_class: int,
    val_per_class: int,
    caltech_per_class: int,
    voc_images: int,
    processes: int,
    n_classes: int = len(ILSVRC_CLASSES),
) -> None:
    """Draw the three sets into `root`; returns at once where they are there already, drawn with the same arguments.

    n_classes: of the ILSVRC set, the first in order; fewer of them are the same pictures. The files do not depend on
    `processes`. Raises MenagerieError where `root` holds anything else.
    """
    counts = {
        "train_per_class": train_per_class,
        "val_per_class": val_per_class,
        "caltech_per_class": caltech_per_class,
        "voc_images": voc_images,
        "n_classes": n_classes,
    }
    card = {"format": FORMAT, "seed": seed, **counts}
    if is_drawn(root, card):
        return
    root.parent.mkdir(parents=True, exist_ok=True)
    draft = root.parent / f".{root.name}.{os.getpid()}.partial"
    try:
        draft.mkdir()
        jobs = [
            *list_ilsvrc(seed, train_per_class, val_per_class, n_classes),
            *list_caltech(caltech_per_class),
            *list_voc(voc_images),
        ]
        facts = draw_all(draft, seed, jobs, processes)
        write_ilsvrc_lists(draft / "ilsvrc", jobs, facts)
        write_voc_lists(draft / "voc" / "VOC2012", jobs, facts)
        (draft / "menagerie.json").write_text(json.dumps(card, indent=1) + "\n")
        draft.rename(root)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def is_drawn(root: Path, card: dict[str, int]) -> bool:
    """Whether `root` holds the menagerie of these arguments; MenagerieError where it holds something else."""
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    try:
        found = json.loads((root / "menagerie.json").read_text())
    except (OSError, ValueError) as error:
        raise MenagerieError(f"{root}: not a finished menagerie; remove the folder or name another") from error
    if found != card:
        raise MenagerieError(f"{root}: drawn with other arguments ({found}); remove the folder or name another")
    return True


def list_ilsvrc(seed: int, train_per_class: int, val_per_class: int, n_classes: int) -> list[Job]:
    """The pictures of both splits; val is numbered in an order that mixes the classes."""
    kinds = ILSVRC_CLASSES[:n_classes]
    train = [
        Job("train", kind, k, f"{WNIDS[kind]}/{WNIDS[kind]}_{k}") for kind in kinds for k in range(train_per_class)
    ]
    pairs = [(kind, k) for kind in kinds for k in range(val_per_class)]
    order = np.random.default_rng([seed, 0]).permutation(len(pairs))
    shuffled = [pairs[row] for row in order]
    val = [Job("val", kind, k, f"ILSVRC2012_val_{place:08d}") for place, (kind, k) in enumerate(shuffled, 1)]
    return train + val


def list_caltech(per_class: int) -> list[Job]:
    """The pictures of the classes and of the background."""
    kinds = (*CALTECH_CLASSES, "")
    return [
        Job("caltech", kind, k, f"{kind or BACKGROUND}/image_{k + 1:04d}") for kind in kinds for k in range(per_class)
    ]


def list_voc(images: int) -> list[Job]:
    """The scenes."""
    return [Job("voc", "", k, f"2012_{k + 1:06d}") for k in range(images)]


def draw_all(root: Path, seed: int, jobs: list[Job], processes: int) -> list[dict[str, object]]:
    """Draw and write every picture; what the lists need to know of each, in the order of `jobs`."""
    folders = {picture_path(root, job).parent for job in jobs} | {
        path.parent for job in jobs if (path := box_path(root, job))
    }
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    work = partial(draw_one, root, seed)
    if processes <= 1:
        return list(tqdm(map(work, jobs), "drawing", len(jobs), disable=None, leave=False))
    with multiprocessing.get_context("spawn").Pool(processes, _start_process) as pool:
        return list(tqdm(pool.imap(work, jobs, CHUNK), "drawing", len(jobs), disable=None, leave=False))


def _start_process() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    cv2.setNumThreads(0)


def picture_path(root: Path, job: Job) -> Path:
    """Where the JPEG of a job goes."""
    if job.set_name == "caltech":
        return root / "caltech" / "101_ObjectCategories" / f"{job.stem}.jpg"
    if job.set_name == "voc":
        return root / "voc" / "VOC2012" / "JPEGImages" / f"{job.stem}.jpg"
    return root / "ilsvrc" / job.set_name / f"{job.stem}.JPEG"


def box_path(root: Path, job: Job) -> Path | None:
    """Where its boxes go; None where it gets none."""
    if job.set_name == "voc":
        return root / "voc" / "VOC2012" / "Annotations" / f"{job.stem}.xml"
    if job.set_name == "val" or (job.set_name == "train" and 7 * job.number % 10 < BOXED_OF_TEN):
        return root / "ilsvrc" / "Annotations" / job.set_name / f"{job.stem}.xml"
    return None


def draw_one(root: Path, seed: int, job: Job) -> dict[str, object]:
    """Draw one picture and write its files; returns its parts (val faces) and class -> presence (VOC)."""
    picture = draw_job(seed, job)
    path, boxes = picture_path(root, job), box_path(root, job)
    rng = np.random.default_rng([seed, SETS[job.set_name], job.number, 1])
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(85, 93))]
    path.write_bytes(cv2.imencode(".jpg", picture.pixels[..., ::-1], quality)[1].tobytes())
    listed = [found for found in picture.instances if job.set_name != "voc" or found.mask.sum() >= FAINT]
    if boxes is not None:
        boxes.write_text(annotation(path, picture.pixels.shape, listed, is_voc=job.set_name == "voc"))
    face = job.set_name == "val" and is_frontal(job.kind, job.number)
    return {"parts": picture.instances[0].parts if face else {}, "presence": presence(listed)}


def draw_job(seed: int, job: Job) -> Picture:
    """The picture of a job."""
    if job.set_name == "caltech":
        return draw_caltech(seed, job.kind or None, job.number)
    if job.set_name == "voc":
        return draw_voc(seed, job.number)
    return draw_ilsvrc(seed, job.set_name, job.kind, job.number)


def is_difficult(found: Instance) -> bool:
    """VOC's flag, here: too small or too much covered to ask for."""
    x0, y0, x1, y1 = found.box
    return bool(found.visible < DIFFICULT_SHARE or min(x1 - x0, y1 - y0) + 1 < DIFFICULT_SIDE)


def presence(found: list[Instance]) -> dict[str, int]:
    """Class -> 1 (present) or 0 (only difficult instances)."""
    flags: dict[str, int] = {}
    for one in found:
        flags[one.kind] = max(flags.get(one.kind, 0), int(not is_difficult(one)))
    return flags


def annotation(path: Path, shape: tuple[int, ...], found: list[Instance], is_voc: bool) -> str:
    """The XML of a picture's boxes: corners from 0 as in ILSVRC, or from 1 as in VOC."""
    height, width = shape[:2]
    lines = [
        "<annotation>",
        f"\t<folder>{'VOC2012' if is_voc else path.parent.name}</folder>",
        f"\t<filename>{path.name if is_voc else path.stem}</filename>",
        "\t<source><database>menagerie</database></source>",
        f"\t<size><width>{width}</width><height>{height}</height><depth>3</depth></size>",
        "\t<segmented>0</segmented>",
    ]
    for one in found:
        lines += _object_lines(one, width, height, is_voc)
    return "\n".join([*lines, "</annotation>", ""])


def _object_lines(one: Instance, width: int, height: int, is_voc: bool) -> list[str]:
    x0, y0, x1, y1 = (int(corner) for corner in one.box)
    truncated = x0 == 0 or y0 == 0 or x1 == width - 1 or y1 == height - 1
    first = int(is_voc)
    corners = zip(("xmin", "ymin", "xmax", "ymax"), (x0, y0, x1, y1), strict=True)
    return [
        "\t<object>",
        f"\t\t<name>{one.kind if is_voc else WNIDS[one.kind]}</name>",
        f"\t\t<pose>Unspecified</pose><truncated>{int(truncated)}</truncated>",
        f"\t\t<difficult>{int(is_voc and is_difficult(one))}</difficult>",
        "\t\t<bndbox>" + "".join(f"<{name}>{value + first}</{name}>" for name, value in corners) + "</bndbox>",
        "\t</object>",
    ]


def write_ilsvrc_lists(folder: Path, jobs: list[Job], facts: list[dict]) -> None:
    """words.txt, val_labels.txt and parts.csv."""
    folder.mkdir(parents=True, exist_ok=True)
    words = [f"{wnid}\t{name.replace('_', ' ')}\n" for wnid, name in CLASSES.items()]
    (folder / "words.txt").write_text("".join(words))
    labels = [f"{job.stem}.JPEG\t{WNIDS[job.kind]}\n" for job in jobs if job.set_name == "val"]
    (folder / "val_labels.txt").write_text("".join(labels))
    (folder / "parts.csv").write_text("file,part,x,y,radius\n" + "".join(_part_lines(jobs, facts)))


def _part_lines(jobs: list[Job], facts: list[dict]) -> Iterator[str]:
    for job, fact in zip(jobs, facts, strict=True):
        if set(fact["parts"]) == set(PARTS):
            for part in PARTS:
                x, y, radius = fact["parts"][part]
                yield f"{job.stem}.JPEG,{part},{x:.2f},{y:.2f},{radius:.2f}\n"


def write_voc_lists(folder: Path, jobs: list[Job], facts: list[dict]) -> None:
    """ImageSets/Main: even pictures train, odd ones val."""
    lists = folder / "ImageSets" / "Main"
    lists.mkdir(parents=True, exist_ok=True)
    scenes = [(job, fact["presence"]) for job, fact in zip(jobs, facts, strict=True) if job.set_name == "voc"]
    for split, keep in (("train", (0,)), ("val", (1,)), ("trainval", (0, 1))):
        chosen = [(job.stem, flags) for job, flags in scenes if job.number % 2 in keep]
        (lists / f"{split}.txt").write_text("".join(f"{stem}\n" for stem, _ in chosen))
        for name in VOC_CLASSES:
            lines = [f"{stem} {flags.get(name, -1):2d}\n" for stem, flags in chosen]
            (lists / f"{name}_{split}.txt").write_text("".join(lines))
