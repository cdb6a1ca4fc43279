"""Downloading the archives of zfnet.data.archives.archives that need no login, and unpacking them.

A download is written to <archive>.partial and resumed there by an HTTP range, at another address too, since the size
and the MD5 sum of the whole file are known. Neither pooch nor torchvision resumes a download, so requests is used as
it is: it follows redirects and the proxies of the environment.
"""

import contextlib
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import requests

from zfnet.core.errors import UserError
from zfnet.core.progress import bytes_bar
from zfnet.data.archives.archives import ARCHIVES, Archive
from zfnet.data.archives.check import as_bytes, md5_of
from zfnet.data.archives.unpack import unpack_archive

ATTEMPTS = 3  # in a row, at one address, that brought nothing new
WAIT = 2.0  # seconds before another attempt, doubled for each that brought nothing
TIMEOUT = (10.0, 60.0)  # seconds to connect, and without a byte
CHUNK = 1 << 16  # bytes; less than this is lost where a connection breaks
PARTIAL = ".partial"
UNAVAILABLE = {404, 403, 401, 410}  # statuses that another attempt does not change


class _Failed(Exception):
    """An address does not serve the archive; the message says why."""


def fetch(names: Sequence[str], to: Path, remove: bool = False, table: tuple[Archive, ...] = ARCHIVES) -> list[Path]:
    """Download and unpack the named datasets into the folder `to`; returns their folders.

    remove: delete each archive once it is unpacked. The room they take is printed before the first byte.
    Raises UserError for an unknown name, a dataset behind a login, too little room, and an archive that no address
    serves whole and with the right MD5 sum; what has arrived is kept for the next attempt.
    """
    rows = [row for name in dict.fromkeys(names) for row in _rows_of(name, table)]
    pending = [row for row in rows if not row.is_unpacked(to)]
    for row in rows:
        if row not in pending:
            print(f"{row.file:34} unpacked before: {row.place(to)}", flush=True)
    to.mkdir(parents=True, exist_ok=True)
    _require_room(pending, to)
    for row in pending:
        file = _archive(row, to)
        unpack_archive(row, file, to)
        if remove:
            file.unlink()
    return list(dict.fromkeys(row.place(to) for row in rows))


def _rows_of(name: str, table: tuple[Archive, ...]) -> list[Archive]:
    named = [row for row in table if row.name == name]
    rows = [row for row in named if row.urls]
    if named and not rows:
        archives = ", ".join(row.file for row in named)
        raise UserError(
            f"{name}: its archives need a login, so they cannot be fetched here: register at {named[0].source}, "
            f"download {archives} into one folder, then `zfnet data unpack FOLDER`"
        )
    if not rows:
        known = dict.fromkeys(row.name for row in table if row.urls)
        raise UserError(f"{name}: no dataset that can be fetched; there are {', '.join(known)}")
    return rows


def _require_room(rows: Sequence[Archive], to: Path) -> None:
    """Print what each archive takes. Raises UserError where the disk has too little room for all of them."""
    missing = unpacked = 0.0
    for row in rows:
        left = row.size - _present(row, to)
        missing, unpacked = missing + left, unpacked + row.size * row.growth
        resumed = f", {as_bytes(left)} of it still missing" if left < row.size else ""
        print(f"{row.file:34} {as_bytes(row.size)}{resumed}; unpacked {as_bytes(row.size * row.growth)}", flush=True)
    free = shutil.disk_usage(to).free
    if rows and free < missing + unpacked:
        needed = f"{as_bytes(missing)} to download and {as_bytes(unpacked)} unpacked"
        raise UserError(f"{to}: {needed} do not fit into the {as_bytes(free)} free here; --to names another folder")


def _present(row: Archive, to: Path) -> int:
    """Bytes of the archive that have arrived."""
    files = (to / row.file, to / (row.file + PARTIAL))
    return max(file.stat().st_size if file.is_file() else 0 for file in files)


def _archive(row: Archive, to: Path) -> Path:
    """The whole archive, downloaded where it is missing. Raises UserError where no address serves it."""
    file, partial = to / row.file, to / (row.file + PARTIAL)
    if file.is_file():
        if problem := _difference(file, row):
            raise UserError(f"{file}: {problem}; remove it, and the same command downloads it")
        return file
    reasons = []
    for url in row.urls:
        try:
            _download(url, partial, row)
        except _Failed as error:
            reasons.append(f"{url}: {error}")
            print(f"  {reasons[-1]}", flush=True)
        except OSError as error:
            raise UserError(f"{partial}: {error.strerror or error}; --to names another folder") from error
        else:
            os.replace(partial, file)
            return file
    kept = f"; {as_bytes(_present(row, to))} are kept and the same command resumes" if partial.is_file() else ""
    raise UserError(f"{row.file}: could not be downloaded ({'; '.join(reasons)}){kept}; by hand from {row.source}")


def _download(url: str, partial: Path, row: Archive) -> None:
    """Complete `partial` from one address. Raises _Failed."""
    without_progress = 0
    while (done := _size(partial)) < row.size:
        try:
            _receive(url, partial, row, done)
        except requests.RequestException as error:
            if error.response is not None and error.response.status_code in UNAVAILABLE:
                raise _Failed(f"HTTP status {error.response.status_code}") from error
            without_progress = 0 if _size(partial) > done else without_progress + 1
            if without_progress == ATTEMPTS:
                raise _Failed(f"does not answer or breaks off ({type(error).__name__})") from error
            print(f"  {url}: {type(error).__name__} after {as_bytes(_size(partial))}, trying again", flush=True)
            time.sleep(WAIT * 2**without_progress)
    if problem := _difference(partial, row):
        partial.unlink()
        raise _Failed(f"{problem}, and was removed")


def _receive(url: str, partial: Path, row: Archive, done: int) -> None:
    """Append what the server sends to `partial`, of which `done` bytes are there, or start again where it must."""
    ranged = {"Range": f"bytes={done}-"} if done else {}
    headers = {"Accept-Encoding": "identity", **ranged}
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
        answer.raise_for_status()
        if answer.status_code != requests.codes.partial_content:
            done = 0
        length = int(answer.headers.get("Content-Length", row.size - done))
        if done + length != row.size:
            raise _Failed(f"serves a file of {done + length:,} bytes, not of {row.size:,}")
        with partial.open("ab" if done else "wb") as out, bytes_bar(row.file, row.size, done) as bar:
            for chunk in answer.iter_content(CHUNK):
                out.write(chunk)
                out.flush()
                bar.update(len(chunk))


def _difference(file: Path, row: Archive) -> str:
    """In what a file is not the published archive; "" where it is."""
    if _size(file) != row.size:
        return f"has {_size(file):,} bytes and not {row.size:,}"
    if row.md5 and md5_of(file) != row.md5:
        return f"has another MD5 sum than {row.md5}"
    return ""


def _size(file: Path) -> int:
    with contextlib.suppress(FileNotFoundError):
        return file.stat().st_size
    return 0
