"""Jobs on a cluster: the Slurm launcher composes with our configuration, is named where it lacks, and runs shards."""

import json
import os
import sys

import pytest

from zfnet.cli.main import main
from zfnet.cli.run import describe_error
from zfnet.core.resources import CONF
from zfnet.experiments import table as schema


def compose(*overrides):
    import hydra
    from hydra.core.config_store import ConfigStore

    ConfigStore.instance().store(name="schema", node=schema.Config)
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        return hydra.compose("config", list(overrides), return_hydra_config=True)


def test_the_slurm_launcher_composes_with_the_configuration():
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="needs the extra slurm")
    composed = compose("hydra/launcher=slurm", "profile=imagenet", "gpus=8", "hydra.launcher.partition=big")
    launcher = composed.hydra.launcher
    assert launcher._target_.endswith("SlurmLauncher") and launcher.partition == "big"
    assert launcher.nodes == launcher.tasks_per_node == 1 and launcher.gpus_per_node == composed.gpus == 8


def test_a_launcher_that_is_not_installed_is_named():
    from hydra.errors import MissingConfigException

    try:
        compose("hydra/launcher=slurm_of_nobody")
    except MissingConfigException as error:
        message = describe_error(error)
        assert message.startswith("hydra/launcher: ") and "hydra-submitit-launcher" in message
    else:
        pytest.fail("composed")


SMALL = ["profile=folder", "stage=ablations", "ablations.rows=[zfnet,krizhevsky]", "ablations.epochs=1", "data.size=36"]
SMALL += ["model.width=0.125", "train.batch=6", "train.precision=fp32", "device=cpu", "wandb.mode=disabled"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_two_jobs_and_the_collecting_stage_give_the_numbers_of_one_run(picture_folder, tmp_path, monkeypatch):
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="needs the extra slurm")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["zfnet"])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
    words = [*SMALL, f"data.root={picture_folder}", f"paths.cache={tmp_path / 'images'}"]
    assert main([*words, "stage=data"]) == 0
    jobs = ["--multirun", "hydra/launcher=submitit_local", "shard=1/2,2/2", f"hydra.sweep.dir={tmp_path / 'jobs'}"]
    assert main([*words, *jobs]) == 0
    out = {file.parent.name: file.read_text() for file in tmp_path.glob("jobs/.submitit/*/*_log.out")}
    assert len(out) == 2 and sum("1 of 2 networks" in text for text in out.values()) == 2
    assert main(words) == 0 and main([*words, "paths.outputs=one"]) == 0
    collected, at_once = (read_rows(tmp_path / name) for name in ("outputs", "one"))
    assert collected == at_once and set(collected) == {"zfnet", "krizhevsky"}
    trained = [tmp_path / "outputs" / "folder" / "ablations" / row / "seed_0" / "trained.json" for row in collected]
    result = tmp_path / "outputs" / "folder" / "ablations" / "result.json"
    assert all(file.stat().st_mtime < result.stat().st_mtime - 1 for file in trained)


def read_rows(outputs):
    return json.loads((outputs / "folder" / "ablations" / "result.json").read_text())["numbers"]["rows"]
