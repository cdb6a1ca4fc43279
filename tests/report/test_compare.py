"""Runs side by side: what differs, by how much, and nothing that a run names can act on the page."""

from __future__ import annotations

import json
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from zfnet.core.errors import UserError
from zfnet.core.statistics import Measure
from zfnet.report.compare import (
    compare,
    compare_claims,
    compare_numbers,
    curves,
    find_runs,
    settings,
    short_names,
)
from zfnet.report.run_table import differing


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.alts: list[str | None] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value or "" for key, value in attrs if key in ("href", "src")]
        if tag == "img":
            self.alts.append(dict(attrs).get("alt"))

    def handle_data(self, data: str) -> None:
        self.text += data


def edit(outputs: Path, stage: str, change) -> None:
    path = outputs / stage / "result.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.fixture
def sweep(make_outputs, tmp_path) -> Path:
    """Two points of a sweep: the second has another rate, a lower error, and no saliency."""
    first, second = (make_outputs(tmp_path / "sweep" / number) for number in "01")

    for path in second.glob("*/result.json"):
        edit(second, path.parent.name, lambda content: content["config"]["train"].update(lr=0.02))
    edit(
        second,
        "train",
        lambda content: content["numbers"]["top1_error"].update(Measure.percentage(24.8, 960).to_json()),
    )
    (second / "saliency" / "result.json").unlink()
    return tmp_path / "sweep"


def test_only_the_keys_that_differ_are_shown(sweep) -> None:
    runs = find_runs([str(sweep)])
    assert [run.name for run in runs] == ["lr 0.01", "lr 0.02"]
    assert differing([settings(run) for run in runs]) == [("train.lr", ["0.01", "0.02"])]
    assert differing([{"a": 1, "b": 2}, {"a": 1}]) == [("b", ["2", ""])]


def test_a_number_stands_beside_its_difference_with_an_interval(sweep) -> None:
    rows = {row.label: row for row in compare_numbers(find_runs([str(sweep)]))}
    row = rows["ZF, 1 convnet"]
    assert [cell.here for cell in row.cells] == ["34.8", "24.8"]
    assert row.changes == ("", "−10.0 (−14.2 to −5.8)")  # Wilson's half intervals, 3.1 and 2.8, in quadrature


def test_curves_lie_over_each_other_and_miss_a_run_without_training(sweep, make_outputs) -> None:
    untrained = make_outputs(sweep / "2", "data")
    panels = curves(find_runs([str(sweep)]))
    assert [panel.title for panel in panels] == ["Loss", "Top-1"]
    assert [series.label for series in panels[0].series] == ["0", "1"]
    assert untrained.exists()


def test_the_page_is_whole_and_stands_alone(sweep, tmp_path) -> None:
    page = compare([str(sweep)], tmp_path / "page")
    read = Page(page.read_text(encoding="utf-8"))
    for link in read.links:
        assert link == "data:," or (page.parent / unquote(link).partition("#")[0]).exists(), link
    assert read.alts and all(read.alts)
    assert "not run" in read.text and "train.lr" in read.text and "not measured" in read.text
    assert page.read_text().count("<script") == 1 and '<script>alert("x")</script>' in read.text


def test_a_page_made_again_holds_nothing_of_the_one_before(sweep, tmp_path) -> None:
    compare([str(sweep)], tmp_path / "page")
    for stage in ("first_layer", "top_activations", "class_model", "saliency", "occlusion"):
        for path in sweep.glob(f"*/outputs/menagerie/{stage}/result.json"):
            path.unlink()
    compare([str(sweep)], tmp_path / "page")
    assert not list((tmp_path / "page").rglob("*.png"))


def test_names_are_what_tells_paths_apart() -> None:
    assert short_names([Path("/a/s/0/menagerie"), Path("/a/s/10/menagerie")]) == ["0", "10"]
    assert short_names([Path("/a/menagerie"), Path("/a/tiny")]) == ["menagerie", "tiny"]
    assert short_names([Path("/a/b"), Path("/a/b/c")]) == ["b", "b/c"]


def test_points_come_in_the_order_of_their_numbers_and_globs_are_followed(make_outputs, tmp_path) -> None:
    for number in (10, 2, 1):
        make_outputs(tmp_path / str(number), "train")
    assert [run.name for run in find_runs([str(tmp_path)])] == ["1", "2", "10"]
    assert len(find_runs([f"{tmp_path}/*"])) == 3
    assert len(find_runs([str(tmp_path), str(tmp_path / "1")])) == 3  # each once


@pytest.mark.parametrize("words", [[], ["nowhere"]])
def test_fewer_than_two_runs_are_an_error_that_says_so(tmp_path, words, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="RUNS: "):
        find_runs(words)


def test_the_command_says_where_the_page_is(sweep, tmp_path) -> None:
    words = [sys.executable, "-m", "zfnet.report.compare", str(sweep), f"out={tmp_path / 'page'}"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"comparison: {tmp_path / 'page' / 'index.html'}"
    done = subprocess.run(words[:3], capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.count("\n") == 1


def test_a_claim_that_no_run_measured_takes_no_row(make_outputs, tmp_path) -> None:
    for number in range(2):
        make_outputs(tmp_path / str(number), "train")
    assert compare_claims(find_runs([str(tmp_path)])) == []
    assert "No run has measured one" in compare([str(tmp_path)], tmp_path / "page").read_text(encoding="utf-8")


@pytest.mark.parametrize("place", ["", "1", "1/outputs/menagerie", "1/outputs/menagerie/compare"])
def test_a_page_is_not_written_over_or_into_a_run(sweep, place) -> None:
    before = sorted(sweep.rglob("*"))
    with pytest.raises(UserError, match="out: .*menagerie; name another folder"):
        compare([str(sweep)], sweep / place)
    assert sorted(sweep.rglob("*")) == before


@pytest.mark.parametrize("file", ["thesis.tex", "index.html", "run7/thesis.tex", "style.css/thesis.tex"])
def test_a_folder_that_holds_anything_else_is_left_as_it_is(sweep, tmp_path, file) -> None:
    kept = tmp_path / "page" / file
    kept.parent.mkdir(parents=True)
    kept.write_text("<title>mine</title>")
    with pytest.raises(UserError, match="which no comparison wrote"):
        compare([str(sweep)], tmp_path / "page")
    assert [path for path in (tmp_path / "page").rglob("*") if path.is_file()] == [kept]


def test_a_result_in_the_named_folder_itself_makes_no_run_of_the_folder_above(make_outputs, tmp_path) -> None:
    make_outputs(tmp_path / "0", "train")
    make_outputs(tmp_path / "1", "train")
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench" / "result.json").write_text("{}")
    assert [run.name for run in find_runs([f"{tmp_path}/*"])] == ["0", "1"]
