"""One row a run: the settings in which the runs differ, their key numbers, and the best of each number marked.

Runs that differ in nothing but their seed are one row: the mean over the seeds ± the sample standard deviation. The
same table is written as CSV (a column for each number and one for its deviation) and as LaTeX.
"""

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zfnet.core.files import atomic_write
from zfnet.core.statistics import Measure
from zfnet.report.export import latex_table
from zfnet.report.tables import Cell, around, show

CSV, LATEX = "runs.csv", "runs.tex"
SEEDS = ("seed", "train.seed")
MACHINE = ("(device)", "(commit)")  # what a run ran on: no setting
LOWER, HIGHER = ("error", "drop in"), ("accuracy", "precision", "iou", "holds")  # in the name of a number


@dataclass(frozen=True)
class Compared:
    """One key number: a cell for each run (None: not measured) and the change from the first run in words."""

    label: str
    what: str
    cells: tuple[Cell | None, ...]
    changes: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.label} ({self.what})"


@dataclass(frozen=True)
class Row:
    """A run, or the runs of several seeds."""

    name: str
    seeds: tuple[str, ...]
    settings: tuple[str, ...]
    cells: tuple[Cell | None, ...]
    members: tuple[int, ...]  # places of its runs


@dataclass(frozen=True)
class RunTable:
    """The rows, the keys of their settings, their numbers, and the place of the best row of each number."""

    rows: tuple[Row, ...]
    keys: tuple[str, ...]
    numbers: tuple[Compared, ...]
    best: tuple[int | None, ...]

    @property
    def order(self) -> list[int]:
        """Places of the runs, those of the best row of the first number first."""
        ranked = list(self.rows)
        if self.numbers and self.best[0] is not None:
            sign = _direction(self.numbers[0])
            ranked.sort(key=lambda row: math.inf if (value := _value(row.cells[0])) is None else sign * value)
        return [place for row in ranked for place in row.members]


def run_table(names: Sequence[str], settings: Sequence[Mapping[str, Any]], numbers: Sequence[Compared]) -> RunTable:
    """The table of runs with their names, dotted settings and key numbers."""
    keys = [key for key, _ in differing(settings) if key not in (*SEEDS, *MACHINE)]
    groups: dict[str, list[int]] = {}
    for place, values in enumerate(settings):
        common = {key: value for key, value in values.items() if key not in (*SEEDS, *MACHINE)}
        groups.setdefault(json.dumps(common, sort_keys=True), []).append(place)
    rows = tuple(_row(places, names, settings, keys, numbers) for places in groups.values())
    best = tuple(_best(number, [row.cells[column] for row in rows]) for column, number in enumerate(numbers))
    return RunTable(rows, tuple(keys), tuple(numbers), best)


def differing(runs: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[str]]]:
    """(key, its value in each run) of the keys whose values are not all the same; "" where a run has none."""
    rows = []
    for key in sorted(set().union(*runs)):
        values = [_shown(run, key) for run in runs]
        if len(set(values)) > 1:
            rows.append((key, values))
    return rows


def write_tables(table: RunTable, out: Path) -> None:
    """The table as out/runs.csv and out/runs.tex."""
    header = ["run", "seeds", *table.keys]
    for number in table.numbers:
        header += [number.name, f"{number.name}, std"]
    with atomic_write(out / CSV) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        for row in table.rows:
            values = [value for cell in row.cells for value in _plain(cell)]
            writer.writerow([row.name, " ".join(row.seeds), *row.settings, *values])
    grid = [["run", *table.keys, *(number.name for number in table.numbers)]]
    for row in table.rows:
        grid.append([row.name, *row.settings, *(_printed(cell) for cell in row.cells)])
    with atomic_write(out / LATEX) as part:
        part.write_text(latex_table(grid) + "\n", encoding="utf-8")


def _row(
    places: Sequence[int],
    names: Sequence[str],
    settings: Sequence[Mapping[str, Any]],
    keys: Sequence[str],
    numbers: Sequence[Compared],
) -> Row:
    first = settings[places[0]]
    seeds = tuple(dict.fromkeys(_shown(settings[place], key) for place in places for key in SEEDS if key in first))
    cells = tuple(_mean([number.cells[place] for place in places]) for number in numbers)
    name = ", ".join(names[place] for place in places)
    return Row(name, seeds, tuple(_shown(first, key) for key in keys), cells, tuple(places))


def _mean(cells: Sequence[Cell | None]) -> Cell | None:
    """One cell of several seeds: the mean of those that were measured, with their deviation."""
    measured = [cell for cell in cells if cell is not None and cell.measure is not None]
    if len(cells) == 1 or len(measured) < 2:
        return measured[0] if measured else cells[0]
    mean = Measure.over_repeats([cell.measure.value for cell in measured if cell.measure], "seeds")
    places = max(len(cell.here.partition(".")[2]) for cell in measured)
    return Cell("", show(mean.value, places), around(mean, places), mean, None)


def _best(number: Compared, cells: Sequence[Cell | None]) -> int | None:
    """The place of the best of at least two different values; None where better has no direction."""
    sign = _direction(number)
    measured = {place: value for place, cell in enumerate(cells) if (value := _value(cell)) is not None}
    values = {place: sign * value for place, value in measured.items()}
    return min(values, key=values.__getitem__) if sign and len(set(values.values())) > 1 else None


def _direction(number: Compared) -> int:
    """1 where less is better, -1 where more is, 0 where neither is known."""
    name = number.what.lower()
    if any(word in name for word in LOWER):
        return 1
    return -1 if any(word in name for word in HIGHER) else 0


def _value(cell: Cell | None) -> float | None:
    return None if cell is None or cell.measure is None else cell.measure.value


def _plain(cell: Cell | None) -> tuple[Any, Any]:
    """A number and its deviation for the CSV file."""
    if cell is None or cell.measure is None:
        return ("" if cell is None else cell.here, "")
    return cell.measure.value, "" if cell.measure.std is None else cell.measure.std


def _printed(cell: Cell | None) -> str:
    if cell is None:
        return "–"
    return f"{cell.here} {cell.around}" if cell.around.startswith("±") else cell.here


def _shown(settings: Mapping[str, Any], key: str) -> str:
    return json.dumps(settings[key], ensure_ascii=False).strip('"') if key in settings else ""
