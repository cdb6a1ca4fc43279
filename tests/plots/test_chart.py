from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from zfnet.plots import axis
from zfnet.plots.chart import Dot, Panel, Series, dots, lines, save

SVG = "{http://www.w3.org/2000/svg}"


def small_panels(count: int) -> list[Panel]:
    x = np.arange(5)
    series = [Series("ours", x, x * 2.0, x * 2.0 - 1, x * 2.0 + 1), Series("<b>&co", x, x * 0.5)]
    return [Panel(f"panel {i}", "epoch", "error, %", series) for i in range(count)]


def texts(svg: str) -> list[str]:
    return [node.text or "" for node in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def boxes(svg: str) -> list[tuple[str, float, float]]:
    """Each text with its estimated left and right end."""
    found = []
    for node in ElementTree.fromstring(svg).iter(f"{SVG}text"):
        size = {"title": 13 * 1.12, "ink": 13}.get(node.get("class") or "", 12)
        width, x = axis.text_width(node.text or "", size), float(node.attrib["x"])
        left = x - {"start": 0, "middle": 0.5, "end": 1}[node.attrib["text-anchor"]] * width
        found.append((node.text or "", left, left + width))
    return found


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7])
def test_lines_are_well_formed_and_carry_every_label(count: int) -> None:
    svg = lines(small_panels(count))
    root = ElementTree.fromstring(svg)
    assert root.get("role") == "img"
    assert (root.find(f"{SVG}title").text or "").startswith("panel 0")
    found = texts(svg)
    for label in ["ours", "<b>&co", "epoch", "error, %", *(f"panel {i}" for i in range(count))]:
        assert label in found
    assert "nan" not in svg.lower().replace("tabular-nums", "")


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_no_text_leaves_the_picture(count: int) -> None:
    svg = lines(small_panels(count))
    width = float(ElementTree.fromstring(svg).attrib["width"])
    for text, left, right in boxes(svg):
        assert left >= -1 and right <= width + 1, text


def test_a_long_bold_title_wraps_inside_its_panel() -> None:
    x = [0, 1]
    panels = [Panel(t, "x", "y", [Series("s", x, x)]) for t in ("short", "read off: the neuron's output")]
    svg = lines(panels)
    assert max(right for _, _, right in boxes(svg)) <= float(ElementTree.fromstring(svg).attrib["width"])
    assert "read off: the neuron's output" not in texts(svg)


def test_shared_axes_write_their_numbers_once_a_row_and_column() -> None:
    found = texts(lines(small_panels(6), columns=3))
    assert found.count("error, %") == 2  # two rows
    assert found.count("epoch") == 3  # three columns


def test_panels_with_other_quantities_keep_their_own_axis() -> None:
    one, two = small_panels(2)
    other = Panel("other", "epoch", "loss", [Series("ours", [0, 4], [0, 900])])
    assert "loss" in texts(lines([one, other])) and "500" in texts(lines([one, other]))
    assert "500" not in texts(lines([one, two]))


def test_a_line_breaks_at_what_is_not_a_number() -> None:
    broken = Series("s", [0, 1, 2, 3, 4], [1, 2, math.nan, 2, 1])
    svg = lines([Panel("p", "x", "y", [broken])])
    paths = [n for n in ElementTree.fromstring(svg).iter(f"{SVG}path") if "line" in n.attrib["class"]]
    assert len(paths) == 2
    assert not re.search(r"\b(nan|inf)\b", svg)


def test_an_empty_series_still_gives_a_chart() -> None:
    ElementTree.fromstring(lines([Panel("p", "x", "y", [Series("s", [], [])])]))


def test_log_axis_places_powers_evenly() -> None:
    scale = axis.Axis(1, 100, 0, 200, log=True)
    assert scale.place(10) == pytest.approx(100)
    assert scale.ticks() == [1, 2, 5, 10, 20, 50, 100]


def test_dots_show_value_interval_and_published_number() -> None:
    svg = dots([Dot("SVM <7>", 54.0, 50, 58, 85.5), Dot("no interval", 12.0)], "accuracy, %")
    root = ElementTree.fromstring(svg)
    found = texts(svg)
    assert {"SVM <7>", "no interval", "54.0", "85.5", "12.0", "accuracy, %", "published"} <= set(found)
    bars = [n for n in root.iter(f"{SVG}line") if n.attrib["class"].startswith("bar")]
    assert len(bars) == 1
    circle = [n for n in root.iter(f"{SVG}circle")][1]  # the first is the key in the head
    assert float(bars[0].attrib["x1"]) < float(circle.attrib["cx"]) < float(bars[0].attrib["x2"])
    width = float(root.attrib["width"])
    assert all(left >= -1 and right <= width + 1 for _, left, right in boxes(svg))


def test_dots_without_published_numbers_have_no_such_column() -> None:
    assert "published" not in texts(dots([Dot("a", 1.0)], "x"))


def test_the_numbers_of_a_dot_plot_have_the_same_decimals() -> None:
    assert {"47.0", "9.8", "46.4"} <= set(texts(dots([Dot("a", 47.0, published=46.4), Dot("b", 9.8)], "x")))


def test_nothing_to_draw_is_an_error() -> None:
    with pytest.raises(ValueError, match="no panels"):
        lines([])
    with pytest.raises(ValueError, match="no rows"):
        dots([], "x")


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 100, [0, 25, 50, 75, 100]),
        (-60, 60, [-50, 0, 50]),
        (0, 1, [0, 0.25, 0.5, 0.75, 1]),
        (3, 3, [3]),
        (0.067, 0.107, [0.07, 0.08, 0.09, 0.1]),
    ],
)
def test_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    assert axis.nice_ticks(low, high) == pytest.approx(expected)


def test_numbers_on_an_axis_have_the_same_decimals() -> None:
    assert axis.tidy([0, 0.25, 0.5]) == ["0.00", "0.25", "0.50"]
    assert axis.tidy([-50, 0, 50]) == ["−50", "0", "50"]
    assert axis.tidy([0, 10000]) == ["0", "10\u2009000"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.067, "0.067"), (0.00123, "0.0012"), (4.312, "4.31"), (86.24, "86.2"), (1024, "1\u2009024"), (0, "0")],
)
def test_a_number_is_as_long_as_it_must_be(value: float, text: str) -> None:
    assert axis.short(value) == text


def test_the_axis_holds_the_data_and_begins_at_a_tick() -> None:
    for low, high in [(0.1, 0.9), (20, 110), (-0.06, 1), (38.4, 40.5), (5, 5), (0, 0)]:
        start, end = axis.padded(low, high)
        assert start <= low and end >= high and start < end
        assert any(math.isclose(t, start, abs_tol=1e-9) for t in axis.nice_ticks(start, end))
    assert axis.padded(0, 0)[0] == 0  # what is nought throughout is no reason for an axis below it


def test_labels_are_pushed_apart_and_stay_inside() -> None:
    placed = axis.spread_apart([100, 101, 50, 99], 15, 0, 110)
    assert sorted(placed) == [50, 80, 95, 110]
    assert placed[2] == 50 and placed[3] == 80


def test_series_keep_their_colour_over_panels() -> None:
    a, b = Series("a", [0, 1], [0, 1]), Series("b", [0, 1], [1, 0])
    svg = lines([Panel("1", "x", "y", [a, b]), Panel("2", "x", "y", [b])])
    paths = [n.attrib["class"] for n in ElementTree.fromstring(svg).iter(f"{SVG}path")]
    assert paths == ["line s1 d0", "line s2 d0", "line s2 d0"]


def test_panels_of_unlike_series_name_their_own_lines() -> None:
    x = [1, 2, 3]
    loss = Panel("loss", "epoch", "nats", [Series("loss", x, [3, 2, 1])])
    error = Panel("error", "epoch", "%", [Series("top-1", x, [9, 8, 7]), Series("top-5", x, [5, 4, 3])])
    dead = Panel("dead", "epoch", "% of maps", [Series("conv 1", x, [0, 0, 0]), Series("conv 2", x, [1, 2, 3])])
    svg = lines([loss, error, dead])
    classes = {n.text: n.attrib["class"] for n in ElementTree.fromstring(svg).iter(f"{SVG}text")}
    assert (classes["top-1"], classes["top-5"], classes["conv 1"]) == ("t1", "t2", "t1")
    assert texts(svg).count("loss") == 1  # the title; a single line needs no name
    width = float(ElementTree.fromstring(svg).attrib["width"])
    assert all(right <= width + 1 for _, _, right in boxes(svg))


def test_whole_numbers_have_whole_ticks() -> None:
    found = texts(lines([Panel("p", "epoch", "y", [Series("s", [1, 2, 3], [1, 2, 3])])]))
    assert "1.5" not in found and {"1", "2", "3"} <= set(found)


def test_save_writes_the_file(tmp_path) -> None:
    save(lines(small_panels(1)), tmp_path / "a.svg")
    ElementTree.parse(tmp_path / "a.svg")
    assert [p.name for p in tmp_path.iterdir()] == ["a.svg"]
