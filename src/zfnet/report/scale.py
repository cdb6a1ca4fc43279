"""The scale of a run in plain words, beside the papers': the first thing a reader needs to judge any number by."""

from collections.abc import Mapping

from zfnet.core.statistics import finite
from zfnet.report.paper import papers
from zfnet.report.results import Result, borrowed_network, find, has_random_weights

PARTS = ("training images", "classes", "crop, px", "epochs", "parameters")  # rows of the artefact "training"


def describe(results: Mapping[str, Result]) -> str:
    """Two or three sentences: what was trained here, what was trained there, and what that allows."""
    train = results.get("train")
    if train is None and has_random_weights(results):
        return "The network of this run has random weights: a trial, whose numbers mean nothing."
    if train is None and (network := borrowed_network(results)):
        return f"The network of this run is {network}, which was trained elsewhere; what needs a training is left out."
    if train is None:
        return "No network has been trained in this run, so most numbers are missing."
    ours = {row.label: finite(find(train, row.field[0])) if row.field[0] else None for row in _rows()}
    theirs = {row.label: row.published[0].value if row.published[0] else None for row in _rows()}
    here, there = (_phrase(values) for values in (ours, theirs))
    same = all(_close(ours[part], theirs[part]) for part in PARTS[:3])
    if same:
        return f"This run is at the papers' scale: {here}. The papers: {there}."
    return (
        f"This run trained on {here}. The papers trained on {there}. "
        "Numbers therefore compare in direction rather than in size."
    )


def say(value: float | None) -> str:
    """A count as a person says it: 62.4 million, 4 800, 24; "?" where it is not known."""
    if value is None:
        return "?"
    if value >= 1e6:
        return f"{value / 1e6:.3g} million"
    return f"{value:,.0f}".replace(",", "\u2009" if value >= 1e4 else "")


def _rows() -> list:
    artefact = next(a for paper in papers() for a in paper.artefacts if a.key == "training")
    return [row for row in artefact.tables[0].rows if row.label in PARTS]


def _phrase(values: Mapping[str, float | None]) -> str:
    images, classes, crop, epochs, parameters = (say(values[part]) for part in PARTS)
    lasted = f"{epochs} epoch" if epochs == "1" else f"{epochs} epochs"
    return f"{images} images of {classes} classes at {crop} px, {lasted}, with {parameters} parameters"


def _close(ours: float | None, theirs: float | None) -> bool:
    return ours is not None and theirs is not None and ours >= 0.95 * theirs
