"""softmax_regression: its scores, its penalty and its products."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradparity.adapter import Fn
from gradparity.mutants.defects import arguments, instead, result
from gradparity.mutation import Mutant
from gradparity.op import Array, Arrays

OP = "softmax_regression"


def loss(x: Array, w: Array, t: Array, reg: Any, shift: bool = True) -> Any:
    scores = x @ w
    d = scores - np.max(scores, axis=1, keepdims=True) if shift else scores
    return np.mean(np.log(np.sum(np.exp(d), axis=1)) - d[np.arange(len(t)), t]) + reg * np.sum(w * w)


def for_features(s: Array, x: Array, w: Array, reg: Any, g: Array) -> Array:
    return s @ w.T


def for_weights(s: Array, x: Array, w: Array, reg: Any, g: Array) -> Array:
    return x.T @ s + 2 * g * reg * w


def as_it_is(s: Array, t: Array) -> Array:
    return s


def gradient(change: Fn = as_it_is, **terms: Fn) -> Fn:
    """The gradient with another p - onehot(t), or with other terms for x or w."""

    def vjp(g: Array, y: Array, x: Array, w: Array, t: Array, reg: Any) -> Arrays:
        scores = x @ w
        e = np.exp(scores - np.max(scores, axis=1, keepdims=True))
        s = change((e / np.sum(e, axis=1, keepdims=True) - (np.arange(w.shape[1]) == t[:, None])), t)
        s = g * s / x.dtype.type(len(t))
        parts: dict[str, Fn] = {"x": for_features, "w": for_weights, **terms}
        return {k: part(s, x, w, reg, g) for k, part in parts.items()}

    return vjp


def both(name: str, defect: Any, at: str) -> Mutant:
    return Mutant(OP, name, defect, defect, at)


def penalised(factor: float) -> Any:
    return arguments(lambda kw: {"reg": factor * kw["reg"]})


def penalties(op: str) -> Iterator[Mutant]:
    """A penalty of another size, of the value or of the gradient alone."""
    for name, factor in (("ignored", 0.0), ("doubled", 2.0), ("halved", 0.5)):
        defect = penalised(factor)
        yield Mutant(op, f"penalty-{name}", value=defect, at="reg-3-scale-1")
        yield Mutant(op, f"gradient-penalty-{name}", vjp=defect, at="reg-3-scale-1", check="vjp.w")


def one_class_less(x: Array, w: Array, t: Array, reg: Any) -> Any:
    """The last class is left out of the sum of exponentials."""
    scores = x @ w
    d = scores - np.max(scores, axis=1, keepdims=True)
    log_sum = np.log(np.sum(np.exp(d[:, :-1]), axis=1)) if w.shape[1] > 1 else 0 * d[:, 0]
    return np.mean(log_sum - d[np.arange(len(t)), t]) + reg * np.sum(w * w)


MUTANTS = (
    *penalties(OP),
    both("label-off-by-one", arguments(lambda kw: {"t": (kw["t"] + 1) % kw["w"].shape[1]}), "scale-1"),
    both("weights-negated", arguments(lambda kw: {"w": -kw["w"]}), "scale-1"),
    both("features-reversed", arguments(lambda kw: {"x": kw["x"][:, ::-1]}), "scale-1"),
    both("labels-of-the-second-half-lost", arguments(lambda kw: {"t": np.concatenate([kw["t"][:5], 0 * kw["t"][5:]])}),
         "scale-1"),
    Mutant(OP, "sum-for-mean", result(lambda y, kw: y * len(kw["x"])), at="scale-1"),
    Mutant(OP, "divided-by-n-minus-1", result(lambda y, kw: y * len(kw["x"]) / max(len(kw["x"]) - 1, 1)), at="scale-1"),
    Mutant(OP, "no-max-shift", instead(lambda **kw: loss(**kw, shift=False)), at="large-scores",
           reason="fail/nonfinite"),
    Mutant(OP, "a-class-missing", instead(one_class_less), at="scale-1"),
    Mutant(OP, "penalty-not-squared", instead(
        lambda x, w, t, reg: loss(x, w, t, 0 * reg) + reg * np.sum(np.abs(w))), at="reg-0.1-scale-1"),
    Mutant(OP, "penalty-divided-by-n", instead(lambda x, w, t, reg: loss(x, w, t, reg / len(t))), at="reg-3-scale-1"),
    Mutant(OP, "gradient-without-label", at="scale-1",
           vjp=instead(gradient(lambda s, t: s + (np.arange(s.shape[1]) == t[:, None])))),
    Mutant(OP, "gradient-of-the-sum", at="scale-1", vjp=instead(gradient(lambda s, t: s * len(t)))),
    Mutant(OP, "penalty-without-factor-2", at="reg-3-scale-1", check="vjp.w",
           vjp=instead(gradient(w=lambda s, x, w, reg, g: x.T @ s + g * reg * w))),
    Mutant(OP, "penalty-without-gradient", at="reg-0.1-scale-1", check="vjp.w",
           vjp=instead(gradient(w=lambda s, x, w, reg, g: x.T @ s))),
    Mutant(OP, "weights-have-no-gradient", at="scale-1", check="vjp.w",
           vjp=instead(gradient(w=lambda s, x, w, reg, g: 0 * w))),
    Mutant(OP, "features-gradient-of-other-weights", at="scale-1", check="vjp.x",
           vjp=instead(gradient(x=lambda s, x, w, reg, g: s @ w[::-1].T))),
    Mutant(OP, "gradient-of-one-row", at="scale-1", check="vjp.w",
           vjp=instead(gradient(w=lambda s, x, w, reg, g: x[:1].T @ s[:1] + 2 * g * reg * w))),
)  # fmt: skip
