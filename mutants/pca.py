"""pca from its parts, any of which may be exchanged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gradparity.mutants.defects import NOTHING_EXCHANGED, arguments, by_dtype, instead, result
from gradparity.mutation import Mutant
from gradparity.op import Array, Arrays

OP = "pca"


def off_mean(x: Array) -> Array:
    return x - np.mean(x, axis=0)


def falling(k: Array) -> tuple[Array, Array]:
    values, vectors = np.linalg.eigh(k)
    return values[::-1], vectors[:, ::-1]


def directions(c: Array, values: Array, vectors: Array) -> Array:
    """w_i = c^T v_i / sqrt(l_i)."""
    return c.T @ vectors / np.sqrt(values)


def snapshot(
    centre: Callable[..., Array] = off_mean, decomposed: Callable[..., Any] = falling,
    chosen: Callable[[int], slice] = slice, directions: Callable[..., Array] = directions,
    back: Callable[..., Array] = lambda z, w: z @ w.T, mean: Callable[..., Any] = lambda x: np.mean(x, axis=0),
) -> Any:  # fmt: skip
    def fn(x: Array, components: int) -> tuple[Array, ...]:
        c = centre(x)
        values, vectors = decomposed(c @ c.T)
        values, vectors = values[chosen(components)], vectors[:, chosen(components)]
        w = directions(c, values, vectors)
        z = c @ w
        return mean(x) + back(z, w), values, np.einsum("ik,jk->kij", z, z)

    return fn


def gradient(
    weights: Callable[..., Array] = np.reciprocal, symmetric: bool = True, direct: bool = True, centred: bool = True,
    mean: bool = True, reach: int = 0,
) -> Any:  # fmt: skip
    """With other weights 1 / (l_i - l_j), or without some of its terms."""

    def vjp(g: Array, y: Array, x: Array, components: int) -> Arrays:
        c = off_mean(x)
        values, v = falling(c @ c.T)
        within = np.arange(len(x)) < components + reach
        across = within[:, None] & ~within
        gaps = np.where(across, values[:, None] - values, 1)
        h = g @ c.T
        s = v.T @ (h + (h.T if symmetric else 0)) @ v
        d = v @ np.where(across, s * weights(gaps), 0) @ v.T
        dc = (d + d.T) @ c + direct * (v[:, within] @ v[:, within].T @ g)
        dc = dc - centred * np.mean(dc, axis=0)
        return {"x": dc + mean * np.mean(g, axis=0)}

    return vjp


def in_float32(dtype: str) -> Any:
    """Decomposed one format lower."""
    lower = {"float64": np.float32, "float32": np.float16}.get(dtype, np.float16)

    def decomposed(k: Array) -> Any:
        top = np.max(np.abs(k))
        values, vectors = falling((k / top).astype(lower).astype(np.float32))
        return values.astype(k.dtype) * top, vectors.astype(k.dtype)

    return snapshot(decomposed=decomposed)


def value(name: str, at: str = "scale-1", check: str = "", reason: str = "fail/bound", **part: Any) -> Mutant:
    return Mutant(OP, name, instead(snapshot(**part)), at=at, check=check, reason=reason)


def vjp(name: str, at: str = "scale-1", **part: Any) -> Mutant:
    return Mutant(OP, name, vjp=instead(gradient(**part)), at=at)


def without_root(c: Array, values: Array, vectors: Array) -> Array:
    return c.T @ vectors / values


def rows_for_columns(k: Array) -> tuple[Array, Array]:
    values, vectors = falling(k)
    return values, vectors.T


MUTANTS: tuple[Mutant, ...] = (
    Mutant(OP, "from-parts", instead(snapshot()), instead(gradient()), survives={"*": NOTHING_EXCHANGED}),
    value("rows-for-columns", decomposed=rows_for_columns),
    value("divided-by-the-eigenvalue", directions=without_root),
    value("not-divided", directions=lambda c, values, vectors: c.T @ vectors),
    value("not-centred", at="offset-100", centre=lambda x: x),
    value("rows-centred", centre=lambda x: x - np.mean(x, axis=1, keepdims=True)),
    value("scaled-to-unit-variance", centre=lambda x: off_mean(x) / np.std(x, axis=0)),
    value("not-sorted", decomposed=np.linalg.eigh, check="value.eigenvalues"),
    value("first-component-dropped", chosen=lambda k: slice(1, k + 1)),
    value("one-component-less", chosen=lambda k: slice(max(k - 1, 1)), at="components-3", check="value.eigenvalues",
          reason="fail/shape"),
    value("null-component-kept", chosen=lambda k: slice(k + 1), at="components-3", check="value.eigenvalues",
          reason="fail/shape"),
    value("variances-for-eigenvalues", check="value.eigenvalues",
          decomposed=lambda k: (falling(k)[0] / k.dtype.type(len(k) - 1), falling(k)[1])),
    value("singular-values-for-eigenvalues", check="value.eigenvalues", at="scale-10",
          decomposed=lambda k: (np.sqrt(np.abs(falling(k)[0])), falling(k)[1])),
    value("mean-not-added-back", at="offset-100", mean=lambda x: 0),
    value("mean-of-everything", at="offset-100", mean=np.mean),
    value("one-sign-wrong", back=lambda z, w: z @ (w * np.where(np.arange(w.shape[1]) == 0, -1, 1)).T),
    Mutant(OP, "decomposed-one-format-lower", by_dtype(in_float32), at="scale-1", check="value.projections"),
    Mutant(OP, "projections-in-reverse-order", at="scale-1", check="value.projections", value=instead(
        lambda x, components: (*snapshot()(x, components)[:2], snapshot()(x, components)[2][:, ::-1]))),
    Mutant(OP, "columns-dropped", arguments(lambda kw: {"x": np.where(np.arange(kw["x"].shape[1]) < 1, 0, kw["x"])}),
           at="scale-1"),
    vjp("gradient-through-eigenvectors-only", direct=False),
    vjp("eigenvectors-detached", weights=lambda gaps: 0 * gaps),
    vjp("gap-not-divided-by", at="scale-10", weights=np.ones_like),
    vjp("gap-squared", at="scale-10", weights=lambda gaps: 1 / gaps**2),
    vjp("gap-of-the-wrong-sign", weights=lambda gaps: -1 / gaps),
    vjp("gap-regularised", at="gap-eighth", weights=lambda gaps: gaps / (gaps * gaps + 1)),
    vjp("not-symmetrised", symmetric=False),
    vjp("gradient-not-centred", centred=False),
    vjp("mean-detached", mean=False),
    vjp("gradient-of-one-component-more", at="components-1", reach=1),
    Mutant(OP, "gradient-of-the-next-column", vjp=result(lambda dx, kw: np.roll(dx, 1, axis=1)), at="scale-1"),
)  # fmt: skip
