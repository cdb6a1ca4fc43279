"""Linear classifiers on frozen features, exact, from inner products alone ([ZF13] section 4.2, Table 7).

Both classifiers of the paper minimise, over the weights w_k and the bias b_k of each class k,

    F(w, b) = 1/2 sum_k (|w_k|^2 + penalty b_k^2) + C sum_i loss(f_i, y_i),    f_ik = w_k . x_i + b_k.

    svm      sum_k max(0, 1 - y_ik f_ik)^2, one class against the rest, penalty 1: scikit-learn's LinearSVC
    softmax  log sum_k exp f_ik - y_i . f_i, penalty 0: scikit-learn's LogisticRegression

Newton's method, every linear system by conjugate gradients, both carried out in coefficients of the training
rows: as w = X' beta, a point (w, b) is v = [beta; b] of n + 1 rows, one column a class; its decision values
are f = K beta + b with K = X X', and the inner product of two points is u . G v, with G = diag(K, 1). A loss
with derivative l'(f) and second derivative l''(f) has, in these coefficients,

    gradient  g   = P v + C [l'; sum_i l'],        P = diag(1, penalty)
    Hessian   H s = P s + C [l''(f_s); sum_i l''(f_s)],        f_s = K s_beta + s_b

so a step of conjugate gradients costs one product K r for all the classes together, whatever the width of the
features. This is the primal method of Chapelle (Neural Computation 2007) in the geometry of w, without a
factorisation of K.

F is 1-strongly convex in w, hence |w - w*| <= |gradient|, and a decision value is within `tolerance` times
the length of its feature vector of the exact one (for softmax, up to its unpenalised bias). Everything is
float64. C is [NS] in the paper: it is chosen on a held-out part of the training images, never on the test
images.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from zfnet.transfer.gram import multiply

TOLERANCE = 1e-5  # of the gradient's length; features have length about 1
ROUGH = 1e-2  # enough to rank values of C by held-out accuracy
EASY = 10.0  # a larger C is approached from its tenth: the SVM's active rows then change few at a time
STEPS = 100  # Newton steps; 5 to 12 are usual
INNER_STEPS = 500  # of conjugate gradients within one; 10 to 60 are usual


Curvature = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Loss:
    """A loss of decision values f and targets y, both (n, classes), through its first two derivatives in f."""

    slope: Callable[[Tensor, Tensor], Tensor]
    curvature: Callable[[Tensor, Tensor], Curvature]  # second derivative, as a map of directions
    penalty: float  # on the bias
    axes: tuple[int, ...]  # summed over in one minimisation: rows, or rows and classes where classes are coupled


def _margin(f: Tensor, y: Tensor) -> Tensor:
    return (y * y - y * f).clamp(min=0)  # 1 - y f, and 0 where y = 0


def _svm_curvature(f: Tensor, y: Tensor) -> Curvature:
    active = 2.0 * (_margin(f, y) > 0)
    return lambda direction: active * direction


def _softmax_curvature(f: Tensor, y: Tensor) -> Curvature:
    p, counted = f.softmax(1), y.sum(1, keepdim=True)
    return lambda direction: counted * p * (direction - (p * direction).sum(1, keepdim=True))


SVM = Loss(  # y is 1, -1, or 0: not counted for this class
    slope=lambda f, y: -2 * y * _margin(f, y), curvature=_svm_curvature, penalty=1.0, axes=(0,)
)
SOFTMAX = Loss(  # the rows of y are distributions over the classes, or zero: not counted
    slope=lambda f, y: y.sum(1, keepdim=True) * f.softmax(1) - y,
    curvature=_softmax_curvature,
    penalty=0.0,
    axes=(0, 1),
)
LOSSES = {"svm": SVM, "softmax": SOFTMAX}


def targets_of(labels: Tensor, n_classes: int, loss: Loss) -> Tensor:
    """(n, classes) float64 targets of class labels: 1 and -1 for the SVM, 1 and 0 for the softmax."""
    one_hot = torch.nn.functional.one_hot(labels, n_classes).double()
    return 2 * one_hot - 1 if loss is SVM else one_hot


def decide(kernel: Tensor, v: Tensor) -> Tensor:
    """(m, classes) decision values of rows whose inner products with the training rows are `kernel` (m, n)."""
    return multiply(kernel, v[:-1]).add_(v[-1])


@dataclass(frozen=True)
class Problem:
    """F for one kernel, targets, loss and C; points v are (n + 1, classes), `image` is G v."""

    kernel: Tensor
    y: Tensor
    loss: Loss
    c: float

    def image(self, v: Tensor) -> Tensor:
        return torch.cat([multiply(self.kernel, v[:-1]), v[-1:]])

    def inner(self, u: Tensor, image: Tensor) -> Tensor:
        return (u * image).sum(self.loss.axes, keepdim=True)  # u . G v, for each minimisation

    def gradient(self, v: Tensor, image: Tensor) -> Tensor:
        return self._penalised(v, self.loss.slope(_values(image), self.y))

    def hessian(self, curvature: Curvature, s: Tensor, image: Tensor) -> Tensor:
        return self._penalised(s, curvature(_values(image)))

    def _penalised(self, v: Tensor, pull: Tensor) -> Tensor:
        bias = self.loss.penalty * v[-1:] + self.c * pull.sum(0, keepdim=True)
        return torch.cat([v[:-1] + self.c * pull, bias])


def _values(image: Tensor) -> Tensor:
    return image[:-1] + image[-1]  # f = K beta + b


def fit(
    kernel: Tensor, y: Tensor, loss: Loss, c: float, start: Tensor | None = None, tolerance: float = TOLERANCE
) -> Tensor:
    """The minimiser [beta; b] of F, (n + 1, classes) float64; `start` is a minimiser for a nearby C.

    Classes that have converged take no further part. Raises ArithmeticError when the gradient is not below
    `tolerance` after STEPS steps, which needs features that are not finite or a C beyond float64.
    """
    if start is None and c > EASY:
        start = fit(kernel, y, loss, c / 10, tolerance=ROUGH)
    v = kernel.new_zeros(len(y) + 1, y.shape[1]) if start is None else start.clone()
    problem = Problem(kernel, y, loss, c)
    for _ in range(STEPS):
        image = problem.image(v)
        gradient = problem.gradient(v, image)
        lengths = problem.inner(gradient, problem.image(gradient)).clamp(min=0).sqrt()
        left = ~(lengths <= tolerance).expand(1, v.shape[1])[0]
        if not left.any():
            return v
        rest = replace(problem, y=y[:, left])
        v[:, left] += _newton_step(rest, v[:, left], image[:, left], gradient[:, left], tolerance)
    raise ArithmeticError(f"no minimum found at C = {c}: the gradient is {float(lengths.max()):.1e} long")


def _newton_step(problem: Problem, v: Tensor, image: Tensor, gradient: Tensor, tolerance: float) -> Tensor:
    """The step to the minimum of F's parabola at v, then along that line to the minimum of F itself.

    The full step is kept where it already flattens F ten times, which it does near the minimum. The search
    needs no product with K; it is Newton's method in one variable, kept inside the bracket (low, high).
    """
    f = _values(image)
    step, image_step = _conjugate_gradients(problem, problem.loss.curvature(f, problem.y), -gradient, tolerance)
    along = _values(image_step)
    start = problem.inner(gradient, image_step)
    t = torch.ones_like(start)
    low, high = torch.zeros_like(t), torch.full_like(t, torch.inf)
    for _ in range(30):
        at, image_at = v + t * step, image + t * image_step
        slope = problem.inner(problem.gradient(at, image_at), image_step)
        steep = slope.abs() > 0.1 * start.abs()
        if not steep.any():
            break
        curvature = problem.loss.curvature(f + t * along, problem.y)
        bend = problem.inner(problem.hessian(curvature, step, image_step), image_step)
        low, high = torch.where(slope < 0, t, low), torch.where(slope > 0, t, high)
        newton, middle = t - slope / bend, torch.where(high < torch.inf, (low + high) / 2, 2 * t)
        t = torch.where(steep, torch.where((low < newton) & (newton < high), newton, middle), t)
    return t * step


def _conjugate_gradients(problem: Problem, curvature: Curvature, r: Tensor, tolerance: float) -> tuple[Tensor, Tensor]:
    """The s with H s = r, and G s; the shorter r, the closer, so that Newton's steps converge quadratically."""
    s, image_s = torch.zeros_like(r), torch.zeros_like(r)
    p, image_p = r, problem.image(r)
    size = problem.inner(r, image_p)
    length = size.sqrt()
    enough = (length * length.clamp(1e-4, 0.1)).clamp(min=0.3 * tolerance).square()
    for _ in range(INNER_STEPS):
        bent = problem.hessian(curvature, p, image_p)
        along = torch.where(size > enough, size / problem.inner(bent, image_p), 0.0)
        s, image_s = s + along * p, image_s + along * image_p
        r = r - along * bent
        image_r = problem.image(r)
        previous, size = size, problem.inner(r, image_r)
        if (size <= enough).all():
            break
        turn = torch.where(previous > enough, size / previous, 0.0)
        p, image_p = r + turn * p, image_r + turn * image_p
    return s, image_s
