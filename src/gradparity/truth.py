"""What the reference expects of an implementation, and how far from it a result may be."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np

from gradparity.adapter import Implementation
from gradparity.arithmetic import EVERYTHING, EXACTLY, Arithmetic, Tracked, fl, size
from gradparity.cases import Group, groups
from gradparity.dual import Dual, NotDifferentiableError, apart
from gradparity.environment import flushes_to_zero
from gradparity.memo import Memo
from gradparity.op import (
    DERIVED,
    FORMATS,
    Array,
    Arrays,
    Case,
    GradparityError,
    Op,
    Road,
    is_float,
    join,
    nearest,
    outputs,
    wide,
)


def grouped(op: Op, dtype: str, cases: tuple[Case, ...], seed: int, direction: str) -> list[Group]:
    """By the cases themselves, not their names: somebody's case of the same name has other inputs."""
    return remembered((op, dtype, cases, seed, direction), lambda: groups(op, dtype, cases, seed, direction))


def bytes_of(value: Any) -> int:
    """Of the arrays in it. A group that stands beside its reference is counted in the list of groups alone."""
    if isinstance(value, list):
        return sum(bytes_of(group.arrays) for group in value)
    if isinstance(value, Mapping):
        return bytes_of(tuple(value.values()))
    if isinstance(value, tuple):
        return sum(map(bytes_of, value))
    return value.v.nbytes + value.e.nbytes if isinstance(value, Tracked) else getattr(value, "nbytes", 0)


# Groups, their references and bounds: those of one operation and dtype, which its implementations share in all modes.
# All but a few take some kilobytes, and the objects around them; drawn sizes take tens of megabytes.
REMEMBERED = Memo(2.5e8, lambda made: 5e4 + bytes_of(made))
remembered = REMEMBERED.get


def cotangents(group: Group, y: Array) -> Array:
    """The group's cotangent, drawn once for the framework and the reference."""
    return remembered((id(group), "cotangents"), lambda: (group, group.cotangents(y)))[1]


def expected(
    op: Op, implementation: Implementation, group: Group, dtype: str, direction: str, silent: str = ""
) -> dict[str, Tracked]:
    """Truth and bound of each check, for this implementation's conventions, road and precision."""
    key = (declared(op, implementation, dtype, direction), id(group), dtype, direction, silent)
    make = REFERENCES[direction]
    # the group is kept beside its reference, so that its id is not given to another meanwhile
    return remembered(key, lambda: (group, make(op, implementation, group, dtype, silent)))[1]


def declared(op: Op, implementation: Implementation, dtype: str, direction: str) -> tuple[Any, ...]:
    """All of an implementation that its reference depends on."""
    directions = ("value", "vjp", *DERIVED) if direction in DERIVED else ("value", direction)
    precisions = [repr(implementation.precision_of(dtype, d)) for d in directions]
    return (op, repr(implementation.declared(op)), implementation.road, *precisions)


def reference_value(
    op: Op, implementation: Implementation, group: Group, dtype: str, silent: str
) -> dict[str, Tracked]:  # fmt: skip
    y = stored_value(op, implementation, dtype, silent, group.arrays | dict(group.params))
    return dict(zip(op.checks("value"), y, strict=True))


def reference_vjp(
    op: Op, implementation: Implementation, group: Group, dtype: str, silent: str
) -> dict[str, Tracked]:  # fmt: skip
    y = expected(op, implementation, group, dtype, "value", silent)["value"]
    g = cotangents(group, y.v)
    dx = stored_vjp(op, implementation, dtype, silent, g, y, group.arrays | dict(group.params))
    return {join("vjp", k): v for k, v in dx.items()}


def stored_value(
    op: Op, implementation: Implementation, dtype: str, silent: str, arguments: Arrays
) -> tuple[Tracked, ...]:  # fmt: skip
    """The outputs of the reference, as the implementation may store them."""
    refuse_flush_to_zero()
    refuse_other_rounding()
    a = Arithmetic(dtype, implementation.precision_of(dtype, "value"), silent)
    forward = road_of(op, implementation).forward or op.forward
    with np.errstate(all="ignore"):
        y = outputs(forward(**tracked(a, arguments, op.wrt), **conventions(op, implementation, dtype)))
        return tuple(sound(a.store(part), op) for part in y)


def stored_vjp(
    op: Op, implementation: Implementation, dtype: str, silent: str, g: Array, y: Tracked, arguments: Arrays
) -> Arrays:  # fmt: skip
    """Its gradients for the cotangent g, from the stored output y."""
    forward, back = (implementation.precision_of(dtype, direction) for direction in ("value", "vjp"))
    a = Arithmetic(dtype, back, silent, forward=forward)
    vjp = road_of(op, implementation).vjp or op.vjp
    with np.errstate(all="ignore"):
        given = tracked(a, arguments, op.wrt) | conventions(op, implementation, dtype)
        dx = vjp(a(g), Tracked(y.v, y.e, a), **given)
        return {k: sound(a.store(dx[k]), op) for k in op.wrt}


def reference_jvp(
    op: Op, implementation: Implementation, group: Group, dtype: str, silent: str
) -> dict[str, Tracked]:  # fmt: skip
    """J v for each argument, in two ways: the tangent of each step of the forward, and the rows of the Jacobian, as
    the gradient gives them, times v. Forward mode may go either way at any of its steps, or from the stored output, so
    what is allowed at an element is what one of them may miss, each measured from the first."""
    y = expected(op, implementation, group, dtype, "value", silent)["value"]
    found = {}
    for name in op.wrt:
        d = along(op, implementation, group, dtype, silent, name, "jvp", forward_of)
        for other in by_rows(op, implementation, group, dtype, silent, name, y):
            d = Tracked(d.v, np.maximum(d.full, size(other.v - d.v) + other.full), d.a)
        found[join("jvp", name)] = sound(d.a.store(d), op)
    return found


def reference_hvp(
    op: Op, implementation: Implementation, group: Group, dtype: str, silent: str, direction: str = "hvp"
) -> dict[str, Tracked]:  # fmt: skip
    """H v for each argument: the tangent of the gradient, whose output moves by J v as it may be computed."""
    same = implementation.precision_of(dtype, direction) == implementation.precision_of(dtype, "hvp")
    if direction != "hvp" and same:
        of_hvp = expected(op, implementation, group, dtype, "hvp", silent)
        return {join(direction, name): of_hvp[join("hvp", name)] for name in op.wrt}
    found = {name: along(op, implementation, group, dtype, silent, name, direction, vjp_of) for name in op.wrt}
    return {join(direction, name): sound(d.a.store(d), op) for name, d in found.items()}


REFERENCES: dict[str, Callable[..., dict[str, Tracked]]] = {
    "value": reference_value,
    "vjp": reference_vjp,
    "jvp": reference_jvp,
    "hvp": reference_hvp,
    "hvp-reverse": partial(reference_hvp, direction="hvp-reverse"),
}


def along(
    op: Op, implementation: Implementation, group: Group, dtype: str, silent: str, name: str, direction: str, of: Any
) -> Tracked:  # fmt: skip
    """The tangent of the forward or of the gradient as the argument moves along its tangent. Raises
    NotDifferentiableError where that is another thing the other way."""
    a = Arithmetic(dtype, implementation.precision_of(dtype, direction), silent)
    d: Tracked
    y, d = of(op, implementation, group, name, a, 1)
    if not silent:
        y_back, d_back = of(op, implementation, group, name, replace(a, silent=EVERYTHING), -1)
        if apart(y.v, y_back.v, 2 * y.full) or apart(d.v, -d_back.v, 2 * d.full):
            raise NotDifferentiableError(f"{op.name} has no derivative here along {name}: a kink or a tie")
    return d


def forward_of(
    op: Op, implementation: Implementation, group: Group, name: str, a: Arithmetic, sign: int
) -> tuple[Tracked, Tracked]:  # fmt: skip
    forward = road_of(op, implementation).forward or op.forward
    with np.errstate(all="ignore"):
        moved = moving(group, name, a, sign)
        return parts(outputs(forward(**moved, **conventions(op, implementation, a.dtype)))[0])


def vjp_of(
    op: Op, implementation: Implementation, group: Group, name: str, a: Arithmetic, sign: int
) -> tuple[Tracked, Tracked]:  # fmt: skip
    vjp = road_of(op, implementation).vjp or op.vjp
    y = expected(op, implementation, group, a.dtype, "value", a.silent)["value"]
    g = cotangents(group, y.v)
    dy = expected(op, implementation, group, a.dtype, "jvp", a.silent)[join("jvp", name)]
    with np.errstate(all="ignore"):
        y_moved, moved = Dual(Tracked(y.v, y.e, a), Tracked(sign * dy.v, dy.e, a)), moving(group, name, a, sign)
        return parts(vjp(a(g), y_moved, **moved, **conventions(op, implementation, a.dtype))[name])


def moving(group: Group, name: str, a: Arithmetic, sign: int) -> Arrays:
    """The arguments, of which one moves along its tangent or against it."""
    arguments = tracked(a, group.arrays | dict(group.params))
    return {**arguments, name: Dual(arguments[name], a(sign * group.tangents(name)))}


def parts(y: Any) -> tuple[Tracked, Tracked]:
    """What does not depend on the argument has the tangent 0."""
    return (y.value, y.tangent) if isinstance(y, Dual) else (y, Tracked(0 * y.v, EXACTLY, y.a))


MOST_ROWS = 16  # gradients that are taken for the rows of a Jacobian


def by_rows(
    op: Op, implementation: Implementation, group: Group, dtype: str, silent: str, name: str, y: Tracked
) -> Iterator[Tracked]:
    """J v from the gradients for each output of a row of the batch, which are the rows of its block of the Jacobian;
    nothing where a row has too many outputs."""
    axis = None if group.axis is None or not y.ndim else group.axis % y.ndim
    places = [range(1) if k == axis else range(n) for k, n in enumerate(y.shape)]
    if np.prod([len(place) for place in places]) > MOST_ROWS:
        return
    a = Arithmetic(dtype, implementation.precision_of(dtype, "jvp"), silent)
    v, e = np.zeros(y.shape, wide(dtype)), np.zeros(y.shape)
    direction = a(group.tangents(name))
    vjp = road_of(op, implementation).vjp or op.vjp
    given = tracked(a, group.arrays | dict(group.params)) | conventions(op, implementation, dtype)
    for place in product(*places):
        at = tuple(slice(None) if k == axis else i for k, i in enumerate(place))
        g = np.zeros(y.shape)
        g[at] = 1
        with np.errstate(all="ignore"):
            one = group.sums(vjp(a(g), Tracked(y.v, y.e, a), **given)[name] * direction)
        v[at], e[at] = one.v, one.full
    yield Tracked(v, e, a)


def conventions(op: Op, implementation: Implementation, dtype: str) -> dict[str, Any]:
    """As declared, numbers rounded to the dtype: they are constants of the formula, and that is where it stands."""
    values = implementation.declared(op)
    return {k: float(fl(np.asarray(v), FORMATS[dtype])) if isinstance(v, float) else v for k, v in values.items()}


def road_of(op: Op, implementation: Implementation) -> Road:
    """The declared road; one that does not exist would silently be the operation's own."""
    if implementation.road and implementation.road not in op.roads:
        raise GradparityError(nearest(implementation.road, sorted(op.roads), f"road of {op.name}"))
    return op.roads.get(implementation.road, Road())


def refuse_flush_to_zero() -> None:
    """The processor's flush-to-zero mode belongs to the thread, NumPy's arithmetic included: the reference would be
    wrong wherever it underflows, and agree with what is wrong in the same way."""
    if flushes_to_zero():
        raise GradparityError(
            "flush-to-zero is on in this thread, so the reference would be wrong: switch it off "
            "(torch.set_flush_denormal(True) or a library built with -ffast-math may have switched it on)"
        )


def refuse_other_rounding(add: Callable[..., Array] = np.add) -> None:
    """The rules, and what is exact without a long double, need float64 sums that are rounded once, to nearest even.
    Where they are rounded in a register of 64 bits first, or in a mode set by somebody, one of these two is another."""
    if add(1.0, np.array([2.0**-53, 2.0**-53 + 2.0**-75])).tolist() != [1.0, 1 + 2.0**-52]:
        raise GradparityError(
            "float64 sums are not rounded once to nearest in this thread, so no bound would hold: use a build for SSE2 "
            "instead of x87, and the rounding mode to nearest"
        )


def tracked(a: Arithmetic, values: Any, wrt: Sequence[str] = ()) -> dict[str, Any]:
    """Float arrays and parameters as inputs of the arithmetic, and what has a gradient, integers too; labels and words
    as they are."""
    return {k: a(v) if is_float(v) or k in wrt else v for k, v in values.items()}


def sound(y: Tracked, op: Op) -> Tracked:
    """A bound that is NaN, negative or of another shape judges nothing."""
    if np.isnan(y.e).any() or (y.e < 0).any() or y.full.shape != y.v.shape:
        raise GradparityError(f"the bound of {op.name} is NaN or negative somewhere: a rule of the arithmetic is wrong")
    return y
