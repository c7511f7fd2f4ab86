"""Softmax cross-entropy from logits, with a number for each class as target."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradparity.arithmetic import kept
from gradparity.cases import LOGITS, Draw, in_layouts, logits
from gradparity.op import SMOOTH, Array, Arrays, Case, Convention, Invariant, Op, Road
from gradparity.reference.along_axis import FINITE
from gradparity.reference.cross_entropy import OP as CROSS_ENTROPY
from gradparity.reference.cross_entropy import one_hot, rows_apart
from gradparity.reference.digits import digits_labels, digits_logits
from gradparity.reference.invariants import gradient_sums_to_zero, nonnegative, shift, turned
from gradparity.reference.log_softmax import log_softmax
from gradparity.reference.reduction import reduced, spread_back
from gradparity.reference.softmax import exponentials

MASKED = Convention((0.0, np.nan), 0.0, "what a class of logit -inf and target 0 adds to the loss")


def soft_cross_entropy(
    x: Array, t: Array, label_smoothing: float = 0.0, reduction: str = "none", masked: float = 0.0
) -> Array:
    """loss_i = -sum_j s_ij log_softmax(x_i)_j, s = (1 - label_smoothing) t + label_smoothing / C.  x: [N, C] logits,
    t: [N, C] targets -> loss: [N] in nats, or its sum or mean over the rows, a scalar; the mean of no rows is NaN.

    Targets need not sum to 1, nor be one-hot. A row that holds NaN or +inf, or only -inf, gives NaN.
    Source: Goodfellow, Bengio & Courville, Deep Learning (2016), section 6.2.2.3; label smoothing: Szegedy et al.,
    Rethinking the Inception architecture for computer vision (2016), section 7.
    """
    return reduced(rows(x, smoothed(t, label_smoothing), masked), reduction)


def soft_cross_entropy_vjp(
    g: Array, y: Array, x: Array, t: Array, label_smoothing: float = 0.0, reduction: str = "none", masked: float = 0.0
) -> Arrays:
    """p sum(s) - s for the logits, p = exp(log_softmax(x)); -(1 - label_smoothing) log_softmax(x) for the targets."""
    g = np.expand_dims(spread_back(g, reduction, len(t)), -1)
    dx = gradient(g, x, smoothed(t, label_smoothing))
    return {"x": dx, "t": -g * log_softmax(x) * (1 - label_smoothing)}


def vjp_by_quotient(
    g: Array, y: Array, x: Array, t: Array, label_smoothing: float = 0.0, reduction: str = "none", masked: float = 0.0
) -> Arrays:
    """The same, p from the exponentials of the forward, and its logarithms."""
    g = np.expand_dims(spread_back(g, reduction, len(t)), -1)
    dx, (logs,) = gradient_by_quotient(g, x, smoothed(t, label_smoothing)), kept(lambda x: (log_softmax(x),), x)
    return {"x": dx, "t": -g * logs * (1 - label_smoothing)}


def rows(x: Array, s: Array, masked: float = 0.0) -> Array:
    """-sum_j s_ij log_softmax(x_i)_j."""
    y = log_softmax(x)
    return -np.sum(s * y if np.isnan(masked) else np.where(s == 0, 0.0, s * y), axis=-1)


def gradient(g: Array, x: Array, s: Array) -> Array:
    """g (p sum(s) - s).  g: [N, 1]."""
    return g * (np.exp(log_softmax(x)) * np.sum(s, axis=-1, keepdims=True) - s)


def gradient_by_quotient(g: Array, x: Array, s: Array) -> Array:
    """e (sum(g s) / sum(e)) - g s, as differentiating step by step gives it."""
    gs, (e, total) = g * s, exponentials(x)
    return e * (np.sum(gs, axis=-1, keepdims=True) / total) - gs


def smoothed(t: Array, label_smoothing: float) -> Array:
    """The targets, mixed with equal ones."""
    return t * (1 - label_smoothing) + label_smoothing / t.shape[-1]


def distributions(draw: Draw, rows: int, classes: int) -> Array:
    """Multiples of 1/64, many of them 0, whose sum is exactly 1 in every dtype."""
    cuts = np.sort(draw.integers("t", (rows, classes - 1), 65), axis=-1)
    return draw.quantised(np.diff(cuts, prepend=0, append=64) / 64)


def weights(draw: Draw, rows: int, classes: int) -> Array:
    """Multiples of 1/16 below 4, whatever their sum."""
    return draw.quantised(draw.integers("t", (rows, classes), 64) / 16)


def signed(draw: Draw, rows: int, classes: int) -> Array:
    """Multiples of 1/16 from -2 to 2."""
    return draw.quantised(draw.integers("t", (rows, classes), 64, -32) / 16)


def balanced(draw: Draw, rows: int, classes: int) -> Array:
    """Of both signs, those that a row begins with and their negatives, whose sum is exactly 0."""
    half = weights(draw, rows, classes // 2)
    return np.concatenate([half, -half, draw.full((rows, classes % 2), 0.0)], axis=-1)


def large(draw: Draw, rows: int, classes: int) -> Array:
    """Multiples of 4 below 256."""
    return draw.quantised(draw.integers("t", (rows, classes), 64) * 4)


def labels(draw: Draw, rows: int, classes: int) -> Array:
    return draw.quantised(one_hot(draw.integers("t", (rows,), classes), classes))


def zeros(draw: Draw, rows: int, classes: int) -> Array:
    return draw.full((rows, classes), 0.0)


def targeted(make: Any, targets: Any = distributions) -> Any:
    """Logits with targets drawn beside them."""
    return lambda draw: {"x": (x := make(draw)), "t": targets(draw, *x.shape)}


def masked_classes(draw: Draw) -> Arrays:
    """The last three logits are -inf and their targets 0."""
    x, t = logits(draw, 8, 10), distributions(draw, 8, 7)
    x[:, 7:] = -np.inf
    return {"x": x, "t": np.concatenate([t, 0 * t[:, :3]], axis=-1)}


def of_digits(draw: Draw) -> Arrays:
    return {"x": digits_logits(draw), "t": draw.quantised(one_hot(digits_labels(), 10))}


def case(name: str, make: Any, label_smoothing: float = 0.0, reduction: str = "none", **more: Any) -> Case:
    return Case(name, make, {"label_smoothing": label_smoothing, "reduction": reduction}, **more)


# Cases whose targets do not sum to 1 are called unnormalised-.
CASES = (
    *(case(name, targeted(make)) for name, make in LOGITS.items()),
    *(case(f"one-hot-{name}", targeted(LOGITS[name], labels)) for name in (*FINITE, "scale-10000")),
    *(case(f"unnormalised-{name}", targeted(LOGITS[name], weights)) for name in (*FINITE, "scale-1", "shift-10000")),
    case("unnormalised-zero-targets", targeted(LOGITS["scale-1"], zeros)),
    *(case(f"unnormalised-{t.__name__}", targeted(LOGITS["scale-1"], t)) for t in (signed, balanced, large)),
    case("masked", masked_classes),
    *(
        case(f"smoothed-{name}", targeted(LOGITS[name]), 0.1)
        for name in (*FINITE, "scale-1", "shift-10000", "one-row", "classes-1", "minus-inf")
    ),
    case("smoothed-one-hot", targeted(LOGITS["scale-1"], labels), 0.1),
    case("smoothed-evenly", targeted(LOGITS["scale-1"]), 1.0),
    case("unnormalised-smoothed", targeted(LOGITS["scale-1"], weights), 0.1),
    *(
        case(f"{reduction}-{name}", targeted(LOGITS[name]), reduction=reduction)
        for reduction in ("sum", "mean")
        for name in ("scale-1", "shift-10000", "dominant-20", "one-row", "zero-rows", "classes-1000")
    ),
    *(case(f"smoothed-{reduction}", targeted(LOGITS["scale-1"]), 0.1, reduction) for reduction in ("sum", "mean")),
    case("unnormalised-mean", targeted(LOGITS["scale-1"], weights), reduction="mean"),
    case("digits", of_digits),
    case("smoothed-mean-digits", of_digits, 0.1, "mean"),
    *in_layouts(case("contiguous", targeted(lambda draw: logits(draw, 8, 9, 2.0)))),
)


def permutation(f: Any, x: Array, t: Array, **params: Any) -> Array:
    """Rows and classes in reverse order."""
    return turned(f(x=turned(x), t=turned(t), **params)) - f(x=x, t=t, **params)


def reduction_of_rows(f: Any, x: Array, t: Array, reduction: str, **params: Any) -> Array:
    """The sum is the sum of the rows, the mean that by their number."""
    return f(x=x, t=t, reduction=reduction, **params) - reduced(f(x=x, t=t, reduction="none", **params), reduction)


def of_one_hot(f: Any, cross_entropy: Any, x: Array, t: Array, **params: Any) -> Array:
    """f(x, onehot(k)) = cross_entropy(x, k), for labels that count up."""
    k = np.arange(x.shape[0]) % x.shape[1]
    return f(x=x, t=0 * x + one_hot(k, x.shape[1]), **params) - cross_entropy(x=x, t=k, reduction="none")


def linear(f: Any, g: Array, x: Array, t: Array, **params: Any) -> Array:
    """f is linear in the targets, so <t, df/dt> = f, and so of its gradient."""
    return np.sum(t * f.vjp(g, x=x, t=t, **params)["t"], axis=-1) - g * f(x=x, t=t, **params)


EVERY = (*FINITE, *(f"unnormalised-{name}" for name in FINITE), *(f"smoothed-{name}" for name in FINITE))
INVARIANTS = (
    Invariant("nonnegative", nonnegative, EVERY, exact=True),
    Invariant("shift", shift, ("coarse", "unnormalised-coarse", "smoothed-coarse")),
    Invariant("permutation", permutation, EVERY),
    Invariant("of-one-hot", of_one_hot, FINITE, other=CROSS_ENTROPY),
    Invariant("reduction-of-rows", reduction_of_rows, ("sum-scale-1", "smoothed-mean", "unnormalised-mean")),
    Invariant("gradient-sums-to-zero", gradient_sums_to_zero, EVERY, "vjp"),
    Invariant("linear", linear, (*FINITE, *(f"unnormalised-{name}" for name in FINITE)), "vjp"),
)

OP = Op(
    "soft_cross_entropy", soft_cross_entropy, soft_cross_entropy_vjp, CASES, wrt=("x", "t"),
    conventions={"masked": MASKED}, roads={"quotient": Road(vjp=vjp_by_quotient)}, batch_axis=rows_apart,
    invariants=INVARIANTS, counted="digits", smooth=(*SMOOTH, "smoothed-scale-1"),
)  # fmt: skip
