"""The narrowest precision that an implementation lives up to, found by trying."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from gradparity.arithmetic import CLASSES, Precision
from gradparity.catalogue import Item
from gradparity.known_failures import KnownFailure, judged
from gradparity.op import FORMATS, Case, Result


def ladder(dtype: str) -> list[Precision]:
    """From narrow to wide. The classes differ for 16 bits only."""
    classes = CLASSES if FORMATS[dtype].bits < 24 else CLASSES[:1]
    return [Precision(cls, sharp) for cls in classes for sharp in (True, False)]


@dataclass(frozen=True)
class Trial:
    """The cases of an item that are declared alike, under a precision that was tried instead."""

    declared: Precision
    cases: tuple[Case, ...]
    precision: Precision
    bad: tuple[Result, ...]

    @property
    def narrower(self) -> bool:
        """Whether less than what is declared would do."""
        return not self.bad and self.precision != replace(self.declared, finding="")


def trials(item: Item, known: Sequence[KnownFailure] = ()) -> Iterator[Trial]:
    """For each precision that the item declares, those up to the first that holds, the narrowest first, but none
    wider than what is declared: its library accuracies and all, it is the last to be tried."""
    for implementation, cases in item.implementation.by_precision(item.dtype, item.cases):
        declared = implementation.precision_of(item.dtype, item.direction)
        steps = ladder(item.dtype)
        plain = replace(declared, finding="")
        for precision in [*(steps[: steps.index(plain)] if plain in steps else steps), plain]:
            table = {f"{item.dtype}/{item.direction}/*": precision} | dict(implementation.precision)
            tried = replace(item, implementation=replace(implementation, precision=table), cases=cases)
            bad = tuple(row for row in judged(tried.run(), known) if row.bad)
            yield Trial(declared, cases, precision, bad)
            if not bad:
                break
