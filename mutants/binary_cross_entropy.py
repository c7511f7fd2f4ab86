"""binary_cross_entropy_with_logits: its exponential, its targets, its weight and its reductions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from gradparity.adapter import Fn
from gradparity.mutants.defects import NOTHING_EXCHANGED, arguments, instead, result
from gradparity.mutants.pointwise import Exp, sigmoid
from gradparity.mutants.softmax_family import exp_off_by, exp_times, reduced
from gradparity.mutation import Mutant
from gradparity.op import Array, Arrays
from gradparity.reference import OPS

LOGITS = "binary_cross_entropy_with_logits"


def loss(x: Array, t: Array, pos_weight: Any, reduction: str, exp: Exp = np.exp, log1p: Exp = np.log1p) -> Array:
    small = log1p(exp(-np.abs(x)))
    if pos_weight is None:
        return reduced(np.maximum(x, 0) - x * t + small, reduction)
    return reduced((1 - t) * x + (1 + (pos_weight - 1) * t) * (np.maximum(-x, 0) + small), reduction)


def spread(g: Array, x: Array, reduction: str) -> Array:
    """The cotangent of each loss."""
    return g / x.dtype.type(len(x)) if reduction == "mean" else g


def loss_vjp(g: Array, y: Array, x: Array, t: Array, pos_weight: Any, reduction: str, exp: Exp = np.exp) -> Arrays:
    """With a sigmoid of its own, as fused kernels have it: a wrong exponential is in it too."""
    g, s = spread(g, x, reduction), sigmoid(-np.abs(x), exp)
    if pos_weight is None:
        return {"x": g * np.where(x >= 0, (1 - t) - s, s - t), "t": -g * x}
    dx = g * (1 - t) - g * (1 + (pos_weight - 1) * t) * sigmoid(-x, exp)
    return {"x": dx, "t": g * (pos_weight - 1) * (np.maximum(-x, 0) + np.log1p(exp(-np.abs(x)))) - g * x}


EXPS: Mapping[str, Exp] = {
    "from-parts": np.exp,
    "exp-off-by-1e-3": exp_off_by(1e-3),
    "exp-times-1.001": exp_times(1.001),
}


def of_exps(op: str, value: Fn, vjp: Fn) -> Iterator[Mutant]:
    """From a value and a vjp of their own, which take the exponential that they use."""
    for name, exp in EXPS.items():
        yield Mutant(op, name, instead(partial(value, exp=exp)), instead(partial(vjp, exp=exp)), "large-1000",
                     survives={"*/from-parts/*": NOTHING_EXCHANGED})  # fmt: skip


def gradient(dx: Fn) -> Fn:
    """A vjp for x from a derivative dx(x, t) of one loss; right for t."""
    return lambda g, y, x, t, pos_weight, reduction: {
        "x": spread(g, x, reduction) * dx(x, t),
        "t": OPS[LOGITS].vjp(g, y, x, t, pos_weight, reduction)["t"],
    }


def clipped(x: Array, t: Array, pos_weight: Any, reduction: str) -> Array:
    """From probabilities that are kept away from 0 and 1."""
    s = np.clip(sigmoid(x), 1e-7, 1 - 1e-7)
    return reduced(-(t * np.log(s) + (1 - t) * np.log(1 - s)), reduction)


def log_of_sigmoid(x: Array, t: Array, pos_weight: Any, reduction: str) -> Array:
    s = sigmoid(x)
    return reduced(-(t * np.log(s) + (1 - t) * np.log(1 - s)), reduction)


def weighs_both(x: Array, t: Array, pos_weight: Any, reduction: str) -> Array:
    return loss(x, t, None, reduction) * (1 if pos_weight is None else pos_weight)


def by_total_weight(y: Array, kw: Arrays) -> Array:
    """The mean divided by the sum of the weights, as for classes."""
    if kw["pos_weight"] is None or kw["reduction"] != "mean":
        return y
    return y * len(kw["t"]) / np.sum(1 + (kw["pos_weight"] - 1) * kw["t"])


def over_n_minus_1(y: Array, kw: Arrays) -> Array:
    n = len(kw["x"])
    return y * n / max(n - 1, 1) if kw["reduction"] == "mean" else y


def not_divided(y: Array, kw: Arrays) -> Array:
    return y * len(kw["x"]) if kw["reduction"] == "mean" else y


def both(name: str, defect: Any, at: str) -> Mutant:
    return Mutant(LOGITS, name, defect, defect, at)


OWN: tuple[Mutant, ...] = (
    both("targets-all-1", arguments(lambda kw: {"t": 0 * kw["t"] + 1}), "scale-1"),
    both("targets-swapped", arguments(lambda kw: {"t": 1 - kw["t"]}), "scale-1"),
    both("targets-rounded", arguments(lambda kw: {"t": np.round(kw["t"])}), "soft-scale-10"),
    both("targets-are-signs", arguments(lambda kw: {"t": (kw["t"] + 1) / 2}), "scale-1"),
    both("of-minus-x", arguments(lambda kw: {"x": -kw["x"]}), "scale-1"),
    both("weight-ignored", arguments(lambda kw: {"pos_weight": None}), "pos-weight-3-scale-1"),
    both("weight-of-negatives", arguments(lambda kw: {"x": -kw["x"], "t": 1 - kw["t"]}), "pos-weight-3-scale-1"),
    both("divided-by-total-weight", result(by_total_weight), "mean-pos-weight-3"),
    both("divided-by-n-minus-1", result(over_n_minus_1), "mean-scale-1"),
    both("not-divided", result(not_divided), "mean-scale-1"),
    Mutant(LOGITS, "weight-of-all", instead(weighs_both), at="pos-weight-3-scale-1"),
    Mutant(LOGITS, "clipped-at-1e-7", instead(clipped), at="scale-100"),
    Mutant(LOGITS, "log-of-sigmoid", instead(log_of_sigmoid), at="scale-1000", reason="fail/nonfinite"),
    Mutant(LOGITS, "log-for-log1p", instead(partial(loss, log1p=lambda z: np.log(1 + z))), at="met-line-120"),
    Mutant(LOGITS, "exp-overflows", at="scale-1000", reason="fail/nonfinite",
           value=instead(lambda x, t, pos_weight, reduction: reduced(np.log1p(np.exp(x)) - x * t, reduction))),
    Mutant(LOGITS, "gradient-without-target", vjp=instead(gradient(lambda x, t: sigmoid(x))), at="scale-1"),
    Mutant(LOGITS, "gradient-of-squared-error", at="scale-1",
           vjp=instead(gradient(lambda x, t: (sigmoid(x) - t) * sigmoid(x) * sigmoid(-x)))),
    Mutant(LOGITS, "gradient-vanishing-beyond-8", at="scale-100",
           vjp=instead(gradient(lambda x, t: (sigmoid(x) - t) * (np.abs(x) < 8)))),
    Mutant(LOGITS, "sigmoid-minus-target", at={"*/float16/vjp": "scale-1000", "*": "met-line-120"},
           vjp=instead(gradient(lambda x, t: sigmoid(x) - t))),
    Mutant(LOGITS, "target-has-no-gradient", at="scale-1", check="vjp.t",
           vjp=instead(lambda g, y, x, **kw: {"x": OPS[LOGITS].vjp(g, y, x, **kw)["x"], "t": 0 * x})),
    Mutant(LOGITS, "target-gradient-negated", at="scale-1", check="vjp.t",
           vjp=instead(lambda g, y, x, **kw: {"x": (dx := OPS[LOGITS].vjp(g, y, x, **kw))["x"], "t": -dx["t"]})),
)  # fmt: skip

MUTANTS = (*of_exps(LOGITS, loss, loss_vjp), *OWN)
