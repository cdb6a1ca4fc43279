"""The table of stages and the one way they run: what is done is skipped, what changed runs again."""

import json
from dataclasses import replace

import pytest

from zfnet import pipeline
from zfnet.config import Config, PathsConfig, WandbConfig
from zfnet.errors import UserError
from zfnet.pipeline import STAGES, fingerprint, parse_stages, plan
from zfnet.record import Outcome


@pytest.fixture
def ran(monkeypatch):
    """Every stage replaced by one that notes its name and leaves one number."""
    import zfnet.stages

    names = []

    def make(name):
        def stage(config, out):
            names.append(name)
            return Outcome({"value": len(names)}, {}, f"{name} says so")

        return stage

    for name in STAGES:
        monkeypatch.setattr(zfnet.stages, name, make(name))
    return names


@pytest.fixture
def config(tmp_path):
    return Config(paths=PathsConfig(outputs=str(tmp_path)), wandb=WandbConfig(mode="disabled"))


def test_every_stage_has_a_function_and_needs_only_earlier_ones():
    import zfnet.stages

    seen = set()
    for stage in STAGES.values():
        assert callable(getattr(zfnet.stages, stage.name))
        assert set(stage.needs) <= seen
        seen.add(stage.name)
    assert set(STAGES["report"].needs) == seen - {"report"}


def test_a_stage_runs_after_all_it_needs_and_leaves_a_whole_result(config, ran, tmp_path):
    pipeline.run(replace(config, stage="occlusion"), "python -m zfnet stage=occlusion")
    assert ran == ["data", "train", "occlusion"]
    result = json.loads((tmp_path / "menagerie" / "occlusion" / "result.json").read_text())
    wanted = {"config", "fingerprint", "seed", "versions", "commit", "device", "seconds", "numbers", "command"}
    assert wanted <= result.keys() and result["numbers"] == {"value": 3}
    assert result["config"]["occlusion"]["square"] == config.occlusion.square


def test_the_second_run_does_nothing_and_says_so(config, ran, capsys):
    pipeline.run(config, "")
    first = len(ran)
    pipeline.run(config, "")
    assert first == len(STAGES) == len(ran)
    assert capsys.readouterr().out.count("done before") == len(STAGES)


@pytest.mark.parametrize(
    ("section", "change", "again"),
    [
        ("occlusion", {"square": 20}, ["occlusion", "report"]),
        ("report", {"title": "x"}, ["report"]),
        ("train", {"lr": 0.5}, [name for name in STAGES if name != "data"]),
        ("checkpoints", {"minutes": 1.0}, []),
        ("paths", {"data": "elsewhere"}, []),
    ],
)
def test_a_changed_value_reruns_just_what_depends_on_it(config, ran, section, change, again):
    pipeline.run(config, "")
    ran.clear()
    pipeline.run(replace(config, **{section: replace(getattr(config, section), **change)}), "")
    assert ran == again


def test_a_stage_that_fails_leaves_no_result_and_loses_nothing_before_it(config, ran, monkeypatch, tmp_path):
    import zfnet.stages

    def fails(config, out):
        raise UserError("occlusion.square: too large")

    monkeypatch.setattr(zfnet.stages, "occlusion", fails)
    with pytest.raises(UserError):
        pipeline.run(replace(config, stage="occlusion"), "")
    assert (tmp_path / "menagerie" / "train" / "result.json").exists()
    assert not (tmp_path / "menagerie" / "occlusion" / "result.json").exists()


def test_a_damaged_result_counts_as_none(config, ran, tmp_path):
    pipeline.run(replace(config, stage="data"), "")
    (tmp_path / "menagerie" / "data" / "result.json").write_text('{"fingerprint": ')
    pipeline.run(replace(config, stage="data"), "")
    assert ran == ["data", "data"]


def test_stage_lists_are_parsed_and_unknown_names_named():
    assert parse_stages("train, occlusion") == ["train", "occlusion"]
    assert [stage.name for stage in plan(["saliency", "data"])] == ["data", "train", "saliency"]
    with pytest.raises(UserError, match="'trian'.*train"):
        parse_stages("trian")


def test_the_fingerprint_depends_on_the_needs():
    a, b = Config(), Config()
    b.data.size = 64
    assert fingerprint(STAGES["saliency"], a) != fingerprint(STAGES["saliency"], b)
