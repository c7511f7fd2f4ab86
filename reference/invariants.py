"""Residuals that several operations share. See gradparity.invariant."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradparity.op import Array


def turned(x: Array) -> Array:
    """x in reverse order along every axis."""
    return x[(slice(None, None, -1),) * x.ndim]


def permutation(f: Any, x: Array, **params: Any) -> Array:
    """f(P x) = P f(x): no element is treated by its place, none depends on its neighbours in the batch."""
    return turned(f(x=turned(x), **params)) - f(x=x, **params)


def far(f: Any) -> float:
    """The largest power of two that can be added to multiples of 1/8 below 8 in size, without rounding."""
    return float(2.0 ** (f.bits - 4))


def shift(f: Any, x: Array, **params: Any) -> Array:
    """f(x + c) = f(x). The difference of two large numbers that a careless f takes is lost to their rounding."""
    return f(x=x + far(f), **params) - f(x=x, **params)


def nonnegative(f: Any, **arguments: Any) -> Array:
    """y >= 0."""
    y = f(**arguments)
    return np.minimum(y[0] if isinstance(y, tuple) else y, 0)


def nonpositive(f: Any, **arguments: Any) -> Array:
    """y <= 0."""
    return np.maximum(f(**arguments), 0)


def probability(f: Any, **arguments: Any) -> Array:
    """0 <= y <= 1."""
    y = f(**arguments)
    return y - np.clip(y, 0, 1)


def gradient_sums_to_zero(f: Any, g: Array, x: Array, **params: Any) -> Array:
    """What stays the same, or its sum does, when c is added to x, has a gradient whose sum is 0."""
    return np.sum(f.vjp(g, x=x, **params)["x"], axis=params.get("axis", -1))


def pair(x: Array) -> Array:
    """[x, 0], the logits of two classes.  x: [n] -> [n, 2]."""
    return pair_with(x, 0 * x)


def pair_with(x: Array, y: Array) -> Array:
    """[x, y].  x, y: [n] -> [n, 2]."""
    return np.concatenate([x[:, None], y[:, None]], axis=-1)
