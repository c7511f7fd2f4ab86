"""The linear softmax classifier, which is multinomial logistic regression: scores, cross-entropy and a penalty."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gradparity.cases import Draw, coarse, in_layouts
from gradparity.op import SMOOTH, Array, Arrays, Case, Convention, Invariant, Op, Road
from gradparity.reference.cross_entropy import OP as CROSS_ENTROPY
from gradparity.reference.cross_entropy import cross_entropy, cross_entropy_vjp, vjp_by_quotient
from gradparity.reference.digits import digits_images, digits_labels
from gradparity.reference.invariants import turned

PENALTY = Convention((1.0, 0.5), 1.0, "what reg times the sum of the squared weights is multiplied by")


def softmax_regression(x: Array, w: Array, t: Array, reg: float = 0.0, penalty: float = 1.0) -> Array:
    """loss = mean_i cross_entropy(x_i w, t_i) + penalty reg sum w^2.  x: [N, D] features, w: [D, C] weights,
    t: [N] in 0..C-1 -> loss: a scalar, in nats but for the penalty; NaN for no rows.

    Source: Hastie, Tibshirani & Friedman, The Elements of Statistical Learning (2009), sections 4.4 and 18.3.2.
    """
    return cross_entropy(x @ w, t, "mean") + penalised(w, reg, penalty)


def penalised(w: Array, reg: Array, penalty: float) -> Array:
    """penalty reg sum w^2."""
    return penalty * reg * np.sum(np.square(w), axis=tuple(range(w.ndim)))


def penalised_vjp(g: Array, w: Array, reg: Array, penalty: float) -> Array:
    return 2 * (penalty * (g * reg) * w)


def by(gradient: Callable[..., Arrays]) -> Callable[..., Arrays]:
    """The gradient from that of the cross-entropy for the scores."""

    def softmax_regression_vjp(
        g: Array, y: Array, x: Array, w: Array, t: Array, reg: float = 0.0, penalty: float = 1.0
    ) -> Arrays:
        """s w^T for x, x^T s + 2 penalty reg w for w; s = (p - onehot(t)) / N, the gradient for the scores."""
        s = gradient(g, y, x @ w, t, "mean")["x"]
        return {"x": s @ np.moveaxis(w, 0, 1), "w": np.moveaxis(x, 0, 1) @ s + penalised_vjp(g, w, reg, penalty)}

    return softmax_regression_vjp


softmax_regression_vjp = by(cross_entropy_vjp)


def random(scale: float = 1.0, rows: int = 10, features: int = 5, classes: int = 3) -> Any:
    """Features of deviation `scale`, weights of deviation 1."""
    return lambda draw: {
        "x": draw.normal("x", (rows, features), scale), "w": draw.normal("w", (features, classes)),
        "t": draw.integers("t", (rows,), classes),
    }  # fmt: skip


def drawn_coarsely(draw: Draw) -> Arrays:
    return {"x": coarse(draw, 10, 5), "w": draw.quantised(draw.integers("w", (5, 3), 16, -15) / 8),
            "t": draw.integers("t", (10,), 3)}  # fmt: skip


def identity(draw: Draw) -> Arrays:
    """The features are the scores."""
    return {"x": draw.normal("x", (8, 10), 3.0), "w": draw.quantised(np.eye(10)), "t": draw.integers("t", (8,), 10)}


def separated(draw: Draw) -> Arrays:
    """Every row is right by a large margin: the gradient is small against its terms."""
    t = draw.integers("t", (10,), 3)
    return {"x": draw.quantised(20.0 * (np.arange(3) == t[:, None])), "w": draw.quantised(np.eye(3)), "t": t}


def large_scores(draw: Draw) -> Arrays:
    """One feature and a power of two for each class: scores of 15,360, beyond what any format exponentiates, and none
    is rounded. Two rows: the sum of their losses is still a float16."""
    return {"x": draw.quantised([[7168.0], [-7680.0]]), "w": draw.quantised([[-1.0, 0.5, 2.0]]),
            "t": draw.integers("t", (2,), 3)}  # fmt: skip


def special(value: float) -> Any:
    def arrays(draw: Draw) -> Arrays:
        found: Arrays = random()(draw)
        found["x"][3, 2] = value
        return found

    return arrays


def course_exercise(draw: Draw) -> Arrays:
    """Frozen: torch.manual_seed(42), then randn(2, 3), randn(10, 2) and randint(0, 3, (10,)), of torch 2.13."""
    return {"x": draw.quantised(EXERCISE_X), "w": draw.quantised(EXERCISE_W), "t": np.array(EXERCISE_T)}


EXERCISE_W = [
    [0.33669036626815796, 0.12880940735340118, 0.23446236550807953],
    [0.23033303022384644, -1.1228563785552979, -0.18632829189300537],
]
EXERCISE_X = [
    [-0.24825750291347504, -1.2082147598266602], [-0.4776674509048462, 0.5201311707496643],
    [-1.3846737146377563, -0.8712361454963684], [-0.223365917801857, 1.7173614501953125],
    [0.3188803195953369, -0.42451897263526917], [0.3057209253311157, -0.7745925188064575],
    [-1.5575724840164185, 0.9956361055374146], [-0.8797858357429504, -0.6011420488357544],
    [-1.2741512060165405, 2.1227850914001465], [-1.234653115272522, -0.4879138767719269],
]  # fmt: skip
EXERCISE_T = [0, 2, 0, 0, 1, 0, 1, 1, 1, 2]


def of_digits(draw: Draw) -> Arrays:
    """300 handwritten digits of 64 pixels in [0, 1]."""
    return {"x": digits_images(draw, 300), "w": draw.normal("w", (64, 10), 0.5), "t": digits_labels()[:300]}


def case(name: str, make: Any, reg: float = 0.0, **more: Any) -> Case:
    return Case(name, make, {"reg": reg}, **more)


CASES = (
    *(case(f"scale-{s:g}", random(s)) for s in (0.001, 0.1, 1, 10)),
    *(case(f"reg-{reg:g}-scale-{s:g}", random(s), reg) for reg in (0.1, 3) for s in (0.001, 1, 10)),
    case("large-scores", large_scores),
    case("coarse", drawn_coarsely),
    case("identity", identity),
    case("separated", separated),
    case("course-exercise", course_exercise),
    case("reg-0.1-course-exercise", course_exercise, 0.1),
    case("one-row", random(rows=1)),
    case("zero-rows", random(rows=0), 0.1),
    case("one-feature", random(features=1), 0.1),
    *(case(f"classes-{c}", random(classes=c), 0.1) for c in (1, 2, 17)),
    case("features-300", random(features=300), 0.1),
    case("digits", of_digits),
    case("reg-0.1-digits", of_digits, 0.1),
    *(case(name, special(value), 0.1) for name, value in (("nan", np.nan), ("plus-inf", np.inf))),
    *in_layouts(case("contiguous", random(2.0, 9), 0.1)),
)

# Where invariants are looked at.
FINITE = ("scale-1", "scale-10", "coarse", "large-scores", "separated", "course-exercise")


def permutation(f: Any, x: Array, w: Array, t: Array, reg: float) -> Array:
    """The order of the rows, and that of the features, does not matter."""
    return f(x=turned(x), w=w[::-1], t=t[::-1], reg=reg) - f(x=x, w=w, t=t, reg=reg)


def classes_renamed(f: Any, x: Array, w: Array, t: Array, reg: float) -> Array:
    return f(x=x, w=w[:, ::-1], t=w.shape[1] - 1 - t, reg=reg) - f(x=x, w=w, t=t, reg=reg)


def shift(f: Any, x: Array, w: Array, t: Array, reg: float) -> Array:
    """The same number added to all classes of a feature changes no loss."""
    return f(x=x, w=w + 4, t=t, reg=reg) - f(x=x, w=w, t=t, reg=reg)


def of_scores(f: Any, cross_entropy: Any, x: Array, w: Array, t: Array, reg: float) -> Array:
    """With the identity for weights the features are the scores."""
    return f(x=x, w=w, t=t, reg=reg) - cross_entropy(x=x, t=t, reduction="mean")


def linear_in_reg(f: Any, x: Array, w: Array, t: Array, reg: float) -> Array:
    """The penalty is added, and proportional to reg."""
    plain = f(x=x, w=w, t=t, reg=0.0)
    return (f(x=x, w=w, t=t, reg=2 * reg) - plain) - 2 * (f(x=x, w=w, t=t, reg=reg) - plain)


def gradient_sums_to_zero(f: Any, g: Array, x: Array, w: Array, t: Array, reg: float) -> Array:
    """For the weights of each feature, over the classes: the same number added to all of them changes nothing."""
    return np.sum(f.vjp(g, x=x, w=w, t=t, reg=reg)["w"], axis=-1)


def euler(f: Any, g: Array, x: Array, w: Array, t: Array, reg: float) -> Array:
    """Without a penalty the loss depends on x w alone: sum x dx = sum w dw."""
    d = f.vjp(g, x=x, w=w, t=t, reg=reg)
    return np.sum(x * d["x"], axis=(0, 1)) - np.sum(w * d["w"], axis=(0, 1))


INVARIANTS = (
    Invariant("permutation", permutation, (*FINITE, "reg-0.1-scale-1")),
    Invariant("classes-renamed", classes_renamed, (*FINITE, "reg-0.1-scale-1")),
    Invariant("shift", shift, ("coarse",)),
    Invariant("of-scores", of_scores, ("identity",), other=CROSS_ENTROPY),
    Invariant("penalised", linear_in_reg, ("reg-3-scale-1", "reg-3-scale-0.001")),
    Invariant("gradient-sums-to-zero", gradient_sums_to_zero, FINITE, "vjp"),
    Invariant("euler", euler, FINITE, "vjp"),
)

OP = Op(
    "softmax_regression", softmax_regression, softmax_regression_vjp, CASES, wrt=("x", "w"),
    conventions={"penalty": PENALTY}, roads={"quotient": Road(vjp=by(vjp_by_quotient))},
    batch_axis=lambda params: None, invariants=INVARIANTS,
    smooth=(*SMOOTH, "reg-0.1-scale-1"),
)  # fmt: skip
