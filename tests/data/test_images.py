"""The image cache: pixels, mean, crops, and what happens to bad files."""

import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from zfnet.core.errors import UserError
from zfnet.core.files import write_json
from zfnet.data.cache.frames import FILES
from zfnet.data.cache.images import build_cache, open_cache
from zfnet.data.crops import shrink
from zfnet.data.decode import read_rgb
from zfnet.data.index import make_index
from zfnet.data.options import DataOptions
from zfnet.data.sources.folder import read_folder
from zfnet.experiments.ablations.stage import few_classes
from zfnet.experiments.context import Context, folder_of, raw_files
from zfnet.experiments.data import stage as data_stage
from zfnet.experiments.sources import forget_listings
from zfnet.experiments.table import Config
from zfnet.pipeline.options import PathsOptions
from zfnet.pipeline.record import RESULT


def test_the_cache_holds_every_shrunk_image_and_the_mean_of_a_training_split(stores):
    train, val = stores
    for row in range(0, len(train), 5):
        np.testing.assert_array_equal(train.pixels[row], shrink(read_rgb(train.index.file(row)), 36))
        assert tuple(train.shapes[row]) == (72, 82)
    np.testing.assert_allclose(train.mean, np.mean(train.pixels, axis=0), atol=1e-3)
    assert val.mean is None
    assert train.pixels.dtype == np.uint8 and train.size == 36


def test_frames_are_the_pixels_of_rows_and_a_frame_knows_the_original(stores):
    train, _ = stores
    np.testing.assert_array_equal(train.frames([3, 0]), train.pixels[[3, 0]])
    for size in (0, 24):
        frame, side = train.frame(3, size), size or 36
        assert (frame.height, frame.width, frame.size) == (72, 82, side)
        edges = np.array([[5, 0, 76, 71]])  # the central square of the original, whole pixels
        np.testing.assert_allclose(frame.to_frame(edges), [[0, 0, side - 1, side - 1]], atol=1)


def test_a_cache_is_not_made_twice(stores, store_folders):
    before = (store_folders[0] / "pixels.npy").stat().st_mtime_ns
    build_cache(stores[0].index, store_folders[0], 36)
    assert (store_folders[0] / "pixels.npy").stat().st_mtime_ns == before


def context_of(config):
    """The context of stage data, as the runner gives it."""
    folder = folder_of(config, "data")
    return Context(config, "data", folder, folder, lambda stage: None)


def test_pictures_replaced_under_their_names_are_read_anew(picture_folder, tmp_path):
    root = Path(shutil.copytree(picture_folder, tmp_path / "images"))
    options = DataOptions(source="folder", root=str(root), size=36)
    config = Config(data=options, paths=PathsOptions(data=str(tmp_path), outputs=str(tmp_path)))
    context = context_of(config)

    def cached():
        forget_listings()
        return context.cache("data", read_folder(root, 0.2, seed=0)[0], tmp_path / "cache")

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
    options = DataOptions(source="folder", root=str(root), size=36)
    config = Config(data=options, paths=PathsOptions(data=str(tmp_path), outputs=str(tmp_path)))
    context = context_of(config)
    data_stage.run(context)
    write_json(context.folder("data") / RESULT, {"files": raw_files(config, "data")})
    few = few_classes(context, 2, tmp_path / "few") / "train"
    before = open_cache(few).fingerprint(), (few / "pixels.npy").stat().st_mtime_ns
    shutil.rmtree(root)
    forget_listings()
    few_classes(context, 2, tmp_path / "few")
    assert (open_cache(few).fingerprint(), (few / "pixels.npy").stat().st_mtime_ns) == before


@pytest.mark.parametrize("packing", ["raw", "jpeg"])
def test_the_fingerprint_is_of_the_index_and_the_pixels(stores, tmp_path, packing):
    train = build_cache(stores[0].index, tmp_path, 36, cache=packing)
    rows = np.arange(len(train))
    assert train.fingerprint() == train.take(rows).fingerprint() == open_cache(tmp_path).fingerprint()
    if packing == "raw":  # the frames' own checksums are those that are made where none are at hand
        assert replace(train, checksums=None).fingerprint() == train.fingerprint()
    moved, pixels = train.index.labels.copy(), np.array(train.pixels)
    moved[0], pixels[4, 7, 7, 1] = (moved[0] + 1) % 3, pixels[4, 7, 7, 1] ^ 1
    others = [
        replace(train, index=replace(train.index, labels=moved)),
        replace(train, pixels=pixels, checksums=None),
        train.take(rows[:-1]),
    ]
    assert len({train.fingerprint(), *(other.fingerprint() for other in others)}) == 4


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
        build_cache(index, folder_with_a_bad_file / "cache", 32)
    images = build_cache(index, folder_with_a_bad_file / "cache", 32, bad_limit=1)
    assert len(images) == len(index) - 1 == len(images.pixels)
    assert "a/9.jpg" not in images.index.paths
    for row in range(len(images)):
        np.testing.assert_array_equal(images.pixels[row], shrink(read_rgb(images.index.file(row)), 32))


def test_an_unfinished_cache_is_refused(tmp_path):
    with pytest.raises(UserError, match="not a complete image cache .*delete the folder, and the next run"):
        open_cache(tmp_path)


@pytest.mark.parametrize("packing", ["raw", "jpeg"])
@pytest.mark.parametrize("name", ["pixels", "index.npz", "mean.npy", "cache.json"])
def test_damage_to_a_cache_is_reported_and_it_is_built_again(stores, tmp_path, capsys, name, packing):
    index = stores[0].index
    wanted = build_cache(index, tmp_path, 36, cache=packing, mean=True)
    frames, fingerprint = np.array(wanted.pixels), wanted.fingerprint()
    file = tmp_path / (FILES[packing] if name == "pixels" else name)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    if name != "pixels":  # a frame is compared with its checksum when the cache is built on, a JPEG at each reading
        with pytest.raises(UserError, match="not a complete image cache"):
            open_cache(tmp_path)
    images = build_cache(index, tmp_path, 36, cache=packing, mean=True)
    assert str(tmp_path) in capsys.readouterr().err
    assert images.fingerprint() == fingerprint
    np.testing.assert_array_equal(np.array(images.pixels), frames)
    np.testing.assert_array_equal(images.mean, stores[0].mean if packing == "raw" else wanted.mean)


def test_a_mean_that_is_wanted_later_is_made_without_reading_the_images_again(stores, tmp_path, monkeypatch):
    import zfnet.data.cache.frames

    index = stores[0].index
    assert build_cache(index, tmp_path, 36).mean is None
    monkeypatch.setattr(zfnet.data.cache.frames, "read_rgb", None)
    np.testing.assert_array_equal(build_cache(index, tmp_path, 36, mean=True).mean, stores[0].mean)
    np.testing.assert_array_equal(open_cache(tmp_path).mean, stores[0].mean)


def test_the_mean_follows_the_images(stores, tmp_path):
    build_cache(stores[0].index, tmp_path, 36, mean=True)
    few = build_cache(stores[1].index, tmp_path, 36, mean=True)
    np.testing.assert_allclose(few.mean, np.mean(few.pixels, axis=0), atol=1e-3)


def test_changed_names_are_taken_over(stores, tmp_path):
    index = stores[1].index
    build_cache(index, tmp_path, 36)
    named = replace(index, names=("red", "green", "blue"))
    assert build_cache(named, tmp_path, 36).index.names == ("red", "green", "blue")


def test_a_cache_with_more_bad_files_than_now_allowed_is_not_taken(folder_with_a_bad_file):
    index = make_index(folder_with_a_bad_file / "images", [("a/0.png", 0), ("a/9.jpg", 0)], ["a"])
    cache = folder_with_a_bad_file / "cache"
    assert len(build_cache(index, cache, 32, bad_limit=1)) == 1
    with pytest.raises(UserError, match=r"a/9\.jpg"):
        build_cache(index, cache, 32)


def test_a_crop_is_cut_at_its_place(stores):
    train, _ = stores
    rows, top, left = np.array([3, 8, 0, 3]), [0, 4, 1, 2], [4, 0, 3, 2]
    cut = train.cut(rows, top, left, 32)
    assert cut.dtype == torch.uint8 and cut.shape == (4, 32, 32, 3)
    for crop, row, y, x in zip(cut, rows, top, left, strict=True):
        np.testing.assert_array_equal(crop.numpy(), train.pixels[row][y : y + 32, x : x + 32])


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_crops_normalized_on_the_gpu_are_those_of_the_host(stores, inputs):
    train, _ = stores
    places = ([0, 4, 1], [4, 0, 3], [False, True, True])
    cut = train.cut([1, 2, 3], *places[:2], 32)
    assert cut.is_pinned()
    on_gpu = inputs.crops(cut.to("cuda", non_blocking=True), *places)
    torch.testing.assert_close(on_gpu.cpu(), inputs.crops(cut, *places), rtol=0, atol=1e-6)


def test_a_split_of_which_nothing_can_be_read_is_refused_whatever_the_limit(folder_with_a_bad_file):
    index = make_index(folder_with_a_bad_file / "images", [("a/9.jpg", 0), ("a/gone.jpg", 0)], ["a"])
    with pytest.raises(UserError, match=r"none of the 2 images could be read, a/9\.jpg"):
        build_cache(index, folder_with_a_bad_file / "cache", 32, bad_limit=10)
