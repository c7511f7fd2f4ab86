"""Certificates of the reference: each operation once more, from its textbook definition, in ball arithmetic.

    pip install ".[certify]"
    python tests/self/certificates/make.py                # makes <op>.npz for every operation
    python tests/self/certificates/make.py softmax        # for one
    python tests/self/certificates/make.py --check        # writes nothing: compares what is stored with what comes out

Nothing is shared with the reference but names. Values are what a textbook has: the softmax is exp(x) over the sum of
exp(x), log-softmax the logarithm of that. Nothing overflows, and what cancels is computed again with twice the bits,
until every number is known to a relative radius of 2**-110, or to be below 2**-16600 in size, which is stored as 0.
Gradients are forward-mode: every number carries its partial derivatives for the inputs that it depends on, and the
cotangent is contracted with them at the end; no gradient is written by hand. A branch is taken where a ball decides
it: at a kink only exact numbers do, and there the derivative is that of the default convention.

A new operation: a line in OPS, its formula on arrays of Dual and its cases. What is not finite is not certified.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import flint
import numpy as np
from flint import arb

from gradparity.cases import COTANGENTS, Draw, bimodal, dominant, logits, near_ties, ramp, subnormal
from gradparity.certificates import NUMBER, Certificate, load, save
from gradparity.op import FORMATS, Array, Arrays, Case, GradparityError, is_float, join, nearest, outputs
from gradparity.reference import OPS as REFERENCE

HERE = Path(__file__).parent
DTYPES = ("float64", "float32")
BITS = [2**k for k in range(8, 17)]
RADIUS = 2.0**-110  # relative
LEAST = arb(2) ** -16600


# --- numbers that know their derivatives


class UndecidedError(ArithmeticError):
    """A ball holds numbers on both sides of a branch."""


@dataclass(frozen=True)
class Dual:
    """A ball v and its partial derivatives d, {number of the input: ball}; what is not there is exactly 0."""

    v: arb
    d: dict[int, arb]

    def __add__(self, other: Any) -> Dual:
        other = dual(other)
        return linear(self.v + other.v, (1, self), (1, other))

    def __mul__(self, other: Any) -> Dual:
        other = dual(other)
        return linear(self.v * other.v, (other.v, self), (self.v, other))

    def __truediv__(self, other: Any) -> Dual:
        other = dual(other)
        q = self.v / other.v
        return linear(q, (1 / other.v, self), (-q / other.v, other))

    def __neg__(self) -> Dual:
        return linear(-self.v, (-1, self))

    def __sub__(self, other: Any) -> Dual:
        return self + -dual(other)

    def __rsub__(self, other: Any) -> Dual:
        return dual(other) - self

    def __rtruediv__(self, other: Any) -> Dual:
        return dual(other) / self

    def __gt__(self, other: Any) -> bool:
        other = dual(other)
        if not (self.v > other.v or self.v <= other.v):
            raise UndecidedError
        return bool(self.v > other.v)

    __radd__, __rmul__ = __add__, __mul__

    def exp(self) -> Dual:  # np.exp and its like call these on arrays of objects
        y = self.v.exp()
        return linear(y, (y, self))

    def log(self) -> Dual:
        return linear(self.v.log(), (1 / self.v, self))

    def sqrt(self) -> Dual:
        y = self.v.sqrt()
        return linear(y, (1 / (2 * y), self))


def linear(v: arb, *terms: tuple[Any, Dual]) -> Dual:
    """v, with the derivatives of sum(slope * x)."""
    d: dict[int, arb] = {}
    for slope, x in terms:
        for i, partial in x.d.items():
            d[i] = d.get(i, 0) + slope * partial
    return Dual(v, d)


def dual(x: Any) -> Dual:
    """A constant: an integer or a float64, which is exact."""
    return x if isinstance(x, Dual) else Dual(arb(x), {})


def positive(z: Dual) -> Dual:
    """max(z, 0), its derivative 0 at z = 0."""
    return z if z > 0 else dual(0)


# --- the operations, from the textbook


def softmax(x: Array, axis: int) -> Array:
    return np.exp(x) / np.exp(x).sum(axis, keepdims=True)


def log_softmax(x: Array, axis: int) -> Array:
    return np.log(softmax(x, axis))


def logsumexp(x: Array, axis: int) -> Array:
    return np.log(np.exp(x).sum(axis))


def cross_entropy(x: Array, t: Array, reduction: str) -> Array:
    return reduced(-np.log(softmax(x, 1)[np.arange(len(t)), t]), reduction)


def spatial_cross_entropy(x: Array, t: Array, reduction: str) -> Any:
    y, losses = np.log(softmax(x, 1)), np.empty(t.shape, object)
    for i, *place in np.ndindex(t.shape):
        losses[(i, *place)] = -y[(i, t[(i, *place)], *place)]
    return losses if reduction == "none" else reduced(losses.ravel(), reduction)


def soft_cross_entropy(x: Array, t: Array, label_smoothing: float, reduction: str) -> Array:
    e = dual(label_smoothing)
    return reduced(-((t * (1 - e) + e / x.shape[1]) * np.log(softmax(x, 1))).sum(1), reduction)


def weighted_cross_entropy(
    x: Array, t: Array, weight: Array, label_smoothing: float, ignore_index: int, reduction: str
) -> Any:
    e, w, y = dual(label_smoothing), [dual(float(v)) for v in weight], np.log(softmax(x, 1))
    rows = [i for i, k in enumerate(t.tolist()) if k != ignore_index]
    losses = np.full(len(t), dual(0))
    for i in rows:
        losses[i] = -((1 - e) * w[t[i]] * y[i, t[i]]) - (e / len(w)) * sum(
            (v * z for v, z in zip(w, y[i], strict=True))
        )
    whole = sum((w[t[i]] for i in rows), dual(0))
    return losses.sum() / whole if reduction == "mean" else reduced(losses, reduction)


def softmax_regression(x: Array, w: Array, t: Array, reg: float) -> Any:
    return cross_entropy(x @ w, t, "mean") + dual(reg) * (w * w).sum()


def reduced(losses: Array, reduction: str) -> Any:
    return {"none": losses, "sum": losses.sum(), "mean": losses.sum() / len(losses)}[reduction]


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def log_sigmoid(x: Array) -> Array:
    return np.log(sigmoid(x))


def binary_cross_entropy_with_logits(x: Array, t: Array, pos_weight: float | None, reduction: str) -> Array:
    """1 - sigmoid(x) is written sigmoid(-x): no number of bits holds it where x is 1e30."""
    p = 1 if pos_weight is None else pos_weight
    return reduced(-(p * t * np.log(sigmoid(x)) + (1 - t) * np.log(sigmoid(-x))), reduction)


def focal_loss(x: Array, t: Array, alpha: float | None, gamma: int, reduction: str) -> Any:
    """1 - sigmoid(z) is written sigmoid(-z)."""
    losses = np.full(len(t), dual(0))
    for i, target in enumerate(t.tolist()):
        z = np.array([x[i] if target else -x[i]], object)
        a = dual(1) if alpha is None else dual(alpha) if target else 1 - dual(alpha)
        losses[i] = -(a * np.log(sigmoid(z))[0])
        for _ in range(gamma):
            losses[i] *= sigmoid(-z)[0]
    return reduced(losses, reduction)


def one_vs_rest(x: Array, t: Array, reduction: str) -> Any:
    own = np.arange(x.shape[1]) == t[:, None]
    return reduced(-np.log(sigmoid(np.where(own, x, -x))).sum(1), reduction)


def logistic_regression(x: Array, w: Array, t: Array, reg: float) -> Any:
    return binary_cross_entropy_with_logits(x @ w, t, None, "mean") + dual(reg) * (w * w).sum()


def negative_log_likelihood(x: Array, t: Array, reduction: str) -> Array:
    return reduced(-np.log(x[np.arange(len(t)), t]), reduction)


def layered_cross_entropy(x: Array, q: Array, t: Array, reduction: str) -> tuple[Array, Array]:
    p = softmax(x, 1) + q
    return negative_log_likelihood(p, t, reduction), p


def binary_cross_entropy(x: Array, t: Array, reduction: str) -> Array:
    t = np.array([dual(float(v)) for v in t])  # so that 1 - t is exact
    return reduced(-(t * np.log(x) + (1 - t) * np.log(1 - x)), reduction)


def categorical_cross_entropy(
    x: Array, t: Array, alpha: float | None, gamma: int, reduction: str, label_smoothing: float = 0.0
) -> Array:  # fmt: skip
    s = t * (1 - dual(label_smoothing)) + dual(label_smoothing) / t.shape[1] if label_smoothing else t
    losses = -s * np.log(x) * dual(1 if alpha is None else alpha)
    for _ in range(gamma):
        losses = losses * (1 - x)
    return reduced(losses.sum(1), reduction)


def hinge(x: Array, t: Array) -> Array:
    return each(positive, 1 - t * x)


def squared_hinge(x: Array, t: Array) -> Array:
    return hinge(x, t) * hinge(x, t)


def hinge_embedding(x: Array, t: Array, margin: float, reduction: str) -> Any:
    signs = [float(sign.v) if isinstance(sign, Dual) else sign for sign in t]
    losses = [z if sign > 0 else positive(dual(margin) - z) for z, sign in zip(x, signs, strict=True)]
    return reduced(np.array([*losses, None], object)[:-1], reduction)


def margin_ranking(x: Array, other: Array, t: Array, margin: float, reduction: str) -> Any:
    return reduced(each(positive, t * (other - x) + dual(margin)), reduction)


def multiclass_hinge(x: Array, t: Array, weight: Array, p: int, margin: float, reduction: str) -> Any:
    losses = np.full(len(t), dual(0))
    for i, k in enumerate(t.tolist()):
        excess = [positive(x[i, j] - x[i, k] + dual(margin)) for j in range(x.shape[1]) if j != k]
        losses[i] = dual(float(weight[k])) * sum((h if p == 1 else h * h for h in excess), dual(0))
    return reduced(losses, reduction)


def crammer_singer_hinge(x: Array, t: Array, margin: float, reduction: str) -> Any:
    """Where several wrong classes are worst, each has its part of the derivative."""
    losses = np.full(len(t), dual(0))
    for i, k in enumerate(t.tolist()):
        wrong = [z for j, z in enumerate(x[i]) if j != k]
        worst = [z for z in wrong if not any(other > z for other in wrong)]
        if worst:
            losses[i] = positive(sum(worst, dual(0)) / len(worst) - x[i, k] + dual(margin))
    return reduced(losses, reduction)


def euclidean_norm(x: Array) -> Array:
    return np.sqrt((x * x).sum(-1))


def pairwise_distance(x: Array, other: Array, eps: float) -> Array:
    return euclidean_norm(x - other + dual(eps))


def segment_sum(x: Array, ids: Array, count: int) -> Array:
    y = np.full((count, *x.shape[1:]), dual(0))
    for row, s in zip(x, ids, strict=True):
        y[s] = y[s] + row
    return y


def segment_mean(x: Array, ids: Array, count: int) -> Array:
    sizes = [max(int((ids == s).sum()), 1) for s in range(count)]
    return segment_sum(x, ids, count) / np.reshape(sizes, (-1, *[1] * (x.ndim - 1)))


def pca(x: Array, components: int) -> tuple[Array, Array, Array]:
    """The projector on the largest eigenvalues of k = c c^T is (1 + sign(k - cut)) / 2, for a cut below them: nothing
    here is an eigenvector. z_i z_i^T is k times the difference of two such projectors, and l_i its trace."""
    n = len(x)
    m = x.sum(axis=0) / n
    c = x - m
    k = c @ c.T
    eye = each(dual, np.eye(n))
    least = each(without_derivatives, k)
    levels = sorted((float(v) for v in np.linalg.eigvalsh(each(lambda z: float(z.v), k).astype(float))), reverse=True)
    cuts = [dual((a + b) / 2) for a, b in pairwise(levels)][:components]
    below = [0 * eye] + [above(least, cut, eye) for cut in cuts]
    squares = [least @ (q - p) for p, q in pairwise(below)]
    values = np.array([np.trace(square) for square in squares])
    return m + above(k, cuts[-1], eye) @ c, values, np.stack(squares)


def without_derivatives(z: Dual) -> Dual:
    return Dual(z.v, {})


def above(k: Array, cut: Dual, eye: Array) -> Array:
    """Newton's iteration s (3 - s^2) / 2 for the sign of a symmetric s, |s| <= 1, which converges quadratically
    (Higham, Functions of Matrices (2008), section 5.3). Its distance from the limit is at most |s^2 - 1|, which is
    added to the radius; that of the derivatives, by Cauchy's estimate, no more than that divided by what s can be moved
    by, far less than 2^100."""
    s = (k - eye * cut) / sum((z * z for z in k.flat), len(k) * cut * cut).sqrt() / 2
    left = s @ s - eye
    if flint.ctx.prec < 2048:
        raise UndecidedError
    while any(z.v.abs_upper() > LIMIT for z in left.flat):
        s = s - s @ left / 2
        left = s @ s - eye
        if any(z.v.rad() > LIMIT for z in left.flat):
            raise UndecidedError
    return each(widened_by_the_limit, (s + eye) / 2)


LIMIT = arb(2) ** -400


def widened_by_the_limit(z: Dual) -> Dual:
    return Dual(z.v + arb(0, LIMIT), {i: d + arb(0, LIMIT * 2**100) for i, d in z.d.items()})


def categorical_hinge(x: Array, t: Array, reduction: str) -> Any:
    """Where several are worst, each has its part of the derivative, the 0 of the label too."""
    losses = np.full(len(t), dual(0))
    for i, k in enumerate(t.tolist()):
        scores = [dual(0) if j == k else z for j, z in enumerate(x[i])]
        worst = [z for z in scores if not any(other > z for other in scores)]
        losses[i] = positive(sum(worst, dual(0)) / len(worst) - x[i, k] + 1)
    return reduced(losses, reduction)


def multilabel_margin(x: Array, t: Array, reduction: str) -> Any:
    losses = np.full(len(t), dual(0))
    for i, row in enumerate(t.tolist()):
        own = row[: row.index(-1)] if -1 in row else row
        excess = [positive(1 - (x[i, j] - x[i, k])) for j in own for k in range(len(row)) if k not in own]
        losses[i] = sum(excess, dual(0))
    return reduced(losses, reduction)


def each(f: Callable[[Dual], Any], x: Array) -> Array:
    y = np.empty(x.shape, object)
    y.flat = [f(z) for z in x.flat]
    return y


def ragged_centroid(
    x: Array, t: Array, delta: float, over_classes: str, reduction: str
) -> tuple[Array, Array]:  # fmt: skip
    """x - c is taken over its common denominator, exactly where the precision holds all of it: members that sit on
    their centroid are known to. There r = 0 <= delta and the squared excess is 0 with its derivative."""
    losses, centroids = np.full(len(x), dual(0)), np.empty(x.shape, object)
    for b, k in {(b, k) for b, labels in enumerate(t.tolist()) for k in labels}:
        own = t[b] == k
        n, total = int(own.sum()), x[b, own].sum(axis=0)
        centroids[b, own] = total / n
        for away in n * x[b, own] - total:
            h = positive(np.sqrt((away * away).sum()) / n - delta)
            losses[b] += h * h / (n if over_classes == "sum" else n * len(set(t[b].tolist())))
    return reduced(losses, reduction), centroids


# --- cases


def values(*xs: float) -> Any:
    return lambda draw: {"x": draw.quantised(xs)}


def only_x(make: Any, *arguments: Any) -> Any:
    return lambda draw: {"x": make(draw, *arguments)}


def normal(draw: Draw, shape: tuple[int, ...], scale: float, shift: float = 0.0) -> Array:
    return draw.normal("x", shape, scale, shift)


def constant(draw: Draw, rows: int, classes: int, value: float) -> Array:
    return draw.full((rows, classes), value)


def subnormal_rows(draw: Draw, *shape: int) -> Array:
    return subnormal(draw, shape)


FEW = (2, 5, 17)
ROWS: dict[str, tuple[Any, ...]] = {
    **{f"scale-{s:g}-c{c}": (logits, 2, c, s) for c in (1, 2, 3, 5, 10, 17)
       for s in (0.001, 0.1, 1, 3, 10, 30, 100, 1e3, 1e4)},
    **{f"shift-{'minus-' * (s < 0)}{abs(s):.0f}-c{c}": (logits, 2, c, 1.0, s) for c in FEW
       for s in (100, -1000, 1e4, -1e4, 1e6)},
    **{f"dominant-{lead}-c{c}": (dominant, 2, c, lead) for c in FEW for lead in (5, 11, 20, 36, 45, 100, 800, 12000)},
    **{f"ramp-{depth}-c{c}": (ramp, 2, c, depth) for c in FEW for depth in (10, 40, 80, 110, 400, 750, 11500)},
    **{f"near-ties-c{c}": (near_ties, 2, c) for c in (2, 3, 5, 10, 17)},
    **{f"equal-c{c}": (constant, 1, c, 0.7) for c in (2, 3, 10)},
    **{f"zero-c{c}": (constant, 1, c, 0.0) for c in (1, 7)},
    **{f"subnormal-c{c}": (subnormal_rows, 2, c) for c in FEW},
    **{f"bimodal-c{c}": (bimodal, 2, c) for c in FEW},
    **{f"huge-c{c}": (logits, 2, c, 1e30) for c in FEW},
}  # fmt: skip
ALONG_AXIS = (
    *(Case(name, only_x(*make), {"axis": -1}) for name, make in ROWS.items()),
    *(Case(f"axis-0-scale-{s:g}", only_x(logits, 5, 3, s), {"axis": 0}) for s in (1, 30, 1e4)),
    *(Case(f"axis-1-of-3-scale-{s:g}", only_x(normal, (2, 4, 3), s), {"axis": 1}) for s in (1, 30, 1e4)),
)


def labelled(make: Any, *arguments: Any) -> Any:
    def arrays(draw: Draw) -> Arrays:
        x = make(draw, *arguments)
        return {"x": x, "t": draw.integers("t", x.shape[:1], x.shape[1])}

    return arrays


def of_the_largest(make: Any, *arguments: Any) -> Any:
    """The label is the largest logit: a loss near 0."""
    return lambda draw: {"x": (x := make(draw, *arguments)), "t": np.argmax(x, axis=1)}


CROSS_ENTROPY = (
    *(Case(name, labelled(*make), {"reduction": "none"}) for name, make in ROWS.items()),
    *(Case(f"right-{name}", of_the_largest(*ROWS[name]), {"reduction": "none"})
      for name in ROWS if name.startswith(("dominant", "bimodal", "scale-30-"))),
    *(Case(f"{reduction}-scale-{s:g}-c{c}", labelled(logits, 3, c, s), {"reduction": reduction})
      for reduction in ("sum", "mean") for c in FEW for s in (0.01, 1, 10, 100)),
)  # fmt: skip


def images(shape: tuple[int, ...], make: Any, *arguments: Any) -> Any:
    """The logits of N items of places, classes along axis 1.  shape: N, C, d1, ..."""

    def arrays(draw: Draw) -> Arrays:
        n, c, *places = shape
        t = draw.integers("t", (n, *places), c)
        return {"x": np.moveaxis(make(draw, t.size, c, *arguments).reshape(*t.shape, c), -1, 1).copy(), "t": t}

    return arrays


def spatial(name: str, shape: tuple[int, ...], make: Any, *arguments: Any, reduction: str = "none") -> Case:
    words = "x".join(map(str, shape))
    return Case(f"{reduction}-{name}-{words}", images(shape, make, *arguments), {"reduction": reduction})


IMAGES = ((1, 2, 2), (2, 3, 2, 2), (1, 5, 1, 3), (2, 2, 1, 2, 1))
SPATIAL = (
    *(spatial(f"scale-{s:g}", shape, logits, s, reduction=how) for how in ("none", "sum", "mean") for shape in IMAGES
      for s in (0.001, 0.1, 1, 3, 10, 30, 100)),
    *(spatial(f"shift-{s:g}", shape, logits, 1, s) for shape in IMAGES for s in (100, -100, 1e4)),
    *(spatial(f"dominant-{lead:g}", shape, dominant, lead) for shape in IMAGES for lead in (11, 30)),
    *(spatial("near-ties", shape, near_ties) for shape in IMAGES),
)  # fmt: skip


def targeted(targets: Any, make: Any, *arguments: Any) -> Any:
    return lambda draw: {"x": (x := make(draw, *arguments)), "t": targets(draw, *x.shape)}


def real(draw: Draw, rows: int, classes: int) -> Array:
    return draw.normal("t", (rows, classes))


def sixteenths(draw: Draw, rows: int, classes: int) -> Array:
    return draw.quantised(draw.integers("t", (rows, classes), 5) / 16)


def indicator(draw: Draw, rows: int, classes: int) -> Array:
    return draw.quantised(np.arange(classes) == draw.integers("t", (rows, 1), classes))


def soft(name: str, targets: Any, make: Any, label_smoothing: float = 0.0, reduction: str = "none") -> Case:
    return Case(name, targeted(targets, *make), {"label_smoothing": label_smoothing, "reduction": reduction})


SOFT_CROSS_ENTROPY = (
    *(soft(name, sixteenths, make) for name, make in ROWS.items()),
    *(soft(f"{targets.__name__}-{name}", targets, ROWS[name]) for targets in (real, indicator)
      for name in ROWS if name.startswith(("dominant", "scale-1-", "scale-30-"))),
    *(soft(f"smoothed-{e:g}-{targets.__name__}-{name}", targets, ROWS[name], e) for e in (0.1, 1.0)
      for targets in (sixteenths, indicator)
      for name in ROWS if name.startswith(("near-ties", "scale-3-", "scale-100-"))),
    *(soft(f"{reduction}-scale-{s:g}-c{c}-smoothed-{e:g}", real, (logits, 3, c, s), e, reduction)
      for reduction in ("sum", "mean") for c in FEW for s in (0.01, 10) for e in (0, 0.1)),
)  # fmt: skip


def weighted(name: str, make: Any, label_smoothing: float = 0.0, reduction: str = "none", ignored: int = -1) -> Case:
    """Every row but the first whose number is a multiple of `ignored` has the label -100."""

    def arrays(draw: Draw) -> Arrays:
        found = labelled(*make)(draw)
        rows = np.arange(len(found["t"]))
        t = np.where((rows > 0) & (rows % ignored == 0) & (ignored > 0), -100, found["t"])
        return {
            "x": found["x"],
            "t": t,
            "weight": draw.quantised(draw.integers("w", (found["x"].shape[1],), 60, 1) / 20),
        }

    params = {"label_smoothing": label_smoothing, "ignore_index": -100, "reduction": reduction}
    return Case(name, arrays, params)


WEIGHTED_CROSS_ENTROPY = (
    *(weighted(name, make) for name, make in ROWS.items()),
    *(weighted(f"smoothed-{e:g}-{name}", ROWS[name], e) for e in (0.1, 1.0)
      for name in ROWS if name.startswith(("near-ties", "scale-3-", "scale-100-"))),
    *(weighted(f"{reduction}-{s:g}-c{c}-smoothed-{e:g}-ignored-{k}", (logits, 5, c, s), e, reduction, k)
      for reduction in ("none", "sum", "mean") for c in FEW for s in (0.01, 10) for e in (0.0, 0.1) for k in (-1, 2)),
)  # fmt: skip


def line(start: float, stop: float) -> Any:
    return lambda draw: {"x": draw.quantised(np.linspace(start, stop, 8))}


LINES = (
    (-1, 1), (-8, 0), (0, 8), (-20, -10), (10, 20), (-34.5, -33.5), (33.5, 40), (-38, -36), (36, 39), (-90, -86),
    (-104, -102), (-110, -80), (-710, -707), (-746, -743), (-800, 800), (-120, 120), (-11400, -11350), (-1e5, -1e4),
    (1e4, 1e5), (-1e30, 1e30),
)  # fmt: skip
SIGMOID = (
    *(Case(f"scale-{s:g}-{take}", only_x(normal, (8,), s)) for take in "abcde"
      for s in (1e-30, 1e-10, 1e-5, 0.001, 0.03, 0.3, 1, 3, 10, 20, 30, 60, 100, 300, 1e3, 1e4)),
    *(Case(f"line-{k}", line(*ends)) for k, ends in enumerate(LINES)),
    *(Case(f"subnormal-{take}", only_x(subnormal_rows, 8)) for take in "abc"),
    Case("zero", values(0.0)),
    Case("whole-numbers", values(-3, -2, -1, 1, 2, 3, 4, 5)),
)  # fmt: skip


def with_targets(make: Any, *arguments: Any) -> Any:
    """Logits with a target between 0 and 1 for each, every fourth of them 0, every fourth 1."""

    def arrays(draw: Draw) -> Arrays:
        x = make(draw, *arguments)
        t = draw.integers("t", x.shape, 2**20, 1) / 2**20
        t[::4], t[1::4] = 0, 1
        return {"x": x, "t": draw.quantised(t)}

    return arrays


def on_line(draw: Draw, start: float, stop: float) -> Array:
    return draw.quantised(np.linspace(start, stop, 8))


TARGETED = {
    **{f"scale-{s:g}-{take}": (normal, (8,), s) for take in "ab"
       for s in (1e-10, 0.001, 0.03, 0.3, 1, 3, 10, 20, 30, 60, 100, 1e3, 1e4)},
    **{f"line-{k}": (on_line, *ends) for k, ends in enumerate(LINES)},
    **{f"subnormal-{take}": (subnormal_rows, 8) for take in "ab"},
}  # fmt: skip
WITH_LOGITS = (
    *(Case(name, with_targets(*make), {"pos_weight": None, "reduction": "none"}) for name, make in TARGETED.items()),
    *(Case(f"pos-weight-{p:g}-{name}", with_targets(*make), {"pos_weight": p, "reduction": "none"})
      for p in (3.0, 0.3) for name, make in TARGETED.items() if name.startswith("scale")),
    *(Case(f"{reduction}-{weight}", with_targets(normal, (n,), 3.0), {"pos_weight": p, "reduction": reduction})
      for reduction, n in (("sum", 5), ("mean", 7)) for weight, p in (("unweighted", None), ("pos-weight-3", 3.0))),
)  # fmt: skip


def with_hard_targets(make: Any, *arguments: Any) -> Any:
    def arrays(draw: Draw) -> Arrays:
        x = make(draw, *arguments)
        return {"x": x, "t": draw.quantised(draw.integers("t", x.shape, 2))}

    return arrays


def focused(name: str, make: Any, gamma: int, alpha: float | None = None, reduction: str = "none") -> Case:
    return Case(name, with_hard_targets(*make), {"alpha": alpha, "gamma": gamma, "reduction": reduction})


FOCAL = (
    *(focused(f"gamma-{k}-{name}", make, k) for k in (1, 2) for name, make in TARGETED.items()),
    *(focused(f"gamma-{k}-alpha-{a}-{name}", TARGETED[name], k, a) for k in (0, 2) for a in (None, 0.25, 0.3)
      for name in TARGETED if name.startswith("scale-3")),
    *(focused(f"{how}-alpha-{a}", (normal, (n,), 3.0), 2, a, how) for how, n in (("sum", 5), ("mean", 7))
      for a in (None, 0.3)),
)  # fmt: skip


def fractions(draw: Draw, rows: int, classes: int, spread: int) -> Array:
    """m 2^-k, m of 20 bits up to 1, k up to `spread`."""
    m = draw.integers("m", (rows, classes), 2**20 + 1, 2**19) / 2**20
    return draw.quantised(np.ldexp(m, -draw.integers("k", (rows, classes), spread + 1)))


def next_to_1(draw: Draw, rows: int, classes: int) -> Array:
    return draw.quantised(1 - 2 * FORMATS[draw.dtype].unit * draw.integers("x", (rows, classes), 100))


FRACTIONS: dict[str, tuple[Any, ...]] = {
    **{f"spread-{k}-c{c}": (fractions, 3, c, k) for c in (1, 2, 3, 5, 10) for k in (0, 1, 4, 8, 20, 30, 60, 100)},
    **{f"next-to-1-c{c}": (next_to_1, 3, c) for c in (1, 2, 5)},
}
NEGATIVE_LOG_LIKELIHOOD = (
    *(Case(name, labelled(*make), {"reduction": "none"}) for name, make in FRACTIONS.items()),
    *(Case(f"{reduction}-{n}-{name}", labelled(make, n, *more), {"reduction": reduction})
      for reduction in ("sum", "mean") for n in (3, 8)
      for name, (make, _, *more) in FRACTIONS.items() if name.startswith(("spread-4-", "spread-30-", "next"))),
    *(Case(f"many-{name}", labelled(make, 20, *more), {"reduction": "none"})
      for name, (make, _, *more) in FRACTIONS.items() if name.endswith("c5")),
)  # fmt: skip


def probable(
    name: str, targets: Any, make: Any, gamma: int = 0, alpha: float | None = None, reduction: str = "none",
    **more: Any,
) -> Case:  # fmt: skip
    return Case(name, targeted(targets, *make), {"alpha": alpha, "gamma": gamma, "reduction": reduction, **more})


CATEGORICAL_CROSS_ENTROPY = (
    *(probable(f"gamma-{k}-{name}", sixteenths, make, k) for k in (0, 1, 2) for name, make in FRACTIONS.items()),
    *(probable(f"{targets.__name__}-gamma-{k}-{name}", targets, FRACTIONS[name], k) for targets in (real, indicator)
      for k in (0, 2) for name in FRACTIONS if name.startswith(("spread-4-", "spread-30-", "next"))),
    *(probable(f"{how}-gamma-{k}-alpha-{a}-{name}", sixteenths, FRACTIONS[name], k, a, how)
      for how in ("none", "sum", "mean") for k in (0, 2) for a in (None, 0.25, 0.3)
      for name in ("spread-4-c3", "spread-30-c5")),
    *(probable(f"smoothed-{a}-gamma-{k}-{name}", sixteenths, FRACTIONS[name], k, label_smoothing=a)
      for a in (0.1, 0.25) for k in (0, 2) for name in ("spread-4-c3", "spread-30-c5")),
)  # fmt: skip


def with_perturbation(by: float, make: Any, *arguments: Any) -> Any:
    """Logits and labels with multiples of by / 8 to be added to the probabilities."""

    def arrays(draw: Draw) -> Arrays:
        found = labelled(make, *arguments)(draw)
        return {"x": found["x"], "q": draw.quantised(by * draw.integers("q", found["x"].shape, 9) / 8), "t": found["t"]}

    return arrays


LAYERED = (
    *(Case(f"perturbed-{by:g}-{name}" if by else name, with_perturbation(by, *make), {"reduction": "none"})
      for by in (0.0, 0.01, 1.0) for name, make in ROWS.items()
      if name.startswith(("scale-0.1-", "scale-1-", "scale-3-", "dominant-5", "near-ties", "shift-1", "equal"))),
    *(Case(f"{reduction}-scale-{s:g}-c{c}", with_perturbation(0.0, logits, 3, c, s), {"reduction": reduction})
      for reduction in ("sum", "mean") for c in FEW for s in (0.01, 1)),
)  # fmt: skip


def on_both_sides(draw: Draw, count: int, spread: int) -> Array:
    """m 2^-k as in fractions, but no more than 1/2, and 1 less that, which is no 1."""
    small = fractions(draw, 1, count, spread)[0].astype(np.float64) / 2
    return draw.quantised(np.where((np.arange(count) % 2 == 1) & (small > 2.0**-20), 1 - small, small))


BINARY_CROSS_ENTROPY = (
    *(Case(f"spread-{k}-{take}", with_targets(on_both_sides, 8, k), {"reduction": "none"}) for take in "abcdefghij"
      for k in (0, 1, 2, 4, 8, 12, 16, 20, 60, 100)),
    *(Case(f"{reduction}-{n}-spread-{k}", with_targets(on_both_sides, n, k), {"reduction": reduction})
      for reduction in ("sum", "mean") for n in (1, 5, 8) for k in (0, 4, 20)),
)  # fmt: skip


def at(*margins: float) -> Any:
    """Both labels at each of these margins t x."""
    t = np.repeat([1.0, -1.0], len(margins))
    return lambda draw: {"x": t * draw.quantised(np.tile(margins, 2)), "t": draw.quantised(t)}


def random_margins(shape: tuple[int, ...], scale: float, shift: float = 0.0) -> Any:
    def arrays(draw: Draw) -> Arrays:
        t = draw.signs("t", shape)
        return {"x": t * draw.normal("x", shape, scale, shift), "t": t}

    return arrays


def near_kink(steps: int) -> Any:
    """Margins so many units in the last place below 1, and twice as many half units above it."""
    return lambda draw: at(1 - steps * 2 * FORMATS[draw.dtype].unit, 1 + steps * 2 * FORMATS[draw.dtype].unit)(draw)


HINGE = (
    *(Case(f"scale-{s:g}-{take}", random_margins((8,), s)) for take in "abcdef"
      for s in (1e-30, 1e-10, 0.001, 0.1, 0.5, 1, 2, 5, 10, 100, 1e4, 1e15)),
    *(Case(f"around-1-{s:g}-{take}", random_margins((8,), s, 1.0)) for take in "ab"
      for s in (1e-15, 1e-12, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 0.01)),
    *(Case(f"kink-{steps}-steps", near_kink(steps)) for steps in (0, 1, 2, 3, 4, 5, 6, 7, 8, 100, 1000)),
    *(Case(f"plane-{s:g}", random_margins((3, 4), s)) for s in (0.1, 1, 10)),
    Case("kink", at(1.0)),
    Case("below-kink", at(0.5, 0.0, -1.0, -100.0)),
    Case("above-kink", at(1.5, 2.0, 100.0)),
    Case("far", at(-1e18, 1e18)),
    *(Case(f"subnormal-{take}", lambda draw: {"x": subnormal(draw, (8,)), "t": draw.signs("t", (8,))})
      for take in "abc"),
)  # fmt: skip


def multiclass(name: str, make: Any, p: int = 1, margin: float = 1.0, reduction: str = "none") -> Case:
    """Scores with labels and weights."""

    def arrays(draw: Draw) -> Arrays:
        found = labelled(*make)(draw)
        weight = draw.quantised(draw.integers("w", (found["x"].shape[1],), 60, 1) / 20)
        return found | {"weight": weight}

    return Case(name, arrays, {"p": p, "margin": margin, "reduction": reduction})


def halves(draw: Draw, rows: int, classes: int) -> Array:
    """A quarter of all margins of 1 are at the kink."""
    return draw.quantised(draw.integers("x", (rows, classes), 4) / 2)


SCORES = {
    **{f"scale-{s:g}-c{c}": (logits, 2, c, s) for c in (1, 2, 3, 10)
       for s in (0.001, 0.1, 1, 3, 10, 100, 1e4)},
    **{f"shift-{s:g}-c{c}": (logits, 2, c, 1.0, s) for c in FEW for s in (100, -1e4)},
    **{f"near-ties-c{c}": (near_ties, 2, c) for c in FEW},
    **{f"halves-c{c}": (halves, 3, c) for c in FEW},
    **{f"equal-c{c}": (constant, 1, c, 0.7) for c in FEW},
    **{f"subnormal-c{c}": (subnormal_rows, 2, c) for c in FEW},
    **{f"huge-c{c}": (logits, 2, c, 1e15) for c in FEW},
}  # fmt: skip
MULTICLASS = (
    *(multiclass(name, make) for name, make in SCORES.items()),
    *(multiclass(f"squared-{name}", make, 2) for name, make in SCORES.items()),
    *(multiclass(f"margin-{m:g}-p{p}-c{c}", (logits, 2, c, 1.0), p, m) for m in (0, 0.3, 5) for p in (1, 2)
      for c in (2, 5)),
    *(multiclass(f"{how}-p{p}-c{c}", (logits, 3, c, 1.0), p, 1.0, how) for how in ("sum", "mean") for p in (1, 2)
      for c in (2, 5)),
)  # fmt: skip


def worst_class(name: str, make: Any, margin: float = 1.0, reduction: str = "none") -> Case:
    return Case(name, labelled(*make), {"margin": margin, "reduction": reduction})


CRAMMER_SINGER = (
    *(worst_class(name, make) for name, make in SCORES.items()),
    *(worst_class(f"margin-25-{name}", make, 25.0) for name, make in SCORES.items()),
    *(worst_class(f"margin-{m:g}-{name}", SCORES[name], m) for m in (0, 0.5, 3)
      for name in SCORES if name.startswith(("scale-1-", "halves"))),
    *(worst_class(f"{how}-c{c}", (logits, 3, c, 1.0), 1.0, how) for how in ("sum", "mean") for c in (2, 5)),
)  # fmt: skip


def of_labels(name: str, make: Any, reduction: str = "none") -> Case:
    return Case(name, labelled(*make), {"reduction": reduction})


ONE_VS_REST = (
    *(of_labels(name, make) for name, make in ROWS.items() if "huge" not in name),
    *(of_labels(f"{how}-scale-{s:g}-c{c}", (logits, 3, c, s), how) for how in ("sum", "mean") for c in FEW
      for s in (0.01, 1, 10)),
)  # fmt: skip
CATEGORICAL_HINGE = (
    *(of_labels(name, make) for name, make in SCORES.items()),
    *(of_labels(f"scale-{s:g}-c{c}-{take}", (logits, 2, c, s)) for take in "ab" for c in (2, 3, 5, 10)
      for s in (0.3, 0.5, 1, 2, 3, 5, 1e3)),
    *(of_labels(f"{how}-c{c}", (logits, 3, c, 1.0), how) for how in ("sum", "mean") for c in (2, 5)),
)  # fmt: skip


def listed(name: str, make: Any, reduction: str = "none") -> Case:
    """Up to three classes of each row, in any order, then -1 and what does not count."""

    def arrays(draw: Draw) -> Arrays:
        x = make[0](draw, *make[1:])
        order = np.argsort(draw.integers("order", x.shape, 2**30), axis=1, kind="stable")
        length = draw.integers("length", (len(x), 1), min(x.shape[1], 3) + 1)
        return {"x": x, "t": np.where(np.arange(x.shape[1]) == length, -1, order)}

    return Case(name, arrays, {"reduction": reduction})


MULTILABEL = (
    *(listed(name, make) for name, make in SCORES.items()),
    *(listed(f"scale-{s:g}-c{c}-{take}", (logits, 2, c, s)) for take in "ab" for c in (2, 3, 5, 10)
      for s in (0.3, 0.5, 1, 2, 3, 5, 1e3)),
    *(listed(f"{how}-c{c}", (logits, 3, c, 1.0), how) for how in ("sum", "mean") for c in (2, 5)),
)  # fmt: skip


def distances(name: str, make: Any, margin: float = 1.0, reduction: str = "none") -> Case:
    return Case(name, make, {"margin": margin, "reduction": reduction})


HINGE_EMBEDDING = (
    *(distances(f"{case.name}-margin-{m:g}", case.arrays, m) for m in (1.0, 0.3) for case in HINGE
      if "plane" not in case.name and not case.name.endswith(("-c", "-d", "-e", "-f"))),
    *(distances(f"{how}-scale-{s:g}-of-{n}", random_margins((n,), s), 1.0, how) for how in ("sum", "mean")
      for n in (5, 8) for s in (0.3, 3)),
)  # fmt: skip


def two_scores(name: str, make: Any, margin: float = 1.0, reduction: str = "none") -> Case:
    """A score and another, which is 0 in every third place."""

    def arrays(draw: Draw) -> Arrays:
        found: Arrays = make(draw)
        other = draw.normal("other", found["x"].shape)
        other[::3] = 0
        return found | {"other": other}

    return Case(name, arrays, {"margin": margin, "reduction": reduction})


MARGIN_RANKING = (
    *(two_scores(f"{case.name}-margin-{m:g}", case.arrays, m) for m in (1.0, 0.3) for case in HINGE
      if "plane" not in case.name and not case.name.endswith(("-c", "-d", "-e", "-f"))),
    *(two_scores(f"{how}-scale-{s:g}-of-{n}", random_margins((n,), s), 1.0, how) for how in ("sum", "mean")
      for n in (5, 8) for s in (0.3, 3)),
)  # fmt: skip


def points(items: int, count: int, dim: int, classes: int, scale: float = 1.0, shift: float = 0.0) -> Any:
    return lambda draw: {"x": draw.normal("x", (items, count, dim), scale, shift),
                         "t": draw.integers("t", (items, count), classes)}  # fmt: skip


def alone(draw: Draw) -> Arrays:
    """Each member is its own class."""
    return {"x": draw.normal("x", (2, 4, 2)), "t": np.tile(np.arange(4), (2, 1))}


def together(size: int, shift: float) -> Any:
    """Classes whose members all sit on one point, beside one whose members do not."""

    def arrays(draw: Draw) -> Arrays:
        x = np.repeat(draw.normal("x", (2, 2, 2), 1.0, shift), size, axis=1)
        apart = draw.normal("apart", (2, 2, 2), 1.0, shift)
        return {"x": np.concatenate([x, apart], 1), "t": np.tile(np.repeat([0, 1, 2], [size, size, 2]), (2, 1))}

    return arrays


def far_apart(draw: Draw) -> Arrays:
    return {"x": draw.normal("x", (2, 6, 2)), "t": np.array([0, 1000, 999_999])[draw.integers("t", (2, 6), 3)]}


def at_distance_5(scale: float) -> Any:
    """Two points of one class at distance 5 scale from its centroid."""
    return lambda draw: {"x": draw.quantised([[[3 * scale, 4 * scale], [-3 * scale, -4 * scale]]]),
                         "t": np.array([[3, 3]])}  # fmt: skip


def ragged(name: str, make: Any, delta: float = 0.5, reduction: str = "none", over_classes: str = "sum") -> Case:
    return Case(name, make, {"delta": delta, "over_classes": over_classes, "reduction": reduction})


RAGGED = (
    *(ragged(f"scale-{s:g}-delta-{delta:g}-k{k}", points(2, 5, 2, k, s), delta) for k in (1, 3, 10)
      for delta in (0, 0.1, 0.5) for s in (0.001, 0.1, 1, 30, 1e4)),
    *(ragged(f"shift-{s:g}-delta-{delta:g}-{take}", points(2, 5, 2, 2, 1.0, s), delta) for take in "ab"
      for delta in (0, 0.5, 1) for s in (1, 100, 1e4)),
    *(ragged(f"dim-{dim}-n{n}", points(1, n, dim, 2, 2.0)) for dim in (1, 3, 8) for n in (1, 2, 3, 7)),
    *(ragged(f"mean-b{b}-delta-{delta:g}", points(b, 4, 2, 2), delta, "mean") for b in (1, 2, 3, 4)
      for delta in (0, 0.1, 0.5)),
    *(ragged(f"alone-delta-{delta:g}", alone, delta) for delta in (0, 0.5)),
    *(ragged(f"together-{n}-at-{s:g}-delta-{delta:g}", together(n, s), delta) for n in (2, 3) for s in (0, 100)
      for delta in (0, 0.5)),
    *(ragged(f"far-apart-labels-delta-{delta:g}", far_apart, delta) for delta in (0, 0.5)),
    *(ragged(f"distance-{5 * s:g}-delta-{delta:g}", at_distance_5(s), delta) for s in (1.0, 0.25)
      for delta in (0, 1, 1.25, 5, 100)),
    *(ragged(f"within-delta-{k}", points(1, 5, 2, k), 100.0) for k in (1, 2)),
    *(ragged(f"class-mean-{how}-delta-{delta:g}-k{k}", points(3, 6, 2, k), delta, how, "mean")
      for how in ("none", "mean") for delta in (0, 0.5) for k in (1, 2, 4, 10)),
)  # fmt: skip


def classifier(rows: int, features: int, classes: int, scale: float, weight: float) -> Any:
    return lambda draw: {
        "x": draw.normal("x", (rows, features), scale), "w": draw.normal("w", (features, classes), weight),
        "t": draw.integers("t", (rows,), classes),
    }  # fmt: skip


def two_classes(rows: int, features: int, scale: float, weight: float) -> Any:
    return lambda draw: {
        "x": draw.normal("x", (rows, features), scale), "w": draw.normal("w", (features,), weight),
        "t": draw.quantised(draw.integers("t", (rows,), 2)),
    }  # fmt: skip


REGRESSION = tuple(
    Case(f"{n}x{d}x{c}-scale-{s:g}-weight-{w:g}-reg-{reg:g}", classifier(n, d, c, s, w), {"reg": reg})
    for n, d, c in ((1, 1, 2), (3, 2, 3), (2, 5, 1), (4, 3, 5))
    for s in (0.001, 1, 30) for w in (0.01, 1, 10) for reg in (0.0, 0.1, 3.0)
)  # fmt: skip

NORM = (
    *(Case(f"scale-{s:g}-c{c}-{take}", only_x(normal, (2, c), s)) for take in "abcd" for c in (1, 2, 3, 5, 10, 17)
      for s in (1e-9, 0.001, 1, 30, 1e9)),
    *(Case(f"dominant-{lead:g}-c{c}", only_x(dominant, 2, c, lead)) for c in FEW for lead in (5, 100, 1e6)),
)  # fmt: skip


def two_points(shape: tuple[int, ...], scale: float, shift: float = 0.0) -> Any:
    return lambda draw: {"x": draw.normal("x", shape, scale, shift), "other": draw.normal("other", shape, scale, shift)}


DISTANCE = tuple(
    Case(f"scale-{s:g}-shift-{shift:g}-c{c}-eps-{eps:g}", two_points((2, c), s, shift), {"eps": eps})
    for c in (1, 2, 3, 10) for s in (0.001, 0.1, 1, 30) for shift in (0, 10) for eps in (0.0, 1e-6, 0.01, 3.0)
)  # fmt: skip


def rows_of_segments(n: int, count: int, scale: float, rest: tuple[int, ...]) -> Any:
    return lambda draw: {"x": draw.normal("x", (n, *rest), scale), "ids": draw.integers("ids", (n,), count)}


SEGMENTS = tuple(
    Case(f"{n}-in-{count}-scale-{s:g}-of-{len(rest)}-{take}", rows_of_segments(n, count, s, rest), {"count": count})
    for take in "ab" for n in (1, 2, 5, 12, 20) for count in (1, 3, 8) for s in (1e-9, 1, 1e9)
    for rest in ((), (2,))
)  # fmt: skip


def measured(rows: int, columns: int, scale: float, grade: float, shift: float) -> Any:
    """Rows of data whose columns fall by `grade`."""
    return lambda draw: {
        "x": draw.quantised(
            shift
            + draw.normal("x", (rows, columns), scale).astype(np.float64) * np.power(float(grade), -np.arange(columns))
        )
    }


PCA = tuple(
    Case(f"{n}x{m}-scale-{s:g}-grade-{grade:g}-shift-{shift:g}-components-{k}-{take}", measured(n, m, s, grade, shift),
         {"components": k})
    for take in "abc" for n, m, k in ((2, 3, 1), (3, 3, 1), (3, 4, 2), (4, 4, 2), (4, 5, 3)) for s in (0.01, 1, 30)
    for grade, shift in ((1, 0), (2, 0), (1, 10))
)  # fmt: skip
LOGISTIC = tuple(
    Case(f"{n}x{d}-scale-{s:g}-weight-{w:g}-reg-{reg:g}", two_classes(n, d, s, w), {"reg": reg})
    for n, d in ((1, 1), (3, 2), (2, 5), (4, 3))
    for s in (0.001, 1, 30) for w in (0.01, 1, 10) for reg in (0.0, 0.1, 3.0)
)  # fmt: skip

OPS: dict[str, tuple[Callable[..., Any], tuple[Case, ...]]] = {
    "softmax": (softmax, ALONG_AXIS),
    "log_softmax": (log_softmax, ALONG_AXIS),
    "logsumexp": (logsumexp, tuple(case for case in ALONG_AXIS if "huge" not in case.name)),  # whose bound is infinite
    "cross_entropy": (cross_entropy, CROSS_ENTROPY),
    "soft_cross_entropy": (soft_cross_entropy, SOFT_CROSS_ENTROPY),
    "weighted_cross_entropy": (weighted_cross_entropy, WEIGHTED_CROSS_ENTROPY),
    "sigmoid": (sigmoid, SIGMOID),
    "log_sigmoid": (log_sigmoid, SIGMOID),
    "hinge": (hinge, HINGE),
    "squared_hinge": (squared_hinge, HINGE),
    "ragged_centroid": (ragged_centroid, RAGGED),
    "binary_cross_entropy_with_logits": (binary_cross_entropy_with_logits, WITH_LOGITS),
    "negative_log_likelihood": (negative_log_likelihood, NEGATIVE_LOG_LIKELIHOOD),
    "layered_cross_entropy": (layered_cross_entropy, LAYERED),
    "binary_cross_entropy": (binary_cross_entropy, BINARY_CROSS_ENTROPY),
    "softmax_regression": (softmax_regression, REGRESSION),
    "multiclass_hinge": (multiclass_hinge, MULTICLASS),
    "crammer_singer_hinge": (crammer_singer_hinge, CRAMMER_SINGER),
    "hinge_embedding": (hinge_embedding, HINGE_EMBEDDING),
    "margin_ranking": (margin_ranking, MARGIN_RANKING),
    "euclidean_norm": (euclidean_norm, NORM),
    "pairwise_distance": (pairwise_distance, DISTANCE),
    "segment_sum": (segment_sum, SEGMENTS),
    "segment_mean": (segment_mean, SEGMENTS),
    "pca": (pca, PCA),
    "focal_loss": (focal_loss, FOCAL),
    "one_vs_rest": (one_vs_rest, ONE_VS_REST),
    "logistic_regression": (logistic_regression, LOGISTIC),
    "categorical_hinge": (categorical_hinge, CATEGORICAL_HINGE),
    "multilabel_margin": (multilabel_margin, MULTILABEL),
    "spatial_cross_entropy": (spatial_cross_entropy, SPATIAL),
    "categorical_cross_entropy": (categorical_cross_entropy, CATEGORICAL_CROSS_ENTROPY),
}


# --- making


def certified(op: str, case: Case, dtype: str) -> tuple[Certificate, int, float]:
    """With twice the bits until every number is known; the bits, and the largest relative radius."""
    draw = Draw(f"{op}/{case.name}", dtype)
    arrays = {k: widened(a) for k, a in case.arrays(draw).items()}
    params = {k: float(draw.quantised(v)) if isinstance(v, float) else v for k, v in case.params.items()}
    for bits in BITS:
        flint.ctx.prec = bits
        with suppress(UndecidedError):
            g, balls = evaluated(op, draw, arrays, params)
            radius = max((relative(ball) for part in balls.values() for ball in part.flat), default=0.0)
            if radius <= RADIUS:
                truth = {k: as_numbers(part) for k, part in balls.items()}
                return Certificate(case.name, dtype, params, arrays, g, truth), bits, radius
    raise GradparityError(f"{op}/{case.name} in {dtype} is not decided with {BITS[-1]} bits")


def evaluated(op: str, draw: Draw, arrays: Arrays, params: Any) -> tuple[Array, Arrays]:
    """The cotangent; by the name of its check each output and gradient, arrays of balls."""
    wrt, variables, start = REFERENCE[op].wrt, dict[str, Array](), 0
    for k in wrt:
        variables[k] = numbered(arrays[k], start)
        start += arrays[k].size
    ys = [np.asarray(y, object) for y in outputs(OPS[op][0](**arrays | variables, **params))]
    g = widened(COTANGENTS["normal"](draw, ys[0].shape))
    dx = sum(map(Dual.__mul__, ys[0].flat, g.ravel().tolist()), dual(0)).d
    values = dict(zip(REFERENCE[op].checks("value"), (each(lambda y: y.v, y) for y in ys), strict=True))
    return g, values | {join("vjp", k): each(lambda x: dx.get(next(iter(x.d)), arb(0)), variables[k]) for k in wrt}


def numbered(x: Array, start: int) -> Array:
    """Variables: each has the derivative 1 for its own number."""
    return np.array([Dual(arb(v), {start + i: arb(1)}) for i, v in enumerate(x.flat)], object).reshape(x.shape)


def widened(a: Array) -> Array:
    return np.asarray(a, np.float64 if is_float(a) else np.int64)


def relative(ball: arb) -> float:
    """The radius in parts of the smallest number in the ball; infinite where that is 0 or nothing is known."""
    if ball.abs_upper() <= LEAST:
        return 0.0
    return float(ball.rad() / ball.abs_lower()) if ball.abs_lower() > 0 else math.inf


def as_numbers(balls: Array) -> Array:
    return np.array([pair(ball) for ball in balls.flat], NUMBER).reshape(balls.shape)


def pair(ball: arb) -> tuple[float, float, int]:
    """The middle as (hi + lo) 2**k, to 107 bits: what lies below them is within the radius, and noise."""
    if ball.abs_upper() <= LEAST:
        return 0.0, 0.0, 0
    mantissa, exponent = map(int, ball.mid().man_exp())
    size = abs(mantissa).bit_length()
    significand = round(Fraction(mantissa, 2**size) * 2**107)
    hi = significand / 2**107
    return hi, (significand - int(hi * 2**107)) / 2**107, exponent + size


def made(op: str) -> tuple[dict[str, Any], list[Certificate]]:
    """What is said about the certificates of an operation, and they."""
    cases, bits, radii = zip(*(certified(op, case, dtype) for dtype in DTYPES for case in OPS[op][1]), strict=True)
    versions = {"python-flint": flint.__version__, "flint": flint.__FLINT_VERSION__}
    return {"bits": [min(bits), max(bits)], "radius": max(radii), **versions}, list(cases)


def differences(op: str, cases: list[Certificate]) -> Iterator[str]:
    stored, new = ({(c.name, c.dtype): c for c in many} for many in (load(HERE / f"{op}.npz").cases, cases))
    for name, dtype in sorted(set(stored) | set(new)):
        if not same(stored.get((name, dtype)), new.get((name, dtype))):
            yield f"{name} in {dtype}"


def same(a: Certificate | None, b: Certificate | None) -> bool:
    if a is None or b is None:
        return False
    x, y = a.frozen(), b.frozen()
    return a.params == b.params and set(x) == set(y) and all(np.array_equal(x[k], y[k]) for k in x)


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the certificates, or compare them with what is stored.")
    parser.add_argument("op", nargs="*", help="all of them where none is named")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where what is stored differs")
    options = parser.parse_args()
    for op in options.op:
        if op not in OPS:
            parser.error(nearest(op, sorted(OPS), "operation"))
    differ = False
    for op in options.op or OPS:
        about, cases = made(op)
        wrong = list(differences(op, cases)) if options.check else []
        if not options.check:
            save(HERE / f"{op}.npz", op, about, cases)
        print(f"{op}: {len(cases)} cases, {about}" + (f"; differ: {', '.join(wrong)}" if wrong else ""))
        differ |= bool(wrong)
    return int(differ)


if __name__ == "__main__":
    sys.exit(main())
