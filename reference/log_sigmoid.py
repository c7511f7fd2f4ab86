"""Logarithm of the logistic sigmoid."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradparity.arithmetic import by_its_gradient
from gradparity.op import Array, Arrays, Invariant, Op, Road
from gradparity.reference import cross_entropy, log_softmax
from gradparity.reference.invariants import nonpositive, pair, permutation
from gradparity.reference.sigmoid import CASES, FINITE, ascending, sigmoid, step_by_step


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


def log_sigmoid_by_output(x: Array) -> Array:
    """log_sigmoid, whose derivative is taken from its output."""
    return by_its_gradient(log_sigmoid, vjp_from_output, x)


def complement(x: Array) -> Array:
    """sigmoid(-x), whose derivative is taken from sigmoid(x), of which 1 - sigmoid(x) has nothing left where x >> 0."""
    return by_its_gradient(lambda x: sigmoid(-x), lambda v, s, x: step_by_step(-v, sigmoid(x), x), x)


def vjp_of_complement(g: Array, y: Array, x: Array) -> Arrays:
    """y' = sigmoid(-x), its derivative from the complement."""
    return {"x": g * complement(x)}


def forward_softplus(x: Array) -> Array:
    """y = -log1p(exp(-x)), the exponential of a large argument where x << 0; -x beyond 34, where it is that to the
    last bit of float64."""
    z = np.minimum(-x, 34.0)
    return np.where(x < -34, log_sigmoid(x), -np.log1p(np.exp(z)))


ROADS = {
    "from-output": Road(log_sigmoid_by_output, vjp_from_output), "softplus": Road(forward=forward_softplus),
    "complement": Road(vjp=vjp_of_complement),
}  # fmt: skip


def odd_part(f: Any, x: Array) -> Array:
    """f(x) - f(-x) = x."""
    return f(x=x) - f(x=-x) - x


def two_classes(f: Any, log_softmax: Any, x: Array) -> Array:
    """f(x) = log_softmax([x, 0])_0."""
    return f(x=x) - log_softmax(x=pair(x), axis=-1)[:, 0]


def binary_cross_entropy(f: Any, cross_entropy: Any, x: Array) -> Array:
    """f(x) = -cross_entropy([x, 0], 0)."""
    return f(x=x) + cross_entropy(x=pair(x), t=np.zeros(len(x), np.int64), reduction="none")


def complementary_gradient(f: Any, g: Array, x: Array) -> Array:
    """f'(x) + f'(-x) = 1."""
    return f.vjp(g, x=x)["x"] + f.vjp(g, x=-x)["x"] - g


INVARIANTS = (
    Invariant("nonpositive", nonpositive, ("every-16-bit",), exact=True),
    Invariant("ascending", ascending, ("every-16-bit",)),
    Invariant("odd-part", odd_part, FINITE),
    Invariant("permutation", permutation, FINITE),
    Invariant("two-classes", two_classes, FINITE, other=log_softmax.OP),
    Invariant("binary-cross-entropy", binary_cross_entropy, FINITE, other=cross_entropy.OP),
    Invariant("complementary-gradient", complementary_gradient, FINITE, "vjp"),
)

OP = Op("log_sigmoid", log_sigmoid, log_sigmoid_vjp, CASES, roads=ROADS, invariants=INVARIANTS, counted="every-16-bit")
