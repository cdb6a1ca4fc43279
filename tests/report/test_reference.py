from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from zfnet.core.errors import UserError
from zfnet.report import reference
from zfnet.report.build import build
from zfnet.report.claims.table import CLAIMS
from zfnet.report.paper import papers
from zfnet.report.results import read
from zfnet.report.tables import key_rows


@pytest.fixture
def run(make_outputs: Callable[..., Path], tmp_path: Path) -> Path:
    """A made-up run, said to be of committed code."""
    outputs = make_outputs(tmp_path / "run")
    change(outputs, commit="0123456789abcdef", dirty=False)
    return outputs


def change(run: Path, **values: object) -> None:
    for path in run.glob("*/result.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_every_number_and_figure_of_a_run_is_published(run: Path, tmp_path: Path) -> None:
    target = tmp_path / "reference" / "run"
    reference.publish(run, target)
    ours, published = read(run), read(target)
    assert set(published) == set(ours)
    for stage, result in ours.items():
        assert published[stage].numbers == result.numbers
        assert list(published[stage].figures.values()) == list(result.figures.values())  # all there, JPEG or SVG
    build(target, tmp_path / "report")  # what is published is enough for the report


def test_uncommitted_code_is_refused_and_what_was_published_stays(run: Path, tmp_path: Path) -> None:
    target = tmp_path / "reference" / "run"
    reference.publish(run, target)
    before = sorted(target.rglob("*"))
    change(run, dirty=True)
    with pytest.raises(UserError, match="in no commit"):
        reference.publish(run, target)
    assert sorted(target.rglob("*")) == before


@pytest.fixture
def published(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The run published by the command, from inside its folder; no page is written."""
    monkeypatch.setattr(reference, "REFERENCE", tmp_path / "reference")
    monkeypatch.setattr(reference, "write_results", lambda page, folder: None)
    monkeypatch.chdir(run)
    reference.main(["."])
    return tmp_path / "reference"


def test_a_run_is_published_under_its_folders_name_wherever_the_command_is_given(published: Path, run: Path) -> None:
    assert [path.name for path in published.iterdir()] == [run.name]
    assert set(read(published / run.name)) == set(read(run))


@pytest.mark.parametrize("word", ["menagerie", "menagerie/train", ".", "..", "", "/"])
def test_what_is_published_is_not_published_again(published: Path, word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(published)
    before = sorted(published.rglob("*"))
    with pytest.raises(UserError, match="name one, e.g. outputs/menagerie"):
        reference.main([word])
    assert sorted(published.rglob("*")) == before


def test_a_picture_that_is_not_written_is_an_error(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference.cv2, "imwrite", lambda *words: False)
    with pytest.raises(OSError, match="cannot be written"):
        reference.publish(run, tmp_path / "published")
    assert not (tmp_path / "published").exists()


def test_folders_of_the_machine_are_left_out(run: Path, tmp_path: Path) -> None:
    change(
        run,
        headline="not run: /home/secret/VOCdevkit/VOC2012 is not there; see data/README.md, ~/secret/x and a/b and 1/2",
        command="python -m zfnet paths.data=/home/me/secret 'data.root=/x y' train.epochs=3",
        config={"data": {"root": "/home/secret/set"}},
    )
    reference.publish(run, tmp_path / "published")
    for path in (tmp_path / "published").glob("*/result.json"):
        assert "secret" not in path.read_text()
        content = json.loads(path.read_text())
        assert content["headline"].startswith(
            "not run: FOLDER/VOC2012 is not there; see data/README.md, FOLDER/x and a/b"
        )
        command = content["command"]
        assert "/x" not in command and " y" not in command and "train.epochs=3" in command


def test_a_run_that_is_too_large_is_refused(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "LIMIT", 1000)
    with pytest.raises(UserError, match="more than"):
        reference.publish(run, tmp_path / "published")


def test_the_summary_has_each_key_number_and_each_claim_once(run: Path) -> None:
    text = reference.summary(run)
    keys = sum(len(key_rows(artefact, read(run))) for paper in papers() for artefact in paper.artefacts)
    rows = len(re.findall(r"^\| .*", text, re.M))
    assert keys > 10 and rows == 2 + keys + len(CLAIMS)
    assert "<script>" not in text
    for row in re.findall(r"^\| .*", text, re.M):
        assert len(re.findall(r"(?<!\\)\|", row)) in (4, 5), row  # nothing breaks out of its cell


def test_blocks_are_filled_and_the_rest_of_the_text_stays(run: Path, tmp_path: Path) -> None:
    text = "before\n<!-- results: menagerie -->\nold\n<!-- end of results -->\nafter | old\n"
    new = reference.renewed(text, run.parent)
    assert new.startswith("before\n") and new.endswith("\nafter | old\n") and "\nold\n" not in new and "Seed 0;" in new
    assert reference.renewed(new, run.parent) == new


def test_the_table_of_artefacts_has_times_and_key_numbers(run: Path) -> None:
    change(run, seconds=65.2, headline="ten | crop error")
    table = "<!-- artefacts -->\n| what | target | stage |\n|---|---|---|\n| errors | `make a` | `train` |\n"
    table += "| nothing | `make b` | `never_run` | old |\n<!-- end of artefacts -->\n"
    for profile in (run.name, "unpublished"):
        table += f"<!-- results: {profile} -->\n<!-- end of results -->\n"
    new = reference.renewed(table, run.parent)
    lines = new.splitlines()[1:5]
    assert lines[0] == f"| what | target | stage | {run.name} |" and lines[1] == "|---|---|---|---|"
    assert lines[2] == "| errors | `make a` | `train` | 1 min 05 s: ten \\| crop error |"
    assert lines[3] == "| nothing | `make b` | `never_run` | · |"
    assert reference.renewed(new, run.parent) == new
    change(run, numbers={"train_seconds": 3 * 3600})
    assert "| 3 h 00 min: ten" in reference.renewed(table, run.parent)


def test_the_table_of_times_has_those_of_one_profile(run: Path) -> None:
    change(run, seconds=65.2)
    table = f"<!-- times: {run.name} -->\n| what | target | stage | time |\n|---|---|---|---|\n"
    table += "| errors | `make a` | `train` | 9 s |\n| nothing | `make b` | `never_run` |\n<!-- end of times -->\n"
    lines = reference.renewed(table, run.parent).splitlines()
    assert lines[1:3] == ["| what | target | stage | time |", "|---|---|---|---|"]
    assert lines[3:5] == ["| errors | `make a` | `train` | 1 min 05 s |", "| nothing | `make b` | `never_run` | |"]


def test_the_readme_says_what_is_published() -> None:
    text, readme = (page.read_text(encoding="utf-8") for page in (reference.RESULTS, reference.README))
    assert reference.BLOCK.search(text) and reference.TIMES.search(readme)
    assert reference.renewed(text, reference.REFERENCE) == text, "make reference writes docs/results.md"
    assert reference.renewed(readme, reference.REFERENCE) == readme, "make reference writes the times of the README"
    for picture in re.findall(r"!\[[^\]]*\]\((outputs/reference/[^)]+)\)", text):
        assert (reference.REPOSITORY / picture).is_file()
