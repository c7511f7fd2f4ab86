"""Softmax cross-entropy from logits, with integer labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from gradparity.arithmetic import stationary
from gradparity.cases import LOGITS, Draw, dominant, in_layouts, logits
from gradparity.op import Array, Arrays, Case, Invariant, Op, Road
from gradparity.reference.along_axis import FINITE
from gradparity.reference.digits import digits_labels, digits_logits
from gradparity.reference.invariants import gradient_sums_to_zero, nonnegative, shift, turned
from gradparity.reference.log_softmax import OP as LOG_SOFTMAX
from gradparity.reference.log_softmax import log_softmax
from gradparity.reference.logsumexp import logsumexp
from gradparity.reference.logsumexp import vjp_by_quotient as logsumexp_vjp_by_quotient
from gradparity.reference.reduction import reduced, spread_back
from gradparity.reference.softmax import exponentials


def cross_entropy(x: Array, t: Array, reduction: str = "none") -> Array:
    """loss_i = log(sum_j exp(d_ij)) - d_{i, t_i}, d = x - max_j x_ij.  x: [N, C], t: [N] in 0..C-1 -> loss: [N],
    or its sum or mean over the rows, a scalar; the mean of no rows is NaN.

    Source: Bishop, Pattern Recognition and Machine Learning (2006), section 4.3.4.
    """
    d = x - stationary(np.max(x, axis=-1, keepdims=True))
    loss = np.log(np.sum(np.exp(d), axis=-1)) - pick(d, t)
    return reduced(loss, reduction)


def cross_entropy_vjp(g: Array, y: Array, x: Array, t: Array, reduction: str = "none") -> Arrays:
    """p - onehot(t) in each row, p = exp(log_softmax(x))."""
    g = np.expand_dims(spread_back(g, reduction, len(t)), -1)
    return {"x": g * (np.exp(log_softmax(x)) - one_hot(t, x.shape[-1]))}


def vjp_by_quotient(g: Array, y: Array, x: Array, t: Array, reduction: str = "none") -> Arrays:
    """p g from the exponentials of the forward: e (g / sum(e)) - g onehot(t), as differentiating step by step gives
    it."""
    g = np.expand_dims(spread_back(g, reduction, len(t)), -1)
    e, s = exponentials(x)
    return {"x": e * (g / s) - g * one_hot(t, x.shape[-1])}


def unshifted(x: Array, t: Array, reduction: str = "none") -> Array:
    """logsumexp(x) - x_t: the shift is added back before the label's logit is taken away, which loses |x| u."""
    return reduced(logsumexp(x) - pick(x, t), reduction)


def unshifted_vjp(g: Array, y: Array, x: Array, t: Array, reduction: str = "none") -> Arrays:
    """That of the logsumexp, and -1 at the label."""
    g = spread_back(g, reduction, len(t))
    return {"x": logsumexp_vjp_by_quotient(g, logsumexp(x), x)["x"] - np.expand_dims(g, -1) * one_hot(t, x.shape[-1])}


def pick(x: Array, t: Array) -> Array:
    """x_{i, t_i}."""
    return np.squeeze(np.take_along_axis(x, t[:, None], -1), -1)


def one_hot(t: Array, classes: int) -> Array:
    return np.arange(classes) == t[:, None]


def labelled(make: Any) -> Any:
    """Logits with labels drawn beside them."""

    def arrays(draw: Draw) -> Arrays:
        x = make(draw)
        return {"x": x, "t": draw.integers("t", x.shape[:1], x.shape[1])}

    return arrays


def large_losses(draw: Draw) -> Arrays:
    """Losses near 20,000 each: their sum is beyond the largest float16, their mean is not."""
    x = dominant(draw, 8, 10, 20000.0)
    return {"x": x, "t": (np.argmax(x, axis=-1) + 1) % 10}


def rows_apart(params: Mapping[str, Any]) -> int | None:
    return 0 if params["reduction"] == "none" else None


REDUCED = ("scale-1", "shift-10000", "dominant-20", "near-ties", "one-row", "zero-rows", "classes-1000")
CASES = (
    *(Case(name, labelled(make), {"reduction": "none"}) for name, make in LOGITS.items()),
    *(
        Case(f"{reduction}-{name}", labelled(LOGITS[name]), {"reduction": reduction})
        for reduction in ("sum", "mean")
        for name in REDUCED
    ),
    *(Case(f"{reduction}-large-losses", large_losses, {"reduction": reduction}) for reduction in ("sum", "mean")),
    *(
        Case(f"{reduction}-digits", lambda d: {"x": digits_logits(d), "t": digits_labels()}, {"reduction": reduction})
        for reduction in ("none", "mean")
    ),
    *in_layouts(Case("contiguous", labelled(lambda draw: logits(draw, 8, 9, 2.0)), {"reduction": "none"})),
)


def permutation(f: Any, x: Array, t: Array, **params: Any) -> Array:
    """Rows and classes in reverse order, the labels with them."""
    relabelled = x.shape[-1] - 1 - turned(t)
    return turned(f(x=turned(x), t=relabelled, **params)) - f(x=x, t=t, **params)


def reduction_of_rows(f: Any, reduction: str, **arguments: Any) -> Array:
    """The sum is the sum of the rows, the mean that by their number."""
    return f(reduction=reduction, **arguments) - reduced(f(reduction="none", **arguments), reduction)


def negative_log_softmax(f: Any, log_softmax: Any, x: Array, t: Array, reduction: str) -> Array:
    """loss_i = -log_softmax(x)_{i, t_i}."""
    return f(x=x, t=t, reduction=reduction) + pick(log_softmax(x=x, axis=-1), t)


INVARIANTS = (
    Invariant("nonnegative", nonnegative, FINITE, exact=True),
    Invariant("shift", shift, ("coarse",)),
    Invariant("permutation", permutation, FINITE),
    Invariant("negative-log-softmax", negative_log_softmax, FINITE, other=LOG_SOFTMAX),
    Invariant("reduction-of-rows", reduction_of_rows, ("sum-scale-1", "mean-scale-1")),
    Invariant("gradient-sums-to-zero", gradient_sums_to_zero, (*FINITE, "mean-scale-1"), "vjp"),
)

OP = Op(
    "cross_entropy", cross_entropy, cross_entropy_vjp, CASES,
    roads={"quotient": Road(vjp=vjp_by_quotient), "unshifted": Road(unshifted, unshifted_vjp)},
    batch_axis=rows_apart, invariants=INVARIANTS, counted="none-digits",
)  # fmt: skip
