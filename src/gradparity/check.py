"""What an implementation computes, set beside the reference: a row for each case and check."""

from __future__ import annotations

import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from gradparity.adapter import Adapter, Implementation, Rule
from gradparity.arithmetic import EVERYTHING, EXACTLY, Tracked, size
from gradparity.cases import LAYOUTS, Group, groups
from gradparity.comparison import as_integers, described, digest, distance, number, ratios, wrong_kind
from gradparity.dual import NotDifferentiableError
from gradparity.invariant import Subject, exact_in_wide, in_wide
from gradparity.misrounded import Baseline, misrounded
from gradparity.op import (
    BIT_EQUAL,
    COMPARED,
    DERIVED,
    FORMATS,
    HOW,
    MISROUNDED,
    WITHIN_BOUND,
    Array,
    Arrays,
    Case,
    FallbackError,
    GradparityError,
    Invariant,
    Op,
    Raises,
    Result,
    UnsupportedError,
    is_float,
    join,
    named,
    nearest,
    wide,
)
from gradparity.truth import (
    cotangents,
    declared,
    expected,
    grouped,
    remembered,
    sound,
    stored_value,
    stored_vjp,
)

SOURCES = ("sum", "exp", "log", "log1p", "sqrt", "divide", "multiply", "add", "subtract", "square", "eigh",
           "underflow", "output rounding")  # fmt: skip


def check(
    op: Op,
    implementation: Implementation,
    adapter: Adapter,
    dtype: str,
    direction: str,
    cases: tuple[Case, ...] | None = None,
    seed: int = 0,
    explained: bool = True,
) -> list[Result]:
    """Every case of the operation but its edges, or these, in one direction: evaluated in bulk, judged one by one.

    Each case gives a Result for each check of the direction, whatever happens: an exception becomes one too. What a
    violated bound is made of costs a dozen references; explained=False leaves that out of the message.
    Raises GradparityError if the reference or a declaration is at fault, which is nobody's result.
    """
    cases = op.cases if cases is None else cases
    return [
        row
        for run in runs(op, implementation, adapter, dtype, direction, seed, explained)
        for row in run.rows(cases)
    ]  # fmt: skip


def runs(
    op: Op, implementation: Implementation, adapter: Adapter, dtype: str, direction: str, seed: int,
    explained: bool = True,
) -> list[Run]:  # fmt: skip
    """One for a direction that is compared with the reference, one for each invariant and each way to the same."""
    row = blank(op, implementation, adapter, dtype)
    if direction == "same":
        return [SameRun(op, implementation, adapter, dtype, d, seed, row, how=how) for how in HOW for d in COMPARED]
    if direction != "invariant":
        return [Run(op, implementation, adapter, dtype, direction, seed, row, explained)]
    subjects: dict[str, Subject] = {}
    return [
        InvariantRun(op, implementation, adapter, dtype, i.direction, seed, row, explained, invariant=i,
                     subjects=subjects)
        for i in op.invariants
    ]  # fmt: skip


def blank(op: Op, implementation: Implementation, adapter: Adapter, dtype: str) -> Result:
    """A row without a case: who is judged, and what it declares."""
    return Result(
        op.name, implementation.api, adapter.framework, adapter.mode, adapter.device, dtype, "", "", "",
        conventions=stated(op, implementation), road=implementation.road,
    )  # fmt: skip


def stated(op: Op, implementation: Implementation) -> str:
    """The conventions that an implementation takes, in words."""
    return ", ".join(f"{k}={v}" for k, v in implementation.declared(op).items())


def contributions(
    op: Op, implementation: Implementation, adapter: Adapter, dtype: str, case: Case, name: str, at: tuple[int, ...],
    seed: int = 0,
) -> dict[str, float]:  # fmt: skip
    """What the bound of the check `name` of this case is made of at one element: see Run.contributions."""
    direction = name.partition(".")[0]
    ((uniform, _),) = implementation.by_precision(dtype, (case,))
    for run in runs(op, uniform, adapter, dtype, direction, seed):
        for check_name in run.checks:
            for cotangent in case.cotangents:
                if name == join(check_name, "" if cotangent == case.cotangents[0] else cotangent):
                    return run.contributions(case, cotangent, check_name, at)
    raise GradparityError(nearest(name, op.row_checks(case, direction, dtype), f"check of {op.name}"))


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
    """One call of check. raises: the exception that is due in its cases, "" where a result is. given: the dtype that
    the result is declared to have where the arguments are of several; "" where it is the one under test."""

    op: Op
    implementation: Implementation
    adapter: Adapter
    dtype: str
    direction: str
    seed: int
    row: Result
    explained: bool = True
    raises: str = ""
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
            return replace(self, raises=due.exception, row=replace(self.row, conventions=f"{edge}={due}"))
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
        seen = {"exception": kind} | ({"got": kind, "want": self.raises} if self.raises else {})
        if isinstance(exception, FallbackError):
            return seen | {"status": "error", "reason": "fallback", "message": words}
        if kind == self.raises:
            return seen | {"status": "pass", "error": 0.0, "ulp": 0.0}
        if case.edge:
            words += f"; declared {self.row.conventions}"
            return seen | {"status": "fail", "reason": "convention", "message": words}
        return seen | {"status": "error", "reason": "exception", "message": words}

    def not_raised(self, group: Group, name: str, got: Any, **seen: Any) -> Iterator[Result]:
        words = f"gave {described(got)}; declared {self.row.conventions}"
        for k in range(len(group.cases)):
            yield self.row_of(
                group, name, k, status="fail", reason="convention", want=self.raises, message=words, **seen
            )  # fmt: skip

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
        if np.isinf(e).any() and (np.isinf(e) & (np.abs(want) <= form.max)).all():
            words = "the bound is infinite at every element: nothing was judged"
            return {"status": "error", "reason": "unbounded", "message": words}
        at = tuple(map(int, np.unravel_index(np.argmax(ratio), ratio.shape)))
        error = float(ratio[at])
        seen = {"status": "pass", "error": error, "at": at, "ulp": distance(got[at], want[at], form),
                "got": number(got[at], self.dtype), "want": number(want[at], self.dtype, 3)}  # fmt: skip
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


@dataclass(frozen=True, eq=False)
class InvariantRun(Run):
    """The part of a check that is one invariant: its residual in place of a value, 0 in place of the reference.

    subjects: the framework's functions, by operation, that the invariants of one check share
    """

    invariant: Invariant = field(kw_only=True)
    subjects: dict[str, Subject] = field(kw_only=True)
    equality = "nothing is allowed, however it was rounded"

    @property
    def checks(self) -> list[str]:
        return [join("invariant", self.invariant.name)]

    @property
    def kind(self) -> np.dtype[Any]:
        kind: np.dtype[Any] = np.dtype(wide(self.dtype))
        return kind

    @property
    def pair(self) -> list[tuple[Op, Implementation]]:
        """What the residual is of: the implementation, and the framework's first of the operation beside it."""
        op = self.invariant.other
        others = [(op, i) for i in self.adapter.implementations if op and i.op == op.name]
        return [(self.op, self.implementation), *others[:1]]

    def rows(self, cases: tuple[Case, ...]) -> list[Result]:
        return super().rows(tuple(case for case in cases if case.name in self.invariant.cases))

    def bits(self, got: Array) -> str:
        """None: in long double some are padding."""
        return ""

    def counted(self, *_: Any) -> list[str]:
        """A residual has no nearest number: it is 0."""
        return []

    def why_unsupported(self, case: Case) -> str:
        if self.invariant.other and len(self.pair) == 1:
            return f"{self.adapter.name} has no {self.invariant.other.name} to set it against"
        directions = dict.fromkeys(("invariant", "value", self.direction))
        reasons = (i.why_unsupported(self.dtype, d, case.name) for _, i in self.pair for d in directions)
        return next(filter(None, reasons), "")

    def expected(self, group: Group, silent: str = "") -> dict[str, Tracked]:
        key = (self.invariant, id(group), *(declared(*one, self.dtype, "vjp") for one in self.pair), self.dtype, silent)
        return remembered(key, lambda: (group, {self.checks[0]: self.bound(group, silent)}))[1]

    def bound(self, group: Group, silent: str) -> Tracked:
        """0, and how far from it the residual may be: as far as from the reference's, and that one's own distance,
        which is what the wide format rounds."""
        r = self.residual(group, self.reference(silent), exact_in_wide)
        if not silent and not self.kept(group, r):
            raise GradparityError(f"the reference of {self.op.name} does not keep {self.invariant.name}")
        return Tracked(0 * r.v, EXACTLY if self.invariant.exact else sound(r, self.op).e + size(r.v), r.a)

    def kept(self, group: Group, r: Tracked) -> bool:
        """Whether the reference keeps the invariant within its bound and its own error."""
        if (size(r.v) <= r.full).all():
            return True
        own = self.residual(group, self.reference(EVERYTHING), exact_in_wide)
        return bool((size(r.v) <= r.full + own.full).all())

    def computed(self, group: Group) -> dict[str, Array]:
        return {self.checks[0]: np.asarray(self.residual(group, self.framework, in_wide))}

    def framework(self, op: Op, implementation: Implementation) -> Subject:
        return self.subjects.setdefault(op.name, framework_subject(op, implementation, self.adapter, self.dtype))

    def reference(self, silent: str) -> Callable[[Op, Implementation], Subject]:
        def subject(op: Op, implementation: Implementation) -> Subject:
            key = (declared(op, implementation, self.dtype, "vjp"), self.dtype, silent, self.seed)
            return remembered(key, lambda: reference_subject(op, implementation, self.dtype, silent))

        return subject

    def residual(self, group: Group, subject: Callable[..., Subject], number: Callable[[str, Array], Any]) -> Any:
        arrays = group.arrays | ({"g": self.cotangents(group)} if self.direction == "vjp" else {})
        given = {k: number(self.dtype, v) if is_float(v) else v for k, v in arrays.items()}
        with np.errstate(all="ignore"):
            return self.invariant.residual(*(subject(*one) for one in self.pair), **given, **group.params)

    def difference(self, seen: str, want: str) -> str:
        return f"the residual {seen}, but it should be 0: "

    def verdict(self, *judged: Any) -> dict[str, Any]:
        """As of a value, but 0 has no unit in the last place."""
        return super().verdict(*judged) | {"ulp": np.nan}


@dataclass(frozen=True, eq=False)
class SameRun(Run):
    """Whether one case gives the same bits when it is computed again in another way: a member of HOW.

    What differs within twice the bound, each of the two being allowed one, passes and says so: no error, but a property
    that somebody may rely on.
    """

    how: str = field(kw_only=True)

    @property
    def checks(self) -> list[str]:
        return [join("same", self.how, self.direction)]

    def rows(self, cases: tuple[Case, ...]) -> list[Result]:
        return super().rows(tuple(case for case in cases if case.name == self.op.repeated))

    def counted(self, *_: Any) -> list[str]:
        """That is done where it is compared with the reference."""
        return []

    def why_unsupported(self, case: Case) -> str:
        if self.how == "alone" and self.op.batch_axis(case.params) is None:
            return "its rows are not independent of one another"
        if self.how == "transposed" and all(a.ndim < 2 for a in self.arrays(case).values()):
            return "its arrays have one axis"
        return super().why_unsupported(case)

    def arrays(self, case: Case) -> Arrays:
        return grouped(self.op, self.dtype, (case,), self.seed, self.direction)[0].arrays

    def judged(self, group: Group) -> Iterator[Result]:
        other = self.other(group)
        with timed("reference"):
            want = self.expected(other)
        try:
            with calling():
                first, second = self.computed(group), self.computed(other)
        except Exception as exception:  # as of any result
            yield from self.raised(group, exception)
            return
        pairs = [(in_part(first.get(name), other), second.get(name), want[name]) for name in want]
        yield self.row_of(group, self.checks[0], 0, **self.agreement(pairs))

    def other(self, group: Group) -> Group:
        if self.how == "alone":
            return first_row(group)
        return replace(group, layout=self.how) if self.how in LAYOUTS else group

    def agreement(self, pairs: Sequence[tuple[Array, Array, Tracked]]) -> dict[str, Any]:
        """What there is to say of two results of the same, and what each of them may err by."""
        one = pairs[0][0]  # another dtype than is due is said where the reference is compared
        kind = one.dtype if is_float(one) else self.kind
        for *both, want in pairs:
            for mismatch in filter(None, (wrong_kind(one, want.v, kind) for one in both)):
                return {"status": "fail", "reason": mismatch[0], "message": mismatch[1]}
        if all(first.tobytes() == second.tobytes() for first, second, _ in pairs):
            return {"status": "pass", "reason": BIT_EQUAL, "error": 0.0}
        form = FORMATS[self.dtype]
        error = max(float(ratios(b, a.astype(w.v.dtype), 2 * w.full, form).max(initial=0)) for a, b, w in pairs)
        count = sum(int((as_integers(a) != as_integers(b)).sum()) for a, b, _ in pairs)
        seen = {"error": error, "got": f"{count} of {sum(a.size for a, *_ in pairs)} other"}
        if error <= 1:
            return seen | {"status": "pass", "reason": WITHIN_BOUND}
        words = f"computed {self.how}, {seen['got']}, by up to {error:.3g} times what the two may differ"
        return seen | {"status": "fail", "reason": "bound", "message": words}


def in_part(got: Any, group: Group) -> Any:
    """Of a result, if it is one, what a group of one case looks at."""
    return group.part(got, 0) if isinstance(got, np.ndarray) else got


def first_row(group: Group) -> Group:
    """The first element along the batch axis, for itself."""
    row = replace(group, cases=group.cases[:1], draws=group.draws[:1], slices=(slice(0, 1),))
    return replace(row, arrays={k: row.part(v, 0) for k, v in group.arrays.items()})


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


def framework_subject(op: Op, implementation: Implementation, adapter: Adapter, dtype: str) -> Subject:
    """A framework's function as the f of a residual."""

    def value(arguments: Arrays) -> list[Any]:
        return [in_wide(dtype, y) for y in value_of(op, adapter, implementation, *parted(arguments))]

    def vjp(g: Array, arguments: Arrays) -> Arrays:
        dx = vjp_of(op, adapter, implementation, g, *parted(arguments))
        return {k: in_wide(dtype, v) for k, v in dx.items()}

    return Subject(dtype, value, vjp)


def parted(arguments: Arrays) -> tuple[Arrays, Arrays]:
    """Arrays, and parameters."""
    arrays = {k: v for k, v in arguments.items() if isinstance(v, np.ndarray)}
    return arrays, {k: v for k, v in arguments.items() if k not in arrays}


def reference_subject(op: Op, implementation: Implementation, dtype: str, silent: str) -> Subject:
    """The reference as the f of a residual: what the implementation may store, with its error."""

    def value(arguments: Arrays) -> list[Any]:
        return [in_wide(dtype, y) for y in stored_value(op, implementation, dtype, silent, arguments)]

    def vjp(g: Array, arguments: Arrays) -> Arrays:
        y = stored_value(op, implementation, dtype, silent, arguments)[0]
        dx = stored_vjp(op, implementation, dtype, silent, g, y, arguments)
        return {k: in_wide(dtype, v) for k, v in dx.items()}

    return Subject(dtype, value, vjp)
