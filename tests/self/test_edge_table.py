"""Which extreme inputs each operation is looked at with, and why not with the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gradparity.cases import Draw
from gradparity.op import FORMATS, Array, Case, Op
from gradparity.prelude import INSIDE
from gradparity.reference import OPS

FORM = FORMATS["float32"]


def rows(x: Array) -> Array:
    return x.reshape(-1, x.shape[-1])[:8] if x.ndim > 1 and x.size else np.zeros((0, 1))


# What the first argument, or the case, is like, in float32.
EXTREME: Mapping[str, Callable[[Array, Case], Any]] = {
    "10^4": lambda x, case: (np.isfinite(x) & (np.abs(x) >= 5e3)).any(),
    "10^38": lambda x, case: (np.isfinite(x) & (np.abs(x) >= 1e37)).any(),
    "inf": lambda x, case: (x == np.inf).any(),
    "-inf": lambda x, case: (x == -np.inf).any(),
    "a row of -inf": lambda x, case: (rows(x) == -np.inf).all(-1).any(),
    "nan": lambda x, case: np.isnan(x).any(),
    "subnormal": lambda x, case: ((x != 0) & (np.abs(x) < FORM.tiny)).any(),
    "a tie": lambda x, case: any(len(np.unique(row)) < len(row) for row in rows(x)),
    "no rows": lambda x, case: x.shape[:1] == (0,),
    "one row": lambda x, case: x.shape[:1] == (1,),
    "no classes": lambda x, case: x.ndim > 1 and x.shape[-1] == 0,
    "one class": lambda x, case: x.ndim > 1 and x.shape[-1] == 1,
    "axis 0": lambda x, case: case.params.get("axis") == 0,
    "axis 1": lambda x, case: case.params.get("axis") == 1,
    "0-d": lambda x, case: x.ndim == 0,
    "strided": lambda x, case: case.layout == "strided",
    "transposed": lambda x, case: case.layout == "transposed",
    "reversed": lambda x, case: case.layout == "reversed",
}

NO_AXIS = "it has no axis to choose"
NO_CLASSES = "it is computed element by element"
NO_LABEL = "without classes there is none that a label may name"
NOT_A_ROW = "it is of rows, and a number without an axis is none"
PROBABILITY = "probabilities: what is below 0 or above 1 is looked at by -0.25 and 1.5"
UNDERFLOW = "a probability that is 0 in the dtype alone has a gradient 0 / 0 there, and 0 in truth"
RECIPROCAL = "1 / p overflows, and log p is -inf where p is read as 0: no bound is left to judge by"
SQUARED = "its squares underflow to 0: no bound is left to judge the gradient by"


def for_each(reason: str, *extremes: str) -> dict[str, str]:
    return dict.fromkeys(extremes, reason)


AXIS = for_each(NO_AXIS, "axis 0", "axis 1")
OF_ROWS = AXIS | for_each(NOT_A_ROW, "0-d")
LABELS = OF_ROWS | for_each(NO_LABEL, "no classes")
OF_PROBABILITIES = for_each(PROBABILITY, "10^4", "10^38", "inf", "-inf", "a row of -inf")
BY_ELEMENT = AXIS | for_each(NO_CLASSES, "a row of -inf", "a tie", "no classes", "one class")
OVERFLOW = for_each("its squares or products overflow: no bound is left to judge by", "10^38")
LACKS: Mapping[str, Mapping[str, str]] = {
    **{name: {} for name in ("softmax", "log_softmax", "logsumexp")},
    "soft_cross_entropy": OF_ROWS,
    **dict.fromkeys(("cross_entropy", "spatial_cross_entropy", "weighted_cross_entropy", "multiclass_hinge",
                     "crammer_singer_hinge", "one_vs_rest", "categorical_hinge"), LABELS),
    "layered_cross_entropy": LABELS | for_each(UNDERFLOW, "10^38"),
    "negative_log_likelihood": LABELS | OF_PROBABILITIES,
    "categorical_cross_entropy": OF_ROWS | OF_PROBABILITIES | for_each(RECIPROCAL, "subnormal"),
    **dict.fromkeys(("sigmoid", "log_sigmoid", "binary_cross_entropy_with_logits", "hinge", "squared_hinge",
                     "hinge_embedding", "margin_ranking", "focal_loss"), BY_ELEMENT),
    "binary_cross_entropy": BY_ELEMENT | OF_PROBABILITIES | for_each(RECIPROCAL, "subnormal"),
    **dict.fromkeys(("softmax_regression", "logistic_regression"), OF_ROWS | OVERFLOW),
    "multilabel_margin": OF_ROWS,
    "pca": OF_ROWS | OVERFLOW
    | for_each("of n rows it has n - 1 components: here none", "no rows", "one row")
    | for_each("of no columns there is no component", "no classes")
    | for_each(SQUARED, "subnormal"),
    "ragged_centroid": OF_ROWS | OVERFLOW
    | for_each("its points have a coordinate at least", "no classes"),
    "euclidean_norm": AXIS | OVERFLOW | for_each(SQUARED, "subnormal"),
    "pairwise_distance": OF_ROWS | OVERFLOW,
    **dict.fromkeys(("segment_sum", "segment_mean"), OF_ROWS),
}  # fmt: skip
LABELLED = ("cross_entropy", "weighted_cross_entropy", "negative_log_likelihood", "multiclass_hinge",
            "crammer_singer_hinge", "layered_cross_entropy", "one_vs_rest", "categorical_hinge",
            "softmax_regression")  # fmt: skip


def lacking(op: Op) -> set[str]:
    """In its arguments: what arises behind a prelude is in test_inside.py."""
    found: set[str] = set()
    for case in op.every_case("float32"):
        if "32000" not in case.name and INSIDE not in case.params:
            x = case.arrays(Draw(f"{op.name}/{case.name}", "float32"))["x"].astype(np.float64)
            found |= {what for what, holds in EXTREME.items() if holds(x, case)}
    return set(EXTREME) - found


@pytest.mark.parametrize("op", OPS.values(), ids=OPS)
def test_an_operation_is_looked_at_with_every_extreme_or_says_why_not(op: Op) -> None:
    """And what it says it lacks it does lack: a case that is added takes its reason out."""
    assert lacking(op) == set(LACKS[op.name])


def test_a_case_that_is_taken_away_is_seen() -> None:
    op = OPS["softmax"]
    assert lacking(replace(op, cases=tuple(case for case in op.cases if case.name != "nan"))) - set(LACKS[op.name]) == {
        "nan"
    }


def test_the_operations_with_labels_have_their_edges() -> None:
    assert {op.name for op in OPS.values() if "bad_label" in op.edges} == set(LABELLED)
