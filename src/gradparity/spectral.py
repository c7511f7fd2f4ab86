"""Eigenvalues and eigenprojections of symmetric matrices: two primitives of the arithmetic, by way of eigh and of svd.

    s = eigh(k)              # k: [n, n] symmetric, or svd(x), which is that of x x^T
    s.values(m)              # the m largest eigenvalues, falling
    s.projector(i, j)        # on the eigenvectors i..j-1, [n, n]
    s.truncated(c, m)        # projector(0, m) @ c
    s.derivative(d, m)       # how projector(0, m) moves when k moves by d, symmetric
    s.second(d, e, m)        # how that moves when k moves by e, symmetric

Of a dual number, which says how k moves, all but the last are dual numbers; it has no rule there.

An eigenvector has no sign and, beside an equal eigenvalue, no direction: what is offered here has both. On plain arrays
it is computed as it stands; of a Tracked matrix it carries an error, by the rules below.

The model. An implementation computes the exact decomposition of a matrix that is moved by at most d in the Frobenius
norm, and eigenvectors that are orthonormal but for o:

    d = ||e||_F + K n u ||k||_2,  o = K n u,

e the error of k, element by element, u the unit roundoff, K a constant of the library (Anderson et al., LAPACK Users'
Guide (1999), section 4.7, where K n is p(n)). DECOMPOSITIONS has those measured. The truth, by Jacobi's method in the
wide format, has such errors too, with the same K and two of its units: they are in d and o.

Eigenvalues: |l_i^ - l_i| <= d (Weyl).

Projectors: ||P^ - P||_2 <= d / (gap - d), where gap is the distance of the eigenvalues within from those without: of
those of k and those of the moved matrix it is gap - d at least (Davis & Kahan, The rotation of eigenvectors by a
perturbation III (1970), the sin theta theorem; Weyl). No two projectors are further apart than 1. Forming V V^T from
eigenvectors that are orthonormal but for o adds 2 o, and a sum of n products, which u n stands for in o.

The derivative of P in the direction S is sum_ij v_i v_i^T S v_j v_j^T / (l_i - l_j) over i within and j without, and
its transpose. Everybody computes it from eigenvectors and eigenvalues, so three things err.

1. The steps: V^T S V, each element times its 1 / (l_i - l_j), and back. They are tracked as any others, for V and l
   that are exact. Automatic differentiation takes the pairs within too, whose contributions cancel, z_ij = -z_ji, but
   for what was rounded, times 1 / |l_i - l_j|: this error is added for them. Pairs of two without are exact zeros.
2. k moved. With f the second divided difference of the indicator function of what is within, the derivative of
   P'(k)[S] in the direction E has the elements sum_c f(l_a, l_c, l_b) (S_ac E_cb + E_ac S_cb) in the basis of the
   eigenvectors, and |f| <= 1 / gap^2 whichever of the three are within (Daleckii & Krein (1965)). So it moves by
   2 ||S||_F d / (gap - 2 d)^2 at most in the Frobenius norm, the gap shrinking by 2 d on the way.
3. Vectors that are not quite orthonormal, used four times: 4 o ||S||_F / (gap - 2 d).

The second derivative of P in the directions S and E is the sum of 2, with s_ab and e_ab for the elements of V^T S V and
V^T E V. With one of a, b, c on the other side than the two others, f is 1 over the product of the two distances between
the sides, and minus that if the one is without; else f is 0. This is how the truth is computed. Automatic
differentiation of the gradient goes another way, by W_ij = e_ij / (l_j - l_i), Z_ij = s_ij / (l_j - l_i) for j within,
to Y + Y^T, where Y_ab is

    (W Z - Z W)_ab + ((W^T s + s W)_ab - s_ab (e_bb - e_aa) / (l_b - l_a)) / (l_b - l_a),  the last for b within,

in which all pairs take part, and those on one side cancel but for what is rounded. Each term is a product of an element
of s, one of e, and two of r_ij = 1 / |l_i - l_j|, of eigenvalues that have moved towards one another; elements of s and
e are those of vectors that have turned, each by 1.5 d r at most (sin theta again), which is 3 ||S|| d r. So

- errors ds and de of s and e are multiplied by the others and two of r, and counted in Y and in Y^T;
- an element is rounded four times by a sum of n with V for a factor, of norm sqrt(n), and some ten times besides:
  (4 n sqrt(n) + 10) u of 12 r^2 ||S|| ||E||, twice six terms with the largest r;
- none of it asks V to be orthonormal, so that what is not is a matter of the sum f, |f| <= 1 / gap^2, which has V six
  times in two terms: 12 o ||S|| ||E|| / (gap - 2 d)^2;
- what is moved by d is the third derivative, with f of four:

    sum_cd f(l_a, l_c, l_d, l_b) (S_ac E_cd D_db + ... each of the six orders), ||D||_F <= d.

  With one on the other side f is 1 over the product of three distances; with two on each, c and d opposite a and b, it
  is 1 / (ac bc bd) + 1 / (ac ad bd) = (ad + bc) / (ac ad bc bd), and ad + bc = ac + bd. In the Frobenius norm the sum
  over each order is d times the norm of all else in it, at most.

What is smaller than d has no gap to speak of: the bound of a projector is 1, and of its derivative infinite.

svd(x) gives singular values s = sqrt(l), wrong by d = ||e||_F + K max(n, m) u s_1 (Weyl again), and left singular
vectors whose gap is that of the singular values, and no more than the least within (Wedin, Perturbation bounds in
connection with singular value decomposition (1972)): where s_1 is much larger than what is of interest, much better
than by way of x x^T. With s^ s^ <= s s + d (2 s + d) everything above is said in terms of l again. But truncated(x, m)
is made of what it gave, u s w^T, which is P^ of the moved x: another d, and 2 o s_1 for what is not orthonormal.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, reduce
from itertools import combinations
from typing import Any

import numpy as np

from gradparity.arithmetic import DECOMPOSITIONS, Arithmetic, Tracked
from gradparity.dual import Dual
from gradparity.op import Array, GradparityError

SWEEPS = 16  # at most: Jacobi's method converges quadratically, for 20 rows in 12; a complex step takes all of them


def eigh(k: Array) -> AnySpectrum:
    """Of a symmetric matrix k."""
    return Moving(of_symmetric(k.value), k.tangent) if isinstance(k, Dual) else of_symmetric(k)


def svd(x: Array) -> AnySpectrum:
    """Of x x^T, from the singular values and the left singular vectors of x: [n, m], n <= m."""
    if not isinstance(x, Dual):
        return of_singular(x)
    at, half = of_singular(x.value), x.tangent @ np.moveaxis(x.value, 0, 1)
    away = at.d + 2 * at.o * float(at.levels.max())
    return Moving(at, half + np.moveaxis(half, 0, 1), 2 * norm(x.tangent) * away if at.a else 0.0)


def of_symmetric(k: Array) -> Spectrum:
    if not isinstance(k, Tracked):
        return Spectrum(*jacobi(k))
    values, vectors = jacobi(k.v)
    n, top = len(values), float(np.max(np.abs(values), initial=0))
    return Spectrum(values, vectors, k.a, *moved(k, "eigh", n, top))


def of_singular(x: Array) -> Spectrum:
    if not isinstance(x, Tracked):
        return Spectrum(*jacobi(x @ x.T))
    values, vectors = jacobi(x.v @ x.v.T)
    top = float(np.sqrt(np.max(values, initial=0)))
    return Spectrum(values, vectors, x.a, *moved(x, "svd", max(x.shape), top), singular=True)


def moved(x: Tracked, name: str, n: int, top: float) -> tuple[float, float]:
    """d, the error of a matrix of norm `top` and what its decomposition adds to it; and o."""
    constant = x.a.precision.ulps.get(name, DECOMPOSITIONS[name])
    e, u = frobenius(x.full), 0.0 if x.a.omits("eigh") else x.a.inner.unit
    return e + constant * n * (u * (top + e) + x.a.own * top), constant * n * (u + x.a.own)


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Eigenvalues, falling, and eigenvectors, in columns, of a matrix that an implementation moves by d, in units of
    the eigenvalues or, if singular, of their roots; o as above. a is None where nothing has an error."""

    eigenvalues: Array
    vectors: Array
    a: Arithmetic | None = None
    d: float = 0.0
    o: float = 0.0
    singular: bool = False

    @cached_property
    def levels(self) -> Array:
        """What d is an error of."""
        level = self.eigenvalues.astype(np.float64)
        return np.sqrt(np.maximum(level, 0)) if self.singular else level

    def values(self, m: int) -> Array:
        if self.a is None:
            return self.eigenvalues[:m]
        e = self.d * (2 * self.levels[:m] + self.d) if self.singular else np.full(m, self.d)
        return Tracked(self.eigenvalues[:m], e, self.a)

    def projector(self, i: int, j: int) -> Array:
        p = self.vectors[:, i:j] @ self.vectors[:, i:j].T
        if self.a is None:
            return p
        room = self.gap(i, j) - self.d
        e = min(self.d / room, 1.0) if room > 0 else 1.0
        return Tracked(p, np.full(p.shape, e + 2 * self.o), self.a)

    def truncated(self, c: Array, m: int) -> Array:
        y = self.projector(0, m) @ c
        if self.a is None or not self.singular:
            return y
        return Tracked(y.v, y.full + self.d + 2 * self.o * self.levels.max(), self.a)

    def gap(self, i: int, j: int) -> float:
        """The distance of the levels i..j-1 from the others; of singular values also from 0, which has the rest."""
        inside, outside = self.levels[i:j], np.delete(self.levels, np.s_[i:j])
        gaps = np.abs(np.subtract.outer(inside, outside))
        return float(min([gaps.min(initial=np.inf), *(inside if self.singular else ())]))

    def largest(self, m: int) -> Array:
        """Which eigenvalues are within: the m largest."""
        return np.arange(len(self.eigenvalues)) < m

    def sides(self, m: int) -> tuple[Array, Array]:
        """Of each pair, whether one is within and the other is not; and their distance, 1 of the others."""
        within = self.largest(m)
        across, signs = np.logical_xor.outer(within, within), np.where(within, 1, -1)[:, None]
        return across, np.where(across, np.subtract.outer(self.eigenvalues, self.eigenvalues) * signs, 1)

    def derivative(self, s: Array, m: int) -> Array:
        across, apart = self.sides(m)
        if self.a is None:
            return self.vectors @ np.where(across, self.vectors.T @ s @ self.vectors / apart, 0) @ self.vectors.T
        v, back = Tracked(self.vectors, 0.0, self.a), Tracked(self.vectors.T, 0.0, self.a)
        z: Any = back @ s @ v
        steps: Any = np.where(across, z / Tracked(apart, 0.0, self.a), 0.0)
        y: Any = v @ Tracked(steps.v, steps.full + self.within(z, m), self.a) @ back
        return Tracked(y.v, y.full + self.turned(s, m), self.a)

    def second(self, s: Array, e: Array, m: int) -> Array:
        across, apart = self.sides(m)
        exact = (self.vectors, self.vectors.T, apart)
        v, back, apart = (x if self.a is None else Tracked(x, 0.0, self.a) for x in exact)
        z, w = back @ s @ v, back @ e @ v
        x, y = z / apart, w / apart
        by_within, by_without = (x[:, c] @ y[c] + y[:, c] @ x[c] for c in (np.s_[:m], np.s_[m:]))
        one_side = np.where(self.largest(m), -by_without, by_within)  # where a and b are on one, either tells which
        t = v @ np.where(across, (by_without - by_within) / apart, one_side) @ back
        return t if self.a is None else wider(t, self.crossed(s, e, z, w, m))

    def crossed(self, s: Tracked, e: Tracked, z: Tracked, w: Tracked, m: int) -> float:
        """What automatic differentiation misses the second derivative by, besides what it is rounded by."""
        n, room, near = len(self.eigenvalues), self.room(m), self.inverses()
        if not (room and np.isfinite(near).all()) or self.a is None:
            return np.inf
        size, nearest = norm(s) * norm(e), float(near.max(initial=0))
        unit = 0.0 if self.a.omits("eigh") else self.a.inner.unit
        turned = [magnitude(t) + 3 * norm(of) * self.shift * nearest for t, of in ((z, s), (w, e))]
        x, y = (np.minimum(t, norm(of)) for t, of in zip(turned, (s, e), strict=True))
        wrong = 2 * frobenius(terms(z.full, y, near) + terms(x, w.full, near))
        rounded = 12 * (4 * n * np.sqrt(n) + 10) * unit * size * nearest**2
        moved = self.shift / room * third(self.of_four(m), x / room, y / room)
        return float(wrong + rounded + 12 * size * self.o / room**2 + moved)

    def inverses(self) -> Array:
        """1 over the distance of each pair of eigenvalues that have moved towards one another, 0 of one and itself."""
        apart = np.abs(np.subtract.outer(self.eigenvalues, self.eigenvalues)).astype(np.float64) - 2 * self.shift
        np.fill_diagonal(apart, np.inf)
        return np.where(apart > 0, 1 / np.where(apart > 0, apart, 1.0), np.inf)

    def of_four(self, m: int) -> Array:
        """The third divided difference of the indicator function of the m largest eigenvalues, [a, c, d, b]; at most,
        of what has moved, in units of 1 / room^3, which may be beyond the largest number."""
        across, apart = self.sides(m)
        apart = np.where(across, (apart.astype(np.float64) - 2 * self.shift) / self.room(m), 1.0)
        pairs = [tuple({0, 1, 2, 3} - {i, j}) for i, j in combinations(range(4), 2)]
        f = 1 / reduce(np.multiply, [np.expand_dims(apart, others) for others in pairs])
        both = reduce(np.add, [np.expand_dims(np.where(across, apart, 0.0), others) for others in pairs]) / 2
        inside = reduce(np.add, np.ix_(*[self.largest(m).astype(np.int64)] * 4))
        return np.select([inside % 2 == 1, inside == 2], [f, f * both], 0.0)

    @cached_property
    def shift(self) -> float:
        """What the eigenvalues are wrong by, at most."""
        return self.d * (2 * float(self.levels.max()) + self.d) if self.singular else self.d

    def room(self, m: int) -> float:
        """What is left of the distance of the m largest eigenvalues from the others when both have moved."""
        gaps = np.subtract.outer(self.eigenvalues[:m], self.eigenvalues[m:])
        return max(float(np.min(gaps, initial=np.inf)) - 2 * self.shift, 0.0)

    def turned(self, s: Tracked, m: int) -> float:
        """What k moved, and vectors that are not orthonormal, do to the derivative in the direction s."""
        room = self.room(m)
        return norm(s) * (2 * self.shift / room**2 + 4 * self.o / room) if room else np.inf

    def within(self, z: Tracked, m: int) -> Array:
        """What rounding leaves of the pairs within, for which z_ij = z_ji and 1 / (l_i - l_j) = -1 / (l_j - l_i)."""
        pairs = np.zeros(z.shape, bool)
        pairs[:m, :m] = ~np.eye(m, dtype=bool)
        room = np.abs(np.subtract.outer(self.eigenvalues, self.eigenvalues)).astype(np.float64) - 2 * self.shift
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(pairs & (z.full > 0), 2 * z.full / np.maximum(room, 0), 0.0)


@dataclass(frozen=True, eq=False)
class Moving:
    """The spectrum of a matrix that moves by `by`, as dual numbers; which `by` may be wrong by `off` in the Frobenius
    norm: that of x x^T is v x^T + x v^T where x moves by v, and it is taken of the moved x, e = d + 2 o |x| away, so
    off is 2 |v| e."""

    at: Spectrum
    by: Array
    off: float = 0.0

    def values(self, m: int) -> Array:
        """An eigenvalue moves by <w w^T, by>, w its eigenvector, of norm 1."""
        moves = [np.sum(self.at.projector(i, i + 1) * self.by, axis=(0, 1)) for i in range(m)]
        return Dual(self.at.values(m), wider(np.concatenate([np.expand_dims(move, 0) for move in moves]), self.off))

    def projector(self, i: int, j: int) -> Array:
        """The derivative P' of one is of norm 1 / (l_k - l_n) at most, where these are nearest."""
        move = self.at.derivative(self.by, j) - self.at.derivative(self.by, i)
        off = sum(over(self.off, self.at.room(m)) for m in (i, j)) if self.off else 0.0
        return Dual(self.at.projector(i, j), wider(move, off))

    def derivative(self, s: Array, m: int) -> Array:
        """The derivative of one moves by that in the direction in which s does, and by the second one."""
        given, moves = (s.value, s.tangent) if isinstance(s, Dual) else (s, None)
        second = self.at.second(given, self.by, m)
        if self.off:
            second = wider(second, over(2 * norm(given) * self.off, self.at.room(m) ** 2))
        return Dual(self.at.derivative(given, m), second if moves is None else self.at.derivative(moves, m) + second)

    def second(self, s: Array, e: Array, m: int) -> Array:
        raise GradparityError("no rule of dual numbers for the second derivative of a projector")

    def truncated(self, c: Array, m: int) -> Array:
        """Of singular values it moves by P'[v x^T + x v^T] x + P v, all of it taken of the moved x. What P' and P
        change is in their errors; the two x in each product, which are e away, change it by
        2 |v| e (2 |x| + e) / (l_k - l_n); and in P v vectors that are not quite orthonormal count twice."""
        one = self.at
        y = Dual(one.projector(0, m), one.derivative(self.by, m)) @ c
        if one.a is None or not one.singular:
            return y
        top = float(one.levels.max())
        e, v = one.d + 2 * one.o * top, norm(c.tangent)
        return Dual(
            one.truncated(c.value, m), wider(y.tangent, over(2 * v * e * (2 * top + e), one.room(m)) + 2 * one.o * v)
        )


AnySpectrum = Spectrum | Moving


def wider(x: Array, e: float) -> Array:
    """With so much more of an error at each element; plain numbers have none."""
    return Tracked(x.v, x.full + e, x.a) if isinstance(x, Tracked) else x


def over(e: float, room: float) -> float:
    return e / room if room else np.inf


def terms(p: Array, q: Array, r: Array) -> Array:
    """Those in which pairs on one side cancel, of p and q that are not negative, r for 1 / |l_i - l_j|."""
    products = [(x * r) @ (y * r) + r * ((x * r) @ y + x @ (y * r)) for x, y in ((p, q), (q, p))]
    return products[0] + products[1] + p * np.add.outer(np.diag(q), np.diag(q)) * r * r


def third(f: Array, x: Array, y: Array) -> float:
    """The Frobenius norm of sum_cd f_acdb (x_ac y_cd d_db + ...), of all six orders, for d of norm 1; at most."""
    orders = ("acdb,ac,cd->adb", "acdb,ac,db->acdb", "acdb,cd,db->acb")  # d last, between them, first
    return sum(frobenius(np.einsum(order, f, *pair)) for order in orders for pair in ((x, y), (y, x)))


def magnitude(x: Tracked) -> Array:
    """Of each element, at most."""
    return np.abs(x.v.astype(np.float64)) + x.full


def norm(x: Tracked) -> float:
    """The Frobenius norm, at most."""
    return frobenius(magnitude(x))


def frobenius(x: Array) -> float:
    return float(np.sqrt(np.sum(np.square(x))))


def jacobi(k: Array) -> tuple[Array, Array]:
    """Eigenvalues, falling, and eigenvectors of a symmetric matrix: plane rotations until it is diagonal (Golub & Van
    Loan, Matrix Computations (2013), section 8.5), in whatever format it is given, complex numbers of a complex step
    among them: the matrix is symmetric then, not Hermitian, and branches go by the real part."""
    a, v = np.array(k), np.eye(len(k), dtype=k.dtype)
    for _ in range(SWEEPS):
        for p in range(len(k)):
            for q in range(p + 1, len(k)):
                if is_done(a[p, p], a[q, q], a[p, q]):
                    continue
                c, s = rotation(a[q, q] - a[p, p], 2 * a[p, q])
                turn = np.array([[c, s], [-s, c]])
                a[:, [p, q]] = a[:, [p, q]] @ turn
                a[[p, q]] = turn.T @ a[[p, q]]
                v[:, [p, q]] = v[:, [p, q]] @ turn
    falling = np.argsort(-np.diagonal(a).real, kind="stable")
    return np.diagonal(a)[falling], v[:, falling]


def is_done(a: Any, b: Any, off: Any) -> bool:
    """Whether [[a, off], [off, b]] is diagonal to working precision (Demmel & Veselic, Jacobi's method is more accurate
    than QR (1992)); a complex step may still be on its way."""
    return bool(off.dtype.kind == "f" and abs(off) <= np.finfo(off.dtype).eps * np.sqrt(abs(a * b)))


def rotation(gap: Any, off: Any) -> tuple[Any, Any]:
    """Cosine and sine of the angle below 45 degrees that makes [[0, off / 2], [off / 2, gap]] diagonal:
    t = tan = off / (gap + sqrt(gap^2 + off^2)), the root with the sign of gap."""
    sign = np.where(gap.real < 0, -1, 1)
    denominator = sign * gap + np.sqrt(gap * gap + off * off)
    t = sign * off / denominator if denominator.real > 0 else 0 * off
    c = 1 / np.sqrt(t * t + 1)
    return c, t * c
