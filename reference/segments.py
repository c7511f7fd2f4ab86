"""Sums over segments of any length, on every kind of array that the reference runs on.

np.add.at and bincount know neither long double nor Tracked; sort + np.add.reduceat does, and costs four times what
this does: segments of equal size n are stacked to an array [m, n, ...] and summed along its second axis. There are at
most sqrt(2 N) sizes, in practice a few dozen (N = 100,000, 10,000 classes, d = 64, float64: 56 ms against 249 ms).
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from gradparity.op import Array


class Segments:
    """N positions, each in one of `count` segments.  ids: [N] integers in 0..count-1."""

    def __init__(self, ids: Array, count: int | None = None) -> None:
        self.ids = ids
        self.sizes = np.bincount(ids, minlength=count or 0)

    @cached_property
    def size_of_own(self) -> Array:
        """The size of the segment that each position belongs to."""
        return self.sizes[self.ids]

    @cached_property
    def blocks(self) -> list[Array]:
        """For each distinct size n the positions of its segments, [m, n]; empty segments are [m, 0]."""
        order = np.argsort(self.ids, kind="stable")
        starts = np.cumsum(self.sizes) - self.sizes
        return [order[starts[self.sizes == n][:, None] + np.arange(n)] for n in np.unique(self.sizes)]

    @cached_property
    def rank(self) -> Array:
        """Where each segment stands among the concatenated blocks."""
        by_size = np.argsort(self.sizes, kind="stable")
        return np.argsort(by_size, kind="stable")

    def sum(self, x: Array) -> Array:
        """x: [N, ...] -> [count, ...], 0 for an empty segment."""
        if not self.blocks:
            return x[:0]
        return np.concatenate([np.sum(x[block], axis=1) for block in self.blocks])[self.rank]

    def mean(self, x: Array) -> Array:
        """x: [N, ...] -> [count, ...]; no segment may be empty."""
        total = self.sum(x)
        return total / np.reshape(self.sizes, (-1,) + (1,) * (len(total.shape) - 1))

    def spread(self, per_segment: Array) -> Array:
        """[count, ...] -> [N, ...]: to each position what its segment has."""
        return per_segment[self.ids]


class PrefixSegments(Segments):
    """The same sums as differences of cumulative sums: what many write, and what cancels. The positions are those of
    `items` items of equal length, and the sums start anew in each.  item_of: [count], the item of each segment."""

    def __init__(self, ids: Array, items: int, item_of: Array) -> None:
        super().__init__(ids)
        self.items, self.item_of = items, item_of
        self.order = np.argsort(ids, kind="stable")
        self.ends = np.cumsum(self.sizes) - 1

    def sum(self, x: Array) -> Array:
        if not len(self.ids):
            return x[:0]
        upto = self.running(x[self.order])
        first = np.diff(self.item_of, prepend=-1) > 0
        return upto[self.ends] - only(~first, upto[np.maximum(self.ends - self.sizes, 0)])

    def spread_by_differences(self, per_segment: Array) -> Array:
        """spread, as the transpose of the sum: at the end of each segment what it has more than the next one of its
        item, summed from the item's end."""
        if not len(self.ids):
            return per_segment[:0]
        last = np.diff(self.item_of, append=-1) != 0
        more = per_segment - only(~last, per_segment[np.minimum(np.arange(len(last)) + 1, len(last) - 1)])
        ids = self.ids[self.order]
        at_end = np.diff(ids, append=-1) != 0
        return self.running(only(at_end, more[ids])[::-1])[::-1][np.argsort(self.order)]

    def running(self, x: Array) -> Array:
        """Cumulative sums within each item."""
        by_item = np.reshape(x, (self.items, -1, *x.shape[1:]))
        return np.reshape(np.cumsum(by_item, axis=1), x.shape)


def only(c: Array, x: Array) -> Array:
    """x where c, which is of its first axis, and 0 elsewhere."""
    return np.where(np.reshape(c, (-1,) + (1,) * (x.ndim - 1)), x, 0.0)
