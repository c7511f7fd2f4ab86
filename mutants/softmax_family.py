"""softmax, log_softmax, logsumexp and the cross-entropies from their parts, any of which may be wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from gradparity.adapter import Fn
from gradparity.mutants.defects import (
    BELOW_ROUNDING,
    LOWER_SUM,
    NOTHING_EXCHANGED,
    arguments,
    by_dtype,
    instead,
    result,
)
from gradparity.mutation import Mutant
from gradparity.op import Array, Arrays


def row_max(x: Array, axis: int) -> Array:
    return x.max(axis=axis, keepdims=True)


def row_sum(x: Array, axis: int) -> Array:
    return x.sum(axis=axis, keepdims=True)


@dataclass(frozen=True)
class Parts:
    shift: Fn = row_max
    exp: Fn = np.exp
    total: Fn = row_sum


def softmax(p: Parts, x: Array, axis: int = -1) -> Array:
    e = p.exp(x - p.shift(x, axis))
    return e / p.total(e, axis)


def log_softmax(p: Parts, x: Array, axis: int = -1) -> Array:
    d = x - p.shift(x, axis)
    return d - np.log(p.total(p.exp(d), axis))


def finite(shift: Fn) -> Fn:
    """No shift of a row whose maximum is infinite."""

    def part(x: Array, axis: int) -> Array:
        m = shift(x, axis)
        return np.where(np.isfinite(m), m, 0)

    return part


def logsumexp(p: Parts, x: Array, axis: int = -1) -> Array:
    m = finite(p.shift)(x, axis)
    return np.squeeze(m + np.log(p.total(p.exp(x - m), axis)), axis)


def reduced(loss: Array, reduction: str, total: Fn = row_sum) -> Array:
    if reduction == "none":
        return loss
    whole = total(loss, 0)[0]
    return whole if reduction == "sum" else whole / loss.dtype.type(len(loss))


def at_label(x: Array, t: Array) -> Array:
    return x[np.arange(len(t)), t]


def one_hot(x: Array, t: Array) -> Array:
    return (np.arange(x.shape[-1]) == t[:, None]).astype(x.dtype)


def cross_entropy(p: Parts, x: Array, t: Array, reduction: str) -> Array:
    return reduced(-at_label(log_softmax(p, x), t), reduction, p.total)


def spread(g: Array, x: Array, reduction: str) -> Array:
    """The cotangent of each row."""
    return g[:, None] if reduction == "none" else g / x.dtype.type(len(x)) if reduction == "mean" else g


# The gradients, each with a softmax of its own, as fused kernels have it: a wrong part is in them too.


def softmax_vjp(p: Parts, g: Array, y: Array, x: Array, axis: int) -> Arrays:
    s = softmax(p, x, axis)
    return {"x": s * (g - p.total(g * s, axis))}


def log_softmax_vjp(p: Parts, g: Array, y: Array, x: Array, axis: int) -> Arrays:
    return {"x": g - softmax(p, x, axis) * p.total(g, axis)}


def logsumexp_vjp(p: Parts, g: Array, y: Array, x: Array, axis: int) -> Arrays:
    return {"x": np.expand_dims(g, axis) * softmax(replace(p, shift=finite(p.shift)), x, axis)}


def cross_entropy_vjp(p: Parts, g: Array, y: Array, x: Array, t: Array, reduction: str) -> Arrays:
    return {"x": spread(g, x, reduction) * (softmax(p, x) - one_hot(x, t))}


def rows(x: Array) -> Array:
    """[N, C, d1, ...] -> [N d1 ..., C]."""
    by_place = np.moveaxis(x, 1, -1)
    return by_place.reshape(int(np.prod(by_place.shape[:-1])), x.shape[1])


def spatial_cross_entropy(p: Parts, x: Array, t: Array, reduction: str) -> Array:
    loss = cross_entropy(p, rows(x), t.ravel(), reduction)
    return loss.reshape(t.shape) if reduction == "none" else loss


def spatial_cross_entropy_vjp(p: Parts, g: Array, y: Array, x: Array, t: Array, reduction: str) -> Arrays:
    dx = cross_entropy_vjp(p, g.ravel() if g.ndim else g, y, rows(x), t.ravel(), reduction)["x"]
    return {"x": np.moveaxis(dx.reshape(*t.shape, x.shape[1]), -1, 1)}


def targets(t: Array, label_smoothing: float) -> Array:
    return t * (1 - label_smoothing) + label_smoothing / t.shape[-1]


def soft_cross_entropy(p: Parts, x: Array, t: Array, label_smoothing: float, reduction: str) -> Array:
    return reduced(soft_loss(log_softmax(p, x), targets(t, label_smoothing)), reduction, p.total)


def soft_loss(log_probabilities: Array, s: Array) -> Array:
    return -np.where(s == 0, 0, s * log_probabilities).sum(axis=-1)


def soft_cross_entropy_vjp(
    p: Parts, g: Array, y: Array, x: Array, t: Array, label_smoothing: float, reduction: str
) -> Arrays:
    s = targets(t, label_smoothing)
    return soft_gradient(spread(g, x, reduction), softmax(p, x) * row_sum(s, -1) - s, x, label_smoothing)


def soft_gradient(g: Array, dx: Array, x: Array, label_smoothing: float) -> Arrays:
    """That of the targets is right, so that what is wrong dies of that of the logits."""
    return {"x": g * dx, "t": -g * log_softmax(RIGHT, x) * (1 - label_smoothing)}


def weighted_targets(t: Array, weight: Array, label_smoothing: float, ignore_index: int) -> Array:
    own = (np.arange(len(weight)) == t[:, None]) * weight
    even = weight * (label_smoothing / len(weight))
    return np.where((t != ignore_index)[:, None], own * (1 - label_smoothing) + even, weight.dtype.type(0))


def counting(t: Array, weight: Array, ignore_index: int) -> Array:
    """The weights of the labels that count, summed."""
    return weight[t[t != ignore_index]].sum()


def divided(y: Array, reduction: str, denominator: Array) -> Array:
    return y / denominator if reduction == "mean" else y


def weighted_cross_entropy(
    p: Parts, x: Array, t: Array, weight: Array, label_smoothing: float, ignore_index: int, reduction: str
) -> Array:
    loss = soft_loss(log_softmax(p, x), weighted_targets(t, weight, label_smoothing, ignore_index))
    total = loss if reduction == "none" else p.total(loss, 0)[0]
    return divided(total, reduction, counting(t, weight, ignore_index))


def weighted_cross_entropy_vjp(
    p: Parts, g: Array, y: Array, x: Array, t: Array, weight: Array, label_smoothing: float, ignore_index: int,
    reduction: str,
) -> Arrays:  # fmt: skip
    q = weighted_targets(t, weight, label_smoothing, ignore_index)
    g = divided(g, reduction, counting(t, weight, ignore_index))
    g = np.where(t != ignore_index, g, x.dtype.type(0))[:, None]
    return {"x": g * (softmax(p, x) * row_sum(q, -1) - q)}


FAMILY: Mapping[str, tuple[Fn, Fn]] = {
    "softmax": (softmax, softmax_vjp),
    "log_softmax": (log_softmax, log_softmax_vjp),
    "logsumexp": (logsumexp, logsumexp_vjp),
    "cross_entropy": (cross_entropy, cross_entropy_vjp),
    "soft_cross_entropy": (soft_cross_entropy, soft_cross_entropy_vjp),
    "weighted_cross_entropy": (weighted_cross_entropy, weighted_cross_entropy_vjp),
    "spatial_cross_entropy": (spatial_cross_entropy, spatial_cross_entropy_vjp),
}


# --- wrong parts


def no_shift(x: Array, axis: int) -> Array:
    return np.zeros((), x.dtype)


def max_of_everything(x: Array, axis: int) -> Array:
    """Right until a row lies far below another; of what is finite, so that it does not die of a neighbour's NaN."""
    return np.full((1,) * x.ndim, x.max(initial=-np.inf, where=np.isfinite(x)), x.dtype)


def lower_sum(dtype: str) -> Fn:
    """Accumulated one format lower (16 bits: in the dtype), term by term. np.sum would accumulate in float32."""

    def total(x: Array, axis: int) -> Array:
        upto = np.add.accumulate(x.astype(LOWER_SUM[dtype]), axis=axis)
        return np.take(upto, [-1], axis).astype(x.dtype) if x.shape[axis] else row_sum(x, axis)

    return total


def without_the_last(x: Array, axis: int) -> Array:
    return row_sum(np.take(x, range(x.shape[axis] - 1), axis), axis)


def exp_off_by(eps: float) -> Fn:
    """A relative error that varies with the argument, eps at 0."""
    return lambda x: np.exp(x) * (1 + eps * np.exp(x / 2))


def exp_times(factor: float) -> Fn:
    return lambda x: np.exp(x) * factor


def always(**parts: Fn) -> Callable[[str], Parts]:
    return lambda dtype: Parts(**parts)


# name: (the parts for each dtype, the case that must kill, how)
PARTS: Mapping[str, tuple[Callable[[str], Parts], str, str]] = {
    "no-max-shift": (always(shift=no_shift), "scale-10000", "fail/nonfinite"),
    "max-of-the-whole-batch": (always(shift=max_of_everything), "scale-10000", "fail/nonfinite"),
    "accumulated-one-format-lower": (lambda dtype: Parts(total=lower_sum(dtype)), "classes-1000", "fail/bound"),
    "one-class-missing": (always(total=without_the_last), "scale-1", "fail/bound"),
    "exp-off-by-1e-3": (always(exp=exp_off_by(1e-3)), "ramp-80", "fail/bound"),
    "exp-off-by-1e-6": (always(exp=exp_off_by(1e-6)), "ramp-80", "fail/bound"),
    "exp-times-1.001": (always(exp=exp_times(1.001)), "classes-3", "fail/bound"),
    "from-parts": (always(), "", ""),
}
AT = {
    "log_softmax/exp-off-by-1e-3/*": "digits",
    "soft_cross_entropy/exp-off-by-*/value": "one-hot-dominant-20",
    "soft_cross_entropy/exp-off-by-1e-3/float16/vjp": "scale-1",
    "weighted_cross_entropy/exp-off-by-1e-3/float16/vjp": "scale-1",
    "spatial_cross_entropy/exp-off-by-1e-3/float16/vjp": "scale-1",
    "weighted_cross_entropy/exp-off-by-1e-6/bfloat16/value": "scale-1000",
}
CANCELS = "the factor is in the numerator and in the sum, and cancels in the quotient"
INSIDE = (
    "it lies inside the bound, with 17 u in each exponential, which their sum partly cancels, against 8.8 u allowed "
    "for exponential and sum, the same again where the gradient uses the output, and its roundings"
)
FEW_LOGITS = (
    "in float32 the bracket is off by |m| 2^-24; logits of a large m have few distinct values in 16 bits, and none of "
    "their results lies that near to a midpoint of the dtype"
)
SURVIVES: Mapping[str, str] = {
    "*/from-parts/*": NOTHING_EXCHANGED,
    "softmax/exp-times-1.001/*": CANCELS,
    "*/exp-times-1.001/*/vjp": CANCELS,
    "*softmax/exp-off-by-1e-6/float32/vjp": INSIDE,
    "*cross_entropy/exp-off-by-1e-6/float32/vjp": INSIDE,
    "softmax/exp-off-by-1e-6/*float16/*": BELOW_ROUNDING,
    "logsumexp/exp-off-by-1e-6/*float16/*": BELOW_ROUNDING,
    "*/exp-off-by-1e-6/*float16/vjp": BELOW_ROUNDING,
    "*/x-minus-max-plus-log-sum/bfloat16/vjp": FEW_LOGITS,
    "log_softmax/x-minus-max-plus-log-sum/float16/vjp": FEW_LOGITS,
    "*cross_entropy/x-minus-max-plus-log-sum/*float16/value": FEW_LOGITS,
}


def bound(fn: Fn, parts: Callable[[str], Parts]) -> Callable[[str], Fn]:
    return lambda dtype: partial(fn, parts(dtype))


def from_parts() -> Iterator[Mutant]:
    for op, (value, vjp) in FAMILY.items():
        for name, (parts, at, reason) in PARTS.items():
            yield Mutant(op, name, by_dtype(bound(value, parts)), by_dtype(bound(vjp, parts)), {**AT, "*": at}, reason,
                         survives=SURVIVES)  # fmt: skip


# --- wrong as a whole

RIGHT = Parts()


def other_axis(x: Array, axis: int) -> Array:
    return softmax(RIGHT, x, 0 if axis == -1 else -1)


def clipped(least: float) -> Fn:
    """Probabilities clipped from below and, as is usual, from above."""
    return lambda x, axis=-1: np.clip(softmax(RIGHT, x, axis), x.dtype.type(least), x.dtype.type(1 - least))


def log_of(probabilities: Fn) -> Fn:
    return lambda x, axis=-1: np.log(probabilities(x, axis))


def via_logsumexp(x: Array, axis: int = -1) -> Array:
    """x - (m + log S): the sum in brackets is rounded at the size of m."""
    m = row_max(x, axis)
    return x - (m + np.log(row_sum(np.exp(x - m), axis)))


def always_shifted(x: Array, axis: int) -> Array:
    """inf - inf where the maximum is infinite."""
    m = row_max(x, axis)
    return np.squeeze(m + np.log(row_sum(np.exp(x - m), axis)), axis)


def loss_of(log_probabilities: Fn) -> Fn:
    return lambda x, t, reduction: reduced(-at_label(log_probabilities(x), t), reduction)


def gradient_of(probabilities_less_one_hot: Callable[[Array, Array], Array]) -> Fn:
    return lambda g, y, x, t, reduction: {"x": spread(g, x, reduction) * probabilities_less_one_hot(x, t)}


def smoothed(x: Array, t: Array, reduction: str) -> Array:
    """Label smoothing of 1e-3 left on."""
    lp, e = log_softmax(RIGHT, x), x.dtype.type(1e-3)
    return reduced(-(1 - e) * at_label(lp, t) - e * lp.mean(axis=-1), reduction)


def smoothed_gradient(x: Array, t: Array) -> Array:
    e = x.dtype.type(1e-3)
    return softmax(RIGHT, x) - (1 - e) * one_hot(x, t) - e / x.dtype.type(x.shape[-1])


def swapped(kw: Arrays) -> Arrays:
    return {"reduction": {"sum": "mean", "mean": "sum"}.get(kw["reduction"], kw["reduction"])}


def labels_off_by_one(kw: Arrays) -> Arrays:
    return {"t": (kw["t"] + 1) % kw["x"].shape[-1]}


def labels_a_row_on(kw: Arrays) -> Arrays:
    return {"t": np.roll(kw["t"], 1)}


def over_n_minus_1(y: Array, kw: Arrays) -> Array:
    """Of the loss, or of its gradient."""
    n = kw["x"].dtype.type(len(kw["x"]))
    return y * n / (n - 1) if kw["reduction"] == "mean" and n > 1 else y


def soft_loss_of(log_probabilities: Fn) -> Fn:
    return lambda x, t, label_smoothing, reduction: reduced(
        soft_loss(log_probabilities(x), targets(t, label_smoothing)), reduction
    )


def soft_loss_for(wrong_targets: Callable[[Array, float], Array]) -> Fn:
    """Of other targets than those that were given."""
    return lambda x, t, label_smoothing, reduction: reduced(
        soft_loss(log_softmax(RIGHT, x), wrong_targets(t, label_smoothing)), reduction
    )


def soft_gradient_of(less_targets: Callable[[Array, Array], Array], wrong_targets: Fn = targets) -> Fn:
    def wrong(g: Array, y: Array, x: Array, t: Array, label_smoothing: float, reduction: str) -> Arrays:
        dx = less_targets(softmax(RIGHT, x), wrong_targets(t, label_smoothing))
        return soft_gradient(spread(g, x, reduction), dx, x, label_smoothing)

    return wrong


def right_gradient(p: Array, s: Array) -> Array:
    return p * row_sum(s, -1) - s


def renormalised(t: Array, label_smoothing: float) -> Array:
    s = targets(t, label_smoothing)
    return s / np.where(row_sum(s, -1) == 0, s.dtype.type(1), row_sum(s, -1))


def hardened(t: Array, label_smoothing: float) -> Array:
    return targets(one_hot(t, np.argmax(t, axis=-1)), label_smoothing)


def spread_over_the_others(t: Array, label_smoothing: float) -> Array:
    """What is taken from a target goes to the other classes alone."""
    return t * (1 - label_smoothing) + (1 - t) * label_smoothing / max(t.shape[-1] - 1, 1)


def targets_gradient(wrong: Callable[[Array, float], Array]) -> Fn:
    """The gradient of the logits is right."""

    def vjp(g: Array, y: Array, x: Array, t: Array, label_smoothing: float, reduction: str) -> Arrays:
        right = soft_cross_entropy_vjp(RIGHT, g, y, x, t, label_smoothing, reduction)
        return right | {"t": -spread(g, x, reduction) * wrong(x, label_smoothing)}

    return vjp


def over_all_elements(y: Array, kw: Arrays) -> Array:
    return y / kw["x"].dtype.type(kw["x"].shape[-1]) if kw["reduction"] == "mean" else y


def unsmoothed(kw: Arrays) -> Arrays:
    return {"label_smoothing": 0.0}


def targets_a_row_on(kw: Arrays) -> Arrays:
    return {"t": np.roll(kw["t"], 1, axis=0)}


SOFT: tuple[Mutant, ...] = (
    Mutant("soft_cross_entropy", "log-of-softmax", instead(soft_loss_of(log_of(partial(softmax, RIGHT)))),
           at="scale-1000", reason="fail/nonfinite"),
    Mutant("soft_cross_entropy", "x-minus-max-plus-log-sum", instead(soft_loss_of(via_logsumexp)), at="shift-10000",
           survives=SURVIVES),
    Mutant("soft_cross_entropy", "clipped-at-1e-7", instead(soft_loss_of(log_of(clipped(1e-7)))), at="scale-100"),
    Mutant("soft_cross_entropy", "zero-times-infinity", at="masked", reason="fail/nonfinite", value=instead(
           lambda x, t, label_smoothing, reduction: reduced(
               -(targets(t, label_smoothing) * log_softmax(RIGHT, x)).sum(axis=-1), reduction))),
    Mutant("soft_cross_entropy", "targets-renormalised", instead(soft_loss_for(renormalised)),
           instead(soft_gradient_of(right_gradient, renormalised)), at="unnormalised-scale-1"),
    Mutant("soft_cross_entropy", "targets-hardened", instead(soft_loss_for(hardened)),
           instead(soft_gradient_of(right_gradient, hardened)), at="scale-1"),
    Mutant("soft_cross_entropy", "smoothing-forgotten", arguments(unsmoothed), arguments(unsmoothed),
           at="smoothed-scale-1"),
    Mutant("soft_cross_entropy", "smoothing-over-the-other-classes", instead(soft_loss_for(spread_over_the_others)),
           instead(soft_gradient_of(right_gradient, spread_over_the_others)), at="smoothed-scale-1"),
    Mutant("soft_cross_entropy", "smoothed-in-value-only",
           vjp=instead(soft_gradient_of(right_gradient, lambda t, e: t)),
           at="smoothed-scale-1"),
    Mutant("soft_cross_entropy", "targets-shifted-by-a-row", arguments(targets_a_row_on), arguments(targets_a_row_on),
           at="scale-1"),
    Mutant("soft_cross_entropy", "mean-for-sum", arguments(swapped), arguments(swapped), at="sum-scale-1"),
    Mutant("soft_cross_entropy", "mean-for-none", arguments(lambda kw: {"reduction": "mean"}), at="scale-1",
           reason="fail/shape"),
    Mutant("soft_cross_entropy", "mean-over-all-elements", result(over_all_elements), result(over_all_elements),
           at="mean-scale-1"),
    Mutant("soft_cross_entropy", "p-minus-t", vjp=instead(soft_gradient_of(lambda p, s: p - s)),
           at="unnormalised-scale-1"),
    Mutant("soft_cross_entropy", "targets-not-subtracted",
           vjp=instead(soft_gradient_of(lambda p, s: p * row_sum(s, -1))), at="scale-1"),
    Mutant("soft_cross_entropy", "softmax-detached", vjp=instead(soft_gradient_of(lambda p, s: -s)), at="scale-1"),
    Mutant("soft_cross_entropy", "targets-detached", vjp=instead(targets_gradient(lambda x, e: 0 * x)), at="scale-1",
           check="vjp.t"),
    Mutant("soft_cross_entropy", "logits-for-log-probabilities",
           vjp=instead(targets_gradient(lambda x, e: x * (1 - e))),
           at="scale-1", check="vjp.t"),
    Mutant("soft_cross_entropy", "smoothing-not-in-the-gradient-of-targets", at="smoothed-scale-1", check="vjp.t",
           vjp=instead(targets_gradient(lambda x, e: log_softmax(RIGHT, x)))),
)  # fmt: skip


OWN: tuple[Mutant, ...] = (
    Mutant("softmax", "along-the-other-axis", instead(other_axis), at="axis-0"),
    Mutant("softmax", "clipped-at-1e-7", instead(clipped(1e-7)), at="ramp-80"),
    Mutant("softmax", "nan-row-hidden", result(lambda y, kw: np.nan_to_num(y)), at="nan", reason="fail/nonfinite"),
    Mutant("softmax", "diagonal-only", vjp=instead(lambda g, y, x, axis: {"x": g * y * (1 - y)}), at="scale-1"),
    Mutant("softmax", "unnormalised", vjp=instead(lambda g, y, x, axis: {"x": y * g}), at="scale-1"),
    Mutant("softmax", "jacobian-of-log_softmax",
           vjp=instead(lambda g, y, x, axis: {"x": g - y * row_sum(g, axis)}), at="scale-1"),
    Mutant("log_softmax", "log-of-softmax", instead(log_of(partial(softmax, RIGHT))), at="scale-1000",
           reason="fail/nonfinite"),
    Mutant("log_softmax", "x-minus-max-plus-log-sum", instead(via_logsumexp),
           instead(lambda g, y, x, axis: {"x": g - np.exp(via_logsumexp(x, axis)) * row_sum(g, axis)}),
           at={"*float16/*": "scale-100", "*": "shift-10000"}, survives=SURVIVES),
    Mutant("log_softmax", "log-of-softmax-clipped-at-1e-7", instead(log_of(clipped(1e-7))), at="scale-100"),
    Mutant("log_softmax", "cotangent-not-summed", vjp=instead(lambda g, y, x, axis: {"x": g - np.exp(y) * g}),
           at="scale-1"),
    Mutant("log_softmax", "plus-for-minus", at="scale-1",
           vjp=instead(lambda g, y, x, axis: {"x": g + np.exp(y) * row_sum(g, axis)})),
    Mutant("logsumexp", "shifted-by-infinity", instead(always_shifted), at="plus-inf", reason="fail/nonfinite"),
    Mutant("logsumexp", "max-only", instead(lambda x, axis: x.max(axis=axis)),
           instead(lambda g, y, x, axis: {"x": np.expand_dims(g, axis) * (x == row_max(x, axis))}), at="scale-1"),
    Mutant("logsumexp", "mean-for-sum", at="scale-1",
           value=instead(lambda x, axis: logsumexp(RIGHT, x, axis) - np.log(x.dtype.type(x.shape[axis])))),
    Mutant("logsumexp", "log_softmax-for-softmax", at="scale-1",
           vjp=instead(lambda g, y, x, axis: {"x": np.expand_dims(g, axis) * log_softmax(RIGHT, x, axis)})),
    Mutant("cross_entropy", "log-of-softmax", instead(loss_of(log_of(partial(softmax, RIGHT)))), at="scale-1000",
           reason="fail/nonfinite"),
    Mutant("cross_entropy", "x-minus-max-plus-log-sum", instead(loss_of(via_logsumexp)),
           instead(gradient_of(lambda x, t: np.exp(via_logsumexp(x)) - one_hot(x, t))), at="shift-10000",
           survives=SURVIVES),
    Mutant("cross_entropy", "clipped-at-1e-7", instead(loss_of(log_of(clipped(1e-7)))), at="scale-100"),
    Mutant("cross_entropy", "softmax-of-probabilities", at="scale-1",
           value=instead(loss_of(lambda x: log_softmax(RIGHT, softmax(RIGHT, x))))),
    Mutant("cross_entropy", "label-smoothing-left-on", instead(smoothed), instead(gradient_of(smoothed_gradient)),
           at="dominant-20"),
    Mutant("cross_entropy", "labels-off-by-one", arguments(labels_off_by_one), arguments(labels_off_by_one),
           at="scale-1"),
    Mutant("cross_entropy", "labels-shifted-by-a-row", arguments(labels_a_row_on), arguments(labels_a_row_on),
           at="scale-1"),
    Mutant("cross_entropy", "mean-for-sum", arguments(swapped), arguments(swapped), at="sum-scale-1"),
    Mutant("cross_entropy", "sum-for-mean", arguments(swapped), arguments(swapped), at="mean-scale-1"),
    Mutant("cross_entropy", "mean-for-none", arguments(lambda kw: {"reduction": "mean"}), at="scale-1",
           reason="fail/shape"),
    Mutant("cross_entropy", "mean-over-n-minus-1", result(over_n_minus_1), result(over_n_minus_1), at="mean-scale-1"),
    Mutant("cross_entropy", "mean-of-no-rows-is-zero", result(lambda y, kw: np.nan_to_num(y)), at="mean-zero-rows",
           reason="fail/nonfinite"),
    Mutant("cross_entropy", "label-not-subtracted", vjp=instead(gradient_of(lambda x, t: softmax(RIGHT, x))),
           at="scale-1"),
    Mutant("cross_entropy", "softmax-detached", vjp=instead(gradient_of(lambda x, t: -one_hot(x, t))), at="scale-1"),
    Mutant("cross_entropy", "diagonal-only", at="scale-1",
           vjp=instead(gradient_of(lambda x, t: (softmax(RIGHT, x) - 1) * one_hot(x, t)))),
)  # fmt: skip


def no_weights(kw: Arrays) -> Arrays:
    return {"weight": np.ones_like(kw["weight"])}


def root_of_the_weights(kw: Arrays) -> Arrays:
    return {"weight": np.sqrt(kw["weight"])}


def no_label_ignored(kw: Arrays) -> Arrays:
    """The label is taken as an index, as Python takes it."""
    return {"t": kw["t"] % kw["x"].shape[-1], "ignore_index": -100}


def last_class_ignored(kw: Arrays) -> Arrays:
    return {"ignore_index": kw["x"].shape[-1] - 1}


def instead_of_the_total(denominator: Callable[[Arrays], Array]) -> Callable[[Array, Arrays], Array]:
    """Another denominator of the mean, in the loss or in its gradient."""

    def change(y: Array, kw: Arrays) -> Array:
        right = counting(kw["t"], kw["weight"], kw["ignore_index"])
        return y * (right / denominator(kw)) if kw["reduction"] == "mean" else y

    return change


def all_rows(kw: Arrays) -> Array:
    return kw["x"].dtype.type(len(kw["x"]))


def rows_that_count(kw: Arrays) -> Array:
    return kw["x"].dtype.type((kw["t"] != kw["ignore_index"]).sum())


def weights_of_ignored_too(kw: Arrays) -> Array:
    return kw["weight"][kw["t"] % len(kw["weight"])].sum()


def all_weights(kw: Arrays) -> Array:
    return kw["weight"].sum()


def weight_of_the_label_only(x: Array, t: Array, weight: Array, label_smoothing: float, ignore_index: int,
                             reduction: str) -> Array:  # fmt: skip
    """The evenly spread part is weighted like the label's."""
    loss = soft_loss(log_softmax(RIGHT, x), targets(one_hot(x, t), label_smoothing)) * weight[t]
    loss = np.where(t == ignore_index, x.dtype.type(0), loss)
    return divided(loss if reduction == "none" else loss.sum(), reduction, counting(t, weight, ignore_index))


def p_for_the_weighted(g: Array, y: Array, x: Array, t: Array, weight: Array, label_smoothing: float,
                       ignore_index: int, reduction: str) -> Arrays:  # fmt: skip
    q = weighted_targets(t, weight, label_smoothing, ignore_index)
    g = np.where(t != ignore_index, divided(g, reduction, counting(t, weight, ignore_index)), x.dtype.type(0))
    return {"x": g[:, None] * (softmax(RIGHT, x) - q)}


def denominators() -> Iterator[Mutant]:
    for name, wrong, at in (
        ("weights-in-the-numerator-only", rows_that_count, "mean-scale-1"),
        ("mean-over-all-rows", all_rows, "mean-scale-1"),
        ("ignored-rows-counted-in-the-denominator", weights_of_ignored_too, "mean-ignored"),
        ("mean-over-the-weights-of-all-classes", all_weights, "mean-scale-1"),
    ):
        change = result(instead_of_the_total(wrong))
        yield Mutant("weighted_cross_entropy", name, change, change, at)


WEIGHTED: tuple[Mutant, ...] = (
    *denominators(),
    *(
        Mutant("weighted_cross_entropy", name, arguments(change), arguments(change), at)
        for name, change, at in (
            ("weights-ignored", no_weights, "scale-1"),
            ("root-of-the-weights", root_of_the_weights, "scale-1"),
            ("ignored-rows-counted", no_label_ignored, "ignored-scale-1"),
            ("another-class-ignored", last_class_ignored, "scale-0.001"),
            ("smoothing-forgotten", unsmoothed, "smoothed-scale-1"),
            ("labels-off-by-one", labels_off_by_one, "scale-1"),
            ("mean-for-sum", swapped, "sum-scale-1"),
        )
    ),
    Mutant("weighted_cross_entropy", "weight-of-the-label-only", instead(weight_of_the_label_only),
           at="smoothed-scale-1"),
    Mutant("weighted_cross_entropy", "mean-of-nothing-is-zero", result(lambda y, kw: np.nan_to_num(y)),
           at="mean-ignored-all", reason="fail/nonfinite"),
    Mutant("weighted_cross_entropy", "p-minus-weighted-label", vjp=instead(p_for_the_weighted), at="scale-1"),
)  # fmt: skip


def reshaped_not_moved(kw: Arrays) -> Arrays:
    """Rows of C numbers as they lie in memory: the classes of other places."""
    x, t = kw["x"], kw["t"]
    return {"x": np.moveaxis(x.reshape(*t.shape, x.shape[1]), -1, 1)}


def places_turned(kw: Arrays) -> Arrays:
    """Height for width: the labels of an image that was transposed."""
    places = tuple(range(1, kw["t"].ndim))
    return {"t": np.transpose(kw["t"], (0, *reversed(places))).reshape(kw["t"].shape)}


def labels_of_the_next_place(kw: Arrays) -> Arrays:
    return {"t": np.roll(kw["t"], 1, axis=-1)}


def labels_off_by_one_class(kw: Arrays) -> Arrays:
    return {"t": (kw["t"] + 1) % kw["x"].shape[1]}


def over_items_only(y: Array, kw: Arrays) -> Array:
    """The mean of what is summed over the places."""
    return y * kw["x"].dtype.type(kw["t"].size // max(len(kw["t"]), 1)) if kw["reduction"] == "mean" else y


def along_the_last_axis(x: Array, t: Array, reduction: str) -> Array:
    """The softmax is taken over a row of places."""
    loss = -np.take_along_axis(log_softmax(RIGHT, x), t[:, None], 1)[:, 0]
    return loss if reduction == "none" else reduced(loss.ravel(), reduction)


def label_not_subtracted(g: Array, y: Array, x: Array, t: Array, reduction: str) -> Arrays:
    scale = {"none": g[:, None] if g.ndim else g, "sum": g, "mean": g / x.dtype.type(max(t.size, 1))}[reduction]
    return {"x": scale * softmax(RIGHT, x, 1)}


SPATIAL: tuple[Mutant, ...] = (
    *(
        Mutant("spatial_cross_entropy", name, arguments(change), arguments(change), at)
        for name, change, at in (
            ("reshaped-not-moved", reshaped_not_moved, "scale-1"),
            ("places-turned", places_turned, "scale-1"),
            ("labels-of-the-next-place", labels_of_the_next_place, "scale-1"),
            ("labels-off-by-one", labels_off_by_one_class, "scale-1"),
            ("mean-for-sum", swapped, "sum-scale-1"),
        )
    ),
    Mutant("spatial_cross_entropy", "mean-over-items-only", result(over_items_only), result(over_items_only),
           at="mean-scale-1"),
    Mutant("spatial_cross_entropy", "mean-of-no-places-is-zero", result(lambda y, kw: np.nan_to_num(y)),
           at="mean-no-places", reason="fail/nonfinite"),
    Mutant("spatial_cross_entropy", "flattened", result(lambda y, kw: y.reshape(-1)), at="scale-1",
           reason="fail/shape"),
    Mutant("spatial_cross_entropy", "along-the-last-axis", instead(along_the_last_axis), at="scale-1"),
    Mutant("spatial_cross_entropy", "label-not-subtracted", vjp=instead(label_not_subtracted), at="scale-1"),
)  # fmt: skip

MUTANTS = (*from_parts(), *OWN, *SOFT, *WEIGHTED, *SPATIAL)
