"""Special values that arise behind a prelude: the reference is the composite, and what gets them wrong is caught."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gradparity import catalogue
from gradparity.adapter import Adapter, Call, Implementation, Rule
from gradparity.adapters.numpy import ADAPTERS
from gradparity.arithmetic import Arithmetic, Precision, handed, overflowed
from gradparity.cases import Draw
from gradparity.check import check
from gradparity.conform import assert_conforms
from gradparity.mutation import NUMPY, right
from gradparity.op import FORMATS, Array, Arrays, Case, GradparityError, Op, Result, outputs
from gradparity.prelude import INSIDE, PRELUDES, Prelude, prelude_of
from gradparity.reference import OPS
from gradparity.reference.inside import CASES, PLACES
from gradparity.snippet import snippet

BEHIND = [OPS[name] for name in PLACES]
each_op = pytest.mark.parametrize("op", BEHIND, ids=list(PLACES))
each_prelude = pytest.mark.parametrize("name", PRELUDES)


def of(op: Op) -> tuple[Case, ...]:
    return tuple(case for case in op.edge_cases if INSIDE in case.params)


def drawn(op: Op, case: Case, dtype: str = "float32") -> Arrays:
    return case.arrays(Draw(f"{op.name}/{case.name}", dtype))


def made(prelude: Prelude, arrays: Arrays, number: Callable[[Array], Any]) -> Any:
    with np.errstate(all="ignore"):
        return prelude.before({k: v if v.dtype.kind == "i" else number(v) for k, v in arrays.items()})["x"]


# --- what is made of x


@each_op
def test_what_is_made_of_x_is_exact_in_every_dtype_or_beyond_it(op: Op) -> None:
    """By NumPy in that dtype, and in a wider one, and by the reference, which has no error there."""
    for case in of(op):
        for dtype in case.dtypes:
            prelude, arrays = PRELUDES[case.params[INSIDE]], drawn(op, case, dtype)
            z = made(prelude, arrays, lambda v: v)
            with np.errstate(over="ignore"):
                wider = made(prelude, arrays, lambda v: v.astype(np.float64)).astype(z.dtype)
            tracked = handed(overflowed(made(prelude, arrays, Arithmetic(dtype))))
            assert z.dtype == arrays["x"].dtype
            assert np.array_equal(z, wider, equal_nan=True)
            assert np.array_equal(z.astype(tracked.v.dtype), tracked.v, equal_nan=True)
            assert not tracked.e.any()


@each_op
def test_each_special_value_arises(op: Op) -> None:
    """Where the case is not one in which nothing is special."""
    for case in of(op):
        z, x = made(PRELUDES[case.params[INSIDE]], arrays := drawn(op, case), lambda v: v), arrays["x"]
        plain = case.name.endswith(tuple(f"inside-{name}" for name in PRELUDES))
        lowest = -FORMATS["float32"].max
        assert plain != ((~np.isfinite(z) & np.isfinite(x)) | (np.isnan(z) & np.isinf(x)) | (z == lowest)).any()


def test_a_row_without_classes_is_among_those_that_are_masked() -> None:
    (case,) = (case for case in of(OPS["softmax"]) if case.name == "inside-masked-rows")
    z = made(PRELUDES["masked"], drawn(OPS["softmax"], case), lambda v: v)
    assert (z == -np.inf).all(-1).tolist() == [i % 3 == 1 for i in range(8)]


def test_every_prelude_has_its_cases() -> None:
    assert set(CASES) == set(PRELUDES) == {name for place in PLACES.values() for name in place.preludes}


def test_a_prelude_that_is_not_known() -> None:
    with pytest.raises(GradparityError, match="unknown prelude 'scale'; did you mean scaled"):
        prelude_of({INSIDE: "scale"})
    assert prelude_of({}) is None


# --- the reference of the composite

STEP = 2.0**-60


@each_op
def test_the_gradient_is_the_complex_step_through_the_prelude(op: Op) -> None:
    """Along one direction, where nothing is special."""
    for case in of(op):
        if not case.name.endswith(tuple(f"inside-{name}" for name in PRELUDES)):
            continue
        arrays = {k: v if v.dtype.kind == "i" else v.astype(np.float64) for k, v in drawn(op, case).items()}
        rest = {k: v for k, v in arrays.items() if k != "x"} | dict(case.params)
        d = np.random.default_rng(1).normal(size=arrays["x"].shape)
        y = outputs(op.forward(x=arrays["x"], **rest))[0]
        g = np.random.default_rng(2).normal(size=y.shape)
        want = np.sum(g * outputs(op.forward(x=arrays["x"] + 1j * STEP * d, **rest))[0].imag) / STEP
        assert np.isclose(np.sum(d * op.vjp(g, y, x=arrays["x"], **rest)["x"]), want, rtol=1e-10), case.name


@each_op
def test_behind_a_prelude_it_is_what_it_is_of_what_is_made(op: Op) -> None:
    for case in of(op):
        arrays, prelude = drawn(op, case, "float64"), PRELUDES[case.params[INSIDE]]
        params = {k: v for k, v in case.params.items() if k != INSIDE}
        with np.errstate(all="ignore"):
            y = outputs(op.forward(**arrays, **case.params))[0]
            z = prelude.before(arrays)
            assert np.array_equal(y, outputs(op.forward(**z, **params))[0], equal_nan=True)
            g = np.ones(y.shape)
            dx = op.vjp(g, y, **arrays, **case.params)["x"]
            assert np.array_equal(dx, prelude.back(op.vjp(g, y, **z, **params)["x"], arrays), equal_nan=True)


def test_what_is_handed_on_may_be_rounded_or_not() -> None:
    """From float32 to a function in 16 bits; from a dtype to itself nothing is."""
    v = np.linspace(-3, 3, 1001)
    for dtype in ("float16", "bfloat16"):
        rounded = v.astype(FORMATS[dtype].dtype).astype(np.float64)
        e = handed(overflowed(Arithmetic(dtype)(v))).full
        assert (np.abs(rounded - v) <= e).all()
        assert ((e == 0) == (rounded == v)).all()
        assert not handed(Arithmetic(dtype, Precision("B"))(rounded)).e.any()


@pytest.mark.parametrize("cls", ["A", "B"])
@pytest.mark.parametrize("dtype", FORMATS)
def test_what_exceeds_every_number_is_infinite_and_what_exceeds_some_is_unbounded(dtype: str, cls: str) -> None:
    a, form = Arithmetic(dtype, Precision(cls)), FORMATS[dtype]
    x, scale = np.array([1.0, -1.0, 1.75, 2.0, -2.0, 4.0]), 2.0**form.emax
    with np.errstate(all="ignore"):
        z = handed(overflowed(a(x) * a(np.full(6, scale))))
        own = (x.astype(form.dtype) * form.dtype.type(scale)).astype(np.float64)
    if a.inner == form or dtype == "bfloat16":
        assert np.array_equal(z.v.astype(np.float64), own)
        assert not z.e.any()
    else:
        assert np.isfinite(z.v).all()
        assert (np.isinf(z.e) == np.isinf(own)).all()


# --- what gets it wrong


def softmax(z: Array) -> Array:
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def softmax_vjp(g: Array, y: Array, x: Array, axis: int) -> Arrays:
    y = softmax(x)
    return {"x": y * (g - np.sum(g * y, -1, keepdims=True))}


def rows(
    op: str, fn: Any, vjp: Any = None, direction: str = "value", adapter: Adapter = NUMPY, **more: Any
) -> dict[str, Result]:  # fmt: skip
    own = Implementation(op, "mine", fn, vjp=vjp, **more)
    with np.errstate(all="ignore"):
        return {row.case: row for row in check(OPS[op], own, adapter, "float32", direction, of(OPS[op]))}


def failing(found: dict[str, Result]) -> set[str]:
    assert {row.status for row in found.values()} <= {"pass", "fail"}
    return {name for name, row in found.items() if row.status == "fail"}


def test_the_right_function_passes() -> None:
    for direction in ("value", "vjp"):
        found = rows("softmax", lambda x, axis: softmax(x), softmax_vjp, direction)
        assert len(found) == sum(map(len, CASES.values()))
        assert failing(found) == set()


NOT_A_NUMBER = {
    "inside-scaled-by-0", "inside-scaled-by-inf", "inside-scaled-by-the-largest", "inside-cooled-to-0",
    "inside-cooled-to-the-least", "inside-masked-rows", "inside-masked-infinity", "inside-affine-infinities",
    "inside-affine-offset",
}  # fmt: skip


def test_a_function_that_loses_a_nan_which_arises_inside() -> None:
    """A maximum and a sum that do not see it. (Of infinities it makes NaN again.)"""

    def blind(x: Array, axis: int) -> Array:
        e = np.exp(x - np.fmax.reduce(x, -1, keepdims=True))
        return e / np.nansum(e, -1, keepdims=True)

    found, lost = rows("softmax", blind), {"inside-scaled-by-0", "inside-masked-infinity", "inside-affine-offset"}
    assert failing(found) == lost
    assert {found[name].reason for name in lost} == {"nonfinite"}


def test_a_function_that_takes_zero_for_a_row_that_is_not_a_number() -> None:
    assert failing(rows("softmax", lambda x, axis: np.nan_to_num(softmax(x)))) == NOT_A_NUMBER


def test_a_masked_entry_that_has_a_gradient() -> None:
    """Of logits that are cut at -30 somewhere on the way back."""

    def leaking(g: Array, y: Array, x: Array, axis: int) -> Arrays:
        return softmax_vjp(g, y, np.maximum(x, np.float32(-10)), axis)

    assert {"inside-masked-some", "inside-masked-by-the-lowest"} <= failing(
        rows("softmax", lambda x, axis: softmax(x), leaking, "vjp")
    )


def test_a_row_whose_mask_spills_over_into_the_next() -> None:
    def spilling(x: Array, axis: int) -> Array:
        y = softmax(x)
        return np.where(np.isnan(np.roll(y, 1, 0)), np.float32(np.nan), y)

    assert failing(rows("softmax", spilling)) >= NOT_A_NUMBER


# --- what is not done inside


def skipped(arrays: Arrays, prelude: Prelude | None) -> Arrays:
    return {k: v for k, v in arrays.items() if prelude is None or k not in prelude.beside}


def without_prelude(fn: Any, arrays: Arrays) -> tuple[Array, ...]:
    """A framework that computes fn as if there were nothing before it."""
    call = fn.call if isinstance(fn, Rule) else fn
    bare = Call(call.fn, call.renames, call.params, call.made_with, call.axis)
    return NUMPY.value(replace(fn, call=bare) if isinstance(fn, Rule) else bare, skipped(arrays, call.prelude))


def without_its_gradient(fn: Any, arrays: Arrays) -> tuple[Array, ...]:
    """A framework that gives the gradient for what was made of x."""
    if not isinstance(fn, Rule) or fn.call.prelude is None:
        return NUMPY.value(fn, arrays)
    bare = Call(fn.call.fn, fn.call.renames, fn.call.params, fn.call.made_with, fn.call.axis)
    return NUMPY.value(replace(fn, call=bare), fn.call.before(arrays))


@each_prelude
@pytest.mark.parametrize("op", ["softmax", "cross_entropy"])
def test_a_prelude_that_is_skipped(op: str, name: str) -> None:
    """But where an infinite x gives NaN too."""
    own = {case.name for case in of(OPS[op]) if case.params[INSIDE] == name} - {"inside-masked-infinity"}
    for direction in ("value", "vjp"):
        found = rows(
            op, right(OPS[op].forward), right(OPS[op].vjp), direction, replace(NUMPY, value=without_prelude)
        )  # fmt: skip
        assert own <= failing(found)


@pytest.mark.parametrize("name", ["scaled", "cooled", "affine"])
def test_a_prelude_without_its_gradient(name: str) -> None:
    own = {f"inside-{name}"} & {case.name for case in of(OPS["softmax"])}
    adapter = replace(NUMPY, value=without_its_gradient)
    assert own <= failing(rows("softmax", lambda x, axis: softmax(x), softmax_vjp, "vjp", adapter))


def test_calls_behind_different_preludes_are_not_taken_for_one_another() -> None:
    calls = [Call(max, {}, {"axis": 0, **more}) for more in ({}, *({INSIDE: name} for name in PRELUDES))]
    assert len(set(calls)) == len(calls)
    assert all(call.params == {"axis": 0} for call in calls)


COMPILED = [
    adapter for adapter in catalogue.default_profile(catalogue.adapters())[1]
    if adapter.installed and "compile" in adapter.show and adapter.mode not in ("compile", "vmap-grad")
    and adapter.framework in ("torch", "tensorflow", "jax")
]  # fmt: skip


@pytest.mark.parametrize("adapter", COMPILED, ids=lambda a: a.name.replace(" ", "-"))
def test_a_prelude_is_compiled_with_the_function(adapter: Adapter, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is traced once, however often what was compiled runs."""
    seen: list[int] = []

    def counted(x: Any, scale: Any) -> Any:
        seen.append(1)
        return x * scale

    monkeypatch.setitem(PRELUDES, "scaled", replace(PRELUDES["scaled"], forward=counted))
    call = Call(lambda x: x + x, {}, {INSIDE: "scaled"}, axis=0)
    for x in (1.0, 3.0):
        arrays = {"x": np.full((2, 3), x, np.float32), "scale": np.full((2, 1), 4, np.float32)}
        y, dx = adapter.value_and_vjp(call, arrays, ("x",), np.ones((2, 3), np.float32))
        assert (y[0] == 8 * x).all()
        assert (dx["x"] == 8).all()
    assert 1 <= len(seen) <= 2  # where the gradient is traced apart it is twice
    adapter.forget()


# --- rows that are ignored


def ignoring(x: Array, t: Array, weight: Array, *, leak: bool = False, reduction: str = "none", **params: Any) -> Array:
    keep = t != -100
    p, label = softmax(x), np.where(keep, t, 0)
    loss = -weight[label] * np.log(np.take_along_axis(p, label[:, None], 1)[:, 0])
    loss = loss * keep if leak else np.where(keep, loss, 0)
    return loss.astype(x.dtype) if reduction == "none" else (loss.sum() / weight[t[keep]].sum()).astype(x.dtype)


def ignoring_vjp(value: float) -> Callable[..., Arrays]:
    """Of which a row that is ignored and not finite is this."""

    def vjp(g: Array, y: Array, x: Array, t: Array, weight: Array, reduction: str, **params: Any) -> Arrays:
        keep = t != -100
        g = np.where(keep, g / weight[t[keep]].sum() if reduction == "mean" else g, 0) * weight[np.where(keep, t, 0)]
        dx = g[:, None] * (softmax(x) - (np.arange(x.shape[1]) == t[:, None]))
        dx[~keep & np.isnan(softmax(x)).any(-1)] = value
        return {"x": dx.astype(x.dtype)}

    return vjp


def ignored_rows(**more: Any) -> Iterator[tuple[str, set[str]]]:
    """The direction, and which of the cases with ignored rows fail."""
    for direction, vjp in (("value", None), ("vjp", more.pop("vjp", ignoring_vjp(0.0)))):
        found = rows("weighted_cross_entropy", more.get("fn", ignoring), vjp, direction,
                     conventions=more.get("conventions", {}))  # fmt: skip
        yield direction, {name for name in failing(found) if name.endswith("ignored")}


BOTH = {"inside-masked-ignored", "mean-inside-masked-ignored"}


def test_a_row_that_is_ignored_has_no_loss_and_no_gradient_whatever_it_is() -> None:
    assert dict(ignored_rows()) == {"value": set(), "vjp": set()}


def test_an_ignored_row_that_leaks_into_the_losses_and_their_mean() -> None:
    """0 times NaN is NaN."""
    leaking = dict(ignored_rows(fn=lambda **given: ignoring(leak=True, **given)))
    assert leaking == {"value": BOTH, "vjp": set()}


@pytest.mark.parametrize("gives", [0.0, np.nan])
@pytest.mark.parametrize("declares", [0.0, np.nan])
def test_the_gradient_of_an_ignored_row_is_what_is_declared(gives: float, declares: float) -> None:
    found = dict(ignored_rows(vjp=ignoring_vjp(gives), conventions={"ignored_row": declares}))
    assert found["vjp"] == (set() if repr(gives) == repr(declares) else BOTH)


def test_an_ignored_row_that_leaks_into_the_gradient_of_others() -> None:
    def vjp(**given: Any) -> Arrays:
        dx = ignoring_vjp(np.nan)(**given)["x"]
        return {"x": dx + 0 * dx.sum()}

    found = dict(ignored_rows(vjp=lambda g, y, **given: vjp(g=g, y=y, **given), conventions={"ignored_row": np.nan}))
    assert found["vjp"] == BOTH


# --- a function of one's own, and its program


def test_a_function_of_ones_own_is_called_behind_them() -> None:
    with pytest.raises(AssertionError, match="inside-masked-some/value"):
        assert_conforms(lambda x, axis: np.exp(x - 5) / np.exp(x - 5).sum(-1, keepdims=True) + (x == -np.inf),
                        "softmax", "numpy", select="*/inside-masked*/value")  # fmt: skip
    assert_conforms(lambda x, axis: softmax(x), "softmax", "numpy", select="*/inside-*/value")


@pytest.mark.parametrize("direction", ["value", "vjp"])
def test_a_program_shows_the_prelude_and_prints_what_was_seen(direction: str) -> None:
    op = OPS["cross_entropy"]
    (loop,) = (i for i in ADAPTERS[0].implementations if i.api.endswith("cross_entropy_loop"))
    case = next(case for case in of(op) if case.name == "inside-scaled")
    (row,) = check(op, loop, ADAPTERS[0], "float32", direction, (case,))
    text = snippet(op, loop, ADAPTERS[0], case, row)
    assert "scaled(x, scale)" in text
    assert "return x * scale" in text
    printed: list[str] = []
    exec(text, {"__name__": "snippet", "print": lambda *x: printed.extend(map(str, x))})
    assert np.float32(printed[0]) == np.float32(row.got)
