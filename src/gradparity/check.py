"""The one place where numbers are compared."""

from __future__ import annotations

import time
import traceback
import warnings
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from gradparity.adapter import Adapter, Implementation, Rule
from gradparity.arithmetic import Arithmetic, Tracked, size
from gradparity.cases import Group, groups
from gradparity.op import (
    FORMATS,
    Array,
    Case,
    Format,
    GradparityError,
    Op,
    Result,
    Road,
    is_float,
    join,
    nearest,
    outputs,
)

SOURCES = ("sum", "exp", "log", "log1p", "sqrt", "divide", "multiply", "add", "subtract", "square", "underflow",
           "output rounding")  # fmt: skip


def check(
    op: Op,
    implementation: Implementation,
    adapter: Adapter,
    dtype: str,
    direction: str,
    cases: tuple[Case, ...] | None = None,
    seed: int = 0,
) -> list[Result]:
    """Every case of the operation, in one direction: evaluated in bulk, judged one by one.

    Each case gives a Result for each check of the direction, whatever happens: an exception becomes one too.
    Raises GradparityError if the reference or a declaration is at fault, which is nobody's result.
    """
    cases = op.cases if cases is None else cases
    row = Result(op.name, implementation.api, adapter.framework, adapter.mode, adapter.device, dtype, "", "", "")
    run = Run(op, implementation, adapter, dtype, direction, seed, row)
    rows = [result for case in cases for result in run.unsupported(case)]
    absent = {result.case for result in rows}
    for group in grouped(op, dtype, tuple(c for c in cases if c.name not in absent), seed, direction):
        rows += run.judged(group)
    return rows


SECONDS: dict[str, float] = defaultdict(float)  # where the time of this process went: reference, framework


@contextmanager
def timed(what: str) -> Iterator[None]:
    start = time.perf_counter()
    try:
        yield
    finally:
        SECONDS[what] += time.perf_counter() - start


@dataclass(frozen=True, eq=False)
class Run:
    """One call of check."""

    op: Op
    implementation: Implementation
    adapter: Adapter
    dtype: str
    direction: str
    seed: int
    row: Result

    def unsupported(self, case: Case) -> Iterator[Result]:
        reason = self.implementation.why_unsupported(self.dtype, self.direction, case.name)
        if reason:
            for name in self.op.row_checks(case, self.direction):
                yield replace(self.row, case=case.name, check=name, status="unsupported", reason=reason)

    def judged(self, group: Group) -> Iterator[Result]:
        with timed("reference"):
            want = expected(self.op, self.implementation, group, self.dtype, self.direction)
            y = expected(self.op, self.implementation, group, self.dtype, "value")["value"].v
        try:
            with timed("framework"), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a warning is no verdict
                got = self.computed(group, y)
        except Exception as exception:  # whatever a framework raises is a result
            if len(group.cases) == 1:
                yield from self.raised(group, exception)
                return
            for case in group.cases:  # which of them was it?
                for single in groups(self.op, self.dtype, (case,), self.seed, self.direction):
                    if single.cotangent == group.cotangent:
                        yield from self.judged(single)
            return
        for name in self.op.checks(self.direction):
            yield from self.compared(group, name, got.get(name), want[name])

    def computed(self, group: Group, y: Array) -> dict[str, Array]:
        """What the framework computes, by the name of the check; y is the output that the cotangent belongs to."""
        call = self.adapter.call(self.implementation, group.params)
        arrays = group.laid_out()
        if self.direction == "value":
            got = self.adapter.value(call, arrays)
            return dict(zip(self.op.checks("value"), got, strict=False))
        g = cotangents(group, y)
        if self.implementation.vjp is None:
            dx = self.adapter.value_and_vjp(call, arrays, self.op.wrt, g)[1]
        else:
            rule = Rule(call, self.implementation.vjp, self.op.wrt)
            dx = dict(zip(self.op.wrt, self.adapter.value(rule, arrays | {"g": g}), strict=True))
        return {join("vjp", k): v for k, v in dx.items()}

    def row_of(self, group: Group, name: str, k: int, **seen: Any) -> Result:
        """The row of the group's k-th case for this check."""
        case = group.cases[k]
        cotangent = "" if group.cotangent == case.cotangents[0] else group.cotangent
        precision = str(self.implementation.precision_of(self.dtype, self.direction))
        row = replace(self.row, case=case.name, check=join(name, cotangent), precision=precision, **seen)
        return replace(row, message=self.message(row, row.message)) if row.message else row

    def raised(self, group: Group, exception: Exception) -> Iterator[Result]:
        kind = type(exception).__name__
        words = "raised " + " ".join(traceback.format_exception_only(exception)[-1].split())[:400]
        for name in self.op.checks(self.direction):
            for k in range(len(group.cases)):
                yield self.row_of(
                    group, name, k, status="error", reason="exception", exception=kind, message=words
                )  # fmt: skip

    def compared(self, group: Group, name: str, got: Any, want: Tracked) -> Iterator[Result]:
        form = FORMATS[self.dtype]
        mismatch = wrong_kind(got, want.v, form)
        if mismatch:
            reason, words = mismatch
            for k in range(len(group.cases)):
                yield self.row_of(group, name, k, status="fail", reason=reason, message=words)
            return
        ratio = ratios(got, want.v, want.full, form)
        for k in range(len(group.cases)):
            parts = (group.part(a, k) for a in (ratio, got, want.v, want.full))
            yield self.row_of(group, name, k, **self.verdict(group, name, k, *parts))

    def verdict(
        self, group: Group, name: str, k: int, ratio: Array, got: Array, want: Array, e: Array
    ) -> dict[str, Any]:  # fmt: skip
        """What there is to say of one case: its worst element, and why it fails if it does."""
        if not ratio.size:
            return {"status": "pass", "error": 0.0, "ulp": 0.0}
        form = FORMATS[self.dtype]
        if np.isinf(e).any() and (np.isinf(e) & (size(want) <= form.max)).all():
            words = "the bound is infinite at every element: nothing was judged"
            return {"status": "error", "reason": "unbounded", "message": words}
        at = tuple(map(int, np.unravel_index(np.argmax(ratio), ratio.shape)))
        error = float(ratio[at])
        seen = {"status": "pass", "error": error, "at": at, "ulp": distance(got[at], want[at], form),
                "got": number(got[at], self.dtype), "want": number(want[at], self.dtype, 3)}  # fmt: skip
        if error <= 1:
            return seen
        words = f"{list(at) or 'result'} = {seen['got']}, but the reference is {seen['want']}: "
        finite = bool(np.isfinite(got[at]) and np.isfinite(want[at]))
        if not finite:
            words += "what is not finite must be the same"
        elif e[at] == 0:
            words += "nothing is rounded here, they must be equal"
        else:
            precision = self.implementation.precision_of(self.dtype, self.direction)
            words += f"{error:.3g} times the allowed error ({precision}; {self.explain(group, name, k, at)})"
        declared = ", ".join(f"{k}={v}" for k, v in self.implementation.declared(self.op).items())
        words += f"; declared {declared}" if declared else ""
        return seen | {"status": "fail", "reason": "bound" if finite else "nonfinite", "message": words}

    def explain(self, group: Group, name: str, k: int, at: tuple[int, ...]) -> str:
        """The sources of error that the bound at this element is mostly made of: those without which it would be
        smallest."""
        alone = next(
            g for g in groups(self.op, self.dtype, (group.cases[k],), self.seed, self.direction)
            if g.cotangent == group.cotangent
        )  # fmt: skip

        def bound(silent: str) -> float:
            want = expected(self.op, self.implementation, alone, self.dtype, self.direction, silent)[name]
            return float(alone.part(want.full, 0)[at])

        whole = bound("")
        drops = {source: whole - bound(source) for source in SOURCES}
        largest = [s for s in sorted(drops, key=lambda s: -drops[s]) if drops[s] > 0.01 * whole][:2]
        return f"most of it from {', '.join(largest)}" if largest else "from many sources"

    def message(self, row: Result, words: str) -> str:
        return f"{row.id} on {self.adapter.framework} {self.adapter.version}: {words}"


def grouped(op: Op, dtype: str, cases: tuple[Case, ...], seed: int, direction: str) -> list[Group]:
    """By the cases themselves, not their names: somebody's case of the same name has other inputs."""
    return remembered((op, dtype, cases, seed, direction), lambda: groups(op, dtype, cases, seed, direction))


T = TypeVar("T")
REMEMBERED: OrderedDict[Any, Any] = OrderedDict()
MOST_REMEMBERED = 128  # groups, their references and bounds: what the implementations of one op and dtype share


def remembered(key: Any, make: Callable[[], T]) -> T:
    if key not in REMEMBERED:
        REMEMBERED[key] = make()
        if len(REMEMBERED) > MOST_REMEMBERED:
            REMEMBERED.popitem(last=False)
    REMEMBERED.move_to_end(key)
    found: T = REMEMBERED[key]
    return found


def cotangents(group: Group, y: Array) -> Array:
    """The group's cotangent, drawn once for the framework and the reference."""
    return remembered((id(group), "cotangents"), lambda: (group, group.cotangents(y)))[1]


def expected(
    op: Op, implementation: Implementation, group: Group, dtype: str, direction: str, silent: str = ""
) -> dict[str, Tracked]:
    """Truth and bound of each check, for this implementation's conventions, road and precision."""
    precisions = [repr(implementation.precision_of(dtype, d)) for d in ("value", direction)]
    conventions = repr(implementation.declared(op))
    key = (op, id(group), conventions, implementation.road, *precisions, dtype, direction, silent)
    make = reference_value if direction == "value" else reference_vjp
    # the group is kept beside its reference, so that its id is not given to another meanwhile
    return remembered(key, lambda: (group, make(op, implementation, group, dtype, silent)))[1]


def reference_value(
    op: Op, implementation: Implementation, group: Group, dtype: str, silent: str
) -> dict[str, Tracked]:  # fmt: skip
    refuse_flush_to_zero()
    a = Arithmetic(dtype, implementation.precision_of(dtype, "value"), silent)
    forward = road_of(op, implementation).forward or op.forward
    with np.errstate(all="ignore"):
        y = outputs(forward(**inputs(a, op, implementation, group)))
        return {name: sound(a.store(part), op) for name, part in zip(op.checks("value"), y, strict=True)}


def reference_vjp(
    op: Op, implementation: Implementation, group: Group, dtype: str, silent: str
) -> dict[str, Tracked]:  # fmt: skip
    y = expected(op, implementation, group, dtype, "value", silent)["value"]
    a = Arithmetic(dtype, implementation.precision_of(dtype, "vjp"), silent)
    vjp = road_of(op, implementation).vjp or op.vjp
    with np.errstate(all="ignore"):
        g, stored = a(cotangents(group, y.v)), Tracked(y.v, y.e, a)
        dx = vjp(g, stored, **inputs(a, op, implementation, group))
        return {join("vjp", k): sound(a.store(dx[k]), op) for k in op.wrt}


def road_of(op: Op, implementation: Implementation) -> Road:
    """The declared road; one that does not exist would silently be the operation's own."""
    if implementation.road and implementation.road not in op.roads:
        raise GradparityError(nearest(implementation.road, sorted(op.roads), f"road of {op.name}"))
    return op.roads.get(implementation.road, Road())


def refuse_flush_to_zero() -> None:
    """The processor's flush-to-zero mode belongs to the thread, NumPy's arithmetic included: the reference would be
    wrong wherever it underflows, and agree with what is wrong in the same way."""
    smallest = np.array([5e-324])
    if not (smallest * 1.0 > 0).all():
        raise GradparityError(
            "flush-to-zero is on in this thread, so the reference would be wrong: switch it off "
            "(torch.set_flush_denormal(True) or a library built with -ffast-math may have switched it on)"
        )


def inputs(a: Arithmetic, op: Op, implementation: Implementation, group: Group) -> dict[str, Any]:
    """Arguments, parameters and conventions of the reference."""
    return tracked(a, group.arrays) | tracked(a, group.params) | implementation.declared(op)


def tracked(a: Arithmetic, values: Any) -> dict[str, Any]:
    """Float arrays and parameters as inputs of the arithmetic; labels and words as they are."""
    return {k: a(v) if is_float(v) else v for k, v in values.items()}


def sound(y: Tracked, op: Op) -> Tracked:
    """A bound that is NaN, negative or of another shape judges nothing."""
    if np.isnan(y.e).any() or (y.e < 0).any() or y.full.shape != y.v.shape:
        raise GradparityError(f"the bound of {op.name} is NaN or negative somewhere: a rule of the arithmetic is wrong")
    return y


def wrong_kind(got: Any, want: Array, form: Format) -> tuple[str, str] | None:
    """What is wrong with the output before any number of it is looked at."""
    if not isinstance(got, np.ndarray):
        return "missing", f"gave {type(got).__name__} where an array was due"
    if got.shape != want.shape:
        return "shape", f"shape {got.shape}, but it should be {want.shape}"
    if got.dtype != form.dtype:
        return "dtype", f"dtype {got.dtype}, but it should be {form.dtype}"
    return None


def ratios(got: Array, want: Array, e: Array, form: Format) -> Array:
    """|got - want| / e by element: 0 where equal, infinite where nothing is allowed and they differ.

    What is not finite is matched by position first. Where |want| + e reaches beyond the largest number, infinity of
    that sign is right; where |want| itself does, nothing much below that number is.
    """
    with np.errstate(all="ignore"):
        got = got.astype(want.dtype)
        gap = size(got - want)
        if np.isfinite(gap).all() and np.isfinite(e).all():
            return np.divide(gap, e, out=np.where(gap > 0, np.inf, 0.0), where=(e > 0) & (gap > 0))
        ratio = np.where(gap == 0, 0.0, np.where(np.isinf(e) & np.isfinite(got), 0.0, gap / e))
        over = np.isinf(got) & (size(want) + e >= form.max) & (np.sign(got) == np.sign(want))
        under = (size(want) > form.max) & np.isinf(e) & (np.sign(got) * size(got) * np.sign(want) < form.max / 2)
        match = (np.isnan(got) & np.isnan(want)) | (got == want) | over
        unlike = ~np.isfinite(got) | ~np.isfinite(want) | under
        return np.where(match, 0.0, np.where(unlike, np.inf, ratio)).astype(np.float64)


def distance(got: Any, want: Any, form: Format) -> float:
    """|got - want| in units in the last place of want."""
    if not (np.isfinite(got) and np.isfinite(want)):
        return 0.0 if got == want or (np.isnan(got) and np.isnan(want)) else float("inf")
    with np.errstate(all="ignore"):
        exponent = max(int(np.frexp(want)[1]), form.emin + 1) if want else form.emin + 1
        return float(abs(want.dtype.type(got) - want) / np.ldexp(want.dtype.type(1), exponent - form.bits))


DIGITS = {"float64": 17, "float32": 9, "bfloat16": 5, "float16": 5}


def number(x: Any, dtype: str, more: int = 0) -> str:
    """As many digits as tell one number of the dtype from the next, and some more."""
    return f"{float(x):.{min(DIGITS[dtype] + more, 17)}g}"
