"""May one API replace another? The second is judged as if it made the choices that the first declares."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gradparity import catalogue
from gradparity.adapter import Adapter, Implementation
from gradparity.cases import Group, groups
from gradparity.check import check
from gradparity.judge import value_of, vjp_of
from gradparity.op import COMPARED, Case, GradparityError, Op, Result, nearest
from gradparity.reference import OPS
from gradparity.snippet import smallest

DTYPES = ("float64", "float32")  # what 16 bits differ in is precision, which the portability table shows
WORDS = {"value": "value", "vjp": "gradient"}
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

    def shown(self, op: Op, group: Group, row: Result) -> str:
        """What it gives for these inputs, and its gradients, where it has any, for a cotangent of ones."""
        arrays, params = group.laid_out(), group.params
        try:
            with np.errstate(all="ignore"):
                y = value_of(op, self.adapter, self.implementation, arrays, params)[0]
                if self.implementation.why_unsupported(row.dtype, "vjp", row.case):
                    return listed(y)
                g = np.ones(np.shape(y), np.asarray(y).dtype)
                dx = vjp_of(op, self.adapter, self.implementation, g, arrays, params)
        except Exception as exception:  # that it raises may be the difference
            return f"raises {type(exception).__name__}"
        return "".join((listed(y), *(f", gradient for {name} {listed(a)}" for name, a in dx.items())))


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two APIs of one operation.

    choices: convention -> the two declared values, where they are not the same
    rows: where only one of them is what the first declares
    wrong: the names of those of the two that are in some of these rows not even what they declare themselves
    missing: what only one of them does not offer: (its name, case, reason)
    silent: (direction, case) -> why it was not compared there
    tried: direction -> at how many cases both were judged in it
    """

    op: Op
    first: Api
    second: Api
    choices: dict[str, tuple[Any, Any]]
    rows: tuple[Result, ...]
    wrong: tuple[str, ...]
    missing: tuple[tuple[str, str, str], ...]
    silent: dict[tuple[str, str], str]
    tried: Mapping[str, int]

    @property
    def interchangeable(self) -> bool:
        return bool(self.tried) and not (self.rows or self.missing)

    @property
    def lines(self) -> Iterator[str]:
        """The answer, and where they differ the shortest input that shows it."""
        names = f"{self.first.name} and {self.second.name}"
        if self.interchangeable:
            same = " and ".join(f"the same {WORDS[d]}s at {count} cases" for d, count in self.tried.items())
            where = f"within their error bounds they give {same}, in {' and '.join(DTYPES)}"
            yield f"{self.op.name}: {names} are interchangeable: {where}"
            yield from self.formulas()
        else:
            yield f"{self.op.name}: {names} are not interchangeable: {'; '.join(self.reasons())}"
            for name, (mine, yours) in self.choices.items():
                yield f"  {name} ({self.op.conventions[name].meaning}): {mine} | {yours}"
        for (direction, reason), count in Counter((d, reason) for (d, _), reason in self.silent.items()).items():
            yield f"  {WORDS[direction]}s not compared at {count} cases: {reason}"
        if self.rows:
            yield from self.example()

    def reasons(self) -> Iterator[str]:
        if not (self.tried or self.missing):
            yield "nothing could be compared"
        if self.rows:
            what = ", ".join(sorted({WORDS[direction_of(row)] for row in self.rows}))
            cases = len({row.case for row in self.rows})
            why = [f"in {name}" for name in self.choices] + [f"where {name} is wrong" for name in self.wrong]
            yield f"they differ {' and '.join(why)} ({what}; {cases} of {max(self.tried.values())} cases)"
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
            yield f"    {api.name}: {api.shown(self.op, group, row)}"

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
    choices = {k: (v, yours[k]) for k, v in mine.items() if repr(v) != repr(yours[k])}
    own = [api.rows(op, api) for api in (first, second)]
    found: dict[str, dict[tuple[str, str, str], tuple[Result, Result]]] = {kind: {} for kind in KINDS}
    for place, row in second.rows(op, first).items():
        found[relation(own[0][place], row)][place] = own[0][place], row
    rows = tuple(row for pair in found["differing"].values() for row in pair if row.status != "pass")
    wrong = tuple(
        api.name for api, seen in zip((first, second), own, strict=True)
        if any(seen[place].status != "pass" for place in found["differing"])
    )  # fmt: skip
    missing = {(row.api, row.case): row.reason for pair in found["missing"].values() for row in pair
               if row.status == "unsupported"}  # fmt: skip
    silent = {
        (direction_of(row), row.case): row.reason if row.status == "unsupported" else NEITHER
        for row, _ in found["silent"].values()
    }
    judged = {(direction_of(row), row.case) for kind in KINDS[:2] for row, _ in found[kind].values()}
    tried = Counter(direction for direction, _ in sorted(judged))
    return Comparison(
        op, first, second, choices, rows, wrong, tuple((*k, v) for k, v in missing.items()), silent, tried
    )  # fmt: skip


KINDS = ("same", "differing", "missing", "silent")
NEITHER = "neither is what the first declares"


def direction_of(row: Result) -> str:
    return row.check.partition(".")[0]


def relation(mine: Result, yours: Result) -> str:
    """Of one place: both are what the first declares, or one is; one does not offer it; there is nothing to compare."""
    passed, gaps = ([mine.status, yours.status].count(status) for status in ("pass", "unsupported"))
    if gaps == 1:
        return "missing"
    return "silent" if not passed else "same" if passed == 2 else "differing"
