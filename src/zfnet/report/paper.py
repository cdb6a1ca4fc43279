"""What the papers publish, read from paper.yaml: papers, their tables and figures, and every number once.

A published cell is a number, "value ± spread", or words. A field is the path of our number in a stage's result
(see results.find). Mistakes in the file (an unknown key, a row of the wrong length) are errors at once.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import yaml

SPREAD = re.compile(r"^(-?[\d.]+) ± ([\d.]+)$")
SURE = {
    "V": "checked against a transcription of the paper",
    "R": "not checked against its source",
    "I": "our own arithmetic from what the paper states",
}


@dataclass(frozen=True)
class Published:
    """A published cell as it is printed, and as a number where it is one."""

    text: str
    value: float | None = None
    spread: float | None = None


@dataclass(frozen=True)
class Row:
    label: str
    published: tuple[Published | None, ...]  # one a column
    field: tuple[str | None, ...]  # path of our number, one a column
    stage: str
    key: bool  # shown on the overview
    key_if: str | None  # path of a value that must be true for that
    sure: str


@dataclass(frozen=True)
class Table:
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    title: str
    unit: str
    dots: int | None  # the column drawn as a dot plot
    factor: float  # from our number to the table's unit
    when: Mapping[str, Any] | None  # {path, among}: our numbers belong here only if the value at path is among these
    notes: tuple[str, ...]
    sure: str


@dataclass(frozen=True)
class Artefact:
    """A table or figure of a paper that this package makes again."""

    key: str
    paper: str
    where: str
    section: str
    stage: str
    title: str
    caption: str
    figures: tuple[str, ...]  # globs on the stage's figures
    tables: tuple[Table, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Paper:
    key: str
    short: str
    title: str
    authors: str
    year: int
    venue: str
    arxiv: str
    summary: str
    artefacts: tuple[Artefact, ...]


@cache
def papers() -> tuple[Paper, ...]:
    """The papers in the order of the file, each with its artefacts."""
    text = resources.files(__package__).joinpath("paper.yaml").read_text(encoding="utf-8")
    return parse(yaml.safe_load(text))


def parse(content: Mapping[str, Any]) -> tuple[Paper, ...]:
    """Papers from the plain content of the file; ValueError names the artefact and the row that is wrong."""
    artefacts = [_artefact(entry) for entry in content["artefacts"]]
    keys = [artefact.key for artefact in artefacts]
    if repeated := {key for key in keys if keys.count(key) > 1}:
        raise ValueError(f"paper.yaml: repeated artefacts {sorted(repeated)}")
    if unknown := {a.paper for a in artefacts} - set(content["papers"]):
        raise ValueError(f"paper.yaml: unknown papers {sorted(unknown)}")
    return tuple(
        Paper(key=key, **entry, artefacts=tuple(a for a in artefacts if a.paper == key))
        for key, entry in content["papers"].items()
    )


def published(cell: float | str | None) -> Published | None:
    """One cell: 83.8, "83.8 ± 0.5", or words."""
    if cell is None:
        return None
    if isinstance(cell, (int, float)):
        return Published(f"{cell:,}".replace(",", "\u2009") if abs(cell) >= 10000 else str(cell), float(cell))
    if match := SPREAD.match(cell):
        return Published(cell, float(match[1]), float(match[2]))
    return Published(cell)


def _artefact(entry: Mapping[str, Any]) -> Artefact:
    entry = dict(entry)
    sure, stage = entry.pop("sure"), entry["stage"]
    tables = tuple(_table(table, entry["key"], stage, sure) for table in entry.pop("tables"))
    figures, notes = tuple(entry.pop("figures")), tuple(entry.pop("notes", ()))
    return Artefact(**entry, figures=figures, notes=notes, tables=tables)


def _table(entry: Mapping[str, Any], artefact: str, stage: str, sure: str) -> Table:
    entry = {"title": "", "unit": "", "dots": None, "factor": 1.0, "when": None, "sure": sure, **entry}
    columns = tuple(entry.pop("columns"))
    defaults = {"field": [None] * len(columns), "stage": stage, "sure": entry["sure"], "key": False, "key_if": None}
    rows = tuple(_row({**defaults, **row}, artefact, len(columns)) for row in entry.pop("rows"))
    return Table(columns=columns, rows=rows, notes=tuple(entry.pop("notes", ())), **entry)


def _row(entry: dict[str, Any], artefact: str, n_columns: int) -> Row:
    cells, field = entry.pop("published"), entry.pop("field")
    if not len(cells) == len(field) == n_columns:
        raise ValueError(f"paper.yaml: {artefact}, {entry['label']}: {n_columns} columns need as many entries")
    return Row(published=tuple(map(published, cells)), field=tuple(field), **entry)
