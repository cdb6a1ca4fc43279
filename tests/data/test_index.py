"""The one type of a data set."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from zfnet.core.errors import UserError
from zfnet.data.index import make_index


@pytest.fixture
def index():
    rows = [(f"{'abc'[k]}/{i}.jpg", k) for i in range(6) for k in range(3)]
    return make_index(Path("/root"), rows, "abc", boxes=[np.array([[i, 0, i, 0]]) for i in range(18)])


def test_take_keeps_paths_labels_and_boxes_together(index):
    part = index.take([4, 2])
    assert list(part.paths) == ["b/1.jpg", "c/0.jpg"] and list(part.labels) == [1, 2]
    assert [int(boxes[0, 0]) for boxes in part.boxes] == [4, 2]


def test_only_classes_relabels_in_the_order_asked_for(index):
    part = index.only_classes(["c", "a"])
    assert part.classes == ("c", "a") and len(part) == 12
    assert all(part.classes[label] == str(path)[0] for path, label in zip(part.paths, part.labels, strict=True))
    unlabeled = replace(index, labels=np.where(index.labels == 1, -1, index.labels))
    assert list(unlabeled.only_classes(["c", "a"]).paths) == list(part.paths)
    with pytest.raises(UserError, match="'z'"):
        index.only_classes(["z"])


def test_limit_per_class_is_a_fixed_draw_for_a_seed(index):
    part = index.limit_per_class(2, seed=1)
    assert np.bincount(part.labels).tolist() == [2, 2, 2]
    assert list(part.paths) == list(index.limit_per_class(2, seed=1).paths)
    draws = {tuple(index.limit_per_class(2, seed=seed).paths) for seed in range(8)}
    assert len(draws) > 1
    assert index.limit_per_class(0, seed=1) is index


def test_the_fingerprint_sees_paths_labels_and_boxes(index):
    moved = make_index(index.root, list(zip(index.paths, index.labels, strict=True)), "abc")
    assert index.fingerprint() != moved.fingerprint() != index.take(range(17)).fingerprint()
    assert index.fingerprint() == index.take(range(18)).fingerprint()
