"""The report in a real browser: headless Chromium opens every page at 390 px and at 1440 px and looks for faults."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path

import pytest

from zfnet.report.build import build
from zfnet.report.compare import compare

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
WIDTHS = (390, 1440)

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--allow-file-access-from-files", "--enable-logging=stderr", "--virtual-time-budget=60000", "--dump-dom"),
)
INSPECTOR = """<!doctype html><meta charset="utf-8"><title>inspector</title><body><pre id="found"></pre>
<script>
const pages = %s, widths = %s, found = [];
function inspect(frame, page, width) {
  const view = frame.contentWindow, page_ = frame.contentDocument, root = page_.documentElement;
  const faults = [];
  if (root.scrollWidth > width) {
    for (const node of page_.querySelectorAll("body *")) {
      const box = node.getBoundingClientRect();
      if (box.right > width + 1 && !node.closest(".scroll") && !node.closest(".skip"))
        faults.push("overflows: " + node.tagName + "." + node.getAttribute("class") + " to " + Math.round(box.right));
    }
    faults.push("page is " + root.scrollWidth + " px wide");
  }
  for (const image of page_.images)
    if (!image.complete || !image.naturalWidth) faults.push("missing image: " + image.getAttribute("src"));
  for (const chart of page_.querySelectorAll("svg.zf-chart")) {
    const sheet = chart.getBoundingClientRect();
    for (const text of chart.querySelectorAll("text")) {
      const box = text.getBoundingClientRect();
      if (box.left < sheet.left - 1 || box.right > sheet.right + 1) faults.push("cut off: " + text.textContent);
    }
  }
  for (const link of page_.links) {
    if (!link.hash || link.pathname !== view.location.pathname) continue;
    if (!page_.getElementById(link.hash.slice(1))) faults.push("no such place: " + link.hash);
  }
  found.push({page, width, faults, styled: view.getComputedStyle(root).getPropertyValue("--accent") !== ""});
}
function open_(page, width) {
  return new Promise(done => {
    const frame = document.createElement("iframe");
    frame.style = `border:0;width:${width}px;height:900px`;
    frame.onload = async () => {
      const images = [...frame.contentDocument.images];
      for (const image of images) image.loading = "eager";
      await Promise.all(images.map(image => image.complete || new Promise(end => image.onload = image.onerror = end)));
      inspect(frame, page, width);
      frame.remove();
      done();
    };
    frame.src = page;
    document.body.append(frame);
  });
}
(async () => {
  for (const page of pages) for (const width of widths) await open_(page, width);
  document.getElementById("found").textContent = JSON.stringify(found);
})();
</script>"""

ATLAS = """<!doctype html><meta charset="utf-8"><title>atlas</title><body><pre id="found"></pre>
<script>
const frame = document.createElement("iframe"), found = [];
frame.style = "border:0;width:390px;height:900px";
frame.onload = () => {
  const page = frame.contentDocument, tools = page.querySelector(".tools");
  const shown = () => [...page.querySelectorAll(".map:not([hidden])")].map(map => map.dataset.unit).join(" ");
  const set = (field, value) => { field.value = value; field.dispatchEvent(new Event("input", {bubbles: true})); };
  const press = key => page.body.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true}));
  found.push(tools.hidden, shown());
  set(tools.order, "purity");
  found.push(shown());
  set(tools.find, "FOX");
  found.push(shown());
  set(tools.find, "map 2");
  found.push(shown(), tools.querySelector("output").textContent);
  set(tools.find, "");
  press("ArrowRight"); press("ArrowRight");
  found.push(page.activeElement.textContent);
  press("ArrowLeft");
  found.push(page.activeElement.textContent);
  document.getElementById("found").textContent = JSON.stringify(found);
};
frame.src = "atlas/layer5.html";
document.body.append(frame);
</script>"""


def open_headless(page: Path, profile: Path) -> tuple[str, str]:
    """The page's DOM after its scripts ran, and what the browser logged."""
    assert CHROMIUM is not None
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout, done.stderr


def look_at(report: Path, tmp_path: Path) -> None:
    """Every page of the folder, at both widths: whole, styled, without a fault and with a silent console."""
    pages = sorted(path.relative_to(report).as_posix() for path in report.rglob("*.html"))
    inspector = report / "inspector.html"
    inspector.write_text(INSPECTOR % (json.dumps(pages), json.dumps(WIDTHS)), encoding="utf-8")
    dom, log = open_headless(inspector, tmp_path / "browser")
    text = re.search(r'<pre id="found">(.*?)</pre>', dom, re.S)
    assert text and text[1], log[-2000:]
    found = json.loads(unescape(text[1]))
    assert {(one["page"], one["width"]) for one in found} == {(page, width) for page in pages for width in WIDTHS}
    assert [one for one in found if one["faults"] or not one["styled"]] == []
    assert [line for line in log.splitlines() if "CONSOLE" in line] == []


no_browser = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium: install Debian's package `chromium` to see the report opened"
)


@no_browser
def test_every_page_is_sound_at_both_widths(make_outputs, tmp_path) -> None:
    outputs = make_outputs(tmp_path)
    report = outputs / "report"
    build(outputs, report, as_one_file=True)
    look_at(report, tmp_path)


@no_browser
@pytest.mark.parametrize("count", [2, 5])
def test_compared_runs_are_sound_at_both_widths(make_outputs, tmp_path, count) -> None:
    for number in range(count):
        make_outputs(tmp_path / str(number))
    look_at(compare([str(tmp_path)], tmp_path / "page").parent, tmp_path)


@no_browser
def test_the_atlas_orders_finds_and_goes_by_keys(make_outputs, tmp_path) -> None:
    outputs = make_outputs(tmp_path, "top_activations")
    path = outputs / "top_activations" / "atlas.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["layers"]["5"]["maps"][1]["purity"] = 0.9
    path.write_text(json.dumps(content), encoding="utf-8")
    build(outputs, outputs / "report")
    (outputs / "report" / "probe.html").write_text(ATLAS, encoding="utf-8")
    dom, log = open_headless(outputs / "report" / "probe.html", tmp_path / "browser")
    text = re.search(r'<pre id="found">(.*?)</pre>', dom, re.S)
    assert text and text[1], log[-2000:]
    expected = [False, "0 1 2", "1 0 2", "1 0", "2", "1 of 3 maps", "Map 0", "Map 1"]
    assert json.loads(unescape(text[1])) == expected
