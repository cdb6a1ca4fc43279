"""Resuming interrupted work: its finished parts on disk, with checksums, so that damage is noticed and never used.

    Store       named JSON values in a file of lines: finished shards, cells, images
    PartWriter  a span of bytes in a data file; a record in a store keeps its length and CRC-32
    write_checked, read_checked   a JSON object with its own checksum

A store belongs to a key, any JSON value that describes the work. Its first line holds the key; every further line holds
a name, a value and a checksum over the key and both, so that a record counts only for its key. A damaged line is left
out and reported on stderr, and the caller computes it again.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from zfnet.core.errors import UserError
from zfnet.core.files import atomic_write, os_errors_named, strict, write_json

FORMAT = 1  # of the lines; part of the key
BLOCK = 1 << 20  # bytes read at a time

Part: TypeAlias = dict[str, int]  # offset, length and CRC-32 of a span of a file


class Store:
    """Named JSON values that belong to `key`; a file of another key opens as an empty store."""

    def __init__(self, path: Path, key: Any) -> None:
        self.path = path
        self._header = json.dumps({"format": FORMAT, "key": key})
        self._lines: dict[str, str] = {}
        self._appendable = False  # whether the file holds this header and these lines
        self._read()

    @property
    def names(self) -> list[str]:
        """The names of all records, in the order in which they were first put."""
        return list(self._lines)

    def __contains__(self, name: str) -> bool:
        return name in self._lines

    def get(self, name: str) -> Any:
        """The value of a record as JSON has it (lists for tuples), or None when there is no such record."""
        return json.loads(self._lines[name])["value"] if name in self._lines else None

    def put(self, name: str, value: Any) -> None:
        """Store a value under `name`, synced to disk. Raises UserError when it cannot be written."""
        line = self._line(name, json.loads(json.dumps(value)))
        self._lines[name] = line
        if not self._appendable:
            self._rewrite()
            return
        with os_errors_named(self.path), self.path.open("ab") as file:
            file.write(f"{line}\n".encode())
            file.flush()
            os.fsync(file.fileno())

    def get_or_make(self, name: str, make: Callable[..., Any], *arguments: Any) -> Any:
        """The value of a record, made by make(*arguments) where it is missing."""
        if name not in self:
            self.put(name, make(*arguments))
        return self.get(name)

    def _line(self, name: str, value: Any) -> str:
        record = {"name": name, "value": value}
        return json.dumps(record | {"checksum": _digest([self._header, record])})

    def _read(self) -> None:
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return
        except OSError as error:
            raise UserError(f"{self.path}: cannot be read ({error.strerror or error})") from error
        header, *lines = content.decode("utf-8", errors="replace").split("\n")
        damaged = 0
        for line in filter(None, lines):
            name = self._name_of(line)
            if name is None:
                damaged += 1
            else:
                self._lines[name] = line
        belongs_to_other_key = header != self._header and _is_header(header) and not self._lines
        if belongs_to_other_key:
            return
        damaged += header != self._header
        self._appendable = not damaged and content.endswith(b"\n")
        if damaged:
            report_damage(self.path, f"{damaged} damaged or unfinished line(s) left out, to be computed again")
            self._rewrite()

    def _name_of(self, line: str) -> str | None:
        """The name of a record, or None unless the line is exactly what `put` writes for this key."""
        try:
            record = json.loads(line)
            name = str(record["name"])
            return name if line == self._line(name, record["value"]) else None
        except (ValueError, LookupError, TypeError, RecursionError):
            return None

    def _rewrite(self) -> None:
        text = "".join(f"{line}\n" for line in (self._header, *self._lines.values()))
        with atomic_write(self.path) as temporary:
            temporary.write_bytes(text.encode())
        self._appendable = True


class PartWriter:
    """Context that writes a span of an existing file; `finish` returns the part that `is_whole` compares."""

    def __init__(self, path: Path, offset: int) -> None:
        self._path, self._offset, self._length, self._crc = path, offset, 0, 0
        with os_errors_named(path):
            self._file = path.open("r+b")
            self._file.seek(offset)

    def __enter__(self) -> PartWriter:
        return self

    def __exit__(self, *error: object) -> None:
        with contextlib.suppress(OSError):  # of bytes that are in no record
            self._file.close()

    def write(self, data: bytes) -> None:
        with os_errors_named(self._path):
            self._file.write(data)
        self._length += len(data)
        self._crc = zlib.crc32(data, self._crc)

    def finish(self) -> Part:
        """Sync the bytes to disk, and return the part for a record."""
        with os_errors_named(self._path):
            self._file.flush()
            os.fsync(self._file.fileno())
        return {"offset": self._offset, "length": self._length, "crc": self._crc}


def checksum(path: Path, offset: int = 0, length: int | None = None) -> Part:
    """The part of a file from `offset` on, of `length` bytes or to its end. Raises OSError when it cannot be read."""
    crc = done = 0
    with path.open("rb") as file:
        file.seek(offset)
        while length is None or done < length:
            data = file.read(BLOCK if length is None else min(BLOCK, length - done))
            if not data:
                break
            crc, done = zlib.crc32(data, crc), done + len(data)
    return {"offset": offset, "length": done, "crc": crc}


def is_whole(path: Path, part: Part) -> bool:
    """Whether the file holds the bytes of `part`."""
    try:
        return checksum(path, part["offset"], part["length"]) == part
    except OSError:
        return False


def write_checked(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON object with a checksum over its content, atomically."""
    plain = strict(json.loads(json.dumps(content)))
    write_json(path, plain | {"checksum": _digest(plain)})


def read_checked(path: Path) -> dict[str, Any] | None:
    """The JSON object of a file, without its checksum; None where it is missing or damaged, which is reported.

    A file without a checksum counts as whole.
    """
    try:
        content = json.loads(path.read_bytes())
        is_damaged = not isinstance(content, dict) or content.pop("checksum", None) not in (None, _digest(content))
    except OSError:
        return None
    except (ValueError, RecursionError):
        is_damaged = True
    if is_damaged:
        report_damage(path, "is damaged and not used")
        return None
    return content


@functools.cache  # a file is read several times in a run and reported once
def report_damage(path: Path, why: str) -> None:
    print(f"  warning: {path}: {why}", file=sys.stderr)


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def _is_header(line: str) -> bool:
    try:
        return {"format", "key"} <= set(json.loads(line))
    except (ValueError, TypeError, RecursionError):
        return False
