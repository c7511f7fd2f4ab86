"""The multiclass hinge of Weston and Watkins: a sum over the wrong classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gradparity.cases import LOGITS, Draw, dominant, in_layouts, logits
from gradparity.op import FORMATS, Array, Arrays, Case, Invariant, Op, Road
from gradparity.reference.cross_entropy import one_hot
from gradparity.reference.hinge import KINK, NAN_MARGIN, slope
from gradparity.reference.hinge import OP as HINGE
from gradparity.reference.invariants import gradient_sums_to_zero, nonnegative, shift, turned
from gradparity.reference.reduction import DIVISOR, divided, reduced, spread_back
from gradparity.reference.squared_hinge import NAN_MARGIN as NAN_SQUARE
from gradparity.reference.weighted_cross_entropy import equal, weights


def margins(x: Array, t: Array, margin: Array) -> Array:
    """z_ij = x_ij - x_{i, t_i} + margin."""
    return x - np.take_along_axis(x, t[:, None], -1) + margin


def from_the_margin(x: Array, t: Array, margin: Array) -> Array:
    """The same, the margin and the score of the label taken together first."""
    return margin - np.take_along_axis(x, t[:, None], -1) + x


def by(margins: Callable[..., Array]) -> Callable[..., Array]:
    """The loss, of margins that are added up in this order."""

    def multiclass_hinge(
        x: Array, t: Array, weight: Array, p: int = 1, margin: float = 1.0, reduction: str = "none", kink: float = 0.0,
        nan_margin: float = 0.0, nan_square: float = np.nan, divisor: str = "one",
    ) -> Array:  # fmt: skip
        """loss_i = w_{t_i} sum_{j != t_i} max(0, x_ij - x_{i, t_i} + margin)^p, divided by C where `divisor` says so.
        x: [N, C] scores, t: [N] in 0..C-1, weight: [C], p: 1 or 2 -> loss: [N], or its sum or mean over the rows.

        kink, nan_margin: the derivative of max(0, z) at z = 0 and at z = NaN;  nan_square: that of its square at NaN.
        Source: Weston & Watkins, Support vector machines for multi-class pattern recognition (1999), section 3.
        """
        h = np.maximum(margins(x, t, margin), 0)
        rows = weight[t] * np.sum(np.where(one_hot(t, len(weight)), 0.0, h if p == 1 else np.square(h)), axis=-1)
        return reduced(divided(rows, len(weight), divisor), reduction)

    return multiclass_hinge


def vjp_by(margins: Callable[..., Array]) -> Callable[..., Arrays]:
    """Its gradient."""

    def multiclass_hinge_vjp(
        g: Array, y: Array, x: Array, t: Array, weight: Array, p: int = 1, margin: float = 1.0,
        reduction: str = "none", kink: float = 0.0, nan_margin: float = 0.0, nan_square: float = np.nan,
        divisor: str = "one",
    ) -> Arrays:  # fmt: skip
        """w_{t_i} times the derivative of max(0, z)^p for each wrong class, less their sum for the label."""
        z = margins(x, t, margin)
        h = np.maximum(z, 0)
        c = spread_back(g, reduction, len(t)) * weight[t]
        c = np.expand_dims(divided(c, len(weight), divisor), -1)
        steep = slope(z, kink, nan_margin) if p == 1 else 2 * np.where(h >= 0, h, nan_square)
        return {"x": against_the_label(c * steep, t)}

    return multiclass_hinge_vjp


def against_the_label(pull: Array, t: Array) -> Array:
    """[N, C]: what pulls at each wrong class, and all of it at the label, the other way."""
    own = one_hot(t, pull.shape[-1])
    wrong = np.where(own, 0.0, pull)
    return np.where(own, -np.sum(wrong, axis=-1, keepdims=True), wrong)


multiclass_hinge, multiclass_hinge_vjp = by(margins), vjp_by(margins)


def scored(make: Any) -> Any:
    """Scores and labels drawn beside them."""

    def arrays(draw: Draw) -> Arrays:
        x = make(draw)
        return {"x": x, "t": draw.integers("t", x.shape[:1], x.shape[1])}

    return arrays


def of_labels(change: Any) -> Any:
    """Coarse scores, changed by what is known of the label's: change(draw, x, x_label) in float64."""

    def arrays(draw: Draw) -> Arrays:
        found: Arrays = scored(LOGITS["coarse"])(draw)
        x, t = found["x"].astype(np.float64), found["t"]
        return {
            "x": draw.quantised(np.where(one_hot(t, 10), x, change(draw, x, x[np.arange(len(t)), t, None]))),
            "t": t,
        }

    return arrays


def on_the_kink(distance: float) -> Any:
    """Every third of the wrong scores is `distance` below the label's; in the first rows the others are further below,
    so that there is no loss."""

    def change(draw: Draw, x: Array, label: Array) -> Array:
        far = np.where(np.arange(len(x))[:, None] < 3, np.minimum(x, label - distance), x)
        return np.where(draw.integers("on", x.shape, 3) == 0, label - distance, far)

    return of_labels(change)


def around_kink(draw: Draw) -> Arrays:
    """The label's score 0, the wrong ones within 8 units in the last place of -1, and not -1."""
    t = draw.integers("t", (8,), 10)
    steps = draw.integers("steps", (8, 10), 8, 1) * (2 * draw.integers("side", (8, 10), 2) - 1)
    return {"x": draw.quantised(np.where(one_hot(t, 10), 0, steps * FORMATS[draw.dtype].unit * 2 - 1)), "t": t}


def led(draw: Draw) -> Arrays:
    """The label's score is far above all others."""
    x = dominant(draw, 8, 10, 20.0)
    return {"x": x, "t": np.argmax(x, axis=-1)}


def many(draw: Draw) -> Array:
    return logits(draw, 1000, 12, 2.0)


def two_coarse(draw: Draw) -> Array:
    return draw.quantised(draw.integers("x", (8, 2), 16, -15) / 8)


def weighted(make: Any, weight: Any = weights) -> Any:
    def arrays(draw: Draw) -> Arrays:
        found: Arrays = make(draw)
        return found | {"weight": weight(draw, found["x"].shape[1])}

    return arrays


def case(name: str, make: Any, reduction: str = "none", **more: Any) -> Case:
    return Case(name, weighted(make), {"p": 1, "margin": 1.0, "reduction": reduction, **more})


FINITE = ("coarse", "scale-1", "scale-10", "near-ties")
SCORES = (*FINITE, "scale-0.001", "scale-100", "shift-100", "equal", "subnormal", "minus-inf", "plus-inf", "nan",
          "one-row", "zero-rows", "classes-1", "classes-2", "classes-100")  # fmt: skip
SPECIAL = {
    "kink": on_the_kink(1.0),
    "around-kink": around_kink,
    "led": led,
    "rows-1000": scored(many),
    "classes-2-coarse": scored(two_coarse),
}
CASES = (
    *(case(name, scored(LOGITS[name])) for name in SCORES),
    *(case(name, make) for name, make in SPECIAL.items()),
    Case("equal-weights", weighted(scored(LOGITS["scale-1"]), equal), {"p": 1, "margin": 1.0, "reduction": "none"}),
    *(case(f"squared-{name}", scored(LOGITS[name]), p=2) for name in (*FINITE, "nan")),
    *(case(f"squared-{name}", SPECIAL[name], p=2) for name in ("kink", "classes-2-coarse")),
    case("margin-0.5-scale-1", scored(LOGITS["scale-1"]), margin=0.5),
    case("margin-0.5-kink", on_the_kink(0.5), margin=0.5),
    *(case(f"{how}-{name}", scored(LOGITS[name]), how) for how in ("sum", "mean") for name in ("scale-1", "zero-rows")),
    case("mean-squared", scored(LOGITS["scale-1"]), "mean", p=2),
    *in_layouts(case("contiguous", scored(lambda draw: logits(draw, 8, 9, 2.0)))),
)


def permutation(f: Any, x: Array, t: Array, weight: Array, **params: Any) -> Array:
    """Rows and classes in reverse order, labels and weights with them."""
    other = f(x=turned(x), t=x.shape[-1] - 1 - turned(t), weight=weight[::-1], **params)
    return turned(other) - f(x=x, t=t, weight=weight, **params)


def linear_in_weights(f: Any, weight: Array, **arguments: Any) -> Array:
    """f(2 w) = 2 f(w)."""
    return f(weight=2 * weight, **arguments) - 2 * f(weight=weight, **arguments)


def of_two_classes(f: Any, hinge: Any, x: Array, t: Array, weight: Array, p: int, **params: Any) -> Array:
    """f(x, t) = hinge(x_1 - x_0, +-1)^p f(0, t): what a margin of 1 costs is a convention."""
    h = hinge(x=x[:, 1] - x[:, 0], t=0 * x[:, 0] + (2 * t - 1))
    unit = f(x=0 * x, t=t, weight=weight, p=p, **params)
    return f(x=x, t=t, weight=weight, p=p, **params) - unit * (h if p == 1 else np.square(h))


def no_loss_no_gradient(f: Any, g: Array, **arguments: Any) -> Array:
    """Where the label's score is above all others by more than the margin."""
    return f.vjp(g, **arguments)["x"]


SQUARED = tuple(f"squared-{name}" for name in FINITE)
INVARIANTS = (
    Invariant("nonnegative", nonnegative, (*FINITE, *SQUARED), exact=True),
    Invariant("shift", shift, ("coarse", "squared-coarse")),
    Invariant("permutation", permutation, (*FINITE, *SQUARED)),
    Invariant("linear-in-weights", linear_in_weights, (*FINITE, *SQUARED)),
    Invariant("of-two-classes", of_two_classes, ("classes-2-coarse", "squared-classes-2-coarse"), other=HINGE),
    Invariant("gradient-sums-to-zero", gradient_sums_to_zero, (*FINITE, *SQUARED, "mean-scale-1"), "vjp"),
    Invariant("no-loss-no-gradient", no_loss_no_gradient, ("led",), "vjp", exact=True),
)

OP = Op(
    "multiclass_hinge", multiclass_hinge, multiclass_hinge_vjp, CASES,
    conventions={"kink": KINK, "nan_margin": NAN_MARGIN, "nan_square": NAN_SQUARE, "divisor": DIVISOR},
    roads={"from-the-margin": Road(by(from_the_margin), vjp_by(from_the_margin))},
    batch_axis=lambda params: None, invariants=INVARIANTS, counted="rows-1000",
    smooth=("around-kink", "led", "near-ties", "squared-near-ties", "sum-scale-1", "mean-scale-1", "mean-squared"),
)  # fmt: skip
