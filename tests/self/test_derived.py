"""Forward mode and second derivatives: the truth against the complex step, and what is wrong fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from gradparity.adapter import Implementation
from gradparity.arithmetic import Tracked
from gradparity.cases import Group
from gradparity.op import DERIVED, FORMATS, LONGER, Array, Op, is_float, join, outputs
from gradparity.reference import OPS
from gradparity.truth import cotangents, expected, grouped

# Operations that are not looked at, and why.
WITHOUT = {"pca": "eigenvalues and projectors have no rule of dual numbers"}
# Second derivatives that are 0 wherever there are any: of what is piecewise linear, and of what is linear.
FLAT = {
    ("hinge", "x"), ("crammer_singer_hinge", "x"), ("hinge_embedding", "x"), ("margin_ranking", "x"),
    ("margin_ranking", "other"), ("segment_sum", "x"), ("segment_mean", "x"), ("categorical_hinge", "x"),
    ("multilabel_margin", "x"), ("soft_cross_entropy", "t"), ("binary_cross_entropy_with_logits", "t"),
    ("categorical_cross_entropy", "t"),
}  # fmt: skip

SMOOTH_OPS = {name: op for name, op in OPS.items() if name not in WITHOUT}
each_op = pytest.mark.parametrize("op", SMOOTH_OPS.values(), ids=SMOOTH_OPS)
each_dtype = pytest.mark.parametrize("dtype", FORMATS)
# As of the gradient: long double is as good as exact, and its bound is that of float64.
PART = 2.0**-6 if LONGER else 4.0
STEP = 2.0**-150
LONG = np.clongdouble if LONGER else np.complex128


def own(op: Op) -> Implementation:
    return Implementation(op.name, "own")


def groups_of(op: Op, dtype: str = "float64") -> Iterator[Group]:
    cases = tuple(case for case in op.cases if case.name in op.smooth_cases)
    yield from grouped(op, dtype, cases, 0, "jvp")


def test_every_operation_has_them_but_those_that_say_why() -> None:
    assert {name for name, op in OPS.items() if not op.smooth_cases} == set(WITHOUT)


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
    for group in groups_of(op):
        y = expected(op, own(op), group, "float64", "value")["value"]
        for name in op.wrt:
            steps = complex_steps(op, group, name, cotangents(group, y.v))
            for direction in DERIVED:
                assert_near(steps[direction], expected(op, own(op), group, "float64", direction)[join(direction, name)])


def assert_near(got: Array, want: Tracked) -> None:
    lost = float(np.finfo(LONG).tiny) / STEP
    gap, allowed = np.abs(got - want.v), want.full * PART + lost
    assert got.shape == want.v.shape
    assert (gap <= allowed).all(), f"{np.max(gap[gap > 0] / allowed[gap > 0]):.3g} times what is allowed"
