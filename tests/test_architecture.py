"""Which part of the package may import which: the arrows of docs/architecture.md, imports inside functions included."""

import ast
import graphlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src"
FILES = {
    ".".join(file.relative_to(SRC).with_suffix("").parts).removesuffix(".__init__"): file
    for file in sorted(SRC.rglob("*.py"))
}
TREES = {name: ast.parse(file.read_text(encoding="utf-8")) for name, file in FILES.items()}

# A room imports from its own row and from the rows below it. "" is zfnet/__init__.py, which imports the API lazily.
ROWS = [
    ("__main__", "cli", "bench"),
    ("running", "", "api"),
    ("experiments",),
    ("report", "pipeline", "attribution", "training", "linear", "plots"),
    ("networks",),
    ("data",),
    ("core",),
]
DEPTH = {room: depth for depth, row in enumerate(ROWS) for room in row}
POSIX_ONLY = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"}

# What does not hold yet: (importing module, imported module). This list only gets shorter.
KNOWN = {
    ("menagerie.layouts", "zfnet.core.errors"),
    ("menagerie.layouts", "zfnet.core.progress"),
    ("zfnet.attribution.maps", "zfnet.data.cache.images"),
    ("zfnet.attribution.maps", "zfnet.data.crops"),
    ("zfnet.attribution.patterns", "zfnet.data.cache.images"),
    ("zfnet.attribution.strongest", "zfnet.data.cache.images"),
    ("zfnet.attribution.tiles", "zfnet.data.cache.images"),
    ("zfnet.experiments.correspondence.compute", "zfnet.experiments.invariance.compute"),
    ("zfnet.experiments.correspondence.compute", "zfnet.experiments.occlusion.compute"),
    ("zfnet.experiments.invariance.figure", "zfnet.experiments.invariance.compute"),
    ("zfnet.experiments.stages", "zfnet.running.runner"),
    ("zfnet.experiments.wiring", "zfnet.running.runner"),
    ("zfnet.experiments.wiring", "zfnet.experiments.stages"),
}
KNOWN_BY_NAME = {"zfnet.running.runner"}  # modules that reach others through a string


def imported_names(node):
    """The modules that an import statement names; of `from a import b`, a.b where that is a module."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, "relative import"
        full_names = [f"{node.module}.{alias.name}" for alias in node.names]
        return [name if name in FILES else str(node.module) for name in full_names]
    return []


def imports_of(tree):
    return {name for node in ast.walk(tree) for name in imported_names(node)}


def room_of(module):
    return module.partition(".")[2].partition(".")[0]


def is_allowed(importer, imported):
    """Whether the arrow between two of our modules runs the right way."""
    if importer.startswith("menagerie"):
        return imported.startswith("menagerie")
    if imported.startswith("menagerie"):
        return room_of(importer) in ("experiments", "bench")
    rooms = room_of(importer), room_of(imported)
    if rooms == ("attribution", "data"):
        return False
    if rooms == ("experiments", "experiments"):
        folders = {name.split(".")[2] for name in (importer, imported) if name.count(".") > 2}
        return len(folders) < 2
    return DEPTH[rooms[0]] <= DEPTH[rooms[1]]


GRAPH = {name: {imported for imported in imports_of(tree) if imported in FILES} for name, tree in TREES.items()}


def test_the_rooms_are_known():
    assert {room_of(name) for name in FILES if name.startswith("zfnet")} <= set(DEPTH)
    assert sum(len(imported) for imported in GRAPH.values()) > 400


def test_every_arrow_runs_downwards():
    arrows = {(name, imported) for name, several in GRAPH.items() for imported in several}
    wrong = {arrow for arrow in arrows if not is_allowed(*arrow)}
    assert not wrong - KNOWN


def test_there_is_no_circle():
    graph = {name: {other for other in several if (name, other) not in KNOWN} for name, several in GRAPH.items()}
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_nothing_of_ours_is_reached_through_a_string():
    by_name = {
        name
        for name, file in FILES.items()
        if re.search(r"(import_module|__import__)\(\s*\w?[\"']zfnet", file.read_text())
    }
    assert not by_name - KNOWN_BY_NAME


@pytest.mark.parametrize(
    ("package", "rooms"),
    [
        ("hydra", {"cli"}),
        ("omegaconf", {"cli"}),
        ("captum", {"bench"}),
        ("sklearn", {"bench"}),
        ("wandb", {"running", "cli"}),
    ],
)
def test_a_package_stays_in_its_rooms(package, rooms):
    users = {
        room_of(name) for name, tree in TREES.items() if package in {i.partition(".")[0] for i in imports_of(tree)}
    }
    assert not users - rooms


def test_nothing_needs_posix_at_the_top():
    for name, tree in TREES.items():
        top_level = {imported for node in tree.body for imported in imported_names(node)}
        assert not top_level & POSIX_ONLY, name


def test_the_report_needs_no_torch():
    modules = ", ".join(name for name in FILES if room_of(name) == "report" and not name.endswith("__main__"))
    probe = f"import sys; import {modules}; print({{'torch', 'hydra'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
