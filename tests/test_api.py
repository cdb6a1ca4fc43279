"""The public API: its results against the engine, its pictures, and what it says of wrong input."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import zfnet
from zfnet import api
from zfnet.attribution.engine import Target
from zfnet.attribution.engine import project as project_module
from zfnet.core.errors import UserError
from zfnet.experiments.class_model.options import ClassModelOptions
from zfnet.networks.inputs import Inputs
from zfnet.networks.network import Classes, Network


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 8, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(8 * 49, 3),
    )
    inputs = Inputs.of_colors(32, 28, (0.5, 0.4, 0.3), (0.2, 0.25, 0.3))
    classes = Classes(("n01", "n02", "n03"), ("cat", "dog", "car"))
    module.requires_grad_(False)
    return Network(module.eval(), inputs, classes, {1: "2", 2: "5"}, {1: "1", 2: "4"}, "a small network")


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (50, 64, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(1)
    for number in range(6):
        (root / str(number % 2)).mkdir(exist_ok=True)
        pixels = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / str(number % 2) / f"{number}.png")
    return root


def test_importing_zfnet_loads_no_torch_and_names_its_api() -> None:
    code = "import sys, zfnet; assert 'torch' not in sys.modules; print(sorted(zfnet.__all__) == zfnet.__all__)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "True\n"
    assert zfnet.saliency is api.saliency and "explain" in dir(zfnet)
    with pytest.raises(AttributeError, match="no attribute 'salience'"):
        zfnet.salience  # noqa: B018
    public = {name for name, value in vars(api).items() if getattr(value, "__module__", "") == "zfnet.api"}
    assert set(zfnet.__all__) == {name for name in public if name[0] != "_"} - {"Shown"} | {"Network", "load_network"}


def test_a_projection_is_the_engines_at_the_strongest_place(network: Network, photo: np.ndarray) -> None:
    projection = zfnet.project(network, photo, layer=2, unit=3)
    x = network.inputs.prepare(network.inputs.photo_pixels(photo)[None])
    maps = network.module[:5](x)[0, 3]
    place = divmod(int(maps.argmax()), maps.shape[1])
    signal = project_module(network.module, x, Target(3, place), "4")[0].permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(projection.signal, signal)
    assert (projection.layer, projection.unit, projection.place) == ("4", 3, place)
    assert projection.activation == pytest.approx(float(maps.max()), rel=1e-5)
    assert projection.image().size == (56, 28) and projection._repr_png_()[:4] == b"\x89PNG"


def test_without_a_unit_the_strongest_of_the_layer_is_projected(network: Network, photo: np.ndarray) -> None:
    projection = zfnet.project(network, Image.fromarray(photo), layer="4", rule="guided")
    maps = network.module[:5](network.inputs.prepare(network.inputs.photo_pixels(photo)[None]))[0]
    assert projection.unit == int(maps.flatten(1).amax(1).argmax())
    score = zfnet.project(network, photo, layer="7", unit=1, rule="gradient")
    assert score.place is None


def test_saliency_is_the_largest_gradient_over_colors(network: Network, photo: np.ndarray) -> None:
    center = zfnet.saliency(network, photo, "dog", crops="center")
    x = network.inputs.prepare(network.inputs.photo_pixels(photo)[None]).requires_grad_()
    gradient = torch.autograd.grad(network.module(x)[0, 1], x)[0][0].abs().amax(0)
    np.testing.assert_allclose(center.values[2:30, 2:30], gradient.numpy(), rtol=1e-4, atol=1e-7)
    assert not center.values[0].any() and (center.target, center.name) == (1, "dog")
    assert zfnet.saliency(network, photo, "n02").target == 1 and zfnet.saliency(network, photo).values.all()


def test_occlusion_is_a_literal_loop(network: Network, photo: np.ndarray) -> None:
    occlusion = zfnet.occlude(network, photo, 2, square=0.3, places=3)
    x = network.inputs.prepare(network.inputs.photo_pixels(photo)[None])
    for r, top in enumerate(occlusion.tops):
        for c, left in enumerate(occlusion.lefts):
            covered = x.clone()
            covered[..., top : top + occlusion.size, left : left + occlusion.size] = 0
            probability = network.module(covered).double().softmax(1)[0, 2]
            assert occlusion.probability[r, c] == pytest.approx(float(probability), abs=1e-6)
    assert occlusion.clean == pytest.approx(float(network.module(x).double().softmax(1)[0, 2]))


def test_a_class_model_raises_its_score(network: Network) -> None:
    before = float(network.module(torch.zeros(1, 3, 28, 28))[0, 2])
    model = zfnet.class_model(network, "car", options=ClassModelOptions(iterations=10))
    assert model.score > before and model.picture.shape == (28, 28, 3) and model.name == "car"


def test_top_activations_are_those_of_a_literal_search(network: Network, folder: Path) -> None:
    best = zfnet.top_activations(network, folder, layer=1, top=2, batch=4)
    maxima = network.module[:2](network.inputs.prepare(best.crops)).amax((2, 3))  # images, maps
    for unit in range(6):
        assert best.rows[unit].tolist() == maxima[:, unit].argsort(descending=True)[:2].tolist()
    assert len(best.files) == 6 and best.image().size[0] > 100


def test_patterns_serve_the_rules_that_need_them(network: Network, photo: np.ndarray, folder: Path) -> None:
    patterns = zfnet.patterns(network, folder, n_images=5, batch=2)
    assert set(patterns) == {"0", "3", "7"}
    for name, pattern in patterns.items():
        assert pattern.shape == network.module.get_submodule(name).weight.shape
    projection = zfnet.project(network, photo, 2, rule="patternnet", patterns=patterns)
    assert np.isfinite(projection.signal).all()
    explanation = zfnet.explain(network, photo, patterns, name="noise")
    assert "PatternAttribution" in explanation.numbers["methods"] and explanation.image().size[1] > 500


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda n, p: zfnet.project(n, p, 2, rule="deconv"), "rule: 'deconv' is not one of gradient, deconvnet"),
        (lambda n, p: zfnet.project(n, p, 2, rule="patternnet"), "needs patterns; estimate them with zfnet.patterns"),
        (lambda n, p: zfnet.project(n, p, 7), "layer 7: a small network has layers 1, 2"),
        (lambda n, p: zfnet.project(n, p, "conv9"), "has no module 'conv9'; its layers are 2, 5"),
        (lambda n, p: zfnet.project(n, p, 2, unit=8), "unit: 4 has units 0 to 7, not 8"),
        (lambda n, p: zfnet.project(n, p, 2, unit=1, place=(14, 0)), "lies outside the 14 x 14 map"),
        (
            lambda n, p: zfnet.saliency(n, p, "lion"),
            "no class 'lion'; .* an id or a name: cat, dog, car",
        ),
        (lambda n, p: zfnet.saliency(n, p, 3), "no class 3; give a number up to 2"),
        (lambda n, p: zfnet.saliency(n, p, crops="five"), "crops: 'five' is not one of ten, center"),
        (lambda n, p: zfnet.class_model(n, 0, "loss"), "objective: 'loss' is not one of score, posterior"),
        (lambda n, p: zfnet.saliency(n, p[:, :, 0]), "an array .h, w, 3. of uint8 is needed"),
        (lambda n, p: zfnet.top_activations(n, "nowhere", 1), "nowhere is not a folder"),
    ],
)
def test_a_wrong_argument_is_one_sentence_with_what_there_is(network, photo, call, message) -> None:
    with pytest.raises(UserError, match=message):
        call(network, photo)
