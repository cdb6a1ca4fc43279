"""Several runs share one image cache: it is built once, by one of them at a time, and made again when it is gone."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from zfnet.data.cache import images as module
from zfnet.data.options import DataOptions
from zfnet.experiments.table import Config
from zfnet.pipeline.options import PathsOptions, WandbOptions
from zfnet.running import runner


@pytest.fixture
def builds(monkeypatch):
    """The folders that frames were written to."""
    folders = []

    def write(index, folder, *options):
        folders.append(folder)
        return written(index, folder, *options)

    written = module.write_frames
    monkeypatch.setattr(module, "write_frames", write)
    return folders


def run(name, picture_folder, tmp_path, **data):
    """The images (train, val) that a run of stage data gives the stages after it."""
    paths = PathsOptions(outputs=str(tmp_path / name), cache=str(tmp_path / "cache"))
    images = replace(DataOptions(source="folder", root=str(picture_folder), size=36), **data)
    config = Config(stage="data", profile="folder", data=images, paths=paths, wandb=WandbOptions(mode="disabled"))
    runner.run(config, "")
    return runner.context_of(runner.STAGES["data"], config).images


def test_runs_share_the_cache_of_the_same_images(builds, picture_folder, tmp_path):
    first, second = [run(name, picture_folder, tmp_path) for name in ("a", "b")]
    assert len(builds) == 2  # train and val, once
    assert np.array_equal(first[0].pixels, second[0].pixels) and len(first[1]) == len(second[1])
    assert not list((tmp_path / "a").rglob("pixels.npy"))
    larger, _ = run("c", picture_folder, tmp_path, size=40)
    assert len(builds) == 4 and larger.size == 40 and run("a", picture_folder, tmp_path)[0].size == 36


def test_a_shared_cache_that_is_gone_is_made_again(builds, picture_folder, tmp_path):
    run("a", picture_folder, tmp_path)
    shutil.rmtree(tmp_path / "cache")
    assert run("a", picture_folder, tmp_path)[0].size == 36 and len(builds) == 4
