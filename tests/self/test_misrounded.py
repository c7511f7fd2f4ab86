"""The share of misrounded results: how it is counted, how it is recorded, and that it bites where no bound does."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from gradparity import catalogue, conform
from gradparity.adapter import Adapter, Implementation
from gradparity.arithmetic import Precision
from gradparity.catalogue import Item, Selection
from gradparity.check import check
from gradparity.environment import processor
from gradparity.misrounded import Baseline, allowed, misrounded, quantile, read, recorded, sample
from gradparity.mutants import MUTANTS
from gradparity.mutants.pointwise import EXPS, FAMILY, sigmoid
from gradparity.mutation import NUMPY, judged, right
from gradparity.op import COMPARED, Case, GradparityError, Op, Result
from gradparity.reference import OPS
from gradparity.snippet import snippet

ROOT = Path(__file__).parents[2]
SIGMOID = OPS["sigmoid"]
EVERY = tuple(case for case in SIGMOID.cases if case.name == SIGMOID.counted)
ROW = "sigmoid/{}/eager/cpu/float16/every-16-bit/value.misrounded"


# --- counting


def test_what_is_counted_is_where_the_nearest_number_is_a_normal_one() -> None:
    want = np.array([1 / 3, 1 / 3, 1 / 3, 0.0, 1e-6, 1e6, np.inf, np.nan])
    got = np.array([1 / 3, 0.5, np.nan, 0.5, 0.5, 0.5, 0.5, 0.5], np.float16)
    assert misrounded(got, want, "float16") == (2, 3)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_the_nearest_number_of_a_tie_is_even_and_what_rounds_to_infinity_is_not_counted(dtype: str) -> None:
    kind, u = (np.float16, 2.0**-11) if dtype == "float16" else (ml_dtypes.bfloat16, 2.0**-8)
    largest = float(ml_dtypes.finfo(kind).max)
    got = np.array([1.0, 1.0, largest], kind)
    assert misrounded(got, np.array([1 + u, 1 + u * (1 + 1e-9), largest * (1 + u)]), dtype) == (1, 2)


def test_the_limit_is_the_largest_share_and_five_deviations() -> None:
    independent = allowed([(300, 1000), (320, 1000)])
    p = 621 / 2001
    assert independent == pytest.approx(0.32 + 5 * math.sqrt(p * (1 - p) / 1000))
    together = allowed([(0, 1000), (500, 1000)])
    assert together == pytest.approx(0.5 + 5 * math.sqrt(2) * 0.25)


@pytest.mark.parametrize(("n", "p"), [(1000, 5e-5), (1000, 0.01), (64, 0.3), (5, 0.999), (7, 0.5)])
def test_small_counts_are_allowed_by_the_binomial_distribution(n: int, p: float) -> None:
    """0.05 expected of 1000: once in 200 samples there are two, which five deviations do not allow."""

    def beyond(k: int) -> float:
        return math.fsum(math.comb(n, j) * p**j * (1 - p) ** (n - j) for j in range(k + 1, n + 1))

    k = quantile(n, p)
    assert beyond(k) <= 2.8665e-7 + 1e-15
    assert k == 0 or beyond(k - 1) > 2.8665e-7 - 1e-15


def test_what_was_never_seen_is_allowed_a_few_times() -> None:
    assert allowed([(0, 1000)] * 20) == 0.0035
    assert quantile(100_000, 0.5) == 0


# --- it bites


def own(name: str) -> Implementation:
    """A sigmoid that says it rounds every operation."""
    fn = right(lambda x: sigmoid(x, EXPS[name]))
    return Implementation(
        "sigmoid", f"own.{name}", fn, vjp=right(FAMILY["sigmoid"][1]), precision={"*": Precision("B")}
    )


def offering(*names: str, baseline: Baseline | None) -> Adapter:
    return replace(NUMPY, implementations=tuple(map(own, names)), baseline=baseline)


def shares_of(name: str, baseline: Baseline | None, adapter: Adapter | None = None) -> dict[str, Result]:
    rows = check(SIGMOID, own(name), adapter or offering(name, baseline=baseline), "float16", "value", EVERY)
    return {row.check: row for row in rows}


def the_right_share() -> float:
    return allowed([sample(shares_of("from-parts", None)["value.misrounded"])])


def test_an_exponential_off_by_1e_3_is_within_every_bound_of_class_b_and_fails_by_its_share() -> None:
    limit = the_right_share()
    fine, wrong = (
        shares_of(name, Baseline(shares={ROW.format(f"own.{name}"): limit}))
        for name in ("from-parts", "exp-off-by-1e-3")
    )
    assert [row.status for row in fine.values()] == ["pass", "pass"]
    assert 0 < fine["value.misrounded"].error < 1
    assert wrong["value"].status == "pass"
    row = wrong["value.misrounded"]
    assert (row.status, row.reason, row.at) == ("fail", "misrounded", ())
    assert row.error > 100
    count, n = sample(row)
    assert row.error == count / n / limit
    who = re.escape(ROW.format("own.exp-off-by-1e-3")) + r" on numpy \S+: "
    assert re.fullmatch(
        who + r"[\d.]+ % of 50,395 results are not the nearest float16, [\d.]+ times the recorded [\d.]+ %", row.message
    )


def test_nan_is_misrounded() -> None:
    fn = right(lambda x: np.where(x == 1, np.nan, sigmoid(x)))
    wrong = replace(own("from-parts"), fn=fn)
    adapter = offering("from-parts", baseline=None)
    (row,) = (r for r in check(SIGMOID, wrong, adapter, "float16", "value", EVERY) if r.is_share)
    plain = sample(shares_of("from-parts", None)["value.misrounded"])
    assert sample(row) == (plain[0] + 1, plain[1])


def test_of_the_mutants_that_class_b_lets_live_the_share_kills() -> None:
    alive = [(name, d) for name, d in ALIVE if not judged(MUTANT[name], "float16", d, "B").killers]
    dead = [(name, d) for name, d in ALIVE if judged(MUTANT[name], "float16", d, "B", counted=True).by_share_alone]
    assert alive == dead == ALIVE
    assert not judged(MUTANT["sigmoid/none"], "float16", "value", "B", counted=True).killers


MUTANT = {mutant.id: mutant for mutant in MUTANTS}
ALIVE = [("sigmoid/exp-off-by-1e-3", "value"), ("log_sigmoid/exp-off-by-1e-3", "value"),
         ("log_sigmoid/exp-off-by-1e-3", "vjp"), ("sigmoid/half-plus-half-tanh", "value")]  # fmt: skip


# --- nothing passes by being absent


def test_an_implementation_of_the_adapter_whose_share_is_not_recorded_is_an_error() -> None:
    row = shares_of("from-parts", Baseline())["value.misrounded"]
    assert (row.status, row.reason) == ("error", "baseline")
    assert row.message.endswith("no share of misrounded results is recorded: benchmarks/misrounded.py does it")


def test_what_the_adapter_does_not_offer_has_no_record() -> None:
    for adapter in (offering("exp-off-by-1e-3", baseline=Baseline()), offering("from-parts", baseline=None)):
        row = shares_of("from-parts", None, adapter)["value.misrounded"]
        assert (row.status, row.reason) == ("unsupported", "no share of misrounded results is recorded for it")


def test_what_was_recorded_with_another_version_or_processor_is_not_compared_with() -> None:
    here = f"this is {NUMPY.release} on {processor()}"
    current = Baseline(NUMPY.release, {ROW.format("own.from-parts"): 0.5}, processor=processor())
    assert shares_of("from-parts", current)["value.misrounded"].status == "pass"
    for other, words in (
        (replace(current, version="0.1"), f"recorded with 0.1 on {processor()}, {here}"),
        (replace(current, processor="abacus"), f"recorded with {NUMPY.release} on abacus, {here}"),
    ):
        row = shares_of("from-parts", other)["value.misrounded"]
        assert (row.status, row.reason) == ("unsupported", words)


def test_no_normal_number_is_nothing_to_count() -> None:
    zero = replace(EVERY[0], arrays=lambda draw: {"x": draw.full((3,), -np.inf)})
    baseline = Baseline(shares={ROW.format("own.from-parts"): 0.5})
    adapter = offering("from-parts", baseline=baseline)
    rows = check(SIGMOID, own("from-parts"), adapter, "float16", "value", (zero,))
    assert [(row.check, row.status, row.reason) for row in rows] == [
        ("value", "pass", ""), ("value.misrounded", "error", "unbounded")
    ]  # fmt: skip


def raises(x: Any) -> Any:
    raise ValueError("no such thing")


@pytest.mark.parametrize(
    ("fn", "status", "reason"),
    [(raises, "error", "exception"), (lambda x: x[1:], "fail", "shape"), (lambda x: x.astype(float), "fail", "dtype")],
)  # fmt: skip
def test_where_there_is_nothing_to_count_the_row_says_what_the_value_says(fn: Any, status: str, reason: str) -> None:
    rows = check(SIGMOID, replace(own("from-parts"), fn=fn), NUMPY, "float16", "value", EVERY)
    assert [(row.check, row.status, row.reason) for row in rows] == [
        ("value", status, reason), ("value.misrounded", status, reason)
    ]  # fmt: skip


def test_what_is_unsupported_is_so_in_every_row() -> None:
    nothing = replace(own("from-parts"), unsupported={"*": "not written"})
    rows = check(SIGMOID, nothing, NUMPY, "float16", "vjp", EVERY)
    assert [(row.check, row.reason) for row in rows] == [
        ("vjp.x", "not written"), ("vjp.x.misrounded", "not written")
    ]  # fmt: skip


# --- the catalogue and the records


COUNTED = {name: op for name, op in OPS.items() if op.counted}


def test_only_what_gives_one_number_or_nothing_in_16_bits_is_not_counted() -> None:
    assert set(OPS) - set(COUNTED) == {"softmax_regression", "logistic_regression", "pca"}
    assert all(item.rows == [] for item in items() if not item.op.counted)
    for item in items():
        if item.op.name == "pca":
            assert all(not supported(item, case) for case in item.op.cases)


@pytest.mark.parametrize("op", COUNTED.values(), ids=COUNTED)
def test_the_counted_case_has_many_results_in_every_check(op: Op) -> None:
    (case,) = (case for case in op.cases if case.name == op.counted)
    for dtype in ("bfloat16", "float16"):
        for direction in COMPARED:
            plain = Implementation(op.name, "own.right", right(op.forward), vjp=right(op.vjp))
            rows = check(op, plain, NUMPY, dtype, direction, (case,))
            counted = {row.check: sample(row)[1] for row in rows if row.is_share}
            assert set(counted) == {f"{name}.misrounded" for name in op.checks(direction)}
            assert min(counted.values()) >= 500


def items(dtype: str = "", adapters: tuple[Adapter, ...] | None = None) -> Iterator[Item]:
    """Of everything there is, installed or not."""
    for adapter in catalogue.adapters() if adapters is None else adapters:
        for i in adapter.implementations:
            for d in COMPARED:
                for name in [dtype] if dtype else ("bfloat16", "float16"):
                    yield Item(OPS[i.op], i, adapter, name, d, Selection(select="*.misrounded"))


def test_every_implementation_has_its_rows_in_16_bits_only() -> None:
    counted = [item for item in items() if item.op.counted]
    assert all(len(item.rows) == len(item.op.checks(item.direction)) for item in counted if item.rows)
    assert {item.adapter.name for item in counted if not item.rows} <= {"torch compile"}, (
        "of which few shapes are taken"
    )
    assert not any(item.rows for dtype in ("float32", "float64") for item in items(dtype))


def supported(item: Item, case: Case) -> bool:
    if item.adapter.mode.startswith("vmap") and item.op.batch_axis(case.params) is None:
        return False
    return not item.implementation.why_unsupported(item.dtype, item.direction, case.name)


@pytest.mark.parametrize("framework", ["numpy", "torch", "tensorflow", "jax"])
def test_the_record_is_of_these_rows_and_of_the_version_that_is_installed_every_day(framework: str) -> None:
    adapters = tuple(a for a in catalogue.adapters() if a.framework == framework)
    rows = [
        row for item in items(adapters=adapters) for case in item.cases if supported(item, case) for row in item.rows
    ]
    pins = dict(re.findall(r"^(\w+)(?:-cpu)?==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    for adapter in adapters:
        assert adapter.baseline is not None
        for record in read(adapter.baseline.path):
            assert sorted(record.shares) == sorted(rows), record.processor
            assert record.version == pins.get(framework, adapter.release)


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    baseline = Baseline("1.0", {"b": 0.5, "a": 0.25}, tmp_path / "own.misrounded.json")
    baseline.write()
    assert recorded(str(tmp_path / "own.py")) == baseline
    assert recorded(str(tmp_path / "other.py")).shares == {}


def test_each_kind_of_processor_has_a_record_of_its_own(tmp_path: Path) -> None:
    """On one that has none, that of another is there, with which nothing is compared."""
    path = tmp_path / "own.misrounded.json"
    other = Baseline("1.0", {"a": 0.5}, path, "abacus")
    other.write()
    assert recorded(str(tmp_path / "own.py")) == other
    assert other.elsewhere("1.0") == f"recorded with 1.0 on abacus, this is 1.0 on {processor()}"
    own, newer = Baseline("2.0", {"a": 0.25}, path, processor()), Baseline("3.0", {"a": 0.125}, path, processor())
    for record in (own, newer):
        record.write()
        assert read(path) == sorted([other, record], key=lambda b: b.processor)
        assert recorded(str(tmp_path / "own.py")) == record


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is no record of shares"), ("[]", "is no record of shares"),
        ('{"version": "1"}', "is no record of shares"), ('{"any": {"versions": "1"}}', "is no record of shares"),
        (json.dumps({"any": {"version": "1", "shares": {"a": 1.0}}}), "the share of a is not between 0 and 1"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_record_is_named(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "own.misrounded.json").write_text(text)
    with pytest.raises(GradparityError, match=words):
        recorded(str(tmp_path / "own.py"))


# --- what a failure shows


def test_a_program_shows_all_results() -> None:
    implementation = replace(own("exp-off-by-1e-3"), fn=half, api="half", vjp=None)
    adapter = replace(NUMPY, baseline=Baseline(shares={ROW.format("half"): 0.001}))
    (row,) = (r for r in check(SIGMOID, implementation, adapter, "float16", "value", EVERY) if r.is_share)
    assert row.status == "fail"
    text = snippet(SIGMOID, implementation, adapter, EVERY[0], row)
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown), np.errstate(all="ignore"):
        exec(text, {})
    assert shown.getvalue() == f"{half(x=every())}\n"
    assert text.splitlines()[-1] == f"print(result)  # not the nearest float16 to what is true: {row.got} elements"


def test_a_share_has_no_bound_to_explain() -> None:
    identity = (
        "cross_entropy/gradparity.adapters.numpy.cross_entropy_loop/eager/cpu/float16/none-digits/value.misrounded"
    )
    item, case, name = catalogue.find(identity)
    assert name == "value.misrounded"
    anywhere = replace(item.adapter, baseline=Baseline(shares={identity: 0.9}))
    (row,) = (r for r in check(item.op, item.implementation, anywhere, "float16", "value", (case,)) if r.is_share)
    assert row.status == "pass"
    assert conform.explain(row) == {}


def half(x: Any) -> Any:
    return 0.5 + 0.5 * np.tanh(x / 2)


def every() -> Any:
    draw = importlib.import_module("gradparity.cases").Draw("", "float16")
    return EVERY[0].arrays(draw)["x"]


def test_a_function_of_ones_own_is_no_failure_for_having_no_record() -> None:
    rows = conform.check_function(
        right(sigmoid), "sigmoid", "numpy", dtypes=("float16",), select="*/every-16-bit/value*"
    )
    assert [(row.check, row.status) for row in rows] == [("value", "pass"), ("value.misrounded", "unsupported")]
