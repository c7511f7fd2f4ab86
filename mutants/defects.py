"""Ways to be wrong: each makes a defect, to be given to a mutant as its value, its vjp or both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import ml_dtypes
import numpy as np

from gradparity.adapter import Fn
from gradparity.mutation import Defect, each, right
from gradparity.op import FORMATS, Array, Arrays, is_float, outputs

# One format lower: what each dtype is cast to and back, and what its sums are accumulated in.
NARROWER: Mapping[str, Any] = {
    "float64": np.float32,
    "float32": ml_dtypes.bfloat16,
    "bfloat16": ml_dtypes.float8_e4m3fn,
    "float16": ml_dtypes.bfloat16,
}
LOWER_SUM: Mapping[str, Any] = {
    "float64": np.float32,
    "float32": np.float16,
    "bfloat16": ml_dtypes.bfloat16,
    "float16": np.float16,
}
OTHER_DTYPE = {"float64": "float32", "float32": "float64", "bfloat16": "float16", "float16": "bfloat16"}


# Why what is wrong may live.
BELOW_ROUNDING = (
    "1e-6 is 1/3900 of what bfloat16 rounds by, and 1/490 of what float16 does, and it is seen only where a result "
    "lies that near to a midpoint, and none does"
)
NOTHING_EXCHANGED = "it is right, so that the others die of the part that was exchanged in them"


def instead(wrong: Fn) -> Defect:
    """Another function, in the right precision."""
    return lambda fn, dtype: right(wrong)


def by_dtype(wrong: Callable[[str], Fn]) -> Defect:
    """Another function for each dtype under test, in the right precision."""
    return lambda fn, dtype: right(wrong(dtype))


def raw(wrong: Fn) -> Defect:
    """Another function that is called as it is: what it returns is not cast."""
    return lambda fn, dtype: wrong


def result(change: Callable[[Array, Arrays], Any]) -> Defect:
    """The right result, of which `change(y, arguments)` replaces the first output, or the gradient, before rounding."""

    def defect(fn: Fn, dtype: str) -> Fn:
        return right(lambda *gy, **kw: first(lambda y: change(y, kw), fn(*gy, **kw)))

    return defect


def first(change: Callable[[Array], Any], y: Any) -> Any:
    if isinstance(y, dict):
        return {k: change(np.asarray(v)) for k, v in y.items()}
    one, *others = outputs(y)
    return (change(np.asarray(one)), *others)


def arguments(change: Callable[[Arrays], Arrays]) -> Defect:
    """The right function of other arguments."""
    return lambda fn, dtype: right(lambda *gy, **kw: fn(*gy, **{**kw, **change(kw)}))


def in_another_dtype(fn: Fn, dtype: str) -> Fn:
    other = FORMATS[OTHER_DTYPE[dtype]].dtype
    return lambda *gy, **kw: first(lambda y: y.astype(other), right(fn)(*gy, **kw))


def narrowed(fn: Fn, dtype: str) -> Fn:
    """Every float array cast to a narrower format and back."""

    def there_and_back(v: Any) -> Any:
        return v.astype(NARROWER[dtype]).astype(v.dtype) if isinstance(v, np.ndarray) and is_float(v) else v

    return lambda *gy, **kw: right(fn)(*map(there_and_back, gy), **{k: there_and_back(v) for k, v in kw.items()})


def stale(fn: Fn, dtype: str) -> Fn:
    """The previous call's result of the same shape: a buffer handed out once too often."""
    kept: dict[Any, Any] = {}

    def wrong(*gy: Any, **kw: Any) -> Any:
        y = right(fn)(*gy, **kw)
        shape = str(each(np.shape, y))
        previous, kept[shape] = kept.get(shape, y), y
        return previous

    return wrong


def ones_for_cotangent(fn: Fn, dtype: str) -> Fn:
    return lambda g, y, **kw: right(fn)(np.ones_like(g), y, **kw)


def poked(value: float) -> Defect:
    """Every tenth element: some of each case's."""

    def change(y: Array, kw: Arrays) -> Array:
        y = y.copy()
        y.flat[::10] = value
        return y

    return result(change)


def raises(*_: Any, **__: Any) -> Any:
    raise ValueError("no such thing")
