"""The table of stages and the one way they run: what is done is skipped, what changed runs again."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import zfnet.experiments
from zfnet.core.errors import UserError
from zfnet.experiments.sources import forget_listings
from zfnet.experiments.table import Config
from zfnet.pipeline.options import PathsOptions, WandbOptions
from zfnet.pipeline.record import Outcome
from zfnet.running import runner
from zfnet.running.runner import STAGES, fingerprint, needs, parse_stages, plan, section, stage_folder


@pytest.fixture
def ran(monkeypatch):
    """Every stage replaced by one that notes its name and leaves one number, and the files it is known by."""
    names = []

    def make(stage):
        def run(context):
            names.append(stage.name)
            folder = context.image_cache if stage.name == "data" else context.out
            for file in (pattern.replace("*", "x") for pattern in stage.leaves):
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                (folder / file).touch()
            return Outcome({"value": len(names)}, {}, f"{stage.name} says so")

        return replace(stage, run=run, control=None)

    for stage in list(STAGES.values()):
        monkeypatch.setitem(STAGES, stage.name, make(stage))
    return names


@pytest.fixture
def config(tmp_path):
    return Config(paths=PathsOptions(outputs=str(tmp_path)), wandb=WandbOptions(mode="disabled"))


def test_every_stage_needs_only_earlier_ones_and_the_report_all_others(config):
    seen = set()
    for stage in STAGES.values():
        assert set(needs(stage, config)) <= seen
        seen.add(stage.name)
    assert set(needs(STAGES["report"], config)) == seen - {"report", "explain"}


def test_a_stage_reads_its_own_section_and_the_network_it_looks_at(config):
    for stage in STAGES.values():
        for key in stage.reads:
            section(config, key)  # AttributeError where there is none
        if stage.options:
            assert isinstance(getattr(config, stage.name), stage.options) and stage.name in stage.reads
        if stage.uses_network and not stage.trains and stage.name != "report":
            assert "network" in stage.reads, stage.name


def test_every_options_class_of_a_stage_is_a_section_of_the_configuration(config):
    folders = {Path(entry) for entry in zfnet.experiments.__path__}
    written = {file.parent.name for folder in folders for file in folder.glob("*/options.py")}
    assert written == {stage.name for stage in STAGES.values() if stage.options}


def test_a_stage_runs_after_all_it_needs_and_leaves_a_whole_result(config, ran, tmp_path):
    runner.run(replace(config, stage="occlusion"), "python -m zfnet stage=occlusion")
    assert ran == ["data", "train", "occlusion"]
    result = json.loads((tmp_path / "menagerie" / "occlusion" / "result.json").read_text())
    wanted = {"config", "fingerprint", "seed", "versions", "commit", "device", "seconds", "numbers", "command"}
    assert wanted <= result.keys() and result["numbers"] == {"value": 3}
    assert result["config"]["occlusion"]["square"] == config.occlusion.square


def test_a_result_names_the_commit_at_which_its_stage_started(config, ran, monkeypatch, tmp_path):
    monkeypatch.setattr(runner.record, "commit", lambda: ("before" if not ran else "after", bool(ran)))
    runner.run(replace(config, stage="data"), "")
    result = json.loads((tmp_path / "menagerie" / "data" / "result.json").read_text())
    assert (result["commit"], result["dirty"]) == ("before", False)


def test_the_second_run_does_nothing_and_says_so(config, ran, capsys):
    runner.run(config, "")
    first = len(ran)
    runner.run(config, "")
    assert first == len(STAGES) - 1 == len(ran)  # an explanation is of somebody's photograph, and no part of the report
    assert capsys.readouterr().out.count("done before") == first


@pytest.mark.parametrize(
    ("section", "change", "again"),
    [
        ("occlusion", {"square": 20}, ["occlusion", "report"]),
        ("report", {"title": "x"}, ["report"]),
        ("train", {"lr": 0.5}, [name for name in STAGES if name not in ("data", "explain")]),
        ("checkpoints", {"minutes": 1.0}, []),
        ("paths", {"data": "elsewhere"}, []),
    ],
)
def test_a_changed_value_reruns_just_what_depends_on_it(config, ran, section, change, again):
    runner.run(config, "")
    ran.clear()
    runner.run(replace(config, **{section: replace(getattr(config, section), **change)}), "")
    assert ran == again


def test_a_stage_that_fails_leaves_no_result_and_loses_nothing_before_it(config, ran, monkeypatch, tmp_path):
    def fails(context):
        raise UserError("occlusion.square: too large")

    monkeypatch.setitem(STAGES, "occlusion", replace(STAGES["occlusion"], run=fails))
    with pytest.raises(UserError):
        runner.run(replace(config, stage="occlusion"), "")
    assert (tmp_path / "menagerie" / "train" / "result.json").exists()
    assert not (tmp_path / "menagerie" / "occlusion" / "result.json").exists()


@pytest.mark.parametrize("damage", ["cut", "bit"])
def test_a_damaged_result_is_named_and_counts_as_none(config, ran, tmp_path, damage, capsys):
    runner.run(replace(config, stage="data"), "")
    path = tmp_path / "menagerie" / "data" / "result.json"
    whole = path.read_bytes()
    changed = bytearray(whole)
    changed[whole.index(b'"seconds": ') + 11] ^= 1  # another digit
    path.write_bytes(whole[:-20] if damage == "cut" else changed)
    runner.run(replace(config, stage="data"), "")
    assert ran == ["data", "data"]
    assert capsys.readouterr().err.count(f"{path}: is damaged") == 1


def test_stage_lists_are_parsed_and_unknown_names_named(config):
    assert parse_stages("train, occlusion") == ["train", "occlusion"]
    assert [stage.name for stage in plan(["saliency", "data"], config)] == ["data", "train", "saliency"]
    with pytest.raises(UserError, match="'trian'.*train"):
        parse_stages("trian")


@pytest.fixture
def photo(tmp_path):
    from PIL import Image

    Image.new("RGB", (40, 30)).save(tmp_path / "my dog.png")
    return str(tmp_path / "my dog.png")


def test_an_explanation_has_a_folder_a_photograph_and_runs_each_time(config, ran, photo, tmp_path):
    asked = replace(config, stage="explain", image=photo)
    runner.run(asked, "")
    folders = runner.run(asked, "")
    assert ran == ["data", "train", "explain", "explain"]
    assert folders[-1].parent == tmp_path / "menagerie" / "explain"
    assert re.fullmatch(r"my dog-[0-9a-f]{6}", folders[-1].name)
    assert (folders[-1] / "result.json").exists()
    Path(photo).unlink()
    with pytest.raises(UserError, match="my dog.png is not a file"):
        runner.run(asked, "")
    assert (folders[-1] / "result.json").exists()  # of the photograph as it was


def test_no_explanation_takes_the_place_of_another(config, tmp_path):
    """Photographs of one name, and other questions about the same one."""
    first = replace(config, image="2023/IMG_0001.jpg")
    others = [replace(first, image="2024/IMG_0001.jpg"), replace(first, image="2023/IMG_0001.png")]
    others += [replace(first, explain=replace(first.explain, target="dog"))]
    others += [replace(first, explain=replace(first.explain, layer=3, unit=unit)) for unit in (-1, 7)]
    folders = {stage_folder(STAGES["explain"], asked) for asked in (first, *others)}
    assert len(folders) == 6 and all(folder.name.startswith("IMG_0001-") for folder in folders)


@pytest.mark.parametrize(
    "name", ["...jpg", "..jpg", "....png", "a/../../b.jpg", "..\\..\\b.jpg", "C:\\x.jpg", " . .jpg", ".jpg", "..", "/"]
)
def test_no_name_of_a_photograph_leads_out_of_the_folder_of_explanations(config, name, tmp_path):
    folder = stage_folder(STAGES["explain"], replace(config, image=name))
    home = tmp_path / "menagerie" / "explain"
    assert folder.parent == home and folder.resolve().parent == home.resolve()
    assert folder.name.strip(". ") == folder.name and not set(folder.name) & set("/\\:")


# ---------------------------------------------------------------- a network that was trained elsewhere
@pytest.fixture
def borrowed(config):
    return replace(config, network=replace(config.network, name="squeezenet1_1", weights="random"))


def test_an_explanation_through_a_borrowed_network_trains_nothing(borrowed, ran, photo, tmp_path):
    folders = runner.run(replace(borrowed, stage="explain", image=photo), "")
    assert ran == ["explain"] and folders[0].parent == tmp_path / "menagerie-squeezenet1_1" / "explain"


def test_a_borrowed_network_has_its_own_folder_and_shares_the_images(config, borrowed, ran, tmp_path):
    runner.run(replace(config, stage="saliency"), "")
    assert ran == ["data", "train", "saliency"]
    runner.run(replace(borrowed, stage="saliency"), "")
    assert ran == ["data", "train", "saliency", "saliency"]
    assert (tmp_path / "menagerie-squeezenet1_1" / "saliency" / "result.json").exists()
    assert not (tmp_path / "menagerie-squeezenet1_1" / "data").exists()
    runner.run(replace(config, stage="saliency"), "")  # not replaced by the other's
    assert len(ran) == 4


def test_two_borrowed_networks_are_two_folders_whatever_their_names_hold(borrowed, tmp_path):
    folders = set()
    for name in ("timm:resnet18", "my_package.nets:make", "../elsewhere", "/abs/model"):
        config = replace(borrowed, network=replace(borrowed.network, name=name))
        folders.add(stage_folder(STAGES["saliency"], config))
    assert len(folders) == 4
    assert all(folder.parent.parent == tmp_path and folder.name == "saliency" for folder in folders)


@pytest.mark.parametrize("name", ["train", "ensemble", "ablations", "evolution"])
def test_stages_about_trainings_refuse_a_borrowed_network(borrowed, ran, name):
    with pytest.raises(
        UserError, match=f"^stage: {name} is about training, and squeezenet1_1 was trained elsewhere; .*$"
    ):
        runner.run(replace(borrowed, stage=f"saliency,{name}"), "")
    assert ran == []


SHALLOW = """
from torch import nn

def make():
    return nn.Sequential(
        nn.Conv2d(3, 4, 7, 4), nn.ReLU(), nn.Conv2d(4, 4, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(4, 3),
    )
"""


@pytest.fixture
def shallow(borrowed, tmp_path, monkeypatch):
    """The configuration with a network of two layers."""
    (tmp_path / "shallow_network.py").write_text(SHALLOW)
    monkeypatch.syspath_prepend(str(tmp_path))
    return replace(borrowed, network=replace(borrowed.network, name="shallow_network:make", weights=""))


def test_a_layer_that_a_borrowed_network_lacks_is_refused_before_anything_runs(shallow, ran):
    with pytest.raises(UserError, match="correspondence: needs layer 5, and shallow_network:make has layers 1, 2;"):
        runner.run(replace(shallow, stage="correspondence"), "")
    assert ran == []
    runner.run(replace(shallow, stage="saliency,occlusion"), "")
    assert ran == ["data", "occlusion", "saliency"]


def test_the_report_passes_over_what_needs_a_layer_that_the_network_lacks(shallow, ran, tmp_path, capsys):
    runner.run(replace(shallow, stage="report"), "")
    assert capsys.readouterr().out.startswith("  passed over: correspondence: needs layer 5")  # before any stage
    assert "correspondence" not in ran and {"occlusion", "saliency", "report"} <= set(ran)
    folder = stage_folder(STAGES["correspondence"], shallow)
    result = json.loads((folder / "result.json").read_text())
    assert result["numbers"]["skipped"].startswith("correspondence: needs layer 5, and shallow_network:make has")
    n_ran = len(ran)
    runner.run(replace(shallow, stage="report"), "")
    assert len(ran) == n_ran  # done before


def test_a_dataset_that_is_not_there_is_said_before_anything_runs(config, ran, tmp_path, capsys):
    config.transfer.source, config.paths.data = "caltech101", str(tmp_path / "data")
    reason = f"transfer: {tmp_path}/data/caltech101 does not exist; `zfnet data fetch caltech101 --to {tmp_path}/data`"
    with pytest.raises(UserError, match=re.escape(reason)):
        runner.run(replace(config, stage="train,transfer"), "")
    assert ran == []
    runner.run(replace(config, stage="report"), "")
    assert capsys.readouterr().out.startswith(f"  passed over: {reason}")
    assert "transfer" not in ran and {"voc", "report"} <= set(ran)
    (tmp_path / "data" / "caltech101").mkdir(parents=True)
    runner.run(replace(config, stage="report"), "")
    assert ran[-2:] == ["transfer", "report"]


def test_the_report_of_a_borrowed_network_leaves_trainings_out(borrowed, tmp_path):
    planned = [stage.name for stage in plan(["report"], borrowed)]
    trainings = {stage.name for stage in STAGES.values() if stage.trains}
    assert trainings == {"train", "ensemble", "ablations", "evolution"}
    assert planned == [name for name in STAGES if name not in {*trainings, "explain"}]
    assert stage_folder(STAGES["report"], borrowed) == tmp_path / "menagerie-squeezenet1_1" / "report"


def test_the_weights_belong_to_the_fingerprint_of_what_looks_at_them(config, borrowed, tmp_path):
    file = tmp_path / "weights.pth"
    prints = {fingerprint(STAGES["saliency"], config), fingerprint(STAGES["saliency"], borrowed)}
    borrowed = replace(borrowed, network=replace(borrowed.network, weights=str(file)))
    for content in (b"", b"a", b"b"):
        file.write_bytes(content)
        forget_listings()
        prints.add(fingerprint(STAGES["saliency"], borrowed))
    assert len(prints) == 5
    assert fingerprint(STAGES["data"], config) == fingerprint(STAGES["data"], borrowed)


@pytest.mark.parametrize("key", ["name", "classes"])
def test_a_network_trained_again_and_changed_classes_are_noticed(borrowed, tmp_path, key):
    folder, prints = tmp_path / "train", set()
    folder.mkdir()
    value = folder if key == "name" else folder / "model.pt"
    named = replace(borrowed, network=replace(borrowed.network, **{key: str(value)}))
    for content in (b"a", b"b"):
        (folder / "model.pt").write_bytes(content)
        forget_listings()
        prints.add(fingerprint(STAGES["saliency"], named))
    assert len(prints) == 2


@pytest.mark.parametrize(
    ("name", "weights", "words"),
    [
        ("squeezenet2", "random", "^network.name: .*squeezenet2"),
        ("squeezenet1_1", "gone.pth", "^network.weights: gone.pth"),
        ("no_such_package.nets:make", "", "^network.name: "),
    ],
)
def test_nothing_runs_for_a_network_that_cannot_be_loaded(borrowed, ran, name, weights, words):
    wrong = replace(borrowed, network=replace(borrowed.network, name=name, weights=weights))
    with pytest.raises(UserError, match=words):
        runner.run(replace(wrong, stage="saliency"), "")
    assert ran == []


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ("", "image: no photograph given"),
        ("gone.jpg", "image: gone.jpg is not a file"),
        (__file__, "image: .*test_runner.py is not an image"),
    ],
)
def test_nothing_runs_for_a_photograph_that_cannot_be_read(config, ran, image, words):
    with pytest.raises(UserError, match=words):
        runner.run(replace(config, stage="explain", image=image), "")
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
    ],
)
def test_a_named_file_that_changes_is_noticed_by_the_stage_that_reads_it(tmp_path, config, stage, key):
    file = tmp_path / "named"
    section = replace(getattr(config, stage), **{key: str(file)})
    config = replace(config, **{stage: section})
    prints = {fingerprint(STAGES[stage], config)}  # before it is there
    for text in ("a\n", "b\n"):
        file.write_text(text)
        forget_listings()
        prints.add(fingerprint(STAGES[stage], config))
    assert len(prints) == 3


def test_a_report_whose_texts_have_changed_is_written_again(tmp_path, config, ran, monkeypatch):
    package = tmp_path / "templates_of_a_report"
    (package / "templates").mkdir(parents=True)
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(STAGES, "report", replace(STAGES["report"], package=package.name))
    for text in ("claims = 1", "claims = 2"):
        (package / "templates" / "page.html").write_text(text)
        runner._texts.cache_clear()
        ran.clear()
        runner.run(config, "")
    assert ran == ["report"]


def test_boxed_images_of_elsewhere_that_change_are_noticed(tmp_path, config):
    boxed = tmp_path / "boxed"
    boxed.mkdir()
    config = replace(config, localization=replace(config.localization, images=str(boxed)))
    before = fingerprint(STAGES["localization"], config)
    (boxed / "1.jpg").write_bytes(b"1")
    forget_listings()
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
    runner.run(config, "")
    ran.clear()
    change(folder)
    runner.run(config, "")
    assert ran == again
    runner.run(config, "")
    assert ran == again


def test_imagenet_notices_more_images_or_boxes_by_their_number(photographs, ran):
    config, folder = photographs
    config = replace(config, data=replace(config.data, source="imagenet"))
    runner.run(config, "")
    ran.clear()
    (folder / "cat" / "2.jpg").write_bytes(b"2")
    runner.run(config, "")
    assert ran == ["data", "train"]
    ran.clear()
    (folder / "Annotations").mkdir()
    runner.run(config, "")
    assert ran == ["data", "train"]


def test_a_stage_whose_files_are_gone_is_not_done(config, ran, tmp_path):
    runner.run(config, "")
    for stage, file in (("data", "train/cache.json"), ("train", "model.pt"), ("report", "index.html")):
        (tmp_path / "menagerie" / stage / file).unlink()
        ran.clear()
        runner.run(config, "")
        assert ran == [stage]


def test_a_stage_that_runs_again_says_what_is_new(config, ran, capsys):
    runner.run(replace(config, stage="train"), "")
    capsys.readouterr()
    runner.run(replace(config, stage="train", train=replace(config.train, epochs=2, lr=0.5)), "")
    said = capsys.readouterr().out.splitlines()
    assert (
        said[1] == f"train            ...   train.epochs {config.train.epochs} -> 2; train.lr {config.train.lr} -> 0.5"
    )


def test_two_runs_are_not_in_one_profile_at_a_time(config, ran):
    """Not even in different stages, whose results would be of two configurations."""
    with (
        runner._exclusive(config),
        pytest.raises(UserError, match="paths.outputs: another run is working in .*menagerie"),
    ):
        runner.run(replace(config, stage="train"), "")
    assert not ran
    runner.run(replace(config, stage="train"), "")
    assert ran == ["data", "train"]


def test_the_lock_is_held_for_the_whole_run(config, ran, monkeypatch):
    def refused(context):
        with pytest.raises(UserError, match="another run is working"):
            runner.run(replace(config, stage="data", seed=7), "")
        return Outcome({}, {}, "")

    for name in ("data", "occlusion"):
        monkeypatch.setitem(STAGES, name, replace(STAGES[name], run=refused, leaves=()))
    runner.run(replace(config, stage="occlusion"), "")
    assert ran == ["train"]


def test_a_stage_whose_folder_is_a_link_is_one_line(config, ran, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "menagerie").mkdir()
    (tmp_path / "menagerie" / "occlusion").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="occlusion: a link"):
        runner.run(replace(config, stage="occlusion"), "")


def test_several_nodes_that_train_together_are_one_run(config, ran):
    config = replace(config, nodes=2)
    with runner._exclusive(config), runner._exclusive(config):
        pass


@pytest.mark.parametrize("file", ["model.pt", "snapshots/x.pt"])
def test_another_network_in_the_place_of_the_trained_one_is_noticed(config, ran, monkeypatch, tmp_path, file):
    """By its content: by the stage that has trained, and where that leaves other weights by all that reads them."""
    runner.run(replace(config, stage="occlusion"), "")
    ran.clear()
    (tmp_path / "menagerie" / "train" / file).write_bytes(b"of another seed")
    runner.run(replace(config, stage="occlusion"), "")
    assert ran == ["train", "occlusion"]


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
        ("correspondence", {"parts": "/nowhere.csv"}, "correspondence.parts: /nowhere.csv cannot be read"),
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
        runner.run(config, "")
    assert not ran


def test_what_is_done_is_not_checked_again(config, ran, tmp_path):
    (tmp_path / "raw").mkdir()
    config = replace(config, transfer=replace(config.transfer, source="caltech101", root=str(tmp_path / "raw")))
    runner.run(replace(config, stage="transfer"), "")
    (tmp_path / "raw").rmdir()
    ran.clear()
    runner.run(replace(config, stage="transfer"), "")
    assert not ran
