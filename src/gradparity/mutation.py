"""Mutation testing of the suite itself: wrong implementations that the checks must kill, and the least error they see.

A mutant is the right NumPy implementation with one defect. In 16 bits it is fused: its inputs are cast to float32, it
computes there, and what it returns is rounded once, which is what class A says and what favours the mutant most.
The terms are the field's: DeMillo, Lipton & Sayward, Hints on test data selection (1978).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from gradparity.adapter import Fn, Implementation, first_match
from gradparity.adapters.numpy import ADAPTERS
from gradparity.arithmetic import Precision
from gradparity.check import check
from gradparity.misrounded import Baseline, allowed, sample
from gradparity.op import COMPARED, FORMATS, GradparityError, Result, is_float, outputs
from gradparity.reference import OPS

NUMPY = ADAPTERS[0]

# A defect takes the reference's function (its forward, or its vjp) and the dtype under test, and gives what is wrong.
Defect = Callable[[Fn, str], Fn]


@dataclass(frozen=True, eq=False)
class Mutant:
    """An implementation that is wrong in one way.

    value, vjp: the defect of either direction; a direction without one is right and is not run
    at: a case that must kill it, in every dtype and direction, or these by "op/name/dtype/direction" glob
    reason: "status/reason" of that case's row;  check: that row's check, if it is not the direction's first
    survives: "op/name/dtype/direction" glob -> the proof that no check can kill it there
    """

    op: str
    name: str
    value: Defect | None = None
    vjp: Defect | None = None
    at: str | Mapping[str, str] = ""
    reason: str = "fail/bound"
    check: str = ""
    conventions: Mapping[str, Any] = field(default_factory=dict)
    survives: Mapping[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return f"{self.op}/{self.name}"

    @property
    def directions(self) -> tuple[str, ...]:
        return tuple(direction for direction in COMPARED if getattr(self, direction))

    def case(self, dtype: str, direction: str) -> str:
        at = {"*": self.at} if isinstance(self.at, str) else self.at
        return first_match(at, f"{self.id}/{dtype}/{direction}", "")

    def proof(self, dtype: str, direction: str) -> str:
        return first_match(self.survives, f"{self.id}/{dtype}/{direction}", "")

    def implementation(self, dtype: str, direction: str, precision: str = "A") -> Implementation:
        """Right but for this direction's defect; the vjp is given the right output."""
        op = OPS[self.op]
        value = self.value if direction == "value" and self.value else right
        vjp = self.vjp if direction == "vjp" and self.vjp else right
        return Implementation(
            op.name, f"mutant.{self.name}", value(op.forward, dtype), vjp=vjp(op.vjp, dtype),
            conventions=self.conventions, precision={"*": Precision(precision)},
        )  # fmt: skip


def right(fn: Fn, dtype: str = "") -> Fn:
    """fn in float32 or better, what it returns rounded once to the dtype of x: no defect."""

    def rounded_once(*args: Any, **kw: Any) -> Any:
        y = fn(*map(widened, args), **{k: widened(v) for k, v in kw.items()})
        return each(lambda part: np.asarray(part).astype(kw["x"].dtype), y)

    return rounded_once


def widened(v: Any) -> Any:
    """A 16-bit array in float32; everything else as it is."""
    return v.astype(np.float32) if is_float(v) and isinstance(v, np.ndarray) and v.dtype.itemsize == 2 else v


def each(change: Callable[[Any], Any], y: Any) -> Any:
    """Every output, or every gradient, changed."""
    return {k: change(v) for k, v in y.items()} if isinstance(y, dict) else tuple(map(change, outputs(y)))


@dataclass(frozen=True)
class Cell:
    """How a mutant fared in one dtype and direction: the rows that kill it, among so many cases.

    factor: the largest error in units of the bound, shares of misrounded results aside; infinite where there was
        nothing to compare
    proof: why nothing can kill it here, if that is declared
    """

    mutant: Mutant
    dtype: str
    direction: str
    cases: int
    killers: tuple[Result, ...]
    factor: float
    proof: str

    @property
    def killed_by(self) -> int:
        """The number of cases that kill it."""
        return len({row.case for row in self.killers})

    @property
    def by_share_alone(self) -> bool:
        """It dies, but no result is beyond its bound: too many are misrounded."""
        return bool(self.killers) and all(row.is_share for row in self.killers)

    @property
    def first(self) -> Result | None:
        return self.killers[0] if self.killers else None

    @property
    def as_declared(self) -> bool:
        """It dies, or it lives and there is a proof that it must."""
        return bool(self.killers) != bool(self.proof)

    def __str__(self) -> str:
        what = f"{self.mutant.id} {self.dtype} {self.direction}"
        if self.first is None:
            why = self.proof or "and nothing says that it must"
            return f"{what}: lives, largest factor {self.factor:.3g}: {why}"
        words = f"{what}: killed by {self.killed_by} of {self.cases} cases, largest factor {self.factor:.3g}, "
        words += f"first {self.first.case}/{self.first.check} ({self.first.reason})"
        return words + (f"; but it is declared to live: {self.proof}" if self.proof else "")


def judged(mutant: Mutant, dtype: str, direction: str, precision: str = "A", counted: bool = False) -> Cell:
    """The mutant against every case of its operation. A bound that is infinite everywhere kills nothing.

    counted: the share of misrounded results is judged too, beside that of the right implementation."""
    op = OPS[mutant.op]
    adapter = replace(NUMPY, baseline=baseline(mutant, dtype, direction) if counted else None)
    implementation = mutant.implementation(dtype, direction, precision)
    rows = check(op, implementation, adapter, dtype, direction, explained=False)
    killers = tuple(row for row in rows if row.bad and row.reason != "unbounded")
    factor = max(math.inf if math.isnan(row.error) else row.error for row in rows if not row.is_share)
    return Cell(mutant, dtype, direction, len(op.cases), killers, factor, mutant.proof(dtype, direction))


def baseline(mutant: Mutant, dtype: str, direction: str) -> Baseline:
    """What would be recorded for the mutant, had it no defect."""
    op, sound = OPS[mutant.op], replace(mutant, value=None, vjp=None).implementation(dtype, direction)
    cases = tuple(case for case in op.cases if case.name == op.counted)
    rows = check(op, sound, replace(NUMPY, baseline=None), dtype, direction, cases)
    return Baseline(shares={row.id: allowed([sample(row)]) for row in rows if row.is_share})


def matrix(
    mutants: Sequence[Mutant], dtypes: Sequence[str], precision: str = "A", counted: bool = False
) -> Iterator[Cell]:
    """A cell for each mutant, dtype and direction, neighbours sharing their references."""
    for op in dict.fromkeys(mutant.op for mutant in mutants):
        for dtype in dtypes:
            for direction in COMPARED:
                for mutant in mutants:
                    if mutant.op == op and direction in mutant.directions:
                        yield judged(mutant, dtype, direction, precision, counted)


# --- the detection floor


def off(k: int) -> Defect:
    """Correct times (1 + 2^k u), u of the dtype under test, before the one rounding."""

    def defect(fn: Fn, dtype: str) -> Fn:
        factor = 1 + np.longdouble(2.0) ** k * FORMATS[dtype].unit
        return right(lambda *args, **kw: each(lambda y: np.asarray(y).astype(np.longdouble) * factor, fn(*args, **kw)))

    return defect


@dataclass(frozen=True)
class Floor:
    """The smallest k for which correct * (1 + 2^k u) is caught, and the row that catches it."""

    op: str
    dtype: str
    direction: str
    k: int
    first: Result

    @property
    def relative(self) -> float:
        return 2.0**self.k * FORMATS[self.dtype].unit


def floor(op: str, dtype: str, direction: str) -> Floor:
    """From one unit of the format that is computed in: what is smaller does not change the result."""
    bits = FORMATS[dtype].bits
    for k in range(min(0, bits - 24), bits + 1):
        found = judged(Mutant(op, f"off-by-2^{k}-u", off(k), off(k)), dtype, direction).first
        if found:
            return Floor(op, dtype, direction, k, found)
    raise GradparityError(f"an error of 200 % in {op}, {dtype}, {direction}, is not caught: its bounds judge nothing")
