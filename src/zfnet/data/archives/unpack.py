"""Unpacking the archives of zfnet.data.archives.archives as streams.

Files are written under .unpacking/ in the folder that receives them, which is renamed when it is complete: ILSVRC's
training images class by class, everything else at once. An interrupted run resumes: members whose file exists with the
right size are skipped. Refused before they are written are members whose name or link leads out of their folder, two of
one name in any case, and more bytes than any dataset unpacks to; other links and devices are skipped (no dataset has
any).

Damage is noticed by the checksums of gzip and zip, by the zeros that end a tar, and by the published MD5 where the size
is the published one; an archive of another size is taken for a selection, and said to be one.
"""

import contextlib
import gzip
import hashlib
import os
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from zfnet.core.errors import UserError
from zfnet.core.progress import track
from zfnet.data.archives.archives import ARCHIVES, CLASSES, Archive, find_archives

UNPACKING = ".unpacking"
GROWTH = 100  # most bytes unpacked per byte of an archive of more than SMALL; box files have 20
SMALL = 2**22
_END = bytes(1024)  # of a tar
_DAMAGE = (tarfile.TarError, zipfile.BadZipFile, zlib.error, gzip.BadGzipFile, EOFError)


@dataclass(frozen=True)
class Member:
    """A file in an archive, to be read before the next one."""

    name: str
    size: int
    data: IO[bytes]


def unpack_all(folder: Path, to: Path | None = None, table: tuple[Archive, ...] = ARCHIVES) -> list[Path]:
    """Unpack every known archive in `folder` or one folder below; returns the new folders.

    to: where they go, archives of a folder below into a folder of the same name; None: beside the archives.
    Raises UserError for an archive that is damaged or leads out of its folder, and for a full disk.
    """
    places = []
    for row, file in find_archives(folder, table):
        home = file.parent if to is None else to / file.parent.relative_to(folder)
        if row.holds != CLASSES and row.is_unpacked(home):
            print(f"{file.name:34} unpacked before: {row.place(home)}", flush=True)
            continue
        unpack_archive(row, file, home)
        places.append(row.place(home))
    return places


def unpack_archive(row: Archive, file: Path, home: Path) -> None:
    """Unpack one archive into the folder `home`; raises as `unpack_all`."""
    print(f"{file.name:34} ...", flush=True)
    try:
        home.mkdir(parents=True, exist_ok=True)
        _require_space(row, file, home)
        _unpack(row, file, home)
    except (RuntimeError, NotImplementedError) as error:  # of zipfile
        raise UserError(f"{file}: encrypted, or packed in a way unknown here ({error}); pack it anew") from error
    except _DAMAGE as error:
        raise UserError(f"{file}: damaged ({error}); `make data-check` compares its size, obtain it again") from error
    except OSError as error:
        raise UserError(f"{file}: {error}; the same command resumes once that is solved") from error
    print(f"{file.name:34} -> {row.place(home)}", flush=True)


def _unpack(row: Archive, file: Path, home: Path) -> None:
    place, partial = row.place(home), home / UNPACKING / row.file.partition(".")[0]
    partial.mkdir(parents=True, exist_ok=True)
    if row.holds == CLASSES:
        _unpack_classes(row, file, place, partial)
    else:
        with _members(row, file) as members:
            for member in track(_limited(members, file), f"{file.name}, files:"):
                inside = _inside(PurePosixPath(member.name), row)
                if inside.parts:
                    _write(member, partial / inside, place / inside)
        _install(partial, place, row.proof)
    shutil.rmtree(partial, ignore_errors=True)
    with contextlib.suppress(OSError):  # another archive is still being unpacked
        (home / UNPACKING).rmdir()


def _unpack_classes(row: Archive, file: Path, place: Path, partial: Path) -> None:
    """A .tar of one .tar a class: each class is renamed into `place` when it is whole."""
    with file.open("rb") as data:
        for member in track(_limited(_published(row, file, data), file), f"{file.name}, classes:"):
            wnid = PurePosixPath(member.name).stem
            if not member.name.endswith(".tar") or (place / wnid).exists():
                continue
            (partial / wnid).mkdir(exist_ok=True)
            for image in _tarred(member.data, f"{file}, {member.name}"):
                name = PurePosixPath(image.name).name
                _write(image, partial / wnid / name, place / wnid / name)
            _install(partial / wnid, place / wnid)


@contextlib.contextmanager
def _members(row: Archive, file: Path) -> Iterator[Iterator[Member]]:
    """The files of a .zip or .tar, or of the .tar that lies in it."""
    with contextlib.ExitStack() as opened:
        if not zipfile.is_zipfile(file):
            yield _published(row, file, opened.enter_context(file.open("rb")))
            return
        holds = row.holds
        archive = opened.enter_context(zipfile.ZipFile(file))
        if not holds:
            yield _zipped(archive, file)
            return
        inner = next((name for name in archive.namelist() if PurePosixPath(name).name == holds), None)
        if inner is None:
            raise UserError(f"{file}: holds no {holds}; it is another archive, obtain it again")
        stream = opened.enter_context(archive.open(inner))
        yield _tarred(stream, f"{file}, {inner}")


class _Stream:
    """A stream that is read once, with its size and the last bytes of what was read."""

    def __init__(self, data: IO[bytes]) -> None:
        self._data, self.size, self.last = data, 0, b""

    def read(self, size: int = -1) -> bytes:
        block = self._data.read(size)
        self.size += len(block)
        self.last = (self.last + block)[-len(_END) :]
        return block

    def finish(self) -> None:
        """Read to the end, where gzip compares its checksum."""
        while self.read(1 << 20):
            pass


class _Hashed(_Stream):
    """Such a stream with the MD5 of what was read."""

    def __init__(self, data: IO[bytes]) -> None:
        super().__init__(data)
        self.md5 = hashlib.md5(usedforsecurity=False)

    def read(self, size: int = -1) -> bytes:
        block = super().read(size)
        self.md5.update(block)
        return block


def _published(row: Archive, file: Path, data: IO[bytes]) -> Iterator[Member]:
    """The files of a tar, after which its MD5 is compared with the published one."""
    stream = _Hashed(data)
    yield from _tarred(stream, file)
    stream.finish()
    if row.md5 and stream.md5.hexdigest() != row.md5:
        if stream.size == row.size:
            raise tarfile.ReadError(f"its MD5 is not the published {row.md5}")
        print(f"  {file.name} is not the published file; it is unpacked as it is", flush=True)


def _tarred(data: Any, title: object) -> Iterator[Member]:
    """The files of a tar or tar.gz. Raises TarError or an error of gzip where it is cut or damaged."""
    start = data.read(2)
    joined: Any = _Joined(start, data)
    plain: Any = gzip.GzipFile(fileobj=joined) if start == b"\x1f\x8b" else joined
    content: Any = _Stream(plain)
    with tarfile.open(fileobj=content, mode="r|") as archive:
        yield from _files(archive, title)
    content.finish()
    if content.last != _END:
        raise tarfile.ReadError("it ends before its end")


class _Joined:
    """A stream after bytes that were read of it."""

    def __init__(self, start: bytes, data: IO[bytes]) -> None:
        self._start, self._data = start, data

    def read(self, size: int = -1) -> bytes:
        if not self._start:
            return self._data.read(size)
        start, self._start = self._start, b""
        if 0 <= size < len(start):
            start, self._start = start[:size], start[size:]
            return start
        return start + self._data.read(size - len(start) if size >= 0 else -1)


def _limited(members: Iterator[Member], file: Path) -> Iterator[Member]:
    """The members, each name once in any case, and no more bytes of them than a dataset has."""
    names: set[str] = set()
    limit, total = GROWTH * max(SMALL, file.stat().st_size), 0
    for member in members:
        total += member.size
        if total > limit:
            raise UserError(f"{file}: unpacks to more than {limit:,} bytes, which no dataset does; obtain it again")
        if member.name.casefold() in names:
            raise UserError(f"{file}: holds two files called {member.name!r}, in one case or another; obtain it again")
        names.add(member.name.casefold())
        yield member


def _files(archive: tarfile.TarFile, title: object) -> Iterator[Member]:
    for info in archive:
        _refuse_outside(info.name, title)
        if info.issym():
            _refuse_outside(os.path.normpath(PurePosixPath(info.name).parent / info.linkname), title, info.name)
        elif info.islnk():
            _refuse_outside(info.linkname, title, info.name)
        data = archive.extractfile(info) if info.isreg() else None
        if data is not None:
            yield Member(info.name, info.size, data)


def _zipped(archive: zipfile.ZipFile, title: object) -> Iterator[Member]:
    for info in archive.infolist():
        _refuse_outside(info.filename, title)
        if not info.is_dir():
            with archive.open(info) as data:
                yield Member(info.filename, info.file_size, data)


def _refuse_outside(name: str, archive: object, link: str = "") -> None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name:
        what = f"member {link!r} links to {name!r}, which" if link else f"member {name!r}"
        raise UserError(f"{archive}: {what} leads out of its folder; obtain the archive again")


def _inside(name: PurePosixPath, row: Archive) -> PurePosixPath:
    """The path of a member below `into`; empty for one that is not needed."""
    if not row.top:
        return PurePosixPath(*name.parts[-row.depth :])
    return PurePosixPath(*name.parts[name.parts.index(row.top) + 1 :]) if row.top in name.parts else PurePosixPath()


def _write(member: Member, path: Path, installed: Path) -> None:
    """Write the member to `path`, unless `path` or `installed` exists with its size."""
    for existing in (path, installed):
        if existing.is_file() and existing.stat().st_size == member.size:
            return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as out:
        shutil.copyfileobj(member.data, out, 1 << 20)


def _install(partial: Path, place: Path, proof: str = "") -> None:
    """Rename `partial` to `place`; into an existing folder its files one by one, the `proof` last."""
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        os.replace(partial, place)
        return
    files = [path.relative_to(partial) for path in partial.rglob("*") if path.is_file()]
    for name in sorted(files, key=lambda name: (name.as_posix() == proof, name)):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        os.replace(partial / name, place / name)


def _require_space(row: Archive, file: Path, home: Path) -> None:
    needed, free = file.stat().st_size * row.growth, shutil.disk_usage(home).free
    if free < needed and not (home / UNPACKING).exists() and not row.is_unpacked(home):
        raise UserError(
            f"{file}: unpacked it takes {needed / 1e9:,.1f} GB and {home} has {free / 1e9:,.1f} GB free; "
            "--to names another folder"
        )
