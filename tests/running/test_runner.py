"""The table of stages and the one way they run: what is done is skipped, what changed runs again."""

import json
import shutil
from dataclasses import replace

import pytest

from zfnet.core.errors import UserError
from zfnet.experiments.config import Config
from zfnet.pipeline.options import PathsOptions, WandbOptions
from zfnet.pipeline.record import Outcome
from zfnet.running import runner as pipeline
from zfnet.running.runner import STAGES, fingerprint, parse_stages, plan


@pytest.fixture
def ran(monkeypatch):
    """Every stage replaced by one that notes its name and leaves one number, and the files it is known by."""
    import zfnet.experiments.stages

    names = []

    def make(name):
        def stage(config, out):
            names.append(name)
            where = pipeline.cache_folder(config) if name == "data" else out
            for file in STAGES[name].leaves:
                (where / file).parent.mkdir(parents=True, exist_ok=True)
                (where / file).touch()
            return Outcome({"value": len(names)}, {}, f"{name} says so")

        return stage

    for name in STAGES:
        monkeypatch.setattr(zfnet.experiments.stages, name, make(name))
    return names


@pytest.fixture
def config(tmp_path):
    return Config(paths=PathsOptions(outputs=str(tmp_path)), wandb=WandbOptions(mode="disabled"))


def test_every_stage_has_a_function_and_needs_only_earlier_ones():
    import zfnet.experiments.stages

    seen = set()
    for stage in STAGES.values():
        assert callable(getattr(zfnet.experiments.stages, stage.name))
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
    import zfnet.experiments.stages

    def fails(config, out):
        raise UserError("occlusion.square: too large")

    monkeypatch.setattr(zfnet.experiments.stages, "occlusion", fails)
    with pytest.raises(UserError):
        pipeline.run(replace(config, stage="occlusion"), "")
    assert (tmp_path / "menagerie" / "train" / "result.json").exists()
    assert not (tmp_path / "menagerie" / "occlusion" / "result.json").exists()


@pytest.mark.parametrize("damage", ["cut", "bit"])
def test_a_damaged_result_is_named_and_counts_as_none(config, ran, tmp_path, damage, capsys):
    pipeline.run(replace(config, stage="data"), "")
    path = tmp_path / "menagerie" / "data" / "result.json"
    whole = path.read_bytes()
    changed = bytearray(whole)
    changed[whole.index(b'"seconds": ') + 11] ^= 1  # another digit
    path.write_bytes(whole[:-20] if damage == "cut" else changed)
    pipeline.run(replace(config, stage="data"), "")
    assert ran == ["data", "data"]
    assert capsys.readouterr().err.count(f"{path}: is damaged") == 1


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
        (__file__, "", "image: .*test_runner.py is not an image"),
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


def test_a_stage_whose_files_are_gone_is_not_done(config, ran, tmp_path):
    pipeline.run(config, "")
    for stage, file in (("data", "train/store.json"), ("train", "model.pt"), ("report", "index.html")):
        (tmp_path / "menagerie" / stage / file).unlink()
        ran.clear()
        pipeline.run(config, "")
        assert ran == [stage]


def test_a_stage_that_runs_again_says_what_is_new(config, ran, capsys):
    pipeline.run(replace(config, stage="train"), "")
    capsys.readouterr()
    pipeline.run(replace(config, stage="train", train=replace(config.train, epochs=2, lr=0.5)), "")
    said = capsys.readouterr().out.splitlines()
    assert (
        said[1] == f"train            ...   train.epochs {config.train.epochs} -> 2; train.lr {config.train.lr} -> 0.5"
    )


def test_two_runs_are_not_in_one_folder_at_a_time(config, ran):
    with (
        pipeline._alone(STAGES["train"], config),
        pytest.raises(UserError, match="paths.outputs: another run is working in .*train"),
    ):
        pipeline.run(replace(config, stage="train"), "")
    assert ran == ["data"]
    pipeline.run(replace(config, stage="train"), "")
    assert ran == ["data", "train"]


def test_several_nodes_that_train_together_are_one_run(config, ran):
    config = replace(config, nodes=2)
    with pipeline._alone(STAGES["train"], config), pipeline._alone(STAGES["train"], config):
        pass


def test_a_folder_is_the_same_however_it_is_written(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    written = [str(tmp_path / "x"), f"{tmp_path / 'x'}/", "x", "./x"]
    keys = {fingerprint(STAGES["data"], replace(config, data=replace(config.data, root=root))) for root in written}
    assert len(keys) == 1 and fingerprint(STAGES["data"], config) not in keys


@pytest.mark.parametrize(
    ("section", "change", "words"),
    [
        ("transfer", {"root": "/nowhere"}, "transfer.root: no folder /nowhere"),
        ("voc", {"root": "/nowhere"}, "voc.root: no folder /nowhere"),
        ("localization", {"images": "/nowhere"}, "localization.images: no folder /nowhere"),
        ("localization", {"blacklist": "/nowhere.txt"}, "localization.blacklist: no file /nowhere.txt"),
        ("localization", {"compare": ["gradient"]}, "localization.compare: .* set localization.tune too"),
        ("correspondence", {"parts": "/nowhere.csv"}, "/nowhere.csv: cannot be read as a part file"),
        ("occlusion", {"square": 57}, "occlusion.square: 57 px leaves nothing of the 56 px"),
        ("ablations", {"rows": ["krizhevsky", "foo"]}, "model.name: no network 'foo'"),
        ("ablations", {"n_classes": 1}, "ablations.n_classes: one class"),
        ("model", {"name": "vgg"}, "model.name: no network 'vgg'"),
        ("ensemble", {"wide": True}, "model.name: no network 'krizhevsky-wide345'"),
    ],
)
def test_what_a_later_stage_would_refuse_is_refused_before_anything_runs(config, ran, section, change, words):
    if section == "ensemble":
        config = replace(config, model=replace(config.model, name="krizhevsky"))
    config = replace(
        config, data=replace(config.data, size=64), **{section: replace(getattr(config, section), **change)}
    )
    if section != "occlusion":
        config = replace(config, occlusion=replace(config.occlusion, square=12))
    with pytest.raises(UserError, match=words):
        pipeline.run(config, "")
    assert not ran


def test_what_is_done_is_not_checked_again(config, ran, tmp_path):
    (tmp_path / "raw").mkdir()
    config = replace(config, transfer=replace(config.transfer, source="caltech101", root=str(tmp_path / "raw")))
    pipeline.run(replace(config, stage="transfer"), "")
    (tmp_path / "raw").rmdir()
    ran.clear()
    pipeline.run(replace(config, stage="transfer"), "")
    assert not ran
