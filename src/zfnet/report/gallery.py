"""The page of a folder of photographs that stage explain has put through every method: <folder>/index.html.

A photograph has the address index.html#<its name>, and its picture pictures/<its name>.png.
"""

from pathlib import Path
from urllib.parse import quote

from zfnet.report.build import Report, copy_style
from zfnet.report.page import write_page
from zfnet.report.results import read

PAGE = "index.html"


def write_gallery(folder: Path) -> Path | None:
    """Write the page of an explained folder and return it; None where `folder` holds other results."""
    result = read(folder.parent).get(folder.name)
    if result is None or "photographs" not in result.numbers:
        return None
    photographs = result.numbers["photographs"]
    values = {
        "report": Report("Photographs explained", result.numbers["network"], ()),
        "photographs": [
            (name, quote(picture), photographs[name]) for name, picture in zip(photographs, result.figures, strict=True)
        ],
        "unreadable": result.numbers["unreadable"],
        "passed_over": result.numbers["passed_over"],
        "network": result.numbers["network"],
    }
    write_page(folder, PAGE, "gallery.html", **values)
    copy_style(folder)
    return folder / PAGE
