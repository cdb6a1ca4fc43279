"""The launcher: what one process alone refuses ends them all, and a signal is no traceback."""

import os
import signal
import subprocess
import sys
import time

import pytest

from zfnet.core.errors import UserError
from zfnet.training import distributed
from zfnet.training.distributed import launch


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


def test_an_interrupted_launcher_prints_no_traceback(tmp_path):
    write_module(tmp_path, "waits", "Path(sys.argv[1]).touch()", "time.sleep(600)")
    words = [sys.executable, "-m", "zfnet.training.distributed", "--standalone", "--nproc-per-node=1", "-m", "waits"]
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
