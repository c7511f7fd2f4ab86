"""The Euclidean distance of rows that belong together."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradparity.cases import Draw, in_layouts
from gradparity.op import Array, Arrays, Case, Invariant, Op, Road
from gradparity.reference.euclidean_norm import AT_ZERO, euclidean_norm, euclidean_norm_vjp
from gradparity.reference.euclidean_norm import OP as NORM
from gradparity.reference.euclidean_norm import through_the_square as of_the_norm
from gradparity.reference.invariants import nonnegative, turned


def pairwise_distance(x: Array, other: Array, eps: float = 0.0, at_zero: float = 0.0) -> Array:
    """y_i = ||x_i - other_i + eps||_2.  x, other: [N, D] -> y: [N].

    eps is added to every coordinate, so that rows which coincide have a distance of sqrt(D) eps and a gradient; it
    makes the distance from x to other another than that from other to x.
    Source: the documentation of torch.nn.functional.pairwise_distance; with eps = 0 the distance of geometry.
    """
    return euclidean_norm(x - other + eps)


def pairwise_distance_vjp(
    g: Array, y: Array, x: Array, other: Array, eps: float = 0.0, at_zero: float = 0.0
) -> Arrays:  # fmt: skip
    """The norm's gradient for x, and its negative for other."""
    d = euclidean_norm_vjp(g, y, x - other + eps, at_zero)["x"]
    return {"x": d, "other": -d}


def through_the_square(
    g: Array, y: Array, x: Array, other: Array, eps: float = 0.0, at_zero: float = 0.0
) -> Arrays:  # fmt: skip
    """As of the norm."""
    d = of_the_norm(g, y, x - other + eps, at_zero)["x"]
    return {"x": d, "other": -d}


def random(scale: float = 1.0, shape: tuple[int, ...] = (8, 10), shift: float = 0.0) -> Any:
    return lambda draw: {"x": draw.normal("x", shape, scale, shift), "other": draw.normal("other", shape, scale, shift)}


def drawn_coarsely(draw: Draw) -> Arrays:
    return {k: draw.quantised(draw.integers(k, (8, 10), 64, -63) / 8) for k in ("x", "other")}


def coincident(draw: Draw) -> Arrays:
    """Every other pair is one point."""
    found: Arrays = random()(draw)
    found["other"][::2] = found["x"][::2]
    return found


def close(draw: Draw) -> Arrays:
    """Near one another and far from the origin: what an expanded square of the distance loses."""
    x = draw.normal("x", (8, 10), 1.0, 16.0)
    return {"x": x, "other": draw.quantised(x.astype(np.float64) + draw.integers("d", (8, 10), 5, -2) / 8)}


def with_one(value: float) -> Any:
    def arrays(draw: Draw) -> Arrays:
        found: Arrays = random()(draw)
        found["x"][::2, 3] = value
        return found

    return arrays


def case(name: str, make: Any, eps: float = 0.0) -> Case:
    return Case(name, make, {"eps": eps})


CASES = (
    *(case(f"scale-{s:g}", random(s)) for s in (0.03, 1, 10, 30)),
    case("coarse", drawn_coarsely),
    case("coincident", coincident),
    case("eps-0.01-coincident", coincident, 0.01),
    case("close", close),
    *(case(f"eps-{eps:g}-close", close, eps) for eps in (1e-6, 0.01)),
    case("infinities", with_one(np.inf)),
    case("nan", with_one(np.nan)),
    case("zero-rows", random(shape=(0, 10))),
    *(case(f"columns-{n}", random(shape=(8, n))) for n in (1, 2, 300)),
    case("many-rows", random(shape=(1000, 3))),
    *in_layouts(case("contiguous", random(2.0, (8, 9)))),
)

# Where invariants are looked at.
FINITE = ("scale-1", "coarse", "close")


def symmetric(f: Any, x: Array, other: Array, eps: float) -> Array:
    """Without an eps."""
    return f(x=x, other=other, eps=eps) - f(x=other, other=x, eps=eps)


def permutation(f: Any, x: Array, other: Array, eps: float) -> Array:
    return f(x=turned(x), other=turned(other), eps=eps)[::-1] - f(x=x, other=other, eps=eps)


def translation(f: Any, x: Array, other: Array, eps: float) -> Array:
    return f(x=x + 16, other=other + 16, eps=eps) - f(x=x, other=other, eps=eps)


def from_the_origin(f: Any, norm: Any, x: Array, other: Array, eps: float) -> Array:
    return f(x=x, other=0 * other, eps=eps) - norm(x=x)


def gradients_balance(f: Any, g: Array, **arguments: Any) -> Array:
    """A pair that is translated is as far apart as before."""
    d = f.vjp(g, **arguments)
    return d["x"] + d["other"]


INVARIANTS = (
    Invariant("nonnegative", nonnegative, (*FINITE, "eps-0.01-close"), exact=True),
    Invariant("symmetric", symmetric, FINITE),
    Invariant("permutation", permutation, (*FINITE, "eps-0.01-close")),
    Invariant("translation", translation, ("coarse",)),
    Invariant("from-the-origin", from_the_origin, FINITE, other=NORM),
    Invariant("gradients-balance", gradients_balance, (*FINITE, "eps-0.01-coincident"), "vjp"),
)

OP = Op(
    "pairwise_distance", pairwise_distance, pairwise_distance_vjp, CASES, wrt=("x", "other"),
    conventions={"at_zero": AT_ZERO}, roads={"through-the-square": Road(vjp=through_the_square)},
    invariants=INVARIANTS, counted="many-rows",
)  # fmt: skip
