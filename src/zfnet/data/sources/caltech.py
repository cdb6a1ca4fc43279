"""Caltech-101 and Caltech-256 in their folder layouts, which the menagerie's transfer set has too.

    101_ObjectCategories/<class>/image_0001.jpg      101 classes and BACKGROUND_Google
    256_ObjectCategories/<nnn>.<class>/<nnn>_0001.jpg    256 classes and 257.clutter

Whether the background counts as a class is [NS] in [ZF13] 5.2: it is an option. Only the JPEG files directly in a class
folder are images; Caltech-256 has strays (198.spider/RENAME2, the folder 056.dog/greg). The folder may be nested in a
folder of its name, as some archives unpack.
"""

import re
from pathlib import Path

from zfnet.core.errors import UserError
from zfnet.data.index import Index, make_index
from zfnet.data.listing import image_files, list_folder

LAYOUTS = {  # folder -> its archive and source
    "101_ObjectCategories": "caltech-101.zip from https://data.caltech.edu/records/mzrjq-6wc02",
    "256_ObjectCategories": "256_ObjectCategories.tar from https://data.caltech.edu/records/nyy15-4j048",
}
FOLDERS = {"caltech101": "101_ObjectCategories", "caltech256": "256_ObjectCategories"}
BACKGROUND = ("BACKGROUND_Google", "257.clutter")
ARCHIVES = {
    "101_ObjectCategories": ("caltech-101.zip", "101_ObjectCategories.tar.gz"),
    "256_ObjectCategories": ("256_ObjectCategories.tar",),
}
HOMES = (".", "caltech-101", *FOLDERS)  # folders below a root that may hold them


def read_caltech(root: Path, background: bool = False, source: str = "") -> Index:
    """All images of Caltech-101 or Caltech-256, classes in natural order; `root` holds the folder, or is it.

    background: include the class of background images. source: "caltech101" or "caltech256", where it must be that one.
    Raises UserError when the folder or its images are missing, with their source.
    """
    folder = _find(root, [FOLDERS[source]] if source else list(LAYOUTS))
    classes = sorted(list_folder(folder)[0], key=_natural)
    classes = [name for name in classes if background or name not in BACKGROUND]
    files = [(name, file) for name in classes for file in sorted(_jpegs(folder / name), key=_natural)]
    nonempty = list(dict.fromkeys(name for name, _ in files))  # a folder without images is no class
    if not nonempty:
        raise UserError(f"transfer.root: no class folders with JPEG images in {folder}; unpack the archive again")
    rows = [(f"{name}/{file}", nonempty.index(name)) for name, file in files]
    return make_index(folder, rows, nonempty, [_readable(name) for name in nonempty])


def _find(root: Path, layouts: list[str]) -> Path:
    for folder in (root, *(root / home / name for home in HOMES for name in layouts)):
        if folder.name in layouts and folder.is_dir():
            nested = folder / folder.name
            return nested if nested.is_dir() else folder
    archives = [root / home / file for home in HOMES for name in layouts for file in ARCHIVES[name]]
    for packed in filter(Path.is_file, archives):
        raise UserError(f"transfer.root: {packed} is still packed: make data-unpack DATA={packed.parent}")
    layout_names = " or ".join(f"{name} ({LAYOUTS[name]})" for name in layouts)
    raise UserError(f"transfer.root: {root} holds {'neither ' if len(layouts) > 1 else 'no '}{layout_names}")


def _jpegs(folder: Path) -> list[str]:
    return [path.name for path in image_files(folder) if path.suffix.lower() in (".jpg", ".jpeg") and path.is_file()]


def _natural(name: str) -> list[tuple[int, str]]:
    parts = re.findall(r"\d+|\D+", name.lower())
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


def _readable(name: str) -> str:
    """ "031.car-tire" -> "car tire", "airplanes-101" -> "airplanes", "BACKGROUND_Google" -> "background"."""
    if name in BACKGROUND:
        return "background"
    bare = re.sub(r"^\d{3}\.|-101$", "", name)
    return re.sub(r"[-_]+", " ", bare).strip()
