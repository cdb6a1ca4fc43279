"""Known transformations, hand-computed curves, and the measures' limits."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from zfnet.data.cache.images import ImageStore
from zfnet.data.index import Index
from zfnet.experiments.invariance.compute import (
    IDENTITY,
    TURNED,
    Curves,
    area,
    linearity,
    mean_distance,
    measure,
    pictures,
    run,
    stability,
    straightness,
    summarise,
    transform,
    whole_shifts,
)
from zfnet.experiments.invariance.options import InvarianceOptions
from zfnet.networks.convnet import ConvNet, build


def network() -> ConvNet:
    model = build("zfnet", 4, 56, width=0.125)
    model.initialise("he", seed=0)
    return model.eval()


def store(n: int = 6) -> ImageStore:
    pixels = np.random.default_rng(0).integers(0, 256, (n, 64, 64, 3), dtype=np.uint8)
    paths, boxes = np.array([f"{i}.png" for i in range(n)]), tuple(np.zeros((0, 4), np.int64) for _ in range(n))
    names = ("cat", "dog", "cow", "car")
    index = Index(Path("."), paths, np.arange(n) % 4, names, names, boxes)
    return ImageStore(index, pixels, np.full((n, 2), 64), np.full((64, 64, 3), 120.0, np.float32), 50.0)


def photograph() -> np.ndarray:
    """A smooth frame (64, 64, 3), as photographs are."""
    coarse = np.random.default_rng(1).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return cv2.resize(coarse, (64, 64), interpolation=cv2.INTER_CUBIC)


def test_the_identity_shifts_nothing_and_blurs_as_the_other_amounts_do() -> None:
    frame = photograph()
    np.testing.assert_array_equal(transform(frame, "translation", 0.0), frame)
    for kind, near in (("scale", 1.02), ("rotation", 1.0)):
        same = transform(frame, kind, IDENTITY[kind])
        assert np.abs(same.astype(int) - frame).max() <= 3
        rough = store().pixels[0]  # noise: all that a blur takes
        assert transform(rough, kind, near).std() == pytest.approx(
            transform(rough, kind, IDENTITY[kind]).std(), rel=0.1
        )


def test_whole_shifts_are_slices_and_the_border_repeats() -> None:
    frame = store().pixels[0]
    down = transform(frame, "translation", 5.0)
    np.testing.assert_array_equal(down[5:], frame[:-5])
    np.testing.assert_array_equal(down[:5], np.repeat(frame[:1], 5, axis=0))
    np.testing.assert_array_equal(transform(frame, "translation", -5.0)[:-5], frame[5:])


def test_quarter_turns_are_transpositions_and_scale_two_keeps_the_middle() -> None:
    frame = store().pixels[0]
    upright = transform(frame, "rotation", 0.0).astype(int)
    assert np.abs(transform(frame, "rotation", 90.0) - np.rot90(upright)).max() <= 1
    assert np.abs(transform(frame, "rotation", 180.0) - upright[::-1, ::-1]).max() <= 1
    ramp = np.repeat(np.arange(63, dtype=np.uint8)[:, None, None], 63, axis=1).repeat(3, axis=2)
    enlarged = transform(ramp, "scale", 2.0)
    assert enlarged[31, 31, 0] == 31 and enlarged[41, 31, 0] == 36 and enlarged[21, 31, 0] == 26
    with pytest.raises(ValueError, match="unknown"):
        transform(frame, "shear", 1.0)


def test_translations_are_given_at_224_px_and_bring_in_the_frame_around_the_crop() -> None:
    images = store()  # crop 56, a quarter of 224, in a frame with 4 px around it
    moved = pictures(images, 1, "translation", [16.0, -16.0])
    np.testing.assert_array_equal(moved[0], images.pixels[1][0:56, 4:60])
    np.testing.assert_array_equal(moved[1], images.pixels[1][8:64, 4:60])


def test_shifts_are_whole_pixels_of_small_crops_and_include_none() -> None:
    shifts = whole_shifts(60.0, 21, 56)
    assert 0.0 in shifts and shifts[0] == -60 and shifts[-1] == 60
    np.testing.assert_array_equal(shifts % 4, 0)
    assert len(whole_shifts(60.0, 21, 224)) == 21


def test_distances_and_probability_equal_a_literal_computation() -> None:
    model, images = network(), store()
    unit = {1: 2.0, 7: 0.5}
    curves = measure(model, images, np.array([3, 0]), "translation", np.array([-16.0, 0.0, 16.0]), unit, batch=2)
    assert curves.distances[7][:, 1].tolist() == [0.0, 0.0]
    with torch.inference_mode():
        clean, moved = images.center([3]), images.crops([3], [0], [4], [False])  # 4 px down
        for n, name in ((1, "norm1"), (7, "relu7")):
            distance = (model.upto(moved, name) - model.upto(clean, name)).norm() / unit[n]
            assert curves.distances[n][0, 2] == pytest.approx(float(distance), rel=1e-4)
        assert curves.probability[0, 2] == pytest.approx(float(model(moved).softmax(1)[0, 3]), abs=1e-6)


def test_the_unit_is_the_mean_distance_between_different_images() -> None:
    model, images = network(), store(2)
    with torch.inference_mode():
        features = model.upto(images.center([0, 1]), "relu7")
    assert mean_distance(model, images, (7,), seed=0)[7] == pytest.approx(float((features[0] - features[1]).norm()))


def test_linearity_is_one_for_a_line_through_the_origin_only() -> None:
    x = np.linspace(-3, 3, 7)
    assert linearity(x, 2 * np.abs(x)) == pytest.approx(1.0)
    assert linearity(x, np.minimum(np.abs(x), 1)) < 0.5
    assert np.isnan(linearity(x, np.ones(7)))


def test_area_is_the_mean_height_and_straightness_chord_over_length() -> None:
    assert area(np.array([0.0, 1.0, 4.0]), np.array([[2.0, 2.0, 2.0]])) == pytest.approx(2.0)
    assert area(np.array([-1.0, 0.0, 1.0]), np.array([1.0, 0.0, 1.0])) == pytest.approx(0.5)
    assert straightness(torch.tensor([[0.0, 0.0], [1.0, 1.0], [3.0, 3.0]])) == pytest.approx(1.0)
    assert straightness(torch.tensor([[0.0, 0.0], [3.0, 0.0], [3.0, 4.0]])) == pytest.approx(5 / 7)
    assert straightness(torch.tensor([[0.0], [1.0], [0.0]])) == 0.0
    assert np.isnan(straightness(torch.zeros(3, 2)))


def test_pictures_without_structure_keep_their_class_under_everything() -> None:
    model, images = network(), store()
    images.pixels[:] = 77
    found = stability(model, images, np.arange(3), seed=0)
    assert found.pop(TURNED)["mean"] == 0.0 and {part["mean"] for part in found.values()} == {1.0}


def test_the_stage_measures_and_draws(tmp_path: Path) -> None:
    config = InvarianceOptions(n_images=2, n_score=4, steps=5, translation=64.0)
    outcome = run(config, network(), store(), tmp_path, seed=0)
    assert all((tmp_path / name).stat().st_size > 0 for name in outcome.figures)
    translation = outcome.numbers["translation"]
    assert translation["amounts"] == [-64, -32, 0, 32, 64]
    assert translation["layer7"]["curve"][2] == 0.0 and outcome.numbers["scale"]["layer1"]["curve"][0] == 0.0
    for layer in ("layer1", "layer7"):
        found = translation[layer]["linearity"]
        assert found["low"] <= found["mean"] <= found["high"]
    assert outcome.numbers["n_images"] == 4


def test_a_picture_whose_features_do_not_move_leaves_the_mean_of_the_others(tmp_path: Path) -> None:
    images = store()
    images.pixels[2] = 90
    outcome = run(InvarianceOptions(n_images=1, n_score=6, steps=5), network(), images, tmp_path, seed=0)
    found = outcome.numbers["scale"]["layer7"]["straightness"]
    assert np.isfinite([found["mean"], found["low"], found["high"]]).all()


def test_small_shifts_alone_say_how_much_further_layer_1_moves() -> None:
    amounts = np.array([-60.0, -16.0, 0.0, 16.0, 60.0])
    first, last = np.array([[9.0, 3, 0, 1, 9], [9, 2, 0, 2, 9]]), np.array([[9.0, 1, 0, 1, 9], [9, 1, 0, 1, 9]])
    curves = Curves(amounts, {1: first, 7: last}, {1: np.ones(2), 7: np.ones(2)}, np.ones((2, 5)))
    found = summarise("translation", curves, seed=0)
    assert found["layer7"]["layer1_further"] == {"mean": 1.0, "low": 1.0, "high": 1.0}
