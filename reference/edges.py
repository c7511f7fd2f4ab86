"""What happens at the edge of an operation: labels that are none, or of another integer type, or of another shape.

And the extremes that its own cases lack. By rule, from one typical case of an operation: the same arrays, one thing
about them changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import wraps
from inspect import signature
from typing import Any

import numpy as np

from gradparity.arithmetic import Tracked
from gradparity.cases import Draw, subnormal
from gradparity.op import FORMATS, Array, Arrays, Case, Convention, Format, Op, is_float, outputs

BAD_LABEL = Convention(
    ("nan", "ignored", "wraps", "clamps", "no class"), None,
    "what a label outside 0..C-1 does: the loss and the gradient of its row are NaN, or 0; or it is the label t + C, "
    "like an index of Python, and NaN where that is none; or it is the nearest label; or the row is of none of the "
    "classes",
)  # fmt: skip
LABEL_DTYPE = Convention(("accepted",), None, "whether labels of this integer type are taken")
LABEL_SHAPE = Convention(("accepted",), None, "whether labels [N, 1] are taken for [N], or so many labels as rows")
LABEL_EDGES = {"bad_label": BAD_LABEL, "label_dtype": LABEL_DTYPE, "label_shape": LABEL_SHAPE}
LABEL_DTYPES = ("int8", "int16", "int32", "uint8", "uint16", "uint32", "uint64")
BAD_LABELS: Mapping[str, Callable[[int], int]] = {
    "label-minus-1": lambda classes: -1, "label-minus-100": lambda classes: -100,
    "label-c": lambda classes: classes, "label-beyond": lambda classes: 1_000_000,
}  # fmt: skip


# A case of each operation in which nothing is special, without a reduction where there is one.
TYPICAL = {
    "negative_log_likelihood": "spread-4", "categorical_cross_entropy": "spread-4", "binary_cross_entropy": "spread-4",
    "ragged_centroid": "random", "pca": "components-1",
}  # fmt: skip
# Operations with labels t [N] of scores x [N, C].
LABELLED = (
    "cross_entropy", "weighted_cross_entropy", "negative_log_likelihood", "multiclass_hinge", "crammer_singer_hinge",
    "layered_cross_entropy", "one_vs_rest", "categorical_hinge",
)  # fmt: skip
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


def grown(share: float, whole: Callable[[Format], float]) -> Change:
    """The largest in size is this share of the whole."""

    def change(draw: Draw, x: Array) -> Array:
        wide = x.astype(np.float64)
        return draw.quantised(wide / np.abs(wide).max() * share * whole(FORMATS[draw.dtype]))

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
# largest not of probabilities: where one is below the smallest number of the dtype, 0 / 0 is NaN and the gradient in
# truth 0
EXTREMES: Mapping[str, tuple[Change, tuple[str, ...]]] = {
    "largest": (
        grown(0.3, lambda form: form.max),
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
    "up-to-10000": (grown(1.0, lambda form: 1e4), ("multilabel_margin", *POINTS, "euclidean_norm", *SEGMENTS)),
    "one-row": (of_each(lambda array: array[:1]), (*HINGES, "pairwise_distance", *SEGMENTS)),
    "one-column": (of_x(lambda draw, x: x[:, :1]), (*SEGMENTS, "pca")),
    "no-features": (no_features, REGRESSIONS),
    "no-columns": (without_columns, (*SEGMENTS, "pairwise_distance")),
    "number": (of_each(number), BY_ELEMENT),
}  # fmt: skip
# In float16 their squares, or sums, overflow.
NOT_IN_FLOAT16: Mapping[str, tuple[str, ...]] = {"up-to-10000": ("float64", "float32", "bfloat16")}


def with_edges(op: Op) -> Op:
    """The operation with the cases at its edges that can be made by rule."""
    typical = case_of(op, TYPICAL.get(op.name, "scale-1"))
    op = replace(op, edge_cases=(*op.edge_cases, *extremes(op.name, typical)))
    if op.name in LABELLED:
        op = with_labels(op, typical)
    for edge in EDGES:
        if op.name in edge.operations:
            op = with_edge(op, edge, typical)
    return op


def case_of(op: Op, name: str) -> Case:
    (case,) = (case for case in op.cases if case.name == name)
    return case


def extremes(op: str, typical: Case) -> Iterator[Case]:
    for name, (change, operations) in EXTREMES.items():
        if op in operations:
            dtypes = NOT_IN_FLOAT16.get(name, typical.dtypes)
            yield replace(typical, name=name, arrays=changed(typical.arrays, change), dtypes=dtypes)


def changed(arrays: Callable[[Draw], Arrays], change: Change) -> Callable[[Draw], Arrays]:
    return lambda draw: change(draw, arrays(draw))


Fn = Callable[..., Any]


def turned(op: Op, forward: Callable[[Fn], Fn], vjp: Callable[[Fn, Fn], Fn]) -> Op:
    """The operation by another forward and another gradient, on every road: forward(f), vjp(f, the gradient of f)."""
    roads = {
        name: replace(road, forward=road.forward and forward(road.forward),
                      vjp=vjp(road.forward or op.forward, road.vjp or op.vjp))
        for name, road in op.roads.items()
    }  # fmt: skip
    return replace(op, forward=forward(op.forward), vjp=vjp(op.forward, op.vjp), roads=roads)


def with_labels(op: Op, typical: Case) -> Op:
    """The operation with edges for its labels."""
    op = turned(op, of_any_label, lambda forward, vjp: vjp_of_any_label(vjp))
    return replace(op, edges=LABEL_EDGES, edge_cases=(*op.edge_cases, *label_cases(typical)))


# --- edges that an operation has beside those of its labels


@dataclass(frozen=True)
class Edge:
    """cases: the names of its cases, and what is changed of the typical case there; more: what else they are
    forward(f, value, **arguments), vjp(f, df, value, g, y, **arguments): what the formula f and its gradient df are
        there, where that is not what they give; value is None where nothing, or an exception, is declared
    at(**arguments): whether these are there, whatever is declared
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


def with_edge(op: Op, edge: Edge, typical: Case) -> Op:
    def forward(f: Fn) -> Fn:
        @wraps(f)
        def there(*args: Any, **arguments: Any) -> Any:
            arguments = by_name(f, args, arguments)
            value = arguments.pop(edge.name, None)
            at = value is not None or edge.at(**arguments)
            return edge.forward(f, value, **arguments) if at else f(**arguments)

        return there

    def vjp(f: Fn, df: Fn) -> Fn:
        @wraps(df)
        def there(g: Array, y: Array, *args: Any, **arguments: Any) -> Arrays:
            arguments = by_name(df, (g, y, *args), arguments)
            g, y, value = arguments.pop("g"), arguments.pop("y"), arguments.pop(edge.name, None)
            at = value is not None or edge.at(**arguments)
            found: Arrays = edge.vjp(f, df, value, g, y, **arguments) if at else df(g, y, **arguments)
            return found

        return there

    cases = (
        replace(
            typical, name=case, arrays=changed(typical.arrays, change), edge=edge.name, aside=edge.aside, **edge.more
        )
        for case, change in edge.cases.items()
    )
    op = turned(op, forward, vjp)
    return replace(op, edges={**op.edges, edge.name: edge.convention}, edge_cases=(*op.edge_cases, *cases))


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
    """The labels, given the number of classes of a linear classifier (0 of what has no weights)."""

    def changed(draw: Draw, arrays: Arrays) -> Arrays:
        return arrays | {"t": change(arrays["t"], arrays["w"].shape[1] if "w" in arrays else 0)}

    return changed


def of_labels(value: Callable[[int], int]) -> Change:
    return of_t(every_third(value))


def with_labels_as(meant: Callable[[Array, Array], Array]) -> tuple[Fn, Fn]:
    """The formula and its gradient of the labels that are meant, beside x."""

    def forward(f: Fn, value: Any, x: Array, t: Array, **arguments: Any) -> Any:
        return f(x=x, t=meant(t, x), **arguments)

    def vjp(f: Fn, df: Fn, value: Any, g: Array, y: Array, x: Array, t: Array, **arguments: Any) -> Any:
        return df(g, y, x=x, t=meant(t, x), **arguments)

    return forward, vjp


def of_bad_labels(f: Fn, value: str, x: Array, w: Array, t: Array, **params: Any) -> Any:
    """A mean over rows of which some have a label that is none; of a loss without a penalty."""
    good, t = read(np.empty((len(x), w.shape[1])), t, value)
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
    good, t = read(np.empty((len(x), w.shape[1])), t, value)
    if good.all():
        return df(g, y, x=x, w=w, t=t, **params)
    g = g if value == "left out" else g * int(good.sum()) / len(x)
    d = df(g, y, x=x[good], w=w, t=t[good], **params)
    none = 0.0 if value in ("ignored", "left out") else np.nan
    dx = d["x"][np.maximum(np.cumsum(good) - 1, 0)]
    return {"x": np.where(good[:, None], dx, none), "w": d["w"] + none}


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
VALUE_ALONE = {"dtypes": ("float32",), "only": "value"}
# What is due is what an implementation declares.
EDGES = (
    Edge(
        "no_classes", NO_CLASSES, (*SOFTMAX, "soft_cross_entropy", "categorical_cross_entropy", "multilabel_margin"),
        {"no-classes": of_each(lambda array: array[:, :0])}, without_classes, vjp_without_classes,
        at=lambda x, **others: x.shape[-1:] == (0,), more={"dtypes": ("float32",)},
    ),
    Edge("number", NUMBER, (*SOFTMAX, "euclidean_norm"), {"number": of_each(number)}, of_a_number, vjp_of_a_number,
         at=lambda x, **others: x.shape == (), more={"dtypes": ("float32",)}),
    Edge("nan_probability", NAN_PROBABILITY, ("binary_cross_entropy",), {"nan": in_rows(np.nan)}, vjp=vjp_of_nan),
    Edge(
        "not_finite", NOT_FINITE, ("pca",),
        {"nan": in_rows(np.nan), "plus-inf": in_rows(np.inf), "minus-inf": in_rows(-np.inf),
         "row-minus-inf": of_x(whole_rows)},
        nowhere_finite, vjp_nowhere_finite, at=lambda x, **others: not plain(np.isfinite(x)).all(),
    ),
    Edge("bad_label", LABEL_IN_A_MEAN, ("softmax_regression",),
         {name: of_labels(value) for name, value in BAD_LABELS.items()}, of_bad_labels, vjp_of_bad_labels,
         at=always),
    Edge("negative_label", NEGATIVE_LABEL, ("ragged_centroid",),
         {name: of_labels(value) for name, value in BAD_LABELS.items() if "minus" in name},
         *with_labels_as(lambda t, x: t - t.min(initial=0)), at=always, more={"dtypes": ("float32",)}),
    Edge("label_dtype", LABEL_DTYPE, ("softmax_regression", "ragged_centroid"),
         {f"label-{dtype}": of_t(in_dtype(dtype)) for dtype in LABEL_DTYPES},
         *with_labels_as(lambda t, x: t.astype(np.int64)), at=always, more={"dtypes": ("float32",)}),
    Edge("label_shape", LABEL_SHAPE, ("softmax_regression",),
         {"labels-2d": of_t(lambda t, classes: t[:, None]), "labels-too-few": of_t(lambda t, classes: t[:-1])},
         *with_labels_as(lambda t, x: np.resize(t, len(x))), at=always, more={"dtypes": ("float32",)}),
    Edge("label_shape", LABEL_SHAPE, ("ragged_centroid",),
         {"labels-too-few": of_t(lambda t, classes: t[:, :-1])},
         *with_labels_as(lambda t, x: np.resize(t, x.shape[:2])), at=always, more={"dtypes": ("float32",)}),
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
