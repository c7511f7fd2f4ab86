"""Binary cross-entropy of probabilities, with hard or soft targets."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradparity.arithmetic import by_its_gradient
from gradparity.cases import Draw, in_layouts
from gradparity.op import FORMATS, Array, Arrays, Case, Convention, Invariant, Op, Road
from gradparity.reference.binary_cross_entropy_with_logits import hard, permutation, quarters, soft
from gradparity.reference.cross_entropy import rows_apart
from gradparity.reference.invariants import nonnegative, pair_with
from gradparity.reference.negative_log_likelihood import CONVENTIONS as OF_PROBABILITIES
from gradparity.reference.negative_log_likelihood import OP as NEGATIVE_LOG_LIKELIHOOD
from gradparity.reference.negative_log_likelihood import clipped, powers, steps, where_inside
from gradparity.reference.reduction import reduced, rows_of, spread_back

EPSILON = 9.999999960041972e-13  # 1e-12 as float32 holds it: in torch it is a float for every dtype, float64 too
CONVENTIONS = {
    "floor": OF_PROBABILITIES["floor"],
    "ceiling": OF_PROBABILITIES["ceiling"],
    "at_clip": OF_PROBABILITIES["at_clip"],
    "least_log": Convention((-np.inf, -100.0), -np.inf, "what a lower logarithm is taken for, in the value alone"),
    "least_variance": Convention((0.0, EPSILON), 0.0, "what the gradient divides by where x (1 - x) is less"),
}


def binary_cross_entropy(
    x: Array, t: Array, reduction: str = "none", floor: float = -np.inf, ceiling: float = np.inf,
    at_clip: float = 1.0, least_log: float = -np.inf, least_variance: float = 0.0,
) -> Array:  # fmt: skip
    """loss = -t log p - (1 - t) log(1 - p), p = min(max(x, floor), ceiling), the logarithms no less than least_log.
    x: [n] in [0, 1], t: [n] in [0, 1] -> loss: [n] in nats, or its sum or mean, a scalar; the mean of nothing is NaN.

    A confident mistake gives infinity where nothing is clipped, and 0 log 0 NaN. Source: Bishop (2006), eq. (4.90).
    """
    p = clipped(x, floor, ceiling)
    return of_logs(np.log(p), np.log1p(-p), t, reduction, least_log)


def of_complement(
    x: Array, t: Array, reduction: str = "none", floor: float = -np.inf, ceiling: float = np.inf,
    at_clip: float = 1.0, least_log: float = -np.inf, least_variance: float = 0.0,
) -> Array:  # fmt: skip
    """log(1 - p) for log1p(-p): loses digits where p is near 0."""
    p = clipped(x, floor, ceiling)
    return of_logs(np.log(p), np.log(1 - p), t, reduction, least_log)


def of_logs(positive: Array, negative: Array, t: Array, reduction: str, least_log: float) -> Array:
    return reduced(-t * np.maximum(positive, least_log) - (1 - t) * np.maximum(negative, least_log), reduction)


def binary_cross_entropy_vjp(
    g: Array, y: Array, x: Array, t: Array, reduction: str = "none", floor: float = -np.inf, ceiling: float = np.inf,
    at_clip: float = 1.0, least_log: float = -np.inf, least_variance: float = 0.0,
) -> Arrays:  # fmt: skip
    """(1 - t) / (1 - p) - t / p, term by term, whose difference cancels where p is near t."""
    g, p = spread_back(g, reduction, rows_of(x)), clipped(x, floor, ceiling)
    return {"x": where_inside(x, floor, ceiling, at_clip, g * (1 - t) / (1 - p) - g * t / p)}


def fused_vjp(
    g: Array, y: Array, x: Array, t: Array, reduction: str = "none", floor: float = -np.inf, ceiling: float = np.inf,
    at_clip: float = 1.0, least_log: float = -np.inf, least_variance: float = 0.0,
) -> Arrays:  # fmt: skip
    """(p - t) / (p (1 - p)): nothing cancels but in p - t. Its derivative as one fraction, (p^2 - 2 p t + t) /
    (p (1 - p))^2, in whose numerator more does."""
    g, p = spread_back(g, reduction, rows_of(x)), clipped(x, floor, ceiling)

    def gradient(p: Array) -> Array:
        return g * (p - t) / np.maximum((1 - p) * p, least_variance)

    def derivative(v: Array, y: Array, p: Array) -> Arrays:
        return {"x": v * g * ((np.square(p) - 2 * p * t + t) / (np.square(p) * np.square(1 - p)))}

    return {"x": where_inside(x, floor, ceiling, at_clip, by_its_gradient(gradient, derivative, p))}


def halves(draw: Draw, count: int, spread: int) -> Array:
    """Half of them m 2^-k, up to 1/2, of which neither x nor x (1 - x) is subnormal, and half 1 less that, unless it is
    nearly 1 then."""
    form = FORMATS[draw.dtype]
    small = np.maximum(powers(draw, 1, count, spread)[0] / 4, 2 * form.tiny)
    return draw.quantised(np.where((np.arange(count) % 2 == 1) & (small > 8 * form.unit), 1 - small, small))


def spread(k: int, target: Any = hard, count: int = 64) -> Any:
    return lambda draw: {"x": halves(draw, count, k), "t": target(draw, (count,))}


def coarse(draw: Draw) -> Arrays:
    """Multiples of 1/64, of which 1 - x is exact."""
    return {"x": draw.quantised(draw.integers("x", (64,), 64, 1) / 64), "t": quarters(draw, (64,))}


def every(*xs: float) -> Any:
    """What is next to each of these in [0, 1], with the targets 0, 1 and 1/4."""

    def arrays(draw: Draw) -> Arrays:
        x = np.concatenate([steps(draw, value) for value in xs])
        x = np.where(x < 2.0**-126, x.dtype.type(0), x)[x <= 1]  # but subnormal float16, which nobody reads as 0
        return {"x": draw.quantised(np.repeat(x, 3)), "t": draw.quantised(np.tile([0.0, 1.0, 0.25], len(x)))}

    return arrays


def plane(draw: Draw) -> Arrays:
    return {"x": halves(draw, 72, 4).reshape(8, 9), "t": soft(draw, (8, 9))}


INPUTS = {
    **{f"spread-{k}": spread(k) for k in (0, 4, 8, 20, 60)},
    **{f"soft-spread-{k}": spread(k, soft) for k in (0, 4, 8, 20)},
    **{f"quarters-spread-{k}": spread(k, quarters) for k in (0, 8)},
    "coarse": coarse,
    "saturated": every(0.0, 1.0),
    "near-floor": every(1e-7, 5e-8, 2e-7, 1e-3),
    "near-ceiling": every(1 - 1e-7, 1 - 5e-7, 1 - 1e-3),
    "near-1e-12": every(1e-12, 1e-3),
    "below-exp-minus-100": every(1e-44, 0.0),
    "halves": every(0.5, 0.25, 0.75),
    "one": spread(4, soft, 1),
    "zero-rows": spread(4, soft, 0),
    "large-1000": spread(8, soft, 1000),
}


def case(name: str, make: Any, reduction: str = "none", **more: Any) -> Case:
    return Case(name, make, {"reduction": reduction}, **more)


CASES = (
    *(case(name, make) for name, make in INPUTS.items()),
    *(case(f"{how}-{name}", INPUTS[name], how)
      for how in ("sum", "mean") for name in ("spread-4", "soft-spread-8", "one", "zero-rows", "large-1000")),
    *in_layouts(case("contiguous", plane)),
)  # fmt: skip

# Where invariants are looked at: probabilities that nothing clips, in any dtype.
WITHIN = ("coarse", "spread-0", "soft-spread-0", "halves")


def mirrored(f: Any, x: Array, t: Array, **params: Any) -> Array:
    """f(1 - x, 1 - t) = f(x, t): which class is called positive is a matter of names."""
    return f(x=1 - x, t=1 - t, **params) - f(x=x, t=t, **params)


def linear_in_target(f: Any, x: Array, t: Array, **params: Any) -> Array:
    """f(x, t) = t f(x, 1) + (1 - t) f(x, 0)."""
    return f(x=x, t=t, **params) - t * f(x=x, t=0 * t + 1, **params) - (1 - t) * f(x=x, t=0 * t, **params)


def two_classes(f: Any, negative_log_likelihood: Any, x: Array, t: Array, **params: Any) -> Array:
    """f(x, 1) = negative_log_likelihood([x, 1 - x], 0)."""
    label = np.zeros(len(x), np.int64)
    return f(x=x, t=0 * t + 1, **params) - negative_log_likelihood(x=pair_with(x, 1 - x), t=label, reduction="none")


def reduction_of_rows(f: Any, x: Array, t: Array, reduction: str) -> Array:
    """The sum is the sum of the losses, the mean that by their number."""
    return f(x=x, t=t, reduction=reduction) - reduced(f(x=x, t=t, reduction="none"), reduction)


def mirrored_gradient(f: Any, g: Array, x: Array, t: Array, **params: Any) -> Array:
    """f'(1 - x, 1 - t) = -f'(x, t)."""
    return f.vjp(g, x=1 - x, t=1 - t, **params)["x"] + f.vjp(g, x=x, t=t, **params)["x"]


def gradient_of_both_targets(f: Any, g: Array, x: Array, t: Array, **params: Any) -> Array:
    """f'(x, 0) - f'(x, 1) = 1 / (x (1 - x))."""
    dx, other = (f.vjp(g, x=x, t=0 * t + target, **params)["x"] for target in (0, 1))
    return dx - other - g / (x * (1 - x))


INVARIANTS = (
    Invariant("nonnegative", nonnegative, WITHIN, exact=True),
    Invariant("permutation", permutation, WITHIN),
    Invariant("mirrored", mirrored, ("coarse",)),
    Invariant("linear-in-target", linear_in_target, WITHIN),
    Invariant("two-classes", two_classes, ("coarse",), other=NEGATIVE_LOG_LIKELIHOOD),
    Invariant("reduction-of-rows", reduction_of_rows, ("sum-spread-4", "mean-spread-4")),
    Invariant("mirrored-gradient", mirrored_gradient, ("coarse",), "vjp"),
    Invariant("gradient-of-both-targets", gradient_of_both_targets, WITHIN, "vjp"),
)

OP = Op(
    "binary_cross_entropy", binary_cross_entropy, binary_cross_entropy_vjp, CASES, conventions=CONVENTIONS,
    roads={"complement": Road(of_complement), "fused": Road(vjp=fused_vjp)}, batch_axis=rows_apart,
    invariants=INVARIANTS, counted="large-1000",
)  # fmt: skip
