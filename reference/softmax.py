"""Softmax along an axis."""

from __future__ import annotations

import numpy as np

from gradparity.arithmetic import stationary
from gradparity.op import Array, Arrays, Op
from gradparity.reference.along_axis import CASES, other_axis


def softmax(x: Array, axis: int = -1) -> Array:
    """y_j = exp(x_j - m) / sum_k exp(x_k - m), m = max_k x_k.  x: any shape -> y: the same, positive, sum 1 along axis.

    A row that holds NaN or +inf, or only -inf, gives NaN; a row of length 0 gives a row of length 0.
    Source: Blanchard, Higham & Higham, Accurately computing the log-sum-exp and softmax functions (2021), eq. (1.3).
    """
    e = np.exp(x - stationary(np.max(x, axis=axis, keepdims=True)))
    return e / np.sum(e, axis=axis, keepdims=True)


def softmax_vjp(g: Array, y: Array, x: Array, axis: int = -1) -> Arrays:
    """The Jacobian is diag(y) - y y^T, symmetric."""
    return {"x": y * (g - np.sum(g * y, axis=axis, keepdims=True))}


OP = Op("softmax", softmax, softmax_vjp, CASES, batch_axis=other_axis)
