"""The image cache: pixels, mean, crops, and what happens to bad files."""

import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from zfnet.core.errors import UserError
from zfnet.data.cache.images import build_store, open_store
from zfnet.data.crops import shrink, ten_crop_places
from zfnet.data.decode import read_rgb
from zfnet.data.index import make_index
from zfnet.data.options import DataOptions
from zfnet.data.sources.folder import read_folder
from zfnet.experiments.config import Config
from zfnet.experiments.sources import forget_listings
from zfnet.experiments.wiring import cache, few_classes
from zfnet.pipeline.options import PathsOptions
from zfnet.running import runner as pipeline


def test_the_cache_holds_every_shrunk_image_and_their_mean(stores):
    train, val = stores
    for row in range(0, len(train), 5):
        np.testing.assert_array_equal(train.pixels[row], shrink(read_rgb(train.index.file(row)), 36))
        assert tuple(train.shapes[row]) == (72, 82)
    np.testing.assert_allclose(train.mean, np.mean(train.pixels, axis=0), atol=1e-3)
    np.testing.assert_array_equal(val.mean, train.mean)  # of the training split
    assert train.pixels.dtype == np.uint8 and train.crop == 32


def test_inputs_are_pixel_minus_mean_over_divisor_and_go_back_to_pixels(stores):
    train, _ = stores
    inputs = train.center([3, 0])
    expected = (train.pixels[3][2:34, 2:34].astype(np.float64) - train.mean[2:34, 2:34]) / 64
    np.testing.assert_allclose(inputs[0].permute(1, 2, 0).numpy(), expected, atol=1e-5)
    np.testing.assert_array_equal(train.to_pixels(inputs), train.center_pixels([3, 0]))
    torch.testing.assert_close(train.prepare(train.center_pixels([3, 0])), inputs)


def test_ten_crops_equal_crops_at_the_ten_places(stores):
    train, _ = stores
    ten = train.ten_crops([1, 4])
    assert ten.shape == (2, 10, 3, 32, 32)
    for i, (top, left, flip) in enumerate(ten_crop_places(36)):
        torch.testing.assert_close(ten[:, i], train.crops([1, 4], [top] * 2, [left] * 2, [flip] * 2))
    torch.testing.assert_close(ten[:, 4], train.center([1, 4]))
    torch.testing.assert_close(ten[:, 9], ten[:, 4].flip(3))


def test_a_cache_is_not_made_twice(stores, store_folders):
    before = (store_folders[0] / "pixels.npy").stat().st_mtime_ns
    build_store(stores[0].index, store_folders[0], 36, 64.0)
    assert (store_folders[0] / "pixels.npy").stat().st_mtime_ns == before


def test_pictures_replaced_under_their_names_are_read_anew(picture_folder, tmp_path):
    root = Path(shutil.copytree(picture_folder, tmp_path / "images"))
    options = DataOptions(source="folder", root=str(root), size=36, divisor=64.0)
    config = Config(data=options, paths=PathsOptions(data=str(tmp_path), outputs=str(tmp_path)))

    def cached():
        forget_listings()
        return cache(config, "data", read_folder(root, 0.2, seed=0)[0], tmp_path / "cache", None)

    before = cached()
    first, pixels = before.fingerprint(), np.array(before.pixels)
    assert cached().fingerprint() == first
    cv2.imwrite(str(before.index.file(3)), np.full((50, 60, 3), 99, np.uint8))
    after = cached()
    assert after.index.fingerprint() == before.index.fingerprint() and after.fingerprint() != first
    np.testing.assert_array_equal(after.pixels[3], np.full((36, 36, 3), after.pixels[3][0, 0]))
    np.testing.assert_array_equal(np.delete(after.pixels, 3, axis=0), np.delete(pixels, 3, axis=0))


def test_caches_are_gone_on_with_where_the_photographs_were_removed(picture_folder, tmp_path):
    root = Path(shutil.copytree(picture_folder, tmp_path / "images"))
    options = DataOptions(source="folder", root=str(root), size=36, divisor=64.0)
    config = Config(data=options, paths=PathsOptions(data=str(tmp_path), outputs=str(tmp_path)), stage="data")
    config.wandb.mode = "disabled"
    pipeline.run(config, "")
    few = few_classes(config, 2, tmp_path / "few") / "train"
    before = open_store(few, 64.0).fingerprint(), (few / "pixels.npy").stat().st_mtime_ns
    shutil.rmtree(root)
    forget_listings()
    few_classes(config, 2, tmp_path / "few")
    assert (open_store(few, 64.0).fingerprint(), (few / "pixels.npy").stat().st_mtime_ns) == before


@pytest.mark.parametrize("packing", ["raw", "jpeg"])
def test_the_fingerprint_is_of_all_that_a_network_gets_to_see(stores, tmp_path, packing):
    train = build_store(stores[0].index, tmp_path, 36, 64.0, None, 0, packing)
    rows = np.arange(len(train))
    assert train.fingerprint() == train.take(rows).fingerprint() == open_store(tmp_path, 64.0).fingerprint()
    if packing == "raw":  # the frames' own checksums are those that are made where none are at hand
        assert replace(train, checksums=None).fingerprint() == train.fingerprint()
    moved, pixels = train.index.labels.copy(), np.array(train.pixels)
    moved[0], pixels[4, 7, 7, 1] = (moved[0] + 1) % 3, pixels[4, 7, 7, 1] ^ 1
    others = [
        replace(train, divisor=1.0),
        replace(train, mean=train.mean + 1),
        replace(train, index=replace(train.index, labels=moved)),
        replace(train, pixels=pixels, checksums=None),
        train.take(rows[:-1]),
    ]
    assert len({train.fingerprint(), *(other.fingerprint() for other in others)}) == 6


@pytest.fixture
def folder_with_a_bad_file(tmp_path):
    for name in "ab":
        (tmp_path / "images" / name).mkdir(parents=True)
        for i in range(4):
            pixels = np.full((40, 40, 3), 10 * i, np.uint8)
            cv2.imwrite(str(tmp_path / "images" / name / f"{i}.png"), pixels)
    (tmp_path / "images" / "a" / "9.jpg").write_bytes(b"\xff\xd8 this is no picture")
    return tmp_path


def test_a_bad_file_is_an_error_that_names_it_until_the_limit_allows_it(folder_with_a_bad_file):
    index, _ = read_folder(folder_with_a_bad_file / "images", 0.2, seed=1)
    bad = [row for row in range(len(index)) if str(index.paths[row]) == "a/9.jpg"]
    if not bad:
        _, index = read_folder(folder_with_a_bad_file / "images", 0.2, seed=1)
    with pytest.raises(UserError, match=r"a/9\.jpg"):
        build_store(index, folder_with_a_bad_file / "cache", 32, 1.0)
    store = build_store(index, folder_with_a_bad_file / "cache", 32, 1.0, bad_limit=1)
    assert len(store) == len(index) - 1 == len(store.pixels)
    assert "a/9.jpg" not in store.index.paths
    for row in range(len(store)):
        np.testing.assert_array_equal(store.pixels[row], shrink(read_rgb(store.index.file(row)), 32))


def test_an_unfinished_cache_is_refused(tmp_path):
    with pytest.raises(UserError, match="stage=data"):
        open_store(tmp_path, 1.0)


def test_a_changed_mean_is_taken_over_without_reading_the_images_again(stores, store_folders, tmp_path, monkeypatch):
    import zfnet.data.cache.frames

    index = stores[1].index
    build_store(index, tmp_path, 36, 64.0, stores[0].mean)
    monkeypatch.setattr(zfnet.data.cache.frames, "read_rgb", None)
    other = stores[0].mean + 1
    np.testing.assert_array_equal(build_store(index, tmp_path, 36, 64.0, other).mean, other)
    np.testing.assert_array_equal(open_store(tmp_path, 64.0).mean, other)


def test_changed_names_are_taken_over(stores, tmp_path):
    index = stores[1].index
    build_store(index, tmp_path, 36, 64.0)
    named = replace(index, names=("red", "green", "blue"))
    assert build_store(named, tmp_path, 36, 64.0).index.names == ("red", "green", "blue")


def test_a_cache_with_more_bad_files_than_now_allowed_is_not_taken(folder_with_a_bad_file):
    index = make_index(folder_with_a_bad_file / "images", [("a/0.png", 0), ("a/9.jpg", 0)], ["a"])
    cache = folder_with_a_bad_file / "cache"
    assert len(build_store(index, cache, 32, 1.0, bad_limit=1)) == 1
    with pytest.raises(UserError, match=r"a/9\.jpg"):
        build_store(index, cache, 32, 1.0)


def test_crops_are_the_raw_crops_normalised_bit_for_bit(stores):
    train, _ = stores
    rows, top, left, flip = np.array([3, 8, 0, 3]), [0, 4, 1, 2], [4, 0, 3, 2], [False, True, True, False]
    cut = train.raw_crops(rows, top, left)
    assert cut.dtype == torch.uint8 and cut.shape == (4, 32, 32, 3)
    inputs = train.normalise(cut, top, left, flip)
    assert torch.equal(inputs, train.crops(rows, top, left, flip))
    assert inputs.is_contiguous(memory_format=torch.channels_last)
    for i, (row, y, x) in enumerate(zip(rows, top, left, strict=True)):  # literally
        wanted = (
            train.pixels[row][y : y + 32, x : x + 32].astype(np.float32) - train.mean[y : y + 32, x : x + 32]
        ) / 64
        wanted = wanted[:, ::-1] if flip[i] else wanted
        np.testing.assert_array_equal(inputs[i].permute(1, 2, 0).numpy(), wanted)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_crops_normalised_on_the_gpu_are_those_of_the_host(stores):
    train, _ = stores
    places = ([0, 4, 1], [4, 0, 3], [False, True, True])
    cut = train.raw_crops([1, 2, 3], *places[:2])
    assert cut.is_pinned()
    inputs = train.normalise(cut.to("cuda", non_blocking=True), *places)
    torch.testing.assert_close(inputs.cpu(), train.crops([1, 2, 3], *places), rtol=0, atol=1e-6)
