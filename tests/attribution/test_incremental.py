"""Incremental occlusion against one whole forward pass a place."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from zfnet.attribution.incremental import Grid, Occluder, Watch, covered_probabilities, list_layers, respond
from zfnet.networks.convnet import build


def literal(model: nn.Module, image: Tensor, occluder: Occluder, watch: Watch) -> tuple[Tensor, Tensor]:
    """Scores and the total of the watched map's first call, one occluded image at a time, of any module."""
    scores, totals, s = [], [], occluder.size
    for y, x in occluder.corners.tolist():
        calls: list[Tensor] = []
        occluded = image.clone()
        occluded[:, y : y + s, x : x + s] = occluder.fill[:, y : y + s, x : x + s]
        hook = model.get_submodule(watch.name).register_forward_hook(
            lambda _, __, maps, calls=calls: calls.append(maps.clone())
        )
        scores.append(model(occluded[None])[0])
        hook.remove()
        totals.append(calls[0][0, watch.channel].sum())
    return torch.stack(scores), torch.stack(totals)


def assert_is_literal(model: nn.Module, image: Tensor, square: Occluder, watch: Watch, **options: int) -> None:
    """Scores and totals are those of one occluded image at a time, up to rounding."""
    with torch.inference_mode():
        scores, totals = literal(model, image, square, watch)
    answer = respond(model, image, square, watch, **options)
    torch.testing.assert_close(answer.scores, scores, atol=1e-10, rtol=0)
    torch.testing.assert_close(answer.totals, totals, atol=1e-10, rtol=0)


def places(extent: tuple[int, int], size: int, stride: int) -> Tensor:
    """A grid that touches all four borders."""
    axes = [torch.tensor(sorted({*range(0, n - size + 1, stride), n - size})) for n in extent]
    return torch.cartesian_prod(*axes)


def occluder(extent: tuple[int, int], size: int, stride: int, dtype: torch.dtype = torch.float64) -> Occluder:
    fill = torch.randn(3, *extent, generator=torch.Generator().manual_seed(1), dtype=dtype)
    return Occluder(size, places(extent, size, stride), fill)


def picture(extent: tuple[int, int], dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(3, *extent, generator=torch.Generator().manual_seed(0), dtype=dtype)


def network(name: str, crop: int, dtype: torch.dtype = torch.float64) -> nn.Module:
    model = build(name, 7, crop, width=0.125)
    model.initialize("he", seed=0)
    return model.eval().to(dtype)


def odd_table() -> nn.Module:
    """Strides beyond the kernel, ceil pooling that overhangs, padded pools, groups, unequal axes."""
    torch.manual_seed(0)
    layers = nn.Sequential()
    layers.add_module("conv1", nn.Conv2d(3, 8, 3, stride=4, padding=1))
    layers.add_module("relu1", nn.ReLU())
    layers.add_module("norm1", nn.LocalResponseNorm(5))
    layers.add_module("pool1", nn.MaxPool2d((3, 2), stride=(2, 1), padding=1, ceil_mode=True))
    layers.add_module("conv2", nn.Conv2d(8, 6, (1, 3), stride=2, padding=(0, 2), groups=2, bias=False))
    layers.add_module("pool2", nn.MaxPool2d(2, ceil_mode=True))
    layers.add_module("relu2", nn.ReLU(inplace=True))
    layers.add_module("flatten", nn.Flatten())
    layers.add_module("fc", nn.LazyLinear(5))
    layers(torch.zeros(1, 3, 37, 30))
    return layers.eval().double()


@pytest.mark.parametrize(("name", "crop", "size", "stride"), [("zfnet", 224, 50, 58), ("krizhevsky", 224, 32, 64)])
def test_full_geometry_equals_one_image_at_a_time(name: str, crop: int, size: int, stride: int) -> None:
    model, image, square = network(name, crop), picture((crop, crop)), occluder((crop, crop), size, stride)
    assert_is_literal(model, image, square, Watch("pool5", 3), batch=5)


@pytest.mark.parametrize("name", ["zfnet", "krizhevsky", "zfnet-wide345", "krizhevsky-no34"])
@pytest.mark.parametrize("size", [1, 9, 20, 56])
def test_small_geometry_equals_one_image_at_a_time(name: str, size: int) -> None:
    model, image, square = network(name, 56), picture((56, 56)), occluder((56, 56), size, 11)
    assert_is_literal(model, image, square, Watch("relu5", 1), batch=7)


@pytest.mark.parametrize("size", [1, 2, 3, 8, 30])
def test_strides_over_the_kernel_ceil_pools_and_unequal_axes(size: int) -> None:
    model, image, square = odd_table(), picture((37, 30)), occluder((37, 30), size, 3)
    assert_is_literal(model, image, square, Watch("pool2", 2), batch=16)


def test_single_precision_stays_within_1e_5() -> None:
    model, image = network("zfnet", 224, torch.float32), picture((224, 224), torch.float32)
    square = occluder((224, 224), 32, 96, torch.float32)
    ours = respond(model, image, square, Watch("pool5", 0))
    plain = respond(model, image, square, Watch("pool5", 0), plain=True)
    assert ours.scores is not None and plain.scores is not None
    torch.testing.assert_close(ours.scores, plain.scores, atol=1e-5, rtol=0)
    torch.testing.assert_close(ours.totals, plain.totals, atol=1e-5, rtol=1e-6)


@pytest.mark.parametrize("watch", [Watch("pool5", 9), Watch("conv5", 30), Watch("norm1", 0), Watch("conv2", 31)])
@pytest.mark.parametrize("name", ["zfnet", "krizhevsky"])
def test_watching_one_map_alone_changes_nothing(name: str, watch: Watch) -> None:
    model, image, square = network(name, 56), picture((56, 56)), occluder((56, 56), 13, 15)
    with torch.inference_mode():
        _, totals = literal(model, image, square, watch)
    answer = respond(model, image, square, watch, scores=False, batch=4)
    assert answer.scores is None
    torch.testing.assert_close(answer.totals, totals, atol=1e-10, rtol=0)


class Residual(nn.Module):
    """No table: the generic way has to serve."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 3)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.conv(x)
        return self.fc((self.relu(maps) + x.mean(1, keepdim=True)).mean((2, 3)))


def test_any_other_module_runs_in_plain_batches_and_keeps_no_hook() -> None:
    torch.manual_seed(0)
    model = Residual().eval().double()
    before = copy.deepcopy(model.state_dict())
    image, square = picture((12, 12)), occluder((12, 12), 5, 3)
    answer = respond(model, image, square, Watch("conv", 2), batch=3)
    assert answer.scores is not None and answer.totals is not None
    for (y, x), scores, total in zip(square.corners.tolist(), answer.scores, answer.totals, strict=True):
        occluded = image.clone()
        occluded[:, y : y + 5, x : x + 5] = square.fill[:, y : y + 5, x : x + 5]
        with torch.inference_mode():
            torch.testing.assert_close(scores, model(occluded[None])[0])
            torch.testing.assert_close(total, model.conv(occluded[None])[0, 2].sum())
    assert not model.conv._forward_hooks
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_a_fully_connected_unit_has_no_map_to_watch_in_patches_but_later_maps_do_run() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AvgPool2d(2), nn.Conv2d(4, 2, 3), nn.Flatten(), nn.LazyLinear(2))
    model(torch.zeros(1, 3, 14, 14))
    model = model.eval().double()
    image, square = picture((14, 14)), occluder((14, 14), 4, 5)
    assert_is_literal(model, image, square, Watch("2", 1))


def test_the_order_and_size_of_batches_do_not_matter() -> None:
    model, image, square = network("zfnet", 56), picture((56, 56)), occluder((56, 56), 10, 9)
    whole, single = respond(model, image, square, batch=1000), respond(model, image, square, batch=1)
    torch.testing.assert_close(whole.scores, single.scores, atol=1e-10, rtol=0)


def test_an_occluder_outside_the_image_and_a_training_model_are_refused() -> None:
    model, image = network("zfnet", 56), picture((56, 56))
    with pytest.raises(ValueError, match="leaves the image"):
        respond(model, image, Occluder(57, torch.tensor([[0, 0]]), image))
    with pytest.raises(ValueError, match="leaves the image"):
        respond(model, image, Occluder(8, torch.tensor([[0, 50]]), image))
    with pytest.raises(ValueError, match="nothing to compute"):
        respond(model, image, Occluder(8, torch.tensor([[0, 0]]), image), scores=False)
    with pytest.raises(ValueError, match="eval mode"):
        respond(model.train(), image, Occluder(8, torch.tensor([[0, 0]]), image))


def torchvisions(name: str) -> nn.Module:
    """A network of torchvision with random weights and statistics, its fully connected layers narrow."""
    from torchvision import models

    with torch.device("meta"):
        model = models.get_model(name, weights=None, num_classes=5)
        if name in ("alexnet", "vgg11_bn"):
            width = next(layer.in_features for layer in model.classifier if isinstance(layer, nn.Linear))
            model.classifier = nn.Sequential(nn.Linear(width, 8), nn.ReLU(True), nn.Dropout(), nn.Linear(8, 5))
    model = model.to_empty(device="cpu").double().eval()
    generator = torch.Generator().manual_seed(0)
    for value in (*model.parameters(), *model.buffers()):
        if value.is_floating_point():
            with torch.no_grad():
                value.normal_(0, (2 / max(value[0].numel(), 8)) ** 0.5, generator=generator).abs_()
                if value.ndim > 1:
                    value -= value.mean()
    return model


@pytest.mark.parametrize(
    ("name", "extent", "maps"),
    [
        ("alexnet", 64, ("features.4", "classifier.0")),
        ("vgg11_bn", 32, ("features.1", "features.28")),
        ("resnet18", 32, ("layer2", "layer3.0.relu")),
        ("squeezenet1_1", 40, ("features.12.expand3x3",)),
    ],
)
def test_networks_of_torchvision_equal_one_image_at_a_time(name: str, extent: int, maps: tuple[str, ...]) -> None:
    model = torchvisions(name)
    image, square = picture((extent, extent)), occluder((extent, extent), 9, extent // 3)
    assert (len(list_layers(model)) > 1) == (name in ("alexnet", "vgg11_bn"))
    for watched in maps:
        watch = Watch(watched, 3)
        with torch.inference_mode():
            scores, totals = literal(model, image, square, watch)
        answer = respond(model, image, square, watch, batch=4)
        alone = respond(model, image, square, watch, scores=False)
        assert scores.std(0).max() > 0 and totals.std() > 0
        torch.testing.assert_close(answer.scores, scores, atol=1e-9 * float(scores.abs().max()), rtol=0)
        torch.testing.assert_close(answer.totals, totals, atol=1e-9 * float(totals.abs().max()), rtol=0)
        torch.testing.assert_close(alone.totals, totals, atol=1e-9 * float(totals.abs().max()), rtol=0)
    assert not any(module._forward_hooks for module in model.modules())


def test_leading_layers_of_torchvisions_lists_are_computed_in_patches() -> None:
    model = torchvisions("alexnet")
    seen = []
    model.features[3].register_forward_hook(lambda _, inputs, __: seen.append(tuple(inputs[0].shape)))
    respond(model, picture((64, 64)), occluder((64, 64), 6, 29))
    assert seen == [(1, 64, 7, 7)]  # the clean image alone


def test_a_module_that_comes_twice_in_a_list_runs_twice() -> None:
    torch.manual_seed(0)
    relu = nn.ReLU()
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), relu, nn.Sequential(nn.Conv2d(4, 4, 3), relu), nn.Flatten(), nn.Linear(64, 2)
    )
    model = model.eval().double()
    assert [name for name, _ in list_layers(model)] == ["0", "1", "2.0", "2.1", "3", "4"]
    image, square = picture((8, 8)), occluder((8, 8), 3, 2)
    assert_is_literal(model, image, square, Watch("2.0", 1))
    again = respond(model, image, square, Watch("1", 1), plain=True, batch=2)  # heard twice a pass: the first counts
    torch.testing.assert_close(again.totals, respond(model, image, square, Watch("1", 1)).totals, atol=1e-12, rtol=0)


class WithItsOwnForward(nn.Sequential):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).flip(1)


def test_a_list_with_a_forward_pass_of_its_own_is_one_layer() -> None:
    torch.manual_seed(0)
    model = WithItsOwnForward(nn.Conv2d(3, 4, 3), nn.Flatten()).eval().double()
    image, square = picture((6, 6)), occluder((6, 6), 2, 2)
    with torch.inference_mode():
        scores, _ = literal(model, image, square, Watch("0", 1))
    torch.testing.assert_close(respond(model, image, square).scores, scores)


def test_probabilities_are_laid_out_by_row_and_column() -> None:
    model, image = network("zfnet", 56), picture((56, 56))
    places = Grid(20, np.array([0, 36]), np.array([3, 10, 30]))
    found = covered_probabilities(model, image, places, batch=4)
    assert found.shape == (2, 3, 7)
    covered = image.clone()
    covered[:, 36:56, 10:30] = 0
    with torch.inference_mode():
        np.testing.assert_allclose(found[1, 1], model(covered[None]).softmax(1)[0].numpy(), atol=1e-10)
