"""The report as one HTML file that can be sent by mail: pages become sections, pictures are inside.

The pages that `zfnet.report.build` has written are read again. Every id gets its page's name in front, so that links
and clip paths lead to the right place. The atlas, which is much larger than all the rest, stays in the folder.
"""

import base64
import mimetypes
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from markupsafe import Markup

from zfnet.report.page import Report, write_page

CONTENT = re.compile(r'<main id="content">\n(.*)</main>', re.DOTALL)
ID = re.compile(r'(?<=\s)(id|aria-labelledby)="([^"]*)"')
LINK = re.compile(r'(?<=\s)(href|xlink:href|src)="([^"]*)"')
CLIP = re.compile(r"url\(#([^)]+)\)")
FULL_SIZE = re.compile(r'\s*<a class="whole".*?</a>', re.DOTALL)  # no browser opens a page for a picture inside


@dataclass(frozen=True)
class Section:
    """A page of the report as a part of the one file."""

    id: str
    name: str
    content: Markup


def single_file(out: Path, profile: str) -> Path:
    """The path of the one file, whose name tells reports apart once they are sent."""
    return out / f"zfnet-{profile}.html"


def write_single_file(out: Path, report: Report, pages: Sequence[tuple[str, str]]) -> Path:
    """Write the one file from the pages (file, name) that lie in `out`, and return it."""
    ids = {file: Path(file).stem for file, _ in pages}
    sections = []
    for file, name in pages:
        match = CONTENT.search((out / file).read_text(encoding="utf-8"))
        content = _rewritten(match[1] if match else "", ids[file], ids, out)
        sections.append(Section(ids[file], name, Markup(content)))
    style = Markup((out / "style.css").read_text(encoding="utf-8"))
    path = single_file(out, report.profile)
    write_page(out, path.name, "single_file.html", report=report, sections=sections, style=style)
    return path


def _rewritten(content: str, page: str, ids: dict[str, str], out: Path) -> str:
    """The content of a page with ids and links that are right in the one file."""

    def link(match: re.Match[str]) -> str:
        attribute, target = match.groups()
        return _link(attribute, target, page, ids, out)

    content = FULL_SIZE.sub("", content)
    content = LINK.sub(link, content)
    content = ID.sub(lambda match: f'{match[1]}="{page}.{match[2]}"', content)
    return CLIP.sub(lambda match: f"url(#{page}.{match[1]})", content)


def _link(attribute: str, target: str, page: str, ids: dict[str, str], out: Path) -> str:
    """A link or source as an attribute; "" for a link to a file that stays behind."""
    if target.startswith(("https://", "http://", "data:")):
        return f'{attribute}="{target}"'
    file, _, place = target.partition("#")
    if not file:
        return f'{attribute}="#{page}.{place}"'
    if file in ids:
        return f'{attribute}="#{ids[file]}{"." if place else ""}{place}"'
    if attribute == "src":
        return f'src="{_inside(out / unquote(file))}"'
    if file.endswith(".csv"):
        return f'href="{_inside(out / file)}" download="{file}"'
    return ""


def _inside(file: Path) -> str:
    """A file as an address that holds all of it."""
    kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    return f"data:{kind};base64,{base64.b64encode(file.read_bytes()).decode()}"
