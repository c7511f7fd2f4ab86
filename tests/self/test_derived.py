"""Forward mode and second derivatives: the truth against the complex step, and what is wrong fails."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gradparity import catalogue
from gradparity.adapter import Adapter, Implementation
from gradparity.arithmetic import Arithmetic, Precision, Tracked, by_its_gradient
from gradparity.cases import Group
from gradparity.check import check
from gradparity.dual import Dual, NotDifferentiableError
from gradparity.op import (
    DERIVED,
    FORMATS,
    LONGER,
    Array,
    GradparityError,
    Op,
    Result,
    is_float,
    join,
    outputs,
)
from gradparity.reference import OPS
from gradparity.snippet import snippet
from gradparity.tiers import TIERS
from gradparity.truth import cotangents, expected, grouped

# Second derivatives that are 0 wherever there are any: of what is piecewise linear, and of what is linear.
FLAT = {
    ("hinge", "x"), ("crammer_singer_hinge", "x"), ("hinge_embedding", "x"), ("margin_ranking", "x"),
    ("margin_ranking", "other"), ("segment_sum", "x"), ("segment_mean", "x"), ("categorical_hinge", "x"),
    ("multilabel_margin", "x"), ("soft_cross_entropy", "t"), ("binary_cross_entropy_with_logits", "t"),
    ("categorical_cross_entropy", "t"),
}  # fmt: skip

each_op = pytest.mark.parametrize("op", OPS.values(), ids=OPS)
# As of the gradient: long double is as good as exact, and its bound is that of float64.
PART = 2.0**-6 if LONGER else 4.0
STEP = 2.0**-150
LONG = np.clongdouble if LONGER else np.complex128


def own(op: Op) -> Implementation:
    return Implementation(op.name, "own")


def groups_of(op: Op, dtype: str = "float64") -> Iterator[Group]:
    cases = tuple(case for case in op.cases if case.name in op.smooth_cases)
    yield from grouped(op, dtype, cases, 0, "jvp")


def test_every_operation_has_them() -> None:
    assert all(op.smooth_cases for op in OPS.values())


@each_op
def test_every_reduction_is_among_the_cases(op: Op) -> None:
    chosen = {case.params.get("reduction") for case in op.cases if case.name in op.smooth_cases}
    every = {case.params.get("reduction") for case in op.cases}
    assert chosen == every


def log1p(x: Array, plain: Callable[[Array], Array] = np.log1p) -> Array:
    """Of a complex number whose imaginary part is infinitesimal: see test_reference.py."""
    return plain(x.real) + 1j * (x.imag / (1 + x.real)) if np.iscomplexobj(x) else plain(x)


def complex_steps(op: Op, group: Group, name: str, g: Array) -> dict[str, Array]:
    """Im f(x + i h v) / h, of the forward and of the gradient."""
    arrays = {k: v.astype(LONG).real if is_float(v) else v for k, v in group.arrays.items()}
    params = {k: LONG(v).real if isinstance(v, float) else v for k, v in group.params.items()}
    arrays[name] = arrays[name] + 1j * STEP * group.tangents(name).astype(arrays[name].dtype)
    with pytest.MonkeyPatch.context() as patch, np.errstate(all="ignore"):
        patch.setattr(np, "log1p", log1p)
        y = outputs(op.forward(**arrays, **params))[0]
        dx = op.vjp(g.astype(LONG).real, y, **arrays, **params)[name]
    return {"jvp": y.imag / STEP, "hvp": dx.imag / STEP, "hvp-reverse": dx.imag / STEP}


@each_op
def test_truth_is_the_complex_step(op: Op) -> None:
    """And a second derivative is 0 everywhere for those that the data name, and for no others."""
    flat = {(op.name, name) for name in op.wrt}
    for group in groups_of(op):
        y = expected(op, own(op), group, "float64", "value")["value"]
        for name in op.wrt:
            steps = complex_steps(op, group, name, cotangents(group, y.v))
            for direction in DERIVED:
                want = expected(op, own(op), group, "float64", direction)[join(direction, name)]
                assert_near(steps[direction], want)
                if direction == "hvp" and want.v.any():
                    flat.discard((op.name, name))
    assert flat == {pair for pair in FLAT if pair[0] == op.name}


ROADS = [(op, road) for op in OPS.values() for road in op.roads]


@pytest.mark.parametrize(("op", "road"), ROADS, ids=[f"{op.name}/{road}" for op, road in ROADS])
def test_every_road_has_the_same_derivatives(op: Op, road: str) -> None:
    """Whatever of its steps are differentiated by their gradients: see by_its_gradient."""
    one = Implementation(op.name, "own", road=road)
    for group in list(groups_of(op))[:2]:
        y = expected(op, one, group, "float64", "value")["value"]
        for name in op.wrt:
            steps = complex_steps(op, group, name, cotangents(group, y.v))
            for direction in set(DERIVED) - {"hvp-reverse"}:
                assert_near(steps[direction], expected(op, one, group, "float64", direction)[join(direction, name)])


def assert_near(got: Array, want: Tracked) -> None:
    lost = float(np.finfo(LONG).tiny) / STEP
    gap, allowed = np.abs(got - want.v), want.full * PART + lost
    assert got.shape == want.v.shape
    assert (gap <= allowed).all(), f"{np.max(gap[gap > 0] / allowed[gap > 0]):.3g} times what is allowed"


# --- dual numbers


def dual(x: list[float], v: list[float]) -> Dual:
    return Dual(np.array(x), np.array(v))


def test_where_values_are_equal_tangents_decide() -> None:
    x, zero = dual([0.0, 0.0, 1.0], [1.0, -1.0, -1.0]), np.zeros(3)
    assert (x > 0).tolist() == [True, False, True]
    assert (x == 0).tolist() == [False, False, False]
    assert (zero >= x).tolist() == [False, True, False]
    assert np.maximum(x, 0).tangent.tolist() == [1.0, 0.0, -1.0]
    assert np.minimum(0, x).tangent.tolist() == [0.0, -1.0, 0.0]
    assert np.max(dual([2.0, 2.0, 1.0], [-3.0, 4.0, 5.0])).tangent == 4.0
    assert np.where(x == 0, 7 * x, x).tangent.tolist() == [1.0, -1.0, -1.0]


def test_what_an_error_may_have_made_the_largest_widens_the_tangent_of_a_maximum() -> None:
    a = Arithmetic("float32")
    x = Dual(Tracked(np.array([1.0, 1.1, 0.5]), np.array([0.1, 0.1, 0.1]), a), a(np.array([5.0, 3.0, 100.0])))
    d = np.max(x, axis=-1).tangent
    assert d.v == 3.0
    assert 2.0 <= d.e < 4.1  # either of two, and not the third


def test_there_is_no_rule_for_everything() -> None:
    x = dual([1.0], [1.0])
    with pytest.raises(GradparityError, match=r"no rule of dual numbers for numpy\.sinh"):
        np.sinh(x)
    with pytest.raises(GradparityError, match=r"no rule of dual numbers for numpy\.sort"):
        np.sort(x)


def test_a_function_by_its_gradient_is_that_function() -> None:
    double = lambda v, y, x: {"x": 2 * v}  # noqa: E731
    assert by_its_gradient(np.square, double, np.array(3.0)) == 9.0
    found = by_its_gradient(np.square, double, dual([3.0], [1.0]))
    assert (found.value.tolist(), found.tangent.tolist()) == ([9.0], [2.0])


def test_a_kink_is_no_place_to_differentiate() -> None:
    op = OPS["hinge"]
    at_kink = replace(op, smooth=("kink",))
    (group,) = groups_of(at_kink)
    for direction in DERIVED:
        with pytest.raises(NotDifferentiableError, match="hinge has no derivative here along x"):
            expected(op, own(op), group, "float64", direction)
        rows = check(at_kink, own(op), computing(op), "float32", direction)
        assert {(row.status, row.reason) for row in rows} == {
            ("unsupported", "hinge has no derivative here along x: a kink or a tie")
        }


# --- what is right passes, and what is wrong fails

NUMPY = next(a for a in catalogue.adapters() if a.framework == "numpy")
Defect = Callable[[Array, Array], Array]  # of the right result and the tangent


def computing(op: Op, defect: Defect = lambda d, v: d) -> Adapter:
    """An adapter that computes with dual numbers in the widest format and rounds once, but for a defect. Its gradient
    has none."""

    def verb(fn: Any, arrays: dict[str, Array], wrt: str, tangent: Array, g: Array | None) -> Array:
        wide = {k: v.astype(np.longdouble) if is_float(v) else v for k, v in arrays.items()}
        wide[wrt] = Dual(wide[wrt], tangent.astype(np.longdouble))
        with np.errstate(all="ignore"):
            y = outputs(op.forward(**wide, **fn.params))[0]
            d = y if g is None else op.vjp(g.astype(np.longdouble), y, **wide, **fn.params)[wrt]
            d = d.tangent if isinstance(d, Dual) else 0 * d
            return np.asarray(defect(d, tangent.astype(np.longdouble))).astype(tangent.dtype)

    def gradient(fn: Any, arrays: dict[str, Array], wrt: tuple[str, ...], g: Array) -> Any:
        wide = {k: v.astype(np.longdouble) if is_float(v) else v for k, v in arrays.items()}
        with np.errstate(all="ignore"):
            y = outputs(op.forward(**wide, **fn.params))
            dx = op.vjp(g.astype(np.longdouble), y[0], **wide, **fn.params)
        return y, {k: dx[k].astype(g.dtype) for k in wrt}

    return replace(NUMPY, derived=dict.fromkeys(DERIVED, verb), value_and_vjp=gradient)


def implementation(op: Op) -> Implementation:
    return Implementation(op.name, "own", op.forward)


def judged(op: Op, dtype: str, direction: str, defect: Defect = lambda d, v: d) -> list[Result]:
    return check(op, implementation(op), computing(op, defect), dtype, direction, explained=False)


def rolled(d: Array, v: Array) -> Array:
    return np.roll(d, 1, 0) if d.ndim else d


DEFECTS: dict[str, Defect] = {
    "zero": lambda d, v: 0 * d,
    "negative": lambda d, v: -d,
    "another-row": rolled,
    "by-a-thousandth": lambda d, v: d * (1 + 1e-3),
    "nan": lambda d, v: d * np.nan,
    "other-shape": lambda d, v: d[..., None],
}
SCALARS = ("softmax_regression", "logistic_regression")
NOT_IN_16_BITS = {"pca"}  # in which no framework decomposes a matrix, and the bounds are wider than the result


def why_unseen(op: Op, check: str, name: str, direction: str, dtype: str) -> str:
    """Why a defect is none there."""
    argument = check.split(".")[1]
    if direction != "jvp" and (op.name, argument) in FLAT and name not in ("nan", "other-shape"):
        return "it is 0"
    if direction == "jvp" and op.name in SCALARS and name == "another-row":
        return "there is one number"
    if check.endswith("adjoint") and op.name in SCALARS and name == "other-shape":
        return "the sum over it is the same"
    if check.endswith("adjoint") and op.name == "pca" and dtype == "float32" and name == "by-a-thousandth":
        return "its bound is what forward mode and the gradient may err by, at all elements: a hundredth"
    if direction != "jvp" and op.name == "pca" and dtype == "float32" and name == "by-a-thousandth":
        return "its bound is what three decompositions may err by, at all elements: a hundredth"
    return ""


JUDGED = [(op, d) for op in OPS.values() for d in FORMATS if op.name not in NOT_IN_16_BITS or FORMATS[d].bits >= 24]


@pytest.mark.parametrize(("op", "dtype"), JUDGED, ids=[f"{op.name}-{dtype}" for op, dtype in JUDGED])
def test_what_is_right_passes_and_what_is_wrong_fails(op: Op, dtype: str) -> None:
    """No draw of seed 0 is at a kink: of another seed's one may be, whose row is unsupported then."""
    for direction in DERIVED:
        rows = judged(op, dtype, direction)
        pairs = {(case.name, check) for case in op.cases for check in op.row_checks(case, direction, dtype)}
        every = {check for _, check in pairs}
        assert {(row.case, row.check) for row in rows} == pairs
        assert every == {join(direction, k) for k in op.wrt} | set(op.adjoint_checks if direction == "jvp" else ())
        assert [row.message or row.reason for row in rows if row.status != "pass"] == []
        for name, defect in DEFECTS.items():
            if name == "by-a-thousandth" and FORMATS[dtype].bits < 24:
                continue  # 16 bits need not see it
            bad = {row.check for row in judged(op, dtype, direction, defect) if row.bad}
            due = {check for check in every if not why_unseen(op, check, name, direction, dtype)}
            assert bad == due, name


@pytest.mark.parametrize(("name", "argument"), sorted(FLAT))
def test_a_second_derivative_where_there_is_none_fails(name: str, argument: str) -> None:
    for direction in ("hvp", "hvp-reverse"):
        rows = judged(OPS[name], "float32", direction, lambda d, v: d + 1e-3 * v)
        assert all(row.status == "fail" for row in rows if row.check == join(direction, argument))


def softmax_of(x: Array) -> Array:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def dot(a: Array, b: Array) -> Array:
    return np.sum(a * b, axis=-1, keepdims=True)


# (operation, direction) -> one term of the derivative left out, as people do: f(g, x, v, y = softmax(x))
LEFT_OUT: dict[tuple[str, str], Callable[..., Array]] = {
    ("softmax", "jvp"): lambda g, x, v, y: y * v,
    ("softmax", "hvp"): lambda g, x, v, y: y * (v - dot(y, v)) * (g - dot(g, y)),
    ("log_softmax", "jvp"): lambda g, x, v, y: v,
    ("log_softmax", "hvp"): lambda g, x, v, y: -np.sum(g, -1, keepdims=True) * y * v,
    ("logsumexp", "hvp"): lambda g, x, v, y: g[:, None] * y * v,
    ("euclidean_norm", "hvp"): lambda g, x, v, y: g[:, None] * v / np.sqrt(dot(x, x)),
}


@pytest.mark.parametrize(("name", "direction"), LEFT_OUT)
def test_a_missing_term_fails(name: str, direction: str) -> None:
    def verb(fn: Any, arrays: dict[str, Array], wrt: str, v: Array, g: Array | None) -> Array:
        x, v, g = (a if a is None else a.astype(np.longdouble) for a in (arrays["x"], v, g))
        return LEFT_OUT[name, direction](g, x, v, softmax_of(x)).astype(arrays["x"].dtype)

    for dtype in FORMATS:
        wrong = replace(computing(OPS[name]), derived={direction: verb})
        rows = check(OPS[name], implementation(OPS[name]), wrong, dtype, direction)
        assert all(row.status == "fail" for row in rows if row.case in ("scale-1", "transposed")), dtype


@pytest.mark.parametrize(("seed", "dtype", "status"), [
    (4, "bfloat16", "unsupported"), (0, "bfloat16", "pass"), (4, "float32", "pass"),
])  # fmt: skip
def test_a_sum_over_the_jacobian_that_bfloat16_gives_no_bound_is_not_judged(
    seed: int, dtype: str, status: str
) -> None:  # fmt: skip
    """Of 256 numbers and more, added up in bfloat16 in any order: how many are not 0 depends on the draw."""
    op = OPS["multiclass_hinge"]
    own = replace(implementation(op), precision={"*": Precision("C")})
    cases = tuple(case for case in op.cases if case.name == "mean-squared")
    rows = check(op, own, computing(op), dtype, "jvp", cases, seed)
    assert {(row.status, row.reason) for row in rows if not row.is_residual} == {
        (status, "so many numbers in bfloat16 have no bound in the precision that is declared" * (status != "pass"))
    }


# --- who has them


def test_frameworks_have_them_in_every_mode_but_where_torch_compiles() -> None:
    found = {(a.framework, a.mode) for a in catalogue.adapters() if set(a.derived) == set(DERIVED)}
    without = {(a.framework, a.mode) for a in catalogue.adapters()} - found
    assert without == {("torch", "compile"), ("torch", "compile-aot"), ("numpy", "eager")}
    assert not any(a.derived for a in catalogue.adapters() if (a.framework, a.mode) in without)


def test_without_a_verb_there_is_nothing_to_check_and_no_item() -> None:
    op = OPS["softmax"]
    for direction in DERIVED:
        rows = check(op, implementation(op), NUMPY, "float32", direction)
        assert {(row.status, row.reason) for row in rows} == {("unsupported", f"numpy eager has no {direction}")}
    assert not {i.direction for i in catalogue.catalogued(catalogue.Selection(framework=("numpy",)))} & set(DERIVED)


def test_a_gradient_by_hand_is_not_differentiated_by_the_framework() -> None:
    op = OPS["softmax"]
    by_hand = replace(implementation(op), vjp=op.vjp)
    rows = check(op, by_hand, computing(op), "float32", "jvp")
    assert {(row.status, row.reason) for row in rows} == {
        ("unsupported", "its gradient is written by hand: no framework differentiates it")
    }


@each_op
def test_they_are_taken_by_the_default_tier_compiled_once_and_not_by_quick(op: Op) -> None:
    def taken(tier: str, mode: str, dtype: str = "float32") -> set[str]:
        """The same in each direction that there is."""
        (found,) = {TIERS[tier].cases(op, mode, dtype, direction) for direction in DERIVED}
        return {case.name for case in found} & set(op.smooth_cases)

    assert not any(taken("quick", mode) for mode in ("eager", "jit", "function"))
    assert taken("default", "eager") == taken("full", "eager") == taken("full", "jit") == set(op.smooth_cases)
    assert taken("full", "eager", "float16") == set(op.smooth_cases)
    assert not taken("default", "eager", "float16")
    assert taken("default", "jit") == taken("default", "function", "bfloat16") != set()
    assert not taken("default", "jit", "float64")


# --- precision


def test_a_derivative_rounds_every_operation_unless_it_declares_otherwise() -> None:
    from gradparity.arithmetic import FUSED, Precision

    one = Implementation("softmax", "one", precision={"*/jvp/*": FUSED, "bfloat16/vjp/*": Precision("C"), "*": FUSED})
    assert str(one.precision_of("bfloat16", "jvp")) == "class A sharp"
    assert str(one.precision_of("bfloat16", "hvp")) == "class C"
    assert str(one.precision_of("float16", "hvp-reverse")) == "class B"


# --- programs

# Keras's are those of its backend, of which a process has one; Optax has JAX's.
SHOWN = [a for a in catalogue.adapters() if a.derived and a.framework in ("torch", "tensorflow", "jax")]


@pytest.mark.parametrize("adapter", SHOWN, ids=[a.name.replace(" ", "-") for a in SHOWN])
@pytest.mark.parametrize("name", ["softmax", "layered_cross_entropy", "hinge"])
def test_a_program_prints_the_derivative(adapter: Adapter, name: str) -> None:
    op = OPS[name]
    one = next(i for i in adapter.implementations if i.op == name)
    case = next(case for case in op.cases if case.name in op.smooth_cases)
    for direction in DERIVED:
        for row in check(op, one, adapter, "float32", direction, (case,)):
            printed: list[str] = []
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                text = snippet(op, one, adapter, case, row)
                if row.is_residual:
                    assert all(line.startswith("# ") for line in text.splitlines())
                    assert f"sum(g * jvp(f, {row.check.split('.')[1]}, v))" in text
                    continue
                exec(text, {"__name__": "snippet", "print": lambda *x, out=printed: out.extend(map(str, x))})
            got, want = float(row.got), float(row.want)
            assert abs(float(printed[0]) - want) <= abs(got - want) / max(row.error, 1e-300) or printed[0] == row.got, (
                text
            )
