from __future__ import annotations

import copy
from importlib import resources
from typing import Any

import pytest
import yaml

from zfnet.report.paper import Published, papers, parse, published


def content() -> dict[str, Any]:
    return yaml.safe_load(resources.files("zfnet.report").joinpath("paper.yaml").read_text(encoding="utf-8"))


def rows(key: str, table: int = 0) -> dict[str, list[str]]:
    artefact = next(a for paper in papers() for a in paper.artefacts if a.key == key)
    return {row.label: [cell.text if cell else "" for cell in row.published] for row in artefact.tables[table].rows}


def test_cells_are_numbers_spreads_or_words() -> None:
    assert published(83.8) == Published("83.8", 83.8)
    assert published("83.8 ± 0.5") == Published("83.8 ± 0.5", 83.8, 0.5)
    assert published("12 days") == Published("12 days")
    assert published(None) is None
    assert published(1281167).text == "1\u2009281\u2009167"  # type: ignore[union-attr]


def test_known_numbers_are_where_the_papers_print_them() -> None:
    assert rows("imagenet-error")["ZF, 1 convnet"] == ["38.4", "16.5", ""]
    assert rows("ablations")["– without layers 3, 4, 6, 7"] == ["71.1", "71.3", "50.1", ""]
    assert rows("correspondence")["random places"] == ["0.107 ± 0.017", "0.073 ± 0.014"]
    assert rows("caltech101")["convnet pretrained"] == ["83.8 ± 0.5", "86.5 ± 0.5"]
    assert rows("layers")["SVM on layer 5"] == ["86.2 ± 0.8"]
    assert rows("layers", 1)["SVM on layer 7"] == ["71.7 ± 0.2"]
    assert rows("localization")["saliency and graph cut, settings of the paper"] == ["46.4", "", ""]


def test_the_mean_of_table_6_is_the_mean_of_its_column() -> None:
    table = rows("voc2012")
    classes = [
        float(cells[2])
        for label, cells in table.items()
        if label not in {"mean", "ours: mean of a random order", "classes won"}
    ]
    assert len(classes) == 20
    assert sum(classes) / 20 == pytest.approx(float(table["mean"][2]), abs=0.05)


def test_mistakes_in_the_file_are_named() -> None:
    short = copy.deepcopy(content())
    short["artefacts"][1]["tables"][0]["rows"][0]["published"].pop()
    with pytest.raises(ValueError, match="imagenet-error, Gunji"):
        parse(short)
    twice = copy.deepcopy(content())
    twice["artefacts"].append(twice["artefacts"][0])
    with pytest.raises(ValueError, match="repeated artefacts"):
        parse(twice)
    strange = copy.deepcopy(content())
    strange["artefacts"][0]["colour"] = "red"
    with pytest.raises(TypeError, match="colour"):
        parse(strange)


def test_every_artefact_names_a_stage_of_the_pipeline() -> None:
    pipeline = pytest.importorskip("zfnet.running.runner")
    assert {a.stage for paper in papers() for a in paper.artefacts} <= set(pipeline.STAGES)
