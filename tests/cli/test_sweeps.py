"""Sweeps: any sweeper gets the objective, and the same command resumes in the same folder."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra

from zfnet.cli import run
from zfnet.cli.main import main
from zfnet.core.errors import UserError
from zfnet.core.resume import write_checked

has_optuna = pytest.mark.skipif(
    importlib.util.find_spec("optuna") is None, reason="needs the extra optuna: hydra-optuna-sweeper"
)


@pytest.fixture
def points(monkeypatch, tmp_path):
    """Runs in which each point leaves (train.lr - 0.02)^2 as its number; the settings and folders of those that ran."""
    ran: list[tuple[float, Path]] = []

    def run_config(config, typed):
        folder = Path(config.paths.outputs)
        rate = config.train.lr
        ran.append((rate, folder))
        write_checked(folder / "result.json", {"numbers": {"top1_error": {"value": (rate - 0.02) ** 2}, "loss": 3}})
        return folder

    monkeypatch.setattr(run, "run_config", run_config)
    monkeypatch.setattr(sys, "argv", ["zfnet"])
    monkeypatch.chdir(tmp_path)
    GlobalHydra.instance().clear()
    yield ran
    GlobalHydra.instance().clear()


@pytest.fixture
def returned(monkeypatch):
    """What the jobs return to the sweeper."""
    values = []
    run_point = run.run_point
    monkeypatch.setattr(run, "run_point", lambda *words: values.append(run_point(*words)) or values[-1])
    return values


def test_each_point_returns_its_objective_and_the_same_command_takes_the_same_folders(points, returned):
    words = ["--multirun", "stage=train", "train.lr=0.01,0.02"]
    assert main(words) == 0 and returned == pytest.approx([1e-4, 0.0])
    first, second = [folder for _, folder in points]
    assert first.parent == second.parent and [first.name, second.name] == ["0", "1"]
    assert main(words) == 0 and [folder for _, folder in points[2:]] == [first, second]


def test_a_plain_sweep_needs_no_objective(points, returned):
    assert main(["--multirun", "stage=train", "objective=loss,nothing"]) == 0
    assert returned == [3.0, None]


def test_the_shards_of_a_sweep_work_in_one_folder(points):
    assert main(["--multirun", "stage=ablations", "shard=1/2,2/2"]) == 0
    assert [str(folder) for _, folder in points] == ["outputs", "outputs"]


def test_a_point_that_fails_in_a_launchers_process_fails_the_sweep(points, monkeypatch, capsys):
    """The process ends with the failures that it has noted; an error that it raises reaches the launcher."""
    processes = iter([1, 2])
    monkeypatch.setattr(run.os, "getpid", lambda: next(processes, 2))
    monkeypatch.setattr(run, "run_config", lambda config, typed: fail(config.shard))
    assert main(["--multirun", "stage=ablations", "shard=a"]) == 2
    assert capsys.readouterr().err.endswith("zfnet: point 0 (shard=a,stage=ablations): a is none\n")


def fail(name):
    raise UserError(f"{name} is none")


@pytest.mark.parametrize("word", ["hydra/sweeper=tpe", "hydra/sweeper=optuna", "hydra/launcher=slurm"])
def test_a_missing_plugin_is_named_with_its_package(word, points, capsys):
    package = "hydra-optuna-sweeper" if "sweeper" in word else "hydra-submitit-launcher"
    if importlib.util.find_spec("optuna" if "sweeper" in word else "submitit"):
        pytest.skip("it is installed")
    assert main(["--multirun", word, "stage=train", "train.lr=0.01,0.02"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"zfnet: {word.partition('=')[0]}: ") and error.count("\n") == 1
    assert package in error and "profile" not in error


@has_optuna
@pytest.mark.filterwarnings("ignore")
def test_optuna_finds_the_minimum_and_resumes_at_the_same_points(points, returned, tmp_path):
    words = ["--multirun", "hydra/sweeper=tpe", "stage=train", "train.lr=interval(0.005,0.05)"]
    words += ["hydra.sweeper.n_trials=12"]
    assert main(words) == 0 and len(points) == 12
    best = min(points, key=lambda point: (point[0] - 0.02) ** 2)[0]
    assert best == pytest.approx(0.02, abs=0.004)
    (results,) = tmp_path.glob("outputs/sweeps/*/optimization_results.yaml")
    assert f"train.lr: {best}" in results.read_text()
    assert main(words) == 0 and points[12:] == points[:12]


@has_optuna
@pytest.mark.filterwarnings("ignore")
def test_an_objective_that_no_stage_has_is_named_where_a_sweeper_needs_it(points, capsys):
    words = ["--multirun", "hydra/sweeper=tpe", "hydra.sweeper.n_trials=1", "train.lr=interval(0.1,0.2)"]
    assert main([*words, "stage=train", "objective=nothing"]) == 2
    assert "objective: the last stage has no number nothing; it has top1_error.value, loss" in capsys.readouterr().err
