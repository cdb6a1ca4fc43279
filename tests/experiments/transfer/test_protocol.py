from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from zfnet.core.errors import UserError
from zfnet.data.index import make_index
from zfnet.experiments.transfer.protocol import (
    PROTOCOLS,
    Protocol,
    choose_protocol,
    class_accuracies,
    draw_split,
    hold_out,
    write_splits,
)

COUNTS = (40, 31, 90)
PROTOCOL = Protocol((15, 30), 50, 5, "test")


@pytest.fixture
def index():
    rows = [(f"{k}/{i}.jpg", k) for k, count in enumerate(COUNTS) for i in range(count)]
    return make_index(Path("."), rows, ["a", "b", "c"], ["ant", "bee", "cat"])


def test_training_and_test_images_are_apart_and_counted_as_the_protocol_says(index):
    for per_class in (15, 30):
        split = draw_split(index, PROTOCOL, per_class, fold=0, seed=0)
        assert not set(split.train) & set(split.test)
        assert np.bincount(index.labels[split.train]).tolist() == [per_class] * 3
        assert np.bincount(index.labels[split.test]).tolist() == [min(50, n - per_class) for n in COUNTS]


def test_a_seed_repeats_a_fold_and_folds_differ(index):
    first, again = (draw_split(index, PROTOCOL, 15, 0, seed=3) for _ in range(2))
    other_fold, other_seed = draw_split(index, PROTOCOL, 15, 1, seed=3), draw_split(index, PROTOCOL, 15, 0, seed=4)
    assert first.train.tolist() == again.train.tolist() and first.test.tolist() == again.test.tolist()
    assert first.train.tolist() not in (other_fold.train.tolist(), other_seed.train.tolist())


def test_smaller_training_sets_are_parts_of_larger_ones(index):
    small, large = (draw_split(index, PROTOCOL, m, 2, seed=0) for m in (15, 30))
    assert set(small.train) < set(large.train)


def test_a_class_without_test_images_is_named(index):
    with pytest.raises(UserError, match=r"31 images a class leave none of 'bee' .* \(it has 31\)"):
        draw_split(index, PROTOCOL, 31, 0, seed=0)


@pytest.mark.parametrize("per_class, held", [(1, 0), (2, 1), (3, 1), (15, 5), (30, 10)])
def test_a_third_of_every_class_is_held_out(index, per_class, held):
    train = draw_split(index, PROTOCOL, per_class, 0, seed=0).train
    kept, out = hold_out(train, per_class)
    assert sorted([*kept, *out]) == list(range(len(train)))
    assert np.bincount(index.labels[train[out]], minlength=3).tolist() == [held] * 3


def test_accuracy_is_by_class():
    accuracies = class_accuracies(np.array([0, 0, 1, 1, 0]), np.array([0, 0, 0, 0, 1]), 3)
    np.testing.assert_array_equal(accuracies, [0.5, 0.0, np.nan])


def test_given_values_take_the_place_of_the_protocols():
    assert choose_protocol("caltech101", [], 0, 0) == PROTOCOLS["caltech101"]
    changed = choose_protocol("caltech101", [30, 5], 0, 2)
    assert (changed.per_class, changed.test_per_class, changed.folds) == ((5, 30), 50, 2)


def test_written_splits_name_the_images_of_the_drawn_ones(index, tmp_path):
    split = draw_split(index, PROTOCOL, 15, 0, seed=0)
    write_splits(tmp_path / "splits.json", index, PROTOCOL, 0, [split])
    written = json.loads((tmp_path / "splits.json").read_text())
    assert [written["images"][row] for row in written["splits"][0]["train"]] == index.paths[split.train].tolist()
    assert [written["images"][row] for row in written["splits"][0]["test"]] == index.paths[split.test].tolist()
    assert written["protocol"]["folds"] == 5
