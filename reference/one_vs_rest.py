"""The one-vs-rest logistic loss: each class against all others, a binary cross-entropy each."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradparity.cases import LOGITS, in_layouts, logits
from gradparity.op import Array, Arrays, Case, Invariant, Op, Road
from gradparity.reference.binary_cross_entropy_with_logits import OP as BINARY_CROSS_ENTROPY
from gradparity.reference.binary_cross_entropy_with_logits import (
    Fn,
    binary_cross_entropy_with_logits,
    binary_cross_entropy_with_logits_vjp,
    of_the_margin,
    of_the_margin_vjp,
    roads_of,
    sigmoid_and_target,
    two_terms,
)
from gradparity.reference.cross_entropy import labelled, one_hot, permutation, reduction_of_rows, rows_apart
from gradparity.reference.invariants import nonnegative
from gradparity.reference.multiclass_hinge import led, many
from gradparity.reference.reduction import DIVISOR, divided, reduced, spread_back


def by(loss: Fn) -> Fn:
    """The loss, of a binary cross-entropy."""

    def one_vs_rest(x: Array, t: Array, reduction: str = "none", divisor: str = "one") -> Array:
        """loss_i = -log sigmoid(x_{i, t_i}) - sum_{j != t_i} log sigmoid(-x_ij), divided by C where `divisor` says so.
        x: [N, C] logits, t: [N] in 0..C-1 -> loss: [N], or its sum or mean over the rows.

        Source: Rifkin & Klautau, In defense of one-vs-all classification (2004), section 2, with the logistic loss.
        """
        rows = np.sum(loss(x, one_hot(t, x.shape[-1])), axis=-1)
        return reduced(divided(rows, x.shape[-1], divisor), reduction)

    return one_vs_rest


def vjp_by(loss: Fn, loss_vjp: Fn) -> Fn:
    """Its gradient."""

    def one_vs_rest_vjp(
        g: Array, y: Array, x: Array, t: Array, reduction: str = "none", divisor: str = "one"
    ) -> Arrays:  # fmt: skip
        """sigmoid(x_ij), less 1 at the label."""
        c = divided(spread_back(g, reduction, len(t)), x.shape[-1], divisor)
        return {"x": loss_vjp(np.expand_dims(c, -1), y, x, one_hot(t, x.shape[-1]))["x"]}

    return one_vs_rest_vjp


SCORES = ("scale-0.001", "scale-1", "scale-10", "scale-100", "scale-1000", "scale-10000", "shift-100",
          "shift-minus-1000", "dominant-20", "coarse", "equal", "zero", "near-ties", "ramp-80", "ramp-800", "subnormal",
          "bimodal", "nan", "one-row", "zero-rows", "classes-1", "classes-2", "classes-17", "classes-100",
          "classes-1000")  # fmt: skip


def case(name: str, make: Any, reduction: str = "none") -> Case:
    return Case(name, make, {"reduction": reduction})


CASES = (
    *(case(name, labelled(LOGITS[name])) for name in SCORES),
    case("led", led),
    case("rows-1000", labelled(many)),
    *(case(f"{how}-{name}", labelled(LOGITS[name]), how) for how in ("sum", "mean")
      for name in ("scale-1", "scale-10", "one-row", "zero-rows", "classes-100")),
    *in_layouts(case("contiguous", labelled(lambda draw: logits(draw, 8, 9, 2.0)))),
)  # fmt: skip

# Where invariants are looked at.
FINITE = ("scale-1", "scale-10", "coarse", "near-ties", "led")


def next_class(x: Array, t: Array) -> Array:
    return (t + 1) % x.shape[-1]


def labels_exchanged(f: Any, x: Array, t: Array, **params: Any) -> Array:
    """What another label changes is linear in x: odd."""
    other = next_class(x, t)
    of_x = f(x=x, t=t, **params) - f(x=x, t=other, **params)
    return of_x + (f(x=-x, t=t, **params) - f(x=-x, t=other, **params))


def of_one_class(f: Any, binary_cross_entropy: Any, x: Array, t: Array, **params: Any) -> Array:
    """With one class it is its binary cross-entropy."""
    return f(x=x, t=t, **params) - binary_cross_entropy(x=x[:, 0], t=0 * x[:, 0] + 1, pos_weight=None, reduction="none")


def wrong_alike(f: Any, g: Array, x: Array, t: Array, **params: Any) -> Array:
    """The gradient of a class that is wrong does not depend on which is right."""
    other = next_class(x, t)
    change = f.vjp(g, x=x, t=t, **params)["x"] - f.vjp(g, x=x, t=other, **params)["x"]
    return np.where(one_hot(t, x.shape[-1]) | one_hot(other, x.shape[-1]), 0.0, change)


def sums_alike(f: Any, g: Array, x: Array, t: Array, **params: Any) -> Array:
    """The sum of a row's gradient depends on no label."""
    change = f.vjp(g, x=x, t=t, **params)["x"] - f.vjp(g, x=x, t=next_class(x, t), **params)["x"]
    return np.sum(change, axis=-1)


INVARIANTS = (
    Invariant("nonnegative", nonnegative, FINITE),
    Invariant("permutation", permutation, FINITE),
    Invariant("labels-exchanged", labels_exchanged, FINITE),
    Invariant("of-one-class", of_one_class, ("classes-1",), other=BINARY_CROSS_ENTROPY),
    Invariant("reduction-of-rows", reduction_of_rows, ("sum-scale-1", "mean-scale-1")),
    Invariant("wrong-alike", wrong_alike, FINITE, "vjp"),
    Invariant("sums-alike", sums_alike, FINITE, "vjp"),
)

OP = Op(
    "one_vs_rest", by(binary_cross_entropy_with_logits),
    vjp_by(binary_cross_entropy_with_logits, binary_cross_entropy_with_logits_vjp), CASES,
    conventions={"divisor": DIVISOR},
    roads={
        **roads_of(by, vjp_by, "sigmoid-and-target", "two-terms"),
        "two-terms-fused-gradient": Road(by(two_terms)),
        "of-the-margin": Road(by(of_the_margin), vjp_by(of_the_margin, of_the_margin_vjp)),
        "margin-and-target": Road(by(of_the_margin), vjp_by(of_the_margin, sigmoid_and_target)),
    },
    batch_axis=rows_apart, invariants=INVARIANTS, counted="rows-1000",
)  # fmt: skip
