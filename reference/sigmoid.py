"""The logistic sigmoid."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradparity.arithmetic import by_its_gradient, once
from gradparity.cases import Draw, in_layouts, subnormal
from gradparity.op import FORMATS, Array, Arrays, Case, Invariant, Op
from gradparity.reference import softmax
from gradparity.reference.invariants import pair, permutation, probability


def sigmoid(x: Array) -> Array:
    """y = 1 / (1 + exp(-x)).  x: [n] -> y: [n] in [0, 1]; y' = y (1 - y).

    For x < 0 written exp(x) / (1 + exp(x)), so that nothing overflows.
    Source: Bishop (2006), eq. (4.59).
    """
    return by_its_gradient(logistic, step_by_step, x)


def logistic(x: Array) -> Array:
    z = np.exp(np.minimum(x, -x))
    return np.where(x >= 0, 1 / (1 + z), once(lambda z: z / (1 + z), z))


def slope(y: Array) -> Array:
    return once(lambda s: s * (1 - s), y)


def step_by_step(g: Array, y: Array, x: Array) -> Arrays:
    """The gradient of who does not know that y (1 - y) is flat at 1/2, and so twice what y errs by."""
    return {"x": g * (y * (1 - y))}


def sigmoid_vjp(g: Array, y: Array, x: Array) -> Arrays:
    """y' = y (1 - y)."""
    return {"x": g * slope(y)}


def line(start: float, stop: float, count: int = 64) -> Any:
    """Evenly spaced arguments."""
    return lambda draw: {"x": draw.quantised(start + (stop - start) * np.arange(count) / (count - 1))}


def values(*xs: float) -> Any:
    return lambda draw: {"x": draw.quantised(list(xs))}


def random(count: int, scale: float) -> Any:
    return lambda draw: {"x": draw.normal("x", (count,), scale)}


def plane(draw: Draw) -> Arrays:
    return {"x": draw.normal("x", (8, 9), 3.0)}


def every_16_bit(draw: Draw) -> Arrays:
    """Every finite number of the 16-bit type under test, or of bfloat16 in a longer one, in ascending order."""
    kind = FORMATS[draw.dtype if FORMATS[draw.dtype].bits < 24 else "bfloat16"].dtype
    infinity = int(np.array(np.inf, kind).view(np.uint16))
    x = np.arange(infinity, dtype=np.uint16).view(kind).astype(np.float64)  # patterns of positive numbers ascend
    return {"x": draw.quantised(np.concatenate([-x[::-1], x]))}


CASES = (
    *(Case(f"scale-{s:g}", random(64, s)) for s in (0.001, 1, 10, 100, 1000, 10000)),
    Case("large-1000", random(1000, 5.0)),
    Case("line-8", line(-8, 8)),
    Case("line-120", line(-120, 120)),
    Case("line-800", line(-800, 800)),
    Case("ramp-into-underflow", line(-80, -110)),
    Case("wide-positive", line(10, 40)),
    Case("every-16-bit", every_16_bit),
    Case("zero", values(0.0, -0.0)),
    Case("one", values(1.0)),
    Case("zero-rows", values()),
    Case("infinities", values(np.inf, -np.inf)),
    Case("nan", values(np.nan, 1.0)),
    Case("subnormal", lambda draw: {"x": subnormal(draw, (16,))}),
    *in_layouts(Case("contiguous", plane)),
)

# Where invariants are looked at.
FINITE = ("scale-1", "scale-10", "line-8", "line-120")


def ascending(f: Any, x: Array) -> Array:
    """x_i <= x_j gives y_i <= y_j. A library's exp need not be monotone, so the bound decides."""
    y = f(x=x)
    return np.minimum(y[1:] - y[:-1], 0)


def complement(f: Any, x: Array) -> Array:
    """f(x) + f(-x) = 1."""
    return f(x=x) + f(x=-x) - 1


def two_classes(f: Any, softmax: Any, x: Array) -> Array:
    """f(x) = softmax([x, 0])_0."""
    return f(x=x) - softmax(x=pair(x), axis=-1)[:, 0]


def even_gradient(f: Any, g: Array, x: Array) -> Array:
    """f'(x) = f'(-x)."""
    return f.vjp(g, x=x)["x"] - f.vjp(g, x=-x)["x"]


INVARIANTS = (
    Invariant("probability", probability, ("every-16-bit",), exact=True),
    Invariant("ascending", ascending, ("every-16-bit",)),
    Invariant("complement", complement, ("every-16-bit",)),
    Invariant("permutation", permutation, FINITE),
    Invariant("two-classes", two_classes, FINITE, other=softmax.OP),
    Invariant("even-gradient", even_gradient, FINITE, "vjp"),
)

OP = Op("sigmoid", sigmoid, sigmoid_vjp, CASES, invariants=INVARIANTS, counted="every-16-bit")
