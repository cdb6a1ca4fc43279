"""One row a run: seeds together, the best marked, and the same numbers in CSV and LaTeX."""

from __future__ import annotations

import csv
import json
import statistics
from pathlib import Path

import pytest

from zfnet.core.statistics import Measure
from zfnet.report.compare import compare, compare_numbers, find_runs, settings
from zfnet.report.run_table import RunTable, run_table

ERRORS = {(0.01, 0): 40.0, (0.01, 1): 42.0, (0.02, 0): 30.0, (0.02, 1): 33.0, (0.04, 0): 61.0}


@pytest.fixture
def sweep(make_outputs, tmp_path) -> Path:
    """Five points: three rates, two of them with two seeds."""
    for point, ((rate, seed), error) in enumerate(ERRORS.items()):
        path = make_outputs(tmp_path / "sweep" / str(point), "train") / "train" / "result.json"
        content = json.loads(path.read_text())
        content["config"]["train"].update(lr=rate, seed=seed)
        content["numbers"]["top1_error"] = Measure.percentage(error, 960).to_json()
        path.write_text(json.dumps(content))
    return tmp_path / "sweep"


def table_of(sweep: Path) -> RunTable:
    runs = find_runs([str(sweep)])
    return run_table([run.name for run in runs], [settings(run) for run in runs], compare_numbers(runs))


def test_seeds_are_one_row_of_mean_and_deviation_and_the_best_is_marked(sweep):
    table = table_of(sweep)
    assert table.keys == ("train.lr",) and [row.settings for row in table.rows] == [("0.01",), ("0.02",), ("0.04",)]
    column = [number.label for number in table.numbers].index("ZF, 1 convnet")
    cells = [row.cells[column] for row in table.rows]
    assert [(cell.here, cell.around) for cell in cells[:2]] == [("41.0", "± 1.4"), ("31.5", "± 2.1")]
    assert cells[1].measure.value == statistics.mean([30, 33])
    assert cells[1].measure.std == pytest.approx(statistics.stdev([30, 33]))
    assert cells[2].here == "61.0" and " to " in cells[2].around  # one seed: its own interval
    assert table.best[column] == 1 and table.order == [2, 3, 0, 1, 4]


def test_the_tables_beside_the_page_hold_the_same_numbers(sweep, tmp_path):
    page = compare([str(sweep)], tmp_path / "page")
    with (page.parent / "runs.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    name = next(key for key in rows[0] if key.startswith("ZF, 1 convnet") and not key.endswith("std"))
    assert [float(row[name]) for row in rows] == [41.0, 31.5, 61.0]
    assert [row["seeds"] for row in rows] == ["0 1", "0 1", "0"] and rows[2][f"{name}, std"] == ""
    lines = (page.parent / "runs.tex").read_text(encoding="utf-8").splitlines()
    assert any(line.startswith("2, 3 & 0.02 & ") and r"31.5 $\pm$ 2.1" in line for line in lines)
    compare([str(sweep)], tmp_path / "page")  # over its own files


def test_of_many_runs_the_best_are_shown_side_by_side(sweep, tmp_path, monkeypatch):
    monkeypatch.setattr("zfnet.report.compare.MANY", 2)
    text = compare([str(sweep)], tmp_path / "page").read_text(encoding="utf-8")
    assert "<h1>5 runs, side by side</h1>" in text and "Below, the 2 best of them" in text
    assert text.count("<h3>lr 0.02, seed 0</h3>") == text.count("<h3>lr 0.02, seed 1</h3>") == 1
    assert "<h3>lr 0.01" not in text
