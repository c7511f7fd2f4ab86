"""What a run found, for the terminal. A pure function of results."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from shlex import quote
from textwrap import wrap

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from gradparity.op import ITSELF, Result, worst_first
from gradparity.results import Run

COLUMNS = 6  # adapters side by side in 80 columns
NAME = 14  # characters of an operation's name before it takes another line
MOST_SLOW, LEAST_SLOW = 10, 1.0  # functions, and seconds of each
SHOWN = 8  # failures that are shown in full
SIGNS = {"pass": "ok", "fail": "FAIL", "error": "ERR", "xpass": "XPASS", "xfail": "known", "unsupported": "unsup"}
STYLES = {"pass": "green", "fail": "bold red", "error": "bold red", "xpass": "bold red", "xfail": "yellow"}

Cells = Mapping[tuple[str, str], Sequence[Result]]


def summary(run: Run, path: Path) -> RenderableType:
    """Tables, what is bad, where the time went, and the verdict in one line."""
    parts: list[RenderableType] = [*tables(run.rows), Text()]
    bad = worst_first(r for r in run.rows if r.bad)
    parts += [Text(r.message, style="red") for r in bad[:SHOWN]]
    if len(bad) > SHOWN:
        parts.append(Text(f"... and {len(bad) - SHOWN} more in {path}"))
    parts += [Text(legend(), style="dim"), Text(times(run.footer.get("seconds", {})), style="dim")]
    if slow := slowest(run.rows):
        parts.append(Text("\n".join(["in which the frameworks took longest:", *slow]), style="dim"))
    if words := in_part(run.rows):
        parts.append(Text(words))
    if run.header.get("truth", {}).get("float64") == ITSELF:
        parts.append(Text(f"no long double is longer here: float64 is judged against {ITSELF}"))
    parts.append(Text())
    return Group(*parts, verdict(run), Text(f"rows: {path}"), Text(f"page: {page_command(path)}"))


def page_command(path: Path) -> str:
    """What shows more of a run, to be pasted into a shell."""
    return f"gradparity report {quote(str(path))} -o report.html"


def tables(rows: Iterable[Result]) -> list[Table]:
    """Operations by framework and mode, as many columns at a time as fit."""
    cells: dict[tuple[str, str], list[Result]] = {}
    for row in rows:
        cells.setdefault((row.op, column(row)), []).append(row)
    ops = list(dict.fromkeys(op for op, _ in cells))
    columns = sorted({name for _, name in cells})
    return [table(cells, sorted(ops), columns[k : k + COLUMNS]) for k in range(0, len(columns), COLUMNS)]


def column(row: Result) -> str:
    device = "" if row.device == "cpu" else f"\n{row.device}"
    return f"{row.framework}\n{row.mode}{device}"


def table(cells: Cells, ops: Sequence[str], columns: Sequence[str]) -> Table:
    drawn = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    drawn.add_column("")
    for name in columns:
        drawn.add_column(Text(name), justify="right", min_width=8)
    for op in ops:
        drawn.add_row(Text(label(op)), *(cell(cells.get((op, name), ())) for name in columns))
    return drawn


def label(op: str) -> str:
    """In lines that end with an underscore."""
    return "\n".join(line.replace(" ", "") for line in wrap(op.replace("_", "_ "), NAME))


def cell(rows: Sequence[Result]) -> Text:
    """Counts by status, then the worst error of what passed or failed by its numbers."""
    if not rows:
        return Text("-", style="dim")
    counts = Counter(row.status for row in rows)
    text = Text(justify="right")
    for status, sign in SIGNS.items():
        if counts[status]:
            text.append(f"{counts[status]} {sign}\n", style=STYLES.get(status, "dim"))
    measured = [row for row in rows if row.status in ("pass", "fail") and not (math.isnan(row.error) or row.is_share)]
    if measured:
        worst = max(measured, key=lambda row: row.error)
        text.append(f"worst {short(worst.error)}\nulp {short(worst.ulp)}\n", style="dim")
    return text


def short(x: float) -> str:
    """Three figures at most; - for what has no such number."""
    if math.isnan(x):
        return "-"
    return f"{x:.2f}" if 0.01 <= x < 10 else f"{x:.0f}" if 10 <= x < 1000 else f"{x:.0e}" if x else "0"


def legend() -> str:
    return (
        "worst: the largest error as a fraction of its bound, which passes up to 1;\n"
        "ulp: the same error in units in the last place; known, unsup: not passed"
    )


def times(seconds: Mapping[str, float]) -> str:
    """Where the time went, summed over the workers."""
    total = seconds.get("in all", 0.0)
    if not total:
        return ""
    parts = {what: seconds.get(what, 0.0) for what in ("import", "framework", "reference")}
    parts["comparison and the rest"] = total - sum(parts.values())
    return f"{total:.0f} s of checks: " + ", ".join(f"{what} {part / total:.0%}" for what, part in parts.items())


def slowest(rows: Iterable[Result]) -> list[str]:
    """The functions in which a framework took longest, by mode, dtype and direction, and the seconds."""
    seconds: dict[str, float] = defaultdict(float)
    for row in rows:
        direction = row.check.partition(".")[0]
        seconds["/".join((row.op, row.api, row.mode, row.device, row.dtype, direction))] += row.seconds
    longest = sorted(seconds.items(), key=lambda item: -item[1])[:MOST_SLOW]
    return [f"{spent:6.1f} s  {name}" for name, spent in longest if spent >= LEAST_SLOW]


def verdict(run: Run) -> Text:
    """One line: what a person has to know."""
    found = outcome(run)
    rows = f"{len(run.rows)} of {run.header.get('planned')} rows on " if found == INCOMPLETE else ""
    versions = ", ".join(f"{k} {v}" for k, v in subject(run).items())
    words = in_words(Counter(row.status for row in run.rows))
    return Text(f"{found}: {rows}{versions}: {words}", style="bold green" if found == CONFORMING else "bold red")


def in_part(rows: Iterable[Result]) -> str:
    """How many of those that pass say nothing of some of their elements; nothing if none."""
    parts = [row.unbounded for row in rows if row.status == "pass" and row.unbounded]
    most = f"{100 * max(parts, default=0):.2g} %"
    return f"in {len(parts)} passed rows some bounds are infinite, at {most} of the elements at most" if parts else ""


def outcome(run: Run) -> str:
    if not run.complete:
        return INCOMPLETE
    return NOT_CONFORMING if any(row.bad for row in run.rows) else CONFORMING


def subject(run: Run) -> dict[str, str]:
    """The versions that a person asks for."""
    return {k: v for k, v in run.header.get("subject", {}).items() if k != "ml_dtypes"}


def in_words(counts: Mapping[str, int]) -> str:
    """How many rows have which status."""
    return ", ".join(f"{counts[s]} {words}" for s, words in WORDS.items() if counts[s])


INCOMPLETE, NOT_CONFORMING, CONFORMING = OUTCOMES = ("INCOMPLETE", "NOT CONFORMING", "CONFORMING")  # the worst first
WORDS = {
    "pass": "passed", "fail": "failed", "error": "errors", "xpass": "unexpected passes", "xfail": "known failures",
    "unsupported": "unsupported",
}  # fmt: skip


def show(console: Console, run: Run, path: Path) -> None:
    console.print(summary(run, path))
