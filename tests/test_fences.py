"""Every Python fence of README.md and docs/ runs as it stands, in an empty folder beside outputs/."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FENCE = re.compile(r"(<!-- example: \S+ -->\n)?```python\n(.*?)```", re.S)
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def fences() -> list[tuple[str, str]]:
    """(page and number, code); those of the worked example run in their own test."""
    found = []
    for page in PAGES:
        for number, (example, code) in enumerate(FENCE.findall(page.read_text(encoding="utf-8")), 1):
            if not example:
                found.append((f"{page.name}-{number}", code))
    return found


@pytest.mark.parametrize(("name", "code"), fences(), ids=[name for name, _ in fences()])
def test_the_fence_runs(name: str, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "outputs").symlink_to(ROOT / "outputs", target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, name, "exec"), {"__name__": "__fence__"})


def test_there_are_fences() -> None:
    assert {"README.md-1", "deconvnet.md-1"} <= {name for name, _ in fences()}
