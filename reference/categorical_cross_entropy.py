"""Cross-entropy of probabilities, with a number for each class as target, and its focal form."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradparity.cases import Draw, in_layouts
from gradparity.op import FORMATS, SMOOTH, Array, Arrays, Case, Convention, Invariant, Op
from gradparity.reference.cross_entropy import one_hot, rows_apart
from gradparity.reference.focal_loss import modulated
from gradparity.reference.invariants import nonnegative
from gradparity.reference.negative_log_likelihood import (
    AT_CLIPS,
    ONE_HOT,
    SPECIAL,
    clipped,
    of_quotient,
    probabilities,
    row_sums,
    steps,
    unnormalised,
    where_inside,
)
from gradparity.reference.negative_log_likelihood import CONVENTIONS as OF_PROBABILITIES
from gradparity.reference.negative_log_likelihood import OP as NEGATIVE_LOG_LIKELIHOOD
from gradparity.reference.reduction import reduced, spread_back
from gradparity.reference.soft_cross_entropy import (
    distributions,
    labels,
    permutation,
    reduction_of_rows,
    signed,
    smoothed,
    weights,
    zeros,
)

CONVENTIONS = {
    "normalised": Convention(
        (False, "first"), False, "whether a row is divided by its sum, its gradient with it, before it is clipped"
    ),
    **{name: OF_PROBABILITIES[name] for name in ("floor", "ceiling", "at_clip")},
    "nan_clip": Convention((0.0, np.nan), 0.0, "the gradient of a probability that is clipped and is NaN"),
}


def categorical_cross_entropy(
    x: Array, t: Array, alpha: float | None = None, gamma: int = 0, reduction: str = "none",
    label_smoothing: float = 0.0, normalised: Any = False, floor: float = -np.inf, ceiling: float = np.inf,
    at_clip: float = 1.0, nan_clip: float = 0.0,
) -> Array:  # fmt: skip
    """loss_i = -alpha sum_j (1 - p_ij)^gamma s_ij log p_ij, p = min(max(x, floor), ceiling); normalised: first
    x / sum_j x_ij for x; s = (1 - label_smoothing) t + label_smoothing / C.  x: [N, C] probabilities, t: [N, C]
    targets, gamma: 0, 1 or 2, alpha: 1 where it is None -> loss: [N] in nats, or its sum or mean over the rows, a
    scalar; the mean of no rows is NaN.

    Targets need not sum to 1, nor be one-hot. A probability of 0 gives infinity, but NaN for the target 0; one below 0
    NaN. Source: Bishop, Pattern Recognition and Machine Learning (2006), eq. (4.108); with gamma: Lin, Goyal, Girshick,
    He & Dollar, Focal loss for dense object detection (2017), eq. (5), for each class; label smoothing: Szegedy et al.,
    Rethinking the Inception architecture for computer vision (2016), section 7.
    """
    p = probability(x, normalised, floor, ceiling)
    loss = modulated(-smoothed(t, label_smoothing) * np.log(p), 1 - p, gamma)
    return reduced(np.sum(weighted(loss, alpha), axis=-1), reduction)


def categorical_cross_entropy_vjp(
    g: Array, y: Array, x: Array, t: Array, alpha: float | None = None, gamma: int = 0, reduction: str = "none",
    label_smoothing: float = 0.0, normalised: Any = False, floor: float = -np.inf, ceiling: float = np.inf,
    at_clip: float = 1.0, nan_clip: float = 0.0,
) -> Arrays:  # fmt: skip
    """alpha s (gamma (1 - p)^(gamma - 1) log p - (1 - p)^gamma / p) for the probabilities, nothing of which cancels
    where p is at most 1; if normalised, that of the quotient, with which it is composed.
    -alpha (1 - label_smoothing) (1 - p)^gamma log p for the targets."""
    p, s = probability(x, normalised, floor, ceiling), smoothed(t, label_smoothing)
    g = weighted(np.expand_dims(spread_back(g, reduction, len(t)), -1), alpha)
    c = modulated(g, 1 - p, gamma)
    dq = -c * s / p
    if gamma:
        dq = dq + gamma * modulated(g * (s * np.log(p)), 1 - p, gamma - 1)
    q = x / row_sums(x) if normalised else x
    dq = where_inside(q, floor, ceiling, at_clip, dq)
    if np.isnan(nan_clip):
        dq = np.where(q <= np.inf, dq, np.nan)
    dt = -c * np.log(p) * (1 - label_smoothing)
    return {"x": of_quotient(dq, q, row_sums(x)) if normalised else dq, "t": dt}


def probability(x: Array, normalised: Any, floor: float, ceiling: float) -> Array:
    return clipped(x / row_sums(x) if normalised else x, floor, ceiling)


def weighted(y: Array, alpha: float | None) -> Array:
    return y if alpha is None else alpha * y


def targeted(make: Any, rows: int, classes: int, spread: int, targets: Any = distributions) -> Any:
    """Probabilities with targets drawn beside them."""
    return lambda draw: {"x": make(draw, rows, classes, spread), "t": targets(draw, rows, classes)}


def small_weights(draw: Draw, rows: int, classes: int) -> Array:
    """Multiples of 1/1024 below 1/16."""
    return draw.quantised(draw.integers("t", (rows, classes), 64) / 1024)


def rows_of(*rows: tuple[float, ...]) -> Any:
    """These rows, once for each class that has all of the target, and once with half of it on the first."""

    def arrays(draw: Draw) -> Arrays:
        classes = len(rows[0])
        each = np.vstack([np.eye(classes), np.where(np.arange(classes) == 0, 0.5, 0.5 / max(classes - 1, 1))])
        return {
            "x": draw.quantised(np.repeat(rows, len(each), axis=0)),
            "t": draw.quantised(np.tile(each, (len(rows), 1))),
        }

    return arrays


def near(*values: float) -> Any:
    """These probabilities, and what is next to them, for the class of most of the target; 1/4 for the two others."""

    def arrays(draw: Draw) -> Arrays:
        first = np.concatenate([steps(draw, value) for value in values])
        x = draw.full((len(first), 3), 0.25)
        x[:, 0] = first
        return {"x": x, "t": draw.quantised(np.tile([0.75, 0.25, 0.0], (len(first), 1)))}

    return arrays


INPUTS = {
    **{f"spread-{k}": targeted(probabilities, 8, 10, k) for k in (0, 4, 8, 20, 60)},
    **{f"one-hot-spread-{k}": targeted(probabilities, 8, 10, k, labels) for k in (0, 4, 8, 20)},
    **{f"weights-spread-{k}": targeted(probabilities, 8, 10, k, weights) for k in (0, 8)},
    **{f"unnormalised-{k}": targeted(unnormalised, 8, 10, k) for k in (0, 8)},
    "zero-targets": targeted(probabilities, 8, 10, 4, zeros),
    "signed-targets": targeted(probabilities, 8, 10, 4, signed),
    "two-classes": rows_of((0.25, 0.75), (0.5, 0.5), (0.2, 0.2), (3.0, 1.5)),
    "saturated": rows_of(ONE_HOT),
    **{name: rows_of(*rows) for name, rows in SPECIAL.items()},
    **{name: near(*values) for name, values in AT_CLIPS.items()},
    "one-row": targeted(probabilities, 1, 7, 4),
    "zero-rows": targeted(probabilities, 0, 10, 4),
    **{f"classes-{c}": targeted(probabilities, 8, c, 4) for c in (1, 2, 17)},
    "classes-1000": targeted(probabilities, 4, 1000, 4, small_weights),
    "rows-1000": targeted(probabilities, 1000, 10, 8),
}
# Where the inputs of some seeds have a probability of 1 in 16 bits, and those of others have none.
FAR, LONG = ("spread-20", "spread-60"), ("float64", "float32")
REDUCED = ("spread-4", "unnormalised-8", "one-row", "zero-rows", "classes-1000")
FOCAL = ("spread-0", "spread-4", "spread-8", "one-hot-spread-4", "weights-spread-8", "unnormalised-0", "two-classes",
         "saturated", "classes-17")  # fmt: skip


def case(
    name: str, make: Any, gamma: int = 0, alpha: float | None = None, reduction: str = "none",
    smoothing: float | None = None, **more: Any,
) -> Case:  # fmt: skip
    """Without smoothing there is no parameter for it: the inputs of older run files stay those of today."""
    params = {"alpha": alpha, "gamma": gamma, "reduction": reduction}
    return Case(name, make, params if smoothing is None else params | {"label_smoothing": smoothing}, **more)


CASES = (
    *(case(name, make, dtypes=LONG if name.endswith(FAR) else tuple(FORMATS)) for name, make in INPUTS.items()),
    *(case(f"gamma-{k}-{name}", INPUTS[name], k) for k in (1, 2) for name in FOCAL),
    *(case(f"alpha-0.3-{name}", INPUTS[name], 0, 0.3) for name in ("spread-4", "weights-spread-8")),
    *(case(f"gamma-2-alpha-{a:g}-spread-{k}", INPUTS[f"spread-{k}"], 2, a) for a in (0.25, 0.3) for k in (4, 8)),
    *(case(f"{how}-{name}", INPUTS[name], reduction=how) for how in ("sum", "mean") for name in REDUCED),
    *(case(f"{how}-gamma-2-alpha-0.25", INPUTS["spread-4"], 2, 0.25, how) for how in ("sum", "mean")),
    *(case(f"smoothed-{name}", INPUTS[name], smoothing=0.1) for name in ("spread-0", "spread-4", "one-hot-spread-4")),
    case("smoothed-weights-spread-8", INPUTS["weights-spread-8"], smoothing=0.1),
    case("smoothed-gamma-2-alpha-0.25", INPUTS["spread-4"], 2, 0.25, smoothing=0.1),
    case("smoothed-mean", INPUTS["spread-4"], reduction="mean", smoothing=0.1),
    *in_layouts(case("contiguous", targeted(probabilities, 8, 9, 4))),
)  # fmt: skip

# Where invariants are looked at: nothing is clipped; some of unnormalised-0 are 1 in 16 bits, the ceiling.
INSIDE = ("spread-0", "spread-4", "spread-8")
PLAIN = (*INSIDE, "unnormalised-0")
WITHIN = (*PLAIN, "gamma-1-spread-4", "gamma-2-spread-0", "gamma-2-alpha-0.3-spread-4")
REDUCTIONS = ("sum-spread-4", "mean-spread-4", "mean-gamma-2-alpha-0.25", "smoothed-mean")


def of_one_hot(f: Any, negative_log_likelihood: Any, x: Array, t: Array, **params: Any) -> Array:
    """f(x, onehot(k)) = negative_log_likelihood(x, k), for labels that count up."""
    k = np.arange(x.shape[0]) % x.shape[1]
    return f(x=x, t=0 * x + one_hot(k, x.shape[1]), **params) - negative_log_likelihood(x=x, t=k, reduction="none")


def geometric(f: Any, gamma: int, **arguments: Any) -> Array:
    """Of one-hot targets f(gamma = 1) is the geometric mean of f(gamma = 0) and f(gamma = 2)."""
    return f(gamma=0, **arguments) * f(gamma=2, **arguments) - np.square(f(gamma=1, **arguments))


def weighs(f: Any, alpha: float, **arguments: Any) -> Array:
    """alpha times what it is without."""
    return f(alpha=alpha, **arguments) - alpha * f(alpha=None, **arguments)


def linear(f: Any, g: Array, x: Array, t: Array, **params: Any) -> Array:
    """f is linear in the targets, so <t, df/dt> = f."""
    return np.sum(t * f.vjp(g, x=x, t=t, **params)["t"], axis=-1) - g * f(x=x, t=t, **params)


def linear_gradient(f: Any, g: Array, x: Array, t: Array, **params: Any) -> Array:
    """And so is its gradient: f'(x, t) + f'(x, 1 - t) = f'(x, 1)."""
    dx, others, every = (f.vjp(g, x=x, t=s, **params)["x"] for s in (t, 1 - t, 0 * t + 1))
    return dx + others - every


def same_for_every_order(f: Any, g: Array, x: Array, t: Array, **params: Any) -> Array:
    """<x, f'(x)> is that of the targets in any other order: -sum_j t_j, or 0 where the rows are normalised."""
    dx, other = (f.vjp(g, x=x, t=s, **params)["x"] for s in (t, t[:, ::-1]))
    return np.sum(x * dx, axis=-1) - np.sum(x * other, axis=-1)


INVARIANTS = (
    Invariant("nonnegative", nonnegative, (*WITHIN, "smoothed-spread-4"), exact=True),
    Invariant("permutation", permutation, (*WITHIN, "smoothed-spread-4")),
    Invariant("of-one-hot", of_one_hot, PLAIN, other=NEGATIVE_LOG_LIKELIHOOD),
    Invariant("geometric", geometric, ("gamma-1-one-hot-spread-4", "gamma-2-one-hot-spread-4")),
    Invariant("weighs", weighs, ("alpha-0.3-spread-4", "gamma-2-alpha-0.3-spread-4")),
    Invariant("reduction-of-rows", reduction_of_rows, REDUCTIONS),
    Invariant("linear", linear, WITHIN, "vjp"),
    Invariant("linear-gradient", linear_gradient, WITHIN, "vjp"),
    Invariant("same-for-every-order", same_for_every_order, INSIDE, "vjp"),
)

OP = Op(
    "categorical_cross_entropy", categorical_cross_entropy, categorical_cross_entropy_vjp, CASES, wrt=("x", "t"),
    conventions=CONVENTIONS, batch_axis=rows_apart, invariants=INVARIANTS, counted="rows-1000",
    smooth=(*SMOOTH, "gamma-1-spread-4", "gamma-2-alpha-0.3-spread-4", "smoothed-spread-4"),
)  # fmt: skip
