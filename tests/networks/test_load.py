"""Networks by name: of torchvision, of timm, anybody's module, and ours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torchvision import models

from zfnet.core.errors import UserError
from zfnet.data.cache.images import build_cache
from zfnet.data.index import make_index
from zfnet.data.sources.imagenet import read_imagenet
from zfnet.networks.borrowed import torchvision_inputs, torchvision_names
from zfnet.networks.checkpoint import save_network
from zfnet.networks.convnet import build
from zfnet.networks.load import as_network, check_network, describe, imagenet_classes, load_network
from zfnet.networks.network import unwrap
from zfnet.networks.options import NetworkOptions
from zfnet.networks.predict import predict

OWN = """
import torch
from torch import nn


class Small(nn.Module):
    def __init__(self, classes=4):
        super().__init__()
        torch.manual_seed(1)
        self.features = nn.Sequential(nn.Conv2d(3, 5, 3, stride=4), nn.ReLU(), nn.MaxPool2d(2))
        self.head = nn.Linear(5, classes)

    def forward(self, x):
        return self.head(self.features(x).mean((2, 3)))


def make():
    return nn.DataParallel(Small())


def thousand():
    return Small(1000)


def pair():
    return Pair()


class Pair(Small):
    def forward(self, x):
        return super().forward(x), x


ready, number = Small(), 3
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A module `own_networks` in the current folder."""
    (tmp_path / "own_networks.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "own_networks"
    import sys

    sys.modules.pop("own_networks", None)


def frames(side: int, n: int = 2) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, side, side, 3), dtype=np.uint8)


# ---------------------------------------------------------------- torchvision
@pytest.mark.parametrize("name", ["squeezenet1_1", "resnet18", "efficientnet_b0"])
def test_a_network_with_random_weights_runs_at_its_input_size(name):
    network = load_network(name, "random")
    again = load_network(name, "random")
    pixels = frames(network.inputs.frame, 1)
    scores = network.scores(network.center(pixels))
    assert scores.shape == (1, 1000) and not network.module.training
    torch.testing.assert_close(again.scores(again.center(pixels)), scores)
    assert network.source == name and "random weights: a trial, its answers mean nothing" in network.title
    assert (network.inputs.fingerprint(), network.layers) == (describe(name)[0].fingerprint(), describe(name)[1])


@pytest.mark.parametrize("name", ["alexnet", "resnet50", "efficientnet_b3", "vit_b_16", "efficientnet_v2_l"])
def test_inputs_are_those_of_torchvisions_own_transforms(name):
    inputs = torchvision_inputs(name)
    transforms = models.get_model_weights(name).DEFAULT.transforms()
    pixels = frames(inputs.frame)
    expected = torch.stack([transforms(Image.fromarray(picture)) for picture in pixels])
    torch.testing.assert_close(inputs.center(pixels), expected, rtol=0, atol=1e-5)


def test_every_classifier_of_torchvision_has_inputs():
    assert len(torchvision_names()) >= 80
    for name in torchvision_names():
        inputs = torchvision_inputs(name)
        assert inputs.crop <= inputs.frame


@pytest.mark.parametrize("name", ["shufflenet_v2_x0_5", "mobilenet_v3_small", "regnet_y_400mf", "vit_b_32"])
def test_a_network_that_is_not_in_the_table_is_described_all_the_same(name):
    inputs, layers = describe(name)
    assert inputs.crop == 224 and list(layers) == list(range(1, len(layers) + 1)) and layers


def test_the_preprocessing_can_be_given():
    inputs, _ = describe("squeezenet1_1", frame=128, mean=[0.1, 0.2, 0.3], std=[0.5, 0.5, 0.25])
    assert (inputs.frame, inputs.crop) == (128, 112)
    np.testing.assert_allclose(inputs.mean.reshape(-1), [25.5, 51, 76.5], rtol=1e-6)
    np.testing.assert_allclose(inputs.std, [127.5, 127.5, 63.75], rtol=1e-6)
    assert [describe("squeezenet1_1", crop=112)[0].frame, describe("squeezenet1_1", crop=96, frame=96)[0].frame] == [
        128,
        96,
    ]


# ---------------------------------------------------------------- classes
def test_imagenets_classes_are_in_the_order_of_their_wnids():
    classes = imagenet_classes()
    assert len(classes) == len(set(classes.ids)) == len(classes.names) == 1000 and list(classes.ids) == sorted(
        classes.ids
    )
    known = {
        "n01440764": "tench",
        "n02099601": "golden retriever",
        "n02012849": "crane bird",
        "n15075141": "toilet tissue",
    }
    assert {wnid: classes.names[classes.ids.index(wnid)] for wnid in known} == known


def test_labels_are_matched_by_wnid_and_unknown_ones_are_minus_one():
    rows = [("a", 0), ("b", 1), ("c", 2), ("d", 1)]
    index = make_index(Path("."), rows, ["n15075141", "n00000000", "n01440764"])
    assert imagenet_classes().labels(index).tolist() == [999, -1, 0, -1]


# ---------------------------------------------------------------- anybody's module
def test_anybodys_module_is_made_by_its_function_or_is_there(own):
    network = load_network(f"{own}:make")
    ready = load_network(f"{own}:ready")
    assert type(network.module).__name__ == "Small"  # not DataParallel
    assert (network.inputs.frame, network.inputs.crop, len(network.classes)) == (256, 224, 4)
    assert dict(network.layers) == {1: "features.1"} == dict(network.feature_maps)
    pixels = frames(256)
    expected = ready.module(network.inputs.center(pixels))
    torch.testing.assert_close(network.scores(network.center(pixels)), expected)
    assert load_network(f"{own}:make", crop=32).inputs.frame == 37
    assert load_network(f"{own}:thousand").classes == imagenet_classes()


def test_weights_of_anybodys_module_come_from_a_file(own):
    import own_networks

    saved = own_networks.Small()
    nn.init.normal_(saved.head.weight)
    torch.save({"state_dict": {f"module.{key}": value for key, value in saved.state_dict().items()}}, "w.pth")
    network = load_network(f"{own}:make", "w.pth")
    assert torch.equal(network.module.head.weight, saved.head.weight) and network.title.endswith("weights of w.pth")
    torch.save(own_networks.Small(7).state_dict(), "other.pth")
    with pytest.raises(UserError, match="head.weight is 7x5, not 4x5; head.bias is 7, not 4"):
        load_network(f"{own}:make", "other.pth")


def test_a_module_becomes_a_network_without_a_name(own):
    import own_networks

    network = as_network(nn.DataParallel(own_networks.Small()), crop=64)
    assert type(network.module).__name__ == "Small" == network.title and network.inputs.crop == 64


class Compiled(nn.Module):
    """As torch.compile leaves a module; the real one takes seconds to import."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self._orig_mod = module


def test_wrappers_are_taken_off():
    module = nn.Linear(1, 1)
    assert unwrap(nn.DataParallel(Compiled(nn.DataParallel(module)))) is module is unwrap(module)


# ---------------------------------------------------------------- timm
def test_a_network_of_timm_has_timms_preprocessing(tmp_path):
    timm = pytest.importorskip("timm")
    network = load_network("timm:mobilenetv3_small_050", "random")
    known = timm.data.resolve_model_data_config(network.module)
    assert network.inputs.crop == known["input_size"][1] and network.inputs.frame == int(224 / known["crop_pct"])
    np.testing.assert_allclose(network.inputs.std / 255, known["std"], rtol=1e-6)
    assert network.classes == imagenet_classes() and list(network.layers) == [1, 2, 3, 4, 5]
    torch.manual_seed(5)
    saved = timm.create_model("mobilenetv3_small_050", num_classes=6).eval()
    torch.save(saved.state_dict(), tmp_path / "w.pth")
    loaded = load_network("timm:mobilenetv3_small_050", str(tmp_path / "w.pth"))
    x = torch.randn(1, 3, 224, 224)
    torch.testing.assert_close(loaded.scores(x), saved(x))


def test_without_timm_it_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"network\.name: timm:resnet18 needs the package timm; .*pip install timm"):
        check_network("timm:resnet18")


# ---------------------------------------------------------------- ours
def test_a_network_of_ours_is_a_folder_or_its_file(stores, wrap, tmp_path):
    module = build("zfnet", 3, 32, width=0.1)
    save_network(tmp_path / "model.pt", wrap(module), "zfnet", 0.1)
    for name in (tmp_path, tmp_path / "model.pt"):
        network = load_network(str(name))
        assert torch.equal(network.module.conv1.weight, module.conv1.weight) and network.layers[5] == "pool5"
    inputs, layers = describe(str(tmp_path))
    assert (inputs.frame, inputs.crop, list(layers)) == (36, 32, [1, 2, 3, 4, 5, 6, 7])
    torch.save(module.state_dict(), tmp_path / "other.pt")
    with pytest.raises(UserError, match=r"other\.pt: not a network of zfnet; give .* network\.weights="):
        load_network(str(tmp_path / "other.pt"))


# ---------------------------------------------------------------- what is known to fail
MISTAKES = [
    ({"name": "resnet19"}, r"network\.name: no network 'resnet19'; did you mean .*resnet18"),
    ({"name": "qqq"}, r"network\.name: no network 'qqq'; there is trained, and of torchvision alexnet"),
    ({"name": "outputs/gone/train"}, r"network\.name: no file outputs/gone/train; give the folder"),
    ({"name": "gone_module:make"}, r"network\.name: gone_module:make cannot be imported \(No module named"),
    ({"name": "json:make"}, r"network\.name: json:make cannot be imported \(.*no attribute 'make'"),
    ({"name": "alexnet", "weights": "gone.pth"}, r"network\.weights: gone\.pth is not a file; .* of alexnet"),
    ({"name": "trained", "weights": "random"}, r"network\.weights: is for borrowed networks; trained has its own"),
    ({"name": "json:loads", "weights": "random"}, r"network\.weights: `random` is for torchvision and timm"),
    ({"name": "alexnet", "classes": "gone.txt"}, r"network\.classes: gone\.txt cannot be read"),
    ({"name": "alexnet", "crop": 300, "frame": 256}, r"network\.crop: 300 px do not fit into a frame of 256 px"),
    ({"name": "alexnet", "mean": [123.0, 117.0, 104.0]}, r"network\.mean: .* are not three values in 0\.\.1"),
    ({"name": "alexnet", "mean": [0.5]}, r"network\.mean: \[0\.5\] are not three values"),
    ({"name": "alexnet", "std": [0.5, 0.0, 0.5]}, r"network\.std: 0 divides nothing"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "message"), MISTAKES)
def test_a_mistake_is_known_before_anything_is_built(given, message, monkeypatch):
    monkeypatch.setattr(models, "get_model", lambda *a, **k: pytest.fail("built"))
    with pytest.raises(UserError, match=message) as error:
        check_network(**given)
    assert "\n" not in str(error.value)


def test_what_is_right_passes_with_all_the_options_of_the_configuration():
    for name in ("trained", "alexnet", "vit_b_16"):
        check_network(**vars(NetworkOptions(name)))


def test_an_id_that_stands_twice_in_the_file_of_classes_is_named(tmp_path):
    (tmp_path / "names.txt").write_text("n1\nn2\nn1\n")
    with pytest.raises(UserError, match="has the id 'n1' twice"):
        check_network("alexnet", classes=str(tmp_path / "names.txt"))


def test_a_module_that_is_none_or_gives_something_else_is_named(own):
    with pytest.raises(UserError, match="network.name: own_networks:pair gives tuple for one image, not class scores"):
        load_network(f"{own}:pair")
    with pytest.raises(UserError, match="collections:OrderedDict gives OrderedDict, not a torch.nn.Module"):
        load_network("collections:OrderedDict")
    with pytest.raises(UserError, match=r"not run on inputs of \(1, 3, 4, 4\) \(.*\); its input size is network\.crop"):
        load_network(f"{own}:make", crop=4)
    with pytest.raises(UserError, match="`trained` is known to stages only"):
        load_network("trained")


# ---------------------------------------------------------------- real weights
@pytest.mark.real
def test_squeezenet_with_its_real_weights_classifies_real_photographs(real_data, tmp_path):
    network = load_network("squeezenet1_0", str(real_data / "squeezenet" / "squeezenet1_0-imagenet.pth"))
    _, val = read_imagenet(real_data / "ilsvrc-1000")
    images = build_cache(val.take(range(0, len(val), 5)), tmp_path, network.inputs.frame)
    labels = network.classes.labels(images.index)
    correct = 0
    for rows, probabilities in predict(network, images, np.arange(len(images)), "center"):
        correct += int((probabilities.argmax(1).numpy() == labels[rows]).sum())
    assert correct / len(images) > 0.55  # of all 650: 61.8 %
