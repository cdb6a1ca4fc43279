"""The odd files of ImageNet: CMYK, grey, PNG named JPEG, rotated by EXIF, truncated."""

import os
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from zfnet.core.errors import UserError
from zfnet.data import decode
from zfnet.data.decode import decode_rgb, read_orientation, read_rgb


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


# ---- transparency and depth ---------------------------------------------------------------------------------
@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "RGB"])
def test_transparent_pixels_show_a_white_ground_and_opaque_ones_are_kept(tmp_path, mode):
    dark = np.full((20, 30, 3), 40, np.uint8)
    alpha = np.zeros((20, 30), np.uint8)
    alpha[5:15, 5:15] = 255
    image = Image.fromarray(np.dstack([dark, alpha]))
    options, name = {}, "x.png"
    if mode in ("P", "RGB"):  # one color is transparent
        ground = Image.new("RGB", image.size, (1, 2, 3))
        ground.paste(image.convert("RGB"), mask=image.getchannel("A"))
        image = ground.convert("P", palette=Image.Palette.ADAPTIVE) if mode == "P" else ground
        options["transparency"] = image.getpixel((0, 0))
    else:
        image = image.convert(mode)
    image.save(tmp_path / name, **options)
    wanted = np.where(alpha[..., None] == 255, dark, 255)
    np.testing.assert_array_equal(read_rgb(tmp_path / name), wanted)


def test_half_transparent_pixels_are_mixed_with_the_ground(tmp_path):
    Image.new("RGBA", (9, 9), (0, 100, 200, 51)).save(tmp_path / "x.webp", lossless=True, exact=True)
    assert np.abs(read_rgb(tmp_path / "x.webp")[4, 4].astype(int) - [204, 224, 244]).max() <= 1


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
@pytest.mark.parametrize("kind", ["gray.png", "color.png", "alpha.png", "color.tif", "gray.tif"])
def test_deep_samples_are_scaled_by_the_depth_that_they_use(tmp_path, picture, kind, bits):
    eight = picture if "gray" not in kind else picture[..., 0]
    deep = eight.astype(np.uint16) << (bits - 8)
    deep[0, 0] = 2**bits - 1
    if "alpha" in kind:
        deep = np.dstack([deep, np.full(deep.shape[:2], 2**16 - 1, np.uint16)])
    swapped = deep if deep.ndim == 2 else deep[..., [2, 1, 0, 3][: deep.shape[2]]]
    cv2.imwrite(str(tmp_path / kind), swapped)
    wanted = eight.copy()
    wanted[0, 0] = 255
    wanted = wanted if wanted.ndim == 3 else np.repeat(wanted[..., None], 3, axis=2)
    np.testing.assert_array_equal(read_rgb(tmp_path / kind), wanted)


# ---- damage that decoders do not report ---------------------------------------------------------------------
@pytest.fixture
def textured():
    cells = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    return cv2.resize(cells, (200, 150), interpolation=cv2.INTER_CUBIC)


def jpeg(image, **options):
    buffer = BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=90, **options)
    return buffer.getvalue()


def test_a_hole_of_zeros_and_a_cut_that_was_closed_are_damage(textured):
    whole, path = jpeg(textured), Path("x.jpg")
    decode_rgb(whole, path)
    coded = whole.rfind(b"\xff\xda") + 14
    for place in np.linspace(coded + 50, len(whole) - 600, 9).astype(int):
        holed = whole[:place] + bytes(64) + whole[place + 64 :]
        closed = whole[:place] + b"\xff\xd9"
        for data, words in ((holed, "hole of zeros"), (closed, "end before"), (whole[:place] + bytes(500), "hole")):
            with pytest.raises(UserError, match=rf"x\.jpg: damaged: .*{words}"):
                decode_rgb(data, path)


@pytest.mark.parametrize("upright", [True, False])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_cut_is_noticed_in_turned_pictures_too(textured, orientation, upright):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = jpeg(textured, exif=exif)
    assert decode_rgb(data, Path("x.jpg"), upright).size == textured.size
    with pytest.raises(UserError, match="damaged"):
        decode_rgb(data[: -len(data) // 4] + b"\xff\xd9", Path("x.jpg"), upright)


@pytest.mark.parametrize("options", [{}, {"optimize": True}, {"progressive": True}, {"subsampling": 0}])
@pytest.mark.parametrize("shade", [0, 128, 255])
def test_flat_areas_and_zeros_outside_of_the_coded_data_are_no_damage(textured, options, shade):
    flat = np.full((600, 600, 3), shade, np.uint8)
    half = flat.copy()
    half[:150, :200] = textured
    for image in (flat, half, flat[..., 0], half[..., 0]):
        data = jpeg(image, **options)
        assert decode_rgb(data, Path("x.jpg")).shape[:2] == (600, 600)
        padded = data[:2] + b"\xff\xe1\x10\x02" + bytes(4096) + data[2:] + bytes(4096)  # in EXIF, and at the end
        assert decode_rgb(padded, Path("x.jpg")).shape[:2] == (600, 600)


# ---- what is not opened -------------------------------------------------------------------------------------
def test_too_many_pixels_are_named_before_they_are_decoded(picture, monkeypatch):
    monkeypatch.setattr(decode, "MAX_PIXELS", picture[..., 0].size - 1)
    with pytest.raises(UserError, match=r"x\.jpg: 64 x 48 px, more than 3,071; shrink"):
        decode_rgb(jpeg(picture), Path("x.jpg"))


def test_only_pictures_are_opened(tmp_path):
    (tmp_path / "x.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "folder.jpg").mkdir()
    assert "EPS" not in decode._formats() and "AVIF" in decode.FORMATS
    for name, words in {"x.jpg": "not a readable image", "pipe.jpg": "regular", "folder.jpg": "regular"}.items():
        with pytest.raises(UserError, match=rf"{name}: .*{words}"):
            read_rgb(tmp_path / name)


@pytest.mark.parametrize("kind", ["GIF", "AVIF"])
def test_damage_that_pillow_calls_something_else_is_named(tmp_path, picture, kind):
    """As mutation found it: sizes beyond its limit and decoders that raise RuntimeError."""
    Image.fromarray(picture).save(tmp_path / "x", kind)
    data = (tmp_path / "x").read_bytes()
    start, part = (6, b"\xff" * 4) if kind == "GIF" else (data.index(b"mdat") + 4, bytes(40))
    damaged = data[:start] + part + data[start + len(part) :]
    (tmp_path / "x").write_bytes(damaged)
    assert read_orientation(tmp_path / "x") == 1
    with pytest.raises(UserError, match="not a readable image"):
        read_rgb(tmp_path / "x")
