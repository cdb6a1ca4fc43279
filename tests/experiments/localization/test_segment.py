from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from zfnet.experiments.localization.boxes import iou, mask_box
from zfnet.experiments.localization.options import LocalizationOptions
from zfnet.experiments.localization.segment import (
    BACKGROUND,
    FOREGROUND,
    HARD_BACKGROUND,
    HARD_FOREGROUND,
    UNDECIDED,
    choose_seeds,
    color_models,
    cut,
    largest_component,
    segment,
    smooth,
    threshold,
    threshold_box,
)

CONFIG = LocalizationOptions()
EVERYWHERE = np.ones((48, 64), bool)


def picture(box: tuple[int, int, int, int] = (20, 10, 43, 35), seed: int = 0) -> np.ndarray:
    """A reddish object on a greenish ground, both noisy."""
    rng = np.random.default_rng(seed)
    image = np.tile(np.array([60, 150, 60]), (48, 64, 1))
    x0, y0, x1, y1 = box
    image[y0 : y1 + 1, x0 : x1 + 1] = (190, 60, 60)
    return np.clip(image + rng.normal(0, 12, image.shape), 0, 255).astype(np.uint8)


def blob(x: float = 31, y: float = 22, sigma: float = 7) -> np.ndarray:
    yy, xx = np.mgrid[:48, :64]
    return np.exp(-((xx - x) ** 2 + (yy - y) ** 2) / (2 * sigma**2)).astype(np.float32)


def test_a_peak_inside_the_object_grows_to_the_object() -> None:
    segmented = segment(picture(), blob(26, 20, 5), EVERYWHERE, CONFIG, seed=0)
    assert segmented.fallback == ""
    assert iou(segmented.box[None], np.array([[20, 10, 43, 35]]))[0, 0] > 0.9
    thresholded = threshold_box(blob(26, 20, 5), EVERYWHERE, CONFIG)
    assert iou(thresholded[None], np.array([[20, 10, 43, 35]]))[0, 0] < 0.8  # knows no colours


def test_the_sides_of_the_box_are_scaled_and_those_of_the_whole_image_are_not() -> None:
    config = replace(CONFIG, box_scale=0.5, threshold_box_scale=2.0)
    x0, y0, x1, y1 = mask_box(segment(picture(), blob(26, 20, 5), EVERYWHERE, config, seed=0).mask).tolist()
    scaled = segment(picture(), blob(26, 20, 5), EVERYWHERE, config, seed=0).box.tolist()
    assert scaled[2] - scaled[0] + 1 == pytest.approx((x1 - x0 + 1) / 2, abs=1)
    assert scaled[3] - scaled[1] + 1 == pytest.approx((y1 - y0 + 1) / 2, abs=1)
    assert np.add(scaled[:2], scaled[2:]) == pytest.approx([x0 + x1, y0 + y1], abs=1)
    plain, doubled = (threshold_box(blob(), EVERYWHERE, c) for c in (CONFIG, config))
    assert doubled[2] - doubled[0] + 1 == pytest.approx(2 * (plain[2] - plain[0] + 1), abs=1)
    assert threshold_box(np.ones((48, 64), np.float32), EVERYWHERE, config).tolist() == [0, 0, 63, 47]


def test_the_cut_depends_on_its_seed_alone() -> None:
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)  # no clusters: k-means is torn
    seeds = choose_seeds(blob(), EVERYWHERE, CONFIG)

    def cut_after(state: int, seed: int) -> np.ndarray:
        cv2.setRNGSeed(state)
        return cut(image, seeds, 2, seed)

    np.testing.assert_array_equal(cut_after(1, seed=5), cut_after(2, seed=5))
    assert any((cut_after(1, seed=other) != cut_after(1, seed=5)).any() for other in range(6, 10))


def test_the_first_cut_does_not_learn_from_undecided_pixels() -> None:
    """Most of the object is undecided: a background model that learnt from it would swallow the object."""
    box = (8, 4, 55, 43)
    seeds = np.full((48, 64), UNDECIDED, np.uint8)
    seeds[20:26, 28:36] = FOREGROUND
    seeds[:3] = seeds[45:] = BACKGROUND
    mask = cut(picture(box), seeds, 1, seed=0)
    truth = np.zeros_like(mask)
    truth[4:44, 8:56] = True
    assert (mask == truth).mean() > 0.98


def test_seeds_are_the_stated_shares() -> None:
    saliency = np.random.default_rng(1).permutation(48 * 64).reshape(48, 64).astype(np.float32)
    seeds = choose_seeds(saliency, EVERYWHERE, CONFIG)
    share = {code: (seeds == code).mean() for code in range(5)}
    assert share[HARD_FOREGROUND] == pytest.approx(0.005, abs=1e-3)
    assert share[FOREGROUND] == pytest.approx(0.045, abs=1e-3)
    assert share[BACKGROUND] == pytest.approx(0.295, abs=1e-3)
    assert share[HARD_BACKGROUND] == pytest.approx(0.005, abs=1e-3)
    assert saliency[seeds == FOREGROUND].min() > saliency[seeds == UNDECIDED].max()
    assert saliency[seeds == BACKGROUND].max() < saliency[seeds == UNDECIDED].min()


@pytest.mark.parametrize("clamp", ["all", "extreme"])
def test_seeds_of_the_range_are_levels_between_minimum_and_maximum(clamp: str) -> None:
    """Pixel by pixel, in a map of whose range the object takes another share than of its pixels."""
    config = replace(CONFIG, seeds="range", range_foreground=0.4, range_background=0.1, clamp=clamp)
    saliency = 3 + blob(sigma=15) + np.random.default_rng(2).random((48, 64)).astype(np.float32)
    inside = EVERYWHERE.copy()
    inside[:, 60:] = False
    saliency[:, 60:] = 99.0  # no value of the map
    seeds = choose_seeds(saliency, inside, config)
    values = [float(saliency[y, x]) for y in range(48) for x in range(60)]
    low, high = min(values), max(values)
    ends = sorted(values)
    for y in range(48):
        for x in range(60):
            share = (float(saliency[y, x]) - low) / (high - low)
            kind = "foreground" if share >= 0.4 else "background" if share <= 0.1 else "undecided"
            if kind == "undecided":
                assert seeds[y, x] == UNDECIDED
            elif clamp == "all":
                assert seeds[y, x] == (HARD_FOREGROUND if kind == "foreground" else HARD_BACKGROUND)
            else:
                extreme = float(saliency[y, x]) >= ends[-10] or float(saliency[y, x]) <= ends[9]
                soft, hard = (FOREGROUND, HARD_FOREGROUND) if kind == "foreground" else (BACKGROUND, HARD_BACKGROUND)
                assert seeds[y, x] == hard if extreme else seeds[y, x] in (soft, hard)
    assert (seeds[:, 60:] == BACKGROUND).all()


def test_the_number_of_range_seeds_follows_the_object_and_that_of_quantiles_does_not() -> None:
    ranged = replace(CONFIG, seeds="range", clamp="all")
    sizes = {
        kind: [int((choose_seeds(blob(sigma=sigma), EVERYWHERE, config) % 2 == 1).sum()) for sigma in (4, 12)]
        for kind, config in {"quantile": CONFIG, "range": ranged}.items()
    }
    assert sizes["quantile"][0] == pytest.approx(sizes["quantile"][1], rel=0.02)
    assert sizes["range"][1] > 5 * sizes["range"][0]


def test_all_seeds_are_clamped_when_asked_and_the_mask_keeps_them() -> None:
    clamped = replace(CONFIG, clamp="all", foreground=0.8, background=0.2, smoothing=0.0)
    seeds = choose_seeds(blob(), EVERYWHERE, clamped)
    assert set(np.unique(seeds)) == {HARD_BACKGROUND, HARD_FOREGROUND, UNDECIDED}
    assert (seeds == HARD_FOREGROUND).mean() == pytest.approx(0.2, abs=0.01)
    noise = np.random.default_rng(3).integers(0, 256, (48, 64, 3), dtype=np.uint8)  # colours that say nothing
    mask = segment(noise, blob(), EVERYWHERE, clamped, seed=0).mask
    assert mask[seeds == HARD_FOREGROUND].all() and not mask[seeds == HARD_BACKGROUND].any()


def test_a_sparse_map_seeds_only_where_it_is_not_zero() -> None:
    saliency = np.zeros((48, 64), np.float32)
    saliency[10:14, 10:14] = 1.0  # far less than 5 %: both quantiles are zero
    seeds = choose_seeds(saliency, EVERYWHERE, CONFIG)
    assert ((seeds == HARD_FOREGROUND) == (saliency > 0)).all()


def test_a_single_foreground_pixel_is_enough() -> None:
    saliency = np.zeros((48, 64), np.float32)
    saliency[20, 30] = 1.0
    segmented = segment(picture(), saliency, EVERYWHERE, replace(CONFIG, smoothing=0.0), seed=0)
    assert segmented.mask[20, 30]


def test_a_map_that_is_high_almost_everywhere_has_background_seeds() -> None:
    saliency = np.ones((48, 64), np.float32)
    saliency[:, :5] = 0.0
    seeds = choose_seeds(saliency, EVERYWHERE, CONFIG)
    assert ((seeds % 2 == 0) & (seeds != UNDECIDED)).sum() == 48 * 5


def test_outside_the_frame_nothing_is_clamped_and_quantiles_ignore_it() -> None:
    inside = EVERYWHERE.copy()
    inside[:, :8] = inside[:, 56:] = False
    saliency = np.where(inside, blob(), 0)
    seeds = choose_seeds(saliency, inside, CONFIG)
    assert (seeds[~inside] == BACKGROUND).all()
    np.testing.assert_array_equal(seeds[:, 8:56], choose_seeds(blob()[:, 8:56], EVERYWHERE[:, 8:56], CONFIG))


def test_color_models_know_the_seeds_alone() -> None:
    seeds = choose_seeds(blob(), EVERYWHERE, CONFIG)
    image = picture()
    changed = image.copy()
    changed[seeds == UNDECIDED] = (0, 0, 255)
    for a, b in zip(_models(image, seeds), _models(changed, seeds), strict=True):
        np.testing.assert_array_equal(a, b)


def test_color_models_have_the_mean_colours_of_their_seeds() -> None:
    seeds, image = choose_seeds(blob(), EVERYWHERE, CONFIG), picture()
    background, foreground = _models(image, seeds)
    for model, codes in ((background, (BACKGROUND, HARD_BACKGROUND)), (foreground, (FOREGROUND, HARD_FOREGROUND))):
        weights, means = model[0, :5], model[0, 5:20].reshape(5, 3)  # OpenCV: 5 weights, 5 means, 5 covariances
        assert weights.sum() == pytest.approx(1)
        np.testing.assert_allclose(weights @ means, image[np.isin(seeds, codes)].mean(0), atol=1e-6)


def _models(image: np.ndarray, seeds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    cv2.setRNGSeed(3)
    return color_models(image, seeds)


def test_hard_seeds_survive_colours_that_say_otherwise() -> None:
    seeds = choose_seeds(blob(), EVERYWHERE, CONFIG)
    seeds[0, 0] = HARD_FOREGROUND  # a pixel of the background's colour
    mask = cut(picture(), seeds, 1, seed=0)
    assert mask[0, 0] and not mask[seeds == HARD_BACKGROUND].any() and mask[seeds == HARD_FOREGROUND].all()


@pytest.mark.parametrize("value", [0.0, 1.0, 1e-20])
def test_flat_saliency_gives_the_whole_image_and_says_so(value: float) -> None:
    flat = np.full((48, 64), value, np.float32)
    segmented = segment(picture(), flat, EVERYWHERE, CONFIG, seed=0)
    assert segmented.fallback == "flat saliency" and segmented.box.tolist() == [0, 0, 63, 47]
    assert threshold_box(flat, EVERYWHERE, CONFIG).tolist() == [0, 0, 63, 47] and not segmented.mask.any()


@pytest.mark.parametrize(("filled", "kind"), [(True, "full mask"), (False, "empty mask")])
def test_degenerate_cuts_are_named(monkeypatch: pytest.MonkeyPatch, filled: bool, kind: str) -> None:
    monkeypatch.setattr(
        "zfnet.experiments.localization.segment.cut", lambda image, *_: np.full(image.shape[:2], filled)
    )
    segmented = segment(picture(), blob(), EVERYWHERE, CONFIG, seed=0)
    assert segmented.fallback == kind and segmented.box.tolist() == threshold_box(blob(), EVERYWHERE, CONFIG).tolist()


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("iterations", [1, 3])
def test_no_map_and_no_image_breaks_it(seed: int, iterations: int) -> None:
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(2, 24, 2))
    image = rng.integers(0, 256, (*shape, 3), dtype=np.uint8) if seed % 3 else np.full((*shape, 3), 7, np.uint8)
    saliency = np.where(rng.random(shape) < 0.2, rng.random(shape), 0.0).astype(np.float32)
    segmented = segment(image, saliency, np.ones(shape, bool), replace(CONFIG, iterations=iterations), seed)
    x0, y0, x1, y1 = segmented.box
    assert 0 <= x0 <= x1 < shape[1] and 0 <= y0 <= y1 < shape[0]


def test_smoothing_does_not_leak_from_outside() -> None:
    inside = EVERYWHERE.copy()
    inside[:, 40:] = False
    flat = np.where(inside, 2.0, 99.0)
    blurred = smooth(flat, inside, 0.1)
    np.testing.assert_allclose(blurred[inside], 2.0, rtol=1e-5)
    assert (blurred[~inside] == 0).all()


def test_no_smoothing_leaves_the_map() -> None:
    np.testing.assert_array_equal(smooth(blob(), EVERYWHERE, 0.0), blob())


def test_the_largest_component_is_the_one_of_most_pixels_not_of_the_widest_extent() -> None:
    mask = np.zeros((9, 9), bool)
    mask[0, :] = True  # nine pixels, nine wide
    mask[3:7, 2:6] = True  # sixteen
    mask[8, 8] = True
    assert mask_box(largest_component(mask)).tolist() == [2, 3, 5, 6]


def test_largest_component_joins_diagonals_and_prefers_the_first_of_equals() -> None:
    mask = np.array([[1, 0, 0, 1, 1], [0, 1, 0, 0, 0], [0, 0, 0, 1, 1]], bool)
    expected = np.zeros_like(mask)
    expected[0, 0] = expected[1, 1] = True
    np.testing.assert_array_equal(largest_component(mask), expected)
    assert not largest_component(np.zeros((3, 3), bool)).any()


def test_threshold_is_a_share_of_the_way_from_minimum_to_maximum() -> None:
    saliency = np.array([[1.0, 2.0, 3.0, 4.0, 5.0]])
    assert threshold(saliency, np.ones((1, 5), bool), 0.5).tolist() == [[False, False, True, True, True]]
