"""The same computed again: bit-equal, within what both may err by, or wrong."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import gradparity_command, written

from gradparity import gate, invariances, results
from gradparity.adapter import Implementation
from gradparity.adapters.numpy import ADAPTERS
from gradparity.check import check
from gradparity.op import BIT_EQUAL, HOW, WITHIN_BOUND, Array, Case, Op, Result
from gradparity.policy import Policy
from gradparity.reference import OPS
from gradparity.results import Run

NUMPY = next(adapter for adapter in ADAPTERS if adapter.default)
OWN = next(i for i in NUMPY.implementations if i.op == "softmax")


def softmax(x: Array, axis: int) -> Array:
    """Of a contiguous copy: NumPy adds up what is transposed in another order."""
    x = np.array(x, order="C")
    y = np.exp(x - x.max(axis, keepdims=True))
    return np.asarray(y / y.sum(axis, keepdims=True))


def up(y: Array, units: int) -> Array:
    """Each number by so many units in the last place."""
    return (y.view(f"i{y.dtype.itemsize}") + units).view(y.dtype)


def once_in_two(units: int) -> Callable[..., Array]:
    calls: Iterator[int] = iter(range(10**6))
    return lambda x, axis: up(softmax(x, axis), units * (next(calls) % 2))


def if_alone(units: int) -> Callable[..., Array]:
    return lambda x, axis: up(softmax(x, axis), units * (len(x) == 1))


def if_strided(units: int) -> Callable[..., Array]:
    return lambda x, axis: up(softmax(x, axis), units * (x.strides[-1] > x.itemsize))


def rows(fn: Callable[..., Any], dtype: str = "float64") -> dict[str, Result]:
    found = check(OPS["softmax"], replace(OWN, fn=fn), NUMPY, dtype, "same", OPS["softmax"].cases)
    return {row.check: row for row in found}


def test_what_is_deterministic_is_bit_equal() -> None:
    found = rows(softmax)
    assert set(found) >= {f"same.{how}.{direction}" for how in HOW for direction in ("value", "vjp")}
    assert {(row.status, row.reason) for row in found.values() if "value" in row.check} == {("pass", BIT_EQUAL)}


def test_numpy_adds_up_transposed_arrays_in_another_order() -> None:
    found = rows(lambda x, axis: np.exp(x - x.max(axis, keepdims=True)) / np.exp(x).sum(axis, keepdims=True))
    assert found["same.transposed.value"].reason == WITHIN_BOUND


@pytest.mark.parametrize(
    ("fn", "touched"), [(once_in_two, HOW), (if_alone, ("alone",)), (if_strided, ("strided", "transposed"))]
)
def test_what_differs_a_little_passes_and_says_so_and_what_differs_much_fails(
    fn: Any, touched: tuple[str, ...]
) -> None:
    for units, outcome in ((1, ("pass", WITHIN_BOUND)), (1000, ("fail", "bound"))):
        found = rows(fn(units))
        for how in HOW:
            row = found[f"same.{how}.value"]
            assert (row.status, row.reason) == (outcome if how in touched else ("pass", BIT_EQUAL)), how
            if how in touched:
                assert row.error > 0
                assert row.got.endswith(" other")
                assert ("times what the two may differ" in row.message) == (row.status == "fail")


def quotient(x: Any) -> Any:
    """In float32 the denominator of 0.5 may be 0, and its bound is infinite; that of 1e6 is far from it."""
    return 1 / ((x + 1e9) - 1e9)


@pytest.mark.parametrize(("xs", "status", "part"), [((1e6, 0.5), "pass", 0.5), ((1e6, 0.5, 0.5), "error", 0.667)])
def test_what_differs_where_most_has_no_bound_is_no_pass(xs: tuple[float, ...], status: str, part: float) -> None:
    op = Op("quotient", quotient, lambda g, y, x: {"x": -g * y * y},
            (Case("points", lambda draw: {"x": draw.quantised(xs)}),))  # fmt: skip
    calls = iter(range(10**6))
    own = Implementation("quotient", "varies", lambda x: up(1 / x, next(calls) % 2))
    found = {row.check: row for row in check(op, own, NUMPY, "float32", "same", op.cases)}["same.again.value"]
    assert (found.status, found.unbounded) == (status, part)
    assert found.reason == (WITHIN_BOUND if status == "pass" else "unbounded")


def test_another_shape_or_an_exception_is_no_pass() -> None:
    assert rows(lambda x, axis: softmax(x, axis)[:1] if len(x) > 1 else x[0])["same.alone.value"].reason == "shape"

    def refuses_one_row(x: Array, axis: int) -> Array:
        if len(x) == 1:
            raise ValueError("too few")
        return softmax(x, axis)

    found = rows(refuses_one_row)
    assert found["same.alone.value"].status == "error"
    assert found["same.again.value"].status == "pass"


def test_nan_for_a_number_is_no_pass() -> None:
    found = rows(lambda x, axis: softmax(x, axis) * (np.nan if len(x) == 1 else 1))
    assert found["same.alone.value"].status == "fail"


def test_what_cannot_be_looked_at_is_not_supported() -> None:
    op = OPS["sigmoid"]
    own = Implementation("sigmoid", fn=lambda x: 1 / (1 + np.exp(-x)))
    found = {row.check: row for row in check(op, own, NUMPY, "float32", "same", op.cases)}
    assert found["same.transposed.value"].reason == "its arrays have one axis"
    unsupported = Implementation("softmax", fn=softmax, unsupported={"*/vjp/*": "no gradient"})
    found = {row.check: row for row in check(OPS["softmax"], unsupported, NUMPY, "float32", "same")}
    assert {row.reason for name, row in found.items() if ".vjp" in name} == {"no gradient"}


def run_of(found: dict[str, Result]) -> Run:
    header = results.header({}, {"numpy": "1"}, len(found), seed=0, inputs={}, environment={})
    return Run(header, list(found.values()), {"complete": True, "digest": str(id(found))})


def test_a_gate_sees_a_lost_invariance_and_a_gained_one() -> None:
    equal, varies = run_of(rows(if_alone(0))), run_of(rows(if_alone(1)))
    lost, gained = gate.gate(equal, varies, Policy()), gate.gate(varies, equal, Policy())
    assert {change.id.rpartition("/")[2] for change in lost.counted} == {"same.alone.value"}
    assert lost.code == gate.REGRESSED
    assert "invariance" in lost.counted[0].kinds
    assert gained.code == gate.NOTHING_REGRESSED
    assert {change.bucket for change in gained.changes} == {"improved"}


def test_the_table_says_in_which_dtypes_it_differs() -> None:
    found = run_of(rows(if_alone(1), "float32") | {f"{k} ": v for k, v in rows(if_alone(0)).items()})
    (seen,) = invariances.table(found).values()
    assert invariances.cell(seen["alone"]) == "`float32`"
    assert invariances.cell(seen["again"]) == "="
    assert any("| `float32` |" in line for line in invariances.lines(found))
    (seen,) = invariances.table(run_of(rows(if_alone(1000)))).values()
    assert invariances.cell(seen["alone"]).startswith("FAIL")


def test_the_command_prints_the_table_and_refuses_what_is_no_run(tmp_path: Path) -> None:
    run = written(tmp_path / "run.jsonl", run_of(rows(if_strided(1))))
    (tmp_path / "other.txt").write_text("no run\n", encoding="utf-8")
    shown = gradparity_command("invariances", run)
    assert shown.returncode == 0
    assert "softmax_pure_python` | `eager` | = | = | `float64` |" in shown.stdout
    for words in ([str(tmp_path / "other.txt")], [run, str(tmp_path / "other.txt")], [run, "nowhere"]):
        refused = gradparity_command("invariances", *words)
        assert refused.returncode == 2
        assert len(refused.stderr.splitlines()) == 1


def test_the_table_sets_modes_and_runs_beside_each_other() -> None:
    row = replace(next(iter(rows(softmax).values())), check="value", bits="1", error=math.nan)
    run = Run(rows=[row, replace(row, mode="jit", bits="2"), replace(row, mode="vmap")])
    found = invariances.table(run, Run(rows=[row, replace(row, mode="jit")]))
    cells = {mode: {column: invariances.cell(v) for column, v in seen.items()} for (*_, mode), seen in found.items()}
    assert cells == {
        "eager": {"other run": "="},
        "jit": {"other mode": "`float64`", "other run": "`float64`"},
        "vmap": {"other mode": "="},
    }
