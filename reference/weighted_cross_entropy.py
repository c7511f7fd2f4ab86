"""Softmax cross-entropy from logits, with integer labels, class weights and labels that are ignored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gradparity.arithmetic import mean
from gradparity.cases import LOGITS, Draw, in_layouts, logits
from gradparity.op import SMOOTH, Array, Arrays, Case, Convention, Invariant, Op, Road
from gradparity.reference.along_axis import FINITE
from gradparity.reference.cross_entropy import OP as CROSS_ENTROPY
from gradparity.reference.cross_entropy import one_hot
from gradparity.reference.digits import digits_labels, digits_logits
from gradparity.reference.invariants import gradient_sums_to_zero, nonnegative, shift, turned
from gradparity.reference.log_softmax import log_softmax
from gradparity.reference.soft_cross_entropy import gradient, gradient_by_quotient, rows

DENOMINATOR = Convention(
    ("weights", "rows"), "weights", "what a mean divides by: the weights of the labels that count, or all rows"
)
IGNORED_ROW = Convention(
    (0.0, np.nan), 0.0, "the gradient of an ignored row of logits that are not finite: 0, since its loss is 0 whatever "
    "they are, or 0 times NaN",
)  # fmt: skip


def weighted_cross_entropy(
    x: Array, t: Array, weight: Array, label_smoothing: float = 0.0, ignore_index: int = -100, reduction: str = "none",
    denominator: str = "weights", ignored_row: float = 0.0,
) -> Array:  # fmt: skip
    """loss_i = -sum_j q_ij log_softmax(x_i)_j, q_ij = w_j ((1 - label_smoothing) [j = t_i] + label_smoothing / C);
    0 where t_i is ignore_index.  x: [N, C] logits, t: [N] in 0..C-1 or ignore_index, weight: [C] -> loss: [N] in nats,
    or its sum, or that divided by sum_i w_{t_i} over the rows that count, which is NaN if there are none.

    Source: King & Zeng, Logistic regression in rare events data (2001), section 4.2, for the weights; Szegedy et al.,
    Rethinking the Inception architecture for computer vision (2016), section 7, for the smoothing.
    """
    loss = rows(x, targets(t, weight, label_smoothing, ignore_index))
    return divided(loss, t, weight, ignore_index, reduction, denominator)


def two_losses(
    x: Array, t: Array, weight: Array, label_smoothing: float = 0.0, ignore_index: int = -100, reduction: str = "none",
    denominator: str = "weights", ignored_row: float = 0.0,
) -> Array:  # fmt: skip
    """(1 - s) A + (s / C) B, s = label_smoothing: A the loss of the label, B of all classes, each reduced."""
    label, every = (
        divided(rows(x, np.where(counted(t, ignore_index), q, 0.0)), t, weight, ignore_index, reduction, denominator)
        for q in (one_hot(t, len(weight)) * weight, weight)
    )
    smooth = np.where(label_smoothing == 0, 0.0, every * (label_smoothing / len(weight)))
    return label * (1 - label_smoothing) + smooth


def divided(loss: Array, t: Array, weight: Array, ignore_index: int, reduction: str, denominator: str) -> Array:
    """loss, its sum, or that divided by the sum of the weights or by the number of rows."""
    if reduction == "mean" and denominator == "rows":
        return mean(loss)
    if reduction == "mean":
        return np.sum(loss, axis=0) / total(t, weight, ignore_index)
    return loss if reduction == "none" else np.sum(loss, axis=0)


def targets(t: Array, weight: Array, label_smoothing: float, ignore_index: int) -> Array:
    """q: [N, C]."""
    own = one_hot(t, len(weight)) * weight
    return np.where(
        counted(t, ignore_index), own * (1 - label_smoothing) + weight * (label_smoothing / len(weight)), 0.0
    )


def counted(t: Array, ignore_index: int) -> Array:
    """[N, 1]."""
    return (t != ignore_index)[:, None]


def total(t: Array, weight: Array, ignore_index: int) -> Array:
    """The sum of the weights of the labels that count."""
    return np.sum(weight[t[t != ignore_index]], axis=0)


def by(gradient: Callable[..., Array]) -> Callable[..., Arrays]:
    """The gradient from that of the cross-entropy with the targets q."""

    def weighted_cross_entropy_vjp(
        g: Array, y: Array, x: Array, t: Array, weight: Array, label_smoothing: float = 0.0, ignore_index: int = -100,
        reduction: str = "none", denominator: str = "weights", ignored_row: float = 0.0,
    ) -> Arrays:  # fmt: skip
        """p sum_j q_j - q in each row, divided as the loss is; 0 in the rows that are ignored."""
        g = of_rows(g, t, weight, ignore_index, reduction, denominator)
        dx = gradient(g, x, targets(t, weight, label_smoothing, ignore_index))
        return {"x": without_ignored(dx, t, ignore_index, ignored_row)}

    return weighted_cross_entropy_vjp


def of_rows(g: Array, t: Array, weight: Array, ignore_index: int, reduction: str, denominator: str) -> Array:
    """[N, 1]: the cotangent of each row before the reduction, 0 where the label is ignored."""
    if reduction == "mean":
        g = g / (len(t) if denominator == "rows" else total(t, weight, ignore_index))
    return np.where(t != ignore_index, g, 0.0)[:, None]


def without_ignored(dx: Array, t: Array, ignore_index: int, ignored_row: float) -> Array:
    """Their gradient is g (p sum_j q_j - q) with g = 0, which is NaN where p is."""
    return dx if np.isnan(ignored_row) else np.where(counted(t, ignore_index), dx, 0.0)


def vjp_row_by_row(
    g: Array, y: Array, x: Array, t: Array, weight: Array, label_smoothing: float = 0.0, ignore_index: int = -100,
    reduction: str = "none", denominator: str = "weights", ignored_row: float = 0.0,
) -> Arrays:  # fmt: skip
    """g (1 - s) w_t (p - onehot(t)) + (g s / C) (p sum(w) - w), s = label_smoothing: a loss, weighted, and another."""
    g = of_rows(g, t, weight, ignore_index, reduction, denominator)
    p, own = np.exp(log_softmax(x)), np.where(t != ignore_index, weight[np.where(t != ignore_index, t, 0)], 0.0)
    label = g * (1 - label_smoothing) * own[:, None] * (p - one_hot(t, len(weight)))
    dx = label + g * (label_smoothing / len(weight)) * (p * np.sum(weight, axis=0) - weight)
    return {"x": without_ignored(dx, t, ignore_index, ignored_row)}


weighted_cross_entropy_vjp = by(gradient)


def weights(draw: Draw, classes: int) -> Array:
    """From 0.01 to 2."""
    return draw.quantised(draw.integers("weight", (classes,), 201, 1) / 100)


def no_label(t: Array, draw: Draw) -> Array:
    return t


def every_third(value: int) -> Any:
    return lambda t, draw: np.where(np.arange(len(t)) % 3 == 1, value, t)


def all_of_them(t: Array, draw: Draw) -> Array:
    return np.full_like(t, -100)


def labelled(make: Any, ignored: Any = no_label, weight: Any = weights) -> Any:
    """Logits with labels, some of them replaced, and weights drawn beside them."""

    def arrays(draw: Draw) -> Arrays:
        x = make(draw)
        t = ignored(draw.integers("t", x.shape[:1], x.shape[1]), draw)
        return {"x": x, "t": t, "weight": weight(draw, x.shape[1])}

    return arrays


def equal(draw: Draw, classes: int) -> Array:
    return draw.full((classes,), 1.0)


def of_digits(draw: Draw) -> Arrays:
    return {"x": digits_logits(draw), "t": digits_labels(), "weight": weights(draw, 10)}


def case(name: str, make: Any, reduction: str = "none", **more: Any) -> Case:
    return Case(name, make, {"label_smoothing": 0.0, "ignore_index": -100, "reduction": reduction, **more})


SOME = ("scale-0.001", "scale-1", "scale-100", "scale-1000", "scale-10000", "shift-10000", "ramp-80", "subnormal",
        "minus-inf", "nan", "zero-rows", "one-row", "classes-1", "classes-2", "classes-3", "classes-1000")  # fmt: skip
MASK = every_third(-100)
CASES = (
    *(case(name, labelled(LOGITS[name])) for name in (*FINITE, *SOME)),
    *(case(f"equal-weights-{name}", labelled(LOGITS[name], weight=equal)) for name in ("scale-1", "scale-10")),
    *(case(f"ignored-{name}", labelled(LOGITS[name], MASK)) for name in (*FINITE, "scale-1", "scale-10000")),
    case("ignored-class-3", labelled(LOGITS["scale-1"], every_third(3)), ignore_index=3),
    case("ignored-all", labelled(LOGITS["scale-1"], all_of_them)),
    *(case(f"smoothed-{name}", labelled(LOGITS[name]), label_smoothing=0.1) for name in (*FINITE, "scale-1")),
    case("smoothed-ignored", labelled(LOGITS["scale-1"], MASK), label_smoothing=0.1),
    *(
        case(f"{reduction}-{name}", labelled(LOGITS[name]), reduction)
        for reduction in ("sum", "mean")
        for name in ("scale-1", "shift-10000", "dominant-20", "one-row", "zero-rows")
    ),
    *(
        case(f"{reduction}-ignored{more}", labelled(LOGITS["scale-1"], ignored), reduction, label_smoothing=smoothing)
        for reduction in ("sum", "mean")
        for more, ignored, smoothing in (("", MASK, 0.0), ("-all", all_of_them, 0.0), ("-smoothed", MASK, 0.1))
    ),
    *(case(f"{reduction}-digits", of_digits, reduction) for reduction in ("none", "mean")),
    *in_layouts(case("contiguous", labelled(lambda draw: logits(draw, 8, 9, 2.0)))),
)


def permutation(f: Any, x: Array, t: Array, weight: Array, ignore_index: int, **params: Any) -> Array:
    """Rows and classes in reverse order, labels and weights with them."""
    relabelled = np.where(t == ignore_index, t, x.shape[-1] - 1 - t)[::-1]
    other = f(x=turned(x), t=relabelled, weight=weight[::-1], ignore_index=ignore_index, **params)
    return turned(other) - f(x=x, t=t, weight=weight, ignore_index=ignore_index, **params)


def ignored(f: Any, t: Array, ignore_index: int, **arguments: Any) -> Array:
    """The loss of a row that is ignored is 0."""
    return np.where(t == ignore_index, f(t=t, ignore_index=ignore_index, **arguments), 0.0)


def no_gradient_if_ignored(f: Any, g: Array, t: Array, ignore_index: int, **arguments: Any) -> Array:
    dx = f.vjp(g, t=t, ignore_index=ignore_index, **arguments)["x"]
    return np.where((t == ignore_index)[:, None], dx, 0.0)


def of_equal_weights(f: Any, cross_entropy: Any, x: Array, t: Array, weight: Array, **params: Any) -> Array:
    """f(x, t, 1) = cross_entropy(x, t)."""
    return f(x=x, t=t, weight=0 * weight + 1, **params) - cross_entropy(x=x, t=t, reduction="none")


def homogeneous(f: Any, weight: Array, **arguments: Any) -> Array:
    """f(2 w) = 2 f(w)."""
    return f(weight=2 * weight, **arguments) - 2 * f(weight=weight, **arguments)


EVERY = (*FINITE, *(f"ignored-{name}" for name in FINITE), *(f"smoothed-{name}" for name in FINITE))
MASKED = (*(f"ignored-{name}" for name in FINITE), "smoothed-ignored", "ignored-class-3", "ignored-all")
INVARIANTS = (
    Invariant("nonnegative", nonnegative, EVERY, exact=True),
    Invariant("ignored", ignored, MASKED, exact=True),
    Invariant("shift", shift, ("coarse", "ignored-coarse", "smoothed-coarse")),
    Invariant("permutation", permutation, EVERY),
    Invariant("homogeneous", homogeneous, EVERY),
    Invariant("of-equal-weights", of_equal_weights, FINITE, other=CROSS_ENTROPY),
    Invariant("gradient-sums-to-zero", gradient_sums_to_zero, (*EVERY, "mean-scale-1", "mean-ignored"), "vjp"),
    Invariant("no-gradient-if-ignored", no_gradient_if_ignored, (*MASKED, "mean-ignored-all"), "vjp", exact=True),
)

OP = Op(
    "weighted_cross_entropy", weighted_cross_entropy, weighted_cross_entropy_vjp, CASES,
    conventions={"denominator": DENOMINATOR, "ignored_row": IGNORED_ROW},
    roads={
        "quotient": Road(vjp=by(gradient_by_quotient)), "two-losses": Road(two_losses),
        "row-by-row": Road(vjp=vjp_row_by_row),
    },
    batch_axis=lambda params: None, invariants=INVARIANTS, counted="none-digits",
    smooth=(*SMOOTH, "smoothed-ignored", "mean-ignored"),
)  # fmt: skip
