"""gradparity probe: the narrowest declaration that holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gradparity import cli
from gradparity.adapter import Implementation
from gradparity.adapters.numpy import ADAPTERS
from gradparity.arithmetic import CLASSES, Precision
from gradparity.catalogue import Item, Selection
from gradparity.mutation import right
from gradparity.probe import Trial, ladder, trials
from gradparity.reference import OPS

SIGMOID = OPS["sigmoid"]


def stepwise(x: Any) -> Any:
    """Every operation rounded to the dtype: class B, and no narrower."""
    z = np.exp(np.minimum(x, -x))
    return np.where(x >= 0, 1 / (1 + z), z / (1 + z)).astype(x.dtype)


def tried(fn: Callable[..., Any], declared: Any, dtype: str = "float16") -> list[Trial]:
    implementation = Implementation("sigmoid", "mine", fn, precision=declared)
    return list(trials(Item(SIGMOID, implementation, ADAPTERS[0], dtype, "value", Selection())))


def test_the_ladder_goes_from_narrow_to_wide() -> None:
    assert [(p.cls, p.sharp) for p in ladder("bfloat16")] == [(c, s) for c in CLASSES for s in (True, False)]
    assert [(p.cls, p.sharp) for p in ladder("float32")] == [("A", True), ("A", False)]


def test_a_narrower_declaration_that_holds_is_found() -> None:
    (trial,) = tried(right(SIGMOID.forward), {"float16/value/*": Precision("B")})
    assert trial.narrowest == Precision("A", sharp=True)
    assert str(trial).endswith("value: class B is declared, class A sharp holds too")


def test_what_is_declared_and_needed_is_the_narrowest() -> None:
    (trial,) = tried(stepwise, {"*": Precision("C")})
    assert trial.narrowest is not None
    assert trial.narrowest.cls == "B"
    (again,) = tried(stepwise, {"*": Precision("B", trial.narrowest.sharp, finding="it rounds each step")})
    assert "holds, and nothing narrower\n    finding: it rounds each step" in str(again)


def test_what_does_not_hold_is_said_with_the_worst_row() -> None:
    (trial,) = tried(stepwise, {})
    assert trial.narrowest is None
    assert trial.bad
    assert f"class A does not hold in {len(trial.bad)} rows: sigmoid/mine/eager/cpu/float16/" in str(trial)


def test_cases_that_are_declared_apart_are_tried_apart() -> None:
    first, second = tried(right(SIGMOID.forward), {"float16/value/scale-*": Precision("B"), "*": Precision("C")})
    assert {case.name.startswith("scale-") for case in first.cases} == {True}
    assert len(first.cases) + len(second.cases) == len(SIGMOID.cases)
    assert f" ({len(first.cases)} of {len(SIGMOID.cases)} cases): class B is declared" in str(first)


def test_the_command_prints_a_line_for_each(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["probe", "--framework", "numpy", "--op", "softmax", "--dtype", "float32"]
    code: int = cli.cli.main(words, standalone_mode=False)
    lines = capsys.readouterr().out.splitlines()
    assert (code, len(lines)) == (0, 2)
    assert lines[0].startswith("softmax/gradparity.adapters.numpy.softmax_pure_python/eager/cpu/float32/value: class ")
