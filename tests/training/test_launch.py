"""The launcher: what one process alone refuses ends them all, and a signal is no traceback."""

import os
import signal
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

from zfnet.cli.main import main as command
from zfnet.core.errors import UserError
from zfnet.networks.options import ModelOptions
from zfnet.training import distributed, run
from zfnet.training.distributed import join_world, launch, shared_id
from zfnet.training.fit import Job
from zfnet.training.options import CheckpointOptions, TrainOptions


def write_module(folder, name, *lines):
    (folder / f"{name}.py").write_text("\n".join(["import os, sys, time", "from pathlib import Path", *lines, ""]))


def test_what_one_process_alone_refuses_ends_the_others_that_wait_for_it(tmp_path, monkeypatch):
    """As under NCCL, where the others do not notice that it has gone."""
    write_module(
        tmp_path,
        "one_refuses",
        "from zfnet.training.distributed import refuse",
        "from zfnet.core.errors import UserError",
        "if os.environ['RANK'] == '1':",
        "    refuse(Path(sys.argv[1]), UserError('frame 7 is damaged'))",
        "else:",
        "    time.sleep(600)",
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(distributed, "PATIENCE", 0.5)
    with pytest.raises(UserError, match="frame 7 is damaged"):
        launch("one_refuses", tmp_path / "job.json", processes=2)


def test_processes_of_a_scheduler_are_not_waited_for(monkeypatch):
    for name, value in {"WORLD_SIZE": "8", "RANK": "3", "MASTER_ADDR": "no.such.host", "MASTER_PORT": "9"}.items():
        monkeypatch.setenv(name, value)
    with join_world("cpu") as world:
        assert (world.rank, world.size) == (0, 1)


def test_processes_of_one_machine_meet_at_the_loopback_address_whatever_the_scheduler_says(tmp_path, monkeypatch):
    write_module(
        tmp_path,
        "meets",
        "import torch",
        "from zfnet.training.distributed import join_world",
        "with join_world('cpu') as world:",
        "    total = world.sum(torch.tensor([world.rank + 1.0]))",
        "    Path(sys.argv[1]).with_name(f'{world.rank}').write_text(f'{total.item()} {os.environ[\"MASTER_ADDR\"]}')",
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    for name, value in {"WORLD_SIZE": "8", "RANK": "3", "MASTER_ADDR": "no.such.host"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    launch("meets", tmp_path / "job.json", processes=2)
    assert not list((tmp_path / "temporary").iterdir())
    assert [(tmp_path / rank).read_text() for rank in "01"] == ["3.0 127.0.0.1"] * 2


def test_nodes_share_a_random_id_that_no_command_line_shows(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, again, other = (shared_id(tmp_path / folder / "id.txt") for folder in "aab")
    assert first == again != other and len(first) == 32
    assert [file.name for file in (tmp_path / "a").iterdir()] == ["id.txt"]
    assert (tmp_path / "a" / "id.txt").stat().st_mode & 0o077 == 0

    started = []
    monkeypatch.setattr(distributed, "_wait", lambda *_: 0)
    monkeypatch.setattr(subprocess, "Popen", lambda words, env, **_: started.append((words, env)))
    for _ in range(2):
        launch("worker", tmp_path / "job.json", processes=1, nodes=2, rendezvous="node1:29500")
    ids = {environment["PET_RDZV_ID"] for _, environment in started}
    assert len(ids) == 1 and not ids & {"zfnet", "none", ""}
    assert not any(word in " ".join(words) for words, _ in started for word in ids)


@pytest.mark.parametrize("killed", ["command", "launcher"])
def test_no_process_outlives_a_command_or_launcher_that_was_killed(tmp_path, killed):
    write_module(
        tmp_path,
        "works",
        "from zfnet.core import interrupt",
        "interrupt.watch_interrupts()",
        "interrupt.end_with_parent()",
        "Path(sys.argv[1]).with_name(os.environ['RANK']).write_text(f'{os.getpid()} {os.getppid()}')",
        "try:",
        "    time.sleep(600)",
        "except KeyboardInterrupt:",
        "    time.sleep(600)  # as one that waits for a process that has gone",
    )
    job = str(tmp_path / "job.json")
    code = f"import pathlib; from zfnet.training.distributed import launch; launch('works', pathlib.Path({job!r}), 2)"
    search_path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    with subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": search_path}) as command_:
        files = [tmp_path / rank for rank in "01"]
        wait_until(lambda: all(file.exists() and file.read_text() for file in files))
        workers, launchers = zip(*(map(int, file.read_text().split()) for file in files), strict=True)
        os.kill(command_.pid if killed == "command" else launchers[0], signal.SIGKILL)
        wait_until(lambda: not any(is_alive(process) for process in (*workers, launchers[0])))
        command_.kill()


def wait_until(done, seconds=60):
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def is_alive(process):
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_run_under_torchrun_is_refused(monkeypatch, capsys):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert command(["run", "stage=data"]) == 2
    assert "torchrun: zfnet starts its processes itself" in capsys.readouterr().err


def test_an_interrupted_launcher_prints_no_traceback(tmp_path):
    write_module(tmp_path, "waits", "Path(sys.argv[1]).touch()", "time.sleep(600)")
    words = [sys.executable, "-m", "zfnet.training.launcher", "--standalone", "--nproc-per-node=1", "-m", "waits"]
    started = tmp_path / "started"
    search_path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": search_path}
    with subprocess.Popen([*words, str(started)], env=environment, stderr=subprocess.PIPE, text=True) as launcher:
        while not started.exists():
            assert launcher.poll() is None
            time.sleep(0.05)
        launcher.send_signal(signal.SIGTERM)
        _, told = launcher.communicate(timeout=60)
    assert launcher.returncode == 128 + signal.SIGTERM and "Traceback" not in told


def test_a_second_command_waits_for_the_processes_of_one_that_was_killed(tmp_path, monkeypatch, capfd):
    """They write a checkpoint before they end, and hold the lock of the folder until then."""
    order = []
    monkeypatch.setattr(run, "open_cache", lambda folder: SimpleNamespace(mean=np.zeros((36, 36, 3), np.float32)))
    monkeypatch.setattr(run, "fit", lambda job, *_: order.append("trains"))
    job = Job(ModelOptions(), TrainOptions(), CheckpointOptions(), str(tmp_path), "cpu")
    code = (
        "import sys, time; from pathlib import Path; from zfnet.core.lock import lock_folder\n"
        f"with lock_folder(Path({str(tmp_path)!r}) / 'training', '', wait=True):\n"
        "    print('holds', flush=True); sys.stdin.readline()\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as orphan:
        assert orphan.stdout.readline() == b"holds\n"
        second = threading.Thread(target=run.run_job, args=[job])
        second.start()
        wait_until(lambda: "another command is training this network; waiting" in capfd.readouterr().err)
        assert not order
        orphan.communicate(b"\n")
        second.join(60)
    assert order == ["trains"]
