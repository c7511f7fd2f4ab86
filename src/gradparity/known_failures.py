"""Failures that are known: data in TOML, with a reason, held strictly both ways.

[[tensorflow]]
id = ["softmax/tf.nn.softmax/*/cpu/float32/nan/value"]   # globs of row identities
versions = ">=2.10"                                       # PEP 440; pre-releases match
status = "fail"                                           # or "error"
kind = "nonfinite"                                        # the reason that the row must have
max_error = inf                                           # for "fail": the largest error that is still this failure
exception = "ValueError"                                  # its type, or "A or B"; the kind "exception" needs it
reason = "..."
drawn = ["softmax/tf.nn.softmax/*/cpu/float32/size-*/value"]  # optional: globs of rows of drawn sizes; which of them
#                                                           fail so is a matter of size and seed, and they may pass
link = "https://..."                                      # optional, like platform (a sys.platform),
processor = "AVX512F"                                     # a set of instructions or an architecture, by NumPy's name
expires = 2027-01-31                                      # the day after which the row fails again
"""

from __future__ import annotations

import datetime
import math
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from fnmatch import translate
from functools import cached_property
from pathlib import Path
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from gradparity import toml
from gradparity.environment import features
from gradparity.op import GradparityError, Raises, Result

SIZED = "size-"  # in the name of every case of a drawn size, and of no other: see gradparity.reference.sizes
TO_DO = "TODO"  # a reason that is still to be written begins so


@dataclass(frozen=True)
class KnownFailure:
    """One entry. `source` says where it stands, for messages."""

    id: list[str]
    versions: str
    status: str
    kind: str
    reason: str
    max_error: float = math.nan
    exception: str = ""
    link: str = ""
    platform: str = ""
    processor: str = ""
    expires: datetime.date | None = None
    drawn: Sequence[str] = ()
    framework: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        wrong = (
            self.status not in ("fail", "error") and f"status {self.status!r} is neither fail nor error",
            not self.reason.strip() and "the reason is empty",
            self.reason.startswith(TO_DO) and "the reason is still to be written",
            self.link and not self.link.startswith("https://") and f"link {self.link!r} does not start with https://",
            self.status == "fail" and self.kind in ("bound", "nonfinite") and math.isnan(self.max_error)
            and "a failure by numbers needs max_error, the largest error that is still this failure (inf if any)",
            self.kind == "exception" and not self.exception and "the kind exception needs exception, its type's name",
            self.kind in ("bound", "nonfinite") and self.exception and f"there is no exception of the kind {self.kind}",
            not self.id and "id is empty",
            not all(SIZED in glob for glob in self.drawn)
            and f"drawn is for cases of drawn sizes, whose names have {SIZED!r} in them",
        )  # fmt: skip
        if words := next(filter(None, wrong), ""):
            raise GradparityError(f"{self.source}: {words}")
        try:
            SpecifierSet(self.versions)
        except InvalidSpecifier:
            raise GradparityError(f"{self.source}: versions {self.versions!r} is no PEP 440 specifier") from None

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        return any_of(self.id)

    @cached_property
    def drawn_pattern(self) -> re.Pattern[str]:
        return any_of(self.drawn)

    def applies(self, version: str, today: datetime.date) -> bool:
        """Whether the entry speaks of this installation, today."""
        try:
            in_range = SpecifierSet(self.versions).contains(Version(version), prereleases=True)
        except InvalidVersion:
            in_range = False
        here = self.platform in ("", sys.platform) and self.processor in ("", *features())
        return in_range and here and (self.expires is None or today <= self.expires)

    def speaks_of(self, result: Result) -> bool:
        """Whether the row is one of its framework that a glob matches."""
        return self.framework == result.framework and self.pattern.match(result.id) is not None

    def may_speak_of(self, result: Result) -> bool:
        """The same of a row of a drawn size, which may pass."""
        return self.framework == result.framework and self.drawn_pattern.match(result.id) is not None

    def is_the_way(self, result: Result) -> bool:
        """Whether the row failed in this way, by whatever error. A crash never hides behind a wrong number, nor one
        exception behind another."""
        same = (result.status, result.reason) == (self.status, self.kind)
        return same and (not self.exception or Raises(self.exception).allows(result.exception))

    def expects(self, result: Result) -> bool:
        """Whether this is how the row was known to fail."""
        return self.is_the_way(result) and (math.isnan(self.max_error) or result.error <= self.max_error)


def any_of(globs: Iterable[str]) -> re.Pattern[str]:
    """Matches what one of them does; nothing where there is none."""
    return re.compile("|".join(map(translate, globs)) or r"(?!)")


def read(path: Path) -> dict[str, list[KnownFailure]]:
    """The entries of a file, by framework. Raises GradparityError that names the file, the line and the key."""
    return entries_of(toml.text_of(path, "known failures"), path)


def entries_of(text: str, path: Path) -> dict[str, list[KnownFailure]]:
    """The same of a file's text."""
    return {
        framework: [entry(raw, text, path, framework, k) for k, raw in enumerate(as_list(raws, path), 1)]
        for framework, raws in toml.parsed(text, path).items()
    }


def as_list(raws: Any, path: Path) -> list[Any]:
    if not isinstance(raws, list):
        raise GradparityError(f"{path}: entries are written [[framework]], with two brackets")
    return raws


KEYS = tuple(f.name for f in fields(KnownFailure) if f.name not in ("framework", "source"))
TYPES = {
    "id": (str, list), "versions": (str,), "status": (str,), "kind": (str,), "reason": (str,),
    "max_error": (int, float), "exception": (str,), "link": (str,), "platform": (str,), "processor": (str,),
    "expires": (datetime.date,), "drawn": (str, list),
}  # fmt: skip


def entry(raw: Mapping[str, Any], text: str, path: Path, framework: str, number: int) -> KnownFailure:
    """The number-th entry of a framework."""

    def line(key: str = "") -> int:
        return toml.line(text, key, framework, number)

    source = f"{path}, line {line()}, [[{framework}]] {number}"
    toml.known_keys(raw, KEYS, str(path), line)
    if missing := {"id", "versions", "status", "kind", "reason"} - set(raw):
        raise GradparityError(f"{source}: {min(missing)} is missing")
    for key, value in raw.items():
        if type(value) not in TYPES[key]:
            raise GradparityError(f"{path}, line {line(key)}: {key} should not be {value!r:.60}")
    globs = {key: [raw[key]] if isinstance(raw[key], str) else raw[key] for key in ("id", "drawn") if key in raw}
    for key, listed in globs.items():
        if not all(isinstance(glob, str) for glob in listed):
            words = f"{key} should be a glob of row identities, or a list of them"
            raise GradparityError(f"{path}, line {line(key)}: {words}")
    return KnownFailure(**{**raw, **globs}, framework=framework, source=source)


def applicable(
    files: Iterable[Path], versions: Mapping[str, str], today: datetime.date | None = None
) -> list[KnownFailure]:
    """The entries of these files that speak of the installed versions."""
    day = today or datetime.date.today()
    return [
        known
        for path in files
        for framework, entries in read(path).items()
        if framework in versions
        for known in entries
        if known.applies(versions[framework], day)
    ]


def must_match(entries: Iterable[KnownFailure], rows_from: Callable[[str], Iterable[str]]) -> None:
    """Raises GradparityError for an entry that matches no row that there could be. rows_from(start): the identities of
    those that begin so, which are far fewer than all."""
    for known in entries:
        for globs, pattern in ((known.id, known.pattern), (known.drawn, known.drawn_pattern)):
            rows = (row for glob in globs for row in rows_from(literal(glob)))
            if globs and not any(map(pattern.match, rows)):
                words = f"{globs[0]!r} matches no row of the catalogue, see gradparity list"
                raise GradparityError(f"{known.source}: {words}")


def literal(glob: str) -> str:
    """What everything that it matches begins with."""
    return re.split(r"[*?[]", glob, maxsplit=1)[0]


def judged(results: Iterable[Result], entries: Iterable[KnownFailure]) -> list[Result]:
    """Results as known failures make them: what fails as expected is xfail, what passes against expectation xpass."""
    every = list(entries)
    return [against(result, every) for result in results]


def against(result: Result, entries: Sequence[KnownFailure]) -> Result:
    """The first entry that speaks of the row decides; where none does, any that may speak of it explains a failure."""
    known = next((known for known in entries if known.speaks_of(result)), None)
    if known is not None and result.status == "pass":
        words = f"{result.id}: passes, but is a known failure ({known.source}): {known.reason}"
        return replace(result, status="xpass", reason="known failure", message=words, link=known.link)
    may_be = [known] if known else [known for known in entries if known.may_speak_of(result)]
    for known in may_be:
        if known.expects(result):
            return replace(result, status="xfail", reason=known.reason, link=known.link)
    return result
