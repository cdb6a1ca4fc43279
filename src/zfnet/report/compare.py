"""Two or more runs side by side on one page, so that a sweep can be read without any service.

    zfnet compare outputs/menagerie outputs/tiny_imagenet
    zfnet compare outputs/sweeps/seed-lr-1a2b3c4d out=outputs/compare

A run is a folder that holds the stages' result.json; any other folder stands for all runs below it. The page opens with
a table of one row a run (zfnet.report.run_table), which lies beside it as runs.csv and runs.tex. Then follow, for the
best MANY runs, what the configurations differ in, the key numbers with their intervals and the differences from the
first run, the training curves in one chart, the verdicts on the claims, and pictures beside each other. A difference
takes the runs as independent: half intervals add in quadrature.
"""

import glob
import itertools
import re
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from zfnet.core.errors import UserError, exit_code
from zfnet.pipeline.record import RESULT
from zfnet.plots import chart
from zfnet.report.build import copy_style, in_order
from zfnet.report.evidence import minus
from zfnet.report.page import Figure, Report, copy_figures, inline, write_page
from zfnet.report.paper import papers
from zfnet.report.results import Result, find, read
from zfnet.report.run_table import CSV, LATEX, Compared, differing, run_table, write_tables
from zfnet.report.scale import describe
from zfnet.report.tables import Cell, key_rows, show, show_interval
from zfnet.report.verdict import UNMEASURED, judge_all, tally

OUT = Path("outputs/compare")
MANY = 8  # runs that are shown side by side; of more, the best
TITLE = "Runs compared"  # of the page, by which a folder of ours is known again
PICTURES = {"first_layer": "filters_own*", "top_activations": "layer[25].*", "class_model": "*", "saliency": "*",
            "occlusion": "*"}  # fmt: skip
CURVES = (("Loss", "training loss", "loss"), ("Top-1", "validation error, %", "val_top1_error"),
          ("Top-5", "validation error, %", "val_top5_error"))  # fmt: skip


@dataclass(frozen=True)
class Run:
    name: str
    folder: Path
    results: dict[str, Result]


def compare(words: Sequence[str], out: Path) -> Path:
    """Write the page of the runs that the words name to `out`, in place of a former one there, and return it.

    Raises UserError for fewer than two runs and for an `out` that holds anything but a comparison.
    """
    runs = find_runs(words)
    clear(out, runs)
    paths = short_names([run.folder for run in runs])
    table = run_table(paths, [settings(run) for run in runs], compare_numbers(runs))
    n_runs = len(runs)
    if n_runs > MANY:
        runs = [runs[place] for place in table.order[:MANY]]
    values: dict[str, Any] = {
        "report": Report(TITLE, ", ".join(run.name for run in runs), ()),
        "n_runs": n_runs,
        "table": table,
        "runs": [(run, describe(run.results), _tally(run)) for run in runs],
        "differing": differing([settings(run) for run in runs]),
        "numbers": compare_numbers(runs),
        "curves": inline(chart.lines(panels), _say_curves(runs))[0] if (panels := curves(runs)) else None,
        "claims": compare_claims(runs),
        "pictures": copy_pictures(runs, out),
        "stages": compare_stages(runs),
    }
    write_page(out, "index.html", "compare.html", **values)
    write_tables(table, out)
    copy_style(out, "style.css", "compare.js")
    return out / "index.html"


def clear(out: Path, runs: Sequence[Run]) -> None:
    """Remove the pictures of a former comparison from `out`; its page and style are written over.

    Raises UserError, with nothing removed, when `out` is, holds or lies in a run, or holds what no comparison wrote.
    """
    place = out.resolve()
    for run in runs:
        if place.is_relative_to(run.folder) or run.folder.is_relative_to(place):
            raise UserError(
                f"out: {out} is, holds or lies in the run {run.folder}; name another folder, e.g. out={OUT}"
            )
    entries = sorted(out.iterdir()) if out.is_dir() else []
    if foreign := [path.name for path in entries if not _is_ours(path)]:
        raise UserError(f"out: {out} holds {foreign[0]}, which no comparison wrote; name a new or an empty folder")
    for path in entries:
        if path.is_dir():
            shutil.rmtree(path)


def _is_ours(path: Path) -> bool:
    """Whether a comparison wrote it: the page, its style, or run<number> with nothing but figures."""
    if path.name == "index.html":
        return path.is_file() and f"<title>{TITLE}<" in path.read_text(encoding="utf-8", errors="replace")
    if re.fullmatch(r"run\d+", path.name):
        return path.is_dir() and all(below.name == "figures" for below in path.iterdir())
    return path.name in ("style.css", "compare.js", CSV, LATEX) and path.is_file()


def find_runs(words: Sequence[str]) -> list[Run]:
    """The runs that folders or globs name, each once, under the parts of their paths that tell them apart."""
    named = [Path(path) for word in words for path in (sorted(glob.glob(word)) if "*" in word else [word])]
    for path in named:
        if not path.is_dir():
            raise UserError(f"RUNS: {path} is not a folder; name folders of runs, e.g. outputs/menagerie")
    folders = list(dict.fromkeys(folder.resolve() for path in named for folder in _runs_below(path)))
    if len(folders) < 2:
        raise UserError(f"RUNS: {len(folders)} with results in {' '.join(words) or 'nothing'}; at least two are needed")
    names = short_names(folders)
    runs = [Run(name, folder, in_order(read(folder))) for name, folder in zip(names, folders, strict=True)]
    return named_by_settings(runs)


def named_by_settings(runs: list[Run]) -> list[Run]:
    """The points of a sweep, which are only numbered, under the one or two keys that tell them apart."""
    rows = [row for row in differing([settings(run) for run in runs]) if not row[0].startswith("(")]
    names = [
        ", ".join(f"{key.rpartition('.')[2]} {values[place]}" for key, values in rows) for place in range(len(runs))
    ]
    if len(rows) not in (1, 2) or len(set(names)) < len(names) or not all(run.name.isdigit() for run in runs):
        return runs
    return [replace(run, name=name) for run, name in zip(runs, names, strict=True)]


def short_names(folders: Sequence[Path]) -> list[str]:
    """The paths without the leading and trailing parts that all share."""
    parts = [list(folder.parts) for folder in folders]
    for place in (0, -1):
        while all(len(part) > 1 for part in parts) and len({part[place] for part in parts}) == 1:
            for part in parts:
                part.pop(place)
    return ["/".join(part) for part in parts]


def settings(run: Run) -> dict[str, Any]:
    """Every key of the configuration that the run's stages read, dotted, and what it ran on."""
    values: dict[str, Any] = {}
    for result in run.results.values():
        values = dict(_dotted(result.content.get("config") or {})) | values
    first = next(iter(run.results.values())).content
    return values | {"(device)": first["device"], "(commit)": first["commit"][:10]}


def compare_numbers(runs: Sequence[Run]) -> list[Compared]:
    """The key numbers of the overview, in the order of the papers, for every run that has them."""
    numbers: dict[tuple[str, str, str], dict[int, Cell]] = {}
    for artefact in (artefact for paper in papers() for artefact in paper.artefacts):
        for place, run in enumerate(runs):
            for key in key_rows(artefact, run.results):
                numbers.setdefault((artefact.where, key.label, key.what), {})[place] = key.cell
    rows = []
    for (where, label, what), cells in numbers.items():
        row = tuple(cells.get(place) for place in range(len(runs)))
        rows.append(Compared(label, f"{where} · {what}", row, tuple(_change(cell, row[0]) for cell in row)))
    return rows


def compare_claims(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Each claim that a run measured, with its verdict in every run, and whether the runs disagree."""
    rows = zip(*(judge_all(run.results) for run in runs), strict=True)
    return [
        {"claim": row[0].claim, "judged": row, "differ": len({judged.verdict.words for judged in row}) > 1}
        for row in rows
        if any(judged.verdict is not UNMEASURED for judged in row)
    ]


def compare_stages(runs: Sequence[Run]) -> list[tuple[str, list[Result | None]]]:
    """(stage, its result in each run)."""
    stages = dict.fromkeys(itertools.chain.from_iterable(run.results for run in runs))
    return [(stage, [run.results.get(stage) for run in runs]) for stage in stages]


def curves(runs: Sequence[Run]) -> list[chart.Panel]:
    """Training loss and validation errors by epoch, one line a run."""
    histories = {run.name: find(run.results.get("train"), "history") for run in runs}
    panels = []
    for title, label, key in CURVES:
        series = []
        for name, history in histories.items():
            lines = [line for line in history or [] if isinstance(line.get(key), (int, float))]
            if lines:
                series.append(chart.Series(name, [line["epoch"] for line in lines], [line[key] for line in lines]))
        if series:
            panels.append(chart.Panel(title, "epoch", label, series))
    return panels


def copy_pictures(runs: Sequence[Run], out: Path) -> list[tuple[str, list[Figure | None]]]:
    """(stage/file, the picture in each run) of the pictures that at least two runs have."""
    columns: list[dict[str, Figure]] = []
    for place, run in enumerate(runs):
        chosen = {
            stage: _only(run.results[stage], pattern) for stage, pattern in PICTURES.items() if stage in run.results
        }
        copied = copy_figures(chosen, out / f"run{place}")
        figures = itertools.chain.from_iterable(copied.values())
        rasters = [replace(figure, href=f"run{place}/{figure.href}") for figure in figures if figure.raster]
        columns.append({figure.name: figure for figure in rasters})
    names = dict.fromkeys(itertools.chain.from_iterable(columns))
    rows = [(name, [column.get(name) for column in columns]) for name in names]
    return [row for row in rows if sum(figure is not None for figure in row[1]) > 1]


def _only(result: Result, pattern: str) -> Result:
    kept = {file: alt for file, alt in result.figures.items() if fnmatch(file, pattern)}
    return replace(result, content={**result.content, "figures": kept})


def _runs_below(path: Path) -> Iterable[Path]:
    """The folder itself where it holds results of stages, else all such folders below it."""
    if any(path.glob(f"*/{RESULT}")):
        return [path]
    return sorted({file.parent.parent for file in path.rglob(f"*/{RESULT}")}, key=_in_human_order)


def _in_human_order(path: Path) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in path.parts]


def _dotted(content: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in content.items():
        if isinstance(value, dict):
            yield from _dotted(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _change(cell: Cell | None, first: Cell | None) -> str:
    """How far a number lies from the first run's: "+3.2 (0.1 to 6.3)"; "" for the first run itself."""
    if cell is None or first is None or cell is first:
        return ""
    change = minus(cell.measure, first.measure)
    if change is None:
        return ""
    places = max(_places(cell), _places(first))
    interval = show_interval(change, places)
    sign = "+" if change.value >= 0 else ""
    return f"{sign}{show(change.value, places)}" + (f" ({interval})" if interval else "")


def _places(cell: Cell) -> int:
    return len(cell.here.partition(".")[2])


def _tally(run: Run) -> list[Any]:
    return tally(judge_all(run.results))


def _say_curves(runs: Sequence[Run]) -> str:
    return f"Training loss and validation error by epoch of {', '.join(run.name for run in runs)}."


def main(words: list[str]) -> int:
    if {"-h", "--help"} & set(words):
        return exit_code(lambda: print((__doc__ or "").strip()))
    folders = [word for word in words if not word.startswith("out=")]
    out = next((Path(word[4:]) for word in words if word.startswith("out=")), OUT)
    return exit_code(lambda: print(f"comparison: {compare(folders, out)}"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
