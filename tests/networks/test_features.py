from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch
import torchvision
from torchvision.models.feature_extraction import create_feature_extractor

from zfnet.data.cache.images import Images
from zfnet.networks import features
from zfnet.networks.convnet import build
from zfnet.networks.features import extract
from zfnet.networks.inputs import IMAGENET_MEAN, IMAGENET_STD, Inputs
from zfnet.networks.network import Classes, Network

CROP = 56


@pytest.fixture
def model():
    model = build("zfnet", 4, CROP, 0.05)
    model.initialize("he", 0)
    return model


@pytest.fixture
def store(make_store):
    return make_store(2, 5, size=64)


@pytest.fixture
def network(model, store, wrap):
    return wrap(model, store)


def test_centre_features_are_the_layers_outputs_without_dropout(network, model, store, tmp_path):
    names = [model.layer(n) for n in (1, 5, 7)]
    found = extract(network, store, names, "center", tmp_path, batch=4)
    with torch.inference_mode():
        for name in names:
            expected = model.upto(network.inputs.center(store.frames(range(10))), name).flatten(1)
            np.testing.assert_allclose(found[name], expected, rtol=1e-4, atol=1e-5)
            assert found[name].dtype == np.float32


def test_features_are_bit_for_bit_what_the_modules_put_out_one_after_another(network, model, store, tmp_path):
    """As they were before networks were tapped by hooks, so that what is on disk stays true."""
    names = [model.layer(n) for n in model.numbers]
    found = extract(network, store, names, "center", tmp_path, batch=4)
    expected = {name: np.zeros_like(values) for name, values in found.items()}
    with torch.inference_mode():
        for rows in ([0], range(4), range(4, 8), range(8, 10)):
            x = network.inputs.center(store.frames(rows))
            for name, module in model.named_children():
                x = module(x)
                if name in expected:
                    expected[name][rows] = x.flatten(1)
    for name in names:
        np.testing.assert_array_equal(found[name], expected[name])


def test_ten_crop_features_are_means_over_the_crops(network, model, store, tmp_path):
    found = extract(network, store, ["pool5"], "ten", tmp_path, batch=3)["pool5"]
    with torch.inference_mode():
        crops = network.inputs.ten_crops(store.frames(range(10)))
        expected = [model.upto(views, "pool5").flatten(1).mean(0).numpy() for views in crops]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def count_rows(monkeypatch, limit: int = 10**6) -> list[int]:
    """Rows whose frames are read from here on; fails after `limit` of them."""
    rows: list[int] = []
    original = Images.frames

    def frames(self: Images, part: np.ndarray) -> np.ndarray:
        if len(rows) >= limit:
            raise KeyboardInterrupt
        rows.extend(part.tolist())
        return original(self, part)

    monkeypatch.setattr(Images, "frames", frames)
    return rows


def test_features_on_disk_are_not_computed_again(network, store, tmp_path, monkeypatch):
    first = extract(network, store, ["pool5"], "center", tmp_path)["pool5"]
    rows = count_rows(monkeypatch)
    again = extract(network, store, ["pool5"], "center", tmp_path)["pool5"]
    assert rows == [] and np.array_equal(first, again)


def test_other_weights_make_other_features(network, model, store, tmp_path):
    first = np.array(extract(network, store, ["pool5"], "center", tmp_path)["pool5"])
    model.initialize("he", 1)
    assert not np.array_equal(first, extract(network, store, ["pool5"], "center", tmp_path)["pool5"])


def test_an_interrupted_run_goes_on_at_its_last_shard(network, store, tmp_path, monkeypatch):
    whole = np.array(extract(network, store, ["pool5"], "center", tmp_path / "whole", batch=2)["pool5"])
    monkeypatch.setattr(features, "SHARD", 4)
    with monkeypatch.context() as patch:
        count_rows(patch, limit=7)  # one for the widths, then the first shard and half of the second
        with pytest.raises(KeyboardInterrupt):
            extract(network, store, ["pool5"], "center", tmp_path / "parts", batch=2)
    rows = count_rows(monkeypatch)
    parts = extract(network, store, ["pool5"], "center", tmp_path / "parts", batch=2)["pool5"]
    assert rows == list(range(4, 10))
    np.testing.assert_array_equal(parts, whole)


def damage(data: bytes, random: np.random.Generator, kind: str) -> bytes:
    if kind == "cut":
        return data[: random.integers(len(data))]
    changed = bytearray(data)
    changed[random.integers(len(data))] ^= 1 << int(random.integers(8))
    return bytes(changed)


@pytest.mark.parametrize("kind", ["bit", "cut"])
@pytest.mark.parametrize("name", ["pool5.npy", "norm2.npy", "features.jsonl"])
def test_damage_is_named_and_what_is_lost_computed_again(network, store, tmp_path, monkeypatch, capsys, name, kind):
    monkeypatch.setattr(features, "SHARD", 4)
    modules = ["norm2", "pool5"]
    whole = {module: np.array(x) for module, x in extract(network, store, modules, "center", tmp_path, 2).items()}
    file, random = tmp_path / name, np.random.default_rng(0)
    good = file.read_bytes()
    rows = count_rows(monkeypatch)
    for _ in range(12):
        file.write_bytes(damage(good, random, kind))
        features.report_damage.cache_clear()
        again = extract(network, store, modules, "center", tmp_path, 2)
        for module in modules:
            np.testing.assert_array_equal(again[module], whole[module])
        is_quiet = capsys.readouterr().err.count(str(file)) == 0
        assert not (is_quiet and rows)  # a changed header of an .npy file is not read and costs nothing
        assert len(rows) <= (11 if kind == "cut" else 5)
        rows.clear()
    if name != "features.jsonl":
        extract(network, store, modules, "center", tmp_path, 2)
        assert file.read_bytes() == good


def test_an_unknown_module_is_named(network, store, tmp_path):
    with pytest.raises(ValueError, match="pool9"):
        extract(network, store, ["pool9"], "center", tmp_path)


def test_modules_after_the_last_one_asked_for_do_not_run_and_hooks_do_not_stay(network, model, store, tmp_path):
    model.fc6.register_forward_hook(lambda *_: pytest.fail("nobody asked for layer 6"))
    extract(network, store, ["norm1", "pool5"], "center", tmp_path)
    assert not model.pool5._forward_hooks and not model.norm1._forward_hooks


def test_other_preprocessing_makes_other_features(network, store, tmp_path):
    first = np.array(extract(network, store, ["pool5"], "center", tmp_path)["pool5"])
    other = replace(network, inputs=Inputs.of_mean_image(network.inputs.mean, 2 * network.inputs.std[0]))
    assert not np.array_equal(first, extract(other, store, ["pool5"], "center", tmp_path)["pool5"])


@pytest.fixture
def imagenet_network():
    """imagenet_network(name) -> a network of torchvision with random weights."""

    def make(name: str) -> Network:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            module = getattr(torchvision.models, name)(weights=None).eval()
        names = tuple(f"c{k}" for k in range(1000))
        inputs = Inputs.of_colors(256, 224, IMAGENET_MEAN, IMAGENET_STD)
        return Network(module, inputs, Classes(names, names), {}, {}, name, name)

    return make


@pytest.fixture
def frames(make_store):
    """Two frames as networks of torchvision take them."""
    return make_store(2, 1, size=256)


def standardized(pixels: np.ndarray) -> torch.Tensor:
    """(b, h, w, 3) uint8 -> inputs as torchvision makes them."""
    values = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255
    mean, std = [torch.tensor(color).view(3, 1, 1) for color in (IMAGENET_MEAN, IMAGENET_STD)]
    return (values - mean) / std


@pytest.mark.parametrize(
    ("name", "modules"),
    [
        ("alexnet", ["features.2", "classifier.5"]),
        ("squeezenet1_1", ["features.5", "features.12"]),
        ("resnet18", ["maxpool", "avgpool"]),
    ],
)
def test_features_of_torchvisions_networks_are_those_of_its_own_extractor(
    name, modules, imagenet_network, frames, tmp_path
):
    network = imagenet_network(name)
    found = extract(network, frames, modules, "center", tmp_path, batch=1)
    pixels = np.asarray(frames.pixels)[:, 16:240, 16:240]
    with torch.inference_mode():
        expected = create_feature_extractor(network.module, modules)(standardized(pixels))
    for module in modules:
        assert np.ptp(found[module]) > 0
        peer = expected[module].flatten(1).numpy()
        np.testing.assert_allclose(found[module], peer, rtol=1e-4, atol=1e-5 * np.abs(peer).max())


def test_a_relu_that_works_in_place_does_not_change_what_was_read_before_it(imagenet_network, frames, tmp_path):
    network = imagenet_network("alexnet")
    found = extract(network, frames, ["features.6", "features.7"], "ten", tmp_path)
    assert network.module.features[7].inplace
    before, after = found.values()
    with torch.inference_mode():
        maps = network.module.features[:7](network.inputs.ten_crops(frames.frames([1]))[0]).clone()
        expected = [x.flatten(1).mean(0).numpy() for x in (maps, maps.relu())]
    assert before.min() < 0 <= after.min()
    for values, means in zip((before, after), expected, strict=True):
        np.testing.assert_allclose(values[1], means, rtol=1e-4, atol=1e-5)


def test_memory_does_not_grow_with_the_number_of_images(model, make_store, wrap, tmp_path, monkeypatch):
    monkeypatch.setattr(features, "SHARD", 8)
    peaks = []
    for per_class in (8, 40):
        images = make_store(2, per_class, size=64)
        network = wrap(model, images)
        tracemalloc.start()
        extract(network, images, [model.layer(1)], "center", tmp_path / str(per_class), batch=4)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]
