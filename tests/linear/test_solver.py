"""The Newton solver against scikit-learn on the raw features, for wide and for tall ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from zfnet.linear.gram import gram, kernels
from zfnet.linear.solver import (
    LOSSES,
    ROUGH,
    SOFTMAX,
    SVM,
    Problem,
    Space,
    _conjugate_gradients,
    _factorize,
    decide,
    fit,
    targets_of,
)

N_TRAIN, N_CLASSES = 80, 5
SHAPES = pytest.mark.parametrize("width", [300, 12], ids=["wide", "tall"])
GRID = pytest.mark.parametrize("c", [0.01, 1.0, 100.0])


def draw(width: int) -> tuple[np.ndarray, np.ndarray]:
    """Rectified features of length about 1 and labels; the first N_TRAIN rows are for training."""
    rng = np.random.default_rng(width)
    labels = np.arange(2 * N_TRAIN) % N_CLASSES
    centres = rng.normal(size=(N_CLASSES, width))
    x = np.maximum(rng.normal(size=(len(labels), width)) + 0.4 * centres[labels], 0)
    return (x / np.linalg.norm(x[:N_TRAIN], axis=1).mean()).astype(np.float32), labels


def decisions(x: np.ndarray, targets: torch.Tensor, loss, c: float) -> np.ndarray:
    products = gram(x, np.arange(len(x)))
    v = fit(products[:N_TRAIN, :N_TRAIN], targets, loss, c)
    return decide(products[N_TRAIN:, :N_TRAIN], v).numpy()


@SHAPES
@GRID
def test_svm_decides_as_linear_svc(width, c):
    x, labels = draw(width)
    targets = targets_of(torch.from_numpy(labels[:N_TRAIN]), N_CLASSES, SVM)
    peer = LinearSVC(C=c, loss="squared_hinge", dual=False, tol=1e-9, max_iter=100_000)
    peer.fit(x[:N_TRAIN].astype(np.float64), labels[:N_TRAIN])
    np.testing.assert_allclose(decisions(x, targets, SVM, c), peer.decision_function(x[N_TRAIN:]), atol=1e-4)


@SHAPES
@GRID
def test_softmax_decides_as_logistic_regression(width, c):
    x, labels = draw(width)
    targets = targets_of(torch.from_numpy(labels[:N_TRAIN]), N_CLASSES, SOFTMAX)
    peer = LogisticRegression(C=c, tol=1e-9, max_iter=100_000).fit(x[:N_TRAIN].astype(np.float64), labels[:N_TRAIN])
    np.testing.assert_allclose(decisions(x, targets, SOFTMAX, c), peer.decision_function(x[N_TRAIN:]), atol=1e-4)


@pytest.mark.parametrize("c", [10.0, 100.0, 1000.0])
@pytest.mark.parametrize("loss", LOSSES)
def test_many_more_rows_than_features_and_overlapping_classes_are_fitted_at_a_large_c(loss, c):
    rng = np.random.default_rng(30)
    labels = np.arange(240) % 8
    x = np.maximum(rng.normal(size=(240, 30)) + 0.15 * rng.normal(size=(8, 30))[labels], 0)
    x = x / np.linalg.norm(x, axis=1).mean()
    kernel = gram(x, np.arange(240))
    v = fit(kernel, targets_of(torch.from_numpy(labels), 8, LOSSES[loss]), LOSSES[loss], c)
    if loss == "svm":
        peer = LinearSVC(C=c, dual=False, tol=1e-10, max_iter=1_000_000).fit(x, labels)
    else:
        peer = LogisticRegression(C=c, tol=1e-10, max_iter=100_000).fit(x, labels)
    np.testing.assert_allclose(decide(kernel, v), peer.decision_function(x), atol=5e-5)
    assert loss == "svm" or abs(float(v[-1].sum())) < 1e-9  # of biases that differ by a constant, those around 0


@pytest.mark.parametrize("c", [100.0, 10_000.0])
@pytest.mark.parametrize("loss", LOSSES)
def test_centered_features_of_several_labels_are_fitted_at_a_large_c(loss, c):
    """The inner products hide what all coefficients have in common, which must not grow."""
    rng = np.random.default_rng(8)
    x = np.maximum(rng.normal(size=(100, 24)) @ rng.normal(size=(24, 256)) + 0.2 * rng.normal(size=(100, 256)), 0)
    x *= 3 / np.linalg.norm(x, axis=1).mean()
    present = torch.from_numpy(rng.random((100, 20)) < 0.12).double()
    y = 2 * present - 1 if loss == "svm" else present / present.sum(1, keepdim=True).clamp(min=1)
    kernel, _ = kernels(gram(x, np.arange(100)), torch.arange(100), torch.arange(100), "center")
    v = fit(kernel, y, LOSSES[loss], c)
    centered = torch.from_numpy(x - x.mean(0))
    centered /= centered.square().sum(1).mean().sqrt()
    torch.testing.assert_close(centered @ centered.T, kernel)
    w = centered.T @ v[:-1]
    gradient = w + c * centered.T @ LOSSES[loss].slope(centered @ w + v[-1], y)  # of F in w itself
    assert gradient.norm() <= 1e-5 * w.norm()


@pytest.mark.parametrize("loss", [SVM, SOFTMAX], ids=["svm", "softmax"])
def test_a_rough_fit_of_a_small_c_decides_as_an_exact_one(loss):
    x, labels = draw(300)
    train, test = torch.arange(N_TRAIN), torch.arange(N_TRAIN, len(x))
    kernel, outer = kernels(gram(x, np.arange(len(x))), train, test, "center")
    targets = targets_of(torch.from_numpy(labels[:N_TRAIN]), N_CLASSES, loss)
    for c in (1e-4, 1e-3, 1e-2):
        exact = decide(outer, fit(kernel, targets, loss, c))
        for start in (None, fit(kernel, targets, loss, 10 * c)):
            rough = decide(outer, fit(kernel, targets, loss, c, start, ROUGH))
            assert float((rough - exact).norm() / exact.norm()) < 10 * ROUGH


@pytest.mark.parametrize("scaling", ["mean", "unit", "center"])
def test_scaled_inner_products_decide_as_scaled_features(scaling):
    x, labels = draw(40)
    x = 30 * x
    train, test = torch.arange(N_TRAIN), torch.arange(N_TRAIN, len(x))
    kernel, outer = kernels(gram(x, np.arange(len(x))), train, test, scaling)
    ours = decide(outer, fit(kernel, targets_of(torch.from_numpy(labels[:N_TRAIN]), N_CLASSES, SVM), SVM, 1.0))
    seen = x[:N_TRAIN].astype(np.float64)
    shift = seen.mean(0) if scaling == "center" else 0
    lengths = {
        "mean": np.linalg.norm(seen, axis=1).mean(),
        "unit": np.linalg.norm(x, axis=1, keepdims=True),
        "center": np.sqrt(((seen - shift) ** 2).sum(1).mean()),
    }
    z = (x - shift) / lengths[scaling]
    peer = LinearSVC(C=1.0, dual=False, tol=1e-9, max_iter=100_000).fit(z[:N_TRAIN], labels[:N_TRAIN])
    np.testing.assert_allclose(ours, peer.decision_function(z[N_TRAIN:]), atol=1e-4)


def test_svm_passes_over_rows_whose_target_is_zero():
    x, labels = draw(30)
    targets = targets_of(torch.from_numpy(labels[:N_TRAIN]), N_CLASSES, SVM)
    targets[:20, 2] = 0
    peer = LinearSVC(C=1.0, dual=False, tol=1e-9, max_iter=100_000)
    peer.fit(x[20:N_TRAIN].astype(np.float64), labels[20:N_TRAIN] == 2)
    np.testing.assert_allclose(decisions(x, targets, SVM, 1.0)[:, 2], peer.decision_function(x[N_TRAIN:]), atol=1e-4)


def test_softmax_passes_over_rows_without_a_target():
    x, labels = draw(30)
    targets = targets_of(torch.from_numpy(labels[:N_TRAIN]), N_CLASSES, SOFTMAX)
    targets[:20] = 0
    peer = LogisticRegression(C=1.0, tol=1e-9, max_iter=10_000)
    peer.fit(x[20:N_TRAIN].astype(np.float64), labels[20:N_TRAIN])
    np.testing.assert_allclose(decisions(x, targets, SOFTMAX, 1.0), peer.decision_function(x[N_TRAIN:]), atol=1e-4)


@pytest.mark.parametrize("loss", [SVM, SOFTMAX], ids=["svm", "softmax"])
def test_a_warm_start_ends_where_a_cold_one_does(loss):
    x, labels = draw(300)
    kernel = gram(x[:N_TRAIN], np.arange(N_TRAIN))
    targets = targets_of(torch.from_numpy(labels[:N_TRAIN]), N_CLASSES, loss)
    warm = fit(kernel, targets, loss, 100.0, start=fit(kernel, targets, loss, 10.0))
    cold = fit(kernel, targets, loss, 100.0)
    torch.testing.assert_close(decide(kernel, warm), decide(kernel, cold), atol=1e-4, rtol=0)


@pytest.mark.parametrize("loss", [SVM, SOFTMAX], ids=["svm", "softmax"])
def test_slope_and_curvature_are_derivatives_of_the_loss(loss):
    torch.manual_seed(0)
    f, direction = torch.randn(2, 6, 4, dtype=torch.float64)
    y = targets_of(torch.tensor([0, 1, 2, 3, 0, 1]), 4, loss)
    y[0] = 0

    def value(f: torch.Tensor) -> torch.Tensor:  # the definitions, literally
        if loss is SVM:
            return sum((1 - y[i, k] * f[i, k]).clamp(min=0) ** 2 for i in range(1, 6) for k in range(4))
        return sum(f[i].logsumexp(0) - (y[i] * f[i]).sum() for i in range(1, 6))

    slope = torch.autograd.functional.jacobian(value, f)
    bend = torch.autograd.functional.hvp(value, f, direction)[1]
    torch.testing.assert_close(loss.slope(f, y), slope)
    torch.testing.assert_close(loss.curvature(f, y)(direction), bend)


def test_a_large_c_on_separable_rows_still_converges():
    x, labels = draw(300)
    kernel = gram(x[:N_TRAIN], np.arange(N_TRAIN))
    targets = targets_of(torch.from_numpy(labels[:N_TRAIN]), N_CLASSES, SVM)
    margins = targets * decide(kernel, fit(kernel, targets, SVM, 1e4))
    assert float(margins.min()) > 1 - 1e-2


def test_identical_rows_give_identical_decisions():
    x = np.ones((6, 4), dtype=np.float32)
    kernel = gram(x, np.arange(6))
    for loss in (SVM, SOFTMAX):
        f = decide(kernel, fit(kernel, targets_of(torch.arange(6) % 2, 2, loss), loss, 1.0))
        torch.testing.assert_close(f, torch.zeros(6, 2, dtype=torch.float64), atol=1e-5, rtol=0)


def test_features_that_are_not_finite_are_refused():
    kernel = torch.full((4, 4), float("nan"), dtype=torch.float64)
    with pytest.raises(ArithmeticError, match="C = 1.0"):
        fit(kernel, targets_of(torch.arange(4) % 2, 2, SVM), SVM, 1.0)


@pytest.mark.parametrize("way", ["factorized", "conjugate gradients", "conjugate gradients, softmax"])
def test_each_way_solves_newtons_system(way):
    x, labels = draw(300)
    loss, space = SOFTMAX if "softmax" in way else SVM, Space.of(gram(x[:N_TRAIN], np.arange(N_TRAIN)))
    problem = Problem(space, targets_of(torch.from_numpy(labels[:N_TRAIN]), N_CLASSES, loss), loss, 2.0)
    v = 0.3 * torch.randn(N_TRAIN + 1, N_CLASSES, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    image = space.image(v)
    f, g = image[:-1] + image[-1], problem.gradient(v, image)
    if way == "factorized":
        s, image_s = _factorize(problem, problem.y * f < 1, v, image)
    else:
        s, image_s = _conjugate_gradients(problem, image, -g, -space.image(g), torch.tensor(1e-5))
    torch.testing.assert_close(image_s, space.image(s), atol=1e-4, rtol=1e-4)
    left = problem.hessian(loss.curvature(f, problem.y), s, image_s) + g
    share = (left * space.image(left)).sum() / (g * space.image(g)).sum()
    assert float(share) < (1e-16 if way == "factorized" else 0.1**2)


@pytest.mark.parametrize("loss", [SVM, SOFTMAX], ids=["svm", "softmax"])
def test_a_residual_that_the_features_hardly_see_does_not_mislead_conjugate_gradients(loss):
    x, labels = draw(12)
    space = Space.of(gram(x[:N_TRAIN], np.arange(N_TRAIN)))
    problem = Problem(space, targets_of(torch.from_numpy(labels[:N_TRAIN]), N_CLASSES, loss), loss, 2.0)
    v = 0.1 * torch.randn(N_TRAIN + 1, N_CLASSES, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    image = space.image(v)
    basis = torch.linalg.qr(torch.from_numpy(x[:N_TRAIN]).double()).Q
    unseen = 2e5 * (v[:-1] - basis @ (basis.T @ v[:-1]))  # K takes it to nothing but rounding
    r = -problem.gradient(v, image)
    r[:-1] += unseen
    s, image_s = _conjugate_gradients(problem, image, r, space.image(r), torch.tensor(1e-5))
    left = problem.hessian(loss.curvature(image[:-1] + image[-1], problem.y), s, image_s) - r
    assert float((left * space.image(left)).sum() / (r * space.image(r)).sum()) < 0.1**2


def test_the_leading_directions_are_orthonormal_and_carry_the_rows_squares():
    x, _ = draw(12)
    space = Space.of(gram(x[:N_TRAIN], np.arange(N_TRAIN)))
    together = space.directions.T @ space.images
    torch.testing.assert_close(together, torch.eye(len(together), dtype=torch.float64), atol=1e-8, rtol=0)
    with_ones = np.concatenate([x[:N_TRAIN].astype(np.float64), np.ones((N_TRAIN, 1))], axis=1)
    squares = np.linalg.svd(with_ones, compute_uv=False) ** 2
    np.testing.assert_allclose(space.strengths.flip(0)[:13].numpy(), squares, rtol=1e-6)
