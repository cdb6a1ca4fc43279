"""Projections on the receptive field alone are those of the whole image, for every layer and every place."""

from __future__ import annotations

import warnings
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from zfnet.attribution.engine import Backprojection, Target, project
from zfnet.attribution.fields import Field, receptive_field, survey
from zfnet.attribution.rules import METHODS
from zfnet.attribution.window import cut, project_window
from zfnet.core.errors import UserError
from zfnet.networks.convnet import ConvNet, build
from zfnet.networks.table import architecture

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torchvision.models import alexnet, resnet18

LAYERS = ("conv1", "relu1", "pool1", "norm1", "relu2", "pool2", "norm2", "relu3", "conv4", "relu5", "pool5")


def make(name: str, crop: int) -> ConvNet:
    """The full-scale geometry on smaller images too, so that all fields of the lower layers fit with room."""
    net = ConvNet(architecture(name, 224, 0.125), 4, crop) if crop > 56 else build(name, 4, crop, 0.125)
    net.initialize("he", 1)
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.uniform_(module.bias, -0.1, 0.3)  # what lies outside a map must not be the bias
    return net.double().eval()


def border_places(side: int) -> torch.Tensor:
    return torch.cartesian_prod(torch.tensor([0, 1, side // 2, side - 1]), torch.tensor([0, side // 3, side - 1]))


@pytest.mark.parametrize("name, crop", [("zfnet", 56), ("zfnet", 160), ("krizhevsky", 56), ("krizhevsky", 183)])
def test_a_window_is_the_cut_of_the_whole_frame(name, crop):
    net = make(name, crop)
    image = torch.randn(1, 3, crop, crop, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    sides = {}
    for layer in LAYERS:
        side = sides[layer] = net.upto(image, layer).shape[2]
        places = border_places(side)
        units = torch.arange(len(places)) * 3 % net.upto(image, layer).shape[1]
        some = image.expand(len(places), -1, -1, -1)
        whole = project(net, some, Target(units, places), layer)
        window = project_window(net, some, layer, units, places)
        torch.testing.assert_close(window, cut(whole, receptive_field(net, layer, crop), places), rtol=0, atol=1e-10)
        assert whole.abs().max() > 0
        torch.testing.assert_close(window.abs().sum(), whole.abs().sum(), rtol=1e-10, atol=0)  # nothing lies outside


@pytest.mark.parametrize("method", METHODS)
def test_every_method_can_be_windowed(method):
    net, places = make("zfnet", 160), torch.tensor([[0, 0], [2, 8], [5, 5]])
    x = torch.randn(3, 3, 160, 160, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    patterns = {name: m.weight.detach() + 0.01 for name, m in net.named_modules() if isinstance(m, nn.Conv2d)}
    units = torch.tensor([0, 7, 3])
    whole = project(net, x, Target(units, places), "relu3", method, patterns)
    window = project_window(net, x, "relu3", units, places, method, patterns)
    torch.testing.assert_close(window, cut(whole, receptive_field(net, "relu3", 160), places), rtol=0, atol=1e-10)


def assert_reached(x: torch.Tensor, y: torch.Tensor, field: Field) -> None:
    """The pixels of x (1, 3, h, h) that the middle units of the maps y depend on are those of their field."""
    at = y.shape[2] // 2
    reached = torch.autograd.grad(y[0, :, at, at].sum(), x)[0][0].abs().sum(0).nonzero()
    first = field.start(torch.tensor([[at, at]]))[0]
    assert torch.equal(reached.min(0).values, first)
    assert torch.equal(reached.max(0).values, first + field.size - 1)


@pytest.mark.parametrize("layer", ["conv1", "norm1", "relu2", "norm2", "relu3"])
def test_the_field_is_what_the_gradient_reaches(layer):
    net = make("zfnet", 160)
    for module in net.modules():
        if isinstance(module, nn.MaxPool2d):
            module.forward = nn.AvgPool2d(3, module.stride, ceil_mode=True).forward  # every pixel counts
    x = torch.rand(1, 3, 160, 160, dtype=torch.float64).requires_grad_()
    y = net.upto(x, layer)
    assert_reached(x, y, receptive_field(net, layer, x.shape[-1]))


def test_the_fields_of_the_papers_geometry():
    net = build("zfnet", 2, 224, 0.0625)
    sizes = {layer: receptive_field(net, layer, 224).size for layer in ("relu1", "relu2", "relu3", "relu4", "relu5")}
    assert sizes == {"relu1": 7, "relu2": 27, "relu3": 75, "relu4": 107, "relu5": 139}


def test_a_cut_fills_what_lies_outside():
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    seen = cut(x, Field(3, 2, -1), torch.tensor([[0, 1]]), fill=-5)
    assert torch.equal(seen[0, 0], torch.tensor([[-5.0, -5, -5], [1, 2, 3], [5, 6, 7]]))


def test_a_field_larger_than_the_image_is_still_exact():
    net = make("zfnet", 56)
    assert receptive_field(net, "relu5", 56).size > 56
    x = torch.randn(1, 3, 56, 56, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    window = project_window(net, x, "relu5", torch.tensor([1]), torch.tensor([[0, 6]]))
    assert window.shape[-1] == receptive_field(net, "relu5", 56).size


def test_the_window_leaves_the_model_alone():
    net, x = make("zfnet", 56), torch.randn(1, 3, 56, 56, dtype=torch.float64)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    project_window(net.train(), x, "relu2", torch.tensor([1]), torch.tensor([[0, 6]]))
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    assert net.training and all(p.grad is None for p in net.parameters())


def test_layers_that_see_the_whole_image_have_the_whole_frame():
    net = make("zfnet", 56)
    assert receptive_field(net, "relu6", 56) == receptive_field(net, "fc8", 56) == Field(56, 0, 0)
    assert receptive_field(nn.Sequential(nn.Conv2d(3, 3, (3, 5))), "0", 32) == Field(32, 0, 0)
    with pytest.raises(UserError, match="no layer relu9"):
        receptive_field(net, "relu9", 56)


def test_memory_is_flat_over_200_projections():
    import gc

    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Conv2d(4, 4, 3), nn.ReLU())
    engine, x = Backprojection(net, "deconvnet"), torch.randn(1, 3, 12, 12)
    engine.project(x, Target(0, (0, 0)), "4")
    gc.collect()
    before = sum(type(o) is torch.Tensor for o in gc.get_objects())
    for _ in range(200):
        engine.project(x, Target(0, (0, 0)), "4")
    gc.collect()
    assert sum(type(o) is torch.Tensor for o in gc.get_objects()) <= before


@pytest.mark.parametrize("pool", [nn.MaxPool2d(3, 2, padding=1), nn.MaxPool2d(3, 2, ceil_mode=True)])
def test_the_padding_of_a_pool_is_never_its_maximum(pool):
    """Without a ReLU below, all of a map may be negative: a zero outside it would win."""
    net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), pool, nn.Conv2d(4, 4, 3, padding=1)).double()
    nn.init.constant_(net[0].bias, -9)
    x = torch.randn(1, 3, 24, 24, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    places = border_places(net(x).shape[2])
    some, units = x.expand(len(places), -1, -1, -1), torch.arange(len(places)) % 4
    whole = project(net, some, Target(units, places), "2", "gradient")
    window = project_window(net, some, "2", units, places, "gradient")
    torch.testing.assert_close(window, cut(whole, receptive_field(net, "2", 24), places), rtol=0, atol=1e-10)


# ---------------------------------------------------------------- any model
def random_image(side: int, b: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(1, 3, side, side, generator=generator, dtype=torch.float64).expand(b, -1, -1, -1)


def assert_window_is_the_cut(net: nn.Module, layer: str, side: int, method, is_chain: bool, patterns=None) -> None:
    torch.manual_seed(0)
    x = random_image(side)
    maps = Backprojection(net, "gradient").activations(x, layer)
    places = border_places(maps.shape[2])
    units = torch.arange(len(places)) % maps.shape[1]
    x = random_image(side, len(places))
    assert survey(net, layer, (3, side, side)).is_chain == is_chain
    field = receptive_field(net, layer, side)
    whole = project(net, x, Target(units, places), layer, method, patterns)
    window = project_window(net, x, layer, units, places, method, patterns)
    assert whole.abs().max() > 0
    torch.testing.assert_close(window, cut(whole, field, places), rtol=0, atol=1e-10 * float(whole.abs().max()))
    torch.testing.assert_close(window.abs().sum(), whole.abs().sum(), rtol=1e-9, atol=0)  # nothing lies outside


class InForward(nn.Module):
    """Normalizes in forward, and calls its layers as functions."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 5, 3, padding=2)
        self.bn1 = nn.BatchNorm2d(4)
        self.register_buffer("mean", torch.tensor([0.4, 0.5, 0.6]).view(3, 1, 1))
        self.last = nn.Identity()

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1((x - self.mean) / 0.2)), inplace=True)
        return self.last(F.relu(self.conv2(F.max_pool2d(x, 3, 2, padding=1))))


WINDOWED = {
    "average pool": lambda: nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.AvgPool2d(3, 1, 1), nn.ReLU()),
    "nested": lambda: nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU6()), nn.Conv2d(4, 4, 3, padding=1)),
    "batch-norm": lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3, 1, 1)),
    "in forward": InForward,
    "torchvision": lambda: alexnet(weights=None).features[:9],
}
WHOLE = {
    "reflecting": lambda: nn.Sequential(nn.Conv2d(3, 4, 3, padding=2, padding_mode="reflect"), nn.ReLU()),
    "average inside": lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.AvgPool2d(3, 2, 1, count_include_pad=False)),
    "upsampling": lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Upsample(scale_factor=2)),
    "branches": lambda: Residual(),
    "written into": lambda: WrittenInto(),
}


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 4, 3, padding=1)
        self.pool = nn.MaxPool2d(3, 1, 1)

    def forward(self, x):
        x = F.relu(self.conv1(x))
        return torch.cat([x + F.relu(self.conv2(x)), self.pool(x)], 1)


class WrittenInto(nn.Module):
    """Sets a row of its maps, which no window knows of."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        maps = self.conv(x)
        maps[:, :, 1] = 0
        return F.relu(maps)


def varied(net: nn.Module) -> nn.Module:
    """Biases and statistics such that what lies outside a map is not what the layers would compute there."""
    torch.manual_seed(0)
    for name, value in [*net.named_parameters(), *net.named_buffers()]:
        if name.endswith("bias") or name.endswith("running_mean"):
            nn.init.uniform_(value, -0.1, 0.4)
    return net.double().eval()


@pytest.mark.parametrize("method", ["gradient", "deconvnet", "guided"])
@pytest.mark.parametrize("kind", [*WINDOWED, *WHOLE])
def test_a_window_of_any_model_is_the_cut_of_the_whole_frame(kind, method):
    net = varied({**WINDOWED, **WHOLE}[kind]())
    outer = nn.Sequential(net)
    assert_window_is_the_cut(outer, "0", 96 if kind == "torchvision" else 32, method, kind in WINDOWED)


def test_pools_that_overwrite_are_projected_whole_and_cut():
    """Windows outside the cut overwrite too: on a window alone up to 70 % of the signal would be wrong."""
    method = replace(METHODS["deconvnet"], pool="overwrite")
    assert_window_is_the_cut(make("zfnet", 160), "relu3", 160, method, True)


def test_layers_inside_a_module_of_torchvision_have_windows():
    net = varied(alexnet(weights=None))
    assert receptive_field(net, "features.4", 96) == receptive_field(net.features, "4", 96) == Field(51, 8, -18)
    assert_window_is_the_cut(net, "features.4", 96, "deconvnet", True)


@pytest.mark.parametrize("layer", ["maxpool", "layer1", "layer2.0", "layer2"])
def test_the_field_of_a_branching_network_is_what_the_gradient_reaches(layer):
    net = resnet18(weights=None).eval()
    for parameter in net.parameters():
        parameter.data.abs_()
    net.maxpool = nn.AvgPool2d(3, 2, 1)  # every pixel counts
    x = torch.rand(1, 3, 224, 224).requires_grad_()
    y = Backprojection(net, "gradient").activations(x, layer)
    assert_reached(x, y, receptive_field(net, layer, x.shape[-1]))


def test_a_model_that_looks_at_values_has_the_whole_frame():
    class Branching(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x):
            return self.conv(x if x.sum() > 0 else -x)

    net = nn.Sequential(Branching()).double()
    assert receptive_field(net, "0", 16) == Field(16, 0, 0)
    assert_window_is_the_cut(net, "0", 16, "deconvnet", False)
