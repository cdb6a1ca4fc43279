"""Networks of torchvision: weights from anywhere, inputs as torchvision's own, layers by number."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from zfnet.experiments.explain.network import LAYERS

from zfnet.core.errors import UserError
from zfnet.data.cache.images import ImageStore
from zfnet.data.index import make_index
from zfnet.networks.options import NETWORKS
from zfnet.networks.pretrained import (
    DIVISOR,
    FRAME,
    TAPS,
    Numbered,
    check_weights,
    load_pretrained,
    mean_image,
    standardise,
)


@pytest.fixture
def pictures():
    """Four 256-px frames of noise, black and white among it, as a store for a network of torchvision."""
    pixels = np.random.default_rng(0).integers(0, 256, (4, FRAME, FRAME, 3), dtype=np.uint8)
    index = make_index(Path("."), [(f"{i}.jpg", 0) for i in range(4)], ["c"])
    return ImageStore(index, pixels, np.full((4, 2), FRAME), mean_image(), DIVISOR)


def expected_inputs(pixels):
    """What torchvision's own transforms make of (b, 224, 224, 3) uint8."""
    from torchvision.models import AlexNet_Weights
    from torchvision.transforms import Normalize
    from torchvision.transforms.functional import to_tensor

    known = AlexNet_Weights.DEFAULT.transforms()
    return torch.stack([Normalize(known.mean, known.std)(to_tensor(picture)) for picture in pixels])


def test_inputs_are_standardised_as_torchvisions_own_transform_does(pictures):
    pixels = pictures.center_pixels(range(4))
    torch.testing.assert_close(standardise(pixels), expected_inputs(pixels), rtol=0, atol=1e-6)


def test_a_store_and_the_numbered_network_make_the_same_inputs(pictures):
    seen = []
    probe = nn.Sequential(nn.Conv2d(3, 1, 1))
    probe.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    Numbered("alexnet", probe)(pictures.center(range(4)))
    expected = expected_inputs(pictures.center_pixels(range(4)))
    torch.testing.assert_close(seen[0], expected, rtol=0, atol=1e-6)
    Numbered("alexnet", probe)(pictures.ten_crops([2])[0])
    torch.testing.assert_close(seen[1][[4, 9]], torch.stack([expected[2], expected[2].flip(2)]), rtol=0, atol=1e-6)


def test_every_network_that_can_be_named_has_its_layers():
    assert ("trained", *TAPS) == ("trained", *LAYERS) == NETWORKS


@pytest.mark.parametrize("name", TAPS)
def test_a_layer_is_tapped_at_its_last_module(name):
    """The next module that has weights, or torchvision's pool to a fixed size, follows each tap; the last is hidden."""
    from torchvision.models import get_model

    with torch.device("meta"):
        network = get_model(name)
    model = Numbered(name, network)
    kinds = {tap: type(module).__name__ for tap, module in network.named_modules()}
    order = [tap for tap in kinds if tap.count(".") <= (name != "resnet18") and kinds[tap] != "Dropout"]
    following = [kinds[order[order.index(tap) + 1]] for tap in model.taps]
    assert set(following) <= {"Conv2d", "Linear", "AdaptiveAvgPool2d", "Sequential"} and following[-1] == "Linear"
    assert model.numbers == tuple(range(1, model.depth + 1))
    assert [dict(model.named_modules())[model.layer(n)] for n in model.numbers] == [
        network.get_submodule(tap) for tap in model.taps
    ]
    assert {"alexnet": 7, "vgg16": 7, "resnet18": 6}[name] == model.depth


def test_weights_come_from_a_file_with_as_many_classes_as_it_has(tmp_path):
    from torchvision.models import resnet18

    torch.manual_seed(3)
    saved = resnet18(weights=None, num_classes=7).eval()
    torch.save(
        {"state_dict": {f"module.{key}": value for key, value in saved.state_dict().items()}}, tmp_path / "w.pth"
    )
    found = load_pretrained("look", "resnet18", str(tmp_path / "w.pth"))
    x = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(found.model(x), saved(x))
    assert list(found.names) == [f"class {k}" for k in range(7)] and found.title == "resnet18, weights of w.pth"


@pytest.mark.parametrize("section", ["look", "transfer"])
def test_weights_that_do_not_fit_or_load_are_named(section, tmp_path):
    torch.save({"fc.weight": torch.zeros(3, 4)}, tmp_path / "other.pth")
    (tmp_path / "torn.pth").write_bytes(b"PK torn")
    for file in ("other.pth", "torn.pth"):
        with pytest.raises(UserError, match=f"{section}.weights: .*{file}"):
            load_pretrained(section, "alexnet", str(tmp_path / file))
    with pytest.raises(UserError, match=f"{section}.weights: gone.pth is not a file"):
        check_weights(section, "vgg16", "gone.pth")
    with pytest.raises(UserError, match=f"{section}.weights: belongs to a network of torchvision"):
        check_weights(section, "trained", "random")
    check_weights(section, "vgg16", "random")


def test_no_network_and_no_file_says_what_to_fetch(monkeypatch):
    from torchvision import models

    def refuse(self, *args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr(models.VGG16_Weights, "get_state_dict", refuse)
    with pytest.raises(UserError, match=r"transfer.network: .*vgg16.*https://.*vgg16.*transfer.weights=FILE"):
        load_pretrained("transfer", "vgg16", "")
