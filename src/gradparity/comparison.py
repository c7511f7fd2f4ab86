"""The one place where numbers are compared."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from gradparity.arithmetic import size
from gradparity.op import Array, Format


def as_integers(a: Array) -> Array:
    """The bits of each element, as an unsigned integer."""
    return np.ascontiguousarray(a).view(f"u{a.dtype.itemsize}")


def digest(data: bytes) -> str:
    """Sixteen hexadecimal digits."""
    return hashlib.blake2b(data, digest_size=8).hexdigest()


MOST_SHOWN = 6


def described(got: Any) -> str:
    """A result in a few words."""
    a = np.asarray(got)
    shown = ", ".join(str(v) for v in a.reshape(-1)[:MOST_SHOWN].tolist())
    return f"[{shown}{', ...' * (a.size > MOST_SHOWN)}] of shape {a.shape}, {a.dtype}"


def wrong_kind(got: Any, want: Array, kind: np.dtype[Any]) -> tuple[str, str] | None:
    """What is wrong with the output before any number of it is looked at."""
    if not isinstance(got, np.ndarray):
        return "missing", f"gave {type(got).__name__} where an array was due"
    if got.shape != want.shape:
        return "shape", f"shape {got.shape}, but it should be {want.shape}"
    if got.dtype != kind:
        return "dtype", f"dtype {got.dtype}, but it should be {kind}"
    return None


def ratios(got: Array, want: Array, e: Array, form: Format) -> Array:
    """|got - want| / e by element: 0 where equal, infinite where nothing is allowed and they differ.

    What is not finite is matched by position first. Where |want| + e reaches beyond the largest number, infinity of
    that sign is right; where |want| itself does, nothing much below that number is.
    """
    with np.errstate(all="ignore"):
        got = got.astype(want.dtype)
        gap = size(got - want)
        if np.isfinite(gap).all() and np.isfinite(e).all():
            return np.divide(gap, e, out=np.where(gap > 0, np.inf, 0.0), where=(e > 0) & (gap > 0))
        ratio = np.where(gap == 0, 0.0, np.where(np.isinf(e) & np.isfinite(got), 0.0, gap / e))
        over = np.isinf(got) & (size(want) + e >= form.max) & (np.sign(got) == np.sign(want))
        under = (size(want) > form.max) & np.isinf(e) & (np.sign(got) * size(got) * np.sign(want) < form.max / 2)
        match = (np.isnan(got) & np.isnan(want)) | (got == want) | over
        unlike = ~np.isfinite(got) | ~np.isfinite(want) | under
        return np.where(match, 0.0, np.where(unlike, np.inf, ratio)).astype(np.float64)


def distance(got: Any, want: Any, form: Format) -> float:
    """|got - want| in units in the last place of want."""
    if not (np.isfinite(got) and np.isfinite(want)):
        return 0.0 if got == want or (np.isnan(got) and np.isnan(want)) else float("inf")
    with np.errstate(all="ignore"):
        exponent = max(int(np.frexp(want)[1]), form.emin + 1) if want else form.emin + 1
        return float(abs(want.dtype.type(got) - want) / np.ldexp(want.dtype.type(1), exponent - form.bits))


DIGITS = {"float64": 17, "float32": 9, "bfloat16": 5, "float16": 5}


def number(x: Any, dtype: str, more: int = 0) -> str:
    """As many digits as tell one number of the dtype from the next, and some more."""
    return f"{float(x):.{min(DIGITS[dtype] + more, 17)}g}"
