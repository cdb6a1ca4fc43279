"""From a statistic and its interval to a verdict.

Every claim says "the statistic lies above (or below) a threshold", or in a range. With the 95 % interval [low, high]:

    holds          the whole interval lies on the claim's side of the threshold
    does not hold  the whole interval lies on the other side
    inconclusive   the threshold is inside the interval, or there is no interval to judge by

An interval that only touches the threshold is not on either side. Beside these stand

    holds in the control too   the null control, a network that has learned nothing, holds as well: nothing follows
    depends on the reading     two readings of the paper's statistic do not agree
    shown, not counted         the statistic comes out as it does for any network
    not tested                 these results cannot test it: a row has not converged, a ceiling never acted

No verdict is ever written by hand.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from zfnet.core.numbers import decimals_for, format_number, format_ticks
from zfnet.core.statistics import Measure
from zfnet.plots.scale import nice_ticks, padded
from zfnet.report import evidence
from zfnet.report.claims.claim import Claim
from zfnet.report.claims.table import CLAIMS
from zfnet.report.results import Result, borrowed_network, has_random_weights, needs_training


@dataclass(frozen=True)
class Verdict:
    words: str
    many: str  # the words after a count that is not one
    sentence: str
    sign: str
    css: str


HOLDS = Verdict("holds", "hold", "Holds.", "✓", "holds")
FAILS = Verdict("does not hold", "do not hold", "Does not hold here.", "✕", "fails")
OPEN = Verdict("inconclusive", "inconclusive", "Inconclusive at this scale.", "?", "open")
CONTROL = Verdict(
    "holds in the control too",
    "hold in the control too",
    "Holds in the null control too: nothing follows.",
    "≈",
    "open",
)
DEPENDS = Verdict("depends on the reading", "depend on the reading", "Depends on the reading.", "±", "open")
SHOWN = Verdict("shown, not counted", "shown, not counted", "Shown, not counted.", "=", "unmeasured")
UNTESTED = Verdict("not tested", "not tested", "Not tested.", "–", "unmeasured")
UNMEASURED = Verdict("not measured", "not measured", "Not measured.", "·", "unmeasured")
VERDICTS = (HOLDS, FAILS, OPEN, CONTROL, DEPENDS, SHOWN, UNTESTED, UNMEASURED)


@dataclass(frozen=True)
class Gauge:
    """Places, in percent of the width, of what shows an interval beside its threshold."""

    zone: tuple[float, float]  # left and width of the side on which the claim holds
    threshold: float
    dot: float
    interval: tuple[float, float] | None  # left and width
    ticks: tuple[tuple[float, str, str], ...]  # place, text, "first", "last" or ""


@dataclass(frozen=True)
class Judged:
    """A claim with what was measured and what follows from it."""

    claim: Claim
    measure: Measure | None
    verdict: Verdict
    sentence: str
    gauge: Gauge | None
    remarks: tuple[str, ...] = ()  # the null control, the other reading, what a reader must know


def judge_all(results: Mapping[str, Result]) -> list[Judged]:
    """Every claim, judged by the results that there are."""
    controls = evidence.control(results)
    return [judge(claim, results, controls) for claim in CLAIMS]


def judge(claim: Claim, results: Mapping[str, Result], controls: Mapping[str, Result] | None = None) -> Judged:
    """One claim; a missing stage or number leaves it unmeasured.

    controls: the results of the null controls (evidence.control), made of `results` where they are not given.
    """
    if has_random_weights(results):
        return Judged(claim, None, UNMEASURED, _why_unmeasured(claim, results), None)
    measured = claim.measure(results)
    untested = claim.untested(results)
    if measured is None:
        verdict, sentence = (UNTESTED, untested) if untested else (UNMEASURED, _why_unmeasured(claim, results))
        return Judged(claim, None, verdict, sentence, None)
    control = _control(claim, evidence.control(results) if controls is None else controls)
    second = claim.second(results) if claim.second else None
    remarks = [
        untested,
        claim.by_construction,
        f"Read the other way: {say(second, claim)} Depends on {claim.readings}." if second else "",
        _say_control(measured, control, claim),
        claim.note(results),
    ]
    verdict = UNTESTED if untested else _verdict(measured, second, control, claim)
    sentence = f"{say(measured, claim)} {_expected(claim)}"
    return Judged(claim, measured, verdict, sentence, _gauge(measured, claim), tuple(filter(None, remarks)))


def decide(measured: Measure | None, threshold: float, above: bool, upto: float | None = None) -> Verdict:
    """The verdict on "the statistic lies above (below) the threshold", or between the threshold and `upto`."""
    if measured is None:
        return UNMEASURED
    if measured.ends is None:
        return OPEN
    low, high = measured.ends
    bottom, top = (threshold, math.inf) if above else (-math.inf, threshold)
    if upto is not None:
        bottom, top = threshold, upto
    if bottom < low and high < top:
        return HOLDS
    return FAILS if high < bottom or low > top else OPEN


def _verdict(measured: Measure, second: Measure | None, control: Measure | None, claim: Claim) -> Verdict:
    """The verdict on a claim that these results can test."""
    verdict = _decide(measured, claim)
    if claim.by_construction:
        return SHOWN
    if second is not None and _decide(second, claim) is not verdict:
        return DEPENDS
    if verdict is HOLDS and control is not None and _decide(control, claim) is HOLDS:
        return CONTROL
    return verdict


def _decide(measured: Measure, claim: Claim) -> Verdict:
    return decide(measured, claim.threshold, claim.above, claim.upto)


def _control(claim: Claim, controls: Mapping[str, Result]) -> Measure | None:
    return claim.measure(controls) if claim.null and claim.stage in controls else None


def counted(verdict: Verdict, count: int) -> str:
    """The number of claims with a verdict, in words: "1 holds", "13 hold"."""
    return f"{count} {verdict.words if count == 1 else verdict.many}"


def tally(judged: list[Judged]) -> list[tuple[Verdict, int]]:
    """The verdicts that came out, each with its number of claims."""
    counts = [(verdict, sum(claim.verdict is verdict for claim in judged)) for verdict in VERDICTS]
    return [(verdict, count) for verdict, count in counts if count]


def say(measured: Measure, claim: Claim) -> str:
    """A measured number with its interval and what was resampled, as a sentence."""
    if measured.ends is None:
        return f"{format_number(measured.value)}{_unit(claim)}, without an interval."
    decimals = decimals_for(max(abs(end) for end in measured.ends))
    interval = " to ".join(format_number(end, decimals) for end in measured.ends)
    how = ", ".join(filter(None, (measured.interval, f"n = {measured.n}" if measured.n else "")))
    value = format_number(measured.value, decimals)
    return f"{value}{_unit(claim)}, 95 % interval {interval}{f' ({how})' * bool(how)}."


def _expected(claim: Claim) -> str:
    unit = _unit(claim)
    if claim.upto is not None:
        return f"Expected between {_plain(claim.threshold)} and {_plain(claim.upto)}{unit}."
    side = "above" if claim.above else "below"
    return f"Expected {side} {_plain(claim.threshold)}{unit if claim.threshold else ''}."


def _beyond(measured: Measure, control: Measure, claim: Claim) -> str:
    """Says so where the whole interval of the number lies beyond that of its control."""
    if measured.ends is None or control.ends is None or claim.upto is not None:
        return ""
    (low, high), (control_low, control_high) = measured.ends, control.ends
    beyond = low > control_high if claim.above else high < control_low
    return " The number lies beyond it." if beyond else ""


def _say_control(measured: Measure, control: Measure | None, claim: Claim) -> str:
    if not claim.null:
        return ""
    if control is None:
        return "No null control was measured."
    return f"Null control, {claim.null}: {say(control, claim)}{_beyond(measured, control, claim)}"


def _why_unmeasured(claim: Claim, results: Mapping[str, Result]) -> str:
    if has_random_weights(results):
        return "The network has random weights: a trial, of which nothing is claimed."
    if (result := results.get(claim.stage)) is None:
        if needs_training(claim.stage, results):
            return f"Needs a training; {borrowed_network(results)} was trained elsewhere."
        return f"The stage {claim.stage} has not been run."
    return result.skipped or f"The result of {claim.stage} does not hold this number."


def _gauge(measured: Measure, claim: Claim) -> Gauge:
    limits = [claim.threshold, *([claim.upto] if claim.upto is not None else [])]
    shown = [measured.value, *limits, *(measured.ends or ())]
    low, high = padded(min(shown), max(shown))
    if low in limits or high in limits:  # leave room to see the side on which nothing lies
        low, high = padded(low - 0.08 * (high - low), high + 0.08 * (high - low))

    def place(value: float) -> float:
        return 100 * min(max((value - low) / (high - low), 0.0), 1.0)

    threshold = place(claim.threshold)
    interval = None
    if measured.ends is not None:
        left, right = map(place, measured.ends)
        interval = (left, right - left)
    ticks = nice_ticks(low, high)
    texts = format_ticks(ticks)
    places = [place(tick) for tick in ticks]
    ends_at = ["first" if x < 3 else "last" if x > 97 else "" for x in places]
    zone = (threshold, 100 - threshold) if claim.above else (0.0, threshold)
    if claim.upto is not None:
        zone = (threshold, place(claim.upto) - threshold)
    return Gauge(zone, threshold, place(measured.value), interval, tuple(zip(places, texts, ends_at, strict=True)))


def _unit(claim: Claim) -> str:
    return f" {claim.unit}" if claim.unit else ""


def _plain(value: float) -> str:
    return f"{value:g}".replace("-", "−")
