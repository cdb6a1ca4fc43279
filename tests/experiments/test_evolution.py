"""Figure 4: similarity, settling and the stage on a few drifting networks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from zfnet.attribution.strongest import Strongest, strongest
from zfnet.attribution.units import project_units
from zfnet.data.cache.images import Images
from zfnet.data.index import Index
from zfnet.experiments.evolution.alone import project_alone, project_noise, relative_changes
from zfnet.experiments.evolution.compute import changed, cosine, project_snapshots, run, settled_epoch
from zfnet.experiments.evolution.options import EvolutionOptions
from zfnet.networks.convnet import build
from zfnet.networks.network import Network

EPOCHS = [1, 2, 5]


@pytest.fixture
def images() -> Images:
    rng, n = np.random.default_rng(0), 24
    pixels = np.kron(rng.integers(0, 256, (n, 16, 16, 3)), np.ones((1, 4, 4, 1))).astype(np.uint8)
    boxes = tuple(np.zeros((0, 4), dtype=np.int64) for _ in range(n))
    paths = np.array([str(i) for i in range(n)])
    index = Index(Path("nowhere"), paths, np.arange(n) % 2, ("a", "b"), ("a", "b"), boxes)
    return Images(index, pixels, np.full((n, 2), 64), pixels.mean(0).astype(np.float32))


@pytest.fixture
def snapshots(images: Images, wrap: Callable[..., Network]) -> list[Network]:
    """The first network is random, the second has the last one's first layer, the third is the last."""
    first, second, last = (build("zfnet", 2, 56, 0.125).eval() for _ in EPOCHS)
    for seed, net in enumerate((first, second, last)):
        net.initialize("he", seed)
    second.conv1.load_state_dict(last.conv1.state_dict())
    return [wrap(module, images) for module in (first, second, last)]


def test_cosine_by_hand():
    reference = np.array([[1.0, 0.0], [0.0, 2.0]])
    projections = np.array([[[1.0, 1.0], [0.0, 0.0]], [[-3.0, 0.0], [0.0, 1.0]]])
    np.testing.assert_allclose(cosine(projections, reference), [[1 / np.sqrt(2), 0], [-1, 1]])


@pytest.mark.parametrize(
    "similarity, epoch",
    [
        ([0.5, 1, 1, 1], 1.8),  # four fifths of the way from 0.5 to 1
        ([0.95, 0.2, 1, 1], 4.625),  # what came before it fell again does not count
        ([0.9, 0.9, 0.9, 1], 1),
        ([0.1, 0.9, 0.95, 1], 2),
        ([0.1, 0.1, 0.8, 1], 7.5),
    ],
)
def test_settled_is_when_it_comes_to_stay(similarity, epoch):
    assert settled_epoch(np.array(similarity), [1, 2, 5, 10]) == pytest.approx(epoch)


def test_settled_works_on_many_at_once():
    similarity = np.array([[0.4, 0.9, 1], [0.95, 0.95, 1]])
    assert settled_epoch(similarity, EPOCHS).tolist() == [2, 1]


def test_changed_counts_new_images():
    def snapshot(rows):
        rows = torch.tensor(rows)[:, None]
        return Strongest(torch.ones(rows.shape), rows, torch.zeros((*rows.shape, 2), dtype=torch.int64))

    best = [snapshot([1, 2, 3]), snapshot([1, 5, 3]), snapshot([4, 5, 6])]
    assert changed(best, np.array([0, 1])) == [0.5, 0.5]


def test_the_fixed_projections_use_the_last_snapshots_image(snapshots, images):
    rows = np.arange(len(images))
    best = []
    for network in snapshots:
        batches = [network.center(images.pixels)]
        best.append(strongest(network.module, batches, rows, ["relu1"], top=1)["relu1"])
    maps = np.array([1, 3])
    shown, fixed = project_snapshots(snapshots, images, "relu1", best, maps)
    np.testing.assert_array_equal(shown[-1], fixed[-1])
    np.testing.assert_allclose(fixed[1], fixed[2], atol=1e-6)  # the second has the last's first layer
    assert np.abs(fixed[0] - fixed[2]).max() > 1e-3


def test_the_stage_finds_the_layer_that_settled_first(snapshots, images, tmp_path):
    checkpoints = [(epoch, Path(str(i))) for i, epoch in enumerate(EPOCHS)]
    options = EvolutionOptions(n_maps=3, n_measured=6, batch=16)
    outcome = run(options, checkpoints, images, tmp_path, 0, lambda path: snapshots[int(str(path))])
    settled = {n: values["settled"]["value"] for n, values in outcome.numbers["layers"].items()}
    assert 1 < settled["1"] < 2 < settled["3"] < 5
    assert outcome.numbers["layers"]["2"]["similarity_fixed"][-1] == pytest.approx(1)
    alone = {n: values["settled_alone"]["value"] for n, values in outcome.numbers["layers"].items()}
    assert 1 < alone["1"] < 2 < alone["3"] < 5  # layer 1 alone was there at the second snapshot
    assert set(outcome.numbers["control"]["layers"]) == set(alone)
    assert set(outcome.figures) == {*(f"layer{n}.png" for n in range(1, 6)), "convergence.svg"}
    assert all((tmp_path / name).exists() for name in outcome.figures)


def test_one_layer_at_a_time_is_that_of_the_snapshot(snapshots, images):
    last, rows, maps = snapshots[-1], np.arange(len(images)), np.array([1, 3])
    best = strongest(last.module, [last.center(images.pixels)], rows, ["relu2"], top=1)["relu2"]
    alone = project_alone(snapshots, images, 2, best, maps)
    mixed = build("zfnet", 2, 56, 0.125).eval()
    mixed.load_state_dict(last.module.state_dict())
    with torch.no_grad():
        mixed.conv2.weight.copy_(snapshots[0].module.conv2.weight)
    batches = [last.center(images.frames(best.rows[maps, 0].numpy()))]
    expected = project_units(mixed, batches, "relu2", maps, best.places[maps, 0].numpy())
    np.testing.assert_allclose(alone[0], expected, atol=1e-6)
    assert np.abs(alone[1] - alone[0]).max() > 1e-6  # the second snapshot's is another


def test_the_noise_is_as_large_in_every_layer(snapshots, images):
    changes = relative_changes(snapshots)
    assert changes[0] > changes[1] > changes[2] == 0
    first, final = snapshots[0].module.state_dict(), snapshots[-1].module.state_dict()
    names = [f"conv{n}.weight" for n in range(1, 6)]
    of_layers = [float((first[name] - final[name]).norm() / final[name].norm()) for name in names]
    assert changes[0] == pytest.approx(np.mean(of_layers))
    last, rows, maps = snapshots[-1], np.arange(len(images)), np.array([1, 3])
    best = strongest(last.module, [last.center(images.pixels)], rows, ["relu1"], top=1)["relu1"]
    noise = project_noise(snapshots, images, 1, best, maps, seed=0)
    alone = project_alone(snapshots, images, 1, best, maps)
    np.testing.assert_array_equal(noise[-1], alone[-1])
    assert (cosine(noise, noise[-1])[0] < cosine(noise, noise[-1])[1]).all()


def test_a_limit_draws_that_many_images(snapshots, images, tmp_path):
    checkpoints = [(epoch, Path(str(i))) for i, epoch in enumerate(EPOCHS)]
    options = EvolutionOptions(n_maps=2, n_measured=2, n_images=7, batch=16)
    assert run(options, checkpoints, images, tmp_path, 0, lambda p: snapshots[int(str(p))]).numbers["n_images"] == 7


def test_one_snapshot_is_passed_over(images, tmp_path):
    outcome = run(EvolutionOptions(), [(1, Path("x"))], images, tmp_path, 0, lambda path: None)
    assert "train.snapshots" in outcome.numbers["skipped"] and not outcome.figures
