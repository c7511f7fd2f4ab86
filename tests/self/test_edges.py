"""What is due at the edge of an operation: a value of a convention, or an exception of a type, as declared."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import pytest

from gradparity import catalogue
from gradparity.adapter import Adapter, Implementation
from gradparity.adapters.numpy import ADAPTERS
from gradparity.cases import Draw
from gradparity.check import check
from gradparity.op import COMPARED, FORMATS, Case, GradparityError, Op, Raises, Result, outputs
from gradparity.reference import OPS

CROSS_ENTROPY = OPS["cross_entropy"]
ALL = frozenset(case.name for case in CROSS_ENTROPY.edge_cases if case.edge)
EDGED = [op for op in OPS.values() if op.edges]
each_edged = pytest.mark.parametrize("op", EDGED, ids=[op.name for op in EDGED])


# --- what is declared


def declarations() -> Iterator[tuple[Adapter, Implementation, Op]]:
    for adapter in catalogue.adapters():
        for implementation in adapter.implementations:
            yield adapter, implementation, OPS[implementation.op]


def places(op: Op, adapter: Adapter) -> list[tuple[Case, str, str]]:
    return [
        (case, dtype, direction)
        for case in op.edge_cases if case.edge
        for dtype in case.dtypes for direction in COMPARED
    ]  # fmt: skip


def test_every_implementation_says_what_it_does_at_every_edge() -> None:
    for adapter, implementation, op in declarations():
        assert set(implementation.edges) == set(op.edges), (adapter.name, implementation.api)
        for case, dtype, direction in places(op, adapter):
            assert implementation.due(op, case, f"{adapter.mode}/{dtype}/{direction}") is not None


def test_no_declaration_speaks_of_a_place_that_there_is_not() -> None:
    """In some mode of the framework: its implementations of an operation share their tables."""
    modes: dict[tuple[str, str], set[str]] = {}
    for adapter, implementation, _ in declarations():
        modes.setdefault((adapter.framework, implementation.op), set()).add(adapter.mode)
    for adapter, implementation, op in declarations():
        for value in implementation.edges.values():
            for glob in value if isinstance(value, dict) else ():
                own = [f"{mode}/{dtype}/{direction}/{case.name}" for mode in modes[adapter.framework, op.name]
                       for case, dtype, direction in places(op, adapter)]  # fmt: skip
                assert glob == "*" or any(fnmatchcase(name, glob) for name in own), (implementation.api, glob)


@each_edged
def test_an_edge_has_cases_and_they_have_their_edge(op: Op) -> None:
    assert {case.edge for case in op.edge_cases} - {""} == set(op.edges)
    names = [case.name for case in (*op.cases, *op.edge_cases)]
    assert len(set(names)) == len(names)


# --- what makes a row pass or fail


def rows(fn: Callable[..., Any], edges: Any, *names: str, vjp: Any = None, direction: str = "value") -> list[Result]:
    implementation = Implementation("cross_entropy", "mine", fn, vjp=vjp, edges=edges)
    at = tuple(case for case in CROSS_ENTROPY.edge_cases if case.name in (names or ALL))
    return check(CROSS_ENTROPY, implementation, ADAPTERS[0], "float32", direction, at)


def raising(kind: type[Exception]) -> Callable[..., Any]:
    def raises(**arguments: Any) -> Any:
        raise kind("no such label")

    return raises


def zeros(x: Any, t: Any, reduction: str) -> Any:
    return np.zeros(len(x), x.dtype)


def test_the_exception_that_is_due_is_a_pass_and_is_recorded() -> None:
    (row,) = rows(raising(IndexError), {"bad_label": Raises("IndexError")}, "label-c")
    assert (row.status, row.exception, row.error, row.message) == ("pass", "IndexError", 0.0, "")
    assert row.conventions == "bad_label=raises IndexError"


@pytest.mark.parametrize("direction", COMPARED)
def test_another_exception_is_a_failure(direction: str) -> None:
    (row,) = rows(
        raising(KeyError), {"bad_label": Raises("IndexError")}, "label-c", vjp=raising(KeyError), direction=direction
    )
    assert (row.status, row.reason, row.exception) == ("fail", "convention", "KeyError")
    assert row.message.endswith("raised KeyError: 'no such label'; declared bad_label=raises IndexError")


def test_no_exception_is_a_failure() -> None:
    (row,) = rows(zeros, {"bad_label": Raises("IndexError")}, "label-c")
    assert (row.status, row.reason, row.exception) == ("fail", "convention", "")
    assert "gave [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, ...] of shape (8,), float32; declared bad_label" in row.message


def test_an_exception_where_a_value_is_due_is_a_failure() -> None:
    (row,) = rows(raising(IndexError), {"bad_label": "nan"}, "label-c")
    assert (row.status, row.reason, row.exception) == ("fail", "convention", "IndexError")


def test_what_is_not_declared_is_not_checked_and_does_not_pass() -> None:
    found = rows(raising(IndexError), {})
    assert {(row.status, row.reason) for row in found} == {
        ("unsupported", f"what it does here is not declared: {edge}") for edge in CROSS_ENTROPY.edges
    }
    assert {row.case for row in found} == ALL


def test_a_declaration_may_differ_by_mode_dtype_direction_and_case() -> None:
    edges = {"bad_label": {"jit/*": "nan", "*/value/label-minus-*": Raises("KeyError"), "*": Raises("IndexError")}}
    found = {row.case: row.status for row in rows(raising(KeyError), edges)}
    assert {name for name, status in found.items() if status == "pass"} == {"label-minus-1", "label-minus-100"}
    assert (found["label-c"], found["label-int8"]) == ("fail", "unsupported")


@pytest.mark.parametrize(
    ("edges", "words"),
    [
        ({"bad_labels": "nan"}, "unknown convention of cross_entropy 'bad_labels'; did you mean bad_label"),
        ({"bad_label": "wrap"}, "mine declares bad_label='wrap'; it can be nan, ignored, wraps, clamps"),
        ({"bad_label": {"*": "wrap"}}, "mine declares bad_label='wrap'"),
    ],
)
def test_an_unknown_edge_or_value_is_an_error(edges: Any, words: str) -> None:
    with pytest.raises(GradparityError, match=words):
        rows(zeros, edges, "label-c")


# --- what each value means


def log_likelihood(x: Any, t: Any, missing: float) -> Any:
    """-log softmax(x)_t, and what a label that is none costs."""
    z = x - x.max(axis=1, keepdims=True)
    y = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    return np.array([-row[k] if 0 <= k < len(row) else missing for row, k in zip(y, t, strict=True)], x.dtype)


MEANT: dict[str, Callable[[Any, Any], Any]] = {
    "nan": lambda x, t: log_likelihood(x, t, np.nan),
    "ignored": lambda x, t: log_likelihood(x, t, 0.0),
    "wraps": lambda x, t: log_likelihood(x, np.where((t < 0) & (t >= -10), t + 10, t), np.nan),
    "clamps": lambda x, t: log_likelihood(x, t.clip(0, 9), np.nan),
}


@pytest.mark.parametrize("declared", MEANT)
@pytest.mark.parametrize("meant", MEANT)
@pytest.mark.parametrize("name", ["label-minus-1", "label-minus-100", "label-c", "label-beyond"])
def test_a_bad_label_is_what_is_declared_and_nothing_else(declared: str, meant: str, name: str) -> None:
    """But where a label is none even to an index of Python: there wraps is nan."""
    (row,) = rows(lambda x, t, reduction: MEANT[meant](x, t), {"bad_label": declared}, name)
    alike = {"nan", "wraps"} if name != "label-minus-1" else {declared}
    assert (row.status == "pass") == (meant == declared or {meant, declared} <= alike)


@each_edged
@pytest.mark.parametrize("value", ["nan", "ignored", "wraps", "clamps"])
def test_the_rows_of_good_labels_are_what_they_are_beside_bad_ones(op: Op, value: str) -> None:
    """And the gradient of a row is NaN, 0, or that of the label that is meant."""
    case = next(case for case in op.edge_cases if case.name == "label-minus-1")
    arrays = case.arrays(Draw("", "float64"))
    t = arrays["t"]
    meant = {"wraps": np.where(t < 0, 9, t)}.get(value, np.where(t < 0, 0, t))
    given, instead = ({**arrays, "t": labels, **case.params} for labels in (t, meant))
    y, want = outputs(op.forward(**given, bad_label=value))[0], outputs(op.forward(**instead))[0]
    g = np.arange(1.0, 9.0)
    dx, gradient = op.vjp(g, y, **given, bad_label=value)["x"], op.vjp(g, want, **instead)["x"]
    lost = {"nan": np.nan, "ignored": 0.0}
    if value in lost:
        want, gradient = np.where(t < 0, lost[value], want), np.where((t < 0)[:, None], lost[value], gradient)
    assert np.array_equal(y, want, equal_nan=True)
    assert np.array_equal(dx, gradient, equal_nan=True)


def test_a_row_of_no_class_has_the_loss_of_every_other_class() -> None:
    """That of a row with one more class, which is the label's, and so sure that it costs nothing."""
    op, g = OPS["one_vs_rest"], np.ones(1)
    x = np.array([[0.5, -2.0, 3.0]])
    none = {"x": x, "t": np.array([7]), "reduction": "none", "bad_label": "no class"}
    sure = {"x": np.append(x, [[1000.0]], axis=1), "t": np.array([3]), "reduction": "none"}
    y, want = op.forward(**none), op.forward(**sure)
    assert np.array_equal(y, want)
    assert y > 0
    assert np.array_equal(op.vjp(g, y, **none)["x"], op.vjp(g, want, **sure)["x"][:, :3])


def test_labels_of_any_type_and_a_column_of_them_are_the_same_labels() -> None:
    case = next(case for case in CROSS_ENTROPY.cases if case.name == "scale-1")
    arrays = case.arrays(Draw("", "float64"))
    want = CROSS_ENTROPY.forward(**arrays)
    for t in (*(arrays["t"].astype(dtype) for dtype in ("int8", "uint64")), arrays["t"][:, None]):
        assert np.array_equal(CROSS_ENTROPY.forward(arrays["x"], t), want)


# --- who is asked


def test_a_case_is_offered_in_its_dtypes_only() -> None:
    few = [case for case in CROSS_ENTROPY.edge_cases if case.edge not in ("", "bad_label")]
    assert all(case.dtypes == ("float32",) for case in few)
    for dtype in FORMATS:
        assert set(few) <= set(CROSS_ENTROPY.every_case(dtype)) or dtype != "float32"
        assert not set(few) & set(CROSS_ENTROPY.every_case(dtype)) or dtype == "float32"


def test_the_hand_written_forms_are_judged_at_their_edges() -> None:
    (loop,) = (i for i in ADAPTERS[0].implementations if i.api.endswith("cross_entropy_loop"))
    for direction in COMPARED:
        found = check(CROSS_ENTROPY, loop, ADAPTERS[0], "float32", direction, CROSS_ENTROPY.edge_cases)
        assert [row.message for row in found if row.status != "pass"] == []
        assert {row.exception for row in found} == {"", "IndexError", "ValueError"}
        wrong = replace(loop, edges={**loop.edges, "bad_label": Raises("IndexError")})
        (bad,) = (row for row in check(CROSS_ENTROPY, wrong, ADAPTERS[0], "float32", direction,
                                       CROSS_ENTROPY.edge_cases) if row.bad)  # fmt: skip
        assert (bad.case, bad.reason) == ("label-minus-1", "convention")
