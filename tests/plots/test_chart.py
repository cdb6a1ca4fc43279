from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from zfnet.plots.chart import Dot, Panel, Series, dots, lines, save
from zfnet.plots.font import text_width
from zfnet.plots.theme import INK, PALETTE
from zfnet.report.page import inline

SVG = "{http://www.w3.org/2000/svg}"


def small_panels(count: int) -> list[Panel]:
    x = np.arange(5)
    series = [Series("ours", x, x * 2.0, x * 2.0 - 1, x * 2.0 + 1), Series("<b>&co", x, x * 0.5)]
    return [Panel(f"panel {i}", "epoch", "error, %", series) for i in range(count)]


def texts(svg: str) -> list[str]:
    return [node.text or "" for node in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def boxes(svg: str) -> list[tuple[str, float, float, float]]:
    """Each text with its left end, right end and baseline in the widest of the usual fonts."""
    result = []
    for node in ElementTree.fromstring(svg).iter(f"{SVG}text"):
        style = node.attrib["style"]
        size = float(re.findall(r"font-size: (\d+)px", style)[0])
        width = text_width(node.text or "", size, "font-weight: 700" in style)
        numbers = [float(number) for number in re.findall(r"-?[\d.]+", node.attrib["transform"])]
        x, y = (float(node.attrib["x"]), float(node.attrib["y"])) if "x" in node.attrib else numbers[:2]
        anchor = re.findall("text-anchor: ([a-z]+)", style)
        left = x - {"start": 0, "middle": 0.5, "end": 1}[anchor[0] if anchor else "start"] * width
        result.append((node.text or "", left, left + width, y))
    return result


def groups(svg: str, name: str) -> list[ElementTree.Element]:
    return [node for node in ElementTree.fromstring(svg).iter(f"{SVG}g") if node.get("class") == name]


def strokes(svg: str) -> list[str]:
    """Color and dashes of each line."""
    styles = [group.find(f"{SVG}path").attrib["style"] for group in groups(svg, "line")]
    return [re.sub(r".*stroke(-dasharray: [^;]*)?.*?--c-([\w-]+).*", r"\2", style) for style in styles]


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
    height = float(ElementTree.fromstring(svg).attrib["height"])
    for text, left, right, y in boxes(svg):
        assert left >= 0 and right <= width and 10 <= y <= height - 3, text


def test_a_long_bold_title_wraps_inside_its_panel() -> None:
    x = [0, 1]
    panels = [Panel(t, "x", "y", [Series("s", x, x)]) for t in ("short", "read off: the neuron's output")]
    svg = lines(panels)
    assert max(right for _, _, right, _ in boxes(svg)) <= float(ElementTree.fromstring(svg).attrib["width"])
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
    (line,) = groups(svg, "line")
    assert line.find(f"{SVG}path").attrib["d"].count("M") == 2
    assert len(list(line.iter(f"{SVG}circle"))) == 4
    assert not re.search(r"\b(nan|inf)\b", svg)


def test_a_point_between_gaps_is_marked() -> None:
    y = [1.0] * 20
    y[3] = y[5] = math.nan
    y[10] = math.inf
    (line,) = groups(lines([Panel("p", "x", "y", [Series("s", range(20), y)])]), "line")
    assert len(list(line.iter(f"{SVG}circle"))) == 1


def test_a_band_breaks_where_its_line_does() -> None:
    y = [1.0, 2.0, math.nan, 2.0, 1.0]
    low, high = [value - 1 for value in y], [value + 1 for value in y]
    (band,) = groups(lines([Panel("p", "x", "y", [Series("s", range(5), y, low, high)])]), "band")
    assert len(band.findall(f"{SVG}path")) == 2


def test_what_lies_beyond_the_axis_is_drawn_at_its_end() -> None:
    (line,) = groups(lines([Panel("p", "x", "y", [Series("s", [0, 1], [0, 9])], y_range=(0.0, 1.0))]), "line")
    places = [float(circle.attrib["cy"]) for circle in line.iter(f"{SVG}circle")]
    assert places[0] - places[1] == pytest.approx(240, abs=0.1)


def test_an_empty_series_still_gives_a_chart() -> None:
    ElementTree.fromstring(lines([Panel("p", "x", "y", [Series("s", [], [])])]))


def test_log_axis_places_powers_evenly() -> None:
    svg = lines([Panel("p", "n", "y", [Series("s", [1, 10, 100], [1, 2, 3])], log_x=True)])
    (line,) = groups(svg, "line")
    first, second, third = (float(circle.attrib["cx"]) for circle in line.iter(f"{SVG}circle"))
    assert second - first == pytest.approx(200, abs=0.1) and third - second == pytest.approx(200, abs=0.1)
    assert {"1", "10", "100"} <= set(texts(svg))


def test_levels_are_drawn_with_their_names() -> None:
    svg = lines([Panel("p", "x", "y", [Series("s", [0, 1], [0, 1])], levels=[("chance", 0.5)])])
    assert len(groups(svg, "level")) == 1 and "chance" in texts(svg)


def test_dots_show_value_interval_and_published_number() -> None:
    svg = dots([Dot("SVM <7>", 54.0, 50, 58, 85.5), Dot("no interval", 12.0)], "accuracy, %")
    root = ElementTree.fromstring(svg)
    found = texts(svg)
    assert {"SVM <7>", "no interval", "54.0", "85.5", "12.0", "accuracy, %", "published"} <= set(found)
    (bar,) = groups(svg, "bar")
    start, end = re.findall(r"[ML] ([\d.]+)", bar.find(f"{SVG}path").attrib["d"])
    circle = [node for group in groups(svg, "dot") for node in group.iter(f"{SVG}circle")][0]  # the last is the key
    assert float(start) < float(circle.attrib["cx"]) < float(end)
    assert len(groups(svg, "hollow")) == 2  # in the head, and the one published number
    width = float(root.attrib["width"])
    assert all(left >= 0 and right <= width for _, left, right, _ in boxes(svg))


def test_a_dot_lies_at_its_value_on_the_axis() -> None:
    svg = dots([Dot("a", 0.0), Dot("b", 25.0), Dot("c", 100.0)], "x")
    circles = [node for group in groups(svg, "dot") for node in group.iter(f"{SVG}circle")][:-1]
    low, middle, high = (float(circle.attrib["cx"]) for circle in circles)
    assert middle - low == pytest.approx((high - low) / 4, abs=0.1) and high - low == pytest.approx(230, abs=0.1)


def test_dots_without_published_numbers_have_no_such_column() -> None:
    assert "published" not in texts(dots([Dot("a", 1.0)], "x"))


def test_the_numbers_of_a_dot_plot_have_the_same_decimals() -> None:
    assert {"47.0", "9.8", "46.4"} <= set(texts(dots([Dot("a", 47.0, published=46.4), Dot("b", 9.8)], "x")))


def test_nothing_to_draw_is_an_error() -> None:
    with pytest.raises(ValueError, match="no panels"):
        lines([])
    with pytest.raises(ValueError, match="no rows"):
        dots([], "x")


def test_series_keep_their_color_over_panels() -> None:
    a, b = Series("a", [0, 1], [0, 1]), Series("b", [0, 1], [1, 0])
    svg = lines([Panel("1", "x", "y", [a, b]), Panel("2", "x", "y", [b])])
    assert strokes(svg) == ["accent", "series-2", "series-2"]


def test_series_beyond_the_hues_are_dashed() -> None:
    series = [Series(str(i), [0, 1], [0, i]) for i in range(8)]
    svg = lines([Panel("1", "x", "y", series)])
    dashed = ["dasharray" in group.find(f"{SVG}path").attrib["style"] for group in groups(svg, "line")]
    assert dashed == [False] * 6 + [True] * 2
    assert strokes(svg)[6:] == ["accent", "series-2"]


def test_panels_of_unlike_series_name_their_own_lines() -> None:
    x = [1, 2, 3]
    loss = Panel("loss", "epoch", "nats", [Series("loss", x, [3, 2, 1])])
    error = Panel("error", "epoch", "%", [Series("top-1", x, [9, 8, 7]), Series("top-5", x, [5, 4, 3])])
    dead = Panel("dead", "epoch", "% of maps", [Series("conv 1", x, [0, 0, 0]), Series("conv 2", x, [1, 2, 3])])
    svg = lines([loss, error, dead])
    styles = {node.text: node.attrib["style"] for node in ElementTree.fromstring(svg).iter(f"{SVG}text")}
    assert "--c-accent" in styles["top-1"] and "--c-series-2" in styles["top-5"] and "--c-accent" in styles["conv 1"]
    assert texts(svg).count("loss") == 1  # the title; a single line needs no name
    width = float(ElementTree.fromstring(svg).attrib["width"])
    assert all(right <= width for _, _, right, _ in boxes(svg))


def test_whole_numbers_have_whole_ticks() -> None:
    found = texts(lines([Panel("p", "epoch", "y", [Series("s", [1, 2, 3], [1, 2, 3])])]))
    assert "1.5" not in found and {"1", "2", "3"} <= set(found)


def test_save_writes_the_file(tmp_path) -> None:
    save(lines(small_panels(1)), tmp_path / "a.svg")
    ElementTree.parse(tmp_path / "a.svg")
    assert [p.name for p in tmp_path.iterdir()] == ["a.svg"]


def test_a_chart_follows_light_and_dark_and_does_not_disturb_its_page() -> None:
    svg = lines(small_panels(2))
    drawn = svg.partition("</style>")[2]
    assert not re.search("#[0-9a-f]{6}", drawn), "a color that does not follow the page"
    assert {name for name in PALETTE if f"--c-{name})" in drawn} >= {"ink", "quiet", "rule", "paper", "accent"}
    assert " id=" not in svg and "<use" not in svg and "url(" not in svg and "<defs" not in svg
    assert inline(svg)[0] is not None
    assert all(
        ".zf-chart" in rule for rule in re.findall(r"[^{}]+(?=\{)", svg.partition("</style>")[0]) if "@" not in rule
    )


def test_the_same_chart_gives_the_same_bytes() -> None:
    assert lines(small_panels(2)) == lines(small_panels(2))


def test_labels_are_shown_as_they_are() -> None:
    strange = [f"{INK} 0.123456", "$x_1$ and $", "Bär 日本", "a  b"]
    svg = lines([Panel("p", "x", "y", [Series(label, [0, 1], [0, 1]) for label in strange])])
    assert set(strange) <= set(texts(svg))
