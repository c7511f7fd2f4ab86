"""Two runs compared, row by row: may we take the candidate for the baseline? A pure function of results.

What changed is a fact and stands in a bucket; what of it counts, and ends in exit code 1, is the policy's.
"""

from __future__ import annotations

import datetime
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from operator import attrgetter

from gradparity.differences import Differences, of_environment, of_inputs, of_subject
from gradparity.op import BAD, BIT_EQUAL, WITHIN_BOUND, GradparityError, Result
from gradparity.policy import Policy, Waiver
from gradparity.results import Run

# The worst first; "gone" is in the baseline only, "new" in the candidate only, "bits" another result, no worse.
BUCKETS = ("regressed", "gone", "new", "bits", "improved", "fixed")
STATUSES = ("pass", "xpass", "xfail", "unsupported", "fail", "error")  # from good to bad
NUMBERED = ("pass", "xpass", "xfail", "fail")  # those that may have an error, as a fraction of the bound
NOTHING_REGRESSED, REGRESSED, UNLIKE, INCOMPLETE = 0, 1, 3, 4


@dataclass(frozen=True, slots=True)
class Change:
    """One row that is not as it was. kinds: what about it, see gradparity.policy; waived: why it does not count."""

    bucket: str
    kinds: tuple[str, ...]
    was: Result | None
    now: Result | None
    counted: bool = False
    waived: str = ""

    @property
    def row(self) -> Result:
        row = self.now or self.was
        assert row
        return row

    @property
    def id(self) -> str:
        return self.row.id

    @property
    def words(self) -> str:
        """What was and what is, in one line."""
        if self.was is None:
            return f"new: {described(self.row)}"
        if self.now is None:
            return f"gone: was {described(self.row)}"
        return "; ".join(WORDS[kind](self.was, self.now) for kind in self.kinds)


@dataclass(frozen=True)
class Gate:
    """What a comparison found. `notes`: what a person should know of the comparison itself."""

    baseline: Run
    candidate: Run
    across: bool
    inputs: list[str]
    environment: Differences
    subject: Differences
    changes: list[Change] = field(default_factory=list)
    compared: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def counts(self) -> Mapping[str, int]:
        found = Counter(change.bucket for change in self.changes)
        return {bucket: found[bucket] for bucket in BUCKETS}

    @property
    def counted(self) -> list[Change]:
        return [change for change in self.changes if change.counted]

    @property
    def comparable(self) -> bool:
        return not self.inputs and (self.across or not self.environment)

    @property
    def code(self) -> int:
        if not self.comparable:
            return UNLIKE
        if not (self.baseline.complete and self.candidate.complete):
            return INCOMPLETE
        return REGRESSED if self.counted else NOTHING_REGRESSED


def gate(
    baseline: Run, candidate: Run, policy: Policy, across: bool = False, today: datetime.date | None = None
) -> Gate:
    """across: compare them though they ran in two environments. Raises GradparityError if they share no row."""
    a, b = baseline.header, candidate.header
    found = Gate(baseline, candidate, across, of_inputs(a, b), of_environment(a, b), of_subject(a, b))
    if not found.comparable:
        return found
    was, now = ({row.id: row for row in run.rows} for run in (baseline, candidate))
    common = was.keys() & now.keys()
    if not common:
        raise GradparityError("no row is in both runs: nothing was compared")
    waivers, notes = in_force(policy, was.keys() | now.keys(), today or datetime.date.today())
    if baseline is candidate or baseline.footer.get("digest", "") == candidate.footer.get("digest"):
        notes.insert(0, "the two are the same run: one file, or a copy of it")
    changes = [judged(change, policy, waivers) for change in changes_of(was, now, policy)]
    return replace(found, changes=sorted(changes, key=worst_first), compared=len(common), notes=notes)


def changes_of(was: Mapping[str, Result], now: Mapping[str, Result], policy: Policy) -> Iterator[Change]:
    for identity, row in was.items():
        if identity not in now:
            yield Change("gone", ("gone",), row, None)
        elif row is not now[identity]:
            pair = by_the_other(row, now[identity]), by_the_other(now[identity], row)
            if change := change_of(*pair, policy):
                yield change
    for identity, row in now.items():
        if identity not in was:
            yield Change("new", ("new",) if row.status in BAD else (), None, row)


looked_at = attrgetter("status", "reason", "exception", "error", "precision", "conventions", "road")


def change_of(was: Result, now: Result, policy: Policy) -> Change | None:
    """None if nothing changed that is looked at."""
    if looked_at(was) == looked_at(now):  # as for most rows
        return Change("bits", ("bits",), was, now) if other_bits(was, now) else None
    worse, better = tuple(worsened(was, now, policy)), tuple(bettered(was, now, policy))
    if worse:
        return Change("regressed", worse, was, now)
    if better:
        return Change(
            "fixed" if "status" in better and now.status in ("pass", "xpass") else "improved", better, was, now
        )
    return Change("bits", ("bits",), was, now) if other_bits(was, now) else None


def worsened(was: Result, now: Result, policy: Policy) -> Iterator[str]:
    if rank(now) > rank(was):
        yield "status"
    if may_move(was, now) and not now.error <= max(policy.floor, policy.factor * was.error):  # NaN is worse too
        yield "error"
    if was.precision and now.precision and width(now) > width(was):
        yield "precision"
    if was.reason == BIT_EQUAL and now.reason == WITHIN_BOUND:
        yield "invariance"
    if (was.conventions, was.road) != (now.conventions, now.road):
        yield "convention"
    if was.status == now.status and failure(was) != failure(now):
        yield "exception"


def bettered(was: Result, now: Result, policy: Policy) -> Iterator[str]:
    if rank(now) < rank(was):
        yield "status"
    elif may_move(was, now) and was.error > policy.floor and now.error * policy.factor < was.error:
        yield "error"
    if was.precision and now.precision and width(now) < width(was):
        yield "precision"
    if was.reason == WITHIN_BOUND and now.reason == BIT_EQUAL:
        yield "invariance"


def rank(row: Result) -> int:
    return STATUSES.index(row.status)


def may_move(was: Result, now: Result) -> bool:
    """Whether there is an error, and other bits, so that it is the framework's doing if it moved."""
    numbered = was.status in NUMBERED and now.status in NUMBERED and not math.isnan(was.error)
    return numbered and not (was.bits and was.bits == now.bits)


def other_bits(was: Result, now: Result) -> bool:
    return bool(was.bits and now.bits) and was.bits != now.bits


def width(row: Result) -> tuple[str, bool]:
    """Orders precision classes from the narrowest: A sharp, A, B sharp, B, C."""
    return row.precision.removesuffix(" sharp"), not row.precision.endswith(" sharp")


def failure(row: Result) -> tuple[str, ...]:
    """How a row fails; of one that does not, or is known to, the exception, which may have been due."""
    if row.status in ("pass", "xpass", "xfail"):
        return (row.exception,) if row.exception else ()
    return (row.reason, row.exception) if row.status in ("fail", "error") else ()


def by_the_other(row: Result, other: Result) -> Result:
    """A share of misrounded results for which none is recorded with this version, judged by what is with the other."""
    if not (row.is_share and row.status == "unsupported" and other.status in ("pass", "fail")):
        return row
    counted, limit = re.fullmatch(r"(\d{1,15}) of (\d{1,15})", row.got), re.fullmatch(r"([\d.e+-]{1,20}) %", other.want)
    try:
        count, judged, percent = (float(text) for text in (*counted.groups(), *limit.groups()))  # type: ignore[union-attr]
        error = count / judged / (percent / 100)
    except (AttributeError, ValueError, ZeroDivisionError):
        return row
    reason = "misrounded" if error > 1 else ""
    return replace(row, status="fail" if error > 1 else "pass", reason=reason, error=error, want=other.want)


# --- what counts


def judged(change: Change, policy: Policy, waivers: Sequence[Waiver]) -> Change:
    """The change with whether it counts, and why not."""
    if not change.kinds or change.bucket in ("improved", "fixed"):
        return change
    if not set(change.kinds) & set(policy.count):
        return change if change.bucket == "bits" else replace(change, waived="the policy does not count it")
    waiver = next((waiver for waiver in waivers if waiver.pattern.match(change.id)), None)
    return (
        replace(change, waived=f"until {waiver.expires}: {waiver.reason}") if waiver else replace(change, counted=True)
    )


def in_force(policy: Policy, identities: Set[str], today: datetime.date) -> tuple[list[Waiver], list[str]]:
    """The waivers that hold today, and what there is to say of the others."""
    valid = [waiver for waiver in policy.waivers if today <= waiver.expires]
    notes = [f"{w.source}: expired on {w.expires}, so it waives nothing" for w in policy.waivers if w not in valid]
    unused = [waiver for waiver in valid if not any(map(waiver.pattern.match, identities))]
    return valid, notes + [f"{w.source}: {w.id[0]!r} matches no row of these runs" for w in unused]


def worst_first(change: Change) -> tuple[int, bool, int, float, str]:
    error = change.row.error
    severity = -rank(change.row) if change.bucket in ("regressed", "new") else 0
    return (BUCKETS.index(change.bucket), not change.counted, severity, math.inf if math.isnan(error) else -error,
            change.id)  # fmt: skip


# --- in words


def described(row: Result) -> str:
    return row.status + (f" ({row.reason})" if row.reason else "")


def declared(row: Result) -> str:
    return ", ".join(filter(None, (row.conventions, row.road))) or "none"


WORDS: Mapping[str, Callable[[Result, Result], str]] = {
    "status": lambda was, now: f"{described(was)} -> {described(now)}" + (f": {now.message}" if now.message else ""),
    "error": lambda was, now: f"error {was.error:.3g} -> {now.error:.3g} of the bound",
    "precision": lambda was, now: f"{was.precision} -> {now.precision}",
    "invariance": lambda was, now: f"{was.reason} -> {now.reason}" + (f": {now.got}" if now.got else ""),
    "convention": lambda was, now: f"declared {declared(was)} -> {declared(now)}",
    "exception": lambda was, now: f"{' '.join(failure(was)) or 'no'} -> {' '.join(failure(now))}",
    "bits": lambda was, now: f"other bits: error {was.error:.3g} -> {now.error:.3g} of the bound",
}
