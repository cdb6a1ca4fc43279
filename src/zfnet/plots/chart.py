"""Charts as SVG: small multiples of lines with bands, and dots with intervals.

Panels with the same y label share their y axis, panels with the same x label their x axis; its numbers are written
once a row and once a column. Lines are named at their ends, or, where several panels show the same series, in one
legend. A dot plot shows the interval as a bar and the published number as a hollow tick. Nothing that is not a finite
number is drawn; a line breaks there. Panels have a fixed size in px, the figure takes what its text needs around them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike

from zfnet.core.files import atomic_write
from zfnet.core.numbers import decimals_for, format_number, format_ticks
from zfnet.plots.font import text_width, wrap
from zfnet.plots.scale import finite_range, log_ticks, nice_ticks, padded, spread_apart
from zfnet.plots.theme import HUES, LABEL, PAPER, QUIET, TITLE, house_style, to_svg

PLOT_WIDTH, PLOT_HEIGHT = 196.0, 138.0  # px, one small panel
LONE_WIDTH, LONE_HEIGHT = 400.0, 240.0  # px, a panel that stands alone
GAP, MARGIN = 18.0, 6.0  # px, between panels with their text, around all
DOTS_WIDTH, ROW_HEIGHT, LABEL_WIDTH = 230.0, 26.0, 200.0  # px, of a dot plot: axis, row, longest label
DASHES = ("-", (0, (2.8, 2.2)), (0, (0.8, 2.2)))  # in line widths; for series that share a hue
BAR: dict[str, Any] = {"linewidth": 2.4, "alpha": 0.55, "capstyle": "round", "gid": "bar"}  # an interval
MARKED = 12  # points up to which each point of a line is marked


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
    size = (LONE_WIDTH, LONE_HEIGHT) if len(panels) == 1 else (PLOT_WIDTH, PLOT_HEIGHT)
    labels = list(dict.fromkeys(series.label for panel in panels for series in panel.series))
    names_at_ends = _names_at_ends(panels)
    x_ranges = [_x_range(panel, panels) for panel in panels]
    y_ranges = [_y_range(panel, panels) for panel in panels]
    with house_style():
        figure = Figure(figsize=(1, 1), dpi=72)
        for i, panel in enumerate(panels):
            axes = figure.add_axes((0, 0, size[0] / 72, size[1] / 72))
            axes.set(xlim=x_ranges[i], ylim=y_ranges[i], xscale="log" if panel.log_x else "linear")
            below = i + columns
            _draw_x_axis(axes, panel, below >= len(panels) or x_ranges[below] != x_ranges[i])
            _draw_y_axis(axes, panel, i % columns == 0 or y_ranges[i - 1] != y_ranges[i])
            _draw_levels(axes, panel)
            own = [series.label for series in panel.series] if names_at_ends else labels
            for series in panel.series:
                _draw_series(axes, series, own.index(series.label))
            if names_at_ends and len(own) > 1:
                _draw_names(axes, panel)
        if names_at_ends or len(labels) < 2:
            _arrange(figure, columns, size, legend_rows=0)
        else:
            legend_columns = _legend_columns(labels, columns * (size[0] + GAP))
            _arrange(figure, columns, size, legend_rows=math.ceil(len(labels) / legend_columns))
            _draw_legend(figure, panels, labels, legend_columns)
        return to_svg(figure, _describe(panels))


def _names_at_ends(panels: Sequence[Panel]) -> bool:
    """Whether lines carry their names at their ends: where no two panels share a name."""
    names = [{series.label for series in panel.series} for panel in panels]
    distinct = len(set().union(*names)) == sum(map(len, names))
    return distinct and 1 < max(map(len, names)) <= len(HUES)


def _x_range(panel: Panel, panels: Sequence[Panel]) -> tuple[float, float]:
    group = [other for other in panels if (other.x_label, other.log_x) == (panel.x_label, panel.log_x)]
    values = [value for other in group for series in other.series for value in series.x]
    low, high = finite_range(value for value in values if not panel.log_x or value > 0)
    if low < high:
        return low, high
    return (low / 2, high * 2) if panel.log_x and low > 0 else (low - 0.5, high + 0.5)


def _y_range(panel: Panel, panels: Sequence[Panel]) -> tuple[float, float]:
    if panel.y_range is not None:
        return panel.y_range
    values: list[float] = []
    for other in panels:
        if other.y_label == panel.y_label and other.y_range is None:
            values += [level for _, level in other.levels]
            for series in other.series:
                for column in (series.y, series.low, series.high):
                    values += [] if column is None else list(column)
    return padded(*finite_range(values))


def _draw_x_axis(axes: Axes, panel: Panel, labelled: bool) -> None:
    axes.grid(axis="x", visible=False)
    axes.spines.bottom.set_zorder(1)
    axes.minorticks_off()
    if not labelled:
        axes.set_xticks([])
        return
    count = max(2, int(axes.bbox.width / 55))
    ticks = log_ticks(*axes.get_xlim(), count) if panel.log_x else nice_ticks(*axes.get_xlim(), count)
    if all(float(value).is_integer() for series in panel.series for value in series.x):
        ticks = [tick for tick in ticks if math.isclose(tick, round(tick), abs_tol=1e-9)]
    axes.set_xticks(ticks, format_ticks(ticks))
    axes.set_xlabel(panel.x_label, color=QUIET)


def _draw_y_axis(axes: Axes, panel: Panel, labelled: bool) -> None:
    """The title, under it what the y axis shows, and its numbers."""
    ticks = nice_ticks(*axes.get_ylim())
    axes.set_yticks(ticks, format_ticks(ticks) if labelled else [""] * len(ticks))
    label = wrap(panel.y_label, LABEL, axes.bbox.width)
    title = wrap(panel.title, TITLE, axes.bbox.width, bold=True)
    top = axes.bbox.height + 8
    if labelled:
        _write(axes, 0, top, "\n".join(label), va="bottom", color=QUIET)
    _write(axes, 0, top + 15 * len(label), "\n".join(title), va="bottom", size=TITLE, weight="bold")


def _write(axes: Axes, x: float, y: float, text: str, **style: Any) -> None:
    """Text whose baseline begins `x`, `y` px from the lower left corner of the axes."""
    axes.text(x / axes.bbox.width, y / axes.bbox.height, text, transform=axes.transAxes, **style)


def _draw_levels(axes: Axes, panel: Panel) -> None:
    for name, level in panel.levels:
        axes.axhline(level, color=QUIET, linewidth=1.0, linestyle=(0, (2, 3)), gid="level")
        above = axes.transAxes.inverted().transform(axes.transData.transform((1, level)))[1] * axes.bbox.height + 4
        _write(axes, axes.bbox.width, above, name, ha="right", color=QUIET, gid="halo")


def _draw_series(axes: Axes, series: Series, rank: int) -> None:
    x, y = _inside(series.x, axes.get_xlim()), _inside(series.y, axes.get_ylim())
    drawn = np.isfinite(x) & np.isfinite(y)
    if not drawn.any():
        return
    if series.low is not None and series.high is not None:
        low, high = _inside(series.low, axes.get_ylim()), _inside(series.high, axes.get_ylim())
        bounded = drawn & np.isfinite(low) & np.isfinite(high)
        if series.dots:
            axes.vlines(x[bounded], low[bounded], high[bounded], color=_hue(rank), **BAR)
        else:
            axes.fill_between(x, low, high, bounded, facecolor=_hue(rank), edgecolor="none", alpha=0.16, gid="band")
    beside = np.convolve(drawn, [1, 0, 1], mode="same")  # neighbors that are drawn
    marked = drawn if series.dots or len(x) <= MARKED else drawn & (beside == 0)
    style = _line_style(rank, series.dots)
    axes.plot(np.where(drawn, x, np.nan), y, **style, markevery=marked, gid="dots" if series.dots else "line")


def _inside(values: Sequence[float], limits: tuple[float, float]) -> np.ndarray:
    """The values, NaN where they are not finite, those beyond the axis at its end."""
    array = np.asarray(values, dtype=float)
    return np.clip(np.where(np.isfinite(array), array, np.nan), *limits)


def _draw_names(axes: Axes, panel: Panel) -> None:
    """Each line's name at its right end, pushed apart where they would overlap."""
    low, high = axes.get_ylim()
    ends = []
    for rank, series in enumerate(panel.series):
        y = _inside(series.y, (low, high))
        if np.isfinite(y).any():
            ends.append(((high - y[np.isfinite(y)][-1]) / (high - low) * axes.bbox.height, rank, series.label))
    places = spread_apart([place for place, _, _ in ends], 15.0, 0.0, axes.bbox.height)
    for place, (_, rank, label) in zip(places, ends, strict=True):
        _write(axes, axes.bbox.width + 8, axes.bbox.height - place - 4, label, color=_hue(rank))


def _hue(rank: int) -> str:
    return HUES[rank % len(HUES)]


def _line_style(rank: int, dots: bool) -> dict[str, Any]:
    """How a line, or dots, of this rank look in a panel and in the legend."""
    dashes = DASHES[min(rank // len(HUES), len(DASHES) - 1)]
    size = 6.8 if dots else 4.4
    return {"color": _hue(rank), "linestyle": "none" if dots else dashes, "marker": "o", "markersize": size}


def _arrange(figure: Figure, columns: int, size: tuple[float, float], legend_rows: int) -> None:
    """Set the axes, all of `size` px, side by side with the room that the text around them takes."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    boxes = [axes.get_tightbbox(renderer) or axes.bbox for axes in figure.axes]
    rows = math.ceil(len(boxes) / columns)
    room = np.zeros((rows * columns, 4))  # px: left, right, above, below
    room[: len(boxes)] = [(-box.x0, box.x1 - size[0], box.y1 - size[1], -box.y0) for box in boxes]
    left, right = room.reshape(rows, columns, 4)[..., :2].max(0).T
    above, below = room.reshape(rows, columns, 4)[..., 2:].max(1).T
    top = 20.0 * legend_rows + (2 * MARGIN if legend_rows else MARGIN)
    width = (left + size[0] + right).sum() + (columns - 1) * GAP + 2 * MARGIN
    height = top + (above + size[1] + below).sum() + (rows - 1) * GAP + MARGIN
    figure.set_size_inches(width / 72, height / 72)
    for i, axes in enumerate(figure.axes):
        row, column = divmod(i, columns)
        x = MARGIN + left[: column + 1].sum() + right[:column].sum() + column * (size[0] + GAP)
        y = top + above[: row + 1].sum() + below[:row].sum() + row * (size[1] + GAP)
        axes.set_position((x / width, 1 - (y + size[1]) / height, size[0] / width, size[1] / height))


def _draw_legend(figure: Figure, panels: Sequence[Panel], labels: Sequence[str], columns: int) -> None:
    """The series' names in the upper left corner, row by row."""
    dots = {series.label for panel in panels for series in panel.series if series.dots}
    handles = []
    for rank, label in enumerate(labels):
        handles.append(Line2D([], [], label=label, **_line_style(rank, label in dots)))
        if label not in dots:
            handles[-1].set_marker("")
    in_columns = []  # the order in which matplotlib fills the legend
    for column in range(columns):
        in_columns += handles[column::columns]
    figure.legend(handles=in_columns, ncols=columns)


def _legend_columns(labels: Sequence[str], width: float) -> int:
    """As many columns as fit into `width` px, each as wide as its longest name."""
    widths = [text_width(label, LABEL) + 42 for label in labels]
    for columns in range(len(labels), 1, -1):
        if sum(max(widths[column::columns]) for column in range(columns)) <= width:
            return columns
    return 1


def _describe(panels: Sequence[Panel]) -> str:
    titles = "; ".join(dict.fromkeys(panel.title for panel in panels if panel.title))
    axes = "; ".join(dict.fromkeys(f"{panel.y_label} against {panel.x_label}" for panel in panels))
    return f"{titles}: {axes}" if titles else axes


# ---------------------------------------------------------------- dots


def dots(rows: Sequence[Dot], x_label: str) -> str:
    """SVG dot plot: one row a label, its interval as a bar, the published number as a hollow tick, both as text."""
    if not rows:
        raise ValueError("dots: no rows")
    label_width = max(min(max(text_width(row.label, TITLE) for row in rows), LABEL_WIDTH), 40.0)
    labels = [wrap(row.label, TITLE, label_width) or [""] for row in rows]
    heights = [max(ROW_HEIGHT, 16.0 * len(label) + 8.0) for label in labels]
    label_width = max(text_width(line, TITLE) for label in labels for line in label)
    centers = (np.cumsum(heights) - np.array(heights) / 2).tolist()
    numbers = [n for row in rows for n in (row.value, row.low, row.high, row.published) if _is_number(n)]
    low, high = padded(*finite_range(numbers))
    decimals = decimals_for(max(map(abs, numbers), default=0.0))
    has_published = any(_is_number(row.published) for row in rows)
    left, top = label_width + 22.0, 26.0
    total_width = left + DOTS_WIDTH + (154.0 if has_published else 70.0)
    total_height = top + sum(heights) + 42.0
    with house_style():
        figure = Figure(figsize=(total_width / 72, total_height / 72), dpi=72)
        width, height = DOTS_WIDTH / total_width, sum(heights) / total_height
        axes = figure.add_axes((left / total_width, 42.0 / total_height, width, height))
        axes.set(xlim=(low, high), ylim=(sum(heights), 0))  # y in px, downwards
        axes.grid(axis="y", visible=False)
        ticks = nice_ticks(low, high, 5)
        axes.set_xticks(ticks, format_ticks(ticks))
        axes.set_xlabel(x_label, color=QUIET)
        axes.set_yticks([])
        _draw_marks(axes, rows, centers)
        _draw_key(axes, has_published)
        for row, label, center in zip(rows, labels, centers, strict=True):
            _draw_texts(axes, row, label, center, decimals)
        return to_svg(figure, f"Dot plot of {x_label}: " + ", ".join(row.label for row in rows))


def _draw_marks(axes: Axes, rows: Sequence[Dot], centers: Sequence[float]) -> None:
    """Bars, above them hollow ticks, above them dots."""
    bars = []
    for row, center in zip(rows, centers, strict=True):
        if _is_number(row.low) and _is_number(row.high):
            bars.append((center, row.low, row.high))
        if _is_number(row.published):
            _draw_hollow(axes, row.published, center, 8)
    if bars:
        axes.hlines(*zip(*bars, strict=True), color=HUES[0], **BAR)
    _draw_filled(axes, _inside([row.value for row in rows], axes.get_xlim()), centers)


def _draw_key(axes: Axes, has_published: bool) -> None:
    """The heads of the two columns of numbers, with the marks that they stand for."""
    here, published = _columns(axes)
    per_px = _data_per_px(axes)
    axes.text(here, -12, "here", ha="right", color=QUIET)
    _draw_filled(axes, [here - 38 * per_px], [-16])
    if has_published:
        axes.text(published, -12, "published", ha="right", color=QUIET)
        _draw_hollow(axes, published - 66 * per_px, -16, 6)


def _draw_texts(axes: Axes, row: Dot, label: Sequence[str], center: float, decimals: int) -> None:
    here, published = _columns(axes)
    before_axis = axes.get_xlim()[0] - 12 * _data_per_px(axes)
    for number, line in enumerate(label):
        baseline = center + 4 + 16 * number - 8 * (len(label) - 1)
        axes.text(before_axis, baseline, line, ha="right", size=TITLE)
    axes.text(here, center + 4, format_number(row.value, decimals), ha="right", size=TITLE)
    if _is_number(row.published):
        axes.text(published, center + 4, format_number(row.published, decimals), ha="right", color=QUIET)


def _columns(axes: Axes) -> tuple[float, float]:
    """Right ends of the two columns of numbers, beside the axis."""
    end = axes.get_xlim()[1]
    return end + 62 * _data_per_px(axes), end + 146 * _data_per_px(axes)


def _data_per_px(axes: Axes) -> float:
    low, high = axes.get_xlim()
    return (high - low) / DOTS_WIDTH


def _draw_filled(axes: Axes, x: ArrayLike, y: ArrayLike) -> None:
    axes.plot(x, y, "o", color=HUES[0], markersize=8.4, gid="dot")


def _draw_hollow(axes: Axes, x: float, y: float, half: float) -> None:
    width = 5 * _data_per_px(axes)
    corner = (x - width / 2, y - half)
    axes.add_patch(Rectangle(corner, width, 2 * half, facecolor=PAPER, edgecolor=QUIET, linewidth=1.3, gid="hollow"))


def _is_number(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)
