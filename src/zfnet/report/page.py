"""The pages: figures made ready, templates filled in, one folder that needs no network.

Everything that comes from a run (class names, file names, headlines) passes through jinja2's autoescape. An SVG of
ours is set into the page, so that it follows light and dark; one that carries a script, a handler or a link outside is
shown as an image instead, where nothing in it can run.
"""

import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path
from urllib.parse import quote
from xml.etree import ElementTree

import jinja2
from markupsafe import Markup
from markupsafe import escape as safe
from PIL import Image

from zfnet.core.files import atomic_write
from zfnet.report.results import Result

SMALL, WIDE = 380, 640  # px: narrower pictures are shown magnified, wider ones leave the text column
ACTIVE = re.compile(
    r"<\s*(script|foreignObject|iframe|image|use|a)\b|\son\w+\s*=|javascript:|https?:(?!//www\.w3\.org/)", re.I
)


@dataclass(frozen=True)
class Report:
    """What every page needs to know."""

    title: str
    profile: str
    pages: tuple[tuple[str, str], ...]  # file and name, in the order of the menu


@dataclass(frozen=True)
class Figure:
    """A picture of a stage, copied into the report."""

    name: str
    href: str
    alt: str
    svg: Markup | None
    shown: tuple[int, int]  # width and height on the page, px
    wide: bool
    magnified: bool
    raster: bool

    @property
    def width(self) -> int:
        return self.shown[0]


def copy_figures(results: Mapping[str, Result], out: Path) -> dict[str, list[Figure]]:
    """Stage -> its figures, copied to out/figures/<stage>/ in the order the stage names them.

    One that cannot be read is left out with a warning.
    """
    shutil.rmtree(out / "figures", ignore_errors=True)
    return {
        name: [figure for file, alt in result.figures.items() if (figure := _copy(result, file, alt, out))]
        for name, result in results.items()
    }


def _copy(result: Result, file: str, alt: str, out: Path) -> Figure | None:
    source = result.folder / file
    try:
        figure = _read(source, result.stage, file, alt)
    except (OSError, ValueError):  # no picture to PIL, or an SVG that is no text
        print(f"  warning: {source} is damaged and left out; run its stage again", file=sys.stderr)
        return None
    with atomic_write(out / "figures" / result.stage / file) as part:
        shutil.copyfile(source, part)
    return figure


def _read(source: Path, stage: str, file: str, alt: str) -> Figure:
    href = "/".join(quote(piece) for piece in ("figures", stage, *Path(file).parts))
    name = f"{stage}/{file}"
    if source.suffix.lower() == ".svg":
        svg, width = inline(source.read_text(encoding="utf-8"), alt)
        return Figure(name, href, alt, svg, (0, 0), width > WIDE, False, False)
    with Image.open(source) as image:
        width, height = image.size
    factor = 1 if width >= SMALL else 2
    return Figure(name, href, alt, None, (width * factor, height * factor), width * factor > WIDE, factor > 1, True)


def inline(svg: str, alt: str = "") -> tuple[Markup | None, float]:
    """The SVG as part of a page, sized by the style sheet, and its width; None where it must stay an image."""
    try:
        root = ElementTree.fromstring(svg)
    except ElementTree.ParseError:
        return None, 0.0
    number = re.match(r"[\d.]+", root.get("width", ""))
    width = float(number[0]) if number else 600.0
    if ACTIVE.search(svg) or "<!" in svg:
        return None, width
    start = svg.index("<svg")
    end = svg.index(">", start)
    head = re.sub(r'\s(width|height)="[^"]*"', "", svg[start:end])
    label = f' aria-label="{escape(alt)}"' if alt else ""
    return Markup(f'{head}{label} style="--w:{width:.0f}px"{svg[end:]}'), width


def typeset(text: str) -> Markup:
    """A sentence for the page, escaped: curly quotes, and the estimators S_w, S_a± with their subscripts."""
    curly = re.sub(r"(?<=\w)'", "’", re.sub(r'"([^"]*)"', r"“\1”", text))
    return Markup(re.sub(r"\bS_(\w±?)", r"S<sub>\1</sub>", str(safe(curly))))


@cache
def environment() -> jinja2.Environment:
    """Templates of this package, everything escaped, an unknown name an error."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("zfnet.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["typeset"] = typeset
    return made


def write_page(out: Path, file: str, template: str, **values: object) -> None:
    """One page of the report; `root` leads from it to the report's folder."""
    text = environment().get_template(template).render(page=file, root="../" * file.count("/"), **values)
    with atomic_write(out / file) as part:
        part.write_text(text, encoding="utf-8")
