from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from zfnet.core.errors import UserError
from zfnet.plots.grid import contrast, mosaic, write, write_text


def test_zero_is_mid_grey_and_the_peak_is_black_or_white():
    x = np.zeros((2, 4, 5, 3))
    x[0, 1, 2, 0], x[0, 3, 3, 1], x[1, 0, 0, 2] = -2.0, 1.0, 1e-9
    shown = contrast(x)
    assert shown[0, 1, 2, 0] == 0 and shown[0, 3, 3, 1] == 191 and shown[1, 0, 0, 2] == 255
    assert (np.delete(shown[1].reshape(-1), 2) == 128).all()


def test_an_image_of_zeros_is_grey():
    assert (contrast(np.zeros((3, 4, 4, 3))) == 128).all()
    assert (contrast(np.zeros((3, 4, 4, 3)), 0.9) == 128).all()


@pytest.mark.parametrize("background", [0, 5000])
def test_the_quantile_is_that_of_what_is_not_zero(background):
    values = np.concatenate([np.arange(1.0, 301.0), [1e6, -1e6], np.zeros(background + 1)])
    x = np.random.default_rng(0).permutation(values).reshape(-1, 1, 1)[: len(values) // 3 * 3].reshape(-1, 1, 3)
    cut = np.quantile(np.abs(x[x != 0]), 0.9)
    expected = np.round(255 * np.clip(x / (2 * cut) + 0.5, 0, 1))
    np.testing.assert_array_equal(contrast(x, 0.9), expected)
    assert len(np.unique(contrast(x, 0.9))) > 100 > len(np.unique(contrast(x)))  # the outlier no longer hides the rest


def test_a_picture_is_read_as_it_was_written(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    write(tmp_path / "new" / "x.png", image)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "new" / "x.png"))[:, :, ::-1], image)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the disk that is always full")
def test_a_picture_on_a_full_disk_is_one_line(tmp_path: Path) -> None:
    (tmp_path / f".x.{os.getpid()}.partial.png").symlink_to("/dev/full")
    with pytest.raises(UserError, match=r"x\.png: cannot be written .No space left"):
        write(tmp_path / "x.png", np.zeros((8, 8, 3), np.uint8))
    assert not list(tmp_path.iterdir())


def test_letters_beyond_ascii_are_drawn() -> None:
    pictures = np.zeros((3, 20, 60, 3), np.uint8)
    for picture, text in zip(pictures, ("Bär", "Bar", "B r"), strict=True):
        write_text(picture, text, (2, 14))
    with_accent, without, hole = pictures.astype(int).sum((1, 3)).sum(1)
    assert with_accent > without > hole > 0


def test_text_stays_on_its_canvas() -> None:
    canvas = np.zeros((12, 12, 3), np.uint8)
    write_text(canvas, "long\nand \x00 hostile", (-3, 40))
    assert not canvas.any()
    write_text(canvas, "long", (0, 11), color=(255, 0, 0))
    assert canvas[..., 0].any() and not canvas[..., 1:].any()


def test_a_mosaic_has_room_for_its_labels() -> None:
    tile = np.full((30, 40, 3), 99, np.uint8)
    picture = mosaic([[tile, None], [tile, tile]], row_labels=["first", "höher"], column_labels=["a", "far too long"])
    left, top = picture.shape[1] - 2 * 42, picture.shape[0] - 2 * 32
    assert (picture[top : top + 30, left : left + 40] == 99).all()
    assert (picture[top : top + 30, left + 42 :] == 255).all()  # the hole
    assert (picture[:top, left : left + 82] < 128).any() and (picture[top:, : left - 2] < 128).any()
    assert (picture[:, left - 2 : left] == 255).all()  # no label reaches the tiles


def test_what_is_not_finite_is_gray():
    picture = contrast(np.array([[[np.nan, 1.0, -1.0], [np.inf, 0.5, -np.inf]]]))
    assert picture.tolist() == [[[128, 255, 0], [128, 191, 128]]]
