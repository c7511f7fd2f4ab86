"""The multilabel margin loss: every class that a row lists against every class that it does not."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradparity.cases import LOGITS, Draw, in_layouts, logits
from gradparity.op import FORMATS, Array, Arrays, Case, Invariant, Op
from gradparity.reference.cross_entropy import reduction_of_rows, rows_apart
from gradparity.reference.hinge import KINK, NAN_MARGIN, slope
from gradparity.reference.invariants import gradient_sums_to_zero, nonnegative, shift, turned
from gradparity.reference.multiclass_hinge import many, no_loss_no_gradient, two_coarse
from gradparity.reference.reduction import DIVISOR, divided, reduced, spread_back


def multilabel_margin(
    x: Array, t: Array, reduction: str = "none", kink: float = 0.0, nan_margin: float = 0.0, divisor: str = "one"
) -> Array:  # fmt: skip
    """loss_i = sum_{j listed, k not} max(0, 1 - x_ij + x_ik), divided by C where `divisor` says so.  x: [N, C] scores,
    t: [N, C] in -1..C-1, a row lists its classes, each once, and -1 ends the list -> loss: [N], or its sum or mean.

    kink, nan_margin: the derivative of max(0, z) at z = 0 and at z = NaN.
    Source: Elisseeff & Weston, A kernel method for multi-labelled classification (2001), section 4, as a hinge.
    """
    h = np.where(pairs(t, x.shape[-1]), np.maximum(margins(x), 0), 0.0)
    return reduced(divided(np.sum(h, axis=(-2, -1)), x.shape[-1], divisor), reduction)


def margins(x: Array) -> Array:
    """[N, C, C]: z_ijk = 1 - x_ij + x_ik."""
    return np.expand_dims(1 - x, -1) + np.expand_dims(x, -2)


def listed(t: Array, classes: int) -> Array:
    """[N, C]: the classes that a row lists."""
    within = np.cumsum(t < 0, axis=-1) == 0
    return np.any(within[..., None] & (t[..., None] == np.arange(classes)), axis=-2)


def pairs(t: Array, classes: int) -> Array:
    """[N, C, C]: j is listed and k is not."""
    own = listed(t, classes)
    return own[:, :, None] & ~own[:, None, :]


def multilabel_margin_vjp(
    g: Array, y: Array, x: Array, t: Array, reduction: str = "none", kink: float = 0.0, nan_margin: float = 0.0,
    divisor: str = "one",
) -> Arrays:  # fmt: skip
    """-1 for what is listed and 1 for what is not, in every pair whose margin is too small."""
    c = divided(spread_back(g, reduction, len(t)), x.shape[-1], divisor)
    steep = np.where(pairs(t, x.shape[-1]), slope(margins(x), kink, nan_margin), 0.0)
    pull = np.expand_dims(np.expand_dims(c, -1), -1) * steep
    return {"x": np.where(listed(t, x.shape[-1]), -np.sum(pull, axis=-1), np.sum(pull, axis=-2))}


def lists(draw: Draw, rows: int, classes: int, longest: int) -> Array:
    """Up to `longest` classes of each row in any order, then -1, then classes that do not count."""
    order = np.argsort(draw.integers("order", (rows, classes), 2**30), axis=-1, kind="stable")
    length = draw.integers("length", (rows, 1), longest + 1)
    return np.where(np.arange(classes) == length, -1, order)


def listing(make: Any, longest: int = 4) -> Any:
    def arrays(draw: Draw) -> Arrays:
        x = make(draw)
        rows, classes = x.shape
        return {"x": x, "t": lists(draw, rows, classes, min(longest, classes))}

    return arrays


def on_the_kink(draw: Draw) -> Arrays:
    """Multiples of 1/2: a quarter of the margins are 0."""
    return {"x": draw.quantised(draw.integers("x", (8, 10), 4) / 2), "t": lists(draw, 8, 10, 4)}


def all_on_the_kink(draw: Draw) -> Arrays:
    """What is listed scores 1, what is not 0: no loss."""
    t = lists(draw, 8, 10, 4)
    return {"x": draw.quantised(listed(t, 10)), "t": t}


def around_kink(draw: Draw) -> Arrays:
    """What is listed scores 0, what is not is within 8 units in the last place of -1, and not -1."""
    t = lists(draw, 8, 10, 4)
    steps = draw.integers("steps", (8, 10), 8, 1) * (2 * draw.integers("side", (8, 10), 2) - 1)
    return {"x": draw.quantised(np.where(listed(t, 10), 0, steps * FORMATS[draw.dtype].unit * 2 - 1)), "t": t}


def led(draw: Draw) -> Arrays:
    """What is listed scores far above what is not."""
    t, x = lists(draw, 8, 10, 4), logits(draw, 8, 10).astype(np.float64)
    return {"x": draw.quantised(x + 20 * listed(t, 10)), "t": t}


SCORES = ("coarse", "scale-1", "scale-10", "scale-0.001", "scale-100", "shift-100", "near-ties", "equal", "subnormal",
          "nan", "one-row", "zero-rows", "classes-1", "classes-2", "classes-17")  # fmt: skip


def case(name: str, make: Any, reduction: str = "none") -> Case:
    return Case(name, make, {"reduction": reduction})


CASES = (
    *(case(name, listing(LOGITS[name])) for name in SCORES),
    case("all-listed", listing(LOGITS["scale-1"], 10)),
    case("none-listed", listing(LOGITS["scale-1"], 0)),
    case("kink", on_the_kink),
    case("all-on-the-kink", all_on_the_kink),
    case("around-kink", around_kink),
    case("led", led),
    case("classes-2-coarse", listing(two_coarse, 2)),
    case("rows-1000", listing(many)),
    *(
        case(f"{how}-{name}", listing(LOGITS[name]), how)
        for how in ("sum", "mean")
        for name in ("scale-1", "zero-rows")
    ),
    *in_layouts(case("contiguous", listing(lambda draw: logits(draw, 8, 9, 2.0)))),
)

# Where invariants are looked at.
FINITE = ("coarse", "scale-1", "scale-10", "near-ties")


def permutation(f: Any, x: Array, t: Array, **params: Any) -> Array:
    """Rows and classes in reverse order, the lists with them."""
    other = np.where(t < 0, t, x.shape[-1] - 1 - t)[::-1]
    return turned(f(x=turned(x), t=other, **params)) - f(x=x, t=t, **params)


def lists_unordered(f: Any, x: Array, t: Array, **params: Any) -> Array:
    """Neither the order of a list matters, nor what comes after its end."""
    length = np.argmax(np.concatenate([t < 0, np.ones((len(t), 1), bool)], axis=1), axis=1)[:, None]
    place = np.arange(t.shape[1])
    backwards = np.take_along_axis(t, np.where(place < length, length - 1 - place, place), axis=1)
    return f(x=x, t=np.where(place < length, backwards, -1), **params) - f(x=x, t=t, **params)


INVARIANTS = (
    Invariant("nonnegative", nonnegative, FINITE, exact=True),
    Invariant("shift", shift, ("coarse",)),
    Invariant("permutation", permutation, FINITE),
    Invariant("lists-unordered", lists_unordered, FINITE),
    Invariant("reduction-of-rows", reduction_of_rows, ("sum-scale-1", "mean-scale-1")),
    Invariant("gradient-sums-to-zero", gradient_sums_to_zero, (*FINITE, "mean-scale-1"), "vjp"),
    Invariant("no-loss-no-gradient", no_loss_no_gradient, ("led",), "vjp", exact=True),
)

OP = Op(
    "multilabel_margin", multilabel_margin, multilabel_margin_vjp, CASES,
    conventions={"kink": KINK, "nan_margin": NAN_MARGIN, "divisor": DIVISOR}, batch_axis=rows_apart,
    invariants=INVARIANTS, counted="rows-1000", smooth=("around-kink", "led", "sum-scale-1", "mean-scale-1"),
)  # fmt: skip
