"""What can be wrong with any operation."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gradparity.mutants.defects import (
    arguments,
    in_another_dtype,
    narrowed,
    ones_for_cotangent,
    poked,
    raises,
    raw,
    result,
    stale,
)
from gradparity.mutation import Mutant, off, right
from gradparity.reference import OPS

# A case in which nothing is special, where it is not scale-1.
TYPICAL = {
    "ragged_centroid": "random", "negative_log_likelihood": "spread-4", "binary_cross_entropy": "soft-spread-0",
    "logistic_regression": "two-rows", "categorical_cross_entropy": "spread-4",
}  # fmt: skip
# name: (what is done to value and gradient alike, how that is caught)
BOTH = {
    "zero": (result(lambda y, kw: 0 * y), "fail/bound"),
    "negated": (result(lambda y, kw: -y), "fail/bound"),
    "doubled": (result(lambda y, kw: 2 * y), "fail/bound"),
    "of-the-next-row": (result(lambda y, kw: np.roll(y, 1, axis=0) if y.ndim else y), "fail/bound"),
    "cast-down-and-back": (narrowed, "fail/bound"),
    "nan-here-and-there": (poked(np.nan), "fail/nonfinite"),
    "inf-here-and-there": (poked(np.inf), "fail/nonfinite"),
    "of-another-shape": (result(lambda y, kw: y[None]), "fail/shape"),
    "transposed": (result(lambda y, kw: y.T if y.ndim > 1 else y.reshape(-1, 1)), "fail/shape"),
    "in-another-dtype": (in_another_dtype, "fail/dtype"),
    "raises": (raw(raises), "error/exception"),
}

# A case with an x beyond 30 in size, on which the result depends, where it is not scale-10000; the losses on
# probabilities have none.
LARGE = {
    "ragged_centroid": "offset-100", "softmax_regression": "large-scores", "negative_log_likelihood": "",
    "layered_cross_entropy": "", "binary_cross_entropy": "", "multiclass_hinge": "scale-100",
    "crammer_singer_hinge": "scale-1000", "euclidean_norm": "scale-30", "pairwise_distance": "scale-30",
    "segment_sum": "scale-30", "segment_mean": "scale-30", "pca": "offset-100",
    "one_vs_rest": "scale-1000", "logistic_regression": "large-scores",
    "categorical_hinge": "scale-1000", "multilabel_margin": "scale-100",
    "categorical_cross_entropy": "",
}  # fmt: skip
ONE_NUMBER = {"*_regression/of-the-next-row/*/value": "the value is one number, and there is no next"}
BOTH_ZERO = {"sigmoid/*/float16/value": "exp(-30) is below half the smallest float16, so that right and wrong are 0"}


def of_every_op(op: str) -> Iterator[Mutant]:
    at = TYPICAL.get(op, "scale-1")
    yield Mutant(op, "none", right, right, survives={"*": "it is the right implementation"})
    for name, (defect, reason) in BOTH.items():
        yield Mutant(op, name, defect, defect, at, reason, survives=ONE_NUMBER if name == "of-the-next-row" else {})
    yield Mutant(op, "of-the-previous-call", stale, stale, "strided")
    yield Mutant(op, "missing", raw(lambda **kw: ()), at=at, reason="fail/missing")
    yield Mutant(op, "missing-gradient", vjp=raw(lambda g, y, **kw: dict.fromkeys(OPS[op].wrt)), at=at,
                 reason="fail/shape")  # fmt: skip
    # clipped in the forward where the gradient is not, and the other way round
    if LARGE.get(op, "scale-10000"):
        yield Mutant(op, "forward-clipped-at-30", arguments(lambda kw: {"x": np.clip(kw["x"], -30, 30)}),
                     at=LARGE.get(op, "scale-10000"), survives=BOTH_ZERO)  # fmt: skip
    yield Mutant(op, "gradient-clipped-at-0.1", vjp=result(lambda dx, kw: np.clip(dx, -0.1, 0.1)), at=at)
    yield Mutant(op, "cotangent-ignored", vjp=ones_for_cotangent, at=at)


# For value and gradient a k for which correct * (1 + 2^k u) is caught in every dtype, and where. The detection floor,
# which is over all cases, may be lower.
FLOOR = {
    "softmax": ((4, "scale-100"), (5, "scale-10")),
    "log_softmax": ((1, "scale-100"), (1, "scale-10")),
    "logsumexp": ((1, "scale-10"), (4, "classes-2")),
    "cross_entropy": ((1, "scale-10"), (1, "scale-10")),
    "soft_cross_entropy": ((1, "one-hot-scale-10"), (2, "scale-10")),
    "weighted_cross_entropy": ((2, "scale-10"), (3, "scale-10")),
    "sigmoid": ((1, "large-1000"), (1, "large-1000")),
    "log_sigmoid": ((1, "scale-1"), (1, "scale-10000")),
    "hinge": ((1, "scale-1"), (1, "scale-1")),
    "squared_hinge": ((1, "scale-1"), (1, "scale-1")),
    "ragged_centroid": ((5, "delta-0"), (6, "random")),
    "binary_cross_entropy_with_logits": ((1, "scale-1"), (1, "scale-1")),
    "binary_cross_entropy": ((3, "coarse"), (0, "coarse")),
    "layered_cross_entropy": ((4, "coarse"), (5, "perturbed")),
    "negative_log_likelihood": ((3, "classes-17"), (0, "classes-1000")),
    "softmax_regression": ((6, "scale-1"), (4, "scale-1")),
    "multiclass_hinge": ((1, "coarse"), (1, "scale-1")),
    "crammer_singer_hinge": ((1, "coarse"), (1, "scale-1")),
    "hinge_embedding": ((1, "scale-1"), (1, "scale-1")),
    "margin_ranking": ((1, "coarse"), (1, "scale-1")),
    "euclidean_norm": ((4, "scale-1"), (4, "scale-1")),
    "pairwise_distance": ((4, "scale-1"), (4, "scale-1")),
    "segment_sum": ((3, "scale-1"), (0, "scale-1")),
    "segment_mean": ((4, "scale-1"), (3, "scale-1")),
    "pca": ((10, "scale-1"), (10, "rows-3")),
    "focal_loss": ((1, "scale-10000"), (1, "scale-10000")),
    "one_vs_rest": ((1, "shift-minus-1000"), (1, "scale-10000")),
    "logistic_regression": ((3, "large-scores"), (1, "large-scores")),
    "categorical_hinge": ((1, "coarse"), (1, "scale-1")),
    "multilabel_margin": ((1, "scale-1"), (1, "scale-1")),
    "spatial_cross_entropy": ((1, "scale-10"), (1, "scale-10")),
    "categorical_cross_entropy": ((3, "one-hot-spread-4"), (1, "classes-17")),
}


def slightly_off(op: str) -> Iterator[Mutant]:
    (k, at), (j, there) = FLOOR[op]
    yield Mutant(op, f"value-off-by-2^{k}-u", value=off(k), at=at)
    yield Mutant(op, f"gradient-off-by-2^{j}-u", vjp=off(j), at=there)


MUTANTS = tuple(mutant for op in OPS for make in (of_every_op, slightly_off) for mutant in make(op))
