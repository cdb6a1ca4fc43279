"""docs/tour.ipynb runs from top to bottom, and every last line of a cell that should be a picture is one."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

from zfnet.api import Shown

NOTEBOOK = Path(__file__).parents[1] / "docs" / "tour.ipynb"


def run_cell(source: str, namespace: dict[str, Any]) -> Any:
    """The value of the last expression of a cell, as a notebook shows it."""
    tree = ast.parse(source)
    last = tree.body[-1]
    if not isinstance(last, ast.Expr):
        exec(compile(tree, "cell", "exec"), namespace)
        return None
    tree.body.pop()
    exec(compile(tree, "cell", "exec"), namespace)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), namespace)


@pytest.mark.slow
def test_the_tour_runs_and_shows_its_pictures() -> None:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    namespace: dict[str, Any] = {}
    shown = []
    for source in sources:
        value = run_cell(source.replace('"alexnet", ""', '"alexnet", "random"'), namespace)
        if isinstance(value, Shown):
            shown.append(value)
            assert value._repr_png_().startswith(b"\x89PNG")
    assert len(shown) == 10
    assert namespace["network"].title.startswith("alexnet")


def test_the_notebook_is_stored_without_outputs() -> None:
    for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]:
        assert not cell.get("outputs") and cell.get("execution_count") is None
