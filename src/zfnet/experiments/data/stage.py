"""Stage data: images drawn or read, shrunk and cached; the mean image of the training split."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from zfnet.experiments.context import Context
from zfnet.experiments.stage import Stage
from zfnet.pipeline.record import Outcome

if TYPE_CHECKING:
    from zfnet.data.cache.images import Images


def run(context: Context) -> Outcome:
    from zfnet.data.cache.duplicates import notes_of_duplicates
    from zfnet.data.crops import crop_size
    from zfnet.experiments.data.contact_sheet import contact_sheet
    from zfnet.experiments.sources import read_source

    config = context.config
    train_index, val_index = read_source(config)
    train = context.cache("data", train_index, context.image_cache / "train", mean=True)
    val = context.cache("data", val_index, context.image_cache / "val")
    n_unreadable = len(train_index) - len(train) + len(val_index) - len(val)
    notes = [*train_index.notes, *val_index.notes]
    notes += [f"training: {note}" for note in train.index.notes]
    notes += [f"validation: {note}" for note in val.index.notes]
    notes += [*_boxes_note(train, val), *notes_of_duplicates(train, val)]
    for note in notes:
        print(f"  {note}", flush=True)
    numbers = {
        "n_classes": len(train.index.classes),
        "n_train": len(train),
        "n_val": len(val),
        "n_unreadable": n_unreadable,
        "share_with_boxes": float(np.mean([len(boxes) > 0 for boxes in val.index.boxes])),
        "frame": config.data.size,
        "cache": config.data.cache,
        "pictures": crop_size(config.data.size),
        "source": config.data.source,
        "notes": notes,
        "classes": dict(zip(train.index.classes, train.index.names, strict=True)),
    }
    headline = f"{len(train):,} + {len(val):,} images of {numbers['n_classes']} classes"
    if n_unreadable:
        headline += f"; {n_unreadable:,} unreadable left out, see cache.json"
    return Outcome(numbers, contact_sheet(train, context.out, config.data.seed), headline)


def _boxes_note(train: Images, val: Images) -> list[str]:
    """How many images have boxes; nothing where none has."""
    counts = [sum(len(boxes) > 0 for boxes in images.index.boxes) for images in (train, val)]
    if not any(counts):
        return []
    return [f"boxes of {counts[0]:,} of {len(train):,} training and {counts[1]:,} of {len(val):,} validation images"]


DATA = Stage(
    "data",
    "images drawn or read, shrunk, cached; mean image",
    run,
    reads=("data",),
    version=3,
    keeps=True,
    leaves=("train/cache.json", "val/cache.json"),
    uses_network=False,
)
