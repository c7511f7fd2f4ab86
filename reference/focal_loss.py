"""The focal loss: binary cross-entropy, the less of it the more probable the target is."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradparity.cases import Draw, in_layouts
from gradparity.op import SMOOTH, Array, Arrays, Case, Invariant, Op, Road
from gradparity.reference.binary_cross_entropy_with_logits import INPUTS as WITH_LOGITS
from gradparity.reference.binary_cross_entropy_with_logits import OP as BINARY_CROSS_ENTROPY
from gradparity.reference.binary_cross_entropy_with_logits import (
    Fn,
    hard,
    permutation,
    plane,
    random,
    roads_of,
    subnormals,
    two_terms,
    vjp_of_two_terms,
)
from gradparity.reference.cross_entropy import reduction_of_rows, rows_apart
from gradparity.reference.invariants import nonnegative
from gradparity.reference.log_sigmoid import log_sigmoid, vjp_from_output
from gradparity.reference.reduction import reduced, rows_of, spread_back
from gradparity.reference.sigmoid import sigmoid, sigmoid_vjp


def focal_loss(x: Array, t: Array, alpha: Any = None, gamma: int = 2, reduction: str = "none") -> Array:
    """loss = -a (1 - p)^gamma log p; p = sigmoid(x) and a = alpha where t = 1, sigmoid(-x) and 1 - alpha where t = 0; a
    is 1 where there is no alpha.  x: [n], t: [n] in {0, 1}, gamma: 0, 1 or 2 -> loss: [n], or its sum or mean.

    1 - p is written sigmoid(-x), or sigmoid(x).
    Source: Lin, Goyal, Girshick, He & Dollar, Focal loss for dense object detection (2017), eq. (5).
    """
    z = towards(x, t)
    return reduced(balanced(modulated(-log_sigmoid(z), sigmoid(-z), gamma), t, alpha), reduction)


def focal_loss_vjp(
    g: Array, y: Array, x: Array, t: Array, alpha: Any = None, gamma: int = 2, reduction: str = "none"
) -> Arrays:
    """a (1 - p)^gamma (gamma p log p - (1 - p)), negated where t = 0: nothing cancels."""
    c, z = balanced(spread_back(g, reduction, rows_of(x)), t, alpha), towards(x, t)
    q = sigmoid(-z)
    return {"x": towards(modulated(c, q, gamma) * (gamma * (sigmoid(z) * log_sigmoid(z)) - q), t)}


def towards(x: Array, t: Array) -> Array:
    """x, or -x for the targets 0."""
    return np.where(t > 0, x, -x)


def modulated(y: Array, q: Array, gamma: int) -> Array:
    """y q^gamma."""
    return y if gamma == 0 else y * (q if gamma == 1 else np.square(q))


def balanced(y: Array, t: Array, alpha: Any) -> Array:
    """alpha y, or (1 - alpha) y for the targets 0."""
    return y if alpha is None else np.where(t > 0, alpha, 1 - alpha) * y


def complement(p: Array, t: Array) -> Array:
    """1 - p_t from p = sigmoid(x): loses u to the subtraction, and for the targets 0 to two."""
    return 1 - np.where(t > 0, p, 1 - p)


def by(loss: Fn) -> Fn:
    """A binary cross-entropy from the logit, and 1 - p from the probability."""

    def from_the_probability(
        x: Array, t: Array, alpha: Any = None, gamma: int = 2, reduction: str = "none"
    ) -> Array:  # fmt: skip
        return reduced(balanced(modulated(loss(x, t), complement(sigmoid(x), t), gamma), t, alpha), reduction)

    return from_the_probability


def vjp_by(loss: Fn, loss_vjp: Fn) -> Fn:
    """Its gradient, factor by factor."""

    def vjp(
        g: Array, y: Array, x: Array, t: Array, alpha: Any = None, gamma: int = 2, reduction: str = "none"
    ) -> Arrays:  # fmt: skip
        c, bce, p = balanced(spread_back(g, reduction, rows_of(x)), t, alpha), loss(x, t), sigmoid(x)
        q = complement(p, t)
        dx = loss_vjp(modulated(c, q, gamma), bce, x, t)["x"]
        if gamma == 0:
            return {"x": dx}
        pull = gamma * modulated(c * bce, q, gamma - 1)
        return {"x": dx - sigmoid_vjp(towards(pull, t), p, x)["x"]}

    return vjp


def in_log_space(x: Array, t: Array, alpha: Any = None, gamma: int = 2, reduction: str = "none") -> Array:
    """The factor as exp(gamma log_sigmoid(-x)), or of x: loses gamma |x| u."""
    factor = np.exp(gamma * log_sigmoid(-towards(x, t)))
    return reduced(balanced(two_terms(x, t) * factor, t, alpha), reduction)


def vjp_in_log_space(
    g: Array, y: Array, x: Array, t: Array, alpha: Any = None, gamma: int = 2, reduction: str = "none"
) -> Arrays:
    """That of the factor is gamma times it times that of log_sigmoid, from its output."""
    c, bce = balanced(spread_back(g, reduction, rows_of(x)), t, alpha), two_terms(x, t)
    away = -towards(x, t)
    log_q = log_sigmoid(away)
    factor = np.exp(gamma * log_q)
    pull = vjp_from_output(gamma * (c * bce * factor), log_q, away)["x"]
    return {"x": vjp_of_two_terms(c * factor, bce, x, t)["x"] - towards(pull, t)}


ROADS = {
    **roads_of(by, vjp_by, "sigmoid-minus-target", "sigmoid-and-target", "two-terms", "log-of-a-sum"),
    "in-log-space": Road(in_log_space, vjp_in_log_space),
}


def every(*xs: float) -> Any:
    """Each of these logits with both targets."""
    return lambda draw: {"x": draw.quantised(np.repeat(xs, 2)), "t": draw.quantised(np.tile([0.0, 1.0], len(xs)))}


def large_losses(draw: Draw) -> Arrays:
    """20,000 each: their sum is beyond the largest float16, their mean is not."""
    return {"x": draw.full((8,), -20000.0), "t": draw.full((8,), 1.0)}


SHARED = ("scale-0.001", "scale-1", "scale-10", "scale-100", "scale-1000", "scale-10000", "met-line-8", "met-line-40",
          "met-line-120", "met-line-800", "missed-line-8", "missed-line-120", "zero-rows")  # fmt: skip
INPUTS = {
    **{name: WITH_LOGITS[name] for name in SHARED},
    "large-1000": random(5.0, hard, 1000),
    "one": random(1.0, hard, 1),
    "zero": every(0.0, -0.0),
    "nan": every(np.nan, 1.0),
    "subnormal": subnormals(hard),
}
TYPICAL = ("scale-1", "scale-10", "met-line-40", "missed-line-120")
GAMMAS = ("scale-1", "scale-1000", "met-line-40", "missed-line-120")


def case(
    name: str, make: Any, gamma: int = 2, alpha: float | None = None, reduction: str = "none", **more: Any
) -> Case:
    return Case(name, make, {"alpha": alpha, "gamma": gamma, "reduction": reduction}, **more)


CASES = (
    *(case(name, make) for name, make in INPUTS.items()),
    *(case(f"gamma-{k}-{name}", INPUTS[name], k) for k in (0, 1) for name in GAMMAS),
    *(case(f"alpha-{a:g}-{name}", INPUTS[name], 2, a) for a in (0.25, 0.3) for name in TYPICAL),
    *(case(f"gamma-1-alpha-0.3-{name}", INPUTS[name], 1, 0.3) for name in TYPICAL),
    *(case(f"{how}-{name}", INPUTS[name], reduction=how) for how in ("sum", "mean")
      for name in ("scale-1", "scale-10", "one", "zero-rows", "large-1000")),
    case("mean-large-losses", large_losses, reduction="mean"),
    case("mean-alpha-0.3", INPUTS["scale-1"], 2, 0.3, "mean"),
    *in_layouts(case("contiguous", plane(hard))),
)  # fmt: skip

# Where invariants are looked at.
FINITE = ("scale-1", "scale-10", "met-line-40", "missed-line-120", "gamma-1-scale-1")


def mirrored(f: Any, x: Array, t: Array, **params: Any) -> Array:
    """f(-x, 1 - t) = f(x, t), without an alpha."""
    return f(x=-x, t=1 - t, **params) - f(x=x, t=t, **params)


def mirrored_gradient(f: Any, g: Array, x: Array, t: Array, **params: Any) -> Array:
    """f'(-x, 1 - t) = -f'(x, t)."""
    return f.vjp(g, x=-x, t=1 - t, **params)["x"] + f.vjp(g, x=x, t=t, **params)["x"]


def unfocused(f: Any, binary_cross_entropy: Any, x: Array, t: Array, gamma: int, **params: Any) -> Array:
    """With gamma = 0 it is the binary cross-entropy."""
    return f(x=x, t=t, gamma=0, **params) - binary_cross_entropy(x=x, t=t, pos_weight=None, reduction="none")


def geometric(f: Any, gamma: int, **arguments: Any) -> Array:
    """f(gamma = 1) is the geometric mean of f(gamma = 0) and f(gamma = 2)."""
    return f(gamma=0, **arguments) * f(gamma=2, **arguments) - np.square(f(gamma=1, **arguments))


def weighs_targets(f: Any, x: Array, t: Array, alpha: float, **params: Any) -> Array:
    """alpha times what it is without where t = 1, 1 - alpha times that where t = 0."""
    plain = f(x=x, t=t, alpha=None, **params)
    return f(x=x, t=t, alpha=alpha, **params) - np.where(t > 0, alpha * plain, plain - alpha * plain)


INVARIANTS = (
    Invariant("nonnegative", nonnegative, FINITE),
    Invariant("permutation", permutation, FINITE),
    Invariant("mirrored", mirrored, FINITE),
    Invariant("unfocused", unfocused, FINITE, other=BINARY_CROSS_ENTROPY),
    Invariant("geometric", geometric, FINITE),
    Invariant("weighs-targets", weighs_targets, ("alpha-0.25-scale-1", "alpha-0.3-met-line-40")),
    Invariant("reduction-of-rows", reduction_of_rows, ("sum-scale-1", "mean-scale-1", "mean-alpha-0.3")),
    Invariant("mirrored-gradient", mirrored_gradient, FINITE, "vjp"),
)

OP = Op(
    "focal_loss", focal_loss, focal_loss_vjp, CASES, roads=ROADS, batch_axis=rows_apart, invariants=INVARIANTS,
    counted="large-1000", smooth=(*SMOOTH, "gamma-0-scale-1", "gamma-1-alpha-0.3-scale-1"),
)  # fmt: skip
