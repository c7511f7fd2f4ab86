"""The losses on probabilities: their logarithm, what they clip, whether they normalise."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gradparity.adapter import Fn
from gradparity.mutants.defects import arguments, instead, result
from gradparity.mutants.softmax_family import (
    at_label,
    labels_a_row_on,
    labels_off_by_one,
    one_hot,
    over_n_minus_1,
    reduced,
    row_sum,
    spread,
    swapped,
)
from gradparity.mutation import Defect, Mutant
from gradparity.op import Array, Arrays

NLL = "negative_log_likelihood"


def loss_of(of: Callable[[Array, Array], Array]) -> Defect:
    """A loss of(x, t) for each row, reduced."""
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


def both(op: str, name: str, defect: Defect, at: str, **more: Fn) -> Mutant:
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

MUTANTS = OF_LABELS
