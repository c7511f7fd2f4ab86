"""The checks kill every mutant but those with a proof; the detection floor; gradparity mutants."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradparity import cli, kill_matrix, mutation
from gradparity.mutants import MUTANTS, anything
from gradparity.mutants.defects import arguments, poked, result, stale
from gradparity.mutation import Cell, Mutant, floor, judged, matrix, off, right
from gradparity.op import COMPARED, FORMATS, GradparityError, Op
from gradparity.reference import OPS

each_op = pytest.mark.parametrize("op", OPS.values(), ids=OPS)
each_direction = pytest.mark.parametrize("direction", COMPARED)


def each_mutant_and_dtype() -> Iterator[Any]:
    """Neighbours share their references."""
    for op in OPS:
        for dtype in FORMATS:
            for mutant in MUTANTS:
                if mutant.op == op:
                    yield pytest.param(mutant, dtype, id=f"{mutant.id}/{dtype}")


@pytest.mark.parametrize(("mutant", "dtype"), tuple(each_mutant_and_dtype()))
def test_a_mutant_dies_where_it_must_and_lives_only_with_a_proof(mutant: Mutant, dtype: str) -> None:
    for direction in mutant.directions:
        cell = judged(mutant, dtype, direction)
        assert cell.as_declared, str(cell)
        if cell.killers:
            at = mutant.case(dtype, direction), mutant.check or OPS[mutant.op].checks(direction)[0]
            found = {(row.case, row.check): f"{row.status}/{row.reason}" for row in cell.killers}
            assert found.get(at, "nothing") == mutant.reason, f"{at}: {cell}"


# --- the catalogue


@each_op
def test_every_op_has_twelve_defects_and_some_of_its_own_in_value_and_gradient(op: Op) -> None:
    mutants = [m for m in MUTANTS if m.op == op.name and m.name not in ("none", "from-parts")]
    for direction in COMPARED:
        assert sum(direction in m.directions for m in mutants) >= 12
        assert any(direction in m.directions for m in mutants if m not in anything.MUTANTS)


def test_the_right_implementation_is_among_the_mutants_of_every_op() -> None:
    none = {m.op: m for m in MUTANTS if m.name == "none"}
    assert set(none) == set(OPS)
    assert all(m.value is right and m.vjp is right for m in none.values())


def test_every_mutant_has_a_name_of_its_own_and_is_wrong_somewhere() -> None:
    names = [m.id for m in MUTANTS]
    assert len(set(names)) == len(names)
    assert all(m.directions and re.fullmatch(r"[\w.^-]+", m.name) for m in MUTANTS)


def test_nothing_is_declared_that_is_about_no_mutant() -> None:
    """Of each table, every line is taken by some mutant, dtype and direction."""
    places = [(m, dtype, direction) for m in MUTANTS for dtype in FORMATS for direction in m.directions]
    proofs = {mutant.proof(dtype, direction) for mutant, dtype, direction in places}
    cases = {mutant.case(dtype, direction) for mutant, dtype, direction in places}
    for mutant in MUTANTS:
        assert set(mutant.survives.values()) <= proofs
        assert isinstance(mutant.at, str) or set(mutant.at.values()) <= cases
        known = {case.name for case in OPS[mutant.op].cases}
        assert all(mutant.case(d, k) in known for d in FORMATS for k in mutant.directions if not mutant.proof(d, k))


# --- the machinery

ALIVE = Mutant("sigmoid", "right", right, right)
DEAD = Mutant("sigmoid", "dead", poked(np.nan), survives={"*/float32/*": "it is said"})


def test_an_undeclared_survivor_and_a_declared_one_that_dies_are_not_as_declared() -> None:
    alive, dead = judged(ALIVE, "float32", "value"), judged(DEAD, "float32", "value")
    assert (alive.as_declared, dead.as_declared) == (False, False)
    assert "nothing says that it must" in str(alive)
    assert re.search(
        r"killed by \d+ of 22 cases, largest factor inf, first \S+/value \(nonfinite\); but .* said", str(dead)
    )
    assert judged(DEAD, "float64", "value").as_declared


def test_a_mutant_is_judged_in_the_directions_in_which_it_is_wrong() -> None:
    cells = list(matrix([ALIVE, DEAD], ["float32", "float16"]))
    assert [(c.mutant, c.dtype, c.direction) for c in cells] == [
        (m, dtype, direction)
        for dtype in ("float32", "float16")
        for m, direction in ((ALIVE, "value"), (DEAD, "value"), (ALIVE, "vjp"))
    ]


@pytest.mark.parametrize("dtype", FORMATS)
def test_the_right_implementation_computes_in_float32_or_better_and_rounds_once(dtype: str) -> None:
    seen = []
    x = np.ones(3, FORMATS[dtype].dtype)

    def fn(g: Any, x: Any, t: Any) -> Any:
        seen.extend(a.dtype for a in (g, x, t))
        return {"x": x * 0.5}

    dx = right(fn)(x, x=x, t=np.ones(3, np.int64))["x"]
    inner = np.float64 if dtype == "float64" else np.float32
    assert (dx.dtype, *seen) == (x.dtype, inner, inner, np.int64)


def test_a_stale_result_is_that_of_the_previous_call_of_its_shape() -> None:
    wrong = stale(lambda x: 2 * x, "float64")
    results = [wrong(x=np.array(x))[0].tolist() for x in ([1.0], [3.0], [1.0, 1.0], [5.0])]
    assert results == [[2.0], [2.0], [2.0, 2.0], [6.0]]


def test_a_result_and_an_argument_are_changed_before_the_rounding() -> None:
    x = np.array([1.0], np.float16)
    tiny = 2.0**-11  # half the spacing of float16 above 1
    assert result(lambda y, kw: y + tiny * 1.5)(lambda x: x, "float16")(x=x)[0] == 1 + 2.0**-10
    assert arguments(lambda kw: {"x": kw["x"] + tiny})(lambda x: x + tiny, "float16")(x=x)[0] == 1 + 2.0**-10
    assert off(0)(lambda x: x, "float16")(x=np.array([1.5], np.float16))[0] == 1.5 + 2.0**-10


@pytest.mark.parametrize("op", ["log_softmax", "sigmoid"])
def test_class_b_kills_nothing_that_class_a_does_not(op: str) -> None:
    """Its bounds are wider."""
    some = [m for m in MUTANTS if m.op == op]
    a, b = (
        {(c.mutant.id, c.direction, row.case) for c in matrix(some, ["float16"], cls) for row in c.killers}
        for cls in ("A", "B")
    )
    assert b < a


# --- the detection floor


@each_op
@each_direction
@pytest.mark.parametrize("dtype", FORMATS)
def test_the_detection_floor_is_not_above_the_mutants_that_stand_on_it(op: Op, dtype: str, direction: str) -> None:
    found = floor(op.name, dtype, direction)
    k = anything.FLOOR[op.name][COMPARED.index(direction)][0]
    assert found.k <= (k if FORMATS[dtype].bits >= 24 else 0)
    assert found.relative == 2.0**found.k * FORMATS[dtype].unit
    if found.k > min(0, FORMATS[dtype].bits - 24):
        below = Mutant(op.name, "below", off(found.k - 1), off(found.k - 1))
        assert not judged(below, dtype, direction).killers


def test_bounds_that_catch_nothing_have_no_floor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mutation, "judged", lambda m, dtype, d: Cell(m, dtype, d, 1, (), 0.0, ""))
    with pytest.raises(GradparityError, match="its bounds judge nothing"):
        floor("sigmoid", "float16", "value")


# --- gradparity mutants


def command(*words: str) -> int:
    code: int = cli.cli.main(["mutants", *words], standalone_mode=False)
    return code


SMALL = ("--op", "sigmoid", "--dtype", "float32,float16")


def test_the_kill_matrix_fits_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert command(*SMALL) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    for mutant in MUTANTS:
        shown = sum(line.split(" ")[0] == mutant.name for line in lines)
        assert shown == (mutant.op == "sigmoid" or any(m.name == mutant.name for m in MUTANTS if m.op == "sigmoid"))
    assert any(re.fullmatch(r"zero +\d+ +\d+ +\d+ +\d+ +\S+ \S+", line) for line in lines)
    assert any(re.fullmatch(r"none +(= +){3}=", line) for line in lines)
    assert {"  sigmoid/half-plus-half-tanh: f16 v", "  sigmoid/half-plus-half-tanh: f16 g"} <= set(lines)
    assert any(re.fullmatch(r"sigmoid +-?\d+ +-?\d+ +-?\d+ +-?\d+", line) for line in lines)
    assert lines[-1].endswith("; all as declared")


def test_a_line_for_each_cell(capsys: pytest.CaptureFixture[str]) -> None:
    assert command(*SMALL, "--select", "*/exp-off-by-1e-6", "--format", "lines") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == [
        f"sigmoid/exp-off-by-1e-6 {dtype} {direction}" for dtype in ("float32", "float16") for direction in COMPARED
    ]
    assert re.search(r"killed by \d+ of 22 cases, largest factor \S+, first \S+/value \(bound\)$", lines[0])
    assert "lives, largest factor " in lines[3]


def test_what_does_not_do_as_declared_is_said_and_exit_code_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "MUTANTS", (ALIVE, DEAD))
    assert command("--select", "sigmoid/*", "--dtype", "float32") == 1
    shown = capsys.readouterr().out
    assert "! sigmoid/right float32 value: lives" in shown
    assert "! sigmoid/dead float32 value: killed" in shown
    assert shown.rstrip().endswith("3 NOT AS DECLARED")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--op", "sofmax"], "unknown op 'sofmax'; did you mean softmax"),
        (["--dtype", "float8"], "unknown dtype 'float8'; did you mean"),
        (["--format", "html"], "'html' is not one of"),
        (["--op", "hinge", "--select", "softmax/*"], "nothing selected: no mutant of hinge matches 'softmax/*'"),
        (["--seed", "1"], "No such option"),
    ],
)
def test_a_wrong_call_is_one_line_and_exit_code_2(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["gradparity", "mutants", *words])
    with pytest.raises(SystemExit) as end:
        cli.main()
    error = capsys.readouterr().err
    assert end.value.code == 2
    assert said in error
    assert error.count("\n") == 1


def test_the_generated_page_is_of_these_mutants() -> None:
    """Numbers may differ from machine to machine; what the page is about may not."""
    page = Path(__file__).parents[2].joinpath("docs", "mutants.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## (\w+): \d+ cases\n\n(.*?)\n\n", page, re.MULTILINE | re.DOTALL))
    listed = {(op, name) for op, table in sections.items() for name in re.findall(r"^\| (\S+) \|", table, re.MULTILINE)}
    assert listed - {(op, name) for op in OPS for name in ("defect", "---")} == {(m.op, m.name) for m in MUTANTS}
    assert "all as declared" in page
    assert all(proof in page for proof in {p for m in MUTANTS for p in m.survives.values()})


def test_markdown_says_what_lives_by_which_proof(capsys: pytest.CaptureFixture[str]) -> None:
    assert command(*SMALL, "--format", "markdown") == 0
    page = capsys.readouterr().out
    assert "| defect | float32 value | float32 gradient | float16 value | float16 gradient | factor | first |" in page
    assert re.search(r"^Because 1e-6 is .*:\n\n- sigmoid/exp-off-by-1e-6: f16 g$", page, re.MULTILINE)
    assert re.search(r"^\| sigmoid \| \d\.\de-\d\d \(-?\d+\) \|", page, re.MULTILINE)
    assert kill_matrix.CLASS_B.partition("{")[0] in page
    assert re.search(r"\nThese live:\n\n(- .*\n)*- sigmoid/half-plus-half-tanh: f16 g\n", page)
    assert re.search(r"\nThese die by .*:\n\n(- .*\n)*- sigmoid/half-plus-half-tanh: f16 v\n", page)
