"""The atlas: a page a layer, an address a map, whole without its script."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from zfnet.report.atlas import read_layers
from zfnet.report.build import build
from zfnet.report.results import read


@pytest.fixture
def outputs(make_outputs, tmp_path) -> Path:
    return make_outputs(tmp_path, "top_activations")


def pages(outputs: Path) -> dict[str, str]:
    build(outputs, outputs / "report")
    return {path.name: path.read_text(encoding="utf-8") for path in (outputs / "report" / "atlas").glob("*.html")}


def test_every_map_has_its_address_and_its_picture(outputs) -> None:
    found = pages(outputs)
    assert set(found) == {"index.html", "layer1.html", "layer5.html"}
    for n in (1, 5):
        text = found[f"layer{n}.html"]
        assert re.findall(r'id="unit-(\d)"', text) == ["0", "1", "2"]
        assert re.findall(r'<img src="([^"]+)"', text) == [f"layer{n}/{unit}.jpg" for unit in range(2)]
        assert text.count("It fires on no validation image.") == 1
    for picture in ("layer1/0.jpg", "layer5/1.jpg"):
        copied = outputs / "report" / "atlas" / picture
        assert copied.read_bytes() == (outputs / "top_activations" / "atlas" / picture).read_bytes()


def test_classes_values_and_files_are_told(outputs) -> None:
    text = pages(outputs)["layer1.html"]
    assert "purity 0.60, strongest 5.12" in text and "1 fox" in text
    assert text.count("<li>") == 2 * 5 and "<script>" not in text


def test_the_atlas_is_in_the_menu_and_beside_figure_2(outputs) -> None:
    pages(outputs)
    for name in ("index.html", "zeiler-fergus.html"):
        assert 'href="atlas/index.html"' in (outputs / "report" / name).read_text(encoding="utf-8")
    inside = (outputs / "report" / "atlas" / "layer1.html").read_text(encoding="utf-8")
    assert 'href="../atlas/index.html" aria-current="page"' in inside and 'href="../style.css"' in inside
    assert "every map" in (outputs / "report" / "zeiler-fergus.html").read_text(encoding="utf-8").lower()


def test_controls_that_need_the_script_are_hidden_without_it(outputs) -> None:
    assert re.search(r'<form class="tools"[^>]* hidden>', pages(outputs)["layer5.html"])


@pytest.mark.parametrize("content", [None, "{", "[]", '{"names": [], "layers": {"1": {"maps": [{"unit": 0}]}}}'])
def test_without_an_atlas_that_can_be_read_the_report_has_none(outputs, content) -> None:
    path = outputs / "top_activations" / "atlas.json"
    path.unlink() if content is None else path.write_text(content)
    assert pages(outputs) == {}
    assert "atlas/" not in (outputs / "report" / "zeiler-fergus.html").read_text(encoding="utf-8")


def test_a_layer_number_or_unit_that_is_a_path_leads_nowhere(outputs) -> None:
    path = outputs / "top_activations" / "atlas.json"
    content = json.loads(path.read_text())
    content["layers"]["../5"] = content["layers"].pop("5")
    path.write_text(json.dumps(content))
    assert pages(outputs) == {}


def test_the_purest_maps_come_first_and_dead_ones_never(outputs) -> None:
    path = outputs / "top_activations" / "atlas.json"
    content = json.loads(path.read_text())
    content["layers"]["1"]["maps"][1]["purity"] = 0.9
    path.write_text(json.dumps(content))
    first = read_layers(read(outputs)["top_activations"])[0]
    assert [one.unit for one in first.purest] == [1, 0] and first.n_dead == 1
    assert "1 other" not in first.maps[0].fires_on and first.maps[0].fires_on.startswith("3 ")
