"""A gate's result for a person, a program, a pull request and a CI system. Pure functions of it.

Texts in it may come from anybody: they are no markup of a terminal (rich.Text), of Markdown (code spans that nothing
ends), of XML (the library escapes) or of JSON.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from shlex import quote
from typing import Any
from xml.etree import ElementTree

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gradparity.gate import BUCKETS, INCOMPLETE, NOTHING_REGRESSED, UNLIKE, Change, Gate
from gradparity.markdown import code
from gradparity.results import ENCODER, Run, to_json

SHOWN = 12  # changes, and implementations, that the terminal shows
LONGEST_WORDS = 400  # characters that are shown of one change
MOST_MARKDOWN = 2**20 - 1024  # bytes; what GitHub takes as a step summary, less what is said of the rest
OTHER = "[other environment] "
TITLES = {
    "regressed": "Regressed", "gone": "Gone", "new": "New", "bits": "Bits changed, no worse",
    "improved": "Improved", "fixed": "Fixed",
}  # fmt: skip


def verdict(gate: Gate) -> str:
    """One line: what a person has to know."""
    if gate.code == UNLIKE:
        return f"NOT COMPARABLE: {why_unlike(gate)}"
    counted, rows = len(gate.counted), f"{gate.compared} rows compared"
    if gate.code == INCOMPLETE:
        which = [name for name, run in runs(gate) if not run.complete]
        return f"INCOMPLETE: the {' and the '.join(which)} is cut or lacks rows; {rows}, {counted} count against it"
    if gate.code == NOTHING_REGRESSED:
        return f"NOTHING REGRESSED: {rows}"
    return f"REGRESSED: {counted} rows count against it; {rows}"


def why_unlike(gate: Gate) -> str:
    if gate.inputs:
        seeds = [run.header["seed"] for _, run in runs(gate)]
        words = f"the seeds are {seeds[0]} and {seeds[1]}" if seeds[0] != seeds[1] else some(gate.inputs)
        return f"the runs had other inputs: {words}"
    return f"another environment: {some(gate.environment)} (--across-environments compares all the same)"


def some(names: Iterable[str]) -> str:
    first, *rest = names
    return first + (f" and {len(rest)} more" if rest else "")


def runs(gate: Gate) -> tuple[tuple[str, Run], tuple[str, Run]]:
    return (("baseline", gate.baseline), ("candidate", gate.candidate))


def words_of(change: Change, gate: Gate) -> str:
    """What there is to say of a change, on whose every line the other environment is said too."""
    words = change.words if len(change.words) <= LONGEST_WORDS else change.words[:LONGEST_WORDS] + " ..."
    waived = f" (waived {change.waived})" if change.waived else ""
    return (OTHER if gate.across and gate.environment else "") + words + waived


def tally(gate: Gate) -> str:
    """Counts by bucket, those that do not count apart."""
    free = Counter(change.bucket for change in gate.changes if change.waived)
    return tallied(gate.counts, free)


def tallied(counts: Mapping[str, int], free: Mapping[str, int]) -> str:
    parts = [
        f"{counts[name]} {TITLES[name].lower()}" + (f" ({free[name]} waived)" if free.get(name) else "")
        for name in BUCKETS
        if counts.get(name)
    ]
    return ", ".join(parts) or "nothing changed"


# --- the terminal


def text(gate: Gate, names: tuple[str, str]) -> RenderableType:
    parts: list[RenderableType] = [Text(f"baseline  {names[0]}\ncandidate {names[1]}")]
    for title, found in (("subject", gate.subject), ("environment", gate.environment)):
        parts += [Text(f"{title}: {name} {was} -> {now}") for name, (was, now) in found.items()]
    parts += [Text(f"inputs: {name} differ", style="red") for name in gate.inputs[:SHOWN]]
    parts += [Text(f"note: {note}", style="yellow") for note in gate.notes]
    if gate.changes:
        parts += [Text(), table(gate), Text()]
    worst = by_implementation(gate.counted)
    for one in worst[:SHOWN]:
        parts += [Text(one[0].id, "red"), Padding(Text(below(one, gate), "red"), (0, 0, 0, 4))]
    if gate.counted:
        parts.append(Text(f"functions with regressions: {len(worst)}"))
    good = gate.code == NOTHING_REGRESSED
    parts += [Text(tally(gate), style="dim")] if gate.comparable else []
    parts.append(Text(verdict(gate), style="bold green" if good else "bold red"))
    command = f"gradparity gate {quote(names[0])} {quote(names[1])} --format html > gate.html"
    return Group(*parts, *([Text(f"all rows: {command}")] if gate.changes else []))


def below(changes: Sequence[Change], gate: Gate) -> str:
    """What there is to say of the worst change of a function, below its row's identity."""
    return words_of(changes[0], gate).replace(f"{changes[0].id} on ", "on ") + more(changes)


def by_implementation(changes: Iterable[Change]) -> list[list[Change]]:
    """The changes of one function together, in the order in which they came."""
    found: dict[str, list[Change]] = {}
    for change in changes:
        found.setdefault(f"{change.row.op}/{change.row.api}", []).append(change)
    return list(found.values())


def more(changes: Sequence[Change]) -> str:
    return f" (and {len(changes) - 1} more of this function)" if len(changes) > 1 else ""


def table(gate: Gate) -> Table:
    """Counts by function and bucket, the worst first."""
    functions = by_implementation(gate.changes)
    drawn = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    drawn.add_column("", overflow="fold")
    for bucket in BUCKETS:
        drawn.add_column(bucket, justify="right")
    for changes in functions[:SHOWN]:
        counts, row = Counter(change.bucket for change in changes), changes[0].row
        drawn.add_row(Text(f"{row.op}\n  {row.api}"), *(str(counts[bucket] or "-") for bucket in BUCKETS))
    if len(functions) > SHOWN:
        drawn.add_row(Text(f"... and {len(functions) - SHOWN} more"))
    return drawn


# --- programs


def as_json(gate: Gate, names: tuple[str, str]) -> Iterator[str]:
    """A line for each change."""
    found: dict[str, Any] = {
        "code": gate.code, "verdict": verdict(gate), "across_environments": gate.across, "compared": gate.compared,
        "counts": gate.counts, "regressions": len(gate.counted), "subject": gate.subject,
        "environment": gate.environment, "inputs": gate.inputs, "notes": gate.notes,
    }  # fmt: skip
    for name, (which, run) in zip(names, runs(gate), strict=True):
        found[which] = {"file": name, "complete": run.complete, "rows": len(run.rows), "header": run.header}
    yield json.dumps(found, ensure_ascii=False, indent=1).removesuffix("\n}") + ',\n "changes": ['
    last = len(gate.changes) - 1
    for k, change in enumerate(gate.changes):
        yield f"  {ENCODER.encode(as_object(change, gate))}{',' if k < last else ''}"
    yield " ]\n}"


def as_object(change: Change, gate: Gate) -> Mapping[str, object]:
    return {
        "id": change.id, "bucket": change.bucket, "kinds": change.kinds, "counted": change.counted,
        "waived": change.waived, "words": words_of(change, gate),
        "was": change.was and to_json(change.was), "now": change.now and to_json(change.now),
    }  # fmt: skip


# --- pull requests


def markdown(gate: Gate, names: tuple[str, str]) -> list[str]:
    """As much as fits, the worst first, with the counts of what was cut."""
    kept: list[str] = []
    cut: Counter[str] = Counter()
    room = MOST_MARKDOWN
    for what, line in lines_of(gate, names):
        room -= len(line.encode()) + 1
        if room > 0:
            kept.append(line)
        else:
            cut[what] += 1
    return [*kept, "", *(f"... and {n} more: {what}, cut to fit" for what, n in cut.items() if what)]


def lines_of(gate: Gate, names: tuple[str, str]) -> Iterator[tuple[str, str]]:
    """What each line is about, and the line."""
    yield "", f"## gradparity gate\n\n{code(verdict(gate))}\n\n{code(names[0])} -> {code(names[1])}\n\n{tally(gate)}\n"
    for what, found in (("subject", gate.subject), ("environment", gate.environment)):
        for name, (was, now) in found.items():
            yield what, f"- {what}: {code(name)} {code(was)} -> {code(now)}"
    yield from (("inputs", f"- inputs of {code(name)} differ") for name in gate.inputs)
    yield from (("notes", f"- note: {code(note)}") for note in gate.notes)
    for bucket, changes in groupby(gate.changes, lambda change: change.bucket):
        yield "", f"\n### {TITLES[bucket]}\n\n| row | what changed |\n|---|---|"
        for change in changes:
            yield TITLES[bucket].lower(), f"| {code(change.id)} | {code(words_of(change, gate))} |"


# --- CI systems


def junit(gate: Gate, names: tuple[str, str]) -> list[str]:
    """A test for each implementation in each mode, device and dtype, that fails if a row of it regressed; and one for
    the comparison itself."""
    suites = ElementTree.Element("testsuites", name=f"gradparity gate {names[0]} {names[1]}")
    whole = ElementTree.SubElement(suites, "testsuite", name="gradparity gate")
    test = ElementTree.SubElement(whole, "testcase", classname="gate", name="comparison")
    if gate.code in (UNLIKE, INCOMPLETE):
        ElementTree.SubElement(test, "error", message=verdict(gate))
    changes: dict[tuple[str, str], list[Change]] = {}
    if gate.comparable:
        places = {place_of(row) for _, run in runs(gate) for row in run.rows}
        changes = {place(*names): [] for names in places}
    for change in gate.changes:
        changes[place(*place_of(change.row))].append(change)
    for (classname, name), found in sorted(changes.items()):
        outcome(ElementTree.SubElement(whole, "testcase", classname=classname, name=name), found, gate)
    for attribute, tag in (("tests", "testcase"), ("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        whole.set(attribute, str(len(list(whole.iter(tag)))))
    ElementTree.indent(suites)
    return [ElementTree.tostring(suites, encoding="unicode", xml_declaration=True)]


place_of = attrgetter("framework", "op", "api", "mode", "device", "dtype")


def place(framework: str, op: str, api: str, mode: str, device: str, dtype: str) -> tuple[str, str]:
    """Class and name of the test."""
    return f"{framework}.{op}.{api}", f"{mode}/{device}/{dtype}"


def outcome(test: ElementTree.Element, changes: Iterable[Change], gate: Gate) -> None:
    counted = [change for change in changes if change.counted]
    waived = [change for change in changes if change.waived]
    for tag, some in (("failure", counted), ("skipped", [] if counted else waived)):
        if some:
            element = ElementTree.SubElement(test, tag, message=f"{len(some)} rows: {words_of(some[0], gate)}")
            element.text = "\n".join(f"{change.id}: {words_of(change, gate)}" for change in some)


FORMATS: Mapping[str, Callable[[Gate, tuple[str, str]], Iterable[str]]] = {
    "json": as_json,
    "markdown": markdown,
    "junit": junit,
}
