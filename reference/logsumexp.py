"""Logarithm of a sum of exponentials along an axis."""

from __future__ import annotations

import numpy as np

from gradparity.arithmetic import stationary
from gradparity.op import Array, Arrays, Op, Road
from gradparity.reference.along_axis import CASES, other_axis


def logsumexp(x: Array, axis: int = -1) -> Array:
    """y = m + log(sum_k exp(x_k - m)), m = max_k x_k.  x: any shape -> y: that shape without the axis.

    A row of -inf gives -inf, a row that holds +inf gives +inf, one that holds NaN gives NaN: where m is infinite it
    is the result, and no difference with it is taken.
    Source: Blanchard, Higham & Higham (2021), eq. (1.2).
    """
    m = shift(x, axis)
    return np.squeeze(m + np.log(np.sum(np.exp(x - m), axis=axis, keepdims=True)), axis)


def shift(x: Array, axis: int) -> Array:
    """The maximum along the axis, 0 where it is infinite or NaN."""
    m = np.max(x, axis=axis, keepdims=True)
    return stationary(np.where(np.isfinite(m), m, 0.0))


def logsumexp_vjp(g: Array, y: Array, x: Array, axis: int = -1) -> Arrays:
    """The gradient is the softmax, from the stored output: exp(x - y)."""
    return {"x": np.expand_dims(g, axis) * np.exp(x - np.expand_dims(y, axis))}


def vjp_by_quotient(g: Array, y: Array, x: Array, axis: int = -1) -> Arrays:
    """The softmax from the exponentials of the forward: e (g / sum(e)), as differentiating step by step gives it."""
    e = np.exp(x - shift(x, axis))
    return {"x": e * (np.expand_dims(g, axis) / np.sum(e, axis=axis, keepdims=True))}


OP = Op(
    "logsumexp", logsumexp, logsumexp_vjp, CASES, roads={"quotient": Road(vjp=vjp_by_quotient)}, batch_axis=other_axis
)
