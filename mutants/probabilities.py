"""The losses on probabilities: their logarithm, what they clip, whether they normalise."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from gradparity.adapter import Fn
from gradparity.mutants.defects import arguments, instead, result
from gradparity.mutants.pointwise import sigmoid
from gradparity.mutants.softmax_family import (
    RIGHT,
    Parts,
    at_label,
    labels_a_row_on,
    labels_off_by_one,
    max_of_everything,
    no_shift,
    one_hot,
    over_n_minus_1,
    reduced,
    row_sum,
    softmax,
    spread,
    swapped,
)
from gradparity.mutation import Defect, Mutant
from gradparity.op import Array, Arrays

NLL = "negative_log_likelihood"


def loss_of(of: Callable[[Array, Array], Array]) -> Defect:
    """A loss of(x, t) for each row, or element, reduced."""
    return instead(lambda x, t, reduction: reduced(of(x, t), reduction))


def gradient_of(of: Callable[[Array, Array], Array]) -> Defect:
    """A derivative of(x, t) of one row's loss."""

    def vjp(g: Array, y: Array, x: Array, t: Array, reduction: str) -> Arrays:
        return {"x": spread(g, x, reduction) * of(x, t)}

    return instead(vjp)


def normalised(x: Array, t: Array) -> Array:
    return -np.log(at_label(x / row_sum(x, -1), t))


def gradient_if_normalised(x: Array, t: Array) -> Array:
    return 1 / row_sum(x, -1) + right_gradient(x, t)


def right_gradient(x: Array, t: Array) -> Array:
    return np.where(one_hot(x, t) == 1, -1 / x, x.dtype.type(0))


def clipped_at(least: float) -> Callable[[Array, Array], Array]:
    return lambda x, t: -np.log(np.maximum(at_label(x, t), x.dtype.type(least)))


def plus(least: float) -> Callable[[Array, Array], Array]:
    """log(p + eps), as is often written."""
    return lambda x, t: -np.log(at_label(x, t) + x.dtype.type(least))


def gradient_clipped_at(least: float) -> Callable[[Array, Array], Array]:
    return lambda x, t: right_gradient(x, t) * (x >= least)


def both(op: str, name: str, defect: Defect, at: str) -> Mutant:
    return Mutant(op, name, defect, defect, at)


OF_LABELS: tuple[Mutant, ...] = (
    both(NLL, "labels-off-by-one", arguments(labels_off_by_one), "spread-4"),
    both(NLL, "labels-shifted-by-a-row", arguments(labels_a_row_on), "spread-4"),
    both(NLL, "mean-for-sum", arguments(swapped), "sum-spread-4"),
    both(NLL, "sum-for-mean", arguments(swapped), "mean-spread-4"),
    both(NLL, "mean-over-n-minus-1", result(over_n_minus_1), "mean-spread-4"),
    Mutant(NLL, "normalised", loss_of(normalised), gradient_of(gradient_if_normalised),
           {"*/value": "unnormalised-8", "*": "spread-4"}),
    Mutant(NLL, "gradient-as-if-normalised", vjp=gradient_of(gradient_if_normalised), at="spread-4"),
    Mutant(NLL, "clipped-at-1e-7", loss_of(clipped_at(1e-7)), gradient_of(gradient_clipped_at(1e-7)), "near-floor"),
    Mutant(NLL, "clipped-in-the-forward-alone", loss_of(clipped_at(1e-15)), at="some-zeros", reason="fail/nonfinite"),
    Mutant(NLL, "log-of-p-plus-1e-7", loss_of(plus(1e-7)), at="near-floor"),
    Mutant(NLL, "log-to-the-base-2", loss_of(lambda x, t: -np.log2(at_label(x, t))), at="spread-4"),
    Mutant(NLL, "log-softmax-for-log", loss_of(lambda x, t: np.log(row_sum(np.exp(x), -1))[:, 0] - at_label(x, t)),
           at="spread-4"),
    Mutant(NLL, "of-the-largest-probability", loss_of(lambda x, t: -np.log(x.max(axis=-1))), at="spread-4"),
    Mutant(NLL, "of-logits", vjp=gradient_of(lambda x, t: x - one_hot(x, t)), at="spread-4"),
    Mutant(NLL, "gradient-of-every-class", vjp=gradient_of(lambda x, t: -1 / x), at="spread-4"),
    Mutant(NLL, "gradient-without-logarithm", vjp=gradient_of(lambda x, t: -one_hot(x, t)), at="spread-4"),
    Mutant(NLL, "gradient-clipped-at-1e-7", vjp=gradient_of(gradient_clipped_at(1e-7)), at="near-floor"),
)  # fmt: skip

# --- layer by layer

LAYERED = "layered_cross_entropy"


def probabilities(x: Array, axis: int = -1) -> Array:
    return softmax(RIGHT, x, axis)


def layered(of: Callable[[Array], Array]) -> Defect:
    """With other probabilities of(x)."""

    def loss(x: Array, q: Array, t: Array, reduction: str) -> tuple[Array, Array]:
        p = of(x) + q
        return reduced(-np.log(at_label(p, t)), reduction), p

    return instead(loss)


def of_one_max(x: Array) -> Array:
    """np.max(inputs) over the whole batch: rows far below it underflow."""
    return softmax(Parts(shift=max_of_everything), x)


def backwards(dx: Callable[[Array, Array], Array], dp: Callable[[Array, Array], Array] = right_gradient) -> Defect:
    """Of dp(p, t), the gradient for the probabilities, and dx(s, dp), which takes it through the softmax."""

    def vjp(g: Array, y: Array, x: Array, q: Array, t: Array, reduction: str) -> Arrays:
        s = probabilities(x)
        d = spread(g, x, reduction) * dp(s + q, t)
        return {"x": dx(s, d), "q": d}

    return instead(vjp)


def through_softmax(s: Array, d: Array) -> Array:
    return s * (d - row_sum(s * d, -1))


def one_gradient_for_both(g: Array, y: Array, x: Array, q: Array, t: Array, reduction: str) -> Arrays:
    """That of the fused loss for the probabilities too."""
    d = spread(g, x, reduction) * (probabilities(x) - one_hot(x, t))
    return {"x": d, "q": d}


IN_LAYERS: tuple[Mutant, ...] = (
    both(LAYERED, "labels-off-by-one", arguments(labels_off_by_one), "coarse"),
    both(LAYERED, "labels-shifted-by-a-row", arguments(labels_a_row_on), "coarse"),
    both(LAYERED, "mean-for-sum", arguments(swapped), "sum-scale-1"),
    both(LAYERED, "perturbation-ignored", arguments(lambda kw: {"q": 0 * kw["q"]}), "perturbed"),
    Mutant(LAYERED, "mean-over-n-minus-1", result(over_n_minus_1), at="mean-scale-1"),
    Mutant(LAYERED, "no-max-shift", layered(lambda x: softmax(Parts(shift=no_shift), x)), at="shift-10000",
           reason="fail/nonfinite"),
    Mutant(LAYERED, "max-of-the-whole-batch", layered(of_one_max), at="far-rows", reason="fail/nonfinite"),
    Mutant(LAYERED, "softmax-along-axis-0", layered(lambda x: probabilities(x, 0)), at="classes-17"),
    Mutant(LAYERED, "softmax-twice", layered(lambda x: probabilities(probabilities(x))), at="coarse"),
    Mutant(LAYERED, "clipped-at-0.01", at="scale-1",
           value=layered(lambda x: np.maximum(probabilities(x), x.dtype.type(0.01)))),
    Mutant(LAYERED, "diagonal-only", vjp=backwards(lambda s, d: s * (1 - s) * d), at="coarse"),
    Mutant(LAYERED, "softmax-not-passed-through", vjp=backwards(lambda s, d: d), at="coarse"),
    Mutant(LAYERED, "jacobian-without-the-outer-product", vjp=backwards(lambda s, d: s * d), at="coarse"),
    Mutant(LAYERED, "jacobian-summed-over-the-batch", at="classes-17",
           vjp=backwards(lambda s, d: s * (d - row_sum(s * d, -1).sum(axis=0)))),
    Mutant(LAYERED, "gradient-as-if-normalised", at="coarse", check="vjp.q",
           vjp=backwards(through_softmax, gradient_if_normalised)),
    Mutant(LAYERED, "one-gradient-for-both-layers", vjp=instead(one_gradient_for_both), at="coarse", check="vjp.q"),
)  # fmt: skip

# --- two classes

BCE = "binary_cross_entropy"


def slope(of: Callable[[Array, Array], Array]) -> Defect:
    """A derivative of(x, t) of one loss."""

    def vjp(g: Array, y: Array, x: Array, t: Array, reduction: str) -> Arrays:
        return {"x": (g / x.dtype.type(len(x)) if reduction == "mean" else g) * of(x, t)}

    return instead(vjp)


def binary_loss(x: Array, t: Array, log: Fn = np.log) -> Array:
    return -t * log(x) - (1 - t) * log(1 - x)


def within(least: float, x: Array) -> Array:
    return np.clip(x, x.dtype.type(least), x.dtype.type(1 - least))


OF_TWO: tuple[Mutant, ...] = (
    both(BCE, "targets-all-1", arguments(lambda kw: {"t": 0 * kw["t"] + 1}), "spread-4"),
    both(BCE, "targets-swapped", arguments(lambda kw: {"t": 1 - kw["t"]}), "spread-4"),
    both(BCE, "targets-rounded", arguments(lambda kw: {"t": np.round(kw["t"])}), "soft-spread-4"),
    both(BCE, "targets-are-signs", arguments(lambda kw: {"t": (kw["t"] + 1) / 2}), "spread-4"),
    both(BCE, "mean-over-n-minus-1", result(over_n_minus_1), "mean-spread-4"),
    both(BCE, "mean-for-sum", arguments(swapped), "sum-spread-4"),
    both(BCE, "clipped-at-0.01", arguments(lambda kw: {"x": within(1e-2, kw["x"])}), "spread-8"),
    Mutant(BCE, "positives-alone", loss_of(lambda x, t: -t * np.log(x)), slope(lambda x, t: -t / x), "coarse"),
    Mutant(BCE, "of-logits", loss_of(lambda x, t: binary_loss(sigmoid(x), t)), slope(lambda x, t: sigmoid(x) - t),
           "coarse"),
    Mutant(BCE, "log-to-the-base-2", loss_of(partial(binary_loss, log=np.log2)), at="coarse"),
    Mutant(BCE, "log-of-p-plus-1e-3", loss_of(partial(binary_loss, log=lambda p: np.log(p + p.dtype.type(1e-3)))),
           at="coarse"),
    Mutant(BCE, "squared-error", loss_of(lambda x, t: np.square(x - t)), slope(lambda x, t: 2 * (x - t)), "coarse"),
    Mutant(BCE, "gradient-of-the-logits", vjp=slope(lambda x, t: x - t), at="coarse"),
    Mutant(BCE, "gradient-negated-for-negatives", vjp=slope(lambda x, t: -t / x - (1 - t) / (1 - x)), at="coarse"),
    Mutant(BCE, "gradient-over-p-alone", vjp=slope(lambda x, t: (x - t) / x), at="coarse"),
    Mutant(BCE, "gradient-over-p-squared", vjp=slope(lambda x, t: (x - t) / np.square(x)), at="coarse"),
    Mutant(BCE, "least-variance-of-0.05", at="spread-4",
           vjp=slope(lambda x, t: (x - t) / np.maximum(x * (1 - x), x.dtype.type(0.05)))),
)  # fmt: skip

MUTANTS = (*OF_LABELS, *IN_LAYERS, *OF_TWO)
