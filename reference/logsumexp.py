"""Logarithm of a sum of exponentials along an axis."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradparity.arithmetic import kept, stationary
from gradparity.op import Array, Arrays, Invariant, Op, Road
from gradparity.reference import log_softmax
from gradparity.reference.along_axis import CASES, FINITE, other_axis
from gradparity.reference.invariants import far, permutation


def logsumexp(x: Array, axis: int = -1) -> Array:
    """y = m + log(sum_k exp(x_k - m)), m = max_k x_k.  x: any shape -> y: that shape without the axis.

    A row of -inf gives -inf, a row that holds +inf gives +inf, one that holds NaN gives NaN: where m is infinite it
    is the result, and no difference with it is taken.
    Source: Blanchard, Higham & Higham (2021), eq. (1.2).
    """
    m = finite_maximum(x, axis)
    return np.squeeze(m + np.log(np.sum(np.exp(x - m), axis=axis, keepdims=True)), axis)


def finite_maximum(x: Array, axis: int) -> Array:
    """The maximum along the axis, 0 where it is infinite or NaN."""
    m = np.max(x, axis=axis, keepdims=True)
    return stationary(np.where(np.isfinite(m), m, 0.0))


def logsumexp_vjp(g: Array, y: Array, x: Array, axis: int = -1) -> Arrays:
    """The gradient is the softmax, from the stored output: exp(x - y)."""
    return {"x": np.expand_dims(g, axis) * np.exp(x - np.expand_dims(y, axis))}


def vjp_by_quotient(g: Array, y: Array, x: Array, axis: int = -1) -> Arrays:
    """The softmax from the exponentials of the forward: e (g / sum(e)), as differentiating step by step gives it. Where
    one is infinite that may be NaN, and 0 is due."""

    def of_the_forward(x: Array) -> tuple[Array, Array]:
        e = np.exp(x - finite_maximum(x, axis))
        return e, np.sum(e, axis=axis, keepdims=True)

    e, s = kept(of_the_forward, x)
    due = logsumexp_vjp(g, y, x, axis)["x"]
    return {"x": np.where(np.isfinite(s), e * (np.expand_dims(g, axis) / s), due)}


def at_least_the_maximum(f: Any, x: Array, axis: int) -> Array:
    return np.minimum(f(x=x, axis=axis) - np.max(x, axis=axis), 0)


def shift(f: Any, x: Array, axis: int) -> Array:
    """f(x + c) = f(x) + c."""
    return f(x=x + far(f), axis=axis) - far(f) - f(x=x, axis=axis)


def normalises(f: Any, log_softmax: Any, x: Array, axis: int) -> Array:
    """log_softmax(x) = x - f(x)."""
    return x - np.expand_dims(f(x=x, axis=axis), axis) - log_softmax(x=x, axis=axis)


def gradient_sums_to_cotangent(f: Any, g: Array, x: Array, axis: int) -> Array:
    """f(x + c) = f(x) + c, so its gradient sums to 1."""
    return np.sum(f.vjp(g, x=x, axis=axis)["x"], axis=axis) - g


INVARIANTS = (
    Invariant("at-least-the-maximum", at_least_the_maximum, FINITE, exact=True),
    Invariant("shift", shift, ("coarse",)),
    Invariant("permutation", permutation, FINITE),
    Invariant("normalises", normalises, FINITE, other=log_softmax.OP),
    Invariant("gradient-sums-to-cotangent", gradient_sums_to_cotangent, (*FINITE, "axis-0"), "vjp"),
)

OP = Op(
    "logsumexp", logsumexp, logsumexp_vjp, CASES, roads={"quotient": Road(vjp=vjp_by_quotient)}, batch_axis=other_axis,
    invariants=INVARIANTS, counted="digits",
)  # fmt: skip
