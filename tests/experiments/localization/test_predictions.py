from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from zfnet.core.errors import UserError
from zfnet.experiments.localization.__main__ import main
from zfnet.experiments.localization.predictions import (
    pack,
    read_blacklist,
    read_predictions,
    score_file,
    write_predictions,
)

LINES = [
    (np.array([4, 0]), np.array([[0, 0, 9, 9], [5, 5, 20, 30]])),
    (np.array([], dtype=np.int64), np.zeros((0, 4), dtype=np.int64)),
    (np.array([999]), np.array([[-3, 0, 7, 8]])),
]


def test_a_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_predictions(tmp_path / "p.txt", LINES)
    read = read_predictions(tmp_path / "p.txt")
    assert len(read) == 3
    for (labels, boxes), (wanted_labels, wanted_boxes) in zip(read, LINES, strict=True):
        np.testing.assert_array_equal(labels, wanted_labels)
        np.testing.assert_array_equal(boxes, wanted_boxes)


def test_labels_count_from_one_in_the_file(tmp_path: Path) -> None:
    write_predictions(tmp_path / "p.txt", LINES)
    assert (tmp_path / "p.txt").read_text() == "5 0 0 9 9 1 5 5 20 30\n\n1000 -3 0 7 8\n"


def test_guesses_marked_as_none_are_not_written(tmp_path: Path) -> None:
    write_predictions(tmp_path / "p.txt", [(np.array([2, -1]), np.array([[1, 2, 3, 4], [0, 0, 0, 0]]))])
    assert (tmp_path / "p.txt").read_text() == "3 1 2 3 4\n"


@pytest.mark.parametrize(
    ("line", "says"),
    [("5 0 0 9", "4 numbers"), ("5 0 0 9 x", "integers"), ("0 0 0 9 9", "label 0"), ("5 0 0 9 9.5", "integers")],
)
def test_a_malformed_line_is_named(tmp_path: Path, line: str, says: str) -> None:
    (tmp_path / "p.txt").write_text(f"5 0 0 9 9\n{line}\n")
    with pytest.raises(UserError, match=rf"p\.txt, line 2: .*{says}"):
        read_predictions(tmp_path / "p.txt")


def test_a_file_of_another_program_is_read_as_well(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_bytes("5,0,0,9,9\r\n\r\n7, 1, 2, 3, 4\r\n".encode("utf-16"))
    read = read_predictions(tmp_path / "p.txt")
    assert [labels.tolist() for labels, _ in read] == [[4], [], [6]]


def test_a_sixth_guess_is_ignored() -> None:
    labels, boxes = pack([(np.arange(6), np.arange(24).reshape(6, 4))])
    assert labels.tolist() == [[0, 1, 2, 3, 4]] and boxes.shape == (1, 5, 4)


def scored(folder: Path, predictions: str, truth: str, blacklist: str | None = None) -> dict[str, float]:
    (folder / "p.txt").write_text(predictions)
    (folder / "t.txt").write_text(truth)
    if blacklist is not None:
        (folder / "b.txt").write_text(blacklist)
    numbers = score_file(folder / "p.txt", folder / "t.txt", folder / "b.txt" if blacklist is not None else None)
    return {key: number["value"] for key, number in numbers.items()}


TRUTH = "1 0 0 9 9\n2 0 0 9 9 2 50 50 59 59\n3 0 0 9 9\n4 0 0 9 9\n"
GUESSED = "1 0 0 9 4\n9 0 0 9 9 2 50 50 59 59\n3 30 30 39 39\n\n"


def test_a_file_is_scored_by_itself(tmp_path: Path) -> None:
    numbers = scored(tmp_path, GUESSED, TRUTH)
    assert numbers == {"top5_error": 50.0, "top1_error": 75.0, "top5_class_error": 25.0, "top1_class_error": 50.0}


def test_a_sixth_guess_in_the_file_does_not_save_it(tmp_path: Path) -> None:
    six = " ".join(["9 0 0 9 9"] * 5 + ["1 0 0 9 9"])
    assert scored(tmp_path, six + "\n", "1 0 0 9 9\n")["top5_error"] == 100.0


def test_the_blacklist_names_lines(tmp_path: Path) -> None:
    numbers = scored(tmp_path, GUESSED, TRUTH, "3\n4\n")
    assert numbers["top5_error"] == 0.0 and numbers["top5_class_error"] == 25.0


def test_files_of_different_lengths_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"p\.txt: 3 lines, but .*t\.txt has 4"):
        scored(tmp_path, GUESSED.rstrip("\n") + "\n", TRUTH)


@pytest.mark.parametrize("truth", ["\n", "1 0 0 9 9 2 0 0 9 9\n"])
def test_a_truth_without_one_class_a_line_is_refused(tmp_path: Path, truth: str) -> None:
    with pytest.raises(UserError, match=r"t\.txt, line 1"):
        scored(tmp_path, "1 0 0 9 9\n", truth)


@pytest.mark.parametrize("text", ["0\n", "seven\n", "-1\n"])
def test_a_blacklist_of_something_else_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "b.txt").write_text("3\n" + text)
    with pytest.raises(UserError, match=r"b\.txt, line 2"):
        read_blacklist(tmp_path / "b.txt")


def test_a_blacklist_beyond_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="names image 5"):
        scored(tmp_path, GUESSED, TRUTH, "5\n")


def test_nothing_left_to_score_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"b\.txt names every image"):
        scored(tmp_path, GUESSED, TRUTH, "1\n2\n3\n4\n")
    with pytest.raises(UserError, match=r"t\.txt: empty"):
        scored(tmp_path, "", "")


def test_the_command_scores_a_file_and_names_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth, good = tmp_path / "truth.txt", tmp_path / "predictions.txt"
    truth.write_text("1 0 0 9 9\n2 0 0 9 9\n")
    good.write_text("2 0 0 9 9 1 0 0 9 9\n2 0 0 9 3\n")
    assert main([str(good), str(truth), "--json"]) == 0
    scored = json.loads(capsys.readouterr().out)
    assert scored["top5_error"]["value"] == 50.0 and scored["top5_class_error"]["value"] == 0.0
    assert scored["top1_error"]["value"] == 100.0 and scored["top1_class_error"]["value"] == 50.0
    assert main([str(good), str(truth)]) == 0
    assert "top5_error         50.00 %" in capsys.readouterr().out
    (tmp_path / "bad.txt").write_text("2\n")
    assert main([str(good), str(truth), "--blacklist", str(tmp_path / "bad.txt")]) == 0
    assert "top5_error          0.00 %" in capsys.readouterr().out
    good.write_text("1 0 0 9\n\n")
    assert main([str(good), str(truth)]) == 2
    assert "predictions.txt, line 1: 4 numbers" in capsys.readouterr().err
