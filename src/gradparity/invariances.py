"""Which functions give the same bits however they are called: a table of runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from gradparity.kill_matrix import markdown_table
from gradparity.markdown import code
from gradparity.op import BIT_EQUAL, HOW, Result
from gradparity.results import Run

MODE, RUN = "other mode", "other run"
COLUMNS = (*HOW, MODE, RUN)
MEANING = (
    "Whether the result is the same, bit for bit: computed again; the first row alone; of arrays that lie strided or "
    "transposed in memory; in another mode of the framework; in another run (of other threads, another process or "
    "machine). = the same wherever it was looked at; otherwise the dtypes in which it is not, which is no error: each "
    "result is within its bound. FAIL: two results differ by more than their bounds allow. Empty: not looked at."
)
Seen = dict[str, dict[str, set[str]]]  # column -> outcome -> dtypes


def table(run: Run, other: Run | None = None) -> dict[tuple[str, str, str, str], Seen]:
    """By (op, framework, api, mode)."""
    found: dict[tuple[str, str, str, str], Seen] = defaultdict(lambda: defaultdict(lambda: defaultdict(set)))
    for row, column, outcome in (*within(run.rows), *across_modes(run.rows), *across_runs(run, other)):
        found[row.op, row.framework, row.api, row.mode][column][outcome].add(row.dtype)
    return dict(sorted(found.items()))


def within(rows: Iterable[Result]) -> Iterator[tuple[Result, str, str]]:
    for row in rows:
        kind, _, rest = row.check.partition(".")
        if kind == "same" and row.status != "unsupported":
            equal = row.status == "pass" and row.reason == BIT_EQUAL
            yield row, rest.partition(".")[0], "=" if equal else "" if row.status == "pass" else "FAIL"


def across_modes(rows: Iterable[Result]) -> Iterator[tuple[Result, str, str]]:
    """Each against the framework's first mode in the run."""
    first: dict[tuple[str, ...], Result] = {}
    for row in rows:
        place = (row.op, row.framework, row.api, row.dtype, row.case, row.check)
        if row.bits and first.setdefault(place, row) is not row:
            yield row, MODE, "=" if row.bits == first[place].bits else ""


def across_runs(run: Run, other: Run | None) -> Iterator[tuple[Result, str, str]]:
    there = {row.id: row.bits for row in other.rows} if other else {}
    for row in run.rows:
        if row.bits and there.get(row.id):
            yield row, RUN, "=" if row.bits == there[row.id] else ""


def cell(seen: dict[str, set[str]]) -> str:
    """= or the dtypes that differ."""
    words = [
        f"{outcome} {code(', '.join(sorted(dtypes)))}".strip() for outcome, dtypes in seen.items() if outcome != "="
    ]
    return "; ".join(words) or "=" * bool(seen)


def lines(run: Run, other: Run | None = None) -> Iterator[str]:
    """Markdown: a table for each operation; columns at which nothing was looked are left out."""
    found = table(run, other)
    columns = [column for column in COLUMNS if any(column in seen for seen in found.values())]
    yield MEANING
    for op in dict.fromkeys(op for op, *_ in found):
        yield f"\n## {code(op)}\n"
        rows = (
            [code(api), code(mode), *(cell(seen.get(column, {})) for column in columns)]
            for (name, _, api, mode), seen in found.items() if name == op
        )  # fmt: skip
        yield from markdown_table(["API", "mode", *columns], rows)
