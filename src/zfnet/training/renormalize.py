"""RMS renormalization of convolution filters ([ZF13] section 3).

"we renormalize each filter in the convolutional layers whose RMS value exceeds a fixed radius of 10^-1 to this fixed
radius. This is crucial, especially in the first layer of the model, where the input images are roughly in the range
[-128,128]."

    w <- w * min(1, radius / rms(w)),   rms(w) = sqrt(mean of w^2 over the in * k * k weights of one filter)

It is applied after every update and leaves biases alone [NS]. The radius is in the paper's units, inputs in pixels.
Where inputs are divided by `divisor`, a first layer with weights w * divisor computes the same function, so its radius
is multiplied by the divisor; the later layers see the same activations and keep theirs.
"""

import math

import torch
from torch import Tensor, nn


class Renormalizer:
    """Scales the filters of every convolution of `model` back to `radius` (0: never)."""

    def __init__(self, model: nn.Module, radius: float, divisor: float) -> None:
        convolutions = {name: module for name, module in model.named_modules() if isinstance(module, nn.Conv2d)}
        self._filters = {name: convolution.weight for name, convolution in convolutions.items()}
        self._units = {name: divisor if i == 0 else 1.0 for i, name in enumerate(convolutions)}
        self._radius = radius

    @torch.no_grad()
    def __call__(self) -> None:
        if not self._radius:
            return
        for name, weight in self._filters.items():
            scale = (self._radius * self._units[name] / filter_rms(weight)).clamp(max=1.0)
            weight.mul_(scale.reshape(-1, 1, 1, 1))

    def measure(self) -> dict[str, dict[str, float]]:
        """Mean and largest RMS of each convolution's filters, in the paper's units, and the share on the radius."""
        numbers: dict[str, dict[str, float]] = {"rms_mean": {}, "rms_max": {}, "clipped_filters": {}}
        for name, weight in self._filters.items():
            rms = filter_rms(weight) / self._units[name]
            on_radius = rms >= 0.999 * (self._radius or math.inf)
            numbers["rms_mean"][name] = float(rms.mean())
            numbers["rms_max"][name] = float(rms.max())
            numbers["clipped_filters"][name] = float(on_radius.float().mean())
        return numbers


def filter_rms(weight: Tensor) -> Tensor:
    """Root mean square of each filter of a convolution weight (out, in, k, k) -> (out,)."""
    return weight.detach().square().mean(dim=(1, 2, 3)).sqrt()
