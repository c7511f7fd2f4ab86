"""Training parity: the same gradient descent in every framework, and how far apart two of them may come.

A linear classifier z = x w of 512 digits, x [512, 64], w [64, 10], from w = 0, the whole batch in each step:

    w' = T(w) = q w - step G(w),  G(w) the gradient of F(w) = sum_i loss(x_i w, t_i) / 512,  q = 1 - 2 step reg

Softmax regression has the cross-entropy for its loss; the SVMs the hinges, or their squares, of ten problems, each
class against the rest. A framework gives the losses and their gradient, from x w on; the step is taken in NumPy, in
the dtype.

How far apart. Let w_k be the reference's weights, v_k the framework's, e_k a bound of |v_k - w_k| (Frobenius). With d_k
the framework's error of the gradient at v_k, and r_k that of the two roundings of the step (step is a power of two),

    |v_{k+1} - w_{k+1}| <= |T(v_k) - T(w_k)| + step |d_k| + |r_k|,
    |T(v) - T(w)|^2 = q^2 |v - w|^2 - 2 q step <G(v) - G(w), v - w> + step^2 |G(v) - G(w)|^2.

F is convex. Where G is Lipschitz with L = c l, l the largest eigenvalue of x'x / 512 (softmax: c = 1/2, as no
eigenvalue of diag(p) - p p' exceeds it; squared hinge: c = 2), <G(v) - G(w), v - w> >= |G(v) - G(w)|^2 / L, so that
for step <= 2 q / L the last two terms are together at most 0. The gradient of the hinge itself jumps; as long as no
score is within |x_i| e_k, and twice its own bound, of the kink, G(v) = G(w). So in both cases

    |T(v) - T(w)| <= q e,   e_{k+1} = q e_k + step D_k + u (|q w_k| + |w_{k+1}|).

With the first hinge that is in doubt two right trainings may part, by step |x_i| / 512, and the comparison ends.

D_k is twice the bound that the arithmetic gives for the gradient at w_k: v_k moves the scores by at most |x| e_k, which
is refused above 1/8. What the bound is made of, probabilities, their distances from 1, and distances of scores beside
a constant of several u, is there within a factor exp(2/8) (1 + 1/8) < 2 of what it is at w_k. The gradient of the
hinges is a sum of pixels, which are multiples of 1/16 up to 1, by 512: no partial sum is rounded, and D_k is 0.

The loss: |F(v_k) - F(w_k)| <= max(|G(v_k)|, |G(w_k)|) e_k <= (|G(w_k)| + L e_k) e_k, and the errors of the losses
themselves, twice their bound at w_k. Predictions of other digits are the same where the two best scores of x are
further apart than sqrt(2) |x| e.

Source: Nesterov, Introductory Lectures on Convex Optimization (2004), theorem 2.1.5.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from gradparity.adapter import Adapter, Implementation
from gradparity.arithmetic import Arithmetic, Tracked
from gradparity.cases import Draw
from gradparity.op import FORMATS, Array, GradparityError, wide
from gradparity.reference import OPS
from gradparity.reference.digits import digits_images, digits_labels

STEPS, ROWS = 300, 512
MOST_MOVED = 1 / 8  # of a score, by the difference of the weights


@dataclass(frozen=True, eq=False)
class Model:
    """What is trained.

    labels(t): as the operation takes them;  step, reg: powers of two, so that q is a number of every dtype
    bend: c, 0 where the gradient jumps;  conventions: of the reference, where a bound depends on them
    """

    name: str
    op: str
    params: Mapping[str, Any]
    labels: Callable[[Array], Array]
    step: float
    reg: float
    bend: float
    conventions: Mapping[str, Any] = field(default_factory=dict)

    @property
    def shrinks(self) -> float:
        """q."""
        return 1 - 2 * self.step * self.reg


def one_against_the_rest(t: Array) -> Array:
    return np.where(t[:, None] == np.arange(10), 1.0, -1.0)


MODELS = {
    model.name: model
    for model in (
        Model("softmax-regression", "cross_entropy", {"reduction": "none"}, lambda t: t, 2.0**-3, 2.0**-10, 0.5),
        Model("squared-hinge-svm", "squared_hinge", {}, one_against_the_rest, 2.0**-6, 2.0**-10, 2.0,
              {"nan_margin": 0.0}),
        Model("hinge-svm", "hinge", {}, one_against_the_rest, 2.0**-4, 2.0**-10, 0.0),
    )
}  # fmt: skip


@dataclass(frozen=True)
class Curve:
    """Every step's loss and the last weights; of the reference, with how far from them a framework's may be."""

    losses: Array
    weights: Array
    loss_errors: Array
    error: float


def data(model: Model, dtype: str) -> tuple[Array, Array, Array, Array]:
    """Images and labels to train on, and to test on: exact in every dtype."""
    draw = Draw("training", dtype)
    x, t = digits_images(draw, len(digits_labels())), model.labels(digits_labels())
    t = draw.quantised(t) if t.dtype.kind == "f" else t
    return x[:ROWS], t[:ROWS], x[ROWS:], t[ROWS:]


def stepped(model: Model, w: Array, g: Array) -> Array:
    """One step, in the dtype of w."""
    return w.dtype.type(model.shrinks) * w - w.dtype.type(model.step) * g


# --- a framework


def trained(model: Model, implementation: Implementation, adapter: Adapter, dtype: str) -> Curve:
    """The framework's curve, as long as the reference's."""
    steps = len(reference(model.name, dtype).losses)
    x, t, *_ = data(model, dtype)
    loss = adapter.call(implementation, model.params)

    def fn(x: Any, w: Any, t: Any) -> Any:
        return loss(x=x @ w, t=t)

    w, g = np.zeros((x.shape[1], 10), x.dtype), np.full(t.shape, 1 / ROWS, x.dtype)
    losses = []
    with np.errstate(all="ignore"):  # what is wrong may overflow
        for _ in range(steps):
            (y, *_), dx = adapter.value_and_vjp(fn, {"x": x, "w": w, "t": t}, ("w",), g)
            losses.append(np.sum(y, dtype=np.float64) / ROWS)
            w = stepped(model, w, dx["w"])
    return Curve(np.array(losses), w, np.zeros(steps), 0.0)


# --- the reference


@cache
def reference(name: str, dtype: str) -> Curve:
    """The reference's curve, and how far from it an honest framework's may be: of as many steps as can be bounded."""
    model, form, kind = MODELS[name], FORMATS[dtype], wide(dtype)
    x, t, *_ = data(model, dtype)
    sizes = np.linalg.norm(x.astype(np.float64), axis=-1, keepdims=True)
    bend = model.bend * norm2(x) ** 2 / ROWS
    if model.step * bend > 2 * model.shrinks:
        raise GradparityError(f"the step of {name} is too long for its error to be bounded")
    w, e = np.zeros((x.shape[1], 10), kind), 0.0
    losses: list[float] = []
    errors: list[float] = []
    while len(losses) < STEPS:
        z, y, g = gradient(model, x, w, t, dtype)
        if sizes.max() * e > MOST_MOVED or (not model.bend and in_doubt(z, t, sizes * e)):
            break
        losses.append(float(np.sum(y.v) / ROWS))
        errors.append(float(2 * np.sum(y.full) / ROWS) + (norm(g.v) + bend * e) * e + form.unit * losses[-1])
        following = stepped(model, w, g.v)
        rounding = (form.unit + float(np.finfo(kind).eps)) * (norm(model.shrinks * w) + norm(following))
        rounded = model.step * 2 * norm(g.full) if model.bend else 0.0
        w, e = following, model.shrinks * e + rounded + rounding
    return Curve(np.array(losses), w, np.array(errors), e)


def in_doubt(z: Tracked, t: Array, reach: Array) -> bool:
    """Whether a margin may be on the other side of the kink for a framework."""
    return bool((np.abs(1 - t.astype(np.float64) * z.v.astype(np.float64)) <= reach + 2 * z.full).any())


def gradient(model: Model, x: Array, w: Array, t: Array, dtype: str) -> tuple[Tracked, Tracked, Tracked]:
    """Scores, losses and the gradient for w of their sum by ROWS, with their bounds in this dtype."""
    a, op = Arithmetic(dtype), OPS[model.op]
    given = {"t": a(t) if t.dtype.kind != "i" else t, **model.params, **model.conventions}
    with np.errstate(all="ignore"):
        z: Tracked = a(x) @ a(w)
        y = a.store(op.forward(x=z, **given))
        s = op.vjp(a(np.full(t.shape, 1 / ROWS, x.dtype)), y, x=z, **given)["x"]
        return z, y, a.store(a(np.moveaxis(x, 0, 1)) @ s)


def norm2(x: Array) -> float:
    """The largest singular value."""
    return float(np.linalg.norm(np.asarray(x, np.float64), 2))


def norm(x: Array) -> float:
    return float(np.linalg.norm(np.asarray(x, np.float64)))


# --- the two beside one another


@dataclass(frozen=True)
class Parity:
    """How a framework trained: errors in units of what may be between it and the reference.

    predictions: how many differ though their two best scores do not nearly tie;  ties: how many do nearly tie
    """

    loss: float
    weights: float
    predictions: int
    ties: int

    @property
    def holds(self) -> bool:
        return self.loss <= 1 and self.weights <= 1 and not self.predictions


def parity(model: Model, got: Curve, dtype: str) -> Parity:
    want = reference(model.name, dtype)
    if not np.isfinite(got.weights.astype(np.float64)).all():
        return Parity(np.inf, np.inf, len(scores_of(model, want)), 0)
    scores = [scores_of(model, curve) for curve in (want, got)]
    mine, yours = (np.argmax(z, axis=-1) for z in scores)
    best = np.sort(scores[0], axis=-1)
    reach = np.sqrt(2) * np.linalg.norm(data(model, "float64")[2], axis=-1) * want.error
    tied = best[:, -1] - best[:, -2] <= reach
    return Parity(
        float(np.max(np.abs(got.losses - want.losses) / want.loss_errors)),
        norm(got.weights - want.weights) / want.error,
        int(np.sum((mine != yours) & ~tied)), int(tied.sum()),
    )  # fmt: skip


def scores_of(model: Model, curve: Curve) -> Array:
    """The scores of the digits that were not trained on, in float64."""
    scores: Array = data(model, "float64")[2] @ curve.weights.astype(np.float64)
    return scores
