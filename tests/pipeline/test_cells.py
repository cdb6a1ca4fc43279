"""Cells on disk: made once, for one origin, whatever happened to the file."""

import pytest

from zfnet.pipeline.cells import Cells


def test_a_cell_is_made_once_for_one_origin(tmp_path):
    made = []

    def make(name, n):
        made.append((name, n))
        return {"value": n / 3}

    path = tmp_path / "cells.json"
    first = [Cells(path, {"c": (1, 2)}).get(f"svm {n}", make, "svm", n) for n in (1, 2, 1)]
    assert made == [("svm", 1), ("svm", 2)] and first == [{"value": 1 / 3}, {"value": 2 / 3}, {"value": 1 / 3}]
    assert Cells(path, {"c": [1, 3]}).get("svm 1", make, "svm", 1) == {"value": 1 / 3} and len(made) == 3


@pytest.mark.parametrize("content", ["", "[]", '{"key": 1}', '{"key": 1, "cells": 3}', '{"key": 1, "cel'])
def test_a_damaged_file_holds_no_cell(tmp_path, content):
    path = tmp_path / "cells.json"
    path.write_text(content)
    assert Cells(path, 1).get("a", str.upper, "a") == "A"
    assert Cells(path, 1).made == {"a": "A"}
