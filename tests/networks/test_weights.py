"""Checkpoints as people have them, in a network of torchvision."""

from __future__ import annotations

import argparse
import importlib.util
import re
from collections.abc import Mapping

import pytest
import torch
from torch import nn
from torchvision import models

from zfnet.core.errors import UserError
from zfnet.networks.load import describe, load_network
from zfnet.networks.weights import fit_names

NAME, CLASSES = "squeezenet1_1", 7


@pytest.fixture(scope="module")
def saved() -> nn.Module:
    torch.manual_seed(3)
    return models.squeezenet1_1(weights=None, num_classes=CLASSES).eval()


def assert_same(module: nn.Module, saved: nn.Module) -> None:
    values = saved.state_dict()
    assert list(module.state_dict()) == list(values)
    for key, value in module.state_dict().items():
        assert value.dtype == values[key].dtype and torch.equal(value, values[key])


def prefixed(state: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {prefix + key: value for key, value in state.items()}


@pytest.mark.parametrize("nested", ["", "state_dict", "model", "model_state_dict", "net"])
@pytest.mark.parametrize("prefix", ["", "module.", "model.", "_orig_mod.", "module._orig_mod.model."])
def test_a_state_dict_loads_wherever_it_lies_in_the_file(saved, nested, prefix, tmp_path):
    state = prefixed(saved.state_dict(), prefix)
    torch.save({nested: state, "epoch": 3, "args": argparse.Namespace(lr=0.1)} if nested else state, tmp_path / "w.pth")
    network = load_network(NAME, str(tmp_path / "w.pth"))
    assert_same(network.module, saved)
    assert not network.module.training and all(value.requires_grad for value in network.module.parameters())


def test_parts_that_were_parallel_or_compiled_load(saved, tmp_path):
    """As pytorch/examples trains alexnet and vgg: DataParallel around `features` alone."""
    for wrapper in ("module", "_orig_mod", "module._orig_mod"):
        state = {key.replace("features.", f"features.{wrapper}."): v for key, v in saved.state_dict().items()}
        assert state.keys() != saved.state_dict().keys()
        torch.save({"state_dict": state, "arch": NAME}, tmp_path / "w.pth")
        assert_same(load_network(NAME, str(tmp_path / "w.pth")).module, saved)


def test_another_number_of_classes_is_that_of_the_last_layer_with_plain_names(saved, tmp_path):
    torch.save(saved.state_dict(), tmp_path / "w.pth")
    network = load_network(NAME, str(tmp_path / "w.pth"))
    assert network.classes.names == tuple(f"class {k}" for k in range(CLASSES)) == network.classes.ids
    assert network.title == f"{NAME}, weights of w.pth"
    x = torch.randn(2, 3, 224, 224)
    torch.testing.assert_close(network.scores(x), saved(x))
    (tmp_path / "names.txt").write_text("n1 a bird\nn2\nn3 b\nn4 c\nn5 d\nn6 e\n\nn7 f\n")
    named = load_network(NAME, str(tmp_path / "w.pth"), classes=str(tmp_path / "names.txt"))
    assert named.classes.ids[:2] == ("n1", "n2") and named.classes.names[:2] == ("a bird", "n2")
    (tmp_path / "names.txt").write_text("n1\nn2\n")
    with pytest.raises(UserError, match=r"network\.classes: .*names\.txt has 2 lines, the network 7 outputs"):
        load_network(NAME, str(tmp_path / "w.pth"), classes=str(tmp_path / "names.txt"))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floats_become_float32(saved, dtype, tmp_path):
    torch.save({key: value.to(dtype) for key, value in saved.state_dict().items()}, tmp_path / "w.pth")
    module = load_network(NAME, str(tmp_path / "w.pth")).module
    for key, value in module.state_dict().items():
        assert value.dtype == torch.float32 and torch.equal(value, saved.state_dict()[key].to(dtype).float())


def test_safetensors_load(saved, tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    safetensors.save_file(dict(saved.state_dict()), tmp_path / "w.safetensors")
    assert_same(load_network(NAME, str(tmp_path / "w.safetensors")).module, saved)


def test_integer_counters_stay_and_are_made_where_an_old_file_has_none(tmp_path):
    torch.manual_seed(0)
    saved = models.shufflenet_v2_x0_5(weights=None, num_classes=3).eval()
    state = {key: value for key, value in saved.state_dict().items() if not key.endswith("num_batches_tracked")}
    torch.save(state, tmp_path / "w.pth")
    assert_same(load_network("shufflenet_v2_x0_5", str(tmp_path / "w.pth")).module, saved)


def test_a_network_that_asks_for_versions_loads_under_a_prefix(tmp_path):
    torch.manual_seed(0)
    saved = models.mnasnet0_5(weights=None, num_classes=3).eval()
    torch.save(prefixed(saved.state_dict(), "module."), tmp_path / "w.pth")
    assert_same(load_network("mnasnet0_5", str(tmp_path / "w.pth")).module, saved)


def test_googlenets_heads_are_left_out_and_its_inputs_are_made_outside(tmp_path):
    """Oracle: torchvision's own network, which turns ImageNet's colors into its own inside `forward`."""
    torch.manual_seed(0)
    saved = models.googlenet(weights=None, init_weights=False, transform_input=True).eval()
    torch.save(saved.state_dict(), tmp_path / "w.pth")
    network = load_network("googlenet", str(tmp_path / "w.pth"))
    assert not any("aux" in name for name, _ in network.module.named_modules())
    frames = torch.randint(0, 256, (1, 256, 256, 3), dtype=torch.uint8)
    known = models.GoogLeNet_Weights.DEFAULT.transforms()
    expected = known(frames.permute(0, 3, 1, 2))
    inputs = network.center(frames.numpy())
    torch.testing.assert_close(inputs, saved._transform_input(expected), rtol=0, atol=1e-5)
    torch.testing.assert_close(network.scores(inputs), saved(expected), rtol=1e-4, atol=1e-5)


def test_densenets_old_names_are_those_of_its_module():
    with torch.device("meta"):
        expected = models.densenet121(weights=None).state_dict()
    old = {re.sub(r"(denselayer\d+\.(?:norm|conv))([12])\.", r"\1.\2.", key): key for key in expected}
    assert sum(a != b for a, b in old.items()) == 58 * 12  # six tensors and counters of each norm and conv
    values = {name: expected[key] for name, key in old.items()}
    assert fit_names(values, expected) == expected


# ---------------------------------------------------------------- refusals
def refused(weights: str, name: str = NAME) -> str:
    with pytest.raises(UserError) as error:
        load_network(name, weights)
    assert str(error.value).startswith("network.weights: ") and "\n" not in str(error.value)
    return str(error.value)


def test_a_mismatch_lists_three_keys_and_counts_the_others(saved, tmp_path):
    state = dict(saved.state_dict())
    del state["features.0.bias"]
    state["extra.weight"] = torch.zeros(3)
    state["features.0.weight"] = torch.zeros(64, 3, 7, 7)
    torch.save(state, tmp_path / "w.pth")
    assert refused(str(tmp_path / "w.pth")).endswith(
        "(features.0.bias is missing; extra.weight is unexpected; features.0.weight is 64x3x7x7, not 64x3x3x3); "
        "give the network of these weights as network.name"
    )
    other = refused(str(tmp_path / "w.pth"), "mobilenet_v2")
    assert re.search(r"\(features.0.0.weight is missing; .*; .* and \d\d\d more\)", other)
    with pytest.raises(UserError, match="extra.weight is unexpected"):  # without reading or making any weights
        describe(NAME, str(tmp_path / "w.pth"))


def test_a_pickled_module_is_refused_with_the_reason(saved, tmp_path):
    torch.save(saved, tmp_path / "w.pth")
    message = refused(str(tmp_path / "w.pth"))
    assert "a pickled object (torchvision.models.squeezenet.SqueezeNet), which can run code" in message
    assert "torch.save(model.state_dict()" in message


def test_what_is_no_state_dict_or_no_file_is_named(saved, tmp_path):
    torch.save({"epoch": 3}, tmp_path / "w.pth")
    assert "w.pth holds no state dict, alone or under state_dict, model" in refused(str(tmp_path / "w.pth"))
    torch.save(torch.zeros(3), tmp_path / "w.pth")
    assert "w.pth holds no state dict" in refused(str(tmp_path / "w.pth"))
    torch.save(saved.state_dict(), tmp_path / "w.pth")
    (tmp_path / "torn.pth").write_bytes((tmp_path / "w.pth").read_bytes()[:2000])
    (tmp_path / "text.pth").write_text("hello")
    (tmp_path / "text.safetensors").write_text("hello")
    for file in ("torn.pth", "text.pth"):
        assert f"{file} is not a file that" in refused(str(tmp_path / file))
    has_safetensors = importlib.util.find_spec("safetensors") is not None
    reason = "is not a file that" if has_safetensors else "needs the package safetensors"
    assert f"text.safetensors {reason}" in refused(str(tmp_path / "text.safetensors"))
    assert "gone.pth is not a file; give a state dict of squeezenet1_1" in refused("gone.pth")


def test_without_the_internet_it_says_what_to_fetch(monkeypatch):
    def refuse(self, *args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr(models.VGG16_Weights, "get_state_dict", refuse)
    message = refused("", "vgg16")
    assert re.search(
        r"no weights of vgg16 .*fetch https://\S*vgg16\S*\.pth and give it as network.weights=FILE", message
    )
