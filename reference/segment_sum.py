"""The sum of each segment: rows that share a number, added up."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradparity.cases import Draw, coarse, in_layouts
from gradparity.op import Array, Arrays, Case, Invariant, Op
from gradparity.reference.segments import Segments


def segment_sum(x: Array, ids: Array, count: int) -> Array:
    """y_s = sum of x_i over the rows with ids_i = s, 0 where there is none.

    x: [N, ...], ids: [N] integers in 0..count-1, in any order -> y: [count, ...].
    Source: the documentation of tf.math.unsorted_segment_sum.
    """
    return Segments(ids, count).sum(x)


def segment_sum_vjp(g: Array, y: Array, x: Array, ids: Array, count: int) -> Arrays:
    """To each row what its segment has."""
    return {"x": g[ids]}


def random(rows: int = 60, count: int = 6, scale: float = 1.0, rest: tuple[int, ...] = (3,)) -> Any:
    """Rows in random segments, none of which is empty if there are as many rows."""
    return lambda draw: {"x": draw.normal("x", (rows, *rest), scale), "ids": some_of_each(draw, rows, count)}


def some_of_each(draw: Draw, rows: int, count: int) -> Array:
    ids = draw.integers("ids", (rows,), count)
    ids[:count] = np.arange(count)[:rows]
    return ids


def in_order(draw: Draw) -> Arrays:
    found: Arrays = random()(draw)
    return found | {"ids": np.sort(found["ids"])}


def drawn_coarsely(draw: Draw) -> Arrays:
    return {"x": coarse(draw, 60, 3), "ids": some_of_each(draw, 60, 6)}


def some_empty(draw: Draw) -> Arrays:
    """Of twelve segments the second, the last and every even one have no row."""
    return {"x": draw.normal("x", (60, 3)), "ids": 2 * draw.integers("ids", (60,), 5) + 1}


def cancelling(draw: Draw) -> Arrays:
    """Each row and nearly its negative."""
    x = draw.normal("x", (30, 3)).astype(np.float64)
    rest = draw.integers("rest", (30, 3), 9, -8) / 256
    ids = some_of_each(draw, 30, 6)
    return {"x": draw.quantised(np.concatenate([x, rest - x])), "ids": np.concatenate([ids, ids])}


def with_some(*values: float) -> Any:
    def arrays(draw: Draw) -> Arrays:
        found: Arrays = random()(draw)
        for i, value in enumerate(values):
            found["x"][7 * i + 3, :2] = value
        return found

    return arrays


def case(name: str, make: Any, count: int = 6) -> Case:
    return Case(name, make, {"count": count})


# Most cases have one shape: a framework compiles for each new one.
CASES = (
    *(case(f"scale-{s:g}", random(scale=s)) for s in (0.001, 1, 30)),
    case("in-order", in_order),
    case("coarse", drawn_coarsely),
    case("cancelling", cancelling),
    case("some-empty", some_empty, 12),
    case("one-segment", random(count=1), 1),
    case("each-its-own", random(rows=60, count=60), 60),
    case("infinities", with_some(np.inf, -np.inf, np.inf)),
    case("nan", with_some(np.nan)),
    case("zero-rows", lambda draw: {"x": draw.full((0, 3), 0.0), "ids": np.zeros(0, np.int64)}),
    case("vector", random(rest=())),
    case("cube", random(rest=(2, 3))),
    case("many-segments", random(1000, 300), 300),
    *in_layouts(case("contiguous", random())),
)

# Where invariants are looked at: no segment is empty.
FINITE = ("scale-1", "in-order", "coarse", "cancelling")


def order_of_rows(f: Any, x: Array, ids: Array, count: int) -> Array:
    return f(x=x[::-1], ids=ids[::-1], count=count) - f(x=x, ids=ids, count=count)


def segments_renamed(f: Any, x: Array, ids: Array, count: int) -> Array:
    return f(x=x, ids=count - 1 - ids, count=count)[::-1] - f(x=x, ids=ids, count=count)


def whole(f: Any, x: Array, ids: Array, count: int) -> Array:
    """The segments add up to the sum of all rows."""
    return np.sum(f(x=x, ids=ids, count=count), axis=0) - np.sum(x, axis=0)


def homogeneous(f: Any, x: Array, ids: Array, count: int) -> Array:
    """f(-2 x) = -2 f(x)."""
    return f(x=-2 * x, ids=ids, count=count) + 2 * f(x=x, ids=ids, count=count)


def gradient_is_the_cotangent(f: Any, g: Array, x: Array, ids: Array, count: int) -> Array:
    return f.vjp(g, x=x, ids=ids, count=count)["x"] - g[ids]


SYMMETRIES = (
    Invariant("order-of-rows", order_of_rows, FINITE),
    Invariant("segments-renamed", segments_renamed, FINITE),
    Invariant("homogeneous", homogeneous, FINITE),
)

OP = Op(
    "segment_sum", segment_sum, segment_sum_vjp, CASES, batch_axis=lambda params: None, counted="many-segments",
    invariants=(
        *SYMMETRIES,
        Invariant("whole", whole, FINITE),
        Invariant("gradient-is-the-cotangent", gradient_is_the_cotangent, FINITE, "vjp", exact=True),
    ),
)  # fmt: skip
