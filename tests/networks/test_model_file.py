"""A trained network on disk."""

import struct

import numpy as np
import pytest
import torch

from zfnet.core.errors import UserError
from zfnet.networks.checkpoint import (
    DamagedFile,
    load_tensors,
    load_trained,
    save_network,
    save_tensors,
    trained_network,
)
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
    with pytest.raises(UserError, match=r"part\.pt: not a complete zfnet checkpoint \(.*fc7\.bias.*delete it"):
        load_trained(tmp_path / "part.pt")
    (tmp_path / "cut.pt").write_bytes((tmp_path / "model.pt").read_bytes()[:5000])
    with pytest.raises(UserError, match=r"cut\.pt: not a complete zfnet checkpoint.*delete it"):
        load_trained(tmp_path / "cut.pt")


def test_weights_of_others_are_not_taken_for_a_damaged_network(network, tmp_path):
    torch.save(network.module.state_dict(), tmp_path / "weights.pt")
    with pytest.raises(UserError, match=r"weights\.pt: not a network of zfnet; .*network\.weights="):
        load_trained(tmp_path / "weights.pt")


@pytest.fixture
def model_file(tmp_path):
    module = build("zfnet", 3, 32, width=0.05)
    module.initialize("he", 0)
    inputs = Inputs.of_mean_image(np.zeros((36, 36, 3), np.float32), 64.0)
    network = trained_network(module, inputs, Classes(("a", "b", "c"), ("a", "b", "c")))
    save_network(tmp_path / "model.pt", network, "zfnet", 0.05)
    return tmp_path / "model.pt"


def test_equal_networks_are_equal_files_whatever_their_names(model_file, tmp_path):
    save_network(tmp_path / "elsewhere" / "a.pt", load_trained(model_file), "zfnet", 0.05)
    assert (tmp_path / "elsewhere" / "a.pt").read_bytes() == model_file.read_bytes()


def test_other_programs_read_the_file(model_file):
    assert torch.load(model_file, weights_only=True)["network"]["name"] == "zfnet"


@pytest.mark.parametrize("from_end", [0, 6000])
def test_a_flipped_bit_or_a_cut_is_refused_by_name(model_file, from_end):
    good, random = model_file.read_bytes(), np.random.default_rng(0)
    for i in range(60):  # in the weights, and in the archive's directory behind them
        data = bytearray(good)
        place = int(random.integers(len(good) - from_end if from_end else 0, len(good)))
        if i % 3:
            data[place] ^= 1 << int(random.integers(8))
        else:
            del data[place:]
        model_file.write_bytes(data)
        with pytest.raises(UserError, match=r"model\.pt: not a complete zfnet checkpoint \(.+\); delete it"):
            load_trained(model_file)


def test_a_file_that_torch_wrote_is_checked_by_the_checksums_of_its_members(model_file, tmp_path):
    values = {"a": torch.arange(100.0)}
    torch.save(values, tmp_path / "plain.pt")
    assert torch.equal(load_tensors(tmp_path / "plain.pt")["a"], values["a"])
    data = bytearray((tmp_path / "plain.pt").read_bytes())
    data[data.index(struct.pack("<2f", 50, 51)) + 1] ^= 0x10
    (tmp_path / "plain.pt").write_bytes(data)
    with pytest.raises(DamagedFile, match="not as it was written"):
        load_tensors(tmp_path / "plain.pt")


def test_a_file_of_something_else_is_refused(tmp_path):
    save_tensors(tmp_path / "other.pt", {"a": torch.zeros(1)})
    torch.save([1, 2], tmp_path / "list.pt")
    (tmp_path / "empty.pt").write_bytes(b"")
    with pytest.raises(UserError, match="other.pt: not a network of zfnet"):
        load_trained(tmp_path / "other.pt")
    for name in ("list.pt", "empty.pt"):
        with pytest.raises(UserError, match=f"{name}: not a complete zfnet checkpoint"):
            load_trained(tmp_path / name)
