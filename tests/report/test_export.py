"""results.csv and the tables as text: every number once, as Markdown, LaTeX and CSV that programs read."""

import csv
import io
import json

import pytest

from zfnet.cli.main import main
from zfnet.core.errors import UserError
from zfnet.report.build import build
from zfnet.report.export import COLUMNS, FORMATS, table_text
from zfnet.report.paper import papers
from zfnet.report.results import read


@pytest.fixture
def outputs(make_outputs, tmp_path):
    return make_outputs(tmp_path, "train", "ablations", "transfer")


def test_the_report_leaves_every_number_of_its_tables_as_one_tidy_table(outputs):
    build(outputs, outputs / "report")
    with (outputs / "report" / "results.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    published = 0
    for artefact in (artefact for paper in papers() for artefact in paper.artefacts):
        published += sum(cell is not None for table in artefact.tables for row in table.rows for cell in row.published)
    assert sum(row["published"] != "" for row in rows) == published
    zf = [row for row in rows if row["artefact"] == "Table 3" and row["row"] == "ZF" and row["metric"] == "val top-1"]
    assert len(zf) == 1
    content = json.loads((outputs / "ablations" / "result.json").read_text())
    measured = content["numbers"]["rows"]["zfnet"]["val_top1_error"]
    assert float(zf[0]["value"]) == measured["value"] and float(zf[0]["low"]) == measured["low"]
    assert (zf[0]["published"], zf[0]["paper"], zf[0]["commit"]) == ("38.4", "ZF13", content["commit"])
    assert zf[0]["seeds"] == "0 1 2"
    absent = [row for row in rows if row["stage"] == "voc"]
    assert absent and all(row["value"] == row["commit"] == "" for row in absent)


def test_a_table_has_one_row_a_network_in_every_format(outputs):
    results = read(outputs)
    texts = {style: table_text("3", results, style) for style in FORMATS}
    assert texts["csv"] == table_text("ablations", results, "csv")
    table = list(csv.reader(io.StringIO(texts["csv"])))
    assert table[0][0] == "error, %" and table[0][1:3] == ["train top-1, published", "train top-1, here"]
    zf = next(row for row in table if row[0] == "ZF")
    assert zf[3] == "38.4" and len({len(row) for row in table}) == 1
    lines = texts["markdown"].splitlines()
    assert len(lines) == len(table) + 1 and lines[1].startswith("| --- | ---: |")
    assert [cell.strip() for cell in lines[2].strip("|").split("|")] == table[1]
    latex = texts["latex"].splitlines()
    assert latex[0] == r"\begin{tabular}{l" + "r" * (len(zf) - 1) + "}" and latex[2].startswith(r"error, \% & ")
    body = latex[latex.index(r"\midrule") + 1 : latex.index(r"\bottomrule")]
    assert len(body) == len(table) - 1 and all(line.count(" & ") == len(zf) - 1 for line in body)


def test_names_of_data_are_escaped_in_latex_and_markdown(outputs):
    path = outputs / "ablations" / "result.json"
    content = json.loads(path.read_text())
    content["numbers"]["rows"]["zfnet"]["val_top1_error"] = r"50 % \of{a_b} | $x$ ^~&#"
    path.write_text(json.dumps(content))
    results = read(outputs)
    escaped = r"50 \% \textbackslash{}of\{a\_b\} | \$x\$ \textasciicircum{}\textasciitilde{}\&\#"
    assert escaped in table_text("3", results, "latex")
    assert r"a_b} \| $x$" in table_text("3", results, "markdown")


def test_the_command_prints_a_table_and_names_the_tables_that_there_are(outputs, capsys):
    assert main(["table", "3", str(outputs), "--format", "csv"]) == 0
    assert capsys.readouterr().out.startswith('"error, %"')
    assert main(["table", "11", str(outputs)]) == 2
    message = capsys.readouterr().err
    assert "11: no table of the papers" in message and "ablations (Table 3)" in message
    assert main(["table", "3", str(outputs / "report")]) == 2
    assert "no stage has left a result.json" in capsys.readouterr().err
    with pytest.raises(UserError, match="no table of the papers"):
        table_text("Table 3", read(outputs), "csv")
