"""The categorical hinge: the worst of the wrong classes, or 0 where none of their scores is above it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gradparity.cases import LOGITS, Draw, in_layouts, logits
from gradparity.op import Array, Arrays, Case, Invariant, Op, Road
from gradparity.reference.crammer_singer_hinge import OP as CRAMMER_SINGER
from gradparity.reference.crammer_singer_hinge import TIE, shares, tied
from gradparity.reference.cross_entropy import one_hot, permutation, pick, reduction_of_rows, rows_apart
from gradparity.reference.hinge import KINK, NAN_MARGIN, slope
from gradparity.reference.invariants import nonnegative
from gradparity.reference.multiclass_hinge import SPECIAL, no_loss_no_gradient, scored
from gradparity.reference.reduction import reduced, spread_back


def margins(x: Array, t: Array) -> Array:
    """[N]: z_i = max_j (1 - y_ij) x_ij - x_{i, t_i} + 1."""
    return np.max(with_a_zero(x, t), axis=-1) - pick(x, t) + 1


def with_a_zero(x: Array, t: Array) -> Array:
    """The wrong scores, and 0 for the label's."""
    return np.where(one_hot(t, x.shape[-1]), 0.0, x)


def from_the_margin(x: Array, t: Array) -> Array:
    """The same, 1 and the score of the label taken together first."""
    return 1 - pick(x, t) + np.max(with_a_zero(x, t), axis=-1)


def by(margins: Callable[..., Array]) -> Callable[..., Array]:
    """The loss, of a margin that is added up in this order."""

    def categorical_hinge(
        x: Array, t: Array, reduction: str = "none", kink: float = 0.0, tie: str = "split", nan_margin: float = 0.0
    ) -> Array:  # fmt: skip
        """loss_i = max(0, 1 + max_j (1 - y_ij) x_ij - sum_j y_ij x_ij), y = onehot(t).  x: [N, C] scores, t: [N] in
        0..C-1 -> loss: [N], or its sum or mean over the rows.

        The label is in the inner maximum, as 0: where all wrong scores are below 0 this is not the hinge of Crammer and
        Singer.
        kink, nan_margin: the derivative of max(0, z) at z = 0 and at z = NaN;  tie: that of a maximum reached twice,
        where what falls to the label's 0 goes nowhere.
        Source: Keras, losses.CategoricalHinge; of one wrong class and of scores >= 0, Crammer & Singer (2001),
        section 3.
        """
        return reduced(np.maximum(margins(x, t), 0), reduction)

    return categorical_hinge


def vjp_by(margins: Callable[..., Array]) -> Callable[..., Arrays]:
    """Its gradient."""

    def categorical_hinge_vjp(
        g: Array, y: Array, x: Array, t: Array, reduction: str = "none", kink: float = 0.0, tie: str = "split",
        nan_margin: float = 0.0,
    ) -> Arrays:  # fmt: skip
        """1 for what is worst and -1 for the label where the margin is too small."""
        c = np.expand_dims(spread_back(g, reduction, len(t)), -1)
        steep = np.expand_dims(slope(margins(x, t), kink, nan_margin), -1)
        own = one_hot(t, x.shape[-1])
        return {"x": c * steep * np.where(own, -1.0, shares(with_a_zero(x, t), tie))}

    return categorical_hinge_vjp


categorical_hinge, categorical_hinge_vjp = by(margins), vjp_by(margins)


def below_zero(draw: Draw) -> Arrays:
    """All wrong scores are below 0, the label's on either side of 1."""
    found: Arrays = scored(LOGITS["coarse"])(draw)
    size = np.abs(found["x"].astype(np.float64)) + 0.125
    own = draw.quantised(draw.integers("own", (len(size), 1), 32, -15) / 8)
    return {"x": np.where(one_hot(found["t"], 10), own, draw.quantised(-size)), "t": found["t"]}


def of_a_label(score: float, wrong: Any) -> Any:
    """The label's score, and the wrong ones from wrong(draw, shape)."""

    def arrays(draw: Draw) -> Arrays:
        t = draw.integers("t", (8,), 10)
        return {"x": draw.quantised(np.where(one_hot(t, 10), score, wrong(draw, (8, 10)))), "t": t}

    return arrays


def halves(draw: Draw, shape: tuple[int, ...]) -> Array:
    """0 or below, a third of them 0: they tie with the label's."""
    return -draw.integers("x", shape, 3) / 2


SCORES = ("coarse", "scale-1", "scale-10", "scale-0.001", "scale-100", "scale-1000", "scale-10000", "shift-100",
          "shift-minus-1000", "near-ties", "subnormal", "nan", "one-row", "zero-rows", "classes-1", "classes-2",
          "classes-100")  # fmt: skip


def case(name: str, make: Any, reduction: str = "none") -> Case:
    return Case(name, make, {"reduction": reduction})


CASES = (
    *(case(name, scored(LOGITS[name])) for name in SCORES),
    *(case(name, SPECIAL[name]) for name in ("kink", "around-kink", "led", "rows-1000", "classes-2-coarse")),
    case("below-zero", below_zero),
    case("ties", tied),
    case("ties-with-the-zero", of_a_label(0.5, halves)),
    case("kink-of-the-zero", of_a_label(1.0, lambda draw, shape: -1 - draw.integers("x", shape, 3) / 2)),
    *(case(f"{how}-{name}", scored(LOGITS[name]), how) for how in ("sum", "mean")
      for name in ("scale-1", "scale-10", "one-row", "zero-rows")),
    *in_layouts(case("contiguous", scored(lambda draw: logits(draw, 8, 9, 2.0)))),
)  # fmt: skip

# Where invariants are looked at.
FINITE = ("coarse", "scale-1", "scale-10", "near-ties", "below-zero")


def of_crammer_singer(f: Any, hinge: Any, x: Array, t: Array, **params: Any) -> Array:
    """Of scores that are not negative it is the hinge of Crammer and Singer."""
    x = np.maximum(x, 0)
    return f(x=x, t=t, **params) - hinge(x=x, t=t, margin=1.0, **params)


INVARIANTS = (
    Invariant("nonnegative", nonnegative, FINITE, exact=True),
    Invariant("permutation", permutation, (*FINITE, "ties")),
    Invariant("of-crammer-singer", of_crammer_singer, FINITE, other=CRAMMER_SINGER),
    Invariant("reduction-of-rows", reduction_of_rows, ("sum-scale-1", "mean-scale-1")),
    Invariant("no-loss-no-gradient", no_loss_no_gradient, ("led",), "vjp", exact=True),
)

OP = Op(
    "categorical_hinge", categorical_hinge, categorical_hinge_vjp, CASES,
    conventions={"kink": KINK, "tie": TIE, "nan_margin": NAN_MARGIN},
    roads={"from-the-margin": Road(by(from_the_margin), vjp_by(from_the_margin))},
    batch_axis=rows_apart, invariants=INVARIANTS, counted="rows-1000",
    smooth=("scale-1", "led", "sum-scale-1", "mean-scale-1"),
)  # fmt: skip
