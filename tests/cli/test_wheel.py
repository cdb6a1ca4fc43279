"""The wheel as a stranger meets it: built, installed into a fresh environment, run in an empty folder, no download."""

import json
import os
import shlex
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from zfnet import __version__

ROOT = Path(__file__).parents[2]
SHORT = shlex.split("""data.menagerie.train_per_class=4 data.menagerie.val_per_class=2
 data.menagerie.caltech_per_class=2 data.menagerie.voc_images=2 data.n_classes=4 train.epochs=1 train.snapshots=[1]
 train.batch=8 model.width=0.25 saliency.n_score=4 device=cpu wandb.mode=disabled""")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    words = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(words, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (file,) = folder.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory):
    """A virtual environment that holds the wheel, and sees the packages of this one but not its editable install."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    paths = sysconfig.get_paths(vars={"base": str(folder), "platbase": str(folder)})
    ours = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}  # a .pth inside these is not followed
    Path(paths["purelib"], "packages.pth").write_text("\n".join(sorted(ours)))
    python = Path(paths["scripts"], "python")
    install = ("install", "--quiet", "--no-deps", "--no-index", "--no-compile", "--force-reinstall")
    words = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check", *install, str(wheel)]
    subprocess.run(words, check=True, timeout=120, stdout=subprocess.PIPE)
    return python


@pytest.fixture(scope="module")
def call(environment, tmp_path_factory):
    """call("run", ...): the output of the installed command, in a folder that was empty before the first call."""
    folder = tmp_path_factory.mktemp("empty")
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}

    def run(*words, command="zfnet"):
        done = subprocess.run(
            [environment.with_name(command), *words],
            cwd=folder, env={**clean, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=400,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    run.folder = folder
    return run


def test_the_wheel_holds_what_is_no_code_and_no_test(wheel):
    assert wheel.name.startswith("zfnet_repro-")
    names = set(zipfile.ZipFile(wheel).namelist())
    for file in (ROOT / "conf").rglob("*.*"):
        assert f"zfnet/{file.relative_to(ROOT).as_posix()}" in names
    for file in (ROOT / "src").rglob("*.*"):
        if "__pycache__" not in file.parts:
            assert file.relative_to(ROOT / "src").as_posix() in names
    assert {"zfnet/py.typed", "zfnet/report/paper.yaml", "menagerie/__init__.py"} <= names
    assert {name.partition("/")[0] for name in names if "dist-info" not in name} == {"zfnet", "menagerie"}


def test_the_code_that_runs_is_the_installed_one(call, environment):
    lines = "import zfnet, menagerie; from zfnet.core import resources; "
    lines += "print(zfnet.__file__, menagerie.__file__, resources.CONF, sep='\\n')"
    for place in call("-c", lines, command="python").splitlines():
        assert Path(place).is_relative_to(environment.parents[1])


def test_version_help_and_stages(call):
    assert call("--version") == f"zfnet {__version__}\n"
    assert "menagerie" in call("--help")
    assert "saliency" in call("stages")
    assert list(call.folder.iterdir()) == []


@pytest.mark.slow
def test_a_run_an_explanation_and_the_report(call, tmp_path):
    call("run", "stage=saliency", *SHORT)
    outputs = call.folder / "outputs" / "menagerie"
    result = json.loads((outputs / "saliency" / "result.json").read_text())
    assert result["versions"]["zfnet-repro"] == __version__
    assert (result["commit"], result["dirty"]) == ("", False)
    assert result["command"].startswith("zfnet run stage=saliency ")
    assert (outputs / "train" / "model.pt").exists() and list((call.folder / "data").glob("menagerie-*"))

    photo = tmp_path / "my photo.png"
    cv2.imwrite(str(photo), np.random.default_rng(0).integers(0, 255, (90, 120, 3), dtype=np.uint8))
    explained = Path(call("explain", str(photo), *SHORT).splitlines()[-1].removeprefix("results: "))
    assert list((call.folder / explained).rglob("*.png"))

    call("report", "outputs/menagerie")
    page = (outputs / "report" / "index.html").read_text(encoding="utf-8")
    assert "saliency" in page and (outputs / "report" / "style.css").exists()
