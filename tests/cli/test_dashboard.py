"""Dashboard and sweep as code: held against a real, tiny run of the stages they name; no network."""

import itertools
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from zfnet.cli import dashboard, sweep
from zfnet.cli import main as cli
from zfnet.cli.dashboard import logged_keys, read, unknown_keys, wanted_keys
from zfnet.core import options
from zfnet.core.errors import UserError
from zfnet.experiments import table as schema

ROOT = Path(__file__).parents[2]
TINY = shlex.split("""data.menagerie.train_per_class=4 data.menagerie.val_per_class=2 data.menagerie.caltech_per_class=4
 data.menagerie.voc_images=2 data.n_classes=4 train.epochs=2 train.snapshots=[1,2] train.batch=8 model.width=0.05
 ablations.rows=[] ablations.seeds=[0] ablations.epochs=1 transfer.per_class=[2]
 transfer.few_shot=[1] transfer.folds=2 transfer.trained_epochs=0
 class_model.iterations=2 localization.n_images=4 patterns.n_measure=8 patterns.n_degraded=2 patterns.n_neurons=4
 patterns.points=2 occlusion.n_score=1 occlusion.n_images=1 occlusion.square=20 occlusion.stride=12
 first_layer.n_images=8 device=cpu""")
STAGES = "evolution,transfer,ablations,top_activations,first_layer,occlusion,class_model,saliency,localization,patterns"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tiny")


def call(folder, *words, **environment):
    words = (*words, *TINY, f"paths.data={folder / 'data'}")
    done = subprocess.run(
        [sys.executable, "-m", "zfnet", *words], capture_output=True, text=True, cwd=folder, timeout=400,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def outputs(folder):
    """What a tiny run of every stage of the dashboard leaves."""
    call(folder, f"stage={STAGES}", "wandb.mode=disabled", "paths.outputs=outputs")
    return folder / "outputs"


@pytest.mark.slow
def test_every_panel_shows_what_a_stage_logs(outputs):
    definition = read()
    assert len(wanted_keys(definition)) > 40
    assert unknown_keys(definition, outputs) == []
    definition["sections"][0]["panels"][0]["keys"].append("images/lss")
    assert unknown_keys(definition, outputs) == ["images/lss"]


@pytest.mark.slow
def test_keys_of_networks_below_a_stage_are_named_after_them(outputs):
    assert "epoch/zfnet/seed_0/val_top1_error" in logged_keys(outputs)


@pytest.mark.parametrize(
    ("panel", "told"),
    [({"kind": "pie", "title": "x", "keys": ["a"]}, "kind"), ({"kind": "lines", "title": "x", "keys": ["a"]}, "an x"),
     ({"kind": "bars", "title": "x", "keys": ["a"], "x": "b"}, "entry x"), ({"kind": "bars", "title": "x"}, "keys")],
)  # fmt: skip
def test_a_panel_that_is_none_is_named(tmp_path, panel, told):
    path = tmp_path / "dashboard.yaml"
    path.write_text(yaml.safe_dump({"name": "n", "sections": [{"title": "s", "panels": [panel]}]}))
    with pytest.raises(UserError, match=f"dashboard.yaml: s, x: .*{told}"):
        read(path)


def test_without_a_login_it_says_what_to_do(monkeypatch, tmp_path, capsys):
    for name in ("WANDB_API_KEY", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cli.main(["dashboard"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "wandb login" in err


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [(["--help"], 0, "only compare its keys"), (["-h"], 0, "only compare its keys"), (["chek"], 2, "chek: unknown")],
)
def test_only_the_bare_command_publishes(words, code, told, monkeypatch, capsys):
    monkeypatch.setattr(dashboard, "_publish", lambda: pytest.fail("published"))
    assert cli.main(["dashboard", *words]) == code
    assert told in "".join(capsys.readouterr())


def test_the_definition_becomes_a_workspace():
    pytest.importorskip("wandb_workspaces", reason="the extra `dashboard` is not installed")
    model = dashboard.workspace(read(), "someone", "zfnet")._to_model()
    shown = model.model_dump_json(by_alias=True)
    assert all(json.dumps(key)[1:-1] in shown for key in wanted_keys(read()))


# ---- the sweep ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def definition():
    return yaml.safe_load(sweep.SWEEP.read_text())


def agents_words(definition, point):
    """The command that wandb's own agent would run for a point, after `python -m zfnet`."""
    from wandb.sdk.launch.sweeps import utils

    macros = utils.create_sweep_command_args({"args": {key: {"value": value} for key, value in point.items()}})
    macros |= {"env": ["env"], "interpreter": ["python"]}
    command = []
    for chunk in utils.create_sweep_command(definition["command"]):
        macro = re.fullmatch(r"\$\{(\w+)\}", chunk)
        command += macros[macro[1]] if macro else [chunk]
    assert command[:4] == ["env", "python", "-m", "zfnet"]
    return command[4:]


def points(definition):
    choices = {key: entry.get("values", [entry.get("value")]) for key, entry in definition["parameters"].items()}
    return [dict(zip(choices, values, strict=True)) for values in itertools.product(*choices.values())]


def test_every_parameter_is_a_key_and_every_point_composes(definition):
    from hydra import compose, initialize_config_dir
    from hydra.core.config_store import ConfigStore
    from omegaconf import OmegaConf

    assert set(definition["parameters"]) <= set(options.keys(schema.Config))
    assert definition["method"] == "grid" and (ROOT / definition["program"]).exists()
    ConfigStore.instance().store(name="schema", node=schema.Config)
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        for point in points(definition):
            config = OmegaConf.to_object(compose("config", overrides=agents_words(definition, point)))
            options.check(config)
            assert config.train.lr == point["train.lr"] and config.wandb.mode == "online"


@pytest.mark.slow
def test_the_metric_of_the_sweep_is_one_that_its_stage_logs(definition, outputs):
    assert definition["metric"]["name"] in logged_keys(outputs / "menagerie" / "train")


def test_hydra_runs_the_same_points(definition):
    words = sweep.multirun_words()
    assert words[:2] == ["--multirun", "stage=train"]
    grid = [[f"{word.split('=')[0]}={value}" for value in word.split("=")[1].split(",")] for word in words[2:]]
    agents = {tuple(word for word in agents_words(definition, point) if word.split("=")[0] in point)
              for point in points(definition)}  # fmt: skip
    assert set(itertools.product(*grid)) == agents


def test_the_sweep_is_a_multirun_with_the_words_it_is_given(monkeypatch):
    calls = []
    monkeypatch.setattr(sweep.run, "main", lambda words: calls.append(words) or 130)
    assert sweep.main(["seed=1"]) == 130
    assert calls == [[*sweep.multirun_words(), "seed=1"]]


@pytest.mark.slow
def test_two_points_by_hydra_leave_two_runs(folder):
    words = ("--multirun", "stage=train", "train.lr=0.01,0.02", "hydra.sweep.dir=sweep", "wandb.mode=disabled")
    call(folder, *words)
    results = [folder / "sweep" / number / "menagerie" / "train" / "result.json" for number in "01"]
    rates = [json.loads(path.read_text())["config"]["train"]["lr"] for path in results]
    assert rates == [0.01, 0.02]


@pytest.mark.slow
def test_two_points_by_the_agents_command_leave_two_runs(definition, folder):
    """No service here, so W&B stays offline; the rest of the command is the agent's, and so is its environment."""
    for name, point in zip(("first", "second"), points(definition), strict=False):
        words = [word.replace("wandb.mode=online", "wandb.mode=offline") for word in agents_words(definition, point)]
        call(folder, *words, WANDB_RUN_ID=name, WANDB_SWEEP_ID="s1")
        (kept,) = (folder / "outputs" / "sweeps" / "s1" / name / "menagerie" / "wandb").glob("offline-run-*")
        assert kept.name.endswith(name)  # one run, under the agent's name, though two stages ran
        result = json.loads((kept.parents[1] / "train" / "result.json").read_text())
        assert result["config"]["train"]["lr"] == point["train.lr"]
