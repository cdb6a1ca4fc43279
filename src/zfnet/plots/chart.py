"""Charts as SVG: small multiples of lines with bands, and dots with intervals.

Written by hand rather than by a plotting library, for three reasons: the text stays text, the page's own variables
colour the chart (`--ink`, `--quiet`, `--rule`, `--paper`, `--accent`, `--series-2` ...; light and dark have their
fall-backs, so the file also stands alone), and the layout is ours: panels with the same y label share their y axis,
panels with the same x label share their x axis; lines are named at their ends, or, where several panels show the same
series, in one quiet legend. A dot plot shows the interval as a bar and the published number as a hollow tick.
Nothing that is not a finite number is drawn; a line breaks there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from zfnet.core.files import atomic_write
from zfnet.plots import marks
from zfnet.plots.axis import Axis, decimals_for, finite_range, padded, short, spread_apart, text_width, tidy, wrap
from zfnet.plots.marks import HUES

Ranges = tuple[tuple[float, float], tuple[float, float]]  # of x, of y

LABEL, TITLE = 12.0, 13.0  # text sizes, px
BOLD = 1.12  # width of bold text against regular
PLOT_WIDTH, PLOT_HEIGHT = 196.0, 138.0  # of one small panel, px
LONE_WIDTH, LONE_HEIGHT = 400.0, 240.0  # of a panel that stands alone, px
GAP = 26.0  # between panels, px
DOTS_WIDTH, ROW_HEIGHT, LABEL_WIDTH = 230.0, 26.0, 200.0  # of a dot plot: axis, row, labels at the most, px


@dataclass(frozen=True)
class Series:
    """One line, or dots; `low`/`high` are its band, or the dots' intervals."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
    dots: bool = False


@dataclass(frozen=True)
class Panel:
    """One small chart; `levels` are quiet horizontal lines with a label (chance, a published number)."""

    title: str
    x_label: str
    y_label: str
    series: Sequence[Series]
    y_range: tuple[float, float] | None = None
    log_x: bool = False
    levels: Sequence[tuple[str, float]] = ()


@dataclass(frozen=True)
class Dot:
    """One row of a dot plot."""

    label: str
    value: float
    low: float | None = None
    high: float | None = None
    published: float | None = None


def save(svg: str, path: Path) -> None:
    """Write the chart atomically as UTF-8."""
    with atomic_write(path) as part:
        part.write_text(svg, encoding="utf-8")


# ---------------------------------------------------------------- lines


def lines(panels: Sequence[Panel], columns: int = 3) -> str:
    """SVG of small multiples, `columns` to a row, with shared axes; one panel alone is drawn larger."""
    if not panels:
        raise ValueError("lines: no panels")
    columns = min(columns, len(panels))
    lone = len(panels) == 1
    width, height = (LONE_WIDTH, LONE_HEIGHT) if lone else (PLOT_WIDTH, PLOT_HEIGHT)
    labels = list(dict.fromkeys(s.label for p in panels for s in p.series))
    direct = _labels_at_ends(panels)
    named = len(labels) > 1 and not direct
    ranges = [(_x_range(p, panels), _y_range(p, panels)) for p in panels]
    lefts = _left_margins(panels, ranges, columns)
    heads = _head_heights(panels, ranges, columns, width)
    rights = _right_margins(panels, columns, direct)
    total = sum(lefts) + sum(rights) + columns * width
    legend, top = _legend(labels, total) if named else ([], 4.0)
    parts, y = list(legend), top
    for row in range(0, len(panels), columns):
        foot = 0.0
        for column, index in enumerate(range(row, min(row + columns, len(panels)))):
            x = sum(lefts[: column + 1]) + sum(rights[:column]) + column * width
            (x_low, x_high), (low, high) = ranges[index]
            frame = _Frame(
                Axis(x_low, x_high, x, x + width, panels[index].log_x),
                Axis(low, high, y + heads[row // columns] + height, y + heads[row // columns]),
                top=y,
                y_ticks=_shows_y(ranges, index, columns),
                x_ticks=_shows_x(ranges, index, columns),
            )
            own = [s.label for s in panels[index].series] if direct else labels
            parts += _panel(panels[index], frame, own, direct and len(own) > 1)
            foot = max(foot, 40.0 if frame.x_ticks else 12.0)
        foot += 12 if row + columns < len(panels) and foot > 12 else 0
        y += heads[row // columns] + height + foot
    return marks.svg(total, y + 2, _describe(panels), parts)


@dataclass(frozen=True)
class _Frame:
    x: Axis
    y: Axis
    top: float
    y_ticks: bool
    x_ticks: bool


def _labels_at_ends(panels: Sequence[Panel]) -> bool:
    """Whether lines carry their names at their ends: where no two panels share a name."""
    names = [{s.label for s in p.series} for p in panels]
    disjoint = not any(a & b for i, a in enumerate(names) for b in names[:i])
    return disjoint and 1 < max(map(len, names)) <= len(HUES)


def _right_margins(panels: Sequence[Panel], columns: int, direct: bool) -> list[float]:
    margins = [GAP] * (columns - 1) + [12.0]
    for index, panel in enumerate(panels):
        if direct and len(panel.series) > 1:
            need = max(text_width(s.label, LABEL) for s in panel.series) + 14
            margins[index % columns] = max(margins[index % columns], need)
    return margins


def _x_range(panel: Panel, panels: Sequence[Panel]) -> tuple[float, float]:
    group = [p for p in panels if (p.x_label, p.log_x) == (panel.x_label, panel.log_x)]
    values = [v for p in group for s in p.series for v in s.x if not p.log_x or v > 0]
    low, high = finite_range(values)
    if low < high:
        return low, high
    return (low / 2, high * 2) if panel.log_x and low > 0 else (low - 0.5, high + 0.5)


def _y_range(panel: Panel, panels: Sequence[Panel]) -> tuple[float, float]:
    if panel.y_range is not None:
        return panel.y_range
    group = [p for p in panels if p.y_label == panel.y_label and p.y_range is None]
    values = [v for p in group for s in p.series for c in (s.y, s.low, s.high) if c is not None for v in c]
    return padded(*finite_range([*values, *(level for p in group for _, level in p.levels)]))


def _shows_y(ranges: Sequence[Ranges], index: int, columns: int) -> bool:
    return index % columns == 0 or ranges[index][1] != ranges[index - 1][1]


def _shows_x(ranges: Sequence[Ranges], index: int, columns: int) -> bool:
    below = index + columns
    return below >= len(ranges) or ranges[index][0] != ranges[below][0]


def _left_margins(panels: Sequence[Panel], ranges: Sequence[Ranges], columns: int) -> list[float]:
    margins = [0.0] * columns
    margins[0] = 16.0
    for index in range(len(panels)):
        if _shows_y(ranges, index, columns):
            ticks = tidy(Axis(*ranges[index][1], start=0, end=1).ticks())
            need = max(text_width(t, LABEL) for t in ticks) + 10
            margins[index % columns] = max(margins[index % columns], need)
    return margins


def _head_heights(panels: Sequence[Panel], ranges: Sequence[Ranges], columns: int, width: float) -> list[float]:
    heights = []
    for row in range(0, len(panels), columns):
        members = range(row, min(row + columns, len(panels)))
        titles = max(len(wrap(panels[i].title, BOLD * TITLE, width)) for i in members)
        labelled = max(len(wrap(panels[i].y_label, LABEL, width)) * _shows_y(ranges, i, columns) for i in members)
        heights.append(16.0 * titles + 15.0 * labelled + 10)
    return heights


def _panel(panel: Panel, frame: _Frame, labels: Sequence[str], direct: bool) -> list[str]:
    parts, x, y = _head(panel, frame), frame.x, frame.y
    y_ticks = y.ticks()
    for tick, text in zip(y_ticks, tidy(y_ticks), strict=True):
        parts.append(marks.line(x.start, y.place(tick), x.end, y.place(tick), "rule"))
        if frame.y_ticks:
            parts.append(marks.text(x.start - 6, y.place(tick) + 4, text, "quiet", "end"))
    parts.append(marks.line(x.start, y.start, x.end, y.start, "axis"))
    if frame.x_ticks:
        whole = all(float(v).is_integer() for s in panel.series for v in s.x)
        parts += _x_axis(x, y.start, panel.x_label, max(2, int((x.end - x.start) / 55)), whole)
    for name, level in panel.levels:
        parts.append(marks.line(x.start, y.place(level), x.end, y.place(level), "level"))
        parts.append(marks.text(x.end, y.place(level) - 4, name, "quiet halo", "end"))
    for series in panel.series:
        parts += _series(series, x, y, labels.index(series.label))
    return parts + (_end_labels(panel, x, y, labels) if direct else [])


def _head(panel: Panel, frame: _Frame) -> list[str]:
    width, y, parts = frame.x.end - frame.x.start, frame.top + 12, []
    for line in wrap(panel.title, BOLD * TITLE, width):
        parts.append(marks.text(frame.x.start, y, line, "title"))
        y += 16
    if frame.y_ticks:
        for line in wrap(panel.y_label, LABEL, width):
            parts.append(marks.text(frame.x.start, y, line, "quiet"))
            y += 15
    return parts


def _x_axis(x: Axis, y: float, label: str, count: int, whole: bool = False) -> list[str]:
    ticks = [t for t in x.ticks(count) if not whole or math.isclose(t, round(t), abs_tol=1e-9)]
    parts, last = [], -math.inf
    for tick, text in zip(ticks, tidy(ticks), strict=True):
        place, half = x.place(tick), text_width(text, LABEL) / 2
        parts.append(marks.line(place, y, place, y + 4, "axis"))
        if place - half > last + 4:
            parts.append(marks.text(place, y + 17, text, "quiet", "middle"))
            last = place + half
    return [*parts, marks.text((x.start + x.end) / 2, y + 33, label, "quiet", "middle")]


def _series(series: Series, x: Axis, y: Axis, rank: int) -> list[str]:
    hue, dash = rank % len(HUES) + 1, rank // len(HUES)
    parts: list[str] = []
    for run in _runs(series):
        points = [(x.place(a), y.place(b)) for a, b, _, _ in run]
        spread = [(x.place(a), y.place(lo), y.place(hi)) for a, _, lo, hi in run if lo is not None and hi is not None]
        if series.dots:
            parts += [marks.line(a, lo, a, hi, f"bar s{hue}") for a, lo, hi in spread]
        elif len(spread) > 1:
            outline = [(a, hi) for a, _, hi in spread] + [(a, lo) for a, lo, _ in reversed(spread)]
            parts.append(f'<path class="band s{hue}" d="{marks.path(outline)}Z"/>')
        if not series.dots and len(points) > 1:
            parts.append(f'<path class="line s{hue} d{min(dash, 2)}" d="{marks.path(points)}"/>')
        if series.dots or len(series.x) <= 12 or len(points) == 1:
            radius = 3.4 if series.dots else 2.2
            parts += [f'<circle class="dot s{hue}" cx="{a:.1f}" cy="{b:.1f}" r="{radius}"/>' for a, b in points]
    return parts


def _runs(series: Series) -> list[list[tuple[float, float, float | None, float | None]]]:
    """The finite stretches of a series, as (x, y, low, high)."""
    n = len(series.x)
    low = [None] * n if series.low is None else series.low
    high = [None] * n if series.high is None else series.high
    runs: list[list] = [[]]
    for a, b, lo, hi in zip(series.x, series.y, low, high, strict=True):
        if math.isfinite(a) and math.isfinite(b):
            banded = lo is not None and hi is not None and math.isfinite(lo) and math.isfinite(hi)
            runs[-1].append((a, b, lo, hi) if banded else (a, b, None, None))
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _end_labels(panel: Panel, x: Axis, y: Axis, labels: Sequence[str]) -> list[str]:
    """Each line's name at its right end, pushed apart where they would overlap."""
    ends = [(y.place(run[-1][-1][1]), s.label) for s in panel.series if (run := _runs(s))]
    places = spread_apart([place for place, _ in ends], 15.0, y.end, y.start)
    names = [label for _, label in ends]
    return [
        marks.text(x.end + 8, place + 4, name, f"t{labels.index(name) % len(HUES) + 1}")
        for place, name in zip(places, names, strict=True)
    ]


def _legend(labels: Sequence[str], width: float) -> tuple[list[str], float]:
    parts, x, y = [], 16.0, 14.0
    for rank, label in enumerate(labels):
        need = text_width(label, LABEL) + 42
        if x > 16 and x + need > width:
            x, y = 16.0, y + 20
        parts.append(marks.line(x, y - 4, x + 18, y - 4, f"line s{rank % len(HUES) + 1} d{min(rank // len(HUES), 2)}"))
        parts.append(marks.text(x + 24, y, label, "quiet"))
        x += need
    return parts, y + 16


def _describe(panels: Sequence[Panel]) -> str:
    titles = "; ".join(dict.fromkeys(p.title for p in panels if p.title))
    axes = "; ".join(dict.fromkeys(f"{p.y_label} against {p.x_label}" for p in panels))
    return f"{titles}: {axes}" if titles else axes


# ---------------------------------------------------------------- dots


def dots(rows: Sequence[Dot], x_label: str) -> str:
    """SVG dot plot: one row a label, its interval as a bar, the published number as a hollow tick, both as text."""
    if not rows:
        raise ValueError("dots: no rows")
    published = any(_is_number(row.published) for row in rows)
    label_width = max(min(max(text_width(r.label, TITLE) for r in rows), LABEL_WIDTH), 40)
    wrapped = [wrap(row.label, TITLE, label_width) or [""] for row in rows]
    heights = [max(ROW_HEIGHT, 16.0 * len(text) + 8) for text in wrapped]
    label_width = max(text_width(line, TITLE) for text in wrapped for line in text)
    values = [v for r in rows for v in (r.value, r.low, r.high, r.published) if v is not None and math.isfinite(v)]
    axis = Axis(*padded(*finite_range(values)), label_width + 18, label_width + 18 + DOTS_WIDTH)
    columns = (axis.end + 62, axis.end + 146)
    decimals = decimals_for(max(map(abs, values), default=0.0))
    top = 26.0
    bottom = top + sum(heights)
    parts = [marks.line(axis.place(t), top, axis.place(t), bottom, "rule") for t in axis.ticks(5)]
    parts += [marks.line(axis.start, bottom, axis.end, bottom, "axis"), *_x_axis(axis, bottom, x_label, 5)]
    parts += [marks.text(columns[0], 14, "here", "quiet", "end"), _filled(columns[0] - 38, 10)]
    if published:
        parts += [marks.text(columns[1], 14, "published", "quiet", "end"), _hollow(columns[1] - 66, 10, 6)]
    y = top
    for row, text, height in zip(rows, wrapped, heights, strict=True):
        parts += _dot_row(row, text, axis, y + height / 2, columns, decimals)
        y += height
    total = columns[1] + 8 if published else columns[0] + 8
    return marks.svg(total, bottom + 42, f"Dot plot of {x_label}: " + ", ".join(r.label for r in rows), parts)


def _dot_row(
    row: Dot, text: Sequence[str], axis: Axis, y: float, columns: tuple[float, float], decimals: int
) -> list[str]:
    first = y + 4 - 8 * (len(text) - 1)
    parts = [marks.text(axis.start - 12, first + 16 * i, line, "ink", "end") for i, line in enumerate(text)]
    if row.published is not None and math.isfinite(row.published):
        parts.append(_hollow(axis.place(row.published), y, 8))
        parts.append(marks.text(columns[1], y + 4, short(row.published, decimals), "quiet", "end"))
    if _is_number(row.low) and _is_number(row.high):
        parts.append(marks.line(axis.place(row.low or 0), y, axis.place(row.high or 0), y, "bar s1"))
    if math.isfinite(row.value):
        parts.append(_filled(axis.place(row.value), y))
    return [*parts, marks.text(columns[0], y + 4, short(row.value, decimals), "ink", "end")]


def _filled(x: float, y: float) -> str:
    return f'<circle class="dot s1" cx="{x:.1f}" cy="{y:.1f}" r="4.2"/>'


def _hollow(x: float, y: float, half: float) -> str:
    return f'<rect class="hollow" x="{x - 2.5:.1f}" y="{y - half:.1f}" width="5" height="{2 * half:.0f}" rx="0.8"/>'


def _is_number(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
