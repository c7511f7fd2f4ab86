"""gradparity probe: the narrowest declaration that holds."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradparity import cli
from gradparity.adapter import Implementation
from gradparity.adapters.numpy import ADAPTERS
from gradparity.arithmetic import CLASSES, Precision
from gradparity.catalogue import Item, Selection
from gradparity.mutation import right
from gradparity.op import GradparityError, Raises
from gradparity.probe import Trial, declaration, due_at, ladder, source, trials
from gradparity.reference import OPS
from gradparity.tiers import TIERS

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
    every = len(TIERS["full"].cases(SIGMOID, "eager", "float16", "value"))
    assert len(first.cases) + len(second.cases) == every
    assert f" ({len(first.cases)} of {every} cases): class B is declared" in str(first)


def test_the_command_prints_a_line_for_each(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["probe", "--framework", "numpy", "--op", "softmax", "--dtype", "float32"]
    code: int = cli.cli.main(words, standalone_mode=False)
    lines = capsys.readouterr().out.splitlines()
    assert (code, len(lines)) == (0, 2)
    assert lines[0].startswith("softmax/gradparity.adapters.numpy.softmax_pure_python/eager/cpu/float32/value: class ")


# --- a function of which nothing is declared

HINGE, CROSS_ENTROPY = OPS["hinge"], OPS["cross_entropy"]


def hinge_with(kink: float, nan_margin: float, factor: float = 1.0) -> Implementation:
    """The hinge that takes these choices, its gradient times a factor."""

    def vjp(g: Any, y: Any, x: Any, t: Any) -> Any:
        dx = HINGE.vjp(g, y, x=x, t=t, kink=kink, nan_margin=nan_margin)["x"]
        return {"x": (factor * dx).astype(x.dtype)}

    return Implementation("hinge", "mine", right(HINGE.forward), vjp=vjp)


@pytest.mark.parametrize("kink", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("nan_margin", [0.0, 1.0])
def test_the_choices_of_a_function_are_found(kink: float, nan_margin: float) -> None:
    found = declaration(hinge_with(kink, nan_margin), ADAPTERS[0], ("float32",))
    assert found.fits
    choices = f'    conventions={{"kink": {kink}, "nan_margin": {nan_margin}}},'
    edges = '    edges={"mixed": "float32"},'
    assert list(found.lines) == ["Implementation(", '    "hinge", "mine",', choices, edges, ")"]


def test_where_no_declaration_fits_every_one_has_the_case_that_decides_against_it() -> None:
    found = declaration(hinge_with(0.0, 0.0, factor=2.0), ADAPTERS[0], ("float32",))
    head, *others = found.lines
    assert not found.fits
    assert head == "hinge: no declaration fits mine"
    assert len(others) == 9
    assert all(
        re.match(r"  kink=.*, nan_margin=.*: \d+ rows, as hinge/mine/eager/cpu/float64/", line) for line in others
    )


def loop() -> Implementation:
    """The cross-entropy that is written as a loop: an index of Python is its label."""
    (own,) = (i for i in ADAPTERS[0].implementations if i.api.endswith("cross_entropy_loop"))
    return Implementation("cross_entropy", "mine", own.fn, vjp=own.vjp)


def test_what_a_function_does_at_its_edges_is_found_and_can_be_pasted() -> None:
    found = declaration(loop(), ADAPTERS[0], ("float32", "float16"))
    assert found.edges == {
        "bad_label": {"*/label-minus-1": "wraps", "*": Raises("IndexError")}, "label_dtype": "accepted",
        "label_shape": {"*/labels-too-few": Raises("IndexError"), "*": Raises("ValueError")},
    }  # fmt: skip
    text = "\n".join(line for line in found.lines if not line.startswith("#"))
    pasted = eval(text, {"Implementation": Implementation, "Raises": Raises, "Precision": Precision})
    assert (pasted.edges, pasted.precision) == (found.edges, found.precision)
    assert {p.cls for p in found.precision.values()} == {"B"}


def test_what_nothing_explains_is_said() -> None:
    """A loss of 7 for every bad label."""

    def fn(x: Any, t: Any, reduction: str) -> Any:
        bad = t.reshape(-1)[: len(x)].astype(float) % 10 != t
        return np.where(bad, x.dtype.type(7), right(CROSS_ENTROPY.forward)(x=x, t=t, reduction=reduction)[0])

    implementation = Implementation("cross_entropy", "mine", fn)
    case = next(case for case in CROSS_ENTROPY.edge_cases if case.edge)
    value, words = due_at(CROSS_ENTROPY, implementation, ADAPTERS[0], case, "value")
    assert value is None
    assert "float32/label-minus-1/value on numpy" in words


def test_the_command_probes_a_function_of_ones_own(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "losses_of_mine.py").write_text("import numpy as np\n\n\ndef s(v):\n    return v.astype(v.dtype)\n")
    monkeypatch.chdir(tmp_path)
    words = ["probe", "losses_of_mine.s", "--op", "sigmoid", "--framework", "numpy", "--dtype", "float32",
             "--rename", "x=v"]  # fmt: skip
    code: int = cli.cli.main(words, standalone_mode=False)
    lines = capsys.readouterr().out.splitlines()
    assert (code, lines[0]) == (1, "sigmoid: no declaration fits losses_of_mine.s")
    assert len(lines) > 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nothing.here", "--op", "sigmoid", "--framework", "numpy"], "no function 'nothing.here' can be imported"),
        (["nothing.here", "--framework", "numpy"], "a function is probed with one --op and one --framework"),
        (["nothing.here", "--op", "sigmoid", "--framework", "numpy", "--rename", "x"], "a function is probed with"),
    ],
)
def test_a_wrong_call_is_one_line(words: list[str], message: str) -> None:
    with pytest.raises(GradparityError, match=message):
        cli.cli.main(["probe", *words], standalone_mode=False)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (float("nan"), 'float("nan")'),
        (float("-inf"), 'float("-inf")'),
        (0.5, "0.5"),
        ("wraps", '"wraps"'),
        (Precision("B", sharp=True), 'Precision("B", sharp=True)'),
        ({"*": Raises("IndexError")}, '{"*": Raises("IndexError")}'),
    ],
)
def test_what_is_found_is_written_as_in_an_adapter(value: Any, text: str) -> None:
    assert source(value) == text
