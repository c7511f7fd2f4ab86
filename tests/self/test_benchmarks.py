"""The programs in benchmarks/ that make tables and verdicts."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from gradparity import catalogue, conform, results
from gradparity.adapter import Adapter, Implementation
from gradparity.cases import digests_of_inputs
from gradparity.catalogue import Selection
from gradparity.gate import gate
from gradparity.op import DERIVED, DIRECTIONS, Result
from gradparity.policy import Policy
from gradparity.reference import OPS

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
BASELINES = Path(__file__).parents[2] / "baselines"

sys.path.append(str(BENCHMARKS))  # as it is for a program of this folder
ratios, seeds, versions, baselines, compilations, gates = map(
    importlib.import_module, ("ratios", "seeds", "versions", "baselines", "compilations", "gate")
)
ROW = Result("softmax", "f", "torch", "eager", "cpu", "float32", "a", "value", "pass", error=0.5, precision="class A")
SCALE_1 = replace(ROW, case="scale-1")


def rows(**errors: float) -> list[Result]:
    """A row for each case."""
    return [replace(ROW, case=case, error=error) for case, error in errors.items()]


# --- ratios


def test_a_cell_is_the_largest_and_the_median_of_the_worst_of_each_case() -> None:
    two = [replace(ROW, case="a", check=f"value.{k}", error=e) for k, e in (("", 0.1), ("c", 0.4))]
    found = ratios.cells([*two, *rows(b=0.2, c=0.9), *rows(exact=0.0)])
    assert {key: str(cell) for key, cell in found.items()} == {
        ("softmax", "value", "float32", "torch eager"): "0.9 / 0.4"
    }


def test_what_was_not_judged_or_is_known_to_fail_is_in_no_cell() -> None:
    others = [replace(ROW, case=s, status=s, error=9.0) for s in ("xfail", "unsupported", "error")]
    assert ratios.cells(others) == {}
    (cell,) = ratios.cells([*others, *rows(a=0.3), replace(ROW, case="bad", status="fail", error=7.0)]).values()
    assert cell.worst == (0.3, 7.0)


def test_operations_where_nothing_differs_are_exact() -> None:
    assert [str(cell) for cell in ratios.cells(rows(a=0.0, b=0.0)).values()] == ["exact"]


def test_the_page_has_a_row_for_each_direction_and_a_column_for_each_framework_and_mode() -> None:
    vjp = replace(ROW, check="vjp.x", framework="jax", mode="jit", error=0.25)
    page = ratios.page([*rows(a=0.5), vjp], {"torch": "2.0", "ml_dtypes": "1"})
    assert "| float32 | jax jit | torch eager |" in page
    assert "| softmax value |  | 0.5 / 0.5 |" in page
    assert "| softmax vjp | 0.25 / 0.25 |  |" in page
    assert "torch 2.0" in page
    assert "float64" not in page


def test_of_what_is_computed_again_there_is_no_ratio() -> None:
    assert ratios.cells([replace(ROW, check="same.again.value", error=0.5)]) == {}


def test_a_low_median_is_listed_with_its_reason() -> None:
    low = [replace(ROW, error=1e-3)]
    assert ratios.low(ratios.cells(rows(a=0.5))) == []
    assert "not explained" in ratios.low(ratios.cells(low))[0]
    for dtype, reason in (("bfloat16", "declared class B"), ("float32", "not explained")):  # a class speaks of 16 bits
        assert reason in ratios.low(ratios.cells([replace(low[0], dtype=dtype, precision="class B")]))[0]


def test_a_file_that_is_no_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ratios.main([]) == 2
    assert ratios.main([str(tmp_path / "nothing.jsonl")]) == 2
    assert capsys.readouterr().err.count("\n") == 2


# --- versions and baselines


def release(path: Path, version: str, *rows: Result, complete: bool = True, **values: Any) -> str:
    digests = digests_of_inputs(OPS["softmax"], "float32", 0)
    inputs = {f"softmax/float32/{case}": digest for case, digest in digests.items()}
    environment = {"cpu": "x", "isa": "y", "variables": {}}
    header = results.header({}, {"torch": version}, len(rows), inputs=inputs, environment=environment)
    with results.Writer(path) as writer:
        writer.line(header | values)
        writer.rows(rows)
        writer.close({}, complete)
    return str(path)


def test_releases_stand_below_one_another_with_what_explains_each_change(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = replace(ROW, case="b", status="xfail", reason="a known defect", error=3.0, bits="0b")
    moved, fixed = replace(ROW, bits="ff"), replace(known, status="pass", reason="", error=0.1, bits="0c")
    worse = replace(ROW, case="c", error=0.9, bits="0e")
    release(tmp_path / "new.jsonl", "2.10.0+cpu", moved, fixed, worse)
    release(tmp_path / "old.jsonl", "2.9.1", replace(ROW, bits="0a"), known, replace(worse, error=0.1, bits="0d"))
    assert versions.main([str(tmp_path)]) == 0
    text = capsys.readouterr().out
    (old,) = (line for line in text.splitlines() if line.startswith("| 2.9.1 |"))
    (new,) = (line for line in text.splitlines() if line.startswith("| 2.10.0+cpu |"))
    assert old.split(" | ", 2)[2] == "3 | 2 | 1 | 0 | 0 |  |  |  |  |"
    assert new.split(" | ", 2)[2] == "3 | 3 | 0 | 0 | 0 | 1 | 1 | 1 | 1 |"
    assert "- 1 fixed: a known defect, as in `softmax/f/eager/cpu/float32/b/value`" in text
    worst = "`softmax/f/eager/cpu/float32/c/value` (`error 0.1 -> 0.9 of the bound`)"
    assert f"- 1 regressed: `softmax, f`: error, as in {worst}" in text


def test_a_baseline_is_the_run_that_it_was_made_of_to_a_gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "FOLDER", tmp_path)
    row = replace(SCALE_1, got="0.123456789", want="0.123456788", at=(1,), ulp=0.5, bits="0a", seconds=1.0)
    fail = replace(row, case="scale-10", status="fail", reason="bound", error=2.0)
    paths = [release(tmp_path / f"{v}.jsonl", v, row, fail) for v in ("2.9.1", "2.10.0", "2.11.0+cpu")]
    assert baselines.main(paths) == 0
    made = sorted(path.name for path in tmp_path.glob("*.gz"))
    assert made == ["torch-2.10.0.jsonl.gz", "torch-2.11.0.jsonl.gz"]
    whole, small = (results.read(path) for path in (Path(paths[1]), tmp_path / made[0]))
    assert (small.rows[0].got, small.rows[1]) == ("", fail)
    found = gate(whole, small, Policy())
    assert (found.code, found.changes, found.compared) == (0, [], 2)


def test_a_baseline_has_no_case_whose_inputs_are_others_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "FOLDER", tmp_path)
    kept, changed, gone = SCALE_1, replace(SCALE_1, case="scale-10"), replace(SCALE_1, case="gone")
    not_taken = replace(SCALE_1, mode="compile-aot", check="invariant.shift")
    digest = digests_of_inputs(OPS["softmax"], "float32", 0)["scale-1"]
    inputs = {"softmax/float32/scale-1": digest, "softmax/float32/scale-10": "00", "softmax/float32/gone": "00"}
    rows = [kept, changed, gone, replace(kept, op="gone"), not_taken]
    assert baselines.main([release(tmp_path / "a.jsonl", "2.9.1", *rows, inputs=inputs)]) == 0
    made = results.read(tmp_path / "torch-2.9.1.jsonl.gz")
    assert [row.id for row in made.rows] == [kept.id]
    assert made.header["inputs"] == {"softmax/float32/scale-1": digest}


@pytest.mark.parametrize("main", [versions.main, baselines.main])
def test_what_cannot_be_a_release_is_refused(
    main: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(baselines, "FOLDER", tmp_path)
    cut = release(tmp_path / "cut.jsonl", "2.9.1", ROW, complete=False)
    two = release(tmp_path / "two.jsonl", "2.9.1", ROW, replace(ROW, framework="jax"))
    for names in ([], [cut], [two], [str(tmp_path / "none.jsonl")]):
        assert main(names) == 2
        assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("path", sorted(BASELINES.iterdir()), ids=lambda path: path.name)
def test_the_baselines_are_runs_of_todays_inputs_without_failures(path: Path) -> None:
    run = results.read(path)
    framework, _, version = path.name.removesuffix(".jsonl.gz").partition("-")
    assert run.header["subject"][framework].partition("+")[0] == version
    assert run.complete
    assert not [row.id for row in run.rows if row.bad]
    assert len({row.op for row in run.rows}) > len(OPS) / 2, "too much was taken out: make the runs again"
    again = "python benchmarks/baselines.py baselines"
    assert baselines.current(run.header["inputs"]) == run.header["inputs"], f"cases have changed: {again}"
    gone = [row.id for row in run.rows if not baselines.compared(row, run.header["inputs"])]
    assert not gone, f"the default tier has changed: {again}"


def test_there_are_baselines_of_each_framework() -> None:
    assert {path.name.partition("-")[0] for path in BASELINES.iterdir()} == {"torch", "tensorflow", "jax"}


# --- verdicts


def test_what_a_verdict_costs_is_a_line_for_each_size_and_direction() -> None:
    done = run("verdicts", "--op", "hinge", "--sizes", "4x5,8x10", "--dtypes", "float64", "--rounds", "1")
    assert done.returncode == 0, done.stderr
    assert [line.split()[:4] for line in done.stdout.splitlines()[1:]] == [
        ["hinge", "float64", direction, size] for direction in ("value", "vjp") for size in ("4x5", "8x10")
    ]


@pytest.mark.parametrize("words", [("--op", "hing"), ("--sizes", "8"), ("--dtypes", "int8"), ("--rounds", "0")])
def test_a_wrong_call_of_verdicts_is_one_line(words: tuple[str, ...]) -> None:
    done = run("verdicts", *words)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1


# --- seeds


def run(name: str, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCHMARKS / f"{name}.py"), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


run_seeds = partial(run, "seeds")


def test_seeds_of_the_numpy_forms_find_nothing() -> None:
    done = run_seeds("--seeds", "2", "--framework", "numpy", "--op", "softmax", "--dtype", "float32", "--workers", "1")
    assert done.returncode == 0, done.stderr
    assert "2 seeds" in done.stdout
    assert "0 violations" in done.stdout
    assert "| softmax | 0." in done.stdout


def test_seeds_that_are_killed_leave_no_process() -> None:
    words = ["--framework", "numpy", "--seeds", "100000", "--workers", "1"]
    command = [sys.executable, str(BENCHMARKS / "seeds.py"), *words]
    process = psutil.Popen(command, stdout=subprocess.DEVNULL)
    while not (below := process.children(recursive=True)) or sum(p.cpu_times().user for p in below) < 2:
        assert process.poll() is None
        time.sleep(0.1)
    process.kill()
    process.wait()
    assert psutil.wait_procs(below, timeout=60)[1] == []


@pytest.mark.parametrize("words", [("--op", "sofmax"), ("--seeds", "0"), ("--framework", "numpy", "--op", "hinge")])
def test_a_wrong_call_of_seeds_is_one_line(words: tuple[str, ...]) -> None:
    done = run_seeds(*words)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1


def tallied(monkeypatch: pytest.MonkeyPatch, fn: Any) -> Any:
    """Two seeds of a softmax of our own."""
    adapter = next(a for a in catalogue.adapters() if a.framework == "numpy")
    own = replace(
        adapter, implementations=(Implementation("softmax", "own.softmax", fn, unsupported={"*/vjp/*": "-"}),)
    )
    monkeypatch.setattr(catalogue, "adapters", lambda: (own,))
    return seeds.tally(
        Selection(op=("softmax",), dtype=("float64",), tier="default"), frozenset([own.name]), range(2), []
    )


def test_a_wrong_implementation_is_a_violation_on_every_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    right = tallied(monkeypatch, OPS["softmax"].forward)
    wrong = tallied(monkeypatch, lambda x, axis: OPS["softmax"].forward(x, axis) * (1 + 1e-13))
    assert not right.violations
    assert 0 < right.largest[0] <= 1
    assert {words.partition(":")[0] for words in wrong.violations} == {"seed 0", "seed 1"}
    rows = [
        row
        for case in OPS["softmax"].every_case("float64")
        for d in DIRECTIONS
        if d not in DERIVED
        for row in OPS["softmax"].row_checks(case, d, "float64")
    ]
    assert right.counts.total() == wrong.counts.total() == 2 * len(rows)


# --- what makes further seeds cheap


def test_equal_calls_are_equal_functions() -> None:
    """What a framework compiled for one is found for the other; a parameter that only compares equal is another."""
    adapter = next(a for a in catalogue.adapters() if a.framework == "numpy")

    def called(**params: Any) -> Any:
        return adapter.call(Implementation("softmax", "f", max, renames={"x": "a"}), params)

    assert called(axis=-1) == called(axis=-1)
    assert hash(called(axis=-1)) == hash(called(axis=-1))
    different = [called(axis=1), called(axis=1.0), called(axis=True), called(axis=0.0), called(axis=-0.0), called()]
    assert len(set(different)) == len(different)
    assert called() != Adapter.call(adapter, Implementation("softmax", "f", max), {})
    assert called() != Adapter.call(adapter, Implementation("softmax", "f", min, renames={"x": "a"}), {})


def test_a_function_of_ones_own_is_compiled_anew_each_time_it_is_checked() -> None:
    """What it calls may have been mended meanwhile. Its source is still found."""
    first, second = (conform.items_of(rows, "sigmoid", "numpy")[0] for _ in range(2))
    calls = [item.adapter.call(item.implementation, {}) for item in (first, second)]
    assert calls[0] != calls[1]
    assert first.implementation.api == second.implementation.api == "rows"
    assert inspect.getsource(first.implementation.fn) == inspect.getsource(rows)


@pytest.mark.parametrize("name", ["jax", "tensorflow"])
def test_an_adapter_compiles_equal_calls_once(name: str) -> None:
    """No framework is needed to see it: what `compiled` is given is not looked at."""
    module = importlib.import_module(f"gradparity.adapters.{name}")
    compiled: list[Any] = []

    def once(f: Any) -> Any:
        compiled.append(f)
        return f

    adapter = next(a for a in catalogue.adapters() if a.framework == name)
    for axis in (-1, 0, -1, 0, -1):
        module.value_of(adapter.call(Implementation("softmax", "f", max), {"axis": axis}), once)
    assert len(compiled) == 2


# --- gate


def test_the_benchmark_of_the_gate_runs_and_tells_a_crash_from_a_regression(tmp_path: Path) -> None:
    run = gates.write(tmp_path / "a.jsonl", map(gates.row, range(1000)), 1000)
    assert len({row.id for row in map(gates.row, range(1000))}) == 1000
    moved = gates.write(tmp_path / "b.jsonl", (gates.moved(gates.row(k), k) for k in range(1000)), 1000)
    seconds, most, code = gates.measured("gate", str(run), str(moved))
    assert (seconds > 0, most > 10**6, code) == (True, True, gates.WORSE)
    assert gates.measured("gate", str(run), str(tmp_path / "none.jsonl"))[2] == -1
    with pytest.raises(SystemExit):
        gates.main(["--rows", "0"])


# --- compilations


def test_the_table_of_compilations_has_a_line_for_all() -> None:
    one = {("softmax", "float32"): Counter(graphs=2, compiled=3, found=1, seconds=4.0),
           ("hinge", "float32"): Counter(graphs=1, compiled=1, found=0, seconds=2.0)}  # fmt: skip
    warm = {key: Counter(graphs=1, seconds=0.5) for key in one}
    assert [line.split()[-6:] for line in compilations.table(one, warm)[1:]] == [
        ["2", "3", "1", "4.00", "0.50", "8.0"],
        ["1", "1", "0", "2.00", "0.50", "4.0"],
        ["3", "4", "1", "6.00", "1.00", "6.0"],
    ]


@pytest.mark.parametrize(("cold", "warm", "code"), [(800, 0, 0), (801, 0, 1), (1, 1, 1)])
def test_too_many_compilations_or_a_cache_that_serves_none_is_a_failure(cold: int, warm: int, code: int) -> None:
    first, second = ({("softmax", "float32"): Counter(compiled=count)} for count in (cold, warm))
    assert compilations.outcome(first, second) == code
