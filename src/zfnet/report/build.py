"""The report: the papers' artefacts beside ours, the claims with their verdicts, and how each number was made.

It reads the result.json files of one profile and nothing else, so it can be made at any time, from any subset of the
stages: what has not been run is said where it would stand, with the command that runs it.

    index.html        what held, the key numbers, the contents
    <paper>.html      tables with published and measured numbers, figures
    claims.html       statements in words, their statistic, interval and verdict
    atlas/            every map of every layer, a page a layer
    provenance.html   configuration, seed, commit, device, time and command of every stage
    results.csv       every number of the tables (zfnet.report.export)
    figures/ results/ copies, so that the folder can be moved or sent as it is
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from importlib import resources
from pathlib import Path
from typing import Any

from zfnet.core.errors import UserError
from zfnet.core.files import atomic_write
from zfnet.pipeline.record import RESULT, Outcome
from zfnet.report import atlas
from zfnet.report.export import TIDY, write_tidy
from zfnet.report.page import Figure, Report, copy_figures, write_page
from zfnet.report.paper import Artefact, Paper, papers
from zfnet.report.results import Result, borrowed_network, needs_training, read
from zfnet.report.scale import describe
from zfnet.report.single_file import single_file, write_single_file
from zfnet.report.tables import Joined, KeyNumber, fill, join, key_rows
from zfnet.report.verdict import Judged, judge_all, tally

FILES = {"ZF13": "zeiler-fergus.html", "SVZ13": "simonyan.html", "K17": "kindermans.html"}
HERO = ("top_activations", "evolution", "saliency", "class_model", "occlusion")  # whose last picture opens the overview


@dataclass(frozen=True)
class Part:
    """An artefact on its paper's page."""

    artefact: Artefact
    result: Result | None
    figures: list[list[Figure]]  # those of a group stand side by side
    tables: list[Joined]
    notes: list[str]
    command: str
    atlas: str  # the page with all maps, where there is one
    trained_elsewhere: str  # the network, where the artefact needs a training that it did not have here


def build(outputs: Path, out: Path, title: str = "Inside a convnet", as_one_file: bool = False) -> Outcome:
    """Write the report of `outputs` (the folder of one profile) to `out`.

    as_one_file: also as one HTML file with the pictures inside.
    A result.json that the pipeline left there goes first: it vouches for pages that this build writes over.
    Returns how many claims came out how, and which stages are in. Raises UserError when there is no result at all.
    """
    results = in_order(read(outputs))
    if not results:
        raise UserError(f"{outputs}: no stage has left a {RESULT} here; run one first, e.g. stage=train")
    (out / RESULT).unlink(missing_ok=True)
    figures, judged = copy_figures(results, out), judge_all(results)
    menu = tuple((FILES[paper.key], paper.short) for paper in papers())
    layers = atlas.read_layers(results.get(atlas.STAGE))
    listed = ((atlas.INDEX, "Atlas"),) if layers else ()
    pages = (*menu, ("claims.html", "Claims"), *listed, ("provenance.html", "Provenance"))
    missing = missing_stages(results)
    profile = next((name for result in results.values() if (name := result.content["profile"])), outputs.name)
    shared: dict[str, Any] = {
        "report": Report(title, outputs.name, pages),
        "scale": describe(results),
        "missing": missing,
        "judged": [_with_paper(claim, results) for claim in judged],
        "counts": tally(judged),
    }
    _write_overview(out, results, figures, shared)
    for paper in papers():
        parts = [_part(artefact, results, figures, profile, bool(layers)) for artefact in paper.artefacts]
        write_page(out, FILES[paper.key], "paper.html", paper=paper, parts=parts, **shared)
    write_page(out, "claims.html", "claims.html", **shared)
    shutil.rmtree(out / atlas.FOLDER, ignore_errors=True)
    if layers:
        atlas.write_atlas(layers, results[atlas.STAGE], out, shared)
    _write_provenance(out, results, shared)
    write_tidy(results, out / TIDY)
    copy_style(out)
    counts = {verdict.words: count for verdict, count in tally(judged)}
    numbers = {"claims": counts, "stages": sorted(results), "missing": missing}
    headline = f"{counts.get('holds', 0)} of {len(judged)} claims hold · {out / 'index.html'}"
    single_file(out, outputs.name).unlink(missing_ok=True)
    if as_one_file:
        sections = [("index.html", title), *(page for page in pages if page not in listed)]
        file = write_single_file(out, shared["report"], sections)
        headline += f" · {file} ({file.stat().st_size / 1e6:.1f} MB)"
    return Outcome(numbers, {}, headline)


def needed_stages() -> list[str]:
    """The stages whose numbers or figures the report shows, in the order of the papers."""
    stages = []
    for artefact in (artefact for paper in papers() for artefact in paper.artefacts):
        stages += [artefact.stage, *(row.stage for table in artefact.tables for row in table.rows)]
    return list(dict.fromkeys(stages))


def in_order(results: Mapping[str, Result]) -> dict[str, Result]:
    """The results in the order of the papers: the data before all of them, what they do not need at the end."""
    needed = ["data", *needed_stages()]
    return dict(sorted(results.items(), key=lambda item: needed.index(item[0]) if item[0] in needed else len(needed)))


def missing_stages(results: Mapping[str, Result]) -> list[str]:
    """Stages that an artefact needs and that have left no result although they could."""
    absent = [stage for stage in needed_stages() if stage not in results]
    return [stage for stage in absent if not needs_training(stage, results)]


def claimed(artefact: Artefact, figures: Mapping[str, list[Figure]]) -> list[Figure]:
    """The figures of an artefact: those of its stage that match its globs and no other's before."""
    owners = [a for paper in papers() for a in paper.artefacts if a.stage == artefact.stage and a.figures]
    owners.sort(key=lambda a: "*" in a.figures)  # who takes the rest comes last
    chosen = []
    for figure in figures.get(artefact.stage, []):
        file = figure.name.partition("/")[2]
        owner = next((a for a in owners if any(fnmatch(file, glob) for glob in a.figures)), None)
        if owner is artefact:
            chosen.append(figure)
    return chosen


def side_by_side(figures: list[Figure]) -> list[list[Figure]]:
    """Neighbouring pictures that are small enough to share a row."""
    groups: list[list[Figure]] = []
    for figure in figures:
        fits = figure.raster and not figure.wide
        if fits and groups and groups[-1][-1].raster and not groups[-1][-1].wide:
            groups[-1].append(figure)
        else:
            groups.append([figure])
    return groups


def _write_overview(
    out: Path, results: Mapping[str, Result], figures: Mapping[str, list[Figure]], shared: Mapping[str, Any]
) -> None:
    hero = next((f for stage in HERO for f in reversed(figures.get(stage, [])) if f.raster), None)
    artefacts = [artefact for paper in papers() for artefact in paper.artefacts]
    opening = next((artefact for artefact in artefacts if hero in claimed(artefact, figures)), None)
    listed = [(FILES[paper.key], paper) for paper in papers()]
    values = {"hero": hero, "opening": opening, "pictures": figures.get("data", []), "keys": _keys(listed, results)}
    write_page(out, "index.html", "index.html", papers=listed, results=results, **values, **shared)


def _keys(listed: list[tuple[str, Paper]], results: Mapping[str, Result]) -> list[tuple[Artefact, str, KeyNumber]]:
    return [
        (artefact, file, key)
        for file, paper in listed
        for artefact in paper.artefacts
        for key in key_rows(artefact, results)
    ]


def _part(
    artefact: Artefact, results: Mapping[str, Result], figures: Mapping[str, list[Figure]], profile: str, mapped: bool
) -> Part:
    trained_elsewhere = borrowed_network(results) if needs_training(artefact.stage, results) else ""
    command = f"python -m zfnet stage={artefact.stage} profile={profile}"
    if network := borrowed_network(results):
        command += f" network={network}"
    joined = [join(table, artefact.stage, results) for table in artefact.tables]
    tables = [table for table in joined if any((*table.printed, *table.measured))]
    result = results.get(artefact.stage)
    notes = [text for note in artefact.notes if (text := fill(note, result))]
    page = atlas.INDEX if mapped and artefact.stage == atlas.STAGE else ""
    pictures = side_by_side(claimed(artefact, figures))
    return Part(artefact, result, pictures, tables, notes, command, page, trained_elsewhere)


def _with_paper(judged: Judged, results: Mapping[str, Result]) -> dict[str, Any]:
    claim = judged.claim
    order, paper = next((i, paper) for i, paper in enumerate(papers()) if paper.key == claim.paper)
    return {**vars(judged), "paper": paper, "short": paper.short, "order": order, "result": results.get(claim.stage)}


def _write_provenance(out: Path, results: Mapping[str, Result], shared: Mapping[str, Any]) -> None:
    shutil.rmtree(out / "results", ignore_errors=True)
    entries = []
    for result in results.values():
        with atomic_write(out / "results" / f"{result.stage}.json") as part:
            shutil.copyfile(result.folder / RESULT, part)
        text = json.dumps(result.content.get("config"), indent=2, ensure_ascii=False)
        training = result.content.get("training") or {}
        entries.append({**vars(result), "time": result.time, "config_text": text, "training": training})
    write_page(out, "provenance.html", "provenance.html", results=entries, **shared)


def copy_style(out: Path, *files: str) -> None:
    """The style sheet, or the named files of this package's templates, beside the pages."""
    for file in files or ("style.css",):
        text = resources.files(__package__).joinpath(f"templates/{file}").read_text(encoding="utf-8")
        with atomic_write(out / file) as part:
            part.write_text(text, encoding="utf-8")
