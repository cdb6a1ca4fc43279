"""A trained network on disk."""

import numpy as np
import pytest
import torch

from zfnet.core.errors import UserError
from zfnet.networks.checkpoint import load_trained, save_network, trained_network
from zfnet.networks.convnet import build
from zfnet.networks.inputs import Inputs
from zfnet.networks.network import Classes


@pytest.fixture
def network():
    mean = np.random.default_rng(0).uniform(0, 255, (64, 64, 3)).astype(np.float32)
    classes = Classes(("n1", "n2", "n3", "n4"), ("cat", "dog", "café", "a, b"))
    return trained_network(build("zfnet", 4, 56, width=0.25), Inputs.of_mean_image(mean, 64.0), classes)


def test_a_saved_network_comes_back_bit_for_bit_and_in_evaluation_mode(network, tmp_path):
    save_network(tmp_path / "model.pt", network, "zfnet", 0.25)
    back = load_trained(tmp_path / "model.pt")
    assert not back.module.training
    weights, loaded = network.module.state_dict(), back.module.state_dict()
    assert list(weights) == list(loaded) and all(torch.equal(weights[name], loaded[name]) for name in weights)
    assert [path.name for path in tmp_path.iterdir()] == ["model.pt"]  # no temporary file is left


def test_inputs_classes_and_layers_are_saved_with_the_weights(network, tmp_path):
    save_network(tmp_path / "model.pt", network, "zfnet", 0.25)
    back = load_trained(tmp_path / "model.pt")
    assert (back.inputs.frame, back.inputs.crop) == (64, 56)
    np.testing.assert_array_equal(back.inputs.mean, network.inputs.mean)
    np.testing.assert_array_equal(back.inputs.std, [64, 64, 64])
    assert back.classes == network.classes and back.layers == network.layers
    assert back.feature_maps == {number: f"relu{number}" for number in range(1, 6)}
    assert back.fingerprint() == network.fingerprint()
    assert back.title == "zfnet, 4 classes" and back.source == "trained"


def test_a_missing_or_damaged_file_is_named(network, tmp_path):
    with pytest.raises(UserError, match=r"none\.pt: no such checkpoint; run stage=train first"):
        load_trained(tmp_path / "none.pt")
    (tmp_path / "bad.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(UserError, match=r"bad\.pt.*delete it"):
        load_trained(tmp_path / "bad.pt")
    save_network(tmp_path / "model.pt", network, "zfnet", 0.25)
    content = torch.load(tmp_path / "model.pt", weights_only=True)
    del content["weights"]["fc7.bias"]
    torch.save(content, tmp_path / "part.pt")
    with pytest.raises(UserError, match=r"part\.pt: not a whole zfnet checkpoint \(.*fc7\.bias.*delete it"):
        load_trained(tmp_path / "part.pt")
    (tmp_path / "cut.pt").write_bytes((tmp_path / "model.pt").read_bytes()[:5000])
    with pytest.raises(UserError, match=r"cut\.pt: not a whole zfnet checkpoint.*delete it"):
        load_trained(tmp_path / "cut.pt")


def test_weights_of_others_are_not_taken_for_a_damaged_network(network, tmp_path):
    torch.save(network.module.state_dict(), tmp_path / "weights.pt")
    with pytest.raises(UserError, match=r"weights\.pt: no network of zfnet; .*network\.weights="):
        load_trained(tmp_path / "weights.pt")
