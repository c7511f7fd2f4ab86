"""The mean of each segment: rows that share a number, averaged."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradparity.op import Array, Arrays, Convention, Invariant, Op
from gradparity.reference.segment_sum import CASES, FINITE, SYMMETRIES
from gradparity.reference.segment_sum import OP as SEGMENT_SUM
from gradparity.reference.segments import Segments

EMPTY = Convention((0.0, float("nan")), 0.0, "the mean of a segment without rows")


def segment_mean(x: Array, ids: Array, count: int, empty: float = 0.0) -> Array:
    """y_s = mean of x_i over the rows with ids_i = s, `empty` where there is none.

    x: [N, ...], ids: [N] integers in 0..count-1, in any order -> y: [count, ...].
    Source: as segment_sum; 0 is what dividing by max(size, 1) makes, NaN what 0 / 0 does.
    """
    segments = Segments(ids, count)
    some = column(segments.sizes > 0, x)
    return np.where(some, segments.sum(x) / column(np.maximum(segments.sizes, 1), x), empty)


def column(per_segment: Array, x: Array) -> Array:
    """[n] -> [n, 1, ...], to go with x."""
    return np.reshape(per_segment, (-1,) + (1,) * (x.ndim - 1))


def segment_mean_vjp(g: Array, y: Array, x: Array, ids: Array, count: int, empty: float = 0.0) -> Arrays:
    """To each row its part of what its segment has."""
    return {"x": g[ids] / column(Segments(ids, count).size_of_own, x)}


def of_equal_rows(f: Any, x: Array, ids: Array, count: int) -> Array:
    """Where all rows are one row it is the mean."""
    return f(x=0 * x + x[:1], ids=ids, count=count) - x[:1]


def sum_over_size(f: Any, total: Any, x: Array, ids: Array, count: int) -> Array:
    sizes = column(Segments(ids, count).sizes, x)
    return f(x=x, ids=ids, count=count) * sizes - total(x=x, ids=ids, count=count)


def gradient_adds_up(f: Any, g: Array, x: Array, ids: Array, count: int) -> Array:
    """What the rows of a segment have is together what the segment has."""
    return Segments(ids, count).sum(f.vjp(g, x=x, ids=ids, count=count)["x"]) - g


OP = Op(
    "segment_mean", segment_mean, segment_mean_vjp, CASES, conventions={"empty": EMPTY},
    batch_axis=lambda params: None, counted="many-segments",
    invariants=(
        *SYMMETRIES,
        Invariant("of-equal-rows", of_equal_rows, ("coarse",)),
        Invariant("sum-over-size", sum_over_size, FINITE, other=SEGMENT_SUM),
        Invariant("gradient-adds-up", gradient_adds_up, FINITE, "vjp"),
    ),
)  # fmt: skip
