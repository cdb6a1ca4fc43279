"""Networks trained as jobs of their own: every shard its part, and the stages collect what one run would train."""

import shutil
from dataclasses import replace

import pytest

from zfnet.core.errors import UserError
from zfnet.experiments.ablations.options import AblationsOptions
from zfnet.experiments.ensemble.options import EnsembleOptions
from zfnet.experiments.table import STAGES, Config
from zfnet.experiments.trainings import train_one
from zfnet.networks.options import ModelOptions, NetworkOptions
from zfnet.pipeline.options import PathsOptions, WandbOptions
from zfnet.running import shard
from zfnet.running.runner import context_of, plan
from zfnet.training import run as training_run
from zfnet.training.options import TrainOptions


@pytest.fixture
def config(store_folders, tmp_path, monkeypatch):
    """A profile whose images are cached, with four networks, of which two stand in two tables."""
    for name, folder in zip(("train", "val"), store_folders, strict=True):
        shutil.copytree(folder, tmp_path / "menagerie" / "data" / name)
    monkeypatch.setattr(shard, "result_of", lambda stage, config: {"numbers": {}})  # stage data is done
    recipe = TrainOptions(epochs=1, batch=6, reference_batch=6, lr=0.02, divisor=64.0, precision="fp32", snapshots=[1])
    return Config(
        stage="ensemble,ablations",
        paths=PathsOptions(outputs=str(tmp_path)),
        wandb=WandbOptions(mode="disabled"),
        device="cpu",
        model=ModelOptions(width=0.125, init="he"),
        train=recipe,
        ensemble=EnsembleOptions(seeds=[1], wide=True),
        ablations=AblationsOptions(rows=["zfnet", "zfnet-wide345", "zfnet-noclip"], seeds=[0]),
    )


def trainings(config):
    """The folders of the networks that all shards train together."""
    stages = [stage for stage in plan(config.stage.split(","), config) if stage.trainings]
    return [training.out for _, training in shard.distinct_trainings(stages, config)]


def collect(config):
    """The numbers of the stages, from what their folders hold; what is missing is trained."""
    context = context_of(STAGES["train"], config)
    numbers = train_one(context, *STAGES["train"].trainings(context))
    collected = [STAGES[name].run(context_of(STAGES[name], config)).numbers for name in ("ensemble", "ablations")]
    return [{"top1_error": numbers["top1_error"], "loss": numbers["loss"]}, *collected]


def without_times(stages):
    return [{name: value for name, value in numbers.items() if name != "train_seconds"} for numbers in stages]


def test_the_networks_of_a_profile_are_each_trained_once(config, tmp_path):
    folders = [folder.relative_to(tmp_path / "menagerie").as_posix() for folder in trainings(config)]
    assert folders == ["train", "ensemble/seed_1", "ensemble/wide", "ablations/zfnet-noclip/seed_0"]
    alone = trainings(replace(config, stage="ablations"))
    assert [folder.parent.name for folder in alone] == ["zfnet", "zfnet-wide345", "zfnet-noclip"]


def test_the_stages_collect_from_shards_what_one_run_gives(config, tmp_path, monkeypatch, capsys):
    trained = [shard.run_shard(replace(config, shard=f"{i}/3"), "") for i in (3, 1, 2)]
    assert sorted(map(len, trained)) == [1, 1, 2] and sorted(sum(trained, [])) == sorted(trainings(config))
    assert "shard 1 of 3: 2 of 4 networks" in capsys.readouterr().out
    assert shard.run_shard(replace(config, shard="5/5"), "") == []
    elsewhere = replace(config, paths=PathsOptions(outputs=str(tmp_path / "one")))
    shutil.copytree(tmp_path / "menagerie" / "data", tmp_path / "one" / "menagerie" / "data")
    at_once = collect(elsewhere)
    monkeypatch.setattr(training_run, "fit", read_only(training_run.fit))
    assert without_times(collect(config)) == without_times(at_once)


def read_only(fit):
    """`fit` that fails where it would train."""

    def reading(job, *arguments):
        assert training_run.is_trained(job), f"{job.out} is trained again"
        return fit(job, *arguments)

    return reading


@pytest.mark.parametrize("text", ["", "0/4", "5/4", "1", "1/0", "-1/2", "1/4/2", "a/b"])
def test_a_shard_that_is_none_is_named(text):
    with pytest.raises(UserError, match="^shard: .* is not i/n with i from 1 to n; give for example shard=1/4$"):
        shard.parse_shard(text)


def test_shards_need_cached_images_and_stages_that_train(config, monkeypatch):
    with pytest.raises(UserError, match="shard: stage=data trains no network; name train, ensemble or ablations"):
        shard.run_shard(replace(config, shard="1/2", stage="data"), "")
    with pytest.raises(UserError, match="vgg16 was trained elsewhere"):
        shard.run_shard(replace(config, shard="1/2", network=NetworkOptions(name="vgg16")), "")
    monkeypatch.setattr(shard, "result_of", lambda stage, config: None)
    with pytest.raises(UserError, match="shard: stage data comes first; run stage=data without shard"):
        shard.run_shard(replace(config, shard="1/2"), "")


def test_a_shard_is_a_run_of_wandb_of_its_own(config, monkeypatch):
    opened = []

    class Logger:
        def __init__(self, options, group, stage, settings, folder, root, about):
            opened.append((group, stage, settings["train"]["seed"], folder.relative_to(root).as_posix(), about.network))

        def finish(self, outcome):
            opened.append(outcome.numbers["epochs"])

    monkeypatch.setattr(shard, "RunLogger", Logger)
    shard.run_shard(replace(config, shard="2/4"), "")
    assert opened == [("menagerie", "ensemble-seed_1", 1, "ensemble/seed_1", "zfnet"), 1]
