"""The ragged centroid loss: how far the members of each class lie from their own mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from gradparity.arithmetic import mean
from gradparity.cases import Draw, coarse, in_layouts
from gradparity.op import Array, Arrays, Case, Invariant, Op, Road
from gradparity.reference.invariants import nonnegative, turned
from gradparity.reference.segments import PrefixSegments, Segments


def ragged_centroid(
    x: Array, t: Array, delta: float, over_classes: str = "sum", reduction: str = "none"
) -> tuple[Array, Array]:
    """For each class k present in an item: c_k the mean of its members, r_i = ||x_i - c_k||_2,
    h_i = max(r_i - delta, 0), loss_k the mean of h_i^2 over its members; an item's loss is the sum, or the mean, over
    its classes.

    x: [B, N, d], N >= 1, t: [B, N] integers >= 0, another set of classes in each item, delta >= 0
    -> (losses [B], or their mean; centroids [B, N, d], that of each member's own class).
    A class without members contributes nothing. Work and memory grow with B N d, not with the number of classes.
    Source: the discriminative loss of De Brabandere, Neven & Van Gool (2017), eq. (1), its variance term, which has
    the mean over the classes.
    """
    return loss_and_centroids(*ragged(t), x, delta, over_classes, reduction)


def by_cumulative_sums(
    x: Array, t: Array, delta: float, over_classes: str = "sum", reduction: str = "none"
) -> tuple[Array, Array]:
    """The road of those who sort the members and take differences of cumulative sums: an error that grows with all
    that was summed before a class, and not with the class."""
    return loss_and_centroids(*sorted_by_class(t), x, delta, over_classes, reduction)


def loss_and_centroids(
    members: Segments, classes: Segments, x: Array, delta: Array, over_classes: str, reduction: str
) -> tuple[Array, Array]:
    c, _, _, h = spokes(np.reshape(x, (-1, x.shape[-1])), members, delta)
    combine = classes.sum if over_classes == "sum" else classes.mean
    item = combine(members.mean(np.square(h)))
    return item if reduction == "none" else mean(item), np.reshape(members.spread(c), x.shape)


def ragged_centroid_vjp(
    g: Array, y: Array, x: Array, t: Array, delta: float, over_classes: str = "sum", reduction: str = "none"
) -> Arrays:
    """d loss_k / d x_i = 2/n_k (w_i - mean of w over k), w = h (x - c) / r, and 0 where r = 0.

    h <= r, so h / r stays in [0, 1] however r was rounded.
    """
    members, classes = ragged(t)
    w = pulls(np.reshape(x, (-1, x.shape[-1])), members, delta)
    scale = 2 * members.spread(to_classes(g, classes, over_classes, reduction))
    pull = (w - members.spread(members.mean(w))) / members.size_of_own[:, None]
    return {"x": np.reshape(np.expand_dims(scale, -1) * pull, x.shape)}


def vjp_by_cumulative_sums(
    g: Array, y: Array, x: Array, t: Array, delta: float, over_classes: str = "sum", reduction: str = "none"
) -> Arrays:
    """The same as differentiating the cumulative sums gives it: what a class is due comes back as a difference of
    what is summed from the other end."""
    members, classes = sorted_by_class(t)
    w = pulls(np.reshape(x, (-1, x.shape[-1])), members, delta)
    due = members.spread_by_differences(to_classes(g, classes, over_classes, reduction) / members.sizes)
    pull = np.expand_dims(2 * due, -1) * w
    of_centroid = Segments.sum(members, pull / members.size_of_own[:, None])
    return {"x": np.reshape(pull - members.spread_by_differences(of_centroid), x.shape)}


def to_classes(g: Array, classes: Segments, over_classes: str, reduction: str) -> Array:
    """The cotangent of each class's loss."""
    items = len(classes.sizes)
    of_item = g if reduction == "none" else np.broadcast_to(g / items, items)
    return classes.spread(of_item if over_classes == "sum" else of_item / classes.sizes)


def pulls(x: Array, members: Segments, delta: Array) -> Array:
    """w = h (x - c) / r of each member."""
    _, d, r, h = spokes(x, members, delta)
    return np.expand_dims(np.clip(h / np.where(r > 0, r, 1), 0, 1), -1) * d


def spokes(x: Array, members: Segments, delta: Array) -> tuple[Array, Array, Array, Array]:
    """Centroids, differences from them, distances, and what of these exceeds delta."""
    c = members.mean(x)
    d = x - members.spread(c)
    r = np.sqrt(np.sum(np.square(d), axis=-1))
    return c, d, r, np.maximum(r - delta, 0)


def ragged(t: Array) -> tuple[Segments, Segments]:
    """Points by (item, class), and these classes by item."""
    b = len(t)
    span = int(t.max(initial=0)) + 1
    key = (np.arange(b)[:, None] * span + t).ravel()
    present = np.unique(key)
    return Segments(np.searchsorted(present, key)), Segments(present // span, b)


def sorted_by_class(t: Array) -> tuple[PrefixSegments, Segments]:
    """The same, to be summed by cumulative sums."""
    members, classes = ragged(t)
    return PrefixSegments(members.ids, len(t), classes.ids), classes


def points(items: int, count: int, dim: int, classes: int, scale: float = 1.0, shift: float = 0.0) -> Any:
    """Random points with random labels: some classes are missing from some items."""

    def arrays(draw: Draw) -> Arrays:
        x = draw.normal("x", (items, count, dim), scale, shift)
        return {"x": x, "t": draw.integers("t", (items, count), classes)}

    return arrays


def coarse_points(draw: Draw) -> Arrays:
    return {"x": coarse(draw, 3, 20, 3), "t": draw.integers("t", (3, 20), 4)}


def singletons(draw: Draw) -> Arrays:
    """Each member is its own class."""
    return {"x": draw.normal("x", (3, 20, 3)), "t": np.tile(np.arange(20), (3, 1))}


def coincident(shift: float) -> Any:
    """Classes whose members all sit on one point."""

    def arrays(draw: Draw) -> Arrays:
        x = np.repeat(draw.normal("x", (3, 5, 3), 1.0, shift), 4, axis=1)
        return {"x": x, "t": np.repeat(np.tile(np.arange(5), (3, 1)), 4, axis=1)}

    return arrays


def gaps(draw: Draw) -> Arrays:
    """Labels 0, 1000 and 999,999: what lies between them must cost nothing."""
    return {"x": draw.normal("x", (3, 20, 3)), "t": np.array([0, 1000, 999_999])[draw.integers("t", (3, 20), 3)]}


def case(
    name: str, make: Any, delta: float = 0.5, over_classes: str = "sum", reduction: str = "none",
) -> Case:  # fmt: skip
    params = {"delta": delta, "over_classes": over_classes, "reduction": reduction}
    return Case(name, make, params)


def per_item(params: Mapping[str, Any]) -> int | None:
    return 0 if params["reduction"] == "none" else None


# Most cases have one shape, and the two large stacks as many items: a framework compiles for each new shape.
CASES = (
    case("random", points(3, 20, 3, 4)),
    case("coarse", coarse_points),
    case("coarse-delta-0", coarse_points, delta=0.0),
    case("offset-100", points(3, 20, 3, 4, 1.0, 100.0)),
    case("scale-30", points(3, 20, 3, 4, 30.0)),
    case("singletons", singletons),
    case("coincident", coincident(0.0)),
    case("missing-classes", points(3, 20, 3, 60)),
    case("gaps", gaps),
    case("one-class", points(3, 20, 3, 1)),
    case("delta-0", points(3, 20, 3, 4), delta=0.0),
    case("scale-0.001", points(3, 20, 3, 4, 0.001), delta=0.0),
    case("singletons-delta-0", singletons, delta=0.0),
    case("coincident-delta-0", coincident(0.0), delta=0.0),
    case("coincident-offset-100", coincident(100.0), delta=0.0),
    case("missing-classes-delta-0", points(3, 20, 3, 60), delta=0.0),
    case("gaps-delta-0", gaps, delta=0.0),
    case("one-class-delta-0", points(3, 20, 3, 1), delta=0.0),
    case("delta-0.1", points(3, 20, 3, 4), delta=0.1),
    case("within-delta", points(3, 20, 3, 4), delta=100.0),
    case("random-mean", points(3, 20, 3, 4), reduction="mean"),
    *(
        case(f"class-mean-{name}", make, over_classes="mean")
        for name, make in (
            ("random", points(3, 20, 3, 4)),
            ("coarse", coarse_points),
            ("missing-classes", points(3, 20, 3, 60)),
            ("gaps", gaps),
            ("one-class", points(3, 20, 3, 1)),
            ("singletons", singletons),
        )
    ),
    case("class-mean-random-mean", points(3, 20, 3, 4), over_classes="mean", reduction="mean"),
    *in_layouts(case("contiguous", points(3, 20, 3, 4))),
    case("one-point", points(1, 1, 3, 1)),
    case("two-points", points(1, 2, 3, 1), delta=0.0),
    case("one-dimension", points(2, 16, 1, 3)),
    case("no-items", points(0, 4, 3, 2)),
    case("no-items-mean", points(0, 4, 3, 2), reduction="mean"),
    case("many-items", points(1000, 8, 3, 2)),
    case("b32-n1000-d50-k25", points(32, 1000, 50, 25), reduction="mean"),
)


def permutation(f: Any, x: Array, t: Array, **params: Any) -> Array:
    """Items, points and coordinates in reverse order, and the classes under other names."""
    return turned(f(x=turned(x), t=t.max() - turned(t), **params)[0]) - f(x=x, t=t, **params)[0]


def translation(f: Any, x: Array, t: Array, **params: Any) -> Array:
    """f(x + c) = f(x)."""
    return f(x=x + 16, t=t, **params)[0] - f(x=x, t=t, **params)[0]


def sum_over_own_class(x: Array, t: Array) -> Array:
    members, _ = ragged(t)
    return np.reshape(members.spread(members.sum(np.reshape(x, (-1, x.shape[-1])))), x.shape)


def centroids_balance(f: Any, x: Array, t: Array, **params: Any) -> Array:
    """The members' differences from their centroid sum to 0."""
    return sum_over_own_class(x - f(x=x, t=t, **params)[1], t)


def mean_of_items(f: Any, x: Array, t: Array, reduction: str, **params: Any) -> Array:
    """sum / count."""
    item = f(x=x, t=t, reduction="none", **params)[0]
    return f(x=x, t=t, reduction=reduction, **params)[0] - np.sum(item, axis=0) / len(item)


def mean_of_classes(f: Any, x: Array, t: Array, over_classes: str, **params: Any) -> Array:
    """sum / count, of the classes that are present."""
    _, classes = ragged(t)
    total = f(x=x, t=t, over_classes="sum", **params)[0]
    return f(x=x, t=t, over_classes=over_classes, **params)[0] - total / classes.sizes


def gradient_balances(f: Any, g: Array, x: Array, t: Array, **params: Any) -> Array:
    """A class that is translated costs the same: its members' gradients sum to 0."""
    return sum_over_own_class(f.vjp(g, x=x, t=t, **params)["x"], t)


def homogeneous(f: Any, g: Array, x: Array, t: Array, **params: Any) -> Array:
    """Euler: where delta is 0, f(s x) = s^2 f(x), so <x, f'(x)> = 2 f(x)."""
    return np.sum(x * f.vjp(g, x=x, t=t, **params)["x"], axis=(1, 2)) - 2 * g * f(x=x, t=t, **params)[0]


# Where invariants are looked at.
ONE_SHAPE = ("random", "coarse", "singletons", "gaps")
INVARIANTS = (
    Invariant("nonnegative", nonnegative, ONE_SHAPE, exact=True),
    Invariant("permutation", permutation, ONE_SHAPE),
    Invariant("translation", translation, ("coarse",)),
    Invariant("centroids-balance", centroids_balance, ONE_SHAPE),
    Invariant("mean-of-items", mean_of_items, ("random-mean", "class-mean-random-mean")),
    Invariant("mean-of-classes", mean_of_classes, ("class-mean-random", "class-mean-missing-classes")),
    Invariant("gradient-balances", gradient_balances, ONE_SHAPE, "vjp"),
    Invariant("homogeneous", homogeneous, ("coarse-delta-0",), "vjp"),
)

OP = Op(
    "ragged_centroid", ragged_centroid, ragged_centroid_vjp, CASES,
    outputs=("", "centroids"), roads={"cumulative-sums": Road(by_cumulative_sums, vjp_by_cumulative_sums)},
    batch_axis=per_item, invariants=INVARIANTS, counted="many-items",
    smooth=("random", "random-mean", "class-mean-gaps", "singletons", "transposed"),
)  # fmt: skip
