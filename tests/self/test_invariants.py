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
from gradparity.arithmetic import EVERYTHING, Arithmetic, Tracked, wide
from gradparity.check import check, reference_subject
from gradparity.invariant import Subject, exact_in_wide, exactly
from gradparity.op import FORMATS, Array, Case, GradparityError, Invariant, Op, Result, outputs
from gradparity.reference import OPS
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
