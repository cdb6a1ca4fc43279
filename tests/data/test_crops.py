"""Resize rule, centre crop and ten crops of [ZF13] section 3."""

import numpy as np
import pytest

from zfnet.data.crops import Frame, crop_size, shrink, ten_crop_places


def test_the_ratio_256_to_224_is_kept():
    assert [crop_size(size) for size in (256, 128, 64)] == [224, 112, 56]


def test_ten_crops_are_corners_and_centre_and_their_mirrors():
    places = ten_crop_places(64)
    assert len(set(places)) == 10
    assert {(t, left) for t, left, _ in places} == {(0, 0), (0, 8), (8, 0), (8, 8), (4, 4)}
    assert sum(flip for *_, flip in places) == 5


@pytest.mark.parametrize(("height", "width"), [(64, 64), (100, 150), (150, 100), (300, 64), (65, 64), (20, 31)])
def test_shrink_gives_the_centre_square_of_the_resized_image(height, width):
    image = np.zeros((height, width, 3), np.uint8)
    image[height // 2 :, :, 0] = 255  # red below the middle
    frame = shrink(image, 64)
    assert frame.shape == (64, 64, 3)
    assert frame[:30, :, 0].max() < 60 and frame[36:, :, 0].min() > 190


def test_boxes_go_to_the_frame_and_back():
    frame = Frame(height=100, width=200, size=50)
    box = np.array([[50, 0, 149, 99]])  # the central square, inclusive pixels
    np.testing.assert_allclose(frame.to_frame(box), [[0, 0, 49, 49]])
    np.testing.assert_allclose(frame.from_frame(frame.to_frame(box)), box)


def test_the_mask_of_boxes_covers_what_the_frame_shows_of_them():
    frame = Frame(height=100, width=200, size=50)  # half size, columns 50 to 149
    expected = np.zeros((50, 50), dtype=bool)
    expected[10:20, 5:15] = expected[40:, :3] = True
    boxes = np.array([[60, 20, 79, 39], [0, 80, 55, 99], [180, 0, 199, 99]])  # inside, over the border, outside
    np.testing.assert_array_equal(frame.mask(boxes), expected)
    assert not frame.mask(np.zeros((0, 4), np.int64)).any()


def test_a_painted_box_lands_where_frame_says():
    image = np.zeros((90, 120, 3), np.uint8)
    image[30:60, 45:75] = 255
    x0, y0, x1, y1 = Frame(90, 120, 45).to_frame(np.array([[45, 30, 74, 59]]))[0]
    rows, columns = np.nonzero(shrink(image, 45)[..., 0] > 127)
    assert (columns.min(), rows.min(), columns.max(), rows.max()) == pytest.approx((x0, y0, x1, y1), abs=0.51)
