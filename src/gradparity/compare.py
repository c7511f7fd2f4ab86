"""May one API replace another? The second is judged as if it made the choices that the first declares."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gradparity import catalogue
from gradparity.adapter import Adapter, Implementation
from gradparity.cases import groups
from gradparity.check import check, value_of, vjp_of
from gradparity.op import COMPARED, Case, GradparityError, Op, Result, nearest
from gradparity.reference import OPS
from gradparity.snippet import smallest

DTYPES = ("float64", "float32")  # what 16 bits differ in is precision, which the portability table shows
Rows = dict[tuple[str, str, str], Result]  # by dtype, case and check


@dataclass(frozen=True, eq=False)
class Api:
    """One API, in the mode that is meant where none is named."""

    adapter: Adapter
    implementation: Implementation

    @property
    def name(self) -> str:
        return self.implementation.api

    def taken_for(self, other: Api, op: Op) -> Implementation:
        """Its implementation, had it declared the other's choices."""
        return replace(self.implementation, conventions=other.implementation.declared(op))

    def rows(self, op: Op, as_of: Api) -> Rows:
        """What it gives everywhere, judged by the conventions of another, or by its own."""
        judged = self.taken_for(as_of, op)
        return {
            (row.dtype, row.case, row.check): row
            for dtype in DTYPES for direction in COMPARED
            for row in check(op, judged, self.adapter, dtype, direction, explained=False)
        }  # fmt: skip


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two APIs of one operation.

    choices: convention -> the two declared values, where they are not the same
    rows: where only one of them is what the first declares
    wrong: the names of those of the two that are in some of these rows not even what they declare themselves
    missing: what one of them does not offer: (its name, case, reason)
    tried: how many cases both were evaluated at
    """

    op: Op
    first: Api
    second: Api
    choices: dict[str, tuple[Any, Any]]
    rows: tuple[Result, ...]
    wrong: tuple[str, ...]
    missing: tuple[tuple[str, str, str], ...]
    tried: int

    @property
    def interchangeable(self) -> bool:
        return not (self.rows or self.missing)

    @property
    def lines(self) -> Iterator[str]:
        """The answer, and where they differ the shortest input that shows it."""
        names = f"{self.first.name} and {self.second.name}"
        if self.interchangeable:
            yield (
                f"{self.op.name}: {names} are interchangeable: within their error bounds they give the same values and "
                f"gradients at all {self.tried} cases, in {' and '.join(DTYPES)}"
            )
            yield from self.formulas()
            return
        yield f"{self.op.name}: {names} are not interchangeable: {'; '.join(self.reasons())}"
        for name, (mine, yours) in self.choices.items():
            yield f"  {name} ({self.op.conventions[name].meaning}): {mine} | {yours}"
        if self.rows:
            yield from self.example()

    def reasons(self) -> Iterator[str]:
        cases = {row.case for row in self.rows}
        if cases:
            what = ", ".join(sorted({row.check.partition(".")[0].replace("vjp", "gradient") for row in self.rows}))
            why = [f"in {name}" for name in self.choices] + [f"where {name} is wrong" for name in self.wrong]
            yield f"they differ {' and '.join(why)} ({what}; {len(cases)} of {self.tried} cases)"
        for name in dict.fromkeys(name for name, _, _ in self.missing):
            own = [(case, reason) for one, case, reason in self.missing if one == name]
            yield f"{name} does not offer {own[0][0]}: {own[0][1]}" + f" ({len(own)} cases)" * (len(own) > 1)

    def formulas(self) -> Iterator[str]:
        """Where one takes another formula for the value, whose error bounds are not the same."""
        roads = [self.op.roads.get(api.implementation.road) for api in (self.first, self.second)]
        forwards = [road.forward if road and road.forward else self.op.forward for road in roads]
        if forwards[0] is not forwards[1]:
            for api, forward in zip((self.first, self.second), forwards, strict=True):
                yield f"  {api.name} is judged as {(forward.__doc__ or forward.__name__).splitlines()[0]}"

    def example(self) -> Iterator[str]:
        """Inputs, and what both make of them."""
        row, case = self.shortest()
        (group,) = groups(self.op, row.dtype, (replace(case, cotangents=("ones",)),), 0, "vjp")
        params = "".join(f", {name}={value}" for name, value in group.params.items())
        arrays = ", ".join(f"{name} = {listed(a)}" for name, a in group.arrays.items())
        yield f"  {row.case}, {row.dtype}: {arrays}{params}"
        for api in (self.first, self.second):
            with np.errstate(all="ignore"):
                y = value_of(api.adapter, api.implementation, group.laid_out(), group.params)[0]
                g = np.ones(np.shape(y), np.asarray(y).dtype)
                dx = vjp_of(api.adapter, api.implementation, self.op.wrt, g, group.laid_out(), group.params)
            slopes = "".join(f", gradient for {name} {listed(a)}" for name, a in dx.items())
            yield f"    {api.name}: {listed(y)}{slopes}"

    def shortest(self) -> tuple[Result, Case]:
        """A row that differs and the case of it, cut to the one row of its batch that shows it where that will do."""

        def size(case: Case) -> int:
            (group, *_) = groups(self.op, DTYPES[0], (case,), 0, "value")
            return sum(a.size for a in group.arrays.values())

        differing = {row.case: row for row in reversed(self.rows)}
        case = min((case for case in self.op.cases if case.name in differing), key=size)
        row = differing[case.name]
        wrong = self.first if row.api == self.first.name else self.second
        alone, _ = smallest(self.op, wrong.taken_for(self.first, self.op), wrong.adapter, case, row, 0)
        return row, alone


def listed(a: Any) -> str:
    """As few digits as show the number; the middle of what is long left out."""
    return np.array2string(np.asarray(a, float), precision=6, separator=", ", threshold=20).replace("\n", "")


def compare(first: str, second: str) -> list[Comparison]:
    """One for each operation that both APIs implement. Raises GradparityError for a name that is not known, or if
    there is no such operation."""
    mine, yours = offered(first), offered(second)
    shared = [name for name in OPS if name in mine and name in yours]
    if not shared:
        raise GradparityError(
            f"{first} is {' and '.join(mine)}, {second} is {' and '.join(yours)}: different operations"
        )  # fmt: skip
    return [compared(OPS[name], mine[name], yours[name]) for name in shared]


def offered(api: str) -> dict[str, Api]:
    """operation -> the API that computes it."""
    everything = [
        (adapter, i) for adapter in catalogue.adapters() if adapter.default and adapter.installed
        for i in adapter.implementations
    ]  # fmt: skip
    found = {i.op: Api(adapter, i) for adapter, i in everything if i.api == api}
    if not found:
        raise GradparityError(nearest(api, sorted({i.api for _, i in everything}), "API"))
    return found


def compared(op: Op, first: Api, second: Api) -> Comparison:
    mine, yours = (api.implementation.declared(op) for api in (first, second))
    own = [api.rows(op, api) for api in (first, second)]
    pairs = {place: (row, own[0][place]) for place, row in second.rows(op, first).items()}
    differing = {place: pair for place, pair in pairs.items() if {row.status for row in pair} == {"pass", "fail"}}
    rows = tuple(row for pair in differing.values() for row in pair if row.status == "fail")
    wrong = tuple(
        api.name for api, seen in zip((first, second), own, strict=True)
        if any(seen[place].status == "fail" for place in differing)
    )  # fmt: skip
    choices = {k: (v, yours[k]) for k, v in mine.items() if repr(v) != repr(yours[k])}
    missing = tuple(absent(op, (first, second), own))
    return Comparison(op, first, second, choices, rows, wrong, missing, len(op.cases) - len(missing))


def absent(op: Op, apis: Sequence[Api], own: Sequence[Rows]) -> Iterator[tuple[str, str, str]]:
    """The cases that only one of them offers."""
    gaps = [{row.case: row.reason for row in rows.values() if row.status == "unsupported"} for rows in own]
    for api, here, there in zip(apis, gaps, reversed(gaps), strict=True):
        for case in op.cases:
            if case.name in here and case.name not in there:
                yield api.name, case.name, here[case.name]
