"""The folders and sources of the datasets that a configuration names."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np

from zfnet.core.errors import UserError
from zfnet.core.files import remove_unfinished
from zfnet.core.machine import n_cores
from zfnet.core.resources import CONF
from zfnet.data.index import Index
from zfnet.data.listing import is_image, walk
from zfnet.data.tables import read_lines
from zfnet.experiments.config import Settings

FOLDERS = {"tiny_imagenet": "tiny-imagenet-200"}  # of sources whose folder has another name
OUR_PARTS = CONF / "parts"  # positions of eyes and noses, a file a dataset


def read_source(config: Settings) -> tuple[Index, Index]:
    """(train, val) of the configured source, limited to the configured classes and images a class.

    Raises UserError where fewer than two classes or no validation images are left.
    """
    data, root = config.data, _data_folder(config)
    if data.source in ("menagerie", "imagenet"):
        from zfnet.data.sources.imagenet import read_imagenet

        is_drawn = data.source == "menagerie"
        train, val = read_imagenet(drawn_menagerie(config) / "ilsvrc" if is_drawn else root)
    elif data.source == "tiny_imagenet":
        from zfnet.data.sources.tiny_imagenet import read_tiny_imagenet

        train, val = read_tiny_imagenet(root)
    elif data.source == "photographs":
        from zfnet.data.sources.photographs import read_photographs

        train, val = read_photographs(root, data.seed)
    else:
        from zfnet.data.sources.folder import read_folder

        train, val = read_folder(root, data.val_share, data.seed)
    if data.leave_out:
        train = without(train, Path(data.leave_out))
    if data.n_classes:
        kept = train.classes[: data.n_classes]
        train, val = train.only_classes(kept), val.only_classes(kept)
    if len(train.classes) < 2 and data.source != "photographs":
        key = "data.n_classes" if data.n_classes == 1 else "data.source"
        raise UserError(f"{key}: a network needs at least two classes; {len(train.classes)} of {data.source} is left")
    if not len(val):
        if not data.n_classes:
            raise UserError(f"data.root: {root} has no validation image; add some")
        raise UserError(f"data.n_classes: no validation image is of the first {data.n_classes} classes; give 0 for all")
    return train.limit_per_class(data.train_per_class, data.seed), val.limit_per_class(data.val_per_class, data.seed)


def without(index: Index, file: Path) -> Index:
    """The index without the images that the file lists, a path relative to the dataset's folder a line.

    Empty lines and comments (#) are skipped. Raises UserError for a missing file and for an unknown image.
    """
    lines = read_lines(file, "data.leave_out", "give a file of paths")
    left_out = np.array([line for line in lines if not line.startswith("#")], dtype=np.str_)
    unknown = np.setdiff1d(left_out, index.paths)
    if len(unknown):
        raise UserError(
            f"data.leave_out: {file} names {str(unknown[0])!r}, which is no training image of {index.root} "
            f"({len(unknown)} such names); give paths as in transfer/leave_out.txt"
        )
    return index.take(np.flatnonzero(~np.isin(index.paths, left_out)))


def read_transfer_source(config: Settings) -> Index:
    """The images of the transfer set."""
    from zfnet.data.sources.caltech import read_caltech

    if config.transfer.source == "menagerie":
        return read_caltech(drawn_menagerie(config) / "caltech")
    return read_caltech(_transfer_folder(config), config.transfer.background, config.transfer.source)


def why_absent(config: Settings, section: str) -> str:
    """Why a section of the configuration ("transfer", "voc") has no images to read; "" where it has.

    A missing folder that the configuration names is an error of its reader instead.
    """
    source = getattr(config, section).source
    if source == "none":
        return f"{section}.source is none"
    folder = missing_folder(config, section)
    return f"{folder} does not exist; `zfnet data fetch {source} --to {config.paths.data}`" if folder else ""


def missing_folder(config: Settings, section: str) -> Path | None:
    """The folder of a known dataset that a section of the configuration reads, where it does not exist."""
    folder = _raw_folder(config, section)
    if folder is None or getattr(config, section).root or folder.is_dir():
        return None
    return folder


def voc_folder(config: Settings) -> tuple[Path, int]:
    """(folder of PASCAL VOC, year) of the configuration; the drawn scenes have the year 2012."""
    if config.voc.source == "menagerie":
        return drawn_menagerie(config) / "voc" / "VOC2012", 2012
    year = int(config.voc.source.removeprefix("voc"))
    default = Path(config.paths.data) / "VOCdevkit" / f"VOC{year}"
    return Path(config.voc.root) if config.voc.root else default, year


def read_voc_source(config: Settings) -> tuple[Index, Index, str]:
    """(train, test, name of the test split); `auto` takes "test" where its labels are available."""
    from zfnet.data.sources.voc import has_labels, read_voc

    folder, year = voc_folder(config)
    split = config.voc.test
    if split == "auto":
        split = "test" if has_labels(folder, year, "test") else "val"
    return read_voc(folder, year, "train" if split == "val" else "trainval"), read_voc(folder, year, split), split


def raw_files(config: Settings, section: str) -> str | None:
    """Digest of the raw folder that a section of the configuration reads, to notice changes.

    It covers names and sizes, of large datasets the number of files in each folder. "" where the section reads no such
    folder or a drawn one, None where the folder is missing. Cached for a run, until `forget_listings`.
    """
    folder = _raw_folder(config, section)
    if folder is None:
        return ""
    if not folder.is_dir():
        return None
    return _list_counts(folder) if section == "data" and _is_large(config, folder) else _list_files(folder)


def _is_large(config: Settings, folder: Path) -> bool:
    """Whether the dataset is (Tiny) ImageNet, whose files are many and nobody edits."""
    source = config.data.source
    return source in ("imagenet", "tiny_imagenet") or (source == "photographs" and (folder / "val").is_dir())


def named_files(config: Settings, section: str) -> list[str]:
    """Digests of the files that a section of the configuration names: lists of images and classes, parts, networks.

    "" for a missing file. Cached for a run, until `forget_listings`.
    """
    options = getattr(config, section, None)
    names = [getattr(options, key, "") for key in ("leave_out", "blacklist", "weights", "classes")]
    if section == "correspondence":
        names.append(str(given_parts(config) or ""))
    if section == "network":
        name = Path(config.network.name).expanduser()
        names += [str(file) for file in (name, name / "model.pt") if file.is_file()]
    return [_file_digest(Path(name).expanduser()) for name in names if name]


def forget_listings() -> None:
    for cached in (_file_digest, _list_files, _list_counts):
        cached.cache_clear()


@cache
def _file_digest(file: Path) -> str:
    if not file.is_file():
        return ""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()[:16]


@cache
def _list_files(folder: Path) -> str:
    digest = hashlib.sha256()
    for path, _, files in walk(folder):
        digest.update(f"{os.path.relpath(path, folder)}\n".encode(errors="surrogateescape"))
        for name in files:
            if is_image(name) or name.lower().endswith((".xml", ".txt", ".csv")):
                digest.update(f"{name} {_size(path / name)}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()[:16]


def _size(file: Path) -> int:
    """Bytes of a file; -1 for a dangling link."""
    return file.stat().st_size if file.exists() else -1


@cache
def _list_counts(folder: Path) -> str:
    """Digest of the number of files in each folder, which is fast."""
    counts = [f"{os.path.relpath(path, folder)} {len(files)}" for path, _, files in walk(folder)]
    return hashlib.sha256("\n".join(counts).encode(errors="surrogateescape")).hexdigest()[:16]


def _data_folder(config: Settings) -> Path:
    data = config.data
    return Path(data.root) if data.root else Path(config.paths.data) / FOLDERS.get(data.source, data.source)


def _transfer_folder(config: Settings) -> Path:
    return Path(config.transfer.root or Path(config.paths.data) / config.transfer.source)


def _boxed_folder(config: Settings) -> Path | None:
    return Path(config.localization.images) if config.localization.images else None


_FOLDERS_OF: dict[str, Callable[[Settings], Path | None]] = {
    "data": _data_folder,
    "transfer": _transfer_folder,
    "voc": lambda config: voc_folder(config)[0],
    "localization": _boxed_folder,
}


def _raw_folder(config: Settings, section: str) -> Path | None:
    """The folder of photographs that the section reads; None where it reads none, or drawn ones."""
    drawn = getattr(getattr(config, section, None), "source", "") in ("menagerie", "none")
    return None if drawn or section not in _FOLDERS_OF else _FOLDERS_OF[section](config)


def blacklist_file(config: Settings, images: Index) -> str:
    """The file of validation images that localization does not score: the configured one, the devkit's, or ""."""
    from zfnet.data.sources.imagenet import find_blacklist

    if config.localization.blacklist or config.data.source != "imagenet":
        return config.localization.blacklist
    return str(find_blacklist(_data_folder(config), images) or "")


def given_parts(config: Settings) -> Path | None:
    """The file of positions of eyes and noses: the configured one, the one in conf/parts, or None."""
    if config.correspondence.parts:
        return Path(config.correspondence.parts)
    ours = OUR_PARTS / f"{config.data.source}.csv"
    return ours if ours.exists() else None


def parts_file(config: Settings) -> Path | None:
    """The file of positions: the given one, the one drawn with the menagerie, or None."""
    drawn = config.data.source == "menagerie"
    return given_parts(config) or (drawn_menagerie(config) / "ilsvrc" / "parts.csv" if drawn else None)


def drawn_menagerie(config: Settings) -> Path:
    """The folder of the drawn dataset, drawn if it is missing, with no more classes than wanted.

    Its name holds a hash of the options.
    """
    from menagerie import CLASSES, MenagerieError, draw_menagerie

    n_classes = config.data.n_classes or len(CLASSES)
    options = {**dataclasses.asdict(config.data.menagerie), "n_classes": min(n_classes, len(CLASSES))}
    name = hashlib.sha256(json.dumps(options, sort_keys=True).encode()).hexdigest()[:8]
    root = Path(config.paths.data) / f"menagerie-{name}"
    remove_unfinished(root.parent, f".{root.name}.*.partial")
    try:
        draw_menagerie(root, processes=n_cores(), **options)
    except MenagerieError as error:
        raise UserError(str(error)) from error
    return root
