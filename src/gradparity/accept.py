"""A known-failures file rewritten from a run: what fails is entered, what passes is taken out, and each change is said.

Entries keep their reasons, links, comments and order. A glob of which some rows fail and others do not becomes the rows
that do; one of which the run has no row stays.
"""

from __future__ import annotations

import datetime
import math
import re
import shutil
import sysconfig
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import translate
from pathlib import Path
from typing import Any

import tomlkit
from packaging.version import InvalidVersion, Version

from gradparity import toml
from gradparity.known_failures import TO_DO, KnownFailure, entries_of
from gradparity.op import GradparityError, Result
from gradparity.results import Run, written_whole

HEADER = re.compile(r"\s*\[\[\s*(.+?)\s*\]\]")


@dataclass(frozen=True)
class Accepted:
    """A file's new text. done: what was changed, line by line; left: what a person has to do."""

    text: str
    done: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


def accept(run: Run, text: str, path: Path, reason: str = "", today: datetime.date | None = None) -> Accepted:
    """The text of a known-failures file with which this run would be as expected. reason: for entries that are new."""
    prelude, blocks = split(text)
    entries = in_order(entries_of(text, path), [framework for framework, _ in blocks], path)
    day, new = today or datetime.date.today(), {row.id: row for row in run.rows if row.status in ("fail", "error")}
    done: list[str] = []
    kept, spoken_of = [prelude], set[str]()
    for known, (_, block) in zip(entries, blocks, strict=True):
        rows = spoken_rows(known, run, day, spoken_of)
        spoken_of |= rows.keys()
        for identity in [row.id for row in rows.values() if stands(known, row)]:
            new.pop(identity, None)
        after, words = revised(known, block, list(rows.values()))
        kept.append(after)
        done += words
    nameless = [row for row in new.values() if row.reason == "exception" and not row.exception]
    added = [entry_of(rows, run, reason) for rows in together(row for row in new.values() if row not in nameless)]
    done += [f"added {words}" for _, words in added]
    left = [f"{path}: write the reason of: {words}" for _, words in added if not reason]
    left += [f"{row.id} passes, but is a known failure of another file: {row.message}" for row in run.rows
             if row.status == "xpass" and row.id not in spoken_of]  # fmt: skip
    left += [f"{row.id} is no verdict, and gets no entry: {row.message}" for row in nameless]
    return Accepted(joined([*kept, *(block for block, _ in added)]), done, left)


def stands(known: KnownFailure, row: Result) -> bool:
    """Whether the row still fails as the entry says, by whatever number; or cannot be judged."""
    return row.status in ("xfail", "unsupported") or known.is_the_way(row)


def spoken_rows(known: KnownFailure, run: Run, day: datetime.date, taken: set[str]) -> dict[str, Result]:
    """The rows that the entry speaks of, and none before it."""
    if not known.applies(run.header["subject"].get(known.framework, ""), day):
        return {}
    return {row.id: row for row in run.rows if row.id not in taken and known.speaks_of(row)}


# --- an entry that is there


def revised(known: KnownFailure, block: str, rows: Sequence[Result]) -> tuple[str, list[str]]:
    """The entry's text as it should be, empty if it should go, and what there is to say of it."""
    globs = [glob for old in known.id for glob in narrowed(old, known, rows)]
    if not globs:
        words = f"removed {known.source}, all rows of which pass or fail otherwise now; its reason was: {known.reason}"
        return "", [words]
    values: dict[str, Any] = {}
    said = []
    if globs != known.id:
        values["id"] = array(globs)
        said = [f"narrowed {known.source}: {gone}" for gone in known.id if gone not in globs]
    worst = max([row.error for row in rows if row.status == known.status and stands(known, row)], default=math.nan)
    if worst > known.max_error:
        values["max_error"] = rounded_up(worst)
        said.append(f"raised max_error of {known.source}: {known.max_error:g} -> {values['max_error']:g}")
    return (edited(block, known.framework, values) if values else block), said


def narrowed(glob: str, known: KnownFailure, rows: Sequence[Result]) -> list[str]:
    """The glob if it still stands as a whole, else the rows of it that do."""
    pattern = re.compile(translate(glob))
    own = [row for row in rows if pattern.match(row.id)]
    standing = [row.id for row in own if stands(known, row)]
    return [glob] if len(standing) == len(own) else [literal(identity) for identity in standing]


def edited(block: str, framework: str, values: Mapping[str, Any]) -> str:
    document = tomlkit.parse(block)
    for key, value in values.items():
        document[framework][0][key] = value
    return tomlkit.dumps(document)


# --- an entry that is new


def together(rows: Iterable[Result]) -> Iterator[list[Result]]:
    """The rows that one entry can hold: of one function, failing in one way."""
    found: dict[tuple[str, ...], list[Result]] = {}
    for row in rows:
        found.setdefault((row.framework, row.op, row.api, row.status, row.reason, row.exception), []).append(row)
    yield from (found[key] for key in sorted(found))


def entry_of(rows: Sequence[Result], run: Run, reason: str) -> tuple[str, str]:
    """Its text, and what there is to say of it."""
    first = rows[0]
    table = tomlkit.table()
    table["id"] = array(sorted(literal(row.id) for row in rows))
    table["versions"] = f">={public_version(run, first.framework)}"
    table["status"], table["kind"] = first.status, first.reason
    errors = [row.error for row in rows if not math.isnan(row.error)]
    if errors and first.status == "fail":
        table["max_error"] = rounded_up(max(errors))
    if first.exception:
        table["exception"] = first.exception
    table["reason"] = reason or f"{TO_DO}: why it fails, and how adapter, bound and reference were ruled out"
    way = " ".join(filter(None, (first.reason, first.exception)))
    document = tomlkit.document()
    document[first.framework] = tomlkit.aot()
    document[first.framework].append(table)
    return tomlkit.dumps(document), f"{len(rows)} rows of {first.op}/{first.api}: {first.status} ({way})"


def public_version(run: Run, framework: str) -> str:
    version = run.header["subject"].get(framework, "")
    try:
        return Version(version).public
    except InvalidVersion:
        raise GradparityError(f"the run does not say which version of {framework} it is of: {version!r}") from None


def array(globs: Iterable[str]) -> Any:
    found = tomlkit.array()
    found.extend(globs)
    return found.multiline(True)


def literal(identity: str) -> str:
    """The glob that matches this identity alone."""
    return re.sub(r"([*?[])", r"[\1]", identity)


def rounded_up(error: float) -> float:
    """To two digits."""
    if not 0 < error < math.inf:
        return error
    digits = 1 - math.floor(math.log10(error))
    return max(error, float(f"{math.ceil(error * 10.0**digits) / 10.0**digits:.3g}"))


# --- the file


def split(text: str) -> tuple[str, list[tuple[str, str]]]:
    """What stands before the first entry, and each entry with the comment that is right above it."""
    lines = text.splitlines(keepends=True)
    starts = []
    for number, line in enumerate(lines):
        if found := HEADER.match(line):
            start = number
            while start and lines[start - 1].lstrip().startswith("#"):
                start -= 1
            starts.append((start, found[1].strip("\"'")))
    ends = [start for start, _ in starts[1:]] + [len(lines)]
    blocks = [(name, "".join(lines[start:end])) for (start, name), end in zip(starts, ends, strict=False)]
    return "".join(lines[: starts[0][0]] if starts else lines), blocks


def in_order(entries: Mapping[str, list[KnownFailure]], frameworks: Sequence[str], path: Path) -> list[KnownFailure]:
    """The entries as they follow one another in the file."""
    left = {framework: list(found) for framework, found in entries.items()}
    if sorted(frameworks) != sorted(name for name, found in left.items() for _ in found):
        raise GradparityError(f"{path} is not written as [[framework]] tables, each on its own lines: edit it by hand")
    return [left[framework].pop(0) for framework in frameworks]


def joined(blocks: Iterable[str]) -> str:
    """With one empty line between them."""
    return "\n\n".join(block.strip("\n") for block in blocks if block.strip()) + "\n"


def write(text: str, path: Path) -> None:
    """All of it or nothing. Raises GradparityError where it would not be TOML, or would be another's."""
    toml.parsed(text, path)
    target = path.resolve()
    installed = [Path(folder).resolve() for folder in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}]
    if {"site-packages", "dist-packages"} & set(target.parts) or any(map(target.is_relative_to, installed)):
        raise GradparityError(f"{path} is in an installed package: write to a file of your own, and give it to run")
    with written_whole(target) as half:
        half.write_text(text, encoding="utf-8")
        if target.exists():
            shutil.copymode(target, half)
