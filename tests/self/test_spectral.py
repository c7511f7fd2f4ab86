"""Eigenvalues, projectors and their derivatives: what errors make of them, and no less."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from gradparity.arithmetic import DECOMPOSITIONS, Arithmetic, Precision, Tracked
from gradparity.dual import Dual
from gradparity.op import FORMATS, Array, GradparityError
from gradparity.spectral import Spectrum, eigh, jacobi, svd

A = Arithmetic("float32")
METHODS = {"eigh": eigh, "svd": svd}
EIGH, SVD = DECOMPOSITIONS["eigh"], DECOMPOSITIONS["svd"]


def rotations(n: int, seed: int) -> Array:
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((n, n)))[0]


def of_levels(levels: Any, seed: int = 0) -> Array:
    """A symmetric matrix of these eigenvalues, in long double."""
    v = jacobi(np.cov(rotations(len(levels), seed)).astype(np.longdouble))[1]
    half = v * np.sqrt(np.abs(np.asarray(levels, np.longdouble)))
    return (half * np.sign(levels)) @ half.T


def inexact(k: Array, e: float) -> Tracked:
    return Tracked(k, np.full(k.shape, e), A)


@pytest.mark.parametrize("n", [2, 3, 6, 12])
@pytest.mark.parametrize("kind", [np.float64, np.longdouble])
def test_the_decomposition_is_one(n: int, kind: Any) -> None:
    """To what is charged for it; where all eigenvalues are equal, too."""
    for levels in (2.0 ** -np.arange(n), np.ones(n), np.zeros(n)):
        k = of_levels(levels, n).astype(kind)
        values, v = jacobi(k)
        charged = EIGH * n * 2 * float(np.finfo(kind).eps)
        assert (np.diff(values) <= 0).all()
        assert frobenius((v * values) @ v.T - k) <= charged
        assert frobenius(v.T @ v - np.eye(n)) <= charged


def test_a_complex_step_goes_through() -> None:
    """The derivative of eigenvalues and of a projector, as first-order perturbation theory has it."""
    k, d = of_levels([4.0, 2.0, 1.0, 0.5]), of_levels([1.0, -1.0, 0.5, 2.0], 7)
    s, step = eigh(k), 2.0**-150
    moved = eigh(k + 1j * step * d)
    eps = 64 * float(np.finfo(np.longdouble).eps)
    assert np.abs(moved.values(4).imag / step - np.diagonal(s.vectors.T @ d @ s.vectors)).max() <= eps
    assert np.abs(moved.projector(0, 2).imag / step - s.derivative(d, 2)).max() <= eps
    for m in (1, 2, 3):
        other = of_levels([0.25, 1.0, -0.5, 2.0], 9)
        assert np.abs(moved.derivative(other, m).imag / step - s.second(other, d, m)).max() <= eps


def moved_by(e: float, n: int) -> list[Array]:
    """Perturbations whose elements are e in size, or less."""
    drawn = np.random.default_rng(5)
    signs = [np.sign(drawn.standard_normal((n, n))) for _ in range(20)]
    return [e * (np.triu(s) + np.triu(s, 1).T) for s in signs] + [e * np.ones((n, n)), e * np.eye(n)]


LEVELS = {
    "apart": [8.0, 4.0, 2.0, 1.0],
    "gap-2^-6": [2.0, 1 + 2.0**-6, 1.0, 0.5],
    "pair-within": [2, 2 - 2.0**-6, 1, 0],
}


@pytest.mark.parametrize("levels", LEVELS.values(), ids=LEVELS)
@pytest.mark.parametrize("e", [2.0**-24, 2.0**-16, 2.0**-10])
def test_no_perturbation_moves_them_further(levels: list[float], e: float) -> None:
    k, direction = of_levels(levels), of_levels([1.0, -1.0, 0.5, 2.0], 7)
    s, exact = eigh(inexact(k, e)), eigh(k)
    derivative, beside = s.derivative(Tracked(direction, 0.0, A), 2), of_levels([0.25, 1.0, -0.5, 2.0], 9)
    second = s.second(Tracked(direction, 0.0, A), Tracked(beside, 0.0, A), 2)
    for d in moved_by(e, 4):
        other = eigh(k + d)
        assert (np.abs(other.values(4) - exact.values(4)) <= s.values(4).full).all()
        assert (
            np.linalg.norm((other.projector(0, 2) - exact.projector(0, 2)).astype(float), 2)
            <= s.projector(0, 2).e.max()
        )
        assert (np.abs(other.derivative(direction, 2) - exact.derivative(direction, 2)) <= derivative.full).all()
        curved = other.second(direction, beside, 2) - exact.second(direction, beside, 2)
        assert (np.abs(curved) <= second.full).all()


@pytest.mark.parametrize(("levels", "e"), [(LEVELS["apart"], 2.0**-10), (LEVELS["gap-2^-6"], 2.0**-16)])
def test_some_perturbation_moves_them_nearly_as_far(levels: list[float], e: float) -> None:
    """The least that each rule may give: what a perturbation of all elements by e does, a fourth of which is still
    near. A rule without its error, or its gap, would be below."""
    k = of_levels(levels)
    s, exact = eigh(inexact(k, e)), eigh(k)
    others = [eigh(k + d) for d in moved_by(e, 4)]
    assert max(np.abs(o.values(4) - exact.values(4)).max() for o in others) >= s.values(4).e.max() / 4
    angles = [np.linalg.norm((o.projector(0, 2) - exact.projector(0, 2)).astype(float), 2) for o in others]
    assert max(angles) >= s.projector(0, 2).e.max() / 8


def test_a_rule_without_its_gap_is_seen() -> None:
    """Were the bound of a projector that of the eigenvalues, this perturbation would break it."""
    k = of_levels(LEVELS["gap-2^-6"])
    e = 2.0**-16
    s, exact = eigh(inexact(k, e)), eigh(k)
    angles = [np.linalg.norm((eigh(k + d).projector(0, 2) - exact.projector(0, 2)).astype(float), 2)
              for d in moved_by(e, 4)]  # fmt: skip
    assert max(angles) > 8 * s.d


def moving(method: Callable[..., Any], x: Any, v: Any) -> dict[str, Any]:
    """Tangents of what is offered, as x moves by v: eigenvalues, a projector, and what it leaves of x."""
    s = method(Dual(x, v))
    return {"values": s.values(2).tangent, "one": s.projector(1, 2).tangent,
            "truncated": s.truncated(Dual(x, v), 2).tangent}  # fmt: skip


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
@pytest.mark.parametrize("levels", LEVELS.values(), ids=LEVELS)
@pytest.mark.parametrize("e", [2.0**-24, 2.0**-16])
def test_no_perturbation_moves_a_tangent_further(method: Any, levels: list[float], e: float) -> None:
    """Of what moves, along one direction; and without a perturbation it is the difference quotient."""
    x, v = of_levels(np.asarray(levels) + 1), of_levels([1.0, -1.0, 0.5, 2.0], 7)
    exact, h = moving(method, x, v), np.longdouble(2.0**-20)
    ahead, behind = (method(x + sign * h * v) for sign in (1, -1))
    for name, at in (("values", lambda s, x: s.values(2)), ("one", lambda s, x: s.projector(1, 2)),
                     ("truncated", lambda s, x: s.truncated(x, 2))):  # fmt: skip
        slope = (at(ahead, x + h * v) - at(behind, x - h * v)) / (2 * h)
        assert np.abs(slope - exact[name]).max() <= 2.0**-16 * np.abs(slope).max(), name
    bound = moving(method, inexact(x, e), Tracked(v, np.zeros(v.shape), A))
    for d in moved_by(e, 4):
        for name, tangent in moving(method, x + d, v).items():
            assert (np.abs(tangent - exact[name]) <= bound[name].full).all(), name


@pytest.mark.parametrize("levels", LEVELS.values(), ids=LEVELS)
def test_nor_does_a_decomposition_of_x_for_what_it_moves(levels: list[float]) -> None:
    """By svd x itself is moved, by d: of x B, B antisymmetric, x x^T stays as it is, and the moved one does not. What
    truncated adds for it is as much as its two terms can be."""
    x, b = of_levels(np.asarray(levels) + 1), np.random.default_rng(3).standard_normal((4, 4)).astype(np.longdouble)
    v = x @ (b - b.T)
    s, bound, exact = svd(A(x)), moving(svd, A(x), Tracked(v, np.zeros(v.shape), A)), moving(svd, x, v)
    at, half = svd(x), A(v) @ A(x.T)
    plain = s.projector(0, 2) @ A(v) + s.derivative(half + np.moveaxis(half, 0, 1), 2) @ A(x)
    added, seen = bound["truncated"].full - plain.full, []
    for seed in range(20):
        d = np.random.default_rng(seed).standard_normal((4, 4)).astype(np.longdouble)
        d *= s.d / frobenius(d)
        for name, tangent in moving(svd, x + d, v).items():
            assert (np.abs(tangent - exact[name]) <= bound[name].full).all(), name
        terms = at.derivative(v @ d.T + d @ v.T, 2) @ x + at.derivative(v @ x.T + x @ v.T, 2) @ d
        assert (np.abs(terms) <= added).all()
        seen.append(frobenius(terms))
    assert max(seen) > 2.0**-11 * added.max()


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_the_bound_of_a_projector_grows_as_one_over_the_gap(method: Callable[..., Spectrum]) -> None:
    """Twice the bound for half of the gap, that of a derivative four times; 1 is as far apart as projectors are, and
    without a gap a derivative may be anything."""
    bounds, slopes = [], []
    for gap in (2.0**-3, 2.0**-4, 2.0**-5):
        levels = [2.0, 1 + gap, 1.0]
        k = np.diag(np.sqrt(levels) if method is METHODS["svd"] else levels).astype(np.longdouble)
        s = method(inexact(k, 2.0**-20))
        bounds.append(float(s.projector(0, 2).e.max() - 2 * s.o))
        slopes.append(float(s.derivative(Tracked(of_levels([1.0, -1.0, 0.5]), 0.0, A), 2).e.max()))
    assert all(1.9 < after / before < 2.2 for before, after in pairwise(bounds))
    assert all(3.5 < after / before < 4.5 for before, after in pairwise(slopes))
    none = eigh(inexact(np.eye(3, dtype=np.longdouble), 0.0))
    assert none.projector(0, 2).e.min() >= 1
    ones = Tracked(np.ones((3, 3), np.longdouble), 0.0, A)
    assert np.isinf(none.derivative(ones, 2).full).all()
    assert np.isinf(none.second(ones, ones, 2).full).all()


def differentiated(k: Array, s: Array, e: Array, m: int, dtype: str) -> Array:
    """The second derivative as automatic differentiation computes it, of what eigh gives in a dtype."""
    k, s, e = (a.astype(dtype) for a in (k, s, e))
    values, v = (np.flip(a, -1) for a in np.linalg.eigh(k))
    z, w = v.T @ s @ v, v.T @ e @ v
    near = 1 / (values - values[:, None] + np.eye(len(k), dtype=dtype)) - np.eye(len(k), dtype=dtype)
    first = np.arange(len(k)) < m
    turn, core = w * near, z * near * first
    moves = (v @ turn).T @ (s @ v) + v.T @ (s @ (v @ turn))
    moved = (moves - z * (np.diag(w) - np.diag(w)[:, None]) * near) * near * first
    y = (v @ turn) @ core @ v.T + v @ moved @ v.T + v @ core @ (v @ turn).T
    return y + y.T


def ratios(levels: list[float], dtype: str) -> list[float]:
    """Of twenty second derivatives, to their bounds."""
    a, n, seen = Arithmetic(dtype), len(levels), []
    for seed in range(20):
        drawn = np.random.default_rng(seed).standard_normal((2, n, n))
        exact = (m.astype(dtype).astype(np.longdouble) for m in (of_levels(levels, seed), *drawn))
        k, s, e = (np.tril(m) + np.tril(m, -1).T for m in exact)
        bound = eigh(a(k)).second(a(s), a(e), n // 2)
        seen.append(float(np.max(np.abs(differentiated(k, s, e, n // 2, dtype) - bound.v) / bound.full)))
    return seen


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("levels", [*LEVELS.values(), [6.0, 5.5, 5.0, 2.0, 1.5, 1.0]], ids=[*LEVELS, "six"])
def test_a_second_derivative_as_frameworks_compute_it_is_within_its_bound(levels: list[float], dtype: str) -> None:
    """And not a ten thousandth of it."""
    assert 1e-4 < max(ratios(levels, dtype)) < 1


def test_pairs_on_one_side_take_part_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without what is rounded of those that cancel its bound is too small, where two eigenvalues are near."""
    monkeypatch.setattr(Spectrum, "inverses", lambda self: np.zeros((4, 4)))
    assert max(ratios(LEVELS["pair-within"], "float32")) > 1


def test_an_error_that_a_direction_has_of_itself_is_counted_twice() -> None:
    """Antisymmetric, it is in Y and in Y^T, and what is symmetric cancels; 1.4 times a bound that counts it once."""
    k, pair = np.diag([1.693, 1.692, 0.479]).astype(np.longdouble), np.array([[0, 1, 0], [1, 0, 0], [0, 0, 0]])
    s, e, off = np.zeros((3, 3), np.longdouble), pair.astype(np.longdouble), 2.0**-8 * (np.triu(pair) - np.tril(pair))
    bound = eigh(A(k)).second(Tracked(s, 2.0**-8 * pair, A), A(e), 2)
    error = np.abs(differentiated(k, s + off, e, 2, "float64") - bound.v)
    assert bound.full.max() / 2 < error.max() < bound.full.max()


@pytest.mark.parametrize("power", [-480, 480])
def test_a_second_derivative_has_its_bound_at_the_ends_of_the_range(power: int) -> None:
    """Of a matrix and directions 2^p times as large it is the same, and no product of distances overflows."""
    a, one = Arithmetic("float64"), np.ones((4, 4))

    def bound(p: int) -> float:
        scale = np.longdouble(2.0) ** p
        k = Tracked(of_levels(LEVELS["apart"]) * scale, one * 2.0 ** (p - 20), a)
        along = Tracked(of_levels([1.0, -1.0, 0.5, 2.0], 7) * scale, 0 * one, a)
        return float(eigh(k).second(along, along, 2).full.max())

    assert bound(power) == pytest.approx(bound(0), rel=2.0**-10)


def test_there_is_no_third_derivative() -> None:
    with pytest.raises(GradparityError, match="no rule of dual numbers for the second derivative of a projector"):
        eigh(Dual(np.eye(2), np.eye(2))).second(np.eye(2), np.eye(2), 1)


def test_svd_does_not_square_the_condition() -> None:
    """Of singular values 1 and 2^-10 the smaller is known to 2^10 times fewer digits by way of x x^T."""
    x = np.diag([1.0, 2.0**-10]).astype(np.longdouble)
    by_eigh, by_svd = eigh(A(x @ x.T)).values(2), svd(A(x)).values(2)
    ratio = float(by_eigh.full[1] / by_svd.full[1])
    assert 2.0**9 * EIGH / SVD / 2 < ratio < 2.0**9 * EIGH / SVD * 2


@pytest.mark.parametrize("name", METHODS)
def test_what_is_declared_of_a_library_stands_for_what_is_usual(name: str) -> None:
    """A hundred times the constant, a hundred times the bound, but for what the wide format rounds; of the other
    decomposition it says nothing."""
    k = of_levels([4.0, 1.0])
    usual = METHODS[name](A(k)).values(2)
    wider = METHODS[name](Arithmetic("float32", Precision(ulps={name: 100 * DECOMPOSITIONS[name]}))(k)).values(2)
    other = METHODS[name](Arithmetic("float32", Precision(ulps={(set(METHODS) - {name}).pop(): 1e9}))(k)).values(2)
    assert np.allclose(wider.full / usual.full, 100, rtol=2**-6)
    assert (other.full == usual.full).all()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_library_is_within_its_constant(dtype: str) -> None:
    """What DECOMPOSITIONS say of NumPy's LAPACK: residual and orthonormality, in n units of the matrix."""
    drawn, unit = np.random.default_rng(3), FORMATS[dtype].unit
    for n in (2, 3, 4, 8) * 20:
        x = (drawn.standard_normal((n, n + 2)) * 10.0 ** drawn.uniform(-3, 0, (n, 1))).astype(dtype)
        k = x @ x.T
        values, v = np.linalg.eigh(np.tril(k) + np.tril(k, -1).T)
        u, s, w = np.linalg.svd(x, full_matrices=False)
        wide = [a.astype(np.longdouble) for a in (x, k, values, v, u, s, w)]
        x, k, values, v, u, s, w = wide
        k = np.tril(k) + np.tril(k, -1).T
        residuals = (frobenius((v * values) @ v.T - k) / values[-1], frobenius(v.T @ v - np.eye(n)))
        assert max(residuals) <= EIGH * n * unit
        residuals = (frobenius((u * s) @ w - x) / s[0], frobenius(u.T @ u - np.eye(n)))
        assert max(residuals) <= SVD * max(x.shape) * unit


def frobenius(a: Array) -> float:
    return float(np.sqrt(np.sum(a * a)))
