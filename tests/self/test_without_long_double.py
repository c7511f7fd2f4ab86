"""float64 where no long double is longer (Windows, macOS on ARM): judged against float64 itself, soundly and no looser
than it has to be. Here by declaring that none is: the tests of the other files, once more, and those of what decides
exactness there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradparity import op as nouns
from gradparity import report, results
from gradparity.arithmetic import RESIDUALS, Arithmetic, Precision, Tracked, once
from gradparity.check import check
from gradparity.op import COMPARED, FORMATS, ITSELF, Array, Case, GradparityError, Op
from gradparity.reference import OPS
from gradparity.truth import REMEMBERED, refuse_other_rounding
from tests.self import test_certificates as certificates
from tests.self import test_checks_bite as bite
from tests.self import test_health as health
from tests.self import test_invariants as invariants
from tests.self import test_reference as reference

each_op = pytest.mark.parametrize("op", OPS.values(), ids=OPS)
F64 = FORMATS["float64"]


@pytest.fixture(autouse=True)
def without_long_double(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    REMEMBERED.clear()
    monkeypatch.setattr(nouns, "LONGER", False)
    yield
    REMEMBERED.clear()


# --- the tests of the other files


@each_op
def test_the_reference_is_as_near_to_the_truth_as_it_claims(op: Op) -> None:
    certificates.test_the_reference_is_as_near_to_the_truth_as_it_claims(op, "float64")


@each_op
@pytest.mark.parametrize("wrong", [certificates.wrong_value, certificates.wrong_vjp])
def test_a_reference_wrong_in_the_last_digits_is_seen(op: Op, wrong: Callable[[Op, float], Op]) -> None:
    certificates.test_a_reference_wrong_in_the_last_digits_of_the_wide_format_is_seen(op, "float64", wrong)


def some(op: Op) -> tuple[Case, ...]:
    return tuple(case for case in op.cases if not any(word in case.name for word in ("32000", "1000", "every-16")))


@each_op
@pytest.mark.parametrize("direction", bite.JUDGED)
def test_the_bounds_do_not_accuse(op: Op, direction: str) -> None:
    rows = check(op, bite.implementation(op, "nothing"), bite.NUMPY, "float64", direction, some(op))
    assert [row.message for row in rows if row.status != "pass"] == []
    assert rows or direction == "invariant"


@each_op
@pytest.mark.parametrize("direction", COMPARED)
def test_nor_plain_numpy_whose_steps_they_follow(op: Op, direction: str) -> None:
    implementation = health.replace(health.witness(op), precision={"*": Precision(sharp=True)})
    rows = check(op, implementation, bite.NUMPY, "float64", direction, some(op))
    assert [row.message for row in rows if row.status != "pass"] == []


@pytest.mark.parametrize(("op", "case"), [p for p in reference.SMOOTH if "scale-1" in str(p.id)])
def test_the_gradient_is_the_complex_step_of_the_value(op: Op, case: Case) -> None:
    reference.test_the_gradient_is_the_complex_step_of_the_value(op, case, "complex128")


@pytest.mark.parametrize(("op", "case"), reference.SMOOTH)
def test_no_bound_of_a_gradient_is_so_wide_that_zero_passes_everywhere(op: Op, case: Case) -> None:
    reference.test_no_bound_of_a_gradient_is_so_wide_that_zero_passes_everywhere(op, case)


@pytest.mark.parametrize(
    ("op", "invariant"), [pytest.param(op, i, id=f"{op.name}-{i.name}") for op in OPS.values() for i in op.invariants]
)
def test_the_reference_keeps_its_invariants(op: Op, invariant: Any) -> None:
    invariants.test_the_reference_keeps_it_but_for_what_the_wide_format_rounds(op, invariant, "float64")


# --- kinks and bit equality


@pytest.mark.parametrize("sharp", [False, True])
@pytest.mark.parametrize("kink", [0.0, 0.5, 1.0])
def test_every_inadmissible_slope_at_the_kink_fails(kink: float, sharp: bool) -> None:
    hinge = OPS["hinge"]
    at = tuple(case for case in hinge.cases if case.name == "kink")
    for declared in (0.0, 0.5, 1.0):
        wrong = bite.implementation(
            hinge, "kink", vjp=lambda g, y, x, t, **kw: {"x": g * -t * kink},
            conventions={"kink": declared}, precision={"*": Precision(sharp=sharp)},
        )  # fmt: skip
        (row,) = check(hinge, wrong, bite.NUMPY, "float64", "vjp", at)
        assert row.status == ("pass" if kink == declared else "fail")


def test_a_sharp_hinge_is_equal_bit_by_bit() -> None:
    """The next number fails, above and below; but the one below a power of two lies as near as half of what is above,
    so that a margin may be rounded there."""
    a, draw = Arithmetic("float64", Precision(sharp=True)), bite_draw()
    y = OPS["hinge"].forward(a(draw["x"]), a(draw["t"]))
    rounded = (y.v > 0) & (np.frexp(y.v)[0] != 0.5)
    for to in (-np.inf, np.inf):
        assert (np.abs(np.nextafter(y.v, to) - y.v) > y.full)[rounded].all()
    assert rounded.sum() > 20
    assert (y.full[rounded] > 0).any()


def bite_draw() -> dict[str, Array]:
    return next(c for c in OPS["hinge"].cases if c.name == "scale-1").arrays(reference.Draw("hinge/scale-1", "float64"))


# --- what decides exactness


def numbers() -> Array:
    """Ordinary, close to one another, far apart, at the ends of the range."""
    rng = np.random.default_rng(0)
    x = np.ldexp(rng.uniform(-1, 1, 40), rng.integers(-60, 60, 40))
    edges = [0.0, 1.0, -1.0, 3.0, 1 + 2.0**-52, 1 - 2.0**-53, 2.0**-27, 2.0**-480, 1.1e-160, 1e-300, F64.tiny, 2.0**511,
             1.3e154, 2.0**1000, 1e308, F64.max]  # fmt: skip
    return np.concatenate([x, edges])


EXACTLY: dict[str, Callable[..., Fraction]] = {
    "add": lambda x, y: x + y,
    "subtract": lambda x, y: x - y,
    "multiply": lambda x, y: x * y,
    "square": lambda x: x * x,
    "divide": lambda x, y: x / y,
}


@pytest.mark.parametrize("name", RESIDUALS)
def test_a_residual_is_the_exact_one_or_none(name: str) -> None:
    """In rational arithmetic; and it is known wherever the result is far from the ends of the range."""
    powers = np.ldexp(1.0, np.arange(-60, 60, 7))
    known = 0
    operands = [(x,) for x in numbers()] if name == "square" else list(
        product(numbers(), powers if name == "divide" else numbers())
    )  # fmt: skip
    for xs in operands:
        with np.errstate(all="ignore"):
            v = getattr(np, name)(*xs)
            r = float(RESIDUALS[name](np.asarray(v), *map(np.asarray, xs)))
        if not (np.isfinite(v) and np.isfinite(r)):
            continue
        known += 1
        assert Fraction(r) == EXACTLY[name](*map(Fraction, xs)) - Fraction(float(v))
    assert known > 0.6 * len(operands)


def test_where_no_residual_is_known_nothing_is_exact() -> None:
    """Beyond 2^996 a factor cannot be split; below 2^-968 a product's residual may underflow."""
    a = Arithmetic("float64")
    for x, y in ((2.0**1000, 1.0), (2.0**-500, 2.0**-500)):
        assert ((a([x]) * a([y])).full > 0).all()
    assert ((a([2.0**900]) * a([2.0**-900])).full == 0).all()


def test_what_underflows_to_zero_is_not_exact() -> None:
    a = Arithmetic("float64")
    for y in (np.exp(a([-800.0])), a([1e-200]) * a([1e-200]), a([1e-300]) / a([1e300])):
        assert (y.v == 0).all()
        assert (y.full > 0).all()
    for y in (a([0.0]) * a([3.0]), np.sqrt(a([0.0])), a([0.0]) + a([0.0]), a([1.0]) - a([1.0])):
        assert ((y.v == 0) & (y.full == 0)).all()


@pytest.mark.parametrize("f", [lambda y: np.maximum(y, 0), lambda y: np.max(y, keepdims=True),
                               lambda y: np.clip(y, 0, 5)])  # fmt: skip
def test_an_error_below_the_spacing_is_not_lost(f: Callable[[Tracked], Tracked]) -> None:
    """v + e rounds to v there."""
    y = Tracked(np.array([1.0]), np.array([2.0**-60]), Arithmetic("float64"))
    assert f(y).full == 2.0**-60
    assert once(lambda z: z * 1, y).full > 2.0**-60


SUMS = {
    "in a register of 64 bits first": [1.0, 1.0],
    "downwards": [1.0, 1.0],
    "upwards": [1 + 2.0**-52, 1 + 2.0**-52],
}


@pytest.mark.parametrize("rounded", SUMS)
def test_a_platform_that_has_not_even_float64_is_refused(rounded: str) -> None:
    refuse_other_rounding()
    with pytest.raises(GradparityError, match="float64 sums are not rounded once to nearest"):
        refuse_other_rounding(lambda x, y: np.array(SUMS[rounded]))


# --- it is said


def test_the_header_and_the_summary_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    header = results.header({}, {}, 0)
    assert header["truth"] == {"float64": ITSELF}
    assert ITSELF in words(header)
    monkeypatch.setattr(nouns, "LONGER", True)
    header = results.header({}, {}, 0)
    assert header["truth"]["float64"].startswith("long double, ")
    assert "long double" not in words(header)


def words(header: dict[str, Any]) -> str:
    console = report.Console(width=120)
    with console.capture() as captured:
        console.print(report.summary(results.Run(header=header), Path("x.jsonl")))
    return " ".join(captured.get().split())
