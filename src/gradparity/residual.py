"""Residuals that are 0, of the framework and of the reference: see gradparity.invariant."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gradparity.adapter import Adapter, Implementation
from gradparity.arithmetic import EVERYTHING, EXACTLY, Tracked, size
from gradparity.cases import LAYOUTS, Group
from gradparity.invariant import Subject, exact_in_wide, in_wide
from gradparity.judge import Run, value_of, vjp_of
from gradparity.op import Array, Arrays, Case, GradparityError, Invariant, Op, Result, is_float, join, wide
from gradparity.truth import declared, expected, remembered, sound, stored_value, stored_vjp


@dataclass(frozen=True, eq=False)
class ResidualRun(Run):
    """Of a residual in place of a value, 0 in place of the reference."""

    equality = "nothing is allowed, however it was rounded"

    @property
    def kind(self) -> np.dtype[Any]:
        kind: np.dtype[Any] = np.dtype(wide(self.dtype))
        return kind

    def bits(self, got: Array) -> str:
        """None: in long double some are padding."""
        return ""

    def counted(self, *_: Any) -> list[str]:
        """A residual has no nearest number: it is 0."""
        return []

    def difference(self, seen: str, want: str) -> str:
        return f"the residual {seen}, but it should be 0: "

    def verdict(self, *judged: Any) -> dict[str, Any]:
        """As of a value, but 0 has no unit in the last place."""
        return super().verdict(*judged) | {"ulp": np.nan}


@dataclass(frozen=True, eq=False)
class InvariantRun(ResidualRun):
    """The part of a check that is one invariant.

    subjects: the framework's functions, by operation, that the invariants of one check share
    """

    invariant: Invariant = field(kw_only=True)
    subjects: dict[str, Subject] = field(kw_only=True)

    @property
    def checks(self) -> list[str]:
        return [join("invariant", self.invariant.name)]

    @property
    def pair(self) -> list[tuple[Op, Implementation]]:
        """What the residual is of: the implementation, and the framework's first of the operation beside it."""
        op = self.invariant.other
        others = [(op, i) for i in self.adapter.implementations if op and i.op == op.name]
        return [(self.op, self.implementation), *others[:1]]

    def rows(self, cases: tuple[Case, ...]) -> list[Result]:
        return super().rows(tuple(case for case in cases if case.name in self.invariant.cases))

    def why_unsupported(self, case: Case) -> str:
        if self.invariant.other and len(self.pair) == 1:
            return f"{self.adapter.name} has no {self.invariant.other.name} to set it against"
        directions = dict.fromkeys(("invariant", "value", self.direction))
        reasons = (i.why_unsupported(self.dtype, d, case.name) for _, i in self.pair for d in directions)
        return next(filter(None, reasons), "")

    def expected(self, group: Group, silent: str = "") -> dict[str, Tracked]:
        key = (self.invariant, id(group), *(declared(*one, self.dtype, "vjp") for one in self.pair), self.dtype, silent)
        return remembered(key, lambda: (group, {self.checks[0]: self.bound(group, silent)}))[1]

    def bound(self, group: Group, silent: str) -> Tracked:
        """0, and how far from it the residual may be: as far as from the reference's, and that one's own distance,
        which is what the wide format rounds."""
        r = self.residual(group, self.reference(silent), exact_in_wide)
        if not silent and not self.kept(group, r):
            raise GradparityError(f"the reference of {self.op.name} does not keep {self.invariant.name}")
        return Tracked(0 * r.v, EXACTLY if self.invariant.exact else sound(r, self.op).e + size(r.v), r.a)

    def kept(self, group: Group, r: Tracked) -> bool:
        """Whether the reference keeps the invariant within its bound and its own error."""
        if (size(r.v) <= r.full).all():
            return True
        own = self.residual(group, self.reference(EVERYTHING), exact_in_wide)
        return bool((size(r.v) <= r.full + own.full).all())

    def computed(self, group: Group) -> dict[str, Array]:
        return {self.checks[0]: np.asarray(self.residual(group, self.framework, in_wide))}

    def framework(self, op: Op, implementation: Implementation) -> Subject:
        return self.subjects.setdefault(op.name, framework_subject(op, implementation, self.adapter, self.dtype))

    def reference(self, silent: str) -> Callable[[Op, Implementation], Subject]:
        def subject(op: Op, implementation: Implementation) -> Subject:
            key = (declared(op, implementation, self.dtype, "vjp"), self.dtype, silent, self.seed)
            return remembered(key, lambda: reference_subject(op, implementation, self.dtype, silent))

        return subject

    def residual(self, group: Group, subject: Callable[..., Subject], number: Callable[[str, Array], Any]) -> Any:
        arrays = group.arrays | ({"g": self.cotangents(group)} if self.direction == "vjp" else {})
        given = {k: number(self.dtype, v) if is_float(v) else v for k, v in arrays.items()}
        with np.errstate(all="ignore"):
            return self.invariant.residual(*(subject(*one) for one in self.pair), **given, **group.params)


@dataclass(frozen=True, eq=False)
class AdjointRun(ResidualRun):
    """<g, J v> - <J' g, v> of a framework's own two modes, for each element along the batch axis."""

    @property
    def checks(self) -> list[str]:
        return self.op.adjoint_checks

    def why_unsupported(self, case: Case) -> str:
        return super().why_unsupported(case) or self.implementation.why_unsupported(self.dtype, "vjp", case.name)

    def expected(self, group: Group, silent: str = "") -> dict[str, Tracked]:
        key = ("adjoint", id(group), declared(self.op, self.implementation, self.dtype, "jvp"), self.dtype, silent)
        return remembered(key, lambda: (group, self.bounds(group, silent)))[1]

    def bounds(self, group: Group, silent: str) -> dict[str, Tracked]:
        """0, and how far from it the residual may be: as of an invariant."""
        jvp, vjp = (expected(self.op, self.implementation, group, self.dtype, d, silent) for d in ("jvp", "vjp"))
        found = self.residuals(group, jvp, vjp, exact_in_wide)
        return {k: Tracked(0 * r.v, sound(r, self.op).e + size(r.v), r.a) for k, r in found.items()}

    def computed(self, group: Group) -> dict[str, Array]:
        g = LAYOUTS[group.layout](self.cotangents(group))
        dx = vjp_of(self.op, self.adapter, self.implementation, g, group.laid_out(), group.params)
        found = self.residuals(group, super().computed(group), {join("vjp", k): v for k, v in dx.items()}, in_wide)
        return {k: np.asarray(r) for k, r in found.items()}

    def residuals(
        self, group: Group, jvp: Mapping[str, Any], vjp: Mapping[str, Any], given: Callable[[str, Array], Any]
    ) -> dict[str, Any]:
        def wide_of(x: Any) -> Any:  # another dtype than is due is said where it is compared with the reference
            return in_wide(self.dtype, x) if isinstance(x, Tracked) else np.asarray(x).astype(wide(self.dtype))

        found, g = {}, given(self.dtype, self.cotangents(group))
        for check, k in zip(self.checks, self.op.wrt, strict=True):
            v = given(self.dtype, group.tangents(k))
            with np.errstate(all="ignore"):
                pushed, pulled = g * wide_of(jvp[join("jvp", k)]), v * wide_of(vjp[join("vjp", k)])
                found[check] = group.sums(pushed) - group.sums(pulled)
        return found


def framework_subject(op: Op, implementation: Implementation, adapter: Adapter, dtype: str) -> Subject:
    """A framework's function as the f of a residual."""

    def value(arguments: Arrays) -> list[Any]:
        return [in_wide(dtype, y) for y in value_of(op, adapter, implementation, *parted(arguments))]

    def vjp(g: Array, arguments: Arrays) -> Arrays:
        dx = vjp_of(op, adapter, implementation, g, *parted(arguments))
        return {k: in_wide(dtype, v) for k, v in dx.items()}

    return Subject(dtype, value, vjp)


def parted(arguments: Arrays) -> tuple[Arrays, Arrays]:
    """Arrays, and parameters."""
    arrays = {k: v for k, v in arguments.items() if isinstance(v, np.ndarray)}
    return arrays, {k: v for k, v in arguments.items() if k not in arrays}


def reference_subject(op: Op, implementation: Implementation, dtype: str, silent: str) -> Subject:
    """The reference as the f of a residual: what the implementation may store, with its error."""

    def value(arguments: Arrays) -> list[Any]:
        return [in_wide(dtype, y) for y in stored_value(op, implementation, dtype, silent, arguments)]

    def vjp(g: Array, arguments: Arrays) -> Arrays:
        y = stored_value(op, implementation, dtype, silent, arguments)[0]
        dx = stored_vjp(op, implementation, dtype, silent, g, y, arguments)
        return {k: in_wide(dtype, v) for k, v in dx.items()}

    return Subject(dtype, value, vjp)
