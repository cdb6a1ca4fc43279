"""The atlas of units: a page a layer with every map of it, one stable address a map (atlas/layer4.html#unit-123).

    atlas/index.html      the layers, each with its purest maps
    atlas/layer4.html     every map: projections beside patches, classes, values and files
    atlas/layer4/123.jpg  copies of what stage top_activations drew
    atlas/atlas.js        sorting, searching, arrow keys; without it a page shows its maps by number

It reads the atlas.json that the stage left; where there is none, or none that can be read, there is no atlas.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from PIL import Image

from zfnet.core.files import atomic_write
from zfnet.report.page import write_page
from zfnet.report.results import Result

STAGE, FOLDER, INDEX = "top_activations", "atlas", "atlas/index.html"
PUREST = 6  # maps shown of each layer on the atlas's first page
LISTED = 3  # classes named under a map


@dataclass(frozen=True)
class Map:
    """One map of a layer: what it fires on."""

    unit: int
    picture: str  # beside the layer's page; "" for a map that never fires
    images: list[tuple[str, str, str]]  # value, class, file; strongest first
    counts: list[tuple[str, int]]  # class and how many of the images, most frequent first
    purity: float
    strength: float

    @property
    def fires_on(self) -> str:
        """The most frequent classes in words: 7 tabby cat, 2 lynx."""
        classes = [f"{count} {name}" for name, count in self.counts[:LISTED]]
        rest = sum(count for _, count in self.counts[LISTED:])
        return ", ".join(classes + ([f"{rest} other"] if rest else []))

    @property
    def found_by(self) -> str:
        """What a search looks in."""
        return " ".join([f"map {self.unit}", *(name for name, _ in self.counts)]).lower()


@dataclass(frozen=True)
class Layer:
    """One page."""

    number: str
    field: int  # px of the image that a unit sees
    maps: list[Map]
    shape: tuple[int, int]  # width and height of its pictures, px

    @property
    def file(self) -> str:
        return f"layer{self.number}.html"

    @property
    def purest(self) -> list[Map]:
        return sorted((m for m in self.maps if m.picture), key=lambda m: (-m.purity, -m.strength))[:PUREST]

    @property
    def n_dead(self) -> int:
        return sum(not m.images for m in self.maps)


def read_layers(result: Result | None) -> list[Layer]:
    """The layers in the atlas that the stage left, lowest first; none where there is no atlas."""
    if result is None:
        return []
    try:
        content = json.loads((result.folder / f"{FOLDER}.json").read_text(encoding="utf-8"))
        return [_layer(result.folder, number, row, content["names"]) for number, row in content["layers"].items()]
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError):
        return []


def write_atlas(layers: list[Layer], result: Result, out: Path, shared: Mapping[str, Any]) -> None:
    """The pages and pictures of `layers` under out/atlas."""
    for layer in layers:
        for picture in (m.picture for m in layer.maps if m.picture):
            with atomic_write(out / FOLDER / picture) as part:
                shutil.copyfile(result.folder / FOLDER / picture, part)
        write_page(out, f"{FOLDER}/{layer.file}", "atlas_layer.html", layer=layer, layers=layers, **shared)
    write_page(out, INDEX, "atlas.html", layers=layers, **shared)
    script = resources.files(__package__).joinpath("templates/atlas.js").read_text(encoding="utf-8")
    with atomic_write(out / FOLDER / "atlas.js") as part:
        part.write_text(script, encoding="utf-8")


def _layer(folder: Path, number: str, row: Mapping[str, Any], names: list[str]) -> Layer:
    number = str(int(number))
    maps = [_map(folder, number, content, names) for content in row["maps"]]
    first = next((m.picture for m in maps if m.picture), None)
    shape = (0, 0)
    if first:
        with Image.open(folder / FOLDER / first) as image:
            shape = image.size
    return Layer(number, int(row["field"]), maps, shape)


def _map(folder: Path, number: str, content: Mapping[str, Any], names: list[str]) -> Map:
    unit, values = int(content["unit"]), [float(value) for value in content["values"]]
    picture = f"layer{number}/{unit}.jpg"
    images = [
        (f"{value:.3g}", names[k], str(file))
        for value, k, file in zip(values, content["classes"], content["files"], strict=True)
    ]
    counts = [(names[k], int(count)) for k, count in content["counts"]]
    there = (folder / FOLDER / picture).is_file()
    return Map(unit, picture if there else "", images, counts, float(content["purity"]), max(values, default=0.0))
