"""What an implementation lives up to, found by trying: the narrowest precision, and of a new function all of it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from gradparity.adapter import Adapter, Implementation
from gradparity.arithmetic import CLASSES, Precision
from gradparity.catalogue import Item
from gradparity.check import check
from gradparity.known_failures import KnownFailure, judged
from gradparity.op import COMPARED, FORMATS, Case, Op, Raises, Result, worst_first
from gradparity.reference import OPS


def ladder(dtype: str) -> list[Precision]:
    """From narrow to wide. The classes differ for 16 bits only."""
    classes = CLASSES if FORMATS[dtype].bits < 24 else CLASSES[:1]
    return [Precision(cls, sharp) for cls in classes for sharp in (True, False)]


@dataclass(frozen=True)
class Trial:
    """What the cases give that an item declares alike.

    narrowest: the first step of the ladder that holds, or what is declared if none narrower does; None if not even that
    bad: what is wrong as declared
    """

    item: Item
    cases: tuple[Case, ...]
    declared: Precision
    narrowest: Precision | None
    bad: tuple[Result, ...] = ()

    @property
    def verdict(self) -> str:
        if self.narrowest is None:
            first = worst_first(self.bad)[0]
            return f"{self.declared} does not hold in {len(self.bad)} rows: {first.message or first.id}"
        if self.narrowest != replace(self.declared, finding=""):
            return f"{self.declared} is declared, {self.narrowest} holds too"
        return f"{self.declared} holds, and nothing narrower"

    def __str__(self) -> str:
        tried, whole = len(self.cases), len(self.item.cases)
        some = f" ({tried} of {whole} cases)" if tried < whole else ""
        finding = f"\n    finding: {self.declared.finding}" if self.declared.finding else ""
        return f"{self.item.id}{some}: {self.verdict}{finding}"


def trials(item: Item, known: Sequence[KnownFailure] = ()) -> Iterator[Trial]:
    """A trial for each precision that the item declares; rows that are known to fail, and shares of
    misrounded results, decide against none."""
    for implementation, cases in item.implementation.by_precision(item.dtype, item.cases):
        declared = implementation.precision_of(item.dtype, item.direction)
        plain = replace(declared, finding="")
        steps = ladder(item.dtype)
        bad: tuple[Result, ...] = ()
        for precision in [*(steps[: steps.index(plain)] if plain in steps else steps), plain]:
            rows = judged(rows_of(item, implementation, cases, precision), known)
            bad = tuple(row for row in rows if row.bad and not row.is_share)
            if not bad:
                break
        yield Trial(item, cases, declared, None if bad else precision, bad)


def rows_of(
    item: Item, implementation: Implementation, cases: tuple[Case, ...], precision: Precision
) -> list[Result]:  # fmt: skip
    """The rows of these cases, had this precision been declared for the item's dtype and direction."""
    here = f"{item.dtype}/{item.direction}/*"
    others = {glob: declared for glob, declared in implementation.precision.items() if glob != here}
    tried = replace(implementation, precision={here: precision} | others)
    return check(item.op, tried, item.adapter, item.dtype, item.direction, cases, item.selection.seed, explained=False)


# --- a function of which nothing is declared


@dataclass(frozen=True)
class Guess:
    """What may be said of a function: its conventions and its road; and the rows in which that is wrong."""

    conventions: Mapping[str, Any]
    road: str
    bad: tuple[Result, ...]

    def __str__(self) -> str:
        words = [f"{name}={value}" for name, value in self.conventions.items()] + [self.road] * bool(self.road)
        return ", ".join(words) or "nothing to choose"


@dataclass(frozen=True)
class Declaration:
    """What fits a function, as the arguments of its Implementation.

    guesses: all that was tried, up to the first that fits;  doubts: what nothing explains, in words
    """

    op: str
    api: str
    guesses: tuple[Guess, ...]
    precision: Mapping[str, Precision]
    edges: Mapping[str, Any]
    doubts: tuple[str, ...]

    @property
    def fits(self) -> bool:
        return not (self.guesses[-1].bad or self.doubts)

    @property
    def lines(self) -> Iterator[str]:
        """The text to paste; or which case decided against each choice; then what nothing explains."""
        last = self.guesses[-1]
        if last.bad:
            yield f"{self.op}: no declaration fits {self.api}"
            for guess in sorted(self.guesses, key=lambda guess: len(guess.bad)):
                worst = worst_first(guess.bad)[0]
                yield f"  {guess}: {len(guess.bad)} rows, as {worst.message or worst.id}"
        else:
            yield from ("Implementation(", f'    "{self.op}", "{self.api}",')
            for name, value in (("conventions", last.conventions), ("road", last.road), ("precision", self.precision),
                                ("edges", self.edges)):  # fmt: skip
                yield from [f"    {name}={source(value)},"] * bool(value)
            yield ")"
        yield from (f"# {words}" for words in self.doubts)


def declaration(implementation: Implementation, adapter: Adapter, dtypes: Sequence[str]) -> Declaration:
    """Found by trying: first what it computes, in float64 and float32, then how precisely, then at its edges."""
    op = OPS[implementation.op]
    guesses = tuple(tried(op, implementation, adapter))
    best = min(guesses, key=lambda guess: len(guess.bad))
    if best.bad:
        return Declaration(op.name, implementation.api, guesses, {}, {}, ())
    settled = replace(implementation, conventions=best.conventions, road=best.road)
    found = {(dtype, direction): narrowest(op, settled, adapter, dtype, direction)
             for dtype in dtypes for direction in COMPARED}  # fmt: skip
    precision = {f"{dtype}/{direction}/*": p for (dtype, direction), (p, _) in found.items() if p != Precision()}
    settled = replace(settled, precision=precision)
    edges, doubts = at_edges(op, settled, adapter)
    held = tuple(f"{dtype} {direction}: {words}" for (dtype, direction), (_, words) in found.items() if words)
    return Declaration(op.name, implementation.api, guesses, precision, edges, held + doubts)


def tried(op: Op, implementation: Implementation, adapter: Adapter) -> Iterator[Guess]:
    """Every choice of conventions and road, until one fits."""
    for road, *values in product(("", *op.roads), *(c.values for c in op.conventions.values())):
        choice = replace(implementation, conventions=dict(zip(op.conventions, values, strict=True)), road=road)
        bad = tuple(wrong(op, choice, adapter))
        yield Guess(choice.conventions, road, bad)
        if not bad:
            return


def wrong(op: Op, implementation: Implementation, adapter: Adapter) -> Iterator[Result]:
    """What is bad in float64, or if nothing is there, in float32."""
    for dtype in ("float64", "float32"):
        bad = [row for direction in COMPARED for row in check(op, implementation, adapter, dtype, direction,
                                                              explained=False) if row.bad]  # fmt: skip
        yield from bad
        if bad:
            return


def narrowest(
    op: Op, implementation: Implementation, adapter: Adapter, dtype: str, direction: str
) -> tuple[Precision, str]:
    """The first loose class that holds; or that in which the fewest rows are wrong, and which."""
    found: list[tuple[Precision, list[Result]]] = []
    for precision in [p for p in ladder(dtype) if not p.sharp]:
        tried = replace(implementation, precision={"*": precision})
        rows = [row for row in check(op, tried, adapter, dtype, direction, explained=False)
                if row.bad and not row.is_share]  # fmt: skip
        if not rows:
            return precision, ""
        found.append((precision, rows))
    precision, rows = min(found, key=lambda pair: len(pair[1]))
    worst = worst_first(rows)[0]
    return precision, f"{precision} does not hold in {len(rows)} rows, as {worst.message or worst.id}"


def at_edges(op: Op, implementation: Implementation, adapter: Adapter) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Of each edge what is due there, by case and direction where that is not the same; and what nothing explains."""
    edges: dict[str, Any] = {}
    doubts: list[str] = []
    for edge in op.edges:
        found: dict[str, Any] = {}
        for case in op.edge_cases:
            if case.edge == edge:
                due = {d: due_at(op, implementation, adapter, case, d) for d in COMPARED if case.only in ("", d)}
                doubts += [f"{case.name} {d}: {words}" for d, (value, words) in due.items() if value is None]
                values = {d: value for d, (value, _) in due.items() if value is not None}
                same = len(set(map(repr, values.values()))) == 1
                found |= {f"*/{'' if same else f'{d}/'}{case.name}": value for d, value in values.items()}
        if found:
            edges[edge] = shortened(found)
    return edges, tuple(doubts)


def due_at(op: Op, implementation: Implementation, adapter: Adapter, case: Case, direction: str) -> tuple[Any, str]:
    """The value, or the exception, that fits one case; or None and what came instead."""
    dtype, edge, words = "float32", case.edge, ""
    for value in (*op.edges[edge].values, Raises("something")):
        rows = check(op, replace(implementation, edges={edge: value}), adapter, dtype, direction, (case,),
                     explained=False)  # fmt: skip
        if all(row.status == "pass" for row in rows):
            return value, ""
        if rows[0].exception:
            return Raises(rows[0].exception), ""
        words = next((row.message for row in rows if row.bad), rows[0].reason)
    return None, words


def shortened(found: Mapping[str, Any]) -> Any:
    """The value that most have comes last, as that of all others."""
    ((usual, _),) = Counter(map(repr, found.values())).most_common(1)
    rest = {glob: value for glob, value in found.items() if repr(value) != usual}
    last = next(value for value in found.values() if repr(value) == usual)
    return {**rest, "*": last} if rest else last


def source(value: Any) -> str:
    """As it is written in an adapter."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f'"{name}": {source(v)}' for name, v in value.items()) + "}"
    if isinstance(value, Raises):
        return f'Raises("{value.exception}")'
    if isinstance(value, Precision):
        return f'Precision("{value.cls}"{", sharp=True" * value.sharp})'
    if isinstance(value, float) and not math.isfinite(value):
        return f'float("{value}")'
    return f'"{value}"' if isinstance(value, str) else repr(value)
