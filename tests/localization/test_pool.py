from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from zfnet.config import LocalizationConfig
from zfnet.errors import UserError
from zfnet.localization.locate import Methods, Task
from zfnet.localization.pool import locate_all

METHODS = Methods({"cut": LocalizationConfig()}, {"threshold": LocalizationConfig()})


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
    found = locate_all([2, 9, 5], lambda row: made.append(row) or task(photo, row), METHODS, 1, partial, "key")  # type: ignore[func-returns-value]
    assert made == [9] and [one.row for one in found] == [2, 9, 5]
    assert found[0].boxes == first[1].boxes and found[2].seconds == first[0].seconds


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
    code = "import sys, zfnet.localization.pool; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
