"""none, sum and mean over the first axis, what they do to a cotangent, and a mean over the classes."""

from __future__ import annotations

import numpy as np

from gradparity.arithmetic import mean
from gradparity.op import Array, Convention

DIVISOR = Convention(
    ("one", "classes"), "one", "what the sum over the classes is divided by: nothing, or the number of classes"
)


def reduced(loss: Array, reduction: str) -> Array:
    """loss, its sum, or its mean (sum / count).  loss: [N] -> [N] or a scalar."""
    if reduction == "none":
        return loss
    return np.sum(loss, axis=0) if reduction == "sum" else mean(loss)


def rows_of(x: Array) -> int:
    """How many rows it has; a number is one."""
    return x.shape[0] if x.shape else 1


def spread_back(g: Array, reduction: str, count: int) -> Array:
    """The cotangent of each row: g, or the scalar g for every one, divided by their number for the mean."""
    if reduction == "none":
        return g
    return np.broadcast_to(g if reduction == "sum" else g / count, (count,))


def divided(rows: Array, classes: int, divisor: str) -> Array:
    """What is a sum over the classes, or its cotangent, divided by their number where `divisor` says so."""
    return rows / classes if divisor == "classes" else rows
