"""Memory stays flat over 200 projections and 200 occlusions, and the watch over it sees a leak."""

from __future__ import annotations

import gc
import mmap

import pytest
import torch

from zfnet.attribution.engine import Backprojection, Target
from zfnet.attribution.incremental import Occluder, Watch, respond
from zfnet.attribution.window import project_window
from zfnet.bench.memory import ALLOWED, memory_row, peaks, resident
from zfnet.networks.convnet import build

STEPS, WARM = 200, 50
pytestmark = pytest.mark.usefixtures("one_thread")
BOUND = 20.0  # MB; keeping the projections of 4 images alone takes 23


@pytest.fixture(scope="module")
def net():
    model = build("zfnet", 3, 56, 0.125).eval()
    model.initialize("he", 0)
    return model


@pytest.fixture(scope="module")
def images():
    return torch.randn(4, 3, 56, 56, generator=torch.Generator().manual_seed(0))


def tensors_alive() -> int:
    gc.collect()
    return sum(issubclass(type(one), torch.Tensor) for one in gc.get_objects())


def works(net, images):
    places = torch.tensor([[2, 3]] * len(images))
    units = torch.arange(len(images))
    occluder = Occluder(
        12, torch.cartesian_prod(torch.arange(0, 44, 8), torch.arange(0, 44, 8)), torch.zeros(3, 56, 56)
    )
    guided = Backprojection(net, "guided")
    return {
        "a new engine each time": lambda: Backprojection(net, "deconvnet").project(images, Target(1), "relu4"),
        "one engine": lambda: guided.project(images, Target(2)),
        "receptive fields": lambda: project_window(net, images, "relu2", units, places),
        "occlusion": lambda: respond(net, images[0], occluder, Watch("relu5", 1)),
    }


@pytest.mark.parametrize(
    ("name", "steps"),
    [("a new engine each time", 40), ("one engine", STEPS), ("receptive fields", STEPS), ("occlusion", STEPS)],
)
def test_two_hundred_steps_keep_nothing(net, images, name, steps):
    work = works(net, images)[name]
    work()
    before = tensors_alive()
    first, last = peaks(work, steps, steps * WARM // STEPS)
    assert tensors_alive() == before
    assert last - first < BOUND


def test_a_leak_is_seen():
    kept = []

    def leak():  # pages of its own: what earlier work freed would take in tensors unseen
        kept.append(mmap.mmap(-1, 2**20))
        kept[-1].write(b"x" * 2**20)

    before = resident()
    row = memory_row("leak", leak, "1 MB a step", STEPS)
    assert not row["holds"] and row["ratio"] < row["target"] < 1
    assert row["ours"] - before > ALLOWED and "grows by +" in row["note"]


def test_work_that_keeps_nothing_holds():
    row = memory_row("nothing", lambda: None, "no work", 20)
    assert row["holds"] and row["unit"] == "MB" and row["ours"] > 1
