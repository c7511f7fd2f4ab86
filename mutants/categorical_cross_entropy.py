"""The cross-entropy of probabilities with a number for each class as target, and its focal form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gradparity.adapter import Fn
from gradparity.mutants.defects import NOTHING_EXCHANGED, arguments, instead, result
from gradparity.mutants.probabilities import both
from gradparity.mutants.softmax_family import (
    over_n_minus_1,
    reduced,
    row_sum,
    spread,
    spread_over_the_others,
    swapped,
    targets,
)
from gradparity.mutation import Defect, Mutant
from gradparity.op import Array, Arrays

CCE = "categorical_cross_entropy"
Of = Callable[..., Any]


def terms(x: Array, t: Array, gamma: int, log: Fn = np.log) -> Array:
    """-(1 - p)^gamma t log p."""
    return -((1 - x) ** gamma) * t * log(x)


def slope(x: Array, t: Array, gamma: int) -> Array:
    """Its derivative."""
    pull = gamma * (1 - x) ** (gamma - 1) * t * np.log(x) if gamma else 0 * x
    return pull - (1 - x) ** gamma * t / x


def loss_of(of: Of = terms, total: Fn = lambda y: y.sum(-1), smooth: Of = targets) -> Defect:
    """Of a loss of(x, s, gamma) for each class, s the smoothed targets."""

    def loss(
        x: Array, t: Array, alpha: float | None, gamma: int, reduction: str, label_smoothing: float = 0.0
    ) -> Array:  # fmt: skip
        return reduced(weight(x, alpha) * total(of(x, smooth(t, label_smoothing), gamma)), reduction)

    return instead(loss)


def gradient_of(
    of: Of = slope, for_targets: Of = lambda x, s, c, gamma: terms(x, c, gamma), smooth: Of = targets,
    of_targets: Callable[[float], float] = lambda label_smoothing: 1 - label_smoothing,
) -> Defect:  # fmt: skip
    """Of derivatives of(x, c s, gamma) for the probabilities, which are linear in s, the smoothed targets, and for the
    targets, of which s has a part of_targets; c is the cotangent of a class."""

    def vjp(
        g: Array, y: Array, x: Array, t: Array, alpha: float | None, gamma: int, reduction: str,
        label_smoothing: float = 0.0,
    ) -> Arrays:  # fmt: skip
        c, s = weight(x, alpha) * spread(g, x, reduction), smooth(t, label_smoothing)
        return {"x": of(x, c * s, gamma), "t": for_targets(x, s, c, gamma) * of_targets(label_smoothing)}

    return instead(vjp)


def weight(x: Array, alpha: float | None) -> Any:
    return x.dtype.type(1 if alpha is None else alpha)


def normalised(x: Array, t: Array, gamma: int) -> Array:
    return terms(x / row_sum(x, -1), t, gamma)


def gradient_if_normalised(x: Array, t: Array, gamma: int) -> Array:
    return slope(x, t, gamma) + row_sum(t, -1) / row_sum(x, -1)


def one_for_all(kw: Arrays) -> Arrays:
    """The target of the most probable class is all of it."""
    t = kw["t"]
    return {"t": (np.arange(t.shape[-1]) == np.argmax(t, axis=-1)[:, None]).astype(t.dtype)}


def summing_to_1(kw: Arrays) -> Arrays:
    return {"t": kw["t"] / row_sum(kw["t"], -1)}


def with_negatives(x: Array, t: Array, gamma: int) -> Array:
    """Of each class whether it is the one, as if they were apart."""
    return terms(x, t, gamma) + terms(1 - x, 1 - t, gamma)


def clipped(least: float) -> Callable[[Array], Array]:
    return lambda x: np.maximum(x, x.dtype.type(least))


def focus_of_the_target(x: Array, t: Array, gamma: int) -> Array:
    """(1 - sum_j t_j p_j)^gamma for a whole row."""
    return terms(x, t, 0) * (1 - row_sum(t * x, -1)) ** gamma


OF_BOTH = (
    ("targets-off-by-one", arguments(lambda kw: {"t": np.roll(kw["t"], 1, axis=-1)}), "spread-4"),
    ("targets-of-the-next-row", arguments(lambda kw: {"t": np.roll(kw["t"], 1, axis=0)}), "spread-4"),
    ("targets-hardened", arguments(one_for_all), "spread-4"),
    ("targets-made-to-sum-to-1", arguments(summing_to_1), "weights-spread-8"),
    ("mean-for-sum", arguments(swapped), "sum-spread-4"),
    ("mean-over-n-minus-1", result(over_n_minus_1), "mean-spread-4"),
    ("probabilities-and-targets-exchanged", arguments(lambda kw: {"x": kw["t"] + 2**-6, "t": kw["x"]}), "spread-4"),
    ("gamma-one-more", arguments(lambda kw: {"gamma": kw["gamma"] + 1}), "gamma-1-spread-4"),
    ("gamma-ignored", arguments(lambda kw: {"gamma": 0}), "gamma-2-spread-4"),
    ("smoothing-forgotten", arguments(lambda kw: {"label_smoothing": 0.0}), "smoothed-spread-4"),
    ("label-smoothing-left-on", arguments(lambda kw: {"label_smoothing": 0.01}), "spread-4"),
    ("alpha-ignored", arguments(lambda kw: {"alpha": None}), "gamma-2-alpha-0.25-spread-4"),
)
MUTANTS: tuple[Mutant, ...] = (
    Mutant(CCE, "from-parts", loss_of(), gradient_of(), "spread-4",
           survives={"*": NOTHING_EXCHANGED}),
    *(both(CCE, name, defect, at) for name, defect, at in OF_BOTH),
    Mutant(CCE, "smoothing-over-the-other-classes", loss_of(smooth=spread_over_the_others),
           gradient_of(smooth=spread_over_the_others), "smoothed-spread-4"),
    Mutant(CCE, "smoothing-not-in-the-gradient-of-targets", at="smoothed-spread-4", check="vjp.t",
           vjp=gradient_of(of_targets=lambda label_smoothing: 1.0)),
    Mutant(CCE, "normalised", loss_of(normalised), gradient_of(gradient_if_normalised),
           {"*/value": "unnormalised-8", "*": "spread-4"}),
    Mutant(CCE, "with-negatives", loss_of(with_negatives), at="spread-4"),
    Mutant(CCE, "clipped-at-1e-3", at="near-floor",
           value=loss_of(lambda x, t, gamma: terms(clipped(1e-3)(x), t, gamma)),
           vjp=gradient_of(lambda x, t, gamma: slope(x, t, gamma) * (x >= x.dtype.type(1e-3)))),
    Mutant(CCE, "clipped-in-the-forward-alone", at="some-zeros", reason="fail/nonfinite",
           value=loss_of(lambda x, t, gamma: terms(clipped(1e-7)(x), t, gamma))),
    Mutant(CCE, "log-of-p-plus-1e-3", at="spread-8",
           value=loss_of(lambda x, t, gamma: terms(x, t, gamma, lambda p: np.log(p + p.dtype.type(1e-3))))),
    Mutant(CCE, "log-to-the-base-2", loss_of(lambda x, t, gamma: terms(x, t, gamma, np.log2)), at="spread-4"),
    Mutant(CCE, "mean-over-classes", loss_of(total=lambda y: y.sum(-1) / y.dtype.type(y.shape[-1])), at="spread-4"),
    Mutant(CCE, "summed-over-rows", loss_of(total=lambda y: y.sum(0)), at="spread-4", reason="fail/shape"),
    Mutant(CCE, "of-probabilities-for-logits", at="spread-4",
           value=loss_of(lambda x, t, gamma: t * (np.log(row_sum(np.exp(x), -1)) - x))),
    Mutant(CCE, "focus-of-the-target", loss_of(focus_of_the_target), at="gamma-2-spread-4"),
    Mutant(CCE, "focus-by-p", at="gamma-2-spread-4", value=loss_of(lambda x, t, gamma: terms(x, t, 0) * x**gamma)),
    Mutant(CCE, "gradient-of-the-logits", vjp=gradient_of(lambda x, t, gamma: x * row_sum(t, -1) - t), at="spread-4"),
    Mutant(CCE, "gradient-as-if-normalised", vjp=gradient_of(gradient_if_normalised), at="spread-4"),
    Mutant(CCE, "gradient-without-logarithm", vjp=gradient_of(lambda x, t, gamma: -t), at="spread-4"),
    Mutant(CCE, "gradient-of-every-class", at="spread-4",
           vjp=gradient_of(lambda x, t, gamma: slope(x, row_sum(t, -1), gamma))),
    Mutant(CCE, "gradient-through-the-logarithm-alone", at="gamma-2-spread-4",
           vjp=gradient_of(lambda x, t, gamma: -t * (1 - x) ** gamma / x)),
    Mutant(CCE, "gradient-of-the-focus-negated", at="gamma-2-spread-4",
           vjp=gradient_of(lambda x, t, gamma: 2 * slope(x, t, 0) * (1 - x) ** gamma - slope(x, t, gamma))),
    Mutant(CCE, "gradient-for-targets-negated", at="spread-4", check="vjp.t",
           vjp=gradient_of(for_targets=lambda x, t, c, gamma: -terms(x, c, gamma))),
    Mutant(CCE, "gradient-for-targets-without-focus", at="gamma-2-spread-4", check="vjp.t",
           vjp=gradient_of(for_targets=lambda x, t, c, gamma: terms(x, c, 0))),
    Mutant(CCE, "gradient-for-targets-times-target", at="spread-4", check="vjp.t",
           vjp=gradient_of(for_targets=lambda x, t, c, gamma: terms(x, c * t, gamma))),
)  # fmt: skip
