"""The promises of docs/reliability.md, each proved by injecting its fault.

    python tests/test_faults.py 20      (make test-faults) prints a row a promise: injected, survived, lost
    pytest tests/test_faults.py         a short form

An injection survives where the work ends as without the fault, or in one line that names what is wrong.
"""

from __future__ import annotations

import contextlib
import io
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import zfnet as package
from zfnet.cli.main import main as zfnet
from zfnet.core.lock import lock_folder
from zfnet.core.machine import one_thread as one_thread_of_torch
from zfnet.core.resume import Store, read_checked
from zfnet.experiments.table import Config
from zfnet.pipeline.record import read_result

SETTINGS = [
    *("profile=folder", "data.root=pictures", "data.size=36", "model.width=0.125", "train.epochs=3", "train.batch=6"),
    *("train.snapshots=[1]", "wandb.mode=disabled", "device=cpu", "checkpoints.minutes=0.001"),
]
TRAINED = ["train/model.pt", "train/snapshots/epoch_0001.pt", "train/snapshots/epoch_0003.pt"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(package.__file__).parents[1])}
DRAWN = [  # every stage, on few drawn images
    *("profile=menagerie", "data.menagerie.train_per_class=4", "data.menagerie.val_per_class=3", "data.size=36"),
    *("data.menagerie.caltech_per_class=6", "data.menagerie.voc_images=6", "paths.data=drawn", "model.width=0.125"),
    *("train.epochs=2", "train.snapshots=[1,2]", "wandb.mode=disabled", "device=cpu", "ablations.epochs=1"),
    *("ablations.rows=[zfnet,zfnet-noclip]", "invariance.n_score=6", "invariance.steps=5", "occlusion.n_score=3"),
    *("occlusion.square=8", "occlusion.stride=4", "patterns.n_measure=20", "patterns.n_degraded=4"),
    *("patterns.n_swept=4", "patterns.points=2", "transfer.per_class=[2]", "transfer.few_shot=[1]"),
    *("transfer.folds=2", "transfer.trained_epochs=1", "localization.n_images=4", "localization.tune=4"),
    *("localization.grid.smoothing=[0.03]", "localization.grid.least_size=[0]", "image=pictures/class_0/0.png"),
]
KILLED = [  # stages that are long or that resume
    *("localization", "transfer", "data", "train", "ablations", "evolution", "invariance", "occlusion", "patterns"),
    *("voc", "report", "explain"),
]
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
TIMES = ("second", "made_by")  # in the names of what differs between runs
READ_BACK = [  # every file that a run leaves and reads again
    *("data/result.json", "data/train/cache.json", "data/train/index.npz", "data/train/pixels.npy"),
    *("data/train/mean.npy", "data/val/cache.json", "data/val/pixels.npy"),
    *("train/result.json", "train/trained.json", *TRAINED),
]


# ---- runs ---------------------------------------------------------------------------------------------------
def make_pictures(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for k in range(2):
        (folder / "pictures" / f"class_{k}").mkdir(parents=True)
        for i in range(10):
            image = rng.integers(0, 90, (40, 44, 3))
            image[:, :: 3 + 2 * k, k] += 140
            cv2.imwrite(str(folder / "pictures" / f"class_{k}" / f"{i}.png"), image.astype(np.uint8))


def run(folder: Path, *words: str, settings: Sequence[str] = SETTINGS) -> tuple[int, str]:
    """(exit code, what was printed) of a run in this process."""
    printed = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        code = zfnet(["run", "stage=train", *settings, "paths.outputs=out", *words])
    return code, printed.getvalue()


def start(folder: Path, *words: str, settings: Sequence[str] = SETTINGS) -> subprocess.Popen:
    """A run in a process of its own; the environment of all its processes names the folder."""
    command = [sys.executable, "-m", "zfnet", "run", "stage=train", *settings, "paths.outputs=out", *words]
    environment = ENVIRONMENT | {"ZFNET_FAULT": str(folder)}
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def processes_of(folder: Path) -> list[int]:
    """Processes of this machine that runs of the folder have started and that have not ended."""
    found = []
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if f"ZFNET_FAULT={folder}\0" in environment.read_text(errors="replace"):
                found.append(int(environment.parent.name))
    return found


def wait_for_end(folder: Path, seconds: float = 15) -> bool:
    """Whether all processes of the folder end within the time."""
    deadline = time.monotonic() + seconds
    while processes_of(folder) and time.monotonic() < deadline:
        time.sleep(0.1)
    return not processes_of(folder)


def left_behind(folder: Path) -> list[Path]:
    return [path for path in folder.rglob(".*.partial*") if path.exists()]


def trained(folder: Path) -> dict[str, Any]:
    """What a run ends in: its networks byte for byte, and its numbers but for times."""
    home = folder / "out" / "folder"
    numbers = (read_checked(home / "train" / "result.json") or {}).get("numbers", {})
    history = [{k: v for k, v in line.items() if k != "images_per_second"} for line in numbers.pop("history", [])]
    numbers.pop("train_seconds", None)
    return {name: (home / name).read_bytes() for name in TRAINED} | {"numbers": numbers, "history": history}


def numbers_of(folder: Path, stage: str) -> Any:
    """The numbers of a stage but for times."""
    results = sorted((folder / "out" / "menagerie" / stage).rglob("result.json"))
    return [_without_times((read_checked(result) or {}).get("numbers")) for result in results]


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        kept = [key for key in value if not any(word in key for word in TIMES)]
        return {key: _without_times(value[key]) for key in kept}
    return [_without_times(inner) for inner in value] if isinstance(value, list) else value


def whole_run(folder: Path) -> dict[str, Any]:
    make_pictures(folder)
    assert run(folder)[0] == 0
    return trained(folder)


# ---- the promises: each injection yields whether it survived ------------------------------------------------
def killed(folder: Path, count: int, rng: random.Random) -> Iterator[bool]:
    """SIGKILL, SIGTERM or SIGINT at a random moment of data and train; the same command goes on."""
    wanted = whole_run(folder)
    shutil.rmtree(folder / "out")
    started = time.monotonic()
    assert start(folder).wait() == 0
    longest = time.monotonic() - started
    injected = 0
    while injected < count:
        shutil.rmtree(folder / "out", ignore_errors=True)
        process = start(folder)
        time.sleep(rng.uniform(0.3, 0.95) * longest)
        was_running = process.poll() is None
        process.send_signal(rng.choice(SIGNALS))
        process.wait()
        code, _ = run(folder)
        left = [file for file in (folder / "out").rglob("*.partial*") if file.is_file()]
        if was_running:  # else the kill came too late
            injected += 1
            yield code == 0 and trained(folder) == wanted and len(left) <= 1


def stages_killed(folder: Path, count: int, rng: random.Random) -> Iterator[bool]:
    """A stage killed at a random moment; its next start ends in the same numbers and leaves nothing behind."""
    make_pictures(folder)
    stages = KILLED[:count]
    assert run(folder, f"stage={','.join(stages)}", settings=DRAWN)[0] == 0
    wanted = {stage: numbers_of(folder, stage) for stage in stages}
    home = folder / "out" / "menagerie"
    for number in range(count):
        stage = stages[number % len(stages)]
        took = sum(read_result(result.parent)["seconds"] for result in (home / stage).rglob("result.json"))
        shutil.rmtree(home / stage)
        process = start(folder, f"stage={stage}", settings=DRAWN)
        time.sleep(rng.uniform(2, 4 + took))
        process.send_signal(rng.choice(SIGNALS))
        process.wait()
        has_ended = wait_for_end(folder)
        code, _ = run(folder, f"stage={stage}", settings=DRAWN)
        yield has_ended and code == 0 and numbers_of(folder, stage) == wanted[stage] and not left_behind(folder)


def same_seed(folder: Path, count: int, rng: random.Random) -> Iterator[bool]:
    """Every stage once more from the beginning: the same numbers."""
    make_pictures(folder)
    wanted = []
    for _ in range(2):
        shutil.rmtree(folder / "out", ignore_errors=True)
        assert run(folder, "stage=report,explain", settings=DRAWN)[0] == 0
        stages = sorted(home.name for home in (folder / "out" / "menagerie").iterdir() if home.is_dir())
        wanted.append({stage: numbers_of(folder, stage) for stage in stages})
    yield from (wanted[0][stage] == wanted[1][stage] for stage in wanted[0])


def two_processes_killed(folder: Path, count: int, rng: random.Random) -> Iterator[bool]:
    """The command, its launcher or a worker killed in a training of two processes; the same command goes on."""
    make_pictures(folder)
    started = time.monotonic()
    assert start(folder, "workers=2").wait() == 0
    longest = time.monotonic() - started
    wanted = trained(folder)
    for _ in range(count):
        shutil.rmtree(folder / "out" / "folder" / "train")
        process = start(folder, "workers=2")
        time.sleep(rng.uniform(0.3, 0.95) * longest)
        victims = {process.pid, *processes_of(folder)}
        with contextlib.suppress(ProcessLookupError):
            os.kill(rng.choice(sorted(victims)), rng.choice(SIGNALS))
        process.wait()
        has_ended = wait_for_end(folder)
        code = start(folder, "workers=2").wait()
        yield has_ended and code == 0 and trained(folder) == wanted and not left_behind(folder)


def damaged(folder: Path, count: int, rng: random.Random) -> Iterator[bool]:
    """A bit flipped, a file cut, emptied or removed, in everything that is read back."""
    wanted = whole_run(folder)
    shutil.copytree(folder / "out", folder / "kept")
    for number in range(count):
        shutil.rmtree(folder / "out")
        shutil.copytree(folder / "kept", folder / "out")
        name = READ_BACK[number % len(READ_BACK)] if count > 6 else rng.choice(READ_BACK)
        file = folder / "out" / "folder" / name
        file.write_bytes(_damage(file.read_bytes(), rng))
        code, printed = run(folder, "stage=train,saliency", "saliency.n_images=1")
        is_named = code == 2 and str(file.parent.relative_to(folder)) in printed
        yield "Traceback" not in printed and ((code == 0 and trained(folder) == wanted) or is_named)


def _damage(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data))
    return rng.choice((data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :], data[:at], b""))


def other_settings(folder: Path, count: int, rng: random.Random) -> Iterator[bool]:
    """Another seed, interrupted or not, and back: the first network and its snapshots are there again."""
    wanted = whole_run(folder)
    for number in range(count):
        if number % 2:
            assert run(folder, "train.seed=7")[0] == 0
        else:
            process = start(folder, "train.seed=7")
            time.sleep(rng.uniform(3, 8))
            process.kill()
            process.wait()
        yield run(folder)[0] == 0 and trained(folder) == wanted


def two_runs(folder: Path, count: int, rng: random.Random) -> Iterator[bool]:
    """A second run in the same profile stops with one line."""
    make_pictures(folder)
    for _ in range(count):
        with lock_folder(folder / "out" / "folder", "", wait=False):
            code, printed = run(folder, f"seed={rng.randrange(9)}")
        yield code == 2 and printed.count("\n") == 1 and "another run is working" in printed


def full_disk(folder: Path, count: int, rng: random.Random) -> Iterator[bool]:
    """A limit on the size of files, as of a quota: one line with the file, and the same command goes on."""
    make_pictures(folder)
    for _ in range(count):
        shutil.rmtree(folder / "out", ignore_errors=True)
        words = " ".join(["-m zfnet run stage=train", *SETTINGS, "paths.outputs=out"])
        limit = rng.randint(1, 120)
        shell = f"ulimit -f {limit}; exec {sys.executable} {words}"
        done = subprocess.run(["bash", "-c", shell], cwd=folder, env=ENVIRONMENT, capture_output=True, text=True)
        is_one_line = done.returncode == 2 and done.stderr.strip().rpartition("\n")[2].startswith("zfnet: ")
        yield "Traceback" not in done.stderr and (is_one_line or done.returncode == 0) and run(folder)[0] == 0


def stores(folder: Path, count: int, rng: random.Random) -> Iterator[bool]:
    """A bit flipped or a cut in the lines that long stages resume from: no record is read wrongly."""
    values = {str(i): {"value": i, "list": [i / 7] * 3} for i in range(8)}
    for number in range(50 * count):
        path = folder / f"{number}.jsonl"
        store = Store(path, "key")
        for name, value in values.items():
            store.put(name, value) if number == 0 else None
        path.write_bytes(_damage((folder / "0.jsonl").read_bytes(), rng) if number else path.read_bytes())
        with contextlib.redirect_stderr(io.StringIO()):
            opened = Store(path, "key")
        yield all(opened.get(name) == values[name] for name in opened.names)


def wrong_values(folder: Path, count: int, rng: random.Random) -> Iterator[bool]:
    """A key with a wrong type, a negative, huge, infinite, empty or missing value: one line, or a configuration."""
    keys = list(_keys(Config()))
    values = ["-1", "0", "1e30", "9" * 40, "nan", "inf", "-inf", "", "null", "[]", "[null]", "{}", "abc", "1.5", "true"]
    for _ in range(5 * count):
        word = f"{rng.choice(keys)}={rng.choice(values)}"
        code, printed = run(folder, "stage=list", word)
        yield "Traceback" not in printed and (code == 0 or (code == 2 and printed.count("\n") == 1))


def _keys(config: Any, prefix: str = "") -> Iterator[str]:
    for item in fields(config):
        value = getattr(config, item.name)
        yield f"{prefix}{item.name}"
        if is_dataclass(value):
            yield from _keys(value, f"{prefix}{item.name}.")


@dataclass(frozen=True)
class Promise:
    name: str
    inject: Callable[[Path, int, random.Random], Iterator[bool]]
    short: int  # injections in the test suite; 0: it takes too long there


PROMISES = [
    Promise("killed at any moment", killed, 1),
    Promise("stages killed at any moment", stages_killed, 1),
    Promise("two processes killed at any moment", two_processes_killed, 0),
    Promise("the same seed", same_seed, 0),
    Promise("damage in a file that is read back", damaged, 6),
    Promise("other settings and back", other_settings, 2),
    Promise("two runs on one profile", two_runs, 1),
    Promise("file-size limit (quota)", full_disk, 1),
    Promise("damage in a resume store", stores, 2),
    Promise("wrong values in the configuration", wrong_values, 8),
]


IN_SUITE = [promise for promise in PROMISES if promise.short]


@pytest.mark.slow
@pytest.mark.parametrize("promise", IN_SUITE, ids=lambda promise: promise.name)
def test_a_promise_holds(promise, tmp_path, monkeypatch, one_thread):  # as the processes that are started
    monkeypatch.setattr(sys, "argv", ["zfnet"])
    survived = list(promise.inject(tmp_path, promise.short, random.Random(0)))
    assert survived and all(survived)


def main(count: int, only: str = "") -> int:
    print(f"{'promise':40}{'injected':>10}{'survived':>10}{'lost':>6}{'s':>7}")
    lost = 0
    sys.argv = ["zfnet"]
    for promise in PROMISES:
        if only not in promise.name:
            continue
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as folder, one_thread_of_torch():
            survived = list(promise.inject(Path(folder), max(count, promise.short), random.Random(1)))
        lost += survived.count(False)
        cells = f"{len(survived):>10}{sum(survived):>10}{survived.count(False):>6}"
        print(f"{promise.name:40}{cells}{time.monotonic() - started:>7.0f}", flush=True)
    return int(lost > 0)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 20, *sys.argv[2:3]))
