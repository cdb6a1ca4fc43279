"""Numbers for other programs: all of a profile as one tidy table, and one table of a paper as text.

    zfnet table 3                                     [ZF13] Table 3 of outputs/menagerie, as Markdown
    zfnet table ablations outputs/tiny_imagenet --format latex

`results.csv`, beside the pages of the report, has one line a number: of which paper, artefact and table, its row and
metric, value and unit, 95 % interval, spread, number of samples and of repeats (seeds or folds), the seeds, the
published value, and the commit.
"""

import argparse
import csv
import io
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from zfnet.core.errors import UserError, exit_code
from zfnet.core.files import atomic_write
from zfnet.pipeline.record import RESULT
from zfnet.report.paper import Artefact, Row, Table, papers
from zfnet.report.results import Result, find, named_folder, read
from zfnet.report.tables import Cell, Joined, join, line_of

TIDY = "results.csv"
COLUMNS = (
    "paper",
    "artefact",
    "table",
    "row",
    "metric",
    "unit",
    "value",
    "low",
    "high",
    "std",
    "n",
    "repeats",
    "seeds",
    "interval",
    "published",
    "stage",
    "commit",
)
FORMATS = ("markdown", "latex", "csv")
LATEX = {sign: f"\\{sign}" for sign in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "≥": r"$\ge$",
    "−": r"$-$",
    "–": "--",
    "\u2009": r"\,",
}


# ---------------------------------------------------------------- everything, tidy
def tidy(results: Mapping[str, Result]) -> Iterator[dict[str, Any]]:
    """One dict of COLUMNS for each number of a table that was measured or published; unknown values are ""."""
    for artefact in (artefact for paper in papers() for artefact in paper.artefacts):
        for table in artefact.tables:
            for row in table.rows:
                yield from _tidy_row(artefact, table, row, results)


def _tidy_row(artefact: Artefact, table: Table, row: Row, results: Mapping[str, Result]) -> Iterator[dict[str, Any]]:
    line, result = line_of(row, table, results), results.get(row.stage)
    place = {"paper": artefact.paper, "artefact": artefact.where, "table": table.title, "row": line.label}
    source = {"stage": row.stage, "seeds": _seeds(result), "commit": result.content["commit"] if result else ""}
    for metric, cell in zip(table.columns, line.cells, strict=True):
        if cell.published or cell.here:
            yield {**place, "metric": metric, "unit": table.unit, **_numbers(cell), **source}


def _seeds(result: Result | None) -> str:
    """The seeds of the trainings that a result is of, or of its analysis."""
    if result is None:
        return ""
    for path in ("seeds", "config.train.seed"):
        seeds = find(result, path)
        if seeds is not None:
            return " ".join(map(str, seeds if isinstance(seeds, list) else [seeds]))
    return str(result.content["seed"])


def write_tidy(results: Mapping[str, Result], path: Path) -> None:
    """The tidy table as a CSV file."""
    with atomic_write(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(tidy(results))


def _numbers(cell: Cell) -> dict[str, Any]:
    published = cell.published if cell.value is None else cell.value
    if cell.measure is None:
        return {"value": cell.here, "published": published}
    ours = cell.measure
    known = {name: getattr(ours, name) for name in ("value", "low", "high", "std", "n", "interval")}
    known["repeats"] = len(ours.repeats) or None
    return {name: "" if value is None else value for name, value in known.items()} | {"published": published}


# ---------------------------------------------------------------- one table, as text
def table_text(name: str, results: Mapping[str, Result], style: str) -> str:
    """The tables of the artefact called `name` in one of FORMATS, with an empty line between them.

    name: a table's number in [ZF13] ("3"), or an artefact's key ("ablations"). Raises UserError for an unknown one.
    """
    artefact = _artefact(name)
    tables = [join(table, artefact.stage, results) for table in artefact.tables]
    write = {"markdown": _markdown, "latex": lambda joined: latex_table(_grid(joined)), "csv": _csv}[style]
    return "\n\n".join(write(joined) for joined in tables if joined.lines)


def _artefact(name: str) -> Artefact:
    named = [artefact for paper in papers() for artefact in paper.artefacts if artefact.tables]
    for artefact in named:
        numbers = re.findall(r"Table (\d+)", artefact.where) if artefact.paper == "ZF13" else []
        if name == artefact.key or name in numbers:
            return artefact
    known = ", ".join(f"{artefact.key} ({artefact.where})" for artefact in named)
    raise UserError(f"{name}: no table of the papers; there are {known}")


def _grid(joined: Joined) -> list[list[str]]:
    """Header and rows as texts: a column's published numbers, then ours."""
    header, places = [joined.table.unit], []
    for place, column in enumerate(joined.table.columns):
        for is_ours, shown in ((False, joined.printed[place]), (True, joined.measured[place])):
            if shown:
                header.append(f"{column}, {'here' if is_ours else 'published'}")
                places.append((place, is_ours))
    rows = []
    for line in joined.lines:
        cells = [_here(line.cells[place]) if is_ours else line.cells[place].published for place, is_ours in places]
        rows.append([f"– {line.label}" if line.indented else line.label, *cells])
    return [header, *rows]


def _here(cell: Cell) -> str:
    if not cell.around:
        return cell.here
    return f"{cell.here} {cell.around}" if cell.around.startswith("±") else f"{cell.here} ({cell.around})"


def _markdown(joined: Joined) -> str:
    header, *rows = _grid(joined)
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def latex_table(grid: Sequence[Sequence[str]]) -> str:
    """Texts, the header first, as a tabular of the package booktabs."""
    header, *rows = [[_escape(cell) for cell in line] for line in grid]
    body = [" & ".join(line) + r" \\" for line in rows]
    head = [r"\begin{tabular}{l" + "r" * (len(header) - 1) + "}", r"\toprule", " & ".join(header) + r" \\", r"\midrule"]
    return "\n".join([*head, *body, r"\bottomrule", r"\end{tabular}"])


def _escape(text: str) -> str:
    return "".join(LATEX.get(letter, letter) for letter in text)


def _csv(joined: Joined) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(_grid(joined))
    return text.getvalue().rstrip("\n")


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser("zfnet table", description=__doc__.partition("\n")[0])
    parser.add_argument("name", help="a table's number in [ZF13], e.g. 3, or an artefact's key, e.g. ablations")
    parser.add_argument("folder", nargs="?", default="outputs/menagerie", help="of a profile's results")
    parser.add_argument("--format", choices=FORMATS, default="markdown")
    chosen = parser.parse_args(words)
    return exit_code(lambda: print(_table_of(chosen.name, named_folder(chosen.folder), chosen.format)))


def _table_of(name: str, outputs: Path, style: str) -> str:
    results = read(outputs)
    if not results:
        raise UserError(f"{outputs}: no stage has left a {RESULT} here; run one first, e.g. stage=train")
    return table_text(name, results, style)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
