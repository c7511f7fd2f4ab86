"""The margin ranking loss: which of two scores should be the larger."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradparity.cases import Draw, coarse, in_layouts
from gradparity.op import Array, Arrays, Case, Invariant, Op
from gradparity.reference.cross_entropy import reduction_of_rows, rows_apart
from gradparity.reference.hinge import KINK, NAN_MARGIN, around_one, slope
from gradparity.reference.hinge import OP as HINGE
from gradparity.reference.hinge import margin_case as case
from gradparity.reference.invariants import nonnegative
from gradparity.reference.reduction import reduced, rows_of, spread_back


def margin_ranking(
    x: Array, other: Array, t: Array, margin: float = 0.0, reduction: str = "none", kink: float = 0.0,
    nan_margin: float = 0.0,
) -> Array:  # fmt: skip
    """loss_i = max(0, margin - t_i (x_i - other_i)): t = 1 where x should be the larger, -1 where the other should.
    x, other: [n], t: [n] in {-1, +1} -> [n], or its sum or mean.

    kink, nan_margin: the derivative of max(0, z) at z = 0 and at z = NaN.
    Source: Herbrich, Graepel & Obermayer, Large margin rank boundaries for ordinal regression (2000), section 3.
    """
    return reduced(np.maximum(margin - lead(x, other, t), 0), reduction)


def margin_ranking_vjp(
    g: Array, y: Array, x: Array, other: Array, t: Array, margin: float = 0.0, reduction: str = "none",
    kink: float = 0.0, nan_margin: float = 0.0,
) -> Arrays:  # fmt: skip
    """-t for x and t for the other where they are not apart by the margin."""
    c = spread_back(g, reduction, rows_of(t))
    dx = np.where(t > 0, -c, c) * slope(margin - lead(x, other, t), kink, nan_margin)
    return {"x": dx, "other": -dx}


def lead(x: Array, other: Array, t: Array) -> Array:
    """t (x - other), by which the right one leads: a sign rounds nothing."""
    return np.where(t > 0, x - other, other - x)


def at(*leads: float) -> Any:
    """Both labels at each of these leads t (x - other), the smaller one 0."""

    def arrays(draw: Draw) -> Arrays:
        t = draw.quantised(np.repeat([1.0, -1.0], len(leads)))
        lead, zero = draw.quantised([*leads, *leads]), draw.full((2 * len(leads),), 0.0)
        return {"x": np.where(t > 0, lead, zero), "other": np.where(t > 0, zero, lead), "t": t}

    return arrays


def random(shape: tuple[int, ...], scale: float) -> Any:
    return lambda draw: {
        "x": draw.normal("x", shape, scale), "other": draw.normal("other", shape, scale), "t": draw.signs("t", shape),
    }  # fmt: skip


def on_a_grid(draw: Draw) -> Arrays:
    return {"x": coarse(draw, 64), "other": coarse(draw, 64)[::-1].copy(), "t": draw.signs("t", (64,))}


def equal(draw: Draw) -> Arrays:
    x = draw.normal("x", (64,))
    return {"x": x, "other": x.copy(), "t": draw.signs("t", (64,))}


CASES = (
    *(case(f"scale-{s:g}", random((64,), s)) for s in (0.001, 1, 100, 10000)),
    case("large-1000", random((1000,), 2.0)),
    case("coarse", on_a_grid),
    case("equal", equal),
    case("kink", at(1.0)),
    case("around-kink", around_one(at)),
    case("below-margin", at(0.5, 0.0, -1.0, -100.0)),
    case("above-margin", at(1.5, 2.0, 100.0)),
    case("zero-rows", at()),
    case("infinities", at(np.inf, -np.inf)),
    case("nan", at(np.nan, 0.5)),
    *(case(f"margin-{m:g}", random((64,), 1.0), margin=m) for m in (0.0, 0.3, 2.0)),
    case("margin-0-equal", equal, margin=0.0),
    case("margin-2-kink", at(2.0, 1.0), margin=2.0),
    *(case(f"{how}-scale-1", random((64,), 1.0), how) for how in ("sum", "mean")),
    case("sum-of-seven", random((7,), 1.0), "sum"),
    Case("mean-of-seven", random((7,), 1.0), {"margin": 1.0, "reduction": "mean"}, ("normal", "ones")),
    *(case(f"{how}-zero-rows", at(), how) for how in ("sum", "mean")),
    *in_layouts(case("contiguous", random((8, 9), 2.0))),
)

FINITE = ("scale-1", "coarse", "equal", "around-kink", "below-margin", "above-margin")


def exchanged(f: Any, x: Array, other: Array, t: Array, **params: Any) -> Array:
    """f(other, x, -t) = f(x, other, t)."""
    return f(x=other, other=x, t=-t, **params) - f(x=x, other=other, t=t, **params)


def of_one(f: Any, hinge: Any, x: Array, other: Array, t: Array, **params: Any) -> Array:
    """f(x, 0, t) = hinge(x, t), at a margin of 1."""
    return f(x=x, other=0 * other, t=t, **params) - hinge(x=x, t=t)


def gradients_balance(f: Any, g: Array, **arguments: Any) -> Array:
    """What moves both moves nothing."""
    d = f.vjp(g, **arguments)
    return d["x"] + d["other"]


def ranked_is_done(f: Any, g: Array, **arguments: Any) -> Array:
    """Where the right one leads by more than the margin there is no gradient."""
    return f.vjp(g, **arguments)["x"]


INVARIANTS = (
    Invariant("nonnegative", nonnegative, FINITE, exact=True),
    Invariant("exchanged", exchanged, FINITE, exact=True),
    Invariant("of-one", of_one, FINITE, other=HINGE),
    Invariant("reduction-of-rows", reduction_of_rows, ("sum-scale-1", "mean-scale-1")),
    Invariant("gradients-balance", gradients_balance, FINITE, "vjp", exact=True),
    Invariant("ranked-is-done", ranked_is_done, ("above-margin",), "vjp", exact=True),
)

OP = Op(
    "margin_ranking", margin_ranking, margin_ranking_vjp, CASES, wrt=("x", "other"),
    conventions={"kink": KINK, "nan_margin": NAN_MARGIN}, batch_axis=rows_apart, invariants=INVARIANTS,
    counted="large-1000", smooth=("around-kink", "below-margin", "above-margin", "sum-of-seven", "mean-of-seven"),
)  # fmt: skip
