"""Checks without a reference see what a comparison with one cannot, and say what they cannot judge."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gradparity.adapter import Implementation
from gradparity.adapters.numpy import ADAPTERS
from gradparity.arithmetic import EVERYTHING, Arithmetic, Tracked
from gradparity.check import check
from gradparity.invariant import Subject, exact_in_wide, exactly
from gradparity.mutants.binary_cross_entropy import by_total_weight
from gradparity.mutants.defects import arguments, instead, result
from gradparity.mutants.hinges import margin
from gradparity.mutants.multiclass_hinges import for_each_that_ties, once_for_the_label, to_the_end
from gradparity.mutants.pca import falling, snapshot
from gradparity.mutants.pca import gradient as pca_gradient
from gradparity.mutants.probabilities import backwards, layered
from gradparity.mutants.ragged_centroid import centroid_loss, centroid_vjp, median
from gradparity.mutants.softmax_family import (
    Parts,
    gradient_of,
    label_not_subtracted,
    loss_of,
    no_label_ignored,
    no_weights,
    over_items_only,
    over_n_minus_1,
    p_for_the_weighted,
    smoothed,
    soft_gradient_of,
    soft_loss_of,
    softmax,
    targets_gradient,
    via_logsumexp,
)
from gradparity.mutants.softmax_family import rows as of_places
from gradparity.mutants.softmax_regression import gradient as gradient_of_scores
from gradparity.mutation import Defect, Mutant
from gradparity.op import FORMATS, Array, Arrays, Case, GradparityError, Invariant, Op, Result, outputs, wide
from gradparity.reference import OPS
from gradparity.residual import reference_subject
from gradparity.snippet import snippet

DTYPES = ("float64", "float32")


def of(op: Op, **more: Any) -> Implementation:
    """The op's own lines in the dtype under test."""

    def value(**kw: Any) -> tuple[Array, ...]:
        return tuple(np.asarray(y, kw["x"].dtype) for y in outputs(op.forward(**kw)))

    def vjp(g: Array, y: Array, **kw: Any) -> dict[str, Array]:
        return {k: np.asarray(v, kw["x"].dtype) for k, v in op.vjp(g, y, **kw).items()}

    return Implementation(op.name, **{"api": "own", "fn": value, "vjp": vjp, **more})


NUMPY = replace(ADAPTERS[0], implementations=tuple(map(of, OPS.values())))
SOFTMAX, SIGMOID = OPS["softmax"], OPS["sigmoid"]


def rows(op: Op, direction: str, dtype: str = "float32", adapter: Any = NUMPY, **more: Any) -> list[Result]:
    return check(op, of(op, **more), adapter, dtype, direction)


# --- what a comparison cannot see


def softmax_twice_as_steep(x: Any, axis: int) -> Any:
    e = np.exp(2 * x - np.max(2 * x, axis=axis, keepdims=True))
    return e / np.sum(e, axis=axis, keepdims=True) * 1.001


WRONG_REFERENCES = {
    "softmax": ("sums-to-one", softmax_twice_as_steep),
    "sigmoid": ("complement", lambda x: np.where(x >= 0, 1 / (1 + np.exp(-x)), 0.0)),
    "hinge": ("both-labels", lambda x, t, kink, nan_margin: np.maximum(1.5 - t * x, 0)),
}


@pytest.mark.parametrize("name", WRONG_REFERENCES)
def test_a_wrong_reference_is_seen_where_an_implementation_agrees_with_it(name: str) -> None:
    """Every value passes; the residual of the reference itself is not 0, and that is nobody's result."""
    broken, forward = WRONG_REFERENCES[name]
    op = replace(OPS[name], forward=forward, invariants=tuple(i for i in OPS[name].invariants if i.name == broken))
    own = of(op, fn=lambda **kw: (forward(**kw, **of(op).declared(op)).astype(kw["x"].dtype),))
    at = tuple(case for case in op.cases if case.name in op.invariants[0].cases)
    assert {row.status for row in check(op, own, NUMPY, "float32", "value", at)} == {"pass"}
    with pytest.raises(GradparityError, match=f"the reference of {name} does not keep {broken}"):
        check(op, own, NUMPY, "float32", "invariant", at)


@pytest.mark.parametrize("dtype", [*DTYPES, "float16", "bfloat16"])
@pytest.mark.parametrize(
    ("op", "invariant"),
    [pytest.param(op, i, id=f"{op.name}-{i.name}") for op in OPS.values() for i in op.invariants],
)
def test_the_reference_keeps_it_but_for_what_the_wide_format_rounds(op: Op, invariant: Invariant, dtype: str) -> None:
    def unrounded(one: Op) -> Subject:
        return reference_subject(one, of(one), dtype, EVERYTHING)

    from gradparity.cases import groups

    at = tuple(case for case in op.cases if case.name in invariant.cases)
    assert len(at) == len(invariant.cases)
    for group in groups(op, dtype, at, 0, invariant.direction):
        subjects = [unrounded(one) for one in (op, invariant.other) if one]
        arrays = group.arrays
        if invariant.direction == "vjp":
            y = subjects[0](**arrays, **group.params)
            arrays = arrays | {"g": group.cotangents((y[0] if isinstance(y, tuple) else y).v)}
        given = {k: v if v.dtype.kind == "i" else exact_in_wide(dtype, v) for k, v in arrays.items()}
        r = invariant.residual(*subjects, **given, **group.params)
        assert r.v.size
        assert (abs(r.v) <= r.full).all()
        assert np.isfinite(r.full).all()


def test_what_is_wrong_only_where_nothing_is_compared_is_seen() -> None:
    """Logits that are shifted further than any case goes."""

    def fn(x: Array, axis: int) -> Array:
        y = of(SOFTMAX).fn(x=x, axis=axis)[0]  # type: ignore[misc]
        return np.where(x.max(axis=axis, keepdims=True, initial=0) > 2**17, y * x.dtype.type(1.001), y)

    assert [row for row in rows(SOFTMAX, "value", fn=fn) if row.bad] == []
    assert {row.check for row in rows(SOFTMAX, "invariant", fn=fn) if row.bad} == {"invariant.shift"}


def test_what_is_within_every_bound_and_still_no_probability_is_seen() -> None:
    def fn(x: Array) -> Array:
        y = of(SIGMOID).fn(x=x)[0]  # type: ignore[misc]
        return np.where((y == 1) & (x < 30), np.nextafter(y, 2), y)

    assert [row for row in rows(SIGMOID, "value", fn=fn) if row.bad] == []
    (row,) = (row for row in rows(SIGMOID, "invariant", fn=fn) if row.bad)
    assert row.id.endswith("/every-16-bit/invariant.probability")
    assert row.message.endswith("but it should be 0: nothing is allowed, however it was rounded")
    assert row.error == np.inf


# --- what is said


def test_a_failure_names_the_residual_and_what_its_bound_is_made_of() -> None:
    fn = lambda x, axis: of(SOFTMAX).fn(x=x, axis=axis)[0] * x.dtype.type(1.001)  # type: ignore[misc]  # noqa: E731
    row = max(
        (r for r in rows(SOFTMAX, "invariant", fn=fn) if r.check == "invariant.sums-to-one"), key=lambda r: r.error
    )
    words = (
        rf"softmax/own/eager/cpu/float32/[a-z0-9-]+/invariant\.sums-to-one on numpy {re.escape(np.__version__)}: "
        r"the residual \[\d\] = 0\.00[\d.]+, but it should be 0: [\d.e+]+ times the allowed error "
        r"\(class A; most of it from \w+, \w+\)"
    )
    assert re.fullmatch(words, row.message), row.message
    assert (row.status, row.reason) == ("fail", "bound")
    case = next(case for case in SOFTMAX.cases if case.name == row.case)
    shown = snippet(SOFTMAX, of(SOFTMAX), NUMPY, case, row)
    assert all(line.startswith("#") for line in shown.splitlines())
    assert "np.sum(f(x=x, axis=axis), axis=axis) - 1" in shown
    assert f"*/{row.case}/{row.check}" in shown


OTHERWISE: dict[str, tuple[Callable[..., Any], str]] = {
    "raises": (lambda y: 1 / 0, "ZeroDivisionError"),
    "dtype": (lambda y: y.astype(np.float64), "TypeError"),
    "nothing": (lambda y: None, "TypeError"),
    "shape": (lambda y: y[None], ""),
}


@pytest.mark.parametrize("name", OTHERWISE)
def test_an_output_that_is_none_is_no_pass(name: str) -> None:
    change, exception = OTHERWISE[name]
    found = rows(SIGMOID, "invariant", fn=lambda x: (change(of(SIGMOID).fn(x=x)[0]),))  # type: ignore[misc]
    values = [row for row in found if row.check != "invariant.even-gradient"]
    assert all(row.bad for row in values if row.check != "invariant.ascending" or exception), values
    assert {row.exception for row in values if row.status == "error"} == ({exception} if exception else set())


def test_nan_is_no_residual_of_0() -> None:
    found = rows(SIGMOID, "invariant", fn=lambda x: x * x.dtype.type(np.nan))
    assert {(row.status, row.reason) for row in found if row.check != "invariant.even-gradient"} == {
        ("fail", "nonfinite")
    }


# --- what cannot be judged


def test_what_needs_a_gradient_is_unsupported_where_there_is_none() -> None:
    found = rows(SOFTMAX, "invariant", unsupported={"*/vjp/*": "written without a gradient"})
    without = {row.check for row in found if row.status == "unsupported"}
    assert without == {f"invariant.{i.name}" for i in SOFTMAX.invariants if i.direction == "vjp"}
    assert {row.reason for row in found if row.status == "unsupported"} == {"written without a gradient"}


@pytest.mark.parametrize("glob", ["*/value/*", "*/invariant/*", "float32/*"])
def test_what_is_unsupported_is_not_passed(glob: str) -> None:
    assert {row.status for row in rows(SOFTMAX, "invariant", unsupported={glob: "no"})} == {"unsupported"}


def test_what_needs_another_operation_is_unsupported_where_there_is_none() -> None:
    alone = replace(NUMPY, implementations=(of(SIGMOID),))
    found = [row for row in rows(SIGMOID, "invariant", adapter=alone) if row.status == "unsupported"]
    assert {(row.check, row.reason) for row in found} == {
        ("invariant.two-classes", "numpy eager has no softmax to set it against")
    }


@pytest.mark.parametrize("dtype", FORMATS)
def test_a_number_that_the_dtype_does_not_hold_is_not_asked_for(dtype: str) -> None:
    form = FORMATS[dtype]
    one = np.ones(2, wide(dtype))
    assert exactly(one, form).dtype == form.dtype
    if np.finfo(wide(dtype)).nmant + 1 > form.bits:
        with pytest.raises(GradparityError, match=f"a number that {dtype} does not hold"):
            exactly(one * (1 + wide(dtype)(form.unit)), form)
    with pytest.raises(GradparityError, match="does not hold"):
        exactly(Tracked(one, np.full(2, form.unit), Arithmetic(dtype)), form)


def test_a_residual_that_asks_for_one_is_nobodys_result() -> None:
    inexact = Invariant("shift", lambda f, x, axis: f(x=x + 1 / 3, axis=axis) - f(x=x, axis=axis), ("scale-1",))
    with pytest.raises(GradparityError, match="does not hold"):
        rows(replace(SOFTMAX, invariants=(inexact,)), "invariant")


def test_the_same_question_is_asked_once() -> None:
    calls: list[int] = []

    def fn(x: Array, axis: int) -> Any:
        calls.append(len(x))
        return of(SOFTMAX).fn(x=x, axis=axis)  # type: ignore[misc]

    f = Subject("float32", lambda arguments: (calls.append(1), arguments["x"]), lambda g, arguments: {"x": g})
    x = np.ones(3, np.float32)
    for asked in (x, x, -x):
        f(x=asked)
    assert len(calls) == 2
    rows(SOFTMAX, "invariant", fn=fn, vjp=SOFTMAX.vjp)
    assert len(calls) - 2 <= 12


@pytest.mark.parametrize("dtype", FORMATS)
def test_every_16_bit_number_is_there_once_and_in_order(dtype: str) -> None:
    from gradparity.cases import Draw

    case: Case = next(case for case in SIGMOID.cases if case.name == "every-16-bit")
    x = case.arrays(Draw("sigmoid/every-16-bit", dtype))["x"].astype(np.float64)
    assert len(x) == (63488 if dtype == "float16" else 65280)
    assert (np.diff(x) >= 0).all()
    assert len(set(x.tolist())) == len(x) - 1  # 0 and -0 are equal
    assert np.isfinite(x).all()


# --- each has something that breaks it


def by_place(y: Array, kw: Arrays) -> Array:
    """Another factor in each row."""
    return y * np.linspace(1, 1.01, len(y), dtype=y.dtype).reshape(-1, *[1] * (y.ndim - 1))


def dented(y: Array, kw: Arrays) -> Array:
    """Lower for x > 1 than just below."""
    return y - (kw["x"] > 1) * y.dtype.type(0.01)


SCALED = result(lambda y, kw: y * y.dtype.type(1.001))
RAISED = result(lambda y, kw: y + y.dtype.type(0.01))
LOWERED = result(lambda y, kw: y - y.dtype.type(2**-20))
NEGATED = result(lambda y, kw: -y)
BY_PLACE, DENTED = result(by_place), result(dented)
BY_ROW = arguments(lambda kw: {"x": kw["x"] * np.linspace(1, 2, len(kw["x"]), dtype=kw["x"].dtype)[:, None]})
HALF_OF_X = arguments(lambda kw: {"x": kw["x"] / 2})
HALF_OF_LARGE_X = arguments(lambda kw: {"x": np.where(kw["x"] > 100, kw["x"] / 2, kw["x"])})
LABELS_SWAPPED = arguments(lambda kw: {"t": -kw["t"]})
LABELS_IGNORED = arguments(lambda kw: {"t": np.abs(kw["t"])})
TARGET_1 = arguments(lambda kw: {"t": 0 * kw["t"] + 1})
BCE = "binary_cross_entropy_with_logits"
NLL = "negative_log_likelihood"
LABEL_SCALED = result(lambda dx, kw: dx * (1 + kw["t"].astype(dx.dtype)[:, None]))
LABEL_0 = arguments(lambda kw: {"t": 0 * kw["t"]})


def rows_centred(x: Array, components: int) -> Any:
    return snapshot(centre=lambda x: x - np.mean(x, axis=1, keepdims=True))(x, components)


def log_mean_exp(x: Array, axis: int) -> Array:
    return np.log(np.mean(np.exp(x), axis=axis, dtype=x.dtype))


def not_summed(g: Array, y: Array, x: Array, axis: int) -> Arrays:
    return {"x": g - np.exp(y) * g}


def shifted_by_all(g: Array, y: Array, x: Array, axis: int) -> Arrays:
    return {"x": np.expand_dims(g, axis) * np.exp(x - x.max())}


def minus_row_sum(g: Array, y: Array, x: Array, axis: int) -> Arrays:
    return {"x": g - y * g.sum(axis=axis, keepdims=True)}


BREAKING: dict[tuple[str, str], tuple[str, Defect]] = {
    ("softmax", "probability"): ("dominant-20", SCALED),
    ("softmax", "sums-to-one"): ("axis-0", SCALED),
    ("softmax", "shift"): ("coarse", instead(lambda x, axis: np.exp(via_logsumexp(x, axis)))),
    ("softmax", "permutation"): ("scale-10", BY_PLACE),
    ("softmax", "gradient-sums-to-zero"): ("scale-10", instead(lambda g, y, x, axis: {"x": g * y * (1 - y)})),
    ("softmax", "symmetric-jacobian"): ("scale-10", instead(minus_row_sum)),
    ("log_softmax", "nonpositive"): ("dominant-20", RAISED),
    ("log_softmax", "exponentials-sum-to-one"): ("scale-10", SCALED),
    ("log_softmax", "exponentiates-to-softmax"): ("scale-10", SCALED),
    ("log_softmax", "shift"): ("coarse", instead(via_logsumexp)),
    ("log_softmax", "permutation"): ("scale-10", BY_PLACE),
    ("log_softmax", "gradient-sums-to-zero"): ("scale-10", instead(not_summed)),
    ("logsumexp", "at-least-the-maximum"): ("dominant-20", instead(log_mean_exp)),
    ("logsumexp", "shift"): ("coarse", SCALED),
    ("logsumexp", "permutation"): ("scale-10", BY_PLACE),
    ("logsumexp", "normalises"): ("coarse", instead(lambda x, axis: x.max(axis=axis))),
    ("logsumexp", "gradient-sums-to-cotangent"): ("scale-10", instead(shifted_by_all)),
    ("cross_entropy", "nonnegative"): ("scale-10", NEGATED),
    ("cross_entropy", "shift"): ("coarse", instead(loss_of(via_logsumexp))),
    ("cross_entropy", "permutation"): ("scale-10", LABEL_0),
    ("cross_entropy", "negative-log-softmax"): ("scale-10", instead(smoothed)),
    ("cross_entropy", "reduction-of-rows"): ("mean-scale-1", result(over_n_minus_1)),
    ("cross_entropy", "gradient-sums-to-zero"): ("scale-10", instead(gradient_of(lambda x, t: np.exp(x - x.max())))),
    **{("spatial_cross_entropy", name): (at, defect) for name, at, defect in (
        ("nonnegative", "scale-10", NEGATED),
        ("shift", "coarse", instead(lambda x, t, reduction: loss_of(via_logsumexp)(
            of_places(x), t.ravel(), reduction).reshape(t.shape))),
        ("permutation", "scale-10", LABEL_0),
        ("place-by-place", "scale-10", SCALED),
        ("reduction-of-places", "mean-scale-1", result(over_items_only)),
        ("gradient-sums-to-zero", "scale-10", instead(label_not_subtracted)),
    )},
    ("soft_cross_entropy", "nonnegative"): ("scale-10", NEGATED),
    ("soft_cross_entropy", "shift"): ("smoothed-coarse", instead(soft_loss_of(via_logsumexp))),
    ("soft_cross_entropy", "permutation"): ("scale-10", BY_PLACE),
    ("soft_cross_entropy", "of-one-hot"): ("scale-10", SCALED),
    ("soft_cross_entropy", "reduction-of-rows"): ("unnormalised-mean", result(over_n_minus_1)),
    ("soft_cross_entropy", "gradient-sums-to-zero"): (
        "unnormalised-scale-10", instead(soft_gradient_of(lambda p, s: p - s)),
    ),
    ("soft_cross_entropy", "linear"): ("scale-10", instead(targets_gradient(lambda x, e: x))),
    ("weighted_cross_entropy", "nonnegative"): ("scale-10", NEGATED),
    ("weighted_cross_entropy", "ignored"): ("ignored-scale-10", arguments(no_label_ignored)),
    ("weighted_cross_entropy", "shift"): ("coarse", HALF_OF_LARGE_X),
    ("weighted_cross_entropy", "permutation"): ("scale-10", BY_PLACE),
    ("weighted_cross_entropy", "homogeneous"): ("scale-10", arguments(no_weights)),
    ("weighted_cross_entropy", "of-equal-weights"): ("scale-10", SCALED),
    ("weighted_cross_entropy", "gradient-sums-to-zero"): ("scale-10", instead(p_for_the_weighted)),
    ("weighted_cross_entropy", "no-gradient-if-ignored"): ("ignored-scale-10", arguments(no_label_ignored)),
    ("sigmoid", "probability"): ("every-16-bit", SCALED),
    ("sigmoid", "ascending"): ("every-16-bit", DENTED),
    ("sigmoid", "complement"): ("every-16-bit", SCALED),
    ("sigmoid", "permutation"): ("scale-1", BY_PLACE),
    ("sigmoid", "two-classes"): ("scale-1", HALF_OF_X),
    ("sigmoid", "even-gradient"): ("scale-1", instead(lambda g, y, x: {"x": g * y})),
    ("log_sigmoid", "nonpositive"): ("every-16-bit", RAISED),
    ("log_sigmoid", "ascending"): ("every-16-bit", DENTED),
    ("log_sigmoid", "odd-part"): ("scale-1", SCALED),
    ("log_sigmoid", "permutation"): ("scale-1", BY_PLACE),
    ("log_sigmoid", "two-classes"): ("scale-1", HALF_OF_X),
    ("log_sigmoid", "binary-cross-entropy"): ("scale-1", HALF_OF_X),
    ("log_sigmoid", "complementary-gradient"): ("scale-1", instead(lambda g, y, x: {"x": g * np.exp(y - x) ** 2})),
    ("hinge", "nonnegative"): ("scale-1", LOWERED),
    ("hinge", "mirrored"): ("scale-1", LABELS_IGNORED),
    ("hinge", "both-labels"): ("scale-1", instead(lambda x, t: np.maximum(x.dtype.type(1.000001) - t * x, 0))),
    ("hinge", "mirrored-gradient"): ("scale-1", LABELS_IGNORED),
    ("hinge", "no-loss-no-gradient"): ("above-kink", instead(lambda g, y, x, t: {"x": -g * t})),
    ("squared_hinge", "nonnegative"): ("scale-1", LOWERED),
    ("squared_hinge", "mirrored"): ("scale-1", LABELS_IGNORED),
    ("squared_hinge", "square-of-hinge"): ("scale-1", instead(lambda x, t: np.square(np.maximum(margin(x, t), 0)) / 2)),
    ("squared_hinge", "mirrored-gradient"): ("scale-1", LABELS_IGNORED),
    ("squared_hinge", "no-loss-no-gradient"): (
        "above-kink", instead(lambda g, y, x, t: {"x": -2 * g * t * margin(x, t)}),
    ),
    **{("softmax_regression", name): (at, defect) for name, at, defect in (
        ("permutation", "scale-1", arguments(lambda kw: {"x": kw["x"] * np.linspace(1, 2, kw["x"].shape[1])})),
        ("classes-renamed", "scale-1", arguments(lambda kw: {"w": kw["w"] * np.linspace(1, 2, kw["w"].shape[1])})),
        ("shift", "coarse", arguments(lambda kw: {"w": np.where(kw["w"] > 2, 2, kw["w"])})),
        ("of-scores", "identity", SCALED),
        ("penalised", "reg-3-scale-1", arguments(lambda kw: {"reg": kw["reg"] ** 2})),
        ("gradient-sums-to-zero", "scale-1", instead(gradient_of_scores(lambda s, t: s + 0.001))),
        ("euler", "scale-1", arguments(lambda kw: {"w": kw["w"] * np.linspace(1, 2, kw["w"].shape[1])})),
    )},
    **{(BCE, name): (at, defect) for name, at, defect in (
        ("nonnegative", "scale-1", NEGATED),
        ("permutation", "scale-1", BY_PLACE),
        ("mirrored", "scale-1", TARGET_1),
        ("both-targets", "scale-1", SCALED),
        ("linear-in-target", "soft-scale-1", arguments(lambda kw: {"t": np.square(kw["t"])})),
        ("weighs-positives", "pos-weight-3-scale-1", arguments(lambda kw: {"pos_weight": None})),
        ("two-classes", "scale-1", HALF_OF_X),
        ("negative-log-sigmoid", "scale-1", HALF_OF_X),
        ("reduction-of-rows", "mean-pos-weight-3", result(by_total_weight)),
        ("gradient-of-both-targets", "scale-1", SCALED),
        ("gradient-for-targets", "soft-scale-10", NEGATED),
    )},
    **{(NLL, name): (at, defect) for name, at, defect in (
        ("nonnegative", "spread-4", NEGATED),
        ("permutation", "spread-4", BY_PLACE),
        ("log-ratio", "spread-4", SCALED),
        ("reduction-of-rows", "mean-spread-4", result(over_n_minus_1)),
        ("same-for-every-label", "spread-4", LABEL_SCALED),
        ("of-two-labels", "spread-4", SCALED),
    )},
    **{("layered_cross_entropy", name): (at, defect) for name, at, defect in (
        ("nonnegative", "coarse", NEGATED),
        ("shift", "coarse", HALF_OF_LARGE_X),
        ("permutation", "coarse", LABEL_0),
        ("as-one", "mean-classes-17", result(over_n_minus_1)),
        ("of-softmax", "coarse", layered(lambda x: softmax(Parts(), x) * x.dtype.type(1.001))),
        ("gradient-sums-to-zero", "coarse", backwards(lambda s, d: s * (1 - s) * d)),
        ("gradient-as-one", "coarse", SCALED),
        ("chain", "coarse", backwards(lambda s, d: s * d)),
    )},
    **{("binary_cross_entropy", name): (at, defect) for name, at, defect in (
        ("nonnegative", "coarse", NEGATED),
        ("permutation", "coarse", BY_PLACE),
        ("mirrored", "coarse", TARGET_1),
        ("linear-in-target", "coarse", arguments(lambda kw: {"t": np.square(kw["t"])})),
        ("two-classes", "coarse", SCALED),
        ("reduction-of-rows", "mean-spread-4", result(over_n_minus_1)),
        ("mirrored-gradient", "coarse", TARGET_1),
        ("gradient-of-both-targets", "coarse", SCALED),
    )},
    **{("categorical_cross_entropy", name): (at, defect) for name, at, defect in (
        ("nonnegative", "spread-4", NEGATED),
        ("permutation", "spread-4", BY_PLACE),
        ("of-one-hot", "spread-4", SCALED),
        ("geometric", "gamma-1-one-hot-spread-4", arguments(lambda kw: {"gamma": min(kw["gamma"], 1)})),
        ("weighs", "alpha-0.3-spread-4", arguments(lambda kw: {"alpha": None})),
        ("reduction-of-rows", "mean-spread-4", result(over_n_minus_1)),
        ("linear", "spread-4", SCALED),
        ("linear-gradient", "spread-4", arguments(lambda kw: {"t": np.square(kw["t"])})),
        ("same-for-every-order", "spread-4", result(lambda dx, kw: dx * (1 + kw["x"]))),
    )},
    **{("multiclass_hinge", name): (at, defect) for name, at, defect in (
        ("nonnegative", "scale-1", NEGATED),
        ("shift", "coarse", HALF_OF_LARGE_X),
        ("permutation", "scale-1", BY_PLACE),
        ("linear-in-weights", "scale-10", arguments(no_weights)),
        ("of-two-classes", "classes-2-coarse", arguments(lambda kw: {"margin": kw["margin"] * 1.000001})),
        ("gradient-sums-to-zero", "scale-1", result(once_for_the_label)),
        ("no-loss-no-gradient", "led", arguments(lambda kw: {"margin": 100.0})),
    )},
    **{("margin_ranking", name): (at, defect) for name, at, defect in (
        ("nonnegative", "scale-1", NEGATED),
        ("exchanged", "scale-1", LABELS_IGNORED),
        ("of-one", "scale-1", arguments(lambda kw: {"margin": kw["margin"] * 1.000001})),
        ("reduction-of-rows", "mean-scale-1", result(over_n_minus_1)),
        ("gradients-balance", "scale-1", result(lambda dx, kw: np.abs(dx))),
        ("ranked-is-done", "above-margin", arguments(lambda kw: {"margin": 200.0})),
    )},
    **{("hinge_embedding", name): (at, defect) for name, at, defect in (
        ("together", "scale-1", SCALED),
        ("apart", "scale-1", arguments(lambda kw: {"margin": kw["margin"] * 1.000001})),
        ("reduction-of-rows", "mean-scale-1", result(over_n_minus_1)),
        ("far-apart-is-done", "above-margin", arguments(lambda kw: {"margin": 100.0})),
        ("together-pulls", "scale-1", LABELS_SWAPPED),
    )},
    **{("crammer_singer_hinge", name): (at, defect) for name, at, defect in (
        ("nonnegative", "scale-1", NEGATED),
        ("shift", "coarse", HALF_OF_LARGE_X),
        ("permutation", "scale-1", BY_PLACE),
        ("of-two-classes", "classes-2-coarse", arguments(lambda kw: {"margin": kw["margin"] * 1.000001})),
        ("gradient-sums-to-zero", "ties", result(for_each_that_ties)),
        ("no-loss-no-gradient", "led", arguments(lambda kw: {"margin": 100.0})),
    )},
    **{("euclidean_norm", name): (at, defect) for name, at, defect in (
        ("nonnegative", "scale-1", NEGATED),
        ("permutation", "scale-1", BY_PLACE),
        ("homogeneous", "scale-1", result(lambda y, kw: y * y)),
        ("of-one-number", "scale-1", SCALED),
        ("euler", "scale-1", result(lambda dx, kw: 1.001 * dx)),
        ("odd-gradient", "scale-1", result(lambda dx, kw: np.abs(dx))),
    )},
    **{("pairwise_distance", name): (at, defect) for name, at, defect in (
        ("nonnegative", "scale-1", NEGATED),
        ("symmetric", "scale-1", arguments(lambda kw: {"eps": 0.01})),
        ("permutation", "scale-1", BY_PLACE),
        ("translation", "coarse", arguments(lambda kw: {"other": 0.5 * kw["other"]})),
        ("from-the-origin", "scale-1", SCALED),
        ("gradients-balance", "scale-1", result(lambda dx, kw: np.abs(dx))),
    )},
    **{("segment_sum", name): (at, defect) for name, at, defect in (
        ("order-of-rows", "scale-1", BY_ROW),
        ("segments-renamed", "scale-1", BY_PLACE),
        ("homogeneous", "scale-1", result(lambda y, kw: y * y)),
        ("whole", "scale-1", SCALED),
        ("gradient-is-the-cotangent", "scale-1", result(lambda dx, kw: 1.001 * dx)),
    )},
    **{("segment_mean", name): (at, defect) for name, at, defect in (
        ("order-of-rows", "scale-1", BY_ROW),
        ("segments-renamed", "scale-1", BY_PLACE),
        ("homogeneous", "scale-1", result(lambda y, kw: y * y)),
        ("of-equal-rows", "coarse", SCALED),
        ("sum-over-size", "scale-1", SCALED),
        ("gradient-adds-up", "scale-1", result(lambda dx, kw: 1.001 * dx)),
    )},
    **{("pca", name): (at, defect) for name, at, defect in (
        ("translation", "coarse", instead(snapshot(mean=lambda x: np.mean(x, axis=0) / 2))),
        ("order", "scale-1", BY_PLACE),
        ("mean-is-kept", "scale-1", instead(snapshot(mean=np.mean))),
        ("everything-is-left", "components-3", instead(snapshot(chosen=lambda k: slice(k - 1)))),
        ("projections-sum-to-zero", "scale-10", instead(rows_centred)),
        ("eigenvalue-is-square", "scale-1", instead(snapshot(
            decomposed=lambda k: (falling(k)[0] / k.dtype.type(3), falling(k)[1])))),
        ("gradient-of-translation", "scale-1", instead(pca_gradient(mean=False))),
        ("euler", "scale-1", instead(pca_gradient(direct=False))),
    )},
    **{("focal_loss", name): (at, defect) for name, at, defect in (
        ("nonnegative", "scale-1", NEGATED),
        ("permutation", "scale-1", BY_PLACE),
        ("mirrored", "scale-1", TARGET_1),
        ("unfocused", "scale-1", SCALED),
        ("geometric", "scale-1", arguments(lambda kw: {"gamma": min(kw["gamma"], 1)})),
        ("weighs-targets", "alpha-0.25-scale-1", arguments(lambda kw: {"alpha": None})),
        ("reduction-of-rows", "mean-scale-1", result(over_n_minus_1)),
        ("mirrored-gradient", "scale-1", TARGET_1),
    )},
    **{("one_vs_rest", name): (at, defect) for name, at, defect in (
        ("nonnegative", "scale-1", NEGATED),
        ("permutation", "scale-1", BY_PLACE),
        ("labels-exchanged", "scale-1", result(lambda y, kw: np.square(y))),
        ("of-one-class", "classes-1", SCALED),
        ("reduction-of-rows", "mean-scale-1", result(over_n_minus_1)),
        ("wrong-alike", "scale-1", LABEL_SCALED),
        ("sums-alike", "scale-1", LABEL_SCALED),
    )},
    **{("logistic_regression", name): (at, defect) for name, at, defect in (
        ("permutation", "scale-1", arguments(lambda kw: {"x": kw["x"] * np.linspace(1, 2, kw["x"].shape[1])})),
        ("mirrored", "scale-1", TARGET_1),
        ("of-scores", "one-weight", SCALED),
        ("penalised", "reg-3-scale-1", arguments(lambda kw: {"reg": kw["reg"] ** 2})),
        ("mirrored-gradient", "scale-1", TARGET_1),
        ("euler", "scale-1", arguments(lambda kw: {"w": kw["w"] * np.linspace(1, 2, kw["w"].shape[0])})),
    )},
    **{("categorical_hinge", name): (at, defect) for name, at, defect in (
        ("nonnegative", "scale-1", NEGATED),
        ("permutation", "scale-1", BY_PLACE),
        ("of-crammer-singer", "scale-1", SCALED),
        ("reduction-of-rows", "mean-scale-1", result(over_n_minus_1)),
        ("no-loss-no-gradient", "led", arguments(lambda kw: {"x": kw["x"] / 100})),
    )},
    **{("multilabel_margin", name): (at, defect) for name, at, defect in (
        ("nonnegative", "scale-1", NEGATED),
        ("shift", "coarse", HALF_OF_LARGE_X),
        ("permutation", "scale-1", BY_PLACE),
        ("lists-unordered", "scale-1", arguments(lambda kw: {"t": to_the_end(kw["t"])})),
        ("reduction-of-rows", "mean-scale-1", result(over_n_minus_1)),
        ("gradient-sums-to-zero", "scale-1", result(lambda dx, kw: np.abs(dx))),
        ("no-loss-no-gradient", "led", arguments(lambda kw: {"x": kw["x"] / 100})),
    )},
    ("ragged_centroid", "nonnegative"): ("random", NEGATED),
    ("ragged_centroid", "permutation"): ("random", BY_PLACE),
    ("ragged_centroid", "translation"): ("coarse", instead(centroid_loss(centre=lambda p: 0 * p.mean(axis=0)))),
    ("ragged_centroid", "centroids-balance"): ("random", instead(centroid_loss(centre=median))),
    ("ragged_centroid", "mean-of-classes"): ("class-mean-random", instead(centroid_loss(mean=np.sum))),
    ("ragged_centroid", "mean-of-items"): ("random-mean", instead(centroid_loss(items=np.sum))),
    ("ragged_centroid", "gradient-balances"): ("random", instead(centroid_vjp(recentred=False))),
    ("ragged_centroid", "homogeneous"): ("coarse-delta-0", instead(centroid_vjp(factor=lambda n: 1 / n))),
}  # fmt: skip


def test_each_invariant_has_something_that_breaks_it() -> None:
    assert set(BREAKING) == {(op.name, i.name) for op in OPS.values() for i in op.invariants}


def test_what_an_operation_is_set_against_is_the_one_that_implementations_are_of() -> None:
    """With its edges: else an implementation that declares one of them is refused."""
    others = [i.other for op in OPS.values() for i in op.invariants if i.other]
    assert [set(other.edges) for other in others] == [set(OPS[other.name].edges) for other in others]
    assert any(other.edges for other in others)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("op", "name"), BREAKING, ids=["/".join(key) for key in BREAKING])
def test_an_invariant_is_broken(op: str, name: str, dtype: str) -> None:
    """In the case that is named, by its bound."""
    at, defect = BREAKING[op, name]
    invariant = next(i for i in OPS[op].invariants if i.name == name)
    mutant = Mutant(op, name, **{"value" if invariant.direction == "value" else "vjp": defect})
    implementation = mutant.implementation(dtype, invariant.direction)
    some = tuple(case for case in OPS[op].cases if case.name == at)
    found = {
        row.check: f"{row.status}/{row.reason}"
        for row in check(OPS[op], implementation, NUMPY, dtype, "invariant", some)
    }
    assert found[f"invariant.{name}"] == "fail/bound"
