"""The extremes that an operation's own cases lack: infinite rows, subnormals, the largest numbers, no columns.

By rule, from one typical case of an operation: the same arrays, one thing about them changed. What is due is what the
formula gives; where frameworks decide it is an edge: see gradparity.reference.edges.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from gradparity.cases import Draw, subnormal
from gradparity.op import FORMATS, Array, Arrays, Case, Format, Op

# A case of each operation in which nothing is special, without a reduction where there is one.
TYPICAL = {
    "negative_log_likelihood": "spread-4", "categorical_cross_entropy": "spread-4", "binary_cross_entropy": "spread-4",
    "ragged_centroid": "random", "pca": "components-1",
}  # fmt: skip
SOFTMAX = ("softmax", "log_softmax", "logsumexp")
LOGITS = (*SOFTMAX, "cross_entropy", "soft_cross_entropy", "weighted_cross_entropy", "spatial_cross_entropy")
HINGES = ("hinge", "squared_hinge", "hinge_embedding", "margin_ranking")
CLASS_HINGES = ("multiclass_hinge", "crammer_singer_hinge", "categorical_hinge", "multilabel_margin")
BY_ELEMENT = (
    "sigmoid", "log_sigmoid", "binary_cross_entropy_with_logits", "binary_cross_entropy", *HINGES, "focal_loss",
)  # fmt: skip
REGRESSIONS = ("softmax_regression", "logistic_regression")
SEGMENTS = ("segment_sum", "segment_mean")
POINTS = ("ragged_centroid", "pairwise_distance")

Change = Callable[[Draw, Arrays], Arrays]


def of_x(change: Callable[[Draw, Array], Array]) -> Change:
    return lambda draw, arrays: arrays | {"x": change(draw, arrays["x"].copy())}


def of_each(change: Callable[[Array], Array]) -> Change:
    return lambda draw, arrays: {name: change(array) for name, array in arrays.items()}


def in_rows(value: float) -> Change:
    """One number of every third row."""

    def change(draw: Draw, x: Array) -> Array:
        rows, flat = np.arange(0, len(x), 3), x.reshape(len(x), -1)
        flat[rows, (rows + 1) % flat.shape[1]] = value
        return flat.reshape(x.shape)

    return of_x(change)


def whole_rows(draw: Draw, x: Array) -> Array:
    x[::3] = -np.inf
    return x


def grown(to: Callable[[Format], float], step: int = 1) -> Change:
    """One row in so many by a factor, so that the largest number of them in size is this."""

    def change(draw: Draw, x: Array) -> Array:
        wide = x.astype(np.float64)
        wide[::step] = wide[::step] / np.abs(wide[::step]).max() * to(FORMATS[draw.dtype])
        return draw.quantised(wide)

    return of_x(change)


def number(array: Array) -> Array:
    """The first one, without an axis."""
    return array.reshape(-1)[:1].reshape(())


def without_columns(draw: Draw, arrays: Arrays) -> Arrays:
    return {name: array if name == "ids" else array[:, :0] for name, array in arrays.items()}


def no_features(draw: Draw, arrays: Arrays) -> Arrays:
    return arrays | {"x": arrays["x"][:, :0], "w": arrays["w"][:0]}


# What is due here is what the formula gives: name -> the change, and the operations whose own cases lack it. Where
# squares or products of the largest numbers are taken nothing is left to judge.
# largest in every third row, since sums of such numbers have no bound, and most rows are to have one; not of
# probabilities: where one is below the smallest number of the dtype, 0 / 0 is NaN and the gradient in truth 0
EXTREMES: Mapping[str, tuple[Change, tuple[str, ...]]] = {
    "largest": (
        grown(lambda form: 0.3 * form.max, step=3),
        (*LOGITS, "sigmoid", "log_sigmoid", "binary_cross_entropy_with_logits", *HINGES, *CLASS_HINGES, "focal_loss",
         "one_vs_rest", *SEGMENTS),
    ),
    "row-minus-inf": (
        of_x(whole_rows),
        (*LOGITS, *CLASS_HINGES, "one_vs_rest", "layered_cross_entropy", *REGRESSIONS, *SEGMENTS, *POINTS,
         "euclidean_norm"),
    ),
    "minus-inf": (
        in_rows(-np.inf),
        ("layered_cross_entropy", *REGRESSIONS, "focal_loss", "one_vs_rest", "categorical_hinge", "multilabel_margin",
         *POINTS, "euclidean_norm"),
    ),
    "plus-inf": (
        in_rows(np.inf),
        ("weighted_cross_entropy", "logistic_regression", "focal_loss", "one_vs_rest", "categorical_hinge",
         "multilabel_margin", "ragged_centroid"),
    ),
    "nan": (in_rows(np.nan), ("ragged_centroid",)),
    "subnormal": (
        of_x(lambda draw, x: subnormal(draw, x.shape)),
        ("layered_cross_entropy", *REGRESSIONS, *HINGES, *POINTS, *SEGMENTS),
    ),
    "up-to-10000": (grown(lambda form: 1e4), ("multilabel_margin", *POINTS, "euclidean_norm", *SEGMENTS)),
    "one-row": (of_each(lambda array: array[:1]), (*HINGES, "pairwise_distance", *SEGMENTS)),
    "one-column": (of_x(lambda draw, x: x[:, :1]), (*SEGMENTS, "pca")),
    "no-features": (no_features, REGRESSIONS),
    "no-columns": (without_columns, (*SEGMENTS, "pairwise_distance")),
    "number": (of_each(number), BY_ELEMENT),
}  # fmt: skip
# Of size 1: in the gradient of the focal loss twice the loss times a cotangent of 2 overflows.
COTANGENTS: Mapping[str, tuple[str, ...]] = {"largest": ("signs",)}
# In float16 their squares, or sums, overflow.
NOT_IN_FLOAT16: Mapping[str, tuple[str, ...]] = {"up-to-10000": ("float64", "float32", "bfloat16")}


def with_extremes(op: Op) -> Op:
    typical = typical_of(op)
    cases = (
        replace(
            typical,
            name=name,
            arrays=changed(typical.arrays, change),
            dtypes=NOT_IN_FLOAT16.get(name, typical.dtypes),
            cotangents=COTANGENTS.get(name, typical.cotangents),
        )
        for name, (change, operations) in EXTREMES.items()
        if op.name in operations
    )
    return replace(op, edge_cases=(*op.edge_cases, *cases))


def typical_of(op: Op) -> Case:
    name = TYPICAL.get(op.name, "scale-1")
    (case,) = (case for case in op.cases if case.name == name)
    return case


def changed(arrays: Callable[[Draw], Arrays], change: Change) -> Callable[[Draw], Arrays]:
    return lambda draw: change(draw, arrays(draw))
