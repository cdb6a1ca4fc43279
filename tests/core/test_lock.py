from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from zfnet.core.errors import UserError
from zfnet.core.lock import lock_folder

HOLDER = """
import sys
from pathlib import Path
from zfnet.core.lock import lock_folder

with lock_folder(Path(sys.argv[1]), "busy", wait=False):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_another_process_is_refused_until_the_lock_is_released(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "run"
    command = [sys.executable, "-c", HOLDER, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        with pytest.raises(UserError, match="busy here"), lock_folder(folder, "busy here", wait=False):
            pass
        holder.communicate("")
    with lock_folder(folder, "busy here", wait=False):
        assert (tmp_path / "new" / ".run.lock").exists() and not folder.exists()


def test_a_second_process_waits_and_says_so(tmp_path: Path, capfd) -> None:
    entered = threading.Event()

    def enter() -> None:
        with lock_folder(tmp_path / "cache", "busy; waiting", wait=True):
            entered.set()

    waiting = threading.Thread(target=enter)
    with lock_folder(tmp_path / "cache", "busy; waiting", wait=True):
        waiting.start()
        assert not entered.wait(0.3)
    waiting.join(10)
    assert entered.is_set() and capfd.readouterr().err == "  busy; waiting\n"


def test_the_lock_is_released_after_an_error(tmp_path: Path) -> None:
    with contextlib.suppress(OSError), lock_folder(tmp_path / "run", "busy", wait=False):
        raise OSError("of the work itself")
    with lock_folder(tmp_path / "run", "busy", wait=False):
        pass


def test_an_error_of_the_work_is_not_swallowed(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="of the work itself"), lock_folder(tmp_path / "run", "busy", wait=False):
        raise OSError("of the work itself")


@pytest.mark.parametrize("wait", [True, False])
def test_where_nothing_can_be_written_the_work_is_done_without_a_lock(tmp_path: Path, wait: bool) -> None:
    (tmp_path / "file").write_text("")
    entered = []
    with lock_folder(tmp_path / "file" / "run", "busy", wait=wait):
        entered.append(True)
    assert entered


def test_a_file_system_without_locks_is_used_without_them(tmp_path: Path, monkeypatch) -> None:
    fcntl = pytest.importorskip("fcntl")

    def no_locks(file: int, operation: int) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with lock_folder(tmp_path / "run", "busy", wait=False), lock_folder(tmp_path / "run", "busy", wait=False):
        pass
