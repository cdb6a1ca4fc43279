"""The command line as a person meets it: help at once, one line for every mistake, exit code 2."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from zfnet.__main__ import CONF, _at_home, flags_first, quoted
from zfnet.core import options
from zfnet.core.errors import UserError
from zfnet.experiments import config as schema
from zfnet.experiments.table import Config

PROFILES = sorted(path.stem for path in (CONF / "profile").glob("*.yaml"))


def call(*words, cwd=None):
    done = subprocess.run(
        [sys.executable, "-m", "zfnet", *words],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=120,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    return done.returncode, done.stdout, done.stderr


def test_help_names_the_profiles_and_loads_no_heavy_package():
    code, out, _ = call("--help")
    assert code == 0 and all(name in out for name in PROFILES)
    probe = "import sys; sys.argv = ['zfnet', '--help']; import zfnet.__main__ as m; m.main(); "
    probe += "print({'torch', 'hydra', 'cv2', 'wandb'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("set()\n")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["data.siz=3"], ["data.siz", "did you mean data.size"]),
        (["+data.foo=3"], ["data.foo"]),
        (["data.size=big"], ["data.size", "Integer"]),
        (["data.size=9"], ["data.size", "at least 32"]),
        (["train.schedule=steps"], ["train.schedule", "plateau, step, cosine, constant"]),
        (["profile=menagery"], ["profile", "menagerie"]),
        (["stage=trian"], ["stage", "'trian'", "train"]),
        (["profile=tiny_imagenet", "paths.data=/nowhere", "stage=data"], ["data.root", "/nowhere"]),
        (["profile=imagenet", "data.root=/nowhere", "stage=data"], ["data.root", "/nowhere"]),
        (["device=cuda0"], ["device", "auto, cpu, cuda"]),
        (["profile=imagenet", "gpus=64"], ["gpus: 64", "torch sees"]),
        (["profile=imagenet", "nodes=2"], ["rendezvous", "host:port"]),
        (["stage", "train"], ["stage", "key=value", "stage=train"]),
        (["--profile", "folder"], ["--profile", "no dashes", "profile="]),
        (["train.lr=0.1,0.2"], ["train.lr", "--multirun", "[0.1,0.2]"]),
    ],
)
def test_a_mistake_is_one_line_that_names_it(tmp_path, words, told):
    code, _, err = call(*words, f"paths.outputs={tmp_path}", "wandb.mode=disabled")
    assert code == 2
    assert err.count("\n") == 1 and err.startswith("zfnet: ") and "Traceback" not in err
    assert all(word in err for word in told)


def test_outputs_that_cannot_be_written_are_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    code, _, err = call("stage=data", f"paths.outputs={tmp_path / 'file'}", "wandb.mode=disabled")
    assert code == 2 and err.count("\n") == 1 and f"{tmp_path / 'file'}" in err and "paths.outputs" in err


def test_stage_list_tells_every_stage(tmp_path):
    code, out, _ = call("stage=list", f"paths.outputs={tmp_path}")
    assert code == 0 and "occlusion" in out and "[SVZ13]" in out


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_composes_into_the_schema_and_is_possible(profile):
    from hydra import compose, initialize_config_dir
    from hydra.core.config_store import ConfigStore
    from omegaconf import OmegaConf

    ConfigStore.instance().store(name="schema", node=schema.Config)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        composed = OmegaConf.to_object(compose("config", overrides=[f"profile={profile}"]))
    assert isinstance(composed, schema.Config) and composed.profile == profile
    options.check(composed)


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_has_seen_enough_is_no_error(unbuffered):
    reader, writer = os.pipe()
    os.close(reader)
    words, environment = [sys.executable, "-m", "zfnet", "stage=list"], os.environ | {"PYTHONUNBUFFERED": unbuffered}
    done = subprocess.run(words, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=120, env=environment)
    os.close(writer)
    assert done.returncode == 141 and done.stderr == ""


NEEDS_A_MOMENT = """
import signal, time
from zfnet.core.errors import exit_code
from zfnet.training.interrupt import StopOnInterrupt

signal.alarm(60)
for number in (signal.SIGTERM, signal.SIGHUP):  # the tests themselves may run under nohup
    signal.signal(number, signal.SIG_DFL)

def work():
    with StopOnInterrupt() as stop:
        print("at work", flush=True)
        while not stop.asked:
            time.sleep(0.01)
        print("checkpoint", flush=True)
    print("after it", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("before", ["", "signal.signal(signal.SIGINT, signal.SIG_IGN)"])  # the second: as under nohup
def test_being_ended_from_outside_is_answered_like_ctrl_c(number, before):
    words = [sys.executable, "-c", f"{NEEDS_A_MOMENT}\n{before}\nraise SystemExit(exit_code(work))"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(words, env={**os.environ, "OMP_NUM_THREADS": "1"}, **pipes) as command:
        for told in ("at work", "checkpoint"):
            assert command.stdout.readline() == told + "\n"
            if told == "at work":
                command.send_signal(number)
        assert command.stdout.readline() == "after it\n"
        command.send_signal(number)
        _, said = command.communicate(timeout=60)
    assert command.returncode == 130 and "interrupted" in said and "Traceback" not in said


def test_a_multirun_sweep_runs_every_point(tmp_path):
    outputs = f"paths.outputs={tmp_path}"
    code, out, _ = call("stage=list", "--multirun", "seed=0,1", outputs, cwd=tmp_path)
    assert code == 0 and out.count("occlusion ") == 2


def test_every_point_of_a_sweep_that_fails_is_named(tmp_path):
    code, out, error = call("stage=list", "--multirun", "seed=-1,0,-2", f"hydra.sweep.dir={tmp_path}/s", cwd=tmp_path)
    assert code == 2 and "occlusion" in out
    for said in (
        "point 0 (seed=-1,stage=list): seed: -1",
        "point 2 (seed=-2,stage=list): seed",
        "2 points of the sweep failed",
    ):
        assert said in error


def test_several_stages_need_no_quotes_and_a_sweep_keeps_its_commas():
    assert flags_first(["seed=1", "--cfg", "job", "stage=data"]) == ["--cfg", "job", "seed=1", "stage=data"]
    assert quoted(["stage=train,occlusion", "seed=1"]) == ["stage='train,occlusion'", "seed=1"]
    assert quoted(["--multirun", "stage=train,data"]) == ["--multirun", "stage=train,data"]
    assert quoted(["stage='a,b'", "stage=train"]) == ["stage='a,b'", "stage=train"]


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
        (word,) = quoted([f"{key}={value}"])
        assert OverridesParser.create().parse_override(word).value() == value
    assert quoted(["train.lr=0.1", "train.milestones=[1,2]"]) == ["train.lr=0.1", "train.milestones=[1,2]"]
    assert quoted(["image='a b.jpg'", 'image="c d.jpg"']) == ["image='a b.jpg'", 'image="c d.jpg"']


def test_a_sweep_over_folders_and_names_of_other_keys_stay_as_they_are():
    words = ["--multirun", "data.root=a,b", "paths.outputs=out/${train.seed}"]
    assert quoted(words) == words


def test_a_tilde_is_the_home_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    config = Config(image="~/photo.jpg")
    config.paths.outputs = "~/out"
    _at_home(config)
    assert (config.image, config.paths.outputs) == (f"{tmp_path}/photo.jpg", f"{tmp_path}/out")


def test_check_names_nested_keys_and_list_elements():
    config = schema.Config()
    config.transfer.layers = [1, 9]
    with pytest.raises(UserError, match=r"transfer\.layers: 9 is not at most 7"):
        options.check(config)


def test_every_default_is_possible_and_every_key_listed():
    options.check(schema.Config())
    assert {"data.menagerie.seed", "train.rms_radius", "stage"} <= set(options.keys(schema.Config))


def test_the_makefile_lists_every_target_with_one_line():
    root = Path(__file__).parents[2]
    shown = subprocess.run(["make", "help"], cwd=root, capture_output=True, text=True, check=True).stdout
    for target in ("reproduce", "test", "bench", "table3", "figure7"):
        assert f"make {target}" in shown
