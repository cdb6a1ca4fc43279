"""The labels of ILSVRC's validation images, for a flat val/, from the first of

<root>/val_labels.txt              file, wnid; further columns are ignored
<root>/LOC_val_solution.csv        of Kaggle: image, "wnid x0 y0 x1 y1" for each box
<root>/ILSVRC2012_devkit_t12/data/{meta.mat, ILSVRC2012_validation_ground_truth.txt}
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from zfnet.core.errors import UserError
from zfnet.data.sources.meta_mat import read_meta_mat
from zfnet.data.tables import read_table

DEVKIT = "ILSVRC2012_devkit_t12/data"
_ENTRY = "an image and groups of '<wnid> <x0> <y0> <x1> <y1>'"


@dataclass(frozen=True)
class Label:
    """The class of one image, and the line that says so."""

    image: str
    wnid: str
    place: str
    boxes: list[list[int]] = field(default_factory=list)  # x0 y0 x1 y1


def read_flat_labels(root: Path, images: Iterable[str]) -> dict[str, Label]:
    """Label of each file name in the first table that is there; `images` complete names without a suffix.

    Raises UserError where no table is there, a line cannot be read, or an image has two labels.
    """
    table, truth = root / "val_labels.txt", root / DEVKIT / "ILSVRC2012_validation_ground_truth.txt"
    if table.exists():
        rows = read_table(table, 2, "'<file> <wnid>'", "data.root")
        labels = [Label(row.cells[0], row.cells[1], row.place) for row in rows]
    else:
        labels = read_solution(root) or _devkit_labels(root, truth)
    if not labels:
        solution = root / "LOC_val_solution.csv"
        raise UserError(f"data.root: {root / 'val'} is flat and none of {table}, {solution}, {truth} labels its images")
    full_names = {PurePosixPath(image).stem: image for image in images}
    by_file: dict[str, Label] = {}
    for label in labels:
        name = label.image.replace("\\", "/").rpartition("/")[2]
        file = full_names.get(name, name)
        if file in by_file and by_file[file].wnid != label.wnid:
            raise UserError(f"{label.place}: {file} is {label.wnid}, and {by_file[file].wnid} in {by_file[file].place}")
        by_file[file] = label
    return by_file


def read_solution(root: Path) -> list[Label]:
    """Labels and boxes of Kaggle's LOC_val_solution.csv; none without the file. Images have no suffix."""
    path = root / "LOC_val_solution.csv"
    if not path.exists():
        return []
    labels = []
    for row in read_table(path, 2, _ENTRY, "data.root"):
        if row.cells[0] == "ImageId":
            continue
        words = row.cells[1].split()
        corners = [row.integers(words[start + 1 : start + 5], _ENTRY) for start in range(0, len(words), 5)]
        if any(len(box) < 4 for box in corners):
            raise row.error(_ENTRY)
        labels.append(Label(row.cells[0], words[0], row.place, corners))
    return labels


def devkit_synsets(root: Path) -> dict[int, tuple[str, str]]:
    """ILSVRC id -> (wnid, first name) of the leaf synsets; empty without a devkit."""
    path = root / DEVKIT / "meta.mat"
    if not path.exists():
        return {}
    try:
        return read_meta_mat(path)
    except ValueError as error:
        raise UserError(f"{path}: not the devkit's table of classes ({error}); unpack the devkit again") from error


def _devkit_labels(root: Path, truth: Path) -> list[Label]:
    if not truth.exists():
        return []
    synsets = devkit_synsets(root)
    expected = f"the number of one of {len(synsets):,} classes in {root / DEVKIT / 'meta.mat'}"
    labels = []
    for number, row in enumerate(read_table(truth, 1, expected, "data.root"), 1):
        (synset,) = row.integers(row.cells[:1], expected)
        if synset not in synsets:
            raise row.error(expected)
        labels.append(Label(f"ILSVRC2012_val_{number:08d}.JPEG", synsets[synset][0], row.place))
    return labels
