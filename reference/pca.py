"""Principal component analysis: what is left of data in so many directions, by three methods."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gradparity.arithmetic import mean
from gradparity.cases import Draw, coarse, in_layouts
from gradparity.op import FORMATS, Array, Arrays, Case, Invariant, Op, Road
from gradparity.reference.invariants import turned
from gradparity.spectral import AnySpectrum, eigh, svd


def pca(x: Array, components: int) -> tuple[Array, Array, Array]:
    """The snapshot method: c = x - m, m the mean of the rows; the eigenvalues l_1 >= l_2 >= ... of c c^T, which are
    N - 1 times the variances, and its eigenvectors v_i.

    x: [N, M], N <= M, components <= N - 1, beyond which l = 0
    -> reconstruction m + sum_i v_i v_i^T c: [N, M], which is differentiated; eigenvalues l_i: [components];
       projections z_i z_i^T: [components, N, N], where z_i = sqrt(l_i) v_i = c w_i are the coordinates along the i-th
       component w_i = c^T v_i / sqrt(l_i). z_i has no sign, and two of them are equal up to it if these are equal.
    Where l_components and the next are one number, no reconstruction is defined; what they are apart divides the bound.
    Source: Sirovich, Turbulence and the dynamics of coherent structures (1987), part I, section 4.
    """
    m, c = centred(x)
    return parts(m, c, eigh(c @ transposed(c)), components)


def by_svd(x: Array, components: int) -> tuple[Array, Array, Array]:
    """From c = u s w^T: l = s^2, v = u. Nothing is squared before it is decomposed."""
    m, c = centred(x)
    return parts(m, c, svd(c), components)


def by_covariance(x: Array, components: int) -> tuple[Array, Array, Array]:
    """From the M x M matrix c^T c, of the same eigenvalues, with the components w_i for eigenvectors."""
    m, c = centred(x)
    s = eigh(transposed(c) @ c)
    squares = [c @ s.projector(i, i + 1) @ transposed(c) for i in range(components)]
    return m + c @ s.projector(0, components), s.values(components), stacked(squares)


def parts(m: Array, c: Array, s: AnySpectrum, components: int) -> tuple[Array, Array, Array]:
    values = s.values(components)
    squares = [values[i] * s.projector(i, i + 1) for i in range(components)]
    return m + s.truncated(c, components), values, stacked(squares)


def centred(x: Array) -> tuple[Array, Array]:
    """The mean of the rows, and what they differ from it by."""
    m = mean(x)
    return m, x - m


def transposed(x: Array) -> Array:
    return np.moveaxis(x, 0, 1)


def stacked(squares: list[Array]) -> Array:
    return np.concatenate([np.expand_dims(square, 0) for square in squares])


def pca_vjp(g: Array, y: Array, x: Array, components: int) -> Arrays:
    """dc = P'(k)[s] c + P g for s = g c^T + c g^T, k = c c^T, P its projector: the adjoint of dP is P' itself. m takes
    its part of the cotangent, c all of it but its mean."""
    _, c = centred(x)
    s = eigh(c @ transposed(c))
    h = g @ transposed(c)
    dc = s.derivative(h + transposed(h), components) @ c + s.projector(0, components) @ g
    return {"x": dc - mean(dc) + mean(g)}


def by_covariance_vjp(g: Array, y: Array, x: Array, components: int) -> Arrays:
    """The same of c^T: dc = c Q'(c^T c)[c^T g + g^T c] + g Q."""
    _, c = centred(x)
    s = eigh(transposed(c) @ c)
    h = transposed(c) @ g
    dc = c @ s.derivative(h + transposed(h), components) + g @ s.projector(0, components)
    return {"x": dc - mean(dc) + mean(g)}


def random(rows: int = 4, columns: int = 6, scale: float = 1.0, shift: float = 0.0) -> Callable[[Draw], Array]:
    return lambda draw: draw.normal("x", (rows, columns), scale, shift)


def graded(draw: Draw) -> Array:
    """Columns of sizes from 1 to 1/32."""
    return draw.quantised(random()(draw).astype(np.float64) * 2.0 ** -np.arange(6))


ROWS = np.array([[1, 1, 1], [-1, 1, -1], [1, -1, -1], [-1, -1, 1]])  # columns orthogonal to one another and to ones
COLUMNS = np.array([[1, 1, 1, 1, 1, 1, 1, 1], [1, -1, 1, -1, 1, -1, 1, -1], [1, 1, -1, -1, 1, 1, -1, -1]])


def of_singular_values(*s: float) -> Callable[[Draw], Array]:
    """Data whose eigenvalues are 32 s^2, sums of products of signs."""
    return lambda draw: draw.quantised((ROWS * s) @ COLUMNS + 1)


def close_pair(first: float, gap: float, last: float) -> Callable[[Draw], Array]:
    """Two singular values, 1 and 1 + gap, with another above or below; a gap of 0 stands for the root of u."""

    def arrays(draw: Draw) -> Array:
        step = gap or 2.0 ** -(FORMATS[draw.dtype].bits // 2)
        values = sorted({first, last} - {0.0} | {1 + step, 1.0}, reverse=True)
        return of_singular_values(*values)(draw)

    return arrays


def at_the_end(sign: int) -> Callable[[Draw], Array]:
    """Data whose eigenvalues, which are like its squares, are nearly the largest or the smallest of the dtype; in
    float64 like 2^480, since bounds square them in turn."""

    def arrays(draw: Draw) -> Array:
        k = min(FORMATS[draw.dtype].emax // 2 - 4, 240)
        return draw.quantised(random()(draw).astype(np.float64) * 2.0 ** (sign * k))

    return arrays


# From a thread in which somebody compared the snapshot method with scikit-learn.
THREAD = [
    [0.387, 123, 789, 256, 4878, 5.42], [0.723, 9.78, 1.90, 1234, 12104, 5.25],
    [1, 123, 67.98, 7.91, 12756, 5.52], [1.524, 1.34, 23.456, 1.23, 6787, 3.94],
]  # fmt: skip


def thread(draw: Draw) -> Array:
    """In float16, whose largest number its eigenvalues exceed, a 64th of it."""
    return draw.quantised(np.array(THREAD) / (64 if draw.dtype == "float16" else 1))


def case(name: str, make: Callable[[Draw], Array], components: int = 2) -> Case:
    return Case(name, lambda draw: {"x": make(draw)}, {"components": components})


CASES = (
    *(case(f"scale-{s:g}", random(scale=s)) for s in (0.1, 1, 10)),
    *(case(f"components-{k}", random(), k) for k in (1, 3)),
    case("coarse", lambda draw: coarse(draw, 4, 6)),
    case("coarse-components-3", lambda draw: coarse(draw, 4, 6), 3),
    case("offset-100", random(scale=10.0, shift=100.0)),
    case("graded", graded),
    case("columns-50", random(columns=50)),
    case("rows-3", random(3, 5), 1),
    case("rows-8", random(8, 12), 3),
    case("thread", thread, 3),
    case("gap-half", close_pair(1.5, 0.5, 0.5)),
    case("gap-eighth", close_pair(1.5, 0.125, 0.0)),
    case("gap-root-of-u", close_pair(1.5, 0.0, 0.0)),
    case("pair-within", close_pair(0.0, 0.0, 0.5)),
    *in_layouts(case("contiguous", random(scale=2.0))),
)
# Of which the reference, in a wider format, is sound and its own rotations, in that dtype, are not: they square.
AT_THE_ENDS = tuple(case(f"{name}-eigenvalues", at_the_end(sign)) for name, sign in (("largest", 1), ("smallest", -1)))

# Where invariants are looked at.
FINITE = ("scale-1", "scale-10", "coarse", "columns-50")


def translation(f: Any, x: Array, components: int) -> Array:
    """f(x + a) = f(x) + a."""
    return f(x=x + 16, components=components)[0] - 16 - f(x=x, components=components)[0]


def order(f: Any, x: Array, components: int) -> Array:
    """That of rows and columns does not matter."""
    return turned(f(x=turned(x), components=components)[0]) - f(x=x, components=components)[0]


def mean_is_kept(f: Any, x: Array, components: int) -> Array:
    return np.sum(f(x=x, components=components)[0] - x, axis=0)


def everything_is_left(f: Any, x: Array, components: int) -> Array:
    """N - 1 components are all there is."""
    return f(x=x, components=components)[0] - x


def projections_sum_to_zero(f: Any, x: Array, components: int) -> Array:
    """Coordinates of centred data do, along each component."""
    return np.sum(f(x=x, components=components)[2], axis=2)


def eigenvalue_is_square(f: Any, x: Array, components: int) -> Array:
    """Of the coordinates along its component."""
    _, values, squares = f(x=x, components=components)
    return np.sum(squares * np.eye(len(x), dtype=np.int64), axis=(1, 2)) - values


def gradient_of_translation(f: Any, g: Array, x: Array, components: int) -> Array:
    """f(x + a) = f(x) + a, so over the rows the gradients sum to the cotangents."""
    return np.sum(f.vjp(g, x=x, components=components)["x"] - g, axis=0)


def euler(f: Any, g: Array, x: Array, components: int) -> Array:
    """f(s x) = s f(x), so <x, f'(x) g> = <g, f(x)>."""
    dx = f.vjp(g, x=x, components=components)["x"]
    return np.sum(x * dx - g * f(x=x, components=components)[0], axis=(0, 1))


INVARIANTS = (
    Invariant("translation", translation, ("coarse",)),
    Invariant("order", order, FINITE),
    Invariant("mean-is-kept", mean_is_kept, FINITE),
    Invariant("everything-is-left", everything_is_left, ("components-3", "coarse-components-3")),
    Invariant("projections-sum-to-zero", projections_sum_to_zero, FINITE),
    Invariant("eigenvalue-is-square", eigenvalue_is_square, FINITE),
    Invariant("gradient-of-translation", gradient_of_translation, FINITE, "vjp"),
    Invariant("euler", euler, FINITE, "vjp"),
)

OP = Op(
    "pca", pca, pca_vjp, CASES, outputs=("", "eigenvalues", "projections"),
    roads={"svd": Road(by_svd), "covariance": Road(by_covariance, by_covariance_vjp)},
    batch_axis=lambda params: None, invariants=INVARIANTS, edge_cases=AT_THE_ENDS,
    smooth=("scale-1", "scale-10", "rows-8", "transposed"),
)  # fmt: skip
