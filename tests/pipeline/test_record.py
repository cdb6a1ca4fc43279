"""Provenance: the commit is that of the checkout which holds the running code, and of no other repository."""

import subprocess

import pytest

from zfnet.pipeline import record


def git(folder, *words):
    identity = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", "-C", str(folder), *identity, *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path):
    """A repository with one commit of src/module.py."""
    file = tmp_path / "src" / "module.py"
    file.parent.mkdir()
    file.write_text("x = 1\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    return tmp_path


def test_the_commit_of_the_checkout_and_whether_it_is_changed(repository):
    file, head = repository / "src" / "module.py", git(repository, "rev-parse", "HEAD")
    assert record.commit(file) == (head, False)
    (repository / "notes.txt").write_text("not tracked")
    assert record.commit(file) == (head, False)
    file.write_text("x = 2\n")
    assert record.commit(file) == (head, True)


@pytest.mark.parametrize("ignored", [True, False])
def test_a_repository_above_a_virtual_environment_is_not_ours(repository, ignored):
    installed = repository / ".venv" / "lib" / "site-packages" / "zfnet" / "pipeline" / "record.py"
    installed.parent.mkdir(parents=True)
    installed.write_text("x = 1\n")
    if ignored:
        (repository / ".gitignore").write_text(".venv/\n")
    assert record.commit(installed) == ("", False)


def test_outside_git_there_is_no_commit(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    file = tmp_path / "module.py"
    file.touch()
    assert record.commit(file) == ("", False)


def test_without_git_there_is_no_commit(repository, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert record.commit(repository / "src" / "module.py") == ("", False)


def test_versions_name_what_numbers_depend_on():
    versions = record.versions()
    assert {"python", "torch", "numpy"} <= set(versions) and all(versions.values())
