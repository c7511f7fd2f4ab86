"""What happens at the edge of an operation: labels that are none, or of another integer type, or of another shape.

And the largest numbers. By rule, from one typical case of an operation: the same arrays, one thing about them changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import wraps
from typing import Any

import numpy as np

from gradparity.cases import Draw
from gradparity.op import FORMATS, Array, Arrays, Case, Convention, Op, outputs

BAD_LABEL = Convention(
    ("nan", "ignored", "wraps", "clamps", "no class"), None,
    "what a label outside 0..C-1 does: the loss and the gradient of its row are NaN, or 0; or it is the label t + C, "
    "like an index of Python, and NaN where that is none; or it is the nearest label; or the row is of none of the "
    "classes",
)  # fmt: skip
LABEL_DTYPE = Convention(("accepted",), None, "whether labels of this integer type are taken")
LABEL_SHAPE = Convention(("accepted",), None, "whether labels [N, 1] are taken for [N], or so many labels as rows")
EDGES = {"bad_label": BAD_LABEL, "label_dtype": LABEL_DTYPE, "label_shape": LABEL_SHAPE}
LABEL_DTYPES = ("int8", "int16", "int32", "uint8", "uint16", "uint32", "uint64")
BAD_LABELS: Mapping[str, Callable[[int], int]] = {
    "label-minus-1": lambda classes: -1, "label-minus-100": lambda classes: -100,
    "label-c": lambda classes: classes, "label-beyond": lambda classes: 1_000_000,
}  # fmt: skip


# Operations with labels t [N] of scores x [N, C]: a case in which nothing is special, without a reduction.
LABELLED = {
    "cross_entropy": "scale-1", "weighted_cross_entropy": "scale-1", "negative_log_likelihood": "spread-4",
    "multiclass_hinge": "scale-1", "crammer_singer_hinge": "scale-1", "layered_cross_entropy": "scale-1",
    "one_vs_rest": "scale-1", "categorical_hinge": "scale-1",
}  # fmt: skip
# Operations that are looked at with an x up to 0.3 times the largest number, 10^38 in float32, in such a case. Where
# squares or products of these are taken nothing is left to judge.
# not of probabilities: where one is below the smallest number of the dtype, 0 / 0 is NaN and the gradient in truth 0
LARGE = (
    "softmax", "log_softmax", "logsumexp", "cross_entropy", "soft_cross_entropy", "weighted_cross_entropy",
    "sigmoid", "log_sigmoid", "binary_cross_entropy_with_logits", "hinge", "squared_hinge",
    "multiclass_hinge", "crammer_singer_hinge", "hinge_embedding", "margin_ranking",
)  # fmt: skip


def with_edges(op: Op) -> Op:
    """The operation with the cases at its edges that can be made by rule."""
    if op.name in LARGE:
        op = replace(op, edge_cases=(*op.edge_cases, largest(case_of(op, "scale-1"))))
    return with_labels(op, case_of(op, LABELLED[op.name])) if op.name in LABELLED else op


def case_of(op: Op, name: str) -> Case:
    (case,) = (case for case in op.cases if case.name == name)
    return case


def largest(typical: Case) -> Case:
    def arrays(draw: Draw) -> Arrays:
        found = typical.arrays(draw)
        x = found["x"].astype(np.float64)
        return found | {"x": draw.quantised(x / np.abs(x).max() * 0.3 * FORMATS[draw.dtype].max)}

    return replace(typical, name="largest", arrays=arrays)


def with_labels(op: Op, typical: Case) -> Op:
    """The operation with edges for its labels."""
    return replace(
        op, forward=of_any_label(op.forward), vjp=vjp_of_any_label(op.vjp),
        roads={name: replace(road, forward=road.forward and of_any_label(road.forward),
                             vjp=road.vjp and vjp_of_any_label(road.vjp)) for name, road in op.roads.items()},
        edges=EDGES, edge_cases=(*op.edge_cases, *label_cases(typical)),
    )  # fmt: skip


def label_cases(typical: Case) -> tuple[Case, ...]:
    def case(name: str, edge: str, change: Callable[[Array, int], Array], **more: Any) -> Case:
        def arrays(draw: Draw) -> Arrays:
            found = typical.arrays(draw)
            return found | {"t": change(found["t"], found["x"].shape[1])}

        return replace(typical, name=name, arrays=arrays, edge=edge, **more)

    return (
        *(case(name, "bad_label", every_third(value)) for name, value in BAD_LABELS.items()
          if not (name == "label-minus-100" and typical.params.get("ignore_index") == -100)),
        *(case(f"label-{dtype}", "label_dtype", in_dtype(dtype), dtypes=("float32",)) for dtype in LABEL_DTYPES),
        case("labels-2d", "label_shape", lambda t, c: t[:, None], dtypes=("float32",)),
        case("labels-too-few", "label_shape", lambda t, c: t[:-1], dtypes=("float32",)),
    )  # fmt: skip


def every_third(value: Callable[[int], int]) -> Callable[[Array, int], Array]:
    return lambda t, classes: np.where(np.arange(len(t)) % 3 == 1, value(classes), t)


def in_dtype(dtype: str) -> Callable[[Array, int], Array]:
    return lambda t, classes: t.astype(dtype)


# --- the reference, of any label

Read = tuple[Array, Array]


def read(x: Array, t: Array, bad_label: str, ignore_index: int | None = None) -> Read:
    """Which rows count, and a label for each: that of a row which does not is 0, whatever its loss is."""
    classes, rows = x.shape[-1], len(x)
    t = t.astype(np.int64).reshape(-1) if t.size == rows else np.zeros(rows, np.int64)
    if bad_label == "wraps":
        t = np.where((t < 0) & (t >= -classes), t + classes, t)
    if bad_label == "clamps":
        t = np.clip(t, 0, classes - 1)
    good = ((t >= 0) & (t < classes)) | (t == ignore_index)
    if bad_label == "no class":
        return np.full(rows, True), np.where(good, t, -1)
    return good, np.where(good, t, 0)


def of_any_label(forward: Callable[..., Any]) -> Callable[..., Any]:
    """The forward, whose losses of bad labels are what bad_label says."""

    @wraps(forward)
    def of_any(x: Array, t: Array, *, bad_label: str = "nan", label_dtype: str = "", label_shape: str = "",
               **params: Any) -> Any:  # fmt: skip
        good, t = read(x, t, bad_label, params.get("ignore_index"))
        y = forward(x=x, t=t, **params)
        if good.all():
            return y
        first, *others = outputs(y)
        filled = np.where(good, first, fill(bad_label))
        return (filled, *others) if others else filled

    return of_any


def vjp_of_any_label(vjp: Callable[..., Arrays]) -> Callable[..., Arrays]:
    """Its gradients, in whose rows stands the same."""

    @wraps(vjp)
    def of_any(g: Array, y: Array, x: Array, t: Array, *, bad_label: str = "nan", label_dtype: str = "",
               label_shape: str = "", **params: Any) -> Arrays:  # fmt: skip
        good, t = read(x, t, bad_label, params.get("ignore_index"))
        dx = vjp(g, y, x=x, t=t, **params)
        return dx if good.all() else {k: np.where(good[:, None], v, fill(bad_label)) for k, v in dx.items()}

    return of_any


def fill(bad_label: str) -> float:
    return 0.0 if bad_label == "ignored" else np.nan
