"""What runs found, or a gate, as one page for a browser: no network, no framework, everything in one file.

Texts may come from anybody. Those at the top are escaped by the template; the rows travel as compressed data, and the
page's script shows whatever is in them as text. The content security policy allows that script, that style and nothing
else. page.html, page.css and page.js beside this module are the page.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.resources
import json
import math
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import pairwise
from operator import attrgetter
from typing import Any

from packaging.version import InvalidVersion, Version

from gradparity import gate_report
from gradparity.differences import facts, of_environment, of_inputs
from gradparity.gate import BUCKETS, NOTHING_REGRESSED, Change, Gate, changes_of
from gradparity.op import BAD, FORMATS, GradparityError, Result
from gradparity.policy import Policy
from gradparity.report import CONFORMING, OUTCOMES, in_part, in_words, outcome, subject
from gradparity.results import Run

BEFORE = "before"  # beside the gate's buckets: a row of the run that another was compared with, and that changed there
STATUSES = ("fail", "error", "xpass", "xfail", "unsupported", "pass")  # from bad to good, as in page.js
MOST_DETAILS = 10_000  # rows of which more than status and error is told, the worst first
MOST_PROGRAMS = 200
LONGEST_TEXT = 2000  # characters
LONGEST_PROGRAM = 8000
DTYPES = tuple(FORMATS)
DETAILS = ("reason", "got", "want", "message", "precision", "exception", "link", "conventions", "road")

Program = Callable[[Result, int], str]  # of a row and the run's seed: what shows the row, or nothing
RowOf = tuple[int, str]  # the number of a run, and a row's identity
Place = tuple[int, str, str, str]  # a column: run, framework, mode, device
Key = tuple[str, int, str, str]  # a group: op, number of its column, api, dtype
place_of = attrgetter("framework", "mode", "device")


@dataclass(frozen=True)
class Table:
    """Its first column names the rows."""

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Chapter:
    """A further page of the report."""

    title: str
    words: str
    tables: Sequence[Table]


@dataclass(frozen=True)
class Named:
    """A run and the name of its file."""

    name: str
    run: Run

    @property
    def summary(self) -> str:
        header = self.run.header
        planned = "" if self.run.complete else f" of {header['planned']:,}"
        return f"{len(self.run.rows):,}{planned} rows, {header['started'][:16].replace('T', ' ')}, {outcome(self.run)}"

    @property
    def facts(self) -> Mapping[str, str]:
        header = self.run.header
        found = {**header["subject"], "seed": str(header["seed"]), **facts(header, header)}
        return {cut(k): cut(v) for k, v in found.items()}


@dataclass(frozen=True)
class Page:
    """What the template shows. changes: by the run they are of (its number), and the row's identity; before: the same
    of the rows that they were."""

    title: str
    verdict: str
    good: bool
    lines: Sequence[str]
    runs: Sequence[Named]
    changes: Mapping[RowOf, Change]
    before: Set[RowOf]
    compared: bool
    notes: Sequence[str] = ()
    only_differences: bool = False
    chapters: Sequence[Chapter] = field(default=())


def of_runs(runs: Sequence[Named], chapters: Sequence[Chapter] = (), program: Program = lambda row, seed: "") -> str:
    """The page of one run or several; what is of the same framework, mode and device in several is compared, each
    version with the one before it. Raises GradparityError if there is nothing to show, or no Jinja2."""
    for named in runs:
        if not named.run.rows:
            raise GradparityError(f"{named.name} has no rows: there is nothing to show")
    changes, before, notes, compared = between(runs)
    counts = Counter(row.status for named in runs for row in named.run.rows)
    outcomes = sorted({outcome(named.run) for named in runs}, key=OUTCOMES.index)
    several = f"{len(runs)} runs, " if len(runs) > 1 else ""
    buckets = Counter(change.bucket for change in changes.values())
    lines = [cut(subject_of(runs))]
    if compared:
        lines.append(f"Each run beside the one of the version before: {gate_report.tallied(buckets, {})}.")
    if words := in_part(row for named in runs for row in named.run.rows):
        lines.append(f"{words.capitalize()}.")
    page = Page(
        "gradparity report", f"{outcomes[0]}: {several}{in_words(counts)}", outcomes == [CONFORMING], lines, runs,
        changes, before, compared, notes, chapters=chapters,
    )  # fmt: skip
    return rendered(page, program)


def subject_of(runs: Iterable[Named]) -> str:
    """What ran, the versions of each from the oldest."""
    found: dict[str, set[str]] = {}
    for named in runs:
        for name, version in subject(named.run).items():
            found.setdefault(name, set()).add(version)
    return "; ".join(f"{name} {', '.join(sorted(versions, key=age))}" for name, versions in found.items())


def of_gate(gate: Gate, names: tuple[str, str], program: Program = lambda row, seed: "") -> str:
    """The page of a gate's result. Raises GradparityError if there is no Jinja2."""
    runs = [Named(name, run) for name, (_, run) in zip(names, gate_report.runs(gate), strict=True)]
    lines = [f"{runs[0].name} → {runs[1].name}", *([f"{gate_report.tally(gate)}."] if gate.comparable else [])]
    for what, found in (("subject", gate.subject), ("environment", gate.environment)):
        lines += [cut(f"{what}: {name} {was} → {now}") for name, (was, now) in found.items()]
    notes = [*gate.notes, *(f"inputs: {name} differ" for name in gate.inputs)]
    changes, before = placed(gate.changes, 0, 1)
    page = Page(
        "gradparity gate", cut(gate_report.verdict(gate)), gate.code == NOTHING_REGRESSED, lines, runs, changes,
        before, gate.comparable, [cut(note) for note in notes], bool(changes),
    )  # fmt: skip
    return rendered(page, program, lambda change: gate_report.words_of(change, gate))


# --- what differs between the runs


def between(runs: Sequence[Named]) -> tuple[dict[RowOf, Change], set[RowOf], list[str], bool]:
    """The changes and the rows before them, what there is to say of the comparison, and whether there was one."""
    changes: dict[RowOf, Change] = {}
    before: set[RowOf] = set()
    notes: list[str] = []
    compared = False
    for (j, k), places in pairs(runs).items():
        said = compare_notes(runs[j], runs[k])
        notes += said.values()
        if "inputs" in said:
            continue
        compared = True
        was, now = ({row.id: row for row in runs[n].run.rows if place_of(row) in places} for n in (j, k))
        found, old = placed(changes_of(was, now, Policy()), j, k)
        changes |= found
        before |= old
    return changes, before, notes, compared


def pairs(runs: Sequence[Named]) -> dict[tuple[int, int], set[Any]]:
    """The runs that are compared, by their numbers, and in which framework, mode and device: each with the one that has
    the version before its own."""
    having: dict[Any, list[int]] = {}
    for k, named in enumerate(runs):
        for place in dict.fromkeys(map(place_of, named.run.rows)):
            having.setdefault(place, []).append(k)
    found: dict[tuple[int, int], set[Any]] = {}
    for place, numbers in having.items():
        for neighbours in pairwise(sorted(numbers, key=lambda k: age(version_in(runs[k], place[0])))):
            found.setdefault(neighbours, set()).add(place)
    return found


def version_in(named: Named, framework: str) -> str:
    return str(named.run.header["subject"].get(framework, ""))


def age(version: str) -> Version:
    """What orders versions; what is none counts as the oldest."""
    try:
        return Version(version)
    except InvalidVersion:
        return Version("0")


def placed(changes: Iterable[Change], was: int, now: int) -> tuple[dict[RowOf, Change], set[RowOf]]:
    """The changes where their rows are, and the rows before them, by the numbers of the runs."""
    found = {(was if change.now is None else now, change.id): change for change in changes}
    return found, {(was, change.id) for change in found.values() if change.was and change.now}


def compare_notes(was: Named, now: Named) -> dict[str, str]:
    """By what differs."""
    names, a, b = f"{was.name} and {now.name}", was.run.header, now.run.header
    if inputs := of_inputs(a, b):
        return {"inputs": cut(f"{names} had other inputs ({gate_report.some(inputs)}): they are not compared")}
    if environment := of_environment(a, b):
        words = f"{names} ran in other environments ({gate_report.some(environment)}), which moves bits too"
        return {"environment": cut(words)}
    return {}


# --- the data


def data(page: Page, program: Program, words: Callable[[Change], str]) -> dict[str, Any]:
    """What the page's script reads: rows by function, column and dtype; each word that many rows share only once."""
    columns = columns_of(page.runs)
    numbers = {place: number for number, place in enumerate(columns)}
    details = details_of(page, program, words)
    places: dict[str, int] = {}
    groups: dict[Key, dict[str, Any]] = {}
    for k, named in enumerate(page.runs):
        for row in named.run.rows:
            key = (row.op, numbers[(k, *place_of(row))], row.api, row.dtype)
            group = groups.get(key) or groups.setdefault(key, empty(*key))
            put(row, group, places, bucket(page, (k, row.id)), details.get((k, row.id)))
    return {
        "rows": sum(len(named.run.rows) for named in page.runs), "ops": sorted({op for op, *_ in groups}),
        "columns": list(columns.values()), "places": list(places),
        "groups": [finished(groups[key]) for key in sorted(groups, key=by_dtype)],
    }  # fmt: skip


def by_dtype(key: Key) -> tuple[str, int, str, int, str]:
    """The order of the groups, dtypes from the widest."""
    op, column, api, dtype = key
    return op, column, api, DTYPES.index(dtype) if dtype in DTYPES else len(DTYPES), dtype


def finished(group: dict[str, Any]) -> dict[str, Any]:
    return group | {"declares": "; ".join(sorted(filter(None, group["declares"])))}


def columns_of(runs: Sequence[Named]) -> dict[Place, dict[str, Any]]:
    """By framework, mode and device, the oldest version first. Columns of the same version have their files' names."""
    places = sorted({(k, *place) for k, named in enumerate(runs) for place in set(map(place_of, named.run.rows))},
                    key=lambda place: (*place[1:], age(version_in(runs[place[0]], place[1])), place[0]))  # fmt: skip
    versions = {place: cut(version_in(runs[place[0]], place[1])) for place in places}
    alike = Counter((*place[1:], versions[place]) for place in places)
    return {
        place: column(place, versions[place], runs[place[0]], alike[(*place[1:], versions[place])] > 1)
        for place in places
    }  # fmt: skip


def column(place: Place, version: str, named: Named, ambiguous: bool) -> dict[str, Any]:
    _, framework, mode, device = place
    name = named.name if ambiguous else ""
    label = " ".join(filter(None, (framework, version, mode, device if device != "cpu" else "", name)))
    return {
        "framework": framework, "version": version, "mode": mode, "device": device, "name": name, "label": label,
        "seed": named.run.header["seed"],
    }  # fmt: skip


def empty(op: str, column: int, api: str, dtype: str) -> dict[str, Any]:
    return {
        "op": op, "column": column, "api": api, "dtype": dtype, "declares": set(), "places": [], "statuses": [],
        "errors": [], "changed": {}, "details": {},
    }  # fmt: skip


def put(row: Result, group: dict[str, Any], places: dict[str, int], bucket: str, detail: dict[str, str] | None) -> None:
    at = len(group["statuses"])
    group["places"].append(places.setdefault(f"{row.case}/{row.check}", len(places)))
    group["statuses"].append(STATUSES.index(row.status))
    group["errors"].append(number(row.error))
    group["declares"] |= {row.conventions, row.road, row.precision}
    if bucket:
        group["changed"][at] = bucket
    if detail:
        group["details"][at] = detail


def bucket(page: Page, row: RowOf) -> str:
    change = page.changes.get(row)
    return change.bucket if change else BEFORE if row in page.before else ""


def number(x: float) -> float | str | None:
    """Three figures, as JSON has them; never at most 1 where the error is not."""
    if not math.isfinite(x):
        return None if math.isnan(x) else "Infinity"
    return max(float(f"{x:.3g}"), 1.01) if x > 1 else float(f"{x:.3g}")


def details_of(page: Page, program: Program, words: Callable[[Change], str]) -> dict[RowOf, dict[str, str]]:
    """What there is to say of the rows that are no plain passes, the worst of them; programs of the worst of these."""
    some = sorted(notable(page), key=lambda one: severity(one[1], one[2]))[:MOST_DETAILS]
    left = MOST_PROGRAMS
    found = {}
    for k, row, change in some:
        found[k, row.id] = detail_of(row, words(change) if change else "")
        if row.status != "unsupported" and left:
            left -= 1
            text = program(row, page.runs[k].run.header["seed"])
            found[k, row.id] |= {"program": text} if 0 < len(text) <= LONGEST_PROGRAM else {}
    return found


def notable(page: Page) -> Iterator[tuple[int, Result, Change | None]]:
    for k, named in enumerate(page.runs):
        for row in named.run.rows:
            change = page.changes.get((k, row.id)) if page.changes else None
            if change or row.status != "pass":
                yield k, row, change


def severity(row: Result, change: Change | None) -> tuple[bool, int, int, float]:
    bucket = BUCKETS.index(change.bucket) if change else len(BUCKETS)
    return row.status not in BAD, bucket, STATUSES.index(row.status), math.inf if math.isnan(row.error) else -row.error


def detail_of(row: Result, change: str) -> dict[str, str]:
    found = {name: getattr(row, name) for name in DETAILS} | {"change": change}
    found |= {"message": ""} if row.message in change else {}
    found["at"] = "" if not row.at else str(list(row.at))
    found["unbounded"] = f"{100 * row.unbounded:.2g} %" if row.unbounded else ""
    found["ulp"] = "" if math.isnan(row.ulp) else f"{row.ulp:.3g}"
    return {name: cut(text) for name, text in found.items() if text}


def cut(text: str) -> str:
    if len(text) <= LONGEST_TEXT:
        return text
    return f"{text[:LONGEST_TEXT]} ... ({len(text) - LONGEST_TEXT:,} more characters in the run file)"


# --- the page


def rendered(page: Page, program: Program, words: Callable[[Change], str] = attrgetter("words")) -> str:
    try:
        from jinja2 import Environment, StrictUndefined
        from markupsafe import Markup
    except ImportError:
        raise GradparityError('a page needs Jinja2: pip install "gradparity[report]"') from None
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(part("page.html"))
    return template.render(
        page=page, hash=hash_of, script=Markup(part("page.js")), style=Markup(part("page.css")),
        data=packed(data(page, program, words)),
    )  # fmt: skip


def part(name: str) -> str:
    return (importlib.resources.files("gradparity") / name).read_text(encoding="utf-8")


def hash_of(text: str) -> str:
    """As a content security policy names a script or style."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def packed(value: Mapping[str, Any]) -> str:
    """JSON, deflated, in characters that mean nothing in HTML."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return base64.b64encode(zlib.compress(text.encode())).decode()
