"""Norms, distances, and the sums and means of segments."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradparity.adapter import Fn
from gradparity.mutants.defects import LOWER_SUM, arguments, by_dtype, instead, result
from gradparity.mutation import Mutant
from gradparity.op import Array, Arrays


def norm(x: Array) -> Array:
    return np.sqrt(np.sum(x * x, axis=-1))


def summed_lower(dtype: str) -> Fn:
    """Squares added up one format lower, term by term."""

    def wrong(x: Array) -> Array:
        squares = np.square(x).astype(LOWER_SUM[dtype])
        total = np.add.accumulate(squares, axis=-1)[..., -1] if x.shape[-1] else 0 * norm(x)
        return np.sqrt(total.astype(x.dtype))

    return wrong


def direction(x: Array, y: Array) -> Array:
    return x / np.where(y == 0, 1, y)[..., None]


NORM = (
    *(
        Mutant("euclidean_norm", name, value=instead(f), at=at)
        for name, f, at in (
            ("squared", lambda x: np.sum(x * x, axis=-1), "scale-10"),
            ("sum-of-sizes", lambda x: np.sum(np.abs(x), axis=-1), "scale-1"),
            ("largest-size", lambda x: np.max(np.abs(x), axis=-1, initial=0), "scale-1"),
            ("root-mean-square", lambda x: norm(x) / np.sqrt(x.dtype.type(max(x.shape[-1], 1))), "scale-1"),
            ("without-the-last", lambda x: norm(x[..., :-1]), "scale-1"),
            ("never-zero", lambda x: np.sqrt(np.sum(x * x, axis=-1) + x.dtype.type(1e-3)), "zero"),
        )
    ),
    Mutant("euclidean_norm", "accumulated-one-format-lower", by_dtype(summed_lower), at="columns-300"),
    *(
        Mutant("euclidean_norm", name, vjp=instead(f), at=at, reason=reason)
        for name, f, at, reason in (
            ("gradient-of-the-square", lambda g, y, x: {"x": 2 * g[..., None] * x}, "scale-10", "fail/bound"),
            ("gradient-not-divided", lambda g, y, x: {"x": g[..., None] * x}, "scale-10", "fail/bound"),
            ("gradient-doubled-by-the-square", lambda g, y, x: {"x": 2 * g[..., None] * direction(x, y)},
             "scale-1", "fail/bound"),
            ("nan-at-zero", lambda g, y, x: {"x": g[..., None] * x / y[..., None]}, "zero", "fail/nonfinite"),
            ("one-at-zero", lambda g, y, x: {
                "x": g[..., None] * np.where(y[..., None] == 0, 1, direction(x, y))}, "zero", "fail/bound"),
            ("gradient-of-the-sizes", lambda g, y, x: {"x": g[..., None] * np.sign(x)}, "scale-1",
             "fail/bound"),
        )
    ),
)  # fmt: skip


def distance(d: Fn) -> Any:
    """Of another difference."""
    return instead(lambda x, other, eps: norm(d(x, other, eps)))


def pull(d: Fn, other_sign: float = -1.0) -> Any:
    """The gradient of another difference."""

    def vjp(g: Array, y: Array, x: Array, other: Array, eps: Any) -> Arrays:
        away = d(x, other, eps)
        u = g[..., None] * direction(away, norm(away))
        return {"x": u, "other": other_sign * u}

    return instead(vjp)


def expanded(x: Array, other: Array, eps: Any) -> Array:
    """sqrt(x^2 - 2 x o + o^2), as for a whole matrix of distances."""
    terms = (np.sum(x * x, axis=-1), 2 * np.sum(x * other, axis=-1), np.sum(other * other, axis=-1))
    return np.sqrt(np.maximum(terms[0] - terms[1] + terms[2], 0))


DISTANCE = (
    *(
        Mutant("pairwise_distance", name, distance(d), pull(d), at)
        for name, d, at in (
            ("of-the-sum", lambda x, o, eps: x + o + eps, "scale-1"),
            ("other-forgotten", lambda x, o, eps: x + eps, "scale-1"),
            ("eps-forgotten", lambda x, o, eps: x - o, "eps-0.01-coincident"),
            ("eps-subtracted", lambda x, o, eps: x - o - eps, "eps-0.01-coincident"),
            ("from-the-first", lambda x, o, eps: x - o[:1] + eps, "scale-1"),
            ("without-the-last-coordinate", lambda x, o, eps: (x - o + eps) * (np.arange(x.shape[1]) < x.shape[1] - 1),
             "scale-1"),
        )
    ),
    Mutant("pairwise_distance", "eps-added-to-the-norm", at="eps-0.01-coincident",
           value=instead(lambda x, other, eps: norm(x - other) + eps)),
    Mutant("pairwise_distance", "squared", distance(lambda x, o, eps: np.square(norm(x - o + eps))[:, None]),
           at="scale-1"),
    Mutant("pairwise_distance", "expanded", instead(expanded), at="infinities", reason="fail/nonfinite"),
    Mutant("pairwise_distance", "other-has-the-same-gradient", vjp=pull(lambda x, o, eps: x - o + eps, 1.0),
           at="scale-1", check="vjp.other"),
    Mutant("pairwise_distance", "other-has-no-gradient", vjp=pull(lambda x, o, eps: x - o + eps, 0.0),
           at="scale-1", check="vjp.other"),
    Mutant("pairwise_distance", "gradient-not-divided", at="scale-10", vjp=instead(
        lambda g, y, x, other, eps: {"x": g[:, None] * (x - other), "other": g[:, None] * (other - x)})),
    Mutant("pairwise_distance", "nan-where-they-coincide", at="coincident", reason="fail/nonfinite", vjp=instead(
        lambda g, y, x, other, eps: {"x": (g / y)[:, None] * (x - other + eps),
                                              "other": -(g / y)[:, None] * (x - other + eps)})),
)  # fmt: skip


# --- segments


def sums(x: Array, ids: Array, count: int) -> Array:
    return np.stack([np.sum(x[ids == s], axis=0) for s in range(count)])


def sizes(x: Array, ids: Array, count: int) -> Array:
    return np.bincount(ids, minlength=count).reshape(-1, *[1] * (x.ndim - 1)).astype(x.dtype)


def summed_lower_in_order(dtype: str) -> Fn:
    """Rows added to their segment one format lower, one after the other."""

    def wrong(x: Array, ids: Array, count: int) -> Array:
        y = np.zeros((count, *x.shape[1:]), LOWER_SUM[dtype])
        for row, s in zip(x.astype(y.dtype), ids, strict=True):
            y[s] += row
        return y.astype(x.dtype)

    return wrong


def last_row_wins(x: Array, ids: Array, count: int) -> Array:
    """y[ids] += x, which adds each segment's last row only."""
    y = np.zeros((count, *x.shape[1:]), x.dtype)
    y[ids] += x
    return y


def by_prefix(x: Array, ids: Array, count: int) -> Array:
    """Differences of cumulative sums of the rows, taken for sorted."""
    upto = np.concatenate([np.zeros_like(x[:1]), np.cumsum(x, axis=0)]) if len(x) else np.zeros((1, *x.shape[1:]))
    ends = np.cumsum(np.bincount(ids, minlength=count))
    return upto[ends] - upto[np.concatenate([[0], ends[:-1]])]


def next_segment(kw: Arrays) -> Arrays:
    return {"ids": (kw["ids"] + 1) % kw["count"]}


def of_every_segment_op(op: str, average: bool) -> tuple[Mutant, ...]:
    def of(f: Fn) -> Fn:
        return lambda x, ids, count: f(x, ids, count) / (np.maximum(sizes(x, ids, count), 1) if average else 1)

    def as_result(f: Fn) -> Any:
        return instead(of(f))

    return (
        Mutant(op, "ids-off-by-one", arguments(next_segment), arguments(next_segment), "in-order"),
        Mutant(op, "ids-ignored", arguments(lambda kw: {"ids": 0 * kw["ids"]}),
               arguments(lambda kw: {"ids": 0 * kw["ids"]}), "scale-1"),
        Mutant(op, "ids-sorted-without-their-rows", arguments(lambda kw: {"ids": np.sort(kw["ids"])}),
               arguments(lambda kw: {"ids": np.sort(kw["ids"])}), "scale-1"),
        Mutant(op, "last-row-wins", as_result(last_row_wins), at="scale-1"),
        Mutant(op, "taken-for-sorted", as_result(by_prefix), at="scale-1"),
        Mutant(op, "last-row-forgotten", as_result(lambda x, ids, count: sums(x[:-1], ids[:-1], count)), at="scale-1"),
        Mutant(op, "largest-for-sum", at="scale-1", value=as_result(lambda x, ids, count: np.stack(
            [np.max(x[ids == s], axis=0, initial=-9) for s in range(count)]))),
        Mutant(op, "accumulated-one-format-lower", by_dtype(lambda dtype: of(summed_lower_in_order(dtype))),
               at="one-segment"),
        Mutant(op, "gradient-of-another-row", vjp=result(lambda dx, kw: dx[::-1]), at="scale-1"),
        Mutant(op, "gradient-to-the-first-of-each", at="scale-1", vjp=result(
            lambda dx, kw: np.where(np.isin(np.arange(len(dx)), np.unique(kw["ids"], return_index=True)[1])
                                    .reshape(-1, *[1] * (dx.ndim - 1)), dx, 0))),
    )  # fmt: skip


SEGMENTS = (
    *of_every_segment_op("segment_sum", False),
    *of_every_segment_op("segment_mean", True),
    Mutant("segment_sum", "mean-for-sum", at="scale-1", value=result(
        lambda y, kw: y / np.maximum(sizes(kw["x"], kw["ids"], kw["count"]), 1))),
    Mutant("segment_sum", "gradient-of-the-mean", at="scale-1", vjp=result(
        lambda dx, kw: dx / sizes(kw["x"], kw["ids"], kw["count"])[kw["ids"]])),
    Mutant("segment_mean", "sum-for-mean", at="scale-1", value=result(
        lambda y, kw: y * sizes(kw["x"], kw["ids"], kw["count"]))),
    Mutant("segment_mean", "divided-by-n-plus-1", at="scale-1", value=result(
        lambda y, kw: y * (n := sizes(kw["x"], kw["ids"], kw["count"])) / (n + 1))),
    Mutant("segment_mean", "divided-by-all-rows", at="scale-1", value=result(
        lambda y, kw: y * sizes(kw["x"], kw["ids"], kw["count"]) / kw["x"].dtype.type(max(len(kw["x"]), 1)))),
    Mutant("segment_mean", "nan-for-an-empty-segment", at="some-empty", reason="fail/nonfinite", value=result(
        lambda y, kw: np.where(sizes(kw["x"], kw["ids"], kw["count"]) > 0, y, np.nan))),
    Mutant("segment_mean", "gradient-of-the-sum", at="scale-1", vjp=result(
        lambda dx, kw: dx * sizes(kw["x"], kw["ids"], kw["count"])[kw["ids"]])),
)  # fmt: skip

MUTANTS = (*NORM, *DISTANCE, *SEGMENTS)
