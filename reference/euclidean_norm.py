"""The Euclidean norm of rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradparity.cases import Draw, coarse, in_layouts, of
from gradparity.op import Array, Arrays, Case, Convention, Invariant, Op, Road
from gradparity.reference.invariants import nonnegative, permutation

AT_ZERO = Convention((0.0, float("nan")), 0.0, "the derivative of the norm of a row of zeros")


def euclidean_norm(x: Array, at_zero: float = 0.0) -> Array:
    """y = sqrt(sum_k x_k^2) along the last axis.  x: [..., n] -> y: [...]; 0 where n is 0.

    The squares overflow, or underflow, where the norm would not.
    at_zero: see AT_ZERO; every number from -1 to 1 is a subgradient there, NaN is what 0 / 0 makes.
    Source: Higham, Accuracy and Stability of Numerical Algorithms (2002), section 6.1.
    """
    return np.sqrt(np.sum(np.square(x), axis=-1))


def euclidean_norm_vjp(g: Array, y: Array, x: Array, at_zero: float = 0.0) -> Arrays:
    """x / y, and at_zero where y = 0."""
    y = np.expand_dims(y, -1)
    return {"x": np.expand_dims(g, -1) * np.where(y == 0, at_zero, x / np.where(y == 0, 1.0, y))}


def through_the_square(g: Array, y: Array, x: Array, at_zero: float = 0.0) -> Arrays:
    """(g / 2 y) 2 x: the gradient of the root, which may underflow, times that of the square."""
    y, g = np.expand_dims(y, -1), np.expand_dims(g, -1)
    return {"x": np.where(y == 0, g * at_zero, g / np.where(y == 0, 1.0, 2 * y) * (2 * x))}


def normal(draw: Draw, shape: tuple[int, ...], scale: float = 1.0) -> Array:
    return draw.normal("x", shape, scale)


def some_zeros(draw: Draw) -> Array:
    """Every other row is 0, negative zeros among them."""
    x = draw.normal("x", (8, 10))
    x[::2], x[::4, 3] = 0, -0.0
    return x


def one_large(draw: Draw) -> Array:
    """One number of a row is 16 times the others: a short sum of squares."""
    x = draw.normal("x", (8, 10)).astype(np.float64)
    x[:, 4] *= 16
    return draw.quantised(x)


def triangles(draw: Draw) -> Array:
    """Norms that are whole: 5, 13, 15 and 17, and these times 1/8."""
    sides = np.array([[3, 4], [-5, 12], [9, -12], [8, 15]], float)
    return draw.quantised(np.concatenate([sides, sides / 8]))


def one_of(draw: Draw, value: float) -> Array:
    x = draw.normal("x", (8, 10))
    x[::2, 3] = value
    return x


ROWS = {
    **{f"scale-{s:g}": of(normal, (8, 10), s) for s in (0.03, 0.1, 1, 10, 30)},
    "coarse": of(coarse, 8, 10),
    "some-zeros": some_zeros,
    "zero": lambda draw: draw.full((8, 10), 0.0),
    "one-large": one_large,
    "triangles": triangles,
    "infinities": of(one_of, np.inf),
    "nan": of(one_of, np.nan),
    "zero-rows": of(normal, (0, 10)),
    "one-row": of(normal, (1, 7)),
    **{f"columns-{n}": of(normal, (8, n)) for n in (0, 1, 2, 3, 17, 300)},
    "many-rows": of(normal, (1000, 3)),
}
CASES = (
    *(Case(name, lambda draw, make=make: {"x": make(draw)}) for name, make in ROWS.items()),
    Case("cube", lambda draw: {"x": draw.normal("x", (3, 4, 5))}),
    *in_layouts(Case("contiguous", lambda draw: {"x": draw.normal("x", (8, 9), 2.0)})),
)  # fmt: skip

# Where invariants are looked at.
FINITE = ("scale-1", "coarse", "some-zeros", "one-large")


def homogeneous(f: Any, x: Array) -> Array:
    """f(-2 x) = 2 f(x)."""
    return f(x=-2 * x) - 2 * f(x=x)


def of_one_number(f: Any, x: Array) -> Array:
    """The norm of one number is its size."""
    return f(x=x[:, :1]) - np.maximum(x[:, 0], -x[:, 0])


def euler(f: Any, g: Array, x: Array) -> Array:
    """<x, f'(x)> = f(x)."""
    return np.sum(x * f.vjp(g, x=x)["x"], axis=-1) - g * f(x=x)


def odd_gradient(f: Any, g: Array, x: Array) -> Array:
    """f'(-x) = -f'(x)."""
    return f.vjp(g, x=-x)["x"] + f.vjp(g, x=x)["x"]


INVARIANTS = (
    Invariant("nonnegative", nonnegative, FINITE, exact=True),
    Invariant("permutation", permutation, FINITE),
    Invariant("homogeneous", homogeneous, FINITE),
    Invariant("of-one-number", of_one_number, FINITE),
    Invariant("euler", euler, ("scale-1", "coarse", "one-large"), "vjp"),
    Invariant("odd-gradient", odd_gradient, ("scale-1", "coarse", "one-large"), "vjp"),
)

OP = Op(
    "euclidean_norm", euclidean_norm, euclidean_norm_vjp, CASES, conventions={"at_zero": AT_ZERO},
    roads={"through-the-square": Road(vjp=through_the_square)}, invariants=INVARIANTS, counted="many-rows",
)  # fmt: skip
