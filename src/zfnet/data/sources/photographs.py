"""Photographs in the layouts that people have, to look at with a network that was trained elsewhere -> Index.

<root>/wnids.txt                            Tiny ImageNet-200
<root>/train/<wnid>/*, <root>/val/          ILSVRC-2012 (zfnet.data.sources.imagenet); also Imagenette
<root>/train/<class>/*, <root>/val/<class>/*    the user's own (zfnet.data.sources.folder)
<root>/val/                                 ILSVRC-2012 without its training images
<root>/<class>/*                            one folder a class, named by wnid or by name
<root>/*                                    photographs without labels; box files in Annotations/ or beside them

Without a training split one half of the images, drawn by seed, stands for it and the other half is measured, so that no
number is measured on the images that it was estimated from.
"""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from zfnet.core.errors import UserError
from zfnet.data.index import Index, make_index, require_folder
from zfnet.data.listing import IMAGE_SUFFIXES, is_image, list_folder, list_images, notes_of
from zfnet.data.sources.box_files import BoxFiles
from zfnet.data.sources.folder import class_folders, read_all, read_folder
from zfnet.data.sources.imagenet import read_imagenet, read_val
from zfnet.data.sources.tiny_imagenet import read_tiny_imagenet

UNLABELED = "unlabeled"  # the class of photographs without labels, which no network knows
_HINT = "expected photographs in it, one folder a class, or train/ and val/"


def read_photographs(root: Path, seed: int) -> tuple[Index, Index]:
    """(train, val) of the layout that `root` has. Raises UserError for a folder without photographs."""
    require_folder(root, "data.root", _HINT)
    if (root / "wnids.txt").is_file():
        return read_tiny_imagenet(root)
    splits = [name for name in ("train", "val") if (root / name).is_dir()]
    if splits == ["train", "val"]:
        of_wnids = all(re.fullmatch(r"n\d{8}", name) for name in class_folders(root / "train"))
        return read_imagenet(root) if of_wnids else read_folder(root, 0.5, seed)
    if splits == ["val"]:
        return halves(read_val(root), seed)
    holds_images = any(is_image(name) for name in list_folder(root)[1])
    index = None if holds_images else read_all(root)
    return halves(index or _unlabeled(root), seed)


def halves(index: Index, seed: int) -> tuple[Index, Index]:
    """Two disjoint halves of the images, drawn by seed; of an odd number the second has one more.

    Raises UserError for a single image.
    """
    if len(index) < 2:
        raise UserError(f"data.root: {index.root} holds {len(index)} photograph, and two halves need at least two")
    order = np.random.default_rng([seed, len(index)]).permutation(len(index))
    middle = len(index) // 2
    return index.take(np.sort(order[:middle])), replace(index.take(np.sort(order[middle:])), notes=())


def _unlabeled(root: Path) -> Index:
    """The photographs of the folder and of those below it, with their boxes."""
    listing = list_images(root)
    if not listing.images:
        raise UserError(f"data.root: {root} holds no image files ({', '.join(IMAGE_SUFFIXES)}); {_HINT}")
    files = BoxFiles(root, listing.box_files)
    annotations = [files.annotation(image) for image in listing.images]
    boxes, sizes = [annotation.boxes() for annotation in annotations], [annotation.size for annotation in annotations]
    faults = [annotation.fault for annotation in annotations]
    notes = [*notes_of({root.name: listing}), *files.notes()]
    rows = [(image, 0) for image in listing.images]
    return make_index(root, rows, [UNLABELED], boxes=boxes, upright=True, sizes=sizes, faults=faults, notes=notes)
