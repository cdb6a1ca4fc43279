from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import precision_recall_curve

from zfnet.linear.average_precision import average_precision, write_results


def official(scores: np.ndarray, targets: np.ndarray, eleven_points: bool) -> float:
    """The development kit's VOCevalcls and VOCap, line by line (its ground truth is 1, -1, and 0 for difficult)."""
    truth = [{1: 1, 0: -1, -1: 0}[int(t)] for t in targets]
    order = sorted(range(len(scores)), key=lambda i: -scores[i])
    tp, fp, recalls, precisions = 0, 0, [], []
    for i in order:
        tp, fp = tp + (truth[i] > 0), fp + (truth[i] < 0)
        recalls.append(tp / truth.count(1))
        precisions.append(tp / (tp + fp) if tp + fp else 0.0)
    if eleven_points:
        return sum(max(p for r, p in zip(recalls, precisions, strict=True) if r >= t / 10) for t in range(11)) / 11
    mrec, mpre = [0.0, *recalls, 1.0], [0.0, *precisions, 0.0]
    for i in range(len(mpre) - 2, -1, -1):
        mpre[i] = max(mpre[i], mpre[i + 1])
    return sum((mrec[i] - mrec[i - 1]) * mpre[i] for i in range(1, len(mrec)))


def test_a_list_worked_by_hand_with_difficult_images():
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
    targets = np.array([1, -1, 0, 1, -1, 0])  # counted ranks: right, wrong, right, wrong
    assert average_precision(scores, targets) == pytest.approx((1 + 2 / 3) / 2)
    assert average_precision(scores, targets, eleven_points=True) == pytest.approx((6 * 1 + 5 * 2 / 3) / 11)


@pytest.mark.parametrize("eleven_points", [False, True])
@pytest.mark.parametrize("seed", range(20))
def test_the_development_kits_own_loop_agrees(seed, eleven_points):
    rng = np.random.default_rng(seed)
    targets = rng.choice([-1, 0, 0, 0, 1], 60)
    targets[0] = 1
    scores = rng.normal(size=60) + targets
    assert average_precision(scores, targets, eleven_points) == pytest.approx(official(scores, targets, eleven_points))


def test_area_is_under_scikit_learns_curve_made_monotone():
    rng = np.random.default_rng(5)
    targets = rng.integers(0, 2, 200)
    scores = rng.normal(size=200) + targets
    precision, recall, _ = precision_recall_curve(targets, scores)
    monotone = np.maximum.accumulate(precision)
    assert average_precision(scores, targets) == pytest.approx(float(-(np.diff(recall) * monotone[:-1]).sum()))


def test_equal_scores_are_ranked_in_the_order_given():
    assert average_precision(np.zeros(2), np.array([0, 1])) == 0.5
    assert average_precision(np.zeros(2), np.array([1, 0])) == 1.0


def test_a_class_without_positives_has_no_average_precision():
    assert np.isnan(average_precision(np.zeros(3), np.array([0, -1, 0])))


def test_result_files_are_as_the_server_takes_them(tmp_path):
    scores = np.array([[0.25, -1.5], [1, 2]])
    paths = write_results(tmp_path, "test", ["bird", "boat"], ["2008_000001", "2008_000004"], scores)
    assert [path.name for path in paths] == ["comp2_cls_test_bird.txt", "comp2_cls_test_boat.txt"]
    assert paths[1].read_text() == "2008_000001 -1.5\n2008_000004 2.0\n"
