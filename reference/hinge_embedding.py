"""The hinge embedding loss, distance by distance."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradparity.cases import Draw, coarse, in_layouts
from gradparity.op import Array, Arrays, Invariant, Op
from gradparity.reference.cross_entropy import reduction_of_rows, rows_apart
from gradparity.reference.hinge import KINK, NAN_MARGIN, around_one, plane, random, slope
from gradparity.reference.hinge import OP as HINGE
from gradparity.reference.hinge import margin_case as case
from gradparity.reference.reduction import reduced, rows_of, spread_back


def hinge_embedding(
    x: Array, t: Array, margin: float = 1.0, reduction: str = "none", kink: float = 0.0, nan_margin: float = 0.0
) -> Array:
    """loss_i = x_i where t_i = 1, max(0, margin - x_i) where t_i = -1.  x: [n] distances, t: [n] in {-1, +1} -> [n], or
    its sum or mean.

    kink, nan_margin: the derivative of max(0, z) at z = 0 and at z = NaN.
    Source: Hadsell, Chopra & LeCun, Dimensionality reduction by learning an invariant mapping (2006), section 2.1; not
    squared.
    """
    return reduced(np.where(t > 0, x, np.maximum(margin - x, 0)), reduction)


def hinge_embedding_vjp(
    g: Array, y: Array, x: Array, t: Array, margin: float = 1.0, reduction: str = "none", kink: float = 0.0,
    nan_margin: float = 0.0,
) -> Arrays:  # fmt: skip
    """1 where t = 1; -1 where t = -1 and x is below the margin."""
    c = spread_back(g, reduction, rows_of(t))
    return {"x": c * np.where(t > 0, 1.0, -slope(margin - x, kink, nan_margin))}


def at(*distances: float) -> Any:
    """Both labels at each of these distances."""

    def arrays(draw: Draw) -> Arrays:
        t = draw.quantised(np.repeat([1.0, -1.0], len(distances)))
        return {"x": draw.quantised([*distances, *distances]), "t": t}

    return arrays


def on_a_grid(draw: Draw) -> Arrays:
    return {"x": coarse(draw, 64), "t": draw.signs("t", (64,))}


CASES = (
    *(case(f"scale-{s:g}", random(64, s)) for s in (0.001, 1, 100, 10000)),
    case("large-1000", random(1000, 2.0)),
    case("coarse", on_a_grid),
    case("kink", at(1.0)),
    case("around-kink", around_one(at)),
    case("below-margin", at(0.5, 0.0, -1.0, -100.0)),
    case("above-margin", at(1.5, 2.0, 100.0)),
    case("zero-rows", at()),
    case("infinities", at(np.inf, -np.inf)),
    case("nan", at(np.nan, 0.5)),
    *(case(f"margin-{m:g}", random(64, 1.0), margin=m) for m in (0.0, 0.3, 2.0)),
    case("margin-2-kink", at(2.0, 1.0), margin=2.0),
    *(case(f"{how}-scale-1", random(64, 1.0), how) for how in ("sum", "mean")),
    *(case(f"{how}-of-seven", random(7, 1.0), how) for how in ("sum", "mean")),
    *(case(f"{how}-zero-rows", at(), how) for how in ("sum", "mean")),
    case("mean-large-losses", lambda draw: {"x": draw.full((8,), 20000.0), "t": draw.full((8,), 1.0)}, "mean"),
    *in_layouts(case("contiguous", plane)),
)

FINITE = ("scale-1", "coarse", "large-1000", "around-kink", "below-margin", "above-margin")


def together(f: Any, x: Array, t: Array, **params: Any) -> Array:
    """f(x, 1) = x."""
    return f(x=x, t=0 * t + 1, **params) - x


def apart(f: Any, hinge: Any, x: Array, t: Array, margin: float, **params: Any) -> Array:
    """f(x, -1) = hinge(x, 1), at a margin of 1."""
    return f(x=x, t=0 * t - 1, margin=margin, **params) - hinge(x=x, t=0 * t + 1)


def far_apart_is_done(f: Any, g: Array, x: Array, t: Array, margin: float, **params: Any) -> Array:
    """Where t = -1 and x is above the margin there is no gradient; at the margin it is a convention."""
    return np.where((1 - t) * (x - margin) > 0, f.vjp(g, x=x, t=t, margin=margin, **params)["x"], 0.0)


def together_pulls(f: Any, g: Array, x: Array, t: Array, **params: Any) -> Array:
    """f'(x, 1) = 1."""
    return f.vjp(g, x=x, t=0 * t + 1, **params)["x"] - g


INVARIANTS = (
    Invariant("together", together, FINITE, exact=True),
    Invariant("apart", apart, FINITE, other=HINGE),
    Invariant("reduction-of-rows", reduction_of_rows, ("sum-scale-1", "mean-scale-1")),
    Invariant("far-apart-is-done", far_apart_is_done, FINITE, "vjp", exact=True),
    Invariant("together-pulls", together_pulls, FINITE, "vjp", exact=True),
)

OP = Op(
    "hinge_embedding", hinge_embedding, hinge_embedding_vjp, CASES,
    conventions={"kink": KINK, "nan_margin": NAN_MARGIN}, batch_axis=rows_apart, invariants=INVARIANTS,
    counted="large-1000", smooth=("around-kink", "below-margin", "above-margin", "sum-of-seven", "mean-of-seven"),
)  # fmt: skip
