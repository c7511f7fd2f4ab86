"""What says that one API may replace another, and the table of what they declare."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradparity import compare, portability
from gradparity.adapter import Implementation
from gradparity.adapters.numpy import ADAPTERS
from gradparity.compare import Api, Comparison, compared
from gradparity.op import GradparityError
from gradparity.reference import OPS

HINGE = OPS["hinge"]
LOOP = next(i for i in ADAPTERS[0].implementations if i.op == "cross_entropy")


def relu(x: Any, t: Any) -> Any:
    return np.maximum(x.dtype.type(0), 1 - t * x)


def slope(kink: float, right: bool = True) -> Any:
    """The hinge's gradient, its subgradient at the kink this; or one that is wrong at large margins."""

    def vjp(g: Any, y: Any, x: Any, t: Any) -> Any:
        z = 1 - t * x
        active = np.where(z == 0, x.dtype.type(kink), np.where(np.isnan(z), 0, z > 0).astype(x.dtype))
        return {"x": -g * t * (active if right else np.where(z > 500, 0, active))}

    return vjp


def hinge(name: str, kink: float, right: bool = True, **more: Any) -> Api:
    conventions = {"kink": kink, "nan_margin": 0.0}
    return Api(
        ADAPTERS[0], Implementation("hinge", name, relu, conventions=conventions, vjp=slope(kink, right), **more)
    )


def test_what_makes_the_same_choices_is_interchangeable() -> None:
    found = compared(HINGE, hinge("mine", 0.0), hinge("yours", 0.0))
    (line,) = found.lines
    assert found.interchangeable
    assert line == (
        f"hinge: mine and yours are interchangeable: within their error bounds they give the same values at "
        f"{len(HINGE.cases)} cases and the same gradients at {len(HINGE.cases)} cases, in float64 and float32"
    )


def test_another_choice_is_named_with_the_shortest_input_that_shows_it() -> None:
    found = compared(HINGE, hinge("mine", 0.0), hinge("yours", 1.0))
    first, choice, where, mine, yours = found.lines
    assert not found.interchangeable
    assert "mine and yours are not interchangeable: they differ in kink (gradient; 1 of" in first
    assert choice.startswith("  kink (")
    assert choice.endswith(": 0.0 | 1.0")
    assert where == "  kink, float64: x = [1.], t = [1.]"
    assert mine == "    mine: [0.], gradient for x [-0.]"
    assert yours == "    yours: [0.], gradient for x [-1.]"


@pytest.mark.parametrize("swapped", [False, True])
def test_what_is_wrong_in_one_of_them_is_no_choice(swapped: bool) -> None:
    pair = hinge("right", 0.0), hinge("wrong", 0.0, right=False)
    found = compared(HINGE, *(reversed(pair) if swapped else pair))
    assert "differ where wrong is wrong (gradient;" in next(found.lines)
    assert {row.api for row in found.rows} == {"wrong"}


def test_what_only_one_of_them_offers_is_said() -> None:
    lacking = hinge("lacking", 0.0, unsupported={"*/kink": "it takes no kink"})
    found = compared(HINGE, hinge("mine", 0.0), lacking)
    assert next(iter(found.lines)).endswith("not interchangeable: lacking does not offer kink: it takes no kink")


def test_what_neither_offers_is_not_called_the_same() -> None:
    """Two forms without a gradient agree in their values, and of their gradients nothing is known."""
    gaps = {"*/vjp/*": "written without a gradient", "*/nan": "it takes no NaN"}
    values = {"*/value/*": "written without a value"}
    first, *notes = compared(HINGE, *(hinge(name, 0.0, unsupported=gaps) for name in "ab")).lines
    assert first.endswith(f"the same values at {len(HINGE.cases) - 1} cases, in float64 and float32")
    assert notes == [
        "  values not compared at 1 cases: it takes no NaN",
        f"  gradients not compared at {len(HINGE.cases)} cases: written without a gradient",
    ]
    nothing = compared(HINGE, *(hinge(name, 0.0, unsupported={**gaps, **values}) for name in "ab"))
    assert not nothing.interchangeable
    assert "not interchangeable: nothing could be compared" in next(nothing.lines)


def raising(x: Any, t: Any) -> Any:
    raise ValueError("no hinge today")


def test_what_raises_is_not_the_same() -> None:
    broken = replace(hinge("broken", 0.0).implementation, fn=raising)
    found = compared(HINGE, hinge("mine", 0.0), Api(ADAPTERS[0], broken))
    assert "they differ where broken is wrong (gradient, value;" in next(found.lines)
    assert list(found.lines)[-1] == "    broken: raises ValueError"


def test_what_neither_gets_right_is_not_compared() -> None:
    found = compared(HINGE, *(hinge(name, 0.0, right=False) for name in "ab"))
    assert found.silent
    assert set(found.silent.values()) == {compare.NEITHER}


def test_real_names() -> None:
    loop, vectorised = (f"gradparity.adapters.numpy.cross_entropy_{form}" for form in ("loop", "vectorised"))
    (found,) = compare.compare(loop, vectorised)
    assert isinstance(found, Comparison)
    assert found.interchangeable
    with pytest.raises(GradparityError, match=r"cross_entropy_lop'; did you mean gradparity\.adapters\.numpy\.cross"):
        compare.compare("gradparity.adapters.numpy.cross_entropy_lop", loop)
    with pytest.raises(GradparityError, match=r"_loop is cross_entropy, .*python is softmax: different operations"):
        compare.compare(loop, "gradparity.adapters.numpy.softmax_pure_python")


def test_another_formula_is_shown() -> None:
    """Interchangeable within their error bounds, of which one is wider."""
    op, names = OPS["cross_entropy"], ("", "unshifted")
    (adapter,) = ADAPTERS
    apis = [Api(adapter, replace(LOOP, api=f"road-{name}", road=name)) for name in names]
    _, first, second = Comparison(
        op, *apis, choices={}, rows=(), wrong=(), missing=(), silent={}, tried={"value": 1}
    ).lines
    assert first.startswith("  road- is judged as loss_i = log(sum_j exp(d_ij)) - d_{i, t_i}")
    assert second.startswith("  road-unshifted is judged as logsumexp(x) - x_t")


def test_the_command() -> None:
    names = [f"gradparity.adapters.numpy.cross_entropy_{form}" for form in ("loop", "vectorised")]
    done = gradparity("compare", *names)
    assert (done.returncode, done.stdout.count("\n")) == (0, 1)
    assert "are interchangeable" in done.stdout
    done = gradparity("compare", names[0], "nothing")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    done = gradparity("portability", "--op", "hinge")
    assert done.returncode == 0
    assert "adapters.torch.hinge" in done.stdout


def gradparity(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gradparity", *words]
    wide = {**os.environ, "COLUMNS": "200"}  # a name is not broken into lines
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=wide)


def test_what_is_not_offered_has_no_class_of_precision() -> None:
    absent = hinge("absent", 0.0, unsupported={"float16/*": "not in float16", "bfloat16/vjp/*": "no gradient"})
    found = [portability.classes(HINGE, absent.implementation, dtype) for dtype in ("float16", "bfloat16")]
    assert found == ["- -", "A -"]


def test_a_star_marks_what_most_others_have_not() -> None:
    table = [portability.Line(name, {"kink": kink, "wrong": ""}, ()) for name, kink in zip("abc", "001", strict=True)]
    assert list(portability.marked(table)) == [["0", ""], ["0", ""], ["1*", ""]]


def test_the_page_is_what_is_declared() -> None:
    """After a change of a declaration: gradparity portability --format markdown > docs/portability.md"""
    page = Path(__file__).parents[2].joinpath("docs", "portability.md").read_text(encoding="utf-8")
    assert page.splitlines() == list(portability.markdown(list(OPS.values())))
