"""The nouns of the suite: what an operation is, where it is looked at, and what was seen there."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import ml_dtypes
import numpy as np

Array = Any  # NumPy array of any float kind, or Tracked: the reference runs unchanged on all of them
Arrays = dict[str, Any]


class GradparityError(Exception):
    """What stops a check because it cannot be judged. The message is one line and says what would be right."""


class FallbackError(GradparityError):
    """A mode that compiles computed without what it compiled. Raised by an adapter: an error, whatever came out."""


class UnsupportedError(GradparityError):
    """There is nothing to check in this mode, here or in this version, and why. Raised by an adapter."""


@dataclass(frozen=True)
class Format:
    """A binary floating-point format: `bits` of precision (hidden bit included), exponents of its normal numbers."""

    dtype: np.dtype[Any]
    bits: int
    emin: int
    emax: int

    @property
    def unit(self) -> float:
        """u, the largest relative error of one rounding to nearest."""
        return 2.0**-self.bits

    @property
    def tiny(self) -> float:
        """The smallest normal number."""
        return 2.0**self.emin

    @property
    def eta(self) -> float:
        """The smallest subnormal number."""
        return 2.0 ** (self.emin - self.bits + 1)

    @property
    def max(self) -> float:
        return (2 - 2.0 ** (1 - self.bits)) * 2.0**self.emax


FORMATS: Mapping[str, Format] = {
    "float64": Format(np.dtype(np.float64), 53, -1022, 1023),
    "float32": Format(np.dtype(np.float32), 24, -126, 127),
    "bfloat16": Format(np.dtype(ml_dtypes.bfloat16), 8, -126, 127),
    "float16": Format(np.dtype(np.float16), 11, -14, 15),
}


# Whether long double is a longer IEEE format: x87's of 64 bits, or binary128. A pair of doubles is none.
LONGER = int(np.finfo(np.longdouble).nmant) + 1 in (64, 113)
ITSELF = "float64 itself, its own error added to the bounds"


def wide(dtype: str) -> Any:
    """The format that truth is computed in: long double for float64, where it is longer, and else float64."""
    return np.longdouble if dtype == "float64" and LONGER else np.float64


def truth_of_float64() -> str:
    """What float64 is judged against, in words."""
    return f"long double, {int(np.finfo(np.longdouble).nmant) + 1} bits" if LONGER else ITSELF


def is_float(a: Any) -> bool:
    """True for floating-point values, bfloat16 (which NumPy calls kind V) among them."""
    return isinstance(a, float) or (isinstance(a, np.ndarray) and a.dtype in [f.dtype for f in FORMATS.values()])


@dataclass(frozen=True)
class Convention:
    """A choice that the mathematics leaves open and frameworks make differently: a parameter of the reference."""

    values: tuple[Any, ...]
    default: Any
    meaning: str


@dataclass(frozen=True)
class Raises:
    """As the value of a convention: an exception of this type is due, by its name without the module; "A or B" where
    it may be one of several."""

    exception: str

    def __str__(self) -> str:
        return f"raises {self.exception}"

    def allows(self, name: str) -> bool:
        return name in self.exception.split(" or ")


@dataclass(frozen=True, eq=False)
class Case:
    """A named place to look at. `arrays(draw)` makes the inputs; see gradparity.cases.Draw.

    name: stable and greppable, of [a-z0-9.-]; the same in every dtype
    params: everything that is not an array (axis, reduction, delta); floats are rounded to the dtype under test
    cotangents: names in gradparity.cases.COTANGENTS; the first is the default and unnamed in row identities
    layout: name in gradparity.cases.LAYOUTS, how the arrays lie in memory
    edge: name in the operation's edges: what is due here is what an implementation declares for it
    dtypes: those in which there is this case
    alone: it is evaluated alone, since its size is what it is about
    only: the one direction in which there is something to judge, "" where it is every one
    aside: left out where a shape is dear to compile: what is due there is decided before code is made
    """

    name: str
    arrays: Callable[..., Arrays]
    params: Mapping[str, Any] = field(default_factory=dict)
    cotangents: tuple[str, ...] = ("normal",)
    layout: str = "contiguous"
    edge: str = ""
    dtypes: tuple[str, ...] = tuple(FORMATS)
    alone: bool = False
    only: str = ""
    aside: bool = False


@dataclass(frozen=True, eq=False)
class Road:
    """Another of several algebraically equal formulas. What is None is as in the Op."""

    forward: Callable[..., Any] | None = None
    vjp: Callable[..., Arrays] | None = None


@dataclass(frozen=True, eq=False)
class Invariant:
    """What is true of an operation without a reference: a residual that is 0.

    residual(f, **arrays, **params): in plain NumPy, of a function f that is called like the op's forward. What f is
        asked for must be numbers of the dtype under test; f.bits is that dtype's precision
    cases: the names of the op's cases in which it is looked at
    direction: "vjp" where it is about the gradient: residual(f, g=cotangent, ...) calls f.vjp(g, **arrays, **params),
        which gives {argument: gradient}
    other: another operation that it sets this one against: residual(f, h, ...), h being that one
    exact: it holds however an implementation rounds, so nothing is allowed; else what its outputs' errors may make
    """

    name: str
    residual: Callable[..., Any]
    cases: tuple[str, ...]
    direction: str = "value"
    other: Op | None = None
    exact: bool = False


# The directions that a framework makes of its own two modes: J v by forward mode; H v, H the Hessian of <g, y>, by
# forward mode over the gradient, and by the gradient of the gradient. Each for one argument, the others constants.
DERIVED = ("jvp", "hvp", "hvp-reverse")


@dataclass(frozen=True, eq=False)
class Op:
    """An operation: what it computes, its gradient, and where to look.

    forward(**arrays, **params): the output, or a tuple of outputs of which the first is differentiated
    vjp(g, y, **arrays, **params): {argument: gradient} for the cotangent g and the (first) output y
    wrt: the arguments that have a gradient
    outputs: a name for each output; the first is called "" in row identities
    batch_axis(params): the axis of every array, and of every output, along which cases are independent of one another
        and may be stacked; None where there is none
    invariants: what is true of it besides
    smooth: the names of the cases that are looked at in forward mode and for second derivatives: where it is twice
        differentiable; None for those of SMOOTH that it has
    counted: the case with so many results that in 16 bits the share of misrounded ones says something
    edges: the conventions of edge_cases, where an implementation may also declare that it raises: see
        gradparity.reference.edges
    sized(dtype, seed): cases of drawn sizes: see gradparity.reference.sizes
    """

    name: str
    forward: Callable[..., Any]
    vjp: Callable[..., Arrays]
    cases: tuple[Case, ...]
    wrt: tuple[str, ...] = ("x",)
    outputs: tuple[str, ...] = ("",)
    conventions: Mapping[str, Convention] = field(default_factory=dict)
    roads: Mapping[str, Road] = field(default_factory=dict)
    batch_axis: Callable[[Mapping[str, Any]], int | None] = lambda params: 0
    invariants: tuple[Invariant, ...] = ()
    smooth: tuple[str, ...] | None = None
    counted: str = ""
    edges: Mapping[str, Convention] = field(default_factory=dict)
    edge_cases: tuple[Case, ...] = ()
    sized: Callable[[str, int], tuple[Case, ...]] = lambda dtype, seed: ()

    def every_case(self, dtype: str) -> tuple[Case, ...]:
        """Of this dtype, the edges last."""
        return tuple(case for case in (*self.cases, *self.edge_cases) if dtype in case.dtypes)

    def rows_axis(self, params: Mapping[str, Any], arrays: Arrays) -> int | None:
        """The batch axis of these arrays; None where one of them is a number, which has none."""
        return self.batch_axis(params) if all(a.ndim for a in arrays.values()) else None

    @property
    def repeated(self) -> str:
        """The case that is computed again in other ways: the one whose results are counted, which is a large one."""
        return self.counted or self.cases[0].name

    @property
    def smooth_cases(self) -> tuple[str, ...]:
        """The names of those that are looked at in a direction of DERIVED."""
        names = SMOOTH if self.smooth is None else self.smooth
        return tuple(case.name for case in self.cases if case.name in names)

    def checks(self, direction: str) -> list[str]:
        """The names of the checks of one direction: value, value.<output>; vjp.<argument>."""
        if direction == "value":
            return [join("value", output) for output in self.outputs]
        return [join(direction, argument) for argument in self.wrt]

    @property
    def adjoint_checks(self) -> list[str]:
        """Those of forward mode beside the gradient: <g, J v> = <J' g, v>."""
        return [join(check, ADJOINT) for check in self.checks("jvp")]

    def counted_checks(self, checks: Sequence[str], case: Case, dtype: str) -> list[str]:
        """Where misrounded results are counted <check>.misrounded, for the case's default cotangent."""
        counted = case.name == self.counted and FORMATS[dtype].bits < FORMATS["float32"].bits
        return [join(check, MISROUNDED) for check in checks] if counted else []

    def row_checks(self, case: Case, direction: str, dtype: str) -> list[str]:
        """All checks of one case, each cotangent but the default one named: vjp.<argument>.<cotangent>; with
        <check>.misrounded; invariant.<name> for those that name the case; and same.<how>.<direction> in one case."""
        if case.only and case.only != direction:
            return []
        if direction == "same":
            pairs = [(how, d) for how in HOW for d in COMPARED] if case.name == self.repeated else []
            return [name for how, d in pairs for name in named(case, d, [join("same", how, d)])]
        if direction == "invariant":
            own = [i for i in self.invariants if case.name in i.cases]
            return [name for i in own for name in named(case, i.direction, [join("invariant", i.name)])]
        checks = self.checks(direction)
        if direction in DERIVED:
            checks += self.adjoint_checks if direction == "jvp" else []
            return checks if case.name in self.smooth_cases else []
        return named(case, direction, checks) + self.counted_checks(checks, case, dtype)


def named(case: Case, direction: str, checks: Sequence[str]) -> list[str]:
    cotangents = ("", *case.cotangents[1:]) if direction == "vjp" else ("",)
    return [join(check, cotangent) for cotangent in cotangents for check in checks]


COMPARED = ("value", "vjp")  # the directions in which a result is set beside the reference
ADJOINT = "adjoint"  # the check of forward mode beside the gradient, without a reference
DIRECTIONS = (*COMPARED, *DERIVED, "invariant", "same")
# The cases of an operation that names none: ordinary numbers, confident ones, each reduction, another layout.
SMOOTH = ("scale-1", "scale-10", "dominant-11", "spread-4", "transposed",
          *(f"{how}-{name}" for how in ("sum", "mean") for name in ("scale-1", "spread-4")))  # fmt: skip
# Ways to compute the same again, which may give other bits: once more; the first row without the others; of arrays that
# lie otherwise in memory, as cases.LAYOUTS names it.
HOW = ("again", "alone", "strided", "transposed")
BIT_EQUAL, WITHIN_BOUND = "bit-equal", "within bound"  # the reasons of a row that passes by same.<how>.<direction>
STATUSES = ("pass", "fail", "xfail", "xpass", "unsupported", "error")
BAD = ("fail", "xpass", "error")
MISROUNDED = "misrounded"  # the check of a share of results, not of each result


def join(*parts: str) -> str:
    return ".".join(part for part in parts if part)


def outputs(y: Any) -> tuple[Any, ...]:
    """The outputs of a function as a tuple; the first is the one that is differentiated."""
    return tuple(y) if isinstance(y, tuple | list) else (y,)


@dataclass(frozen=True, slots=True)
class Result:
    """What was seen at one row: one case and check of one implementation, in one mode, on one device, in one dtype.

    status: pass fail xfail xpass unsupported error; reason refines it (bound shape dtype nonfinite
    convention exception crash ...)
    error: worst |got - want| / allowed, 0 where equal; passes iff at most 1.  ulp: the same element's error in units
    in the last place of want.  at: index of that element
    unbounded: the part of the elements at which any finite number passes: their bound is infinite, what is due is not
    precision, conventions, road: as the implementation declares them
    bits: digest of the output's bits; none for an invariant, whose residual is ours, and a share
    seconds: the framework's time, shared evenly among the rows that one call gave; rows are equal whatever it is
    """

    op: str
    api: str
    framework: str
    mode: str
    device: str
    dtype: str
    case: str
    check: str
    status: str
    reason: str = ""
    error: float = math.nan
    ulp: float = math.nan
    at: tuple[int, ...] = ()
    got: str = ""
    want: str = ""
    message: str = ""
    precision: str = ""
    exception: str = ""
    link: str = ""
    conventions: str = ""
    road: str = ""
    bits: str = ""
    unbounded: float = 0.0
    seconds: float = field(default=0.0, compare=False)

    @property
    def id(self) -> str:
        return "/".join((self.op, self.api, self.mode, self.device, self.dtype, self.case, self.check))

    @property
    def is_share(self) -> bool:
        """True where the error is of the share of misrounded results, in units of what is recorded."""
        return MISROUNDED in self.check.split(".")

    @property
    def is_residual(self) -> bool:
        """True where what was seen should be 0, whatever the reference says."""
        return self.check.startswith("invariant.") or ADJOINT in self.check.split(".")

    @property
    def bad(self) -> bool:
        """True for what makes a run fail: a fail, an unexpected pass, an error."""
        return self.status in BAD


def worst_first(rows: Iterable[Result]) -> list[Result]:
    """By their errors; what has none comes last."""
    return sorted(rows, key=lambda row: -math.inf if math.isnan(row.error) else row.error, reverse=True)


FEW = 8  # names in a message


def nearest(name: str, valid: Sequence[str], what: str) -> str:
    """One line for a name that is not known: the nearest valid ones first, and all where they are few."""
    import difflib

    near = difflib.get_close_matches(name, valid, n=3, cutoff=0.4) or list(valid)[:FEW]
    every = ", ".join(valid) if len(valid) <= FEW else f"{len(valid)}, see gradparity list"
    more = "" if len(near) == len(valid) else f" (all: {every})"
    return f"unknown {what} {name!r}; did you mean {', '.join(near)}?{more}"
