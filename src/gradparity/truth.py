"""What the reference expects of an implementation, and how far from it a result may be."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from gradparity.adapter import Implementation
from gradparity.arithmetic import Arithmetic, Tracked, fl
from gradparity.cases import Group, groups
from gradparity.environment import flushes_to_zero
from gradparity.op import FORMATS, Array, Arrays, Case, GradparityError, Op, Road, is_float, join, nearest, outputs


def grouped(op: Op, dtype: str, cases: tuple[Case, ...], seed: int, direction: str) -> list[Group]:
    """By the cases themselves, not their names: somebody's case of the same name has other inputs."""
    return remembered((op, dtype, cases, seed, direction), lambda: groups(op, dtype, cases, seed, direction))


T = TypeVar("T")
REMEMBERED: OrderedDict[Any, Any] = OrderedDict()
MOST_REMEMBERED = 128  # groups, their references and bounds: what the implementations of one op and dtype share


def remembered(key: Any, make: Callable[[], T]) -> T:
    if key not in REMEMBERED:
        REMEMBERED[key] = make()
        if len(REMEMBERED) > MOST_REMEMBERED:
            REMEMBERED.popitem(last=False)
    REMEMBERED.move_to_end(key)
    found: T = REMEMBERED[key]
    return found


def cotangents(group: Group, y: Array) -> Array:
    """The group's cotangent, drawn once for the framework and the reference."""
    return remembered((id(group), "cotangents"), lambda: (group, group.cotangents(y)))[1]


def expected(
    op: Op, implementation: Implementation, group: Group, dtype: str, direction: str, silent: str = ""
) -> dict[str, Tracked]:
    """Truth and bound of each check, for this implementation's conventions, road and precision."""
    key = (declared(op, implementation, dtype, direction), id(group), dtype, direction, silent)
    make = reference_value if direction == "value" else reference_vjp
    # the group is kept beside its reference, so that its id is not given to another meanwhile
    return remembered(key, lambda: (group, make(op, implementation, group, dtype, silent)))[1]


def declared(op: Op, implementation: Implementation, dtype: str, direction: str) -> tuple[Any, ...]:
    """All of an implementation that its reference depends on."""
    precisions = [repr(implementation.precision_of(dtype, d)) for d in ("value", direction)]
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
    a = Arithmetic(dtype, implementation.precision_of(dtype, "vjp"), silent)
    vjp = road_of(op, implementation).vjp or op.vjp
    with np.errstate(all="ignore"):
        given = tracked(a, arguments, op.wrt) | conventions(op, implementation, dtype)
        dx = vjp(a(g), Tracked(y.v, y.e, a), **given)
        return {k: sound(a.store(dx[k]), op) for k in op.wrt}


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
