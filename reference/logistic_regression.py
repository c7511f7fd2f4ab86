"""Binary logistic regression: a score for each row, binary cross-entropy and a penalty."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradparity.cases import Draw, coarse, in_layouts
from gradparity.op import SMOOTH, Array, Arrays, Case, Invariant, Op, Road
from gradparity.reference.binary_cross_entropy_with_logits import OP as BINARY_CROSS_ENTROPY
from gradparity.reference.binary_cross_entropy_with_logits import (
    Fn,
    binary_cross_entropy_with_logits,
    binary_cross_entropy_with_logits_vjp,
    hard,
    of_the_margin,
    roads_of,
)
from gradparity.reference.digits import digits_images, digits_labels
from gradparity.reference.invariants import turned
from gradparity.reference.softmax_regression import PENALTY, linear_in_reg, penalised, penalised_vjp


def by(loss: Fn) -> Fn:
    """The loss, of a binary cross-entropy."""

    def logistic_regression(
        x: Array, w: Array, t: Array, reg: float = 0.0, penalty: float = 1.0
    ) -> Array:  # fmt: skip
        """loss = mean_i binary_cross_entropy_with_logits(x_i w, t_i) + penalty reg sum w^2.  x: [N, D] features, w: [D]
        weights, t: [N] in {0, 1} -> loss: a scalar; NaN for no rows. A bias is the weight of a feature that is 1.

        Source: Hastie, Tibshirani & Friedman, The Elements of Statistical Learning (2009), sections 4.4.1 and 18.3.2.
        """
        return loss(x @ w, t, None, "mean") + penalised(w, reg, penalty)

    return logistic_regression


def vjp_by(loss: Fn, loss_vjp: Fn) -> Fn:
    """Its gradient."""

    def logistic_regression_vjp(
        g: Array, y: Array, x: Array, w: Array, t: Array, reg: float = 0.0, penalty: float = 1.0
    ) -> Arrays:
        """s w^T for x, x^T s + 2 penalty reg w for w; s = (sigmoid(x w) - t) / N, the gradient for the scores."""
        s = loss_vjp(g, y, x @ w, t, None, "mean")["x"]
        return {"x": np.expand_dims(s, -1) * w, "w": np.moveaxis(x, 0, 1) @ s + penalised_vjp(g, w, reg, penalty)}

    return logistic_regression_vjp


def random(scale: float = 1.0, rows: int = 10, features: int = 5) -> Any:
    """Features of deviation `scale`, weights of deviation 1."""
    return lambda draw: {
        "x": draw.normal("x", (rows, features), scale), "w": draw.normal("w", (features,)), "t": hard(draw, (rows,)),
    }  # fmt: skip


def drawn_coarsely(draw: Draw) -> Arrays:
    return {"x": coarse(draw, 10, 5), "w": draw.quantised(draw.integers("w", (5,), 16, -15) / 8),
            "t": hard(draw, (10,))}  # fmt: skip


def one_weight(draw: Draw) -> Arrays:
    """The first feature is the score."""
    return {"x": draw.normal("x", (8, 4), 3.0), "w": draw.quantised([1.0, 0.0, 0.0, 0.0]), "t": hard(draw, (8,))}


def separated(draw: Draw) -> Arrays:
    """Every row is right by a large margin."""
    t = draw.integers("t", (10,), 2)
    x = draw.normal("x", (10, 3)).astype(np.float64) + 20 * (2 * t[:, None] - 1)
    return {"x": draw.quantised(x), "w": draw.quantised([1.0, 0.5, 0.25]), "t": draw.quantised(t)}


def large_scores(draw: Draw) -> Arrays:
    """One feature and a weight of 2: scores of 14,336, beyond what any format exponentiates, and none is rounded. Two
    rows: the sum of their losses is still a float16."""
    return {"x": draw.quantised([[7168.0], [-6144.0]]), "w": draw.quantised([2.0]), "t": draw.quantised([0.0, 1.0])}


def special(value: float) -> Any:
    def arrays(draw: Draw) -> Arrays:
        found: Arrays = random()(draw)
        found["x"][3, 2] = value
        return found

    return arrays


def of_digits(draw: Draw) -> Arrays:
    """300 handwritten digits of 64 pixels in [0, 1]: is it a 5 or more?"""
    return {"x": digits_images(draw, 300), "w": draw.normal("w", (64,), 0.5),
            "t": draw.quantised(digits_labels()[:300] > 4)}  # fmt: skip


def case(name: str, make: Any, reg: float = 0.0, **more: Any) -> Case:
    return Case(name, make, {"reg": reg}, **more)


CASES = (
    *(case(f"scale-{s:g}", random(s)) for s in (0.001, 0.1, 1, 10)),
    *(case(f"reg-{reg:g}-scale-{s:g}", random(s), reg) for reg in (0.1, 3) for s in (0.001, 1, 10)),
    case("large-scores", large_scores),
    case("coarse", drawn_coarsely),
    case("one-weight", one_weight),
    case("separated", separated),
    case("one-row", random(rows=1)),
    case("two-rows", random(rows=2)),
    case("zero-rows", random(rows=0), 0.1),
    case("one-feature", random(features=1), 0.1),
    case("features-300", random(features=300), 0.1),
    case("digits", of_digits),
    case("reg-0.1-digits", of_digits, 0.1),
    case("nan", special(np.nan), 0.1),
    *in_layouts(case("contiguous", random(2.0, 9), 0.1)),
)

# Where invariants are looked at.
FINITE = ("scale-1", "scale-10", "coarse", "separated")


def permutation(f: Any, x: Array, w: Array, t: Array, reg: float) -> Array:
    """The order of the rows, and that of the features, does not matter."""
    return f(x=turned(x), w=w[::-1], t=t[::-1], reg=reg) - f(x=x, w=w, t=t, reg=reg)


def mirrored(f: Any, x: Array, w: Array, t: Array, reg: float) -> Array:
    """f(-w, 1 - t) = f(w, t)."""
    return f(x=x, w=-w, t=1 - t, reg=reg) - f(x=x, w=w, t=t, reg=reg)


def of_scores(f: Any, binary_cross_entropy: Any, x: Array, w: Array, t: Array, reg: float) -> Array:
    """With one weight of 1, and no other, the first feature is the score."""
    return f(x=x, w=w, t=t, reg=reg) - binary_cross_entropy(x=x[:, 0], t=t, pos_weight=None, reduction="mean")


def mirrored_gradient(f: Any, g: Array, x: Array, w: Array, t: Array, reg: float) -> Array:
    """f'(-w, 1 - t) = -f'(w, t)."""
    return f.vjp(g, x=x, w=-w, t=1 - t, reg=reg)["w"] + f.vjp(g, x=x, w=w, t=t, reg=reg)["w"]


def euler(f: Any, g: Array, x: Array, w: Array, t: Array, reg: float) -> Array:
    """Without a penalty the loss depends on x w alone: sum x dx = sum w dw."""
    d = f.vjp(g, x=x, w=w, t=t, reg=reg)
    return np.sum(x * d["x"], axis=(0, 1)) - np.sum(w * d["w"], axis=0)


INVARIANTS = (
    Invariant("permutation", permutation, (*FINITE, "reg-0.1-scale-1")),
    Invariant("mirrored", mirrored, (*FINITE, "reg-0.1-scale-1")),
    Invariant("of-scores", of_scores, ("one-weight",), other=BINARY_CROSS_ENTROPY),
    Invariant("penalised", linear_in_reg, ("reg-3-scale-1", "reg-3-scale-0.001")),
    Invariant("mirrored-gradient", mirrored_gradient, (*FINITE, "reg-0.1-scale-1"), "vjp"),
    Invariant("euler", euler, FINITE, "vjp"),
)

OP = Op(
    "logistic_regression", by(binary_cross_entropy_with_logits),
    vjp_by(binary_cross_entropy_with_logits, binary_cross_entropy_with_logits_vjp), CASES, wrt=("x", "w"),
    conventions={"penalty": PENALTY},
    roads={
        **roads_of(by, vjp_by, "sigmoid-minus-target", "sigmoid-and-target", "two-terms"),
        "of-the-margin": Road(by(of_the_margin)),
    },
    batch_axis=lambda params: None, invariants=INVARIANTS,
    smooth=(*SMOOTH, "reg-0.1-scale-1"),
)  # fmt: skip
