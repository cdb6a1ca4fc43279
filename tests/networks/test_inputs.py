"""From pixels to a network's input and back, against the arithmetic written out."""

import cv2
import numpy as np
import pytest
import torch

from zfnet.data.crops import ten_crop_places
from zfnet.networks.inputs import IMAGENET_MEAN, IMAGENET_STD, Inputs

FRAME, CROP = 36, 32
STD = (50.0, 60.0, 70.0)


def mean_image():
    return np.random.default_rng(1).uniform(60, 190, (FRAME, FRAME, 3)).astype(np.float32)


@pytest.fixture
def frames():
    return np.random.default_rng(0).integers(0, 256, (4, FRAME, FRAME, 3), dtype=np.uint8)


KINDS = {
    "mean image, one divisor": Inputs.of_mean_image(mean_image(), 64.0),
    "mean image, one std per color": Inputs(FRAME, CROP, mean_image(), np.array(STD, np.float32)),
    "one color, one std per color": Inputs.of_colors(FRAME, CROP, IMAGENET_MEAN, IMAGENET_STD),
    "another crop": Inputs.of_colors(FRAME, 21, IMAGENET_MEAN, IMAGENET_STD),
}


@pytest.fixture(params=KINDS.values(), ids=KINDS)
def inputs(request):
    return request.param


def literal_input(inputs, frame, top, left, flip):
    """(pixel - mean) / std, pixel by pixel in float64, as (3, crop, crop)."""
    values = np.zeros((3, inputs.crop, inputs.crop))
    for y in range(inputs.crop):
        for x in range(inputs.crop):
            row, column = top + y, left + (inputs.crop - 1 - x if flip else x)
            for color in range(3):
                is_image = inputs.mean.shape[0] > 1
                mean = inputs.mean[row, column, color] if is_image else inputs.mean[0, 0, color]
                values[color, y, x] = (float(frame[row, column, color]) - mean) / inputs.std[color]
    return values


def test_center_crops_are_pixel_minus_mean_over_std(inputs, frames):
    found = inputs.center(frames)
    margin = (FRAME - inputs.crop) // 2
    assert inputs.margin == margin and found.shape == (4, 3, inputs.crop, inputs.crop)
    assert found.dtype == torch.float32
    for x, frame in zip(found, frames, strict=True):
        np.testing.assert_allclose(x.numpy(), literal_input(inputs, frame, margin, margin, False), rtol=1e-5, atol=1e-5)


def test_ten_crops_are_corners_and_center_then_mirrored(inputs, frames):
    found = inputs.ten_crops(frames[:2])
    far = FRAME - inputs.crop
    corners = [(0, 0), (0, far), (far, 0), (far, far), (far // 2, far // 2)]
    places = [(top, left, flip) for flip in (False, True) for top, left in corners]
    assert found.shape == (2, 10, 3, inputs.crop, inputs.crop)
    assert list(inputs.ten_places) == places
    for view, (top, left, flip) in enumerate(places):
        expected = literal_input(inputs, frames[1], top, left, flip)
        np.testing.assert_allclose(found[1, view].numpy(), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found[:, 9], found[:, 4].flip(3))


def test_crops_at_places_are_mirrored_after_the_mean_is_taken_away(inputs, frames):
    tops, lefts, flips = [0, 4, 1, 2], [4, 0, 3, 2], [False, True, True, False]
    cut = np.stack([
        frame[top : top + inputs.crop, left : left + inputs.crop]
        for frame, top, left in zip(frames, tops, lefts, strict=True)
    ])  # fmt: skip
    found = inputs.crops(torch.from_numpy(cut), tops, lefts, flips)
    assert found.is_contiguous(memory_format=torch.channels_last)
    for x, frame, top, left, flip in zip(found, frames, tops, lefts, flips, strict=True):
        np.testing.assert_allclose(x.numpy(), literal_input(inputs, frame, top, left, flip), rtol=1e-5, atol=1e-5)


def test_inputs_go_back_to_the_pixels_of_the_center_crop(inputs, frames):
    pixels = inputs.center_pixels(frames)
    np.testing.assert_array_equal(inputs.to_pixels(inputs.center(frames)), pixels)
    torch.testing.assert_close(inputs.prepare(pixels), inputs.center(frames))


def test_what_no_pixel_can_be_is_clipped(inputs):
    x = torch.full((1, 3, inputs.crop, inputs.crop), 1e4)
    assert (inputs.to_pixels(x) == 255).all() and (inputs.to_pixels(-x) == 0).all()


def test_differences_are_scaled_by_the_std_of_each_color():
    inputs = KINDS["mean image, one std per color"]
    difference = torch.ones(1, 3, 2, 2, dtype=torch.float64)
    assert inputs.to_units(difference)[0, :, 0, 0].tolist() == list(STD)
    torch.testing.assert_close(inputs.from_units(inputs.to_units(difference)), difference)


def test_the_papers_crop_is_seven_eighths_of_the_mean_image():
    inputs = Inputs.of_mean_image(np.zeros((256, 256, 3)), 1.0)
    assert (inputs.frame, inputs.crop, inputs.margin) == (256, 224, 16)
    assert inputs.ten_places == ten_crop_places(256)


def test_the_imagenet_colors_are_those_of_torchvisions_transforms():
    from torchvision.transforms.v2 import functional as F

    frames = np.random.default_rng(0).integers(0, 256, (2, 256, 256, 3), dtype=np.uint8)
    inputs = Inputs.of_colors(256, 224, IMAGENET_MEAN, IMAGENET_STD)
    pictures = torch.from_numpy(frames).permute(0, 3, 1, 2)
    cropped = F.center_crop(F.to_dtype(pictures, torch.float32, scale=True), [224, 224])
    expected = F.normalize(cropped, list(IMAGENET_MEAN), list(IMAGENET_STD))
    torch.testing.assert_close(inputs.center(frames), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("side", "how"), [(72, cv2.INTER_AREA), (24, cv2.INTER_CUBIC)])
def test_frames_of_another_size_are_resized_first(inputs, side, how):
    frames = np.random.default_rng(0).integers(0, 256, (2, side, side, 3), dtype=np.uint8)
    resized = np.stack([cv2.resize(frame, (FRAME, FRAME), interpolation=how) for frame in frames])
    np.testing.assert_array_equal(inputs.frames(frames), resized)
    np.testing.assert_array_equal(inputs.center_pixels(frames), inputs.center_pixels(resized))
    assert torch.equal(inputs.center(frames), inputs.center(resized))
    assert torch.equal(inputs.ten_crops(frames), inputs.ten_crops(resized))


def test_a_photograph_has_its_short_side_resized_and_its_center_cut_out(inputs):
    photo = np.random.default_rng(0).integers(0, 256, (72, 90, 3), dtype=np.uint8)
    resized = cv2.resize(photo, (45, 36), interpolation=cv2.INTER_AREA)
    margin = inputs.margin
    expected = resized[margin : margin + inputs.crop, 4 + margin : 4 + margin + inputs.crop]
    np.testing.assert_array_equal(inputs.photo_pixels(photo), expected)


def test_the_fingerprint_is_of_sizes_mean_and_std():
    mean = mean_image()
    same = Inputs.of_mean_image(mean.copy(), 64.0)
    others = [
        Inputs.of_mean_image(mean, 1.0),
        Inputs.of_mean_image(mean + 1, 64.0),
        Inputs(FRAME, CROP - 2, mean, same.std),
        Inputs(FRAME, CROP, mean, np.array([64, 64, 65], np.float32)),
        Inputs.of_colors(FRAME, CROP, IMAGENET_MEAN, IMAGENET_STD),
    ]
    assert Inputs.of_mean_image(mean, 64.0).fingerprint() == same.fingerprint()
    assert len({same.fingerprint(), *(other.fingerprint() for other in others)}) == 6


def test_no_images_make_no_inputs(inputs):
    none = np.zeros((0, FRAME, FRAME, 3), np.uint8)
    assert inputs.center(none).shape == (0, 3, inputs.crop, inputs.crop)
    assert inputs.ten_crops(none).shape == (0, 10, 3, inputs.crop, inputs.crop)
    smaller = np.zeros((0, 20, 20, 3), np.uint8)
    assert inputs.center(smaller).shape == (0, 3, inputs.crop, inputs.crop)
