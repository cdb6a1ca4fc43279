"""How much of the signal an estimator takes out of a neuron's input: the quality rho of [K17] 3, eq. 4.

    rho(S) = 1 - max over v of corr(w . x, v . (x - S(x)))            1: nothing about y = w . x is left in x - S(x)

S is fitted on one half of the training images, v on the other, and the correlation is measured on validation images.
Estimators: a random direction u, S(x) = u (w . x) / (w . u); S_w; S_a; S_a+-. All have the one form

    d = x - S(x) = x - s+ q+ - s- q-        q+ = y 1(y > 0), q- = y 1(y <= 0), s+ = s- but for S_a+-

so v = (cov[d] + lambda)^-1 cov[d, y] is closed-form and cheap: cov[d] is cov[x], one matrix a layer, changed in rank
four a neuron (Woodbury). [K17] calls the closed form too costly and runs Adam for a day; so do we where a neuron has
more than CLOSED_FORM_UP_TO inputs, on the same samples. lambda is RIDGE times the mean variance of an input: d never
moves along w, and few images tell little about thousands of inputs.

*A second target.* cov[d, y] = 0 for S_a and for S_a+- alike on the images that they were fitted on, by construction:
the formula as printed tells how well they carry over and cannot rank them. Yet the paper finds S_a clearly worse in
ReLU layers and says why: whether the neuron fired stays in the distractor. The neuron's output would show that. We
report both, rho for y as printed and for max(y + b, 0), the output [our reading].

*How many images fit v* matters: with few samples for each input v reads noise, and rho is too high. `measure` also
gives rho for v of a part of the images, so that one sees whether it has settled; differences are taken over the layers
with ENOUGH samples for each input.

[our choices] Every fully connected input is a sample; of a convolution a few random patches an image. Neurons are a
random sample where a layer has more than asked. A neuron that does not vary has no rho: it is left out and counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zfnet.attribution.patterns import Layer, Patterns, layers, weight_patterns
from zfnet.core.errors import UserError
from zfnet.networks.walk import Visitor, visit

ESTIMATORS = ("random", "w", "a", "a+")  # a+ stands for the pair of a+ and a-
TARGETS = ("y", "output")
PATCHES = 8  # of a convolution, an image
RIDGE = 1e-3
ROUNDING = 1e-7  # of float32 products, relative to the mean square of an input
ENOUGH = 5  # samples for each input of a neuron, from which its rho counts
CLOSED_FORM_UP_TO = 10_000  # inputs of a neuron
Batches = Callable[[], Iterable[Tensor]]  # network inputs, from the start at every call
Key = tuple[str, int]  # module name, group


@dataclass(frozen=True)
class Neurons:
    """Some neurons of one group of one layer, and what is taken for their signals; float64."""

    units: Tensor  # (m,) rows of the layer's weight
    w: Tensor  # (m, d)
    bias: Tensor  # (m,)
    signals: Tensor  # (e, m, d, 2): s+ and s- by estimator

    def regimes(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """For patches x (n, d): q = (q+, q-) (n, m, 2) and the targets (n, m, 2): w . x and max(w . x + b, 0)."""
        y = (x @ self.w.to(x).T).double()
        output = (y + self.bias).relu()
        on = (output > 0).double()
        return torch.stack([y * on, y * (1 - on)], -1), torch.stack([y, output], -1)


@dataclass(frozen=True)
class Quality:
    """By target: rho (e, m) of the neurons of one layer that vary, and how many do not.

    n_samples, n_inputs: samples that v was fitted to, and inputs of a neuron.
    """

    rho: dict[str, np.ndarray]
    n_constant: dict[str, int]
    n_samples: int = 0
    n_inputs: int = 0

    @property
    def has_enough(self) -> bool:
        return self.n_samples >= ENOUGH * self.n_inputs


def measure(
    module: nn.Module,
    patterns: Patterns,
    fitting: Batches,
    measuring: Batches,
    n_neurons: int,
    seed: int,
    also_at: Sequence[int] = (),
) -> dict[int, dict[str, Quality]]:
    """rho of `n_neurons` neurons, at most, of every layer: v fitted on `fitting`, the correlation on `measuring`.

    By the number of images that v was fitted to: all of them, the last entry, and about as many as each of `also_at`.
    """
    generator = torch.Generator().manual_seed(seed)
    groups = choose(module, patterns, n_neurons, generator)
    readers = {key: _reader(neurons) for key, neurons in groups.items()}
    readouts: dict[int, dict[Key, Tensor]] = {}
    samples: dict[int, dict[Key, int]] = {}

    def fit(key: Key, x: Tensor) -> None:
        readers[key].add(x)

    def solve(n_images: int) -> None:
        readouts[n_images] = {key: reader.solve() for key, reader in readers.items()}
        samples[n_images] = {key: reader.n for key, reader in readers.items()}

    with torch.inference_mode():
        wanted, n_images = sorted(also_at), 0
        for n_images in _sample(module, fitting(), groups, generator, fit):
            if wanted and n_images >= wanted[0]:
                wanted = [count for count in wanted if count > n_images]
                solve(n_images)
        solve(n_images)
        correlations = _correlate(module, measuring(), groups, generator, readouts)
    return {count: _by_layer(groups, samples[count], correlations[count]) for count in readouts}


def _correlate(
    module: nn.Module,
    batches: Iterable[Tensor],
    groups: Mapping[Key, Neurons],
    generator: torch.Generator,
    readouts: Mapping[int, Mapping[Key, Tensor]],
) -> dict[int, dict[Key, Correlation]]:
    """The correlations of what each set of readouts reads, over the same samples."""
    correlations = {count: {key: Correlation() for key in groups} for count in readouts}

    def correlate(key: Key, x: Tensor) -> None:
        neurons = groups[key]
        target = neurons.regimes(x)[1]
        for count, of_count in readouts.items():
            correlations[count][key].add(read(neurons, of_count[key], x), target)

    for _ in _sample(module, batches, groups, generator, correlate):
        pass
    return correlations


def _by_layer(
    groups: Mapping[Key, Neurons], samples: Mapping[Key, int], correlations: Mapping[Key, Correlation]
) -> dict[str, Quality]:
    """The quality of each layer, of the neurons of all its groups."""
    values: dict[str, list[Tensor]] = {}
    for (name, _), correlation in correlations.items():
        values.setdefault(name, []).append(correlation.value())
    n_inputs = {name: neurons.w.shape[1] for (name, _), neurons in groups.items()}
    n_samples = {name: samples[name, group] for name, group in groups}
    return {name: _quality(of_layer, n_samples[name], n_inputs[name]) for name, of_layer in values.items()}


def choose(module: nn.Module, patterns: Patterns, n_neurons: int, generator: torch.Generator) -> dict[Key, Neurons]:
    """(module name, group) -> its neurons, at random where a layer with patterns has more than `n_neurons`."""
    s_w, chosen = weight_patterns(module), {}
    for name, layer in layers(module).items():
        if name not in patterns.kinds["a"]:  # it never runs, as the auxiliary classifiers of GoogLeNet
            continue
        groups = getattr(layer, "groups", 1)
        members = torch.arange(len(layer.weight)).chunk(groups)
        for group in _drawn_groups(groups, n_neurons, generator):
            of_group = members[group]
            units = of_group[torch.randperm(len(of_group), generator=generator)[: max(1, n_neurons // groups)]]
            w = layer.weight.detach()[units].double().flatten(1)
            bias = torch.zeros_like(w[:, 0]) if layer.bias is None else layer.bias.detach()[units].double()
            random = torch.randn(w.shape, generator=generator, dtype=w.dtype).to(w.device)
            random = random / (w * random).sum(1, keepdim=True)  # w . s = 1, as for all
            a, on, off = (patterns.kinds[kind][name][units].flatten(1).to(w) for kind in ("a", "a+", "a-"))
            pairs = [(random, random), (s_w[name][units].flatten(1),) * 2, (a, a), (on, off)]
            signals = torch.stack([torch.stack(pair, -1) for pair in pairs])
            chosen[name, group] = Neurons(units, w, bias, signals)
    return chosen


def _drawn_groups(groups: int, n_neurons: int, generator: torch.Generator) -> list[int]:
    """The groups of a layer, or as many as neurons are wanted where there are more (depthwise convolutions)."""
    if groups <= n_neurons:
        return list(range(groups))
    return sorted(torch.randperm(groups, generator=generator)[:n_neurons].tolist())


def sample_patches(layer: Layer, x: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """Patches of inputs x that the layer's neurons see, (groups, samples, d): `n` random places an image, or x itself.

    The d inputs are in the order of the flattened weight.
    """
    if isinstance(layer, nn.Linear):
        return x[None]
    (height, width), (down, right), (dy, dx) = layer.kernel_size, layer.stride, layer.dilation
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    padded = F.pad(x, layer._reversed_padding_repeated_twice, mode)
    reach = padded.unfold(2, dy * (height - 1) + 1, down).unfold(3, dx * (width - 1) + 1, right)
    windows = reach[..., ::dy, ::dx]  # (b, c, oh, ow, kh, kw)
    rows = torch.randint(windows.shape[2], (len(x), n), generator=generator).to(x.device)
    columns = torch.randint(windows.shape[3], (len(x), n), generator=generator).to(x.device)
    patches = windows[torch.arange(len(x), device=x.device)[:, None], :, rows, columns]  # (b, n, c, kh, kw)
    return patches.reshape(len(x) * n, layer.groups, -1).transpose(0, 1)


class ClosedForm:
    """v by the normal equations, from sums over patches: float32 products, float64 sums."""

    def __init__(self, neurons: Neurons) -> None:
        self.neurons, self.n = neurons, 0
        self.sums: list[Tensor] = []

    def add(self, x: Tensor) -> None:
        q, t = self.neurons.regimes(x)
        f = torch.cat([q, t], -1)  # (n, m, 4)
        m, k = f.shape[1:]
        sums = [
            x.sum(0, dtype=torch.float64),
            (x.T @ x).double(),
            f.sum(0),
            (x.T @ f.flatten(1).to(x)).double().view(-1, m, k).movedim(0, 1),  # (m, d, 4)
            torch.einsum("nmi,nmj->mij", f, f),
        ]
        self.sums = [a + b for a, b in zip(self.sums, sums, strict=True)] if self.sums else sums
        self.n += len(x)

    def solve(self) -> Tensor:
        """v (e, m, d, targets)."""
        x, xx, f, xf, ff = (total / self.n for total in self.sums)
        c_xf = xf - x[:, None] * f[:, None]  # covariances
        c_ff = ff - f[:, :, None] * f[:, None]
        c_xx = xx - torch.outer(x, x)
        root = _cholesky(c_xx, RIDGE * c_xx.trace() / len(x) + 1e-30, ROUNDING * xx.trace() / len(x) + 1e-30)
        return torch.stack([_readout(root, s, c_xf, c_ff) for s in self.neurons.signals])


def _cholesky(covariance: Tensor, ridge: Tensor, rounding: Tensor) -> Tensor:
    """The factor of covariance + ridge, or a larger one from `rounding` on where inputs do not vary.

    Raises UserError where an input is not finite.
    """
    identity = torch.eye(len(covariance)).to(covariance)
    for added in (ridge, *(rounding * 10**power for power in range(8))):
        root, failed = torch.linalg.cholesky_ex(covariance + added * identity)
        if not failed:
            return root
    raise UserError("patterns: the activations of the network are not finite; check its weights")


def _readout(root: Tensor, s: Tensor, c_xf: Tensor, c_ff: Tensor) -> Tensor:
    """(cov[d] + lambda)^-1 cov[d, t] by Woodbury, (m, d, targets), for signals s (m, d, 2).

    cov[d] = cov[x] + U M U^T,  U = [s, cov[x, q]],  M = [[cov[q], -1], [-1, 0]],  M^-1 = [[0, -1], [-1, -cov[q]]]
    """

    def solve(columns: Tensor) -> Tensor:  # (m, d, k) -> (m, d, k)
        m, d, k = columns.shape
        flat = torch.cholesky_solve(columns.movedim(0, 1).reshape(d, m * k), root)
        return flat.view(d, m, k).movedim(0, 1)

    c_xq, c_xt, c_qq, c_qt = c_xf[..., :2], c_xf[..., 2:], c_ff[:, :2, :2], c_ff[:, :2, 2:]
    c_dt = c_xt - s @ c_qt
    u = torch.cat([s, c_xq], -1)  # (m, d, 4)
    identity = torch.eye(2).to(s).expand(len(s), 2, 2)
    inverse = torch.cat([torch.cat([0 * identity, -identity], 2), torch.cat([-identity, -c_qq], 2)], 1)
    beside, plain = solve(u), solve(c_dt)
    return plain - beside @ torch.linalg.solve(inverse + u.mT @ beside, u.mT @ plain)


class Adam:
    """v by Adam on mini-batches of the kept patches, as [K17]: for neurons with very many inputs."""

    def __init__(self, neurons: Neurons, steps: int = 1000, batch: int = 256, lr: float = 0.01) -> None:
        self.neurons, self.steps, self.batch, self.lr = neurons, steps, batch, lr
        self.kept: list[Tensor] = []

    @property
    def n(self) -> int:
        return sum(len(x) for x in self.kept)

    def add(self, x: Tensor) -> None:
        self.kept.append(x)

    def solve(self) -> Tensor:
        """v (e, m, d, targets), up to a factor for each neuron: a correlation is the same for all of them."""
        with torch.inference_mode(False), torch.enable_grad():
            x = torch.cat(self.kept).clone()
            unit = x.var(0, correction=0).mean().sqrt() + 1e-15
            t = self.neurons.regimes(x)[1]
            middle, spread = t.mean(0), t.std(0, correction=0) + 1e-15
            v = torch.zeros(*self.neurons.signals.shape, dtype=torch.float64, device=x.device, requires_grad=True)
            offset = torch.zeros(*v.shape[:2], 2, dtype=torch.float64, device=x.device, requires_grad=True)
            adam = torch.optim.Adam([v, offset], lr=self.lr)
            decay = torch.optim.lr_scheduler.LinearLR(adam, 1.0, 0.01, self.steps)
            order = torch.Generator().manual_seed(0)
            for _ in range(self.steps):
                drawn = x[torch.randint(len(x), (self.batch,), generator=order).to(x.device)].clone()
                target = (self.neurons.regimes(drawn)[1] - middle) / spread
                guess = read(self.neurons, v / unit, drawn) - offset[:, None]  # (e, n, m, targets)
                loss = ((guess - target) ** 2).mean(1).sum() + RIDGE * (v**2).sum()
                adam.zero_grad()
                loss.backward()
                adam.step()
                decay.step()
        return v.detach()


def read(neurons: Neurons, v: Tensor, x: Tensor) -> Tensor:
    """v . d for patches x (n, d): (e, n, m, targets), by v . x - (v . s+) q+ - (v . s-) q-."""
    q, _ = neurons.regimes(x)
    e, m, d, k = v.shape
    along = torch.einsum("emds,emdk->emsk", neurons.signals, v)
    straight = (x.double() @ v.permute(2, 0, 1, 3).reshape(d, -1)).view(len(x), e, m, k).movedim(0, 1)
    return straight - torch.einsum("nms,emsk->enmk", q, along)


class Correlation:
    """Correlation over samples of what was read (e, n, m, targets) with the targets (n, m, targets)."""

    def __init__(self) -> None:
        self.total: Any = 0
        self.n = 0

    def add(self, p: Tensor, t: Tensor) -> None:
        t = t.expand_as(p)
        self.total = self.total + torch.stack([p, t, p * p, t * t, p * t]).sum(2)
        self.n += p.shape[1]

    def value(self) -> Tensor:
        """(e, m, targets); 0 where nothing is read, nan where the target does not vary."""
        p, t, pp, tt, pt = self.total / self.n
        var_p, var_t = pp - p * p, tt - t * t
        constant, silent = var_t <= 1e-12 * tt, var_p <= 1e-12 * pp
        r = (pt - p * t) / torch.where(constant | silent, 1, var_p * var_t).sqrt()
        return torch.where(constant, torch.nan, torch.where(silent, 0, r))


def _reader(neurons: Neurons) -> ClosedForm | Adam:
    return ClosedForm(neurons) if neurons.w.shape[1] <= CLOSED_FORM_UP_TO else Adam(neurons)


def _sample(
    module: nn.Module,
    batches: Iterable[Tensor],
    groups: Mapping[Key, Neurons],
    generator: torch.Generator,
    use: Callable[[Key, Tensor], None],
) -> Iterator[int]:
    """Call `use` with every group and patches (n, d) of its inputs; yields the images so far after each batch."""

    def sampling(name: str) -> Visitor:
        layer = module.get_submodule(name)
        assert isinstance(layer, Layer)

        def visitor(x: Tensor, y: Tensor) -> None:
            for group, patches in enumerate(sample_patches(layer, x, PATCHES, generator)):
                if (name, group) in groups:
                    use((name, group), patches)

        return visitor

    visitors = {name: sampling(name) for name, _ in groups}
    n_images = 0
    for x in batches:
        visit(module, x, visitors)
        n_images += len(x)
        yield n_images


def _quality(correlations: list[Tensor], n_samples: int, n_inputs: int) -> Quality:
    """Correlations (e, m, targets) of the groups of a layer, as rho of the neurons that vary."""
    rho = dict(zip(TARGETS, 1 - torch.cat(correlations, 1).cpu().numpy().transpose(2, 0, 1), strict=True))
    varies = {target: np.isfinite(values).all(0) for target, values in rho.items()}
    return Quality(
        {target: values[:, varies[target]] for target, values in rho.items()},
        {target: int((~varies[target]).sum()) for target in TARGETS},
        n_samples,
        n_inputs,
    )
