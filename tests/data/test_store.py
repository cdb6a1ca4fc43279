"""The image cache: pixels, mean, crops, and what happens to bad files."""

import cv2
import numpy as np
import pytest
import torch

from zfnet.data.crops import shrink, ten_crop_places
from zfnet.data.folder import read_folder
from zfnet.data.images import read_rgb
from zfnet.data.store import build_store, open_store
from zfnet.errors import UserError


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
