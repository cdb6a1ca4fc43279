"""Results we stand by: a recorded run as small files for the repository, and the pages that are written from them.

    zfnet reference outputs/tiny_imagenet      publish a run, then write docs/results.md and the times of README.md
    zfnet reference                            write them again from what is published

outputs/reference/<profile>/<stage>/ holds result.json (with seed, spread, device, versions, commit and command) and
the figures, photographs as JPEG, so it is itself a folder from which the report can be made. Only a run whose code
was committed is taken. Folders of the machine that ran it are left out of its commands.
"""

import copy
import re
import shlex
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2

from zfnet.core.errors import UserError, exit_code
from zfnet.core.files import atomic_write
from zfnet.core.progress import duration
from zfnet.core.resources import IN_WHEEL, REPOSITORY
from zfnet.pipeline.record import RESULT, write_result
from zfnet.report.paper import papers
from zfnet.report.results import Result, named_folder, read
from zfnet.report.scale import describe
from zfnet.report.tables import key_rows
from zfnet.report.verdict import counted, judge_all, tally

REFERENCE = REPOSITORY / "outputs" / "reference"
RESULTS = REPOSITORY / "docs" / "results.md"
README = REPOSITORY / "README.md"
BLOCK = re.compile(r"(<!-- results: (\w+) -->\n).*?(<!-- end of results -->)", re.S)
MADE = re.compile(r"(<!-- artefacts -->\n)(.*?)(<!-- end of artefacts -->)", re.S)
TIMES = re.compile(r"(<!-- times: (\w+) -->\n)(.*?)(<!-- end of times -->)", re.S)
LIMIT = 5 * 2**20  # bytes of one profile
WIDEST, QUALITY = 1200, 82  # of a published picture
PLACE = re.compile(r"(?<![\w./<])[~/][\w.~-]*(?:/[\w.~-]+)+")  # a path from the root or from home
VALUE = re.compile(r"=[~/].*", re.S)
SHOWN = ("top_activations/layer5", "saliency/saliency")  # the pictures that the page shows


def publish(outputs: Path, reference: Path) -> None:
    """Copy the run of a profile into `reference`, replacing what was there.

    Raises UserError when there is no result, when one was computed by uncommitted code, or when it is too large.
    """
    results = read(outputs)
    if not results:
        raise UserError(f"{outputs}: no stage has left a {RESULT} here; run one first, e.g. stage=train")
    for result in results.values():
        if result.content["dirty"] or not result.content["commit"]:
            raise UserError(f"{result.folder}: computed by code that is in no commit; commit it and run it again")
    fresh = reference.with_name(f".{reference.name}.partial")
    shutil.rmtree(fresh, ignore_errors=True)
    for result in results.values():
        _publish_stage(result, fresh / result.stage)
    size = sum(file.stat().st_size for file in fresh.rglob("*") if file.is_file())
    if size > LIMIT:
        raise UserError(f"{fresh}: {size / 2**20:.1f} MB are more than the {LIMIT / 2**20:.0f} MB of a reference")
    shutil.rmtree(reference, ignore_errors=True)
    fresh.rename(reference)


def place_of(outputs: Path) -> Path:
    """Where the run in `outputs` is published. Raises UserError for a folder that is published, or holds what is."""
    inside, published = outputs.resolve(), REFERENCE.resolve()
    if inside.is_relative_to(published) or published.is_relative_to(inside):
        raise UserError(
            f"{outputs}: is not the folder of a run but of published ones; name one, e.g. outputs/menagerie"
        )
    return REFERENCE / outputs.name


def write_results(page: Path, reference: Path) -> None:
    """Write every marked block of a page again from what is published."""
    text = page.read_text(encoding="utf-8")
    with atomic_write(page) as part:
        part.write_text(renewed(text, reference), encoding="utf-8")


def renewed(text: str, reference: Path) -> str:
    """The page's text with its blocks filled.

    `<!-- results: profile -->` holds all of a profile, the table of `<!-- artefacts -->` what each stage found in all
    profiles, that of `<!-- times: profile -->` how long each stage of one took.
    """
    profiles = {block[2]: read(reference / block[2]) for block in BLOCK.finditer(text)}
    published = {profile: results for profile, results in profiles.items() if results}

    def fill(block: re.Match[str]) -> str:
        return f"{block[1]}{summary(reference / block[2])}\n{block[3]}"

    def fill_made(block: re.Match[str]) -> str:
        head, rule, *rows = block[2].splitlines()
        lines = [_row(head, (f" {profile} " for profile in published)), _row(rule, ["---"] * len(published))]
        lines += [_row(row, [_made(results, _stage(row)) for results in published.values()]) for row in rows]
        return "\n".join([f"{block[1]}{lines[0]}", *lines[1:], block[3]])

    def fill_times(block: re.Match[str]) -> str:
        results = read(reference / block[2])
        head, rule, *rows = block[3].splitlines()
        lines = [_row(head, [" time "]), _row(rule, ["---"])]
        lines += [_row(row, [_time(results, _stage(row))]) for row in rows]
        return "\n".join([f"{block[1]}{lines[0]}", *lines[1:], block[4]])

    return TIMES.sub(fill_times, MADE.sub(fill_made, BLOCK.sub(fill, text)))


def _row(line: str, cells: Iterable[str]) -> str:
    """A row of the table of artefacts: artefact, target and stage as they are, then a cell for each profile."""
    return "|".join([*line.split("|")[:4], *cells, ""])


def _stage(row: str) -> str:
    return row.split("|")[3].strip().strip("`")


def _made(results: Mapping[str, Result], stage: str) -> str:
    """How long a stage took and its key number."""
    if stage not in results or results[stage].skipped:
        return " · "
    return f" {duration(_seconds(results[stage]))}: {_cell(results[stage].content['headline'])} "


def _time(results: Mapping[str, Result], stage: str) -> str:
    """How long a stage took."""
    return f" {duration(_seconds(results[stage]))} " if stage in results else " "


def _seconds(result: Result) -> float:
    """How long a stage took: of a resumed training, all its parts."""
    return max(float(result.content.get("seconds") or 0), result.numbers.get("train_seconds", 0))


def summary(folder: Path) -> str:
    """The results of a published run in Markdown: scale, key numbers, claims, how it was made."""
    results = read(folder)
    if not results:
        return f"Nothing has been published yet: `make reference PROFILE={folder.name}`."
    judged = judge_all(results)
    counts = ", ".join(counted(verdict, count) for verdict, count in tally(judged))
    lines = [
        describe(results),
        "",
        *_pictures(results, folder),
        "| | | published | here |",
        "|---|---|---|---|",
        *_key_lines(results),
        "",
        f"<details><summary>{len(judged)} claims of the papers: {counts}.</summary>",
        "",
        "| claim | | measured |",
        "|---|---|---|",
        *(
            f"| [{row.claim.paper}] {_cell(row.claim.text)} | {row.verdict.sign} {row.verdict.words} "
            f"| {_cell(row.claim.statistic).rstrip('.')}: {_cell(' '.join((row.sentence, *row.remarks)))} |"
            for row in judged
        ),
        "",
        "</details>",
        "",
        _provenance(results, folder),
    ]
    return "\n".join(lines)


def _publish_stage(result: Result, folder: Path) -> None:
    folder.mkdir(parents=True)
    figures = {}
    for file, alt in result.figures.items():
        name = file if file.endswith(".svg") else str(Path(file).with_suffix(".jpg"))
        figures[name] = alt
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if file.endswith(".svg"):
            shutil.copyfile(result.folder / file, folder / name)
        else:
            _shrink(result.folder / file, folder / name)
    content: dict[str, Any] = copy.deepcopy(dict(result.content)) | {"figures": figures}
    words = shlex.split(content["command"])
    content["command"] = shlex.join(VALUE.sub("=FOLDER", word) for word in words)
    write_result(folder, _without_places(content))


def _without_places(value: Any) -> Any:
    """The same with FOLDER/name for every absolute path in it."""
    if isinstance(value, Mapping):
        return {key: _without_places(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_without_places(part) for part in value]
    return PLACE.sub(lambda match: f"FOLDER/{Path(match[0]).name}", value) if isinstance(value, str) else value


def _shrink(source: Path, target: Path) -> None:
    image = cv2.imread(str(source))
    if image is None:
        raise UserError(f"{source}: cannot be read as a picture; run its stage again")
    factor = min(1.0, WIDEST / image.shape[1])
    image = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA) if factor < 1 else image
    if not cv2.imwrite(str(target), image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY]):
        raise OSError(f"{target}: cannot be written")


def _key_lines(results: Mapping[str, Result]) -> Iterator[str]:
    for paper in papers():
        for artefact in paper.artefacts:
            for key in key_rows(artefact, results):
                here = f"**{key.cell.here}** {key.cell.around}".strip()
                place = f"[{paper.key}] {artefact.where}"
                yield f"| {place} | {_cell(key.label)}, {_cell(key.what)} | {key.cell.published} | {here} |"


def _pictures(results: Mapping[str, Result], folder: Path) -> Iterator[str]:
    for shown in SHOWN:
        stage, _, stem = shown.partition("/")
        for file, alt in results[stage].figures.items() if stage in results else ():
            if Path(file).stem == stem:
                yield f"![{_cell(alt)}](../outputs/reference/{folder.name}/{stage}/{file})"
                yield ""


def _provenance(results: Mapping[str, Result], folder: Path) -> str:
    """One sentence: seeds, devices, time, versions, commits."""

    def distinct(name: str) -> str:
        return ", ".join(sorted({str(result.content[name]) for result in results.values()}))

    commits = ", ".join(f"`{name[:7]}`" for name in distinct("commit").split(", "))
    seconds = sum(map(_seconds, results.values()))
    networks = results["ensemble"].numbers.get("seeds", []) if "ensemble" in results else []
    several = f" (networks of Table 2: seeds {', '.join(map(str, networks))})" if networks else ""
    torch = {result.content["versions"].get("torch", "?") for result in results.values()}
    return (
        f"Seed {distinct('seed')}{several}; {duration(seconds)} in all on {distinct('device')}; "
        f"torch {', '.join(sorted(torch))}; commit {commits}. "
        f"The command, configuration and time of each stage are in "
        f"[outputs/reference/{folder.name}](../outputs/reference/{folder.name})."
    )


def _cell(text: str) -> str:
    """Text that cannot break out of a cell of a Markdown table."""
    return re.sub(r"\s+", " ", text).replace("|", "\\|").replace("<", "&lt;")


def main(words: list[str]) -> None:
    if {"-h", "--help"} & set(words):
        return print((__doc__ or "").strip())
    if IN_WHEEL:
        raise UserError("zfnet reference: publishes into the repository; run it from a checkout (`make setup`)")
    for outputs in map(named_folder, words):
        target = place_of(outputs)
        publish(outputs, target)
        print(f"published: {target}")
    for page in (RESULTS, README):
        write_results(page, REFERENCE)


if __name__ == "__main__":
    sys.exit(exit_code(lambda: main(sys.argv[1:])))
