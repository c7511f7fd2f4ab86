"""The ragged centroid loss from its parts, any of which may be exchanged."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradparity.adapter import Fn
from gradparity.mutants.defects import LOWER_SUM, NOTHING_EXCHANGED, arguments, by_dtype, instead
from gradparity.mutation import Mutant
from gradparity.op import Array, Arrays


def centre(p: Array) -> Array:
    return p.mean(axis=0)


def distance(d: Array) -> Array:
    return np.sqrt(np.square(d).sum(axis=1))


def excess(r: Array, delta: float) -> Array:
    return np.maximum(r - delta, 0)


def centroid_loss(
    centre: Fn = centre, distance: Fn = distance, excess: Fn = excess, average: Fn = np.mean, total: Fn = np.sum,
    mean: Fn = np.mean, items: Fn = np.mean,
) -> Fn:  # fmt: skip
    def fn(x: Array, t: Array, delta: float, over_classes: str, reduction: str) -> tuple[Array, Array]:
        losses, centroids = np.zeros(len(x), x.dtype), np.zeros_like(x)
        for b in range(len(x)):
            terms = []
            for own in (t[b] == k for k in np.unique(t[b])):
                c = centroids[b, own] = np.broadcast_to(centre(x[b, own]), x[b, own].shape)
                h = excess(distance(x[b, own] - c), delta)
                terms.append(average(h * h))
            losses[b] = (total if over_classes == "sum" else mean)(terms)
        return losses if reduction == "none" else items(losses), centroids

    return fn


def unit_vectors(d: Array, r: Array) -> Array:
    return d / np.where(r > 0, r, 1)


def centroid_vjp(
    centre: Fn = centre, distance: Fn = distance, direction: Fn = unit_vectors, excess: Fn = excess,
    recentred: bool = True, factor: Fn = lambda n: 2 / n, items: Fn = len,
    classes: Fn = lambda t, row: len(np.unique(row)),
) -> Fn:  # fmt: skip
    def vjp(g: Array, y: Array, x: Array, t: Array, delta: float, over_classes: str, reduction: str) -> Arrays:
        dx = np.zeros_like(x)
        for b in range(len(x)):
            share = x.dtype.type(classes(t, t[b]) if over_classes == "mean" else 1)
            for own in (t[b] == k for k in np.unique(t[b])):
                d = x[b, own] - centre(x[b, own])
                r = distance(d)[:, None]
                w = excess(r, delta) * direction(d, r)
                scale = (g[b] if reduction == "none" else g / x.dtype.type(items(x))) / share
                dx[b, own] = scale * x.dtype.type(factor(own.sum())) * (w - recentred * centre(w))
        return {"x": dx}

    return vjp


# --- wrong parts


def lower(dtype: str) -> tuple[Fn, Fn]:
    """Centre and distance, sums of points and of squares accumulated one format lower, term by term."""

    def total(x: Array, axis: int) -> Array:
        return np.take(np.add.accumulate(x.astype(LOWER_SUM[dtype]), axis=axis), -1, axis).astype(x.dtype)

    def centre(p: Array) -> Array:
        return total(p, 0) / p.dtype.type(len(p))

    def distance(d: Array) -> Array:
        return np.sqrt(total(np.square(d), 1))

    return centre, distance


def over_n_minus_1(h2: Array) -> Any:
    return h2.sum() / h2.dtype.type(max(len(h2) - 1, 1))


def centre_over_n_minus_1(p: Array) -> Array:
    return p.sum(axis=0) / p.dtype.type(max(len(p) - 1, 1))


def median(p: Array) -> Array:
    return np.median(p, axis=0)


def without_delta(r: Array, delta: float) -> Array:
    return r


def uncut(r: Array, delta: float) -> Array:
    return r - delta


def other_side(r: Array, delta: float) -> Array:
    return np.maximum(delta - r, 0)


def squared_distance(d: Array) -> Array:
    return np.square(d).sum(axis=1)


def manhattan(d: Array) -> Array:
    return np.abs(d).sum(axis=1)


def far_and_back(d: Array) -> Array:
    """As the distance from an expanded square loses what is small beside the points themselves."""
    return distance(d + 100) - 100


def all_but_the_last(terms: list[Any]) -> Any:
    return np.sum(terms[:-1])


def over_all_labels(t: Array, row: Array) -> Any:
    """The classes that are missing from an item counted too."""
    return t.max() + 1


def merged(kw: Arrays) -> Arrays:
    """Two and two classes made one."""
    return {"t": kw["t"] // 2}


def one_class(kw: Arrays) -> Arrays:
    return {"t": 0 * kw["t"]}


def items_merged(x: Array, t: Array, delta: float, over_classes: str, reduction: str) -> Any:
    """A label means one class in all items."""
    loss, c = centroid_loss()(x.reshape(1, -1, x.shape[-1]), t.reshape(1, -1), delta, over_classes, "none")
    return (np.broadcast_to(loss, len(x)).copy() if reduction == "none" else loss[0]), c.reshape(x.shape)


def neighbours_centroid(x: Array, t: Array, delta: float, over_classes: str, reduction: str) -> Any:
    loss, c = centroid_loss()(x, t, delta, over_classes, reduction)
    return loss, np.roll(c, 1, axis=1)


def mutant(name: str, value: Fn | None = None, vjp: Fn | None = None, at: str = "random", **more: Any) -> Mutant:
    return Mutant("ragged_centroid", name, value and instead(value), vjp and instead(vjp), at, **more)


MUTANTS: tuple[Mutant, ...] = (
    mutant("from-parts", centroid_loss(), centroid_vjp(), survives={"*": NOTHING_EXCHANGED}),
    Mutant("ragged_centroid", "accumulated-one-format-lower", by_dtype(lambda dtype: centroid_loss(*lower(dtype))),
           by_dtype(lambda dtype: centroid_vjp(*lower(dtype))), "offset-100"),
    mutant("delta-forgotten", centroid_loss(excess=without_delta), centroid_vjp(excess=without_delta)),
    mutant("not-cut-at-delta", centroid_loss(excess=uncut), centroid_vjp(excess=uncut), "within-delta"),
    mutant("other-side-of-delta", centroid_loss(excess=other_side), centroid_vjp(excess=other_side)),
    mutant("distance-squared", centroid_loss(distance=squared_distance), centroid_vjp(distance=squared_distance)),
    mutant("l1-distance", centroid_loss(distance=manhattan), centroid_vjp(distance=manhattan)),
    mutant("distance-cancelled", centroid_loss(distance=far_and_back), centroid_vjp(distance=far_and_back)),
    mutant("sum-over-members", centroid_loss(average=np.sum), centroid_vjp(factor=lambda n: 2)),
    mutant("members-n-minus-1", centroid_loss(average=over_n_minus_1),
           centroid_vjp(factor=lambda n: 2 / max(n - 1, 1))),
    mutant("classes-averaged", centroid_loss(total=np.mean)),
    mutant("classes-summed", centroid_loss(mean=np.sum), centroid_vjp(classes=lambda t, row: 1), "class-mean-random"),
    mutant("classes-of-all-items", vjp=centroid_vjp(classes=lambda t, row: len(np.unique(t))),
           at="class-mean-missing-classes"),
    mutant("missing-classes-counted", vjp=centroid_vjp(classes=over_all_labels), at="class-mean-gaps"),
    mutant("last-class-dropped", centroid_loss(total=all_but_the_last)),
    mutant("items-summed", centroid_loss(items=np.sum), centroid_vjp(items=lambda x: 1), "random-mean"),
    mutant("no-items-is-zero", centroid_loss(items=lambda y: np.mean(y) if len(y) else y.sum()), at="no-items-mean",
           reason="fail/nonfinite"),
    mutant("items-merged", items_merged, at="delta-0"),
    mutant("centroid-is-the-median", centroid_loss(centre=median), centroid_vjp(centre=median)),
    mutant("centroid-n-minus-1", centroid_loss(centre=centre_over_n_minus_1),
           centroid_vjp(centre=centre_over_n_minus_1)),
    mutant("centroids-of-the-neighbour", neighbours_centroid, check="value.centroids"),
    mutant("centroids-missing", lambda **kw: centroid_loss()(**kw)[0], reason="fail/missing",
           check="value.centroids"),
    mutant("centroid-detached", vjp=centroid_vjp(recentred=False)),
    mutant("not-a-unit-vector", vjp=centroid_vjp(direction=lambda d, r: d)),
    mutant("factor-2-forgotten", vjp=centroid_vjp(factor=lambda n: 1 / n)),
    mutant("nan-at-the-centroid", vjp=centroid_vjp(direction=lambda d, r: d / r), at="singletons",
           reason="fail/nonfinite"),
    *(
        Mutant("ragged_centroid", name, arguments(change), arguments(change), "random")
        for name, change in (("labels-ignored", one_class), ("classes-merged", merged))
    ),
)  # fmt: skip
