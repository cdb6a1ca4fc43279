"""From a statistic and its interval to a verdict.

Every claim says "the statistic lies above (or below) a threshold". With the 95 % interval [low, high]:

    holds          the whole interval lies on the claim's side of the threshold
    does not hold  the whole interval lies on the other side
    inconclusive   the threshold is inside the interval, or there is no interval to judge by

An interval that only touches the threshold is not on either side. No verdict is ever written by hand.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from zfnet.core.numbers import decimals_for, format_number, format_ticks
from zfnet.core.statistics import Measure
from zfnet.plots.scale import nice_ticks, padded
from zfnet.report.claims import CLAIMS, Claim
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
UNMEASURED = Verdict("not measured", "not measured", "Not measured.", "·", "unmeasured")
VERDICTS = (HOLDS, FAILS, OPEN, UNMEASURED)


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


def judge_all(results: Mapping[str, Result]) -> list[Judged]:
    """Every claim, judged by the results that there are."""
    return [judge(claim, results) for claim in CLAIMS]


def judge(claim: Claim, results: Mapping[str, Result]) -> Judged:
    """One claim; a missing stage or number leaves it unmeasured."""
    measured = None if has_random_weights(results) else claim.measure(results)
    verdict = decide(measured, claim.threshold, claim.above)
    gauge = _gauge(measured, claim) if measured else None
    return Judged(claim, measured, verdict, _sentence(measured, claim, results), gauge)


def decide(measured: Measure | None, threshold: float, above: bool) -> Verdict:
    """The verdict on "the statistic lies above (below) the threshold"."""
    if measured is None:
        return UNMEASURED
    low, high = measured.ends or (threshold, threshold)
    if low > threshold:
        return HOLDS if above else FAILS
    if high < threshold:
        return FAILS if above else HOLDS
    return OPEN


def counted(verdict: Verdict, count: int) -> str:
    """The number of claims with a verdict, in words: "1 holds", "13 hold"."""
    return f"{count} {verdict.words if count == 1 else verdict.many}"


def tally(judged: list[Judged]) -> list[tuple[Verdict, int]]:
    """The verdicts that came out, each with its number of claims."""
    counts = [(verdict, sum(claim.verdict is verdict for claim in judged)) for verdict in VERDICTS]
    return [(verdict, count) for verdict, count in counts if count]


def _sentence(measured: Measure | None, claim: Claim, results: Mapping[str, Result]) -> str:
    if measured is None:
        if has_random_weights(results):
            return "The network has random weights: a trial, of which nothing is claimed."
        if (result := results.get(claim.stage)) is None:
            if needs_training(claim.stage, results):
                return f"Needs a training; {borrowed_network(results)} was trained elsewhere."
            return f"The stage {claim.stage} has not been run."
        return result.skipped or f"The result of {claim.stage} does not hold this number."
    side = "above" if claim.above else "below"
    expected = f"expected {side} {_plain(claim.threshold)}{_unit(claim) if claim.threshold else ''}"
    if measured.ends is None:
        return f"{format_number(measured.value)}{_unit(claim)}, without an interval; {expected}."
    decimals = decimals_for(max(abs(end) for end in measured.ends))
    interval = " to ".join(format_number(end, decimals) for end in measured.ends)
    n = f" (n = {measured.n})" if measured.n else ""
    return f"{format_number(measured.value, decimals)}{_unit(claim)}, 95 % interval {interval}{n}; {expected}."


def _gauge(measured: Measure, claim: Claim) -> Gauge:
    shown = [measured.value, claim.threshold, *(measured.ends or ())]
    low, high = padded(min(shown), max(shown))
    if claim.threshold in (low, high):  # leave room to see the side on which nothing lies
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
    return Gauge(zone, threshold, place(measured.value), interval, tuple(zip(places, texts, ends_at, strict=True)))


def _unit(claim: Claim) -> str:
    return f" {claim.unit}" if claim.unit else ""


def _plain(value: float) -> str:
    return f"{value:g}".replace("-", "−")
