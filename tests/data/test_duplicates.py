"""The same image in both splits or under two labels, by checksums and pixels."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from zfnet.data.cache.duplicates import notes_of_duplicates
from zfnet.data.cache.images import build_cache
from zfnet.data.options import DataOptions
from zfnet.data.sources.folder import read_folder
from zfnet.experiments.table import Config
from zfnet.pipeline.options import PathsOptions, WandbOptions
from zfnet.pipeline.record import read_result
from zfnet.running import runner


@pytest.fixture
def photos(tmp_path):
    """Two classes of five different images in train/ and two in val/."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 5), ("val", 2)):
        for name in ("cat", "dog"):
            for i in range(count):
                path = tmp_path / "photos" / split / name / f"{i}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(path), rng.integers(0, 256, (40, 50, 3), dtype=np.uint8))
    return tmp_path / "photos"


def copy(root, source, target):
    (root / target).write_bytes((root / source).read_bytes())


def notes(root, folder, cache="raw"):
    train, val = read_folder(root, 0.2, seed=0)
    return notes_of_duplicates(
        build_cache(train, folder / cache / "train", 36, cache=cache),
        build_cache(val, folder / cache / "val", 36, cache=cache),
    )


@pytest.mark.parametrize("cache", ["raw", "jpeg"])
def test_images_of_both_splits_and_of_two_labels_are_counted_and_named(photos, tmp_path, cache):
    assert notes(photos, tmp_path / "before", cache) == []
    copy(photos, "train/cat/1.png", "val/cat/0.png")
    copy(photos, "train/cat/2.png", "train/dog/3.png")
    copy(photos, "train/cat/4.png", "train/cat/0.png")  # twice in one class and one split: harmless
    assert notes(photos, tmp_path / "after", cache) == [
        "validation images that are training images, too: 1 image: val/cat/0.png is train/cat/1.png",
        "the same image under several labels: 1 image: train/dog/3.png is train/cat/2.png",
    ]
    for i in range(2):
        copy(photos, f"train/cat/{i}.png", f"val/dog/{i}.png")
    both, labels = notes(photos, tmp_path / "more", cache)
    assert ": 3 images: val/dog/0.png is train/cat/0.png, " in both
    assert ": 3 images: " in labels and "train/dog/3.png is train/cat/2.png" in labels


def test_equal_checksums_of_different_pixels_are_no_duplicates(photos, tmp_path):
    train, val = (build_cache(index, tmp_path / str(i), 36) for i, index in enumerate(read_folder(photos, 0.2, seed=0)))
    same = [replace(images, checksums=np.zeros(len(images), np.int64)) for images in (train, val)]
    assert notes_of_duplicates(*same) == []


def test_stage_data_records_and_prints_the_notes(photos, tmp_path, capsys):
    copy(photos, "train/cat/1.png", "val/cat/0.png")
    (photos / "train" / "dog" / "x.heic").write_bytes(b"")
    paths = PathsOptions(outputs=str(tmp_path / "out"))
    data = DataOptions(source="folder", root=str(photos), size=36)
    config = Config(stage="data", profile="folder", data=data, paths=paths, wandb=WandbOptions(mode="disabled"))
    runner.run(config, "")
    printed = capsys.readouterr().out
    recorded = read_result(tmp_path / "out" / "folder" / "data")["numbers"]["notes"]
    assert recorded == [
        "1 file of train/dog passed over: .heic 1",
        "validation images that are training images, too: 1 image: val/cat/0.png is train/cat/1.png",
    ]
    assert all(f"  {note}\n" in printed for note in recorded)
