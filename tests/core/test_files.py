"""Atomic writes and metrics."""

import json
import os
from types import SimpleNamespace

import pytest

from zfnet.core import files, metrics, resume
from zfnet.core.errors import UserError


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    with pytest.raises(ZeroDivisionError), files.atomic_write(tmp_path / "x.json") as part:
        part.write_text("half")
        1 / 0  # noqa: B018
    assert list(tmp_path.iterdir()) == []
    files.write_json(tmp_path / "x.json", {"a": 1})
    assert json.loads((tmp_path / "x.json").read_text()) == {"a": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


def test_a_file_is_on_disk_before_it_takes_its_name(tmp_path, monkeypatch):
    path, done = tmp_path / "x.json", []
    replace = files.os.replace
    monkeypatch.setattr(files.os, "fsync", lambda descriptor: done.append(files.os.fstat(descriptor).st_size))
    monkeypatch.setattr(files.os, "replace", lambda old, new: done.append("renamed") or replace(old, new))
    files.write_json(path, {"a": 1})
    assert done == [path.stat().st_size, "renamed"]


def test_what_a_killed_process_has_left_is_removed(tmp_path):
    dead, alive = tmp_path / ".x.99999999.partial.json", tmp_path / f".x.{os.getpid()}.partial.json"
    deeper, other = tmp_path / "a" / ".y.99999999.partial" / "z", tmp_path / ".y.partial.json"
    deeper.parent.mkdir(parents=True)
    for file in (dead, alive, deeper, other):
        file.touch()
    files.remove_unfinished(tmp_path)
    assert not dead.exists() and not deeper.parent.exists() and alive.exists() and other.exists()


def test_json_is_strict(tmp_path):
    files.write_json(tmp_path / "x.json", {"a": [float("nan"), 1.5], "b": {"c": (float("inf"), -float("inf"))}})
    assert "NaN" not in (tmp_path / "x.json").read_text() and "Infinity" not in (tmp_path / "x.json").read_text()
    assert json.loads((tmp_path / "x.json").read_text()) == {"a": [None, 1.5], "b": {"c": [None, None]}}
    resume.write_checked(tmp_path / "y.json", {"a": float("nan")})
    assert resume.read_checked(tmp_path / "y.json") == {"a": None}  # its checksum is that of what was written


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    for write in (files.write_json, lambda path, _: metrics.log_metrics(path.parent, epoch=1)):
        with pytest.raises(UserError, match=str(tmp_path / "file")):
            write(tmp_path / "file" / "x.json", {})


def test_a_full_disk_is_named_where_torch_says_nothing(tmp_path, monkeypatch):
    def fail(free: int, place: str = "") -> None:
        monkeypatch.setattr(files.shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
        with files.atomic_write(tmp_path / "x.pt"):
            raise RuntimeError(f"{place}unexpected pos 8468800 vs 8468688")

    with pytest.raises(UserError, match="x.pt: cannot be written .no space left"):
        fail(0)
    with pytest.raises(RuntimeError, match="unexpected pos"):
        fail(2**30)
    with pytest.raises(UserError, match=r"x\.pt: cannot be written .a quota or a limit on file sizes"):
        fail(2**30, "[enforce fail at inline_container.cc:671] . ")


def test_metrics_survive_a_cut_last_line(tmp_path):
    metrics.log_metrics(tmp_path, epoch=1, loss=0.5)
    metrics.log_metrics(tmp_path, epoch=2, loss=0.4)
    with (tmp_path / metrics.METRICS).open("a") as lines:
        lines.write('{"epoch": 3, "dead": {"conv1": 0.0}')
    assert [line["epoch"] for line in metrics.read_metrics(tmp_path)] == [1, 2]
    for images in (20, 40, 60):
        metrics.log_step(tmp_path, images=images, step_loss=1 / images)
    metrics.restart_steps(tmp_path, 40)
    assert [line["images"] for line in metrics.read_metrics(tmp_path, metrics.STEPS)] == [20, 40]
