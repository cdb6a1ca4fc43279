"""The house style of charts, and matplotlib figures as SVG that follow light and dark.

A figure is drawn with the light palette. In the SVG each color of the palette becomes a variable that takes the
page's own (`--ink`, `--quiet`, `--rule`, `--paper`, `--accent`, `--series-2` ...) where the chart is set into a page,
else the fall-back here, light or dark as the reader's system asks. Text stays text; several charts in one page do not
disturb each other: no ids, no references, no styles outside `.zf-chart`; and the same figure gives the same bytes.
"""

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from xml.etree import ElementTree

import matplotlib
from matplotlib.figure import Figure

PALETTE = {  # variable of the page -> light, dark; series: hues that color-blind readers can tell apart
    "ink": ("#23211d", "#e9e4da"),
    "quiet": ("#6b665d", "#a39d92"),
    "rule": ("#dcd7cc", "#3b3833"),
    "paper": ("#fdfcf9", "#181715"),
    "accent": ("#a8392a", "#f0866e"),
    "series-2": ("#2f6690", "#7db4dc"),
    "series-3": ("#b07d12", "#e0b04f"),
    "series-4": ("#3f7d58", "#7fc49a"),
    "series-5": ("#75558f", "#bd9bd8"),
    "series-6": ("#6d685f", "#a39d92"),
}
VARIABLES = {light: f"var(--c-{name})" for name, (light, _) in PALETTE.items()}
INK, QUIET, RULE, PAPER, *HUES = [light for light, _ in PALETTE.values()]
LABEL, TITLE = 12.0, 13.0  # px, sizes of text
FONTS = "system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif"

STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "zfnet",
    "text.parse_math": False,
    "text.color": INK,
    "font.family": ["DejaVu Sans"],
    "font.size": LABEL,
    "figure.facecolor": PAPER,
    "axes.facecolor": "none",
    "axes.edgecolor": QUIET,
    "axes.linewidth": 1.0,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": RULE,
    "grid.linewidth": 1.0,
    "xtick.color": QUIET,
    "xtick.major.size": 4.0,
    "xtick.major.width": 1.0,
    "ytick.labelcolor": QUIET,
    "ytick.major.size": 0.0,
    "ytick.major.pad": 6.0,
    "lines.linewidth": 1.8,
    "lines.markeredgecolor": PAPER,
    "lines.solid_capstyle": "round",
    "legend.loc": "upper left",
    "legend.frameon": False,
    "legend.labelcolor": QUIET,
    "legend.borderpad": 0.0,
    "legend.borderaxespad": 0.6,
    "legend.handlelength": 1.5,
    "legend.handletextpad": 0.5,
    "legend.columnspacing": 1.5,
    "path.simplify": False,
}
SVG, LINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"
AUTOMATIC = re.compile(r".*_\d+")  # ids that matplotlib gives; ours are classes


@contextmanager
def house_style() -> Iterator[None]:
    """Context in which figures are made and written."""
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # the browser has other fonts
        yield


def to_svg(figure: Figure, description: str) -> str:
    """The figure (72 dpi, so that its points are px) as themed SVG; the gid of an artist becomes its class."""
    written = io.StringIO()
    figure.savefig(written, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    root = ElementTree.fromstring(written.getvalue())
    shapes = {path.attrib["id"]: path.attrib["d"] for path in root.iterfind(f".//{SVG}defs/{SVG}path")}
    for element in list(root.iter()):
        for definitions in element.findall(f"{SVG}defs"):
            element.remove(definitions)
        _clean(element, shapes)
    _, _, width, height = root.attrib["viewBox"].split()
    root.attrib.update({"class": "zf-chart", "role": "img", "width": width, "height": height})
    ElementTree.indent(root, " ")
    for tag, text in (("style", _style_sheet()), ("title", description)):
        inserted = ElementTree.Element(f"{SVG}{tag}")
        inserted.text = text
        root.insert(0, inserted)
    ElementTree.register_namespace("", SVG[1:-1])
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def _clean(element: ElementTree.Element, shapes: dict[str, str]) -> None:
    """Remove what could disturb a page that the chart is set into: ids, references, foreign fonts, fixed colors."""
    name = element.attrib.pop("id", "")
    if name and not AUTOMATIC.fullmatch(name):
        element.set("class", name)
    element.attrib.pop("clip-path", None)
    if element.tag == f"{SVG}use":
        _expand_marker(element, shapes[element.attrib.pop(LINK)[1:]])
    for key, value in element.attrib.items():
        if key == "style":
            value = re.sub(r" font-family:[^;]*;?", "", value)
            value = re.sub("|".join(VARIABLES), lambda color: VARIABLES[color[0]], value)
        elif key != "class":
            value = re.sub(r"\d+\.\d{3,}", lambda number: f"{float(number[0]):.2f}", value)
        element.set(key, " ".join(value.split()))


def _expand_marker(element: ElementTree.Element, shape: str) -> None:
    """The marker where matplotlib refers to its shape: the only curved ones are circles."""
    x, y = element.attrib.pop("x"), element.attrib.pop("y")
    if "C" in shape:
        element.tag = f"{SVG}circle"
        element.attrib.update({"cx": x, "cy": y, "r": shape.split()[2]})
    else:
        element.tag = f"{SVG}path"
        element.attrib.update({"d": shape, "transform": f"translate({x} {y})"})


def _style_sheet() -> str:
    """The same rules in every chart, so that a page can hold several."""
    light = ";".join(f"--c-{name}:var(--{name},{color})" for name, (color, _) in PALETTE.items())
    dark = ";".join(f"--c-{name}:var(--{name},{color})" for name, (_, color) in PALETTE.items())
    return (
        f".zf-chart{{{light}}}@media (prefers-color-scheme:dark){{.zf-chart{{{dark}}}}}"
        f".zf-chart{{stroke-linejoin:round}}.zf-chart text{{font-family:{FONTS};font-variant-numeric:tabular-nums}}"
        ".zf-chart .halo text{paint-order:stroke;stroke:var(--c-paper);stroke-width:4px;stroke-linejoin:round}"
    )
