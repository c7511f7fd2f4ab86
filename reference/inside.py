"""What is not finite arises inside a function, not in its arguments: scaled, cooled, masked logits, as people compile
them together with their loss.

By rule, from one typical case of an operation: its arrays, other x, and beside them what a prelude makes of x. All that
it makes is exact in every dtype, by powers of two and infinities, or too large for every one: whether what is between
is rounded or not, and whether a product and a sum are two operations or one, changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any

import numpy as np

from gradparity.arithmetic import handed, overflowed
from gradparity.cases import Draw
from gradparity.op import FORMATS, Array, Arrays, Case, Op
from gradparity.prelude import INSIDE, PRELUDES, Prelude

Make = Callable[
    [Draw, Array], Arrays
]  # of odd multiples of 1/8, an array like the x of the operation: x and what is beside


def rows_of(x: Array) -> Array:
    """As many numbers as x has rows, one for each, to be broadcast against x."""
    return np.arange(len(x)).reshape(-1, *[1] * (x.ndim - 1))


def third(x: Array) -> Array:
    """Every third row: in these something arises."""
    return rows_of(x) % 3 == 1


def first(x: Array) -> Array:
    """The first entry of a row; all of one that has no other."""
    return np.arange(x.shape[-1]) == 0 if x.ndim > 1 else np.full(x.shape, True)


def per_row(draw: Draw, x: Array, value: float, otherwise: float = 1.0) -> Array:
    return draw.quantised(np.where(third(x), value, otherwise))


# --- what is beside x


def by_powers(draw: Draw, x: Array) -> Arrays:
    """Each row by a power of two of its own, from 1/4 to 4, of either sign."""
    scale = 2.0 ** draw.integers("scale", rows_of(x).shape, 3, -2) * draw.signs("sign", rows_of(x).shape)
    return {"x": x, "scale": draw.quantised(scale)}


def by_zero(draw: Draw, x: Array) -> Arrays:
    """0 * inf, of an infinite entry in a row; by 1/2 in the others."""
    infinite = np.where(first(x), np.where(rows_of(x) % 2, np.inf, -np.inf), x)
    return {"x": np.where(third(x), infinite, x).astype(x.dtype), "scale": per_row(draw, x, 0.0, 0.5)}


def by_infinity(draw: Draw, x: Array) -> Arrays:
    """inf * 0, and infinities of both signs beside it."""
    return {"x": np.where(first(x) & third(x), 0, x).astype(x.dtype), "scale": per_row(draw, x, np.inf)}


def beyond(draw: Draw, x: Array) -> Array:
    """Numbers below 1/2 in size, but in every third row 4 or -4 for the first, and 2^emax times that is too much."""
    far = np.where(rows_of(x) % 2, 4, -4)
    return draw.quantised(np.where(first(x) & third(x), far, x.astype(np.float64) / 16))


def by_the_largest(draw: Draw, x: Array) -> Arrays:
    return {"x": beyond(draw, x), "scale": per_row(draw, x, 2.0 ** FORMATS[draw.dtype].emax)}


def by_temperature(draw: Draw, x: Array) -> Arrays:
    return {"x": x, "temperature": draw.quantised(2.0 ** draw.integers("temperature", rows_of(x).shape, 3, -2))}


def by_no_temperature(draw: Draw, x: Array) -> Arrays:
    """x / 0: infinities of both signs beside 0 / 0; of one sign alone; and -inf alone."""
    sizes, row = np.abs(x.astype(np.float64)) + 1, rows_of(x) % 9
    rows = np.where(row == 1, np.where(first(x), 0, x), np.where(row == 4, -sizes, np.where(row == 7, sizes, x)))
    return {"x": draw.quantised(rows), "temperature": per_row(draw, x, 0.0)}


def by_the_least(draw: Draw, x: Array) -> Arrays:
    """By the smallest normal number."""
    return {"x": beyond(draw, x), "temperature": per_row(draw, x, FORMATS[draw.dtype].tiny)}


def biased(draw: Draw, x: Array) -> Arrays:
    return {"x": x, "mask": draw.quantised(draw.integers("mask", x.shape, 64, -63) / 8)}


def without_some(draw: Draw, x: Array) -> Arrays:
    """Every other class, by lot; never the first."""
    off = (draw.integers("mask", x.shape, 2) == 1) & ~first(x)
    return {"x": x, "mask": draw.quantised(np.where(off, -np.inf, 0))}


def without_rows(draw: Draw, x: Array) -> Arrays:
    """Nothing is left of every third row."""
    return {"x": x, "mask": draw.quantised(np.where(third(x), -np.inf, 0 * x))}


def without_infinity(draw: Draw, x: Array) -> Arrays:
    """inf - inf, of an infinite entry in every third row that is masked."""
    at = first(x) & third(x)
    return {"x": np.where(at, np.inf, x).astype(x.dtype), "mask": draw.quantised(np.where(at, -np.inf, 0))}


def by_the_lowest(draw: Draw, x: Array) -> Arrays:
    """The lowest number for -inf, of every other class in one row of six, of all in the next: those are equal. What is
    near the largest number may have no bound, and is not to be most of it."""
    some = (draw.integers("mask", x.shape, 2) == 1) & ~first(x)
    off = np.where(rows_of(x) % 6 == 0, some, rows_of(x) % 6 == 1)
    return {"x": x, "mask": draw.quantised(np.where(off, -FORMATS[draw.dtype].max, 0))}


def moved(draw: Draw, x: Array) -> Arrays:
    """By 1/2 or 1/4, and on by a multiple of 1/8: never to 0, where a function that is even may have no slope."""
    scale = draw.quantised(0.5 ** draw.integers("scale", rows_of(x).shape, 3, 1))
    return {"x": x, "scale": scale, "offset": draw.quantised(draw.integers("offset", x.shape, 32, -31) / 8)}


def both_infinite(draw: Draw, x: Array) -> Arrays:
    """inf - inf where x > 0, and -inf elsewhere."""
    return {"x": x, "scale": per_row(draw, x, np.inf), "offset": draw.quantised(np.where(third(x), -np.inf, 0 * x))}


def only_the_offset(draw: Draw, x: Array) -> Arrays:
    """0 x + b, and 0 * inf of an infinite entry in every sixth row."""
    infinite = np.where(first(x) & (rows_of(x) % 6 == 1), np.inf, x)
    offset = draw.quantised(draw.integers("offset", x.shape, 64, -63) / 8)
    return {"x": infinite.astype(x.dtype), "scale": per_row(draw, x, 0.0), "offset": offset}


# In float16 a fused implementation keeps what is beyond the largest number in float32.
WIDE = ("float64", "float32", "bfloat16")
CASES: Mapping[str, Mapping[str, tuple[Make, tuple[str, ...]]]] = {
    "scaled": {
        "": (by_powers, tuple(FORMATS)), "-by-0": (by_zero, tuple(FORMATS)), "-by-inf": (by_infinity, tuple(FORMATS)),
        "-by-the-largest": (by_the_largest, WIDE),
    },
    "cooled": {
        "": (by_temperature, tuple(FORMATS)), "-to-0": (by_no_temperature, tuple(FORMATS)),
        "-to-the-least": (by_the_least, WIDE),
    },
    "masked": {
        "": (biased, tuple(FORMATS)), "-some": (without_some, tuple(FORMATS)), "-rows": (without_rows, tuple(FORMATS)),
        "-infinity": (without_infinity, tuple(FORMATS)), "-by-the-lowest": (by_the_lowest, WIDE),
    },
    "affine": {
        "": (moved, tuple(FORMATS)), "-infinities": (both_infinite, tuple(FORMATS)),
        "-offset": (only_the_offset, tuple(FORMATS)),
    },
}  # fmt: skip


@dataclass(frozen=True)
class Inside:
    """Which preludes an operation is looked at behind.

    typical: the case from which it has its other arrays
    preludes: names in CASES
    ignoring: whether there are cases too in which the labels of the rows that become NaN are ignored, one by one and
        in the mean
    """

    typical: str
    preludes: tuple[str, ...]
    ignoring: bool = False


ATTENTION = Inside("scale-1", ("scaled", "cooled", "masked", "affine"))
BY_ELEMENT = Inside("scale-1", ("cooled", "affine"))
MARGIN = Inside("scale-1", ("affine",))
MASKED = Inside("scale-1", ("masked",))
PLACES: Mapping[str, Inside] = {
    **dict.fromkeys(("softmax", "log_softmax", "logsumexp", "cross_entropy"), ATTENTION),
    **dict.fromkeys(("sigmoid", "log_sigmoid", "binary_cross_entropy_with_logits"), BY_ELEMENT),
    **dict.fromkeys(("hinge", "squared_hinge", "focal_loss"), MARGIN),
    **dict.fromkeys(("soft_cross_entropy", "multiclass_hinge", "crammer_singer_hinge"), MASKED),
    "weighted_cross_entropy": replace(MASKED, ignoring=True),
}  # fmt: skip


def with_inside(op: Op) -> Op:
    """The operation behind its preludes: its cases, and the reference of them."""
    if op.name not in PLACES:
        return op
    inside = PLACES[op.name]
    (typical,) = (case for case in op.cases if case.name == inside.typical)
    return replace(
        op, forward=behind(op.forward), vjp=vjp_behind(op.vjp), edge_cases=(*op.edge_cases, *cases(typical, inside)),
        roads={name: replace(road, forward=road.forward and behind(road.forward),
                             vjp=road.vjp and vjp_behind(road.vjp)) for name, road in op.roads.items()},
    )  # fmt: skip


def cases(typical: Case, inside: Inside) -> Iterator[Case]:
    for prelude in inside.preludes:
        for more, (make, dtypes) in CASES[prelude].items():
            yield case(typical, prelude, f"inside-{prelude}{more}", make, dtypes)
    if "reduction" in typical.params:
        last = inside.preludes[-1]
        yield averaged(case(typical, last, f"inside-{last}", *CASES[last][""]))
    if inside.ignoring:
        one = case(typical, "masked", "inside-masked-ignored", without_rows, tuple(FORMATS))
        one = replace(one, arrays=ignored(one.arrays))
        yield from (one, averaged(one))


def case(typical: Case, prelude: str, name: str, make: Make, dtypes: tuple[str, ...]) -> Case:
    def arrays(draw: Draw) -> Arrays:
        found = typical.arrays(draw)
        return found | make(draw, draw.quantised((2 * draw.integers("x", found["x"].shape, 32, -31) + 1) / 8))

    return replace(typical, name=name, arrays=arrays, params={**typical.params, INSIDE: prelude}, dtypes=dtypes)


def averaged(one: Case) -> Case:
    """The mean over the rows, so that the reduction too is in what is compiled."""
    return replace(one, name=f"mean-{one.name}", params={**one.params, "reduction": "mean"})


def ignored(arrays: Callable[[Draw], Arrays]) -> Callable[[Draw], Arrays]:
    """The same, every third label being none."""

    def of(draw: Draw) -> Arrays:
        found = arrays(draw)
        return found | {"t": np.where(np.arange(len(found["t"])) % 3 == 1, -100, found["t"])}

    return of


# --- the reference: the composite, and the composition of the gradients


def behind(forward: Callable[..., Any]) -> Callable[..., Any]:
    """The forward of what a prelude makes of x, if one is asked for."""

    @wraps(forward)
    def composite(*arguments: Any, inside: str = "", **named: Any) -> Any:
        return forward(**before(PRELUDES[inside], named)) if inside else forward(*arguments, **named)

    return composite


def vjp_behind(vjp: Callable[..., Arrays]) -> Callable[..., Arrays]:
    """Its gradients."""

    @wraps(vjp)
    def composition(*arguments: Any, inside: str = "", **named: Any) -> Arrays:
        if not inside:
            return vjp(*arguments, **named)
        dx = vjp(*arguments, **before(PRELUDES[inside], named))
        return {**dx, "x": PRELUDES[inside].back(handed(dx["x"]), named)}

    return composition


def before(prelude: Prelude, arguments: Arrays) -> Arrays:
    """What an operation is given behind a prelude, of which one that takes two steps exceeds no number in the first."""
    given = prelude.before(arguments)
    return {**given, "x": handed(overflowed(given["x"]))}
