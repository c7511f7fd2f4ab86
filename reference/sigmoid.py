"""The logistic sigmoid."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradparity.arithmetic import once
from gradparity.cases import Draw, subnormal
from gradparity.op import Array, Arrays, Case, Op


def sigmoid(x: Array) -> Array:
    """y = 1 / (1 + exp(-x)).  x: [n] -> y: [n] in [0, 1].

    For x < 0 written exp(x) / (1 + exp(x)), so that nothing overflows.
    Source: Bishop (2006), eq. (4.59).
    """
    z = np.exp(np.minimum(x, -x))
    return np.where(x >= 0, 1 / (1 + z), once(lambda z: z / (1 + z), z))


def sigmoid_vjp(g: Array, y: Array, x: Array) -> Arrays:
    """y' = y (1 - y)."""
    return {"x": g * once(lambda s: s * (1 - s), y)}


def line(start: float, stop: float, count: int = 64) -> Any:
    """Evenly spaced arguments."""
    return lambda draw: {"x": draw.quantised(start + (stop - start) * np.arange(count) / (count - 1))}


def values(*xs: float) -> Any:
    return lambda draw: {"x": draw.quantised(list(xs))}


def random(count: int, scale: float) -> Any:
    return lambda draw: {"x": draw.normal("x", (count,), scale)}


def plane(draw: Draw) -> Arrays:
    return {"x": draw.normal("x", (8, 9), 3.0)}


CASES = (
    *(Case(f"scale-{s:g}", random(64, s)) for s in (0.001, 1, 10, 100, 1000, 10000)),
    Case("large-1000", random(1000, 5.0)),
    Case("line-8", line(-8, 8)),
    Case("line-120", line(-120, 120)),
    Case("line-800", line(-800, 800)),
    Case("ramp-into-underflow", line(-80, -110)),
    Case("wide-positive", line(10, 40)),
    Case("zero", values(0.0, -0.0)),
    Case("one", values(1.0)),
    Case("zero-rows", values()),
    Case("infinities", values(np.inf, -np.inf)),
    Case("nan", values(np.nan, 1.0)),
    Case("subnormal", lambda draw: {"x": subnormal(draw, (16,))}),
    *(Case(layout, plane, layout=layout) for layout in ("transposed", "strided", "reversed")),
)

OP = Op("sigmoid", sigmoid, sigmoid_vjp, CASES)
