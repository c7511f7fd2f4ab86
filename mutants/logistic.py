"""What is made of binary cross-entropies: focal_loss, one_vs_rest and logistic_regression."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from gradparity.adapter import Fn
from gradparity.mutants.binary_cross_entropy import of_exps, over_n_minus_1, spread
from gradparity.mutants.defects import arguments, instead, result
from gradparity.mutants.pointwise import Exp, log_sigmoid, sigmoid
from gradparity.mutants.softmax_family import RIGHT as SOFTMAX
from gradparity.mutants.softmax_family import (
    labels_off_by_one,
    one_hot,
    over_all_elements,
    reduced,
    softmax,
    swapped,
)
from gradparity.mutants.softmax_family import spread as spread_over_rows
from gradparity.mutants.softmax_regression import penalties
from gradparity.mutation import Mutant
from gradparity.op import Array, Arrays

FOCAL, REST, REGRESSION = "focal_loss", "one_vs_rest", "logistic_regression"


def both(op: str, name: str, defect: Any, at: str) -> Mutant:
    return Mutant(op, name, defect, defect, at)


# --- the focal loss


def towards(x: Array, t: Array) -> Array:
    return np.where(t > 0, x, -x)


def weight(t: Array, alpha: Any) -> Any:
    return 1 if alpha is None else np.where(t > 0, alpha, 1 - alpha)


def focal(x: Array, t: Array, alpha: Any, gamma: int, reduction: str, exp: Exp = np.exp) -> Array:
    z = towards(x, t)
    return reduced(weight(t, alpha) * sigmoid(-z, exp) ** gamma * -log_sigmoid(z, exp), reduction)


def slope(p: Array, q: Array, log_p: Array, gamma: int) -> Array:
    return q**gamma * (gamma * p * log_p - q)


def focal_vjp(
    g: Array, y: Array, x: Array, t: Array, alpha: Any, gamma: int, reduction: str, exp: Exp = np.exp,
    slope: Callable[..., Array] = slope,
) -> Arrays:  # fmt: skip
    """With a sigmoid of its own, and a slope dz(p, q, log p, gamma)."""
    z = towards(x, t)
    c = spread(g, x, reduction) * weight(t, alpha)
    return {"x": c * towards(slope(sigmoid(z, exp), sigmoid(-z, exp), log_sigmoid(z, exp), gamma), t)}


def focal_of(loss: Callable[[Array, Array], Array], factor: Callable[[Array], Array] = lambda z: sigmoid(-z)) -> Any:
    """A value from loss(x, t) of each logit, and what its gamma-th power multiplies."""
    return instead(lambda x, t, alpha, gamma, reduction: reduced(
        weight(t, alpha) * factor(towards(x, t)) ** gamma * loss(x, t), reduction
    ))  # fmt: skip


def with_slope(slope: Callable[..., Array]) -> Any:
    return instead(partial(focal_vjp, slope=slope))


def clipped(x: Array, t: Array) -> Array:
    return -np.log(np.clip(sigmoid(towards(x, t)), 1e-7, 1 - 1e-7))


def by_positives(y: Array, kw: Arrays) -> Array:
    """Divided by the number of targets 1."""
    return y * len(kw["t"]) / max(np.sum(kw["t"]), 1) if kw["reduction"] == "mean" else y


def other_alpha(kw: Arrays) -> Arrays:
    return {"alpha": None if kw["alpha"] is None else 1 - kw["alpha"]}


FOCAL_LOSS: tuple[Mutant, ...] = (
    *of_exps(FOCAL, focal, focal_vjp),
    both(FOCAL, "targets-swapped", arguments(lambda kw: {"t": 1 - kw["t"]}), "scale-1"),
    both(FOCAL, "of-minus-x", arguments(lambda kw: {"x": -kw["x"]}), "scale-1"),
    both(FOCAL, "unfocused", arguments(lambda kw: {"gamma": 0}), "scale-1"),
    both(FOCAL, "gamma-1-always", arguments(lambda kw: {"gamma": 1}), "scale-1"),
    both(FOCAL, "gamma-2-always", arguments(lambda kw: {"gamma": 2}), "gamma-1-scale-1"),
    both(FOCAL, "alpha-ignored", arguments(lambda kw: {"alpha": None}), "alpha-0.3-scale-1"),
    both(FOCAL, "alpha-of-the-other-target", arguments(other_alpha), "alpha-0.3-scale-1"),
    both(FOCAL, "mean-for-sum", arguments(swapped), "sum-scale-1"),
    both(FOCAL, "divided-by-n-minus-1", result(over_n_minus_1), "mean-scale-1"),
    both(FOCAL, "divided-by-the-positives", result(by_positives), "mean-scale-1"),
    Mutant(FOCAL, "alpha-for-both-targets", at="alpha-0.3-scale-1", value=instead(
        lambda x, t, alpha, gamma, reduction: focal(x, t, None, gamma, reduction) * (1 if alpha is None else alpha))),
    Mutant(FOCAL, "less-the-less-probable", at="scale-1", value=focal_of(
        lambda x, t: -log_sigmoid(towards(x, t)), sigmoid)),
    Mutant(FOCAL, "binary-logarithm", at="scale-1", value=result(lambda y, kw: y / np.log(y.dtype.type(2)))),
    Mutant(FOCAL, "clipped-at-1e-7", at="missed-line-120", value=focal_of(clipped)),
    Mutant(FOCAL, "log-of-sigmoid", at="missed-line-120", reason="fail/nonfinite",
           value=focal_of(lambda x, t: -np.log(1 - 1 / (1 + np.exp(towards(x, t)))))),
    Mutant(FOCAL, "factor-detached", at="scale-1", vjp=with_slope(lambda p, q, log_p, gamma: -(q ** (gamma + 1)))),
    Mutant(FOCAL, "factor-alone", at="scale-1",
           vjp=with_slope(lambda p, q, log_p, gamma: gamma * q**gamma * p * log_p)),
    Mutant(FOCAL, "gradient-without-gamma", at="scale-1",
           vjp=with_slope(lambda p, q, log_p, gamma: slope(p, q, log_p, 1) * q ** (gamma - 1.0))),
    Mutant(FOCAL, "gradient-of-cross-entropy", at="scale-1", vjp=with_slope(lambda p, q, log_p, gamma: -q)),
    Mutant(FOCAL, "gradient-without-p", at="scale-1",
           vjp=with_slope(lambda p, q, log_p, gamma: q**gamma * (gamma * log_p - q))),
)  # fmt: skip


# --- one against the rest


def rows(of: Callable[[Array, Array], Array]) -> Any:
    """A value from the losses [N, C] of(x, one-hot labels)."""
    return instead(lambda x, t, reduction: reduced(of(x, one_hot(x, t)).sum(axis=1), reduction))


def each(x: Array, own: Array) -> Array:
    return -log_sigmoid(np.where(own > 0, x, -x))


def of_scores(change: Callable[[Array, Array], Array]) -> Any:
    """A gradient from that of each score."""
    return instead(lambda g, y, x, t, reduction: {"x": spread_over_rows(g, x, reduction) * change(x, one_hot(x, t))})


def scaled(factor: Callable[[Arrays], Any]) -> Any:
    return result(lambda y, kw: y * factor(kw))


ONE_VS_REST: tuple[Mutant, ...] = (
    both(REST, "labels-off-by-one", arguments(labels_off_by_one), "scale-1"),
    both(REST, "of-minus-x", arguments(lambda kw: {"x": -kw["x"]}), "scale-1"),
    both(REST, "mean-for-sum", arguments(swapped), "sum-scale-1"),
    both(REST, "divided-by-the-classes", scaled(lambda kw: 1 / kw["x"].shape[1]), "scale-1"),
    both(REST, "divided-by-n-minus-1", result(over_n_minus_1), "mean-scale-1"),
    both(REST, "mean-of-all-elements", result(over_all_elements), "mean-scale-1"),
    Mutant(REST, "softmax-cross-entropy", at="scale-1",
           value=rows(lambda x, own: -own * np.log(softmax(SOFTMAX, x))),
           vjp=of_scores(lambda x, own: softmax(SOFTMAX, x) - own)),
    Mutant(REST, "label-alone", at="scale-1", value=rows(lambda x, own: own * each(x, own)),
           vjp=of_scores(lambda x, own: own * (sigmoid(x) - 1))),
    Mutant(REST, "rest-alone", at="scale-1", value=rows(lambda x, own: (1 - own) * each(x, own)),
           vjp=of_scores(lambda x, own: (1 - own) * sigmoid(x))),
    Mutant(REST, "one-against-the-mean-of-the-rest", at="scale-1", value=rows(
        lambda x, own: each(x, own) * np.where(own > 0, 1, 1 / x.dtype.type(max(x.shape[1] - 1, 1))))),
    Mutant(REST, "a-class-missing", at="scale-1", value=rows(lambda x, own: each(x, own)[:, : max(x.shape[1] - 1, 1)])),
    Mutant(REST, "log-of-sigmoid", at="scale-1000", reason="fail/nonfinite",
           value=rows(lambda x, own: -np.log(np.where(own > 0, sigmoid(x), 1 - sigmoid(x))))),
    Mutant(REST, "probabilities-normalised", at="scale-1", value=rows(
        lambda x, own: -own * np.log(sigmoid(x) / sigmoid(x).sum(axis=1, keepdims=True)))),
    Mutant(REST, "squared-error", at="scale-1", vjp=of_scores(
        lambda x, own: (sigmoid(x) - own) * sigmoid(x) * sigmoid(-x))),
    Mutant(REST, "labels-have-no-gradient", at="scale-1", vjp=of_scores(lambda x, own: sigmoid(x))),
)  # fmt: skip


# --- the classifier of two classes


def logistic(x: Array, w: Array, t: Array, reg: Any) -> Any:
    """Without the care that a large score needs."""
    return np.mean(np.log1p(np.exp(x @ w)) - t * (x @ w)) + reg * np.sum(w * w)


def for_features(s: Array, x: Array, w: Array, reg: Any, g: Array) -> Array:
    return np.outer(s, w)


def for_weights(s: Array, x: Array, w: Array, reg: Any, g: Array) -> Array:
    return x.T @ s + 2 * g * reg * w


def gradient(change: Fn = lambda s, p, t: s, **terms: Fn) -> Any:
    """With another sigmoid(x w) - t, or with other terms for x or w."""

    def vjp(g: Array, y: Array, x: Array, w: Array, t: Array, reg: Any) -> Arrays:
        p = sigmoid(x @ w)
        s = g * change(p - t, p, t) / x.dtype.type(len(t))
        parts: dict[str, Fn] = {"x": for_features, "w": for_weights, **terms}
        return {k: part(s, x, w, reg, g) for k, part in parts.items()}

    return instead(vjp)


LOGISTIC: tuple[Mutant, ...] = (
    *penalties(REGRESSION),
    both(REGRESSION, "targets-swapped", arguments(lambda kw: {"t": 1 - kw["t"]}), "scale-1"),
    both(REGRESSION, "targets-are-signs", arguments(lambda kw: {"t": 2 * kw["t"] - 1}), "scale-1"),
    both(REGRESSION, "weights-negated", arguments(lambda kw: {"w": -kw["w"]}), "scale-1"),
    both(REGRESSION, "features-reversed", arguments(lambda kw: {"x": kw["x"][:, ::-1]}), "scale-1"),
    Mutant(REGRESSION, "sum-for-mean", result(lambda y, kw: y * len(kw["x"])), at="scale-1"),
    Mutant(REGRESSION, "exp-overflows", instead(logistic), at="large-scores", reason="fail/nonfinite"),
    Mutant(REGRESSION, "gradient-of-the-sum", at="scale-1", vjp=gradient(lambda s, p, t: s * len(t))),
    Mutant(REGRESSION, "gradient-without-target", at="scale-1", vjp=gradient(lambda s, p, t: p)),
    Mutant(REGRESSION, "gradient-of-squared-error", at="scale-1", vjp=gradient(lambda s, p, t: s * p * (1 - p))),
    Mutant(REGRESSION, "gradient-of-a-perceptron", at="scale-1", vjp=gradient(lambda s, p, t: (p > 0.5) - t)),
    Mutant(REGRESSION, "penalty-without-factor-2", at="reg-3-scale-1", check="vjp.w",
           vjp=gradient(w=lambda s, x, w, reg, g: x.T @ s + g * reg * w)),
    Mutant(REGRESSION, "weights-have-no-gradient", at="scale-1", check="vjp.w",
           vjp=gradient(w=lambda s, x, w, reg, g: 0 * w)),
    Mutant(REGRESSION, "features-have-no-gradient", at="scale-1", vjp=gradient(x=lambda s, x, w, reg, g: 0 * x)),
    Mutant(REGRESSION, "gradient-of-one-row", at="scale-1", check="vjp.w",
           vjp=gradient(w=lambda s, x, w, reg, g: x[:1].T @ s[:1] + 2 * g * reg * w)),
)  # fmt: skip

MUTANTS = (*FOCAL_LOSS, *ONE_VS_REST, *LOGISTIC)
