"""What every API declares, side by side: which may replace which. Known without importing a framework."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gradparity import catalogue, known_failures, page
from gradparity.adapter import Adapter, Implementation
from gradparity.kill_matrix import markdown_table
from gradparity.known_failures import KnownFailure
from gradparity.op import COMPARED, FORMATS, Op
from gradparity.page import Chapter

LOW = tuple(name for name, form in FORMATS.items() if form.bits < FORMATS["float32"].bits)
MEANING = (
    "What an API declares is tested by every run; what differs from most of the others is marked with a star. road: "
    "which of several algebraically equal formulas its error bounds are derived from (empty: the reference's own). "
    "Columns of 16 bits: the classes of precision of the value and of the gradient (A: computed in float32 and rounded "
    "once; B: every step rounded, sums in float32; C: sums too). gaps: cases that it does not offer, or not with a "
    "gradient; wrong: known failures, in any version."
)


@dataclass(frozen=True)
class Line:
    """An API, with its mode where that is not the plain one: what stands in each column, and notes for below."""

    api: str
    cells: Mapping[str, str]
    notes: tuple[str, ...]


def lines(op: Op) -> list[Line]:
    """Every implementation of the operation that is a framework's, in its plain mode, and others that a mode has."""
    plain = {adapter.framework: adapter.implementations for adapter in catalogue.adapters() if adapter.default}
    return [
        line(op, adapter, implementation)
        for adapter in catalogue.adapters()
        for implementation in adapter.implementations if implementation.op == op.name
        if adapter.default or implementation not in plain.get(adapter.framework, ())
    ]  # fmt: skip


def line(op: Op, adapter: Adapter, implementation: Implementation) -> Line:
    known = [entry for entry in entries(adapter) if concerns(entry, op, implementation)]
    gaps = [reason for case in op.cases if (reason := gap(implementation, case.name))]
    cells = {name: str(value) for name, value in implementation.declared(op).items()}
    cells |= {edge: at_edge(op, adapter, implementation, edge) for edge in op.edges}
    cells |= {"road": implementation.road} if op.roads else {}
    cells |= {dtype: classes(op, implementation, dtype) for dtype in LOW}
    cells |= {"gaps": str(len(gaps) or ""), "wrong": str(len(known) or "")}
    notes = [f"does not offer {len(gaps)} cases: {'; '.join(dict.fromkeys(gaps))}"] if gaps else []
    notes += [f"wrong ({entry.versions}): {entry.reason}" + f" <{entry.link}>" * bool(entry.link) for entry in known]
    return Line(implementation.api + f" ({adapter.mode})" * (not adapter.default), cells, tuple(notes))


def at_edge(op: Op, adapter: Adapter, implementation: Implementation, edge: str) -> str:
    """What it declares there, and at which of its cases if that is not the same for all."""
    found: dict[str, list[str]] = {}
    for case in op.edge_cases:
        if case.edge == edge:
            value = implementation.due(op, case, f"{adapter.mode}/{case.dtypes[0]}/value")
            found.setdefault(str(value), []).append(case.name)
    *rest, (value, _) = sorted(found.items(), key=lambda pair: len(pair[1]))
    return "; ".join([*(f"{' '.join(names)}: {value}" for value, names in rest), f"else {value}" if rest else value])


def gap(implementation: Implementation, case: str) -> str:
    """Why it does not offer a case, or its gradient there."""
    reasons = (implementation.why_unsupported("float32", direction, case) for direction in COMPARED)
    return next(filter(None, reasons), "")


def entries(adapter: Adapter) -> list[KnownFailure]:
    if not adapter.known_failures:
        return []
    return known_failures.read(Path(adapter.known_failures)).get(adapter.framework, [])


def concerns(entry: KnownFailure, op: Op, implementation: Implementation) -> bool:
    """Whether it is one of this implementation, in whichever mode has it."""
    modes = [a.mode for a in catalogue.adapters() if implementation in a.implementations]
    rows = [(op.name, implementation.api, mode) for mode in modes]
    return any(all(map(fnmatchcase, row, glob.split("/"))) for glob in (*entry.id, *entry.drawn) for row in rows)


def classes(op: Op, implementation: Implementation, dtype: str) -> str:
    """The widest class of the value, and of the gradient; - where no case is offered."""
    return " ".join(
        max((implementation.precision_of(dtype, direction, case.name).cls for case in op.cases
             if not implementation.why_unsupported(dtype, direction, case.name)), default="-")
        for direction in COMPARED
    )  # fmt: skip


def marked(table: Sequence[Line]) -> Iterator[list[str]]:
    """The cells of each line; a star at what is not what most others have."""
    usual = {name: Counter(line.cells[name] for line in table).most_common(1)[0][0] for name in table[0].cells}
    for line in table:
        yield [cell + ("*" if cell not in ("", usual[name]) else "") for name, cell in line.cells.items()]


def markdown(ops: Sequence[Op]) -> Iterator[str]:
    yield from ("# Which API may replace which", "")
    yield from ("Generated: `gradparity portability --format markdown > docs/portability.md`", "", MEANING, "")
    yield from ("Any two at their inputs: `gradparity compare API API`", "")
    for op in ops:
        table = lines(op)
        yield from (f"## {op.name}", "")
        choices = {**op.conventions, **op.edges}
        yield from (f"- `{name}`: {choice.meaning}" for name, choice in choices.items())
        yield from [""] * bool(choices)
        rows = ([f"`{one.api}`", *cells] for one, cells in zip(table, marked(table), strict=True))
        yield from markdown_table(["API", *table[0].cells], rows)
        notes = [f"- `{one.api}` {note}" for one in table for note in one.notes]
        yield from (*notes, *[""] * bool(notes))


def chapter(ops: Sequence[Op]) -> Chapter:
    """The same for a page."""
    return Chapter("Portability", MEANING, [page_table(op) for op in ops])


def page_table(op: Op) -> page.Table:
    table = lines(op)
    rows = [[one.api, *cells] for one, cells in zip(table, marked(table), strict=True)]
    meanings = [f"{name}: {convention.meaning}" for name, convention in op.conventions.items()]
    return page.Table(op.name, ["API", *table[0].cells], rows, meanings + notes(table))


def notes(table: Sequence[Line]) -> list[str]:
    return [f"{one.api} {note}" for one in table for note in one.notes]


def show(ops: Sequence[Op], console: Console) -> None:
    """Tables for the terminal."""
    for op in ops:
        table = lines(op)
        drawn = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), title=op.name, title_justify="left")
        for name in ("", *table[0].cells):
            drawn.add_column(name, overflow="fold")
        for one, cells in zip(table, marked(table), strict=True):
            drawn.add_row(one.api, *(Text(cell, style="yellow" if cell.endswith("*") else "") for cell in cells))
        console.print(drawn)
        for name, convention in {**op.conventions, **op.edges}.items():
            console.print(Text(f"{name}: {convention.meaning}", style="dim"))
        console.print(Text("\n".join(notes(table))))
    console.print(Text(MEANING, style="dim"))
