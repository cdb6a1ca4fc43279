"""The odd files of ImageNet: CMYK, grey, PNG named JPEG, rotated by EXIF, truncated."""

import cv2
import numpy as np
import pytest
from PIL import Image

from zfnet.core.errors import UserError
from zfnet.data.decode import read_rgb


@pytest.fixture
def picture():
    y, x = np.mgrid[0:48, 0:64]
    return np.stack([4 * x, 5 * y, 255 - 4 * x], axis=2).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_every_colour_mode_of_jpeg_agrees_with_pillow(tmp_path, picture, mode):
    path = tmp_path / "x.JPEG"
    Image.fromarray(picture).convert(mode).save(path, "JPEG", quality=95)
    ours, theirs = read_rgb(path), np.asarray(Image.open(path).convert("RGB"))
    assert ours.shape == picture.shape
    assert np.abs(ours.astype(int) - theirs).max() <= 2


def test_a_png_named_jpeg_and_a_palette_image_are_read(tmp_path, picture):
    Image.fromarray(picture).save(tmp_path / "x.JPEG", "PNG")
    np.testing.assert_array_equal(read_rgb(tmp_path / "x.JPEG"), picture)
    Image.fromarray(picture).quantize(16).save(tmp_path / "p.png")
    assert read_rgb(tmp_path / "p.png").shape == picture.shape


def test_exif_orientation_is_ignored_as_the_boxes_are(tmp_path, picture):
    exif = Image.Exif()
    exif[0x0112] = 6  # rotated by 90 degrees
    Image.fromarray(picture).save(tmp_path / "x.jpg", exif=exif)
    assert read_rgb(tmp_path / "x.jpg").shape == picture.shape


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_an_upright_picture_follows_exif(tmp_path, picture, suffix):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(picture).save(tmp_path / f"x.{suffix}", exif=exif)
    stored, upright = read_rgb(tmp_path / f"x.{suffix}"), read_rgb(tmp_path / f"x.{suffix}", upright=True)
    np.testing.assert_array_equal(upright, np.rot90(stored, 3))


def test_sixteen_bits_of_grey_become_eight(tmp_path):
    ramp = np.linspace(0, 65535, 64 * 64).astype(np.uint16).reshape(64, 64)
    cv2.imwrite(str(tmp_path / "grey.png"), ramp)
    read = read_rgb(tmp_path / "grey.png")
    assert read.shape == (64, 64, 3) and read.dtype == np.uint8
    np.testing.assert_array_equal(read, np.repeat((ramp >> 8)[..., None], 3, axis=2))


def test_a_picture_beyond_pillows_limit_is_named(tmp_path, picture, monkeypatch):
    Image.fromarray(picture).save(tmp_path / "large.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(UserError, match=r"large.png: not a readable image \(.*decompression bomb"):
        read_rgb(tmp_path / "large.png")


def test_a_truncated_file_and_a_missing_one_are_named(tmp_path, picture):
    Image.fromarray(picture).save(tmp_path / "x.jpg")
    data = (tmp_path / "x.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(data[: len(data) // 2])
    for name in ("cut.jpg", "none.jpg"):
        with pytest.raises(UserError, match=name):
            read_rgb(tmp_path / name)
