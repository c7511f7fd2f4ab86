"""hinge and squared_hinge, their conventions at the kink and at NaN among what can be wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradparity.mutants.defects import instead
from gradparity.mutation import Defect, Mutant
from gradparity.op import Array
from gradparity.reference import OPS


def margin(x: Array, t: Array) -> Array:
    return 1 - t * x


OWN: tuple[Mutant, ...] = (
    Mutant("hinge", "margin-1.000001", instead(lambda x, t: np.maximum(1.000001 - t * x, 0)), at="kink"),
    Mutant("hinge", "margin-0", instead(lambda x, t: np.maximum(-t * x, 0)),
           instead(lambda g, y, x, t: {"x": -g * t * (t * x < 0)}), "below-kink"),
    Mutant("hinge", "other-side", instead(lambda x, t: np.maximum(t * x - 1, 0)),
           instead(lambda g, y, x, t: {"x": -g * t * (t * x > 1)}), "around-kink"),
    Mutant("hinge", "not-cut-at-zero", instead(margin), instead(lambda g, y, x, t: {"x": -g * t}), "scale-1"),
    Mutant("hinge", "labels-ignored", instead(lambda x, t: np.maximum(1 - x, 0)),
           instead(lambda g, y, x, t: {"x": -g * (t * x < 1)}), "scale-1"),
    Mutant("hinge", "labels-0-and-1", instead(lambda x, t: np.maximum(1 - (t + 1) / 2 * x, 0)),
           instead(lambda g, y, x, t: {"x": -g * (t + 1) / 2 * (t * x < 1)}), "scale-1"),
    Mutant("hinge", "softplus", instead(lambda x, t: np.logaddexp(0, margin(x, t))), at="scale-1"),
    Mutant("hinge", "nan-cut-at-zero", instead(lambda x, t: np.fmax(margin(x, t), 0)), at="nan",
           reason="fail/nonfinite"),
    Mutant("hinge", "kink-at-1.000001", vjp=instead(lambda g, y, x, t: {"x": -g * t * (t * x < 1.000001)}),
           at="kink"),
    Mutant("hinge", "of-the-square", at="scale-1",
           vjp=instead(lambda g, y, x, t: {"x": -2 * g * t * np.maximum(margin(x, t), 0)})),
    Mutant("squared_hinge", "not-squared", instead(lambda x, t: np.maximum(margin(x, t), 0)),
           instead(lambda g, y, x, t: {"x": -g * t * (t * x < 1)}), "scale-1"),
    Mutant("squared_hinge", "half", instead(lambda x, t: np.square(np.maximum(margin(x, t), 0)) / 2),
           instead(lambda g, y, x, t: {"x": -g * t * np.maximum(margin(x, t), 0)}), "scale-1"),
    Mutant("squared_hinge", "margin-1.000001", instead(lambda x, t: np.square(np.maximum(1.000001 - t * x, 0))),
           instead(lambda g, y, x, t: {"x": -2 * g * t * np.maximum(1.000001 - t * x, 0)}),
           {"*/float16/value": "scale-1", "*": "kink"}),
    Mutant("squared_hinge", "not-cut-at-zero", instead(lambda x, t: np.square(margin(x, t))),
           instead(lambda g, y, x, t: {"x": -2 * g * t * margin(x, t)}), "scale-1"),
    Mutant("squared_hinge", "other-side", instead(lambda x, t: np.square(np.minimum(margin(x, t), 0))),
           instead(lambda g, y, x, t: {"x": -2 * g * t * np.minimum(margin(x, t), 0)}), "around-kink"),
    Mutant("squared_hinge", "labels-ignored", instead(lambda x, t: np.square(np.maximum(1 - x, 0))),
           instead(lambda g, y, x, t: {"x": -2 * g * np.maximum(margin(x, t), 0)}), "scale-1"),
)  # fmt: skip


def convention(op: str, name: str, value: Any) -> Defect:
    """The right gradient with this value at the kink, or at NaN."""
    return instead(lambda g, y, **kw: OPS[op].vjp(g, y, **kw, **{name: value}))


def word(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def undeclared(op: str, name: str, at: str, values: tuple[Any, ...]) -> Iterator[Mutant]:
    """Each declared value of a convention with each other value, admissible or not."""
    for declared in OPS[op].conventions[name].values:
        for actual in values:
            if actual == declared or (actual != actual and declared != declared):
                continue
            reason = "fail/nonfinite" if {"nan", "inf"} & {word(actual), word(declared)} else "fail/bound"
            title = f"{name}-{word(actual)}-where-{word(declared)}-is-declared"
            yield Mutant(
                op, title, vjp=convention(op, name, actual), at=at, reason=reason, conventions={name: declared}
            )


MUTANTS = (
    *OWN,
    *undeclared("hinge", "kink", "kink", (0.0, 0.5, 1.0, 0.25, -1.0, 2.0, np.nan, np.inf)),
    *undeclared("hinge", "nan_margin", "nan", (0.0, 1.0, np.nan, 0.5, np.inf)),
    *undeclared("squared_hinge", "nan_margin", "nan", (0.0, np.nan)),
)
