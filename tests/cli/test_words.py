"""The words of the command line before Hydra parses them: order, quotes, short forms, renamed keys."""

import re
from dataclasses import dataclass, field

import pytest

from zfnet.cli import words as module
from zfnet.cli.words import RENAMED, current_name, prepare, quote_texts, settings_last, with_sweep_folder
from zfnet.core.errors import UserError


@dataclass
class Group:
    name: str = "trained"
    weights: str = ""
    square: float = 0.2


@dataclass
class Toy:
    stage: str = "report"
    image: str = ""
    seed: int = 0
    network: Group = field(default_factory=Group)
    explain: Group = field(default_factory=Group)


@pytest.fixture
def toy(monkeypatch):
    monkeypatch.setattr(module, "Config", Toy)


def test_several_stages_need_no_quotes_and_a_sweep_keeps_its_commas():
    assert settings_last(["seed=1", "--cfg", "job", "stage=data"]) == ["--cfg", "job", "seed=1", "stage=data"]
    assert quote_texts(["stage=train,occlusion", "seed=1"]) == ["stage='train,occlusion'", "seed=1"]
    assert quote_texts(["--multirun", "stage=train,data"]) == ["--multirun", "stage=train,data"]
    assert quote_texts(["stage='a,b'", "stage=train"]) == ["stage='a,b'", "stage=train"]


def test_a_sweep_has_a_folder_that_stays_with_its_settings():
    words = ["--multirun", "stage=train", "train.lr=0.1,0.2", "seed=0,1"]
    *same, folder = with_sweep_folder(words)
    assert same == words and re.fullmatch(r"hydra\.sweep\.dir=\$\{paths\.outputs\}/sweeps/seed-lr-[0-9a-f]{8}", folder)
    again = ["wandb.mode=online", "stage=train", "seed=0,1", "-m", "train.lr=0.1,0.2", "hydra/launcher=slurm"]
    assert with_sweep_folder(again)[-1] == folder
    assert with_sweep_folder([*words, "train.epochs=2"])[-1] != folder
    assert "/sweeps/seed-lr-" in with_sweep_folder([*words, "train.snapshots=[1,3]"])[-1]
    assert "/sweeps/seed-lr-snapshots-" in with_sweep_folder([*words, "train.snapshots=[1,3],[2]"])[-1]
    for unchanged in (words[1:], [*words, "hydra.sweep.dir=mine"]):
        assert with_sweep_folder(unchanged) == unchanged


@pytest.mark.parametrize(
    "value",
    [
        "Füße.jpg",
        "mom's photo (1).jpg",
        "photo#1.jpg",
        "a,b",
        "x=y.jpg",
        "[old] {new}",
        "back\\slash",
        "it\\'s",
        "$5",
        "end\\",
    ],
)
def test_paths_and_titles_may_hold_any_character(value):
    from hydra.core.override_parser.overrides_parser import OverridesParser

    for key in ("image", "data.root", "report.title"):
        (word,) = quote_texts([f"{key}={value}"])
        assert OverridesParser.create().parse_override(word).value() == value
    assert quote_texts(["train.lr=0.1", "train.milestones=[1,2]"]) == ["train.lr=0.1", "train.milestones=[1,2]"]
    assert quote_texts(["image='a b.jpg'", 'image="c d.jpg"']) == ["image='a b.jpg'", 'image="c d.jpg"']


def test_a_sweep_over_folders_and_names_of_other_keys_stay_as_they_are():
    words = ["--multirun", "data.root=a,b", "paths.outputs=out/${train.seed}"]
    assert quote_texts(words) == words


@pytest.mark.usefixtures("toy")
def test_a_network_is_named_without_its_key():
    assert prepare(["network=alexnet", "--cfg", "job"]) == ["--cfg", "job", "network.name=alexnet"]
    assert prepare(["network=my nets/a b", "network.weights=a.pt"])[0] == "network.name='my nets/a b'"
    assert prepare(["-m", "network=alexnet,vgg16"]) == ["-m", "network.name=alexnet,vgg16"]


@pytest.mark.usefixtures("toy")
@pytest.mark.parametrize(
    ("word", "part"),
    [
        ("look.network=alexnet", "look.network: this key is called network, e.g. network=alexnet"),
        ("look.weights=a.pt", "network.weights=a.pt"),
        ("transfer.network=vgg16", "network=vgg16"),
        ("+look.square=0.3", "explain.square=0.3"),
        ("stage=look", "stage: look is called explain"),
        ("stage=train,look", "stage=explain"),
        ("--seed=1", "seed=..."),
    ],
)
def test_an_old_key_or_stage_is_answered_by_the_new_one(word, part):
    with pytest.raises(UserError) as refusal:
        prepare(["seed=1", word])
    assert part in str(refusal.value) and "\n" not in str(refusal.value)


@pytest.mark.usefixtures("toy")
def test_names_that_are_in_use_are_left_alone():
    for words in (["stage=train"], ["explain.square=0.3"], ["image=look"], ["looking=1"], ["network.name=look"]):
        assert prepare(words) == words


def test_a_key_of_the_present_schema_is_never_refused(monkeypatch):
    @dataclass
    class Old:
        look: Group = field(default_factory=Group)

    monkeypatch.setattr(module, "Config", Old)
    assert prepare(["look.square=0.3", "stage=look"]) == ["look.square=0.3", "stage=look"]


def test_no_renamed_key_leads_to_another():
    for old in RENAMED:
        assert current_name(current_name(old)) == current_name(old) != old
