"""Which folder a configuration means and which source reads it: the only place that knows all sources."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from pathlib import Path

from zfnet.config import Config
from zfnet.data.index import Index

FOLDERS = {"tiny_imagenet": "tiny-imagenet-200"}  # where a source's own folder is not called like the source


def read_source(config: Config) -> tuple[Index, Index]:
    """(train, val) of the configured source, limited to the configured classes and images a class."""
    data = config.data
    root = Path(data.root) if data.root else Path(config.paths.data) / FOLDERS.get(data.source, data.source)
    if data.source == "menagerie":
        from zfnet.data.imagenet import read_imagenet

        train, val = read_imagenet(drawn_menagerie(config) / "ilsvrc")
    elif data.source == "imagenet":
        from zfnet.data.imagenet import read_imagenet

        train, val = read_imagenet(root)
    elif data.source == "tiny_imagenet":
        from zfnet.data.tiny_imagenet import read_tiny_imagenet

        train, val = read_tiny_imagenet(root)
    else:
        from zfnet.data.folder import read_folder

        train, val = read_folder(root, data.val_share, data.seed)
    if data.n_classes:
        kept = train.classes[: data.n_classes]
        train, val = train.only_classes(kept), val.only_classes(kept)
    return train.limit_per_class(data.train_per_class, data.seed), val.limit_per_class(data.val_per_class, data.seed)


def read_transfer_source(config: Config) -> Index:
    """The images of the transfer set."""
    from zfnet.data.caltech import read_caltech

    if config.transfer.source == "menagerie":
        return read_caltech(drawn_menagerie(config) / "caltech")
    root = config.transfer.root or Path(config.paths.data) / config.transfer.source
    return read_caltech(Path(root))


def voc_folder(config: Config) -> tuple[Path, int]:
    """(where PASCAL VOC is or would be, its year) of the configuration; the drawn scenes count as 2012."""
    if config.voc.source == "menagerie":
        return drawn_menagerie(config) / "voc" / "VOC2012", 2012
    year = int(config.voc.source.removeprefix("voc"))
    default = Path(config.paths.data) / "VOCdevkit" / f"VOC{year}"
    return Path(config.voc.root) if config.voc.root else default, year


def read_voc_source(config: Config) -> tuple[Index, Index, str]:
    """(train, test, what the test images are called); `auto` tests on "test" where its labels are at hand."""
    from zfnet.data.voc import has_labels, read_voc

    folder, year = voc_folder(config)
    split = config.voc.test
    if split == "auto":
        split = "test" if has_labels(folder, year, "test") else "val"
    return read_voc(folder, year, "train" if split == "val" else "trainval"), read_voc(folder, year, split), split


def parts_file(config: Config) -> Path | None:
    """Where the positions of eyes and noses are: the configured file, or the drawn one; None without either."""
    if config.correspondence.parts:
        return Path(config.correspondence.parts)
    return drawn_menagerie(config) / "ilsvrc" / "parts.csv" if config.data.source == "menagerie" else None


def drawn_menagerie(config: Config) -> Path:
    """The folder of the drawn data set, drawn now if it is not there yet; its name holds what was asked for."""
    from zfnet.data.menagerie import draw_menagerie

    asked = dataclasses.asdict(config.data.menagerie)
    name = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:8]
    root = Path(config.paths.data) / f"menagerie-{name}"
    draw_menagerie(root, processes=os.cpu_count() or 1, **asked)
    return root
