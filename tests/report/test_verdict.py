from __future__ import annotations

import math
from itertools import permutations
from pathlib import Path

import pytest

from zfnet.core.statistics import Measure
from zfnet.experiments.trainings import error_measure
from zfnet.report import evidence, results, verdict
from zfnet.report.claims import networks, table
from zfnet.report.claims.claim import Claim

ROOT = Path(__file__).parents[2]


def claim_of(key: str) -> Claim:
    return next(claim for claim in table.CLAIMS if claim.key == key)


def judge(key: str, of: results.Result | dict) -> verdict.Judged:
    return verdict.judge(claim_of(key), of)


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
    keys = [claim.key for claim in table.CLAIMS]
    assert len(set(keys)) == len(keys)
    assert {claim.paper for claim in table.CLAIMS} <= {"ZF13", "SVZ13", "K17"}


def test_the_docs_say_how_each_claim_is_tested() -> None:
    page = (ROOT / "docs" / "claims.md").read_text(encoding="utf-8")
    shown = page.partition("<!-- claims -->")[2].partition("<!-- end of claims -->")[0].strip()
    assert shown == table.markdown(), "put zfnet.report.claims.table.markdown() between the marks of docs/claims.md"


def test_a_changed_number_changes_the_verdict(make_outputs, tmp_path) -> None:
    found = results.read(make_outputs(tmp_path))
    excess = found["saliency"].content["numbers"]["above_others"]
    assert judge("saliency-on-object", found).verdict is verdict.HOLDS
    excess.update(low=-0.02, high=0.16)
    assert judge("saliency-on-object", found).verdict is verdict.OPEN
    excess.update(value=-0.1, low=-0.2, high=-0.02)
    assert judge("saliency-on-object", found).verdict is verdict.FAILS


def test_what_holds_untrained_does_not_count(make_outputs, tmp_path) -> None:
    found = results.read(make_outputs(tmp_path))
    numbers = found["saliency"].content["numbers"]
    numbers["control"] = {"above_others": Measure(0.0, -0.05, 0.05, 60).to_json()}
    judged = judge("saliency-on-object", found)
    assert judged.verdict is verdict.HOLDS and any("initial weights: 0.000" in remark for remark in judged.remarks)
    numbers["control"] = {"above_others": Measure(0.09, 0.05, 0.12, 60).to_json()}
    judged = judge("saliency-on-object", found)
    assert judged.verdict is verdict.CONTROL and not any("lies beyond it" in remark for remark in judged.remarks)
    numbers["control"] = {"above_others": Measure(0.02, 0.01, 0.03, 60).to_json()}
    judged = judge("saliency-on-object", found)  # 0.10 is more than an untrained network has, which has some too
    assert judged.verdict is verdict.CONTROL and any("lies beyond it" in remark for remark in judged.remarks)
    del numbers["control"]
    judged = judge("saliency-on-object", found)
    assert judged.verdict is verdict.HOLDS and "No null control was measured." in judged.remarks


def test_rows_that_have_not_converged_are_not_judged(make_outputs, tmp_path) -> None:
    found = results.read(make_outputs(tmp_path))
    rows = found["ablations"].content["numbers"]["rows"]
    of_table3 = [claim for claim in table.CLAIMS if claim.stage == "ablations"]
    assert {verdict.judge(claim, found).verdict for claim in of_table3} == {verdict.HOLDS}
    rows["krizhevsky"]["converged"] = False
    judged = judge("depth-matters", found)
    assert judged.verdict is verdict.UNTESTED and "Not converged: krizhevsky." in judged.remarks[0]
    assert judge("wide-helps", found).verdict is verdict.HOLDS  # of other rows
    del rows["zfnet"]["converged"]  # an older record does not say
    assert judge("wide-helps", found).verdict is verdict.UNTESTED
    del rows["zfnet"]
    judged = judge("wide-helps", found)
    assert judged.verdict is verdict.UNTESTED and judged.sentence.startswith("Not trained: zfnet. `make table3`")


def test_one_network_a_side_is_inconclusive(make_outputs, tmp_path) -> None:
    found = results.read(make_outputs(tmp_path))
    numbers = found["ablations"].content["numbers"]
    numbers["seeds"] = [0]
    for row in numbers["rows"].values():
        row["val_top1_error"] = Measure.percentage(row["val_top1_error"]["value"], 960).to_json()
    judged = judge("depth-matters", found)
    assert judged.verdict is verdict.OPEN and judged.measure == Measure(pytest.approx(23.0))
    assert any(remark.startswith("One network a side") for remark in judged.remarks)


def test_a_null_pair_of_trainings_does_not_hold() -> None:
    """Two seeds of one treatment that differ by much cannot be told from two treatments."""
    numbers = {"zfnet, paper's scale": [0.20, 0.25, 0.21], "zfnet, paper's scale, no RMS clipping": [0.25, 0.20, 0.22]}
    found = {"first_layer": results.Result("first_layer", ROOT, {"numbers": {"seeds": {
        name: {"dominance": values} for name, values in numbers.items()
    }}})}  # fmt: skip
    judged = judge("clipping", found)
    assert judged.verdict is verdict.UNTESTED and "the radius acts" in judged.remarks[0]
    acts = {"rows": {"zfnet-paperscale": {"clipped_conv1": 0.1}}, "seeds": [0, 1, 2]}
    found["ablations"] = results.Result("ablations", ROOT, {"numbers": acts})
    assert judge("clipping", found).verdict is verdict.OPEN


def test_depth_is_set_against_both_sections(make_outputs, tmp_path) -> None:
    found = results.read(make_outputs(tmp_path, "ablations"))
    more = networks.beyond_either(found)
    assert more is not None and more.value == pytest.approx(64.0 - 45.2)
    rows = found["ablations"].content["numbers"]["rows"]
    rows["krizhevsky-no67"]["val_top1_error"] = Measure.over_repeats([65.0, 66.0, 67.0], "seeds").to_json()
    more = networks.beyond_either(found)
    assert more is not None and more.high is not None and more.value == pytest.approx(-2.0) and more.high < 3
    del rows["krizhevsky-no34"]
    assert networks.beyond_either(found) is None


@pytest.mark.parametrize(("errors", "expected"), [
    ((43.0, 43.4, 43.2), verdict.HOLDS),  # 2.2 more
    ((48.0, 48.3, 48.4), verdict.FAILS),  # 7.2 more is not slight
    ((21.0, 21.1, 21.2), verdict.FAILS),  # 20 less is no increase
    ((40.8, 41.0, 41.3), verdict.OPEN),  # as much
])  # fmt: skip
def test_a_slight_increase_is_an_increase(make_outputs, tmp_path, errors, expected) -> None:
    found = results.read(make_outputs(tmp_path, "ablations"))
    row = found["ablations"].content["numbers"]["rows"]["krizhevsky-no67"]
    row["val_top1_error"] = Measure.over_repeats(errors, "seeds").to_json()
    judged = judge("top-layers-slight", found)
    assert judged.verdict is expected and "between 0 and 5 points" in judged.sentence
    assert judged.gauge is not None and judged.gauge.zone[1] < 100 - judged.gauge.zone[0]


def test_all_of_them_needs_every_interval(make_outputs, tmp_path) -> None:
    found = results.read(make_outputs(tmp_path, "patterns"))
    degradation = found["patterns"].content["numbers"]["degradation"]
    judged = judge("degradation-random", found)
    assert judged.verdict is verdict.HOLDS and judged.measure is not None
    assert judged.measure.value == pytest.approx(0.1)  # a: 0.7 beside 0.8
    degradation["occlusion"]["below_random"].update(low=-0.01)  # far below, but not surely
    assert judge("degradation-random", found).verdict is verdict.OPEN
    degradation["w"]["below_random"].update(value=-0.2, low=-0.3, high=-0.1)
    assert judge("degradation-random", found).verdict is verdict.FAILS


def test_readings_that_disagree_are_said(make_outputs, tmp_path) -> None:
    found = results.read(make_outputs(tmp_path, "correspondence"))
    judged = judge("correspondence-5", found)
    assert judged.verdict is verdict.DEPENDS
    assert any("Read the other way: −0.020" in remark and "zeros" in remark for remark in judged.remarks)
    assert judge("correspondence-7", found).verdict is verdict.HOLDS  # both readings do


def test_what_holds_by_construction_is_shown(make_outputs, tmp_path) -> None:
    found = results.read(make_outputs(tmp_path))
    for claim in table.CLAIMS:
        assert (verdict.judge(claim, found).verdict is verdict.SHOWN) == bool(claim.by_construction)
        assert bool(claim.null) != bool(claim.no_null)


def test_the_smallest_number_and_the_ends_of_all_intervals() -> None:
    few, many = Measure(1, 0, 2), Measure(3, -1, 9)
    assert evidence.every(many, few) == Measure(1, -1, 2)
    assert evidence.every(few, None) is None and evidence.every() is None
    assert evidence.every(few, Measure(0.5)) == Measure(0.5)


def test_a_tenth_of_the_images() -> None:
    assert networks.a_tenth([1, 3, 15, 30]) == 3
    assert networks.a_tenth([5, 15, 30]) == 5


def test_difference_adds_half_intervals_in_quadrature() -> None:
    found = evidence.minus(Measure(10, 7, 13), Measure(4, 0, 8))
    assert found == Measure(6, 1, 11)  # sqrt(3^2 + 4^2) = 5
    assert evidence.minus(Measure(10, 7, 13), Measure(4)) == Measure(6)
    assert evidence.minus(None, Measure(4)) is None


def test_repeats_are_compared_one_by_one() -> None:
    a, b = Measure.over_repeats([10.0, 20.0, 30.0], "seeds"), Measure.over_repeats([9.0, 19.1, 28.9], "seeds")
    found = evidence.by_repeat(a, b, "seeds")
    assert found is not None and found.low is not None
    assert found.value == pytest.approx(1.0) and found.low > 0
    single = Measure.over_repeats([9.0], "seeds")
    assert evidence.by_repeat(a, single, "seeds") == Measure(11.0) and evidence.by_repeat(a, None, "seeds") is None


def test_folds_that_share_images_are_less_sure() -> None:
    values = [0.4, 0.5, 0.6]
    free, shared = Measure.over_repeats(values, "folds"), Measure.over_repeats(values, "folds", shared=2.0)
    assert free.high is not None and shared.high is not None
    assert (shared.high - 0.5) / (free.high - 0.5) == pytest.approx(math.sqrt((1 / 3 + 2) * 3))


def test_the_rank_correlation_is_that_of_counting_pairs() -> None:
    rows = [(1, [1.0, 3.0]), (2, [2.0, 2.0]), (3, [3.0, 4.0]), (4, [2.5, 1.0])]
    found = evidence.rank_correlation(rows)
    expected = []
    for fold in range(2):
        signs = [
            math.copysign(1, b[1][fold] - a[1][fold]) for i, a in enumerate(rows) for b in rows[i + 1 :]
        ]  # the x rise
        expected.append(sum(signs) / len(signs))
    assert found is not None and found.repeats == pytest.approx(expected)
    assert evidence.rank_correlation([(1, [1.0]), (2, [])]) is None


def test_five_layers_in_random_order_hardly_ever_rise() -> None:
    claim, beyond = claim_of("depth-transfers"), 0
    for order in permutations(range(5)):
        tau = evidence.rank_correlation([(n, [float(value)]) for n, value in enumerate(order)])
        assert tau is not None
        beyond += tau.value > claim.threshold
    assert beyond == 1  # of 120


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
        assert (left + width == pytest.approx(100)) == (one.claim.above and one.claim.upto is None)
        inside = left <= one.gauge.dot <= left + width
        assert inside or one.verdict is not verdict.HOLDS


def test_one_run_counts_images_and_several_runs_count_runs() -> None:
    once = error_measure([50.0], 100)
    assert (once["n"], once["interval"]) == (100, "Wilson over images")
    assert (once["low"], once["high"]) == (pytest.approx(40.4, abs=0.05), pytest.approx(59.6, abs=0.05))
    thrice = error_measure([49.0, 50.0, 51.0], 100)
    assert (thrice["n"], thrice["std"], thrice["interval"]) == (3, 1.0, "Student over seeds")
    assert thrice["low"] == pytest.approx(50 - 4.303 / math.sqrt(3), abs=1e-3)  # t(0.975, 2) = 4.303


def test_one_fold_trained_from_scratch_is_not_judged(make_outputs, tmp_path) -> None:
    found = results.read(make_outputs(tmp_path, "transfer"))
    numbers = found["transfer"].content["numbers"]
    assert networks.pretrained_gain(found, max).n == 5  # type: ignore[union-attr]
    assert judge("pretraining", found).verdict is not verdict.UNTESTED
    numbers["table4"]["scratch"] = {"30": Measure.over_repeats([0.4], "folds").to_json()}
    numbers["few_shot"]["30"] = Measure.over_repeats([0.5] * 5, "folds").to_json()
    assert networks.pretrained_gain(found, max) == Measure(pytest.approx(10))
    judged = judge("pretraining", found)
    assert judged.verdict is verdict.UNTESTED and "transfer.trained_folds=5" in judged.remarks[0]


def test_near_duplicates_in_the_pre_training_set_are_said(make_outputs, tmp_path) -> None:
    found = results.read(make_outputs(tmp_path, "transfer"))
    numbers = found["transfer"].content["numbers"]
    numbers["duplicates"] = {"leave_out": 12}
    assert any(remark.startswith("12 near-duplicates") for remark in judge("pretraining", found).remarks)
    numbers["duplicates"] = {"leave_out": 0}
    assert any(remark.startswith("No near-duplicate") for remark in judge("pretraining", found).remarks)


def test_a_skipped_stage_says_why(make_outputs, tmp_path) -> None:
    found = results.read(make_outputs(tmp_path, "correspondence"))
    found["correspondence"].content["numbers"] = {"skipped": "no eyes anywhere"}
    judged = judge("correspondence-5", found)
    assert judged.verdict is verdict.UNMEASURED and judged.sentence == "no eyes anywhere"


def test_a_count_of_claims_is_a_sentence() -> None:
    said = [verdict.counted(verdict.HOLDS, 1), verdict.counted(verdict.HOLDS, 13), verdict.counted(verdict.FAILS, 2)]
    assert said == ["1 holds", "13 hold", "2 do not hold"]
