"""[SVZ13] section 4: the deconvnet is the gradient, layer by layer, but for the ReLU.

For every layer of the network, its own input x and one signal R from above, drawn at random, the two backward steps are

    convolution, fully connected, max-pooling    the same
    ReLU                                         R 1(x > 0) of the gradient, R 1(R > 0) of the deconvnet

The paper has no contrast normalization; ours is passed through by the deconvnet, as the ECCV text of [ZF13] has it, so
that it differs too, by as much as it acts. A difference is |deconvnet - gradient| / |gradient|, of the whole layer.
"""

import copy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zfnet.attribution.engine import Backprojection
from zfnet.networks.network import Network
from zfnet.networks.normalization import LocalResponseNorm
from zfnet.networks.walk import Visitor, visit
from zfnet.plots import chart

SAME: dict[type[nn.Module], str] = {
    nn.Conv2d: "convolution",
    nn.MaxPool2d: "max-pooling",
    nn.Linear: "fully connected",
}
KINDS: dict[type[nn.Module], str] = SAME | {nn.ReLU: "ReLU", LocalResponseNorm: "contrast normalization"}


def layer_differences(network: Network, inputs: Tensor, seed: int) -> dict[str, dict[str, Any]]:
    """Module -> its kind and the relative difference of the two steps, in the order in which the modules run.

    inputs (b, 3, crop, crop). Modules of other kinds, and those that never run, are left out.
    """
    kinds = {name: KINDS[type(part)] for name, part in network.module.named_modules() if type(part) in KINDS}
    seen: dict[str, Tensor] = {}

    def keeping(name: str) -> Visitor:
        def keep(x: Tensor, y: Tensor) -> None:
            seen[name] = x.detach().clone()

        return keep

    with torch.no_grad():
        visit(network.module, inputs, {name: keeping(name) for name in kinds})
    differences = {}
    for i, (name, x) in enumerate(seen.items()):
        difference = _difference(network.module.get_submodule(name), x, seed + i)
        differences[name] = {"kind": kinds[name], "difference": difference}
    return differences


def _difference(module: nn.Module, x: Tensor, seed: int) -> float:
    module = copy.deepcopy(module)
    if isinstance(module, nn.ReLU):
        module.inplace = False
    gradient, deconvnet = (_step(module, x, method, seed) for method in ("gradient", "deconvnet"))
    return float((deconvnet - gradient).norm() / gradient.norm().clamp(min=1e-30))


def _step(module: nn.Module, x: Tensor, method: str, seed: int) -> Tensor:
    """What a random signal above the module becomes below it."""
    with torch.inference_mode(False), torch.enable_grad():
        x = x.clone().requires_grad_()
        y = Backprojection(module, method).activations(x)
        signal = torch.randn(y.shape, generator=torch.Generator().manual_seed(seed)).to(y)
        return torch.autograd.grad(y, x, signal)[0]


def summarize(differences: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The differences by module, the largest where [SVZ13] says that there is none, and the smallest of a ReLU."""
    elsewhere = [row["difference"] for row in differences.values() if row["kind"] in SAME.values()]
    rectifiers = [row["difference"] for row in differences.values() if row["kind"] == "ReLU"]
    numbers: dict[str, Any] = {"layers": differences}
    if elsewhere:
        numbers["largest_elsewhere"] = max(elsewhere)
    if rectifiers:
        numbers["smallest_of_relu"] = min(rectifiers)
    return numbers


def draw(differences: dict[str, dict[str, Any]], path: Path) -> None:
    """The difference of each layer as a dot."""
    rows = [chart.Dot(f"{name}, {row['kind']}", row["difference"]) for name, row in differences.items()]
    chart.save(chart.dots(rows, "|deconvnet − gradient| / |gradient|, one backward step"), path)
