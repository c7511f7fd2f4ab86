"""Dual numbers: arrays that know how they change along one direction.

    f(Dual(x, v)).tangent              # f'(x) v, the Jacobian times v
    f_vjp(g, y, Dual(x, v))["x"].tangent  # the Hessian of <g, f> times v

The lines of the reference run on them unchanged, and each part is an array of whatever kind the reference runs on: of
plain numbers, or of Tracked, so that a derivative comes with the bound of its own error. Each rule below is the chain
rule of one primitive. Nothing in this file knows an operation, or what the parts are made of.

Dual numbers are ordered as x + s v is for small s > 0: where two values are equal their tangents decide. So a choice
(max, where) at a tie is made as it is on one side of it, and its derivative is that of this side. Along -v it is that
of the other, and where the two differ there is no derivative: see `apart`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any

import numpy as np

from gradparity.op import Array, GradparityError, UnsupportedError


class NotDifferentiableError(UnsupportedError):
    """The inputs lie at a kink of the operation, where its derivative is nobody's to define."""


class Dual(np.lib.mixins.NDArrayOperatorsMixin):
    """A value, and its derivative along the direction that is looked at."""

    def __init__(self, value: Array, tangent: Array) -> None:
        self.value, self.tangent = value, tangent

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.value.shape)

    @property
    def ndim(self) -> int:
        return int(self.value.ndim)

    def __len__(self) -> int:
        return len(self.value)

    def __getitem__(self, i: Any) -> Dual:
        return Dual(self.value[i], self.tangent[i])

    def each(self, f: Callable[..., Array], *args: Any, **kw: Any) -> Dual:
        """f of both parts: f is linear."""
        return Dual(f(self.value, *args, **kw), f(self.tangent, *args, **kw))

    def __array_ufunc__(self, ufunc: Any, method: str, *xs: Any, **kw: Any) -> Any:
        if method != "__call__" or kw or not (ufunc in PARTIALS or ufunc in OTHERS):
            raise GradparityError(f"no rule of dual numbers for numpy.{ufunc.__name__} {method} {kw or ''}")
        if ufunc in OTHERS:
            return OTHERS[ufunc](ufunc, *xs)
        v = ufunc(*map(value, xs))
        terms = [
            partial(x.tangent, v, *map(value, xs))
            for partial, x in zip(PARTIALS[ufunc], xs, strict=True)
            if isinstance(x, Dual)
        ]
        return Dual(v, spread(reduce(np.add, terms), v.shape))

    def __array_function__(self, func: Any, types: Any, args: Any, kw: Any) -> Any:
        if func in FUNCTIONS:
            return FUNCTIONS[func](*args, **kw)
        if func not in LINEAR:
            raise GradparityError(f"no rule of dual numbers for numpy.{func.__name__}")
        return Dual(func(*part(args, value), **kw), func(*part(args, tangent), **kw))


def value(x: Any) -> Any:
    return x.value if isinstance(x, Dual) else x


def tangent(x: Any) -> Any:
    """A constant has none."""
    return x.tangent if isinstance(x, Dual) else 0.0


def part(args: Any, of: Callable[[Any], Any]) -> Any:
    """The values, or the tangents, of the dual numbers among args; what is in a list is moved about as one array."""
    if isinstance(args, list | tuple):
        return [part(x, of) for x in args]
    return of(args) if isinstance(args, Dual) else args


def spread(x: Array, shape: tuple[int, ...]) -> Array:
    return x if x.shape == shape else np.broadcast_to(x, shape)


def number(x: Any) -> Array:
    """Without the bound that it may carry."""
    return np.asarray(getattr(x, "v", x))


# --- rules: (tangent of the operand, value of the result, values of the operands) -> its part in the result's tangent

PARTIALS: Mapping[Any, tuple[Callable[..., Array], ...]] = {
    np.add: (lambda d, v, x, y: d, lambda d, v, x, y: d),
    np.subtract: (lambda d, v, x, y: d, lambda d, v, x, y: -d),
    np.multiply: (lambda d, v, x, y: d * y, lambda d, v, x, y: x * d),
    np.matmul: (lambda d, v, x, y: d @ y, lambda d, v, x, y: x @ d),
    np.divide: (lambda d, v, x, y: d / y, lambda d, v, x, y: -(v * d / y)),
    np.negative: (lambda d, v, x: -d,),
    np.square: (lambda d, v, x: 2 * x * d,),
    np.sqrt: (lambda d, v, x: d / (2 * v),),
    np.exp: (lambda d, v, x: v * d,),
    np.log: (lambda d, v, x: d / x,),
    np.log1p: (lambda d, v, x: d / (1 + x),),
}


def compare(f: Any, x: Any, y: Any) -> Array:
    """By the values, and where these are equal by the tangents."""
    c = f(value(x), value(y))
    tie = (number(value(x)) == number(value(y))) & (number(tangent(x)) != number(tangent(y)))
    return np.where(tie, f(tangent(x), tangent(y)), c) if tie.any() else c


def either(f: Any, x: Any, y: Any) -> Dual:
    """maximum, minimum: the tangent is that of what is passed on."""
    first = compare(np.greater_equal if f is np.maximum else np.less_equal, x, y)
    return Dual(f(value(x), value(y)), np.where(first, tangent(x), tangent(y)))


def finite(f: Any, x: Dual) -> Array:
    return f(x.value)


OTHERS: Mapping[Any, Callable[..., Any]] = {
    np.isfinite: finite,
    np.maximum: either,
    np.minimum: either,
    **dict.fromkeys((np.greater, np.greater_equal, np.less, np.less_equal, np.equal, np.not_equal), compare),
}


# --- functions of whole arrays


def where(c: Any, x: Any, y: Any) -> Dual:
    return Dual(np.where(c, value(x), value(y)), np.where(c, tangent(x), tangent(y)))


def largest(x: Dual, axis: Any = None, keepdims: bool = False) -> Dual:
    """max over an axis: the tangent d of what is largest, of several the largest one. What an error may have made the
    largest has another tangent: the elements of `may_be` have the value d, and where the choice may go the other way
    the distance to their own for an error, which moves its maximum or its minimum."""
    top = np.max(x.value, axis=axis, keepdims=True)
    won = number(x.value) == number(top)
    d = np.max(np.where(won, x.tangent, -np.inf), axis=axis, keepdims=True)
    may_be = np.where(won, d, np.where(x.value == top, x.tangent, d))
    d = -np.max(-may_be, axis=axis, keepdims=True) + (np.max(may_be, axis=axis, keepdims=True) - d)
    return Dual(top, d) if keepdims else Dual(np.squeeze(top, axis), np.squeeze(d, axis))


def clip(x: Any, low: float, high: float) -> Any:
    return np.minimum(np.maximum(x, low), high)


FUNCTIONS: Mapping[Any, Callable[..., Any]] = {np.max: largest, np.where: where, np.clip: clip}

# Of these the tangent of the result is the function of the tangent. Two arrays that are concatenated are both dual.
LINEAR = {
    np.sum, np.cumsum, np.reshape, np.squeeze, np.expand_dims, np.take_along_axis, np.concatenate, np.broadcast_to,
    np.moveaxis,
}  # fmt: skip


def apart(one: Array, other: Array, slack: Array) -> bool:
    """Whether what is the same on both sides of a smooth point differs, or is no number: by more than rounding,
    which is bounded by slack, since the sides of a branch may be computed by different formulas."""
    with np.errstate(all="ignore"):
        return not (np.abs(one - other) <= slack).all()
