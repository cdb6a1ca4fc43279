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
    lines = (line.strip() for line in read_text(path, key, hint).splitlines())
    return [line for line in lines if line]


def read_rows(path: Path, expected: str, key: str = "", hint: str = _HINT) -> list[Row]:
    """A row for each line of a file; blank lines have no cells. Raises UserError where a row is not as `expected`."""
    rows = []
    for number, line in enumerate(read_text(path, key, hint).splitlines(), 1):
        row = Row(f"{path}, line {number}", line.strip(), ())
        try:
            cells = [cell.strip() for cell in _cells(row.text)] if row.text else []
        except csv.Error:  # a cell of more than 128 kB
            raise row.error(expected) from None
        rows.append(Row(row.place, row.text, cells))
    return rows


def read_table(path: Path, n_cells: int, expected: str, key: str = "", hint: str = _HINT) -> list[Row]:
    """The rows of a table with at least `n_cells` cells each, without blank lines. Raises as `read_rows`."""
    rows = [row for row in read_rows(path, expected, key, hint) if row.text]
    for row in rows:
        if len(row.cells) < n_cells or not all(row.cells[:n_cells]):
            raise row.error(expected)
    return rows


def _cells(line: str) -> list[str]:
    if "\t" in line:
        return line.split("\t")
    for delimiter in ",;":
        if delimiter in line:
            return next(csv.reader([line], delimiter=delimiter, skipinitialspace=True))
    return line.split()
