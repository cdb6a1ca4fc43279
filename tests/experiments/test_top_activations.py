"""Figure 2: the streaming search against brute force, shards against the whole, the stage on a tiny set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from zfnet.attribution.engine import Target, project
from zfnet.attribution.fields import receptive_field
from zfnet.attribution.strongest import Strongest, choose_maps, merge, strongest, update
from zfnet.attribution.units import in_place, patches, project_units
from zfnet.attribution.window import cut
from zfnet.data.cache.images import Images
from zfnet.data.index import Index
from zfnet.experiments import strongest as chunked
from zfnet.experiments.top_activations.compute import purity, run
from zfnet.experiments.top_activations.options import TopActivationsOptions
from zfnet.networks.convnet import ConvNet, build
from zfnet.networks.network import Network
from zfnet.networks.predict import center_batches


def make_images(n: int = 37, size: int = 64) -> Images:
    rng = np.random.default_rng(0)
    pixels = np.kron(rng.integers(0, 256, (n, 16, 16, 3)), np.ones((1, size // 16, size // 16, 1))).astype(np.uint8)
    boxes = tuple(np.array([[8, 8, 39, 47]]) for _ in range(n))
    names = ("ape", "bee", "cat")
    index = Index(Path("nowhere"), np.array([f"{i}.png" for i in range(n)]), np.arange(n) % 3, names, names, boxes)
    return Images(index, pixels, np.full((n, 2), size), pixels.mean(0).astype(np.float32))


@pytest.fixture
def images() -> Images:
    return make_images()


@pytest.fixture
def module() -> ConvNet:
    model = build("zfnet", 3, 56, 0.125).eval()
    model.initialize("he", 0)
    return model


@pytest.fixture
def network(module: ConvNet, images: Images, wrap: Callable[..., Network]) -> Network:
    return wrap(module, images)


def search(network: Network, images: Images, layer: str, top: int, batch: int = 64) -> Strongest:
    rows = np.arange(len(images))
    return strongest(network.module, center_batches(network, images, rows, batch), rows, [layer], top)[layer]


def brute_force(network: Network, images: Images, layer: str, top: int):
    """Every activation of every image at once, then sorted by value and row in plain Python."""
    with torch.inference_mode():
        activations = network.module.upto(network.center(images.pixels), layer)
    side = activations.shape[3]
    rows, places = [], []
    for c in range(activations.shape[1]):
        peaks = [(-float(a[c].max()), row, int(a[c].argmax())) for row, a in enumerate(activations)]
        best = sorted(peaks)[:top]
        rows.append([row for _, row, _ in best])
        places.append([divmod(at, side) for _, _, at in best])
    return np.array(rows), np.array(places)


@pytest.mark.parametrize("layer", ["relu1", "relu3", "relu5"])
@pytest.mark.parametrize("batch", [5, 16, 100])
def test_streaming_equals_brute_force(network, images, layer, batch):
    best = search(network, images, layer, 9, batch)
    rows, places = brute_force(network, images, layer, 9)
    values = best.values.numpy()
    clear = np.ones_like(rows, dtype=bool)  # batches of another size round differently: near ties may swap
    clear[:, 1:] &= np.abs(np.diff(values)) > 1e-5
    clear[:, :-1] &= np.abs(np.diff(values)) > 1e-5
    clear |= values == 0
    assert clear.mean() > 0.9
    np.testing.assert_array_equal(best.rows.numpy()[clear], rows[clear])
    np.testing.assert_array_equal(best.places.numpy()[clear], places[clear])


def streamed(activations: torch.Tensor, rows: torch.Tensor, batch: int, top: int = 4) -> Strongest:
    best = None
    for start in range(0, len(rows), batch):
        best = update(best, activations[rows[start : start + batch]], rows[start : start + batch], top)
    return best


def equal(a: Strongest, b: Strongest) -> bool:
    return all(torch.equal(getattr(a, key), getattr(b, key)) for key in ("values", "rows", "places"))


def test_the_size_of_batches_does_not_matter_with_ties():
    generator = torch.Generator().manual_seed(2)
    activations = torch.randint(0, 4, (24, 5, 3, 3), generator=generator).float()  # many equal values
    everything = torch.arange(24)
    whole = streamed(activations, everything, 24)
    assert equal(streamed(activations, everything, 5), whole)


def test_equal_places_are_taken_in_scan_order_and_few_images_leave_gaps():
    best = update(None, torch.ones(2, 1, 3, 3), torch.tensor([7, 8]), 3)
    assert best.rows.tolist() == [[7, 8, -1]]
    assert best.places.tolist()[0][:2] == [[0, 0], [0, 0]]
    assert best.values[0, 2] == float("-inf")


def test_the_patch_is_what_the_unit_sees(network, images):
    best = search(network, images, "relu2", 1)
    rows, places = best.rows[:6, 0].numpy(), best.places[:6, 0].numpy()
    field, crop = receptive_field(network.module, "relu2", 56), network.inputs.crop
    pixels = network.inputs.center_pixels(images.frames(rows))
    starts = field.start(torch.as_tensor(places)).tolist()
    for patch, picture, start in zip(patches(pixels, field, places), pixels, starts, strict=True):
        for y in range(0, field.size, 5):
            for x in range(0, field.size, 5):
                at = (start[0] + y, start[1] + x)
                inside = all(0 <= p < crop for p in at)
                expected = picture[at] if inside else (128, 128, 128)
                assert tuple(patch[y, x]) == tuple(expected)


@pytest.mark.parametrize("batch", [1, 2])
def test_projections_come_from_the_units_own_activation(network, images, batch):
    units, rows, places = np.array([3, 0]), np.array([5, 11]), np.array([[2, 2], [6, 0]])
    batches = center_batches(network, images, rows, batch)
    ours = project_units(network.module, batches, "relu3", units, places)
    x = network.center(images.frames(rows))
    whole = project(network.module, x, Target(torch.tensor(units), torch.tensor(places)), "relu3")
    np.testing.assert_allclose(np.abs(ours).sum((1, 2, 3)), whole.abs().sum((1, 2, 3)).numpy(), rtol=1e-4)


def test_fields_larger_than_the_image_are_shown_in_place(network, images):
    places, crop = np.array([[0, 0], [6, 3]]), network.inputs.crop
    pixels, field = network.inputs.center_pixels(images.frames([0, 1])), receptive_field(network.module, "relu5", 56)
    tiles = in_place(patches(pixels, field, places), field, places, crop)
    assert tiles.shape == (2, 56, 56, 3)
    np.testing.assert_array_equal(tiles[0, :48, :48], pixels[0, :48, :48])  # field: -35 .. 47
    assert (tiles[0, 48:] == 128).all()


def branching(images: Images, wrap: Callable[..., Network]) -> Network:
    from torchvision.models import resnet18

    torch.manual_seed(0)
    maps = {1: "relu", 2: "layer1", 3: "layer2"}
    return replace(wrap(resnet18(num_classes=3), images), layers=maps, feature_maps=maps)


def test_a_unit_of_a_branching_network_is_shown_with_all_that_it_sees(images, wrap):
    network = branching(images, wrap)
    units, places, rows = np.array([5, 8, 1]), np.array([[0, 3], [6, 6], [2, 2]]), np.array([4, 0, 4])
    x, field = network.center(images.frames(rows)), receptive_field(network.module, "layer2", 56)
    at = torch.tensor(places)
    whole = cut(project(network.module, x, Target(torch.tensor(units), at), "layer2"), field, at)
    ours = project_units(network.module, x.split(2), "layer2", units, places)
    np.testing.assert_allclose(ours, whole.permute(0, 2, 3, 1).numpy(), rtol=1e-4, atol=1e-6 * float(whole.abs().max()))
    pixels = network.inputs.center_pixels(images.frames(rows))
    shown = in_place(patches(pixels, field, places), field, places, 56)
    assert shown.shape == (3, 56, 56, 3) and (shown[1, -1, -1] == pixels[1, -1, -1]).all()


def test_layers_nested_in_a_sequence_have_the_field_of_the_list(module):
    nested = torch.nn.Sequential(torch.nn.Sequential(*list(module)[:4]), module.conv2)
    assert receptive_field(nested, "1", 56) == receptive_field(module, "conv2", 56)


def test_the_stage_treats_a_branching_network(images, wrap, tmp_path):
    outcome = run(TopActivationsOptions(n_maps=[2], top=2, atlas_maps=3), branching(images, wrap), images, tmp_path, 0)
    assert set(outcome.figures) == {"layer1.png", "layer2.png", "layer3.png"}
    assert [layer["field"] for layer in outcome.numbers["layers"].values()] == [7, 43, 99]


def test_a_layer_without_maps_is_refused(network, images):
    with pytest.raises(ValueError, match="fc6: its output has shape"):
        search(network, images, "fc6", 1)


def test_purity_counts_the_most_frequent_class():
    labels = np.array([0, 0, 0, 1, 2, 1])
    rows = torch.tensor([[0, 1, 2], [0, 3, 4], [0, 1, 3]])
    best = Strongest(torch.tensor([[3.0, 2, 1], [3, 2, 1], [3, 2, 0]]), rows, torch.zeros(3, 3, 2, dtype=torch.int64))
    numbers = purity(best, labels, 0)
    assert numbers["purity"]["value"] == pytest.approx((1 + 1 / 3) / 2)  # the third map fires on two images only
    assert 1 / 3 < numbers["chance"] < 1 and numbers["n_dead"] == 0


def test_images_of_one_class_have_no_purity():
    best = Strongest(torch.ones(2, 3), torch.zeros(2, 3, dtype=torch.int64), torch.zeros(2, 3, 2, dtype=torch.int64))
    assert purity(best, np.zeros(4, np.int64), 0) == {"n_maps": 2, "n_dead": 0}


def test_only_maps_that_fire_in_all_their_images_are_shown():
    values = torch.tensor([[1.0, 0.5], [3.0, 0.0], [2.0, 1.0], [0.0, 0.0]])
    best = Strongest(values, torch.zeros(4, 2, dtype=torch.int64), torch.zeros(4, 2, 2, dtype=torch.int64))
    assert choose_maps(best, 9, np.random.default_rng(0)).tolist() == [0, 2]


def test_the_stage_writes_a_picture_a_layer_and_all_maps(network, images, tmp_path):
    options = TopActivationsOptions(n_maps=[2, 2, 2, 2, 2], batch=16)
    outcome = run(options, network, images, tmp_path, 0)
    assert set(outcome.figures) == {f"layer{n}.png" for n in range(1, 6)}
    assert all((tmp_path / name).stat().st_size > 1000 for name in outcome.figures)
    saved = np.load(tmp_path / "top9.npz")
    assert saved["relu5.rows"].shape == (32, 9) and saved["relu5.places"].shape == (32, 9, 2)
    assert run(options, network, images, tmp_path, 0).numbers == outcome.numbers


def test_fewer_images_than_the_top_are_all_shown(network, tmp_path):
    outcome = run(TopActivationsOptions(n_maps=[2] * 5, batch=3), network, make_images(4), tmp_path, 0)
    assert outcome.numbers["top"] == 4
    assert len(outcome.figures) == 5


def test_a_dead_layer_has_numbers_and_no_figure(module, network, tmp_path):
    torch.nn.init.constant_(module.conv3.bias, -1e6)
    outcome = run(TopActivationsOptions(n_maps=[2], batch=16), network, make_images(12), tmp_path, 0)
    assert "layer2.png" in outcome.figures and "layer3.png" not in outcome.figures
    layer = outcome.numbers["layers"]["3"]
    assert layer["n_dead"] == module.conv3.out_channels


@pytest.mark.parametrize("first", [1, 3, 9])
def test_parts_of_the_images_merge_into_one_pass_ties_included(first: int) -> None:
    maps = torch.randint(0, 4, (12, 5, 2, 3), generator=torch.Generator().manual_seed(first)).float()
    rows = torch.arange(12) * 2
    whole = update(None, maps, rows, 4)
    merged = merge(update(None, maps[:first], rows[:first], 4), update(None, maps[first:], rows[first:], 4))
    for key, value in vars(whole).items():
        assert torch.equal(value, vars(merged)[key])


def test_a_search_in_chunks_is_one_pass(network: Network, images: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunked, "CHUNK", 2)
    (by_layer,) = chunked.find_strongest([network], images, np.arange(len(images)), 3, 4)
    whole = search(network, images, "relu5", 3, batch=4)
    assert all(torch.equal(value, vars(by_layer["relu5"])[key]) for key, value in vars(whole).items())
