"""The papers' tables with our numbers beside the published ones, ready for the page.

A column is shown as "published" and "here"; either is left out where that column has no such number. Beside a measured
value stands its spread (±, one standard deviation over repeats, as the papers print it) or else its 95 %
interval. Decimals follow the published number of the same cell, else the size of the value; percentages have one.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from markupsafe import Markup

from zfnet.core.numbers import decimals_for
from zfnet.core.statistics import Measure
from zfnet.plots import chart
from zfnet.report.page import inline
from zfnet.report.paper import SURE, Artefact, Published, Row, Table
from zfnet.report.results import Result, find, measure, scaled

PLACEHOLDER = re.compile(r"\{([\w.]+)\}")  # of one of our numbers in a note
BROAD = 4  # columns of numbers from which a table leaves the text column


@dataclass(frozen=True)
class Cell:
    """One number of a table: as published and as measured here ("" where there is none)."""

    published: str
    here: str
    around: str  # the measured value's spread or interval
    measure: Measure | None
    value: float | None  # published

    @property
    def words(self) -> bool:
        """Ours is not a number."""
        return bool(self.here) and self.measure is None

    @property
    def prose(self) -> bool:
        """The published cell is not a number."""
        return bool(self.published) and self.value is None


@dataclass(frozen=True)
class Line:
    label: str
    cells: tuple[Cell, ...]
    sure: str  # said of the published numbers when it is not a checked transcription
    indented: bool


@dataclass(frozen=True)
class Joined:
    """A table ready to be shown."""

    table: Table
    lines: tuple[Line, ...]
    printed: tuple[bool, ...]  # whether a column has a published number
    measured: tuple[bool, ...]  # whether it has one of ours
    notes: tuple[str, ...]

    @cached_property
    def svg(self) -> Markup | None:
        """The column that is drawn as a dot plot."""
        return _dots(self.table, self.lines)

    @property
    def groups(self) -> list[tuple[str, int]]:
        """The table's columns and how many of the page each takes: published, here or both."""
        spans = zip(self.table.columns, map(sum, zip(self.printed, self.measured, strict=True)), strict=True)
        return [(name, span) for name, span in spans if span]

    @property
    def broad(self) -> bool:
        return sum(self.printed) + sum(self.measured) >= BROAD


@dataclass(frozen=True)
class KeyNumber:
    """A number of the overview: whose it is, what it measures, and the cell."""

    label: str
    what: str
    cell: Cell


def join(table: Table, stage: str, results: Mapping[str, Result]) -> Joined:
    """The table of an artefact of `stage` with the numbers that the stages measured."""
    rows = (line_of(row, table, results) for row in table.rows)
    lines = tuple(line for line in rows if any(cell.published or cell.here for cell in line.cells))
    columns = [[line.cells[place] for line in lines] for place in range(len(table.columns))]
    measured = tuple(any(cell.here for cell in column) for column in columns)
    printed = tuple(any(cell.published for cell in column) for column in columns)
    notes = tuple(filter(None, (fill(note, results.get(stage)) for note in table.notes)))
    return Joined(table, lines, printed, measured, notes)


def key_rows(artefact: Artefact, results: Mapping[str, Result]) -> list[KeyNumber]:
    """What the overview shows of an artefact: the rows marked so, in the column drawn as dots or the first measured.

    A row with a condition, as that its networks have converged, is shown where the stage recorded it as true.
    """
    shown = []
    for table in artefact.tables:
        for row in (row for row in table.rows if row.key):
            if row.key_if and find(results.get(row.stage), row.key_if) is not True:
                continue
            cells = list(zip(table.columns, line_of(row, table, results).cells, strict=True))
            preferred = cells[table.dots : table.dots + 1] if table.dots is not None else []
            column, cell = next(((name, cell) for name, cell in [*preferred, *cells] if cell.here), ("", None))
            if cell is not None:
                shown.append(KeyNumber(row.label.removeprefix("– "), _measured(column, table), cell))
    return shown


def fill(note: str, result: Result | None) -> str:
    """The note with {path} replaced by our numbers; "" where one is missing."""
    numbers = {path: find(result, path) for path in PLACEHOLDER.findall(note)}
    if None in numbers.values():
        return ""
    return PLACEHOLDER.sub(lambda match: f"{numbers[match[1]]}", note)


def decimals(value: float, like: Published | None, unit: str) -> int:
    """How many decimals a measured number is shown with."""
    if like is not None and "." in like.text and like.value is not None:
        return len(like.text.split(" ")[0].partition(".")[2])
    if unit.endswith("%"):
        return 1
    return 0 if value == int(value) else min(decimals_for(value), 3)


def show(value: float, places: int) -> str:
    """A number with `places` decimals, thin spaces from ten thousand on, and a true minus."""
    text = f"{value:,.{places}f}" if abs(value) >= 10000 else f"{value:.{places}f}"
    return text.replace(",", "\u2009").replace("-", "−")


def around(measured: Measure, places: int) -> str:
    """The spread (± 0.5) or the interval (29.8 to 32.6) of a measured number, or nothing."""
    if measured.std is not None:
        return f"± {show(measured.std, places)}"
    return show_interval(measured, places)


def show_interval(measured: Measure, places: int) -> str:
    """The interval of a measured number (29.8 to 32.6), or nothing."""
    return " to ".join(show(end, places) for end in measured.ends or ())


def line_of(row: Row, table: Table, results: Mapping[str, Result]) -> Line:
    """A row of a table with the numbers that its stage measured."""
    result = results.get(row.stage)
    if table.when and find(result, table.when["path"]) not in table.when["among"]:
        result = None
    cells = [
        _cell(published, find(result, path) if path else None, table)
        for published, path in zip(row.published, row.field, strict=True)
    ]
    sure = "" if row.sure == "V" else SURE[row.sure]
    return Line(row.label.removeprefix("– "), tuple(cells), sure, row.label.startswith("– "))


def _cell(published: Published | None, content: object, table: Table) -> Cell:
    text, value = (published.text, published.value) if published else ("", None)
    if isinstance(content, str):
        return Cell(text, content, "", None, value)
    ours = scaled(measure(content), table.factor)
    if ours is None:
        return Cell(text, "", "", None, value)
    places = decimals(ours.value, published, table.unit)
    return Cell(text, show(ours.value, places), around(ours, places), ours, value)


def _dots(table: Table, lines: tuple[Line, ...]) -> Markup | None:
    if table.dots is None:
        return None
    cells = [(line, line.cells[table.dots]) for line in lines]
    rows = [
        chart.Dot(
            f"– {line.label}" if line.indented else line.label,
            cell.measure.value,
            cell.measure.low,
            cell.measure.high,
            cell.value,
        )
        for line, cell in cells
        if cell.measure
    ]
    return inline(chart.dots(rows, _measured(table.columns[table.dots], table)))[0] if rows else None


def _measured(column: str, table: Table) -> str:
    """What the numbers of a column are, without the table around them: "val top-1: error, %"."""
    return f"{column}: {table.unit}" if table.unit else column
