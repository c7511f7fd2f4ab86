"""What stands before a function, so that it is traced and compiled together with it: what is not finite arises inside.

Plain operators of Python, which NumPy's arrays, those of the error arithmetic and every framework's tensors have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gradparity.op import Array, Arrays, GradparityError, nearest


def scaled(x: Any, scale: Any) -> Any:
    return x * scale


def scaled_vjp(g: Any, scale: Any) -> Any:
    return g * scale


def cooled(x: Any, temperature: Any) -> Any:
    return x / temperature


def cooled_vjp(g: Any, temperature: Any) -> Any:
    return g / temperature


def masked(x: Any, mask: Any) -> Any:
    return x + mask


def masked_vjp(g: Any, mask: Any) -> Any:
    return g


def affine(x: Any, scale: Any, offset: Any) -> Any:
    return x * scale + offset


def affine_vjp(g: Any, scale: Any, offset: Any) -> Any:
    return g * scale


@dataclass(frozen=True)
class Prelude:
    """What is made of x, and its gradient: forward(x, *beside), vjp(g, *beside). beside: the names of those arrays."""

    forward: Callable[..., Any]
    vjp: Callable[..., Any]
    beside: tuple[str, ...]

    def before(self, arrays: Mapping[str, Any]) -> Arrays:
        """The arrays of the function that comes after it."""
        made = self.forward(arrays["x"], *(arrays[k] for k in self.beside))
        return {k: made if k == "x" else v for k, v in arrays.items() if k not in self.beside}

    def back(self, dx: Array, arrays: Mapping[str, Any]) -> Array:
        """The gradient for x, from that for what was made of it."""
        return self.vjp(dx, *(arrays[k] for k in self.beside))


PRELUDES: Mapping[str, Prelude] = {
    "scaled": Prelude(scaled, scaled_vjp, ("scale",)),
    "cooled": Prelude(cooled, cooled_vjp, ("temperature",)),
    "masked": Prelude(masked, masked_vjp, ("mask",)),
    "affine": Prelude(affine, affine_vjp, ("scale", "offset")),
}
INSIDE = "inside"  # the parameter of a case that names one


def prelude_of(params: Mapping[str, Any]) -> Prelude | None:
    """The one that a case asks for. Raises GradparityError for one that there is not, which would be none."""
    name = params.get(INSIDE)
    if name is not None and name not in PRELUDES:
        raise GradparityError(nearest(name, list(PRELUDES), "prelude"))
    return None if name is None else PRELUDES[name]
