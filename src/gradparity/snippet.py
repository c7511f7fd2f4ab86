"""A failure as a person would show it: NumPy and the framework alone, the wrong number printed, pasted into Python."""

from __future__ import annotations

import base64
import inspect
import textwrap
import zlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from gradparity.adapter import Adapter, Implementation
from gradparity.cases import groups
from gradparity.check import check
from gradparity.op import DERIVED, MISROUNDED, Array, Case, GradparityError, Op, Result
from gradparity.prelude import INSIDE, prelude_of

LONGEST_LIST = 64  # elements; beyond that an array is written packed
LAYOUT_LINES = {"transposed": "np.array({}, order='F')", "strided": "np.repeat({}, 2, axis=-1)[..., ::2]"}


def snippet(op: Op, implementation: Implementation, adapter: Adapter, case: Case, row: Result, seed: int = 0) -> str:
    """The program for one row, cut down to one row of the batch where that shows the same."""
    if not row.is_residual:
        case, row = smallest(op, implementation, adapter, case, row, seed)
    return program(op, implementation, adapter, case, row, seed)


def program(op: Op, implementation: Implementation, adapter: Adapter, case: Case, row: Result, seed: int = 0) -> str:
    """The program for one row as it is: the framework is not run. An invariant, which calls a function several times
    over, has no such program: its residual, and how to see it again, as a comment. Raises GradparityError if the
    function has no gradient."""
    if row.is_residual:
        return what_is_asked(op, row, seed)
    direction = row.check.split(".")[0]
    if direction != "value" and implementation.vjp is None and direction not in adapter.show:
        raise GradparityError(f"{implementation.api} has no gradient: there is no program that shows one")
    group = next(g for g in groups(op, row.dtype, (case,), seed, direction) if wanted(g.cotangent, case, row))
    arrays = dict(group.arrays)
    if direction not in ("value", "jvp"):
        arrays["g"] = group.cotangents(value_of(op, implementation, group))
    if direction in DERIVED:
        arrays["v"] = group.tangents(argument_of(row))
    show = adapter.show
    lines = ["import numpy as np", "from numpy import inf, nan"]
    lines += ["from ml_dtypes import bfloat16"] if row.dtype == "bfloat16" else []
    lines += [*filter(None, [show.get("import")]), ""]
    lines += [f"{k} = {literal(v)}" for k, v in arrays.items()]
    if case.layout in LAYOUT_LINES:
        lines += [f"{k} = {LAYOUT_LINES[case.layout].format(k)}" for k, v in arrays.items() if v.ndim]
    lines += [f"{k} = {shown(show, 'tensor', str(v.dtype)).format(k)}" for k, v in arrays.items()] + [""]
    lines += call_lines(implementation, adapter, tuple(group.arrays), dict(group.params))
    lines += result_lines(op, implementation, adapter, direction, row, tuple(group.arrays), dict(group.params))
    return "\n".join(lines)


def what_is_asked(op: Op, row: Result, seed: int) -> str:
    words = f"f being {row.api}, this should be 0; to see it again: select '*/{row.case}/{row.check}', seed {seed}"
    residual = next((i.residual for i in op.invariants if row.check.split(".")[1] == i.name), None)
    of_both_modes = "sum(g * jvp(f, {0}, v)) - sum(v * vjp(f, {0}, g))".format(argument_of(row))
    lines = inspect.getsource(residual).splitlines() if residual else [of_both_modes]
    return "\n".join(f"# {line}".rstrip() for line in [words, *lines])


def argument_of(row: Result) -> str:
    """The argument that a row of a derivative is about."""
    return row.check.split(".")[1]


def shown(show: Mapping[str, str], what: str, dtype: str) -> str:
    """How an array of this dtype becomes the framework's tensor, or a tensor an array."""
    return show.get(f"{what} {dtype}", show.get(what, "np.asarray({})"))


def wanted(cotangent: str, case: Case, row: Result) -> bool:
    default = row.check.split(".")[-1] not in case.cotangents[1:]
    return cotangent == case.cotangents[0] if default else row.check.endswith("." + cotangent)


def value_of(op: Op, implementation: Implementation, group: Any) -> Array:
    """The output in plain float64: it only lends its shape to the cotangent."""
    with np.errstate(all="ignore"):
        arrays = {k: v.astype(np.float64) if v.dtype.kind not in "iu" else v for k, v in group.arrays.items()}
        y = op.forward(**arrays, **group.params, **implementation.declared(op))
    return y[0] if isinstance(y, tuple) else y


def smallest(
    op: Op, implementation: Implementation, adapter: Adapter, case: Case, row: Result, seed: int
) -> tuple[Case, Result]:
    """The one row of the batch in which the worst element lies, as a case of its own, if it fails alone."""
    direction = row.check.split(".")[0]
    group = groups(op, row.dtype, (case,), seed, direction)[0]
    if group.axis is None or not row.at or row.reason not in ("bound", "nonfinite"):
        return case, row
    k = row.at[group.axis % len(row.at)]
    arrays = {name: np.take(a, [k], group.axis) for name, a in group.arrays.items()}
    alone = replace(case, name=f"{case.name}.row-{k}", arrays=lambda draw: arrays)
    for result in check(op, implementation, adapter, row.dtype, direction, (alone,), seed):
        if result.check == row.check and result.status == "fail":
            return alone, result
    return case, row


def literal(a: Array) -> str:
    """An array as an expression that gives it back bit by bit."""
    kind = a.dtype.name if a.dtype.name == "bfloat16" else f"np.{a.dtype.name}"
    if a.size <= LONGEST_LIST:
        return f"np.array({np.asarray(a).tolist()}, dtype={kind})" + (f".reshape({a.shape})" if not a.size else "")
    packed = base64.b64encode(zlib.compress(np.ascontiguousarray(a).tobytes(), 9)).decode()
    return (f"np.frombuffer(__import__('zlib').decompress(__import__('base64').b64decode(\n    '{packed}'\n)), "
            f"dtype={kind}).reshape({a.shape}).copy()")  # fmt: skip


def call_lines(
    implementation: Implementation, adapter: Adapter, arrays: tuple[str, ...], params: dict[str, Any]
) -> list[str]:
    """`call`, a function of the arrays alone."""
    renames, made_with = implementation.renames, implementation.made_with
    words = {k: f"{renames.get(k, k)}={v}" for k, v in words_of(arrays, params).items()}
    source, name = ([], implementation.api) if implementation.fn is None else source_of(implementation.fn)
    prelude = prelude_of(params)
    source = source if prelude is None else source_of(prelude.forward)[0] + source
    if made_with is not None:
        name += f"({', '.join(words.pop(k) for k in made_with)})"
    compiled = adapter.show.get("compile", "{}").format(
        f"lambda {', '.join(arrays)}: {name}({', '.join(words.values())})"
    )
    return [*source, f"call = {compiled}"]


def words_of(arrays: tuple[str, ...], params: dict[str, Any]) -> dict[str, str]:
    """How each argument is written: x as its prelude makes it, if there is one."""
    words, prelude = {k: k for k in arrays}, prelude_of(params)
    if prelude is not None:
        words["x"] = f"{prelude.forward.__name__}({', '.join(['x', *(words.pop(k) for k in prelude.beside)])})"
    return words | {k: repr(v) for k, v in params.items() if k != INSIDE}


def source_of(fn: Any) -> tuple[list[str], str]:
    """The text of a function and its name; a lambda is named by the reader."""
    try:
        text = textwrap.dedent(inspect.getsource(fn))
    except (OSError, TypeError):
        text = ""
    if not text.startswith("def "):
        return ["function_under_test = ...  # the function that was checked"], "function_under_test"
    return ["from typing import Any", "", *text.splitlines(), ""], fn.__name__


def result_lines(
    op: Op, implementation: Implementation, adapter: Adapter, direction: str, row: Result,
    arrays: tuple[str, ...], params: dict[str, Any],
) -> list[str]:  # fmt: skip
    """What computes the result, and prints it beside what it should be."""
    names = ", ".join(arrays)
    if direction == "value":
        k = op.checks("value").index(row.check.removesuffix(f".{MISROUNDED}"))
        lines, result = [adapter.show["value"].format(args=names)], f"y[{k}]" if len(op.outputs) > 1 else "y"
    elif implementation.vjp is not None:
        source, name = source_of(implementation.vjp)
        words = ", ".join(f"{k}={v}" for k, v in words_of(arrays, params).items())
        lines, result = [*source, f"dx = {name}(g, call({names}), {words})['{argument_of(row)}']"], "dx"
        prelude = prelude_of(params)
        if prelude is not None and argument_of(row) == "x":
            source, name = source_of(prelude.vjp)
            lines += [*source, f"dx = {name}(dx, {', '.join(prelude.beside)})"]
    else:
        first = "[0]" if len(op.outputs) > 1 else ""
        template = adapter.show[direction].replace("call({args})", "call({args})" + first)
        lines, result = template.format(args=names, wrt=argument_of(row)).splitlines(), "dx"
    lines.append(f"result = {shown(adapter.show, 'array', row.dtype).format(result)}")
    if row.is_share:
        return [*lines, f"print(result)  # not the nearest {row.dtype} to what is true: {row.got or 'some'} elements"]
    if not row.at and row.reason in ("shape", "dtype", "missing", "exception", "convention"):
        return [*lines, "print(result.shape, result.dtype)"]
    element = f"[{', '.join(map(str, row.at)) or '()'}]" if row.at or row.want else ""
    return [*lines, f"print(result{element})" + (f"  # the reference is {row.want}" if row.want else "")]
