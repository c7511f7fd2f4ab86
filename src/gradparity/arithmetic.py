"""Running error analysis: arrays that know how far rounding may have moved them.

    A = Arithmetic("float32")
    y = A.store(softmax(A(x)))                          # y.v: the truth, y.e: how far a computed y may be from it
    dx = A.store(softmax_vjp(A(g), y, A(x))["x"])       # y enters as it was stored, with its error

A Tracked holds v, the reference's value in a wider format, and e, a bound on |computed - v| in float64. It is no
interval of where the truth lies: v and the computed value start from the same exact inputs, and each rule below says
how far one primitive may drive them apart. What the wide format itself rounds away is charged to e by every rule
(`own`), so that a result is judged against v as it stands. That holds too where the wide format of float64 is float64
itself, no long double being longer; what is exact is then told by error-free transformations (`RESIDUALS`). Nothing in
this file knows an operation.

Notation of the derivations: x^ is the computed operand, |x^ - x| <= e_x; f^ the computed function; u the unit roundoff
of the format computed in, 2**-bits. Model of one operation (Higham, Accuracy and Stability of Numerical Algorithms,
2nd ed., sections 2.2 and 2.4): fl(z) = z (1 + d), |d| <= u, unless the result is subnormal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any

import numpy as np

from gradparity.dual import Dual
from gradparity.op import FORMATS, Array, Format, GradparityError, wide

# Worst error of a library function in units in the last place, measured on torch, TensorFlow and XLA (float64 and
# float32, two million arguments and more). Division may be x * (1 / y). What is not here is correctly rounded.
ULPS: Mapping[str, float] = {"exp": 2.2, "log": 3.3, "log1p": 3.8, "sqrt": 0.75, "divide": 1.0}
# K of decompositions, of which gradparity.spectral makes bounds: the worst of 1400 matrices of 2 to 20 rows, graded and
# not, each of NumPy, torch, TensorFlow and JAX, float64 and float32, residual and orthonormality alike: 8.0 for eigh
# (TensorFlow, n = 4), 32.4 for svd (JAX, n = 3)
DECOMPOSITIONS: Mapping[str, float] = {"eigh": 9.0, "svd": 36.0}
CLASSES = ("A", "B", "C")
EVERYTHING = "everything"


@dataclass(frozen=True)
class Precision:
    """How an implementation computes in one dtype and direction.

    cls: A, in float32 or better, rounded once at the end (fused); B, every operation rounded to the dtype, sums
        accumulated in float32; C, sums accumulated in the dtype too. They differ for 16 bits only
    sharp: it takes exactly the steps of the reference, so that the monotonicity of rounding bounds each of them
    ulps: accuracy of its library functions where it is not that of ULPS or DECOMPOSITIONS
    finding: why this class is wider than that of another dtype or case of the same function, which is a defect of
        the framework: what it does there, with a link or the numbers
    """

    cls: str = "A"
    sharp: bool = False
    ulps: Mapping[str, float] = field(default_factory=dict)
    finding: str = ""

    def __post_init__(self) -> None:
        if self.cls not in CLASSES:
            raise GradparityError(f"unknown precision class {self.cls!r}; the classes are A, B and C")
        known = {**ULPS, **DECOMPOSITIONS}
        if unknown := set(self.ulps) - set(known):
            raise GradparityError(f"no library function is called {min(unknown)!r}; there are {', '.join(known)}")

    def __str__(self) -> str:
        return "class " + self.cls + (" sharp" if self.sharp else "")


FUSED = Precision("A", sharp=True)
STEPWISE = Precision("B", sharp=True)


@dataclass(frozen=True)
class Arithmetic:
    """The arithmetic of one implementation in one dtype. `silent` names one source of error that is left out, which
    is how a bound explains itself, or EVERYTHING, which leaves what happens in the wide format: that rounds `own`
    alone. `exact` is False where exact operands cannot be told from moved ones. `forward` is the precision of the
    value where this is the arithmetic of its gradient: see kept."""

    dtype: str
    precision: Precision = field(default_factory=Precision)
    silent: str = ""
    exact: bool = True
    forward: Precision | None = None

    @property
    def inner(self) -> Format:
        """The format of intermediate results."""
        fused = self.precision.cls == "A" and FORMATS[self.dtype].bits < 24
        return FORMATS["float32" if fused else self.dtype]

    @property
    def accumulator(self) -> Format:
        mixed = self.precision.cls == "B" and FORMATS[self.dtype].bits < 24
        return FORMATS["float32"] if mixed else self.inner

    @property
    def own(self) -> float:
        """Relative error of one operation in the wide format, library functions included: two units in the last
        place (glibc documents 1 to 2 for the long double functions used here)."""
        return 2 * float(np.finfo(wide(self.dtype)).eps)

    @property
    def longer(self) -> bool:
        """Whether the wide format has more bits than that of intermediate results."""
        return int(np.finfo(wide(self.dtype)).nmant) + 1 > self.inner.bits

    def omits(self, source: str) -> bool:
        return self.silent in (source, EVERYTHING)

    def ulps(self, name: str) -> float:
        """16-bit library functions are computed in float32 and then rounded, unless something else is declared; a
        reciprocal may be rounded too."""
        ulps = ULPS.get(name, 0.5)
        usual = min(ulps, 0.505) if self.inner.bits < 24 and name != "divide" else ulps
        return self.precision.ulps.get(name, usual)

    def __call__(self, x: Any) -> Tracked:
        """An input: exact, except that a subnormal number may be read as zero."""
        v = np.asarray(x, dtype=wide(self.dtype))
        m = size(v)
        subnormal = (m > 0) & (m < self.inner.tiny)
        return Tracked(v, np.where(subnormal, m, 0.0) if subnormal.any() else EXACTLY, self)

    def store(self, y: Tracked) -> Tracked:
        """What is returned, or kept for the vjp: surely rounded to the dtype. By monotonicity of rounding nothing
        within e of v lands further away than the ends v - e and v + e do."""
        e, out = y.e, FORMATS[self.dtype]
        if self.inner != out and not self.omits("output rounding"):
            e = moved(y.v, e, out)
        return Tracked(y.v, self.settled(y.v, e, out, ()), self)

    def rounded(self, name: str, v: Array, e: Array, operands: tuple[Tracked, ...]) -> Tracked:
        """One operation of accuracy k ulp, by the model: |f^ - f(x^)| <= 2 k u |f(x^)| <= 2 k u (|v| + e).

        Exact operands of a correctly rounded operation: nothing is added where v is the exact result and a number of
        the format (see missed). This is what makes kinks and bit equality exact.

        Sharp (the implementation takes this very step): |fl(z) - v| for |z - v| <= e is largest at an end, since fl
        is monotone. A fused kernel may skip the rounding, so e itself stays allowed. From exact operands it makes
        fl(z), or z, of one z.
        """
        form, k, step = self.inner, self.ulps(name), self.precision.sharp and not self.omits(name)
        with np.errstate(all="ignore"):
            m = size(v)
            exact, own = self.rounded_once(name, operands), self.own_error(v, m, operands)
            if self.omits(name):
                e = e + own
            elif step:
                e = e + self.slack(name, m + e) + own
                e = np.maximum(e, moved(v, e, form))
            else:
                e = e * (1 + 2 * k * form.unit) + (m * 2 * k * form.unit + own)
            if exact is not None:
                d = self.missed(name, v, operands)
                e = np.where(exact & ((d == 0) | step), np.fmin(d, e), e)
        lost = 2 * form.tiny if name == "exp" else form.tiny
        return Tracked(v, self.settled(v, e, form, operands, lost), self)

    def own_error(self, v: Array, m: Array, operands: tuple[Tracked, ...]) -> Array:
        """What the wide format rounds away of one operation. One with more bits has smaller numbers too, or smaller
        than matter; else its subnormal numbers have the spacing of the smallest normal one, and only a zero that was
        made of a zero is exact: any other has underflowed, or is paid for by the errors of its operands."""
        if self.longer:
            return self.own * m
        of_zero = np.logical_or.reduce(np.broadcast_arrays(*(x.v == 0 for x in operands)))
        return np.where((v == 0) & of_zero, 0.0, self.own * np.maximum(m, self.inner.tiny))

    def missed(self, name: str, v: Array, operands: tuple[Tracked, ...]) -> Array:
        """How far from v an implementation may be that makes fl(z) of exact operands, or, fused, their exact result z.

        Where the wide format has more bits, v is z rounded to it, and fl(v) = fl(z): it holds every number and every
        midpoint of the format, so its rounding crosses none. z is v if v is a number of the format, but for numbers so
        near to it that they round to it; else it is nearer to v than fl(v) is.

        Where it has not, v = fl(z), and |z - v| is the residual of an error-free transformation: a number of the
        format, computed without error. NaN where none is known.
        """
        if self.longer:
            return size(fl(v, self.inner) - v)
        if name not in RESIDUALS:
            return np.full(v.shape, np.nan)
        return np.abs(RESIDUALS[name](v, *(x.v.astype(v.dtype, copy=False) for x in operands)))

    def slack(self, name: str, m: Array) -> Array:
        """How far from the exact result z, |z| <= m, the number lies that an operation of k ulp rounds.

        Several roundings (a 16-bit function computed in float32, x * (1 / y)): (2 k - 1) u m before the last one.
        A library function is only known to return f^ with |f^ - z| <= k ulp(z). f^ is what any number within half of
        its spacing rounds to, and the spacing is ulp(z) / 2 at least, below a power of two: (k - 1/4) ulp(z).
        """
        form, k = self.inner, self.ulps(name)
        if k == 0.5 or name == "divide" or form.bits < 24:
            return (2 * k - 1) * form.unit * m
        spacing = np.ldexp(1.0, np.frexp(np.minimum(m, form.max))[1] - form.bits)
        return np.where(m > 0, (k - 0.25) * spacing, 0.0)

    def rounded_once(self, name: str, operands: tuple[Tracked, ...]) -> Array | None:
        """Where the operation gives the exact result of exact operands, rounded once; None if nowhere.

        Division by a power of two is one of them whichever way it is done, but for an approximate reciprocal, which
        is declared by an accuracy beyond that of x * (1 / y).
        """
        if not self.exact or any(x.e.ndim and x.e.all() for x in operands):
            return None
        if self.ulps(name) > (ULPS["divide"] if name == "divide" else 0.5):
            return None
        exact = np.logical_and.reduce(np.broadcast_arrays(*(x.e == 0 for x in operands)))
        if self.ulps(name) != 0.5:
            exact = exact & (np.abs(np.frexp(operands[1].v)[0]) == 0.5)
        return exact if exact.any() else None

    def settled(
        self, v: Array, e: Array, form: Format, operands: tuple[Tracked, ...], lost: float = 0.0
    ) -> Array:  # fmt: skip
        """e at the ends of the format's range.

        Underflow: what may be subnormal may be flushed to zero, which moves it by |v|, or be rounded, by eta / 2.
        lost: results below this may be flushed too, if it is more than the smallest normal number. An exponential is:
        2^n is scaled in as 2 * 2^(n-1), so that n may be emax + 1, and 2^(n-1) is flushed (oneDNN's softmax in
        TensorFlow 2.21, float32: of 1401 arguments from -87.4 to -86 all whose exponential is below 2 tiny give 0).
        Overflow and what is not finite: see at_the_top.
        """
        with np.errstate(all="ignore"):
            m, least = size(v), max(lost, form.tiny)
            if not np.min(m - e, initial=np.inf) >= least and not self.omits("underflow"):
                e = np.where((m - e < least) & (m + e > 0), np.maximum(e, m) + form.eta, e)
            if not np.max(m + e, initial=0) <= form.max:
                e = at_the_top(v, e, form, operands)
        return e


def at_the_top(v: Array, e: Array, form: Format, operands: tuple[Tracked, ...]) -> Array:
    """What may exceed the largest number may have become infinite: unbounded. An infinite v is a fact, not a bound,
    if an exactly infinite operand or only exact operands made it; NaN is compared by position, it needs no bound
    (a reference that divides what may be 0 by what may be 0, or subtracts what an error made infinite, has none)."""
    exact = [x.e == 0 for x in operands] or [e == 0]
    fact = np.isnan(v) | reduce(np.logical_and, exact)
    for x, still in zip(operands, exact, strict=False):
        fact = fact | (still & ~np.isfinite(x.v))
    bound = np.where(np.isnan(e) | (size(v) + e > form.max), np.inf, e)
    return np.where(np.isfinite(v), bound, np.where(fact, 0.0, np.inf))


EXACTLY = np.zeros(())


def size(v: Array) -> Array:
    """|v| in float64, and not 0 where v is not: what underflows there still has an error."""
    m = np.abs(v.astype(np.float64, copy=False))  # in this order: the absolute value of a long double costs most
    return m if v.dtype == m.dtype or m.all() else np.where((m == 0) & (v != 0), np.nextafter(0.0, 1.0), m)


def fl(v: Array, form: Format) -> Array:
    """v rounded to nearest even in the format, kept in the wide type. Rounded once: a detour would round twice.

    To 16 bits on the bits of v, a float64: half a unit of the last place that is kept is added, less one bit of v where
    that place holds 0, so that ties go to even; a carry goes on into the exponent; and what is beyond that place is
    dropped. Numbers below the smallest normal one are multiples of eta, as those of float64 are from 2^52 eta on:
    adding this rounds, and taking it away again does not.
    """
    if form.bits >= 24:
        return v.astype(form.dtype).astype(v.dtype)
    v = v.astype(np.float64, copy=False)  # of bools and integers too, which comparisons and counts are
    dropped, one = np.uint64(53 - form.bits), np.uint64(1)
    half, bits, m = one << dropped - one, v.view(np.uint64), np.abs(v)
    r = bits >> dropped
    r &= one
    r += bits
    r += half - one
    r &= ~(half + half - one)
    r = np.asarray(r).view(v.dtype)
    if (small := m < form.tiny).any():
        above = 2.0**52 * form.eta
        r[small] = np.copysign(m[small] + above - above, v[small])
    if np.max(m, initial=0) <= form.max:
        return r
    return np.where(np.isnan(v), v, np.where(np.abs(r) > form.max, np.copysign(np.inf, v), r))


def moved(v: Array, e: Array, form: Format) -> Array:
    with np.errstate(all="ignore"):
        d = np.maximum(abs(fl(v + e, form) - v), abs(fl(v - e, form) - v)).astype(np.float64, copy=False)
        if np.isfinite(np.max(d, initial=0)):
            return d
    return np.where(np.isfinite(d), d, np.where(np.isfinite(v), np.inf, 0.0))


class Tracked(np.lib.mixins.NDArrayOperatorsMixin):
    """Value v, error bound e, arithmetic a. A comparison gives v of bools, and e = 1 where it may go either way."""

    def __init__(self, v: Any, e: Any, a: Arithmetic) -> None:
        self.v, self.e, self.a = np.asarray(v), np.asarray(e), a

    @property
    def shape(self) -> tuple[int, ...]:
        return self.v.shape

    @property
    def ndim(self) -> int:
        return self.v.ndim

    @property
    def full(self) -> Array:
        """e at every element."""
        return np.broadcast_to(self.e, self.v.shape)

    def __len__(self) -> int:
        return len(self.v)

    def __getitem__(self, i: Any) -> Tracked:
        return Tracked(self.v[i], self.full[i] if self.e.ndim else self.e, self.a)

    def __array_ufunc__(self, ufunc: Any, method: str, *xs: Any, **kw: Any) -> Any:
        if any(isinstance(x, Dual) for x in xs):
            return NotImplemented
        operands = tuple(wrap(self.a, x) for x in xs)
        if ufunc is np.matmul and method == "__call__" and not kw:
            return product(self.a, *operands)
        if method != "__call__" or kw or not (ufunc in RULES or ufunc in EXACT):
            raise GradparityError(f"no rule of the error arithmetic for numpy.{ufunc.__name__} {method} {kw or ''}")
        if ufunc in EXACT:
            return EXACT[ufunc](ufunc, *operands)
        with np.errstate(all="ignore"):
            v = ufunc(*(x.v for x in operands))
            return self.a.rounded(ufunc.__name__, v, RULES[ufunc](v, *operands), operands)

    def __array_function__(self, func: Any, types: Any, args: Any, kw: Any) -> Any:
        if Dual in types:
            return NotImplemented
        if func in FUNCTIONS:
            return FUNCTIONS[func](self.a, *args, **kw)
        if func not in STRUCTURAL:
            raise GradparityError(f"no rule of the error arithmetic for numpy.{func.__name__}")
        return Tracked(func(*part(args, "v"), **kw), func(*part(args, "full"), **kw), self.a)


def part(args: Any, name: str) -> Any:
    """The values or the errors of the tracked arrays among args."""
    if isinstance(args, list | tuple):
        return [part(x, name) for x in args]
    return getattr(args, name) if isinstance(args, Tracked) else args


def wrap(a: Arithmetic, x: Any) -> Tracked:
    """A constant of the formula is exact. A float array is an argument, and arguments are tracked."""
    if isinstance(x, Tracked):
        return x
    x = np.asarray(x)
    if x.dtype.kind not in "biu" and x.ndim:
        raise GradparityError(f"a float argument of shape {x.shape} is not tracked: its rounding would go unseen")
    return Tracked(x if x.dtype.kind == "b" else x.astype(wide(a.dtype)), EXACTLY, a)


def times(a: Array, b: Array) -> Array:
    """a b, where an exact zero annihilates an unbounded error."""
    product = a * b
    return product if np.isfinite(product).all() else np.where((a == 0) | (b == 0), 0.0, product)


# --- rules: (value, operands) -> the error that the operands' errors make; `rounded` adds the operation's own


def add_rule(v: Array, x: Tracked, y: Tracked) -> Array:
    """|(x^ +- y^) - (x +- y)| <= e_x + e_y."""
    return x.e + y.e


def multiply_rule(v: Array, x: Tracked, y: Tracked) -> Array:
    """x^ y^ - x y = x (y^ - y) + (x^ - x) y^, so <= |x| e_y + e_x (|y| + e_y)."""
    if not x.e.any():
        return times(size(x.v), y.e)
    if not y.e.any():
        return times(x.e, size(y.v))
    return times(size(x.v), y.e) + times(x.e, size(y.v) + y.e)


def divide_rule(v: Array, x: Tracked, y: Tracked) -> Array:
    """x^/y^ - x/y = ((x^ - x) - (x/y) (y^ - y)) / y^, and |y^| >= |y| - e_y; unbounded where y^ may be 0.

    What `rounded` adds, 2 u, holds for x * (1 / y) too: rounding moves by at most u / (1 + u), and
    (1 + u / (1 + u))^2 <= 1 + 2 u. That 1 / y is a normal number is taken for granted.
    """
    room = size(y.v) - y.e
    e = (x.e + times(size(v), y.e)) / np.where(room > 0, room, 1.0)
    exact_zero_division = (y.e == 0) & (x.e == 0)
    return np.where((room > 0) | exact_zero_division, e, np.inf)


def square_rule(v: Array, x: Tracked) -> Array:
    """x^2 - x^2 = (x^ - x)(x^ + x), so <= e (2 |x| + e)."""
    return times(2 * size(x.v) + x.e, x.e)


def sqrt_rule(v: Array, x: Tracked) -> Array:
    """sqrt x^ - sqrt x = (x^ - x) / (sqrt x^ + sqrt x) <= e / (sqrt(x - e) + sqrt x), and <= sqrt e by concavity.
    x^ >= 0 is taken for granted: no implementation computes a sum of squares negative."""
    least = np.sqrt(np.maximum(size(x.v) - x.e, 0))
    return np.fmin(np.sqrt(x.e), x.e / (size(v) + least))


def exp_rule(v: Array, x: Tracked) -> Array:
    """exp x^ - exp x = exp x (exp(x^ - x) - 1) <= exp x expm1(e); exp(x + e) where exp x is 0 in the wide format.

    But an x below that whose e is infinite has overflowed downwards, and its exponential is 0."""
    e = times(size(v), np.expm1(x.e))
    lost = (v == 0) & (x.e > 0) & np.isfinite(x.e)
    return np.where(lost, size(np.exp(x.v + x.e)), e) if lost.any() else e


def log_rule(v: Array, x: Tracked) -> Array:
    """log x^ - log x = log(1 + (x^ - x)/x) >= log(1 - e/x), which is the further end."""
    return np.where(x.e == 0, 0.0, -np.log1p(-np.minimum(x.e / size(x.v), 1)))


def log1p_rule(v: Array, x: Tracked) -> Array:
    """As log, of 1 + x."""
    return np.where(x.e == 0, 0.0, -np.log1p(-np.minimum(x.e / size(1 + x.v), 1)))


RULES: Mapping[Any, Callable[..., Array]] = {
    np.add: add_rule,
    np.subtract: add_rule,
    np.multiply: multiply_rule,
    np.divide: divide_rule,
    np.square: square_rule,
    np.sqrt: sqrt_rule,
    np.exp: exp_rule,
    np.log: log_rule,
    np.log1p: log1p_rule,
}


# --- residuals: z - v, where v is float64's result and z the exact one, of exact operands


def two_sum(v: Array, x: Array, y: Array) -> Array:
    """x + y - v is a number of the format, and each step to it is exact (Knuth; Ogita, Rump & Oishi 2005, Accurate
    sum and dot product, algorithm 3.1). Underflow does no harm; what overflows gives NaN or infinity."""
    b = v - x
    return (x - (v - b)) + (y - b)


def halves(x: Array) -> tuple[Array, Array]:
    """x as a sum of two numbers of 26 bits (Veltkamp; Dekker 1971, A floating-point technique for extending the
    available precision). NaN above 2^996, where it overflows."""
    c = (2.0**27 + 1) * x
    high = c - (c - x)
    return high, x - high


def two_product(v: Array, x: Array, y: Array) -> Array:
    """x y - v: the products of halves are exact, and so are their sums in this order (Dekker 1971; Ogita et al.,
    algorithm 3.3), if no part underflows. All are multiples of ulp(x) ulp(y) > 2^-106 |x y|, so none does where |v|
    is at least 2^106 times the smallest number; NaN below. FMA is nowhere: each NumPy function rounds once."""
    (a, b), (c, d) = halves(x), halves(y)
    form = FORMATS["float64"]
    return np.where(size(v) >= form.eta / form.unit**2, b * d - (((v - a * c) - b * c) - a * d), np.nan)


RESIDUALS: Mapping[str, Callable[..., Array]] = {
    "add": two_sum,
    "subtract": lambda v, x, y: two_sum(v, x, -y),
    "multiply": two_product,
    "square": lambda v, x: two_product(v, x, x),
    "divide": lambda v, x, y: np.where(v * y == x, 0.0, np.nan),  # by a power of two: exact, unless it left the range
}


# --- exact: nothing is rounded


def negative(f: Any, x: Tracked) -> Tracked:
    return Tracked(-x.v, x.e, x.a)


def either(f: Any, x: Tracked, y: Tracked) -> Tracked:
    """maximum, minimum: monotone in each argument, so the extremes are at the ends; a value is passed on unrounded,
    and is no further off than the worse of the two."""
    v = f(x.v, y.v)
    e = between(v, *(f(p, q) for p, q in zip(ends(x), ends(y), strict=True)))
    return Tracked(v, np.minimum(e, np.maximum(x.e, y.e)), x.a)


def ends(x: Tracked) -> tuple[Array, Array]:
    """v - e and v + e, rounded outwards; what may be anything, infinities too, reaches from -inf to inf."""
    low, high = outwards(x, -1), outwards(x, 1)
    unbounded = np.isinf(x.e) & ~np.isnan(x.v)
    return np.where(unbounded, -np.inf, low), np.where(unbounded, np.inf, high)


def outwards(x: Tracked, sign: int) -> Array:
    """v + e or v - e, rounded away from v: where float64 is its own wide format e may be less than its spacing. At
    least to the next number, which is at most eps |end| further (np.nextafter takes three times as long)."""
    with np.errstate(invalid="ignore", over="ignore"):
        end = x.v + sign * x.e
        form = np.finfo(end.dtype)
        return np.where(x.e > 0, end + sign * (np.abs(end) * form.eps + form.smallest_subnormal), x.v)


def between(v: Array, low: Array, high: Array) -> Array:
    """The larger distance of the two ends from v; equal infinities are no distance apart."""
    with np.errstate(invalid="ignore"):
        e = np.fmax(high - v, v - low).astype(np.float64)
    return np.where(np.isnan(e), 0.0, e)


def compare(f: Any, x: Tracked, y: Tracked) -> Tracked:
    """Either way where the operands' errors let them pass one another; exact operands compare as they are."""
    v, slack = f(x.v, y.v), x.e + y.e
    if not slack.any():
        return Tracked(v, EXACTLY, x.a)
    with np.errstate(invalid="ignore"):
        return Tracked(v, ((abs(x.v - y.v) <= slack) & (slack > 0)).astype(np.float64), x.a)


def finite(f: Any, x: Tracked) -> Tracked:
    """Either way where the error is unbounded."""
    return Tracked(np.isfinite(x.v), np.isinf(x.e).astype(np.float64), x.a)


EXACT: Mapping[Any, Callable[..., Tracked]] = {
    np.negative: negative,
    np.isfinite: finite,
    np.maximum: either,
    np.minimum: either,
    **dict.fromkeys((np.greater, np.greater_equal, np.less, np.less_equal, np.equal, np.not_equal), compare),
}


# --- functions of whole arrays


def total(a: Arithmetic, x: Any, axis: Any = None, keepdims: bool = False) -> Tracked:
    """A sum, rounded to the format of intermediate results if it was accumulated in another."""
    y = accumulated(a, x, axis)
    axes = tuple(range(x.ndim)) if axis is None else axis
    y = a.rounded("sum", y.v, y.e, (y,)) if a.accumulator != a.inner else y
    return y if keepdims else Tracked(np.squeeze(y.v, axes), np.squeeze(y.full, axes), a)


def accumulated(a: Arithmetic, x: Any, axis: Any = None) -> Tracked:
    """A sum in any order, of n terms of size m_i = |x_i| + e_i, A = sum m_i.

    One addition errs by at most u |result|, and by no more than its smaller operand (returning the other operand is
    a candidate for the nearest number). With w = u A, give each node of the addition tree the potential
    sum over its leaves min(w, m_i) - min(w, sum of its leaves): 0 at a leaf, and an addition raises it by at least
    min(w, left, right), its error. So the errors add up to at most sum min(w, m_i) - min(w, A), and since m_i <= A,
    to at most sum min(w, m_i) - min(w, max m_i); computed partial sums exceed the exact ones by a factor of at most
    1 + n u, which (n - 1) u w covers to first order. It equals (n - 1) u A for flat data and about 0 for one
    dominant term. None of this depends on the order, so neither on the axis that NumPy sums, in pairs or term after
    term: the wide sum obeys it with its own u, and (n - 1) u A too (Rump 2012 one by one; Jeannerod & Rump 2013 in
    any order); the smaller of the two is charged.

    Flush to zero: a partial sum below the smallest normal number may be lost: w is at least that number, but 0 where
    all terms are exact zeros.
    Overflow: no partial sum exceeds A (1 + n u), but where that exceeds the largest number one may become infinite,
    whatever is subtracted from it later. An infinite sum is a fact if no term that an error made infinite is in it.
    Counting (bool terms) is exact while the count is a number of the format.
    """
    axes = tuple(range(x.ndim)) if axis is None else axis
    form = a.accumulator
    with np.errstate(all="ignore"):
        v = np.sum(x.v, axis=axes, keepdims=True, dtype=None if x.v.dtype.kind == "f" else wide(a.dtype))
        m = np.abs(x.v if x.v.dtype.kind == "f" else x.v.astype(np.float64)).astype(np.float64) + x.e
        big = m.sum(axis=axes, keepdims=True)
        n = m.size // max(big.size, 1)
        w = np.where(big > 0, np.maximum(form.unit * big, form.tiny), 0.0)
        own = np.minimum(w, m).sum(axis=axes, keepdims=True) - np.minimum(w, m.max(axis=axes, keepdims=True, initial=0))
        own = np.maximum(own, 0) + (n - 1) * form.unit * w if n > 1 else np.zeros_like(big)
        if x.v.dtype.kind == "b":
            own = np.where(big * form.unit <= 1, 0.0, own)
        loss = 0.0 if a.omits("sum") else own
        moved_by = np.sum(x.full, axis=axes, keepdims=True)
        e = moved_by + loss + np.minimum((n - 1) * a.own * big if n else 0.0, own)
        over = np.isnan(e) | (big + own > form.max)
        e = np.where(np.isfinite(v), np.where(over, np.inf, e), np.where(np.isinf(moved_by) & ~np.isnan(v), np.inf, 0))
    return Tracked(v, a.settled(v, e, form, (Tracked(v, e, a),)), a)


def running_total(a: Arithmetic, x: Tracked, axis: int) -> Tracked:
    """Cumulative sums, each prefix added to the one before: the k-th is a sum of k + 1 terms, wrong by at most k u
    times the sum of their sizes (Higham, section 4.2; Rump (2012): without a term in u^2). Each of the k additions
    may be flushed to zero, and overflow of any prefix, not only of this one, is overflow: as in total."""
    form = a.accumulator
    with np.errstate(all="ignore"):
        v = np.cumsum(x.v, axis=axis)
        sizes = np.cumsum(size(x.v) + x.e, axis=axis)
        k = np.reshape(np.arange(v.shape[axis]), [-1 if d == axis % v.ndim else 1 for d in range(v.ndim)])
        loss = k * (0.0 if a.omits("sum") else np.maximum(form.unit * sizes, form.tiny)) + k * a.own * sizes
        e = np.cumsum(x.full, axis=axis) + loss
        e = np.where(np.isfinite(v) & ~(sizes + loss <= form.max), np.inf, e)
    y = Tracked(v, e, a)
    return a.rounded("sum", v, e, (y,)) if form != a.inner else Tracked(v, a.settled(v, e, form, (y,)), a)


def product(a: Arithmetic, x: Tracked, y: Tracked) -> Tracked:
    """A matrix product, each element a sum of n products x_i y_i in any order, fused or not.

    Operands: |x^ y^ - x y| <= |x| e_y + e_x (|y| + e_y), as of one product, summed. Its own: n u sum |x^_i| |y^_i| for
    every n and order, without a term in u^2 (Jeannerod & Rump, Improved error bounds for inner products in
    floating-point arithmetic (2013), theorem 3.1), and n times what a flush to zero takes. Overflow: as in total.
    Where n is 1 it is a multiplication, which may be exact.
    """
    form, n = a.accumulator, x.shape[-1]
    if n == 1:
        one: Tracked = x * y
        return one if y.ndim > 1 else one[..., 0]
    with np.errstate(all="ignore"):
        v = x.v @ y.v
        sizes = (size(x.v) + x.e, size(y.v) + y.e)
        big = sizes[0] @ sizes[1]
        loss = 0.0 if a.omits("sum") else n * (form.unit * big + form.tiny * (big > 0))
        e = size(x.v) @ y.full + x.full @ sizes[1] + loss + n * a.own * big
        e = np.where(np.isfinite(v) & ~(big + loss <= form.max), np.inf, e)
    z = Tracked(v, e, a)
    return a.rounded("sum", v, e, (z,)) if form != a.inner else Tracked(v, a.settled(v, e, form, (z,)), a)


def largest(a: Arithmetic, x: Tracked, axis: Any = None, keepdims: bool = False) -> Tracked:
    """max over an axis: monotone in every element, unrounded."""
    v = np.max(x.v, axis=axis, keepdims=keepdims)
    if not x.e.any():
        return Tracked(v, EXACTLY, a)
    e = between(v, *(np.max(end, axis=axis, keepdims=keepdims) for end in ends(x)))
    return Tracked(v, np.minimum(e, np.max(x.full, axis=axis, keepdims=keepdims)), a)


def where(a: Arithmetic, c: Any, x: Any, y: Any) -> Tracked:
    """A choice that may go either way is as wrong as the other branch: the distance of the two and that one's error."""
    c, x, y = wrap(a, c), wrap(a, x), wrap(a, y)
    v, e = np.where(c.v, x.v, y.v), np.where(c.v, x.e, y.e)
    if c.e.any():
        with np.errstate(invalid="ignore"):
            other = np.where(c.v, y.v, x.v)
            gap = np.where(other == v, 0.0, size(other - v)) + np.where(c.v, y.e, x.e)
        e = np.where(c.e > 0, np.maximum(e, gap), e)
    return Tracked(v, e, a)


def clip(a: Arithmetic, x: Tracked, low: float, high: float) -> Tracked:
    """Monotone, unrounded, and what leaves [low, high] on one side only is cut on that side only."""
    v = np.clip(x.v, low, high)
    return Tracked(v, np.minimum(between(v, *(np.clip(end, low, high) for end in ends(x))), x.e), a)


FUNCTIONS: Mapping[Any, Callable[..., Tracked]] = {
    np.sum: total,
    np.cumsum: running_total,
    np.max: largest,
    np.where: where,
    np.clip: clip,
}

# These move elements and compute nothing.
STRUCTURAL = {np.reshape, np.squeeze, np.expand_dims, np.take_along_axis, np.concatenate, np.broadcast_to, np.moveaxis}


def stationary(x: Array) -> Array:
    """x as a constant: for a quantity whose choice cannot change the result (the shift of softmax). It carries no
    error, and its derivative is 0: the imaginary part of a complex step is dropped, and a tangent."""
    if isinstance(x, Dual):
        return stationary(x.value)
    return Tracked(x.v, EXACTLY, x.a) if isinstance(x, Tracked) else x.real


def handed(x: Array) -> Array:
    """x as one function hands it to the next: rounded to the dtype, or not where both are compiled as one. So it is as
    far off as the worse of the two."""
    if not isinstance(x, Tracked):
        return x
    a, out = x.a, FORMATS[x.a.dtype]
    rounds = a.inner != out and not a.omits("output rounding")
    e = np.maximum(x.e, moved(x.v, x.e, out)) if rounds else x.e
    return Tracked(x.v, a.settled(x.v, e, out, (x,)), a)


def overflowed(x: Array) -> Array:
    """What one correctly rounded operation made of exact operands, infinite where that exceeds every number of the
    format of intermediate results: rounding is monotone. What exceeds the dtype's alone may be either: see settled."""
    if not isinstance(x, Tracked):
        return x
    with np.errstate(over="ignore"):
        over = np.isfinite(x.v) & np.isinf(fl(x.v, x.a.inner))
    return Tracked(np.where(over, np.copysign(np.inf, x.v), x.v), np.where(over, 0.0, x.e), x.a)


def mean(x: Array, axis: int = 0) -> Array:
    """sum / count as one operation, which divides before the sum leaves the accumulator: what overflows the format
    only as a sum is bounded.  With |s^ - s| <= e_s, s^/n is wrong by e_s/n; dividing by n, or multiplying by a rounded
    1/n, adds 2 u of the accumulator (see divide_rule), and rounding to the format, if it is another, comes last.

    Not sharp, it may as well be the sum, rounded, and then the quotient, rounded: the first moves s by u |s|, and so
    s / n by u |s / n|."""
    n = x.shape[axis]
    if isinstance(x, Dual):
        return x.each(mean, axis)
    if not isinstance(x, Tracked):
        return np.sum(x, axis=axis) / n
    a, s = x.a, accumulated(x.a, x, axis)
    with np.errstate(all="ignore"):
        s = Tracked(np.squeeze(s.v, axis), np.squeeze(s.full, axis), a)
        y = Tracked(s.v / n, s.e / n, a)
        if a.accumulator == a.inner:
            return a.rounded("divide", y.v, y.e, (s, wrap(a, n)))
        e = y.e + (0.0 if a.omits("divide") else 2 * a.accumulator.unit * (size(y.v) + y.e))
        once_rounded = a.rounded("sum", y.v, e, (y,))
        if a.precision.sharp:
            return once_rounded
        return a.rounded("divide", y.v, once_rounded.e, (once_rounded, wrap(a, n)))


def once(f: Callable[[Any], Any], x: Array) -> Array:
    """f(x) for a monotone or convex or concave f that mentions x more than once, so that rule by rule its error would
    be counted more than once. On [x - e, x + e] such an f moves furthest from f(x) at an end; each end adds the
    roundings that f makes there, x being neither exact nor what was rounded (so loose, and 4 u for what lies
    between the ends). Those of the wide format are charged there too, four units for one: enough for f(x) as well.
    Its derivative need be neither, and is taken step by step."""
    if isinstance(x, Dual):
        return Dual(once(f, x.value), f(x).tangent)
    if not isinstance(x, Tracked):
        return f(x)
    v = f(x.v)
    ends = [f(Tracked(outwards(x, sign), EXACTLY, loose(x.a))) for sign in (-1, 1)]
    e = np.maximum(*(size(end.v - v) + end.e for end in ends))
    return Tracked(v, e * (1 + 4 * x.a.inner.unit), x.a)


def by_its_gradient(f: Callable[[Any], Any], vjp: Callable[[Any, Any, Any], Mapping[str, Any]], x: Array) -> Array:
    """f(x), element by element, which is differentiated by its gradient and not step by step, as a framework does that
    has it as one function. A gradient from the stored output errs more, where that has lost what x still tells."""
    if not isinstance(x, Dual):
        return f(x)
    y = f(x.value)
    return Dual(y, vjp(x.tangent, y, x.value)["x"])


def kept(f: Callable[[Any], tuple[Any, ...]], x: Array) -> tuple[Any, ...]:
    """f(x), what a gradient that is differentiated step by step keeps from the forward: in the precision of that, and
    rounded, or not, where the two do not compute in the same format. A forward itself, and what moves, take f as it
    is."""
    if not isinstance(x, Tracked) or x.a.forward is None:
        return f(x)
    a, there = x.a, replace(x.a, precision=x.a.forward)
    found = f(Tracked(x.v, x.e, there))
    found = found if there.inner == a.inner else tuple(map(handed, found))
    return tuple(Tracked(y.v, y.e, a) for y in found)


def loose(a: Arithmetic) -> Arithmetic:
    return replace(a, precision=replace(a.precision, sharp=False), exact=False)
