"""Contrast normalisation against loops, against PyTorch's and against numerical gradients."""

import pytest
import torch
from torch.nn import functional as F

from zfnet.networks.normalization import LocalResponseNorm


def literal(x, n, k, alpha, beta):
    y = torch.empty_like(x)
    channels = x.shape[1]
    for c in range(channels):
        window = range(max(0, c - n // 2), min(channels, c + n // 2 + 1))
        y[:, c] = x[:, c] / (k + alpha * sum(x[:, j] ** 2 for j in window)) ** beta
    return y


@pytest.mark.parametrize(("n", "beta"), [(5, 0.75), (3, 0.5), (1, 0.75)])
def test_equals_the_formula_in_loops(n, beta):
    x = 3 * torch.randn(2, 7, 4, 3, dtype=torch.double)
    ours = LocalResponseNorm(n, 2.0, 0.1, beta)(x)
    torch.testing.assert_close(ours, literal(x, n, 2.0, 0.1, beta), rtol=1e-12, atol=1e-12)


def test_alpha_is_krizhevskys_which_is_n_times_pytorchs():
    x = 20 * torch.randn(2, 9, 5, 5)
    torch.testing.assert_close(LocalResponseNorm()(x), F.local_response_norm(x, 5, 5e-4, 0.75, 2.0))


@pytest.mark.parametrize("channels", [2, 6])
def test_the_analytic_backward_passes_gradcheck(channels):
    x = (2 * torch.randn(2, channels, 3, 3, dtype=torch.double)).requires_grad_()
    assert torch.autograd.gradcheck(LocalResponseNorm(alpha=0.3), x)


def test_bf16_stays_close_to_fp32():
    x = 10 * torch.randn(2, 16, 6, 6)
    torch.testing.assert_close(LocalResponseNorm()(x.bfloat16()).float(), LocalResponseNorm()(x), rtol=0.03, atol=0.05)


def test_an_even_window_is_refused():
    with pytest.raises(ValueError, match="odd"):
        LocalResponseNorm(4)
