"""Modes: one that compiles proves it, one that maps needs rows, and what a mode declares otherwise."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gradparity import catalogue
from gradparity.adapter import Adapter, Call, Implementation, axis_of_rows, redeclared
from gradparity.arithmetic import STEPWISE, Precision
from gradparity.check import check
from gradparity.mutation import NUMPY
from gradparity.op import FallbackError, GradparityError, Raises, Result, UnsupportedError
from gradparity.reference import OPS

MODES = {a.name: a for a in catalogue.adapters() if a.installed}
CASES = [case for case in OPS["cross_entropy"].cases if case.name in ("scale-1", "scale-10")]


# --- what an adapter may raise


def rows(raised: Exception, edge: bool = False) -> list[Result]:
    """Of a framework whose value is this exception."""

    def value(*_: Any) -> Any:
        raise raised

    op = OPS["cross_entropy"]
    own = Implementation("cross_entropy", "f", max, edges={"label_dtype": Raises("FallbackError")})
    cases = tuple(case for case in op.edge_cases if case.edge == "label_dtype") if edge else tuple(CASES)
    return check(op, own, replace(NUMPY, value=value), "float32", "value", cases)


@pytest.mark.parametrize("edge", [False, True])
def test_what_fell_back_is_an_error_and_never_a_pass(edge: bool) -> None:
    """Not even where an exception of that name was due."""
    found = rows(FallbackError("eager"), edge)
    assert found
    assert {(row.status, row.reason) for row in found} == {("error", "fallback")}
    assert all("eager" in row.message for row in found)


def test_what_a_mode_cannot_do_is_unsupported_and_says_why() -> None:
    assert {(r.status, r.reason, r.message) for r in rows(UnsupportedError("no rows"))} == {
        ("unsupported", "no rows", "")
    }


def test_a_stack_that_fell_back_is_not_run_case_by_case() -> None:
    calls: list[int] = []

    def value(*_: Any) -> Any:
        calls.append(1)
        raise FallbackError("eager")

    check(OPS["softmax"], Implementation("softmax", "f", max), replace(NUMPY, value=value), "float32", "value",
          tuple(OPS["softmax"].cases[:3]))  # fmt: skip
    assert len(calls) == 1


# --- a mode that compiles, made to fall back, in a process of its own

FALL_BACK = {
    "torch compile-aot": "import torch; torch.compiler.set_stance('force_eager')",
    "torch compile": "import torch; torch.compiler.set_stance('force_eager')",
    "tensorflow function": "import tensorflow as tf; tf.config.run_functions_eagerly(True)",
    "tensorflow xla": "import gradparity.adapters.tensorflow as t; f = t.function; t.function = lambda g, **_: f(g)",
    "jax jit": "import jax; jax.config.update('jax_disable_jit', True)",
    "jax vmap": "import jax; jax.config.update('jax_disable_jit', True)",
}
PROGRAM = """
from gradparity import catalogue
for item in catalogue.items(catalogue.Selection(({framework!r},), ({mode!r},), (), ("float32",), ("softmax",),
                                                "*/scale-1/v*")):
    print(*{{(row.status, row.reason) for row in item.run()}}, sep=";")
"""


def statuses(adapter: Adapter, before: str, **variables: str) -> list[str]:
    """Of the value and of the gradient of one case, in a process in which this was done before."""
    program = before + PROGRAM.format(framework=adapter.framework, mode=adapter.mode)
    return subprocess.check_output(
        [sys.executable, "-W", "ignore", "-c", program], text=True,
        env=os.environ | adapter.variables | variables, stderr=subprocess.DEVNULL,
    ).splitlines()  # fmt: skip


@pytest.mark.parametrize("name", FALL_BACK)
def test_a_compiled_mode_that_is_made_to_fall_back_is_an_error(name: str) -> None:
    if name not in MODES:
        pytest.skip(f"{name} is not installed")
    found = statuses(MODES[name], FALL_BACK[name])
    assert found
    assert set(found) == {"('error', 'fallback')"}


@pytest.mark.parametrize("name", FALL_BACK)
def test_a_compiled_mode_that_is_left_alone_computes(name: str) -> None:
    if name not in MODES:
        pytest.skip(f"{name} is not installed")
    assert statuses(MODES[name], "") == ["('pass', '')"] * 2


@pytest.mark.skipif("torch compile" not in MODES, reason="torch is not installed")
def test_inductor_without_a_compiler_is_unsupported_and_says_so() -> None:
    """Also where what was compiled before lies in the cache."""
    found = statuses(MODES["torch compile"], "", CXX="no-such-compiler", PATH="")
    assert len(found) == 2
    assert all(row.startswith("('unsupported', ") for row in found)
    assert all("inductor needs a C++ compiler" in row and "no-such-compiler" in row for row in found)


def test_every_mode_that_compiles_is_made_to_fall_back() -> None:
    """But those that only map, and those of other frameworks' functions."""
    compiled = {a.name for a in catalogue.adapters() if "compile" in a.show and a.framework not in ("keras", "optax")}
    assert compiled - {"torch vmap-grad"} <= set(FALL_BACK)


# --- modes that map over rows


def identity(**arrays: Any) -> Any:
    return arrays


@pytest.mark.parametrize("fn", [identity, Call(identity, {}, {})])
def test_what_has_no_rows_cannot_be_mapped(fn: Callable[..., Any]) -> None:
    with pytest.raises(UnsupportedError, match="no rows"):
        axis_of_rows(fn)
    assert axis_of_rows(Call(identity, {}, {}, axis=1)) == 1


def test_calls_of_different_axes_are_not_taken_for_one_another() -> None:
    assert Call(max, {}, {}, axis=0) != Call(max, {}, {})


# --- what a mode declares otherwise


def test_what_is_redeclared_stands_before_what_is_declared() -> None:
    wide = Precision("C")
    own = Implementation("softmax", "f", max, precision={"*": STEPWISE, "float16/*": STEPWISE})
    other = Implementation("softmax", "g", max)
    changed, same = redeclared((own, other), {"softmax/f": {"precision": {"float16/*": wide}}})
    assert same is other
    assert list(changed.precision) == ["float16/*", "*"]
    assert changed.precision_of("float16", "value") == wide
    assert changed.precision_of("float32", "value") == STEPWISE
    assert own.precision_of("float16", "value") == STEPWISE


def test_every_redeclaration_is_of_an_implementation() -> None:
    """A glob that matches none would silently be none."""
    own = Implementation("softmax", "f", max)
    with pytest.raises(GradparityError, match="softmax/h"):
        redeclared((own,), {"softmax/h": {"precision": {}}})


RAGGED = [i for name, a in MODES.items() if name == "jax eager" for i in a.implementations if i.op == "ragged_centroid"]


@pytest.mark.parametrize("implementation", RAGGED, ids=[i.api for i in RAGGED])
def test_what_jax_compiled_for_a_gradient_it_does_not_compile_again(implementation: Implementation) -> None:
    """In eager mode either, where a loop is compiled whole: anew each time, if its body is a new function each time."""
    import jax

    compiled: list[str] = []

    def listen(event: str, seconds: float, **_: Any) -> None:
        if event.endswith("backend_compile_duration"):
            compiled.append(event)

    adapter, op = MODES["jax eager"], OPS["ragged_centroid"]
    x, t = np.linspace(-1, 1, 24, dtype=np.float32).reshape(2, 4, 3), np.array([[0, 1, 1, 0], [0, 0, 0, 1]])
    seen = []
    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        for _ in range(2):
            call = adapter.call(implementation, {"delta": 0.5, "over_classes": "sum", "reduction": "mean"})
            adapter.value_and_vjp(call, {"x": x, "t": t}, op.wrt, np.float32(1))
            seen.append(len(compiled))
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    assert seen[1] == seen[0] > 0
