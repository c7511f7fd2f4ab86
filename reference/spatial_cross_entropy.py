"""Softmax cross-entropy with a label for each place: images, whose classes lie along axis 1."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradparity.cases import Draw, coarse, dominant, in_layouts, logits, near_ties, ramp, special, subnormal
from gradparity.op import Array, Arrays, Case, Invariant, Op, Road
from gradparity.reference.cross_entropy import OP as CROSS_ENTROPY
from gradparity.reference.cross_entropy import (
    cross_entropy,
    cross_entropy_vjp,
    rows_apart,
    unshifted,
    unshifted_vjp,
    vjp_by_quotient,
)
from gradparity.reference.invariants import nonnegative, shift, turned
from gradparity.reference.reduction import reduced


def spatial_cross_entropy(x: Array, t: Array, reduction: str = "none") -> Array:
    """The cross-entropy of x[i, :, s] and t[i, s] at each place s of each item i.  x: [N, C, d1, ..., dk] logits,
    t: [N, d1, ..., dk] in 0..C-1 -> loss: [N, d1, ..., dk], or its sum or mean over all items and places, a scalar;
    the mean of no places is NaN.

    Source: that of the cross-entropy, of N d1 ... dk rows.
    """
    return of_rows(cross_entropy, x, t, reduction)


def spatial_cross_entropy_vjp(g: Array, y: Array, x: Array, t: Array, reduction: str = "none") -> Arrays:
    """p - onehot(t) at each place."""
    return gradient_of_rows(cross_entropy_vjp, g, y, x, t, reduction)


def of_rows(f: Any, x: Array, t: Array, reduction: str) -> Array:
    """The loss f of [M, C] and [M], where M places have C logits each."""
    loss = f(rows(x), np.ravel(t), reduction)
    return np.reshape(loss, t.shape) if reduction == "none" else loss


def gradient_of_rows(f: Any, g: Array, y: Array, x: Array, t: Array, reduction: str) -> Arrays:
    flat = np.reshape(g, (t.size,)) if reduction == "none" else g
    dx = f(flat, y, rows(x), np.ravel(t), reduction)["x"]
    return {"x": np.moveaxis(np.reshape(dx, (*t.shape, x.shape[1])), -1, 1)}


def rows(x: Array) -> Array:
    """[N, C, d1, ..., dk] -> [N d1 ... dk, C]."""
    by_place = np.moveaxis(x, 1, -1)
    return np.reshape(by_place, (int(np.prod(by_place.shape[:-1])), x.shape[1]))


def by_quotient(g: Array, y: Array, x: Array, t: Array, reduction: str = "none") -> Arrays:
    return gradient_of_rows(vjp_by_quotient, g, y, x, t, reduction)


def without_shift(x: Array, t: Array, reduction: str = "none") -> Array:
    return of_rows(unshifted, x, t, reduction)


def without_shift_vjp(g: Array, y: Array, x: Array, t: Array, reduction: str = "none") -> Arrays:
    return gradient_of_rows(unshifted_vjp, g, y, x, t, reduction)


def images(make: Any, *shape: int) -> Any:
    """`make(draw, rows, classes)` as the logits of N items of d1 x ... x dk places, with labels beside them.
    shape: N, C, d1, ..., dk"""
    n, c, *places = shape

    def arrays(draw: Draw) -> Arrays:
        x = make(draw, int(np.prod([n, *places])), c)
        return {
            "x": np.ascontiguousarray(np.moveaxis(x.reshape(n, *places, c), -1, 1)),
            "t": draw.integers("t", (n, *places), c),
        }

    return arrays


def scaled(scale: float, shift: float = 0.0) -> Any:
    return lambda draw, rows, classes: logits(draw, rows, classes, scale, shift)


def led(by: float) -> Any:
    return lambda draw, rows, classes: dominant(draw, rows, classes, by)


def one(value: float) -> Any:
    return lambda draw, rows, classes: special(draw, rows, classes, value)


def falling(depth: float) -> Any:
    return lambda draw, rows, classes: ramp(draw, rows, classes, depth)


# Places and classes of different number, so that no axis can be taken for another.
SHAPE = (2, 5, 4, 3)
LOGITS = {
    **{f"scale-{s:g}": scaled(s) for s in (0.001, 1, 10, 100, 1000, 10000)},
    "shift-10000": scaled(1, 10000), "shift-minus-1000": scaled(1, -1000),
    "dominant-11": led(11), "dominant-20": led(20), "coarse": coarse, "near-ties": near_ties, "ramp-80": falling(80.0),
    "subnormal": lambda draw, rows, classes: subnormal(draw, (rows, classes)),
    "minus-inf": one(-np.inf), "plus-inf": one(np.inf), "nan": one(np.nan),
}  # fmt: skip
SHAPES = {
    "one-dimension": (2, 5, 6), "three-dimensions": (2, 4, 3, 2, 2), "no-dimension": (4, 5), "one-place": (6, 5, 1, 1),
    "one-row": (1, 7, 4, 3), "zero-rows": (0, 5, 4, 3), "no-places": (2, 5, 0, 3),
    **{f"classes-{c}": (2, c, 4, 3) for c in (1, 2, 3)}, "classes-1000": (1, 1000, 2, 2),
}  # fmt: skip


def case(name: str, arrays: Any, reduction: str = "none") -> Case:
    return Case(name, arrays, {"reduction": reduction})


CASES = (
    *(case(name, images(make, *SHAPE)) for name, make in LOGITS.items()),
    *(case(name, images(scaled(1), *shape)) for name, shape in SHAPES.items()),
    *(case(f"{how}-{name}", images(LOGITS[name], *SHAPE), how) for how in ("sum", "mean")
      for name in ("scale-1", "dominant-20", "shift-10000")),
    *(case(f"{how}-{name}", images(scaled(1), *SHAPES[name]), how) for how in ("sum", "mean")
      for name in ("one-row", "zero-rows", "no-places")),
    *in_layouts(case("contiguous", images(scaled(2), *SHAPE))),
    case("places-1000", images(scaled(3), 2, 10, 25, 20)),
)  # fmt: skip

# Where invariants are looked at.
FINITE = ("coarse", "scale-1", "scale-10", "near-ties", "dominant-11")


def permutation(f: Any, x: Array, t: Array, **params: Any) -> Array:
    """Items, classes and places in reverse order, the labels with them."""
    relabelled = x.shape[1] - 1 - turned(t)
    return turned(f(x=turned(x), t=relabelled, **params)) - f(x=x, t=t, **params)


def place_by_place(f: Any, cross_entropy: Any, x: Array, t: Array, reduction: str) -> Array:
    """That of each place is the cross-entropy of its logits."""
    each = cross_entropy(x=rows(x), t=np.ravel(t), reduction=reduction)
    return np.reshape(f(x=x, t=t, reduction=reduction), each.shape) - each


def reduction_of_places(f: Any, x: Array, t: Array, reduction: str) -> Array:
    """The sum is that of all places, the mean that by their number."""
    each = np.reshape(f(x=x, t=t, reduction="none"), (t.size,))
    return f(x=x, t=t, reduction=reduction) - reduced(each, reduction)


def gradient_sums_to_zero(f: Any, g: Array, x: Array, **params: Any) -> Array:
    """Over the classes of each place."""
    return np.sum(f.vjp(g, x=x, **params)["x"], axis=1)


INVARIANTS = (
    Invariant("nonnegative", nonnegative, FINITE, exact=True),
    Invariant("shift", shift, ("coarse",)),
    Invariant("permutation", permutation, FINITE),
    Invariant("place-by-place", place_by_place, FINITE, other=CROSS_ENTROPY),
    Invariant("reduction-of-places", reduction_of_places, ("sum-scale-1", "mean-scale-1")),
    Invariant("gradient-sums-to-zero", gradient_sums_to_zero, (*FINITE, "mean-scale-1"), "vjp"),
)

OP = Op(
    "spatial_cross_entropy", spatial_cross_entropy, spatial_cross_entropy_vjp, CASES,
    roads={"quotient": Road(vjp=by_quotient), "unshifted": Road(without_shift, without_shift_vjp)},
    batch_axis=rows_apart, invariants=INVARIANTS, counted="places-1000",
)  # fmt: skip
