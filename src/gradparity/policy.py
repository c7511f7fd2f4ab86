"""What counts as a regression: a small TOML file. Every key may be left out.

factor = 2.0             # an error counts that has grown by more than this factor
floor = 0.5              # and is more than this fraction of its bound
count = ["status", ...]  # what counts, of the kinds below; by default all but "bits"

[[waiver]]               # a change that is known, and for a while does not count
id = ["softmax/jax.nn.softmax/*/bfloat16/*"]   # globs of row identities
reason = "jax#12345: fixed in the next release"
expires = 2027-01-31                           # the last day on which it holds
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from fnmatch import translate
from functools import cached_property
from pathlib import Path
from typing import Any

from gradparity import toml
from gradparity.op import GradparityError, nearest

KINDS = {
    "status": "from pass to anything else, or from bad to worse (a fail that is an error now)",
    "error": "an error that has grown by more than the factor, and above the floor",
    "precision": "a wider precision class",
    "invariance": "no longer the same bits when it is computed again, alone, or of arrays that lie otherwise in memory",
    "convention": "another convention or formula",
    "exception": "another way to fail: another reason, another type of exception",
    "gone": "a row of the baseline that the candidate does not have",
    "new": "a row that the baseline does not have, and that fails",
    "bits": "another result, though no worse",
}


@dataclass(frozen=True)
class Waiver:
    id: tuple[str, ...]
    reason: str
    expires: datetime.date
    source: str = ""

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        return re.compile("|".join(map(translate, self.id)))


@dataclass(frozen=True)
class Policy:
    factor: float = 2.0
    floor: float = 0.5
    count: tuple[str, ...] = tuple(kind for kind in KINDS if kind != "bits")
    waivers: tuple[Waiver, ...] = ()


def read(path: Path) -> Policy:
    """Raises GradparityError that names the file, the line and the key."""
    text = toml.text_of(path, "policy")
    raw = toml.parsed(text, path)
    valid = ["waiver", *(f.name for f in fields(Policy) if f.name != "waivers")]
    toml.known_keys(raw, valid, str(path), lambda key: toml.line(text, key))
    for key, (holds, words) in RIGHT.items():
        if key in raw and not holds(raw[key]):
            raise GradparityError(f"{path}, line {toml.line(text, key)}: {key} {words}, not {raw[key]!r:.60}")
    for kind in raw.get("count", ()):
        if kind not in KINDS:
            raise GradparityError(f"{path}, line {toml.line(text, 'count')}: {nearest(str(kind), list(KINDS), 'kind')}")
    given: dict[str, Any] = {key: raw[key] for key in ("factor", "floor") if key in raw}
    given |= {"count": tuple(raw["count"])} if "count" in raw else {}
    return Policy(**given, waivers=tuple(waiver(*one, text, path) for one in enumerate(raw.get("waiver", ()), 1)))


RIGHT: Mapping[str, tuple[Any, str]] = {
    "factor": (lambda x: type(x) in (int, float) and x >= 1, "is a number from 1"),
    "floor": (lambda x: type(x) in (int, float) and x >= 0, "is a number from 0"),
    "count": (lambda x: isinstance(x, list), "is a list of kinds"),
    "waiver": (lambda x: isinstance(x, list), "is written [[waiver]], with two brackets"),
    "id": (
        lambda x: isinstance(x, str | list) and x and all(isinstance(one, str) for one in x),
        "is a glob of row identities, or a list of them",
    ),
    "reason": (lambda x: isinstance(x, str) and bool(x.strip()), "is a text that says why"),
    "expires": (lambda x: type(x) is datetime.date, "is a date, as in 2027-01-31"),
}


def waiver(entry: int, raw: Mapping[str, Any], text: str, path: Path) -> Waiver:
    def line(key: str = "") -> int:
        return toml.line(text, key, "waiver", entry)

    names = ("id", "reason", "expires")
    toml.known_keys(raw, names, str(path), line)
    for key in names:
        holds, words = RIGHT[key]
        if not holds(raw.get(key)):
            what = f"not {raw[key]!r:.60}" if key in raw else "and it is missing"
            raise GradparityError(f"{path}, line {line(key) or line()}: the {key} of a waiver {words}, {what}")
    globs = (raw["id"],) if isinstance(raw["id"], str) else tuple(raw["id"])
    return Waiver(globs, raw["reason"], raw["expires"], f"{path}, line {line()}")
