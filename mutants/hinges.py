"""hinge, squared_hinge, hinge_embedding and margin_ranking, with their conventions at the kink and at NaN."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from gradparity.mutants.defects import arguments, instead, result
from gradparity.mutants.softmax_family import swapped
from gradparity.mutation import Defect, Mutant
from gradparity.op import Array, Arrays
from gradparity.reference import OPS


def margin(x: Array, t: Array) -> Array:
    return 1 - t * x


OWN: tuple[Mutant, ...] = (
    Mutant("hinge", "margin-1.000001", instead(lambda x, t: np.maximum(1.000001 - t * x, 0)), at="kink"),
    Mutant("hinge", "margin-0", instead(lambda x, t: np.maximum(-t * x, 0)),
           instead(lambda g, y, x, t: {"x": -g * t * (t * x < 0)}), "below-kink"),
    Mutant("hinge", "other-side", instead(lambda x, t: np.maximum(t * x - 1, 0)),
           instead(lambda g, y, x, t: {"x": -g * t * (t * x > 1)}), "around-kink"),
    Mutant("hinge", "not-cut-at-zero", instead(margin), instead(lambda g, y, x, t: {"x": -g * t}), "scale-1"),
    Mutant("hinge", "labels-ignored", instead(lambda x, t: np.maximum(1 - x, 0)),
           instead(lambda g, y, x, t: {"x": -g * (t * x < 1)}), "scale-1"),
    Mutant("hinge", "labels-0-and-1", instead(lambda x, t: np.maximum(1 - (t + 1) / 2 * x, 0)),
           instead(lambda g, y, x, t: {"x": -g * (t + 1) / 2 * (t * x < 1)}), "scale-1"),
    Mutant("hinge", "softplus", instead(lambda x, t: np.logaddexp(0, margin(x, t))), at="scale-1"),
    Mutant("hinge", "nan-cut-at-zero", instead(lambda x, t: np.fmax(margin(x, t), 0)), at="nan",
           reason="fail/nonfinite"),
    Mutant("hinge", "kink-at-1.000001", vjp=instead(lambda g, y, x, t: {"x": -g * t * (t * x < 1.000001)}),
           at="kink"),
    Mutant("hinge", "of-the-square", at="scale-1",
           vjp=instead(lambda g, y, x, t: {"x": -2 * g * t * np.maximum(margin(x, t), 0)})),
    Mutant("squared_hinge", "not-squared", instead(lambda x, t: np.maximum(margin(x, t), 0)),
           instead(lambda g, y, x, t: {"x": -g * t * (t * x < 1)}), "scale-1"),
    Mutant("squared_hinge", "half", instead(lambda x, t: np.square(np.maximum(margin(x, t), 0)) / 2),
           instead(lambda g, y, x, t: {"x": -g * t * np.maximum(margin(x, t), 0)}), "scale-1"),
    Mutant("squared_hinge", "margin-1.000001", instead(lambda x, t: np.square(np.maximum(1.000001 - t * x, 0))),
           instead(lambda g, y, x, t: {"x": -2 * g * t * np.maximum(1.000001 - t * x, 0)}),
           {"*/float16/value": "scale-1", "*": "kink"}),
    Mutant("squared_hinge", "not-cut-at-zero", instead(lambda x, t: np.square(margin(x, t))),
           instead(lambda g, y, x, t: {"x": -2 * g * t * margin(x, t)}), "scale-1"),
    Mutant("squared_hinge", "other-side", instead(lambda x, t: np.square(np.minimum(margin(x, t), 0))),
           instead(lambda g, y, x, t: {"x": -2 * g * t * np.minimum(margin(x, t), 0)}), "around-kink"),
    Mutant("squared_hinge", "labels-ignored", instead(lambda x, t: np.square(np.maximum(1 - x, 0))),
           instead(lambda g, y, x, t: {"x": -2 * g * np.maximum(margin(x, t), 0)}), "scale-1"),
)  # fmt: skip


def convention(op: str, name: str, value: Any) -> Defect:
    """The right gradient with this value at the kink, or at NaN."""
    return instead(lambda g, y, **kw: OPS[op].vjp(g, y, **kw, **{name: value}))


def word(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def undeclared(op: str, name: str, at: str, values: tuple[Any, ...]) -> Iterator[Mutant]:
    """Each declared value of a convention with each other value, admissible or not."""
    for declared in OPS[op].conventions[name].values:
        for actual in values:
            if actual == declared or (actual != actual and declared != declared):
                continue
            reason = "fail/nonfinite" if {"nan", "inf"} & {word(actual), word(declared)} else "fail/bound"
            title = f"{name}-{word(actual)}-where-{word(declared)}-is-declared"
            yield Mutant(
                op, title, vjp=convention(op, name, actual), at=at, reason=reason, conventions={name: declared}
            )


def apart(value: Callable[[Array, float], Array], slope: Callable[[Array, float], Array] | None = None) -> Any:
    """What is wrong with the loss of those that belong apart; with its derivative, where there is one."""
    if slope is None:
        return result(lambda y, kw: y if kw["reduction"] != "none" else np.where(
            kw["t"] > 0, y, value(kw["x"], kw["margin"])
        ))  # fmt: skip
    return instead(lambda g, y, x, t, margin, reduction: {
        "x": (g / len(x) if reduction == "mean" else g) * np.where(t > 0, 1, slope(x, margin)) + 0 * x
    })  # fmt: skip


def of_other_arguments(op: str, name: str, change: Callable[[Arrays], Arrays], at: str) -> Mutant:
    return Mutant(op, name, arguments(change), arguments(change), at)


embedding, ranking = (partial(of_other_arguments, op) for op in ("hinge_embedding", "margin_ranking"))


EMBEDDING: tuple[Mutant, ...] = (
    embedding("labels-swapped", lambda kw: {"t": -kw["t"]}, "scale-1"),
    embedding("labels-ignored", lambda kw: {"t": np.abs(kw["t"])}, "scale-1"),
    embedding("of-minus-x", lambda kw: {"x": -kw["x"]}, "scale-1"),
    embedding("margin-0", lambda kw: {"margin": 0.0}, "scale-1"),
    embedding("margin-1-always", lambda kw: {"margin": 1.0}, "margin-2"),
    embedding("margin-1.000001", lambda kw: {"margin": kw["margin"] * 1.000001}, "kink"),
    embedding("mean-for-sum", swapped, "sum-of-seven"),
    Mutant("hinge_embedding", "not-cut-at-zero", apart(lambda x, m: m - x),
           apart(lambda x, m: x, lambda x, m: -1 + 0 * x), "above-margin"),
    Mutant("hinge_embedding", "squared", apart(lambda x, m: np.square(np.maximum(m - x, 0))),
           apart(lambda x, m: x, lambda x, m: -2 * np.maximum(m - x, 0)), "scale-1"),
    Mutant("hinge_embedding", "other-side", apart(lambda x, m: np.maximum(x - m, 0)),
           apart(lambda x, m: x, lambda x, m: (x > m) + 0 * x), "scale-1"),
    Mutant("hinge_embedding", "nan-cut-at-zero", apart(lambda x, m: np.fmax(m - x, 0)), at="nan",
           reason="fail/nonfinite"),
    Mutant("hinge_embedding", "absolute-distance", at="scale-1", value=arguments(lambda kw: {"x": np.abs(kw["x"])})),
    Mutant("hinge_embedding", "mean-of-no-rows-is-zero", result(lambda y, kw: np.nan_to_num(y)), at="mean-zero-rows",
           reason="fail/nonfinite"),
)  # fmt: skip


def unreduced(value: Callable[[Array, float], Array]) -> Any:
    """A loss of the lead t (x - other), where it is not reduced."""
    return result(lambda y, kw: value(kw["t"] * (kw["x"] - kw["other"]), kw["margin"]) if y.ndim else y)


def of_gradients(change: Callable[[Arrays, Arrays], Arrays]) -> Any:
    """The right gradients for both scores, changed."""
    return instead(lambda g, y, **kw: change(OPS["margin_ranking"].vjp(g, y, **kw), kw))


RANKING: tuple[Mutant, ...] = (
    ranking("labels-swapped", lambda kw: {"t": -kw["t"]}, "scale-1"),
    ranking("labels-ignored", lambda kw: {"t": np.abs(kw["t"])}, "scale-1"),
    ranking("scores-exchanged", lambda kw: {"x": kw["other"], "other": kw["x"]}, "scale-1"),
    ranking("margin-0", lambda kw: {"margin": 0.0}, "scale-1"),
    ranking("margin-1-always", lambda kw: {"margin": 1.0}, "margin-2"),
    ranking("margin-1.000001", lambda kw: {"margin": kw["margin"] * 1.000001}, "kink"),
    ranking("margin-negated", lambda kw: {"margin": -kw["margin"]}, "scale-1"),
    ranking("mean-for-sum", swapped, "sum-of-seven"),
    Mutant("margin_ranking", "not-cut-at-zero", unreduced(lambda lead, m: m - lead), at="above-margin"),
    Mutant("margin_ranking", "squared", unreduced(lambda lead, m: np.square(np.maximum(m - lead, 0))), at="scale-1"),
    Mutant("margin_ranking", "nan-cut-at-zero", unreduced(lambda lead, m: np.fmax(m - lead, 0)), at="nan",
           reason="fail/nonfinite"),
    Mutant("margin_ranking", "mean-of-no-rows-is-zero", result(lambda y, kw: np.nan_to_num(y)), at="mean-zero-rows",
           reason="fail/nonfinite"),
    Mutant("margin_ranking", "other-detached", at="scale-1", check="vjp.other",
           vjp=of_gradients(lambda d, kw: {**d, "other": 0 * d["other"]})),
    Mutant("margin_ranking", "x-detached", at="scale-1", vjp=of_gradients(lambda d, kw: {**d, "x": 0 * d["x"]})),
    Mutant("margin_ranking", "other-pulled-the-same-way", at="scale-1", check="vjp.other",
           vjp=of_gradients(lambda d, kw: {**d, "other": d["x"]})),
)  # fmt: skip


MUTANTS = (
    *OWN,
    *undeclared("hinge", "kink", "kink", (0.0, 0.5, 1.0, 0.25, -1.0, 2.0, np.nan, np.inf)),
    *undeclared("hinge", "nan_margin", "nan", (0.0, 1.0, np.nan, 0.5, np.inf)),
    *undeclared("squared_hinge", "nan_margin", "nan", (0.0, np.nan)),
    *EMBEDDING,
    *RANKING,
    *undeclared("margin_ranking", "kink", "kink", (0.0, 0.5, 1.0)),
    *undeclared("margin_ranking", "nan_margin", "nan", (0.0, np.nan)),
    *undeclared("hinge_embedding", "kink", "kink", (0.0, 0.5, 1.0)),
    *undeclared("hinge_embedding", "nan_margin", "nan", (0.0, np.nan)),
)
