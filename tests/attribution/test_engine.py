"""The engine on torchvision's networks as they come: against Captum, unchanged models, any target, named refusals."""

from __future__ import annotations

import copy
import warnings
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from zfnet.attribution.engine import Backprojection, Target, project
from zfnet.attribution.rules import METHODS
from zfnet.core.errors import UserError
from zfnet.networks.convnet import build

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torchvision.models import alexnet, resnet18, vgg16


@pytest.fixture(autouse=True, scope="module")
def few_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(min(2, before))
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module", params=[alexnet, vgg16, resnet18], ids=["alexnet", "vgg16", "resnet18"])
def torchvision_model(request):
    torch.manual_seed(0)
    return request.param(weights=None, num_classes=10).eval()


@pytest.fixture(scope="module")
def zfnet():
    net = build("zfnet", 5, 56, 0.125).double().eval()
    net.initialize("he", 0)
    return net


def images(b: int = 2, side: int = 64, seed: int = 3, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(b, 3, side, side, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def captum_attribution(model, name, x, classes):
    from captum.attr import Deconvolution, GuidedBackprop, Saliency

    peer = copy.deepcopy(model)
    for module in peer.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False  # Captum's hooks cannot bear it
    method = {"deconvnet": Deconvolution, "guided": GuidedBackprop, "gradient": Saliency}[name](peer)
    options = {"abs": False} if name == "gradient" else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return method.attribute(x.clone().requires_grad_(), target=classes, **options).detach()


@pytest.mark.parametrize("name", ["gradient", "deconvnet", "guided"])
def test_class_scores_project_as_captum_does(torchvision_model, name):
    x, classes = images(), torch.tensor([3, 7])
    peer = captum_attribution(torchvision_model, name, x, classes)
    ours = project(torchvision_model, x, Target(classes), None, replace(METHODS[name], start="one"))
    assert peer.abs().max() > 0
    torch.testing.assert_close(ours, peer, rtol=1e-4, atol=1e-5 * peer.abs().max().item())


def test_the_forward_is_the_models_own(torchvision_model):
    x = images()
    assert torch.equal(Backprojection(torchvision_model, "deconvnet").activations(x), torchvision_model(x))


def test_model_and_images_are_left_bit_identical_and_hook_free(torchvision_model):
    x, model = images(), torchvision_model.train()
    before, pixels = copy.deepcopy(model.state_dict()), x.clone()
    for method in ("gradient", "deconvnet", "guided"):
        project(model, x, Target(5), None, method)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert all(
        m.training and not (m._forward_hooks or m._backward_hooks or m._forward_pre_hooks) for m in model.modules()
    )
    assert torch.equal(x, pixels) and not x.requires_grad
    model.eval()


def test_a_model_in_training_is_treated_as_in_evaluation(torchvision_model):
    x = images()
    expected = project(torchvision_model.eval(), x, Target(5), None, "gradient")
    assert torch.equal(project(torchvision_model.train(), x, Target(5), None, "gradient"), expected)
    torchvision_model.eval()


def test_it_works_in_inference_mode(zfnet):
    x = images(1, 56, dtype=torch.float64)
    with torch.inference_mode():
        inside = project(zfnet, x * 1, Target(3), None, "deconvnet")
    assert torch.equal(inside, project(zfnet, x, Target(3), None, "deconvnet"))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("layer, has_place", [("norm1", True), ("conv3", True), ("relu5", False), ("relu6", False)])
def test_a_batch_is_its_singles(zfnet, method, layer, has_place):
    x, units = images(3, 56, dtype=torch.float64), torch.tensor([1, 4, 2])
    places = torch.tensor([[0, 0], [3, 2], [6, 6]]) if has_place else None
    patterns = {n: torch.ones_like(m.weight) for n, m in zfnet.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}
    engine = Backprojection(zfnet, method, patterns)
    batch = engine.project(x, Target(units, places), layer)
    for i in range(3):
        single = Target(units[i : i + 1], places[i : i + 1] if has_place else None)
        torch.testing.assert_close(batch[i : i + 1], engine.project(x[i : i + 1], single, layer), rtol=1e-9, atol=1e-12)


def test_a_joint_projection_of_one_unit_is_the_single(zfnet):
    x = images(2, 56, dtype=torch.float64)
    units, places = torch.tensor([1, 4]), torch.tensor([[2, 3], [4, 1]])
    single = project(zfnet, x, Target(units, places), "relu4")
    assert torch.equal(project(zfnet, x, Target(units[:, None], places[:, None]), "relu4"), single)


def test_joint_units_meet_at_the_rectifiers(zfnet):
    x, places = images(1, 56, dtype=torch.float64), torch.tensor([[[3, 3], [3, 3]]])
    joint = project(zfnet, x, Target(torch.tensor([[0, 5]]), places), "relu3")
    singles = [project(zfnet, x, Target(u, (3, 3)), "relu3") for u in (0, 5)]
    assert all(s.abs().max() > 0 for s in singles)
    assert not torch.allclose(joint, singles[0] + singles[1], atol=1e-9)  # the deconvnet is not linear
    gradient = replace(METHODS["gradient"], start="activation")
    joint = project(zfnet, x, Target(torch.tensor([[0, 5]]), places), "relu3", gradient)
    summed = sum(project(zfnet, x, Target(u, (3, 3)), "relu3", gradient) for u in (0, 5))
    torch.testing.assert_close(joint, summed)


def test_a_whole_map_starts_from_all_its_activations(zfnet):
    x = images(1, 56, dtype=torch.float64)
    leaf = x.clone().requires_grad_()
    (zfnet.upto(leaf, "relu3")[0, 2].square().sum() / 2).backward()  # d/dx of sum a^2 / 2 = sum of a da/dx
    ours = project(zfnet, x, Target(2), "relu3", replace(METHODS["gradient"], start="activation"))
    torch.testing.assert_close(ours, leaf.grad)


def test_start_scales_the_gradient_by_the_activation(zfnet):
    x = images(1, 56, dtype=torch.float64)
    score = zfnet(x)[0, 3]
    one = project(zfnet, x, Target(3), None, "gradient")
    scaled = project(zfnet, x, Target(3), None, replace(METHODS["gradient"], start="activation"))
    torch.testing.assert_close(scaled, one * score.detach())


class Functional(nn.Module):
    """The same layers by functions, methods, one ReLU used three times, and in place where the input is used again."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2, self.fc = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3, padding=1), nn.Linear(4, 3)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        x = F.max_pool2d(self.relu(self.conv1(x)), 3, stride=2)
        y = self.conv2(x) + 0.1
        y = torch.cat([self.relu(y), y], dim=1)[:, :4]  # y is already rectified here
        x = F.relu(y + x, inplace=True)
        x = F.adaptive_avg_pool2d(F.dropout(x, 0.5, self.training), 1)
        return self.fc(x.view(x.size(0), -1))


def test_functions_methods_and_reused_modules_are_layers_too():
    torch.manual_seed(0)
    model, x = Functional().double(), images(2, 16, dtype=torch.float64)
    leaf = x.clone().requires_grad_()
    scores = model.eval()(leaf)
    scores[:, 1].sum().backward()
    engine = Backprojection(model.train(), "gradient")
    assert torch.equal(engine.activations(x), scores)
    torch.testing.assert_close(engine.project(x, Target(1)), leaf.grad)


def test_an_in_place_relu_changes_its_input_for_later_users():
    class InPlace(nn.Module):
        def forward(self, x):
            y = x + 0.0
            z = F.relu(y, inplace=True)
            return torch.cat([z, y], 1).mean((2, 3))

    x = images(1, 8, dtype=torch.float64)
    assert torch.equal(Backprojection(InPlace(), "gradient").activations(x), InPlace()(x.clone()))


@pytest.mark.parametrize("rectify", [F.relu_, lambda y: F.relu(y, inplace=True), nn.ReLU6(inplace=True)])
def test_a_rectifier_in_place_has_its_rule_whoever_reads_the_result(rectify):
    def function(x):
        y = x * 2
        rectify(y)
        return -y

    x = torch.tensor([[-1.0, 2.0]])
    assert torch.equal(Backprojection(Calls(function), "guided").activations(x), torch.tensor([[0.0, -4.0]]))
    method = replace(METHODS["guided"], start="one")
    assert not project(Calls(function), x, Target(1), None, method).any()  # -1 is rectified
    assert project(Calls(function), x, Target(1), None, "gradient")[0, 1] == -2


def test_a_module_called_twice_must_be_named_with_its_call():
    model, x = resnet18(weights=None).eval(), images(1)
    with pytest.raises(UserError, match=r"layer1\.0\.relu is called 2 times: name one of layer1\.0\.relu:1, layer1"):
        project(model, x, Target(0), "layer1.0.relu")
    first, second = (project(model, x, Target(0), f"layer1.0.relu:{n}") for n in (1, 2))
    assert not torch.equal(first, second)
    assert torch.equal(second, project(model, x, Target(0), "layer1.0"))  # a block is its last operation
    with pytest.raises(UserError, match=r"layer1\.0\.relu:3: the model calls this module 2 times"):
        project(model, x, Target(0), "layer1.0.relu:3")


@pytest.mark.parametrize(
    "module, message",
    [
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.SiLU(inplace=True), nn.ReLU()), r"^1 \(silu\): has no rule"),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4)), r"^1 \(group_norm\): has no rule"),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.LeakyReLU(0.1)), r"^1 \(leaky_relu\): has no rule"),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.Hardtanh(-1, 1)), r"^1 \(hardtanh\): does not rectify from 0"),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False)), "running statistics"),
    ],
)
def test_what_has_no_rule_is_refused_by_name_and_has_a_gradient(module, message):
    with pytest.raises(UserError, match=message):
        project(module, images(1, 8), Target(0), None)
    x = images(1, 8).requires_grad_()
    module.eval()(x)[:, 0].sum().backward()
    assert torch.equal(project(module, x, Target(0), None, "gradient"), x.grad)


class Calls(nn.Module):
    """A model that is one function of the image."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


@pytest.mark.parametrize(
    "function, message",
    [
        (torch.tanh, r"Calls \(tanh\): has no rule"),
        (lambda x: x * x, r"Calls \(mul\): multiplies two activations"),
        (lambda x: x * torch.sigmoid(x), r"Calls \(mul\): multiplies two activations"),  # SiLU
        (lambda x: 1 / x, r"Calls \(reciprocal\)|Calls \(rdiv\)|Calls \(rtruediv\)"),
        (lambda x: x / (x + 9), r"Calls \(div\): divides by an activation"),
        (lambda x: x @ x, r"Calls \(matmul\): multiplies two activations"),
        (lambda x: F.conv2d(x, x[:, :, :3, :3]), r"Calls \(conv2d\): multiplies two activations"),
        (lambda x: (x + 1).sigmoid_(), r"Calls \(sigmoid\): has no rule"),
        (lambda x: x.softmax(1), r"Calls \(softmax\): has no rule"),
    ],
)
def test_a_function_that_has_no_rule_is_refused_by_name(function, message):
    with pytest.raises(UserError, match=message):
        project(Calls(function), images(1, 8), Target(0))


def test_an_autograd_function_of_others_is_refused_by_name():
    class Tripled(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 3

        @staticmethod
        def backward(ctx, signal):
            return signal * 7

    for function in (Tripled.apply, lambda x: Tripled.apply(x) + 1):
        with pytest.raises(UserError, match="TripledBackward.*without a rule"):
            project(Calls(function), images(1, 8), Target(0))


def test_a_forward_may_branch_on_values_and_write_into_its_input():
    def function(x):
        x *= 2
        return x if x.sum() > 0 else -x

    x = images(1, 8)
    before = x.clone()
    signal = project(Calls(function), x, Target(0), None, replace(METHODS["deconvnet"], start="one"))
    assert torch.equal(signal[:, 0], torch.full_like(x[:, 0], 2.0 if x.sum() > 0 else -2.0))
    assert torch.equal(x, before)


def test_shapes_comparisons_and_constants_need_no_rule():
    def function(x):
        gate = torch.softmax(torch.ones(3), 0).view(3, 1, 1)  # no signal goes here
        return F.relu((x * gate)[:, : x.shape[1]]) * (x > -9).float()

    signal = project(Calls(function), images(1, 8), Target(0), None, "guided")
    assert signal[:, 0].abs().sum() > 0 and not signal[:, 1:].any()


def test_squeeze_and_excitation_is_a_constant_gate():
    """R below = R gate, and nothing through what computes the gate, wherever the SiLU in it has no rule."""

    class SqueezeExcitation(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1, self.fc2 = nn.Conv2d(3, 2, 1), nn.Conv2d(2, 3, 1)

        def gate(self, x):
            return torch.sigmoid(self.fc2(F.silu(self.fc1(F.adaptive_avg_pool2d(x, 1)))))

        def forward(self, x):
            return F.relu(self.gate(x) * x)

    torch.manual_seed(0)
    model, x = SqueezeExcitation().double(), images(2, 6, dtype=torch.float64)
    for side in (6, 1):  # of one pixel the gate is shaped as the map
        part = x[..., :side, :side]
        gate = model.gate(part).detach()
        y = (gate * part).relu()
        expected = torch.zeros_like(part)
        expected[:, 1] = (y * gate)[:, 1]
        torch.testing.assert_close(project(model, part, Target(1), None, "deconvnet"), expected)


@pytest.mark.parametrize("wrap", [nn.DataParallel, lambda model: torch.compile(model, backend="eager")])
def test_wrappers_are_taken_off(zfnet, wrap):
    x = images(1, 56, dtype=torch.float64)
    expected = project(zfnet, x, Target(2), "relu3", "guided")
    assert torch.equal(project(wrap(zfnet), x, Target(2), "relu3", "guided"), expected)


def test_a_model_compiled_in_place_runs_as_it_was_written(zfnet):
    x, model = images(1, 56, dtype=torch.float64), copy.deepcopy(zfnet)
    model.compile(backend="eager")
    assert torch.equal(project(model, x, Target(2), None, "guided"), project(zfnet, x, Target(2), None, "guided"))


def test_a_scripted_model_has_a_gradient_only():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = torch.jit.script(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()))
    with pytest.raises(UserError, match="TorchScript"):
        project(model, images(1, 8), Target(0))
    assert project(model, images(1, 8), Target(0), None, "gradient").any()


@pytest.mark.parametrize("method", ["gradient", "guided"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_interruption_leaves_the_model_as_it_was(error, method):
    class Failing(nn.Module):
        def forward(self, x):
            raise error

    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), Failing()).train()
    model[1].eval()
    model[0].bias.requires_grad_(False)
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(error):
        project(model, images(1, 8), Target(0), None, method)
    assert [m.training for m in model.modules()] == [True, True, False, True]
    assert [p.requires_grad for p in model.parameters()] == [True, False, True, True]
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert not torch.nn.modules.module._global_forward_hooks and not torch.overrides._len_torch_function_stack()


def test_an_unknown_layer_is_refused_with_those_there_are(zfnet):
    with pytest.raises(UserError, match="no layer relu9; there are conv1, relu1"):
        project(zfnet, images(1, 56, dtype=torch.float64), Target(0), "relu9")


def test_a_missing_or_misshapen_pattern_is_refused_by_its_module(zfnet):
    x = images(1, 56, dtype=torch.float64)
    with pytest.raises(UserError, match="conv1: no pattern given"):
        project(zfnet, x, Target(0), "relu2", "patternnet")
    with pytest.raises(UserError, match=r"conv1: a pattern of shape \(2, 2\)"):
        project(zfnet, x, Target(0), "relu2", "patternnet", {"conv1": torch.ones(2, 2)})


def test_a_place_in_a_layer_without_space_is_an_error(zfnet):
    with pytest.raises(ValueError, match="a place needs a layer with maps"):
        project(zfnet, images(1, 56, dtype=torch.float64), Target(0, (0, 0)), "relu6")


# ---------------------------------------------------------------- kinds of layer, each against autograd of a plain twin
def deconvolution_of(model, x, unit):
    """The deconvnet of a model whose only nonlinear function is F.relu, by autograd of a twin of it."""

    class Rectified(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.relu()

        @staticmethod
        def backward(ctx, signal):
            return signal.relu()

    leaf = x.clone().requires_grad_()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(F, "relu", lambda x, inplace=False: Rectified.apply(x))
        model.eval()(leaf)[:, unit].sum().backward()
    return leaf.grad


KINDS = {
    "grouped": lambda: nn.Conv2d(4, 4, 3, groups=2),
    "depthwise": lambda: nn.Conv2d(4, 4, 3, groups=4),
    "dilated": lambda: nn.Conv2d(4, 4, 3, dilation=2, padding="same"),
    "reflecting": lambda: nn.Conv2d(4, 4, 3, padding=2, padding_mode="reflect"),
    "transposed": lambda: nn.ConvTranspose2d(4, 4, 3, stride=2),
    "average": lambda: nn.AvgPool2d(3, 2, 1),
    "adaptive": lambda: nn.AdaptiveAvgPool2d(3),
    "adaptive max": lambda: nn.AdaptiveMaxPool2d(3),
    "batch-norm": lambda: nn.BatchNorm2d(4),
    "shuffle": lambda: nn.ChannelShuffle(2),
    "dropout": lambda: nn.Dropout2d(),
    "upsampling": lambda: nn.Upsample(scale_factor=2, mode="bilinear"),
    "padding": lambda: nn.ZeroPad2d(2),
    "branches": lambda: Calls(lambda x: torch.cat([x.chunk(2, 1)[0] + x.split(2, 1)[1], x[:, 1:3]], 1)),
    "by methods": lambda: Calls(lambda x: (2 - (1 - x.sub(0.5))).mul_(3).div_(2).transpose(2, 3).contiguous()),
    "normalized": lambda: Calls(lambda x: (x - 0.4) / torch.tensor([0.2, 0.3, 0.4, 0.5]).view(4, 1, 1).to(x)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_layer_is_sent_back_through(kind):
    torch.manual_seed(0)
    layer = KINDS[kind]()
    for buffer in (value for name, value in layer.named_buffers() if name.startswith("running")):
        buffer.uniform_(0.5, 2)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), layer, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model, x = model.append(nn.Linear(4, 3)).double(), images(2, 10, dtype=torch.float64)
    nn.init.uniform_(model[-1].weight, -0.3, 1)  # some of every sign
    expected = deconvolution_of(model, x, 1)
    assert expected.abs().max() > 0
    ours = project(model, x, Target(1), None, replace(METHODS["deconvnet"], start="one"))
    torch.testing.assert_close(ours, expected)
    x.requires_grad_()
    model(x)[:, 1].sum().backward()
    torch.testing.assert_close(project(model, x, Target(1), None, "gradient"), x.grad)


@pytest.mark.parametrize(
    "rectifier", [nn.ReLU6(), nn.ReLU6(inplace=True), nn.Hardtanh(0, 6), Calls(lambda x: x.clamp(0, 6))]
)
def test_relu6_passes_between_its_bounds(rectifier):
    x = torch.tensor([[-1.0, 2.0, 6.5], [3.0, -4.0, 8.0]])
    model = nn.Sequential(
        nn.Identity(), Calls(lambda x: x + 0), rectifier, Calls(lambda x: x * torch.tensor([2.0, -1, 1]))
    )
    gate = ((x > 0) & (x < 6)).float()
    signal = torch.tensor([2.0, -1, 1]).expand(2, 3)
    start = {name: replace(METHODS[name], start="one") for name in ("gradient", "deconvnet", "guided")}
    results = {
        name: sum(project(model, x, Target(u), None, method) for u in range(3)) for name, method in start.items()
    }
    assert torch.equal(results["gradient"], signal * gate)
    assert torch.equal(results["deconvnet"], signal.relu().expand(2, 3))
    assert torch.equal(results["guided"], signal.relu() * gate)
