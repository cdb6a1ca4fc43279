"""Local response normalization across maps (Krizhevsky et al. 2012, section 3.3).

    s_c = k + alpha * sum over the n neighboring maps of x^2        y_c = x_c * s_c^-beta

    dL/dx = g * s^-beta - 2 alpha beta * x * sum over neighbors of (g * x * s^(-beta-1))

[ZF13] defers the constants to Krizhevsky (n 5, k 2, alpha 1e-4, beta 0.75; alpha is not divided by n, as
`torch.nn.LocalResponseNorm` does). The sum over neighboring maps is a product with a band matrix, run as a 1x1
convolution, and the backward pass is the equation above: several times faster than torch's layer, which averages over a
5-d view and keeps every intermediate.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import handle_torch_function, has_torch_function_unary

from zfnet.networks.walk import Visitor, visit


class LocalResponseNorm(nn.Module):
    """(b, c, h, w) -> same shape. `size` is n, counted in maps; it must be odd."""

    def __init__(self, size: int = 5, k: float = 2.0, alpha: float = 1e-4, beta: float = 0.75) -> None:
        super().__init__()
        if size % 2 == 0:
            raise ValueError(f"size must be odd, not {size}")
        self.size, self.k, self.alpha, self.beta = size, k, alpha, beta

    def forward(self, x: Tensor) -> Tensor:
        return local_response_norm(x, self.size, self.k, self.alpha, self.beta)

    def extra_repr(self) -> str:
        return f"size={self.size}, k={self.k}, alpha={self.alpha}, beta={self.beta}"


def local_response_norm(x: Tensor, size: int, k: float, alpha: float, beta: float) -> Tensor:
    """Contrast normalization of x (b, c, h, w); torch's function modes see it as one function."""
    if has_torch_function_unary(x):
        return handle_torch_function(local_response_norm, (x,), x, size, k, alpha, beta)
    return Normalize.apply(x, size, k, alpha, beta)


class Normalize(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, size: int, k: float, alpha: float, beta: float) -> Tensor:
        s = _band_sum(x * x, size).mul_(alpha).add_(k)
        power = _negative_power(s, beta)
        ctx.save_for_backward(x, s, power)
        ctx.constants = size, alpha, beta
        return x * power

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None, None, None]:
        x, s, power = ctx.saved_tensors
        size, alpha, beta = ctx.constants
        direct = g * power
        neighbors = _band_sum(direct * x / s, size)
        return direct.addcmul_(x, neighbors, value=-2 * alpha * beta), None, None, None, None


def _band_sum(x: Tensor, size: int) -> Tensor:
    """Sum over the `size` neighboring maps of each map; maps beyond the first and last count as zero."""
    channels = x.shape[1]
    row = torch.arange(channels, device=x.device)
    band = ((row[:, None] - row[None, :]).abs() <= size // 2).to(x.dtype)
    return F.conv2d(x, band[:, :, None, None])


def _negative_power(s: Tensor, beta: float) -> Tensor:
    if beta == 0.75:
        root = s.rsqrt()  # s^-1/2
        return root.sqrt().mul_(root)  # s^-1/4 * s^-1/2, no logarithm
    return s.pow(-beta)


def departures(module: nn.Module, inputs: Tensor) -> dict[str, float]:
    """Module -> how far a contrast normalization departs from a constant factor on these network inputs.

    The largest relative deviation of its factor y / x from the median one; {} for a network without any.
    """
    names = [name for name, part in module.named_modules() if isinstance(part, LocalResponseNorm)]
    deviations: dict[str, float] = {}

    def measuring(name: str) -> Visitor:
        def visitor(x: Tensor, y: Tensor) -> None:
            factors = (y / x)[x > 0].double()
            if len(factors):
                deviations[name] = float((factors / factors.median() - 1).abs().max())

        return visitor

    if names:
        with torch.inference_mode():
            visit(module, inputs, {name: measuring(name) for name in names})
    return deviations
