"""The error arithmetic is sound, rule by rule, and no looser than it has to be.

A rule claims: whatever operands an implementation holds, if each lies within its own bound, then what it computes from
them lies within v +- e. So each test holds a rule against the implementations that try hardest to break it: operands at
the ends of their bounds and between, the primitive evaluated in float64 and rounded correctly to float16, once for
every one of the 63,488 finite float16 numbers. float16 is small enough to leave nothing out, and the rules do not know
which format they work for: only its `bits`, `emin` and `emax` enter.

The other direction is held too: for each rounded primitive the worst observed error is a stated part of the bound, so
that a rule that rots into looseness fails here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, reduce
from itertools import accumulate, product
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from gradparity.arithmetic import (
    FUSED,
    STEPWISE,
    ULPS,
    Arithmetic,
    Precision,
    Tracked,
    fl,
    kept,
    once,
    stationary,
)
from gradparity.op import FORMATS, GradparityError, wide
from gradparity.reference.sigmoid import sigmoid

F16 = FORMATS["float16"]
PRECISIONS = [Precision(cls, sharp) for cls in "CB" for sharp in (False, True)]
both = pytest.mark.parametrize("sharp", [False, True], ids=["loose", "sharp"])


def every_half() -> np.ndarray:
    """All 63,488 finite float16 numbers, as float64."""
    x = np.arange(2**16, dtype=np.uint16).view(np.float16).astype(np.float64)
    return x[np.isfinite(x)]


def second_operands(count: int) -> np.ndarray:
    """Zeros, subnormals, powers of two and their neighbours, numbers around 1, the largest, and a spread."""
    powers = 2.0 ** np.arange(-24, 16)
    subnormals = F16.eta * np.array([1, 2, 3, 511, 512, 1023])
    near_one = 1 + 2 * F16.unit * np.arange(-4, 5)
    edges = np.concatenate([powers, np.nextafter(powers.astype(np.float16), np.float16(0)).astype(np.float64)])
    spread = every_half()[: 2**15 - 1024 : max((2**15) // count, 1)]
    y = np.concatenate([[0.0], subnormals, near_one, edges, [F16.max, 1 / 3, 1000.0, 3.0], spread])
    y = y.astype(np.float16).astype(np.float64)
    return np.unique(np.concatenate([y, -y]))


def half(z: np.ndarray) -> np.ndarray:
    """Rounded once, correctly, by NumPy's own conversion: not by the function that the rules use."""
    with np.errstate(all="ignore"):
        return z.astype(np.float16).astype(np.float64)


def flushed(z: np.ndarray) -> np.ndarray:
    return np.where(np.abs(z) < F16.tiny, 0.0, z)


STEPS = (-1.0, -0.75, 0.0, 0.4, 1.0)
READ = (-1.0, 0.0)  # an input is exact; a subnormal one may be read as zero


def held(x: Tracked, steps: tuple[float, ...] = STEPS) -> list[np.ndarray]:
    """What an implementation may hold in place of x: numbers anywhere within its bound, ends first."""
    return [np.where(x.e == 0, x.v, x.v + s * x.e) for s in steps] if x.e.any() else [x.v]


def never_negative(xs: list[np.ndarray]) -> list[np.ndarray]:
    """sqrt_rule takes for granted that what is rooted, a sum of squares, was not computed negative."""
    return [np.maximum(x, 0) for x in xs]


def library(z: np.ndarray, ulps: float) -> Iterator[np.ndarray]:
    """What an operation of this accuracy may return for the exact result z: rounded, flushed, or, in a kernel that
    fuses it with the next, not rounded at all."""
    yield z
    for shift in (0.0,) if ulps == 0.5 else (-1.0, 0.0, 1.0):
        c = half(z * (1 + shift * (2 * ulps - 1) * F16.unit))
        yield c
        yield flushed(c)


def by_reciprocal(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """x * (1 / y), each rounded, where 1 / y is a normal number, which divide_rule takes for granted."""
    r = half(1 / y)
    usable = (np.abs(r) >= F16.tiny) & (np.abs(r) <= F16.max)
    return half(np.where(usable, x * r, x / y))


EXACT = (np.negative, np.maximum, np.minimum)


def computed(
    ufunc: Any, a: Arithmetic, operands: tuple[Tracked, ...], steps: tuple[float, ...] = STEPS
) -> Iterator[Any]:
    """Everything that is tried in place of ufunc(operands)."""
    for xs in product(*(held(x, steps) for x in operands)):
        if ufunc in EXACT:
            yield ufunc(*xs)
        elif ufunc is np.divide:
            yield half(xs[0] / xs[1])
            yield flushed(by_reciprocal(*xs))
        else:
            z = ufunc(*never_negative(xs)) if ufunc is np.sqrt else ufunc(*xs)
            yield from library(z, a.ulps(ufunc.__name__))


def attacked(ufunc: Any, a: Arithmetic, *operands: Tracked, steps: tuple[float, ...] = STEPS) -> np.ndarray:
    """The worst |computed - v| / e over everything that is tried, at each element whose result is surely normal (the
    rule of underflow is loose by intent); asserts that it is at most 1 everywhere.

    Where e is infinite nothing is claimed. NaN is matched by position: it needs no bound where v is NaN too.
    """
    y = ufunc(*operands)
    worst, claimed = np.zeros(y.shape), np.isfinite(y.full) & ~np.isnan(y.v)
    with np.errstate(all="ignore"):
        for c in computed(ufunc, a, operands, steps):
            gap = np.abs(c - y.v)
            lost = np.isnan(gap) & claimed & ~(c == y.v)
            assert not lost.any(), example(ufunc, operands, y, c, lost)
            assert not (gap > y.e).any(), example(ufunc, operands, y, c, gap > y.e)
            worst = np.fmax(worst, gap)
        return (worst / y.e)[claimed & (y.e > 0) & (np.abs(y.v) - y.e >= F16.tiny)]


def example(ufunc: Any, operands: tuple[Tracked, ...], y: Tracked, c: np.ndarray, bad: np.ndarray) -> str:
    """The first element that breaks the rule, in words."""
    at = tuple(np.argwhere(bad)[0])
    xs = ", ".join(f"{float(np.broadcast_to(x.v, bad.shape)[at])!r} +- {float(np.broadcast_to(x.e, bad.shape)[at]):.3g}"
                   for x in operands)  # fmt: skip
    broken = f"{int(bad.sum())} of {bad.size}"
    return (
        f"{ufunc.__name__}({xs}) = {float(y.v[at])!r} +- {float(y.full[at]):.9g}, computed {float(c[at])!r}: {broken}"
    )


@dataclass(frozen=True)
class Errors:
    """A way in which operands may have been moved before: e as a function of v."""

    name: str
    of: Any


MOVED = (
    Errors("one-rounding", lambda v: F16.unit * np.abs(v)),
    Errors("many-roundings", lambda v: 37 * F16.unit * np.abs(v) + F16.eta),
    Errors("absolute", lambda v: np.full(v.shape, 2.0**-6)),
    Errors("an-eighth-of-it", lambda v: np.abs(v) / 8),
    Errors("mixed", lambda v: np.where(np.arange(v.size).reshape(v.shape) % 2, 0.0, 3 * F16.unit * np.abs(v))),
)
moved_operands = pytest.mark.parametrize("errors", MOVED, ids=lambda e: e.name)

UNARY = {
    np.square: every_half,
    np.sqrt: lambda: every_half()[every_half() >= 0],
    np.exp: every_half,
    np.log: lambda: every_half()[every_half() >= 0],
    np.log1p: lambda: every_half()[every_half() >= -1],
}
BINARY = (np.add, np.subtract, np.multiply, np.divide)
unary = pytest.mark.parametrize("ufunc", UNARY, ids=lambda f: f.__name__)
binary = pytest.mark.parametrize("ufunc", BINARY, ids=lambda f: f.__name__)


@cache
def arithmetic(sharp: bool, cls: str = "C") -> Arithmetic:
    return Arithmetic("float16", Precision(cls, sharp))


# The part of the bound that the worst computed value reaches. Loose, one rounding is bounded by u (|v| + e), of which
# 1 / (1 + u) is attained just above a power of two; sharp, the bound is what one of the ends rounds to.
ATTAINED = {False: 0.9, True: 1 - 1e-9}
# The median over all operands once many roundings went before: the operands' errors, not the last rounding, make it.
TYPICAL = 0.5


@unary
@pytest.mark.parametrize("precision", PRECISIONS, ids=str)
def test_a_function_of_any_exact_number(ufunc, precision) -> None:
    a = Arithmetic("float16", precision)
    worst = attacked(ufunc, a, a(UNARY[ufunc]()), steps=READ)
    assert worst.max() > ATTAINED[precision.sharp]


@unary
@both
@moved_operands
def test_a_function_of_any_moved_number(ufunc, sharp, errors) -> None:
    """The operand's error goes through the rule of the derivative, the operation's own comes on top."""
    a, v = arithmetic(sharp), UNARY[ufunc]()
    worst = attacked(ufunc, a, Tracked(v, errors.of(v), a))
    assert worst.max() > ATTAINED[sharp]
    assert errors.name != "many-roundings" or np.median(worst) > TYPICAL


@binary
@both
def test_an_operation_on_any_exact_number(ufunc, sharp) -> None:
    """x >= 0 is all of them: each of these operations commutes with a change of both signs."""
    a, x = arithmetic(sharp), every_half()
    worst = attacked(ufunc, a, a(x[x >= 0]), a(second_operands(20)[:, None]), steps=READ)
    assert worst.max() > ATTAINED[sharp]


@binary
@both
@moved_operands
def test_an_operation_on_any_moved_number(ufunc, sharp, errors) -> None:
    a, x, y = arithmetic(sharp), every_half()[::17], second_operands(10)[:, None]
    worst = attacked(ufunc, a, Tracked(x, errors.of(x), a), Tracked(y, errors.of(y), a), steps=(-1.0, 0.4, 1.0))
    assert worst.max() > ATTAINED[sharp]
    assert errors.name != "many-roundings" or np.median(worst) > TYPICAL


# --- exactness


REPRESENTABLE = {
    np.add: lambda x, y: x + y,
    np.subtract: lambda x, y: x - y,
    np.multiply: lambda x, y: x * y,
}


@both
@pytest.mark.parametrize("ufunc", REPRESENTABLE, ids=lambda f: f.__name__)
def test_exact_operands_with_a_representable_result_have_no_error(ufunc, sharp) -> None:
    """And only these: where the result has to be rounded, some error is allowed."""
    a, x, y = arithmetic(sharp), normal_halves()[::7], second_operands(40)[:, None]
    y = y[(np.abs(y) >= F16.tiny) | (y == 0)][:, None]
    z, truth = ufunc(a(x), a(y)), REPRESENTABLE[ufunc](x, y)
    normal = (np.abs(truth) >= F16.tiny) | (truth == 0)
    fits = (half(truth) == truth) & normal
    assert fits.sum() > 10_000
    assert (z.full[fits] == 0).all()
    assert (z.full[~fits] > 0).all()


def normal_halves() -> np.ndarray:
    x = every_half()
    return x[np.abs(x) >= F16.tiny]


@both
def test_division_by_a_power_of_two_is_exact_and_by_another_number_is_not(sharp) -> None:
    """An exact quotient by 3 may be computed as x * (1 / 3), which is not exact."""
    a, x = arithmetic(sharp), a_third_of_it_fits()
    for divisor, exact in ((2.0, True), (-0.25, True), (3.0, False)):
        assert ((a(x) / divisor).full == 0).all() == exact


@pytest.mark.parametrize(("ulps", "exact"), [(1.0, True), (1.01, False)])
def test_an_approximate_reciprocal_of_a_power_of_two_is_not_exact(ulps: float, exact: bool) -> None:
    a = Arithmetic("float32", Precision(ulps={"divide": ulps}))
    assert ((a(np.array([1.0, 0.75])) / a(np.array([1.0, 0.5]))).full == 0).all() == exact


def a_third_of_it_fits() -> np.ndarray:
    return 3.0 * np.arange(1, 300)


@both
@pytest.mark.parametrize("dtype", ["float16", "float64"])
@pytest.mark.parametrize("ufunc", [*BINARY, *UNARY], ids=lambda f: f.__name__)
def test_a_bound_does_not_depend_on_its_neighbours(ufunc, dtype, sharp) -> None:
    """Each element has the bound that it has alone, be there exact elements, powers of two or infinities beside it."""
    a = Arithmetic(dtype, Precision("C", sharp))
    x = Tracked(np.array([1.0, 1.5, 0.3, 3.0, 700.0], wide(dtype)), np.array([0.0, 0.0, 1e-3, 0.0, 1.0]), a)
    y = Tracked(np.array([2.0, 3.0, 0.7, 5.0, 1.25], wide(dtype)), np.array([0.0, 0.0, 0.0, 1e-2, 0.0]), a)
    operands = (x, y) if ufunc in BINARY else (x,)
    together = ufunc(*operands).full
    alone = [ufunc(*(z[k : k + 1] for z in operands)).full[0] for k in range(len(x))]
    assert together.tolist() == [float(e) for e in alone]


# --- what the wide format itself rounds


@both
@binary
def test_the_rounding_of_the_truth_is_charged(ufunc, sharp) -> None:
    """float64 against exact rational arithmetic: hardware rounds the exact result, v is a rounded one too."""
    a, rng = Arithmetic("float64", Precision(sharp=sharp)), np.random.default_rng(0)
    x, y = rng.integers(2**52, 2**53, (2, 400)).astype(float)
    x[::2] = np.ldexp(1.0, rng.integers(50, 58, 200)) + rng.integers(-3, 4, 200)  # results near powers of two, ties
    z = ufunc(a(x), a(y))
    for got, v, e in zip(ufunc(x, y), z.v, z.full, strict=True):
        assert abs(Fraction(got) - rational(v)) <= Fraction(float(e))


def test_the_rounding_of_the_truth_may_hide_a_tie() -> None:
    """1 + (2^-70 +- 2^-53): long double rounds it to 1, whose end 1 + 2^-53 is a tie and goes down to 1. The exact end
    is above the tie and goes up."""
    a = Arithmetic("float64", Precision(sharp=True))
    z = a(1.0) + Tracked(np.longdouble(2.0) ** -70, 2.0**-53, a)
    got = 1.0 + (2.0**-70 + 2.0**-53)
    assert abs(got - z.v) <= z.e


def rational(v: np.longdouble) -> Fraction:
    return Fraction(*v.as_integer_ratio())


@pytest.mark.parametrize("name", ["exp", "log", "log1p", "sqrt"])
def test_a_sharp_library_function_may_be_as_wrong_as_its_ulps_say(name) -> None:
    """Every float32 within k units in the last place of the result, where these units halve just below it too."""
    a, k = Arithmetic("float32", Precision(sharp=True)), ULPS[name]
    inverse = {"exp": np.log, "log": np.exp, "log1p": np.expm1, "sqrt": np.square}[name]
    near = np.concatenate([2.0**p * (1 + np.arange(-4, 5) * 2.0**-24) for p in (-3, -1, 1, 3)])
    x = a(inverse(near).astype(np.float32))
    y = getattr(np, name)(x)
    ulp = np.ldexp(1.0, np.frexp(y.v)[1] - 24)
    up = down = y.v.astype(np.float32)
    for _ in range(8):
        for c in (up, down):
            gap = np.abs(c.astype(np.float64) - y.v)
            assert (gap <= y.e)[gap <= k * ulp].all()
        up, down = np.nextafter(up, np.float32(np.inf)), np.nextafter(down, np.float32(-np.inf))


def test_what_underflows_in_the_wide_format_too_still_has_an_error() -> None:
    """exp(-760) is 0 in float64 and in float64's bounds, and no longer nothing once it is scaled back."""
    a = Arithmetic("float64")
    small = np.exp(a(-760.0))
    back = small * a(2.0**900)
    assert small.e > 0
    assert back.e >= back.v


# --- the ends of the range


def test_an_input_below_the_normal_numbers_may_be_read_as_zero() -> None:
    x = every_half()
    tracked = arithmetic(False)(x)
    assert np.array_equal(tracked.full, np.where(np.abs(x) < F16.tiny, np.abs(x), 0.0))


@both
def test_what_may_overflow_is_unbounded(sharp) -> None:
    a = arithmetic(sharp)
    x = Tracked(np.array([60000.0, 60000.0, 65504.0, 70000.0]), np.array([1.0, 6000.0, 0.0, 0.0]), a)
    assert np.isinf((x + a(0.0)).full).tolist() == [False, True, False, True]
    assert np.isinf(a.store(x).full).tolist() == [False, True, False, True]


def test_a_partial_sum_that_may_overflow_is_unbounded() -> None:
    """60000 + 60000 is infinite in float16, whatever is subtracted afterwards; in float32 it is not."""
    terms = np.array([60000.0, 60000.0, -60000.0, -59000.0])
    for cls, prefixes in (("C", [0, 1, 1, 1]), ("B", [0, 1, 0, 0]), ("A", [0, 0, 0, 0])):
        a = Arithmetic("float16", Precision(cls))
        assert np.isinf(np.sum(a(terms)).e) == prefixes[-1]
        assert np.isinf(np.cumsum(a(terms), axis=0).e).tolist() == prefixes


INF, NAN = np.inf, np.nan
TRUTHS = {
    "inf plus one": (lambda a: a(INF) + a(1.0), INF, 0.0),
    "inf minus inf": (lambda a: a(INF) - a(INF), NAN, 0.0),
    "inf times zero": (lambda a: a(INF) * a(0.0), NAN, 0.0),
    "one over zero": (lambda a: 1 / a(0.0), INF, 0.0),
    "one over inf": (lambda a: 1 / a(INF), 0.0, 0.0),
    "exp of minus inf": (lambda a: np.exp(a(-INF)), 0.0, 0.0),
    "exp of inf": (lambda a: np.exp(a(INF)), INF, 0.0),
    "log of zero": (lambda a: np.log(a(0.0)), -INF, 0.0),
    "log of inf": (lambda a: np.log(a(INF)), INF, 0.0),
    "sqrt of nan": (lambda a: np.sqrt(a(NAN)), NAN, 0.0),
    "sum with inf": (lambda a: np.sum(a([INF, 1.0, 2.0])), INF, 0.0),
    "sum of opposite infs": (lambda a: np.sum(a([INF, -INF])), NAN, 0.0),
    "max with nan": (lambda a: np.max(a([NAN, 1.0])), NAN, 0.0),
    "max with inf": (lambda a: np.maximum(a(INF), a(1.0)), INF, 0.0),
    "clip of inf": (lambda a: np.clip(a(INF), 0.0, 1.0), 1.0, 0.0),
    "where with nan": (lambda a: np.where(a(NAN) > 0, a(1.0), a(2.0)), 2.0, 0.0),
    "comparison of infs": (lambda a: a(INF) > a(INF), False, 0.0),
    "log of what may be zero": (lambda a: np.log(Tracked(0.25, 0.25, a)), np.log(0.25), INF),
    "one over what may be zero": (lambda a: 1 / Tracked(0.25, 0.5, a), 4.0, INF),
    "overflow": (lambda a: a(60000.0) * a(2.0), 120000.0, INF),
    "inf that an error made": (lambda a: np.sum(np.exp(Tracked([800.0, 1.0], [200.0, 0.0], a))), INF, INF),
    "max of what an error made infinite": (lambda a: np.maximum(Tracked(INF, INF, a), a(0.0)), INF, INF),
    "clip of what an error made infinite": (lambda a: np.clip(Tracked(INF, INF, a), 0.0, 1.0), 1.0, 1.0),
    "whether it is finite": (lambda a: np.isfinite(Tracked(1.0, INF, a)), True, 1.0),
    "where between infinities": (lambda a: np.where(Tracked(0.0, 1.0, a) > 0, a(INF), a(INF)), INF, 0.0),
}


@both
@pytest.mark.parametrize("name", TRUTHS)
def test_what_is_not_finite(name, sharp) -> None:
    """An infinity that exact operands make is a fact and needs no bound; one that an error may have made has none."""
    make, v, e = TRUTHS[name]
    with np.errstate(all="ignore"):
        y = make(arithmetic(sharp))
    assert y.v == v or (np.isnan(y.v) and np.isnan(v))
    assert y.e == e


# --- what is not rounded


@both
@moved_operands
@pytest.mark.parametrize("ufunc", EXACT, ids=lambda f: f.__name__)
def test_a_choice_is_as_wrong_as_what_is_chosen(ufunc, sharp, errors) -> None:
    a, x, y = arithmetic(sharp), every_half()[::5], second_operands(10)[:, None]
    operands = (Tracked(x, errors.of(x), a), Tracked(y, errors.of(y), a))[: ufunc.nin]
    assert attacked(ufunc, a, *operands).max() == pytest.approx(1, rel=0, abs=np.finfo(float).eps)


@moved_operands
def test_clipping_cuts_the_error_too(errors) -> None:
    a, v = arithmetic(False), every_half()
    x = Tracked(v, errors.of(v), a)
    y = np.clip(x, 0.25, 100.0)
    for c in held(x):
        assert (np.abs(np.clip(c, 0.25, 100.0) - y.v) <= y.e).all()
    assert (y.e <= x.full).all()


@moved_operands
def test_the_largest_of_a_row(errors) -> None:
    a, v = arithmetic(False), np.random.default_rng(1).permutation(every_half()).reshape(-1, 8)
    x = Tracked(v, errors.of(v), a)
    y = np.max(x, axis=-1)
    for c in held(x):
        assert (np.abs(c.max(axis=-1) - y.v) <= y.e).all()


COMPARISONS = (np.greater, np.greater_equal, np.less, np.less_equal, np.equal, np.not_equal)


@moved_operands
@pytest.mark.parametrize("ufunc", COMPARISONS, ids=lambda f: f.__name__)
def test_a_comparison_may_go_either_way_only_where_the_operands_can_pass_one_another(ufunc, errors) -> None:
    a, x, y = arithmetic(False), every_half()[::29], second_operands(10)[:, None]
    p, q = Tracked(x, errors.of(x), a), Tracked(y, errors.of(y), a)
    c = ufunc(p, q)
    other_way = np.zeros(c.shape, bool)
    for s, t in product(held(p), held(q)):
        other_way |= ufunc(s, t) != c.v
    assert set(np.unique(c.e)) <= {0.0, 1.0}
    assert (c.e[other_way] == 1).all()
    apart = np.abs(x - y) > p.full + q.full
    assert (c.full[apart] == 0).all()
    assert apart.any()
    assert other_way.any()


def test_exact_operands_compare_as_they_are() -> None:
    a, x = arithmetic(False), normal_halves()
    for ufunc in COMPARISONS:
        c = ufunc(a(x), a(x[::-1]))
        assert np.array_equal(c.v, ufunc(x, x[::-1]))
        assert not c.e.any()


@moved_operands
def test_a_choice_that_may_go_either_way_covers_both_branches(errors) -> None:
    a, v = arithmetic(False), every_half()
    rng = np.random.default_rng(2)
    p, q = (Tracked(rng.permutation(v), e * np.abs(v), a) for e in (0.0, 2.0**-10))
    x = Tracked(v, errors.of(v), a)
    y = np.where(x > 1, p, q)
    chosen = [np.where(c > 1, s, t) for c, s, t in product(held(x), held(p), held(q))]
    assert all((np.abs(c - y.v) <= y.e).all() for c in chosen)
    surely = np.abs(v - 1) > x.full
    assert np.array_equal(y.e[surely], np.where(v > 1, p.full, q.full)[surely])


def test_moving_elements_moves_their_errors() -> None:
    a = arithmetic(False)
    x = Tracked(np.arange(6.0).reshape(2, 3), np.arange(6.0).reshape(2, 3) / 8, a)
    i = np.array([[2, 0], [1, 1]])
    for y in (
        np.reshape(x, (3, 2)), np.expand_dims(x, 0), np.moveaxis(x, 0, 1), np.take_along_axis(x, i, 1),
        np.concatenate([x, x], 1), np.broadcast_to(x, (2, 2, 3)), np.squeeze(x[:1], 0), x[:, ::-1], -x,
    ):  # fmt: skip
        assert np.array_equal(np.abs(y.v) / 8, y.full)


# --- sums: any order


def sequential(columns: list[np.ndarray]) -> np.ndarray:
    return reduce(np.add, columns)


def pairwise(columns: list[np.ndarray]) -> np.ndarray:
    """Halves, recursively."""
    middle = len(columns) // 2
    return columns[0] if not middle else pairwise(columns[:middle]) + pairwise(columns[middle:])


def lanes(columns: list[np.ndarray]) -> np.ndarray:
    """Four running sums, as SIMD code does it."""
    return sequential([sequential(columns[k::4]) for k in range(min(4, len(columns)))])


def random_tree(seed: int) -> Any:
    """Any two of what is left are added, until one is left."""

    def add(columns: list[np.ndarray]) -> np.ndarray:
        rng, left = np.random.default_rng(seed), list(columns)
        while len(left) > 1:
            p, q = (left.pop(int(rng.integers(len(left)))) for _ in range(2))
            left.append(p + q)
        return left[0]

    return add


def flushing_add(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """A subnormal sum is lost."""
    tiny = {f.dtype: f.tiny for f in FORMATS.values()}[p.dtype]
    return np.where(np.abs(p + q) < tiny, p * 0, p + q)


def flushing(columns: list[np.ndarray]) -> np.ndarray:
    return reduce(flushing_add, columns)


TREES = {
    "sequential": sequential,
    "pairwise": pairwise,
    "lanes": lanes,
    "flushing": flushing,
    **{f"random-tree-{seed}": random_tree(seed) for seed in range(6)},
}
ARRANGED = {
    "as-they-come": lambda x: x,
    "reversed": lambda x: x[:, ::-1],
    "ascending": lambda x: np.take_along_axis(x, np.argsort(np.abs(x), axis=1), 1),
    "descending": lambda x: np.take_along_axis(x, np.argsort(-np.abs(x), axis=1), 1),
}
LENGTHS = (1, 2, 3, 5, 8, 17, 64, 200)


def terms(n: int, a: Arithmetic) -> np.ndarray:
    """Rows of n terms that summation loses digits of: flat, of both signs, one dominant, stagnant, cancelling, tiny."""
    rng, form, k = np.random.default_rng(n), FORMATS[a.dtype], np.arange(n)
    u, first = a.accumulator.unit, (k == 0)
    rows = [
        rng.normal(size=n), rng.random(n), np.full(n, 1 / 3), np.ones(n), 1.0 + 2 * u * k,
        *(np.where(first, 1.0, c * u * (1 + 2 * u)) for c in (0.25, 0.5, 1.0, 1.5, 2.5)),
        *(np.where(first, 1.0, -c * u) for c in (0.25, 0.5, 0.75, 1.0)),
        np.where(first, 1.0, u), form.tiny * np.resize([1.5, -1.0, 4.0], n),
        np.where(first, 100.0, rng.random(n)), 2.0**-k.clip(max=20), 0.7**k.clip(max=50),
        np.where(k % 2, -1.0, 1 + 2 * u) * rng.random(n).round(2), (-1.0) ** k * rng.normal(size=n) * 10.0 ** (k % 3),
        form.tiny * rng.normal(size=n), form.eta * rng.integers(-50, 50, n), np.where(first, form.tiny * n, -form.tiny),
        np.exp(-3 * rng.random(n)), -rng.random(n), np.zeros(n), np.where(k % 3, 0.0, rng.normal(size=n)),
    ]  # fmt: skip
    return np.array(rows).astype(form.dtype)


SUMS = {
    "float16 C": ("float16", "C"),
    "float16 B": ("float16", "B"),
    "float16 A": ("float16", "A"),
    "bfloat16 C": ("bfloat16", "C"),
    "float32": ("float32", "A"),
    "float64": ("float64", "A"),
}


def summed(x: np.ndarray, arrange: Any, tree: Any, a: Arithmetic) -> np.ndarray:
    """The rows' sums as this implementation makes them: accumulated in its accumulator, then rounded where that is
    wider than its intermediate results."""
    columns = list(arrange(x).astype(a.accumulator.dtype).T)
    return tree(columns).astype(a.inner.dtype).astype(wide(a.dtype))


def worst_sum(x: np.ndarray, y: Tracked, a: Arithmetic) -> float:
    """The worst ratio over all orders; asserts that each is within the bound."""
    worst = 0.0
    for (arranged, arrange), (tree, add) in product(ARRANGED.items(), TREES.items()):
        gap = np.abs(summed(x, arrange, add, a) - y.v)
        assert (gap <= y.e).all(), f"{arranged}, {tree}: {gap / y.e}"
        normal = (np.abs(y.v) - y.e > a.inner.tiny) & (gap > 0)
        worst = max(worst, float(np.max(gap[normal] / y.e[normal], initial=0.0)))
    return worst


@both
@pytest.mark.parametrize("kind", SUMS)
def test_a_sum_in_any_order(kind, sharp) -> None:
    """Attained to four fifths at least: what does not fit is lost term by term, as the bound says."""
    dtype, cls = SUMS[kind]
    a = Arithmetic(dtype, Precision(cls, sharp))
    worst = [worst_sum(x, np.sum(a(x), axis=1), a) for x in (terms(n, a) for n in LENGTHS)]
    assert max(worst) > 0.8


@pytest.mark.parametrize("kind", SUMS)
def test_a_sum_of_moved_terms(kind) -> None:
    """Each term moved to the end of its bound, all to one side or to random sides."""
    dtype, cls = SUMS[kind]
    a, rng = Arithmetic(dtype, Precision(cls)), np.random.default_rng(3)
    for n in LENGTHS:
        x = terms(n, a)
        e = 3 * FORMATS[dtype].unit * np.abs(x.astype(np.float64)) + 2 * FORMATS[dtype].eta
        y = np.sum(Tracked(x.astype(wide(dtype)), e, a), axis=1)
        for side in (1.0, -1.0, rng.choice([-1.0, 1.0], x.shape)):
            worst_sum(inwards(x, e, side), y, a)


def inwards(x: np.ndarray, e: np.ndarray, side: Any) -> np.ndarray:
    """The furthest numbers of the format, but for one, that lie within e of x on this side."""
    end = x.astype(np.longdouble) + side * e
    c = end.astype(x.dtype)
    return np.where(np.abs(c.astype(np.longdouble) - x.astype(np.longdouble)) <= e, c, x)


@both
@pytest.mark.parametrize("kind", SUMS)
def test_cumulative_sums(kind, sharp) -> None:
    """Every prefix, one term after the other, from either end of the row, flushed or not."""
    dtype, cls = SUMS[kind]
    a = Arithmetic(dtype, Precision(cls, sharp))
    for x in (terms(n, a)[:, ::step] for n in LENGTHS for step in (1, -1)):
        y = np.cumsum(a(x), axis=1)
        for add in (np.add, flushing_add):
            prefixes = np.stack(list(accumulate(x.astype(a.accumulator.dtype).T, add)), axis=1)
            gap = np.abs(prefixes.astype(a.inner.dtype).astype(wide(dtype)) - y.v)
            assert (gap <= y.e).all()


# Terms that the wide format itself loses digits of: in float64 numbers of float32 1e30 apart, in long double numbers
# of float64.
SPREAD = {"float32": 1e30, "float64": 1e60}


def wide_terms(dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    rng = np.random.default_rng(5)
    x = rng.normal(size=shape) * rng.choice([1.0, 1e-12, 1e-20, 1 / SPREAD[dtype]], shape)
    x[..., 0] = 1 + FORMATS[dtype].unit * 2  # the same sign everywhere: nothing cancels, what is small is lost
    return x.astype(FORMATS[dtype].dtype)


def exact_sum(x: np.ndarray) -> Fraction:
    return sum((Fraction(float(v)) for v in x.ravel()), Fraction(0))


def truly(v: Any) -> Fraction:
    return Fraction(*v.as_integer_ratio())


@pytest.mark.parametrize("dtype", SPREAD)
@pytest.mark.parametrize("axis", [0, 1, 2, (0, 1), (1, 2), (0, 2), None])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_wide_sum_is_within_its_own_error_along_any_axis(dtype: str, axis: Any, order: Any) -> None:
    """NumPy sums the last axis pairwise and the others term after term; total charges (n - 1) u, which any order
    obeys (Rump 2012; Jeannerod & Rump 2013), and here alone: the rounding in the dtype is silent. Against rational
    arithmetic."""
    a, x = Arithmetic(dtype, silent="sum"), np.asarray(wide_terms(dtype, (6, 40, 5)), order=order)
    y = np.sum(a(x), axis=axis)
    axes = (0, 1, 2) if axis is None else (axis,) if isinstance(axis, int) else axis
    rows = np.moveaxis(x, axes, range(-len(axes), 0)).reshape(y.v.size, -1)
    gaps = [abs(truly(v) - exact_sum(row)) for v, row in zip(y.v.ravel(), rows, strict=True)]
    assert max(gaps) > 0
    assert all(gap <= Fraction(float(e)) for gap, e in zip(gaps, y.full.ravel(), strict=True))


@pytest.mark.parametrize("dtype", SPREAD)
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_wide_cumulative_sums_are_within_their_own_error_along_any_axis(dtype: str, axis: int) -> None:
    a, x = Arithmetic(dtype, silent="sum"), wide_terms(dtype, (6, 30, 5))
    y = np.cumsum(a(x), axis=axis)
    terms, v, e = (np.moveaxis(z, axis, -1).reshape(-1, x.shape[axis]) for z in (x, y.v, y.full))
    gaps = [[abs(truly(v[i, k]) - exact_sum(terms[i, : k + 1])) for k in range(v.shape[1])] for i in range(len(v))]
    assert max(map(max, gaps)) > 0
    assert all(gap <= Fraction(float(bound)) for row, es in zip(gaps, e, strict=True)
               for gap, bound in zip(row, es, strict=True))  # fmt: skip


def test_adding_zeros_to_one_term_is_nearly_exact() -> None:
    """One dominant term: (n - 1) u |sum| would be 99 times too much."""
    a = arithmetic(False)
    y = np.sum(a(np.eye(1, 100)))
    assert y.e <= 99 * F16.unit**2 * (1 + F16.unit)


def test_counting_is_exact_while_the_count_fits() -> None:
    a = arithmetic(False)
    for n, exact in ((2048, True), (2049, False)):
        count = np.sum(Tracked(np.ones(n, bool), 0.0, a))
        assert count.v == n
        assert (count.e == 0) == exact


def test_a_sum_over_no_terms_is_zero() -> None:
    y = np.sum(arithmetic(False)(np.zeros((3, 0))), axis=1)
    assert y.v.tolist() == [0, 0, 0]
    assert not y.full.any()


def test_a_sum_keeps_or_drops_its_axes() -> None:
    x = arithmetic(False)(np.ones((2, 3, 4)))
    assert np.sum(x, axis=1).shape == (2, 4)
    assert np.sum(x, axis=(0, 2), keepdims=True).shape == (1, 3, 1)
    assert np.sum(x).shape == ()


# --- rounding


def neighbours(dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the format and the next ones above: all of them for 16 bits, 4,000 spread over the bits above that."""
    form = FORMATS[dtype]
    word = np.dtype(f"u{form.dtype.itemsize}").type
    top = int(np.array(form.max, form.dtype).view(word))
    low = np.arange(0, top, max(top // 4000, 1) if top > 2**16 else 1)
    return low.astype(word).view(form.dtype), (low.astype(word) + word(1)).view(form.dtype)


@pytest.mark.parametrize("dtype", FORMATS)
def test_rounding_is_to_nearest_and_to_even(dtype) -> None:
    """Between each two neighbours: the middle goes to the even one, what lies off it to the nearer one. No library's
    own conversion is asked."""
    form = FORMATS[dtype]
    low, high = neighbours(dtype)
    a, b = low.astype(wide(dtype)), high.astype(wide(dtype))
    even = low.view(np.dtype(f"u{form.dtype.itemsize}")) % 2 == 0
    middle, step = a / 2 + b / 2, (b - a) / 8
    for x, want in ((a, a), (middle, np.where(even, a, b)), (middle - step, a), (middle + step, b)):
        assert np.array_equal(fl(x, form), want)
        assert np.array_equal(fl(-x, form), -want)


@pytest.mark.parametrize("x", [0.3, 1e-9, 1e9])
@pytest.mark.parametrize("dtype", FORMATS)
def test_an_array_of_rank_0_is_rounded_as_one_of_length_1_and_stays_an_array(dtype, x) -> None:
    number, array = np.asarray(x, wide(dtype)), np.full(1, x, wide(dtype))
    with np.errstate(over="ignore"):
        assert isinstance(fl(number, FORMATS[dtype]), np.ndarray)
        assert fl(number, FORMATS[dtype]) == fl(array, FORMATS[dtype])[0]


@pytest.mark.parametrize("dtype", FORMATS)
def test_rounding_at_the_top(dtype) -> None:
    """Half a spacing above the largest number is the first that becomes infinite."""
    form = FORMATS[dtype]
    top = wide(dtype)(form.max)
    half_spacing = wide(dtype)(2.0) ** (form.emax - form.bits)
    with np.errstate(over="ignore"):
        assert fl(np.array([top, top + half_spacing / 2]), form).tolist() == [form.max, form.max]
        assert fl(np.array([top + half_spacing, -top - half_spacing]), form).tolist() == [np.inf, -np.inf]
    assert np.array_equal(fl(np.array([np.inf, -np.inf, np.nan, 0.0]), form), [np.inf, -np.inf, np.nan, 0.0],
                          equal_nan=True)  # fmt: skip


def test_rounding_agrees_with_numpy_for_float16() -> None:
    low, high = (z.astype(np.float64) for z in neighbours("float16"))
    x = np.concatenate([low + (high - low) * f for f in (0.0, 0.3, 0.5, 0.5 + 2**-20, 0.9)])
    assert np.array_equal(fl(x, F16), half(x))


def test_rounding_agrees_with_ml_dtypes_for_bfloat16() -> None:
    """From float32, which ml_dtypes rounds once: from float64 it would pass through float32 and round twice."""
    low, high = (z.astype(np.float32) for z in neighbours("bfloat16"))
    x = np.concatenate([low / 2 + high / 2, low / 4 + high * 0.75, np.nextafter(low / 2 + high / 2, high), low])
    want = x.astype(ml_dtypes.bfloat16).astype(np.float64)
    assert np.array_equal(fl(x.astype(np.float64), FORMATS["bfloat16"]), want)


@both
@pytest.mark.parametrize("cls", "ABC")
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_what_is_stored_is_rounded_once_more(dtype, cls, sharp) -> None:
    """Class A: any number within e of v, rounded to the dtype, and that is attained. B and C store what they have."""
    a, form = Arithmetic(dtype, Precision(cls, sharp)), FORMATS[dtype]
    v = np.concatenate([s * np.geomspace(form.tiny / 50, form.max / 2, 5001) for s in (1, -1)])
    v = v.astype(np.float32).astype(np.float64)  # so that v + e and v - e are exact
    for e in (0 * v, 2.0**-20 * np.abs(v), 2.0**-7 * np.abs(v)):
        y = a.store(Tracked(v, e, a))
        worst = np.zeros_like(v)
        for c in (fl(v + s * e, form) if cls == "A" else v + s * e for s in STEPS):
            for stored in (c, np.where(np.abs(c) < form.tiny, 0.0, c)):
                worst = np.maximum(worst, np.abs(stored - v))
        assert (worst <= y.e).all()
        normal = np.abs(v) - y.e > form.tiny
        assert np.array_equal(worst[normal], y.e[normal]) or cls != "A"


# --- once and stationary

ONCE = {
    "s (1 - s)": (lambda s: s * (1 - s), lambda s: (half(s * half(1 - s)),)),
    "z / (1 + z)": (lambda z: z / (1 + z), lambda z: (half(z / half(1 + z)), by_reciprocal(z, half(1 + z)))),
}


LESS = 0.7  # of the bound that the rules alone give, for x around 1/2


@both
@pytest.mark.parametrize("name", ONCE)
@pytest.mark.parametrize("error", [0.0, 1.0, 37.0, 400.0])
def test_once(name, sharp, error) -> None:
    """Every normal float16 up to 1, each operation of the formula rounded: within the bound. Where x is mentioned with
    opposite effects, the bound is smaller than the rules' own, which counts its error at each mention."""
    f, roundings = ONCE[name]
    a, v = arithmetic(sharp), every_half()
    v = v[(v >= F16.tiny) & (v <= 1)]
    x = Tracked(v, error * F16.unit * np.minimum(v, 1 - v), a)
    y = once(f, x)
    for c in (c for s in np.linspace(-1, 1, 9) for c in roundings(x.v + s * x.e)):
        assert (np.abs(c - y.v) <= y.e).all()
        assert (np.abs(flushed(c) - y.v) <= y.e).all()
    if error == 37.0:
        middle = (v > 0.4) & (v < 0.6)
        assert (y.e[middle] / f(x).e[middle]).max() < LESS


def test_once_is_the_function_itself_on_plain_arrays() -> None:
    assert once(lambda s: s * (1 - s), np.array([0.25, 0.5])).tolist() == [0.1875, 0.25]


def test_what_a_gradient_keeps_from_the_forward_is_as_wrong_as_there() -> None:
    """A sum of 300 ones, which in the forward is added up in float32 and in the gradient in bfloat16."""
    forward, back = Precision("B"), Precision("C")
    a, x = Arithmetic("bfloat16", back, forward=forward), np.ones(300)

    def total(x: np.ndarray) -> tuple[Tracked]:
        return (np.sum(x),)

    (y,) = kept(total, a(x))
    (there,), (here,) = total(Arithmetic("bfloat16", forward)(x)), total(a(x))
    assert y.e == there.e < here.e / 2
    assert y.a is a
    assert kept(total, x) == (300.0,)


def test_what_a_fused_forward_keeps_may_be_rounded() -> None:
    """Its sum errs by little in float32, and by half a spacing of bfloat16 once it is kept."""
    a = Arithmetic("bfloat16", STEPWISE, forward=FUSED)
    (y,) = kept(lambda x: (np.exp(x),), a(np.full(3, 0.3)))
    unit = FORMATS["bfloat16"].unit
    assert (y.e >= np.abs(fl(y.v, FORMATS["bfloat16"]) - y.v)).all()
    assert (y.e > unit / 8).all()


def test_what_is_true_or_may_be_is_a_number_to_every_rule() -> None:
    """Masks are multiplied and compared in 16 bits too, whether the comparison is certain or not."""
    a = Arithmetic("bfloat16", STEPWISE)
    x = Tracked(np.array([0.5, 1.5, 3.0]), np.array([0.0, 0.6, 0.0]), a)
    both = (x > 0) * (x < 2)
    assert both.v.tolist() == [1.0, 1.0, 0.0]
    assert both.e[1] >= 1 > both.e[0]
    assert np.max(x < 2).v == 1
    assert np.maximum(x < 2, 0).e.tolist() == [0.0, 1.0, 0.0]
    assert fl(np.ones(3, np.int64), FORMATS["bfloat16"]).tolist() == [1.0] * 3


def test_a_complex_step_passes_through_once() -> None:
    """Im f(x + i h) / h = f'(x), to the last digits: no difference is taken."""
    x, h = np.array([0.1, 0.5, 0.9]), 1e-200
    for f, derivative in ((lambda s: s * (1 - s), 1 - 2 * x), (lambda z: z / (1 + z), 1 / (1 + x) ** 2)):
        assert np.abs(once(f, x + 1j * h).imag / h - derivative).max() <= 4 * 2.0**-53


def test_a_complex_step_does_not_pass_through_stationary_and_need_not() -> None:
    """exp(x - m) / sum exp(x - m) has the same derivative whether m moves with x or not: p_j (delta_jk - p_k)."""
    x, h = np.array([0.25, 1.5, -3.0, 2.0]), 1e-200
    for k in range(4):
        z = x + 1j * h * (np.arange(4) == k)
        assert stationary(np.max(z)).imag == 0

        def softmax(m: Any, z: np.ndarray = z) -> np.ndarray:
            e = np.exp(z - m)
            return e / e.sum()

        p = softmax(stationary(np.max(z)))
        want = p.real * ((np.arange(4) == k) - p.real[k])
        for step in (p, softmax(z[3])):  # z[3] is the largest: the shift that moves
            assert np.abs(step.imag / h - want).max() <= 8 * 2.0**-53


def test_stationary_carries_no_error_and_no_imaginary_part() -> None:
    a = arithmetic(False)
    x = stationary(Tracked([1.0, 2.0], [0.5, 0.25], a))
    assert x.v.tolist() == [1.0, 2.0]
    assert not x.full.any()
    assert stationary(np.array([1 + 2j])).tolist() == [1.0]
    assert stationary(np.longdouble(3)) == 3


@pytest.mark.parametrize("dtype", FORMATS)
def test_the_shift_of_softmax_need_not_carry_its_error(dtype) -> None:
    """The shift moved by one rounding and the result is as it was, within the bound that took the shift for exact."""
    a, x = Arithmetic(dtype), np.array([0.25, 1.5, -3.0, 2.0])

    def shifted(m: Any) -> Any:
        e = np.exp(a(x) - m)
        return a.store(e / np.sum(e))

    y = shifted(stationary(Tracked(2.0, 0.1, a)))
    moved = shifted(a(2.0 + 2.0**-5))
    assert (np.abs(y.v - moved.v) <= y.e).all()


# --- what has no rule


def test_an_untracked_float_array_is_refused() -> None:
    a = arithmetic(False)
    for use in (lambda x, w: x + w, lambda x, w: np.where(x > 0, w, x), lambda x, w: w * x):
        with pytest.raises(GradparityError, match=r"shape \(3,\) is not tracked"):
            use(a(np.ones(3)), np.ones(3))


def test_constants_integers_and_masks_are_exact_operands() -> None:
    a = arithmetic(False)
    for w in (2.0, 3, np.array([1, 2, 3]), np.array([True, False, True]), np.float16(2)):
        assert not (a(np.ones(3)) * w).full.any()


NO_RULE = {
    "sin": np.sin,
    "add.reduce": np.add.reduce,
    "out": lambda x: np.add(x, 1, out=np.zeros(3)),
    "sort": np.sort,
    "product": np.prod,
    "power": lambda x: x**2,
    "dot": lambda x: np.dot(x, x),
}


@pytest.mark.parametrize("name", NO_RULE)
def test_an_unknown_primitive_is_refused(name) -> None:
    """Better no bound than one that left an error out."""
    with pytest.raises(GradparityError, match="no rule of the error arithmetic"):
        NO_RULE[name](arithmetic(False)(np.ones(3)))


def test_a_precision_of_no_known_class_or_function_is_refused() -> None:
    with pytest.raises(GradparityError, match="classes are A, B and C"):
        Precision("D")
    with pytest.raises(GradparityError, match="no library function is called 'tanh'"):
        Precision(ulps={"tanh": 2.0})


# --- the parts of a bound


@pytest.mark.parametrize("source", ["exp", "sum", "divide", "output rounding", "underflow"])
def test_a_silent_source_makes_the_bound_smaller_and_never_larger(source) -> None:
    """How a failure explains itself: leaving one source out shows how much of the bound it makes."""
    x = np.array([[-3.0, -90.0, 0.25], [0.5, 1.5, 0.125]])

    def bound(silent: str) -> np.ndarray:
        a = Arithmetic("float16" if source == "output rounding" else "float32", Precision("A"), silent)
        e = np.exp(a(x))
        return a.store(e / np.sum(e, axis=-1, keepdims=True)).full

    assert (bound(source) <= bound("")).all()
    assert (bound(source) < bound("")).any()


def test_sigmoid_of_every_float16_is_within_its_bound() -> None:
    """The rules together, on a formula with a choice, a quotient and `once`: each step rounded to float16."""
    a, x = arithmetic(False), every_half()
    y = a.store(sigmoid(a(x)))
    with np.errstate(all="ignore"):
        z = half(np.exp(-np.abs(x)))
        c = np.where(x >= 0, half(1 / half(1 + z)), half(z / half(1 + z)))
    assert (np.abs(c - y.v) <= y.full).all()


# --- matrix products


def accumulated_products(x: Any, y: Any, order: Any, fused: bool) -> Any:
    """x @ y in float16, term by term in this order; fused: each product enters the sum unrounded."""
    total = np.zeros((len(x), y.shape[1]), np.float16)
    for i in order:
        term = x[:, i, None].astype(np.float64) * y[None, i].astype(np.float64)
        total = (total.astype(np.float64) + (term if fused else term.astype(np.float16))).astype(np.float16)
    return total


@pytest.mark.parametrize("n", [1, 2, 3, 8, 40])
@pytest.mark.parametrize("fused", [False, True])
def test_a_matrix_product_in_any_order(n: int, fused: bool) -> None:
    a = Arithmetic("float16", Precision("C"))
    rng = np.random.default_rng(n)
    x, y = rng.normal(size=(20, n)).astype(np.float16), rng.normal(size=(n, 30)).astype(np.float16)
    z = a.store(a(x) @ a(y))
    np.testing.assert_array_equal(z.v, x.astype(np.float64) @ y.astype(np.float64))
    orders = [range(n), range(n)[::-1], rng.permutation(n)]
    gaps = [abs(accumulated_products(x, y, o, fused) - z.v) for o in orders]
    worst = max((gap[gap > 0] / z.full[gap > 0]).max() for gap in gaps)  # a product of one term may be exact
    assert 0.05 < worst <= 1


def test_a_matrix_product_of_moved_operands_moves_with_them() -> None:
    a = Arithmetic("float32")
    rng = np.random.default_rng(0)
    x, y, dx, dy = (rng.normal(size=s).astype(np.float32) for s in ((5, 7), (7, 6), (5, 7), (7, 6)))
    x64, y64, dx, dy = (v.astype(np.float64) for v in (x, y, 1e-3 * dx, 1e-3 * dy))
    z = Tracked(x64, abs(dx), a) @ Tracked(y64, abs(dy), a)
    assert (abs((x64 + dx) @ (y64 + dy) - z.v) <= z.full).all()
    assert (z.full <= 1.01 * (abs(x64) @ abs(dy) + abs(dx) @ abs(y64) + abs(dx) @ abs(dy) + 1e-5)).all()


def test_a_matrix_product_of_inputs_cut_to_10_bits_is_outside() -> None:
    """As matrix units do that are asked for float32 and use fewer bits."""
    a = Arithmetic("float32")
    rng = np.random.default_rng(1)
    x, y = (rng.normal(size=(16, 16)).astype(np.float32) for _ in range(2))
    z = a.store(a(x) @ a(y))
    cut = x.astype(np.float16).astype(np.float64) @ y.astype(np.float16).astype(np.float64)
    assert (abs(cut - z.v) / z.full).max() > 10


def test_a_matrix_product_that_overflows_within_is_unbounded() -> None:
    a = Arithmetic("float16", Precision("C"))
    x = np.array([[300.0, 300.0]], np.float16)
    z = a.store(a(x) @ a(np.array([[300.0], [-300.0]], np.float16)))
    assert z.v.tolist() == [[0.0]]
    assert np.isinf(z.full).all()


def test_what_is_made_of_exact_zeros_is_exact() -> None:
    """However it is computed: their sum, and its root, sharp or not."""
    for dtype in FORMATS:
        for precision in (*PRECISIONS, Precision(), Precision(sharp=True)):
            a = Arithmetic(dtype, precision)
            zeros = a(np.zeros((2, 10)))
            y = a.store(np.sqrt(np.sum(np.square(zeros), axis=-1)))
            assert not y.v.any()
            assert not y.full.any()
