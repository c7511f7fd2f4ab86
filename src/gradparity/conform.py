"""Your own function, judged by the suite's cases, bounds and messages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any

from gradparity.adapter import Implementation
from gradparity.arithmetic import Precision
from gradparity.catalogue import Item, Selection, adapter_of, find
from gradparity.check import contributions
from gradparity.op import DERIVED, DIRECTIONS, GradparityError, Result, worst_first
from gradparity.reference import OPS
from gradparity.snippet import snippet
from gradparity.truth import road_of

MOST_MESSAGES = 5


def check_function(
    fn: Callable[..., Any],
    op: str,
    framework: str,
    *,
    dtypes: Sequence[str] = ("float64", "float32"),
    mode: str = "",
    device: str = "cpu",
    vjp: Callable[..., Any] | None = None,
    conventions: Mapping[str, Any] | None = None,
    precision: str = "A",
    road: str = "",
    select: str = "",
    seed: int = 0,
    edges: Mapping[str, Any] | None = None,
) -> list[Result]:
    """One Result for each case and check of the operation.

    fn: called as fn(**arrays, **params) with the framework's tensors and the argument names of the operation's
        reference (gradparity list shows them): cross_entropy(x, t, reduction)
    op, framework: as in gradparity list; mode: one of the framework's (eager, jit, function), its plain one if empty
    vjp: your gradient, vjp(g, y, **arrays, **params) -> {"x": dx}; by default the framework differentiates fn
    conventions, road: the choices that fn takes where the mathematics leaves one open
    edges: what fn does with bad labels and the like, as gradparity list names it; what is not said is not checked
    precision: "A" computed in float32 or better and rounded once, "B", "C": see gradparity.arithmetic.Precision
    select: glob of row identities (op/name/mode/device/dtype/case/check) that limits the cases

    Raises GradparityError for a name that is not known, a framework that is not installed, or a selection that
    matches nothing.
    """
    return [row for item in items_of(fn, **given(locals())) for row in item.run()]


def assert_conforms(fn: Callable[..., Any], op: str, framework: str, **options: Any) -> None:
    """Raises AssertionError with the suite's messages, and a program that shows the first failure, if fn fails
    anywhere. Options as of check_function."""
    for item in items_of(fn, op=op, framework=framework, **options):
        if words := failures(item, item.run()):
            raise AssertionError(words)


def explain(result: Result, seed: int = 0) -> dict[str, float]:
    """What the bound of a result of the catalogue is made of at its worst element: source of error -> by which share
    the bound would fall without it, the largest first; empty where nothing or anything is allowed, and for a
    share of misrounded results.

    seed: that of the run.  Raises GradparityError if there is no such row.
    """
    item, case, name = find(result.id, seed)
    if result.is_share:
        return {}
    return contributions(item.op, item.implementation, item.adapter, item.dtype, case, name, result.at, seed)


def failures(item: Item, results: Sequence[Result]) -> str:
    """The messages of what is bad, the worst first, and a program that shows the first of them; "" if nothing is."""
    bad = worst_first(r for r in results if r.bad)
    if not bad:
        return ""
    words = [r.message for r in bad[:MOST_MESSAGES]]
    if len(bad) > MOST_MESSAGES:
        words.append(f"... and {len(bad) - MOST_MESSAGES} more")
    return "\n".join([*words, "", program(item, bad[0])])


LONGEST_PROGRAM = 8000


def program(item: Item, row: Result) -> str:
    """The program for a row, or where it is to be had if it is long."""
    case = next(case for case in item.cases if case.name == row.case)
    text = snippet(item.op, item.implementation, item.adapter, case, row, item.selection.seed)
    return text if len(text) <= LONGEST_PROGRAM else f"# a program that shows it: gradparity snippet {row.id}"


def given(options: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in options.items() if k != "fn"}


def items_of(
    fn: Callable[..., Any], op: str, framework: str, dtypes: Sequence[str] = ("float64", "float32"), mode: str = "",
    device: str = "cpu", vjp: Callable[..., Any] | None = None, conventions: Mapping[str, Any] | None = None,
    precision: str = "A", road: str = "", select: str = "", seed: int = 0, edges: Mapping[str, Any] | None = None,
) -> list[Item]:  # fmt: skip
    selection = Selection((framework,), dtype=tuple(dtypes), op=(op,), select=select, seed=seed)
    adapter = adapter_of(framework, mode, device)
    implementation = Implementation(
        op, getattr(fn, "__qualname__", repr(fn)).replace("/", "."), as_it_is_now(fn),
        conventions=conventions or {}, road=road, precision={"*": Precision(precision)}, vjp=vjp,
        edges=edges or {},
    )  # fmt: skip
    implementation.declared(OPS[op])
    road_of(OPS[op], implementation)
    found = [
        Item(OPS[op], implementation, adapter, dtype, direction, selection)
        for dtype in dtypes
        for direction in DIRECTIONS
        if direction not in DERIVED  # which nobody asked of it
    ]
    if not any(item.cases for item in found):
        raise GradparityError(f"nothing selected: no row of {op} matches {select!r}")
    return [item for item in found if item.cases]


def as_it_is_now(fn: Callable[..., Any]) -> Callable[..., Any]:
    """fn under another identity: what a framework compiled for it is not found again, because what fn calls may have
    been changed since."""

    @wraps(fn)
    def call(**arguments: Any) -> Any:
        return fn(**arguments)

    return call
