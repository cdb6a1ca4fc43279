from __future__ import annotations

import math

import pytest

from zfnet.core.statistics import Measure
from zfnet.experiments.trainings import error_measure
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
    assert [one.claim.key for one in full if one.measure is None] == []
    assert {one.verdict for one in verdict.judge_all({})} == {verdict.UNMEASURED}


def test_claims_have_unique_keys_and_known_papers() -> None:
    keys = [claim.key for claim in claims.CLAIMS]
    assert len(set(keys)) == len(keys)
    assert {claim.paper for claim in claims.CLAIMS} <= {"ZF13", "SVZ13", "K17"}


def test_a_changed_number_changes_the_verdict(make_outputs, tmp_path) -> None:
    found = results.read(make_outputs(tmp_path))
    claim = next(claim for claim in claims.CLAIMS if claim.key == "saliency-on-object")
    assert verdict.judge(claim, found).verdict is verdict.HOLDS
    found["saliency"].content["numbers"]["excess"].update(low=-0.02, high=0.16)
    assert verdict.judge(claim, found).verdict is verdict.OPEN
    found["saliency"].content["numbers"]["excess"].update(value=-0.1, low=-0.2, high=-0.02)
    assert verdict.judge(claim, found).verdict is verdict.FAILS


def test_depth_is_set_against_the_dearer_of_the_two_sections(make_outputs, tmp_path) -> None:
    found = results.read(make_outputs(tmp_path, "ablations"))
    more = claims.beyond_either(found)
    assert more is not None and more.value == pytest.approx(64.0 - 45.2)
    rows = found["ablations"].content["numbers"]["rows"]
    rows["krizhevsky-no67"]["val_top1_error"].update(value=66.0)
    assert claims.beyond_either(found).value == pytest.approx(64.0 - 66.0)  # type: ignore[union-attr]
    del rows["krizhevsky-no34"]
    assert claims.beyond_either(found) is None


def test_a_large_fall_is_no_slight_rise(make_outputs, tmp_path) -> None:
    found = results.read(make_outputs(tmp_path, "ablations"))
    claim = next(claim for claim in claims.CLAIMS if claim.key == "top-layers-slight")
    found["ablations"].content["numbers"]["rows"]["krizhevsky-no67"]["val_top1_error"] = Measure.percentage(
        21.0, 960
    ).to_json()
    judged = verdict.judge(claim, found)
    assert judged.measure is not None and judged.measure.value == pytest.approx(20.0)
    assert judged.verdict is verdict.FAILS


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


def test_difference_adds_half_intervals_in_quadrature() -> None:
    found = evidence.minus(Measure(10, 7, 13), Measure(4, 0, 8))
    assert found == Measure(6, 1, 11)  # sqrt(3^2 + 4^2) = 5
    assert evidence.minus(Measure(10, 7, 13), Measure(4)) == Measure(6)
    assert evidence.minus(None, Measure(4)) is None


def test_paired_difference_is_sharper_than_the_folds_spread() -> None:
    found = evidence.paired([10.0, 20.0, 30.0], [9.0, 19.1, 28.9])
    assert found is not None and found.low is not None
    assert found.value == pytest.approx(1.0) and found.low > 0
    assert evidence.paired([1.0], None) is None and evidence.paired([], [1.0]) is None
    assert evidence.paired([1.0, None, 3.0], [0.5, 1.0, 2.0]).repeats == (0.5, 1.0)  # type: ignore[list-item, union-attr]


def test_slope_is_exact_on_a_line() -> None:
    rows = [(x, [2.0 * x + c for c in (0, 5, 9)]) for x in (1, 2, 3, 4, 5, 7)]
    found = evidence.slope(rows)
    assert found is not None and found.low is not None
    assert (found.value, found.low) == (pytest.approx(2), pytest.approx(2))
    assert evidence.slope([(1, [1.0]), (2, [])]) is None


def test_measure_reads_plain_numbers_and_measures() -> None:
    assert results.measure({"value": 1.0, "low": 0.5, "high": 2.0}) == Measure(1.0, 0.5, 2.0)
    assert results.measure({"value": None}) is None and results.measure(float("nan")) is None
    assert results.measure("text") is None and results.measure(True) is None and results.measure(3) == Measure(3.0)
    folds = Measure.over_repeats([1.0, 2.0, 3.0], "folds")
    assert results.measure(folds.to_json()) == folds


def test_the_gauge_shades_the_side_on_which_the_claim_holds(make_outputs, tmp_path) -> None:
    for one in verdict.judge_all(results.read(make_outputs(tmp_path))):
        assert one.gauge is not None
        left, width = one.gauge.zone
        assert left == (pytest.approx(one.gauge.threshold) if one.claim.above else 0)
        inside = left <= one.gauge.dot <= left + width
        assert inside or one.verdict is not verdict.HOLDS


def test_one_run_counts_images_and_several_runs_count_runs() -> None:
    once = error_measure([50.0], 100)
    assert (once["n"], once["interval"]) == (100, "Wilson over images")
    assert (once["low"], once["high"]) == (pytest.approx(40.4, abs=0.05), pytest.approx(59.6, abs=0.05))
    thrice = error_measure([49.0, 50.0, 51.0], 100)
    assert (thrice["n"], thrice["std"], thrice["interval"]) == (3, 1.0, "Student over seeds")
    assert thrice["low"] == pytest.approx(50 - 4.303 / math.sqrt(3), abs=1e-3)  # t(0.975, 2) = 4.303


def test_one_trained_fold_is_judged_by_its_test_images(make_outputs, tmp_path) -> None:
    found = results.read(make_outputs(tmp_path, "transfer"))
    numbers = found["transfer"].content["numbers"]
    assert claims.pretrained_gain(found, max).n == 5  # type: ignore[union-attr]
    numbers["table4"]["scratch"] = {"30": Measure.over_repeats([0.4], "folds").to_json()}
    numbers["few_shot"]["30"]["repeats"] = [0.5] * 5
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
