"""The classifiers of torchvision, and common ones of timm, with random weights at a small input, counted.

- The gradient equals autograd's on every one of them.
- Deconvnet and guided backpropagation run, or are refused by the name of a module with a function that has no rule.
- They equal Captum's where the definitions coincide: where every rectifier is an `nn.ReLU`, for Captum hooks these
  alone, and there is no LRN (passed here, exact there) and no gate (a constant here).
- Where rectifiers are functions too they equal a twin, differentiated by autograd, whose `F.relu` has the rule.

A dozen runs always, the whole zoo with `pytest -m zoo`: of 80 classifiers 51 run, 36 of them as Captum's and 6 as the
twin; 29 are refused for SiLU, Hardswish, GELU, tanh, layer-norm or attention.
"""

from __future__ import annotations

import copy
import warnings
from collections import Counter
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from zfnet.attribution.engine import Target, project
from zfnet.attribution.rules import METHODS
from zfnet.core.errors import UserError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torchvision import models

SIDES = {"inception_v3": 80, "maxvit_t": 224, "vit_h_14": 70}
SIDE = 64  # px
TIMM = (
    "resnet18", "resnext50_32x4d", "seresnet18", "wide_resnet50_2", "regnety_002", "densenet121", "mobilenetv2_050",
    "mobilenetv3_small_050", "efficientnet_lite0", "vgg11_bn", "repvgg_a0", "skresnet18", "ecaresnet26t",
    "resnet50", "dla34", "tf_efficientnet_b0",
)  # fmt: skip
ALWAYS = (
    "alexnet", "squeezenet1_1", "resnet18", "googlenet", "densenet121", "mobilenet_v2", "mobilenet_v3_small",
    "mnasnet0_5", "shufflenet_v2_x0_5", "regnet_y_400mf", "efficientnet_b0", "vit_b_16", "convnext_tiny",
)  # fmt: skip
NO_RULE = {  # how the names of the classifiers begin, and the function that has no rule
    "convnext": "layer_norm",
    "efficientnet": "silu",
    "maxvit": "tanh",
    "mobilenet_v3": "hardswish",
    "swin": "layer_norm",
    "vit": "layer_norm",
}
AS_CAPTUM = ("alexnet", "mnasnet", "regnet_x", "res", "shufflenet", "squeezenet", "vgg", "wide_resnet")
AS_TWIN = ("densenet", "googlenet", "inception")  # functional rectifiers


def build(name: str) -> nn.Module:
    options = {"transform_input": False, "aux_logits": False} if name in ("googlenet", "inception_v3") else {}
    size = {"image_size": SIDES.get(name, SIDE)} if name.startswith("vit") else {}
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        model = models.get_model(name, weights=None, num_classes=5, **options, **size).eval()
        for parameter in model.parameters():
            if parameter.ndim > 1 and not parameter.any():  # a head of zeros has no gradient
                nn.init.normal_(parameter, std=0.02)
        return model


def image(name: str) -> torch.Tensor:
    side = SIDES.get(name, SIDE)
    return torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(1))


def close(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4 * float(theirs.abs().max()))


def check_gradient(model: nn.Module, x: torch.Tensor) -> None:
    leaf = x.clone().requires_grad_()
    expected = torch.autograd.grad(model(leaf)[:, 2].sum(), leaf)[0]
    assert expected.abs().max() > 0
    close(project(model, x, Target(2), None, "gradient"), expected)


def run(model: nn.Module, x: torch.Tensor, method: str) -> torch.Tensor | str:
    """The projection, or the message of its refusal."""
    try:
        signal = project(model, x, Target(2), None, replace(METHODS[method], start="one"))
    except UserError as error:
        return str(error)
    assert signal.shape == x.shape and signal.isfinite().all()
    return signal


def captum(model: nn.Module, x: torch.Tensor, method: str) -> torch.Tensor:
    from captum.attr import Deconvolution, GuidedBackprop

    peer = copy.deepcopy(model)
    for module in peer.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kind = {"deconvnet": Deconvolution, "guided": GuidedBackprop}[method]
        return kind(peer).attribute(x.clone().requires_grad_(), target=2).detach()


def twin(model: nn.Module, x: torch.Tensor, method: str) -> torch.Tensor:
    """The projection by autograd, of a model whose `F.relu` has the method's rule."""

    class Rectifier(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.gate = x > 0
            return x.relu()

        @staticmethod
        def backward(ctx, signal):
            return signal.relu() * (ctx.gate if method == "guided" else 1)

    leaf = x.clone().requires_grad_()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(F, "relu", lambda x, inplace=False: Rectifier.apply(x))
        return torch.autograd.grad(model(leaf)[:, 2].sum(), leaf)[0]


def check(name: str) -> str:
    """All that is claimed of a classifier of torchvision; returns what its projections are."""
    model, x = build(name), image(name)
    check_gradient(model, x)
    refused = [function for family, function in NO_RULE.items() if name.startswith(family)]
    for method in ("deconvnet", "guided"):
        signal = run(model, x, method)
        if refused:
            assert isinstance(signal, str) and f"({refused[0]}): has no rule" in signal
            continue
        assert isinstance(signal, torch.Tensor), f"{name}: {signal}"
        if name.startswith(AS_CAPTUM):
            close(signal, captum(model, x, method))
        if name.startswith(AS_TWIN):
            close(signal, twin(model, x, method))
    if refused:
        return "refused"
    return "as Captum" if name.startswith(AS_CAPTUM) else "as the twin" if name.startswith(AS_TWIN) else "runs"


@pytest.mark.parametrize("name", ALWAYS)
def test_a_classifier_of_torchvision(name):
    check(name)


@pytest.mark.zoo
def test_all_classifiers_of_torchvision():
    names = models.list_models(module=models)
    counts = Counter(check(name) for name in names)
    assert counts == {"as Captum": 36, "as the twin": 6, "runs": 9, "refused": 29}


@pytest.mark.zoo
def test_common_convnets_of_timm():
    timm = pytest.importorskip("timm")
    refused = {}
    for name in TIMM:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = timm.create_model(name, pretrained=False, num_classes=5).eval()
        check_gradient(model, image(name))
        for method in ("deconvnet", "guided"):
            signal = run(model, image(name), method)
            if isinstance(signal, str):
                refused[name] = signal.split(":")[0]
    assert refused == {"mobilenetv3_small_050": "act2 (hardswish)", "tf_efficientnet_b0": "bn2.act (silu)"}
