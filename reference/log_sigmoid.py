"""Logarithm of the logistic sigmoid."""

from __future__ import annotations

import numpy as np

from gradparity.op import Array, Arrays, Op, Road
from gradparity.reference.sigmoid import CASES, sigmoid


def log_sigmoid(x: Array) -> Array:
    """y = min(x, 0) - log1p(exp(-|x|)).  x: [n] -> y: [n], at most 0.

    -|x| is written min(x, -x), which a complex step passes through.
    Source: Maechler, Accurately computing log(1 - exp(-|a|)) (2012), of log1p(exp(x)).
    """
    return np.minimum(x, 0) - np.log1p(np.exp(np.minimum(x, -x)))


def log_sigmoid_vjp(g: Array, y: Array, x: Array) -> Arrays:
    """y' = sigmoid(-x)."""
    return {"x": g * sigmoid(-x)}


def vjp_from_output(g: Array, y: Array, x: Array) -> Arrays:
    """y' = exp(y - x), as differentiating logaddexp(0, -x) gives it: loses |x| u to the subtraction."""
    return {"x": g * np.exp(np.where(y == -np.inf, 0.0, y - x))}


def forward_softplus(x: Array) -> Array:
    """y = -log1p(exp(-x)), the exponential of a large argument where x << 0; -x beyond 34, where it is that to the
    last bit of float64."""
    z = np.minimum(-x, 34.0)
    return np.where(x < -34, log_sigmoid(x), -np.log1p(np.exp(z)))


ROADS = {"from-output": Road(vjp=vjp_from_output), "softplus": Road(forward=forward_softplus)}

OP = Op("log_sigmoid", log_sigmoid, log_sigmoid_vjp, CASES, roads=ROADS)
