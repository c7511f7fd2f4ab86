"""The release in which rows began to fail: two ends that differ, and a binary search between them.

A row that passes at the one end and does not at the other decides. Known failures count as what they are, rows that do
not pass. A release that cannot be installed, imported or judged is left out, with a note.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from packaging.version import Version

from gradparity import results
from gradparity.op import GradparityError, Result
from gradparity.releases import Package
from gradparity.throwaway import Environments, UnusableError, command, suite_digest

PASSES, FAILS = ("pass", "xpass"), ("fail", "xfail", "error")
NOT_THERE = ("ImportError", "ModuleNotFoundError")  # an exception that tells of the environment, not of the row

Rows = Mapping[str, Result]  # by their identities
Judge = Callable[[Version], Rows]
Say = Callable[[str], None]


@dataclass
class Found:
    """What a search has found: the releases on both sides of the change, with their rows, and those left out.

    rows: the identities that decide: they pass at one end and fail at the other
    """

    before: Version
    after: Version
    seen: dict[Version, Rows] = field(default_factory=dict)
    rows: tuple[str, ...] = ()
    left_out: dict[Version, str] = field(default_factory=dict)

    @property
    def between(self) -> list[Version]:
        """Those that may be the first as well: left out, and between the two."""
        return sorted(v for v in self.left_out if self.before < v < self.after)


def environments_needed(releases: int) -> int:
    """At most, if none has to be left out: both ends, and a binary search between them."""
    return 2 + math.ceil(math.log2(releases - 1)) if releases > 2 else releases


def bisect(releases: Sequence[Version], good: Version, bad: Version, judge: Judge, say: Say) -> Found:
    """The neighbours among these releases, oldest first, between which the rows change. Where `good` is the newer end,
    it is the release that mended them. Raises GradparityError if the ends do not differ as they should."""
    found = Found(releases[0], releases[-1])
    for end in (good, bad):
        say(f"{end}: at work")
        found.seen[end] = judge(end)  # an end that cannot be judged ends it
        say(f"{end}: {counts(found.seen[end].values())}")
    found.rows = deciding(found.seen[good], found.seen[bad], good, bad)
    open_ = list(releases[1:-1])
    while open_:
        middle = open_[len(open_) // 2]
        say(f"{middle}: at work; {environments_needed(len(open_) + 2) - 2} to go at most")
        try:
            found.seen[middle] = rows = judge(middle)
            as_good = goodness(rows, found.rows)
        except UnusableError as error:
            found.left_out[middle] = str(error)
            say(f"{middle}: left out: {error}")
            open_.remove(middle)
            continue
        say(f"{middle}: {counts(rows[name] for name in found.rows if name in rows)}, as {good if as_good else bad}")
        if as_good == (good < bad):
            found.before = middle
        else:
            found.after = middle
        open_ = [v for v in open_ if found.before < v < found.after]
    return found


def deciding(good: Rows, bad: Rows, *ends: Version) -> tuple[str, ...]:
    """The rows that pass at the good end and fail at the bad one."""
    rows = tuple(
        name for name, row in good.items() if row.status in PASSES and name in bad and bad[name].status in FAILS
    )
    if rows:
        return rows
    for version, seen, wrong, want in ((ends[0], good, FAILS, "good"), (ends[1], bad, PASSES, "bad")):
        if any(row.status in wrong for row in seen.values()):
            words = f"{version} is not {want} ({counts(seen.values())})"
            raise GradparityError(f"no row passes with {ends[0]} and fails with {ends[1]}: {words}")
    raise GradparityError(f"no row of these is judged with both {ends[0]} and {ends[1]}")


def goodness(rows: Rows, names: Sequence[str]) -> bool:
    """Whether all of them pass. Raises UnusableError if nothing tells."""
    judged = [rows[name] for name in names if name in rows and rows[name].status in PASSES + FAILS]
    if not judged:
        raise UnusableError("none of the rows is judged with it")
    return all(row.status in PASSES for row in judged)


def counts(rows: Iterable[Result]) -> str:
    statuses = [row.status for row in rows]
    return ", ".join(f"{statuses.count(name)} {name}" for name in dict.fromkeys(statuses)) or "no rows"


def answer(found: Found, good: Version, bad: Version) -> list[str]:
    """The release, and a row before and after it."""
    verb, name = ("fail" if good < bad else "pass"), found.rows[0]
    lines = [f"{found.after} is the first release with which they {verb}; {found.before} is the last without"]
    lines += [f"or it is {version}: {found.left_out[version]}" for version in found.between]
    for version in (found.before, found.after):
        row = found.seen[version].get(name)
        lines.append(f"{version}: {row.message or f'{name}: {row.status}' if row else f'{name} is not there'}")
    return lines


@dataclass(frozen=True)
class Runs:
    """Runs of releases in environments of their own, kept."""

    package: Package
    environments: Environments
    select: str
    seed: int

    def python(self, version: Version) -> Path:
        return self.environments.python(f"{self.package.name}-{version}", self.package.requirements(version))

    def path(self, version: Version) -> Path:
        words = f"{suite_digest()} {self.select} {self.seed} {self.python(version)}"
        name = hashlib.sha256(words.encode()).hexdigest()[:16]
        return self.environments.folder / "runs" / f"{self.package.name}-{version}-{name}.jsonl.gz"

    def judge(self, version: Version) -> Rows:
        """Raises UnusableError if it cannot be run."""
        path = self.path(version)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            arguments = [
                "run",
                "--framework",
                self.package.framework,
                "--select",
                self.select,
                "--tier",
                "full",
                "--seed",
                str(self.seed),
            ]
            command([str(self.python(version)), "-m", "gradparity", *arguments, "-n", "1", "-o", str(path)], (0, 1))
        rows = {row.id: row for row in results.read(path).rows}
        for row in rows.values():
            if row.exception in NOT_THERE:
                raise UnusableError(row.message)
        return rows

    def report(self, version: Version, identity: str) -> str:
        """A bug report for a row, made with this release."""
        return command([str(self.python(version)), "-m", "gradparity", "repro", str(self.path(version)), identity])
