"""The page of a folder of photographs that stage explain has put through every method: <folder>/index.html.

A photograph has the address index.html#<its name>, and its picture pictures/<its name>.png.
"""

from pathlib import Path
from urllib.parse import quote

from zfnet.pipeline.record import read_result
from zfnet.report.build import copy_style
from zfnet.report.page import Report, write_page

PAGE = "index.html"


def write_gallery(folder: Path) -> Path | None:
    """Write the page of an explained folder and return it; None where `folder` holds other results."""
    result = read_result(folder) or {}
    numbers = result.get("numbers", {})
    if "photographs" not in numbers:
        return None
    photographs = numbers["photographs"]
    pictures = zip(photographs, result["figures"], strict=True)
    values = {
        "report": Report("Photographs explained", numbers["network"], ()),
        "photographs": [(name, quote(picture), photographs[name]) for name, picture in pictures],
        "unreadable": numbers["unreadable"],
        "passed_over": numbers["passed_over"],
        "network": numbers["network"],
    }
    write_page(folder, PAGE, "gallery.html", **values)
    copy_style(folder)
    return folder / PAGE
