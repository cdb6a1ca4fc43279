from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from zfnet.core import resume
from zfnet.core.errors import UserError
from zfnet.experiments.localization import pool
from zfnet.experiments.localization.locate import Methods, Task
from zfnet.experiments.localization.options import LocalizationOptions
from zfnet.experiments.localization.pool import locate_all, open_partial

METHODS = Methods({"cut": LocalizationOptions()}, {"threshold": LocalizationOptions()})


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    assert cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 256, (20, 24, 3), dtype=np.uint8))
    return path


def task(photo: Path, row: int) -> Task:
    return Task(row, photo, np.random.default_rng(row).random((1, 16, 16)).astype(np.float32), seed=row)


def test_results_come_in_the_order_of_the_rows_however_they_were_found(photo: Path, tmp_path: Path) -> None:
    partial = tmp_path / "partial.jsonl"
    first = locate_all([5, 2], lambda row: task(photo, row), METHODS, 1, partial, "key")
    made: list[int] = []
    located = locate_all([2, 9, 5], lambda row: made.append(row) or task(photo, row), METHODS, 1, partial, "key")  # type: ignore[func-returns-value]
    assert made == [9] and [image.row for image in located] == [2, 9, 5]
    assert located[0].boxes == first[1].boxes and located[2].seconds == first[0].seconds


def test_an_unreadable_image_is_named_from_any_process(tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    for processes in (1, 2):
        with pytest.raises(UserError, match=r"broken\.jpg"):
            locate_all(
                range(3),
                lambda row: task(tmp_path / "broken.jpg", row),
                METHODS,
                processes,
                tmp_path / "partial.jsonl",
                "key",
            )


def test_a_process_does_not_load_torch() -> None:
    code = "import sys, zfnet.experiments.localization.pool; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_damage_is_named_and_only_the_images_it_hits_are_localized_again(
    photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    partial, rows, random = tmp_path / "partial.jsonl", [5, 2, 7], np.random.default_rng(0)
    whole = locate_all(rows, lambda row: task(photo, row), METHODS, 1, partial, "key")
    good = partial.read_bytes()
    made: list[int] = []
    for i in range(40):
        changed = bytearray(good)
        changed[random.integers(len(good))] ^= 1 << int(random.integers(8))
        partial.write_bytes(bytes(changed) if i % 2 else good[: random.integers(len(good))])
        resume.report_damage.cache_clear()
        again = locate_all(rows, lambda row: made.append(row) or task(photo, row), METHODS, 1, partial, "key")  # type: ignore[func-returns-value]
        assert [replace(image, seconds=0) for image in again] == [replace(image, seconds=0) for image in whole]
        assert len(made) <= (2 if i % 2 else 3)
        assert str(partial) in capsys.readouterr().err or not i % 2  # a cut between two lines is only an interruption
        made.clear()
    assert open_partial(partial, "another").names == [] and len(open_partial(partial, "key").names) == 3


AT_WORK = """
import itertools, sys, time
from pathlib import Path
import numpy as np
from zfnet.experiments.localization.options import LocalizationOptions
from zfnet.experiments.localization.locate import Methods, Task
from zfnet.experiments.localization.pool import locate_each

tasks = (Task(row, Path(sys.argv[1]), np.ones((1, 8, 8), np.float32), 0) for row in itertools.count())
each = locate_each(tasks, Methods({}, {"threshold": LocalizationOptions()}), 2)
next(each)
print("at work", flush=True)
time.sleep(100)
"""


def test_the_processes_end_with_a_parent_that_is_killed(photo: Path) -> None:
    """They hold its standard output open: it ends when the last of them has."""
    words = [sys.executable, "-c", AT_WORK, str(photo)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, start_new_session=True) as parent:
        try:
            assert parent.stdout is not None and parent.stdout.readline() == "at work\n"
            parent.kill()
            parent.communicate(timeout=20)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(parent.pid, signal.SIGKILL)


def test_few_tasks_are_drawn_before_their_turn(monkeypatch) -> None:
    """Their maps are what takes memory."""
    monkeypatch.setattr(pool, "ProcessPoolExecutor", lambda processes, **_: ThreadPoolExecutor(processes))
    monkeypatch.setattr(pool, "locate", lambda task, methods: task)
    drawn = 0

    def tasks():
        nonlocal drawn
        while drawn < 100:
            drawn += 1
            yield drawn

    done = 0
    for _ in pool.locate_each(tasks(), Methods({}, {}), 2):
        done += 1
        assert drawn <= done + pool.WAITING * 2
    assert done == 100
