"""The multiclass hinge of Crammer and Singer: the worst of the wrong classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gradparity.cases import LOGITS, Draw, in_layouts, logits, special
from gradparity.op import Array, Arrays, Convention, Invariant, Op, Road
from gradparity.reference.cross_entropy import one_hot, permutation, pick, rows_apart
from gradparity.reference.hinge import KINK as HINGE_KINK
from gradparity.reference.hinge import NAN_MARGIN, slope
from gradparity.reference.hinge import OP as HINGE
from gradparity.reference.hinge import margin_case as case
from gradparity.reference.invariants import gradient_sums_to_zero, nonnegative, shift
from gradparity.reference.multiclass_hinge import (
    FINITE,
    SCORES,
    SPECIAL,
    no_loss_no_gradient,
    of_labels,
    on_the_kink,
    scored,
)
from gradparity.reference.reduction import reduced, spread_back

KINK = Convention(
    (*HINGE_KINK.values, "tie"),
    0.0,
    HINGE_KINK.meaning + "; or the label ties there with the wrong classes that are worst",
)
TIE = Convention(
    ("split", "first"),
    "split",
    "whose the gradient is where several wrong classes are worst: all share it, or the first",
)


def worst_margin(x: Array, t: Array, margin: Array) -> Array:
    """[N]: that of the wrong class with the largest score; -inf where there is none."""
    return np.max(wrong_scores(x, t), axis=-1) - pick(x, t) + margin


def wrong_scores(x: Array, t: Array) -> Array:
    return np.where(one_hot(t, x.shape[-1]), -np.inf, x)


def from_the_margin(x: Array, t: Array, margin: Array) -> Array:
    """The same, the margin and the score of the label taken together first."""
    return margin - pick(x, t) + np.max(wrong_scores(x, t), axis=-1)


def by(margins: Callable[..., Array]) -> Callable[..., Array]:
    """The loss, of a margin that is added up in this order."""

    def crammer_singer_hinge(
        x: Array, t: Array, margin: float = 1.0, reduction: str = "none", kink: Any = 0.0, tie: str = "split",
        nan_margin: float = 0.0,
    ) -> Array:  # fmt: skip
        """loss_i = max(0, max_{j != t_i} x_ij - x_{i, t_i} + margin).  x: [N, C] scores, t: [N] in 0..C-1 -> loss: [N],
        or its sum or mean over the rows; 0 where there is but one class.

        kink, nan_margin: the derivative of max(0, z) at z = 0 and at z = NaN;  tie: that of a maximum reached twice.
        Source: Crammer & Singer, On the algorithmic implementation of multiclass kernel-based vector machines (2001),
        section 3.
        """
        return reduced(np.maximum(margins(x, t, margin), 0), reduction)

    return crammer_singer_hinge


def in_the_maximum(
    x: Array, t: Array, margin: float = 1.0, reduction: str = "none", kink: Any = 0.0, tie: str = "split",
    nan_margin: float = 0.0,
) -> Array:  # fmt: skip
    """max_j (x_ij + margin [j != t_i]) - x_{i, t_i}, over all classes."""
    return reduced(np.max(with_margin(x, t, margin), axis=-1) - pick(x, t), reduction)


def added_to_all(
    x: Array, t: Array, margin: float = 1.0, reduction: str = "none", kink: Any = 0.0, tie: str = "split",
    nan_margin: float = 0.0,
) -> Array:  # fmt: skip
    """The same, the margin added to every score and taken from the label's again."""
    return reduced(np.max(less_at_the_label(x, t, margin), axis=-1) - pick(x, t), reduction)


def less_at_the_label(x: Array, t: Array, margin: Array) -> Array:
    return x + margin - np.where(one_hot(t, x.shape[-1]), margin, 0.0)


def added_to_all_vjp(
    g: Array, y: Array, x: Array, t: Array, margin: float = 1.0, reduction: str = "none", kink: Any = 0.0,
    tie: str = "split", nan_margin: float = 0.0,
) -> Arrays:  # fmt: skip
    """That of the maximum, and -1 at the label."""
    c = np.expand_dims(spread_back(g, reduction, len(t)), -1)
    return {"x": c * (shares(less_at_the_label(x, t, margin), tie) - one_hot(t, x.shape[-1]))}


def with_margin(x: Array, t: Array, margin: Array) -> Array:
    return x + np.where(one_hot(t, x.shape[-1]), 0.0, margin)


def vjp_by(margins: Callable[..., Array]) -> Callable[..., Arrays]:
    """Its gradient."""

    def crammer_singer_hinge_vjp(
        g: Array, y: Array, x: Array, t: Array, margin: float = 1.0, reduction: str = "none", kink: Any = 0.0,
        tie: str = "split", nan_margin: float = 0.0,
    ) -> Arrays:  # fmt: skip
        """1 for the worst of the wrong classes and -1 for the label where its margin is too small."""
        c = np.expand_dims(spread_back(g, reduction, len(t)), -1)
        own = one_hot(t, x.shape[-1])
        if kink == "tie":
            return {"x": c * (shares(with_margin(x, t, margin), tie) - own)}
        steep = np.expand_dims(slope(margins(x, t, margin), kink, nan_margin), -1)
        return {"x": c * steep * np.where(own, -1.0, shares(wrong_scores(x, t), tie))}

    return crammer_singer_hinge_vjp


def shares(x: Array, tie: str) -> Array:
    """[N, C]: the gradient of the maximum of each row."""
    largest = np.max(x, axis=-1, keepdims=True)
    if tie == "split":
        at = x == largest
        return np.clip(at / np.sum(at, axis=-1, keepdims=True), 0.0, 1.0)
    from_the_end = np.arange(x.shape[-1], 0, -1)
    rank = np.where(x == largest, from_the_end, np.where(x == x, 0, from_the_end))  # NaN counts as the largest
    return np.where(rank == np.max(rank, axis=-1, keepdims=True), 1.0, 0.0)


crammer_singer_hinge, crammer_singer_hinge_vjp = by(worst_margin), vjp_by(worst_margin)


def tied(draw: Draw) -> Arrays:
    """A third of the wrong scores are equal, and above the label's."""
    make = of_labels(lambda draw, x, own: np.where(draw.integers("on", x.shape, 3) == 0, own + 2, x - 8))
    found: Arrays = make(draw)
    return found


def many_nan(draw: Draw) -> Array:
    """As many as rows-1000, and one entry of each row is NaN."""
    return special(draw, 1000, 12, np.nan)


CASES = (
    *(case(name, scored(LOGITS[name])) for name in (*SCORES, "scale-1000")),
    *(case(name, make) for name, make in SPECIAL.items()),
    case("ties", tied),
    case("nan-rows-1000", scored(many_nan)),
    case("margin-0.5-scale-1", scored(LOGITS["scale-1"]), margin=0.5),
    case("margin-0.5-kink", on_the_kink(0.5), margin=0.5),
    *(case(f"{how}-{name}", scored(LOGITS[name]), how) for how in ("sum", "mean") for name in ("scale-1", "zero-rows")),
    *in_layouts(case("contiguous", scored(lambda draw: logits(draw, 8, 9, 2.0)))),
)


def of_two_classes(f: Any, hinge: Any, x: Array, t: Array, **params: Any) -> Array:
    """f(x, t) = hinge(x_1 - x_0, +-1)."""
    return f(x=x, t=t, **params) - hinge(x=x[:, 1] - x[:, 0], t=0 * x[:, 0] + (2 * t - 1))


INVARIANTS = (
    Invariant("nonnegative", nonnegative, FINITE, exact=True),
    Invariant("shift", shift, ("coarse",)),
    Invariant("permutation", permutation, (*FINITE, "ties")),
    Invariant("of-two-classes", of_two_classes, ("classes-2-coarse",), other=HINGE),
    Invariant("gradient-sums-to-zero", gradient_sums_to_zero, (*FINITE, "ties", "mean-scale-1"), "vjp"),
    Invariant("no-loss-no-gradient", no_loss_no_gradient, ("led",), "vjp", exact=True),
)

OP = Op(
    "crammer_singer_hinge", crammer_singer_hinge, crammer_singer_hinge_vjp, CASES,
    conventions={"kink": KINK, "tie": TIE, "nan_margin": NAN_MARGIN},
    roads={
        "from-the-margin": Road(by(from_the_margin), vjp_by(from_the_margin)),
        "in-the-maximum": Road(in_the_maximum),
        "one-added-to-all": Road(added_to_all, added_to_all_vjp),
    },
    batch_axis=rows_apart, invariants=INVARIANTS, counted="rows-1000",
    smooth=("scale-1", "led", "sum-scale-1", "mean-scale-1"),
)  # fmt: skip
