"""The narrowest precision that an implementation lives up to, found by trying."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from gradparity.adapter import Implementation
from gradparity.arithmetic import CLASSES, Precision
from gradparity.catalogue import Item
from gradparity.check import check
from gradparity.known_failures import KnownFailure, judged
from gradparity.op import FORMATS, Case, Result, worst_first


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
