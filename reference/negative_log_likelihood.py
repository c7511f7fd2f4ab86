"""Negative log-likelihood of probabilities, with integer labels: the cross-entropy that starts after the softmax."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradparity.cases import Draw, in_layouts
from gradparity.op import FORMATS, Array, Arrays, Case, Convention, Invariant, Op
from gradparity.reference.cross_entropy import cross_entropy, cross_entropy_vjp, one_hot, pick, rows_apart
from gradparity.reference.invariants import nonnegative, turned
from gradparity.reference.reduction import reduced, spread_back

CONVENTIONS = {
    "normalised": Convention(
        (False, "first", "last"), False,
        "whether a row is divided by its sum, its gradient with it: no, before it is clipped, or after",
    ),
    "floor": Convention((-np.inf, 1e-7), -np.inf, "what a lower probability is taken for, and its gradient is 0"),
    "ceiling": Convention((np.inf, 1 - 1e-7), np.inf, "what a higher probability is taken for, and its gradient is 0"),
    "at_clip": Convention((1.0, 0.5), 1.0, "the derivative of what is clipped at the floor and the ceiling themselves"),
    "every_log": Convention(
        (False, True), False, "whether the logarithm of every class is taken: the gradient of the others is then 0 / p"
    ),
}  # fmt: skip


def negative_log_likelihood(
    x: Array, t: Array, reduction: str = "none", normalised: Any = False, floor: float = -np.inf,
    ceiling: float = np.inf, at_clip: float = 1.0, every_log: bool = False,
) -> Array:  # fmt: skip
    """loss_i = -log p_{i, t_i}, p = min(max(x, floor), ceiling); normalised: first x / sum_j x_ij for x, or last
    p / sum_j p_ij for p.
    x: [N, C] probabilities, t: [N] in 0..C-1 -> loss: [N] in nats, or its sum or mean over the rows, a scalar; the mean
    of no rows is NaN. A probability of 0 gives infinity, one below 0 NaN.

    Source: Bishop, Pattern Recognition and Machine Learning (2006), eq. (4.108), of one row.
    """
    p = clipped(x / row_sums(x) if normalised == "first" else x, floor, ceiling)
    if normalised == "last":
        return cross_entropy(np.log(p), t, reduction)
    return reduced(-np.log(pick(p, t)), reduction)


def negative_log_likelihood_vjp(
    g: Array, y: Array, x: Array, t: Array, reduction: str = "none", normalised: Any = False, floor: float = -np.inf,
    ceiling: float = np.inf, at_clip: float = 1.0, every_log: bool = False,
) -> Arrays:  # fmt: skip
    """-1 / p for the label, 0 elsewhere, or 0 / p, which is NaN where p is 0 (every_log); normalised last: that plus
    1 / sum_j p_ij everywhere, as that of the cross-entropy of the logits log p, divided by p; first: that of the
    quotient, with which it is composed."""
    q = x / row_sums(x) if normalised == "first" else x
    p = clipped(q, floor, ceiling)
    if normalised == "last":
        dq = cross_entropy_vjp(g, y, np.log(p), t, reduction)["x"] / p
    else:
        g = np.expand_dims(spread_back(g, reduction, len(t)), -1)
        label = one_hot(t, x.shape[-1])
        dq = np.where(label, -g, 0.0) / p if every_log else np.where(label, -g / p, 0.0)
    dq = where_inside(q, floor, ceiling, at_clip, dq)
    return {"x": of_quotient(dq, q, row_sums(x)) if normalised == "first" else dq}


def row_sums(x: Array) -> Array:
    return np.sum(x, axis=-1, keepdims=True)


def of_quotient(dq: Array, q: Array, s: Array) -> Array:
    """The gradient of q = x / s, s = sum_j x_j: what passes to a row, less what its sum takes back."""
    return dq / s - row_sums(dq * q / s)


def clipped(x: Array, floor: float, ceiling: float) -> Array:
    return np.minimum(np.maximum(x, floor), ceiling)


def where_inside(x: Array, floor: float, ceiling: float, at_clip: float, dx: Array) -> Array:
    """The gradient of what is clipped: outside, and of NaN, it is 0."""
    if floor == -np.inf and ceiling == np.inf:
        return dx
    at = np.where(x == floor, at_clip * dx, np.where(x == ceiling, at_clip * dx, 0.0))
    return np.where(x > floor, np.where(x < ceiling, dx, at), at)


# --- cases: no exponential, whose last digit would depend on the machine


def powers(draw: Draw, rows: int, classes: int, spread: int) -> Array:
    """m 2^-k: m of 20 bits from 1 to 2, k from 0 to spread."""
    m = 1 + draw.integers("m", (rows, classes), 2**20) / 2**20
    return np.ldexp(m, -draw.integers("k", (rows, classes), spread + 1))


def probabilities(draw: Draw, rows: int, classes: int, spread: int) -> Array:
    """Such numbers divided by the sum of their row, added up one by one: in the same order on every machine."""
    w = powers(draw, rows, classes, spread)
    return flushed(draw, w / np.add.accumulate(w, axis=-1)[:, -1:])


def unnormalised(draw: Draw, rows: int, classes: int, spread: int) -> Array:
    return flushed(draw, powers(draw, rows, classes, spread) / 2)


def flushed(draw: Draw, x: Array) -> Array:
    """In the dtype, but 0 for what is subnormal there: a framework may read it as 0."""
    return draw.quantised(np.where(x < FORMATS[draw.dtype].tiny, 0.0, x))


def labelled(make: Any, *arguments: Any) -> Any:
    """Probabilities with labels drawn beside them."""

    def arrays(draw: Draw) -> Arrays:
        x = make(draw, *arguments)
        return {"x": x, "t": draw.integers("t", x.shape[:1], x.shape[1])}

    return arrays


def rows_of(*rows: tuple[float, ...]) -> Any:
    """These rows, with each of their labels."""
    x = np.repeat(rows, len(rows[0]), axis=0)
    return lambda draw: {"x": draw.quantised(x), "t": np.arange(len(x)) % x.shape[1]}


def steps(draw: Draw, value: float) -> Array:
    """The number of the dtype that is nearest to the value, and some that are a few units in the last place away."""
    u = FORMATS[draw.dtype].unit
    return draw.quantised(float(draw.quantised(value)) * np.array([1, 1 - 2 * u, 1 + 2 * u, 1 - 8 * u, 1 + 8 * u]))


def near(*values: float) -> Any:
    """These probabilities, and what is next to them, for the label; 1/4 for the two others."""

    def arrays(draw: Draw) -> Arrays:
        first = np.concatenate([steps(draw, value) for value in values])
        x = draw.full((len(first), 3), 0.25)
        x[:, 0] = first
        return {"x": x, "t": np.zeros(len(first), np.int64)}

    return arrays


def subnormal_labels(draw: Draw) -> Arrays:
    """Every other label has a subnormal probability."""
    arrays: Arrays = labelled(probabilities, 8, 10, 4)(draw)
    form = FORMATS[draw.dtype]
    tiny = draw.quantised(draw.integers("tiny", (4,), 2 ** (form.bits - 1), 1) * form.eta)
    arrays["x"][np.arange(0, 8, 2), arrays["t"][::2]] = tiny
    return arrays


SEPARATE_LAYERS = (0.16005908, 0.06725888, 0.10924701, 0.11384503, 0.08331395, 0.06459966, 0.1163387, 0.06519166,
                   0.06509037, 0.15505567)  # fmt: skip
ONE_HOT = (0.0, 1.0, 0.0)
SPECIAL = {
    "some-zeros": ((0.0, 0.75, 0.25), (0.5, 0.5, 0.0)), "zeros": ((0.0, 0.0, 0.0),), "negative": ((-0.25, 1.0, 0.25),),
    "nan": ((np.nan, 0.5, 0.5),),
}  # fmt: skip
# In float16 the first four are subnormal: what may be flushed to 0 has no bound, and is not to be most of them.
AT_CLIPS = {
    "near-floor": (1e-7, 5e-8, 2e-7, 1e-6, 1e-4, 1e-3, 1e-2, 0.125, 0.5),
    "near-ceiling": (1 - 1e-7, 1.0, 1 - 1e-6, 1.5),
}
INPUTS = {
    **{f"spread-{k}": labelled(probabilities, 8, 10, k) for k in (0, 4, 8, 20, 60, 100)},
    **{f"unnormalised-{k}": labelled(unnormalised, 8, 10, k) for k in (0, 8, 60)},
    "separate-layers": rows_of(SEPARATE_LAYERS),
    "plus-one": lambda draw: {"x": draw.quantised([[0.2, 0.8]]), "t": np.zeros(1, np.int64)},
    "two-classes": rows_of((0.2, 0.8), (0.5, 0.5), (0.2, 0.2), (3.0, 1.0)),
    "one-hot": rows_of(ONE_HOT, ONE_HOT),
    **{name: rows_of(*rows) for name, rows in SPECIAL.items()},
    **{name: near(*values) for name, values in AT_CLIPS.items()},
    "subnormal": subnormal_labels,
    "one-row": labelled(probabilities, 1, 7, 4),
    "zero-rows": labelled(probabilities, 0, 10, 4),
    **{f"classes-{c}": labelled(probabilities, 8, c, 4) for c in (1, 2, 17)},
    "classes-1000": labelled(probabilities, 4, 1000, 4),
    "rows-1000": labelled(probabilities, 1000, 10, 8),
}
REDUCED = ("spread-4", "unnormalised-8", "one-row", "zero-rows", "classes-1000")


def case(name: str, make: Any, reduction: str = "none", **more: Any) -> Case:
    return Case(name, make, {"reduction": reduction}, **more)


CASES = (
    *(case(name, make) for name, make in INPUTS.items()),
    *(case(f"{how}-{name}", INPUTS[name], how) for how in ("sum", "mean") for name in REDUCED),
    *in_layouts(case("contiguous", labelled(probabilities, 8, 9, 4))),
)

# Where invariants are looked at: probabilities that nothing clips, in any dtype.
WITHIN = ("spread-0", "spread-4", "spread-8", "unnormalised-0")


def permutation(f: Any, x: Array, t: Array, reduction: str) -> Array:
    """Rows and classes in reverse order, the labels with them."""
    relabelled = x.shape[-1] - 1 - turned(t)
    return turned(f(x=turned(x), t=relabelled, reduction=reduction)) - f(x=x, t=t, reduction=reduction)


def log_ratio(f: Any, x: Array, t: Array, reduction: str) -> Array:
    """f(x, k) - f(x, t) = log(x_t / x_k), whether the rows are normalised or not; k is the next label."""
    k = (t + 1) % x.shape[-1]
    between = f(x=x, t=k, reduction=reduction) - f(x=x, t=t, reduction=reduction)
    return between - (np.log(pick(x, t)) - np.log(pick(x, k)))


def reduction_of_rows(f: Any, x: Array, t: Array, reduction: str) -> Array:
    """The sum is the sum of the rows, the mean that by their number."""
    return f(x=x, t=t, reduction=reduction) - reduced(f(x=x, t=t, reduction="none"), reduction)


def same_for_every_label(f: Any, g: Array, x: Array, t: Array, reduction: str) -> Array:
    """<x, f'(x)> is that of any other label: -1, or 0 where the loss does not change with the size of a row."""
    dx, other = (f.vjp(g, x=x, t=k, reduction=reduction)["x"] for k in (t, (t + 1) % x.shape[-1]))
    return np.sum(x * dx, axis=-1) - np.sum(x * other, axis=-1)


def of_two_labels(f: Any, g: Array, x: Array, t: Array, reduction: str) -> Array:
    """f'(x, t) - f'(x, k) is -1 / x_t and 1 / x_k at the two labels, and 0 elsewhere."""
    k = (t + 1) % x.shape[-1]
    dx, other = (f.vjp(g, x=x, t=label, reduction=reduction)["x"] for label in (t, k))
    between = np.where(one_hot(t, x.shape[-1]), -1 / x, np.where(one_hot(k, x.shape[-1]), 1 / x, 0.0))
    return dx - other - np.expand_dims(g, -1) * between


INVARIANTS = (
    Invariant("nonnegative", nonnegative, WITHIN, exact=True),
    Invariant("permutation", permutation, WITHIN),
    Invariant("log-ratio", log_ratio, WITHIN),
    Invariant("reduction-of-rows", reduction_of_rows, ("sum-spread-4", "mean-spread-4")),
    Invariant("same-for-every-label", same_for_every_label, WITHIN, "vjp"),
    Invariant("of-two-labels", of_two_labels, WITHIN, "vjp"),
)

OP = Op(
    "negative_log_likelihood", negative_log_likelihood, negative_log_likelihood_vjp, CASES, conventions=CONVENTIONS,
    batch_axis=rows_apart, invariants=INVARIANTS, counted="rows-1000",
)  # fmt: skip
