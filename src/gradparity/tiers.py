"""How much a run looks at: tiers, as data."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache

from gradparity.adapter import first_match
from gradparity.cases import groups
from gradparity.op import DERIVED, DIRECTIONS, FORMATS, Case, Op
from gradparity.prelude import INSIDE

Features = Callable[[Op, Case], set[Hashable]]
# A prelude is one more shape of everything: these are looked at wherever a few cases of each kind are.
BEHIND: Mapping[str, str] = {
    "softmax": "masked", "cross_entropy": "cooled", "binary_cross_entropy_with_logits": "affine",
}  # fmt: skip


def features(op: Op, case: Case) -> set[Hashable]:
    directions = (d for d in DIRECTIONS if d not in DERIVED)
    checks = {check for direction in directions for check in op.row_checks(case, direction, case.dtypes[-1])}
    return parameters(op, case) | {case.edge} | (checks if INSIDE not in case.params else set())


def parameters(op: Op, case: Case) -> set[Hashable]:
    """And edges, but those that are left aside. Of a case behind a prelude that alone, so that the operation is also
    looked at without."""
    if INSIDE in case.params:
        return preludes(op, case) if case.params[INSIDE] == BEHIND.get(op.name) else set()
    return {(name, repr(value)) for name, value in case.params.items()} | ({case.edge} if not case.aside else set())


def preludes(op: Op, case: Case) -> set[Hashable]:
    return {(INSIDE, case.params[INSIDE])} if INSIDE in case.params else set()


def with_preludes(op: Op, case: Case) -> set[Hashable]:
    """The features, and all preludes."""
    return features(op, case) | preludes(op, case)


def derivatives(op: Op, case: Case) -> set[Hashable]:
    return {True} if case.name in op.smooth_cases else set()


def anything(op: Op, case: Case) -> set[Hashable]:
    return {True}


def nothing(op: Op, case: Case) -> set[Hashable]:
    return set()


@cache
def covering(op: Op, shown_by: Features = features) -> frozenset[str]:
    """The names of cases that show each feature of the operation's at least once: a value of a parameter, an edge, a
    check. They are taken by groups, which cost one call each: what shows most that is new comes first, and of equals
    what has most cases."""
    piles = [
        group.cases
        for dtype in FORMATS
        for edge in ("", *op.edges)
        for group in groups(op, dtype, tuple(cases_of(op, dtype, edge)), 0, "value")
    ]
    shown: dict[tuple[Case, ...], set[Hashable]] = {pile: {f for c in pile for f in shown_by(op, c)} for pile in piles}
    missing = set().union(*shown.values())
    chosen: list[Case] = []
    while missing:
        best = max(shown, key=lambda pile: (len(shown[pile] & missing), len(pile)))
        missing -= shown[best]
        chosen += best
    return frozenset(case.name for case in chosen)


def cases_of(op: Op, dtype: str, edge: str) -> Iterator[Case]:
    """Those at this edge, which are in no wider dtype: an edge is a call of its own."""
    return (case for case in op.every_case(dtype) if case.dtypes[0] == dtype and case.edge == edge)


@dataclass(frozen=True)
class Tier:
    """What a run takes where its options do not say.

    dtype, mode: globs of their names; without: of modes that are left out
    covering: "mode/dtype/direction" glob -> the features that cases are taken to show, see `covering`; where no glob
        matches all are taken. This holds whatever the options say
    sizes: whether cases of drawn sizes are taken where all are
    """

    words: str
    dtype: tuple[str, ...] = ("*",)
    mode: tuple[str, ...] = ("*",)
    without: tuple[str, ...] = ()
    covering: Mapping[str, Features] = field(default_factory=dict)
    sizes: bool = False

    def takes(self, what: str, name: str) -> bool:
        left_out = self.without if what == "mode" else ()
        return any_matches(getattr(self, what, ("*",)), name) and not any_matches(left_out, name)

    def cases(self, op: Op, mode: str, dtype: str, direction: str, seed: int = 0) -> tuple[Case, ...]:
        """Those that are looked at in this mode. The seed draws sizes."""
        every = op.every_case(dtype)
        shown_by = first_match(self.covering, f"{mode}/{dtype}/{direction}", None)
        if shown_by is not None:
            return tuple(c for c in every if c.name in covering(op, shown_by))
        return every + op.sized(dtype, seed) if self.sizes else every


def any_matches(globs: tuple[str, ...], name: str) -> bool:
    return any(fnmatchcase(name, glob) for glob in globs)


# A new shape takes inductor one to three seconds, which makes code for the value and for the gradient, and compiles it.
SHAPES: Mapping[str, Features] = {"float32/v*": parameters, "*16/v*": anything, "*": nothing}
INDUCTOR: Mapping[str, Features] = {f"compile/{where}": shown for where, shown in SHAPES.items()}
# A derivative is two or three gradients; compiled it is a program of its own for each shape.
SOME_DERIVED: Mapping[str, Features] = {
    **{f"*/{dtype}/{direction}": nothing for dtype in ("float64", "float16") for direction in DERIVED},
    **{f"[!e]*/*/{direction}": derivatives for direction in DERIVED},  # all modes but eager
}
# These take a quarter of a second. So does jit, in which most of JAX is run: it is taken whole. A graph of aot_eager is
# traced through PyTorch's dispatcher in Python: of every case, it was 97 % of the default tier of PyTorch.
SAMPLED: Mapping[str, Features] = {
    **INDUCTOR, **{f"compile-aot/{where}": shown for where, shown in SHAPES.items()}, **SOME_DERIVED,
    **{f"{mode}/float32/v*": with_preludes for mode in ("vmap", "xla")},
    **{f"{mode}/*/v*": features for mode in ("vmap", "xla")}, **{f"{mode}/*": nothing for mode in ("vmap", "xla")},
}  # fmt: skip

TIERS: Mapping[str, Tier] = {
    # Invariants and bit equality are looked at in further shapes: two thirds of the time, all of it compiling.
    "quick": Tier(
        "values and gradients, eager and compiled as a whole, float32 and bfloat16, a few cases of each kind",
        ("float32", "bfloat16"), ("eager", "jit", "function"), covering={**INDUCTOR, "*/v*": features, "*": nothing},
    ),
    "default": Tier(
        "four dtypes and all modes but compile; of vmap and xla a few cases of each kind, of compile-aot a few shapes",
        without=("compile",), covering=SAMPLED,
    ),
    "full": Tier(
        "every case in every mode, but of compile a few shapes, and drawn sizes up to 2^17 rows and 32,000 classes",
        covering=INDUCTOR, sizes=True,
    ),
}  # fmt: skip
