"""The report as one file: nothing outside it is needed, and every link leads to a place in it."""

import base64
import re

import pytest

from zfnet.cli.main import main
from zfnet.report.build import build


@pytest.fixture
def outputs(make_outputs, tmp_path):
    return make_outputs(tmp_path, "train", "saliency", "invariance", "ablations")


def test_the_one_file_holds_every_page_and_picture(outputs, capsys):
    assert main(["report", str(outputs), "--single-file"]) == 0
    file = outputs / "report" / "zfnet-menagerie.html"
    assert f"{file} ({file.stat().st_size / 1e6:.1f} MB)" in capsys.readouterr().out
    text = file.read_text(encoding="utf-8")
    for page in ("index", "zeiler-fergus", "simonyan", "kindermans", "claims", "provenance"):
        assert text.count(f'<section id="{page}"') == 1
    sources = re.findall(r'\ssrc="([^"]*)"', text)
    picture = (outputs / "saliency" / "a picture.png").read_bytes()
    assert f"data:image/png;base64,{base64.b64encode(picture).decode()}" in sources
    assert all(source.startswith("data:") for source in sources)
    links = re.findall(r'\shref="([^"]*)"', text)
    assert all(link.startswith(("#", "data:", "https://arxiv.org/")) for link in links)


def test_ids_are_unique_and_every_link_and_clip_path_finds_its_place(outputs):
    build(outputs, outputs / "report", as_one_file=True)
    text = (outputs / "report" / "zfnet-menagerie.html").read_text(encoding="utf-8")
    ids = re.findall(r'\sid="([^"]*)"', text)
    assert len(ids) == len(set(ids))
    named = re.findall(r'\s(?:href="#|aria-labelledby=")([^"]+)"', text) + re.findall(r"url\(#([^)]+)\)", text)
    assert set(named) - set(ids) == set() and any(".ablations" in name for name in named)


def test_a_later_report_without_the_option_leaves_no_stale_file(outputs):
    build(outputs, outputs / "report", as_one_file=True)
    build(outputs, outputs / "report")
    assert not list((outputs / "report").glob("zfnet-*.html"))
