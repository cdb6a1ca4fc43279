"""The one reader of users' lists and tables, however they were saved.

UTF-8 with or without a byte order mark, or UTF-16 with one; any line ends; cells between tabs, else commas, else
semicolons, else blanks. Blank lines are skipped. Errors name file and line.
"""

import codecs
import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from zfnet.core.errors import UserError

_HINT = "save it as UTF-8 text"
_LARGEST = 2**31  # of a number that stands for pixels or rows


@dataclass(frozen=True)
class Row:
    """A line of a table, without the blanks around its cells."""

    place: str  # "file, line 3"
    text: str
    cells: Sequence[str]

    def error(self, expected: str) -> UserError:
        return UserError(f"{self.place}: {self.text[:80]!r} is not {expected}")

    def integers(self, words: Sequence[str], expected: str) -> list[int]:
        """`words` of the row as integers. Raises UserError where one is none or too large."""
        try:
            values = [int(word) for word in words]
        except ValueError:
            raise self.error(expected) from None
        if any(abs(value) >= _LARGEST for value in values):
            raise self.error(expected)
        return values


def read_text(path: Path, key: str = "", hint: str = _HINT) -> str:
    """The text of a file. Raises UserError, naming the configuration's key, where there is none or it is no text."""
    name = f"{key}: {path}" if key else str(path)
    try:
        data = path.read_bytes()
        is_utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        return data.decode("utf-16" if is_utf16 else "utf-8-sig")
    except OSError as error:
        raise UserError(f"{name} cannot be read ({error.strerror}); {hint}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{name} is no UTF-8 or UTF-16 text ({error.reason}, byte {error.start}); {hint}") from error


def read_lines(path: Path, key: str = "", hint: str = _HINT) -> list[str]:
    """The lines of a text file without blank ones and without blanks around them. Raises as `read_text`."""
    return [row.text for row in _rows(path, key, hint)]


def read_table(path: Path, n_cells: int, expected: str, key: str = "", hint: str = _HINT) -> list[Row]:
    """The rows of a table with at least `n_cells` cells each. Raises UserError where a row is not as `expected`."""
    rows = []
    for row in _rows(path, key, hint):
        try:
            cells = [cell.strip() for cell in _cells(row.text)]
        except csv.Error:  # a cell of more than 128 kB
            raise row.error(expected) from None
        if len(cells) < n_cells or not all(cells[:n_cells]):
            raise row.error(expected)
        rows.append(Row(row.place, row.text, cells))
    return rows


def _rows(path: Path, key: str, hint: str) -> list[Row]:
    lines = read_text(path, key, hint).splitlines()
    return [Row(f"{path}, line {number}", line.strip(), ()) for number, line in enumerate(lines, 1) if line.strip()]


def _cells(line: str) -> list[str]:
    if "\t" in line:
        return line.split("\t")
    for delimiter in ",;":
        if delimiter in line:
            return next(csv.reader([line], delimiter=delimiter, skipinitialspace=True))
    return line.split()
