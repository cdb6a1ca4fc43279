"""Every command in README.md and docs/ is run, or composed as it would be: no key, target, file or link is stale."""

import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from zfnet.cli import sweep
from zfnet.cli.main import COMMANDS, EXPLAIN_STAGE
from zfnet.cli.words import prepare
from zfnet.core import options
from zfnet.core.errors import UserError
from zfnet.core.resources import CONF
from zfnet.experiments import table as schema
from zfnet.running import runner as pipeline

ROOT = Path(__file__).parents[1]
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "data" / "README.md", *DOCS]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)
REALLY_RUN = ({"stage=list"}, {"--help"}, {"--cfg"}, {"--shell-completion"})


def commands(page):
    """The shell commands of a page, each one a line."""
    text = "\n".join(body for language, body in FENCE.findall(page.read_text(encoding="utf-8")) if language == "sh")
    lines = text.replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]


EVERY = sorted({(page.relative_to(ROOT).as_posix(), line) for page in PAGES for line in commands(page)})


def run(*words, cwd=None):
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, cwd=cwd or ROOT)
    assert done.returncode == 0, done.stderr[-1500:]
    return done.stdout


def compose_job(words):
    """The configuration that `zfnet run <words>` would run with; the first and last point of a sweep."""
    from hydra import compose, initialize_config_dir
    from hydra.core.config_store import ConfigStore
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from omegaconf import OmegaConf

    words = [word for word in prepare(words) if word not in ("-m", "--multirun")]
    for word in [word for word in words if word.startswith(("hydra/launcher=", "hydra/sweeper="))]:
        assert (CONF / f"{word.replace('=', '/')}.yaml").exists()
    points = {"first": [], "last": []}
    for override in OverridesParser.create().parse_overrides([w for w in words if not w.startswith("hydra")]):
        values = None
        if override.is_interval_sweep():
            values = [override.value().start, override.value().end]
        elif override.is_sweep_override():
            values = list(override.sweep_string_iterator())
        for end, place in (("first", 0), ("last", -1)):
            value = f"{override.key_or_group}={values[place]}" if values else override.input_line
            points[end].append(value)
    ConfigStore.instance().store(name="schema", node=schema.Config)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        for overrides in points.values():
            config = OmegaConf.to_object(compose("config", overrides=overrides))
            options.check(config)
            assert config.stage == "list" or pipeline.parse_stages(config.stage)
            yield config


def check_make(words):
    """The target exists, and what it would run composes."""
    targets = [word for word in words if "=" not in word]
    assert len(targets) == 1 and f"\n{targets[0]}:" in (ROOT / "Makefile").read_text()
    if targets == ["help"]:
        assert "make reproduce" in run("make", "help")
        return
    for line in run("make", "-n", *words).splitlines():
        if command := re.match(r"\.venv/bin/zfnet (.*)", line):
            check_command(shlex.split(command[1]), None)


def check_command(words, tmp_path):
    """A command of zfnet exists, and a configuration that it is given composes; what is quick is run."""
    first, *rest = words or ["run"]
    if first == "stages" or any(set(words) & marks for marks in REALLY_RUN):
        assert run(sys.executable, "-m", "zfnet", *words, cwd=tmp_path)
    elif "=" in first or first.startswith("-"):
        assert list(compose_job(words))
    elif first == "run":
        assert list(compose_job(rest))
    elif first == "explain":
        assert list(compose_job([f"stage={EXPLAIN_STAGE}", f"image={rest[0]}", *rest[1:]]))
    elif first == "sweep":
        assert list(compose_job([*sweep.multirun_words(), *rest]))
    elif first == "score":
        for name in rest:
            (tmp_path / name).write_text("1 0 0 9 9\n2 0 0 9 9\n")
        assert run(sys.executable, "-m", "zfnet", *words, cwd=tmp_path)
    else:
        assert first in COMMANDS, first


def check_module(module, words, tmp_path):
    """A command in its older form, `python -m zfnet...`."""
    assert importlib.util.find_spec(module), module
    names = {"zfnet.experiments.localization": "score", "zfnet.bench": "bench"}
    check_command([names[module], *words] if module in names else words, tmp_path)


@pytest.mark.parametrize(("page", "line"), EVERY, ids=[f"{page}: {line[:60]}" for page, line in EVERY])
def test_every_command_works(page, line, tmp_path):
    inner = re.fullmatch(r'eval "\$\((.*)\)"', line)
    words = shlex.split(inner[1] if inner else line, comments=True)
    while re.fullmatch(r"[A-Z_]+=\w*", words[0]):  # environment variables
        words = words[1:]
    if words[0] == "timeout":
        words = words[[i for i, word in enumerate(words) if word.isdigit()][0] + 1 :]
    if words[0] == "make":
        check_make(words[1:])
    elif words[0] == "zfnet":
        check_command(words[1:], tmp_path)
    elif words[:2] == ["python", "-m"]:
        check_module(words[2], words[3:], tmp_path)
    elif words[0] == "wandb":
        from wandb.cli.cli import cli

        assert words[1] in cli.commands
        assert all((ROOT / word).exists() for word in words[2:] if word.endswith(".yaml"))
    else:
        pytest.fail(f"{page}: nobody checks {line!r}; teach this test how")


@pytest.mark.parametrize("page", PAGES, ids=[page.relative_to(ROOT).as_posix() for page in PAGES])
def test_nothing_that_a_page_names_is_stale(page):
    text = page.read_text(encoding="utf-8")
    for language, body in FENCE.findall(text):
        assert language in ("sh", "python", "")
        assert language == "sh" or not re.search(r"^(make|python|zfnet) ", body, re.M)
    prose = FENCE.sub("", text)
    if page.parent.name != "data":
        unchecked = re.search(r"^ {4,}(\$ )?(make|python|zfnet|wandb) ", prose, re.M)
        assert not unchecked, "commands stand in ```sh, to be checked"
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"`make ([a-z0-9-]+)", prose):
        assert f"\n{target}:" in makefile, target
    for link in re.findall(r"\]\((?!http)([^)#]+)", prose):
        assert (page.parent / link).exists(), link
    for file in re.findall(r"`((?:src|tests|conf)/[\w/.*-]+)`", prose):
        assert list(ROOT.glob(file.rstrip("/"))), file
    keys = set(options.keys(schema.Config))
    sections = {key.partition(".")[0] for key in keys if "." in key}
    for key in re.findall(r"`([a-z_]+(?:\.[a-z_0-9]+)+)(?:=[^`]*)?`", prose):
        section = key.partition(".")[0]
        if section in sections and not re.search(r"\.(py|ya?ml|jsonl?|txt|md|csv|pt)$", key):
            assert key in keys, key


def test_commands_are_found_at_all():
    assert len(EVERY) > 50
    assert any("--multirun" in line for _, line in EVERY) and any(line.startswith("make") for _, line in EVERY)


def test_a_stale_key_or_target_is_seen():
    from hydra.errors import HydraException

    with pytest.raises((HydraException, AssertionError)):
        list(compose_job(["train.epoch=3"]))
    with pytest.raises(AssertionError):
        check_make(["tabel3"])
    with pytest.raises(UserError):
        list(compose_job(["--multirun", "train.lr=0.1,-1"]))


@pytest.mark.parametrize(("file", "plugin"), [("launcher/slurm", "submitit_slurm"), ("sweeper/tpe", "optuna")])
def test_our_launcher_and_sweeper_are_configurations_of_plugins(file, plugin):
    content = yaml.safe_load((CONF / "hydra" / f"{file}.yaml").read_text())
    assert content["defaults"] == [plugin]


def test_pages_are_short():
    written = [page for page in DOCS if page.name != "results.md"]  # which is generated
    assert {page.name: n for page in written if (n := len(page.read_text().splitlines())) > 140} == {}


def test_every_page_is_in_the_menu_of_the_site():
    def pages(entries):
        for entry in entries:
            value = next(iter(entry.values())) if isinstance(entry, dict) else entry
            yield from pages(value) if isinstance(value, list) else [value]

    listed = list(pages(yaml.safe_load((ROOT / "conf" / "mkdocs.yml").read_text())["nav"]))
    assert sorted(listed) == sorted(
        [*(page.name for page in DOCS), "data/README.md", "CONTRIBUTING.md", "reference.md"]
    )


# ---- the Makefile ---------------------------------------------------------------------------------------------

MAKEFILE = ROOT / "Makefile"
NAMES = ["/data/my photos", "/data/photos (1), old", "mom's  photo.jpg", "a;b&c"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("target", "word"),
    [("reproduce PROFILE=folder DATA", "data.root={}"), ("saliency DATA", "paths.data={}"), ("explain IMAGE", "{}"),
     ("sweep DATA", "paths.data={}"), ("saliency NETWORK", "network={}"), ("data-check DATA", "{}"),
     ("data-unpack DATA", "{}")],
)  # fmt: skip
def test_a_name_with_spaces_quotes_or_parentheses_stays_one_word(target, word, name):
    *words, key = target.split()
    command = run("make", "-n", "--no-print-directory", *words, f"{key}={name}").splitlines()[-1]
    assert word.format(name) in run("sh", "-c", command.replace(".venv/bin/zfnet", "printf '%s\\n'")).splitlines()


def test_another_build_of_torch_keeps_the_hashes_of_everything_else(tmp_path):
    shutil.copy(ROOT / "requirements.txt", tmp_path)
    words = ["make", "-n", "--no-print-directory", "-f", str(MAKEFILE), "setup"]
    pinned, cpu = (run(*words, f"TORCH={build}", "-o", "pyproject.toml", cwd=tmp_path) for build in ("", "cpu"))
    assert "--torch-backend" not in pinned and "6 GB on Linux" in pinned
    steps = cpu.replace("\\\n", "").splitlines()
    (tmp_path / ".venv").mkdir()
    run("sh", "-c", next(step for step in steps if step.startswith("awk")), cwd=tmp_path)
    blocks = re.split(r"\n(?=\S)", (ROOT / "requirements.txt").read_text().strip())
    others = re.split(r"\n(?=\S)", (tmp_path / ".venv" / "requirements.txt").read_text().strip())
    left_out = {block.partition("==")[0] for block in set(blocks) - set(others)}
    assert {"torch", "torchvision", "triton", "nvidia-cudnn-cu13"} <= left_out and set(others) < set(blocks)
    assert {name for name in left_out if not re.match("torch|triton|nvidia-|cuda-", name)} == set()
    sync, install = (step for step in steps if " pip sync " in step or "--torch-backend" in step)
    assert "--require-hashes" in sync and sync.endswith(".venv/requirements.txt")
    chosen = run("sh", "-c", install.replace(".venv/bin/uv", "echo"), cwd=tmp_path).split()
    assert chosen[-4:-2] == ["--torch-backend", "cpu"]
    assert chosen[-2:] == [block.split()[0] for block in blocks if block.startswith(("torch==", "torchvision=="))]


def test_the_build_of_torch_is_remembered(tmp_path):
    for file in ("requirements.txt", "pyproject.toml", ".venv/.ready"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text("cpu\n")
    words = ["make", "-n", "--no-print-directory", "-f", str(MAKEFILE), "test"]
    assert "setup:" not in run(*words, cwd=tmp_path) and "setup:" not in run(*words, "TORCH=cpu", cwd=tmp_path)
    assert "setup: torch and" in run(*words, "TORCH=", cwd=tmp_path)
    (tmp_path / "requirements.txt").touch()
    assert "setup: torch (cpu) and" in run(*words, cwd=tmp_path)


@pytest.mark.parametrize("profile", ["", " ", ".", "..", "../..", "a/b", "reference"])
def test_clean_refuses_what_is_no_profile(tmp_path, profile):
    kept = tmp_path / "checkout" / "outputs" / "reference" / "result.json"
    kept.parent.mkdir(parents=True)
    kept.touch()
    words = ["make", "--no-print-directory", "-f", str(MAKEFILE), "clean", f"PROFILE={profile}"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path / "checkout")
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "PROFILE" in done.stderr
    assert kept.exists()


def test_clean_removes_the_outputs_of_one_profile(tmp_path):
    for name in ("my run", "my", "run"):
        (tmp_path / "outputs" / name).mkdir(parents=True)
    run("make", "-f", str(MAKEFILE), "clean", "PROFILE=my run", cwd=tmp_path)
    assert sorted(path.name for path in (tmp_path / "outputs").iterdir()) == ["my", "run"]
