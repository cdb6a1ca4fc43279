"""All claims in the order of the papers, and the table of docs/claims.md that says how each is tested."""

from zfnet.report.claims import gradients, networks, patterns, visualization
from zfnet.report.claims.claim import Claim

CLAIMS: tuple[Claim, ...] = (*visualization.CLAIMS, *networks.CLAIMS, *gradients.CLAIMS, *patterns.CLAIMS)


def markdown() -> str:
    """The table of the claims: sentence, statistic, interval, threshold, what would make it fail, null control."""
    lines = [
        "| claim | sentence of the paper | statistic | interval over | holds where | fails if | null control |",
        "|---|---|---|---|---|---|---|",
    ]
    for claim in CLAIMS:
        source = f"{claim.text} [{claim.paper}] {claim.section} {claim.where}".strip()
        statistic = claim.statistic
        if claim.readings:
            statistic += f" Read two ways: {claim.readings}."
        cells = [claim.key, source, statistic, claim.resampled, _region(claim), claim.fails_if, _null(claim)]
        lines.append(f"| {' | '.join(cell.replace('|', ' ') for cell in cells)} |")
    return "\n".join(lines)


def _region(claim: Claim) -> str:
    """Where the claim holds, with the reason of the threshold."""
    unit = f" {claim.unit}" if claim.unit else ""
    side = "above" if claim.above else "below"
    region = f"{side} {claim.threshold:g}{unit}"
    if claim.upto is not None:
        region = f"between {claim.threshold:g} and {claim.upto:g}{unit}"
    shown = f". Shown, not counted: {claim.by_construction}" if claim.by_construction else ""
    return f"{region}: {claim.reason}{shown}"


def _null(claim: Claim) -> str:
    return claim.null or f"none: {claim.no_null}"
