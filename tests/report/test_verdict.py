from __future__ import annotations

import math

import pytest

from zfnet.core.statistics import Measure
from zfnet.report import claims, evidence, results, verdict


@pytest.mark.parametrize(
    ("low", "high", "threshold", "above", "expected"),
    [
        (1.0, 3.0, 0.0, True, verdict.HOLDS),
        (-3.0, -1.0, 0.0, True, verdict.FAILS),
        (-1.0, 3.0, 0.0, True, verdict.OPEN),
        (1.0, 3.0, 5.0, False, verdict.HOLDS),
        (6.0, 7.0, 5.0, False, verdict.FAILS),
        (4.0, 6.0, 5.0, False, verdict.OPEN),
        (0.0, 1.0, 0.0, True, verdict.OPEN),  # touching is not beyond
        (4.0, 5.0, 5.0, False, verdict.OPEN),
    ],
)
def test_verdict_follows_the_interval(
    low: float, high: float, threshold: float, above: bool, expected: verdict.Verdict
) -> None:
    assert verdict.decide(Measure((low + high) / 2, low, high), threshold, above) is expected


def test_without_an_interval_nothing_can_be_told() -> None:
    assert verdict.decide(Measure(100.0), 0.0, True) is verdict.OPEN
    assert verdict.decide(None, 0.0, True) is verdict.UNMEASURED


def test_every_claim_is_measured_on_full_results_and_unmeasured_on_none(make_outputs, tmp_path) -> None:
    full = verdict.judge_all(results.read(make_outputs(tmp_path)))
    assert len(full) >= 12
    assert [one.claim.key for one in full if one.found is None] == []
    assert {one.verdict for one in verdict.judge_all({})} == {verdict.UNMEASURED}


def test_claims_have_unique_keys_and_known_papers() -> None:
    keys = [claim.key for claim in claims.CLAIMS]
    assert len(set(keys)) == len(keys)
    assert {claim.paper for claim in claims.CLAIMS} <= {"ZF13", "SVZ13", "K17"}


def test_a_changed_number_changes_the_verdict(make_outputs, tmp_path) -> None:
    found = results.read(make_outputs(tmp_path))
    claim = next(claim for claim in claims.CLAIMS if claim.key == "saliency-on-object")
    assert verdict.judge(claim, found).verdict is verdict.HOLDS
    found["saliency"].content["numbers"]["excess_interval"] = [-0.02, 0.16]
    assert verdict.judge(claim, found).verdict is verdict.OPEN
    found["saliency"].content["numbers"].update(excess=-0.1, excess_interval=[-0.2, -0.02])
    assert verdict.judge(claim, found).verdict is verdict.FAILS


def test_depth_is_set_against_the_dearer_of_the_two_sections(make_outputs, tmp_path) -> None:
    found = results.read(make_outputs(tmp_path, "ablations"))
    more = claims.beyond_either(found)
    assert more is not None and more.value == pytest.approx(64.0 - 45.2)
    rows = found["ablations"].content["numbers"]["rows"]
    rows["krizhevsky-no67"]["val_top1_error"].update(mean=66.0, runs=[66.0])
    assert claims.beyond_either(found).value == pytest.approx(64.0 - 66.0)  # type: ignore[union-attr]
    del rows["krizhevsky-no34"]
    assert claims.beyond_either(found) is None


def test_a_large_fall_is_no_slight_rise(make_outputs, tmp_path) -> None:
    found = results.read(make_outputs(tmp_path, "ablations"))
    claim = next(claim for claim in claims.CLAIMS if claim.key == "top-layers-slight")
    found["ablations"].content["numbers"]["rows"]["krizhevsky-no67"]["val_top1_error"].update(mean=21.0, runs=[21.0])
    judged = verdict.judge(claim, found)
    assert judged.found is not None and judged.found.value == pytest.approx(20.0)
    assert judged.verdict is verdict.FAILS


def test_the_training_errors_interval_counts_the_images_it_was_taken_over(make_outputs, tmp_path) -> None:
    found = results.read(make_outputs(tmp_path, "ablations"))
    found["ablations"].content["numbers"].update(n_train=1_281_167, n_train_measured=20_000)
    assert claims.val_error(found, "zfnet", "train_top1_error").n == 20_000  # type: ignore[union-attr]


def test_the_method_nearest_to_chance_is_the_one_that_counts(make_outputs, tmp_path) -> None:
    found = results.read(make_outputs(tmp_path, "patterns"))
    nearest = claims.worst_beside_random(found)
    assert nearest is not None and nearest.value == pytest.approx(0.1)  # a: 0.7 beside 0.8


def test_sizes_and_extremes_of_numbers() -> None:
    assert evidence.size(Measure(-4, -5, -3)) == Measure(4, 3, 5)
    assert evidence.size(Measure(-1, -3, 2)) == Measure(1, 0, 3)
    assert evidence.size(Measure(-2)) == Measure(2) and evidence.size(None) is None
    few, many = Measure(1, 0, 2), Measure(3, 2, 9)
    assert evidence.smaller(many, few) == few and evidence.larger(few, many) == many
    assert evidence.smaller(few, None) is None and evidence.smaller() is None


def test_a_tenth_of_the_images() -> None:
    assert claims.a_tenth([1, 3, 15, 30]) == 3
    assert claims.a_tenth([5, 15, 30]) == 5


def test_wilson_interval_of_half_of_a_hundred() -> None:
    low, high = results.wilson(50.0, 100)
    assert (low, high) == (pytest.approx(40.4, abs=0.05), pytest.approx(59.6, abs=0.05))
    assert results.wilson(0.0, 10)[0] == pytest.approx(0, abs=1e-12)
    assert results.wilson(100.0, 10)[1] == pytest.approx(100)


def test_student_interval_by_hand() -> None:
    found = results.student([1.0, 2.0, 3.0])
    assert found is not None and found.low is not None
    half = 4.303 * 1.0 / math.sqrt(3)  # t(0.975, 2) = 4.303
    assert (found.value, found.low) == (pytest.approx(2), pytest.approx(2 - half, abs=1e-3))
    assert results.student([]) is None
    assert results.student([5.0]) == Measure(5.0, n=1)


def test_difference_adds_half_intervals_in_quadrature() -> None:
    found = evidence.minus(Measure(10, 7, 13), Measure(4, 0, 8))
    assert found == Measure(6, 1, 11)  # sqrt(3^2 + 4^2) = 5
    assert evidence.minus(Measure(10, 7, 13), Measure(4)) == Measure(6)
    assert evidence.minus(None, Measure(4)) is None


def test_paired_difference_is_sharper_than_the_folds_spread() -> None:
    found = evidence.paired([10.0, 20.0, 30.0], [9.0, 19.1, 28.9])
    assert found is not None and found.low is not None
    assert found.value == pytest.approx(1.0) and found.low > 0
    assert evidence.paired([1.0], None) is None


def test_slope_is_exact_on_a_line() -> None:
    rows = [(x, [2.0 * x + c for c in (0, 5, 9)]) for x in (1, 2, 3, 4, 5, 7)]
    found = evidence.slope(rows)
    assert found is not None and found.low is not None
    assert (found.value, found.low) == (pytest.approx(2), pytest.approx(2))
    assert evidence.slope([(1, [1.0]), (2, None)]) is None


def test_measure_reads_the_layouts_that_stages_use() -> None:
    assert results.measure({"mean": 1.0, "low": 0.5, "high": 2.0}) == Measure(1.0, 0.5, 2.0)
    assert results.measure({"value": 1.0, "interval": [0.5, 2.0]}) == Measure(1.0, 0.5, 2.0)
    assert results.measure({"mean": float("nan")}) is None
    assert results.measure("text") is None and results.measure(True) is None
    found = results.measure({"mean": 2.0, "std": 1.0, "folds": [1.0, 2.0, 3.0]})
    assert found is not None and found.std == 1.0 and found.low is not None and found.low < 0


def test_the_gauge_shades_the_side_on_which_the_claim_holds(make_outputs, tmp_path) -> None:
    for one in verdict.judge_all(results.read(make_outputs(tmp_path))):
        assert one.gauge is not None
        left, width = one.gauge.zone
        assert left == (pytest.approx(one.gauge.threshold) if one.claim.above else 0)
        inside = left <= one.gauge.dot <= left + width
        assert inside or one.verdict is not verdict.HOLDS


def test_one_run_counts_images_and_several_runs_count_runs() -> None:
    once = results.measure({"mean": 50.0, "std": 0.0, "runs": [50.0]}, 100)
    assert once == Measure(50.0, *results.wilson(50.0, 100), n=100)
    thrice = results.measure({"mean": 50.0, "std": 1.0, "runs": [49.0, 50.0, 51.0]}, 100)
    assert thrice is not None and thrice.n == 3 and thrice.std == 1.0
    assert thrice.low == pytest.approx(50 - 4.303 / math.sqrt(3), abs=1e-3)


def test_one_trained_fold_is_judged_by_its_test_images(make_outputs, tmp_path) -> None:
    found = results.read(make_outputs(tmp_path, "transfer"))
    numbers = found["transfer"].content["numbers"]
    assert claims.pretrained_gain(found, max).n == 5  # type: ignore[union-attr]
    numbers["table4"]["scratch"] = {"30": {"mean": 0.4, "std": 0.0, "folds": [0.4]}}
    numbers["few_shot"]["30"]["folds"] = [0.5] * 5
    numbers["n_test"] = 50 * numbers["n_classes"]
    gain = claims.pretrained_gain(found, max)
    assert gain is not None and gain.value == pytest.approx(10)
    assert gain.low == pytest.approx(10 - 5.6, abs=0.2)  # of 600 images each: sqrt(2) x 4.0
    del numbers["n_test"]
    assert claims.pretrained_gain(found, max) == Measure(pytest.approx(10))


def test_a_skipped_stage_says_why(make_outputs, tmp_path) -> None:
    found = results.read(make_outputs(tmp_path, "correspondence"))
    found["correspondence"].content["numbers"] = {"skipped": "no eyes anywhere"}
    claim = next(claim for claim in claims.CLAIMS if claim.stage == "correspondence")
    judged = verdict.judge(claim, found)
    assert judged.verdict is verdict.UNMEASURED and judged.sentence == "no eyes anywhere"


def test_a_count_of_claims_is_a_sentence() -> None:
    said = [verdict.counted(verdict.HOLDS, 1), verdict.counted(verdict.HOLDS, 13), verdict.counted(verdict.FAILS, 2)]
    assert said == ["1 holds", "13 hold", "2 do not hold"]
