from __future__ import annotations

import numpy as np
import pytest

from zfnet.experiments.localization.boxes import center_box, clip, iou, mask_box, rescale, scale_sides, whole_box


def pixel_iou(a: list[int], b: list[int]) -> float:
    """By counting pixels."""
    x, y = np.meshgrid(np.arange(-30, 60), np.arange(-30, 60))
    inside = [(x >= x0) & (x <= x1) & (y >= y0) & (y <= y1) for x0, y0, x1, y1 in (a, b)]
    return (inside[0] & inside[1]).sum() / (inside[0] | inside[1]).sum()


def test_iou_counts_inclusive_pixels() -> None:
    rng = np.random.default_rng(0)
    corners = np.sort(rng.integers(-20, 40, (40, 2, 2)), axis=1)  # also outside any image
    boxes = corners.reshape(40, 4)
    ours = iou(boxes[:20], boxes[20:])
    literal = [[pixel_iou(a, b) for b in boxes[20:].tolist()] for a in boxes[:20].tolist()]
    np.testing.assert_allclose(ours, literal, atol=1e-12)


def test_iou_of_a_box_with_itself_is_one_even_for_one_pixel() -> None:
    assert iou(np.array([[3, 3, 3, 3]]), np.array([[3, 3, 3, 3]])) == 1.0


def test_iou_of_halves_is_exactly_one_half() -> None:
    assert iou(np.array([[0, 0, 9, 9]]), np.array([[0, 0, 9, 4]]))[0, 0] == 0.5  # 50 of 100 pixels


def test_boxes_that_share_a_pixel_column_meet_and_neighbours_do_not() -> None:
    left = np.array([[0, 0, 4, 4]])
    assert iou(left, np.array([[4, 0, 8, 4]]))[0, 0] == pytest.approx(5 / 45)
    assert iou(left, np.array([[5, 0, 9, 4]]))[0, 0] == 0.0


def test_inside_out_boxes_meet_nothing() -> None:
    assert iou(np.array([[9, 9, 0, 0]]), np.array([[0, 0, 9, 9]]))[0, 0] == 0.0


def test_no_boxes_give_an_empty_table() -> None:
    assert iou(np.zeros((0, 4)), np.zeros((3, 4))).shape == (0, 3)


def test_clip_keeps_boxes_in_the_image() -> None:
    boxes = np.array([[-5, -5, 3, 3], [8, 8, 50, 50], [30, 2, 40, 4]])
    assert clip(boxes, 10, 20).tolist() == [[0, 0, 3, 3], [8, 8, 19, 9], [19, 2, 19, 4]]


def test_center_box_has_the_stated_share_of_each_side() -> None:
    assert center_box(100, 200, 0.5).tolist() == [50, 25, 149, 74]
    assert center_box(100, 200, 1.0).tolist() == whole_box(100, 200).tolist() == [0, 0, 199, 99]
    assert center_box(3, 3, 0.01).tolist() == [1, 1, 1, 1]


def test_mask_box_is_the_extent_and_of_an_empty_mask_an_error() -> None:
    mask = np.zeros((6, 8), bool)
    mask[2, 3] = mask[4, 6] = True
    assert mask_box(mask).tolist() == [3, 2, 6, 4]
    assert mask_box(np.ones((6, 8), bool)).tolist() == [0, 0, 7, 5]
    with pytest.raises(ValueError, match="empty mask"):
        mask_box(np.zeros((6, 8), bool))


def test_rescale_scales_edges_and_touches_the_same_borders() -> None:
    assert rescale(np.array([0, 0, 9, 9]), (10, 10), (30, 20)).tolist() == [0, 0, 19, 29]
    assert rescale(np.array([5, 5, 5, 5]), (10, 10), (30, 20)).tolist() == [10, 15, 11, 17]
    there = rescale(np.array([[3, 4, 7, 8]]), (10, 10), (40, 50))
    assert rescale(there, (40, 50), (10, 10)).tolist() == [[3, 4, 7, 8]]


def test_rescale_never_loses_a_box() -> None:
    tiny = rescale(np.array([501, 501, 502, 502]), (1000, 1000), (10, 10))
    assert (tiny[2:] >= tiny[:2]).all()


def test_sides_are_scaled_about_the_center_and_clipped() -> None:
    assert scale_sides(np.array([10, 20, 29, 59]), 1.0, 100, 100).tolist() == [10, 20, 29, 59]
    assert scale_sides(np.array([10, 20, 29, 59]), 0.5, 100, 100).tolist() == [15, 30, 24, 49]
    assert scale_sides(np.array([10, 20, 29, 59]), 2.0, 100, 35).tolist() == [0, 0, 34, 79]
    assert scale_sides(np.array([3, 4, 3, 4]), 0.1, 9, 9).tolist() == [3, 4, 3, 4]  # one pixel stays one
