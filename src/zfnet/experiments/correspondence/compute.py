"""Correspondence: does covering the same part change the features of different faces alike? ([ZF13] 4.3, Table 1)

In each of 5 pictures i of frontal faces the same part is covered; with the features x of layer l before and x~ after,

    eps_i^l = x_i^l - x~_i^l,        Delta_l = mean over i < j of  H(sign eps_i^l, sign eps_j^l) / d,

H the Hamming distance, d the number of features. Lower is a tighter correspondence. The paper prints a sum over
i != j; its numbers (0.07) can only be fractions, hence the mean and the division [our reading].

Signs of zero: after a ReLU many features do not change at all. We take the sign literally, in {-1, 0, 1}, so that two
unmoved features agree; since that rewards layers in which little moves, `nonzero` gives Delta over the features that
moved in at least one picture of the pair. Changes below 1e-6 of the layer's largest feature count as none (rounding).

[NS] The cover is a square of the part's diameter in the mean color (0 after the mean is subtracted). The random
baseline covers, in each picture, a square of the three parts' mean size centered anywhere in the object's box, several
times. The 5 pictures of a repeat are drawn by seed from one class, drawn among those with enough faces, or, where no
class has enough, from all faces. "+-" is the deviation over all pairs of all repeats, as the paper's presumably is;
`std_repeats` that of Delta between repeats. Repeats share faces, so intervals draw the faces again with replacement and
count each pair of pictures as often as both were drawn.
"""

from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zfnet.core.errors import UserError
from zfnet.core.progress import track
from zfnet.core.statistics import Measure, mean_std
from zfnet.data.cache.images import Images
from zfnet.experiments.correspondence.options import CorrespondenceOptions
from zfnet.experiments.correspondence.parts import PARTS, faces, read_parts
from zfnet.networks.boxes import crop_boxes
from zfnet.networks.inputs import Inputs
from zfnet.networks.network import Network
from zfnet.networks.walk import outputs
from zfnet.pipeline.record import Outcome
from zfnet.plots import grid

FIGURE = "correspondence.jpg"
ROUNDING = 1e-6  # of the layer's largest feature
FIRST_COMPARED = 5  # layer; the other one is the last hidden layer
KINDS = (*PARTS, "random")
DRAWS = 2000  # of the faces, for the intervals
Table = dict[str, np.ndarray]  # kind -> (pairs, 2) disagreements of one repeat, literal and non-zero


class TooFewFaces(UserError):
    """The file of positions places fewer faces in the images than are compared."""


@dataclass(frozen=True)
class Face:
    """One picture with what to cover in it, squares x0 y0 x1 y1 in its center crop."""

    row: int
    parts: np.ndarray  # (3, 4), in the order of PARTS
    random: np.ndarray  # (r, 4)


def disagreement(first: Tensor, second: Tensor) -> tuple[float, float]:
    """H / d of two sign vectors (d,), and the same over the features that are non-zero in either (0 without any)."""
    differ = int((first != second).sum())
    moved = int(((first != 0) | (second != 0)).sum())
    return differ / len(first), differ / moved if moved else 0.0


def signs(features: Tensor) -> Tensor:
    """sign(x - x~) in {-1, 0, 1} as int8: row 0 of `features` (1 + m, d) is x, the others x~."""
    change = features[:1] - features[1:]
    floor = ROUNDING * float(features.abs().max())
    return torch.where(change.abs() <= floor, 0.0, change).sign().to(torch.int8)


def change_signs(network: Network, images: Images, face: Face, layers: tuple[int, ...]) -> dict[int, Tensor]:
    """layer -> signs (3 + r, d) of one picture's feature changes, parts first, then random places."""
    squares = np.concatenate([face.parts, face.random])
    inputs = network.center(images.frames([face.row])).repeat(1 + len(squares), 1, 1, 1)
    for covered, (x0, y0, x1, y1) in zip(inputs[1:], squares, strict=True):
        covered[:, y0 : y1 + 1, x0 : x1 + 1] = 0.0
    names = {n: network.layer(n) for n in layers}
    with torch.inference_mode():
        features = outputs(network.module, inputs, list(names.values()))
    return {n: signs(features[name].flatten(1)).cpu() for n, name in names.items()}


def compare(changes: list[Tensor]) -> Table:
    """kind -> (pairs, 2) disagreements, literal and non-zero, over the pairs of pictures; random: (pairs r, 2)."""
    pairs = list(combinations(changes, 2))
    table = {part: [disagreement(a[i], b[i]) for a, b in pairs] for i, part in enumerate(PARTS)}
    n_random = len(changes[0]) - len(PARTS)
    table["random"] = [disagreement(a[i], b[i]) for i in range(len(PARTS), len(PARTS) + n_random) for a, b in pairs]
    return {kind: np.array(values) for kind, values in table.items()}


def run(options: CorrespondenceOptions, network: Network, images: Images, parts: Path, out: Path, seed: int) -> Outcome:
    """Table 1 over `repeats` random choices of `n_images` faces; writes correspondence.jpg (Fig. 8).

    Raises UserError for a bad part file, naming the line, and TooFewFaces.
    """
    inputs = network.inputs
    squares = faces(inputs, images, read_parts(parts))
    if len(squares) < options.n_images:
        raise TooFewFaces(
            f"correspondence.parts: {parts} places all of {', '.join(PARTS)} in the center crop of {len(squares)} of "
            f"the {len(images)} images; {options.n_images} are needed"
        )
    layers = (FIRST_COMPARED, network.depth)
    choices = choose(images, sorted(squares), options.n_images, options.repeats, seed)
    known = {int(row): _face(inputs, images, int(row), squares, options.n_random, seed) for row in np.unique(choices)}
    changes = {row: change_signs(network, images, face, layers) for row, face in track(known.items(), "covering parts")}
    tables = {n: _compare_all(changes, choices, n) for n in layers}
    redrawn = draw_faces(choices, seed)
    draw(inputs, images, [known[int(row)] for row in choices[0]], out / FIGURE)
    numbers: dict[str, Any] = {
        "n_faces": len(squares),
        "n_images": options.n_images,
        "repeats": options.repeats,
        "n_random": options.n_random,
        "same_class": bool(_one_class(images, choices)),
        **_layers(tables, 0, redrawn, len(known)),
        "nonzero": _layers(tables, 1, redrawn, len(known)),
    }
    alt = f"{options.n_images} faces, untouched and with the left eye, right eye, nose and a random place covered."
    return Outcome(numbers, {FIGURE: alt}, _headline(numbers))


def _compare_all(changes: dict[int, dict[int, Tensor]], choices: np.ndarray, layer: int) -> list[Table]:
    """The disagreements of one layer in each repeat."""
    return [compare([changes[int(row)][layer] for row in rows]) for rows in choices]


def choose(images: Images, rows: list[int], n: int, repeats: int, seed: int) -> np.ndarray:
    """(repeats, n) rows: each time n faces of one class that has as many, or of any where no class has."""
    rng = np.random.default_rng([seed, 17])
    labels = images.index.labels[rows]
    classes = [k for k in np.unique(labels) if (labels == k).sum() >= n]
    pools = [np.asarray(rows)[labels == k] for k in classes] or [np.asarray(rows)]
    return np.stack([rng.choice(pools[rng.integers(len(pools))], n, replace=False) for _ in range(repeats)])


def draw_faces(choices: np.ndarray, seed: int) -> np.ndarray:
    """(DRAWS, repeats * pairs): how often each pair of each repeat counts when the faces are drawn with replacement.

    choices: (repeats, n) rows of the pictures; pairs in the order of `combinations`.
    """
    faces, at = np.unique(choices, return_inverse=True)
    first, second = np.array(list(combinations(range(choices.shape[1]), 2))).T
    even = np.full(len(faces), 1 / len(faces))
    drawn = np.random.default_rng([seed, 23]).multinomial(len(faces), even, DRAWS)[:, at.reshape(choices.shape)]
    return (drawn[:, :, first] * drawn[:, :, second]).reshape(DRAWS, -1)


def _layers(tables: dict[int, list[Table]], column: int, redrawn: np.ndarray, n_faces: int) -> dict[str, Any]:
    """Both layers' summary, and how much larger the first one's `difference` is."""
    numbers: dict[str, Any] = {f"layer{n}": summarize(table, column, redrawn, n_faces) for n, table in tables.items()}
    first, last = [tighter(by_pair(table, column)) for table in tables.values()]
    numbers["shrinks"] = over_faces(first - last, redrawn, n_faces).to_json()
    return numbers


def by_pair(tables: list[Table], column: int) -> dict[str, np.ndarray]:
    """kind -> (repeats * pairs,) disagreements, that of `random` averaged over its places."""
    n_pairs = len(tables[0][PARTS[0]])
    return {kind: np.concatenate([t[kind][:, column].reshape(-1, n_pairs).mean(0) for t in tables]) for kind in KINDS}


def tighter(disagreements: dict[str, np.ndarray]) -> np.ndarray:
    """Random places minus the mean of the three parts, pair by pair."""
    return disagreements["random"] - np.mean([disagreements[part] for part in PARTS], axis=0)


def over_faces(values: np.ndarray, redrawn: np.ndarray, n_faces: int, std: float | None = None) -> Measure:
    """Mean over pairs (repeats * pairs,) and its 95 % interval over faces; nan where no draw has two of them."""
    weights = redrawn[redrawn.any(1)]
    means = weights @ values / weights.sum(1)
    low, high = np.quantile(means, (0.025, 0.975)) if len(means) else (np.nan, np.nan)
    return Measure(float(values.mean()), float(low), float(high), n_faces, "bootstrap over faces", std)


def summarize(tables: list[Table], column: int, redrawn: np.ndarray, n_faces: int) -> dict[str, dict[str, Any]]:
    """Delta of each kind, and `difference`: random minus the mean of the parts."""
    result, pairs = {}, by_pair(tables, column)
    for kind in KINDS:
        every = np.concatenate([table[kind][:, column] for table in tables])
        _, std_repeats = mean_std([table[kind][:, column].mean() for table in tables])
        delta = over_faces(pairs[kind], redrawn, n_faces, mean_std(every.tolist())[1])
        result[kind] = delta.to_json() | {"std_repeats": std_repeats}
    result["difference"] = over_faces(tighter(pairs), redrawn, n_faces).to_json()
    return result


def draw(inputs: Inputs, images: Images, chosen: list[Face], path: Path) -> None:
    """Fig. 8: a column a picture; the rows untouched, each part covered, a random place covered."""
    rows: list[list[np.ndarray | None]] = [[_covered(inputs, images, face) for face in chosen]]
    for i in range(len(KINDS)):
        rows.append([_covered(inputs, images, face, np.concatenate([face.parts, face.random])[i]) for face in chosen])
    labels = ["untouched", *(kind.replace("_", " ") for kind in KINDS)]
    grid.write(path, grid.mosaic(rows, scale=max(1, 160 // inputs.crop), gap=6, row_labels=labels))


def _covered(inputs: Inputs, images: Images, face: Face, square: np.ndarray | None = None) -> np.ndarray:
    """The center crop (crop, crop, 3) with the square in the mean color."""
    frames = images.frames([face.row])
    if square is None:
        return inputs.center_pixels(frames)[0]
    covered, (x0, y0, x1, y1) = inputs.center(frames), square
    covered[:, :, y0 : y1 + 1, x0 : x1 + 1] = 0.0
    return inputs.to_pixels(covered)[0]


def _face(inputs: Inputs, images: Images, row: int, squares: dict[int, np.ndarray], n_random: int, seed: int) -> Face:
    """Random places have the parts' mean side and their center in the object's box, as far as the crop shows it."""
    rng = np.random.default_rng([seed, 19, row])
    side = int(np.rint((squares[row][:, 2:] - squares[row][:, :2] + 1).mean()))
    last = inputs.crop - 1
    boxes = np.clip(crop_boxes(inputs, images, row)[:1], 0, last)
    x0, y0, x1, y1 = boxes[0] if len(boxes) else (0, 0, last, last)
    x, y = rng.uniform(x0, x1, n_random), rng.uniform(y0, y1, n_random)
    left, top = np.rint(x - (side - 1) / 2), np.rint(y - (side - 1) / 2)
    random = np.stack([left, top, left + side - 1, top + side - 1], axis=1)
    return Face(row, squares[row], np.clip(random, 0, last).astype(np.int64))


def _one_class(images: Images, choices: np.ndarray) -> bool:
    labels = images.index.labels[choices]
    return bool((labels == labels[:, :1]).all())


def _headline(numbers: dict[str, Any]) -> str:
    gap = numbers["layer5"]["difference"]
    looser = f"layer 5: random places disagree by {gap['value']:+.3f} more than parts"
    return f"{looser} (95 %: {gap['low']:+.3f} to {gap['high']:+.3f})"
