"""Inputs: derived from their name, exactly representable in the dtype under test, the same on every machine.

Raw PCG64 words, integer arithmetic on them, one float64 multiplication and one rounding to the dtype: nothing in this
chain depends on NumPy's version, on libm or on the order in which cases are drawn.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gradparity.arithmetic import fl
from gradparity.op import FORMATS, Array, Arrays, Case, Op

MASK = 2**128 - 1
PCG64 = np.random.PCG64(0)  # its state is set before each use: making one costs more than drawing


@dataclass(frozen=True)
class Draw:
    """The source of one case's inputs. Every method names what it draws, so that no draw depends on another."""

    name: str
    dtype: str
    seed: int = 0

    def words(self, label: str, count: int) -> Array:
        """`count` random 64-bit words for this label: PCG64 started from a SHA-256 of the names and the seed."""
        digest = hashlib.sha256(f"{self.name}/{label}/{self.seed}".encode()).digest()
        state, inc = int.from_bytes(digest[:16], "little"), int.from_bytes(digest[16:], "little") | 1
        start: Any = {"state": state, "inc": inc & MASK}
        PCG64.state = {"bit_generator": "PCG64", "state": start, "has_uint32": 0, "uinteger": 0}
        return PCG64.random_raw(count)

    def quantised(self, x: Any) -> Array:
        """x rounded once to the dtype under test."""
        form = FORMATS[self.dtype]
        return fl(np.asarray(x, np.float64), form).astype(form.dtype)

    def normal(self, label: str, shape: tuple[int, ...], scale: float = 1.0, shift: float = 0.0) -> Array:
        """Roughly normal numbers of standard deviation `scale`: a sum of four 16-bit integers, centred (Irwin-Hall)."""
        w = self.words(label, int(np.prod(shape)))
        pieces = sum(((w >> np.uint64(16 * k)) & np.uint64(0xFFFF)).astype(np.int64) for k in range(4)) - 131070
        # variance of the sum: 4 (2^32 - 1) / 12, so its deviation is 37837.2
        return self.quantised(pieces.reshape(shape) * (scale / 37837.2) + shift)

    def integers(self, label: str, shape: tuple[int, ...], stop: int, start: int = 0) -> Array:
        """Integers from start to stop - 1, int64."""
        w = self.words(label, int(np.prod(shape))) >> np.uint64(32)
        return start + (w % np.uint64(max(stop - start, 1))).astype(np.int64).reshape(shape)

    def signs(self, label: str, shape: tuple[int, ...]) -> Array:
        return self.quantised(2 * self.integers(label, shape, 2) - 1)

    def one_hot(self, label: str, shape: tuple[int, ...]) -> Array:
        """1 in one place, 0 elsewhere."""
        size = int(np.prod(shape))
        return self.quantised(np.arange(size) == self.integers(label, (), size)).reshape(shape)

    def full(self, shape: tuple[int, ...], value: float) -> Array:
        return self.quantised(np.full(shape, value))


COTANGENTS: Mapping[str, Callable[[Draw, tuple[int, ...]], Array]] = {
    "normal": lambda draw, shape: draw.normal("cotangent", shape),
    "ones": lambda draw, shape: draw.full(shape, 1.0),
    "zeros": lambda draw, shape: draw.full(shape, 0.0),
    "signs": lambda draw, shape: draw.signs("cotangent", shape),
    "one-hot": lambda draw, shape: draw.one_hot("cotangent", shape),
}


def spread(x: Array) -> Array:
    """Every second element of a buffer along the last axis: not contiguous."""
    buffer = np.zeros((*x.shape[:-1], 2 * x.shape[-1]), x.dtype)
    buffer[..., ::2] = x
    return buffer[..., ::2]


def reverse(x: Array) -> Array:
    """A view with a negative stride along the first axis."""
    return x[::-1].copy()[::-1]


LAYOUTS: Mapping[str, Callable[[Array], Array]] = {
    "contiguous": np.array,
    "transposed": lambda x: np.array(x, order="F"),
    "strided": lambda x: spread(x) if x.ndim else x,
    "reversed": lambda x: reverse(x) if x.ndim else x,
}
BESIDE = {"transposed": "signs", "strided": "one-hot", "reversed": "zeros"}


def in_layouts(case: Case) -> Iterator[Case]:
    """The case in every layout but the contiguous one, of which it has the name, and with one more cotangent in each:
    a gradient for one output shows what leaks to others, one for none what does not vanish."""
    for layout, cotangent in BESIDE.items():
        yield replace(case, name=layout, layout=layout, cotangents=(*case.cotangents, cotangent))


@dataclass(frozen=True)
class Group:
    """Cases that are evaluated in one call: the same parameters and layout, stacked along the batch axis.

    slices: for each case its place on the batch axis, or everything where cases cannot be stacked
    cotangent: its name among those that the cases are checked with
    """

    cases: tuple[Case, ...]
    slices: tuple[Any, ...]
    arrays: Arrays
    params: Mapping[str, Any]
    layout: str
    cotangent: str
    axis: int | None
    draws: tuple[Draw, ...]

    def part(self, a: Array, k: int) -> Array:
        """The elements of an output, or of an argument, that belong to the k-th case."""
        return a if self.axis is None or not a.ndim else a[self.index(a, k)]

    def index(self, a: Array, k: int) -> tuple[Any, ...]:
        axis: int = (self.axis or 0) % a.ndim
        return (slice(None),) * axis + (self.slices[k],)

    def sums(self, a: Array) -> Array:
        """Of what belongs to each element along the batch axis, or of everything where there is none."""
        axis = None if self.axis is None or not a.ndim else self.axis % a.ndim
        return np.sum(a, axis=tuple(k for k in range(a.ndim) if k != axis))

    def laid_out(self) -> Arrays:
        """Fresh arrays in the group's layout, which a framework may keep or overwrite."""
        return {k: LAYOUTS[self.layout](v) for k, v in self.arrays.items()}

    def tangents(self, name: str) -> Array:
        """A direction for the argument, each case's part drawn from its own name."""
        x = self.arrays[name]
        parts = [d.normal(f"tangent-{name}", np.shape(self.part(x, k))) for k, d in enumerate(self.draws)]
        return parts[0] if self.axis is None or not x.ndim else np.concatenate(parts, self.axis % x.ndim)

    def cotangents(self, y: Array) -> Array:
        """The cotangent for output y, each case's part drawn from its own name."""
        parts = [COTANGENTS[self.cotangent](d, np.shape(self.part(y, k))) for k, d in enumerate(self.draws)]
        return parts[0] if self.axis is None or not np.ndim(y) else np.concatenate(parts, self.axis % np.ndim(y))


def groups(op: Op, dtype: str, cases: tuple[Case, ...], seed: int, direction: str) -> list[Group]:
    """The cases stacked: one group for each shape (but for the batch axis), parameters, layout and cotangent."""
    piles: dict[Any, list[tuple[Case, Draw, Arrays]]] = {}
    for case in cases:
        draw = Draw(f"{op.name}/{case.name}", dtype, seed)
        arrays = case.arrays(draw)
        axis = op.rows_axis(case.params, arrays)
        for cotangent in case.cotangents if direction == "vjp" else case.cotangents[:1]:
            key = (pile_key(arrays, axis), repr(sorted(case.params.items())), case.layout, cotangent)
            piles.setdefault((case.name, cotangent) if axis is None or case.alone else key, []).append(
                (case, draw, arrays)
            )
    return [stacked(op, dtype, key[-1], pile) for key, pile in piles.items()]


def pile_key(arrays: Arrays, axis: int | None) -> tuple[Any, ...]:
    """The shapes without the batch axis. What is empty along it stands apart: among others it would test nothing."""
    at = axis or 0
    return tuple(
        (k, v.shape[:at] + v.shape[at + 1 :], v.shape[at : at + 1] == (0,), str(v.dtype)) for k, v in arrays.items()
    )


def stacked(op: Op, dtype: str, cotangent: str, pile: list[tuple[Case, Draw, Arrays]]) -> Group:
    first, draw, arrays = pile[0]
    axis = op.rows_axis(first.params, arrays)
    params = {k: float(draw.quantised(v)) if isinstance(v, float) else v for k, v in first.params.items()}
    slices: tuple[Any, ...] = (slice(None),)
    if axis is not None:
        arrays = {k: np.concatenate([a[k] for _, _, a in pile], axis) for k in arrays}
        lead = next(iter(arrays))
        ends = np.cumsum([a[lead].shape[axis] for _, _, a in pile])
        slices = tuple(slice(int(e - a[lead].shape[axis]), int(e)) for e, (_, _, a) in zip(ends, pile, strict=True))
    return Group(
        tuple(case for case, _, _ in pile), slices, arrays, params, first.layout, cotangent, axis,
        tuple(draw for _, draw, _ in pile),
    )  # fmt: skip


def digests_of_inputs(op: Op, dtype: str, seed: int) -> dict[str, str]:
    """Of each of its cases: eight hexadecimal digits. Inputs depend on nothing but their names and the seed, so they
    are the same everywhere. (A cotangent is drawn from the name of its case, as the arrays are.)"""
    return {case.name: digest_of_case(op, case, dtype, seed) for case in op.every_case(dtype)}


def digest_of_case(op: Op, case: Case, dtype: str, seed: int) -> str:
    digest = hashlib.sha256(repr((sorted(case.params.items()), case.layout, case.cotangents)).encode())
    for name, array in case.arrays(Draw(f"{op.name}/{case.name}", dtype, seed)).items():
        digest.update(f"{name}{array.dtype}{array.shape}".encode() + array.tobytes())
    return digest.hexdigest()[:8]


# --- logits, which softmax and its family share


def logits(draw: Draw, rows: int, classes: int, scale: float = 1.0, shift: float = 0.0) -> Array:
    return draw.normal("x", (rows, classes), scale, shift)


def dominant(draw: Draw, rows: int, classes: int, lead: float) -> Array:
    """Logits of deviation 1, of which one in each row exceeds the others by about `lead`."""
    x = logits(draw, rows, classes).astype(np.float64)
    x[np.arange(rows), draw.integers("winner", (rows,), classes)] += lead
    return draw.quantised(x)


def near_ties(draw: Draw, rows: int, classes: int) -> Array:
    """Logits that differ from one another by a few units in the last place."""
    steps = draw.integers("steps", (rows, classes), 4).astype(np.float64)
    return draw.quantised(1.0 + 2 * FORMATS[draw.dtype].unit * steps)


def ramp(draw: Draw, rows: int, classes: int, depth: float) -> Array:
    """Evenly falling logits, from 0 to -depth: the last exponentials underflow."""
    x = -depth * np.arange(classes) / max(classes - 1, 1)
    return draw.quantised(x + draw.normal("x", (rows, 1)).astype(np.float64))


def coarse(draw: Draw, *shape: int) -> Array:
    """Multiples of 1/8 below 8 in size: a power of two can be added to them in every dtype and nothing is rounded."""
    return draw.quantised(draw.integers("x", shape, 64, -63) / 8)


def whole(draw: Draw, rows: int, classes: int) -> Array:
    """Whole numbers from 1 to 99, as an exercise draws its logits: exact in every dtype, most losses above 10."""
    return draw.quantised(draw.integers("x", (rows, classes), 100, 1))


def subnormal(draw: Draw, shape: tuple[int, ...]) -> Array:
    """Numbers below the smallest normal one, of both signs."""
    form = FORMATS[draw.dtype]
    return draw.quantised(draw.integers("x", shape, 2 ** (form.bits - 1), -(2 ** (form.bits - 1)) + 1) * form.eta)


def bimodal(draw: Draw, rows: int, classes: int) -> Array:
    return draw.quantised(draw.signs("side", (rows, classes)).astype(np.float64) * 20 + logits(draw, rows, classes))


def special(draw: Draw, rows: int, classes: int, value: float) -> Array:
    """Logits in which one entry of each row is `value`, never the first."""
    x = logits(draw, rows, classes)
    x[np.arange(rows), 1 + draw.integers("special", (rows,), classes - 1)] = value
    return x


def of(make: Callable[..., Array], *arguments: Any) -> Callable[[Draw], Array]:
    """`make` with all but the draw given."""
    return lambda draw: make(draw, *arguments)


def constant(draw: Draw, value: float) -> Array:
    return draw.full((ROWS, 10), value)


def subnormal_logits(draw: Draw) -> Array:
    return subnormal(draw, (ROWS, 10))


ROWS = 8
LOGITS: Mapping[str, Callable[[Draw], Array]] = {
    **{f"scale-{s:g}": of(logits, ROWS, 10, s) for s in (0.001, 1, 10, 100, 1000, 10000)},
    **{f"shift-{s:g}": of(logits, ROWS, 10, 1, s) for s in (100, 10000)},
    **{f"shift-minus-{s:g}": of(logits, ROWS, 10, 1, -s) for s in (1000, 10000)},
    **{f"dominant-{lead}": of(dominant, ROWS, 10, lead) for lead in (11, 20)},
    "coarse": of(coarse, ROWS, 10),
    "equal": of(constant, 0.5),
    "zero": of(constant, 0.0),
    "near-ties": of(near_ties, ROWS, 10),
    "ramp-80": of(ramp, ROWS, 10, 80.0),
    "ramp-800": of(ramp, ROWS, 10, 800.0),
    "subnormal": subnormal_logits,
    "bimodal": of(bimodal, ROWS, 10),
    "whole-1-to-99": of(whole, 3, 10),
    "minus-inf": of(special, ROWS, 10, -np.inf),
    "plus-inf": of(special, ROWS, 10, np.inf),
    "nan": of(special, ROWS, 10, np.nan),
    "one-row": of(logits, 1, 7),
    "zero-rows": of(logits, 0, 10),
    **{f"classes-{c}": of(logits, ROWS, c) for c in (1, 2, 3, 17)},
    **{f"classes-{c}": of(logits, 4, c, 3.0) for c in (100, 1000)},
    "classes-32000": of(logits, 2, 32000, 3.0),
    "classes-32000-dominant": of(dominant, 2, 32000, 20.0),
}
