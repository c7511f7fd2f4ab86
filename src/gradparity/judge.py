"""What an implementation computes in one direction, set beside the reference: a row for each case and check."""

from __future__ import annotations

import time
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gradparity.adapter import Adapter, Implementation, Rule
from gradparity.arithmetic import Tracked
from gradparity.cases import LAYOUTS, Group, groups
from gradparity.comparison import described, digest, distance, number, ratios, wrong_kind
from gradparity.dual import NotDifferentiableError
from gradparity.misrounded import Baseline, misrounded
from gradparity.op import (
    COMPARED,
    DERIVED,
    FORMATS,
    MISROUNDED,
    Array,
    Arrays,
    Case,
    FallbackError,
    Format,
    Op,
    Raises,
    Result,
    UnsupportedError,
    join,
    named,
)
from gradparity.truth import (
    cotangents,
    expected,
    grouped,
)

SOURCES = ("sum", "exp", "log", "log1p", "sqrt", "divide", "multiply", "add", "subtract", "square", "eigh",
           "underflow", "output rounding")  # fmt: skip
MOST_UNBOUNDED = 0.5  # of the elements of a row: a pass says something of at least half of them


def blank(op: Op, implementation: Implementation, adapter: Adapter, dtype: str) -> Result:
    """A row without a case: who is judged, and what it declares."""
    return Result(
        op.name, implementation.api, adapter.framework, adapter.mode, adapter.device, dtype, "", "", "",
        conventions=stated(op, implementation), road=implementation.road,
    )  # fmt: skip


def stated(op: Op, implementation: Implementation) -> str:
    """The conventions that an implementation takes, in words."""
    return ", ".join(f"{k}={v}" for k, v in implementation.declared(op).items())


SECONDS: dict[str, float] = defaultdict(float)  # where the time of this process went: reference, framework


@contextmanager
def timed(what: str) -> Iterator[None]:
    start = time.perf_counter()
    try:
        yield
    finally:
        SECONDS[what] += time.perf_counter() - start


@contextmanager
def calling() -> Iterator[None]:
    """Around calls of a framework: a warning is no verdict."""
    with timed("framework"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@dataclass(frozen=True, eq=False)
class Run:
    """One call of check. raises: the exception that is due in its cases, None where a result is. given: the dtype that
    the result is declared to have where the arguments are of several; "" where it is the one under test."""

    op: Op
    implementation: Implementation
    adapter: Adapter
    dtype: str
    direction: str
    seed: int
    row: Result
    explained: bool = True
    raises: Raises | None = None
    given: str = ""

    @property
    def checks(self) -> list[str]:
        return self.op.checks(self.direction)

    @property
    def kind(self) -> np.dtype[Any]:
        """The dtype of what is judged."""
        return FORMATS[self.given or self.dtype].dtype

    def rows(self, cases: tuple[Case, ...]) -> list[Result]:
        if self.direction in DERIVED:
            cases = tuple(case for case in cases if case.name in self.op.smooth_cases)
        cases = tuple(case for case in cases if case.only in ("", self.direction))
        rows = [result for case in cases for result in self.unsupported(case)]
        absent = {result.case for result in rows}
        for settled, at in self.by_edge(case for case in cases if case.name not in absent):
            for uniform, members in settled.implementation.by_precision(self.dtype, at):
                run = replace(settled, implementation=uniform)
                for group in grouped(self.op, self.dtype, members, self.seed, self.direction):
                    rows += run.judged(group)
        return rows

    def due(self, case: Case) -> Any:
        """What the implementation declares for the edge that this case is at."""
        return self.implementation.due(self.op, case, f"{self.adapter.mode}/{self.dtype}/{self.direction}")

    def by_edge(self, cases: Iterable[Case]) -> Iterator[tuple[Run, tuple[Case, ...]]]:
        """The cases for which the same is declared, and the run as it is for them: alone where an exception is due."""
        piles: dict[Any, list[Case]] = {}
        for case in cases:
            due = self.due(case)
            piles.setdefault((case.edge, repr(due), isinstance(due, Raises) and case.name), []).append(case)
        for members in piles.values():
            yield self.settled(members[0].edge, self.due(members[0])), tuple(members)

    def settled(self, edge: str, due: Any) -> Run:
        """The run as it is at that edge."""
        if isinstance(due, Raises):
            return replace(self, raises=due, row=replace(self.row, conventions=f"{edge}={due}"))
        implementation = self.implementation.settled(edge, due)
        return replace(
            self, implementation=implementation, row=replace(self.row, conventions=stated(self.op, implementation)),
            given=due if edge and due in FORMATS else "",
        )  # fmt: skip

    def unsupported(self, case: Case) -> Iterator[Result]:
        reason = self.why_unsupported(case)
        if reason:
            for name in named(case, self.direction, self.checks) + self.counted(self.checks, case):
                yield replace(self.row, case=case.name, check=name, status="unsupported", reason=reason)

    def why_unsupported(self, case: Case) -> str:
        if case.edge and self.due(case) is None:
            return f"what it does here is not declared: {case.edge}"
        if self.direction not in self.adapter.directions:
            return f"{self.adapter.name} has no {self.direction}"
        if self.direction in DERIVED and self.implementation.vjp is not None:
            return "its gradient is written by hand: no framework differentiates it"
        return self.implementation.why_unsupported(self.dtype, self.direction, case.name)

    def counted(self, checks: Sequence[str], case: Case, cotangent: str = "") -> list[str]:
        """The rows beside these that are about the share of misrounded results."""
        default = cotangent in ("", case.cotangents[0]) and self.direction in COMPARED
        return self.op.counted_checks(checks, case, self.dtype) if default else []

    def judged(self, group: Group) -> Iterator[Result]:
        try:
            with timed("reference"):
                want = {} if self.raises else self.expected(group)
        except NotDifferentiableError as kink:
            yield from self.raised(group, kink) if len(group.cases) == 1 else self.one_by_one(group)
            return
        before = SECONDS["framework"]
        try:
            with calling():
                got = self.computed(group)
        except Exception as exception:  # whatever a framework raises is a result
            if len(group.cases) == 1 or isinstance(exception, FallbackError | UnsupportedError):
                yield from self.raised(group, exception)
            else:
                yield from self.one_by_one(group)
            return
        share = (SECONDS["framework"] - before) / (len(self.checks) * len(group.cases))
        for name in self.checks:
            seen = {"seconds": float(f"{share:.2g}")}
            if self.raises:
                yield from self.not_raised(group, name, got.get(name), **seen)
            else:
                yield from self.compared(group, name, got.get(name), want[name], **seen)

    def one_by_one(self, group: Group) -> Iterator[Result]:
        """Which of the cases was it?"""
        for case in group.cases:
            for single in groups(self.op, self.dtype, (case,), self.seed, self.direction):
                if single.cotangent == group.cotangent:
                    yield from self.judged(single)

    def expected(self, group: Group, silent: str = "") -> dict[str, Tracked]:
        """Truth and bound, by the name of the check."""
        return expected(self.op, self.implementation, group, self.dtype, self.direction, silent)

    def computed(self, group: Group) -> dict[str, Array]:
        """What the framework computes, by the name of the check."""
        if self.direction == "value":
            got = value_of(self.op, self.adapter, self.implementation, group.laid_out(), group.params)
            return dict(zip(self.op.checks("value"), got, strict=False))
        g, arrays = LAYOUTS[group.layout](self.cotangents(group)), group.laid_out()
        if self.direction in DERIVED:
            call = self.adapter.call(self.implementation, group.params, group.axis)
            verb, g = self.adapter.derived[self.direction], None if self.direction == "jvp" else g
            along = {k: LAYOUTS[group.layout](group.tangents(k)) for k in self.op.wrt}
            return {join(self.direction, k): verb(call, group.laid_out(), k, v, g) for k, v in along.items()}
        dx = vjp_of(self.op, self.adapter, self.implementation, g, arrays, group.params)
        return {join("vjp", k): v for k, v in dx.items()}

    def cotangents(self, group: Group) -> Array:
        return cotangents(group, expected(self.op, self.implementation, group, self.dtype, "value")["value"].v)

    def row_of(self, group: Group, name: str, k: int, **seen: Any) -> Result:
        """The row of the group's k-th case for this check."""
        case = group.cases[k]
        cotangent = "" if group.cotangent == case.cotangents[0] else group.cotangent
        precision = str(self.implementation.precision_of(self.dtype, self.direction))
        row = replace(self.row, case=case.name, check=join(name, cotangent), precision=precision, **seen)
        return replace(row, message=self.message(row, row.message)) if row.message else row

    def raised(self, group: Group, exception: Exception) -> Iterator[Result]:
        for k, case in enumerate(group.cases):
            for name in self.checks + self.counted(self.checks, case, group.cotangent):
                yield self.row_of(group, name, k, **self.verdict_of(exception, case))

    def verdict_of(self, exception: Exception, case: Case) -> dict[str, Any]:
        """What there is to say of an exception: as declared, or not what is declared for an edge, or no result."""
        if isinstance(exception, UnsupportedError):
            return {"status": "unsupported", "reason": str(exception)}
        kind = type(exception).__name__
        words = "raised " + " ".join(f"{kind}: {exception}".split())[:400]
        seen = {"exception": kind} | ({"got": kind, "want": self.raises.exception} if self.raises else {})
        if isinstance(exception, FallbackError):
            return seen | {"status": "error", "reason": "fallback", "message": words}
        if self.raises and self.raises.allows(kind):
            return seen | {"status": "pass", "error": 0.0, "ulp": 0.0}
        if case.edge:
            words += f"; declared {self.row.conventions}"
            return seen | {"status": "fail", "reason": "convention", "message": words}
        return seen | {"status": "error", "reason": "exception", "message": words}

    def not_raised(self, group: Group, name: str, got: Any, **seen: Any) -> Iterator[Result]:
        words = f"gave {described(got)}; declared {self.row.conventions}"
        seen |= {"want": self.raises.exception if self.raises else "", "message": words}
        for k in range(len(group.cases)):
            yield self.row_of(group, name, k, status="fail", reason="convention", **seen)

    def compared(self, group: Group, name: str, got: Any, want: Tracked, **seen: Any) -> Iterator[Result]:
        form = FORMATS[self.dtype]
        mismatch = wrong_kind(got, want.v, self.kind)
        if mismatch:
            reason, words = mismatch
            for k, case in enumerate(group.cases):
                for check in [name, *self.counted([name], case, group.cotangent)]:
                    yield self.row_of(group, check, k, status="fail", reason=reason, message=words, **seen)
            return
        ratio = ratios(got, want.v, want.full, form)
        for k, case in enumerate(group.cases):
            parts = [group.part(a, k) for a in (ratio, got, want.v, want.full)]
            judged = self.verdict(group, name, k, *parts)
            yield self.row_of(group, name, k, **judged, bits=self.bits(parts[1]), **seen)
            for check in self.counted([name], case, group.cotangent):
                identity = self.row_of(group, check, k).id
                yield self.row_of(group, check, k, **self.share(identity, *misrounded(parts[1], parts[2], self.dtype)))

    def bits(self, got: Array) -> str:
        """A digest of an output: equal for the same bits."""
        return digest(got.tobytes())

    def share(self, identity: str, count: int, judged: int) -> dict[str, Any]:
        """What there is to say of so many misrounded results, beside the share that is recorded for the row."""
        adapter, seen = self.adapter, {"got": f"{count} of {judged}"}
        baseline = adapter.baseline or Baseline()
        limit = baseline.shares.get(identity)
        if limit is None and not (adapter.baseline and adapter.offers(self.implementation)):
            return seen | {"status": "unsupported", "reason": "no share of misrounded results is recorded for it"}
        if words := baseline.elsewhere(adapter.release):
            return seen | {"status": "unsupported", "reason": words}
        if limit is None:
            words = "no share of misrounded results is recorded: benchmarks/misrounded.py does it"
            return seen | {"status": "error", "reason": "baseline", "message": words}
        if not judged:
            words = "no result is a normal number: there is nothing to count"
            return seen | {"status": "error", "reason": "unbounded", "message": words}
        error = count / judged / limit
        words = (
            f"{100 * count / judged:.3g} % of {judged:,} results are not the nearest {self.dtype}, {error:.3g} times "
        )
        words += f"the recorded {100 * limit:.3g} %"
        bad = {"status": "fail", "reason": MISROUNDED, "message": words} if error > 1 else {"status": "pass"}
        return seen | bad | {"error": error, "want": f"{100 * limit:.3g} %"}

    def verdict(
        self, group: Group, name: str, k: int, ratio: Array, got: Array, want: Array, e: Array
    ) -> dict[str, Any]:  # fmt: skip
        """What there is to say of one case: its worst element, and why it fails if it does."""
        if not ratio.size:
            return {"status": "pass", "error": 0.0, "ulp": 0.0}
        form = FORMATS[self.dtype]
        free = unbounded(want, e, form)
        part = three_figures(free.mean())
        if (few := too_few(part)) and not (ratio[~free] > 1).any():
            return few | self.of_so_many(group.cases[k])
        at = worst(ratio, np.isfinite(got) & np.isfinite(want))
        error = float(ratio[at])
        seen = {"status": "pass", "error": error, "at": at, "ulp": distance(got[at], want[at], form),
                "got": number(got[at], self.dtype), "want": number(want[at], self.dtype, 3),
                "unbounded": part}  # fmt: skip
        if error <= 1:
            return seen
        words = self.difference(f"{list(at) or 'result'} = {seen['got']}", str(seen["want"]))
        finite = bool(np.isfinite(got[at]) and np.isfinite(want[at]))
        if not finite:
            words += "what is not finite must be the same"
        elif e[at] == 0:
            words += self.equality
        else:
            precision = self.implementation.precision_of(self.dtype, self.direction)
            why = f"; {self.explain(group, name, k, at)}" if self.explained else ""
            words += f"{error:.3g} times the allowed error ({precision}{why})"
        words += f"; declared {self.row.conventions}" if self.row.conventions else ""
        return seen | {"status": "fail", "reason": "bound" if finite else "nonfinite", "message": words}

    def of_so_many(self, case: Case) -> dict[str, Any]:
        """What is said instead where that is no fault: of sums of many numbers in 16 bits."""
        many = case.alone or self.direction == "jvp"  # a row of the Jacobian may be a sum over all of x
        if not many or FORMATS[self.dtype].bits >= FORMATS["float32"].bits:
            return {}
        words = f"so many numbers in {self.dtype} have no bound in the precision that is declared"
        return {"status": "unsupported", "reason": words, "message": ""}

    equality = "nothing is rounded here, they must be equal"

    def difference(self, seen: str, want: str) -> str:
        return f"{seen}, but the reference is {want}: "

    def explain(self, group: Group, name: str, k: int, at: tuple[int, ...]) -> str:
        """The sources of error that the bound at this element is mostly made of."""
        parts = self.contributions(group.cases[k], group.cotangent, name, at)
        largest = [source for source, part in parts.items() if part > 0.01][:2]
        return f"most of it from {', '.join(largest)}" if largest else "from many sources"

    def contributions(self, case: Case, cotangent: str, name: str, at: tuple[int, ...]) -> dict[str, float]:
        """By which share of it the bound at this element falls without each source of error, the largest first."""
        alone = next(g for g in groups(self.op, self.dtype, (case,), self.seed, self.direction)
                     if g.cotangent == cotangent)  # fmt: skip

        def bound(silent: str) -> float:
            return float(alone.part(self.expected(alone, silent)[name].full, 0)[at])

        whole = bound("")
        if not 0 < whole < np.inf:
            return {}
        drops = {source: 1 - bound(source) / whole for source in SOURCES}
        return {source: drops[source] for source in sorted(SOURCES, key=lambda source: -drops[source])}

    def message(self, row: Result, words: str) -> str:
        return f"{row.id} on {self.adapter.framework} {self.adapter.version}: {words}"


def unbounded(want: Array, e: Array, form: Format) -> Array:
    """Where the bound is infinite though what is due is a number of the format: any finite one passes."""
    return np.isinf(e) & (np.abs(want) <= form.max)


def three_figures(part: Any) -> float:
    return float(f"{part:.3g}")


def too_few(part: float) -> dict[str, Any]:
    """What there is to say where so large a part is unbounded that a pass would say little; nothing if it is not."""
    if part <= MOST_UNBOUNDED:
        return {}
    words = f"the bound is infinite at {100 * part:.3g} % of the elements: too few are judged"
    return {"status": "error", "reason": "unbounded", "message": words, "unbounded": part}


def worst(ratio: Array, finite: Array) -> tuple[int, ...]:
    """Where the largest ratio is; of several what is not finite, so that a failure is of the same kind wherever it
    lies."""
    largest = ratio == ratio.max()
    first = np.argmax(largest & ~finite if (largest & ~finite).any() else largest)
    return tuple(map(int, np.unravel_index(first, ratio.shape)))


def value_of(
    op: Op, adapter: Adapter, implementation: Implementation, arrays: Arrays, params: Mapping[str, Any]
) -> tuple[Array, ...]:
    return adapter.value(adapter.call(implementation, params, op.rows_axis(params, arrays)), arrays)


def vjp_of(
    op: Op, adapter: Adapter, implementation: Implementation, g: Array, arrays: Arrays, params: Mapping[str, Any]
) -> Arrays:
    """The framework's gradient, or the one that is written beside the implementation."""
    call = adapter.call(implementation, params, op.rows_axis(params, arrays))
    if implementation.vjp is None:
        return adapter.value_and_vjp(call, arrays, op.wrt, g)[1]
    rule = Rule(call, implementation.vjp, op.wrt)
    return dict(zip(op.wrt, adapter.value(rule, arrays | {"g": g}), strict=True))
