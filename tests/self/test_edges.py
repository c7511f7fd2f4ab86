"""What is due at the edge of an operation: a value of a convention, or an exception of a type, as declared."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import pytest

from gradparity import catalogue
from gradparity.adapter import Adapter, Implementation, at_edges
from gradparity.adapters.numpy import ADAPTERS
from gradparity.arithmetic import Arithmetic, Tracked
from gradparity.cases import Draw
from gradparity.check import check
from gradparity.op import COMPARED, FORMATS, Case, GradparityError, Op, Raises, Result, outputs
from gradparity.reference import OPS
from gradparity.reference.edges import BAD_LABEL

CROSS_ENTROPY = OPS["cross_entropy"]
ALL = frozenset(case.name for case in CROSS_ENTROPY.edge_cases if case.edge)
EDGED = [op for op in OPS.values() if op.edges.get("bad_label") is BAD_LABEL]
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


@pytest.mark.parametrize(("raised", "status"), [(IndexError, "pass"), (KeyError, "pass"), (LookupError, "fail")])
def test_of_two_exceptions_one_is_due_and_no_class_between_them(raised: type[Exception], status: str) -> None:
    """Which of its errors TensorFlow raises may be decided by the processor."""
    (row,) = rows(raising(raised), {"bad_label": Raises("IndexError or KeyError")}, "label-c")
    assert (row.status, row.exception, row.conventions) == (
        status, raised.__name__, "bad_label=raises IndexError or KeyError"
    )  # fmt: skip


def test_what_is_derived_from_the_exception_that_is_due_is_another() -> None:
    """A compiler that fails raises a RuntimeError of its own."""
    (row,) = rows(raising(RecursionError), {"bad_label": Raises("RuntimeError")}, "label-c")
    assert (row.status, row.reason, row.exception) == ("fail", "convention", "RecursionError")


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
    of_labels = tuple(case for case in CROSS_ENTROPY.edge_cases if case.edge != "integer_input")
    for direction in COMPARED:
        found = check(CROSS_ENTROPY, loop, ADAPTERS[0], "float32", direction, of_labels)
        assert [row.message for row in found if row.status != "pass"] == []
        assert {row.exception for row in found} == {"", "IndexError", "ValueError"}
        wrong = replace(loop, edges={**loop.edges, "bad_label": Raises("IndexError")})
        (bad,) = (row for row in check(CROSS_ENTROPY, wrong, ADAPTERS[0], "float32", direction, of_labels) if row.bad)
        assert (bad.case, bad.reason) == ("label-minus-1", "convention")


# --- the edges that are not of labels


def at_edge(op: str, fn: Callable[..., Any], edges: Any, name: str, vjp: Any = None) -> list[Result]:
    """The rows of the one case of this name, of a function that declares this; of its value, and its gradient if there
    is one."""
    whole, mine = OPS[op], Implementation(op, "mine", fn, vjp=vjp, edges=edges)
    at = tuple(case for case in whole.edge_cases if case.name == name)
    directions = COMPARED if vjp else COMPARED[:1]
    return [row for d in directions for row in check(whole, mine, ADAPTERS[0], "float32", d, at)]


def softmax(x: Any, axis: int) -> Any:
    e = np.exp(x - np.max(x, axis=axis, keepdims=True))
    return e / np.sum(e, axis=axis, keepdims=True)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("declared", ["float32", "float64"])
def test_a_result_of_integers_has_the_declared_dtype_and_no_other(declared: str, dtype: str) -> None:
    (row,) = at_edge("softmax", lambda **given: softmax(**given).astype(dtype), {"integer_input": declared}, "integers")
    assert (row.status, row.reason) == (("pass", "") if declared == dtype else ("fail", "dtype"))


def test_integers_that_are_taken_where_they_are_said_to_be_refused_are_a_failure() -> None:
    (row,) = at_edge("softmax", softmax, {"integer_input": Raises("TypeError")}, "integers")
    assert (row.status, row.reason) == ("fail", "convention")
    (row,) = at_edge("softmax", raising(TypeError), {"integer_input": "float64"}, "integers")
    assert (row.status, row.reason, row.exception) == ("fail", "convention", "TypeError")


def test_a_result_of_integers_is_that_of_the_same_numbers() -> None:
    (row,) = at_edge("softmax", lambda x, axis: 0.0 * softmax(x, axis), {"integer_input": "float64"}, "integers")
    assert (row.status, row.reason) == ("fail", "bound")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("declared", ["float32", "float64"])
def test_a_result_of_mixed_types_has_the_declared_one_and_no_other(declared: str, dtype: str) -> None:
    hinge = at_edge("hinge", lambda x, t: np.maximum(1 - t * x, 0).astype(dtype), {"mixed": declared}, "mixed")
    assert [(row.status, row.reason) for row in hinge] == [("pass", "") if declared == dtype else ("fail", "dtype")]


def test_what_has_no_gradient_is_judged_by_its_value_alone() -> None:
    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError

    rows = at_edge("softmax", softmax, {"integer_input": "float64"}, "integers", vjp=never)
    assert [(row.check, row.status) for row in rows] == [("value", "pass")]
    (case,) = (case for case in OPS["softmax"].edge_cases if case.name == "integers")
    assert [OPS["softmax"].row_checks(case, d, "float32") for d in ("value", "vjp")] == [["value"], []]


def test_a_number_gives_a_number() -> None:
    def sigmoid(x: Any) -> Any:
        return 1 / (1 + np.exp(-x))

    good, bad = (at_edge("sigmoid", f, {}, "number")[0] for f in (sigmoid, lambda x: sigmoid(x).reshape(1)))
    assert (good.status, bad.status, bad.reason) == ("pass", "fail", "shape")
    assert "shape (1,), but it should be ()" in bad.message


def test_softmax_of_a_number_is_that_of_a_row_of_it() -> None:
    one = {"x": np.float64(3.0), "axis": -1}
    for name, want in (("softmax", 1.0), ("log_softmax", 0.0), ("logsumexp", 3.0)):
        assert OPS[name].forward(**one, number="row") == want
        assert OPS[name].forward(**one, number="row").shape == ()
        dx = OPS[name].vjp(np.float64(2.0), np.float64(want), **one, number="row")["x"]
        assert (dx.shape, dx) == ((), 2.0 if name == "logsumexp" else 0.0)


def test_rows_without_a_class_give_nothing_or_the_sum_of_nothing() -> None:
    none, t = np.zeros((3, 0)), np.zeros((3, 0))
    assert OPS["softmax"].forward(x=none, axis=-1, no_classes="empty").shape == (3, 0)
    assert OPS["logsumexp"].forward(x=none, axis=-1, no_classes="empty").tolist() == [-np.inf] * 3
    assert OPS["soft_cross_entropy"].forward(x=none, t=t, no_classes="empty").tolist() == [0.0] * 3
    assert np.isnan(OPS["soft_cross_entropy"].forward(x=none, t=t, no_classes="nan")).all()


def within(y: Tracked, want: Any) -> bool:
    """Within its bound, or NaN like it."""
    gap = np.abs(y.v - want)
    return bool(((gap <= y.full) | (np.isnan(y.v) & np.isnan(want))).all())


@pytest.mark.parametrize("value", ["nan", "ignored", "left out", "wraps", "clamps"])
def test_a_bad_label_in_a_mean_is_what_is_declared(value: str) -> None:
    """Beside the losses of the rows one by one."""
    op, wide = OPS["softmax_regression"], Arithmetic("float64")
    case = next(case for case in op.edge_cases if case.name == "label-minus-1")
    a = case.arrays(Draw("", "float64"))
    x, w, g, good, rows = wide(a["x"]).v, wide(a["w"]).v, 2.0, a["t"] >= 0, len(a["t"])
    t = np.where(good, a["t"], 2 if value == "wraps" else 0)
    losses = CROSS_ENTROPY.forward(x=x @ w, t=t)
    want = {"nan": np.nan, "ignored": losses[good].sum() / rows, "left out": losses[good].mean()}.get(
        value, losses.mean()
    )
    given = {**a, "x": wide(a["x"]), "w": wide(a["w"]), "bad_label": value}
    y = op.forward(**given)
    assert within(y, want)
    d = op.vjp(wide(np.float64(g)), y, **given)
    s = g * CROSS_ENTROPY.vjp(np.ones(rows), losses, x=x @ w, t=t)["x"] / (good.sum() if value == "left out" else rows)
    if value not in ("wraps", "clamps"):
        s = np.where(good[:, None], s, np.nan if value == "nan" else 0.0)
    assert within(d["x"], s @ w.T)
    assert within(d["w"], x.T @ s)
    assert not within(d["w"], 1.001 * (x.T @ s)) or value == "nan"


def test_what_is_declared_of_edges_is_of_implementations_that_there_are() -> None:
    own = (Implementation("softmax", "mine", softmax), Implementation("hinge", "mine", softmax))
    one, other = at_edges(own, {"number": (("row", ("soft*/mine",)), (Raises("TypeError"), ("*",)))})
    assert (one.edges, other.edges) == ({"number": "row"}, {"number": Raises("TypeError")})
    with pytest.raises(GradparityError, match=r"nothing is called 'softmax/yours', of which number is declared"):
        at_edges(own, {"number": (("row", ("softmax/yours",)),)})
