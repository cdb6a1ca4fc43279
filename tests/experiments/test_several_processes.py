"""Two processes give the numbers of one, to the last bit, in every stage that uses several.

Each has one thread: torch splits some sums among threads.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch

from zfnet.core.workers import Workers
from zfnet.experiments import strongest
from zfnet.experiments.invariance import compute as invariance
from zfnet.experiments.invariance.options import InvarianceOptions
from zfnet.experiments.localization import compute as localization
from zfnet.experiments.localization.options import LocalizationOptions
from zfnet.experiments.localization.sources import make_source
from zfnet.experiments.localization.tasks import TaskMaker, make_task
from zfnet.experiments.occlusion import compute as occlusion
from zfnet.experiments.occlusion.options import OcclusionOptions
from zfnet.experiments.patterns import compute as patterns
from zfnet.experiments.patterns.options import PatternsOptions
from zfnet.networks import features
from zfnet.networks.convnet import build

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]


@pytest.fixture(scope="module")
def workers():
    with pytest.MonkeyPatch.context() as patch, Workers(2) as several:
        patch.setenv("OMP_NUM_THREADS", "1")
        yield several


@pytest.fixture
def network(wrap):
    module = build("zfnet", 3, 32, width=0.125)
    module.initialize("he", 1)
    return wrap(module)


def test_occlusion(network, stores, tmp_path, workers):
    options = OcclusionOptions(n_images=1, n_score=4, square=12, stride=10)
    alone = occlusion.run(options, network, stores[0], tmp_path, seed=0)
    assert alone.numbers == occlusion.run(options, network, stores[0], tmp_path, 0, workers).numbers


def test_invariance(network, stores, tmp_path, workers):
    options = InvarianceOptions(n_images=1, n_score=4, steps=5)
    alone = invariance.run(options, network, stores[1], tmp_path, seed=0)
    assert alone.numbers == invariance.run(options, network, stores[1], tmp_path, 0, workers).numbers


@pytest.mark.parametrize("name", ["guided", "pattern_attribution", "occlusion"])
def test_maps_and_guesses_of_localization(name, network, stores, workers):
    train, val = stores
    maker = TaskMaker(val, make_source(name, network, train, 0)(val), {4: [1], 0: [0, 2], 3: [2]}, seed=0)
    for row, sent in zip(maker.asked, workers.map(make_task, maker.asked, maker), strict=True):
        alone = maker.make(row)
        assert replace(sent, maps=None) == replace(alone, maps=None) and np.array_equal(sent.maps, alone.maps)
    options = LocalizationOptions(batch=20)
    rows = np.arange(len(val))
    alone = localization.guess(network, val, rows, options)
    assert np.array_equal(alone, localization.guess(network, val, rows, options, workers))


def test_features(network, stores, tmp_path, workers, monkeypatch):
    monkeypatch.setattr(features, "SHARD", 5)
    modules = ["pool5", "relu7"]
    alone = features.extract(network, stores[0], modules, "ten", tmp_path / "alone", 4)
    together = features.extract(network, stores[0], modules, "ten", tmp_path / "together", 4, workers)
    assert all(np.array_equal(alone[name], together[name]) for name in modules)
    records = [(tmp_path / name / "features.jsonl").read_bytes() for name in ("alone", "together")]
    assert records[0] == records[1] and records[0].count(b"range") == 5


def test_patterns(network, stores, tmp_path, workers):
    options = PatternsOptions(
        n_measure=4, n_neurons=2, n_degraded=4, n_swept=3, patch_sizes=[40], patch=40, points=2, n_shown=1, batch=2
    )
    alone = patterns.run(options, network, *stores, tmp_path, seed=0)
    assert alone.numbers == patterns.run(options, network, *stores, tmp_path, 0, workers).numbers


def test_strongest_activations(network, wrap, stores, workers, monkeypatch):
    monkeypatch.setattr(strongest, "CHUNK", 2)
    rows = np.arange(len(stores[0]))
    other = build("zfnet", 3, 32, width=0.125)
    other.initialize("he", 2)
    networks = [network, wrap(other)]
    alone = strongest.find_strongest(networks, stores[0], rows, 3, 4)
    together = strongest.find_strongest(networks, stores[0], rows, 3, 4, workers)
    for expected, given in zip(alone, together, strict=True):
        for layer, best in expected.items():
            assert all(torch.equal(value, vars(given[layer])[key]) for key, value in vars(best).items())


@pytest.mark.cuda
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_each_process_has_a_gpu(network, stores, tmp_path):
    options = OcclusionOptions(n_images=1, n_score=4, square=12, stride=10)
    alone = occlusion.run(options, network.to("cuda"), stores[0], tmp_path, seed=0)
    with Workers(2, cuda=True) as several:
        assert alone.numbers == occlusion.run(options, network.to("cuda"), stores[0], tmp_path, 0, several).numbers
