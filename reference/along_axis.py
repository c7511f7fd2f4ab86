"""What the operations along an axis share: their cases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gradparity.cases import LOGITS, Draw, in_layouts, logits
from gradparity.op import Array, Case
from gradparity.reference.digits import digits_logits


def other_axis(params: Mapping[str, Any]) -> int | None:
    """Along axis -1, rows (axis 0) are independent; along axis 0, what is independent is not stacked."""
    return 0 if params["axis"] == -1 else None


def only_x(make: Any) -> Any:
    return lambda draw: {"x": make(draw)}


def cube(draw: Draw) -> Array:
    return draw.normal("x", (3, 4, 5))


CASES = (
    *(Case(name, only_x(make), {"axis": -1}) for name, make in LOGITS.items()),
    Case("digits", lambda draw: {"x": digits_logits(draw)}, {"axis": -1}, ("normal", "ones")),
    # as many equal classes as a 16-bit square of their number overflows at; the gradient of their sum is 0
    Case("classes-1000-equal", lambda draw: {"x": draw.full((4, 1000), 0.0)}, {"axis": -1}, ("ones",)),
    Case("axis-0", only_x(lambda draw: logits(draw, 6, 5)), {"axis": 0}),
    Case("axis-0-scale-10000", only_x(lambda draw: logits(draw, 6, 5, 1e4)), {"axis": 0}),
    Case("axis-1-of-3", only_x(cube), {"axis": 1}),
    *in_layouts(Case("contiguous", only_x(lambda draw: logits(draw, 8, 9, 2.0)), {"axis": -1})),
)

# Where invariants are looked at: one shape, and one along another axis, since a framework compiles for each.
FINITE = ("coarse", "scale-10", "dominant-20", "near-ties")
