"""Downloads from a server on the loopback address: whole, cut off and resumed, wrong, absent, without room."""

from __future__ import annotations

import hashlib
import io
import re
import shutil
import threading
import zipfile
from collections import namedtuple
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from zfnet.core.errors import UserError
from zfnet.data.archives import fetch as module
from zfnet.data.archives.archives import ARCHIVES, Archive
from zfnet.data.archives.check import check_all
from zfnet.data.archives.fetch import PARTIAL, fetch
from zfnet.data.archives.unpack import unpack_all

TINY = next(row for row in ARCHIVES if row.name == "tiny_imagenet")


@pytest.fixture(scope="module")
def archive() -> bytes:
    """A made-up Tiny ImageNet of 300 kB, which does not compress."""
    noise = np.random.default_rng(0).bytes(300_000)
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as file:
        file.writestr("tiny-imagenet-200/wnids.txt", "n01443537\n")
        file.writestr("tiny-imagenet-200/train/n01443537/images/n01443537_0.JPEG", noise)
    return data.getvalue()


class Server(ThreadingHTTPServer):
    """Serves `content` at every address but /absent; `breaks_at`: bytes of each answer before the line is cut."""

    def __init__(self, content: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content, self.breaks_at, self.takes_ranges = content, 0, True
        self.ranges: list[str] = []

    def url(self, name: str = "archive") -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{name}"


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        if self.path == "/absent":
            return self.send_error(404)
        asked = self.headers.get("Range", "")
        self.server.ranges.append(asked)
        start = int(re.findall(r"\d+", asked)[0]) if asked and self.server.takes_ranges else 0
        body = self.server.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: self.server.breaks_at or None])

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def server(archive: bytes, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(module, "WAIT", 0.0)
    with Server(archive) as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.01,))
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def row_of(archive: bytes, *urls: str) -> Archive:
    return replace(TINY, urls=urls, size=len(archive), md5=hashlib.md5(archive).hexdigest())


def test_whole_and_a_second_time_nothing_is_downloaded(server, archive, tmp_path, capsys):
    row = row_of(archive, server.url())
    for _ in range(2):
        assert fetch(["tiny_imagenet"], tmp_path / "data", table=(row,)) == [tmp_path / "data" / "tiny-imagenet-200"]
    assert server.ranges == [""]
    assert (tmp_path / "data" / "tiny-imagenet-200" / "wnids.txt").read_text() == "n01443537\n"
    assert (tmp_path / "data" / row.file).read_bytes() == archive
    printed = capsys.readouterr().out
    assert "tiny-imagenet-200.zip              300 kB; unpacked 751 kB" in printed
    assert printed.index("unpacked 751 kB") < printed.index("...") < printed.index("unpacked before")


def test_removed_archives_are_not_downloaded_again(server, archive, tmp_path):
    row = row_of(archive, server.url())
    for _ in range(2):
        fetch(["tiny_imagenet"], tmp_path, remove=True, table=(row,))
    assert server.ranges == [""] and not (tmp_path / row.file).exists()


def test_a_line_that_breaks_again_and_again_is_resumed_where_it_broke(server, archive, tmp_path):
    server.breaks_at = module.CHUNK + 10
    fetch(["tiny_imagenet"], tmp_path, table=(row_of(archive, server.url()),))
    assert server.ranges == ["", *(f"bytes={n * module.CHUNK}-" for n in (1, 2, 3, 4))]
    assert (tmp_path / TINY.file).read_bytes() == archive


def test_the_next_command_resumes_what_an_interrupted_one_has_left(server, archive, tmp_path, capsys):
    (tmp_path / (TINY.file + PARTIAL)).write_bytes(archive[:250_000])
    fetch(["tiny_imagenet"], tmp_path, table=(row_of(archive, server.url()),))
    assert server.ranges == ["bytes=250000-"] and "50 kB of it still missing" in capsys.readouterr().out
    assert (tmp_path / TINY.file).read_bytes() == archive


def test_a_server_without_ranges_sends_it_whole(server, archive, tmp_path):
    server.takes_ranges = False
    (tmp_path / (TINY.file + PARTIAL)).write_bytes(b"x" * 1000)
    fetch(["tiny_imagenet"], tmp_path, table=(row_of(archive, server.url()),))
    assert (tmp_path / TINY.file).read_bytes() == archive


def test_another_checksum_is_refused_and_nothing_of_it_stays(server, archive, tmp_path):
    server.content = archive[:-1] + bytes([archive[-1] ^ 1])
    with pytest.raises(UserError, match=r"another MD5 sum .* removed.*by hand from cs231n\.stanford\.edu"):
        fetch(["tiny_imagenet"], tmp_path, table=(row_of(archive, server.url()),))
    assert list(tmp_path.iterdir()) == []


def test_a_page_in_place_of_the_archive_does_not_destroy_what_has_arrived(server, archive, tmp_path):
    server.content, server.takes_ranges = b"<html>please log in</html>", False
    (tmp_path / (TINY.file + PARTIAL)).write_bytes(archive[:1000])
    with pytest.raises(UserError, match="serves a file of 26 bytes, not of .* 1 kB are kept"):
        fetch(["tiny_imagenet"], tmp_path, table=(row_of(archive, server.url()),))
    assert (tmp_path / (TINY.file + PARTIAL)).read_bytes() == archive[:1000]


def test_absent_at_the_official_address_and_served_elsewhere(server, archive, tmp_path, capsys):
    row = row_of(archive, server.url("absent"), server.url())
    fetch(["tiny_imagenet"], tmp_path, table=(row,))
    assert "absent: HTTP status 404" in capsys.readouterr().out
    with pytest.raises(UserError, match="HTTP status 404"):
        fetch(["tiny_imagenet"], tmp_path / "other", table=(row_of(archive, server.url("absent")),))


def test_a_server_that_has_gone_is_given_up(archive, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "WAIT", 0.0)
    with pytest.raises(UserError, match="does not answer or breaks off"):
        fetch(["tiny_imagenet"], tmp_path, table=(row_of(archive, "http://127.0.0.1:9/archive"),))


def test_too_little_room_is_said_before_the_first_byte(server, archive, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")(10**6, 0, 10**6)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(UserError, match="300 kB to download and 751 kB unpacked do not fit into the 1 MB free"):
        fetch(["tiny_imagenet"], tmp_path, table=(row_of(archive, server.url()),))
    assert server.ranges == []


def test_a_disk_that_fills_up_meanwhile_is_named(server, archive, tmp_path):
    (tmp_path / (TINY.file + PARTIAL)).symlink_to("/dev/full")
    with pytest.raises(UserError, match=r"zip\.partial: No space left on device; --to names another folder"):
        fetch(["tiny_imagenet"], tmp_path, table=(row_of(archive, server.url()),))


def test_a_damaged_archive_that_lies_there_is_named_and_kept(archive, tmp_path):
    (tmp_path / TINY.file).write_bytes(b"half")
    with pytest.raises(UserError, match="has 4 bytes and not .*; remove it"):
        fetch(["tiny_imagenet"], tmp_path, table=(row_of(archive, "http://127.0.0.1:9"),))
    assert (tmp_path / TINY.file).read_bytes() == b"half"


def test_what_needs_a_login_is_explained_and_an_unknown_name_answered_with_the_known(tmp_path):
    with pytest.raises(UserError, match="imagenet: .*login.*image-net.org.*ILSVRC2012_img_train.tar.*data unpack"):
        fetch(["imagenet"], tmp_path)
    with pytest.raises(UserError, match="tiny_imagenet, caltech101, caltech256, voc2007, voc2012, imagenette$"):
        fetch(["cifar"], tmp_path)


def test_every_archive_that_can_be_fetched_is_checked_by_size_and_sum():
    rows = [row for row in ARCHIVES if row.urls]
    assert all(row.size and re.fullmatch("[0-9a-f]{32}", row.md5) for row in rows) and len(rows) == 7
    assert all(url.endswith(f"/{row.file}") for row in rows for url in row.urls)


def test_archives_in_a_read_only_folder_are_unpacked_elsewhere(archive, tmp_path):
    source, to = tmp_path / "archives", tmp_path / "data"
    (source / "tiny").mkdir(parents=True)
    (source / "tiny" / TINY.file).write_bytes(archive)
    assert unpack_all(source, to) == [to / "tiny" / "tiny-imagenet-200"]
    assert [path.name for path in source.rglob("*")] == ["tiny", TINY.file]
    found = {line.what: line.state for line in check_all(to)}
    assert found["tiny-imagenet-200"] == "incomplete" and not (to / "tiny" / ".unpacking").exists()
