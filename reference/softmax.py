"""Softmax along an axis."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradparity.arithmetic import kept, stationary
from gradparity.op import Array, Arrays, Invariant, Op, Road
from gradparity.reference.along_axis import CASES, FINITE, other_axis
from gradparity.reference.invariants import gradient_sums_to_zero, permutation, probability, shift, turned


def softmax(x: Array, axis: int = -1) -> Array:
    """y_j = exp(x_j - m) / sum_k exp(x_k - m), m = max_k x_k.  x: any shape -> y: the same, positive, sum 1 along axis.

    A row that holds NaN or +inf, or only -inf, gives NaN; a row of length 0 gives a row of length 0.
    Source: Blanchard, Higham & Higham, Accurately computing the log-sum-exp and softmax functions (2021), eq. (1.3).
    """
    e, s = exponentials(x, axis)
    return e / s


def softmax_vjp(g: Array, y: Array, x: Array, axis: int = -1) -> Arrays:
    """The Jacobian is diag(y) - y y^T, symmetric."""
    return {"x": y * (g - np.sum(g * y, axis=axis, keepdims=True))}


def vjp_by_quotient(g: Array, y: Array, x: Array, axis: int = -1) -> Arrays:
    """The same as it is differentiated step by step, e / S with S = sum e: e (g / S - sum(g S^-2 e))."""
    e, s = exponentials(x, axis)
    return {"x": e * (g / s - np.sum(g * (1 / np.square(s)) * e, axis=axis, keepdims=True))}


def exponentials(x: Array, axis: int = -1) -> tuple[Array, Array]:
    """exp(x - max x) and the sum along the axis, which a gradient keeps that is differentiated step by step."""

    def of_the_forward(x: Array) -> tuple[Array, Array]:
        e = np.exp(x - stationary(np.max(x, axis=axis, keepdims=True)))
        return e, np.sum(e, axis=axis, keepdims=True)

    return kept(of_the_forward, x)


def sums_to_one(f: Any, x: Array, axis: int) -> Array:
    return np.sum(f(x=x, axis=axis), axis=axis) - 1


def symmetric_jacobian(f: Any, g: Array, x: Array, axis: int) -> Array:
    """h^T J g = g^T J h."""
    h = turned(g)
    return np.sum(h * f.vjp(g, x=x, axis=axis)["x"] - g * f.vjp(h, x=x, axis=axis)["x"], axis=axis)


INVARIANTS = (
    Invariant("probability", probability, FINITE, exact=True),
    Invariant("sums-to-one", sums_to_one, (*FINITE, "axis-0")),
    Invariant("shift", shift, ("coarse",)),
    Invariant("permutation", permutation, FINITE),
    Invariant("gradient-sums-to-zero", gradient_sums_to_zero, (*FINITE, "axis-0"), "vjp"),
    Invariant("symmetric-jacobian", symmetric_jacobian, FINITE, "vjp"),
)

OP = Op(
    "softmax", softmax, softmax_vjp, CASES, roads={"quotient": Road(vjp=vjp_by_quotient)}, batch_axis=other_axis,
    invariants=INVARIANTS, counted="digits",
)  # fmt: skip
