"""sigmoid and log_sigmoid."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from gradparity.adapter import Fn
from gradparity.mutants.defects import BELOW_ROUNDING, NOTHING_EXCHANGED, instead
from gradparity.mutants.softmax_family import exp_off_by, exp_times
from gradparity.mutation import Mutant
from gradparity.op import Array, Arrays

Exp = Callable[[Array], Array]


def sigmoid(x: Array, exp: Exp = np.exp) -> Array:
    z = exp(-np.abs(x))
    return np.where(x >= 0, 1, z) / (1 + z)


def log_sigmoid(x: Array, exp: Exp = np.exp) -> Array:
    return np.minimum(x, 0) - np.log1p(exp(-np.abs(x)))


# The gradients, each with a sigmoid of its own, as fused kernels have it: a wrong exponential is in them too.


def sigmoid_vjp(g: Array, y: Array, x: Array, exp: Exp = np.exp) -> Arrays:
    s = sigmoid(x, exp)
    return {"x": g * s * (1 - s)}


def log_sigmoid_vjp(g: Array, y: Array, x: Array, exp: Exp = np.exp) -> Arrays:
    return {"x": g * sigmoid(-x, exp)}


EXPS: Mapping[str, Exp] = {
    "from-parts": np.exp,
    "exp-off-by-1e-3": exp_off_by(1e-3),
    "exp-off-by-1e-6": exp_off_by(1e-6),
    "exp-times-1.001": exp_times(1.001),
}
FAMILY = {"sigmoid": (sigmoid, sigmoid_vjp), "log_sigmoid": (log_sigmoid, log_sigmoid_vjp)}
SURVIVES: Mapping[str, str] = {
    "*/from-parts/*": NOTHING_EXCHANGED,
    "*/exp-off-by-1e-6/bfloat16/*": BELOW_ROUNDING,
    "sigmoid/exp-off-by-1e-6/float16/vjp": BELOW_ROUNDING,
}
AT = {"*/exp-off-by-1e-6/float16/*": "every-16-bit", "*": "large-1000"}


def with_exp(fn: Fn, exp: Exp) -> Fn:
    return lambda *gy, **kw: fn(*gy, exp=exp, **kw)


def from_parts() -> Iterator[Mutant]:
    for op, (value, vjp) in FAMILY.items():
        for name, exp in EXPS.items():
            yield Mutant(op, name, instead(with_exp(value, exp)), instead(with_exp(vjp, exp)), AT,
                         survives=SURVIVES)  # fmt: skip


# --- wrong as a whole


def half_plus_half_tanh(x: Array) -> Array:
    return 0.5 + 0.5 * np.tanh(x / 2)


def exp_over_one_plus_exp(x: Array) -> Array:
    return np.exp(x) / (1 + np.exp(x))


def one_minus_the_other(x: Array) -> Array:
    return 1 - sigmoid(-x)


def derivative_of(s: Callable[[Array], Array]) -> Fn:
    """s (1 - s) of a sigmoid of its own."""
    return lambda g, y, x: {"x": g * s(x) * (1 - s(x))}


OWN: tuple[Mutant, ...] = (
    Mutant("sigmoid", "exp-over-one-plus-exp", instead(exp_over_one_plus_exp),
           instead(derivative_of(exp_over_one_plus_exp)), "scale-1000", "fail/nonfinite"),
    Mutant("sigmoid", "half-plus-half-tanh", instead(half_plus_half_tanh),
           instead(derivative_of(half_plus_half_tanh)), {"*/float16/vjp": "every-16-bit", "*": "line-120"}),
    Mutant("sigmoid", "one-minus-sigmoid-of-minus-x", instead(one_minus_the_other), at="line-120"),
    Mutant("sigmoid", "clipped-at-1e-7", instead(lambda x: np.clip(sigmoid(x), 1e-7, 1 - 1e-7)), at="line-120"),
    Mutant("sigmoid", "hard", instead(lambda x: np.clip(x / 6 + 0.5, 0, 1)),
           instead(lambda g, y, x: {"x": g * (np.abs(x) < 3) / 6}), "scale-1"),
    Mutant("sigmoid", "of-minus-x", instead(lambda x: sigmoid(-x)), at="scale-1"),
    Mutant("sigmoid", "y", vjp=instead(lambda g, y, x: {"x": g * y}), at="scale-1"),
    Mutant("sigmoid", "y-minus-y-cubed", vjp=instead(lambda g, y, x: {"x": g * y * (1 - y * y)}), at="scale-1"),
    Mutant("sigmoid", "of-x-for-y", vjp=instead(lambda g, y, x: {"x": g * x * (1 - x)}), at="scale-1"),
    Mutant("sigmoid", "vanishing-beyond-8", at="scale-10",
           vjp=instead(lambda g, y, x: {"x": g * y * (1 - y) * (np.abs(x) < 8)})),
    Mutant("log_sigmoid", "log-of-sigmoid", instead(lambda x: np.log(sigmoid(x))), at="scale-1000",
           reason="fail/nonfinite"),
    Mutant("log_sigmoid", "log-of-one-plus-exp", instead(lambda x: -np.log(1 + np.exp(-x))), at="scale-1000",
           reason="fail/nonfinite"),
    Mutant("log_sigmoid", "log-for-log1p", at="line-120",
           value=instead(lambda x: np.minimum(x, 0) - np.log(1 + np.exp(-np.abs(x))))),
    Mutant("log_sigmoid", "log-of-sigmoid-clipped-at-1e-7", instead(lambda x: np.log(np.maximum(sigmoid(x), 1e-7))),
           at="scale-100"),
    Mutant("log_sigmoid", "softplus-of-x", instead(lambda x: log_sigmoid(-x)), at="scale-1"),
    Mutant("log_sigmoid", "sigmoid-of-x", vjp=instead(lambda g, y, x: {"x": g * sigmoid(x)}), at="scale-1"),
    Mutant("log_sigmoid", "one-minus-sigmoid", vjp=instead(lambda g, y, x: {"x": g * (1 - sigmoid(x))}),
           at="line-120"),
    Mutant("log_sigmoid", "exp-overflows", vjp=instead(lambda g, y, x: {"x": g * exp_over_one_plus_exp(-x)}),
           at="scale-1000", reason="fail/nonfinite"),
)  # fmt: skip

MUTANTS = (*from_parts(), *OWN)
