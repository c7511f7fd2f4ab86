"""Sizes by rule: at which of them a vectorised loop, a fused kernel or an accumulator goes wrong, nobody knows.

For each operation and each of PAIRS a covering design: every length of TRAILING in both dtypes, every number of rows
of ROWS in one of them, and the rank, the place of the ones, the axis and the other parameters by lot. Another seed
gives another design.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import numpy as np

from gradparity.cases import Draw
from gradparity.op import Array, Arrays, Case, Op
from gradparity.reference import binary_cross_entropy_with_logits as logistic
from gradparity.reference import (
    logistic_regression,
    multilabel_margin,
    negative_log_likelihood,
    segment_sum,
    soft_cross_entropy,
    softmax_regression,
)
from gradparity.reference import weighted_cross_entropy as weighted

Shape = tuple[int, ...]
Make = Callable[[Draw, Shape, Mapping[str, Any]], Arrays]

TRAILING = (1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 127, 128, 129, 1000, 4096, 32000)
PAIRS, TIMES = (("float64", "float32"), ("bfloat16", "float16")), 2
ROWS = tuple(2**k + off for k in range(1, 18) for off in (-1, 0, 1))
ELEMENTS, FEW = 2**16, 3  # of an array, at most, unless it has few columns: as many rows as there are need these


@dataclass(frozen=True)
class Sizes:
    """What an operation is given at drawn sizes.

    make(draw, shape, params): its arrays; of a shape of rank 2 the trailing axis is that of the classes
    ranks: those that it takes; class_axis: where the trailing length is, None for anywhere
    longest: the largest trailing length, where memory grows with its square or so many errors leave no bound
    longest_in_16_bits: the same of the dtypes of 16 bits
    """

    make: Make
    ranks: tuple[int, ...] = (2,)
    class_axis: int | None = -1
    longest: int = max(TRAILING)
    longest_in_16_bits: int = max(TRAILING)


def scores(draw: Draw, shape: Shape, params: Mapping[str, Any]) -> Arrays:
    return {"x": draw.normal("x", shape, 2.0)}


def beside(*names: str) -> Make:
    """Scores, and as many numbers again of these names."""
    return lambda draw, shape, params: {name: draw.normal(name, shape, 2.0) for name in ("x", *names)}


def signed(make: Make) -> Make:
    """With a label +1 or -1 for each."""
    return lambda draw, shape, params: {**make(draw, shape, params), "t": draw.signs("t", shape)}


def targeted(draw: Draw, shape: Shape, params: Mapping[str, Any]) -> Arrays:
    """Logits of which none is 0, where an implementation may be wrong, each with a target 0 or 1."""
    x = draw.normal("x", shape, 2.0)
    return {"x": np.where(x == 0, draw.full((), 1.0), x), "t": logistic.hard(draw, shape)}


def likely(draw: Draw, shape: Shape, params: Mapping[str, Any]) -> Arrays:
    """Probabilities between 1/16 and 15/16, each with a target 0 or 1."""
    x = draw.quantised(draw.integers("x", shape, 241, 16) / 256)
    return {"x": x, "t": logistic.hard(draw, shape)}


def labels(draw: Draw, shape: Shape) -> Array:
    return draw.integers("t", (shape[0], *shape[2:]), shape[1])


def labelled(draw: Draw, shape: Shape, params: Mapping[str, Any]) -> Arrays:
    """Scores with classes along axis 1."""
    return {**scores(draw, shape, params), "t": labels(draw, shape)}


def class_weights(draw: Draw, shape: Shape, params: Mapping[str, Any]) -> Arrays:
    return {**labelled(draw, shape, params), "weight": weighted.weights(draw, shape[1])}


def distributed(draw: Draw, shape: Shape, params: Mapping[str, Any]) -> Arrays:
    rows, classes = shape
    return {**scores(draw, shape, params), "t": soft_cross_entropy.distributions(draw, rows, classes)}


def probable(draw: Draw, shape: Shape, params: Mapping[str, Any]) -> Arrays:
    rows, classes = shape
    return {"x": negative_log_likelihood.probabilities(draw, rows, classes, 4), "t": labels(draw, shape)}


def probable_and_distributed(draw: Draw, shape: Shape, params: Mapping[str, Any]) -> Arrays:
    rows, classes = shape
    p = negative_log_likelihood.probabilities(draw, rows, classes, 4)
    return {"x": p, "t": soft_cross_entropy.distributions(draw, rows, classes)}


def listed(draw: Draw, shape: Shape, params: Mapping[str, Any]) -> Arrays:
    rows, classes = shape
    return {**scores(draw, shape, params), "t": multilabel_margin.lists(draw, rows, classes, min(4, classes))}


def segmented(draw: Draw, shape: Shape, params: Mapping[str, Any]) -> Arrays:
    return {**scores(draw, shape, params), "ids": segment_sum.some_of_each(draw, shape[0], params["count"])}


def layered(draw: Draw, shape: Shape, params: Mapping[str, Any]) -> Arrays:
    rows, classes = shape
    return {**labelled(draw, shape, params), "q": negative_log_likelihood.probabilities(draw, rows, classes, 4)}


def regressed(random: Callable[..., Callable[[Draw], Arrays]]) -> Make:
    return lambda draw, shape, params: random(0.01, *shape)(draw)


def clustered(draw: Draw, shape: Shape, params: Mapping[str, Any]) -> Arrays:
    """Of one item, points of five classes: as many as there may be in one sum."""
    return {"x": draw.normal("x", (1, *shape)), "t": draw.integers("t", (1, shape[0]), 5)}


ANY_RANK = (1, 2, 3, 4, 5)
by_element = partial(Sizes, ranks=ANY_RANK, class_axis=None)
along_axis = Sizes(scores, ANY_RANK, None)
SIZES: Mapping[str, Sizes] = {
    **dict.fromkeys(("softmax", "log_softmax", "logsumexp"), along_axis),
    **dict.fromkeys(("sigmoid", "log_sigmoid"), by_element(scores)),
    **dict.fromkeys(("hinge", "squared_hinge", "hinge_embedding"), by_element(signed(scores))),
    "margin_ranking": by_element(signed(beside("other"))),
    **dict.fromkeys(("binary_cross_entropy_with_logits", "focal_loss"), by_element(targeted)),
    "binary_cross_entropy": by_element(likely),
    **dict.fromkeys(("cross_entropy", "crammer_singer_hinge", "one_vs_rest", "categorical_hinge"), Sizes(labelled)),
    **dict.fromkeys(("weighted_cross_entropy", "multiclass_hinge"), Sizes(class_weights)),
    "spatial_cross_entropy": Sizes(labelled, (3, 4, 5), 1),
    "soft_cross_entropy": Sizes(distributed),
    "negative_log_likelihood": Sizes(probable),
    "categorical_cross_entropy": Sizes(probable_and_distributed),
    "layered_cross_entropy": Sizes(layered, longest_in_16_bits=129),  # in float16 probabilities of more round to 0
    "softmax_regression": Sizes(regressed(softmax_regression.random), longest=4096),
    "logistic_regression": Sizes(regressed(logistic_regression.random), longest=4096),
    "multilabel_margin": Sizes(listed, longest=129),
    "euclidean_norm": Sizes(scores),
    "pairwise_distance": Sizes(beside("other")),
    **dict.fromkeys(("segment_sum", "segment_mean"), Sizes(segmented)),
    "ragged_centroid": Sizes(clustered),
}  # fmt: skip


def with_sizes(op: Op) -> Op:
    return replace(op, sized=partial(sized, op, SIZES[op.name])) if op.name in SIZES else op


@cache
def sized(op: Op, sizes: Sizes, dtype: str, seed: int) -> tuple[Case, ...]:
    """The operation's cases of drawn sizes in this dtype, by this seed."""
    draw = Draw(f"{op.name}/sizes", "float64", seed)
    pair = next(pair for pair in PAIRS if dtype in pair)
    longest = sizes.longest if "float32" in pair else min(sizes.longest, sizes.longest_in_16_bits)
    every = (case_of(op, sizes, draw, rows, c, d) for rows, c, d in dealt(draw, longest, pair) if d == dtype)
    return tuple({case.name: case for case in every}.values())


def dealt(draw: Draw, longest: int, dtypes: tuple[str, ...]) -> Iterator[tuple[int, int, str]]:
    """Rows and trailing length, TIMES for each trailing length and dtype: each number of rows once, the largest first,
    with what leaves it room; one row for what is left."""
    pairs = [(c, dtype) for c in TRAILING if c <= longest for dtype in dtypes] * TIMES
    pairs = [pairs[i] for i in np.argsort(draw.integers("pairs", (len(pairs),), 2**30), kind="stable")]
    for rows in sorted(ROWS, reverse=True):
        pair = next(pair for pair in pairs if pair[0] <= FEW or rows * pair[0] <= ELEMENTS)
        pairs.remove(pair)
        yield rows, *pair
    for pair in pairs:
        yield 1, *pair


# What some functions do not offer, or compute otherwise: they say so by what names of cases hold.
MARKS = {
    "pos_weight": "pos-weight-{:g}", "label_smoothing": "smoothed", "gamma": "gamma-{}", "alpha": "alpha-{:g}",
    "margin": "margin-{:g}",
}  # fmt: skip


def marks(op: Op, params: Mapping[str, Any]) -> list[str]:
    """Of the parameters that are not as in its first case."""
    usual = op.cases[0].params
    return [mark.format(params[k]) for k, mark in MARKS.items() if k in params and params[k] != usual.get(k, 0.0)]


def case_of(op: Op, sizes: Sizes, draw: Draw, rows: int, trailing: int, dtype: str) -> Case:
    def lot(what: str, count: int) -> int:
        return int(draw.integers(f"{what}/{rows}/{trailing}/{dtype}", (), count))

    ranks = [rank for rank in sizes.ranks if rank > 1 or rows == 1]
    rank = ranks[lot("rank", len(ranks))]
    axis = lot("axis", rank) if sizes.class_axis is None else sizes.class_axis % rank
    shape = [1] * rank
    if rank > 1:
        shape[(axis + 1 + lot("place", rank - 1)) % rank] = rows
    shape[axis] = trailing
    every = list({repr(case.params): case.params for case in op.cases}.values())
    params = dict(every[lot("params", len(every))])
    name, reduction = "size-" + "x".join(map(str, shape)), params.get("reduction", "none")
    # It begins as the names of other cases with these parameters do, of which an implementation declares something.
    if "axis" in params:
        name = name if axis == rank - 1 else f"axis-{axis}-{name}"
        params["axis"] = axis - rank if rank > 1 and lot("negative", 2) else axis
    if reduction != "none":
        name = f"{reduction}-{name}"
        if sizes.class_axis is None:
            name, shape = f"{name}-flat", [rows * trailing]  # of what is by element a vector alone has a reduction
    name = "-".join([name, *marks(op, params)])
    return Case(name, lambda d: sizes.make(d, tuple(shape), params), params, dtypes=(dtype,), alone=True)
