"""multiclass_hinge: its classes, its margin, its power, its weights, and its conventions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gradparity.adapter import Fn
from gradparity.mutants.defects import arguments, instead, result
from gradparity.mutants.hinges import undeclared
from gradparity.mutants.softmax_family import labels_off_by_one, no_weights, one_hot, swapped
from gradparity.mutation import Mutant
from gradparity.op import Array, Arrays
from gradparity.reference import OPS

WW = "multiclass_hinge"


def both(op: str, name: str, change: Callable[[Arrays], Arrays], at: str) -> Mutant:
    """The right function of other arguments."""
    return Mutant(op, name, arguments(change), arguments(change), at)


def scaled(op: str, name: str, factor: Callable[[Arrays], Any], at: str, reason: str = "fail/bound") -> Mutant:
    """The right loss and gradient, times a factor."""
    change = result(lambda y, kw: y * factor(kw))
    return Mutant(op, name, change, change, at, reason)


def margins(x: Array, t: Array, margin: float) -> Array:
    return x - np.take_along_axis(x, t[:, None], 1) + x.dtype.type(margin)


def reduced(loss: Array, reduction: str) -> Array:
    return {"none": loss, "sum": loss.sum(), "mean": loss.sum() / loss.dtype.type(len(loss))}[reduction]


def wrong_classes(x: Array, t: Array, margin: float, cut: Fn = np.maximum) -> Array:
    """[N, C] hinges, 0 at the label."""
    return np.where(one_hot(x, t), 0, cut(margins(x, t, margin), 0))


def loss(rows: Callable[..., Array]) -> Any:
    """A value from rows(x, t, weight, margin) of hinges to the power of 1."""
    return instead(lambda x, t, weight, p, margin, reduction: reduced(rows(x, t, weight, margin), reduction))


def gradient(change: Callable[[Array, Arrays], Array]) -> Any:
    """A gradient from the right one, changed."""
    return result(change)


def own(kw: Arrays) -> Array:
    return one_hot(kw["x"], kw["t"]).astype(bool)


def once_for_the_label(dx: Array, kw: Arrays) -> Array:
    """As if one wrong class at most could be too near."""
    return np.where(own(kw), -dx.max(axis=1, keepdims=True, initial=0), dx)


def of_all_weights(kw: Arrays) -> Any:
    """The mean divided by the weights of the labels."""
    return len(kw["t"]) / kw["weight"][kw["t"]].sum() if kw["reduction"] == "mean" else 1


OWN: tuple[Mutant, ...] = (
    both(WW, "labels-off-by-one", labels_off_by_one, "scale-1"),
    both(WW, "weights-ignored", no_weights, "scale-1"),
    both(WW, "margin-0", lambda kw: {"margin": 0.0}, "scale-1"),
    both(WW, "margin-1-always", lambda kw: {"margin": 1.0}, "margin-0.5-scale-1"),
    both(WW, "margin-1.000001", lambda kw: {"margin": kw["margin"] * 1.000001}, "kink"),
    both(WW, "not-squared", lambda kw: {"p": 1}, "squared-scale-1"),
    both(WW, "squared", lambda kw: {"p": 2}, "scale-1"),
    both(WW, "mean-for-sum", swapped, "sum-scale-1"),
    both(WW, "of-minus-x", lambda kw: {"x": -kw["x"]}, "scale-1"),
    scaled(WW, "divided-by-the-classes", lambda kw: 1 / kw["x"].shape[1], "scale-1"),
    scaled(WW, "divided-by-the-wrong-classes", lambda kw: 1 / max(kw["x"].shape[1] - 1, 1), "scale-1"),
    scaled(WW, "mean-over-the-weights", of_all_weights, "mean-scale-1"),
    Mutant(WW, "own-class-counted", at="scale-1",
           value=result(lambda y, kw: y + reduced(kw["weight"][kw["t"]] * kw["margin"] ** kw["p"], kw["reduction"]))),
    Mutant(WW, "largest-for-sum", at="scale-1",
           value=loss(lambda x, t, weight, margin: weight[t] * wrong_classes(x, t, margin).max(axis=1, initial=0))),
    Mutant(WW, "weights-of-the-wrong-classes", at="scale-1",
           value=loss(lambda x, t, weight, margin: (weight * wrong_classes(x, t, margin)).sum(axis=1))),
    Mutant(WW, "not-cut-at-zero", at="scale-1",
           value=loss(lambda x, t, weight, margin:
                      weight[t] * np.where(one_hot(x, t), 0, margins(x, t, margin)).sum(axis=1))),
    Mutant(WW, "nan-cut-at-zero", at="nan", reason="fail/nonfinite",
           value=loss(lambda x, t, weight, margin: weight[t] * wrong_classes(x, t, margin, np.fmax).sum(axis=1))),
    Mutant(WW, "mean-of-no-rows-is-zero", result(lambda y, kw: np.nan_to_num(y)), at="mean-zero-rows",
           reason="fail/nonfinite"),
    Mutant(WW, "label-detached", vjp=gradient(lambda dx, kw: np.where(own(kw), 0, dx)), at="scale-1"),
    Mutant(WW, "wrong-classes-detached", vjp=gradient(lambda dx, kw: np.where(own(kw), dx, 0)), at="scale-1"),
    Mutant(WW, "label-pulled-once", vjp=gradient(once_for_the_label), at="scale-1"),
    Mutant(WW, "half-of-the-square", at="squared-scale-1",
           vjp=gradient(lambda dx, kw: dx / 2 if kw["p"] == 2 else dx)),
)  # fmt: skip

MUTANTS = (
    *OWN,
    *undeclared(WW, "kink", "kink", (0.0, 0.5, 1.0)),
    *undeclared(WW, "nan_margin", "nan", (0.0, np.nan)),
    *undeclared(WW, "nan_square", "squared-nan", (0.0, np.nan)),
)
