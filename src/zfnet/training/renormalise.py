"""RMS renormalisation of convolution filters ([ZF13] section 3).

"we renormalize each filter in the convolutional layers whose RMS value exceeds a fixed radius of 10^-1 to this fixed
radius. This is crucial, especially in the first layer of the model, where the input images are roughly in the range
[-128,128]."

    w <- w * min(1, radius / rms(w)),   rms(w) = sqrt(mean of w^2 over the in * k * k weights of one filter)

It is applied after every update and leaves biases alone [NS]. The radius is in the paper's units, inputs in pixels.
Where inputs are divided by `divisor`, a first layer with weights w * divisor computes the same function, so its radius
is multiplied by the divisor; the later layers see the same activations and keep theirs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Renormaliser:
    """Clips the filters of every convolution of `model` to `radius` (0: does nothing)."""

    def __init__(self, model: nn.Module, radius: float, divisor: float) -> None:
        convolutions = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
        self._filters = [convolution.weight for convolution in convolutions] if radius else []
        self._radii = [radius * (divisor if i == 0 else 1.0) for i in range(len(self._filters))]

    @torch.no_grad()
    def __call__(self) -> None:
        for weight, radius in zip(self._filters, self._radii, strict=True):
            weight.mul_((radius / filter_rms(weight)).clamp(max=1.0).reshape(-1, 1, 1, 1))

    def clipped(self) -> list[float]:
        """Share of the filters of each convolution that lie on the radius."""
        pairs = zip(self._filters, self._radii, strict=True)
        return [float((filter_rms(weight) >= 0.999 * radius).float().mean()) for weight, radius in pairs]


def filter_rms(weight: Tensor) -> Tensor:
    """Root mean square of each filter of a convolution weight (out, in, k, k) -> (out,)."""
    return weight.detach().square().mean(dim=(1, 2, 3)).sqrt()
