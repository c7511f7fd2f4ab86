"""A bug report for a row of a run, as a maintainer of the framework would want it.

The row tells what was seen, and every text of it stands in code spans: a run file may come from anybody. The program is
made from the row's identity and the seed alone, and is tried here, with the version that is installed here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gradparity import catalogue
from gradparity.catalogue import Item
from gradparity.check import check
from gradparity.markdown import code, fenced
from gradparity.op import Case, GradparityError, Result, nearest
from gradparity.results import Run
from gradparity.snippet import snippet

WHAT = {
    "bound": "inaccurate {}", "nonfinite": "NaN or infinity in the {} where none belongs, or none where it does",
    "shape": "wrong shape of the {}", "dtype": "wrong dtype of the {}", "missing": "the {} is missing",
    "misrounded": "less accurate {} than before", "exception": "the {} raises",
    "unbounded": "no bound of the {} to judge it by", "crash": "the process dies of the {}",
}  # fmt: skip


@dataclass(frozen=True)
class Place:
    """A row of a run, and what it is about."""

    run: Run
    row: Result
    item: Item
    case: Case


def find(run: Run, identity: str) -> Place:
    """Raises GradparityError if the run has no such row, or its framework is not installed."""
    rows = {row.id: row for row in run.rows}
    if identity not in rows:
        raise GradparityError(nearest(identity, list(rows), "row of this run"))
    item, case, _ = catalogue.find(identity, run.header["seed"])
    if not item.adapter.installed:
        name = item.adapter.framework
        raise GradparityError(f'the program is tried before it is given: pip install "gradparity[{name}]"')
    return Place(run, rows[identity], item, case)


def report(place: Place) -> Iterator[str]:
    """Markdown. The adapter's framework is imported."""
    row, here = place.row, seen_here(place)
    yield f"# {title(row)}\n"
    yield from judged(row)
    yield "\n## To see it\n"
    yield from fenced(program(place, here), "python")
    yield f"\nWith {place.item.adapter.framework} {place.item.adapter.version}, where this was written: {words(here)}\n"
    yield "## Where it was seen\n"
    yield from where(place)


def title(row: Result) -> str:
    """One line, of names that the catalogue knows."""
    quantity = "value" if row.check.startswith("value") else f"gradient ({row.check.removeprefix('vjp.')})"
    what = WHAT.get(row.reason, "{} passes" if row.status == "pass" else row.status + " of the {}").format(quantity)
    return f"{row.api}: {what}, {row.dtype}, {row.mode}"


def judged(row: Result) -> Iterator[str]:
    yield from fenced(row.message or f"{row.id}: {row.status}", "text")
    if row.want:
        yield "\n| element | expected | actual |\n|---|---|---|"
        yield f"| {list(row.at)} | {code(row.want)} | {code(row.got)} |"
    if row.reason == "bound":
        yield (
            f"\nThe error is {row.error:.3g} times what rounding can explain for this input ({row.ulp:.3g} ulp of the "
            f"expected value): every operation of the formula rounded once ({row.precision.lower()})."
        )
    if row.link:
        yield f"\nKnown: {code(row.link)}"


def seen_here(place: Place) -> Result:
    """The same row, judged again."""
    item = place.item
    rows = check(
        item.op, item.implementation, item.adapter, item.dtype, item.direction, (place.case,), item.selection.seed
    )
    return next(row for row in rows if row.id == place.row.id)


def program(place: Place, here: Result) -> str:
    item = place.item
    return snippet(item.op, item.implementation, item.adapter, place.case, here, item.selection.seed)


def words(row: Result) -> str:
    if row.status == "fail" and row.want:
        return f"{code(row.got)}, where {code(row.want)} is right."
    return f"{row.status}{f' ({row.reason})' if row.reason else ''}."


def where(place: Place) -> Iterator[str]:
    header, name = place.run.header, place.item.adapter.name
    facts = {k: v for k, v in header["environment"].items() if k != "variables"}
    variables = header["environment"].get("variables", {}).get(name, {})
    yield "| | |\n|---|---|"
    for k, v in {**header["subject"], **facts, **variables}.items():
        yield f"| {code(k)} | {code(str(v))} |"
    yield (
        f"\nFound by gradparity {code(header['suite'])}, which compares with a NumPy reference: "
        f"row {code(place.row.id)}, seed {header['seed']}."
    )
