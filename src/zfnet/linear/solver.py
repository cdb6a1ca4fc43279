"""Linear classifiers on frozen features, exact, from inner products alone ([ZF13] section 5.3, Table 7).

Both classifiers of the paper minimize, over the weights w_k and the bias b_k of each class k,

    F(w, b) = 1/2 sum_k (|w_k|^2 + penalty b_k^2) + C sum_i loss(f_i, y_i),    f_ik = w_k . x_i + b_k.

    svm      sum_k max(0, 1 - y_ik f_ik)^2, one class against the rest, penalty 1: scikit-learn's LinearSVC
    softmax  log sum_k exp f_ik - y_i . f_i, penalty 0: scikit-learn's LogisticRegression

Newton's method in coefficients of the training rows: as w = X' beta, a point (w, b) is v = [beta; b] of n + 1 rows, one
column a class; its decision values are f = K beta + b with K = X X', and the inner product of two points is u . G v,
with G = diag(K, 1). A loss with derivative l'(f) and second derivative l''(f) has, in these coefficients,

    gradient  g   = P v + C [l'; sum_i l'],        P = diag(1, penalty)
    Hessian   H s = P s + C [l''(f_s); sum_i l''(f_s)],        f_s = K s_beta + s_b

so a product K r for all the classes together is what a step costs, whatever the width of the features (the primal
method of Chapelle, Neural Computation 2007, in the geometry of w). The systems H s = -g are solved in two ways:

    few active rows    an SVM's Hessian sees only its rows A with y f < 1: beta_A = (K_AA + 1 + I / 2C)^-1 y_A, Cholesky
    many, or softmax   conjugate gradients, preconditioned along the leading directions of X' X (see Space), in float32:
                       a step need not be exact, as the next gradient is in float64

F is 1-strongly convex in w, hence |w - w*| <= |gradient|. A minimum is found when the gradient is shorter than
`tolerance` times |w| (at least SMALLEST, for w = 0): decision values are then exact to that part of the
longest that a feature vector could have (for softmax, up to its unpenalized bias). C is [NS] in the paper: it is chosen
on a held-out part of the training images, never on the test images.

Where there are more rows than features, K has directions along which w does not change and beta may grow. A product
with K leaves nothing of them but rounding, which float32 may have too much of: conjugate gradients notice (a Hessian
has no negative curvature), and that step is found again in float64. Centered features always have such a direction, the
ones: gradients and directions go without it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from zfnet.core.machine import one_thread
from zfnet.linear.gram import multiply

TOLERANCE = 1e-6  # of |w|, for the gradient's length; features have length about 1
ROUGH = 1e-2  # tolerance that ranks values of C by held-out accuracy
SMALLEST = 1e-3  # a shorter w is taken for this long; C = 0.01 leaves a softmax of 100 classes a |w| of 0.1
EASY = 10.0  # a larger C is approached from its tenth: the SVM's active rows then change few at a time
STEPS = 100  # Newton steps; 5 to 12 are usual
FIRST_STEPS = 12  # of them in float32
INNER_STEPS = 500  # of conjugate gradients within one; 3 to 15 are usual
NEAREST = 1e-3  # relative residual at which conjugate gradients stop at the latest
DIRECTIONS = 128  # leading directions that precondition them
FEW = 20.0  # active^3 < FEW n^2: factorizing K_AA then costs less than the products of conjugate gradients
SINGLE = 1e5  # condition number up to which float32 finds a step


Curvature = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Loss:
    """A loss of decision values f and targets y, both (n, classes), through its first two derivatives in f."""

    slope: Callable[[Tensor, Tensor], Tensor]
    curvature: Callable[[Tensor, Tensor], Curvature]  # second derivative, as a map of directions
    bend: Callable[[Tensor, Tensor], Tensor]  # mean of its diagonal, (1, classes) or (1, 1) as the axes
    penalty: float  # on the bias
    axes: tuple[int, ...]  # summed over in one minimization: rows, or rows and classes where classes are coupled


def _margin(f: Tensor, y: Tensor) -> Tensor:
    return (y * y - y * f).clamp(min=0)  # 1 - y f, and 0 where y = 0


def _svm_curvature(f: Tensor, y: Tensor) -> Curvature:
    active = 2.0 * (_margin(f, y) > 0)
    return lambda direction: active * direction


def _svm_bend(f: Tensor, y: Tensor) -> Tensor:
    return 2 * (_margin(f, y) > 0).to(f).mean(0, keepdim=True)


def _softmax_curvature(f: Tensor, y: Tensor) -> Curvature:
    p, counted = f.softmax(1), y.sum(1, keepdim=True)
    return lambda direction: counted * p * (direction - (p * direction).sum(1, keepdim=True))


def _softmax_bend(f: Tensor, y: Tensor) -> Tensor:
    p = f.softmax(1)
    return (y.sum(1, keepdim=True) * p * (1 - p)).mean((0, 1), keepdim=True)  # one for all: steps keep sum_k b_k = 0


SVM = Loss(  # y is 1, -1, or 0: not counted for this class
    slope=lambda f, y: -2 * y * _margin(f, y), curvature=_svm_curvature, bend=_svm_bend, penalty=1.0, axes=(0,)
)
SOFTMAX = Loss(  # the rows of y are distributions over the classes, or zero: not counted
    slope=lambda f, y: y.sum(1, keepdim=True) * f.softmax(1) - y,
    curvature=_softmax_curvature,
    bend=_softmax_bend,
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
class Space:
    """The points v of one set of training rows: their inner products, and the directions along which features lie.

    Along the point q_j, a column of `directions` with q_i . G q_j = 1 if i = j else 0, the training rows (with a 1 for
    the bias) have the sum of squares `strengths`[j]; `images` is G q. A few steps of subspace iteration find them:
    they need only be about right, for they make conjugate gradients fast, not exact.
    """

    kernel: Tensor
    directions: Tensor
    images: Tensor
    strengths: Tensor

    @staticmethod
    @one_thread()
    def of(kernel: Tensor) -> Space:
        count = min(DIRECTIONS, len(kernel))
        u = torch.randn(len(kernel) + 1, count, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        u = u.to(kernel)
        if not kernel.sum().isfinite():
            return Space(kernel, u[:, :0], u[:, :0], u[0, :0])
        for _ in range(2):
            f = decide(kernel, u)
            u = torch.linalg.qr(torch.cat([f, f.sum(0, keepdim=True)])).Q
        image = torch.cat([multiply(kernel, u[:-1]), u[-1:]])
        lengths, turn = torch.linalg.eigh(u.T @ image)
        kept = lengths > 1e-10 * lengths[-1]
        turn = turn[:, kept] / lengths[kept].sqrt()
        u, image = u @ turn, image @ turn
        f = image[:-1] + u[-1]
        strengths, turn = torch.linalg.eigh(f.T @ f)
        space = Space(kernel, u @ turn, image @ turn, strengths.clamp(min=0))
        return replace(space, directions=space.centered(space.directions))

    @cached_property
    def single(self) -> Space:
        """The same in float32."""
        if self.kernel.dtype == torch.float32:
            return self
        return Space(self.kernel.float(), self.directions.float(), self.images.float(), self.strengths.float())

    @cached_property
    def is_centered(self) -> bool:
        """Whether the features of the rows sum to 0, so that K hides what all of beta has in common."""
        sums, scale = self.kernel.sum(1), self.kernel.abs().sum(1)
        return bool((sums.abs() <= 1e3 * torch.finfo(self.kernel.dtype).eps * scale.max()).all())

    def centered(self, v: Tensor) -> Tensor:
        """The same point with a beta of mean 0 where the features are centered: K hides the mean."""
        return torch.cat([v[:-1] - v[:-1].mean(0), v[-1:]]) if self.is_centered else v

    def is_tame(self, weight: float) -> bool:
        """Whether float32 can find a step for a Hessian 1 + weight x' x."""
        return len(self.strengths) > 0 and weight * float(self.strengths.max()) < SINGLE

    def image(self, v: Tensor) -> Tensor:
        return torch.cat([multiply(self.kernel, v[:-1]), v[-1:]])

    def precondition(self, r: Tensor, image: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """About H^-1 r and its image, for a Hessian 1 + weight x' x of each class."""
        bent = weight * self.strengths[:, None]
        part = bent / (1 + bent) * (self.directions.T @ image)
        return r - self.directions @ part, image - self.images @ part


@dataclass(frozen=True)
class Problem:
    """F for one space, targets, loss and C; points v are (n + 1, classes), `image` is G v."""

    space: Space
    y: Tensor
    loss: Loss
    c: float

    def single(self) -> Problem:
        """The same in float32."""
        return replace(self, space=self.space.single, y=self.y.float())

    def inner(self, u: Tensor, image: Tensor) -> Tensor:
        return (u * image).sum(self.loss.axes, keepdim=True)  # u . G v, for each minimization

    def enough(self, v: Tensor, image: Tensor, tolerance: float) -> Tensor:
        lengths = self.inner(v, image).clamp(min=SMALLEST**2).sqrt()
        return tolerance * lengths  # of a gradient that need not be shorter

    def gradient(self, v: Tensor, image: Tensor) -> Tensor:
        return self._penalized(v, self.loss.slope(_values(image), self.y))

    def hessian(self, curvature: Curvature, s: Tensor, image: Tensor) -> Tensor:
        return self._penalized(s, curvature(_values(image)))

    def _penalized(self, v: Tensor, pull: Tensor) -> Tensor:
        bias = self.loss.penalty * v[-1:] + self.c * pull.sum(0, keepdim=True)
        return self.space.centered(torch.cat([v[:-1] + self.c * pull, bias]))


def _values(image: Tensor) -> Tensor:
    return image[:-1] + image[-1]  # f = K beta + b


@one_thread()
def fit(
    kernel: Tensor | Space, y: Tensor, loss: Loss, c: float, start: Tensor | None = None, tolerance: float = TOLERANCE
) -> Tensor:
    """The minimizer [beta; b] of F, (n + 1, classes) float64; `start` is a minimizer for a nearby C.

    A Space in place of its kernel serves several fits. Where float32 can, it goes down to a gradient of ROUGH, and
    float64 from there. Raises ArithmeticError when the gradient is not below `tolerance` after STEPS steps, which needs
    features that are not finite or a C beyond float64.
    """
    space = kernel if isinstance(kernel, Space) else Space.of(kernel)
    if start is None and c > EASY:
        start = fit(space, y, loss, c / 10, tolerance=ROUGH)
    v = space.kernel.new_zeros(len(y) + 1, y.shape[1]) if start is None else start.clone()
    problem, length = Problem(space, y, loss, c), float("inf")
    if space.is_tame(10 * c):
        v, length = _descend(problem.single(), v.float(), max(tolerance, ROUGH), FIRST_STEPS)
        v = v.double()
    if not length <= tolerance:
        v, length = _descend(problem, v, tolerance, STEPS)
    if not length <= tolerance:
        raise ArithmeticError(f"no minimum found at C = {c}: the gradient is {length:.1e} of |w| long")
    if loss is SOFTMAX:
        v[-1] -= v[-1].mean()  # which the loss does not feel, and float32 lets drift
    return v


def _descend(problem: Problem, v: Tensor, tolerance: float, steps: int) -> tuple[Tensor, float]:
    """The point after at most `steps` Newton steps from v, which changes in place, and the longest gradient in |w|.

    Classes that have converged stay as they are.
    """
    space, y, length = problem.space, problem.y, float("inf")
    for _ in range(steps):
        image = space.image(v)
        gradient = problem.gradient(v, image)
        image_gradient = space.image(gradient)
        lengths = problem.inner(gradient, image_gradient).clamp(min=0).sqrt()
        length = float((lengths / problem.enough(v, image, 1.0)).max())
        left = ~(lengths <= problem.enough(v, image, tolerance)).expand(1, v.shape[1])[0]
        if not left.any():
            break
        rest, point = replace(problem, y=y[:, left]), (v[:, left], image[:, left])
        v[:, left] += _newton_step(rest, *point, gradient[:, left], image_gradient[:, left], tolerance)
    return v, length


def _newton_step(
    problem: Problem, v: Tensor, image: Tensor, gradient: Tensor, image_gradient: Tensor, tolerance: float
) -> Tensor:
    """The step to the minimum of F's parabola at v, then along that line to the minimum of F itself.

    The full step is kept where it already flattens F ten times, which it does near the minimum. The search
    needs no product with K; it is Newton's method in one variable, kept inside the bracket (low, high).
    """
    f = _values(image)
    step, image_step = _solve(problem, v, image, gradient, image_gradient, tolerance)
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


def _solve(
    problem: Problem, v: Tensor, image: Tensor, gradient: Tensor, image_gradient: Tensor, tolerance: float
) -> tuple[Tensor, Tensor]:
    """The s with H s = -gradient, and G s, for every class by the way that suits the number of its active rows."""
    few = torch.zeros(v.shape[1], dtype=torch.bool, device=v.device)
    if problem.loss is SVM:
        active = _margin(_values(image), problem.y) > 0
        few = active.sum(0).double() ** 3 < FEW * len(active) ** 2
    step, image_step = torch.empty_like(v), torch.empty_like(v)
    if few.any():
        rest = replace(problem, y=problem.y[:, few])
        step[:, few], image_step[:, few] = _factorize(rest, active[:, few], v[:, few], image[:, few])
    if not few.all():
        rest, rest_image = replace(problem, y=problem.y[:, ~few]), image[:, ~few]
        r, image_r = -gradient[:, ~few], -image_gradient[:, ~few]
        least = rest.enough(v[:, ~few], rest_image, 0.3 * tolerance)
        step[:, ~few], image_step[:, ~few] = _conjugate_gradients(rest, rest_image, r, image_r, least)
    return step, image_step


def _factorize(problem: Problem, active: Tensor, v: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
    """The step of an SVM to the minimum for the rows that are active now, class by class, and its image."""
    kernel, aim = problem.space.kernel, torch.zeros_like(v)
    for k in range(v.shape[1]):
        rows = active[:, k].nonzero()[:, 0]
        inner = kernel[rows[:, None], rows] + 1
        inner.diagonal().add_(1 / (2 * problem.c))
        aim[rows, k] = torch.cholesky_solve(problem.y[rows, k, None], torch.linalg.cholesky(inner))[:, 0]
    aim[-1] = aim[:-1].sum(0)
    return aim - v, problem.space.image(aim) - image


def _conjugate_gradients(
    problem: Problem, image: Tensor, r: Tensor, image_r: Tensor, least: Tensor
) -> tuple[Tensor, Tensor]:
    """The s with H s = r, and G s, up to a residual that shrinks with r, but not below `least`.

    So Newton's steps converge quadratically.
    """
    length = problem.inner(r, image_r).clamp(min=0).sqrt()
    enough = torch.maximum(length * length.clamp(NEAREST, 0.1), least).square()
    f, weight = _values(image), problem.c * problem.loss.bend(_values(image), problem.y)
    if problem.space.is_tame(float(weight.max())):
        s, image_s, converged = _iterate(
            problem.single(), f.float(), r.float(), image_r.float(), enough.float(), weight.float()
        )
        if converged or image.dtype == torch.float32:
            return s.to(image), image_s.to(image)
    s, image_s, _ = _iterate(problem, f, r, image_r, enough, weight)
    return s, image_s


def _iterate(
    problem: Problem, f: Tensor, r: Tensor, image_r: Tensor, enough: Tensor, weight: Tensor
) -> tuple[Tensor, Tensor, bool]:
    """What conjugate gradients find at decision values f, and whether every class got to a residual of `enough`.

    A class that meets no positive curvature has come to the end of its precision, and keeps what it has.
    """
    space, curvature = problem.space, problem.loss.curvature(f, problem.y)
    s, image_s = torch.zeros_like(r), torch.zeros_like(r)
    p, image_p = space.precondition(r, image_r, weight)
    size = problem.inner(r, image_p)
    left, ended = torch.ones_like(enough, dtype=torch.bool), torch.zeros_like(enough, dtype=torch.bool)
    for _ in range(INNER_STEPS):
        bent = problem.hessian(curvature, p, image_p)
        bend = problem.inner(bent, image_p)
        ended |= left & ~((size > 0) & (bend > 0))
        along = torch.where(left & ~ended, size / bend, 0.0)
        s, image_s = s + along * p, image_s + along * image_p
        r = r - along * bent
        image_r = space.image(r)
        left = (problem.inner(r, image_r) > enough) & ~ended
        if not left.any():
            break
        z, image_z = space.precondition(r, image_r, weight)
        previous, size = size, problem.inner(r, image_z)
        turn = torch.where(left, size / previous, 0.0)
        p, image_p = z + turn * p, image_z + turn * image_p
    return s, image_s, not bool((left | ended).any())
