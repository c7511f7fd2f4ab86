"""multiclass_hinge, crammer_singer_hinge, categorical_hinge and multilabel_margin, with their conventions."""

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
from gradparity.reference.multilabel_margin import listed
from gradparity.reference.multilabel_margin import pairs as listed_pairs

WW, CS, CH, ML = "multiclass_hinge", "crammer_singer_hinge", "categorical_hinge", "multilabel_margin"


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


def rows(of: Callable[..., Array]) -> Any:
    """A value from rows(x, t, margin)."""
    return instead(lambda x, t, margin, reduction: reduced(of(x, t, margin), reduction))


def label(kw: Arrays) -> Array:
    return np.take_along_axis(kw["x"], kw["t"][:, None], 1)


def worst(x: Array, t: Array) -> Array:
    """[N, C], the wrong classes with the largest score."""
    wrong = np.where(one_hot(x, t), -np.inf, x)
    return np.asarray(wrong == wrong.max(axis=1, keepdims=True, initial=-np.inf))


def for_each_that_ties(dx: Array, kw: Arrays) -> Array:
    """All that is shared for each of those that share it."""
    return np.where(own(kw), dx, dx * worst(kw["x"], kw["t"]).sum(axis=1, keepdims=True))


def only_the(first: bool) -> Callable[[Array, Arrays], Array]:
    """All of it for the first, or the last, of the classes that are worst."""

    def change(dx: Array, kw: Arrays) -> Array:
        at = worst(kw["x"], kw["t"])
        rank = np.cumsum(at, axis=1)
        chosen = at & (rank == (1 if first else rank[:, -1:]))
        return np.where(own(kw), dx, dx * chosen * at.sum(axis=1, keepdims=True))

    return change


def runner_up(x: Array, t: Array, margin: float) -> Array:
    """The second of the wrong classes, where there are two."""
    scores = np.sort(np.where(one_hot(x, t), -np.inf, x), axis=1)[:, -2 if x.shape[1] > 2 else -1]
    return np.maximum(scores - x[np.arange(len(x)), t] + margin, 0)


def with_a_zero(x: Array, t: Array, margin: float = 1.0) -> Array:
    """The categorical hinge: a 0 stands for the label among the wrong scores."""
    return np.maximum(np.where(one_hot(x, t), 0, x).max(axis=1) - x[np.arange(len(x)), t] + margin, 0)


WORST: tuple[Mutant, ...] = (
    both(CS, "labels-off-by-one", labels_off_by_one, "scale-1"),
    both(CS, "margin-0", lambda kw: {"margin": 0.0}, "rows-1000"),
    both(CS, "margin-1-always", lambda kw: {"margin": 1.0}, "margin-0.5-kink"),
    both(CS, "margin-1.000001", lambda kw: {"margin": kw["margin"] * 1.000001}, "kink"),
    both(CS, "mean-for-sum", swapped, "sum-scale-1"),
    both(CS, "of-minus-x", lambda kw: {"x": -kw["x"]}, "scale-1"),
    scaled(CS, "divided-by-the-classes", lambda kw: 1 / kw["x"].shape[1], "scale-1"),
    Mutant(CS, "sum-for-largest", at="scale-1",
           value=rows(lambda x, t, margin: wrong_classes(x, t, margin).sum(axis=1))),
    Mutant(CS, "runner-up", at="scale-1", value=rows(runner_up)),
    Mutant(CS, "label-among-the-wrong", at="led",
           value=rows(lambda x, t, margin: np.maximum(margins(x, t, margin).max(axis=1), 0))),
    Mutant(CS, "categorical-hinge", at="around-kink", value=rows(with_a_zero)),
    Mutant(CS, "margin-on-every-class", at="led", value=rows(lambda x, t, margin: margins(x, t, margin).max(axis=1))),
    Mutant(CS, "not-cut-at-zero", at="led",
           value=rows(lambda x, t, margin: np.where(one_hot(x, t), -np.inf, margins(x, t, margin)).max(axis=1))),
    Mutant(CS, "nan-hidden", at="nan", reason="fail/nonfinite",
           value=rows(lambda x, t, margin: wrong_classes(x, t, margin, np.fmax).max(axis=1, initial=0))),
    Mutant(CS, "mean-of-no-rows-is-zero", result(lambda y, kw: np.nan_to_num(y)), at="mean-zero-rows",
           reason="fail/nonfinite"),
    Mutant(CS, "label-detached", vjp=gradient(lambda dx, kw: np.where(own(kw), 0, dx)), at="scale-1"),
    Mutant(CS, "worst-class-detached", vjp=gradient(lambda dx, kw: np.where(own(kw), dx, 0)), at="scale-1"),
    Mutant(CS, "all-for-each-that-ties", vjp=gradient(for_each_that_ties), at="ties"),
    Mutant(CS, "all-for-the-first", vjp=gradient(only_the(True)), at="ties"),
    Mutant(CS, "all-for-the-last", vjp=gradient(only_the(False)), at="ties", conventions={"tie": "first"}),
)  # fmt: skip


def unweighted(of: Callable[..., Array]) -> Any:
    """A value from rows(x, t)."""
    return instead(lambda x, t, reduction: reduced(of(x, t), reduction))


def zero_left_out(dx: Array, kw: Arrays) -> Array:
    """What falls to the label's 0 is shared among the wrong classes that tie with it."""
    scores = np.where(own(kw), 0, kw["x"])
    at = scores == scores.max(axis=1, keepdims=True, initial=-np.inf)
    wrong = (at & ~own(kw)).sum(axis=1, keepdims=True)
    return np.where(own(kw), dx, dx * at.sum(axis=1, keepdims=True) / np.maximum(wrong, 1))


CATEGORICAL: tuple[Mutant, ...] = (
    both(CH, "labels-off-by-one", labels_off_by_one, "scale-1"),
    both(CH, "of-minus-x", lambda kw: {"x": -kw["x"]}, "scale-1"),
    both(CH, "mean-for-sum", swapped, "sum-scale-1"),
    scaled(CH, "divided-by-the-classes", lambda kw: 1 / kw["x"].shape[1], "scale-1"),
    Mutant(CH, "crammer-singer", at="below-zero", value=unweighted(
        lambda x, t: wrong_classes(x, t, 1.0).max(axis=1))),
    Mutant(CH, "label-among-the-wrong", at="led",
           value=unweighted(lambda x, t: np.maximum(x.max(axis=1) - x[np.arange(len(x)), t] + 1, 0))),
    Mutant(CH, "sum-for-largest", at="scale-1", value=unweighted(
        lambda x, t: np.maximum(np.where(one_hot(x, t), 0, x).sum(axis=1) - x[np.arange(len(x)), t] + 1, 0))),
    Mutant(CH, "margin-0", at="below-zero", value=unweighted(lambda x, t: with_a_zero(x, t, 0.0))),
    Mutant(CH, "margin-1.000001", at="kink", value=unweighted(lambda x, t: with_a_zero(x, t, 1.000001))),
    Mutant(CH, "squared", at="scale-1", value=unweighted(lambda x, t: np.square(with_a_zero(x, t)))),
    Mutant(CH, "not-cut-at-zero", at="led", value=unweighted(
        lambda x, t: np.where(one_hot(x, t), 0, x).max(axis=1) - x[np.arange(len(x)), t] + 1)),
    Mutant(CH, "nan-hidden", at="nan", reason="fail/nonfinite",
           value=unweighted(lambda x, t: np.nan_to_num(with_a_zero(x, t)))),
    Mutant(CH, "mean-of-no-rows-is-zero", result(lambda y, kw: np.nan_to_num(y)), at="mean-zero-rows",
           reason="fail/nonfinite"),
    Mutant(CH, "label-detached", vjp=gradient(lambda dx, kw: np.where(own(kw), 0, dx)), at="scale-1"),
    Mutant(CH, "worst-class-detached", vjp=gradient(lambda dx, kw: np.where(own(kw), dx, 0)), at="scale-1"),
    Mutant(CH, "all-for-each-that-ties", vjp=gradient(for_each_that_ties), at="ties"),
    Mutant(CH, "all-for-the-first", vjp=gradient(only_the(True)), at="ties"),
    Mutant(CH, "share-of-the-zero-given-away", vjp=gradient(zero_left_out), at="ties-with-the-zero"),
)  # fmt: skip


def to_the_end(t: Array) -> Array:
    """The lists with their -1 last."""
    return np.take_along_axis(t, np.argsort(t < 0, axis=1, kind="stable"), axis=1)


def over_pairs(of: Callable[[Array], Array], which: Callable[..., Array] = listed_pairs, whole: Fn = np.sum) -> Any:
    """A value from of(z), z = 1 - x_j + x_k, of the pairs that which(t, C) says."""

    def value(x: Array, t: Array, reduction: str) -> Array:
        z = (1 - x)[:, :, None] + x[:, None, :]
        return reduced(whole(np.where(which(t, x.shape[1]), of(z), 0), axis=(1, 2), initial=0), reduction)

    return instead(value)


def cut(z: Array) -> Array:
    return np.maximum(z, 0)


def of_lists(kw: Arrays) -> Array:
    return listed(kw["t"], kw["x"].shape[1])


MULTILABEL: tuple[Mutant, ...] = (
    both(ML, "of-minus-x", lambda kw: {"x": -kw["x"]}, "scale-1"),
    both(ML, "mean-for-sum", swapped, "sum-scale-1"),
    both(ML, "labels-off-by-one", lambda kw: {"t": np.where(kw["t"] < 0, -1, (kw["t"] + 1) % kw["x"].shape[1])},
         "scale-1"),
    both(ML, "first-label-alone", lambda kw: {"t": np.where(np.arange(kw["t"].shape[1]) > 0, -1, kw["t"])}, "scale-1"),
    both(ML, "end-of-the-list-ignored", lambda kw: {"t": to_the_end(kw["t"])}, "scale-1"),
    scaled(ML, "divided-by-the-classes", lambda kw: 1 / kw["x"].shape[1], "scale-1"),
    Mutant(ML, "not-cut-at-zero", over_pairs(lambda z: z), at="led"),
    Mutant(ML, "squared", over_pairs(lambda z: np.square(cut(z))), at="scale-1"),
    Mutant(ML, "margin-0", over_pairs(lambda z: cut(z - 1)), at="scale-1"),
    Mutant(ML, "margin-1.000001", over_pairs(lambda z: cut(z + 1e-6)), at="all-on-the-kink"),
    Mutant(ML, "against-every-class", at="scale-1",
           value=over_pairs(cut, lambda t, classes: listed(t, classes)[:, :, None])),
    Mutant(ML, "largest-for-sum", at="scale-1", value=over_pairs(cut, whole=np.max)),
    Mutant(ML, "nan-cut-at-zero", at="nan", reason="fail/nonfinite", value=over_pairs(lambda z: np.fmax(z, 0))),
    Mutant(ML, "mean-of-no-rows-is-zero", result(lambda y, kw: np.nan_to_num(y)), at="mean-zero-rows",
           reason="fail/nonfinite"),
    Mutant(ML, "listed-detached", vjp=gradient(lambda dx, kw: np.where(of_lists(kw), 0, dx)), at="scale-1"),
    Mutant(ML, "unlisted-detached", vjp=gradient(lambda dx, kw: np.where(of_lists(kw), dx, 0)), at="scale-1"),
    Mutant(ML, "pulled-once", vjp=gradient(lambda dx, kw: np.sign(dx)), at="scale-1"),
)  # fmt: skip

MUTANTS = (
    *WORST,
    *CATEGORICAL,
    *undeclared(CH, "kink", "kink", (0.0, 0.5, 1.0)),
    *undeclared(CH, "tie", "ties", ("split", "first")),
    *undeclared(CH, "nan_margin", "nan", (0.0, np.nan)),
    *MULTILABEL,
    *undeclared(ML, "kink", "kink", (0.0, 0.5, 1.0)),
    *undeclared(ML, "nan_margin", "nan", (0.0, np.nan)),
    *undeclared(CS, "kink", "kink", (0.0, 0.5, 1.0, "tie")),
    *undeclared(CS, "tie", "ties", ("split", "first")),
    *undeclared(CS, "nan_margin", "nan", (0.0, np.nan)),
    *OWN,
    *undeclared(WW, "kink", "kink", (0.0, 0.5, 1.0)),
    *undeclared(WW, "nan_margin", "nan", (0.0, np.nan)),
    *undeclared(WW, "nan_square", "squared-nan", (0.0, np.nan)),
)
