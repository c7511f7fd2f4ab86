"""What happens at the edge of an operation, where frameworks decide: labels that are none, or of another type or shape,
logits of integers, mixed types, no classes, a number without an axis.

By rule, as of gradparity.reference.extremes; what is due is what an implementation declares.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial, wraps
from inspect import signature
from typing import Any

import numpy as np

from gradparity.arithmetic import Tracked
from gradparity.cases import Draw
from gradparity.op import Array, Arrays, Convention, Op, is_float, outputs
from gradparity.reference.extremes import (
    HINGES,
    LOGITS,
    REGRESSIONS,
    SOFTMAX,
    Change,
    changed,
    in_rows,
    number,
    of_each,
    of_x,
    typical_of,
    whole_rows,
)

Fn = Callable[..., Any]


@dataclass(frozen=True)
class Edge:
    """cases: the names of its cases, and what is changed of the typical case there; more: what else they are
    forward(f, value, **arguments), vjp(f, df, value, g, y, **arguments): what the formula f and its gradient df are
        there, where that is not what they give; value is None where nothing, or an exception, is declared
    at(**arguments): whether these are there, whatever is declared
    aside: of its cases: see op.Case
    """

    name: str
    convention: Convention
    operations: tuple[str, ...]
    cases: Mapping[str, Change]
    forward: Fn = lambda f, value, **arguments: f(**arguments)
    vjp: Fn = lambda f, df, value, g, y, **arguments: df(g, y, **arguments)
    at: Callable[..., bool] = lambda **arguments: False
    more: Mapping[str, Any] = field(default_factory=dict)
    aside: bool = True

    def is_there(self, value: Any, arguments: Arrays) -> bool:
        return value is not None or self.at(**arguments)


def with_edges(op: Op) -> Op:
    """The operation with its edges, on every road."""
    for edge in EDGES:
        if op.name in edge.operations:
            op = with_edge(op, edge)
    return op


def with_edge(op: Op, edge: Edge) -> Op:
    typical, more = typical_of(op), {"edge": edge.name, "aside": edge.aside, **edge.more}
    cases = (
        replace(typical, name=name, arrays=changed(typical.arrays, change), **more)
        for name, change in edge.cases.items()
    )
    op = turned(op, partial(forward_at, edge), partial(vjp_at, edge))
    return replace(op, edges={**op.edges, edge.name: edge.convention}, edge_cases=(*op.edge_cases, *cases))


def turned(op: Op, forward: Callable[[Fn], Fn], vjp: Callable[[Fn, Fn], Fn]) -> Op:
    """The operation by another forward and another gradient, on every road: forward(f), vjp(f, the gradient of f)."""
    roads = {
        name: replace(road, forward=road.forward and forward(road.forward),
                      vjp=vjp(road.forward or op.forward, road.vjp or op.vjp))
        for name, road in op.roads.items()
    }  # fmt: skip
    return replace(op, forward=forward(op.forward), vjp=vjp(op.forward, op.vjp), roads=roads)


def forward_at(edge: Edge, f: Fn) -> Fn:
    """The formula, and there what it is there."""

    @wraps(f)
    def there(*args: Any, **arguments: Any) -> Any:
        arguments = by_name(f, args, arguments)
        value = arguments.pop(edge.name, None)
        return edge.forward(f, value, **arguments) if edge.is_there(value, arguments) else f(**arguments)

    return there


def vjp_at(edge: Edge, f: Fn, df: Fn) -> Fn:
    """Its gradient df, and there what that is there."""

    @wraps(df)
    def there(g: Array, y: Array, *args: Any, **arguments: Any) -> Arrays:
        arguments = by_name(df, (g, y, *args), arguments)
        g, y, value = arguments.pop("g"), arguments.pop("y"), arguments.pop(edge.name, None)
        at = edge.is_there(value, arguments)
        found: Arrays = edge.vjp(f, df, value, g, y, **arguments) if at else df(g, y, **arguments)
        return found

    return there


def by_name(f: Fn, args: tuple[Any, ...], arguments: Arrays) -> Arrays:
    """All arguments of a call."""
    return {**dict(zip(signature(f).parameters, args, strict=False)), **arguments} if args else arguments


def always(**arguments: Any) -> bool:
    return True


def plain(x: Array) -> Array:
    return x.v if isinstance(x, Tracked) else x


def without_classes(f: Fn, value: Any, x: Array, **arguments: Any) -> Any:
    """The sum of nothing in each row, and its logarithm; f.__name__ says which is due."""
    if f.__name__ in ("softmax", "log_softmax"):
        return x
    nothing = np.sum(x, axis=-1)
    if value == "nan":
        return nothing + np.nan
    return nothing - np.inf if f.__name__ == "logsumexp" else nothing


def vjp_without_classes(f: Fn, df: Fn, value: Any, g: Array, y: Array, **arguments: Any) -> Arrays:
    return {name: array for name, array in arguments.items() if name in ("x", "t")}


def of_a_number(f: Fn, value: Any, x: Array, **arguments: Any) -> Any:
    """As of a row of it alone."""
    return np.reshape(f(x=np.reshape(x, (1,)), **arguments), ())


def vjp_of_a_number(f: Fn, df: Fn, value: Any, g: Array, y: Array, x: Array, **arguments: Any) -> Arrays:
    x = np.reshape(x, (1,))
    shape = f(x=x, **arguments).shape
    (dx,) = df(np.reshape(g, shape), np.reshape(y, shape), x=x, **arguments).values()
    return {"x": np.reshape(dx, ())}


def vjp_of_nan(f: Fn, df: Fn, value: str, g: Array, y: Array, x: Array, **arguments: Any) -> Arrays:
    dx = df(g, y, x=x, **arguments)["x"]
    return {"x": np.where(x <= np.inf, dx, np.nan) if value == "passed on" else dx}


def nowhere_finite(f: Fn, value: Any, x: Array, components: int) -> Any:
    """All NaN, of the shapes that are due."""
    n, none = x.shape[0], np.sum(x) * np.nan
    return tuple(np.broadcast_to(none, shape) for shape in (x.shape, (components,), (components, n, n)))


def vjp_nowhere_finite(f: Fn, df: Fn, value: Any, g: Array, y: Array, x: Array, components: int) -> Arrays:
    return {"x": np.broadcast_to(np.sum(x) * np.nan, x.shape)}


def whole_numbers(draw: Draw, x: Array) -> Array:
    return draw.integers("whole", x.shape, 8, -7).astype(np.int32)


def wider(draw: Draw, arrays: Arrays) -> Arrays:
    """All but x in float64."""
    return {k: v.astype(np.float64) if k != "x" and is_float(v) else v for k, v in arrays.items()}


def every_third(value: Callable[[int], int]) -> Callable[[Array, int], Array]:
    return lambda t, classes: np.where(np.arange(t.shape[-1]) % 3 == 1, value(classes), t)


def in_dtype(dtype: str) -> Callable[[Array, int], Array]:
    return lambda t, classes: t.astype(dtype)


def of_t(change: Callable[[Array, int], Array]) -> Change:
    """The labels, given the number of classes: that of the scores x, or of the weights of a linear classifier."""
    return lambda draw, arrays: arrays | {"t": change(arrays["t"], arrays["w" if "w" in arrays else "x"].shape[1])}


def of_labels(value: Callable[[int], int]) -> Change:
    return of_t(every_third(value))


def with_labels_as(meant: Callable[[Array, Array], Array]) -> tuple[Fn, Fn]:
    """The formula and its gradient of the labels that are meant, beside x."""

    def forward(f: Fn, value: Any, x: Array, t: Array, **arguments: Any) -> Any:
        return f(x=x, t=meant(t, x), **arguments)

    def vjp(f: Fn, df: Fn, value: Any, g: Array, y: Array, x: Array, t: Array, **arguments: Any) -> Any:
        return df(g, y, x=x, t=meant(t, x), **arguments)

    return forward, vjp


# --- labels that are none


def read(t: Array, classes: int, bad_label: str, ignore_index: int | None = None) -> tuple[Array, Array]:
    """Which rows count, and a label for each: that of a row which does not is 0, whatever its loss is."""
    if bad_label == "wraps":
        t = np.where((t < 0) & (t >= -classes), t + classes, t)
    if bad_label == "clamps":
        t = np.clip(t, 0, classes - 1)
    good = ((t >= 0) & (t < classes)) | (t == ignore_index)
    if bad_label == "no class":
        return np.full(len(t), True), np.where(good, t, -1)
    return good, np.where(good, t, 0)


def fill(bad_label: str) -> float:
    return 0.0 if bad_label == "ignored" else np.nan


def of_any_label(f: Fn, value: str, x: Array, t: Array, **params: Any) -> Any:
    """Losses of rows, of which those of bad labels are what is declared."""
    good, t = read(t, x.shape[-1], value, params.get("ignore_index"))
    y = f(x=x, t=t, **params)
    if good.all():
        return y
    first, *others = outputs(y)
    filled = np.where(good, first, fill(value))
    return (filled, *others) if others else filled


def vjp_of_any_label(
    f: Fn, df: Callable[..., Arrays], value: str, g: Array, y: Array, x: Array, t: Array, **params: Any
) -> Arrays:  # fmt: skip
    """Its gradients, in whose rows stands the same."""
    good, t = read(t, x.shape[-1], value, params.get("ignore_index"))
    dx = df(g, y, x=x, t=t, **params)
    return dx if good.all() else {k: np.where(good[:, None], v, fill(value)) for k, v in dx.items()}


def of_bad_labels(f: Fn, value: str, x: Array, w: Array, t: Array, **params: Any) -> Any:
    """A mean over rows of which some have a label that is none; of a loss without a penalty."""
    good, t = read(t, w.shape[1], value)
    if good.all():
        return f(x=x, w=w, t=t, **params)
    y = f(x=x[good], w=w, t=t[good], **params)
    if value == "left out":
        return y
    return y * int(good.sum()) / len(x) if value == "ignored" else y + np.nan


def vjp_of_bad_labels(
    f: Fn, df: Callable[..., Arrays], value: str, g: Array, y: Array, x: Array, w: Array, t: Array, **params: Any
) -> Arrays:  # fmt: skip
    """In the rows of bad labels NaN or 0, and so in what is summed over the rows."""
    good, t = read(t, w.shape[1], value)
    if good.all():
        return df(g, y, x=x, w=w, t=t, **params)
    g = g if value == "left out" else g * int(good.sum()) / len(x)
    d = df(g, y, x=x[good], w=w, t=t[good], **params)
    none = 0.0 if value in ("ignored", "left out") else np.nan
    dx = d["x"][np.maximum(np.cumsum(good) - 1, 0)]
    return {"x": np.where(good[:, None], dx, none), "w": d["w"] + none}


# --- what there is to declare

BAD_LABEL = Convention(
    ("nan", "ignored", "wraps", "clamps", "no class"), None,
    "what a label outside 0..C-1 does: the loss and the gradient of its row are NaN, or 0; or it is the label t + C, "
    "like an index of Python, and NaN where that is none; or it is the nearest label; or the row is of none of the "
    "classes",
)  # fmt: skip
LABEL_DTYPE = Convention(("accepted",), None, "whether labels of this integer type are taken")
LABEL_SHAPE = Convention(("accepted",), None, "whether labels [N, 1] are taken for [N], or so many labels as rows")
LABEL_IN_A_MEAN = Convention(
    ("nan", "ignored", "left out", "wraps", "clamps"), None,
    "what a label outside 0..C-1 does: the mean is NaN, and so is the gradient for its row; or its row's loss is 0, "
    "and the mean that of all rows, or of the others; or it is the label t + C, and NaN where that is none; or it is "
    "the nearest label",
)  # fmt: skip
NEGATIVE_LABEL = Convention(("a class",), None, "whether a negative number is the name of a class like any other")
NO_CLASSES = Convention(
    ("empty", "nan"), None,
    "what rows without a class give: a row of nothing, the sum of nothing, 0, and its logarithm -inf; or NaN",
)  # fmt: skip
NUMBER = Convention(("row",), None, "what a number without an axis gives: what a row of it alone does")
NAN_PROBABILITY = Convention(
    ("nan", "passed on"), None, "a probability that is NaN gives NaN; where it is clipped the gradient is 0, or NaN too"
)
NOT_FINITE = Convention(("nan",), None, "what data that are not all finite give")
INTEGER_INPUT = Convention(("float32", "float64"), None, "of what type the result for logits of type int32 is")
MIXED = Convention(
    ("float32", "float64"), None, "of what type the result is where x is float32 and the other numbers are float64"
)
LABEL_DTYPES = ("int8", "int16", "int32", "uint8", "uint16", "uint32", "uint64")
BAD_LABELS: Mapping[str, Callable[[int], int]] = {
    "label-minus-1": lambda classes: -1, "label-minus-100": lambda classes: -100,
    "label-c": lambda classes: classes, "label-beyond": lambda classes: 1_000_000,
}  # fmt: skip

# Losses of rows: labels t [N] of scores x [N, C].
LABELLED = (
    "cross_entropy", "weighted_cross_entropy", "negative_log_likelihood", "multiclass_hinge", "crammer_singer_hinge",
    "layered_cross_entropy", "one_vs_rest", "categorical_hinge",
)  # fmt: skip
IGNORING = "weighted_cross_entropy"  # the label -100
FLOAT32 = {"dtypes": ("float32",)}
VALUE_ALONE = {**FLOAT32, "only": "value"}
OF_TYPES = {f"label-{dtype}": of_t(in_dtype(dtype)) for dtype in LABEL_DTYPES}
OF_SHAPES = {"labels-2d": of_t(lambda t, classes: t[:, None]), "labels-too-few": of_t(lambda t, classes: t[:-1])}
BAD = {name: of_labels(value) for name, value in BAD_LABELS.items()}
AS_NUMBERS = with_labels_as(lambda t, x: t.astype(np.int64))
AS_MANY = with_labels_as(lambda t, x: np.resize(t, len(x)))
# What is due is what an implementation declares.
EDGES = (
    Edge(
        "no_classes", NO_CLASSES, (*SOFTMAX, "soft_cross_entropy", "categorical_cross_entropy", "multilabel_margin"),
        {"no-classes": of_each(lambda array: array[:, :0])}, without_classes, vjp_without_classes,
        at=lambda x, **others: x.shape[-1:] == (0,), more=FLOAT32,
    ),
    Edge("number", NUMBER, (*SOFTMAX, "euclidean_norm"), {"number": of_each(number)}, of_a_number, vjp_of_a_number,
         at=lambda x, **others: x.shape == (), more=FLOAT32),
    Edge("nan_probability", NAN_PROBABILITY, ("binary_cross_entropy",), {"nan": in_rows(np.nan)}, vjp=vjp_of_nan),
    Edge(
        "not_finite", NOT_FINITE, ("pca",),
        {"nan": in_rows(np.nan), "plus-inf": in_rows(np.inf), "minus-inf": in_rows(-np.inf),
         "row-minus-inf": of_x(whole_rows)},
        nowhere_finite, vjp_nowhere_finite, at=lambda x, **others: not plain(np.isfinite(x)).all(),
    ),
    # what is said of labels is undone from the last to the first: their shape, their type, their numbers
    Edge("bad_label", BAD_LABEL, tuple(op for op in LABELLED if op != IGNORING), BAD, of_any_label, vjp_of_any_label,
         at=always, aside=False),
    Edge("bad_label", BAD_LABEL, (IGNORING,), {k: v for k, v in BAD.items() if k != "label-minus-100"}, of_any_label,
         vjp_of_any_label, at=always, aside=False),
    Edge("bad_label", LABEL_IN_A_MEAN, ("softmax_regression",), BAD, of_bad_labels, vjp_of_bad_labels, at=always),
    Edge("negative_label", NEGATIVE_LABEL, ("ragged_centroid",), {k: v for k, v in BAD.items() if "minus" in k},
         *with_labels_as(lambda t, x: t - t.min(initial=0)), at=always, more=FLOAT32),
    Edge("label_dtype", LABEL_DTYPE, LABELLED, OF_TYPES, *AS_NUMBERS, at=always, more=FLOAT32, aside=False),
    Edge("label_dtype", LABEL_DTYPE, ("softmax_regression", "ragged_centroid"), OF_TYPES, *AS_NUMBERS, at=always,
         more=FLOAT32),
    Edge("label_shape", LABEL_SHAPE, LABELLED, OF_SHAPES, *AS_MANY, at=always, more=FLOAT32, aside=False),
    Edge("label_shape", LABEL_SHAPE, ("softmax_regression",), OF_SHAPES, *AS_MANY, at=always, more=FLOAT32),
    Edge("label_shape", LABEL_SHAPE, ("ragged_centroid",),
         {"labels-too-few": of_t(lambda t, classes: t[:, :-1])},
         *with_labels_as(lambda t, x: np.resize(t, x.shape[:2])), at=always, more=FLOAT32),
    Edge(
        "integer_input", INTEGER_INPUT,
        (*LOGITS, "sigmoid", "log_sigmoid", "binary_cross_entropy_with_logits", "one_vs_rest", "focal_loss"),
        {"integers": of_x(whole_numbers)}, more=VALUE_ALONE, aside=False,
    ),
    Edge(
        "mixed", MIXED,
        ("soft_cross_entropy", "weighted_cross_entropy", "layered_cross_entropy", "binary_cross_entropy_with_logits",
         "binary_cross_entropy", "categorical_cross_entropy", *HINGES, "multiclass_hinge", "focal_loss", *REGRESSIONS,
         "pairwise_distance"),
        {"mixed": wider}, more=VALUE_ALONE,
    ),
)  # fmt: skip
