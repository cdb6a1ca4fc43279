"""Fig. 7's maps against a literal loop and Captum, the score against hand-made maps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from zfnet.core.errors import UserError
from zfnet.data.cache.images import Images
from zfnet.data.index import Index
from zfnet.experiments.occlusion.compute import Maps, energy_under, grid, run, score, slide
from zfnet.experiments.occlusion.options import OcclusionOptions
from zfnet.experiments.occlusion.other_images import map_totals, project_map, strongest_others
from zfnet.networks.boxes import crop_boxes
from zfnet.networks.checkpoint import trained_network
from zfnet.networks.convnet import ConvNet, build
from zfnet.networks.inputs import Inputs
from zfnet.networks.network import Classes, Network

NAMES = ("cat", "dog", "a class with a very long name indeed", "car")
INPUTS = Inputs.of_mean_image(np.full((64, 64, 3), 120.0, np.float32), 50.0)


def module() -> ConvNet:
    model = build("zfnet", 4, 56, width=0.125)
    model.initialize("he", seed=0)
    return model.eval()


def network(model: ConvNet) -> Network:
    return trained_network(model, INPUTS, Classes(NAMES, NAMES))


def dataset(model: ConvNet, boxes: np.ndarray) -> Images:
    """Six pictures of noise, labelled as the network sees them, all with the same boxes."""
    pixels = np.random.default_rng(0).integers(0, 256, (6, 64, 64, 3), dtype=np.uint8)
    paths = np.array([f"{i}.png" for i in range(6)])
    index = Index(Path("."), paths, np.zeros(6, np.int64), NAMES, NAMES, tuple(boxes for _ in paths))
    images = Images(index, pixels, np.full((6, 2), 64))
    with torch.inference_mode():
        index.labels[:] = model(INPUTS.center(pixels)).argmax(1).numpy()
    return images


def test_the_three_maps_equal_a_literal_loop() -> None:
    model = module()
    images = dataset(model, np.zeros((0, 4), np.int64))
    image, fill, places = INPUTS.center(images.frames([2]))[0], torch.full((3, 56, 56), 0.3), grid(56, 15, 13)
    maps = slide(model, image, 1, fill, places, "pool5", batch=4)
    with torch.inference_mode():
        assert maps.channel == int(model.upto(image[None], "pool5").sum((2, 3)).argmax())
        for r, top in enumerate(places.tops):
            for c, left in enumerate(places.lefts):
                occluded = image.clone()
                for y in range(top, top + 15):
                    for x in range(left, left + 15):
                        occluded[:, y, x] = 0.3
                probability = model(occluded[None]).softmax(1)[0]
                activity = model.upto(occluded[None], "pool5")[0, maps.channel].sum()
                assert maps.probability[r, c] == pytest.approx(float(probability[1]), abs=1e-5)
                assert maps.activity[r, c] == pytest.approx(float(activity), abs=1e-4)
                assert maps.label[r, c] == int(probability.argmax())
        assert maps.clean_probability == pytest.approx(float(model(image[None]).softmax(1)[0, 1]), abs=1e-5)


def test_where_places_do_not_overlap_the_score_drop_is_captums() -> None:
    from captum.attr import Occlusion

    model = module()
    image, places = torch.randn(3, 56, 56, generator=torch.Generator().manual_seed(0)), grid(56, 14, 14)

    def probability(x: Tensor) -> Tensor:
        return model(x).softmax(1)

    with torch.inference_mode():
        theirs = Occlusion(probability).attribute(image[None], (3, 14, 14), (3, 14, 14), baselines=0.0, target=2)
    maps = slide(model, image, 2, torch.zeros(3, 56, 56), places, "pool5", batch=64)
    ours = np.kron(maps.clean_probability - maps.probability, np.ones((14, 14)))
    np.testing.assert_allclose(ours, theirs[0, 0].numpy(), atol=1e-5)


def test_places_lie_inside_and_share_the_rest_of_the_stride() -> None:
    places = grid(20, 5, 4)  # 15 px free: 0, 4, 8, 12 and 3 left over, one of them before
    assert places.tops.tolist() == [1, 5, 9, 13]
    assert places.corners[5].tolist() == [5, 5] and len(places.corners) == 16
    with pytest.raises(UserError, match="occlusion.square: 20 px"):
        grid(20, 20, 4)


def test_the_strongest_map_is_that_of_the_largest_sum() -> None:
    model = module()
    image = torch.randn(3, 56, 56, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        sums = [float(m.sum()) for m in model.upto(image[None], "pool5")[0]]
    maps = slide(model, image, 0, torch.zeros(3, 56, 56), grid(56, 40, 16), "pool5", batch=4)
    assert maps.channel == max(range(len(sums)), key=sums.__getitem__)
    assert maps.clean_activity == pytest.approx(max(sums), rel=1e-5)


def test_inside_is_the_center_in_any_box() -> None:
    places = grid(20, 5, 5)  # centres 2, 7, 12, 17
    inside = places.inside(np.array([[0, 0, 2, 2], [7, 12, 12, 12]]))
    assert np.argwhere(inside).tolist() == [[0, 0], [2, 1], [2, 2]]


def _maps(probability: list[list[float]], activity: list[list[float]]) -> Maps:
    p = np.array(probability)
    return Maps(0, np.array(activity), p, np.zeros(p.shape, np.int64), 9.0, 0.9)


def test_the_score_of_hand_made_maps() -> None:
    hit = _maps([[0.1, 0.9], [0.5, 0.9]], [[1, 2], [0, 2]])
    tied = _maps([[0.2, 0.2], [0.9, 0.9]], [[0, 2], [3, 2]])
    inside = np.array([[True, False], [False, False]])
    everywhere, nowhere = np.ones((2, 2), bool), np.zeros((2, 2), bool)
    scored = score([hit, tied, hit, hit], [inside, inside, everywhere, nowhere], seed=0)
    assert scored["n_scored"] == 2
    assert scored["deepest_drop_in_box"]["value"] == pytest.approx((1 + 0.5) / 2)
    assert scored["chance"]["value"] == pytest.approx(0.25)
    assert scored["deepest_activity_in_box"]["value"] == pytest.approx(0.5)
    assert scored["activity_above_chance"]["value"] == pytest.approx(0.25)
    assert scored["drop_inside"]["value"] == pytest.approx((0.8 + 0.7) / 2)
    assert scored["drop_outside"]["value"] == pytest.approx((0.4 / 3 + 0.7 / 3) / 2)
    assert scored["lowest_probability"]["value"] == pytest.approx((3 * 0.1 + 0.2) / 4)


def test_the_projections_energy_under_each_square_is_a_literal_sum() -> None:
    projection, places = np.random.default_rng(0).normal(size=(20, 20, 3)), grid(20, 5, 4)
    shares = energy_under(projection, places)
    for r, top in enumerate(places.tops):
        for c, left in enumerate(places.lefts):
            under = (projection[top : top + 5, left : left + 5] ** 2).sum()
            assert shares[r, c] == pytest.approx(under / (projection**2).sum())
    assert not energy_under(np.zeros((20, 20, 3)), places).any()


def test_the_score_of_a_projection_is_what_is_covered_where_the_map_falls_silent() -> None:
    maps = _maps([[0.1, 0.9], [0.5, 0.9]], [[1, 2], [0, 0]])
    maps = replace(maps, projected=np.array([[0.0, 0.1], [0.3, 0.4]]))
    scored = score([maps, maps], [np.ones((2, 2), bool)] * 2, seed=0)
    assert scored["projection_at_lowest_activity"]["value"] == pytest.approx(0.35)
    assert scored["projection_difference"]["value"] == pytest.approx(0.35 - 0.2)


def _object(at: tuple[int, int], place: tuple[int, int]) -> tuple[Maps, np.ndarray]:
    """Maps of a 6 x 6 grid whose drop, quiet place and projection lie at `at`, and a box about `place`."""
    probability, activity = np.full((6, 6), 0.9), np.ones((6, 6))
    probability[at], activity[at] = 0.1, 0.0
    projected, box = np.zeros((6, 6)), np.zeros((6, 6), bool)
    projected[at] = 1.0
    box[max(0, place[0] - 1) : place[0] + 2, max(0, place[1] - 1) : place[1] + 2] = True
    return replace(_maps(probability.tolist(), activity.tolist()), projected=projected), box


ABOVE_OTHERS = ("place_above_others", "drop_effect", "projection_above_others")


def test_maps_that_follow_the_object_score_above_other_images_boxes() -> None:
    places = [tuple(place) for place in np.random.default_rng(0).integers(0, 6, (30, 2)).tolist()]
    scored = score(*map(list, zip(*[_object(place, place) for place in places], strict=True)), seed=0)
    assert all(scored[name]["low"] > 0 for name in ABOVE_OTHERS)
    assert scored["drop_effect"]["low"] > 0.5


def test_maps_that_always_point_to_the_center_do_not() -> None:
    places = [tuple(place) for place in np.random.default_rng(0).integers(1, 4, (30, 2)).tolist()]
    scored = score(*map(list, zip(*[_object((2, 2), place) for place in places], strict=True)), seed=0)
    assert scored["above_chance"]["low"] > 0  # the boxes are central: this is what a random place is set against
    for name in ("place_above_others", "projection_above_others"):
        assert scored[name]["value"] == pytest.approx(0, abs=1e-9)
    assert not scored["drop_effect"]["low"] > 0


def test_boxes_of_the_original_become_boxes_of_the_crop() -> None:
    model = module()
    images = dataset(model, np.array([[4, 4, 63, 31]]))
    np.testing.assert_allclose(crop_boxes(INPUTS, images, 0), [[0, 0, 59, 27]], atol=1e-9)


def test_the_figure_and_the_score_with_and_without_boxes(tmp_path: Path) -> None:
    model = module()
    options = OcclusionOptions(square=14, stride=14, n_images=2, n_score=4, gray="128")
    boxed = dataset(model, np.array([[10, 10, 40, 40]]))
    outcome = run(options, network(model), boxed, tmp_path / "a", seed=1)
    assert outcome.numbers["n_scored"] == 4 and len(outcome.numbers["shown"]) == 2
    assert {"projection_at_lowest_activity", "projection_difference"} <= set(outcome.numbers)
    assert (tmp_path / "a/occlusion.png").stat().st_size
    boxless = run(options, network(model), dataset(model, np.zeros((0, 4), np.int64)), tmp_path / "c", seed=1)
    assert boxless.numbers["n_scored"] == 0 and "no boxes" in boxless.headline


def test_a_network_that_is_always_wrong_is_skipped(tmp_path: Path) -> None:
    model = module()
    images = dataset(model, np.zeros((0, 4), np.int64))
    images.index.labels[:] = (images.index.labels + 1) % 4
    outcome = run(OcclusionOptions(square=14, stride=14), network(model), images, tmp_path, seed=0)
    assert "no image correctly" in outcome.numbers["skipped"] and not outcome.figures


def test_photographs_without_labels_are_followed_by_the_class_that_the_network_guesses(tmp_path: Path) -> None:
    model = module()
    images = dataset(model, np.zeros((0, 4), np.int64))
    unlabeled = replace(images, index=replace(images.index, classes=tuple("wxyz"), names=tuple("wxyz")))
    options = OcclusionOptions(square=14, stride=14, n_images=2, n_score=3)
    numbers = run(options, network(model), unlabeled, tmp_path / "a", seed=0).numbers
    assert "its guess stands for the class" in numbers["selection"] and len(numbers["shown"]) == 2
    labeled = run(options, network(model), images, tmp_path / "b", seed=0).numbers
    assert "classified correctly" in labeled["selection"]


# --- the map in other images --------------------------------------------------------------------------------------


def test_the_other_images_are_those_of_the_largest_total_but_the_image_itself() -> None:
    totals, rows = np.array([3.0, 0.0, 9.0, 5.0, 5.0, 1.0, 2.0]), np.array([2, 3, 5, 8, 13, 21, 34])
    assert strongest_others(totals, rows, own=5).tolist() == [8, 13, 2, 34]
    assert strongest_others(totals[:2], rows[:2], own=2).tolist() == []


def test_totals_and_projections_of_a_map_are_those_of_one_image_at_a_time() -> None:
    model = module()
    images, looked_at = dataset(model, np.array([[8, 8, 40, 40]])), network(model)
    rows = np.arange(len(images))
    totals = map_totals(looked_at, images, rows, "relu1", batch=2)
    for row in rows:
        x = looked_at.center(images.frames([row]))
        assert np.allclose(totals[row], model.relu1(model.conv1(x)).sum((2, 3))[0].detach(), rtol=1e-4)
    channel = int(totals.sum(0).argmax())
    together = project_map(looked_at, images, rows, channel, "relu1")
    alone = np.concatenate([project_map(looked_at, images, [row], channel, "relu1") for row in rows])
    assert together.shape == (len(rows), looked_at.inputs.crop, looked_at.inputs.crop, 3)
    assert np.allclose(together, alone, atol=1e-5) and np.abs(together).max() > 0
