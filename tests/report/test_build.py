from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from zfnet.core.errors import UserError
from zfnet.experiments.table import STAGES
from zfnet.report.__main__ import main as report_command
from zfnet.report.build import build, needed_stages
from zfnet.report.page import inline, typeset
from zfnet.report.paper import papers
from zfnet.report.results import OF_TRAINING, read
from zfnet.report.tables import join

VOID = {"meta", "link", "img", "br", "hr", "input"}


class Page(HTMLParser):
    """What the tests need of a page: ids, links, images, text, tags left open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.alts: list[str | None] = []
        self.tags: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        if values.get("id"):
            self.ids.append(values["id"] or "")
        self.links += [values[key] or "" for key in ("href", "src") if key in values]
        if tag == "img":
            self.alts.append(values.get("alt"))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def read_pages(report: Path) -> dict[str, Page]:
    """Every page by its path in the report."""
    files = report.rglob("*.html")
    return {path.relative_to(report).as_posix(): Page(path.read_text(encoding="utf-8")) for path in files}


@pytest.fixture(scope="module")
def report(make_outputs, tmp_path_factory) -> Path:
    outputs = make_outputs(tmp_path_factory.mktemp("report"))
    build(outputs, outputs / "report")
    return outputs / "report"


def test_pages_are_there_and_well_formed(report) -> None:
    pages = read_pages(report)
    expected = {"index", "zeiler-fergus", "simonyan", "kindermans", "claims", "provenance"}
    expected |= {"atlas/index", "atlas/layer1", "atlas/layer5"}
    assert set(pages) == {f"{name}.html" for name in expected}
    for name, page in pages.items():
        assert page.open == [], name
        assert len(set(page.ids)) == len(page.ids), name
        assert page.tags.count("h1") == 1, name


def test_every_link_and_image_resolves_inside_the_folder(report) -> None:
    pages = read_pages(report)
    for name, page in pages.items():
        for link in page.links:
            if link == "data:,":
                continue
            file, _, anchor = unquote(link).partition("#")
            assert not file.startswith(("/", "http")), link
            target = ((report / name).parent / file).resolve() if file else report / name
            assert target.is_file() and target.is_relative_to(report.resolve()), f"{name}: {link}"
            if anchor:
                page = pages[target.relative_to(report.resolve() if file else report).as_posix()]
                assert anchor in page.ids, f"{name}: {link}"


def test_every_image_has_a_text(report) -> None:
    alts = [alt for page in read_pages(report).values() for alt in page.alts]
    assert alts and all(alts)


def test_every_figure_of_every_stage_is_shown(report) -> None:
    shown = {unquote(link) for page in read_pages(report).values() for link in page.links}
    files = {str(path.relative_to(report)) for path in (report / "figures").rglob("*.*")}
    assert files and files <= shown


def test_every_published_number_appears(report) -> None:
    pages = read_pages(report)
    names = {"ZF13": "zeiler-fergus.html", "SVZ13": "simonyan.html", "K17": "kindermans.html"}
    for paper in papers():
        text = pages[names[paper.key]].text
        for artefact in paper.artefacts:
            for table in artefact.tables:
                for row in table.rows:
                    for cell in filter(None, row.published):
                        assert cell.text in text, (artefact.key, row.label, cell.text)


def test_our_numbers_stand_beside_them_with_intervals(report) -> None:
    text = read_pages(report)["zeiler-fergus.html"].text
    for number in ("34.8", "31.9 to 37.9", "55.9", "± 0.8", "0.079", "1\u2009204\u2009312", "41.0"):
        assert number in text, number


def test_names_from_a_run_are_escaped(report) -> None:
    for path in report.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert "<script" not in text.replace('<script src="atlas.js" defer>', ""), path.name
    assert '<script>alert("x")</script>' in read_pages(report)["provenance.html"].text


def test_scale_of_the_run_is_said(report) -> None:
    text = read_pages(report)["index.html"].text
    assert "5760 images of 24 classes at 56 px" in text and "1.28 million images of 1000 classes" in text


def test_stages_stand_in_the_order_of_the_papers_after_the_data(make_outputs, tmp_path) -> None:
    outputs = make_outputs(tmp_path, "patterns", "train", "data", "saliency", "occlusion")
    build(outputs, outputs / "report")
    stages = ["data", "train", "occlusion", "saliency", "patterns"]
    assert needed_stages()[:3] == ["train", "ensemble", "ablations"]
    assert [name for name in read_pages(outputs / "report")["provenance.html"].ids if name in stages] == stages


def test_missing_stages_are_said_with_their_command(make_outputs, tmp_path) -> None:
    outputs = make_outputs(tmp_path, "train")
    outcome = build(outputs, outputs / "report")
    assert "occlusion" in outcome.numbers["missing"] and "train" not in outcome.numbers["missing"]
    pages = read_pages(outputs / "report")
    assert "occlusion" in pages["index.html"].text
    assert "python -m zfnet stage=occlusion profile=menagerie" in pages["zeiler-fergus.html"].text
    assert "The stage occlusion has not been run." in pages["claims.html"].text
    assert "86.2 ± 0.8" in pages["zeiler-fergus.html"].text  # published numbers stay


def test_a_table_has_no_row_nor_column_without_a_number(make_outputs, tmp_path) -> None:
    results = read(make_outputs(tmp_path, "train"))
    artefacts = [artefact for paper in papers() for artefact in paper.artefacts]
    tables = [(table, artefact.stage) for artefact in artefacts for table in artefact.tables]
    assert any(len(join(table, stage, {}).lines) < len(table.rows) for table, stage in tables)
    for table, stage in tables:
        joined = join(table, stage, results)
        assert all(any(cell.published or cell.here for cell in line.cells) for line in joined.lines)
        assert sum(span for _, span in joined.groups) == sum(joined.printed) + sum(joined.measured)
        assert all(span for _, span in joined.groups)
    lines = {line.label for table, stage in tables for line in join(table, stage, results).lines}
    assert "ZF, 1 convnet" in lines and "mean of single networks here, ± over seeds" not in lines


def test_sentences_are_typeset_and_escaped() -> None:
    assert typeset("ZF's \"slight\" <b> S_a± of a_b's") == "ZF’s “slight” &lt;b&gt; S<sub>a±</sub> of a_b’s"


@pytest.mark.parametrize("stage", ["data", "transfer", "correspondence", "ablations"])
def test_any_single_stage_makes_a_report(make_outputs, tmp_path, stage) -> None:
    outputs = make_outputs(tmp_path, stage)
    build(outputs, outputs / "report")
    for page in read_pages(outputs / "report").values():
        assert page.open == []


def test_a_table_is_shown_once_it_has_a_number(make_outputs, tmp_path) -> None:
    outputs = make_outputs(tmp_path)
    build(outputs, outputs / "report")
    caption = "where the map comes from"
    assert caption not in read_pages(outputs / "report")["simonyan.html"].text
    path = outputs / "localization" / "result.json"
    result = json.loads(path.read_text())
    error = {"known_error": {"value": 41.5, "low": 36.0, "high": 47.0}}
    result["numbers"]["sources"] = {"guided": {"grabcut": error, "threshold": error}}
    path.write_text(json.dumps(result))
    build(outputs, outputs / "report")
    page = read_pages(outputs / "report")["simonyan.html"].text
    assert caption in page and "41.5" in page


def test_claims_are_judged_for_a_network_trained_elsewhere_but_for_those_about_its_training(make_outputs, tmp_path):
    outputs = make_outputs(tmp_path, "transfer")
    path = outputs / "transfer" / "result.json"
    result = json.loads(path.read_text())
    result["numbers"]["network"] = "vgg16, torchvision's weights"
    result["profile"] = "imagenet"
    judged = []
    for network in ("trained", "vgg16"):
        result["config"]["network"] = {"name": network}
        path.write_text(json.dumps(result))
        outcome = build(outputs, outputs / "report")
        judged.append(outcome.numbers["claims"])
        pages = read_pages(outputs / "report")
        table = pages["zeiler-fergus.html"].text
        assert "The frozen network here: vgg16, torchvision’s weights." in table and "57.9" in table
        assert "convnet pretrained" in pages["index.html"].text
        borrowed = network == "vgg16"
        assert ("Needs a training; vgg16 was trained elsewhere." in pages["claims.html"].text) == borrowed
        assert ("Needs a training; vgg16 was trained elsewhere." in table) == borrowed
        assert ("was trained elsewhere; what needs a training is left out" in pages["index.html"].text) == borrowed
        assert ("ablations" in outcome.numbers["missing"]) != borrowed and "occlusion" in outcome.numbers["missing"]
        command = "python -m zfnet stage=occlusion profile=imagenet" + " network=vgg16" * borrowed
        assert f"{command}." in table
    assert judged[0] == judged[1] and set(judged[0]) != {"not measured"}


def test_no_claim_is_judged_for_random_weights(make_outputs, tmp_path) -> None:
    outputs = make_outputs(tmp_path, "transfer", "patterns")
    path = outputs / "transfer" / "result.json"
    result = json.loads(path.read_text())
    result["config"]["network"] = {"name": "vgg16", "weights": "random"}
    path.write_text(json.dumps(result))
    assert set(build(outputs, outputs / "report").numbers["claims"]) == {"not measured"}
    pages = read_pages(outputs / "report")
    assert "random weights: a trial, of which nothing is claimed" in pages["claims.html"].text
    assert "random weights: a trial, whose numbers mean nothing" in pages["index.html"].text


def test_the_stages_about_training_are_those_of_the_table() -> None:
    assert set(OF_TRAINING) == {stage.name for stage in STAGES.values() if stage.trains}


def test_no_result_at_all_is_an_error(tmp_path) -> None:
    with pytest.raises(UserError, match="no stage has left a result.json"):
        build(tmp_path, tmp_path / "report")


def test_a_stage_with_strange_numbers_does_not_break_the_report(make_outputs, tmp_path) -> None:
    outputs = make_outputs(tmp_path)
    for path in outputs.glob("*/result.json"):
        result = json.loads(path.read_text())
        result["numbers"] = {key: None for key in result["numbers"]}
        path.write_text(json.dumps(result))
    (outputs / "saliency" / "result.json").write_text('{"numbers": {"excess": NaN}, "figures": {"gone.png": "x"}}')
    build(outputs, outputs / "report")
    assert "gone.png" not in (outputs / "report" / "simonyan.html").read_text()


def test_a_second_build_leaves_no_stale_figure(make_outputs, tmp_path) -> None:
    outputs = make_outputs(tmp_path)
    build(outputs, outputs / "report")
    path = outputs / "saliency" / "result.json"
    result = json.loads(path.read_text()) | {"figures": {}}
    path.write_text(json.dumps(result))
    build(outputs, outputs / "report")
    assert not (outputs / "report" / "figures" / "saliency").exists()


@pytest.mark.parametrize(("file", "content"), [("a picture.png", b""), ("a picture.png", b"x"), ("x.svg", b"\xff")])
def test_a_damaged_picture_is_left_out_with_a_warning(make_outputs, tmp_path, capsys, file, content) -> None:
    outputs = make_outputs(tmp_path, "saliency", "occlusion")
    path = outputs / "saliency" / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"figures": {file: "x"}}))
    (outputs / "saliency" / file).write_bytes(content)
    build(outputs, outputs / "report")
    assert [path.parent.name for path in (outputs / "report" / "figures").rglob("*.*")] == ["occlusion"]
    assert f"warning: {outputs / 'saliency' / file} is damaged" in capsys.readouterr().err


def test_a_report_made_again_is_no_longer_the_pipelines(make_outputs, tmp_path) -> None:
    outputs = make_outputs(tmp_path, "train")
    (outputs / "report").mkdir()
    (outputs / "report" / "result.json").write_text("{}")
    build(outputs, outputs / "report")
    assert not (outputs / "report" / "result.json").exists()


def test_figures_outside_the_stage_are_not_taken(make_outputs, tmp_path) -> None:
    outputs = make_outputs(tmp_path)
    (tmp_path / "secret.png").write_bytes(b"x")
    path = outputs / "saliency" / "result.json"
    result = json.loads(path.read_text()) | {"figures": {"../../../secret.png": "no"}}
    path.write_text(json.dumps(result))
    build(outputs, outputs / "report")
    assert not list((outputs / "report").rglob("secret.png"))


def test_verdicts_on_the_page_are_those_of_the_outcome(make_outputs, tmp_path) -> None:
    outputs = make_outputs(tmp_path)
    outcome = build(outputs, outputs / "report")
    text = (outputs / "report" / "claims.html").read_text(encoding="utf-8")
    assert len(re.findall(r'<article class="claim"', text)) == sum(outcome.numbers["claims"].values())
    assert len(re.findall(r"Holds\.", text)) == outcome.numbers["claims"]["holds"]


@pytest.mark.parametrize(
    "danger", ["<script>x</script>", '<g onclick="x"/>', '<image href="https://a.b/c"/>', '<a href="javascript:x"/>']
)
def test_an_svg_that_could_act_is_not_inlined(danger) -> None:
    svg = '<svg xmlns="http://www.w3.org/2000/svg" width="10" height="10">{}</svg>'
    assert inline(svg.format(danger))[0] is None
    assert inline(svg.format("<g/>"), 'a "b" <c>')[0] is not None
    assert "&quot;b&quot; &lt;c&gt;" in str(inline(svg.format("<g/>"), 'a "b" <c>')[0])


def test_a_report_made_from_inside_its_folder_knows_its_name(make_outputs, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(make_outputs(tmp_path, "train"))
    assert report_command(["."]) == 0
    assert "profile=menagerie" in Path("report/zeiler-fergus.html").read_text(encoding="utf-8")
    assert report_command([""]) == 2 and report_command(["/"]) == 2
    assert capsys.readouterr().err.count("is not the folder of a profile") == 2


def test_a_report_of_what_has_been_run_so_far(make_outputs, tmp_path, capsys):
    outputs = make_outputs(tmp_path, "train", "saliency")
    assert report_command([str(outputs)]) == 0
    assert (outputs / "report" / "index.html").is_file() and "claims hold" in capsys.readouterr().out
    assert report_command([str(tmp_path / "nothing")]) == 2
    assert "no stage has left" in capsys.readouterr().err
