"""The marks a chart is made of, as SVG text, and the one style sheet that all charts share.

Colours come from the page's variables where the chart is set into a page, else from the fall-backs here, light or
dark as the reader's system asks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

LIGHT = {"ink": "#23211d", "quiet": "#6d685f", "rule": "#dcd7cc", "paper": "#fdfcf9", "accent": "#a8392a"}
DARK = {"ink": "#e9e4da", "quiet": "#a39d92", "rule": "#3b3833", "paper": "#181715", "accent": "#f0866e"}
HUES = (  # light, dark: the accent, then hues that colour-blind readers can tell apart
    ("#a8392a", "#f0866e"),
    ("#2f6690", "#7db4dc"),
    ("#b07d12", "#e0b04f"),
    ("#3f7d58", "#7fc49a"),
    ("#75558f", "#bd9bd8"),
    ("#6d685f", "#a39d92"),
)


def svg(width: float, height: float, title: str, parts: Iterable[str]) -> str:
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="zf-chart" role="img" width="{width:.0f}" '
        f'height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}">\n<title>{escape(title)}</title>\n'
        f'<style>{_style()}</style>\n<rect class="sheet" width="100%" height="100%"/>\n{body}\n</svg>\n'
    )


def _style() -> str:
    """Colours from the page's variables, else our own; the same rules in every chart, so inlining several is safe."""
    hues = [("accent", *HUES[0])] + [(f"series-{i}", *hue) for i, hue in enumerate(HUES[1:], start=2)]
    light = [(f"c-{k}", k, v) for k, v in LIGHT.items()] + [(f"c-s{i}", n, h[0]) for i, (n, *h) in enumerate(hues, 1)]
    dark = [(f"c-{k}", k, v) for k, v in DARK.items()] + [(f"c-s{i}", n, h[1]) for i, (n, *h) in enumerate(hues, 1)]
    series = "".join(
        f".zf-chart .s{i}{{stroke:var(--c-s{i});fill:var(--c-s{i})}}.zf-chart .t{i}{{fill:var(--c-s{i})}}"
        for i in range(1, len(HUES) + 1)
    )
    return (
        f".zf-chart{{{_variables(light)}}}@media (prefers-color-scheme:dark){{.zf-chart{{{_variables(dark)}}}}}"
        ".zf-chart text{font:12px system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif;"
        "fill:var(--c-ink);font-variant-numeric:tabular-nums}"
        ".zf-chart .sheet{fill:var(--c-paper)}.zf-chart .title{font-size:13px;font-weight:600}"
        ".zf-chart .ink{font-size:13px}.zf-chart .quiet{fill:var(--c-quiet)}"
        f"{series}.zf-chart .rule{{stroke:var(--c-rule)}}.zf-chart .axis{{stroke:var(--c-quiet)}}"
        ".zf-chart .halo{paint-order:stroke;stroke:var(--c-paper);stroke-width:4px;stroke-linejoin:round}"
        ".zf-chart .level{stroke:var(--c-quiet);stroke-dasharray:2 3}"
        ".zf-chart .line{fill:none;stroke-width:1.8;stroke-linejoin:round;stroke-linecap:round}"
        ".zf-chart .d1{stroke-dasharray:5 4}.zf-chart .d2{stroke-dasharray:1.5 4}"
        ".zf-chart .band{stroke:none;opacity:.16}.zf-chart .bar{stroke-width:2.4;stroke-linecap:round;opacity:.55}"
        ".zf-chart .dot{stroke:var(--c-paper);stroke-width:1}"
        ".zf-chart .hollow{fill:var(--c-paper);stroke:var(--c-quiet);stroke-width:1.3}"
    )


def _variables(rows: Iterable[tuple[str, str, str]]) -> str:
    return ";".join(f"--{own}:var(--{pages},{colour})" for own, pages, colour in rows)


def path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def line(x0: float, y0: float, x1: float, y1: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}"/>'


def text(x: float, y: float, text: str, kind: str, anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
