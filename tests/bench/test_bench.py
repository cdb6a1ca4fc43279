"""The benchmark's clock and bookkeeping, and that every part still runs; what it measures is no test's business."""

from __future__ import annotations

import json
import types

import pytest

from zfnet.bench.__main__ import PARTS, main
from zfnet.bench.row import in_turn, medians, rate_row, time_row

KEYS = {"name", "ours", "peer", "unit", "ratio", "target", "holds", "note"}


def test_runs_take_turns_and_the_warm_up_does_not_count():
    calls = []
    values = iter([100.0, 100.0, 1.0, 10.0, 3.0, 30.0, 2.0, 20.0])

    def measure(name):
        calls.append(name)
        return next(values)

    assert medians(lambda: measure("a"), lambda: measure("b"), rounds=3) == [2.0, 20.0]
    assert calls == ["a", "b"] * 4


def test_seconds_of_each_run_in_its_own_place(monkeypatch):
    clock = iter([0.0, 1.0, 10.0, 15.0])
    monkeypatch.setattr("zfnet.bench.row.time", types.SimpleNamespace(perf_counter=lambda: next(clock)))
    assert in_turn(lambda: None, lambda: None, rounds=1, warm_up=0) == [1.0, 5.0]


def test_ratio_above_one_means_ours_is_better_for_rates_and_for_seconds():
    assert rate_row("r", 30.0, 10.0, "images/s", 3.0, "")["ratio"] == 3.0
    row = time_row("t", 10.0, 30.0, 4.0, "")
    assert (row["ratio"], row["holds"]) == (3.0, False)


@pytest.fixture
def part(monkeypatch):
    """Two stand-ins for parts: one that works, one that fails."""

    def fail(quick):
        raise RuntimeError("no such peer")

    def work(quick):
        return [rate_row("works", 2.0, 1.0, "images/s", 1.0, "")]

    monkeypatch.setitem(PARTS, "training", work)
    monkeypatch.setitem(PARTS, "projection", fail)


def test_a_part_that_fails_loses_no_other_rows_and_is_named(part, tmp_path, capsys):
    assert main(["--out", str(tmp_path), "projection", "training"]) == 1
    written = json.loads((tmp_path / "result.json").read_text())
    assert [(row["name"], row["part"]) for row in written["rows"]] == [("works", "training")]
    assert written["failed"] == {"projection": "RuntimeError: no such peer"}
    assert "projection failed (RuntimeError: no such peer)" in capsys.readouterr().err


def test_a_later_run_of_one_part_keeps_the_other_parts_rows_and_replaces_its_own(part, tmp_path):
    old = [{"name": "other", "part": "transfer"}, {"name": "stale", "part": "training"}]
    (tmp_path / "result.json").write_text(json.dumps({"rows": old}))
    assert main(["--out", str(tmp_path), "training"]) == 0
    names = [row["name"] for row in json.loads((tmp_path / "result.json").read_text())["rows"]]
    assert names == ["other", "works"]


def test_an_unknown_part_is_named(capsys):
    assert main(["trainign"]) == 2
    assert "no part 'trainign'; known: training" in capsys.readouterr().err


@pytest.mark.parametrize("name", [name for name in PARTS if name != "gpu"])  # see test_gpu.py
def test_every_part_runs_and_gives_whole_rows(name, tmp_path):
    assert main(["--quick", "--out", str(tmp_path), name]) == 0
    rows = json.loads((tmp_path / "quick.json").read_text())["rows"]
    assert rows and all(set(row) >= KEYS and row["ours"] > 0 and row["peer"] > 0 for row in rows)
