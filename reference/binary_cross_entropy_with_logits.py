"""Binary cross-entropy from logits, with hard or soft targets and a weight of the positive ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gradparity.cases import Draw, in_layouts, subnormal
from gradparity.op import SMOOTH, Array, Arrays, Case, Invariant, Op, Road
from gradparity.reference.cross_entropy import OP as CROSS_ENTROPY
from gradparity.reference.cross_entropy import rows_apart
from gradparity.reference.invariants import nonnegative, pair, turned
from gradparity.reference.log_sigmoid import OP as LOG_SIGMOID
from gradparity.reference.log_sigmoid import log_sigmoid, log_sigmoid_by_output, vjp_from_output
from gradparity.reference.reduction import reduced, rows_of, spread_back
from gradparity.reference.sigmoid import sigmoid

Fn = Callable[..., Any]


def binary_cross_entropy_with_logits(
    x: Array, t: Array, pos_weight: float | None = None, reduction: str = "none"
) -> Array:
    """loss = -(P t log sigmoid(x) + (1 - t) log(1 - sigmoid(x))), P = pos_weight, or 1.  x: [n], t: [n] in [0, 1] ->
    loss: [n], or its sum or mean, a scalar; the mean of nothing is NaN.

    Without a weight written max(x, 0) - x t + log1p(exp(-|x|)), with one (1 - t) x - (1 + (P - 1) t) log sigmoid(x).
    The mean divides by n, whatever the weight. An infinite logit may give NaN: 0 times infinity is in the formula.
    Source: Bishop (2006), eq. (4.90), of a logit.
    """
    if pos_weight is None:
        return reduced(np.maximum(x, 0) - x * t + np.log1p(np.exp(np.minimum(x, -x))), reduction)
    return one_minus_target(x, t, pos_weight, reduction)


def one_minus_target(x: Array, t: Array, pos_weight: float | None = None, reduction: str = "none") -> Array:
    """(1 - t) x - (1 + (P - 1) t) log sigmoid(x): loses |x| u where t = 0 and x << 0."""
    ls = log_sigmoid(x)
    return reduced((1 - t) * x - (ls if pos_weight is None else (1 + (pos_weight - 1) * t) * ls), reduction)


def two_terms(x: Array, t: Array, pos_weight: float | None = None, reduction: str = "none") -> Array:
    """-P t log sigmoid(x) - (1 - t) log sigmoid(-x)."""
    up, down = log_sigmoid_by_output(x), log_sigmoid_by_output(-x)
    return reduced(-(weighted(t, pos_weight) * up) - (1 - t) * down, reduction)


def weighted(t: Array, pos_weight: float | None) -> Array:
    return t if pos_weight is None else pos_weight * t


def binary_cross_entropy_with_logits_vjp(
    g: Array, y: Array, x: Array, t: Array, pos_weight: float | None = None, reduction: str = "none"
) -> Arrays:
    """For x sigmoid(x) - t, where x >= 0 written (1 - t) - sigmoid(-x); for t -x."""
    if pos_weight is not None:
        return one_minus_target_vjp(g, y, x, t, pos_weight, reduction)
    g, s = spread_back(g, reduction, rows_of(x)), sigmoid(np.minimum(x, -x))
    return {"x": g * np.where(x >= 0, (1 - t) - s, s - t), "t": g * -x}


def one_minus_target_vjp(
    g: Array, y: Array, x: Array, t: Array, pos_weight: float | None = None, reduction: str = "none"
) -> Arrays:
    """(1 - t) - (1 + (P - 1) t) sigmoid(-x) for x, -x - (P - 1) log sigmoid(x) for t: the first cancels where t = 0 and
    x << 0."""
    g, p = spread_back(g, reduction, rows_of(x)), 1 if pos_weight is None else pos_weight
    dx = g * (1 - t) - g * (1 + (p - 1) * t) * sigmoid(-x)
    return {"x": dx, "t": g * -x - g * (p - 1) * log_sigmoid(x)}


def sigmoid_minus_target(
    g: Array, y: Array, x: Array, t: Array, pos_weight: float | None = None, reduction: str = "none"
) -> Arrays:
    """(P t + 1 - t) sigmoid(x) - P t for x, log sigmoid(-x) - P log sigmoid(x) for t: the first cancels where t = 1 and
    x >> 0."""
    g = spread_back(g, reduction, rows_of(x))
    if pos_weight is None:
        return {"x": g * (sigmoid(x) - t), "t": g * -x}
    p = pos_weight * t
    dt = log_sigmoid(-x) - pos_weight * log_sigmoid(x)
    return {"x": g * ((p + 1 - t) * sigmoid(x) - p), "t": g * dt}


def sigmoid_and_target(
    g: Array, y: Array, x: Array, t: Array, pos_weight: float | None = None, reduction: str = "none"
) -> Arrays:
    """g sigmoid(x) - g t, as differentiating max(x, 0) - x t + log1p(exp(-|x|)) term by term gives it."""
    if pos_weight is not None:
        return one_minus_target_vjp(g, y, x, t, pos_weight, reduction)
    g = spread_back(g, reduction, rows_of(x))
    return {"x": g * sigmoid(x) - g * t, "t": g * -x}


def vjp_of_two_terms(
    g: Array, y: Array, x: Array, t: Array, pos_weight: float | None = None, reduction: str = "none"
) -> Arrays:
    """The gradients of two log_sigmoids from their outputs; for t log sigmoid(-x) - P log sigmoid(x)."""
    g = spread_back(g, reduction, rows_of(x))
    up, down = log_sigmoid_by_output(x), log_sigmoid_by_output(-x)
    dx = vjp_from_output(g * (1 - t), down, -x)["x"] - vjp_from_output(g * weighted(t, pos_weight), up, x)["x"]
    return {"x": dx, "t": g * down - g * (up if pos_weight is None else pos_weight * up)}


def log_of_a_sum(x: Array, t: Array, pos_weight: float | None = None, reduction: str = "none") -> Array:
    """(1 - t) x + (1 + (P - 1) t) (m + log(exp(-m) + exp(-x - m))), m = max(-x, 0): loses u where t = 1 and x >> 0, NaN
    where x is -inf."""
    m = np.maximum(-x, 0)
    log = np.log(np.exp(-m) + np.exp(-x - m))
    if pos_weight is None:
        return reduced((1 - t) * x + m + log, reduction)
    return reduced((1 - t) * x + (1 + (pos_weight - 1) * t) * (m + log), reduction)


def log_of_a_sum_vjp(
    g: Array, y: Array, x: Array, t: Array, pos_weight: float | None = None, reduction: str = "none"
) -> Arrays:
    """Term by term, that of m too, which is 0 but for rounding: (1 - t) - (1 + (P - 1) t) exp(-x - m) / sum for x; for
    t -x + (P - 1) (m + log sum)."""
    g, m = spread_back(g, reduction, rows_of(x)), np.maximum(-x, 0)
    a, b = np.exp(-m), np.exp(-x - m)
    w = g if pos_weight is None else g * (1 + (pos_weight - 1) * t)
    s = w / (a + b)
    dx = g * (1 - t) - s * b - np.where(x > 0, 0, w - s * a - s * b)
    dt = g * -x if pos_weight is None else g * -x + g * (m + np.log(a + b)) * (pos_weight - 1)
    return {"x": dx, "t": dt}


def of_the_margin(x: Array, t: Array, pos_weight: float | None = None, reduction: str = "none") -> Array:
    """max(-z, 0) + log1p(exp(-|z|)), z = x where t = 1 and -x where t = 0: of hard targets alone, and of any logit."""
    z = np.where(t > 0, x, -x)
    return reduced(np.maximum(-z, 0) + np.log1p(np.exp(np.minimum(z, -z))), reduction)


def of_the_margin_vjp(
    g: Array, y: Array, x: Array, t: Array, pos_weight: float | None = None, reduction: str = "none"
) -> Arrays:  # fmt: skip
    """That of log_sigmoid from its output, for the logits alone."""
    z = np.where(t > 0, x, -x)
    dz = vjp_from_output(-spread_back(g, reduction, rows_of(x)), log_sigmoid_by_output(z), z)["x"]
    return {"x": np.where(t > 0, dz, -dz)}


ROADS = {
    "one-minus-target": Road(one_minus_target, one_minus_target_vjp),
    "sigmoid-minus-target": Road(one_minus_target, sigmoid_minus_target),
    "sigmoid-and-target": Road(vjp=sigmoid_and_target),
    "two-terms": Road(two_terms, vjp_of_two_terms),
    "log-of-a-sum": Road(log_of_a_sum, log_of_a_sum_vjp),
}


def roads_of(by: Callable[[Fn], Fn], vjp_by: Callable[[Fn, Fn], Fn], *names: str) -> dict[str, Road]:
    """The roads of what is made of this loss: by(loss) is its forward, vjp_by(loss, gradient) its gradient."""
    pairs = {name: (ROADS[name].forward or binary_cross_entropy_with_logits, ROADS[name].vjp) for name in names}
    return {name: Road(by(loss), vjp_by(loss, gradient)) for name, (loss, gradient) in pairs.items() if gradient}


def hard(draw: Draw, shape: tuple[int, ...]) -> Array:
    return draw.quantised(draw.integers("t", shape, 2))


def soft(draw: Draw, shape: tuple[int, ...]) -> Array:
    """Between 0 and 1, of as many bits as the dtype has."""
    return draw.quantised(draw.integers("t", shape, 2**30) / 2**30)


def quarters(draw: Draw, shape: tuple[int, ...]) -> Array:
    """Of which 1 - t is exact."""
    return draw.quantised(draw.integers("t", shape, 5) / 4)


def random(scale: float, target: Any = hard, count: int = 64) -> Any:
    """No logit is 0, where an implementation may be wrong and nowhere else: that has a case of its own. None is so
    large that g x, the gradient for the targets, may overflow in float16: |g| is below 4."""

    def arrays(draw: Draw) -> Arrays:
        x = draw.quantised(np.clip(draw.normal("x", (count,), scale).astype(float), -(2**14), 2**14))
        return {"x": np.where(x == 0, draw.full((), 1.0), x), "t": target(draw, (count,))}

    return arrays


def line(stop: float, target: Any) -> Any:
    """Evenly spaced logits from -stop to stop."""

    def arrays(draw: Draw) -> Arrays:
        x = draw.quantised(stop * (2 * np.arange(64) / 63 - 1))
        return {"x": x, "t": target(draw, x.shape)}

    return arrays


def met(missed: bool) -> Any:
    """The target that a confident logit of line(...) is right about, or wrong."""
    return lambda draw, shape: draw.quantised((np.arange(*shape) >= shape[0] // 2) ^ missed)


def every(*xs: float) -> Any:
    """Each of these logits with the targets 0, 1 and 1/4."""
    return lambda draw: {
        "x": draw.quantised(np.repeat(xs, 3)), "t": draw.quantised(np.tile([0.0, 1.0, 0.25], len(xs)))
    }  # fmt: skip


def large_losses(draw: Draw) -> Arrays:
    """20,000 each: their sum is beyond the largest float16, their mean is not."""
    return {"x": draw.full((8,), -20000.0), "t": draw.full((8,), 1.0)}


def plane(target: Any) -> Any:
    return lambda draw: {"x": draw.normal("x", (8, 9), 3.0), "t": target(draw, (8, 9))}


def subnormals(target: Any) -> Any:
    return lambda draw: {"x": subnormal(draw, (16,)), "t": target(draw, (16,))}


INPUTS = {
    **{f"scale-{s:g}": random(s) for s in (0.001, 1, 10, 100, 1000, 10000)},
    **{f"soft-scale-{s:g}": random(s, soft) for s in (0.001, 1, 10, 100, 1000, 10000)},
    **{f"quarters-scale-{s:g}": random(s, quarters) for s in (1, 10)},
    "large-1000": random(5.0, soft, 1000),
    **{f"met-line-{stop}": line(stop, met(missed=False)) for stop in (8, 40, 120, 800)},
    **{f"missed-line-{stop}": line(stop, met(missed=True)) for stop in (8, 120)},
    "zero": every(0.0, -0.0),
    "one": random(1.0, soft, 1),
    "zero-rows": random(1.0, hard, 0),
    "infinities": every(np.inf, -np.inf),
    "nan": every(np.nan, 1.0),
    "subnormal": subnormals(soft),
}
WEIGHTED = ("scale-1", "soft-scale-10", "met-line-40", "missed-line-120")
REDUCED = ("scale-1", "soft-scale-10", "one", "zero-rows", "large-1000")


def case(name: str, make: Any, pos_weight: float | None = None, reduction: str = "none", **more: Any) -> Case:
    return Case(name, make, {"pos_weight": pos_weight, "reduction": reduction}, **more)


CASES = (
    *(case(name, make) for name, make in INPUTS.items()),
    *(case(f"pos-weight-{p:g}-{name}", INPUTS[name], p) for p in (3.0, 0.3) for name in WEIGHTED),
    *(case(f"{how}-{name}", INPUTS[name], reduction=how) for how in ("sum", "mean") for name in REDUCED),
    *(case(f"{how}-large-losses", large_losses, reduction=how) for how in ("sum", "mean")),
    *(case(f"{how}-pos-weight-3", INPUTS["soft-scale-1"], 3.0, how) for how in ("sum", "mean")),
    *in_layouts(case("contiguous", plane(soft))),
)

# Where invariants are looked at.
FINITE = ("scale-1", "scale-10", "met-line-120", "missed-line-120")


def permutation(f: Any, x: Array, t: Array, **params: Any) -> Array:
    """f(P x, P t) = P f(x, t)."""
    return turned(f(x=turned(x), t=turned(t), **params)) - f(x=x, t=t, **params)


def mirrored(f: Any, x: Array, t: Array, **params: Any) -> Array:
    """f(-x, 1 - t) = f(x, t): which class is called positive is a matter of names."""
    return f(x=-x, t=1 - t, **params) - f(x=x, t=t, **params)


def both_targets(f: Any, x: Array, t: Array, **params: Any) -> Array:
    """f(x, 0) - f(x, 1) = x."""
    return f(x=x, t=0 * t, **params) - f(x=x, t=0 * t + 1, **params) - x


def linear_in_target(f: Any, x: Array, t: Array, **params: Any) -> Array:
    """f(x, t) = f(x, 0) - x t."""
    return f(x=x, t=t, **params) - f(x=x, t=0 * t, **params) + x * t


def weighs_positives(f: Any, x: Array, t: Array, pos_weight: float, reduction: str) -> Array:
    """f(x, t) is P times what it is without a weight where t = 1, the same where t = 0."""
    plain = f(x=x, t=t, pos_weight=None, reduction=reduction)
    return f(x=x, t=t, pos_weight=pos_weight, reduction=reduction) - np.where(t == 1, pos_weight, 1) * plain


def two_classes(f: Any, cross_entropy: Any, x: Array, t: Array, **params: Any) -> Array:
    """f(x, 0) = cross_entropy([x, 0], 1)."""
    return f(x=x, t=0 * t, **params) - cross_entropy(x=pair(x), t=np.ones(len(x), np.int64), reduction="none")


def negative_log_sigmoid(f: Any, log_sigmoid: Any, x: Array, t: Array, **params: Any) -> Array:
    """f(x, 1) = -log_sigmoid(x)."""
    return f(x=x, t=0 * t + 1, **params) + log_sigmoid(x=x)


def reduction_of_rows(f: Any, x: Array, t: Array, pos_weight: float | None, reduction: str) -> Array:
    """The sum is the sum of the losses, the mean that by their number, whatever the weight."""
    rows = f(x=x, t=t, pos_weight=pos_weight, reduction="none")
    return f(x=x, t=t, pos_weight=pos_weight, reduction=reduction) - reduced(rows, reduction)


def gradient_of_both_targets(f: Any, g: Array, x: Array, t: Array, **params: Any) -> Array:
    """f'(x, 0) - f'(x, 1) = 1."""
    return f.vjp(g, x=x, t=0 * t, **params)["x"] - f.vjp(g, x=x, t=0 * t + 1, **params)["x"] - g


def gradient_for_targets(f: Any, g: Array, x: Array, t: Array, **params: Any) -> Array:
    """The loss is linear in the target."""
    return f.vjp(g, x=x, t=t, **params)["t"] + g * x


INVARIANTS = (
    Invariant("nonnegative", nonnegative, FINITE),
    Invariant("permutation", permutation, FINITE),
    Invariant("mirrored", mirrored, (*FINITE, "quarters-scale-1", "quarters-scale-10")),
    Invariant("both-targets", both_targets, FINITE),
    Invariant("linear-in-target", linear_in_target, ("soft-scale-1", "soft-scale-10")),
    Invariant("weighs-positives", weighs_positives, ("pos-weight-3-scale-1", "pos-weight-0.3-met-line-40")),
    Invariant("two-classes", two_classes, FINITE, other=CROSS_ENTROPY),
    Invariant("negative-log-sigmoid", negative_log_sigmoid, FINITE, other=LOG_SIGMOID),
    Invariant("reduction-of-rows", reduction_of_rows, ("sum-scale-1", "mean-scale-1", "mean-pos-weight-3")),
    Invariant("gradient-of-both-targets", gradient_of_both_targets, FINITE, "vjp"),
    Invariant("gradient-for-targets", gradient_for_targets, ("scale-1", "soft-scale-10"), "vjp"),
)

OP = Op(
    "binary_cross_entropy_with_logits", binary_cross_entropy_with_logits, binary_cross_entropy_with_logits_vjp, CASES,
    wrt=("x", "t"), roads=ROADS, batch_axis=rows_apart, invariants=INVARIANTS, counted="large-1000",
    smooth=(*SMOOTH, "soft-scale-10", "pos-weight-3-scale-1"),
)  # fmt: skip
