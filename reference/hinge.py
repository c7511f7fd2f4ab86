"""The binary hinge, margin by margin."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradparity.cases import Draw, in_layouts
from gradparity.op import FORMATS, Array, Arrays, Case, Convention, Invariant, Op
from gradparity.reference.invariants import nonnegative

KINK = Convention(
    (0.0, 0.5, 1.0),
    0.0,
    "the subgradient of max(0, z) at z = 0, between 0 and 1",
)
NAN_MARGIN = Convention(
    (0.0, 1.0, np.nan),
    0.0,
    "the derivative of max(0, z) at z = NaN: not active, active, or NaN; the value is NaN",
)


def hinge(x: Array, t: Array, kink: float = 0.0, nan_margin: float = 0.0) -> Array:
    """y = max(0, 1 - t x).  x: [n], t: [n] in {-1, +1} -> y: [n].

    kink, nan_margin: the derivative of max(0, z) at z = 0 and at z = NaN.
    Source: Crammer & Singer, On the algorithmic implementation of multiclass kernel-based vector machines (2001).
    """
    return np.maximum(1 - t * x, 0)


def hinge_vjp(g: Array, y: Array, x: Array, t: Array, kink: float = 0.0, nan_margin: float = 0.0) -> Arrays:
    """-t where the margin t x is below 1, 0 above it."""
    return {"x": g * -t * slope(1 - t * x, kink, nan_margin)}


def slope(z: Array, kink: float, nan_margin: float) -> Array:
    """The derivative of max(0, z)."""
    return np.where(z > 0, 1.0, np.where(z < 0, 0.0, np.where(z == 0, kink, nan_margin)))


def at(*margins: float) -> Any:
    """Both labels at each of these margins t x."""

    def arrays(draw: Draw) -> Arrays:
        t = draw.quantised([*(1.0 for _ in margins), *(-1.0 for _ in margins)])
        return {"x": t * draw.quantised([*margins, *margins]), "t": t}

    return arrays


def around_one(at: Any) -> Any:
    """at(...) within 8 units in the last place of 1, 1 itself left out."""

    def arrays(draw: Draw) -> Arrays:
        found: Arrays = at(*(1 + k * FORMATS[draw.dtype].unit * 2 for k in range(-8, 9) if k))(draw)
        return found

    return arrays


def random(count: int, scale: float) -> Any:
    return lambda draw: {"x": draw.normal("x", (count,), scale), "t": draw.signs("t", (count,))}


def plane(draw: Draw) -> Arrays:
    return {"x": draw.normal("x", (8, 9)), "t": draw.signs("t", (8, 9))}


def margin_case(name: str, make: Any, reduction: str = "none", margin: float = 1.0) -> Case:
    """Of the hinges that have a margin and a reduction."""
    return Case(name, make, {"margin": margin, "reduction": reduction})


CASES = (
    *(Case(f"scale-{s:g}", random(64, s)) for s in (0.001, 1, 100, 10000)),
    Case("large-1000", random(1000, 2.0)),
    Case("kink", at(1.0)),
    Case("around-kink", around_one(at)),
    Case("below-kink", at(0.5, 0.0, -1.0, -100.0)),
    Case("above-kink", at(1.5, 2.0, 100.0)),
    Case("zero-rows", at()),
    Case("infinities", at(np.inf, -np.inf)),
    Case("nan", at(np.nan, 0.5)),
    *in_layouts(Case("contiguous", plane)),
)

# Where invariants are looked at: not at the kink.
FINITE = ("scale-1", "large-1000", "around-kink", "below-kink", "above-kink")  # their squares too, in float16


def mirrored(f: Any, x: Array, t: Array) -> Array:
    """f(-x, -t) = f(x, t): the margin is the same number."""
    return f(x=-x, t=-t) - f(x=x, t=t)


def both_labels(f: Any, x: Array, t: Array) -> Array:
    """f(x, t) + f(x, -t) = max(2, 1 + |x|)."""
    return f(x=x, t=t) + f(x=x, t=-t) - np.maximum(2, 1 + np.maximum(x, -x))


def mirrored_gradient(f: Any, g: Array, x: Array, t: Array) -> Array:
    """f'(-x, -t) = -f'(x, t)."""
    return f.vjp(g, x=-x, t=-t)["x"] + f.vjp(g, x=x, t=t)["x"]


def no_loss_no_gradient(f: Any, g: Array, x: Array, t: Array) -> Array:
    """Beyond the margin, where the value is cut, the gradient is cut too; at the margin it is a convention."""
    return np.where(t * x > 1, f.vjp(g, x=x, t=t)["x"], 0.0)


SYMMETRIES = (
    Invariant("nonnegative", nonnegative, FINITE, exact=True),
    Invariant("mirrored", mirrored, FINITE, exact=True),
    Invariant("mirrored-gradient", mirrored_gradient, FINITE, "vjp", exact=True),
    Invariant("no-loss-no-gradient", no_loss_no_gradient, FINITE, "vjp", exact=True),
)

OP = Op(
    "hinge", hinge, hinge_vjp, CASES, smooth=("around-kink", "below-kink", "above-kink"),
    conventions={"kink": KINK, "nan_margin": NAN_MARGIN},
    invariants=(*SYMMETRIES, Invariant("both-labels", both_labels, FINITE)), counted="large-1000",
)  # fmt: skip
