"""The layer tables against the papers' geometry ([ZF13] Fig. 3, Table 3)."""

import pytest
import torch

from zfnet.core.errors import UserError
from zfnet.networks.convnet import ConvNet, build
from zfnet.networks.table import BASES, TABLE3, VARIANTS, Architecture, Conv, Full, Variant, architecture
from zfnet.training.batches import Dropouts
from zfnet.training.distributed import World
from zfnet.training.fit import Seeded
from zfnet.training.renormalize import Renormalizer


def maps(model, crop):
    """Side of the output of every convolution and pool."""
    x, sides = torch.zeros(1, 3, crop, crop), {}
    for name, module in model.named_children():
        x = module(x)
        if name.startswith(("conv", "pool")):
            sides[name] = x.shape[-1]
    return sides


def test_zfnet_at_224_has_the_papers_maps_and_parameters():
    model = build("zfnet", 1000, 224)
    sides = maps(model.eval(), 224)
    assert [sides[name] for name in ("conv1", "pool1", "conv2", "pool2", "conv5", "pool5")] == [110, 55, 26, 13, 13, 6]
    assert sum(p.numel() for p in model.parameters()) == 62_357_608
    assert model.fc6.in_features == 9216


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("zfnet-wide345", 107_627_624), ("zfnet-fc2048", 28_848_232), ("zfnet-fc8192", 154_542_184),
     ("krizhevsky", 60_965_224), ("simonyan", 60_834_536)],
)  # fmt: skip
def test_variants_have_the_published_number_of_parameters(name, parameters):
    with torch.device("meta"):
        assert sum(p.numel() for p in build(name, 1000, 224).parameters()) == parameters


def test_krizhevskys_net_has_his_maps_groups_and_order():
    model = build("krizhevsky", 1000, 224)
    sides = maps(model.eval(), 224)
    assert list(sides.items()) == [
        ("conv1", 55), ("pool1", 27), ("conv2", 27), ("pool2", 13), ("conv3", 13), ("conv4", 13), ("conv5", 13),
        ("pool5", 6),
    ]  # fmt: skip
    assert [model.get_submodule(f"conv{n}").groups for n in range(1, 6)] == [1, 2, 1, 2, 2]
    assert [name for name in model._modules if name[-1] in "25"] == [
        "conv2", "relu2", "norm2", "pool2", "conv5", "relu5", "pool5",
    ]  # fmt: skip


def test_simonyans_net_has_the_widths_of_the_paper_and_the_geometry_of_cnn_f():
    """[SVZ13] 2: conv64-conv256-conv256-conv256-conv256-full4096-full4096-full1000, "less wide" than Krizhevsky's."""
    model = build("simonyan", 1000, 224)
    sides = maps(model.eval(), 224)
    assert [sides[name] for name in ("conv1", "pool1", "conv2", "pool2", "conv5", "pool5")] == [54, 27, 27, 13, 13, 6]
    assert [model.get_submodule(f"conv{n}").out_channels for n in range(1, 6)] == [64, 256, 256, 256, 256]
    assert [model.get_submodule(f"fc{n}").out_features for n in (6, 7, 8)] == [4096, 4096, 1000]
    assert {conv.groups for conv in model if isinstance(conv, torch.nn.Conv2d)} == {1}
    assert "norm1" in model._modules and "norm2" in model._modules and "norm3" not in model._modules


def test_zf_pools_before_it_normalises_and_krizhevsky_after():
    assert list(build("zfnet", 10, 56)._modules)[:4] == ["conv1", "relu1", "pool1", "norm1"]
    assert list(build("krizhevsky", 10, 56)._modules)[:4] == ["conv1", "relu1", "norm1", "pool1"]


def test_table3_has_the_twelve_rows_of_the_paper():
    assert len(TABLE3) == 12
    assert architecture("krizhevsky-no3467", 224).convs.keys() == {1, 2, 5}
    assert not architecture("krizhevsky-no3467", 224).fulls
    assert [architecture("zfnet-wide345-fc8192", 224).convs[n].maps for n in (3, 4, 5)] == [512, 1024, 512]


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_runs_on_small_images_with_the_same_layer_names(name):
    model = build(name, 7, 56, width=0.25).eval()
    assert model(torch.zeros(2, 3, 56, 56)).shape == (2, 7)
    assert set(model._modules) <= set(build(name, 7, 224, width=0.25)._modules)


def test_an_unknown_network_is_named():
    with pytest.raises(UserError, match="resnet50"):
        build("resnet50", 10, 224)


def test_layer_names_the_last_module_of_a_layer_and_upto_its_output():
    model = build("zfnet", 5, 56, width=0.25).eval()
    assert [model.layer(n) for n in range(1, 8)] == ["norm1", "norm2", "relu3", "relu4", "pool5", "relu6", "relu7"]
    x = torch.randn(2, 3, 56, 56)
    torch.testing.assert_close(model.fc8(model.upto(x, "relu7")), model(x))
    with pytest.raises(ValueError, match="no layer 6"):
        build("zfnet", 5, 56, width=0.25).__class__(architecture("krizhevsky-no67", 56), 5, 56).layer(6)


def test_paper_initialization_is_gaussian_of_a_hundredth_with_krizhevskys_biases():
    model = build("krizhevsky", 10, 56)
    model.initialize("paper", seed=3)
    assert model.fc6.weight.std().item() == pytest.approx(0.01, rel=0.02)
    biases = {name: set(m.bias.tolist()) for name, m in model.named_children() if hasattr(m, "bias")}
    ones = {"conv2", "conv4", "conv5", "fc6", "fc7"}  # Krizhevsky et al. 2012, section 5
    assert biases == {name: {1.0} if name in ones else {0.0} for name in biases} and len(biases) == 8
    again = build("krizhevsky", 10, 56)
    again.initialize("paper", seed=3)
    assert torch.equal(model.conv3.weight, again.conv3.weight)


def test_gain_is_the_papers_initialization_at_its_sizes_and_its_gain_at_others():
    full, paper = build("zfnet", 1000, 224, width=1.0), build("zfnet", 1000, 224, width=1.0)
    full.initialize("gain", seed=1)
    paper.initialize("paper", seed=1)
    assert all(torch.equal(a, b) for a, b in zip(full.parameters(), paper.parameters(), strict=True))
    small = build("zfnet", 10, 56, width=0.25)
    small.initialize("gain", seed=1)
    for name, fan_in in (("conv1", 147), ("conv2", 96 * 25), ("conv4", 384 * 9), ("fc6", 9216), ("fc7", 4096)):
        weight = small.get_submodule(name).weight
        gain = weight.std().item() * weight[0].numel() ** 0.5
        assert gain == pytest.approx(0.01 * fan_in**0.5, rel=0.05)


# ---------------------------------------------------------------- any number of layers
def row(convs: int, fulls: int) -> Architecture:
    """The first layers 3x3 convolutions of 6 maps, the first of them with a pool and a norm, then hidden ones of 5."""
    first = {1: Conv(6, 3, padding=1, norm=True, pool=2)} if convs else {}
    others = {n: Conv(6, 3, padding=1) for n in range(2, convs + 1)}
    return Architecture(first | others, {convs + n: Full(5, bias=1.0) for n in range(1, fulls + 1)})


@pytest.mark.parametrize("fulls", [0, 1, 3, 11])
@pytest.mark.parametrize("convs", [0, 1, 5, 8, 12])
def test_any_number_of_layers_trains_one_step(convs, fulls):
    layers = row(convs, fulls)
    model = ConvNet(layers, 4, 16, dropout=0.5)
    model.initialize("gain", 0)
    assert model.numbers == layers.numbers == tuple(range(1, convs + fulls + 1)) and model.depth == convs + fulls
    assert model.classifier == f"fc{max(8, convs + fulls + 1)}" == list(model._modules)[-1]
    kinds = [type(module).__name__ for module in model]
    assert (kinds.count("Conv2d"), kinds.count("Linear"), kinds.count("Dropout")) == (convs, fulls + 1, fulls)
    assert kinds[-1] == "Linear"  # neither a ReLU nor dropout after the scores
    expected = {n: "norm1" if n == 1 and convs else f"relu{n}" for n in model.numbers}
    assert model.layers == expected and model.feature_maps == {n: f"relu{n}" for n in range(1, convs + 1)}
    assert all(bool((model.get_submodule(f"fc{n}").bias == 1).all()) for n in model.units)

    masks = Dropouts(model, seed=0).masks(3, 0, World(0, 1, torch.device("cpu")))
    assert {name: tuple(mask.shape) for name, mask in masks.items()} == {f"drop{n}": (3, 5) for n in model.units}
    before = {name: value.clone() for name, value in model.state_dict().items()}
    loss = Seeded(model)(torch.randn(3, 3, 16, 16), masks).square().sum()
    loss.backward()
    torch.optim.SGD(model.parameters(), 1e3).step()
    Renormalizer(model, 0.1, 1.0)()
    head = f"{model.classifier}.bias"
    assert not torch.equal(model.state_dict()[head], before[head])


def literal(model: ConvNet, x: torch.Tensor, numbers: range) -> torch.Tensor:
    """Scores of convolutional layers alone, written out."""
    for n in numbers:
        x = torch.relu(torch.nn.functional.conv2d(x, model.get_submodule(f"conv{n}").weight, padding=1))
    return torch.nn.functional.linear(x.flatten(1), model.fc13.weight, model.fc13.bias)


def test_twelve_convolutions_compute_what_is_written_out():
    model = ConvNet(Architecture({n: Conv(4, 3, padding=1) for n in range(1, 13)}, {}), 5, 8).eval()
    model.initialize("he", 0)
    x = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(model(x), literal(model, x, range(1, 13)))
    assert model.layer(1) == "relu1" and model.layer(11) == "relu11" and model.layer(12) == "relu12"


def test_the_papers_networks_keep_the_names_of_their_checkpoints():
    for name in VARIANTS:
        model = build(name, 5, 56, width=0.1)
        assert list(model._modules)[-1] == model.classifier == "fc8" and model.numbers == architecture(name, 56).numbers


@pytest.mark.parametrize("crop", [*range(16, 30), 56, 96, 224])
@pytest.mark.parametrize("pool", [1, 2, 3, 5])
def test_the_sides_of_the_table_are_those_of_pytorch(crop, pool):
    layers = Architecture({1: Conv(4, 5, stride=2, padding=1, pool=pool), 2: Conv(4, 3, padding=1, pool=2)}, {})
    x = torch.zeros(1, 3, crop, crop)
    try:
        sides = layers.sides(crop)
    except UserError:
        stages = [torch.nn.Conv2d(3, 4, 5, 2, 1), torch.nn.MaxPool2d(3, pool, ceil_mode=True)]
        with pytest.raises(RuntimeError):
            torch.nn.Sequential(*stages, torch.nn.MaxPool2d(3, 2, ceil_mode=True))(x)
        return
    model = ConvNet(layers, 2, crop)
    assert {n: model.upto(x, f"pool{n}").shape[-1] for n in (1, 2)} == sides


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Architecture({1: Conv(4, 3), 2: Conv(4, 3)}, {2: Full(4)}), "different numbers .* not 1, 2, 2"),
        (lambda: Architecture({2: Conv(4, 3), 1: Conv(4, 3)}, {}), "ascending order, .* not 2, 1"),
        (lambda: Architecture({3: Conv(4, 3)}, {1: Full(4)}), "convolutions first, not 3, 1"),
        (lambda: Architecture({0: Conv(4, 3)}, {}), "from 1 up"),
        (lambda: Architecture({1: Conv(8, 3), 2: Conv(9, 3, groups=3)}, {}), "layer 2: 3 groups do not divide 8 maps"),
        (lambda: Variant("resnet"), "no base network 'resnet'; known: zfnet"),
        (lambda: Variant("zfnet", remove=(9,)), "zfnet has no layer 9 to change"),
        (lambda: Variant("zfnet", times={8: 2.0}), "zfnet has no layer 8 to change"),
        (lambda: architecture("zfnet", 6), "data.size: crops of 6 px are too small: layer 2 has no output"),
    ],
)
def test_what_cannot_be_built_is_an_error_of_the_row(make, message):
    with pytest.raises(UserError, match=message):
        make()


def test_every_base_has_the_layers_that_its_variants_change():
    assert all(variant.base in BASES for variant in VARIANTS.values())
