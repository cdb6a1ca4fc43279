from __future__ import annotations

import numpy as np
import pytest

from zfnet.experiments.localization.score import (
    Truth,
    classification_errors,
    compare,
    localization_errors,
    score,
    summarize,
)

TRUE = [0, 0, 9, 9]
HALF = [0, 0, 9, 4]  # 50 of 100 pixels: IoU exactly 1/2
LESS = [0, 0, 9, 3]
AWAY = [50, 50, 59, 59]


def truth_of(*boxes: list[list[int]], labels: list[int] | None = None, blacklisted: list[bool] | None = None) -> Truth:
    n = len(boxes)
    return Truth(
        np.array(labels or [7] * n),
        [np.array(of_image, dtype=np.int64).reshape(-1, 4) for of_image in boxes],
        np.array(blacklisted or [False] * n),
    )


def error(labels: list[int], boxes: list[list[int]], *true: list[int]) -> float:
    return localization_errors(np.array([labels]), np.array([boxes]), truth_of(list(true)))[0]


def devkit(labels: np.ndarray, boxes: np.ndarray, truth: Truth) -> float:
    """eval_localization of the devkit, loop by loop, in per cent."""
    errors = []
    for i, true_class in enumerate(truth.labels):
        if truth.blacklisted[i]:
            continue
        e = 1.0
        for c, b in zip(labels[i], boxes[i], strict=True):
            d = 1.0
            for z in truth.boxes[i]:
                iw = min(b[2], z[2]) - max(b[0], z[0]) + 1
                ih = min(b[3], z[3]) - max(b[1], z[1]) + 1
                overlap = -1.0
                if iw > 0 and ih > 0:
                    area = (b[2] - b[0] + 1) * (b[3] - b[1] + 1) + (z[2] - z[0] + 1) * (z[3] - z[1] + 1)
                    overlap = iw * ih / (area - iw * ih)
                d = min(d, max(float(overlap < 0.5), float(c != true_class)))
            e = min(e, d)
        errors.append(e)
    return 100 * sum(errors) / (len(truth.labels) - truth.blacklisted.sum())


def test_iou_of_exactly_one_half_counts() -> None:
    assert error([7], [HALF], TRUE) == 0.0
    assert error([7], [LESS], TRUE) == 1.0


def test_the_right_box_of_the_wrong_class_does_not_count() -> None:
    assert error([3], [TRUE], TRUE) == 1.0


def test_class_and_box_must_be_of_the_same_guess() -> None:
    assert error([7, 3], [AWAY, TRUE], TRUE) == 1.0


def test_any_of_the_guesses_counts() -> None:
    assert error([1, 2, 3, 4, 7], [TRUE, TRUE, TRUE, TRUE, HALF], TRUE) == 0.0


def test_any_instance_counts() -> None:
    assert error([7], [TRUE], AWAY, TRUE) == 0.0


def test_several_instances_are_not_scored_as_one() -> None:
    assert error([7], [[0, 0, 59, 59]], AWAY, TRUE) == 1.0


def test_missing_guesses_are_wrong_not_a_fault() -> None:
    assert error([-1, -1, -1, -1, -1], [[0, 0, 0, 0]] * 5, TRUE) == 1.0
    assert error([7, -1, -1, -1, -1], [TRUE] + [[0, 0, 0, 0]] * 4, TRUE) == 0.0


def test_random_files_score_as_the_devkit_scores_them() -> None:
    rng = np.random.default_rng(0)
    n = 200
    corners = np.sort(rng.integers(-5, 25, (n, 5, 2, 2)), axis=2).reshape(n, 5, 4)
    true = [np.sort(rng.integers(-5, 25, (k, 2, 2)), axis=1).reshape(k, 4) for k in rng.integers(1, 4, n)]
    truth = Truth(rng.integers(0, 4, n), true, rng.random(n) < 0.1)
    labels = rng.integers(0, 4, (n, 5))
    outcomes = score(labels, corners, corners[:, 0], truth)
    assert 100 * np.nanmean(outcomes["top5_error"]) == pytest.approx(devkit(labels, corners, truth))
    assert 100 * np.nanmean(outcomes["top1_error"]) == pytest.approx(devkit(labels[:, :1], corners[:, :1], truth))
    known = devkit(truth.labels[:, None], corners[:, :1], truth)
    assert 100 * np.nanmean(outcomes["known_error"]) == pytest.approx(known)


def test_the_blacklist_is_left_out_of_localisation_only() -> None:
    truth = truth_of([TRUE], [TRUE], [TRUE], blacklisted=[False, True, False])
    labels, boxes = np.array([[7], [7], [3]]), np.array([[TRUE], [AWAY], [TRUE]])
    np.testing.assert_array_equal(localization_errors(labels, boxes, truth), [0.0, np.nan, 1.0])
    np.testing.assert_array_equal(classification_errors(labels, truth), [0.0, 0.0, 1.0])
    assert summarize(score(labels, boxes, boxes[:, 0], truth), seed=0)["top5_error"]["value"] == 50.0


def test_a_blacklisted_image_may_lack_boxes_another_may_not() -> None:
    truth_of([], blacklisted=[True])
    with pytest.raises(ValueError, match="image 0 has no true box"):
        truth_of([])


def test_mean_iou_is_of_the_best_instance() -> None:
    truth = truth_of([AWAY, TRUE])
    outcomes = score(np.array([[7]]), np.array([[HALF]]), np.array([HALF]), truth)
    assert outcomes["mean_iou"].tolist() == [0.5] and outcomes["known_error"].tolist() == [0.0]


def test_a_paired_difference_is_narrower_than_its_parts() -> None:
    rng = np.random.default_rng(0)
    hard = (rng.random(400) < 0.5).astype(float)
    ours, baseline = hard.copy(), hard.copy()
    baseline[:20] = 1.0  # the same but for a few images
    kinds = {"top5_error": ours}, {"top5_error": baseline}
    difference = compare(*kinds, seed=0)["top5_error"]
    alone = summarize(kinds[0], seed=0)["top5_error"]
    assert difference["value"] < 0 and difference["high"] <= 0
    assert difference["high"] - difference["low"] < 0.5 * (alone["high"] - alone["low"])
    assert alone["low"] < alone["value"] < alone["high"]
