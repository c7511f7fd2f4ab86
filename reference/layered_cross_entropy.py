"""Softmax, then the negative log-likelihood of what comes out: cross-entropy as two layers, with what passes between
them looked at."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradparity.cases import LOGITS, Draw, in_layouts, logits
from gradparity.op import Array, Arrays, Case, Invariant, Op
from gradparity.reference.cross_entropy import OP as CROSS_ENTROPY
from gradparity.reference.cross_entropy import rows_apart
from gradparity.reference.invariants import gradient_sums_to_zero, nonnegative, shift, turned
from gradparity.reference.negative_log_likelihood import (
    CONVENTIONS,
    negative_log_likelihood,
    negative_log_likelihood_vjp,
)
from gradparity.reference.softmax import OP as SOFTMAX
from gradparity.reference.softmax import softmax, softmax_vjp


def layered_cross_entropy(
    x: Array, q: Array, t: Array, reduction: str = "none", **conventions: Any
) -> tuple[Array, Array]:
    """loss = negative_log_likelihood(p, t), p = softmax(x) + q.  x: [N, C] logits, q: [N, C], t: [N] in 0..C-1 ->
    loss: [N], or its sum or mean, and the probabilities p.

    q is there for its gradient, which is that of the loss for p; in all cases but one it is 0. If a label's probability
    underflows the loss is infinite, where cross_entropy is finite, and the gradient NaN, unless p is clipped.
    """
    p = perturbed(softmax(x), q)
    return negative_log_likelihood(p, t, reduction, **conventions), p


def layered_cross_entropy_vjp(
    g: Array, y: Array, x: Array, q: Array, t: Array, reduction: str = "none", **conventions: Any
) -> Arrays:
    """Layer by layer: for p that of the loss, for the logits p (p' - <p', p>)."""
    s = softmax(x)
    dp = negative_log_likelihood_vjp(g, y, perturbed(s, q), t, reduction, **conventions)["x"]
    return {"x": softmax_vjp(dp, s, x)["x"], "q": dp}


def perturbed(p: Array, q: Array) -> Array:
    """p + q, and nothing is rounded where q is 0."""
    return np.where(q == 0, p, p + q)


def given(make: Any, perturbation: Any = None) -> Any:
    """Logits, with labels and a perturbation of the probabilities."""

    def arrays(draw: Draw) -> Arrays:
        x = make(draw)
        q = draw.full(x.shape, 0.0) if perturbation is None else perturbation(draw, x.shape)
        return {"x": x, "q": q, "t": draw.integers("t", x.shape[:1], x.shape[1])}

    return arrays


def eighths(draw: Draw) -> Array:
    """Multiples of 1/8 below 2: no probability is below 1/600."""
    return draw.quantised(draw.integers("x", (8, 10), 16, -15) / 8)


def sixteenths(draw: Draw, shape: tuple[int, ...]) -> Array:
    return draw.quantised(draw.integers("q", shape, 16) / 16)


def saturated(draw: Draw) -> Array:
    """Probabilities of exactly 0, and 1 or a few equal ones."""
    return draw.signs("x", (8, 4)) * draw.full((8, 4), 30000.0)


def far_rows(draw: Draw) -> Array:
    """Each other row lies far below the rest."""
    x = logits(draw, 8, 10)
    x[::2] = draw.quantised(x[::2].astype(np.float64) - 20000)
    return x


INPUTS = {
    **{name: given(LOGITS[name]) for name in ("scale-0.001", "scale-1", "shift-100", "shift-10000", "near-ties",
                                              "equal", "one-row", "zero-rows", "classes-1", "classes-2", "classes-17")},
    **{f"scale-{s:g}": given(lambda draw, s=s: logits(draw, 8, 10, s)) for s in (0.1, 1.5)},
    "coarse": given(eighths),
    "perturbed": given(LOGITS["scale-1"], sixteenths),
    "far-rows": given(far_rows),
    "saturated": given(saturated),
    "nan": given(LOGITS["nan"]),
    "plus-inf": given(LOGITS["plus-inf"]),
    "classes-100": given(lambda draw: logits(draw, 4, 100)),
    "rows-1000": given(lambda draw: logits(draw, 1000, 10)),
}  # fmt: skip


def case(name: str, make: Any, reduction: str = "none", **more: Any) -> Case:
    return Case(name, make, {"reduction": reduction}, **more)


CASES = (
    *(case(name, make) for name, make in INPUTS.items()),
    *(case(f"{how}-{name}", INPUTS[name], how)
      for how in ("sum", "mean") for name in ("scale-1", "one-row", "zero-rows", "classes-17")),
    *in_layouts(case("contiguous", given(lambda draw: logits(draw, 8, 9)))),
)  # fmt: skip


def first(f: Any) -> Any:
    """The loss alone, for residuals about it."""
    return lambda **arguments: f(**arguments)[0]


def loss_shift(f: Any, **arguments: Any) -> Array:
    of_loss = first(f)
    of_loss.bits = f.bits
    return shift(of_loss, **arguments)


def permutation(f: Any, x: Array, q: Array, t: Array, reduction: str) -> Array:
    """Rows and classes in reverse order, the labels with them."""
    relabelled = x.shape[-1] - 1 - turned(t)
    other, _ = f(x=turned(x), q=turned(q), t=relabelled, reduction=reduction)
    return turned(other) - f(x=x, q=q, t=t, reduction=reduction)[0]


def as_one(f: Any, cross_entropy: Any, x: Array, q: Array, t: Array, reduction: str) -> Array:
    """The loss is cross_entropy(x, t)."""
    return f(x=x, q=q, t=t, reduction=reduction)[0] - cross_entropy(x=x, t=t, reduction=reduction)


def of_softmax(f: Any, softmax: Any, x: Array, q: Array, t: Array, reduction: str) -> Array:
    """The probabilities are softmax(x)."""
    return f(x=x, q=q, t=t, reduction=reduction)[1] - softmax(x=x, axis=-1)


def gradient_as_one(f: Any, cross_entropy: Any, g: Array, x: Array, q: Array, t: Array, reduction: str) -> Array:
    """The gradient for the logits is that of cross_entropy(x, t), whether the probabilities are normalised or not."""
    return f.vjp(g, x=x, q=q, t=t, reduction=reduction)["x"] - cross_entropy.vjp(g, x=x, t=t, reduction=reduction)["x"]


def chain(f: Any, g: Array, x: Array, q: Array, t: Array, reduction: str) -> Array:
    """The gradient for the logits is p (p' - <p', p>), of the framework's own p and p'."""
    p, dx = f(x=x, q=q, t=t, reduction=reduction)[1], f.vjp(g, x=x, q=q, t=t, reduction=reduction)
    return dx["x"] - p * (dx["q"] - np.sum(p * dx["q"], axis=-1, keepdims=True))


WITHIN = ("coarse", "scale-0.1", "near-ties")
INVARIANTS = (
    Invariant("nonnegative", nonnegative, WITHIN, exact=True),
    Invariant("shift", loss_shift, ("coarse",)),
    Invariant("permutation", permutation, WITHIN),
    Invariant("as-one", as_one, (*WITHIN, "mean-classes-17"), other=CROSS_ENTROPY),
    Invariant("of-softmax", of_softmax, WITHIN, other=SOFTMAX),
    Invariant("gradient-sums-to-zero", gradient_sums_to_zero, WITHIN, "vjp"),
    Invariant("gradient-as-one", gradient_as_one, WITHIN, "vjp", other=CROSS_ENTROPY),
    Invariant("chain", chain, WITHIN, "vjp"),
)

OP = Op(
    "layered_cross_entropy", layered_cross_entropy, layered_cross_entropy_vjp, CASES, wrt=("x", "q"),
    outputs=("", "probabilities"), conventions=CONVENTIONS, batch_axis=rows_apart, invariants=INVARIANTS,
    counted="rows-1000",
)  # fmt: skip
