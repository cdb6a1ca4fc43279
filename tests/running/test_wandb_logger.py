"""W&B logs a stage as it goes and may fail without harm: the offline file is read back."""

import json
import os
import pty
import struct
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from zfnet.core import metrics
from zfnet.core.statistics import Measure
from zfnet.pipeline.options import WandbOptions
from zfnet.pipeline.record import Outcome
from zfnet.plots.grid import write
from zfnet.running import wandb_logger as module
from zfnet.running.wandb_logger import About, RunLogger, keyed, scalars, tables


def log_records(data, block=32768):
    """Records of a W&B file: LevelDB's log format after a header of 7 bytes; kinds: whole 1, first 2, last 4."""
    at, parts = 7, b""
    while at + 7 <= len(data):
        if block - at % block < 7:
            at += block - at % block
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + 7])
        if at + 7 + length > len(data):  # still being written
            return
        parts += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            yield parts
            parts = b""


def whole_file(root, place=0):
    """The offline file under root, by default the only one, once its writer, another process, has ended it."""
    from wandb.proto import wandb_internal_pb2

    entry, end = wandb_internal_pb2.Record(), time.monotonic() + 20
    while time.monotonic() < end:
        file = sorted(root.glob("wandb/offline-run-*/*.wandb"), key=os.path.getmtime)[place]
        data, kinds = file.read_bytes(), set()
        for one in log_records(data):
            entry.ParseFromString(one)
            kinds.add(entry.WhichOneof("record_type"))
        if "exit" in kinds:
            return data
        time.sleep(0.05)
    raise TimeoutError(f"{file} has no end")


def run_of(root, place=0):
    """The record that describes the offline run."""
    from wandb.proto import wandb_internal_pb2

    for one in log_records(whole_file(root, place)):
        entry = wandb_internal_pb2.Record()
        entry.ParseFromString(one)
        if entry.WhichOneof("record_type") == "run":
            return entry.run


def read_back(root, place=0):
    """(lines of history, summary, {metric: its axis}, [(group, name)]) of the offline run under root."""
    from wandb.proto import wandb_internal_pb2

    data = whole_file(root, place)
    history, summary, axes, groups = [], {}, {}, []
    for one in log_records(data):
        entry = wandb_internal_pb2.Record()
        entry.ParseFromString(one)
        kind = entry.WhichOneof("record_type")
        if kind == "history":
            history.append({"/".join(i.nested_key) or i.key: json.loads(i.value_json) for i in entry.history.item})
        elif kind == "summary":
            summary |= {"/".join(i.nested_key) or i.key: json.loads(i.value_json) for i in entry.summary.update}
        elif kind == "metric":
            axes[entry.metric.name or entry.metric.glob_name] = entry.metric.step_metric
        elif kind == "run":
            groups.append((entry.run.run_group, entry.run.display_name))
    return history, summary, axes, groups


def values(history, key):
    return [line[key] for line in history if key in line]


@pytest.fixture
def stage(tmp_path):
    folder = tmp_path / "train"
    folder.mkdir()
    return folder


@pytest.fixture
def opened(stage, monkeypatch):
    """Opens the logger of the stage, which looks for new lines ten times a second."""
    monkeypatch.setattr(module, "EVERY", 0.1)
    monkeypatch.setattr(module, "_unreachable", False)

    def open_(name="train", about=None, **options):
        return RunLogger(WandbOptions(**options), "exp", name, {"train": {"lr": 0.1}}, stage, stage.parent, about)

    return open_


def test_an_offline_run_holds_metrics_numbers_pictures_and_tables(stage, opened):
    for name in ("grid.png", "epochs/layer1_0001.png", "epochs/layer1_0004.png"):
        write(stage / name, np.zeros((8, 8, 3), np.uint8))
    logger = opened("evolution")
    metrics.log_metrics(stage, epoch=1, images=50, loss=0.5, val_top1_error=80.0, dead_maps=[0.25, 0.0])
    metrics.log_metrics(stage / "zfnet" / "seed_0", epoch=1, images=50, loss=0.7)
    outcome = Outcome(
        {"top1_error": 12.5, "table6": {"svm": {"ap": {"cat": 0.5, "dog": 0.25}}}}, {"grid.png": "a grid"}
    )
    outcome.steps = {"layer1": {1: "epochs/layer1_0001.png", 4: "epochs/layer1_0004.png"}}
    logger.finish(outcome)
    history, summary, axes, groups = read_back(stage.parent)
    assert values(history, "images/loss") == [0.5] and values(history, "images/zfnet/seed_0/loss") == [0.7]
    assert values(history, "epoch/val_top1_error") == [80.0] and values(history, "epoch/dead_maps/1") == [0.25]
    pictures = [line for line in history if any(key.startswith("evolution/layer1") for key in line)]
    assert [line["epoch"] for line in pictures] == [1, 4]
    assert any(key.startswith("figures/grid") for line in history for key in line)
    assert any(key.startswith("tables/table6/svm/ap") for line in history for key in line)
    assert summary["top1_error"] == 12.5 and not any("ap/cat" in key for key in summary)
    assert axes["epoch/*"] == "epoch" and axes["images/*"] == "images" and axes["evolution/*"] == "epoch"
    assert groups[0] == ("exp", "evolution")
    kept = [path.name for path in stage.parent.rglob("wandb/**/media/**/*") if path.suffix in (".png", ".json")]
    assert sum(name.startswith("layer1") for name in kept) == 2 and any("ap" in name for name in kept)


def test_lines_are_sent_while_the_stage_still_runs(stage, opened):
    sent = []
    logger = opened()
    logger._run.log, send = lambda line: sent.append(line), logger._run.log
    metrics.log_metrics(stage, epoch=1, loss=0.5)
    end = time.monotonic() + 20
    while not sent and time.monotonic() < end:
        time.sleep(0.05)
    assert sent == [{"epoch": 1, "epoch/loss": 0.5}]
    logger._run.log = send
    logger.finish(Outcome({}))


def test_lines_of_an_earlier_run_stay_out_and_none_is_sent_twice(stage, opened):
    """A worker that dies is started again: its history is rewritten, and goes on."""
    metrics.log_metrics(stage, epoch=1, loss=9.0)
    metrics.log_metrics(stage, epoch=2, loss=8.0)
    logger = opened()
    time.sleep(0.3)
    metrics.restart_metrics(stage, [])
    metrics.log_metrics(stage, epoch=1, loss=0.5)
    metrics.log_metrics(stage, epoch=2, loss=0.4)
    time.sleep(0.3)
    metrics.restart_metrics(stage, [{"epoch": 1, "loss": 0.5}])
    metrics.log_metrics(stage, epoch=2, loss=0.4)
    metrics.log_metrics(stage, epoch=3, loss=0.3)
    logger.finish(Outcome({}))
    assert values(read_back(stage.parent)[0], "epoch/loss") == [0.5, 0.4, 0.3]


def test_a_run_is_found_by_artefact_network_and_command(stage, opened):
    about = About("[ZF13] Table 2, single net", "zfnet", "zfnet run stage=train", "f1")
    opened(about=about).finish(Outcome({}))
    run = run_of(stage.parent)
    assert list(run.tags) == ["[ZF13] Table 2, single net", "zfnet"] and run.notes == "zfnet run stage=train"


def test_an_interrupted_stage_continues_its_run_and_another_one_does_not(stage, opened):
    logger = opened(about=About(fingerprint="f1"))
    metrics.log_metrics(stage, epoch=1, images=40, loss=0.5)
    metrics.log_step(stage, images=20, step_loss=0.6)
    metrics.log_step(stage, images=60, step_loss=0.4)  # after the checkpoint: it comes again
    logger.finish(None)
    resumed = opened(about=About(fingerprint="f1"))
    metrics.restart_metrics(stage, [{"epoch": 1, "images": 40, "loss": 0.5}])
    metrics.restart_steps(stage, 40)
    metrics.log_step(stage, images=60, step_loss=0.4)
    metrics.log_step(stage, images=80, step_loss=0.3)
    metrics.log_metrics(stage, epoch=2, images=80, loss=0.35)
    resumed.finish(Outcome({}))
    opened(about=About(fingerprint="f1")).finish(Outcome({}))
    runs = [run_of(stage.parent, place) for place in range(3)]
    assert runs[0].run_id == runs[1].run_id != runs[2].run_id
    first, second = (read_back(stage.parent, place)[0] for place in range(2))
    assert values(first, "images/step_loss") == [0.6, 0.4] and values(second, "images/step_loss") == [0.3]
    assert values(first + second, "images/loss") == [0.5, 0.35]
    assert values(first + second, "_step") == [0, 1, 2, 3, 4]


def test_pictures_with_their_predictions_and_the_confusion_matrix_are_tables(stage, opened):
    write(stage / "examples" / "0.png", np.zeros((8, 8, 3), np.uint8))
    outcome = Outcome({"confusion": {"classes": ["cat", "dog"], "counts": [[3, 1], [0, 2]]}})
    outcome.examples = [{"image": "examples/0.png", "class": "cat", "predicted": "dog"}]
    opened("saliency").finish(outcome)
    history, *_ = read_back(stage.parent)
    assert any(key.startswith("examples") for line in history for key in line)
    written = [json.loads(path.read_text()) for path in stage.parent.rglob("media/**/*.table.json")]
    by_columns = {tuple(table["columns"]): table["data"] for table in written}
    assert by_columns["Actual", "Predicted", "nPredictions"][1] == ["cat", "dog", 1]
    assert any(key.startswith("confusion_table") for line in history for key in line)  # as the dashboard names it
    (row,) = by_columns["image", "class", "predicted"]
    assert row[1:] == ["cat", "dog"] and b"examples.table.json" in whole_file(stage.parent)


def test_the_networks_go_along_only_on_request(stage, opened):
    (stage / "model.pt").write_bytes(b"weights")
    opened(artifacts=True).finish(Outcome({}))
    data = whole_file(stage.parent)
    assert b"exp-train" in data and b"model.pt" in data


def test_a_stage_that_fails_closes_its_run(stage, opened):
    logger = opened()
    metrics.log_metrics(stage, epoch=1, loss=0.5)
    logger.finish(None)
    history, summary, *_ = read_back(stage.parent)
    assert values(history, "epoch/loss") == [0.5] and "top1_error" not in summary


def test_no_service_is_a_warning_and_the_next_stage_stays_offline(stage, opened, monkeypatch, capsys):
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")  # refuses at once
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    monkeypatch.setattr(module, "PATIENCE", 1.0)
    logger = opened(mode="online")
    logger.finish(Outcome({"top1_error": 1.0}))
    assert "warning: Weights & Biases is off" in capsys.readouterr().err
    second = opened("ablations", mode="online")
    assert second._run.offline
    second.finish(Outcome({}))


ONLINE = """
import sys
from pathlib import Path
from zfnet.pipeline.options import WandbOptions
from zfnet.running.wandb_logger import RunLogger
from zfnet.pipeline.record import Outcome

root = Path(sys.argv[1])
for stage in ("data", "train"):
    RunLogger(WandbOptions(mode="online"), "exp", stage, {}, root / stage, root).finish(Outcome({"top1_error": 12.5}))
"""


def test_nobody_is_asked_for_a_key_on_a_terminal_and_the_run_stays_offline(tmp_path):
    ours, terminal = pty.openpty()
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("WANDB_", "NETRC"))}
    words = [sys.executable, "-c", ONLINE, str(tmp_path)]
    streams = {"stdin": terminal, "stdout": terminal, "stderr": terminal}
    done = subprocess.run(words, **streams, env=environment | {"HOME": str(tmp_path / "home")}, timeout=60)
    told = os.read(ours, 10_000).decode()
    os.close(terminal)
    os.close(ours)
    assert done.returncode == 0 and told.count("\n") == 1 and "wandb login" in told
    assert len(list(tmp_path.glob("wandb/offline-run-*"))) == 2


@pytest.mark.parametrize("error", ["api key is wrong", ""])
def test_a_refused_key_is_a_warning(opened, monkeypatch, capsys, error):
    import wandb

    def refuse(**_):
        raise wandb.errors.CommError(error)

    monkeypatch.setattr(module, "_logged_in", lambda: True)
    monkeypatch.setattr(wandb, "init", refuse)
    opened(mode="online").finish(Outcome({}))
    assert (error or "CommError") in capsys.readouterr().err


def test_a_logger_that_breaks_midway_is_a_warning(stage, opened, capsys):
    logger = opened()
    logger._run.log, log = lambda line: 1 / 0, logger._run.log
    metrics.log_metrics(stage, epoch=1, loss=0.5)
    logger.finish(Outcome({}))
    assert "did not take" in capsys.readouterr().err
    logger._run.log = log
    logger._run.finish()


def test_disabled_opens_nothing(stage, opened):
    opened(mode="disabled").finish(Outcome({}))
    assert not (stage.parent / "wandb").exists()


def test_the_environment_of_wandb_applies_where_a_key_is_at_its_default(stage, opened, monkeypatch, capsys):
    variables = {"WANDB_MODE": "dryrun", "WANDB_PROJECT": "mine", "WANDB_RUN_GROUP": "g", "WANDB_NAME": "night"}
    for name, value in (variables | {"WANDB_RUN_ID": "abc123"}).items():
        monkeypatch.setenv(name, value)
    opened("train").finish(Outcome({}))
    assert read_back(stage.parent)[3][0] == ("g", "night train")
    assert [path.name for path in stage.parent.rglob("*.wandb")] == ["run-abc123-train.wandb"]
    seen = []
    monkeypatch.setattr(module, "_open", lambda mode, options, *_: seen.append((mode, options.project, options.group)))
    opened("data", project="yours", group="h", mode="online")
    opened("data")
    assert seen[-1] == ("offline", "mine", "g") and seen[0][1:] == ("yours", "h")
    monkeypatch.setenv("WANDB_MODE", "disabled")
    opened("data")
    assert len(seen) == 2
    monkeypatch.setenv("WANDB_MODE", "sometimes")
    opened("data")
    assert seen[-1][0] == "offline" and "WANDB_MODE 'sometimes' is not one of offline" in capsys.readouterr().err


def test_one_init_a_run_under_a_sweeps_agent(tmp_path, monkeypatch):
    """The agent names one run: of all stages that a point needs, only the one it asked for may take it."""
    from zfnet.experiments.table import STAGES, Config
    from zfnet.pipeline.options import PathsOptions
    from zfnet.running import runner

    opened = []
    monkeypatch.setenv("WANDB_SWEEP_ID", "abc")
    monkeypatch.setattr(module, "_open", lambda mode, config, group, stage, *_: opened.append(stage))
    for name in ("data", "train"):
        monkeypatch.setitem(STAGES, name, replace(STAGES[name], run=lambda context: Outcome({})))
    runner.run(Config(stage="train", paths=PathsOptions(outputs=str(tmp_path))), "")
    assert opened == ["train"]
    monkeypatch.delenv("WANDB_SWEEP_ID")
    runner.run(Config(stage="train", seed=1, paths=PathsOptions(outputs=str(tmp_path / "b"))), "")
    assert opened == ["train", "data", "train"]


def test_keys_of_a_line():
    line = {
        "time": 1.0,
        "epoch": 2,
        "images": 80,
        "loss": 0.5,
        "val_top1_error": 10.0,
        "dead": [0.0, 0.5],
        "rms": {"fc6": 0.1},
    }
    assert keyed(line) == {
        "epoch": 2, "images": 80, "images/loss": 0.5, "epoch/val_top1_error": 10.0,
        "epoch/dead/1": 0.0, "epoch/dead/2": 0.5, "epoch/rms/fc6": 0.1,
    }  # fmt: skip
    assert keyed({"epoch": 1, "loss": 0.5}, "zfnet/seed_0") == {"epoch": 1, "epoch/zfnet/seed_0/loss": 0.5}


def test_nested_numbers_become_one_level_and_classes_become_tables():
    numbers = {"a": {"b": 1.0, "c": [1], "ap": {"cat": 0.5}}, "d": "x"}
    assert scalars(numbers) == {"a/b": 1.0, "d": "x"}
    assert tables(numbers) == {"a/ap": {"cat": 0.5}}
    assert tables({"ap": {"cat": Measure(0.5, 0.4, 0.7).to_json()}}) == {"ap": {"cat": 0.5}}
