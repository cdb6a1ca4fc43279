"""Incremental occlusion against one whole forward pass a place."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from zfnet.attribution.incremental import Occluder, Watch, respond
from zfnet.networks.convnet import build


def literal(model: nn.Module, image: Tensor, occluder: Occluder, watch: Watch) -> tuple[Tensor, Tensor]:
    """Scores and the watched map's total, one occluded image at a time."""
    scores, totals, s = [], [], occluder.size
    for y, x in occluder.corners.tolist():
        occluded = image.clone()
        occluded[:, y : y + s, x : x + s] = occluder.fill[:, y : y + s, x : x + s]
        maps = occluded[None]
        for name, module in model.named_children():
            maps = module(maps)
            if name == watch.name:
                totals.append(maps[0, watch.channel].sum())
        scores.append(maps[0])
    return torch.stack(scores), torch.stack(totals)


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
    model.initialise("he", seed=0)
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
    with torch.inference_mode():
        scores, totals = literal(model, image, square, Watch("pool5", 3))
    answer = respond(model, image, square, Watch("pool5", 3), batch=5)
    torch.testing.assert_close(answer.scores, scores, atol=1e-10, rtol=0)
    torch.testing.assert_close(answer.totals, totals, atol=1e-10, rtol=0)


@pytest.mark.parametrize("name", ["zfnet", "krizhevsky", "zfnet-wide345", "krizhevsky-no34"])
@pytest.mark.parametrize("size", [1, 9, 20, 56])
def test_small_geometry_equals_one_image_at_a_time(name: str, size: int) -> None:
    model, image, square = network(name, 56), picture((56, 56)), occluder((56, 56), size, 11)
    with torch.inference_mode():
        scores, totals = literal(model, image, square, Watch("relu5", 1))
    answer = respond(model, image, square, Watch("relu5", 1), batch=7)
    torch.testing.assert_close(answer.scores, scores, atol=1e-10, rtol=0)
    torch.testing.assert_close(answer.totals, totals, atol=1e-10, rtol=0)


@pytest.mark.parametrize("size", [1, 2, 3, 8, 30])
def test_strides_over_the_kernel_ceil_pools_and_unequal_axes(size: int) -> None:
    model, image, square = odd_table(), picture((37, 30)), occluder((37, 30), size, 3)
    with torch.inference_mode():
        scores, totals = literal(model, image, square, Watch("pool2", 2))
    answer = respond(model, image, square, Watch("pool2", 2), batch=16)
    torch.testing.assert_close(answer.scores, scores, atol=1e-10, rtol=0)
    torch.testing.assert_close(answer.totals, totals, atol=1e-10, rtol=0)


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
    with torch.inference_mode():
        scores, totals = literal(model, image, square, Watch("2", 1))
    answer = respond(model, image, square, Watch("2", 1))
    torch.testing.assert_close(answer.scores, scores, atol=1e-12, rtol=0)
    torch.testing.assert_close(answer.totals, totals, atol=1e-12, rtol=0)


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
