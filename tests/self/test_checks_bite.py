"""Wrong implementations fail, and the right one does not.

Every check has a test that makes it fail: a table of wrong implementations, each with what it is caught as, run through
the same `check` as torch, TensorFlow and JAX, in float64 and float32. The right implementation, plain NumPy in the
dtype under test, passes every case of every operation: the bounds do not accuse.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from gradparity.adapter import Adapter, Implementation
from gradparity.adapters.numpy import ADAPTERS
from gradparity.arithmetic import Precision
from gradparity.check import check, ratios
from gradparity.op import DIRECTIONS, FORMATS, Array, Arrays, Case, GradparityError, Op, Result, join, outputs
from gradparity.reference import OPS

Fn = Callable[..., Any]
DTYPES = ("float64", "float32")
each_op = pytest.mark.parametrize("op", OPS.values(), ids=OPS)
each_dtype = pytest.mark.parametrize("dtype", DTYPES)


# --- the right implementation


def cast(y: Any, like: Array) -> Array:
    return np.asarray(y).astype(like.dtype)


def right(op: Op) -> Fn:
    """The reference on plain arrays of the dtype under test, its outputs of that dtype."""
    return lambda **kw: tuple(cast(y, kw["x"]) for y in outputs(op.forward(**kw)))


def right_vjp(op: Op) -> Fn:
    return lambda g, y, **kw: {k: cast(v, kw["x"]) for k, v in op.vjp(g, y, **kw).items()}


def implementation(op: Op, name: str, fn: Fn | None = None, vjp: Fn | None = None, **more: Any) -> Implementation:
    """Right but for what is given."""
    return Implementation(op.name, f"wrong.{name}", fn or right(op), vjp=vjp or right_vjp(op), **more)


def numpy_with(**more: Any) -> Adapter:
    """NumPy, in which every operation has its right function: what invariants set two operations beside."""
    return replace(ADAPTERS[0], implementations=tuple(implementation(op, "nothing", **more) for op in OPS.values()))


NUMPY = numpy_with()


@each_op
@each_dtype
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_the_bounds_do_not_accuse(op: Op, dtype: str, direction: str) -> None:
    """Every case of every op passes, and each check of each case has its row."""
    rows = check(op, implementation(op, "nothing"), NUMPY, dtype, direction)
    assert [row.message for row in rows if row.status != "pass"] == []
    assert sorted((row.case, row.check) for row in rows) == expected_rows(op, direction)


def expected_rows(op: Op, direction: str) -> list[tuple[str, str]]:
    """One for each case, check and cotangent, the first of which is not named; or for each invariant's case."""
    if direction == "invariant":
        names = {case.name for case in op.cases}
        return sorted((case, f"invariant.{i.name}") for i in op.invariants for case in i.cases if case in names)
    return sorted(
        (case.name, join(name, cotangent))
        for case in op.cases
        for name in op.checks(direction)
        for cotangent in ("", *(case.cotangents[1:] if direction == "vjp" else ()))
    )


# --- wrong implementations


@dataclass(frozen=True)
class Wrong:
    """An implementation that is wrong in one way.

    caught: "status/reason" of the rows that convict it. at: the case in which it must be caught, among others.
    check: that row's check; None: the first of the direction
    """

    op: str
    name: str
    caught: str
    at: str
    fn: Fn | None = None
    vjp: Fn | None = None
    check: str = ""
    conventions: Mapping[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return f"{self.op}/{self.name}"

    @property
    def direction(self) -> str:
        return "invariant" if self.check.startswith("invariant.") else "vjp" if self.vjp else "value"


def changed_value(op: str, change: Callable[..., Any]) -> Fn:
    """The right outputs, of which `change(y, arguments)` replaces the first."""

    def fn(**kw: Any) -> Any:
        first, *others = right(OPS[op])(**kw)
        return (change(first, kw), *others)

    return fn


def changed_gradient(op: str, change: Callable[..., Any]) -> Fn:
    """The right gradient, replaced by `change(dx, arguments)`."""
    return lambda g, y, **kw: {"x": change(right_vjp(OPS[op])(g, y, **kw)["x"], kw)}


def with_arguments(op: str, change: Callable[[Arrays], Arrays]) -> Fn:
    """The right function of other arguments."""
    return lambda **kw: right(OPS[op])(**{**kw, **change(kw)})


def vjp_with_arguments(op: str, change: Callable[[Arrays], Arrays]) -> Fn:
    return lambda g, y, **kw: right_vjp(OPS[op])(g, y, **{**kw, **change(kw)})


def typical(op: str) -> str:
    return "random" if op == "ragged_centroid" else "scale-1"


def of_every_op(op: str) -> Iterable[Wrong]:
    """What can be wrong with anything."""
    at = typical(op)

    def value(name: str, caught: str, change: Fn, **more: Any) -> Wrong:
        return Wrong(op, name, caught, at, fn=changed_value(op, change), **more)

    def gradient(name: str, caught: str, change: Fn, **more: Any) -> Wrong:
        return Wrong(op, name, caught, at, vjp=changed_gradient(op, change), **more)

    yield value("value-zero", "fail/bound", lambda y, kw: 0 * y)
    yield value("value-negated", "fail/bound", lambda y, kw: -y)
    yield value("value-twice", "fail/bound", lambda y, kw: 2 * y)
    yield value("value-nan-here-and-there", "fail/nonfinite", lambda y, kw: poked(y, np.nan))
    yield value("value-inf-here-and-there", "fail/nonfinite", lambda y, kw: poked(y, np.inf))
    yield value("value-of-another-shape", "fail/shape", lambda y, kw: y[None])
    yield value("value-transposed", "fail/shape", lambda y, kw: y.reshape(-1, 1) if y.ndim == 1 else y.T)
    yield value("value-in-float16", "fail/dtype", lambda y, kw: y.astype(np.float16))
    yield value("value-in-the-other-dtype", "fail/dtype", lambda y, kw: y.astype(other_dtype(y)))
    yield value("value-raises", "error/exception", raises)
    yield Wrong(op, "value-none", "fail/shape", at, fn=lambda **kw: None)
    yield gradient("gradient-zero", "fail/bound", lambda dx, kw: 0 * dx)
    yield gradient("gradient-negated", "fail/bound", lambda dx, kw: -dx)
    yield gradient("gradient-doubled", "fail/bound", lambda dx, kw: 2 * dx)
    yield gradient("gradient-of-the-next-row", "fail/bound", lambda dx, kw: np.roll(dx, 1, axis=0))
    yield gradient("gradient-nan-here-and-there", "fail/nonfinite", lambda dx, kw: poked(dx, np.nan))
    yield gradient("gradient-of-another-shape", "fail/shape", lambda dx, kw: dx.sum(axis=0))
    yield gradient("gradient-in-float16", "fail/dtype", lambda dx, kw: dx.astype(np.float16))
    yield gradient("gradient-raises", "error/exception", raises)
    yield Wrong(op, "gradient-none", "fail/shape", at, vjp=lambda g, y, **kw: {"x": None})
    yield Wrong(op, "cotangent-ignored", "fail/bound", at,
                vjp=lambda g, y, **kw: right_vjp(OPS[op])(np.ones_like(g), y, **kw))  # fmt: skip


def poked(y: Array, value: float) -> Array:
    """Every tenth element: some of each case's."""
    y = y.copy()
    y.flat[::10] = value
    return y


def other_dtype(y: Array) -> Any:
    return np.float32 if y.dtype == np.float64 else np.float64


def raises(*_: Any) -> Any:
    raise ValueError("no such thing")


# The detection floor: the smallest k for which correct * (1 + 2^k u) is caught in both dtypes, value and gradient, and
# where. What is smaller hides behind the bound; what is larger does not.
FLOOR = {
    "softmax": ((4, "scale-100"), (5, "scale-10")),
    "log_softmax": ((1, "scale-100"), (1, "scale-10")),
    "logsumexp": ((1, "scale-10"), (4, "classes-2")),
    "cross_entropy": ((1, "scale-10"), (1, "scale-10")),
    "sigmoid": ((1, "large-1000"), (1, "large-1000")),
    "log_sigmoid": ((1, "scale-1"), (1, "scale-10000")),
    "hinge": ((1, "scale-1"), (1, "scale-1")),
    "squared_hinge": ((1, "scale-1"), (1, "scale-1")),
    "ragged_centroid": ((5, "scale-10000"), (6, "random")),
}


def slightly_off(op: str) -> Iterable[Wrong]:
    (k, at), (j, there) = FLOOR[op]
    off, off_too = (lambda y, kw, k=k: times(y, 1 + 2.0**k * unit(y)) for k in (k, j))
    yield Wrong(op, f"value-off-by-2^{k}-u", "fail/bound", at, fn=changed_value(op, off))
    yield Wrong(op, f"gradient-off-by-2^{j}-u", "fail/bound", there, vjp=changed_gradient(op, off_too))


def unit(y: Array) -> float:
    return FORMATS[str(y.dtype)].unit


def times(y: Array, factor: float) -> Array:
    """Rounded once: in long double, then to the dtype."""
    return (y.astype(np.longdouble) * np.longdouble(factor)).astype(y.dtype)


# The softmax family.


def softmax_unshifted(x: Array, axis: int) -> Array:
    e = np.exp(x)
    return e / e.sum(axis=axis, keepdims=True)


def softmax_of_all(x: Array, axis: int) -> Array:
    """The maximum of the whole batch: right until a row lies far below another."""
    e = np.exp(x - x.max(initial=-np.inf))
    return e / e.sum(axis=axis, keepdims=True)


def log_softmax_via_lse(x: Array, axis: int) -> Array:
    m = x.max(axis=axis, keepdims=True)
    return x - (m + np.log(np.exp(x - m).sum(axis=axis, keepdims=True)))


def logsumexp_unshifted(x: Array, axis: int) -> Array:
    return np.log(np.exp(x).sum(axis=axis))


def logsumexp_always_shifted(x: Array, axis: int) -> Array:
    """inf - inf where the maximum is infinite."""
    m = x.max(axis=axis, keepdims=True)
    return np.squeeze(m, axis) + np.log(np.exp(x - m).sum(axis=axis))


def softmax(x: Array) -> Array:
    return right(OPS["softmax"])(x=x, axis=-1)[0]


def log_softmax(x: Array) -> Array:
    return right(OPS["log_softmax"])(x=x, axis=-1)[0]


def reduce(loss: Array, reduction: str) -> Array:
    n = loss.dtype.type(len(loss))
    return {"none": lambda: loss, "sum": loss.sum, "mean": lambda: loss.sum() / n}[reduction]()


def at_label(x: Array, t: Array) -> Array:
    return x[np.arange(len(t)), t]


def cross_entropy_of(log_probabilities: Callable[[Array], Array]) -> Fn:
    return lambda x, t, reduction: reduce(-at_label(log_probabilities(x), t), reduction)


def lse_minus_logit(x: Array) -> Array:
    """Each at the size of the logits, and their difference is not."""
    return x - right(OPS["logsumexp"])(x=x, axis=-1)[0][:, None]


def smoothed(x: Array, t: Array, reduction: str) -> Array:
    """Label smoothing of 1e-3 left on."""
    lp, e = log_softmax(x), x.dtype.type(1e-3)
    return reduce(-(1 - e) * at_label(lp, t) - e * lp.mean(axis=-1), reduction)


def swapped(reduction: str) -> str:
    return {"sum": "mean", "mean": "sum"}.get(reduction, reduction)


def over_n_minus_1(y: Array, kw: Arrays) -> Array:
    n = kw["x"].dtype.type(len(kw["x"]))
    return y * n / (n - 1) if kw["reduction"] == "mean" and n > 1 else y


SHARED: tuple[Wrong, ...] = tuple(
    Wrong(op, name, caught, at, fn=fn)
    for op, name, caught, at, fn in (
        ("softmax", "no-max-shift", "fail/nonfinite", "scale-10000", softmax_unshifted),
        ("softmax", "no-max-shift-far-below", "fail/nonfinite", "shift-minus-10000", softmax_unshifted),
        ("softmax", "max-of-the-whole-batch", "fail/nonfinite", "scale-10000", softmax_of_all),
        ("softmax", "along-the-other-axis", "fail/bound", "scale-1",
         lambda x, axis: right(OPS["softmax"])(x=x, axis=0 if axis == -1 else -1)[0]),
        ("softmax", "clipped-at-1e-15", "fail/bound", "ramp-80",
         lambda x, axis: np.clip(right(OPS["softmax"])(x=x, axis=axis)[0], 1e-15, 1)),
        ("softmax", "one-class-missing", "fail/bound", "scale-1",
         lambda x, axis: right(OPS["softmax"])(x=x, axis=axis)[0] * x.dtype.type(1 + 1e-3)),
        ("softmax", "nan-row-hidden", "fail/nonfinite", "nan",
         lambda x, axis: np.nan_to_num(right(OPS["softmax"])(x=x, axis=axis)[0])),
        ("log_softmax", "no-max-shift", "fail/nonfinite", "scale-10000",
         lambda x, axis: x - np.log(np.exp(x).sum(axis=axis, keepdims=True))),
        ("log_softmax", "log-of-softmax", "fail/nonfinite", "scale-1000",
         lambda x, axis: np.log(right(OPS["softmax"])(x=x, axis=axis)[0])),
        ("log_softmax", "x-minus-max-plus-log-sum", "fail/bound", "shift-10000", log_softmax_via_lse),
        ("log_softmax", "log-of-clipped-softmax", "fail/bound", "scale-100",
         lambda x, axis: np.log(np.maximum(right(OPS["softmax"])(x=x, axis=axis)[0], x.dtype.type(1e-15)))),
        ("logsumexp", "no-max-shift", "fail/nonfinite", "scale-10000", logsumexp_unshifted),
        ("logsumexp", "no-max-shift-far-below", "fail/nonfinite", "shift-minus-10000", logsumexp_unshifted),
        ("logsumexp", "shifted-by-infinity", "fail/nonfinite", "plus-inf", logsumexp_always_shifted),
        ("logsumexp", "max-only", "fail/bound", "scale-1", lambda x, axis: x.max(axis=axis)),
        ("logsumexp", "mean-for-sum", "fail/bound", "scale-1",
         lambda x, axis: right(OPS["logsumexp"])(x=x, axis=axis)[0] - np.log(x.dtype.type(x.shape[axis]))),
        ("cross_entropy", "no-max-shift", "fail/nonfinite", "scale-10000",
         cross_entropy_of(lambda x: x - np.log(np.exp(x).sum(axis=-1, keepdims=True)))),
        ("cross_entropy", "log-of-softmax", "fail/nonfinite", "scale-1000",
         cross_entropy_of(lambda x: np.log(softmax(x)))),
        ("cross_entropy", "logsumexp-minus-logit", "fail/bound", "shift-10000", cross_entropy_of(lse_minus_logit)),
        ("cross_entropy", "clipped-at-1e-7", "fail/bound", "scale-100",
         cross_entropy_of(lambda x: np.log(np.clip(softmax(x), x.dtype.type(1e-7), x.dtype.type(1 - 1e-7))))),
        ("cross_entropy", "softmax-of-probabilities", "fail/bound", "scale-1",
         cross_entropy_of(lambda x: log_softmax(softmax(x)))),
        ("cross_entropy", "label-smoothing-left-on", "fail/bound", "scale-1", smoothed),
        ("cross_entropy", "labels-off-by-one", "fail/bound", "scale-1",
         with_arguments("cross_entropy", lambda kw: {"t": (kw["t"] + 1) % kw["x"].shape[-1]})),
        ("cross_entropy", "labels-shifted-by-a-row", "fail/bound", "scale-1",
         with_arguments("cross_entropy", lambda kw: {"t": np.roll(kw["t"], 1)})),
        ("cross_entropy", "mean-for-sum", "fail/bound", "sum-scale-1",
         with_arguments("cross_entropy", lambda kw: {"reduction": swapped(kw["reduction"])})),
        ("cross_entropy", "sum-for-mean", "fail/bound", "mean-scale-1",
         with_arguments("cross_entropy", lambda kw: {"reduction": swapped(kw["reduction"])})),
        ("cross_entropy", "mean-for-none", "fail/shape", "scale-1",
         with_arguments("cross_entropy", lambda kw: {"reduction": "mean"})),
        ("cross_entropy", "mean-over-n-minus-1", "fail/bound", "mean-scale-1",
         changed_value("cross_entropy", over_n_minus_1)),
        ("cross_entropy", "mean-of-no-rows-is-zero", "fail/nonfinite", "mean-zero-rows",
         changed_value("cross_entropy", lambda y, kw: np.nan_to_num(y))),
    )
)  # fmt: skip


def vjp_of_cross_entropy(gradient: Callable[[Array, Array], Array]) -> Fn:
    """g, spread over the rows, times what is claimed to be p - onehot(t)."""

    def vjp(g: Array, y: Array, x: Array, t: Array, reduction: str) -> Arrays:
        rows = g[:, None] if reduction == "none" else g / x.dtype.type(len(x)) if reduction == "mean" else g
        return {"x": rows * gradient(x, t)}

    return vjp


def one_hot(x: Array, t: Array) -> Array:
    return (np.arange(x.shape[-1]) == t[:, None]).astype(x.dtype)


GRADIENTS: tuple[Wrong, ...] = tuple(
    Wrong(op, name, caught, at, vjp=vjp)
    for op, name, caught, at, vjp in (
        ("softmax", "diagonal-only", "fail/bound", "scale-1", lambda g, y, x, axis: {"x": g * y * (1 - y)}),
        ("softmax", "jacobian-of-log_softmax", "fail/bound", "scale-1",
         lambda g, y, x, axis: {"x": g - y * g.sum(axis=axis, keepdims=True)}),
        ("softmax", "unnormalised", "fail/bound", "scale-1", lambda g, y, x, axis: {"x": y * g}),
        ("log_softmax", "cotangent-not-summed", "fail/bound", "scale-1",
         lambda g, y, x, axis: {"x": g - np.exp(y) * g}),
        ("log_softmax", "plus-for-minus", "fail/bound", "scale-1",
         lambda g, y, x, axis: {"x": g + np.exp(y) * g.sum(axis=axis, keepdims=True)}),
        ("logsumexp", "through-the-maximum-only", "fail/bound", "scale-1",
         lambda g, y, x, axis: {"x": np.expand_dims(g, axis) * (x == x.max(axis=axis, keepdims=True))}),
        ("logsumexp", "log_softmax-for-softmax", "fail/bound", "scale-1",
         lambda g, y, x, axis: {"x": np.expand_dims(g, axis) * (x - np.expand_dims(y, axis))}),
        ("cross_entropy", "label-not-subtracted", "fail/bound", "scale-1",
         vjp_of_cross_entropy(lambda x, t: softmax(x))),
        ("cross_entropy", "softmax-detached", "fail/bound", "scale-1",
         vjp_of_cross_entropy(lambda x, t: -one_hot(x, t))),
        ("cross_entropy", "labels-off-by-one", "fail/bound", "scale-1",
         vjp_with_arguments("cross_entropy", lambda kw: {"t": (kw["t"] + 1) % kw["x"].shape[-1]})),
        ("cross_entropy", "mean-for-sum", "fail/bound", "sum-scale-1",
         vjp_with_arguments("cross_entropy", lambda kw: {"reduction": swapped(kw["reduction"])})),
        ("cross_entropy", "sum-for-mean", "fail/bound", "mean-scale-1",
         vjp_with_arguments("cross_entropy", lambda kw: {"reduction": swapped(kw["reduction"])})),
        ("cross_entropy", "no-max-shift", "fail/nonfinite", "scale-10000",
         vjp_of_cross_entropy(lambda x, t: softmax_unshifted(x, -1) - one_hot(x, t))),
        ("cross_entropy", "label-smoothing-left-on", "fail/bound", "scale-1",
         vjp_of_cross_entropy(lambda x, t: softmax(x) - x.dtype.type(0.999) * one_hot(x, t) - x.dtype.type(1e-4))),
    )
)  # fmt: skip


# Element by element.


def tanh_sigmoid(x: Array) -> Array:
    return x.dtype.type(0.5) + x.dtype.type(0.5) * np.tanh(x / 2)


def margin(x: Array, t: Array) -> Array:
    return 1 - t * x


POINTWISE: tuple[Wrong, ...] = (
    *(
        Wrong(op, name, caught, at, fn=fn)
        for op, name, caught, at, fn in (
            ("sigmoid", "exp-over-one-plus-exp", "fail/nonfinite", "scale-1000", lambda x: np.exp(x) / (1 + np.exp(x))),
            ("sigmoid", "half-plus-half-tanh", "fail/bound", "line-120", tanh_sigmoid),
            ("sigmoid", "one-minus-sigmoid-of-minus-x", "fail/bound", "line-120", lambda x: 1 - 1 / (1 + np.exp(x))),
            ("sigmoid", "clipped-at-1e-7", "fail/bound", "line-120",
             lambda x: np.clip(right(OPS["sigmoid"])(x=x)[0], x.dtype.type(1e-7), x.dtype.type(1 - 1e-7))),
            ("sigmoid", "hard", "fail/bound", "scale-1", lambda x: np.clip(x / 6 + x.dtype.type(0.5), 0, 1)),
            ("sigmoid", "of-minus-x", "fail/bound", "scale-1", lambda x: right(OPS["sigmoid"])(x=-x)[0]),
            ("log_sigmoid", "log-of-sigmoid", "fail/nonfinite", "scale-1000",
             lambda x: np.log(right(OPS["sigmoid"])(x=x)[0])),
            ("log_sigmoid", "log-of-one-plus-exp", "fail/nonfinite", "scale-1000", lambda x: -np.log(1 + np.exp(-x))),
            ("log_sigmoid", "log-for-log1p", "fail/bound", "wide-positive", lambda x: -np.log(1 + np.exp(-x))),
            ("log_sigmoid", "softplus-of-x", "fail/bound", "scale-1", lambda x: right(OPS["log_sigmoid"])(x=-x)[0]),
            ("hinge", "margin-1.000001", "fail/bound", "scale-1",
             lambda x, t: np.maximum(x.dtype.type(1.000001) - t * x, 0)),
            ("hinge", "margin-0", "fail/bound", "scale-1", lambda x, t: np.maximum(-t * x, 0)),
            ("hinge", "other-side", "fail/bound", "scale-1", lambda x, t: np.maximum(t * x - 1, 0)),
            ("hinge", "not-cut-at-zero", "fail/bound", "scale-1", margin),
            ("hinge", "labels-ignored", "fail/bound", "scale-1", lambda x, t: np.maximum(1 - x, 0)),
            ("hinge", "labels-0-and-1", "fail/bound", "scale-1", lambda x, t: np.maximum(1 - (t + 1) / 2 * x, 0)),
            ("hinge", "softplus", "fail/bound", "scale-1", lambda x, t: np.logaddexp(0, margin(x, t)).astype(x.dtype)),
            ("hinge", "nan-cut-at-zero", "fail/nonfinite", "nan", lambda x, t: np.fmax(margin(x, t), 0)),
            ("squared_hinge", "not-squared", "fail/bound", "scale-1", lambda x, t: np.maximum(margin(x, t), 0)),
            ("squared_hinge", "half", "fail/bound", "scale-1", lambda x, t: np.square(np.maximum(margin(x, t), 0)) / 2),
            ("squared_hinge", "margin-1.000001", "fail/bound", "scale-1",
             lambda x, t: np.square(np.maximum(x.dtype.type(1.000001) - t * x, 0))),
            ("squared_hinge", "not-cut-at-zero", "fail/bound", "scale-1", lambda x, t: np.square(margin(x, t))),
            ("squared_hinge", "other-side", "fail/bound", "scale-1",
             lambda x, t: np.square(np.minimum(margin(x, t), 0))),
        )
    ),
    *(
        Wrong(op, name, caught, at, vjp=vjp)
        for op, name, caught, at, vjp in (
            ("sigmoid", "y", "fail/bound", "scale-1", lambda g, y, x: {"x": g * y}),
            ("sigmoid", "y-minus-y-cubed", "fail/bound", "scale-1", lambda g, y, x: {"x": g * y * (1 - y * y)}),
            ("sigmoid", "of-x-for-y", "fail/bound", "scale-1", lambda g, y, x: {"x": g * x * (1 - x)}),
            ("sigmoid", "vanishing-beyond-8", "fail/bound", "scale-10",
             lambda g, y, x: {"x": g * y * (1 - y) * (np.abs(x) < 8)}),
            ("log_sigmoid", "sigmoid-of-x", "fail/bound", "scale-1",
             lambda g, y, x: {"x": g * right(OPS["sigmoid"])(x=x)[0]}),
            ("log_sigmoid", "one-minus-sigmoid", "fail/bound", "wide-positive",
             lambda g, y, x: {"x": g * (1 - right(OPS["sigmoid"])(x=x)[0])}),
            ("log_sigmoid", "exp-overflows", "fail/nonfinite", "scale-1000",
             lambda g, y, x: {"x": g * np.exp(-x) / (1 + np.exp(-x))}),
            ("hinge", "other-side", "fail/bound", "around-kink", lambda g, y, x, t: {"x": -g * t * (t * x > 1)}),
            ("hinge", "kink-at-1.000001", "fail/bound", "around-kink",
             lambda g, y, x, t: {"x": -g * t * (t * x < x.dtype.type(1.000001))}),
            ("hinge", "labels-ignored", "fail/bound", "scale-1", lambda g, y, x, t: {"x": -g * (t * x < 1)}),
            ("hinge", "not-cut-at-zero", "fail/bound", "scale-1", lambda g, y, x, t: {"x": -g * t}),
            ("hinge", "of-the-square", "fail/bound", "scale-1",
             lambda g, y, x, t: {"x": -2 * g * t * np.maximum(margin(x, t), 0)}),
            ("squared_hinge", "factor-2-forgotten", "fail/bound", "scale-1",
             lambda g, y, x, t: {"x": -g * t * np.maximum(margin(x, t), 0)}),
            ("squared_hinge", "labels-ignored", "fail/bound", "scale-1",
             lambda g, y, x, t: {"x": -2 * g * np.maximum(margin(x, t), 0)}),
            ("squared_hinge", "not-cut-at-zero", "fail/bound", "scale-1",
             lambda g, y, x, t: {"x": -2 * g * t * margin(x, t)}),
            ("squared_hinge", "other-side", "fail/bound", "around-kink",
             lambda g, y, x, t: {"x": -2 * g * t * np.minimum(margin(x, t), 0)}),
            ("squared_hinge", "of-the-hinge", "fail/bound", "scale-1", lambda g, y, x, t: {"x": -g * t * (t * x < 1)}),
        )
    ),
)  # fmt: skip


def hinge_vjp_with(**conventions: float) -> Fn:
    """The right gradient but for its value at the kink, or at NaN."""
    return lambda g, y, x, t: {"x": cast(OPS["hinge"].vjp(g, y, x, t, **conventions)["x"], x)}


def undeclared(name: str, at: str, values: tuple[float, ...]) -> Iterable[Wrong]:
    """Each declared value of a convention with each other value, admissible or not."""
    for declared in OPS["hinge"].conventions[name].values:
        for actual in values:
            if actual == declared or (actual != actual and declared != declared):
                continue
            caught = "fail/bound" if np.isfinite([actual, declared]).all() else "fail/nonfinite"
            yield Wrong("hinge", f"{name}-{actual:g}-where-{declared:g}-is-declared", caught, at,
                        vjp=hinge_vjp_with(**{name: actual}), conventions={name: declared})  # fmt: skip


KINKS = (
    *undeclared("kink", "kink", (0.0, 0.5, 1.0, 0.25, -1.0, 2.0, np.nan, np.inf)),
    *undeclared("nan_margin", "nan", (0.0, 1.0, np.nan, 0.5, np.inf)),
    Wrong("squared_hinge", "nan-margin-0-where-nan-is-declared", "fail/nonfinite", "nan",
          vjp=lambda g, y, x, t: {"x": cast(OPS["squared_hinge"].vjp(g, y, x, t, nan_margin=0.0)["x"], x)}),
    Wrong("squared_hinge", "nan-margin-nan-where-0-is-declared", "fail/nonfinite", "nan",
          vjp=lambda g, y, x, t: {"x": cast(OPS["squared_hinge"].vjp(g, y, x, t, nan_margin=np.nan)["x"], x)},
          conventions={"nan_margin": 0.0}),
)  # fmt: skip


# The ragged centroid loss.


def centre(p: Array) -> Array:
    return p.mean(axis=0)


def distance(d: Array) -> Array:
    return np.sqrt(np.square(d).sum(axis=1))


def excess(r: Array, delta: Array) -> Array:
    return np.maximum(r - delta, 0)


def centroid_loss(
    centre: Fn = centre, distance: Fn = distance, excess: Fn = excess, average: Fn = np.mean, combine: Fn = np.sum,
    items: Fn = np.mean,
) -> Fn:  # fmt: skip
    """The loss from its parts, any of which may be exchanged; as they are it is right."""

    def fn(x: Array, t: Array, delta: float, reduction: str) -> tuple[Array, Array]:
        losses, centroids = np.zeros(len(x), x.dtype), np.zeros_like(x)
        for b in range(len(x)):
            terms = []
            for own in (t[b] == k for k in np.unique(t[b])):
                c = centroids[b, own] = np.broadcast_to(centre(x[b, own]), x[b, own].shape)
                h = excess(distance(x[b, own] - c), x.dtype.type(delta))
                terms.append(average(h * h))
            losses[b] = combine(terms)
        return losses if reduction == "none" else cast(items(losses), x), centroids

    return fn


def unit_vectors(d: Array, r: Array) -> Array:
    return d / np.where(r > 0, r, 1)


def centroid_vjp(
    direction: Fn = unit_vectors, excess: Fn = excess, recentred: bool = True, factor: Fn = lambda n: 2 / n
) -> Fn:
    """Its gradient from its parts; as they are it is right."""

    def vjp(g: Array, y: Array, x: Array, t: Array, delta: float, reduction: str) -> Arrays:
        dx = np.zeros_like(x)
        for b in range(len(x)):
            for own in (t[b] == k for k in np.unique(t[b])):
                d = x[b, own] - centre(x[b, own])
                r = distance(d)[:, None]
                w = excess(r, x.dtype.type(delta)) * direction(d, r)
                scale = g[b] if reduction == "none" else g / x.dtype.type(len(x))
                dx[b, own] = scale * x.dtype.type(factor(own.sum())) * (w - recentred * w.mean(axis=0))
        return {"x": dx}

    return vjp


def whole_item(x: Array, t: Array, delta: float, reduction: str) -> Any:
    """Labels ignored."""
    return centroid_loss()(x, 0 * t, delta, reduction)


def items_merged(x: Array, t: Array, delta: float, reduction: str) -> Any:
    """A label means one class in all items."""
    loss, c = centroid_loss()(x.reshape(1, -1, x.shape[-1]), t.reshape(1, -1), delta, "none")
    return (np.broadcast_to(loss, len(x)).copy() if reduction == "none" else loss[0]), c.reshape(x.shape)


def centroids_unspread(x: Array, t: Array, delta: float, reduction: str) -> Any:
    loss, c = centroid_loss()(x, t, delta, reduction)
    return loss, np.roll(c, 1, axis=1)


def over_n_minus_1_members(h2: Array) -> Any:
    return h2.sum() / h2.dtype.type(max(len(h2) - 1, 1))


RAGGED: tuple[Wrong, ...] = (
    *(
        Wrong("ragged_centroid", name, caught, at, fn=fn)
        for name, caught, at, fn in (
            ("delta-forgotten", "fail/bound", "random", centroid_loss(excess=lambda r, delta: r)),
            ("delta-inside-the-square", "fail/bound", "random", centroid_loss(distance=lambda d: distance(d) ** 2)),
            ("not-cut-at-delta", "fail/bound", "random", centroid_loss(excess=lambda r, delta: r - delta)),
            ("other-side-of-delta", "fail/bound", "random",
             centroid_loss(excess=lambda r, delta: np.maximum(delta - r, 0))),
            ("sum-over-members", "fail/bound", "random", centroid_loss(average=np.sum)),
            ("members-n-minus-1", "fail/bound", "random", centroid_loss(average=over_n_minus_1_members)),
            ("members-of-a-pair-n-minus-1", "fail/bound", "two-points", centroid_loss(average=over_n_minus_1_members)),
            ("classes-averaged", "fail/bound", "random", centroid_loss(combine=np.mean)),
            ("items-summed", "fail/bound", "random-mean", centroid_loss(items=np.sum)),
            ("labels-ignored", "fail/bound", "random", whole_item),
            ("items-merged", "fail/bound", "random", items_merged),
            ("centroid-is-the-median", "fail/bound", "random", centroid_loss(centre=lambda p: np.median(p, axis=0))),
            ("l1-distance", "fail/bound", "random", centroid_loss(distance=lambda d: np.abs(d).sum(axis=1))),
            ("expanded-square", "fail/bound", "offset-100", centroid_loss(distance=lambda d: distance(d + 100) - 100)),
            ("no-items-is-zero", "fail/nonfinite", "no-items-mean",
             centroid_loss(items=lambda y: np.mean(y) if len(y) else 0)),
        )
    ),
    Wrong("ragged_centroid", "centroids-of-the-neighbour", "fail/bound", "random", fn=centroids_unspread,
          check="value.centroids"),
    Wrong("ragged_centroid", "centroids-n-minus-1", "fail/bound", "random", check="value.centroids",
          fn=centroid_loss(centre=lambda p: p.sum(axis=0) / p.dtype.type(max(len(p) - 1, 1)))),
    Wrong("ragged_centroid", "centroids-missing", "fail/missing", "random", check="value.centroids",
          fn=lambda **kw: centroid_loss()(**kw)[0]),
    *(
        Wrong("ragged_centroid", name, caught, at, vjp=vjp)
        for name, caught, at, vjp in (
            ("centroid-detached", "fail/bound", "random", centroid_vjp(recentred=False)),
            ("delta-forgotten", "fail/bound", "random", centroid_vjp(excess=lambda r, delta: r)),
            ("not-cut-at-delta", "fail/bound", "random", centroid_vjp(excess=lambda r, delta: r - delta)),
            ("not-a-unit-vector", "fail/bound", "random", centroid_vjp(direction=lambda d, r: d)),
            ("factor-2-forgotten", "fail/bound", "random", centroid_vjp(factor=lambda n: 1 / n)),
            ("sum-over-members", "fail/bound", "random", centroid_vjp(factor=lambda n: 2)),
            ("members-n-minus-1", "fail/bound", "random", centroid_vjp(factor=lambda n: 2 / max(n - 1, 1))),
            ("nan-at-the-centroid", "fail/nonfinite", "singletons", centroid_vjp(direction=lambda d, r: d / r)),
            ("mean-for-none", "fail/bound", "random",
             lambda g, y, **kw: {"x": centroid_vjp()(g, y, **kw)["x"] / kw["x"].dtype.type(3)}),
        )
    ),
)  # fmt: skip

GENERAL = tuple(wrong for op in OPS for make in (of_every_op, slightly_off) for wrong in make(op))


# Each invariant of each operation.


def by_place(y: Array, kw: Arrays) -> Array:
    """Another factor in each row."""
    return y * np.linspace(1, 1.01, len(y), dtype=y.dtype).reshape(-1, *[1] * (y.ndim - 1))


def scaled(y: Array, kw: Arrays) -> Array:
    return y * y.dtype.type(1.001)


def raised(y: Array, kw: Arrays) -> Array:
    return y + y.dtype.type(0.01)


def lowered(y: Array, kw: Arrays) -> Array:
    return y - y.dtype.type(2**-20)


def dented(y: Array, kw: Arrays) -> Array:
    """Lower for x > 1 than just below."""
    return y - (kw["x"] > 1) * y.dtype.type(0.01)


def half_of_x(kw: Arrays) -> Arrays:
    return {"x": kw["x"] / 2}


def labels_ignored(kw: Arrays) -> Arrays:
    return {"t": np.abs(kw["t"])}


def log_mean_exp(x: Array, axis: int) -> Array:
    return np.log(np.mean(np.exp(x), axis=axis, dtype=x.dtype))


BROKEN_VALUES = (
    ("softmax", "probability", "dominant-20", changed_value("softmax", scaled)),
    ("softmax", "sums-to-one", "axis-0", changed_value("softmax", scaled)),
    ("softmax", "shift", "coarse", lambda x, axis: np.exp(log_softmax_via_lse(x, axis))),
    ("softmax", "permutation", "scale-10", changed_value("softmax", by_place)),
    ("log_softmax", "nonpositive", "dominant-20", changed_value("log_softmax", raised)),
    ("log_softmax", "exponentials-sum-to-one", "scale-10", changed_value("log_softmax", scaled)),
    ("log_softmax", "exponentiates-to-softmax", "scale-10", changed_value("log_softmax", scaled)),
    ("log_softmax", "shift", "coarse", log_softmax_via_lse),
    ("log_softmax", "permutation", "scale-10", changed_value("log_softmax", by_place)),
    ("logsumexp", "at-least-the-maximum", "dominant-20", log_mean_exp),
    ("logsumexp", "shift", "coarse", changed_value("logsumexp", scaled)),
    ("logsumexp", "permutation", "scale-10", changed_value("logsumexp", by_place)),
    ("logsumexp", "normalises", "coarse", lambda x, axis: x.max(axis=axis)),
    ("cross_entropy", "nonnegative", "scale-10", changed_value("cross_entropy", lambda y, kw: -y)),
    ("cross_entropy", "shift", "coarse", cross_entropy_of(lse_minus_logit)),
    ("cross_entropy", "permutation", "scale-10", with_arguments("cross_entropy", lambda kw: {"t": 0 * kw["t"]})),
    ("cross_entropy", "negative-log-softmax", "scale-10", smoothed),
    ("cross_entropy", "reduction-of-rows", "mean-scale-1", changed_value("cross_entropy", over_n_minus_1)),
    ("sigmoid", "probability", "every-16-bit", changed_value("sigmoid", scaled)),
    ("sigmoid", "ascending", "every-16-bit", changed_value("sigmoid", dented)),
    ("sigmoid", "complement", "every-16-bit", changed_value("sigmoid", scaled)),
    ("sigmoid", "permutation", "scale-1", changed_value("sigmoid", by_place)),
    ("sigmoid", "two-classes", "scale-1", with_arguments("sigmoid", half_of_x)),
    ("log_sigmoid", "nonpositive", "every-16-bit", changed_value("log_sigmoid", raised)),
    ("log_sigmoid", "ascending", "every-16-bit", changed_value("log_sigmoid", dented)),
    ("log_sigmoid", "odd-part", "scale-1", changed_value("log_sigmoid", scaled)),
    ("log_sigmoid", "permutation", "scale-1", changed_value("log_sigmoid", by_place)),
    ("log_sigmoid", "two-classes", "scale-1", with_arguments("log_sigmoid", half_of_x)),
    ("log_sigmoid", "binary-cross-entropy", "scale-1", with_arguments("log_sigmoid", half_of_x)),
    ("hinge", "nonnegative", "scale-1", changed_value("hinge", lowered)),
    ("hinge", "mirrored", "scale-1", with_arguments("hinge", labels_ignored)),
    ("hinge", "both-labels", "scale-1", lambda x, t: np.maximum(x.dtype.type(1.000001) - t * x, 0)),
    ("squared_hinge", "nonnegative", "scale-1", changed_value("squared_hinge", lowered)),
    ("squared_hinge", "mirrored", "scale-1", with_arguments("squared_hinge", labels_ignored)),
    ("squared_hinge", "square-of-hinge", "scale-1", lambda x, t: np.square(np.maximum(margin(x, t), 0)) / 2),
    ("ragged_centroid", "nonnegative", "random", changed_value("ragged_centroid", lambda y, kw: -y)),
    ("ragged_centroid", "permutation", "random", changed_value("ragged_centroid", by_place)),
    ("ragged_centroid", "translation", "coarse", centroid_loss(centre=lambda p: 0 * centre(p))),
    ("ragged_centroid", "centroids-balance", "random", centroid_loss(centre=lambda p: np.median(p, axis=0))),
    ("ragged_centroid", "mean-of-items", "random-mean", centroid_loss(items=np.sum)),
)
BROKEN_GRADIENTS = (
    ("softmax", "gradient-sums-to-zero", "scale-10", lambda g, y, x, axis: {"x": g * y * (1 - y)}),
    ("softmax", "symmetric-jacobian", "scale-10",
     lambda g, y, x, axis: {"x": g - y * g.sum(axis=axis, keepdims=True)}),
    ("log_softmax", "gradient-sums-to-zero", "scale-10", lambda g, y, x, axis: {"x": g - np.exp(y) * g}),
    ("logsumexp", "gradient-sums-to-cotangent", "scale-10",
     lambda g, y, x, axis: {"x": np.expand_dims(g, axis) * np.exp(x - x.max())}),
    ("cross_entropy", "gradient-sums-to-zero", "scale-10", vjp_of_cross_entropy(lambda x, t: softmax(x))),
    ("sigmoid", "even-gradient", "scale-1", lambda g, y, x: {"x": g * y}),
    ("log_sigmoid", "complementary-gradient", "scale-1", lambda g, y, x: {"x": g * np.exp(y - x) ** 2}),
    ("hinge", "mirrored-gradient", "scale-1", vjp_with_arguments("hinge", labels_ignored)),
    ("hinge", "no-loss-no-gradient", "above-kink", lambda g, y, x, t: {"x": -g * t}),
    ("squared_hinge", "mirrored-gradient", "scale-1", vjp_with_arguments("squared_hinge", labels_ignored)),
    ("squared_hinge", "no-loss-no-gradient", "above-kink", lambda g, y, x, t: {"x": -2 * g * t * margin(x, t)}),
    ("ragged_centroid", "gradient-balances", "random", centroid_vjp(recentred=False)),
    ("ragged_centroid", "homogeneous", "coarse-delta-0", centroid_vjp(factor=lambda n: 1 / n)),
)  # fmt: skip


def breaking(op: str, invariant: str, at: str, **broken: Fn) -> Wrong:
    return Wrong(op, f"breaks-{invariant}", "fail/bound", at, check=f"invariant.{invariant}", **broken)


INVARIANTS = (
    *(breaking(op, name, at, fn=fn) for op, name, at, fn in BROKEN_VALUES),
    *(breaking(op, name, at, vjp=vjp) for op, name, at, vjp in BROKEN_GRADIENTS),
)
WRONG = GENERAL + SHARED + GRADIENTS + POINTWISE + KINKS + RAGGED + INVARIANTS


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.id)
def test_a_wrong_implementation_is_caught(wrong: Wrong, dtype: str) -> None:
    """In the case that is named, by the check and for the reason that is named."""
    op = OPS[wrong.op]
    implemented = implementation(op, wrong.name, wrong.fn, wrong.vjp, conventions=wrong.conventions)
    rows = check(op, implemented, NUMPY, dtype, wrong.direction, cases(op, wrong.at, typical(op.name)))
    name = wrong.check or op.checks(wrong.direction)[0]
    caught = {(row.case, row.check): f"{row.status}/{row.reason}" for row in rows if row.bad}
    assert caught.get((wrong.at, name), "nothing") == wrong.caught


def cases(op: Op, *names: str) -> tuple[Case, ...]:
    return tuple(case for case in op.cases if case.name in names)


@each_op
def test_every_op_has_a_wrong_value_and_a_wrong_gradient_of_its_own(op: Op) -> None:
    """Beside what can be wrong with anything; and no two have one name."""
    own = [wrong.direction for wrong in WRONG if wrong.op == op.name and wrong not in GENERAL]
    assert set(own) == set(DIRECTIONS)
    names = [(wrong.op, wrong.direction, wrong.name) for wrong in WRONG]
    assert len(set(names)) == len(names)
    invariants = {wrong.check for wrong in WRONG if wrong.op == op.name and wrong.direction == "invariant"}
    assert invariants == {f"invariant.{i.name}" for i in op.invariants}


@each_dtype
def test_the_parts_that_wrong_centroid_losses_are_made_of_are_right(dtype: str) -> None:
    """So that each is caught for what was exchanged in it."""
    op = OPS["ragged_centroid"]
    some = tuple(case for case in op.cases if not case.name.startswith("b32"))
    for direction in DIRECTIONS:
        rows = check(op, implementation(op, "nothing", centroid_loss(), centroid_vjp()), NUMPY, dtype, direction, some)
        assert [row.message for row in rows if row.bad] == []


# --- messages


def only(rows: list[Result], case: str, name: str) -> Result:
    (row,) = (row for row in rows if (row.case, row.check) == (case, name))
    return row


def broken(op: str, change: Fn, case: str) -> Result:
    """The row of a case in which the right value, in float32, went through `change`."""
    implemented = implementation(OPS[op], "broken", changed_value(op, change))
    rows = check(OPS[op], implemented, NUMPY, "float32", "value", cases(OPS[op], case))
    return only(rows, case, "value")


def one_element(factor: float) -> Fn:
    """Element [0, 3] times the factor."""

    def change(y: Array, kw: Arrays) -> Array:
        y = y.copy()
        y[0, 3] *= factor
        return y

    return change


WHO = rf"softmax/wrong\.broken/eager/cpu/float32/one-row/value on numpy {re.escape(np.__version__)}: "
NUMBER = r"0\.\d+"
WORDS = {
    "bound": (
        one_element(1.001),
        rf"\[0, 3\] = {NUMBER}, but the reference is {NUMBER}: "
        r"[\d.e+]+ times the allowed error \(class A; most of it from \w+, \w+\)",
    ),
    "nan": (
        one_element(np.nan),
        rf"\[0, 3\] = nan, but the reference is {NUMBER}: what is not finite must be the same",
    ),
    "shape": (lambda y, kw: y[0], r"shape \(7,\), but it should be \(1, 7\)"),
    "dtype": (lambda y, kw: y.astype(np.float64), r"dtype float64, but it should be float32"),
    "exception": (raises, r"raised ValueError: no such thing"),
}


@pytest.mark.parametrize("name", WORDS)
def test_a_failure_names_the_row_the_version_the_element_and_what_is_wrong(name: str) -> None:
    change, words = WORDS[name]
    message = broken("softmax", change, "one-row").message
    assert re.fullmatch(WHO + words, message), message


def test_a_failure_carries_what_its_message_says() -> None:
    row = broken("softmax", one_element(1.001), "one-row")
    assert f"{row.error:.3g} times" in row.message
    assert f"{list(row.at)} = {row.got}, but the reference is {row.want}:" in row.message
    assert np.float32(row.got) == np.float32(1.001) * np.float32(row.want) or row.ulp > 1
    assert (row.status, row.reason, row.at) == ("fail", "bound", (0, 3))


def test_twice_the_error_is_twice_the_factor_and_twice_the_units_in_the_last_place() -> None:
    """Up to the two roundings of what was returned, in units of the smaller error."""
    small, large = (broken("softmax", one_element(1 + 2.0**k), "one-row") for k in (-10, -9))
    for a, b in ((small.error, large.error), (small.ulp, large.ulp)):
        assert abs(b / a - 2) <= 3 / small.ulp


def test_where_nothing_is_rounded_the_message_says_so() -> None:
    row = broken("hinge", lambda y, kw: y + y.dtype.type(2**-20), "kink")
    assert row.message.endswith(
        "but the reference is 0: nothing is rounded here, they must be equal; declared kink=0.0, nan_margin=0.0"
    )
    assert row.error == np.inf


def test_an_exception_is_named() -> None:
    row = broken("softmax", raises, "one-row")
    assert (row.status, row.reason, row.exception) == ("error", "exception", "ValueError")


def test_a_row_is_identified_by_op_api_mode_device_dtype_case_and_check() -> None:
    row = broken("softmax", lambda y, kw: y, "one-row")
    assert row.id == "softmax/wrong.broken/eager/cpu/float32/one-row/value"
    assert (row.status, row.message) == ("pass", "")


# --- one result for each case and check, whatever happens


def grumpy(op: str) -> Fn:
    """Right, but raises where an argument is infinite."""

    def fn(**kw: Any) -> Any:
        return raises() if np.isinf(kw["x"]).any() else right(OPS[op])(**kw)

    return fn


@each_dtype
@pytest.mark.parametrize("direction", ["value", "vjp"])
def test_an_exception_in_one_case_of_a_stack_does_not_spoil_the_others(dtype: str, direction: str) -> None:
    op = OPS["softmax"]
    rows = check(op, implementation(op, "grumpy", grumpy("softmax")), NUMPY, dtype, direction)
    assert sorted((row.case, row.check) for row in rows) == expected_rows(op, direction)
    assert {row.case: row.status for row in rows if row.status != "pass"} == {"minus-inf": "error", "plus-inf": "error"}


NONSENSE: dict[str, Fn] = {
    "raises": lambda **kw: raises(),
    "none": lambda **kw: None,
    "text": lambda **kw: "softmax",
    "nothing": lambda **kw: (),
}


@each_op
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("name", NONSENSE)
def test_there_is_one_result_for_each_case_and_check(op: Op, direction: str, name: str) -> None:
    """And none of them a pass, where there is an element to look at or not."""
    nonsense = NONSENSE[name]
    implemented = implementation(op, name, nonsense, lambda g, y, **kw: {"x": nonsense(**kw)})
    some = tuple(case for case in op.cases if case.name not in LARGE)
    rows = check(op, implemented, NUMPY, "float32", direction, some)
    assert sorted((row.case, row.check) for row in rows) == expected_rows(replace(op, cases=some), direction)
    assert all(row.bad for row in rows)


LARGE = {"classes-32000", "classes-32000-dominant", "b32-n1000-d50-k25"}


def test_what_is_unsupported_is_counted_and_not_passed() -> None:
    op = OPS["sigmoid"]
    implemented = implementation(op, "some", unsupported={"float32/value/scale-*": "not written yet"})
    rows = check(op, implemented, NUMPY, "float32", "value")
    assert sorted((row.case, row.check) for row in rows) == expected_rows(op, "value")
    unsupported = [row for row in rows if row.status == "unsupported"]
    assert {row.case for row in unsupported} == {case.name for case in op.cases if case.name.startswith("scale-")}
    assert {row.reason for row in unsupported} == {"not written yet"}
    assert all(np.isnan(row.error) for row in unsupported)


def test_neighbours_in_a_stack_do_not_decide_about_one_another() -> None:
    """Each case has the verdict, the error and the element that it has alone."""
    op = OPS["log_softmax"]
    implemented = implementation(op, "via-lse", log_softmax_via_lse)
    together = {row.case: row for row in check(op, implemented, NUMPY, "float32", "value")}
    for name in ("scale-1", "shift-10000", "dominant-20"):
        assert only(check(op, implemented, NUMPY, "float32", "value", cases(op, name)), name, "value") == together[name]


def test_a_repeated_check_gives_the_same_rows_and_another_seed_does_not() -> None:
    op = OPS["ragged_centroid"]
    some = cases(op, "random", "gaps", "coincident")
    implemented = implementation(op, "nothing", centroid_loss(), centroid_vjp())
    first, second, other = (check(op, implemented, NUMPY, "float32", "vjp", some, seed) for seed in (0, 0, 1))
    assert first == second
    assert [row.id for row in other] == [row.id for row in first]
    assert [row.error for row in other] != [row.error for row in first]


# --- what cannot be judged


def shifted(x: Any) -> Any:
    """Of 1e9 + x, float32 keeps x to within about 60: a smaller x may be 0 afterwards."""
    return 1 / ((x + 1e9) - 1e9)


def quotient(*xs: float) -> Op:
    return Op("quotient", shifted, lambda g, y, x: {"x": -g * y * y},
              (Case("points", lambda draw: {"x": draw.quantised(xs)}),))  # fmt: skip


def test_a_bound_that_is_infinite_everywhere_judges_nothing_and_is_an_error() -> None:
    (row,) = check(quotient(0.5, -3.0), Implementation("quotient", "shifted", shifted), NUMPY, "float32", "value")
    assert (row.status, row.reason) == ("error", "unbounded")
    assert row.message.endswith("the bound is infinite at every element: nothing was judged")


@pytest.mark.parametrize(("wrong", "status"), [(0, "pass"), (1, "fail")])
def test_a_bound_that_is_infinite_at_one_element_judges_the_others(wrong: int, status: str) -> None:
    def fn(x: Array) -> Array:
        return shifted(x) * np.where(np.arange(3) == wrong, x.dtype.type(2), x.dtype.type(1))

    (row,) = check(quotient(0.5, 1e6, 2e6), Implementation("quotient", "wrong", fn), NUMPY, "float32", "value")
    assert row.status == status


def test_a_reference_at_fault_is_nobodys_result() -> None:
    op = replace(OPS["sigmoid"], forward=lambda x: np.sin(x))  # noqa: PLW0108  # a keyword argument
    with pytest.raises(GradparityError, match=r"no rule of the error arithmetic for numpy\.sin"):
        check(op, implementation(OPS["sigmoid"], "nothing"), NUMPY, "float32", "value")


def test_a_value_that_no_convention_admits_cannot_be_declared() -> None:
    op = OPS["hinge"]
    with pytest.raises(GradparityError, match=r"declares kink=0\.25; it can be 0\.0, 0\.5, 1\.0"):
        check(op, implementation(op, "odd", conventions={"kink": 0.25}), NUMPY, "float32", "vjp")
    with pytest.raises(GradparityError, match="unknown convention of hinge 'knik'; did you mean kink"):
        check(op, implementation(op, "odd", conventions={"knik": 0.0}), NUMPY, "float32", "vjp")


def test_a_road_that_does_not_exist_cannot_be_declared() -> None:
    op = OPS["log_sigmoid"]
    for direction in DIRECTIONS:
        with pytest.raises(GradparityError, match="unknown road of log_sigmoid 'softpuls'; did you mean softplus"):
            check(op, implementation(op, "odd", road="softpuls"), NUMPY, "float32", direction)


@each_dtype
@pytest.mark.parametrize(
    ("op", "road"), [pytest.param(op, road, id=f"{op.name}/{road}") for op in OPS.values() for road in op.roads]
)
def test_the_bounds_of_a_road_do_not_accuse_who_takes_it(op: Op, road: str, dtype: str) -> None:
    forward, vjp = op.roads[road].forward or op.forward, op.roads[road].vjp or op.vjp
    taken = replace(op, forward=forward, vjp=vjp)
    for direction in DIRECTIONS:
        rows = check(op, implementation(op, road, right(taken), right_vjp(taken), road=road), NUMPY, dtype, direction)
        assert [row.message for row in rows if row.status != "pass"] == []


# --- ratios

INF, NAN = np.inf, np.nan
F32 = FORMATS["float32"]
NEAR = 2.0**104  # one spacing at the largest float32
RATIOS = {
    "equal": (1.0, 1.0, 0.0, 0.0),
    "equal, some allowed": (1.0, 1.0, 0.5, 0.0),
    "half of what is allowed": (1.25, 1.0, 0.5, 0.5),
    "all of it": (1.5, 1.0, 0.5, 1.0),
    "twice": (0.0, 1.0, 0.5, 2.0),
    "nothing is allowed": (1.25, 1.0, 0.0, INF),
    "anything is allowed": (1.25, 1.0, INF, 0.0),
    "zeros of either sign": (-0.0, 0.0, 0.0, 0.0),
    "nan and nan": (NAN, NAN, 0.0, 0.0),
    "nan where a number is due": (NAN, 1.0, 0.5, INF),
    "nan where any number is allowed": (NAN, 1.0, INF, INF),
    "a number where nan is due": (1.0, NAN, 0.0, INF),
    "inf where nan is due": (INF, NAN, 0.0, INF),
    "inf and inf": (INF, INF, 0.0, 0.0),
    "-inf and -inf": (-INF, -INF, 0.0, 0.0),
    "inf of the wrong sign": (-INF, INF, 0.0, INF),
    "inf of the wrong sign, unbounded": (-INF, INF, INF, INF),
    "inf where a number is due": (INF, 1.0, 0.5, INF),
    "a number where inf is due": (1.0, INF, 0.0, INF),
    "inf within reach": (INF, F32.max, NEAR, 0.0),
    "-inf within reach": (-INF, -F32.max, NEAR, 0.0),
    "inf of the wrong sign within reach": (-INF, F32.max, NEAR, INF),
    "inf out of reach": (INF, F32.max / 2, NEAR, INF),
    "inf where the truth is beyond the largest": (INF, 1e39, INF, 0.0),
    "the largest where the truth is beyond it": (F32.max, 1e39, INF, 0.0),
    "a small number where the truth is beyond the largest": (1.0, 1e39, INF, INF),
    "inf of the wrong sign where the truth is beyond the largest": (-INF, 1e39, INF, INF),
}


@pytest.mark.parametrize("name", RATIOS)
def test_ratio(name: str) -> None:
    got, want, e, ratio = RATIOS[name]
    arrays = np.array([got], np.float32), np.array([want]), np.array([e])
    assert ratios(*arrays, F32).tolist() == [ratio]


def test_a_ratio_is_taken_element_by_element() -> None:
    got, want = np.array([1.0, 2.0, NAN], np.float32), np.array([1.0, 1.0, NAN])
    assert ratios(got, want, np.array([0.0, 4.0, 0.0]), F32).tolist() == [0, 0.25, 0]


def test_a_ratio_is_taken_in_the_wider_format() -> None:
    """A difference that float64 does not hold is seen where truth is long double."""
    wider = np.finfo(np.longdouble).nmant > np.finfo(np.float64).nmant
    want = np.array([1], np.longdouble) + np.longdouble(2.0) ** -60
    assert ratios(np.array([1.0]), want, np.array([2.0**-61]), FORMATS["float64"]).tolist() == [2.0 if wider else 0.0]


# --- classes of precision, with NumPy's own 16-bit arithmetic as the witness


@each_op
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_the_bounds_of_class_c_do_not_accuse_either(op: Op, dtype: str, direction: str) -> None:
    """NumPy and ml_dtypes round every operation to the dtype. A bound that is infinite everywhere is no verdict."""
    declared: Any = {"precision": {"*": Precision("C")}}
    some = tuple(case for case in op.cases if case.name not in LARGE)
    rows = check(op, implementation(op, "nothing", **declared), numpy_with(**declared), dtype, direction, some)
    assert [row.message for row in rows if row.status == "fail" or row.reason == "exception"] == []
