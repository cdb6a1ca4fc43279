"""What is to be seen in the pictures of the three sets: how many objects, how large, how held, before what.

A picture is a function of (seed, set, class, number) alone. Two of five pictures of an animal are frontal ones:
upright, large, uncovered, for the correspondence analysis (the frontal faces of [ZF13]).
"""

import numpy as np

from menagerie.catalogue import ANIMALS, CALTECH_CLASSES, ILSVRC_CLASSES, VOC_CLASSES
from menagerie.picture import Actor, Picture, choose_backdrop, choose_shape, compose
from menagerie.scenery import BACKDROPS

SETS = {"train": 1, "val": 2, "caltech": 3, "voc": 4}
UPRIGHT = ("house", "church", "tower_block", "oak", "fir", "sailboat", "car", "van", "bus", "lorry", "chair")
FRONTAL_OF_FIVE = 2  # of five pictures of an animal
COVERED = 0.3  # share of pictures with something in front
BYSTANDERS = 0.3  # share with a part of another class at the rim
SECOND = 0.12  # share with a second instance of the class


def random_of(seed: int, set_name: str, row: int, number: int) -> np.random.Generator:
    """The generator of one picture."""
    return np.random.default_rng([seed, SETS[set_name], row, number])


def is_frontal(kind: str, number: int) -> bool:
    """Whether this picture of the class is one of the frontal ones."""
    return kind in ANIMALS and number % 5 < FRONTAL_OF_FIVE


def draw_ilsvrc(seed: int, split: str, kind: str, number: int) -> Picture:
    """A picture of one class, sometimes with two of it, in clutter."""
    rng = random_of(seed, split, ILSVRC_CLASSES.index(kind), number)
    shape = choose_shape(rng)
    frontal = is_frontal(kind, number)
    actors = [_cast(rng, kind, shape, frontal)]
    if not frontal and rng.random() < SECOND:
        actors = _pair(rng, kind, shape)
    strangers = [name for name in ILSVRC_CLASSES if name != kind]
    bystanders = [_cast_at_rim(rng, strangers, shape)] if rng.random() < BYSTANDERS else []
    covered = not frontal and rng.random() < COVERED
    return compose(rng, shape, actors, choose_backdrop(rng, kind), bystanders, covered)


def draw_caltech(seed: int, kind: str | None, number: int) -> Picture:
    """One centred object before a quiet ground; background only where `kind` is None."""
    row = len(CALTECH_CLASSES) if kind is None else CALTECH_CLASSES.index(kind)
    rng = random_of(seed, "caltech", row, number)
    shape = choose_shape(rng)
    if kind is None:
        names = [name for name in BACKDROPS if name != "studio"]
        bystanders = [_cast_at_rim(rng, list(ILSVRC_CLASSES), shape)] if rng.random() < BYSTANDERS else []
        return compose(rng, shape, [], names[rng.integers(len(names))], bystanders, rng.random() < COVERED)
    short = min(shape)
    place = np.array(shape[::-1]) / 2 + rng.normal(0, 0.03 * short, 2)
    actor = _pose(rng, kind, place, short * rng.uniform(0.36, 0.48), rng.normal(0, 0.15))
    backdrop = "studio" if rng.random() < 0.55 else choose_backdrop(rng, kind)
    return compose(rng, shape, [actor], backdrop, (), rng.random() < 0.08)


def draw_voc(seed: int, number: int) -> Picture:
    """A scene of one to five objects of one to four classes, far ones first."""
    rng = random_of(seed, "voc", 0, number)
    shape = choose_shape(rng)
    kinds = rng.choice(VOC_CLASSES, int(rng.integers(1, 5)), replace=False)
    cast = [str(kind) for kind in rng.choice(kinds, int(rng.integers(len(kinds), 6)))] + [str(kind) for kind in kinds]
    height, width = shape
    actors: list[Actor] = []
    for kind in cast[-int(rng.integers(1, 6)) :]:
        depth = rng.uniform(0.0 if actors else 0.6, 1.0)  # 0 far, 1 near; one is always near
        size = min(shape) * (0.07 + 0.30 * depth * rng.uniform(0.7, 1.1))
        place = np.array([rng.uniform(0.08, 0.92) * width, height * (0.38 + 0.27 * depth + rng.normal(0, 0.05))])
        actors.append(_pose(rng, kind, place, size, rng.normal(0, 0.08)))
    actors.sort(key=lambda actor: actor.size)
    return compose(rng, shape, actors, choose_backdrop(rng, cast[-1]), (), rng.random() < COVERED)


def _cast(rng: np.random.Generator, kind: str, shape: tuple[int, int], frontal: bool) -> Actor:
    """The object of the picture: frontal ones large and upright, others anyhow."""
    height, width = shape
    short = min(shape)
    middle = np.array([width / 2, height / 2])
    if frontal:
        place = middle + rng.normal(0, 0.03 * short, 2)
        return _pose(rng, kind, place, short * rng.uniform(0.40, 0.50), rng.normal(0, 0.06), frontal=True)
    place = middle + rng.normal(0, 0.09, 2) * (width, height)
    turn = rng.normal(0, 0.05 if kind in UPRIGHT else 0.16)
    if kind not in UPRIGHT and rng.random() < 0.1:
        turn += rng.uniform(-0.8, 0.8)
    return _pose(rng, kind, place, short * rng.uniform(0.33, 0.58), turn)


def _pair(rng: np.random.Generator, kind: str, shape: tuple[int, int]) -> list[Actor]:
    """Two of a kind, side by side along the longer side."""
    height, width = shape
    along = np.array([0.24, 0.04]) if width >= height else np.array([0.08, 0.22])
    sizes = np.sort(rng.uniform(0.24, 0.38, 2)) * min(shape)
    side = 1 if rng.random() < 0.5 else -1
    return [
        _pose(
            rng,
            kind,
            np.array([width, height]) * (0.5 + which * side * along + rng.normal(0, 0.03, 2)),
            size,
            rng.normal(0, 0.08),
        )
        for which, size in zip((-1, 1), sizes, strict=True)
    ]


def _cast_at_rim(rng: np.random.Generator, kinds: list[str], shape: tuple[int, int]) -> Actor:
    """Another class, cut off by the rim of the picture."""
    height, width = shape
    x = rng.choice([rng.uniform(-0.06, 0.08), rng.uniform(0.92, 1.06)]) * width
    return _pose(
        rng,
        kinds[rng.integers(len(kinds))],
        np.array([x, rng.uniform(0.2, 0.9) * height]),
        min(shape) * rng.uniform(0.15, 0.35),
        rng.normal(0, 0.1),
    )


def _pose(
    rng: np.random.Generator, kind: str, place: np.ndarray, size: float, turn: float, frontal: bool = False
) -> Actor:
    """The object there, turned and stretched a little at random."""
    yaw = 0.0 if frontal else rng.uniform(-0.75, 0.75)
    return Actor(
        kind,
        float(place[0]),
        float(place[1]),
        float(size),
        float(turn),
        float(yaw),
        bool(rng.random() < 0.5),
        float(np.exp(rng.normal(0, 0.07))),
        float(rng.normal(0, 0.05)),
    )
