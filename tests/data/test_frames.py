"""Packed frames: they read like an array, are checked, and an interrupted build ends in the same bytes."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import nullcontext
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from zfnet.core.errors import UserError
from zfnet.data.cache import frames as module
from zfnet.data.cache.images import build_cache, damaged_files, open_cache
from zfnet.data.crops import shrink
from zfnet.data.decode import read_rgb
from zfnet.data.sources.folder import read_folder
from zfnet.networks.inputs import Inputs


@pytest.fixture(scope="module")
def index(picture_folder):
    return read_folder(picture_folder, 0.2, seed=0)[0]


@pytest.fixture(scope="module")
def packed_folder(index, tmp_path_factory):
    folder = tmp_path_factory.mktemp("packed") / "cache"
    build_cache(index, folder, 36, cache="jpeg", quality=90, mean=True)
    return folder


@pytest.fixture
def packed(packed_folder):
    return open_cache(packed_folder)


def decoded(index, row, quality=90):
    """The literal way: shrink, encode, decode."""
    frame = shrink(read_rgb(index.file(row)), 36)
    data = cv2.imencode(".jpg", frame[..., ::-1].copy(), [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]


def test_packed_frames_read_like_the_array_of_decoded_frames(index, packed):
    wanted = np.stack([decoded(index, row) for row in range(len(index))])
    pixels = packed.pixels
    assert pixels.shape == wanted.shape and len(pixels) == len(wanted) and pixels.dtype == np.uint8
    np.testing.assert_array_equal(np.asarray(pixels), wanted)
    np.testing.assert_array_equal(pixels[[5, 0, 5]], wanted[[5, 0, 5]])
    np.testing.assert_array_equal(pixels[-1], wanted[-1])
    np.testing.assert_array_equal(pixels[np.arange(len(wanted)) > 20], wanted[21:])
    np.testing.assert_array_equal(np.asarray(pixels[3:9]), wanted[3:9])
    np.testing.assert_array_equal(np.asarray(pixels[3:9].take([4, 0], axis=0)), wanted[[7, 3]])
    assert pixels[[]].shape == (0, 36, 36, 3)
    with pytest.raises(IndexError):
        pixels[[len(wanted)]]


def test_packed_frames_give_the_inputs_of_the_decoded_ones(index, packed):
    raw = replace(packed, pixels=np.asarray(packed.pixels))
    rows, top, left, flip = [4, 1, 9], [0, 4, 2], [3, 0, 1], [True, False, True]
    inputs = Inputs.of_mean_image(packed.mean, 64.0)
    for a, b in [
        (inputs.center(packed.frames(rows)), inputs.center(raw.frames(rows))),
        (inputs.ten_crops(packed.frames(rows)), inputs.ten_crops(raw.frames(rows))),
        (
            inputs.crops(packed.cut(rows, top, left, 32), top, left, flip),
            inputs.crops(raw.cut(rows, top, left, 32), top, left, flip),
        ),
        (inputs.center(packed.take([7, 2]).frames([1])), inputs.center(raw.take([7, 2]).frames([1]))),
    ]:
        assert torch.equal(a, b)
    np.testing.assert_allclose(packed.mean, np.asarray(packed.pixels).mean(0), atol=1e-4)


@pytest.mark.parametrize("threads", [1, 3])
def test_the_number_of_threads_changes_nothing(packed, threads, monkeypatch):
    wanted = packed.pixels[np.arange(24)]
    monkeypatch.setattr(module, "CHUNK", 1)
    monkeypatch.setattr(module, "n_threads", lambda: threads)
    np.testing.assert_array_equal(packed.pixels[np.arange(24)], wanted)


@pytest.mark.parametrize("kind", ["raw", "jpeg"])
@pytest.mark.parametrize("stop_after", [0, 11, 23])
def test_an_interrupted_build_goes_on_and_ends_in_the_same_bytes(index, tmp_path, kind, stop_after, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 5)
    build_cache(index, tmp_path / "whole", 36, cache=kind, mean=True)
    read = []

    def stops(path, upright):
        if len(read) == stop_after:
            raise KeyboardInterrupt
        read.append(path)
        return read_rgb(path)

    monkeypatch.setattr(module, "n_threads", lambda: 1)
    monkeypatch.setattr(module, "read_rgb", stops)
    with pytest.raises(KeyboardInterrupt):
        build_cache(index, tmp_path / "cut", 36, cache=kind, mean=True)
    with (tmp_path / "cut" / "build.frames").open("ab") as data:
        data.write(b"half a frame")
    with pytest.raises(UserError, match="not a complete image cache"):
        open_cache(tmp_path / "cut")
    again = []
    monkeypatch.setattr(module, "read_rgb", lambda path, upright: again.append(path) or read_rgb(path))
    build_cache(index, tmp_path / "cut", 36, cache=kind, mean=True)
    assert len(again) == len(index) - stop_after // 5 * 5  # whole blocks are not read again
    for name in (module.FILES[kind], "mean.npy", "cache.json", "index.npz"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert not list((tmp_path / "cut").glob("build.*"))


@pytest.mark.parametrize("kind", ["raw", "jpeg"])
@pytest.mark.parametrize("name", ["build.frames", "build.jsonl"])
def test_damage_to_an_unfinished_build_is_named_and_built_again(index, tmp_path, kind, name, monkeypatch, capsys):
    monkeypatch.setattr(module, "BLOCK", 5)
    monkeypatch.setattr(module, "n_threads", lambda: 1)
    build_cache(index, tmp_path / "whole", 36, cache=kind, mean=True)
    files = (module.FILES[kind], "mean.npy", "index.npz")
    wanted = [(tmp_path / "whole" / file).read_bytes() for file in files]
    reads = []

    def stops(path, upright):
        reads.append(path)
        if len(reads) == 18:  # three whole blocks of 24 images
            raise KeyboardInterrupt
        return read_rgb(path)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module, "read_rgb", stops)
        build_cache(index, tmp_path / "cut", 36, cache=kind, mean=True)
    good, random = (tmp_path / "cut" / name).read_bytes(), np.random.default_rng(0)
    for i in range(10):
        folder = tmp_path / f"damaged {i}"
        shutil.copytree(tmp_path / "cut", folder)
        data = bytearray(good)
        if i % 2:
            data[random.integers(len(data))] ^= 1 << int(random.integers(8))
        else:
            del data[random.integers(len(data)) :]
        (folder / name).write_bytes(data)
        build_cache(index, folder, 36, cache=kind, mean=True)
        assert [(folder / file).read_bytes() for file in files] == wanted
        assert str(folder / name) in capsys.readouterr().err
        shutil.rmtree(folder)


def test_an_interruption_after_the_last_frame_reads_none_again(index, tmp_path, monkeypatch):
    import zfnet.data.cache.images as images

    def stops(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(images, "_mean_image", stops)
        with pytest.raises(KeyboardInterrupt):
            build_cache(index, tmp_path, 36, cache="jpeg", mean=True)
    monkeypatch.setattr(module, "read_rgb", stops)
    assert len(build_cache(index, tmp_path, 36, cache="jpeg", mean=True)) == len(index)


def test_a_journal_of_another_build_is_not_gone_on_with(index, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 5)
    calls = []

    def stops(path, upright):
        calls.append(path)
        if len(calls) == 12:
            raise KeyboardInterrupt
        return read_rgb(path)

    with monkeypatch.context() as patch:
        patch.setattr(module, "read_rgb", stops)
        with pytest.raises(KeyboardInterrupt):
            build_cache(index, tmp_path, 36, cache="jpeg")
    pixels = build_cache(index, tmp_path, 32, cache="jpeg").pixels
    np.testing.assert_array_equal(pixels[0].shape, (32, 32, 3))
    first = json.loads((tmp_path / "cache.json").read_text())
    assert first["key"]["size"] == 32


def test_another_kind_of_cache_replaces_the_first(index, tmp_path):
    build_cache(index, tmp_path, 36)
    build_cache(index, tmp_path, 36, cache="jpeg")
    assert not (tmp_path / "pixels.npy").exists() and (tmp_path / "pixels.jpegs").exists()
    raw = build_cache(index, tmp_path, 36)
    assert raw.pixels.kind == "raw" and not (tmp_path / "pixels.jpegs").exists()


@pytest.mark.parametrize("kind", ["raw", "jpeg"])
def test_a_damaged_frame_is_found_and_named(index, tmp_path, kind):
    images = build_cache(index, tmp_path, 36, cache=kind)
    assert damaged_files(tmp_path) == []
    file = tmp_path / module.FILES[kind]
    at = int(images.pixels.starts[3]) + 100
    data = bytearray(file.read_bytes())
    data[at] ^= 4
    file.write_bytes(data)
    assert damaged_files(tmp_path) == [str(index.paths[3])]
    opened = open_cache(tmp_path)
    for read in (lambda: opened.frames([2, 3]), lambda: opened.take([3]).cut([0], [0], [0], 32)):
        with pytest.raises(UserError, match="frame [30] is damaged; delete the folder, and the next run"):
            read()
    np.testing.assert_array_equal(opened.frames([2]), images.frames([2]))


@pytest.mark.parametrize("kind", ["raw", "jpeg"])
def test_a_shortened_file_is_refused(index, tmp_path, kind):
    build_cache(index, tmp_path, 36, cache=kind)
    os.truncate(tmp_path / module.FILES[kind], 1000)
    with pytest.raises(UserError, match="not a complete image cache"):
        open_cache(tmp_path)


def test_a_forked_process_reads_with_threads_of_its_own(packed, monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 1)
    monkeypatch.setattr(module, "n_threads", lambda: 2)
    wanted = packed.pixels[np.arange(8)]
    here = module._threads(os.getpid())
    assert module._threads(os.getpid()) is here and module._threads(-1) is not here
    np.testing.assert_array_equal(wanted, packed.pixels[np.arange(8)])


@pytest.mark.parametrize(("kind", "fits"), [("raw", False), ("jpeg", True)])
def test_a_disk_that_is_too_small_is_noticed_before_it_is_full(index, tmp_path, monkeypatch, kind, fits):
    free = 24 * 36 * 36 * 3 // 4
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(free, 0, free))
    with nullcontext() if fits else pytest.raises(UserError, match=r"GB are free.*data\.cache=jpeg"):
        build_cache(index, tmp_path / "cache", 36, cache=kind)
