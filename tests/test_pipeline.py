"""The table of stages and the one way they run: what is done is skipped, what changed runs again."""

import json
import shutil
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
    assert set(STAGES["report"].needs) == seen - {"report", "look"}


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
    assert first == len(STAGES) - 1 == len(ran)  # a look is of somebody's photograph, and no part of the report
    assert capsys.readouterr().out.count("done before") == first


@pytest.mark.parametrize(
    ("section", "change", "again"),
    [
        ("occlusion", {"square": 20}, ["occlusion", "report"]),
        ("report", {"title": "x"}, ["report"]),
        ("train", {"lr": 0.5}, [name for name in STAGES if name not in ("data", "look")]),
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


@pytest.fixture
def photo(tmp_path):
    from PIL import Image

    Image.new("RGB", (40, 30)).save(tmp_path / "my dog.png")
    return str(tmp_path / "my dog.png")


def test_a_look_has_a_folder_a_photograph_and_runs_each_time(config, ran, photo, tmp_path):
    asked = replace(config, stage="look", image=photo)
    pipeline.run(asked, "")
    folders = pipeline.run(asked, "")
    assert ran == ["data", "train", "look", "look"]
    assert folders[-1] == tmp_path / "menagerie" / "look" / "my dog"
    assert (folders[-1] / "result.json").exists()


def test_a_look_through_another_network_trains_nothing(config, ran, photo):
    other = replace(config, stage="look", image=photo, look=replace(config.look, network="vgg16", weights="random"))
    folders = pipeline.run(other, "")
    assert ran == ["look"] and folders[-1].name == "my dog-vgg16"


@pytest.mark.parametrize(
    ("image", "weights", "told"),
    [
        ("", "", "image: no photograph given"),
        ("gone.jpg", "", "image: gone.jpg is not a file"),
        (__file__, "", "image: .*test_pipeline.py is not an image"),
        (None, "gone.pth", "look.weights: belongs to a network of torchvision"),
    ],
)
def test_nothing_runs_for_a_photograph_that_cannot_be_read(config, ran, photo, image, weights, told):
    wrong = replace(config, stage="look", image=photo if image is None else image)
    with pytest.raises(UserError, match=told):
        pipeline.run(replace(wrong, look=replace(config.look, weights=weights)), "")
    assert ran == []


def test_the_fingerprint_depends_on_the_needs():
    a, b = Config(), Config()
    b.data.size = 64
    assert fingerprint(STAGES["saliency"], a) != fingerprint(STAGES["saliency"], b)


@pytest.mark.parametrize(
    ("stage", "key"),
    [
        ("data", "leave_out"),
        ("correspondence", "parts"),
        ("localization", "blacklist"),
        ("transfer", "weights"),
        ("look", "weights"),
    ],
)
def test_a_named_file_that_changes_is_noticed_by_the_stage_that_reads_it(tmp_path, config, stage, key):
    file = tmp_path / "named"
    section = replace(getattr(config, stage), **{key: str(file)})
    config = replace(config, **{stage: section})
    prints = {fingerprint(STAGES[stage], config)}  # before it is there
    for text in ("a\n", "b\n"):
        file.write_text(text)
        pipeline.sources.forget_listings()
        prints.add(fingerprint(STAGES[stage], config))
    assert len(prints) == 3


def test_a_report_whose_texts_have_changed_is_written_again(tmp_path, config, ran, monkeypatch):
    ours = pipeline.PACKAGE / "report"
    for text in ("claims = 1", "claims = 2"):
        package = tmp_path / text
        shutil.copytree(ours, package / "report")
        (package / "report" / "claims.py").write_text(text)
        monkeypatch.setattr(pipeline, "PACKAGE", package)
        ran.clear()
        pipeline.run(config, "")
    assert ran == ["report"]


def test_boxed_images_of_elsewhere_that_change_are_noticed(tmp_path, config):
    boxed = tmp_path / "boxed"
    boxed.mkdir()
    config = replace(config, localization=replace(config.localization, images=str(boxed)))
    before = fingerprint(STAGES["localization"], config)
    (boxed / "1.jpg").write_bytes(b"1")
    pipeline.sources.forget_listings()
    assert fingerprint(STAGES["localization"], config) != before


@pytest.fixture
def photographs(tmp_path, config):
    """A configuration that reads a folder of photographs, and the folder."""
    folder = tmp_path / "photographs"
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        (folder / name / "1.jpg").write_bytes(b"1")
    return replace(config, stage="train", data=replace(config.data, source="folder", root=str(folder))), folder


@pytest.mark.parametrize(
    ("change", "again"),
    [
        (lambda folder: (folder / "cat" / "2.jpg").write_bytes(b"2"), ["data", "train"]),
        (lambda folder: (folder / "cat" / "1.jpg").write_bytes(b"another"), ["data", "train"]),
        (lambda folder: (folder / "cat" / "1.jpg").rename(folder / "dog" / "2.jpg"), ["data", "train"]),
        (lambda folder: (folder / "cat" / ".DS_Store").write_bytes(b"2"), []),
        (lambda folder: shutil.rmtree(folder), []),  # removed once it is cached
    ],
)
def test_photographs_that_come_or_change_are_noticed(photographs, ran, change, again):
    config, folder = photographs
    pipeline.run(config, "")
    ran.clear()
    change(folder)
    pipeline.run(config, "")
    assert ran == again
    pipeline.run(config, "")
    assert ran == again


def test_imagenet_notices_more_images_or_boxes_by_their_number(photographs, ran):
    config, folder = photographs
    config = replace(config, data=replace(config.data, source="imagenet"))
    pipeline.run(config, "")
    ran.clear()
    (folder / "cat" / "2.jpg").write_bytes(b"2")
    pipeline.run(config, "")
    assert ran == ["data", "train"]
    ran.clear()
    (folder / "Annotations").mkdir()
    pipeline.run(config, "")
    assert ran == ["data", "train"]
