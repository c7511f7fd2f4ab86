"""The squared binary hinge."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradparity.op import Array, Arrays, Convention, Invariant, Op
from gradparity.reference.hinge import CASES, FINITE, SYMMETRIES
from gradparity.reference.hinge import OP as HINGE

NAN_MARGIN = Convention((np.nan, 0.0), np.nan, "the gradient at a NaN margin, where the value is NaN")


def squared_hinge(x: Array, t: Array, nan_margin: float = np.nan) -> Array:
    """y = max(0, 1 - t x)^2.  x: [n], t: [n] in {-1, +1} -> y: [n].

    Continuously differentiable: the kink needs no convention.
    Source: Chapelle, Training a support vector machine in the primal (2007), section 2.
    """
    return np.square(np.maximum(1 - t * x, 0))


def squared_hinge_vjp(g: Array, y: Array, x: Array, t: Array, nan_margin: float = np.nan) -> Arrays:
    """-2 t max(0, 1 - t x)."""
    h = np.maximum(1 - t * x, 0)
    return {"x": g * (-2 * t * np.where(h >= 0, h, nan_margin))}


def square_of_hinge(f: Any, hinge: Any, x: Array, t: Array) -> Array:
    return f(x=x, t=t) - np.square(hinge(x=x, t=t))


OP = Op(
    "squared_hinge", squared_hinge, squared_hinge_vjp, CASES,
    smooth=("scale-1", "around-kink", "below-kink", "transposed"), conventions={"nan_margin": NAN_MARGIN},
    invariants=(*SYMMETRIES, Invariant("square-of-hinge", square_of_hinge, FINITE, other=HINGE)), counted="large-1000",
)  # fmt: skip
