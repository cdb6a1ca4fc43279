from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from zfnet.data.cache.images import ImageStore
from zfnet.networks import features
from zfnet.networks.convnet import build
from zfnet.networks.features import extract
from zfnet.networks.pretrained import DIVISOR, FRAME, Numbered, load_pretrained, mean_image, standardise

CROP = 56


@pytest.fixture
def model():
    model = build("zfnet", 4, CROP, 0.05)
    model.initialise("he", 0)
    return model.train()


@pytest.fixture
def store(make_store):
    return make_store(2, 5, size=64)


def test_centre_features_are_the_layers_outputs_without_dropout(model, store, tmp_path):
    names = [model.layer(n) for n in (1, 5, 7)]
    found = extract(model, store, names, "center", tmp_path, batch=4)
    assert model.training  # as it was
    model.eval()
    with torch.inference_mode():
        for name in names:
            expected = model.upto(store.center(range(10)), name).flatten(1)
            np.testing.assert_allclose(found[name], expected, rtol=1e-4, atol=1e-5)
            assert found[name].dtype == np.float32


def test_features_are_bit_for_bit_what_the_modules_put_out_one_after_another(model, store, tmp_path):
    """As they were before networks were tapped by hooks, so that what is on disk stays true."""
    names = [model.layer(n) for n in model.numbers]
    found = extract(model, store, names, "center", tmp_path, batch=4)
    expected = {name: np.zeros_like(values) for name, values in found.items()}
    model.eval()
    with torch.inference_mode():
        for rows in ([0], range(4), range(4, 8), range(8, 10)):
            x = store.center(rows)
            for name, module in model.named_children():
                x = module(x)
                if name in expected:
                    expected[name][rows] = x.flatten(1)
    for name in names:
        np.testing.assert_array_equal(found[name], expected[name])


def test_ten_crop_features_are_means_over_the_crops(model, store, tmp_path):
    found = extract(model, store, ["pool5"], "ten", tmp_path, batch=3)["pool5"]
    model.eval()
    with torch.inference_mode():
        expected = [model.upto(store.ten_crops([row])[0], "pool5").flatten(1).mean(0).numpy() for row in range(10)]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def count_rows(monkeypatch, limit: int = 10**6) -> list[int]:
    """Rows for which inputs are made from now on; fails after `limit` of them."""
    rows: list[int] = []
    original = ImageStore.center

    def center(self: ImageStore, some: np.ndarray) -> torch.Tensor:
        if len(rows) >= limit:
            raise KeyboardInterrupt
        rows.extend(some.tolist())
        return original(self, some)

    monkeypatch.setattr(ImageStore, "center", center)
    return rows


def test_features_on_disk_are_not_computed_again(model, store, tmp_path, monkeypatch):
    first = extract(model, store, ["pool5"], "center", tmp_path)["pool5"]
    rows = count_rows(monkeypatch)
    again = extract(model, store, ["pool5"], "center", tmp_path)["pool5"]
    assert rows == [] and np.array_equal(first, again)


def test_other_weights_make_other_features(model, store, tmp_path):
    first = np.array(extract(model, store, ["pool5"], "center", tmp_path)["pool5"])
    model.initialise("he", 1)
    assert not np.array_equal(first, extract(model, store, ["pool5"], "center", tmp_path)["pool5"])


def test_an_interrupted_run_goes_on_at_its_last_shard(model, store, tmp_path, monkeypatch):
    whole = np.array(extract(model, store, ["pool5"], "center", tmp_path / "whole", batch=2)["pool5"])
    monkeypatch.setattr(features, "SHARD", 4)
    with monkeypatch.context() as patch:
        count_rows(patch, limit=7)  # one for the widths, then the first shard and half of the second
        with pytest.raises(KeyboardInterrupt):
            extract(model, store, ["pool5"], "center", tmp_path / "parts", batch=2)
    rows = count_rows(monkeypatch)
    parts = extract(model, store, ["pool5"], "center", tmp_path / "parts", batch=2)["pool5"]
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
def test_damage_is_named_and_what_is_lost_computed_again(model, store, tmp_path, monkeypatch, capsys, name, kind):
    monkeypatch.setattr(features, "SHARD", 4)
    modules = ["norm2", "pool5"]
    whole = {module: np.array(x) for module, x in extract(model, store, modules, "center", tmp_path, 2).items()}
    file, random = tmp_path / name, np.random.default_rng(0)
    good = file.read_bytes()
    rows = count_rows(monkeypatch)
    for _ in range(12):
        file.write_bytes(damage(good, random, kind))
        features.report_damage.cache_clear()
        again = extract(model, store, modules, "center", tmp_path, 2)
        for module in modules:
            np.testing.assert_array_equal(again[module], whole[module])
        is_quiet = capsys.readouterr().err.count(str(file)) == 0
        assert not (is_quiet and rows)  # a changed header of an .npy file is not read and costs nothing
        assert len(rows) <= (11 if kind == "cut" else 5)
        rows.clear()
    if name != "features.jsonl":
        extract(model, store, modules, "center", tmp_path, 2)
        assert file.read_bytes() == good


def test_an_unknown_module_is_named(model, store, tmp_path):
    with pytest.raises(ValueError, match="pool9"):
        extract(model, store, ["pool9"], "center", tmp_path)


def test_modules_after_the_last_one_asked_for_do_not_run_and_hooks_do_not_stay(model, store, tmp_path):
    model.fc6.register_forward_hook(lambda *_: pytest.fail("nobody asked for layer 6"))
    extract(model, store, ["norm1", "pool5"], "center", tmp_path)
    assert not model.pool5._forward_hooks and not model.norm1._forward_hooks


@pytest.fixture
def frames(make_store):
    """Two frames as networks of torchvision take them."""
    return replace(make_store(2, 1, size=FRAME), mean=mean_image(), divisor=DIVISOR)


@pytest.mark.parametrize(("name", "layers"), [("alexnet", (1, 7)), ("vgg16", (3, 7)), ("resnet18", (1, 6))])
def test_features_of_torchvisions_networks_are_those_of_its_own_extractor(name, layers, frames, tmp_path):
    from torchvision.models.feature_extraction import create_feature_extractor

    network = load_pretrained("transfer", name, "random").model
    model = Numbered(name, network)
    modules = [model.layer(n) for n in layers]
    found = extract(model, frames, modules, "center", tmp_path, batch=1)
    taps = [module.removeprefix("network.") for module in modules]
    with torch.inference_mode():
        expected = create_feature_extractor(network, taps)(standardise(frames.center_pixels([0, 1])))
    for module, tap in zip(modules, taps, strict=True):
        assert np.ptp(found[module]) > 0
        peer = expected[tap].flatten(1).numpy()
        np.testing.assert_allclose(found[module], peer, rtol=1e-4, atol=1e-5 * np.abs(peer).max())


def test_a_relu_that_works_in_place_does_not_change_what_was_tapped_before_it(frames, tmp_path):
    network = load_pretrained("transfer", "alexnet", "random").model
    found = extract(Numbered("alexnet", network), frames, ["network.features.6", "network.features.7"], "ten", tmp_path)
    assert network.features[7].inplace
    before, after = found.values()
    with torch.inference_mode():
        crops = frames.ten_crops([1])[0] / torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
        maps = network.features[:7](crops).clone()
        expected = [x.flatten(1).mean(0).numpy() for x in (maps, maps.relu())]
    assert before.min() < 0 <= after.min()
    for values, one in zip((before, after), expected, strict=True):
        np.testing.assert_allclose(values[1], one, rtol=1e-4, atol=1e-5)
