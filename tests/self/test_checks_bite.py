"""Wrong implementations fail, and the right one does not.

The wrong implementations are in mutants/, and test_mutants.py sees them die. Here: the right one, plain NumPy, passes
every case of every operation, the bounds do not accuse; what a failure says; and one result for each case and check.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gradparity.adapter import Adapter, Implementation
from gradparity.adapters.numpy import ADAPTERS
from gradparity.arithmetic import STEPWISE, Precision
from gradparity.cases import BESIDE
from gradparity.check import check
from gradparity.comparison import ratios
from gradparity.conform import explain
from gradparity.judge import worst
from gradparity.mutants.defects import raises
from gradparity.mutants.ragged_centroid import centroid_loss, centroid_vjp
from gradparity.mutants.softmax_family import via_logsumexp
from gradparity.mutation import each, right
from gradparity.op import COMPARED, FORMATS, LONGER, Array, Arrays, Case, GradparityError, Op, Result, join
from gradparity.reference import OPS

Fn = Callable[..., Any]
DTYPES = ("float64", "float32")
each_op = pytest.mark.parametrize("op", OPS.values(), ids=OPS)
each_dtype = pytest.mark.parametrize("dtype", DTYPES)


# --- the right implementation


def implementation(op: Op, name: str, fn: Fn | None = None, vjp: Fn | None = None, **more: Any) -> Implementation:
    """Right but for what is given."""
    return Implementation(op.name, f"wrong.{name}", fn or right(op.forward), vjp=vjp or right(op.vjp), **more)


def numpy_with(**more: Any) -> Adapter:
    """NumPy, in which every operation has its right function: what invariants set two operations beside."""
    return replace(
        ADAPTERS[0], implementations=tuple(implementation(op, "nothing", **more) for op in OPS.values()), baseline=None
    )


NUMPY = numpy_with()


JUDGED = (*COMPARED, "invariant")  # what is set beside the reference; test_same.py is about the others


@each_op
@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("direction", JUDGED)
def test_the_bounds_do_not_accuse(op: Op, dtype: str, direction: str) -> None:
    """Every case of every op passes, and each check of each case has its row. No share of it is recorded."""
    rows = check(op, implementation(op, "nothing"), NUMPY, dtype, direction)
    assert [row.message for row in rows if row.status != ("unsupported" if row.is_share else "pass")] == []
    assert sorted((row.case, row.check) for row in rows) == expected_rows(op, direction, dtype)


def expected_rows(op: Op, direction: str, dtype: str) -> list[tuple[str, str]]:
    """One for each case, check and cotangent, the first of which is not named; or for each invariant's case. In 16
    bits one more for each check of the counted case."""
    if direction == "same":
        return sorted((case.name, name) for case in op.cases for name in op.row_checks(case, direction, dtype))
    if direction == "invariant":
        names = {case.name for case in op.cases}
        return sorted((case, f"invariant.{i.name}") for i in op.invariants for case in i.cases if case in names)
    every = [
        (case.name, join(name, cotangent))
        for case in op.cases
        for name in op.checks(direction)
        for cotangent in ("", *(case.cotangents[1:] if direction == "vjp" else ()))
    ]
    counted = op.checks(direction) if dtype.endswith("16") else []
    return sorted(every + [(op.counted, f"{name}.misrounded") for name in counted if op.counted])


def cases(op: Op, *names: str) -> tuple[Case, ...]:
    return tuple(case for case in op.cases if case.name in names)


# --- messages


def only(rows: list[Result], case: str, name: str) -> Result:
    (row,) = (row for row in rows if (row.case, row.check) == (case, name))
    return row


def broken(op: str, change: Fn, case: str) -> Result:
    """The row of a case in which the right value, in float32, went through `change`."""
    correct = right(OPS[op].forward)
    implemented = implementation(OPS[op], "broken", lambda **kw: change(correct(**kw)[0], kw))
    rows = check(OPS[op], implemented, NUMPY, "float32", "value", cases(OPS[op], case))
    return only(rows, case, "value")


def one_element(factor: float) -> Fn:
    """Element [0, 3] times the factor."""

    def change(y: Array, kw: Arrays) -> Array:
        y = y.copy()
        y[0, 3] *= factor
        return y

    return change


WHO = rf"softmax/wrong\.broken/eager/cpu/float32/one-row/value on numpy {re.escape(np.__version__)}: "
NUMBER = r"0\.\d+"
WORDS = {
    "bound": (
        one_element(1.001),
        rf"\[0, 3\] = {NUMBER}, but the reference is {NUMBER}: "
        r"[\d.e+]+ times the allowed error \(class A; most of it from \w+, \w+\)",
    ),
    "nan": (
        one_element(np.nan),
        rf"\[0, 3\] = nan, but the reference is {NUMBER}: what is not finite must be the same",
    ),
    "shape": (lambda y, kw: y[0], r"shape \(7,\), but it should be \(1, 7\)"),
    "dtype": (lambda y, kw: y.astype(np.float64), r"dtype float64, but it should be float32"),
    "exception": (raises, r"raised ValueError: no such thing"),
}


@pytest.mark.parametrize("name", WORDS)
def test_a_failure_names_the_row_the_version_the_element_and_what_is_wrong(name: str) -> None:
    change, words = WORDS[name]
    message = broken("softmax", change, "one-row").message
    assert re.fullmatch(WHO + words, message), message


def test_a_failure_carries_what_its_message_says() -> None:
    row = broken("softmax", one_element(1.001), "one-row")
    assert f"{row.error:.3g} times" in row.message
    assert f"{list(row.at)} = {row.got}, but the reference is {row.want}:" in row.message
    assert np.float32(row.got) == np.float32(1.001) * np.float32(row.want) or row.ulp > 1
    assert (row.status, row.reason, row.at) == ("fail", "bound", (0, 3))


def test_a_verdict_is_the_same_without_what_its_bound_is_made_of() -> None:
    op = OPS["softmax"]
    implemented = implementation(op, "halved", lambda **kw: right(op.forward)(**kw)[0] / 2)
    long, short = (
        only(
            check(op, implemented, NUMPY, "float32", "value", cases(op, "one-row"), explained=explained),
            "one-row",
            "value",
        )
        for explained in (True, False)
    )
    assert replace(long, message="") == replace(short, message="")
    assert short.message.endswith("times the allowed error (class A)")
    assert "most of it from" in long.message


def test_twice_the_error_is_twice_the_factor_and_twice_the_units_in_the_last_place() -> None:
    """Up to the two roundings of what was returned, in units of the smaller error."""
    small, large = (broken("softmax", one_element(1 + 2.0**k), "one-row") for k in (-10, -9))
    for a, b in ((small.error, large.error), (small.ulp, large.ulp)):
        assert abs(b / a - 2) <= 3 / small.ulp


def test_where_nothing_is_rounded_the_message_says_so() -> None:
    row = broken("hinge", lambda y, kw: y + y.dtype.type(2**-20), "kink")
    assert row.message.endswith(
        "but the reference is 0: nothing is rounded here, they must be equal; declared kink=0.0, nan_margin=0.0"
    )
    assert row.error == np.inf


def test_a_bound_explains_itself() -> None:
    """By shares that are those of its message, of a row of the catalogue, whose framework need not be imported."""
    row = Result("softmax", "torch.nn.functional.softmax", "torch", "eager", "cpu", "float32", "one-row", "value",
                 "pass", at=(0, 3))  # fmt: skip
    shares = explain(row)
    first, second, *_ = shares
    assert list(shares.values()) == sorted(shares.values(), reverse=True)
    assert 0 <= min(shares.values()) <= shares[first] <= 1
    assert f"most of it from {first}, {second}" in broken("softmax", one_element(1.001), "one-row").message
    assert explain(replace(row, op="hinge", api="gradparity.adapters.torch.hinge_relu", case="kink", at=(0,))) == {}
    ones = explain(replace(row, case="digits", check="vjp.x.ones", at=(0, 0)))
    assert set(ones) == set(shares)
    assert explain(replace(row, case="scale-10", check="invariant.sums-to-one", at=(0,)))["sum"] > 0
    with pytest.raises(GradparityError, match="no row is called"):
        explain(replace(row, case="no-such-case"))


def test_an_exception_is_named() -> None:
    row = broken("softmax", raises, "one-row")
    assert (row.status, row.reason, row.exception) == ("error", "exception", "ValueError")


def test_a_row_is_identified_by_op_api_mode_device_dtype_case_and_check() -> None:
    row = broken("softmax", lambda y, kw: y, "one-row")
    assert row.id == "softmax/wrong.broken/eager/cpu/float32/one-row/value"
    assert (row.status, row.message) == ("pass", "")


# --- one result for each case and check, whatever happens


def grumpy(op: str) -> Fn:
    """Right, but raises where an argument is infinite."""

    def fn(**kw: Any) -> Any:
        return raises() if np.isinf(kw["x"]).any() else right(OPS[op].forward)(**kw)

    return fn


@each_dtype
@pytest.mark.parametrize("direction", COMPARED)
def test_an_exception_in_one_case_of_a_stack_does_not_spoil_the_others(dtype: str, direction: str) -> None:
    op = OPS["softmax"]
    rows = check(op, implementation(op, "grumpy", grumpy("softmax")), NUMPY, dtype, direction)
    assert sorted((row.case, row.check) for row in rows) == expected_rows(op, direction, dtype)
    assert {row.case: row.status for row in rows if row.status != "pass"} == {"minus-inf": "error", "plus-inf": "error"}


NONSENSE: dict[str, Fn] = {
    "raises": lambda **kw: raises(),
    "none": lambda **kw: None,
    "text": lambda **kw: "softmax",
    "nothing": lambda **kw: (),
}


@each_op
@pytest.mark.parametrize("direction", NUMPY.directions)
@pytest.mark.parametrize("name", NONSENSE)
def test_there_is_one_result_for_each_case_and_check(op: Op, direction: str, name: str) -> None:
    """And none of them a pass, where there is an element to look at or not."""
    nonsense = NONSENSE[name]
    implemented = implementation(op, name, nonsense, lambda g, y, **kw: {"x": nonsense(**kw)})
    some = tuple(case for case in op.cases if case.name not in LARGE)
    rows = check(op, implemented, NUMPY, "float32", direction, some)
    assert sorted((row.case, row.check) for row in rows) == expected_rows(replace(op, cases=some), direction, "float32")
    assert all(row.bad for row in rows if row.status != "unsupported")
    assert direction == "same" or not any(row.status == "unsupported" for row in rows)


def misread(g: Array) -> Array:
    """What lies in memory from the first element on, as a kernel sees it that does not ask how it lies."""
    straight = np.empty(g.shape, g.dtype).strides
    return np.lib.stride_tricks.as_strided(g, strides=straight) if min(g.strides, default=0) > 0 else g


@pytest.mark.parametrize("op", [OPS["softmax"], OPS["cross_entropy"], OPS["hinge"]], ids=lambda op: op.name)
def test_a_cotangent_lies_in_memory_as_the_arrays_do(op: Op) -> None:
    vjp = right(op.vjp)
    implemented = implementation(op, "misread", vjp=lambda g, y, **kw: vjp(misread(g), y, **kw))
    bad = {(row.case, row.check) for row in check(op, implemented, NUMPY, "float32", "vjp") if row.bad}
    rows_only = op.name == "cross_entropy"  # whose cotangent is a vector, which no order transposes
    assert {case for case, _ in bad} == ({"strided"} if rows_only else {"strided", "transposed"})
    assert ("strided", "vjp.x") in bad


@each_op
def test_there_is_a_gradient_for_one_output_one_for_none_and_one_for_signs(op: Op) -> None:
    """And a wrong one for none fails: what does not vanish with the cotangent."""
    vjp = right(op.vjp)
    left = implementation(
        op, "left", vjp=lambda g, y, **kw: {k: v + v.dtype.type(1) for k, v in vjp(g, y, **kw).items()}
    )
    rows = check(op, left, NUMPY, "float32", "vjp", cases(op, *BESIDE))
    names = {row.check.rpartition(".")[2] for row in rows if row.bad}
    assert names >= set(BESIDE.values())


LARGE = {"classes-32000", "classes-32000-dominant", "b32-n1000-d50-k25"}


def test_what_is_unsupported_is_counted_and_not_passed() -> None:
    op = OPS["sigmoid"]
    implemented = implementation(op, "some", unsupported={"float32/value/scale-*": "not written yet"})
    rows = check(op, implemented, NUMPY, "float32", "value")
    assert sorted((row.case, row.check) for row in rows) == expected_rows(op, "value", "float32")
    unsupported = [row for row in rows if row.status == "unsupported"]
    assert {row.case for row in unsupported} == {case.name for case in op.cases if case.name.startswith("scale-")}
    assert {row.reason for row in unsupported} == {"not written yet"}
    assert all(np.isnan(row.error) for row in unsupported)


def test_neighbours_in_a_stack_do_not_decide_about_one_another() -> None:
    """Each case has the verdict, the error and the element that it has alone."""
    op = OPS["log_softmax"]
    implemented = implementation(op, "via-lse", via_logsumexp)
    together = {row.case: row for row in check(op, implemented, NUMPY, "float32", "value")}
    for name in ("scale-1", "shift-10000", "dominant-20"):
        assert only(check(op, implemented, NUMPY, "float32", "value", cases(op, name)), name, "value") == together[name]


def test_a_repeated_check_gives_the_same_rows_and_another_seed_does_not() -> None:
    op = OPS["ragged_centroid"]
    some = cases(op, "random", "gaps", "coincident")
    implemented = implementation(op, "nothing", centroid_loss(), centroid_vjp())
    first, second, other = (check(op, implemented, NUMPY, "float32", "vjp", some, seed) for seed in (0, 0, 1))
    assert first == second
    assert [row.id for row in other] == [row.id for row in first]
    assert [row.error for row in other] != [row.error for row in first]


# --- what cannot be judged


def shifted(x: Any) -> Any:
    """Of 1e9 + x, float32 keeps x to within about 60: a smaller x may be 0 afterwards."""
    return 1 / ((x + 1e9) - 1e9)


def quotient(*xs: float) -> Op:
    return Op("quotient", shifted, lambda g, y, x: {"x": -g * y * y},
              (Case("points", lambda draw: {"x": draw.quantised(xs)}),))  # fmt: skip


@pytest.mark.parametrize(
    ("xs", "words"),
    [
        ((0.5, -3.0), "the bound is infinite at 100 % of the elements: too few are judged"),
        ((0.5, -3.0, 1e6), "the bound is infinite at 66.7 % of the elements: too few are judged"),
    ],
)
def test_a_bound_that_is_infinite_at_most_elements_is_an_error(xs: tuple[float, ...], words: str) -> None:
    (row,) = check(quotient(*xs), Implementation("quotient", "shifted", shifted), NUMPY, "float32", "value")
    assert (row.status, row.reason) == ("error", "unbounded")
    assert row.message.endswith(words)


@pytest.mark.parametrize(("dtype", "status"), [("float32", "error"), ("bfloat16", "unsupported")])
def test_of_a_size_it_is_unsupported_in_16_bits_where_a_long_sum_has_no_bound(dtype: str, status: str) -> None:
    op = quotient(0.5, -3.0)
    sized = replace(op, cases=tuple(replace(case, alone=True) for case in op.cases))
    own = Implementation("quotient", "shifted", lambda x: shifted(x).astype(x.dtype))
    (row,) = check(sized, own, NUMPY, dtype, "value")
    assert row.status == status


@pytest.mark.parametrize(("wrong", "status"), [(0, "pass"), (1, "fail")])
def test_a_bound_that_is_infinite_at_one_element_judges_the_others_and_says_so(wrong: int, status: str) -> None:
    def fn(x: Array) -> Array:
        return shifted(x) * np.where(np.arange(3) == wrong, x.dtype.type(2), x.dtype.type(1))

    (row,) = check(quotient(0.5, 1e6, 2e6), Implementation("quotient", "wrong", fn), NUMPY, "float32", "value")
    assert (row.status, row.unbounded) == (status, 0.333)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("wrong", [np.nan, 2.0])
def test_one_that_is_judged_and_wrong_fails_however_many_are_not(wrong: float, dtype: str) -> None:
    """A size in 16 bits too, which would be unsupported."""
    op = quotient(0.5, 3.0, 2.0**40)
    sized = replace(op, cases=tuple(replace(case, alone=True) for case in op.cases))
    own = Implementation("quotient", "shifted", lambda x: (shifted(x) * np.array([1, 1, wrong])).astype(x.dtype))
    (row,) = check(sized, own, NUMPY, dtype, "value")
    assert (row.status, row.at, row.unbounded) == ("fail", (2,), 0.667)


def test_a_result_beyond_the_largest_number_is_judged() -> None:
    op = Op("huge", lambda x: x * x, lambda g, y, x: {"x": 2 * g * x},
            (Case("points", lambda draw: {"x": draw.quantised([1e30, -1e30])}),))  # fmt: skip
    for fn, status in ((lambda x: x * x, "pass"), (lambda x: x, "fail")):
        (row,) = check(op, Implementation("huge", "square", fn), NUMPY, "float32", "value")
        assert (row.status, row.unbounded) == (status, 0.0)


def test_a_reference_at_fault_is_nobodys_result() -> None:
    op = replace(OPS["sigmoid"], forward=lambda x: np.sin(x))  # noqa: PLW0108  # a keyword argument
    with pytest.raises(GradparityError, match=r"no rule of the error arithmetic for numpy\.sin"):
        check(op, implementation(OPS["sigmoid"], "nothing"), NUMPY, "float32", "value")


CLIP = {"floor": 1e-7, "ceiling": 1 - 1e-7}


def clipped_likelihood(x: Any, t: Any, reduction: str) -> Any:
    low, high = (x.dtype.type(v) for v in CLIP.values())
    return right(OPS["negative_log_likelihood"].forward)(
        x=np.minimum(np.maximum(x, low), high), t=t, reduction=reduction
    )


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize(
    ("declared", "wrong"),
    [(CLIP, set()), ({}, {"near-floor"}), ({**CLIP, "normalised": "last"}, {"near-floor", "unnormalised-8"})],
)
def test_a_number_that_is_declared_is_meant_in_the_dtype(declared: Any, wrong: set[str], dtype: str) -> None:
    """1e-7 is 1.19e-7 in float16, where the loss is 15.94 instead of 16.12; nothing else is the clip's value there."""
    op = OPS["negative_log_likelihood"]
    clipped = implementation(op, "clipped", clipped_likelihood, conventions=declared)
    rows = check(op, clipped, NUMPY, dtype, "value", cases(op, "near-floor", "near-ceiling", "unnormalised-8"))
    assert {row.case for row in rows if row.status == "fail"} - {"near-ceiling"} == wrong


def test_a_value_that_no_convention_admits_cannot_be_declared() -> None:
    op = OPS["hinge"]
    with pytest.raises(GradparityError, match=r"declares kink=0\.25; it can be 0\.0, 0\.5, 1\.0"):
        check(op, implementation(op, "odd", conventions={"kink": 0.25}), NUMPY, "float32", "vjp")
    with pytest.raises(GradparityError, match="unknown convention of hinge 'knik'; did you mean kink"):
        check(op, implementation(op, "odd", conventions={"knik": 0.0}), NUMPY, "float32", "vjp")


def test_a_road_that_does_not_exist_cannot_be_declared() -> None:
    op = OPS["log_sigmoid"]
    for direction in NUMPY.directions:
        with pytest.raises(GradparityError, match="unknown road of log_sigmoid 'softpuls'; did you mean softplus"):
            check(op, implementation(op, "odd", road="softpuls"), NUMPY, "float32", direction)


@each_dtype
@pytest.mark.parametrize(
    ("op", "road"), [pytest.param(op, road, id=f"{op.name}/{road}") for op in OPS.values() for road in op.roads]
)
def test_the_bounds_of_a_road_do_not_accuse_who_takes_it(op: Op, road: str, dtype: str) -> None:
    forward, vjp = op.roads[road].forward or op.forward, op.roads[road].vjp or op.vjp
    taken = replace(op, forward=forward, vjp=vjp)
    for direction in JUDGED:
        rows = check(
            op, implementation(op, road, right(taken.forward), right(taken.vjp), road=road), NUMPY, dtype, direction
        )
        assert [row.message for row in rows if row.status != "pass"] == []


@pytest.mark.parametrize(
    ("name", "x", "lost_in", "kept_in"),
    [
        ("crammer_singer_hinge", [-1.5, -0.5 - 2.0**-11], "from-the-margin", ""),  # 1 - x_t is 1.5
        ("categorical_hinge", [0.25 + 2.0**-12, 1.25], "", "from-the-margin"),  # x_j - x_t is -1
    ],
)
def test_a_margin_that_one_order_of_addition_rounds_to_0_has_a_slope_in_the_other(
    name: str, x: list[float], lost_in: str, kept_in: str
) -> None:
    """In float16, a margin of 2^-11 or 2^-12: who has no slope there is right on one road, and wrong on the other."""
    op = OPS[name]
    case = Case("near-the-kink", lambda draw: {"x": np.array([x], np.float16), "t": np.array([1])}, op.cases[0].params)
    for road, status in ((lost_in, "pass"), (kept_in, "fail")):
        taken = implementation(
            op, "no_slope", vjp=lambda g, y, x, **kw: {"x": 0 * x}, road=road, precision={"*": STEPWISE}
        )
        (row,) = check(op, taken, NUMPY, "float16", "vjp", (case,))
        assert row.status == status, row.message


# --- ratios

INF, NAN = np.inf, np.nan
F32 = FORMATS["float32"]
NEAR = 2.0**104  # one spacing at the largest float32
RATIOS = {
    "equal": (1.0, 1.0, 0.0, 0.0),
    "equal, some allowed": (1.0, 1.0, 0.5, 0.0),
    "half of what is allowed": (1.25, 1.0, 0.5, 0.5),
    "all of it": (1.5, 1.0, 0.5, 1.0),
    "twice": (0.0, 1.0, 0.5, 2.0),
    "nothing is allowed": (1.25, 1.0, 0.0, INF),
    "anything is allowed": (1.25, 1.0, INF, 0.0),
    "zeros of either sign": (-0.0, 0.0, 0.0, 0.0),
    "nan and nan": (NAN, NAN, 0.0, 0.0),
    "nan where a number is due": (NAN, 1.0, 0.5, INF),
    "nan where any number is allowed": (NAN, 1.0, INF, INF),
    "a number where nan is due": (1.0, NAN, 0.0, INF),
    "inf where nan is due": (INF, NAN, 0.0, INF),
    "inf and inf": (INF, INF, 0.0, 0.0),
    "-inf and -inf": (-INF, -INF, 0.0, 0.0),
    "inf of the wrong sign": (-INF, INF, 0.0, INF),
    "inf of the wrong sign, unbounded": (-INF, INF, INF, INF),
    "inf where a number is due": (INF, 1.0, 0.5, INF),
    "a number where inf is due": (1.0, INF, 0.0, INF),
    "inf within reach": (INF, F32.max, NEAR, 0.0),
    "-inf within reach": (-INF, -F32.max, NEAR, 0.0),
    "inf of the wrong sign within reach": (-INF, F32.max, NEAR, INF),
    "inf out of reach": (INF, F32.max / 2, NEAR, INF),
    "inf where the truth is beyond the largest": (INF, 1e39, INF, 0.0),
    "the largest where the truth is beyond it": (F32.max, 1e39, INF, 0.0),
    "a small number where the truth is beyond the largest": (1.0, 1e39, INF, INF),
    "inf of the wrong sign where the truth is beyond the largest": (-INF, 1e39, INF, INF),
}


@pytest.mark.parametrize("name", RATIOS)
def test_ratio(name: str) -> None:
    got, want, e, ratio = RATIOS[name]
    arrays = np.array([got], np.float32), np.array([want]), np.array([e])
    assert ratios(*arrays, F32).tolist() == [ratio]


def test_a_ratio_is_taken_element_by_element() -> None:
    got, want = np.array([1.0, 2.0, NAN], np.float32), np.array([1.0, 1.0, NAN])
    assert ratios(got, want, np.array([0.0, 4.0, 0.0]), F32).tolist() == [0, 0.25, 0]


def test_a_ratio_is_taken_in_the_wider_format() -> None:
    """A difference that float64 does not hold is seen where truth is long double."""
    want = np.array([1], np.longdouble) + np.longdouble(2.0) ** -60
    assert ratios(np.array([1.0]), want, np.array([2.0**-61]), FORMATS["float64"]).tolist() == [2.0 if LONGER else 0.0]


# --- classes of precision

# nobody decomposes a matrix in 16 bits: Jacobi's rotations of the reference, each rounded to them, are no such library
NOT_IN_16_BITS = {"pca"}


@pytest.mark.parametrize("op", [op for name, op in OPS.items() if name not in NOT_IN_16_BITS], ids=lambda op: op.name)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("direction", JUDGED)
@pytest.mark.parametrize("cls", ["B", "C"])
def test_the_bounds_of_a_wider_class_do_not_accuse_either(op: Op, dtype: str, direction: str, cls: str) -> None:
    """What rounds once is within class B; NumPy and ml_dtypes round every operation to the dtype, which is within C.
    A bound that is infinite everywhere is no verdict."""
    rounded = right if cls == "B" else rounded_everywhere
    precision = {"*": Precision(cls)}
    implemented = implementation(op, "nothing", rounded(op.forward), rounded(op.vjp), precision=precision)
    some = tuple(case for case in op.cases if case.name not in LARGE)
    rows = check(op, implemented, numpy_with(precision=precision), dtype, direction, some)
    assert [row.message for row in rows if row.status == "fail" or row.reason == "exception"] == []


def rounded_everywhere(fn: Fn) -> Fn:
    """fn on arrays of the dtype under test."""
    return lambda *gy, **kw: each(lambda y: np.asarray(y).astype(kw["x"].dtype), fn(*gy, **kw))


def test_of_two_errors_without_measure_the_one_that_is_not_finite_is_reported() -> None:
    """Known failures name the kind: it must not depend on which element comes first, which the seed may decide."""
    ratio, finite = np.array([[0.5, np.inf], [np.inf, np.inf]]), np.array([[True, True], [True, False]])
    assert worst(ratio, finite) == (1, 1)
    assert worst(ratio, np.full((2, 2), True)) == (0, 1)
    assert worst(np.array([0.5, 2.0]), np.array([False, True])) == (1,)
