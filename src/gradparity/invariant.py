"""Checks without a reference: residuals that are 0, as a second witness.

A residual, say sum_j y_j - 1 of softmax, is evaluated twice by the same lines. Once of the framework's function, its
outputs taken to the wide format: the number that is judged. Once of the reference, whose outputs carry the error that
they may have as the implementation stores them: the bound. The truth is neither of them, it is 0.

So an invariant sees what a comparison with the reference cannot: a reference that is wrong, and a function that is
wrong where it is not compared, at arguments shifted, permuted, negated or paired up, or beside its own gradient, or
beside another function of the same framework. What is `exact` is more than a bound asks for: a probability of
1 + 2**-52 is within any bound, and none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from gradparity.arithmetic import EVERYTHING, EXACTLY, Arithmetic, Tracked
from gradparity.op import FORMATS, Array, Arrays, Format, GradparityError, wide


class Subject:
    """The f of a residual: a function of exact arguments, and its gradient. What it gave once it gives again.

    value(arguments): its outputs;  gradient(g, arguments): {argument: gradient}
    """

    def __init__(
        self, dtype: str, value: Callable[[Arrays], Iterable[Any]], gradient: Callable[[Array, Arrays], Arrays]
    ) -> None:
        self.form, self.value, self.gradient = FORMATS[dtype], value, gradient
        self.known: dict[Any, Any] = {}

    @property
    def bits(self) -> int:
        return self.form.bits

    def __call__(self, **arguments: Any) -> Any:
        first, *others = self.remembered("value", self.value, **arguments)
        return (first, *others) if others else first

    def vjp(self, g: Any, **arguments: Any) -> Arrays:
        found: Arrays = self.remembered("vjp", lambda given: self.gradient(given.pop("g"), given), g=g, **arguments)
        return found

    def remembered(self, what: str, evaluate: Callable[[Arrays], Any], **arguments: Any) -> Any:
        given = {k: exactly(v, self.form) for k, v in arguments.items()}
        key = (what, *((k, np.shape(v), v.tobytes() if isinstance(v, np.ndarray) else v) for k, v in given.items()))
        if key not in self.known:
            self.known[key] = evaluate(given)
        return self.known[key]


def exactly(v: Any, form: Format) -> Any:
    """A float array as numbers of the dtype under test, so that every implementation is asked the same question."""
    v, e = (v.v, v.e) if isinstance(v, Tracked) else (v, EXACTLY)
    if not isinstance(v, np.ndarray | np.floating) or v.dtype.kind in "biu":
        return v
    with np.errstate(all="ignore"):
        x = np.array(v.astype(form.dtype))
        exact = x.astype(v.dtype) == v
    if e.any() or not exact.all():
        raise GradparityError(f"a residual asks for a number that {form.dtype} does not hold")
    return x


def in_wide(dtype: str, y: Any) -> Any:
    """What is said about numbers of the dtype is computed in the wide format: see unrounded."""
    if isinstance(y, Tracked):
        return Tracked(y.v, y.e, unrounded(dtype))
    if not isinstance(y, np.ndarray) or y.dtype != FORMATS[dtype].dtype:
        raise TypeError(f"gave {getattr(y, 'dtype', type(y).__name__)} where an array of {dtype} was due")
    return y.astype(wide(dtype))


def exact_in_wide(dtype: str, x: Array) -> Tracked:
    """The same of an argument, beside outputs that carry an error."""
    return Tracked(x.astype(wide(dtype)), EXACTLY, unrounded(dtype))


def unrounded(dtype: str) -> Arithmetic:
    """The arithmetic of residuals. A longer format rounds next to nothing, which is charged; in one that is no longer
    the residual of the framework is rounded as much as that of the reference."""
    a = Arithmetic(dtype)
    return replace(a, silent=EVERYTHING) if a.longer else a
