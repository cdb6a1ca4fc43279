"""Atomic writes, metrics, and W&B as a mirror that may fail without harm."""

import json
import struct

import pytest

from zfnet import record
from zfnet.errors import UserError


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    with pytest.raises(ZeroDivisionError), record.atomic_write(tmp_path / "x.json") as part:
        part.write_text("half")
        1 / 0  # noqa: B018
    assert list(tmp_path.iterdir()) == []
    record.write_json(tmp_path / "x.json", {"a": 1})
    assert json.loads((tmp_path / "x.json").read_text()) == {"a": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises((UserError, NotADirectoryError, FileExistsError)):
        record.write_json(tmp_path / "file" / "x.json", {})


def test_metrics_survive_a_cut_last_line(tmp_path):
    record.log_metrics(tmp_path, epoch=1, loss=0.5)
    record.log_metrics(tmp_path, epoch=2, loss=0.4)
    with (tmp_path / record.METRICS).open("a") as lines:
        lines.write('{"epoch": 3, "lo')
    assert [line["epoch"] for line in record.read_metrics(tmp_path)] == [1, 2]


def test_nested_numbers_become_dotted_keys():
    assert record._flat({"a": {"b": 1.0, "c": [1]}, "d": "x"}) == {"a.b": 1.0, "d": "x"}


def log_records(data, block=32768):
    """Records of a W&B file: LevelDB's log format after a header of 7 bytes; kinds: whole 1, first 2, last 4."""
    at, parts = 7, b""
    while at + 7 <= len(data):
        if block - at % block < 7:
            at += block - at % block
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + 7])
        parts += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            yield parts
            parts = b""


def test_an_offline_run_is_written_and_read_back(tmp_path):
    """The offline file holds the metrics of every epoch, the numbers and one picture."""
    import numpy as np
    from wandb.proto import wandb_internal_pb2

    from zfnet.figures.grid import write

    write(tmp_path / "grid.png", np.zeros((8, 8, 3), np.uint8))
    mirror = record.Mirror("offline", "zfnet", "test", "train", {"lr": 0.1}, tmp_path)
    outcome = record.Outcome({"top1_error": 12.5}, {"grid.png": "a grid"}, "")
    mirror.finish(tmp_path, outcome, [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.25}])
    (file,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    history, summary = [], {}
    for data in log_records(file.read_bytes()):
        entry = wandb_internal_pb2.Record()
        entry.ParseFromString(data)
        if entry.WhichOneof("record_type") == "history":
            history.append({"/".join(i.nested_key) or i.key: json.loads(i.value_json) for i in entry.history.item})
        elif entry.WhichOneof("record_type") == "summary":
            summary |= {"/".join(i.nested_key) or i.key: json.loads(i.value_json) for i in entry.summary.update}
    assert [line["epoch/loss"] for line in history if "epoch/loss" in line] == [0.5, 0.25]
    assert any(key.startswith("figures/grid") for line in history for key in line)
    assert summary["top1_error"] == 12.5


def test_a_refused_dashboard_is_a_warning(tmp_path, monkeypatch, capsys):
    import wandb

    def refuse(**_):
        raise wandb.errors.CommError("no service")

    monkeypatch.setattr(wandb, "init", refuse)
    mirror = record.Mirror("online", "zfnet", "test", "train", {}, tmp_path)
    mirror.finish(tmp_path, record.Outcome({}), [])
    assert "no service" in capsys.readouterr().err
