"""The resume store: what is finished is kept, and damage is noticed, named and never used."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

from zfnet.core import resume
from zfnet.core.errors import UserError
from zfnet.core.resume import PartWriter, Store, checksum, is_whole, read_checked, write_checked

KEY = {"network": "zfnet", "layers": [1, 2]}
VALUES = {"svm 1": {"value": 1 / 3, "classes": [0.5, None]}, "svm 2": [1, "zwölf"], "note": "a\nb", "last": True}


@pytest.fixture(autouse=True)
def report_every_damage(monkeypatch):
    monkeypatch.setattr(resume, "report_damage", resume.report_damage.__wrapped__)


@pytest.fixture
def path(tmp_path):
    store = Store(tmp_path / "store.jsonl", KEY)
    for name, value in VALUES.items():
        store.put(name, value)
    return store.path


def content(store):
    return {name: store.get(name) for name in store.names}


def flipped(data, bit):
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_what_is_put_is_there_again_in_its_order(path, capsys):
    store = Store(path, KEY)
    assert content(store) == VALUES and store.names == list(VALUES)
    assert "svm 2" in store and "svm 3" not in store and store.get("svm 3") is None
    store.put("svm 1", (4, 5))
    assert store.get("svm 1") == [4, 5] == Store(path, KEY).get("svm 1")
    assert Store(path, KEY).names == list(VALUES)
    assert capsys.readouterr().err == ""


def test_a_value_is_made_once_for_one_key(tmp_path):
    made = []

    def make(name, n):
        made.append((name, n))
        return {"value": n / 3}

    path = tmp_path / "cells.jsonl"
    values = [Store(path, {"c": (1, 2)}).get_or_make(f"svm {n}", make, "svm", n) for n in (1, 2, 1)]
    assert made == [("svm", 1), ("svm", 2)] and values == [{"value": 1 / 3}, {"value": 2 / 3}, {"value": 1 / 3}]
    assert Store(path, {"c": [1, 3]}).get_or_make("svm 1", make, "svm", 1) == {"value": 1 / 3} and len(made) == 3


def test_what_a_caller_does_to_a_value_does_not_change_the_store(path):
    store = Store(path, KEY)
    store.get("svm 1").pop("classes")
    assert store.get("svm 1") == VALUES["svm 1"]


def test_another_key_starts_anew_and_the_file_stays_until_something_is_put(path, capsys):
    before = path.read_bytes()
    other = Store(path, "another")
    assert other.names == [] and path.read_bytes() == before and capsys.readouterr().err == ""
    assert content(Store(path, KEY)) == VALUES
    other.put("a", 1)
    assert Store(path, KEY).names == [] and content(Store(path, "another")) == {"a": 1}


def test_a_record_of_another_key_does_not_count_in_this_file(path, tmp_path, capsys):
    other = Store(tmp_path / "other.jsonl", "another")
    other.put("svm 9", 9)
    with path.open("ab") as file:
        file.write(other.path.read_bytes().splitlines(keepends=True)[1])
    assert content(Store(path, KEY)) == VALUES and str(path) in capsys.readouterr().err


@pytest.mark.parametrize("seed", range(4))
def test_a_flipped_bit_is_noticed_and_costs_its_own_record(path, seed, capsys):
    whole = path.read_bytes()
    ends = np.cumsum([len(line) for line in whole.splitlines(keepends=True)])
    for bit in np.random.default_rng(seed).integers(8 * len(whole), size=150).tolist():
        path.write_bytes(flipped(whole, bit))
        kept = content(Store(path, KEY))
        assert kept.items() <= VALUES.items()
        line = int(np.searchsorted(ends, bit // 8, side="right"))
        is_line_end = bit // 8 + 1 in ends  # two lines become one
        assert len(VALUES) - len(kept) == (line > 0) + (is_line_end and 0 <= line < len(VALUES))
        errors = capsys.readouterr().err
        assert errors.count("\n") == 1 and str(path) in errors
        assert content(Store(path, KEY)) == kept and capsys.readouterr().err == ""  # mended


def test_a_cut_file_keeps_its_whole_records(path, capsys):
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        store = Store(path, KEY)
        kept = store.names
        assert content(store) == {name: VALUES[name] for name in list(VALUES)[: len(kept)]}
        assert len(kept) >= whole[:length].count(b"\n") - 1
        is_between_lines = length > 0 and b"\n" in whole[length - 1 : length + 1]
        assert (capsys.readouterr().err == "") == is_between_lines
        for name, value in VALUES.items():
            store.get_or_make(name, lambda value=value: value)
        assert path.read_bytes().splitlines() == whole.splitlines()


def test_a_kill_while_a_damaged_file_is_mended_loses_nothing(path, monkeypatch):
    path.write_bytes(path.read_bytes() + b'{"name": "half')

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(os, "replace", killed)
        Store(path, KEY)
    assert content(Store(path, KEY)) == VALUES


@pytest.mark.parametrize("text", ["", "\0\0\0", "[]", "3", '{"key": 1}', '{"key": 1, "cells": 3}', "[" * 9999])
def test_a_file_of_something_else_holds_nothing_and_is_named(tmp_path, text, capsys):
    (tmp_path / "store.jsonl").write_text(text)
    store = Store(tmp_path / "store.jsonl", 1)
    assert store.names == [] and "store.jsonl" in capsys.readouterr().err
    store.put("a", "A")
    assert content(Store(store.path, 1)) == {"a": "A"}


def test_a_store_that_cannot_be_written_or_read_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file"):
        Store(tmp_path / "file" / "store.jsonl", 1).put("a", 1)
    with pytest.raises(UserError, match="cannot be read"):
        Store(tmp_path, 1)


def test_a_record_is_on_disk_before_the_next_one(path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_size))
    Store(path, KEY).put("next", 1)
    assert synced == [path.stat().st_size]


def test_the_bytes_of_a_part_are_on_disk_before_its_record(tmp_path, monkeypatch):
    path, synced = tmp_path / "data", []
    path.touch()
    monkeypatch.setattr(os, "fsync", lambda _: synced.append(path.read_bytes()))
    with PartWriter(path, 0) as writer:
        writer.write(b"bytes")
        writer.finish()
    assert synced == [b"bytes"]


def test_a_part_is_whole_just_as_long_as_its_bytes_are(tmp_path):
    path = tmp_path / "data"
    path.write_bytes(bytes(200))
    with PartWriter(path, 50) as writer:
        writer.write(b"first ")
        writer.write(b"second")
        part = writer.finish()
    assert path.read_bytes() == bytes(50) + b"first second" + bytes(138)
    assert part == checksum(path, 50, 12) and is_whole(path, part)
    whole = path.read_bytes()
    for bit in range(8 * len(whole)):
        path.write_bytes(flipped(whole, bit))
        assert is_whole(path, part) == (not 50 <= bit // 8 < 62)
    for length in range(200):
        path.write_bytes(whole[:length])
        assert is_whole(path, part) == (length >= 62)
    path.unlink()
    assert not is_whole(path, part)


def test_a_checked_file_is_never_read_wrongly(tmp_path, capsys):
    path, values = tmp_path / "result.json", {"numbers": {"error": 12.5, 3: [1, 2]}, "name": "zwölf"}
    write_checked(path, values)
    wanted = json.loads(json.dumps(values))
    assert read_checked(path) == wanted and read_checked(tmp_path / "none.json") is None
    whole = path.read_bytes()
    for length in range(len(whole) - 1):
        path.write_bytes(whole[:length])
        assert read_checked(path) is None and str(path) in capsys.readouterr().err
    for bit in range(8 * len(whole)):
        path.write_bytes(flipped(whole, bit))
        content = read_checked(path)
        if content is None:
            assert capsys.readouterr().err.count("\n") == 1
        else:  # what was changed means the same, or is the name of the checksum itself
            assert {name: content[name] for name in wanted} == wanted


def test_a_file_without_a_checksum_is_taken_as_it_is(tmp_path):
    (tmp_path / "published.json").write_text('{"numbers": 3}')
    assert read_checked(tmp_path / "published.json") == {"numbers": 3}


def test_damage_is_reported_once_a_run(tmp_path, monkeypatch, capsys):
    monkeypatch.undo()
    (tmp_path / "result.json").write_text("{")
    assert read_checked(tmp_path / "result.json") is None is read_checked(tmp_path / "result.json")
    assert capsys.readouterr().err.count("\n") == 1
