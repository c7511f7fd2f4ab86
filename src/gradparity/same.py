"""The same, computed once more in another way: bit for bit, or within the bound."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from gradparity.arithmetic import Tracked
from gradparity.cases import LAYOUTS, Group
from gradparity.comparison import as_integers, ratios, wrong_kind
from gradparity.judge import Run, calling, three_figures, timed, too_few, unbounded
from gradparity.op import BIT_EQUAL, FORMATS, WITHIN_BOUND, Array, Arrays, Case, Result, is_float, join
from gradparity.truth import grouped


@dataclass(frozen=True, eq=False)
class SameRun(Run):
    """Whether one case gives the same bits when it is computed again in another way: a member of HOW.

    What differs within twice the bound, each of the two being allowed one, passes and says so: no error, but a property
    that somebody may rely on.
    """

    how: str = field(kw_only=True)

    @property
    def checks(self) -> list[str]:
        return [join("same", self.how, self.direction)]

    def rows(self, cases: tuple[Case, ...]) -> list[Result]:
        return super().rows(tuple(case for case in cases if case.name == self.op.repeated))

    def counted(self, *_: Any) -> list[str]:
        """That is done where it is compared with the reference."""
        return []

    def why_unsupported(self, case: Case) -> str:
        if self.how == "alone" and self.op.batch_axis(case.params) is None:
            return "its rows are not independent of one another"
        if self.how == "transposed" and all(a.ndim < 2 for a in self.arrays(case).values()):
            return "its arrays have one axis"
        return super().why_unsupported(case)

    def arrays(self, case: Case) -> Arrays:
        return grouped(self.op, self.dtype, (case,), self.seed, self.direction)[0].arrays

    def judged(self, group: Group) -> Iterator[Result]:
        other = self.other(group)
        with timed("reference"):
            want = self.expected(other)
        try:
            with calling():
                first, second = self.computed(group), self.computed(other)
        except Exception as exception:  # as of any result
            yield from self.raised(group, exception)
            return
        pairs = [(in_part(first.get(name), other), second.get(name), want[name]) for name in want]
        yield self.row_of(group, self.checks[0], 0, **self.agreement(pairs))

    def other(self, group: Group) -> Group:
        if self.how == "alone":
            return first_row(group)
        return replace(group, layout=self.how) if self.how in LAYOUTS else group

    def agreement(self, pairs: Sequence[tuple[Array, Array, Tracked]]) -> dict[str, Any]:
        """What there is to say of two results of the same, and what each of them may err by."""
        one = pairs[0][0]  # another dtype than is due is said where the reference is compared
        kind = one.dtype if is_float(one) else self.kind
        for *both, want in pairs:
            for mismatch in filter(None, (wrong_kind(one, want.v, kind) for one in both)):
                return {"status": "fail", "reason": mismatch[0], "message": mismatch[1]}
        if all(first.tobytes() == second.tobytes() for first, second, _ in pairs):
            return {"status": "pass", "reason": BIT_EQUAL, "error": 0.0}
        form = FORMATS[self.dtype]
        error = max(float(ratios(b, a.astype(w.v.dtype), 2 * w.full, form).max(initial=0)) for a, b, w in pairs)
        count = sum(int((as_integers(a) != as_integers(b)).sum()) for a, b, _ in pairs)
        seen = {"error": error, "got": f"{count} of {sum(a.size for a, *_ in pairs)} other"}
        if error <= 1:
            part = three_figures(max(unbounded(w.v, w.full, form).mean() for *_, w in pairs if w.v.size))
            return seen | {"status": "pass", "reason": WITHIN_BOUND, "unbounded": part} | too_few(part)
        words = f"computed {self.how}, {seen['got']}, by up to {error:.3g} times what the two may differ"
        return seen | {"status": "fail", "reason": "bound", "message": words}


def in_part(got: Any, group: Group) -> Any:
    """Of a result, if it is one, what a group of one case looks at."""
    return group.part(got, 0) if isinstance(got, np.ndarray) else got


def first_row(group: Group) -> Group:
    """The first element along the batch axis, for itself."""
    row = replace(group, cases=group.cases[:1], draws=group.draws[:1], slices=(slice(0, 1),))
    return replace(row, arrays={k: row.part(v, 0) for k, v in group.arrays.items()})
