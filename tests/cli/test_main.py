"""The command line as a person meets it: help at once, one line for every mistake, exit code 2."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from zfnet import __version__
from zfnet.cli import main as cli
from zfnet.cli.run import expand_home
from zfnet.cli.sweep import multirun_words
from zfnet.core import options
from zfnet.core.errors import UserError
from zfnet.core.interrupt import ONE_PRESS
from zfnet.core.resources import CONF, profiles
from zfnet.experiments import table as schema
from zfnet.experiments.table import Config


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


@pytest.mark.parametrize("words", [["--help"], [], ["run", "--help"], ["explain", "--help"], ["--version"]])
def test_help_loads_no_heavy_package(words):
    probe = f"import sys; from zfnet.cli.main import main; code = main({words}); "
    probe += "print(code, {'torch', 'hydra', 'cv2', 'wandb'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("0 set()\n")


def test_help_names_every_command_and_profile(capsys):
    assert cli.main(["-h"]) == 0
    text = capsys.readouterr().out
    assert all(f"  zfnet {name} " in text for name in cli.COMMANDS) and ", ".join(profiles()) in text
    assert {"imagenet", "menagerie"} <= set(profiles())


@pytest.mark.parametrize("name", [name for name in cli.COMMANDS if name != "stages"])
def test_every_command_describes_itself(name, capsys):
    try:
        code = cli.main([name, "--help"])
    except SystemExit as end:  # argparse
        code = end.code
    text = capsys.readouterr().out
    assert not code and f"zfnet {name}" in text and "python -m" not in text


def test_the_version_is_that_of_the_package(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"zfnet {__version__}\n"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["run", "stage=train", "seed=1"], ["stage=train", "seed=1"]),
        (["stage=train", "seed=1"], ["stage=train", "seed=1"]),
        (["--cfg", "job"], ["--cfg", "job"]),
        (["explain", "my photo.jpg", "seed=1"], [f"stage={cli.EXPLAIN_STAGE}", "image=my photo.jpg", "seed=1"]),
    ],
)
def test_which_words_reach_the_run(words, expected, monkeypatch):
    calls = []
    monkeypatch.setattr("zfnet.cli.run.main", lambda typed: calls.append(typed) or 7)
    assert cli.main(words) == 7
    assert calls == [expected]


def test_the_bare_module_runs_everything_and_the_bare_command_helps(monkeypatch, capsys):
    code, out, _ = call("--cfg", "job")
    assert code == 0 and "stage: report" in out
    monkeypatch.setattr(sys, "argv", ["zfnet"])
    monkeypatch.setattr(cli, "watch_interrupts", lambda: None)  # a thread that ends a process
    assert cli.main() == 0
    assert "zfnet COMMAND --help" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["stage", "train"], ["stage: not a command", "explain", "stage=train"]),
        (["explain", "seed=1"], ["seed=1", "zfnet explain photo.jpg seed=1"]),
        (["report"], ["zfnet report outputs/menagerie"]),
        (["report", "nowhere"], ["nowhere"]),
        (["reference", "/"], ["'/'"]),
        (["compare"], ["at least two"]),
        (["dashboard", "chek"], ["chek", "zfnet dashboard check"]),
        (["data", "unpack", "nowhere"], ["nowhere"]),
    ],
)
def test_a_mistake_in_a_command_is_one_line(words, parts, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert cli.main(words) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and message.startswith("zfnet: ")
    assert all(part in message for part in parts)


REPORTS = ("report", "report.compare", "report.reference")
OLDER = ("data", *REPORTS, "experiments.localization")


@pytest.mark.parametrize("old", [f"zfnet.{name}" for name in OLDER])
def test_the_older_commands_still_answer(old):
    done = subprocess.run([sys.executable, "-m", old, "--help"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "zfnet " in done.stdout


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
        (["seed=1", "train"], ["train", "key=value", "stage=train"]),
        (["run", "train"], ["train", "key=value", "stage=train"]),
        (["--profile", "folder"], ["--profile", "no dashes", "profile="]),
        (["train.lr=0.1,0.2"], ["train.lr", "--multirun", "[0.1,0.2]"]),
        (["stage"], ["stage: not a setting", "key=value"]),
        (["run", "train", "seed=1"], ["train: not a setting", "key=value"]),
        (["run", "=3"], ["=3: not a setting"]),
        (["run", "~train"], ["~train", "cannot be left out"]),
        (["profile=null"], ["profile: null is not a value", "it takes one of", "menagerie", "pretrained"]),
        (["train.lr=null"], ["train.lr: null is not a value", "a number, above 0"]),
        (["train=null"], ["train: null is not a value", "its keys one by one"]),
        (["network=null"], ["network: null is not a value", "a text"]),
        (["train.milestones=3"], ["train.milestones", "a list, [...], of a whole number, at least 1 each"]),
        (["train.lr=nan"], ["train.lr: nan is not a finite number"]),
        (["train.lr=1e400"], ["train.lr: inf is not a finite number"]),
        (["ablations.seeds=[1,1]"], ["ablations.seeds: [1, 1] holds a value twice"]),
        (["network.mean=[nan]"], ["network.mean: nan"]),
        (["workers=1000000000000000000000000000000"], ["workers", "at most 1024"]),
        (["seed=99999999999999999999"], ["seed", "at most 2147483647"]),
    ],
)
def test_a_mistake_is_one_line_that_names_it(tmp_path, words, told, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["zfnet"])
    monkeypatch.chdir(tmp_path)
    first, *rest = words
    settings = ["paths.outputs=out", "wandb.mode=disabled"]
    assert cli.main([first, *rest, *settings] if first != "stage" else ["run", first, *settings]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and err.startswith("zfnet: ") and "Traceback" not in err
    assert all(word in err for word in told)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "command: [stage=train]\nparameters: {train.lr: {min: 0.1, max: 1}}",
            ["train.lr has min, max", "`values: [...]`"],
        ),
        ("command: [stage=train]\nparameters: {train.lr: 3}", ["not a sweep"]),
        ("parameters: {}", ["not a sweep", "command"]),
        ("command: [run]\nparameters: {}", ["no stage="]),
        ("{", ["not a sweep"]),
        ("", ["not a sweep"]),
    ],
)
def test_a_sweep_that_cannot_be_run_here_says_why(tmp_path, text, words):
    (tmp_path / "sweep.yaml").write_text(text)
    with pytest.raises(UserError) as raised:
        multirun_words(tmp_path / "sweep.yaml")
    assert all(word in str(raised.value) for word in [str(tmp_path), *words])


def test_outputs_that_cannot_be_written_are_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    code, _, err = call("stage=data", f"paths.outputs={tmp_path / 'file'}", "wandb.mode=disabled")
    assert code == 2 and err.count("\n") == 1 and f"{tmp_path / 'file'}" in err and "paths.outputs" in err


@pytest.mark.parametrize("closed", [">&-", ">&- 2>&-", "ascii"])
def test_a_closed_or_narrow_stream_is_no_error(closed):
    code = "import sys; from zfnet.core.errors import exit_code; sys.exit(exit_code(lambda: print('ö', flush=True)))"
    words = f'{sys.executable} -c "{code}" {closed.replace("ascii", "")}'
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = subprocess.run(words, shell=True, capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, "\\xf6\n" * (closed == "ascii"), "")


def test_the_stages_are_listed_with_what_they_make(tmp_path, capsys):
    code, out, _ = call("stage=list", f"paths.outputs={tmp_path}")
    assert code == 0 and "occlusion" in out and "[SVZ13]" in out
    assert cli.main(["stages"]) == 0
    assert capsys.readouterr().out == out


WITHOUT_POSIX = """
import os, signal, sys
for name in ("fcntl", "grp", "pwd", "resource", "termios"):
    sys.modules[name] = None
for name in ("SIGHUP", "SIGPIPE", "SIGALRM", "SIGUSR1", "SIGUSR2", "SIGKILL"):
    delattr(signal, name)
del os.sched_getaffinity, os.killpg
from zfnet.cli.main import main
sys.exit(main(["stages"]))
"""


def test_the_stages_are_listed_without_what_only_posix_has():
    done = subprocess.run([sys.executable, "-c", WITHOUT_POSIX], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "occlusion" in done.stdout, done.stderr


def test_keys_are_completed_after_the_command_too():
    completions = []
    for line in ("zfnet train.warm", "zfnet run train.warm"):
        environment = {**os.environ, "COMP_LINE": line}
        words = [sys.executable, "-m", "zfnet", "-sc", "query=bash"]
        done = subprocess.run(words, capture_output=True, text=True, timeout=120, env=environment, check=True)
        completions.append(done.stdout)
    assert completions == ["train.warmup_epochs=\n"] * 2


@pytest.mark.parametrize("profile", profiles())
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
        time.sleep(ONE_PRESS)
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


def test_a_tilde_is_the_home_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    config = Config(image="~/photo.jpg")
    config.paths.outputs = "~/out"
    expand_home(config)
    assert (config.image, config.paths.outputs) == (f"{tmp_path}/photo.jpg", f"{tmp_path}/out")


def test_check_names_nested_keys_and_list_elements():
    config = schema.Config()
    config.localization.guesses = 9
    with pytest.raises(UserError, match=r"localization\.guesses: 9 is not at most 5"):
        options.check(config)


def test_every_default_is_possible_and_every_key_listed():
    options.check(schema.Config())
    assert {"data.menagerie.seed", "train.rms_radius", "stage"} <= set(options.keys(schema.Config))


def test_the_makefile_lists_every_target_with_one_line():
    root = Path(__file__).parents[2]
    shown = subprocess.run(["make", "help"], cwd=root, capture_output=True, text=True, check=True).stdout
    for target in ("reproduce", "test", "bench", "table3", "figure7", "explain"):
        assert f"make {target}" in shown
    for variable in ("PROFILE=", "DATA=", "NETWORK=", "ARGS="):
        assert variable in shown
