"""Known transformations, hand-computed curves, and the measures' limits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torchvision.models import resnet18
from torchvision.models.feature_extraction import create_feature_extractor

from zfnet.core.statistics import Measure
from zfnet.data.cache.images import Images
from zfnet.data.index import Index
from zfnet.experiments.invariance.compute import (
    IDENTITY,
    area,
    linearity,
    mean_distance,
    measure,
    pictures,
    run,
    stability,
    straightness,
    summarize,
    transform,
    whole_shifts,
)
from zfnet.experiments.invariance.curves import Curves, equally_far, pixel_correlation, symmetry
from zfnet.experiments.invariance.options import InvarianceOptions
from zfnet.networks.checkpoint import trained_network
from zfnet.networks.convnet import build
from zfnet.networks.inputs import IMAGENET_MEAN, IMAGENET_STD, Inputs
from zfnet.networks.network import Classes, Network

NAMES = ("cat", "dog", "cow", "car")
INPUTS = Inputs.of_mean_image(np.full((64, 64, 3), 120.0, np.float32), 50.0)


def network(ids: tuple[str, ...] = NAMES) -> Network:
    model = build("zfnet", 4, 56, width=0.125)
    model.initialize("he", seed=0)
    return trained_network(model.eval(), INPUTS, Classes(ids, ids))


def store(n: int = 6) -> Images:
    pixels = np.random.default_rng(0).integers(0, 256, (n, 64, 64, 3), dtype=np.uint8)
    paths, boxes = np.array([f"{i}.png" for i in range(n)]), tuple(np.zeros((0, 4), np.int64) for _ in range(n))
    index = Index(Path("."), paths, np.arange(n) % 4, NAMES, NAMES, boxes)
    return Images(index, pixels, np.full((n, 2), 64))


def photograph() -> np.ndarray:
    """A smooth frame (64, 64, 3), as photographs are."""
    coarse = np.random.default_rng(1).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return cv2.resize(coarse, (64, 64), interpolation=cv2.INTER_CUBIC)


def transformed(frame: np.ndarray, kind: str, amount: float) -> np.ndarray:
    """The frame under the amount, made among others."""
    return transform(frame, kind, [IDENTITY.get(kind, 0.0), amount, amount + 1])[1]


def test_the_identity_shifts_nothing_and_blurs_as_the_other_amounts_do() -> None:
    frame = photograph()
    np.testing.assert_array_equal(transformed(frame, "translation", 0.0), frame)
    for kind, near in (("scale", 1.02), ("rotation", 1.0)):
        same = transformed(frame, kind, IDENTITY[kind])
        assert np.abs(same.astype(int) - frame).max() <= 3
        rough = store().pixels[0]  # noise: all that a blur takes
        assert transformed(rough, kind, near).std() == pytest.approx(
            transformed(rough, kind, IDENTITY[kind]).std(), rel=0.1
        )


def test_whole_shifts_are_slices_and_the_border_repeats() -> None:
    frame = store().pixels[0]
    down = transformed(frame, "translation", 5.0)
    np.testing.assert_array_equal(down[5:], frame[:-5])
    np.testing.assert_array_equal(down[:5], np.repeat(frame[:1], 5, axis=0))
    np.testing.assert_array_equal(transformed(frame, "translation", -5.0)[:-5], frame[5:])


def test_quarter_turns_are_transpositions_and_scale_two_keeps_the_middle() -> None:
    frame = store().pixels[0]
    upright = transformed(frame, "rotation", 0.0).astype(int)
    assert np.abs(transformed(frame, "rotation", 90.0) - np.rot90(upright)).max() <= 1
    assert np.abs(transformed(frame, "rotation", 180.0) - upright[::-1, ::-1]).max() <= 1
    ramp = np.repeat(np.arange(63, dtype=np.uint8)[:, None, None], 63, axis=1).repeat(3, axis=2)
    enlarged = transformed(ramp, "scale", 2.0)
    assert enlarged[31, 31, 0] == 31 and enlarged[41, 31, 0] == 36 and enlarged[21, 31, 0] == 26
    with pytest.raises(ValueError, match="unknown"):
        transformed(frame, "shear", 1.0)


def test_translations_are_given_at_224_px_and_bring_in_the_frame_around_the_crop() -> None:
    images = store()  # crop 56, a quarter of 224, in a frame with 4 px around it
    moved = pictures(INPUTS, images, 1, "translation", [16.0, -16.0])
    np.testing.assert_array_equal(moved[0], images.pixels[1][0:56, 4:60])
    np.testing.assert_array_equal(moved[1], images.pixels[1][8:64, 4:60])


def test_shifts_are_whole_pixels_of_small_crops_and_include_none() -> None:
    shifts = whole_shifts(60.0, 21, 56)
    assert 0.0 in shifts and shifts[0] == -60 and shifts[-1] == 60
    np.testing.assert_array_equal(shifts % 4, 0)
    assert len(whole_shifts(60.0, 21, 224)) == 21


def test_distances_and_probability_equal_a_literal_computation() -> None:
    looked_at, images = network(), store()
    model = looked_at.module
    unit = {1: 2.0, 7: 0.5}
    curves = measure(looked_at, images, np.array([3, 0]), "translation", np.array([-16.0, 0.0, 16.0]), unit, batch=2)
    assert curves.distances[7][:, 1].tolist() == [0.0, 0.0]
    with torch.inference_mode():
        clean, shifted = INPUTS.center(images.frames([3])), np.roll(images.frames([3]), 4, axis=1)
        moved = INPUTS.center(shifted)  # 4 px down; what comes round lies outside the crop
        for n, name in ((1, "norm1"), (7, "relu7")):
            distance = (model.upto(moved, name) - model.upto(clean, name)).norm() / unit[n]
            assert curves.distances[n][0, 2] == pytest.approx(float(distance), rel=1e-4)
        apart = (moved - clean) * torch.as_tensor(INPUTS.std)[:, None, None]  # in pixels
        assert curves.change[0, 2] == pytest.approx(float(apart.square().mean().sqrt()), rel=1e-4)
        assert curves.kept[0, 2] == (model(moved).argmax() == model(clean).argmax()) and curves.kept[:, 1].all()
        assert curves.probability[0, 2] == pytest.approx(float(model(moved).softmax(1)[0, 3]), abs=1e-6)


def hand_made(kept: list[list[int]], change: list[list[float]]) -> Curves:
    return Curves(
        np.arange(len(kept[0])), {}, {}, np.zeros(0), np.array(kept, bool), np.array(change, float), np.zeros(0)
    )


def test_pictures_that_resemble_their_turned_ones_and_keep_their_class_are_correlated() -> None:
    curves = hand_made([[1, 1], [1, 0], [0, 0], [1, 0], [0, 1]], [[0.0, 0.0]] * 5)
    correlations = np.array([[0.9, 0.7], [0.4, 0.6], [0.1, 0.3], [0.5, 0.2], [-9.0, 9.0]])
    correct = np.array([True, True, True, True, False])
    measured = symmetry(replace(curves, pixel_correlation=correlations), correct, seed=0)
    kept = curves.kept.mean(1)[correct]
    assert measured.value == pytest.approx(spearmanr(correlations.mean(1)[correct], kept).statistic)
    assert measured.n == 4
    kept_alike = replace(hand_made([[1, 1]] * 3, [[0.0, 0.0]] * 3), pixel_correlation=correlations[:3])
    assert symmetry(kept_alike, correct[:3], seed=0).to_json()["value"] is None


def test_the_correlation_of_pictures_is_that_of_their_pixels() -> None:
    shown = np.random.default_rng(0).integers(0, 256, (4, 6, 6, 3), dtype=np.uint8)
    shown[2], shown[3] = shown[0], 7
    expected = np.corrcoef(shown[0].ravel(), shown[1].ravel())[0, 1]
    np.testing.assert_allclose(pixel_correlation(shown), [expected, 1.0, 0.0])


def test_transformations_are_compared_where_they_change_the_pixels_alike() -> None:
    moved = hand_made([[1, 1, 1, 0], [1, 0, 0, 0]], [[0, 10, 20, 40], [0, 1, 2, 3]])
    turned = hand_made([[1, 0, 1], [1, 1, 1]], [[0, 10.5, 41], [0, 50, 60]])
    # of the first image 10 is paired with 10.5 (1 - 0) and 40 with 41 (0 - 1), 20 with none; of the second none
    np.testing.assert_array_equal(equally_far(moved, turned), [0.0, np.nan])
    np.testing.assert_array_equal(equally_far(turned, moved), [0.0, np.nan])


def test_a_class_that_falls_to_turns_alone_is_found_and_one_that_falls_to_both_is_not() -> None:
    rng = np.random.default_rng(0)
    change = np.sort(rng.uniform(5, 60, (80, 20)))
    always = np.ones((80, 20), int).tolist()
    fragile = (rng.random((80, 20)) < 0.5).astype(int)
    stable, falls = hand_made(always, change.tolist()), hand_made(fragile.tolist(), change.tolist())
    assert Measure.bootstrapped(equally_far(stable, falls), 0, "images").low > 0.4  # type: ignore[operator]
    other = hand_made((rng.random((80, 20)) < 0.5).astype(int).tolist(), change.tolist())
    both = Measure.bootstrapped(equally_far(other, falls), 0, "images")
    assert both.low is not None and both.high is not None and both.low < 0.05 and both.high > -0.05


def test_the_unit_is_the_mean_distance_between_different_images() -> None:
    images = store(2)
    with torch.inference_mode():
        features = network().module.upto(INPUTS.center(images.frames([0, 1])), "relu7")
    assert mean_distance(network(), images, (7,), seed=0)[7] == pytest.approx(float((features[0] - features[1]).norm()))


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
    images = store()
    images.pixels[:] = 77
    assert all((kept == 1).all() for kept in stability(network(), images, np.arange(3)).values())


def test_the_stage_measures_and_draws(tmp_path: Path) -> None:
    config = InvarianceOptions(n_images=2, n_score=4, steps=5, translation=64.0)
    outcome = run(config, network(), store(), tmp_path, seed=0)
    assert all((tmp_path / name).stat().st_size > 0 for name in outcome.figures)
    translation = outcome.numbers["translation"]
    assert translation["amounts"] == [-64, -32, 0, 32, 64]
    assert translation["layer7"]["curve"][2] == 0.0 and outcome.numbers["scale"]["layer1"]["curve"][0] == 0.0
    for layer in ("layer1", "layer7"):
        linear = translation[layer]["linearity"]
        assert linear["low"] <= linear["value"] <= linear["high"]
    assert outcome.numbers["n_images"] == 4


def test_images_of_equal_features_are_a_reason_and_no_error(tmp_path: Path) -> None:
    images = store()
    images.pixels[:] = 90
    outcome = run(InvarianceOptions(n_images=1, n_score=2, steps=3), network(), images, tmp_path, seed=0)
    assert "the same for all images" in outcome.numbers["skipped"]


def test_a_picture_whose_features_do_not_move_leaves_the_mean_of_the_others(tmp_path: Path) -> None:
    images = store()
    images.pixels[2] = 90
    outcome = run(InvarianceOptions(n_images=1, n_score=6, steps=5), network(), images, tmp_path, seed=0)
    straight = outcome.numbers["scale"]["layer7"]["straightness"]
    assert np.isfinite([straight["value"], straight["low"], straight["high"]]).all()


def test_small_shifts_alone_say_how_much_further_layer_1_moves() -> None:
    amounts = np.array([-60.0, -16.0, 0.0, 16.0, 60.0])
    first, last = np.array([[9.0, 3, 0, 1, 9], [9, 2, 0, 2, 9]]), np.array([[9.0, 1, 0, 1, 9], [9, 1, 0, 1, 9]])
    curves = Curves(amounts, {1: first, 7: last}, {1: np.ones(2), 7: np.ones(2)}, *[np.ones((2, 5))] * 4)
    numbers = summarize("translation", curves, seed=0)
    assert numbers["layer7"]["layer1_further"]["low"] == 1.0 == numbers["layer7"]["layer1_further"]["high"]


def test_images_of_unknown_classes_have_no_probability_and_are_measured_otherwise(tmp_path: Path) -> None:
    """The same network with other classes: rows 1 and 5 are dogs, the only class that both know."""
    options = InvarianceOptions(n_images=2, n_score=6, steps=3)
    whole = run(options, network(), store(), tmp_path / "whole", seed=0).numbers
    part = run(options, network(("dog", "w", "x", "y")), store(), tmp_path / "part", seed=0)
    none = run(options, network(("v", "w", "x", "y")), store(), tmp_path / "none", seed=0)
    assert (whole["n_known"], part.numbers["n_known"], none.numbers["n_known"]) == (6, 2, 0)
    assert "probability" not in none.numbers["scale"]
    curves = measure(network(), store(), np.array([1, 5]), "scale", np.array([1.0, 1.4, 1.8]), {1: 1.0})
    assert part.numbers["scale"]["probability"]["curve"] != pytest.approx(curves.probability.mean(0).tolist())
    dogs = measure(
        network(("dog", "w", "x", "y")), store(), np.array([0, 1, 5]), "scale", np.array([1.0, 1.8]), {1: 1.0}
    )
    assert np.isnan(dogs.probability[0]).all() and np.isfinite(dogs.probability[1:]).all()
    for kind in ("translation", "scale", "rotation"):
        assert part.numbers[kind]["layer7"] == whole[kind]["layer7"] == none.numbers[kind]["layer7"]
    assert part.numbers["stability"] == whole["stability"]
    assert all((tmp_path / "none" / name).stat().st_size > 0 for name in none.figures)


def test_a_borrowed_network_is_measured_at_its_own_frame_and_layers(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module, names = resnet18(num_classes=6).eval(), ("a", "b", "cow", "d", "e", "dog")
    inputs = Inputs.of_colors(48, 40, IMAGENET_MEAN, IMAGENET_STD)
    borrowed = Network(module, inputs, Classes(names, names), {1: "maxpool", 6: "avgpool"}, {}, "resnet18")
    images = store()
    curves = measure(borrowed, images, np.array([1]), "translation", np.array([0.0, 224 / 40 * 2]), {1: 1.0, 6: 2.0})
    frame = inputs.frames(images.frames([1]))
    moved = np.concatenate([frame, np.roll(frame, 2, axis=1)])
    extractor = create_feature_extractor(module, ["maxpool", "avgpool", "fc"])
    with torch.inference_mode():
        features = extractor(inputs.center(moved))
    for n, name, unit in ((1, "maxpool", 1.0), (6, "avgpool", 2.0)):
        distance = float((features[name][1] - features[name][0]).norm()) / unit
        assert curves.distances[n][0].tolist() == pytest.approx([0.0, distance], rel=1e-4)
    assert curves.probability[0, 1] == pytest.approx(float(features["fc"].softmax(1)[1, 5]), abs=1e-6)
    numbers = run(InvarianceOptions(n_images=1, n_score=3, steps=3), borrowed, images, tmp_path, seed=0).numbers
    assert set(numbers["unit"]) == {"layer1", "layer6"}
