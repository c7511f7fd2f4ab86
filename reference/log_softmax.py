"""Logarithm of the softmax along an axis."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradparity.arithmetic import stationary
from gradparity.op import Array, Arrays, Invariant, Op, Road
from gradparity.reference import softmax
from gradparity.reference.along_axis import CASES, FINITE, other_axis
from gradparity.reference.invariants import gradient_sums_to_zero, nonpositive, permutation, shift
from gradparity.reference.softmax import exponentials


def log_softmax(x: Array, axis: int = -1) -> Array:
    """y_j = d_j - log(sum_k exp(d_k)), d = x - max_k x_k.  x: any shape -> y: the same, at most 0.

    Not x - (m + log S), which rounds the sum m + log S at the size of m. A row that holds NaN or +inf, or only -inf,
    gives NaN.  Source: Blanchard, Higham & Higham (2021), section 3.
    """
    d = x - stationary(np.max(x, axis=axis, keepdims=True))
    return d - np.log(np.sum(np.exp(d), axis=axis, keepdims=True))


def log_softmax_vjp(g: Array, y: Array, x: Array, axis: int = -1) -> Arrays:
    """The Jacobian is I - 1 p^T, p = exp(y)."""
    return {"x": g - np.exp(y) * np.sum(g, axis=axis, keepdims=True)}


def vjp_by_quotient(g: Array, y: Array, x: Array, axis: int = -1) -> Arrays:
    """p from the exponentials of the forward: g - e (sum(g) / sum(e)), as differentiating step by step gives it."""
    e, s = exponentials(x, axis)
    return {"x": g - e * (np.sum(g, axis=axis, keepdims=True) / s)}


def exponentials_sum_to_one(f: Any, x: Array, axis: int) -> Array:
    return np.sum(np.exp(f(x=x, axis=axis)), axis=axis) - 1


def exponentiates_to_softmax(f: Any, softmax: Any, x: Array, axis: int) -> Array:
    return np.exp(f(x=x, axis=axis)) - softmax(x=x, axis=axis)


INVARIANTS = (
    Invariant("nonpositive", nonpositive, FINITE, exact=True),
    Invariant("exponentials-sum-to-one", exponentials_sum_to_one, (*FINITE, "axis-0")),
    Invariant("exponentiates-to-softmax", exponentiates_to_softmax, FINITE, other=softmax.OP),
    Invariant("shift", shift, ("coarse",)),
    Invariant("permutation", permutation, FINITE),
    Invariant("gradient-sums-to-zero", gradient_sums_to_zero, (*FINITE, "axis-0"), "vjp"),
)

OP = Op(
    "log_softmax", log_softmax, log_softmax_vjp, CASES, roads={"quotient": Road(vjp=vjp_by_quotient)},
    batch_axis=other_axis, invariants=INVARIANTS, counted="digits",
)  # fmt: skip
