"""A claim: a sentence of a paper, the statistic that tests it, and what would make it fail.

A claim reads "the statistic lies above (below) the threshold", or within a range; verdict.py judges it by the
statistic's 95 % interval. Where a paper gives no measure ("a few epochs", "quasi-linear", "slight"), the statistic and
the threshold are our choice and say so. Thresholds are fixed here, with their reasons, before a number is judged by
them. Differences in percent are percentage points. Sections are those of the arXiv versions.

The null control of a claim is the same statistic on the same stage's numbers under "control": of the same architecture
with initial weights unless `null` says otherwise. A claim that holds there too says nothing about what was learned.
"""

from collections.abc import Callable
from dataclasses import dataclass

from zfnet.core.statistics import Measure
from zfnet.report.evidence import Results

Statistic = Callable[[Results], Measure | None]
INITIAL = "the same networks with initial weights"


ONE_NETWORK = "of one network"
IMAGES = f"images, {ONE_NETWORK}"


@dataclass(frozen=True)
class Claim:
    """One sentence of a paper and how it is tested."""

    key: str
    paper: str
    section: str
    where: str
    text: str
    statistic: str  # in words
    stage: str
    measure: Statistic
    resampled: str  # over what the interval is; what varies beyond that is not in it
    fails_if: str  # what would make it fail
    threshold: float = 0.0
    reason: str = "no difference"  # of the threshold
    above: bool = True
    upto: float | None = None  # where the claim says "between": the other end
    unit: str = ""
    null: str = INITIAL  # the null control; empty: there is none, because `no_null`
    no_null: str = ""
    second: Statistic | None = None  # the statistic under another reading of the paper
    readings: str = ""  # what the readings differ in, e.g. "how zeros are read"
    by_construction: str = ""  # why the statistic comes out as it does for any network; it is shown and not counted
    untested: Callable[[Results], str] = lambda results: ""  # why these results cannot test it; empty: they can
    note: Callable[[Results], str] = lambda results: ""  # what a reader must know of these results
