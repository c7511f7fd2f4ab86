"""The tools around the checks: selections, known failures, run files, the command line, crashes, packaging."""

from __future__ import annotations

import datetime
import hashlib
import io
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time
import warnings
import zipfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from string import Formatter
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
from commands import gradparity_command

import gradparity
from gradparity import builds, catalogue, cli, known_failures, report, results, runner
from gradparity.adapter import ROOM, Adapter, Implementation, Memory
from gradparity.builds import build_of
from gradparity.cases import digests_of_inputs
from gradparity.catalogue import Item, Selection
from gradparity.check import check
from gradparity.environment import cache_folder, environment, features
from gradparity.mutation import NUMPY
from gradparity.mutation import right as right_of
from gradparity.op import FORMATS, GradparityError, Op, Result, nearest
from gradparity.plugin import PLAN, Plan, pytest_xdist_auto_num_workers
from gradparity.reference import OPS
from gradparity.snippet import call_lines, snippet

ROOT = Path(__file__).parents[2]
INSTALLED = [a for a in catalogue.adapters() if a.installed]
NAMES = [a.name.replace(" ", "-") for a in INSTALLED]


# --- imports


def test_importing_gradparity_and_listing_import_no_framework() -> None:
    code = (
        "import sys, gradparity.cli\n"
        "from gradparity import catalogue\n"
        "rows = [row for item in catalogue.items(catalogue.Selection()) for row in item.rows]\n"
        "assert rows\n"
        "print(sorted({'torch', 'tensorflow', 'jax', 'keras'} & set(sys.modules)))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


@pytest.mark.parametrize("adapter", INSTALLED, ids=NAMES)
def test_a_worker_imports_only_the_framework_that_it_checks(adapter: Adapter) -> None:
    others = {a.module for a in INSTALLED} - {adapter.module, "numpy"}
    code = (
        f"import sys, {adapter.module}\n"
        "before = set(sys.modules)\n"  # tensorflow itself imports jax where it is installed
        "from gradparity import catalogue\n"
        f"chosen = catalogue.Selection(('{adapter.framework}',), ('{adapter.mode}',), op=('sigmoid', 'softmax'),"
        " dtype=('float32',), tier='default')\n"  # no drawn sizes
        "for item in catalogue.items(chosen):\n"
        "    item.run()\n"
        f"print(sorted({others!r} & set(sys.modules) - before))"
    )
    environment = os.environ | adapter.variables
    output = subprocess.check_output([sys.executable, "-W", "ignore", "-c", code], text=True, env=environment)
    assert output.strip().splitlines()[-1] == "[]"


FLAGS = """
import json, os, sys
os.environ.update(json.loads(sys.argv[2]))
def flags():
    found = {"numpy": str(__import__("numpy").geterr())}
    if "torch" in backends:
        import torch
        found["torch"] = [str(torch.get_default_dtype()), torch.get_float32_matmul_precision(), torch.get_num_threads(),
                          torch.are_deterministic_algorithms_enabled(), torch.is_grad_enabled(),
                          torch.backends.mkldnn.enabled, str(torch.get_default_device())]
    if "jax" in backends:
        import jax
        found["jax"] = {k: str(v) for k, v in jax.config.values.items()}
    if "tensorflow" in backends:
        import tensorflow as tf
        found["tensorflow"] = [tf.executing_eagerly(), tf.config.threading.get_intra_op_parallelism_threads(),
                               tf.config.threading.get_inter_op_parallelism_threads(), tf.config.optimizer.get_jit(),
                               tf.config.experimental.tensor_float_32_execution_enabled()]
    return json.dumps(found, sort_keys=True)
backends = sys.argv[1].split(",")
before = flags()
from gradparity import catalogue
chosen = catalogue.Selection(("keras",), (sys.argv[3],), dtype=("float32",), op=("softmax",))
rows = [row for item in catalogue.items(chosen) for row in item.run()]
assert {row.status for row in rows} >= {"pass"}, rows
print(before == flags() or (before, flags()))
"""


@pytest.mark.parametrize("adapter", [a for a in INSTALLED if a.framework == "keras"], ids=lambda a: a.mode)
def test_loading_keras_changes_no_flag_of_another_framework(adapter: Adapter) -> None:
    """Of those that are there; the backend's own, too, which another adapter of the process may compute with."""
    there = ",".join({a.framework for a in INSTALLED} & {"torch", "jax", "tensorflow"})
    command = [sys.executable, "-W", "ignore", "-c", FLAGS, there, json.dumps(adapter.on_record), adapter.mode]
    output = subprocess.check_output(command, text=True, stderr=subprocess.DEVNULL)
    assert output.strip().splitlines()[-1] == "True"


def test_a_framework_of_several_parts_is_absent_where_one_is(monkeypatch: pytest.MonkeyPatch) -> None:
    here = next(a for a in catalogue.adapters() if a.framework == "numpy")
    apart = replace(here, framework="apart", mode="own", companions=("no_such_backend",))
    monkeypatch.setattr(catalogue, "adapters", lambda: (here, apart))
    assert not apart.installed
    assert {item.adapter.framework for item in catalogue.items(Selection(op=("softmax",)))} == {"numpy"}
    with pytest.raises(
        GradparityError, match=r'apart own is not installed here: pip install "gradparity\[no_such_backe'
    ):
        Selection(("apart",))


def test_an_entry_for_a_part_that_is_absent_is_no_typo(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keras comes with TensorFlow, and its entries for another backend match no row that could run there."""
    here = next(a for a in catalogue.adapters() if a.framework == "numpy")
    apart = replace(here, mode="other-backend", companions=("no_such_backend",), known_failures="")
    file = tmp_path / "known.toml"
    text = '[[numpy]]\nid = "*/{}/*"\nversions = ">=1"\nstatus = "fail"\nkind = "shape"\nreason = "why"\n'
    file.write_text(text.format("other-backend"))
    monkeypatch.setattr(catalogue, "adapters", lambda: (replace(here, known_failures=str(file)), apart))
    assert [known.id for known in Plan(Selection(), ()).known] == [["*/other-backend/*"]]
    file.write_text(text.format("no-such-backend"))
    with pytest.raises(GradparityError, match="matches no row"):
        Plan(Selection(), ()).known  # noqa: B018


# --- the catalogue


def test_case_names_are_greppable_and_unique() -> None:
    for op in OPS.values():
        names = [case.name for case in op.cases]
        assert len(set(names)) == len(names), op.name
        assert not [name for name in names if set(name) - set("abcdefghijklmnopqrstuvwxyz0123456789.-")], op.name


def test_every_operation_is_offered_by_every_framework() -> None:
    """But by the forms written by hand, and by libraries of losses: these have what they have."""
    for adapter in catalogue.adapters():
        if adapter.framework not in ("numpy", "optax", "keras"):
            assert {i.op for i in adapter.implementations} == set(OPS), adapter.name


def test_every_implementation_of_an_operation_with_conventions_declares_them_all() -> None:
    for adapter in catalogue.adapters():
        for implementation in adapter.implementations:
            assert set(implementation.conventions) == set(OPS[implementation.op].conventions), implementation.api
            implementation.declared(OPS[implementation.op])


def test_planned_rows_are_the_rows_that_come() -> None:
    some = Selection(("numpy",), dtype=("float32", "bfloat16"), op=("cross_entropy", "softmax"))
    for item in catalogue.items(some):
        assert sorted(result.id for result in item.run()) == sorted(item.rows)


def test_what_was_compiled_is_kept_where_the_user_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    adapter = next(a for a in catalogue.adapters() if a.framework == "jax")
    for name in adapter.keeps:  # this process's own
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GRADPARITY_CACHE", str(tmp_path))
    assert adapter.variables["JAX_COMPILATION_CACHE_DIR"] == f"{tmp_path}/{build_of('jaxlib')}"
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "theirs")
    assert adapter.variables["JAX_COMPILATION_CACHE_DIR"] == "theirs"
    monkeypatch.setenv("GRADPARITY_CACHE", "")
    assert adapter.variables == adapter.on_record
    monkeypatch.delenv("GRADPARITY_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "gradparity"
    assert "JAX_COMPILATION_CACHE_DIR" not in adapter.on_record, "what is kept changes no result: not on record"


@pytest.mark.parametrize("what", ["version", "files", "instructions", "threads"])
def test_another_build_or_processor_keeps_what_it_compiled_elsewhere(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """TensorFlow would run what another release compiled."""
    before = build_of("jaxlib")
    assert before.startswith("jaxlib-")
    assert before == build_of("jaxlib") != build_of("torch")
    other: dict[str, Any] = {
        "version": ("version_of", lambda module: "2.2"), "files": ("files_of", lambda module: "rebuilt"),
        "instructions": ("instructions", lambda: "avx512f"), "threads": ("threads", lambda: 7),
    }  # fmt: skip
    monkeypatch.setattr(builds, *other[what])
    assert build_of("jaxlib") != before


def test_where_it_is_kept_is_no_part_of_the_environment_on_record(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor in a process that was started with it, as pytest's is; what the user has set instead is."""
    kept = {"TF_XLA_FLAGS": "--tf_xla_persistent_cache_directory=there"}
    for value, record in ((kept["TF_XLA_FLAGS"], {}), ("--theirs", {"TF_XLA_FLAGS": "--theirs"})):
        monkeypatch.setenv("TF_XLA_FLAGS", value)
        found = environment({"a": {}}, kept)["variables"]["a"]
        assert {k: v for k, v in found.items() if k in kept} == record


def test_every_folder_of_what_was_compiled_is_that_of_a_build() -> None:
    every = {adapter: [field[1] for text in adapter.keeps.values() for field in Formatter().parse(text)]
             for adapter in catalogue.adapters()}  # fmt: skip
    assert {name for names in every.values() for name in names if name} == {"jaxlib", "tensorflow", "torch"}
    for adapter in INSTALLED:
        assert all(builds.provider(name) for name in every[adapter] if name), adapter.name


def test_a_process_that_holds_too_much_lets_go(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    one, other = (
        replace(INSTALLED[0], framework=name, forget=lambda name=name: told.append(name)) for name in ("one", "other")
    )
    now = [1e9]
    monkeypatch.setattr("gradparity.adapter.held", lambda: now[0])
    memory = Memory(1.5e9)
    memory.after(one)
    assert told == []
    now[0] = 1.7e9
    memory.after(one)
    assert told == ["one"]
    memory.after(one)
    assert told == ["one"], "what it holds without anything compiled: again would be in vain"
    now[0] = 1.7e9 + 1.1 * ROOM
    memory.after(one)
    assert told == ["one", "one"]
    memory.after(other)
    assert told == ["one", "one", "one"], "the process is done with a framework"


def test_n_auto_starts_as_many_workers_as_fit_and_fewer_where_torch_compiles(monkeypatch: pytest.MonkeyPatch) -> None:
    def workers(*adapters: Adapter) -> int:
        stash = pytest.Stash()
        stash[PLAN] = plan = Plan(Selection(), ())
        object.__setattr__(plan, "profile", ({}, list(adapters)))
        return pytest_xdist_auto_num_workers(SimpleNamespace(stash=stash))

    monkeypatch.setattr("gradparity.plugin.cores", lambda: 8)
    monkeypatch.setattr("gradparity.plugin.threads", lambda: 1)
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=6.5e9))
    eager, *_ = torch = [a for a in catalogue.adapters() if a.framework == "torch"]
    compiling = [a for a in torch if a.mode.startswith("compile")]
    assert workers() == workers(eager) == 4
    assert len(compiling) == 2
    assert {workers(eager, a) for a in compiling} == {2}


COMPILED = [a for a in INSTALLED if a.forget is not Adapter.forget and a.framework != "keras"]


@pytest.mark.parametrize("adapter", COMPILED, ids=lambda a: a.name.replace(" ", "-"))
def test_what_was_let_go_is_compiled_again_and_gives_the_same(adapter: Adapter) -> None:
    implementation, op = next((i, OPS[i.op]) for i in adapter.implementations)

    def bits() -> list[str]:
        rows = check(op, implementation, adapter, "float32", "vjp", op.cases[:1])
        assert [row.status for row in rows] == ["pass"] * len(rows)
        return [row.bits for row in rows]

    before = bits()
    adapter.forget()
    assert bits() == before


def test_items_are_in_the_same_order_in_every_process() -> None:
    code = "from gradparity.catalogue import *; print([i.id for i in items(Selection())])"
    runs = {
        subprocess.check_output([sys.executable, "-c", code], text=True, env=os.environ | {"PYTHONHASHSEED": seed})
        for seed in ("1", "2")
    }
    assert len(runs) == 1


# Each operation's inputs in each dtype: a line is new with an operation, and changes with its cases.
INPUTS = {
    "softmax": "201b7357 e93eacb1 cb07419a 6f33e3d3",
    "log_softmax": "4d7bda1a a9b95572 6107d519 e7082e14",
    "logsumexp": "a1f0a228 6b76a897 c880045c a313a37f",
    "cross_entropy": "47e4bb96 5c0d7bea 0bb6b216 d343e90d",
    "soft_cross_entropy": "2f75394e 53cc88f2 d391ec69 57262461",
    "weighted_cross_entropy": "9d07b095 f03ee565 94d130ed a808bfa4",
    "sigmoid": "590e9f15 393d3a52 72b5c274 5bc67948",
    "log_sigmoid": "3ce2fa2e 2d07a264 c550fc81 5982941e",
    "hinge": "32a33c1b ef68d8b0 742f623b 2bbc5880",
    "squared_hinge": "6cf78283 d7e34052 1cf28518 577d5028",
    "ragged_centroid": "2cd153ab b6100bb0 4c2ba7a3 e15457ff",
    "binary_cross_entropy_with_logits": "1a8e0f14 96897ed4 4babac71 d25cd1ea",
    "negative_log_likelihood": "e72ea42f e29c0849 6e8744e2 878f0e64",
    "layered_cross_entropy": "e49cc389 4e10499b 1a88060e 42c85eca",
    "binary_cross_entropy": "3ebcd11b 0d25ad65 1fa2cd6b 957ba1e2",
    "softmax_regression": "15d221f3 9aa8fdbf f3356fce 41250f09",
    "multiclass_hinge": "fd521e5d e4647419 a615c476 d9da5c87",
    "crammer_singer_hinge": "2e0903ed 2ada74b5 f4a69015 7843dee7",
    "hinge_embedding": "829fe34b c8e903e6 97fae02f d2757082",
    "margin_ranking": "48a2b1e3 5db9cc15 aadcbe1e 4444ca42",
    "euclidean_norm": "e82d9519 b45ab27a 505b76bf 0d8abcc2",
    "pairwise_distance": "085dfe18 d3b8dc79 8c4d729e e5bf774e",
    "segment_sum": "8204f899 bbf700a9 52654251 14bb5c78",
    "segment_mean": "3986a931 7249b37c 567d5268 1bec23f7",
    "pca": "3ee500db 90cffd90 cfc6e4c9 cacd4e9e",
    "focal_loss": "2e43f4c2 bddb5a18 5d30f4ff 7518d203",
    "one_vs_rest": "44c3d6d9 916082f4 271f1352 13a5598e",
    "logistic_regression": "a1d1c416 6ea4da7f 2728f8ce bb1c1d7c",
    "categorical_hinge": "7e3ccb2a a4b5124e e26fd9f1 34faf07b",
    "multilabel_margin": "4da18dc9 5ee05b42 08e02132 60847afb",
    "spatial_cross_entropy": "fdfbc9d9 bae67ac5 c83131d6 1d201ae6",
    "categorical_cross_entropy": "93f5978a b538972c 635b328d 314cd048",
}


def digest_of_all(op: Op, dtype: str) -> str:
    found = digests_of_inputs(op, dtype, 0)
    return hashlib.sha256(" ".join(f"{name} {digest}" for name, digest in found.items()).encode()).hexdigest()[:8]


def test_inputs_do_not_move() -> None:
    """They depend on nothing but their names and the seed: not on NumPy's version, not on the machine."""
    assert {op.name: " ".join(digest_of_all(op, d) for d in FORMATS) for op in OPS.values()} == INPUTS


def test_another_seed_draws_other_inputs() -> None:
    from gradparity.cases import Draw

    first, second = (Draw("softmax/scale-1", "float64", seed).normal("x", (4,)) for seed in (0, 1))
    assert not np.array_equal(first, second)


def test_a_case_of_the_same_name_is_another_case() -> None:
    """What is remembered of one is not taken for the other."""
    from gradparity.op import Case

    item = catalogue.items(Selection(("numpy",), op=("cross_entropy",)))[0]
    seen = set()
    for x in (1.0, 2.0):
        inputs = {"x": np.array([[x, 0.0]]), "t": np.zeros(1, np.int64)}
        case = Case("same", lambda draw, inputs=inputs: inputs, {"reduction": "none"})
        (row,) = check(item.op, item.implementation, item.adapter, "float64", "value", (case,))
        assert row.status == "pass"
        seen.add(row.want)
    assert len(seen) == 2


def test_a_case_without_rows_is_evaluated_alone() -> None:
    from gradparity.cases import groups

    for op in OPS.values():
        for group in groups(op, "float32", op.cases, 0, "value"):
            empty = [
                case.name
                for k, case in enumerate(group.cases)
                if not group.part(next(iter(group.arrays.values())), k).size
            ]
            assert not empty or len(group.cases) == len(empty), (op.name, empty)


# --- snippets


PROFILES = catalogue.profiles(item.adapter for item in catalogue.items(Selection()))  # the first is this process's


def rows_to_show() -> list[tuple[Adapter, Implementation]]:
    """Of the adapters that every pytest process can have, whatever its tier; the others' are tried below. Of inductor,
    which takes ten seconds for one, two operations."""
    return [
        (a, i)
        for a in PROFILES[0][1] if a.framework != "keras"
        for i in a.implementations if a.mode != "compile" or i.op in ("softmax", "binary_cross_entropy")
    ]  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("adapter", "implementation"),
    rows_to_show(),
    ids=[f"{a.name.replace(' ', '-')}-{i.api}" for a, i in rows_to_show()],
)
def test_a_snippet_prints_the_number_that_was_seen(
    adapter: Adapter, implementation: Implementation, dtype: str
) -> None:
    """The value and the gradient of one case: the program alone, in a namespace of its own, gives what the check got.
    With the framework's own modes in one process, x64 must be on before jax is imported: see conftest."""
    op = OPS[implementation.op]
    case = op.cases[0]
    for direction in ("value", "vjp"):
        for row in check(op, implementation, adapter, dtype, direction, (case,)):
            if row.status == "unsupported":
                continue
            text = snippet(op, implementation, adapter, case, row)
            printed: list[str] = []
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # as in a check
                exec(text, {"__name__": "snippet", "print": lambda *x, out=printed: out.extend(map(str, x))})
            if row.reason == "dtype":
                assert printed[-1] != dtype
                continue
            got, shown = (FORMATS[dtype].dtype.type(float(x)) for x in (row.got, printed[0]))
            want = float(row.want)
            # where a compiler fuses otherwise for the program than for the check, bits move, within the same bound
            # and where what is wrong depends on the shape, a case alone is wrong in another way
            wrong = np.isinf(row.error) and shown != want
            assert shown == got or wrong or abs(float(shown) - want) <= abs(float(got) - want) / row.error, text


OTHERS = [a for _, adapters in PROFILES for a in adapters if a.framework == "keras" or a not in PROFILES[0][1]]


@pytest.mark.parametrize("adapter", OTHERS, ids=[a.name.replace(" ", "-") for a in OTHERS])
def test_a_snippet_of_another_process_runs_alone(adapter: Adapter, tmp_path: Path) -> None:
    """The environment that the framework needs is set by the program itself."""
    implementation = next(i for i in adapter.implementations if i.op == "softmax")
    case = OPS["softmax"].cases[0].name
    row = f"softmax/{implementation.api}/{adapter.mode}/{adapter.device}/float32/{case}/vjp.x"
    shown = gradparity_command("snippet", row)
    assert shown.returncode == 0, shown.stderr
    (tmp_path / "program.py").write_text(shown.stdout, encoding="utf-8")
    command = [sys.executable, "-W", "ignore", str(tmp_path / "program.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    float(done.stdout)


# --- known failures

ENTRY = """
[[torch]]
id = ["softmax/*"]
versions = ">=2"
status = "fail"
kind = "bound"
max_error = 10.0
reason = "because"
"""
FAILED = Result("softmax", "api", "torch", "eager", "cpu", "float32", "case", "value", "fail", "bound", error=5.0)


def entries(tmp_path: Path, text: str = ENTRY, version: str = "2.13.0", **options: Any) -> Any:
    path = tmp_path / "known.toml"
    path.write_text(text, encoding="utf-8")
    return known_failures.applicable([path], {"torch": version}, **options)


def changed(result: Result, **values: Any) -> Result:
    return replace(result, **values)


@pytest.mark.parametrize(
    ("row", "status"),
    [
        (FAILED, "xfail"),
        (changed(FAILED, error=11.0), "fail"),
        (changed(FAILED, status="error", reason="crash"), "error"),
        (changed(FAILED, reason="nonfinite"), "fail"),
        (changed(FAILED, status="pass", reason=""), "xpass"),
        (changed(FAILED, op="sigmoid"), "fail"),
        (changed(FAILED, op="sigmoid", status="pass"), "pass"),
    ],
    ids=["expected", "worse", "crash", "other-reason", "passes", "other-row", "other-row-passes"],
)
def test_known_failures_are_strict_both_ways(tmp_path: Path, row: Result, status: str) -> None:
    assert [r.status for r in known_failures.judged([row], entries(tmp_path))] == [status]


@pytest.mark.parametrize(
    ("row", "status"),
    [
        (FAILED, "xfail"),
        (changed(FAILED, status="pass", reason=""), "pass"),
        (changed(FAILED, error=11.0), "fail"),
        (changed(FAILED, reason="nonfinite"), "fail"),
        (changed(FAILED, dtype="float16"), "fail"),
        (changed(FAILED, framework="other"), "fail"),
    ],
    ids=["expected", "passes", "worse", "other-reason", "other-row", "other-framework"],
)
def test_of_drawn_sizes_some_may_pass(tmp_path: Path, row: Result, status: str) -> None:
    text = ENTRY.replace("softmax/*", "sigmoid/*") + 'drawn = ["softmax/*/float32/*size-*/value"]\n'
    known = entries(tmp_path, text)
    assert [r.status for r in known_failures.judged([changed(row, case="size-3x7")], known)] == [status]


def test_a_row_that_is_named_is_held_strictly_whatever_is_drawn(tmp_path: Path) -> None:
    text = ENTRY.replace('"softmax/*"', '"softmax/*/size-3x7/value"') + 'drawn = "softmax/*/*size-*/value"\n'
    for case, status in (("size-3x7", "xpass"), ("size-3x8", "pass")):
        row = changed(FAILED, case=case, status="pass", reason="")
        assert known_failures.judged([row], entries(tmp_path, text))[0].status == status


@pytest.mark.parametrize(
    ("exception", "status"), [("TypeError", "xfail"), ("IndexError", "xfail"), ("Error", "error"), ("", "error")]
)
def test_an_exception_that_is_known_is_of_its_type(tmp_path: Path, exception: str, status: str) -> None:
    text = ENTRY.replace('"fail"', '"error"').replace('"bound"', '"exception"').replace("max_error = 10.0", "")
    known = entries(tmp_path, f'{text}exception = "TypeError or IndexError"\n')
    row = changed(FAILED, status="error", reason="exception", exception=exception)
    assert [r.status for r in known_failures.judged([row], known)] == [status]


@pytest.mark.parametrize(("version", "applies"), [("1.9", False), ("2.13.0", True), ("2.14.0.dev20261101", True)])
def test_known_failures_are_for_versions(tmp_path: Path, version: str, applies: bool) -> None:
    assert bool(entries(tmp_path, version=version)) == applies


def test_known_failures_are_for_their_framework(tmp_path: Path) -> None:
    known = entries(tmp_path)
    assert known_failures.judged([FAILED], known)[0].status == "xfail"
    assert known_failures.judged([changed(FAILED, framework="other")], known)[0].status == "fail"


def test_known_failures_are_for_processors(tmp_path: Path) -> None:
    """By the whole name of a set of instructions: what is there is not taken for what begins so."""
    for name in features():
        assert entries(tmp_path, f'{ENTRY}processor = "{name}"\n')
        assert not entries(tmp_path, f'{ENTRY}processor = "{name}-and-more"\n')
    assert not entries(tmp_path, f'{ENTRY}processor = "{platform.machine()[:-1]}"\n')


def test_known_failures_expire(tmp_path: Path) -> None:
    text = ENTRY + "expires = 2026-06-01\n"
    assert entries(tmp_path, text, today=datetime.date(2026, 6, 1))
    assert not entries(tmp_path, text, today=datetime.date(2026, 6, 2))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('reason = "because"', "", "reason is missing"),
        ('reason = "because"', 'reason = " "', "the reason is empty"),
        ('reason = "because"', 'raeson = "because"', "did you mean reason"),
        ('status = "fail"', 'status = "broken"', "neither fail nor error"),
        ('versions = ">=2"', 'versions = "2"', "no PEP 440 specifier"),
        ("max_error = 10.0", "", "needs max_error"),
        ('kind = "bound"', 'kind = "exception"', "the kind exception needs exception"),
        ('reason = "because"', 'reason = "x"\nexception = "E"', "there is no exception of the kind bound"),
        ('kind = "bound"', 'exception = 1\nkind = "bound"', "exception should not be 1"),
        ("[[torch]]", "[torch]", "two brackets"),
        ('id = ["softmax/*"]', 'id = ["softmax/*"]\ndrawn = ["softmax/*"]', "drawn is for cases of drawn sizes"),
        ('id = ["softmax/*"]', 'id = ["softmax/*"]\ndrawn = [1]', "drawn should be a glob of row identities"),
        ('id = ["softmax/*"]', "id = [", "is no TOML"),
        ('reason = "because"', 'reason = "x"\nlink = "javascript:x"', "does not start with https://"),
    ],
)
def test_a_wrong_entry_is_named(tmp_path: Path, old: str, new: str, words: str) -> None:
    with pytest.raises(GradparityError, match=words) as caught:
        entries(tmp_path, ENTRY.replace(old, new))
    assert "known.toml" in str(caught.value)


def test_an_entry_that_matches_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(GradparityError, match="matches no row"):
        known_failures.must_match(entries(tmp_path), lambda start: ["sigmoid/api/eager/cpu/float32/case/value"])
    sized = entries(tmp_path, ENTRY + 'drawn = "softmax/*/size-*/value"\n')
    with pytest.raises(GradparityError, match="'softmax/\\*/size-\\*/value' matches no row"):
        known_failures.must_match(sized, lambda start: ["softmax/api/eager/cpu/float32/case/value"])


@pytest.mark.parametrize(
    "start", ["pca/gradparity.adapters.jax.pca/jit/cpu/float32/scale-1/v", "pca/", "pca/gradparity.ad"]
)
def test_the_rows_that_begin_so_are_those_of_the_catalogue(start: str) -> None:
    every = [row for item in catalogue.catalogued(Selection(op=("pca",))) for row in item.rows]
    assert sorted(catalogue.rows_from(start)) == sorted(row for row in every if row.startswith(start)) != []


# --- run files


def test_a_run_reads_as_it_was_written(tmp_path: Path) -> None:
    rows = [FAILED, changed(FAILED, case="b", error=float("inf"), ulp=float("nan"), at=(1, 2), got="nan")]
    for name in ("run.jsonl", "run.jsonl.gz"):
        with results.Writer(tmp_path / name) as writer:
            writer.line(results.header({}, {"torch": "2.13.0"}, 2))
            writer.rows(rows)
            writer.close({"framework": 1.0}, complete=True)
        run = results.read(tmp_path / name)
        assert repr(run.rows) == repr(rows)
        assert run.complete
        assert run.header["subject"]["torch"] == "2.13.0"
    assert not (tmp_path / "run.jsonl.gz.part").exists()


def test_a_run_that_was_cut_keeps_its_rows_and_is_incomplete(tmp_path: Path) -> None:
    with results.Writer(tmp_path / "run.jsonl") as writer:
        writer.line(results.header({}, {}, 2))
        writer.rows([FAILED])
        run = results.read(tmp_path / "run.jsonl")
    assert (len(run.rows), run.complete) == (1, False)


@pytest.mark.parametrize("text", ["", "no json\n", '{"kind": "header", "schema": 99}\n', "[1]\n"])
def test_what_is_no_run_is_said_to_be_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.jsonl").write_text(text, encoding="utf-8")
    with pytest.raises(GradparityError, match=r"x\.jsonl"):
        results.read(tmp_path / "x.jsonl")


# --- the command line

WRONG = {
    "framework": (["run", "--framework", "pytroch"], "did you mean torch?"),
    "op": (["run", "--op", "softmx"], "did you mean softmax"),
    "mode": (["run", "--mode", "jitt"], "did you mean jit, jax-jit?"),
    "dtype": (["run", "--dtype", "float8"], "unknown dtype 'float8'"),
    "8 bits": (["run", "--dtype", "float8_e5m2"], "no adapter has the dtype 'float8_e5m2': on a CPU only JAX computes"),
    "device": (["run", "--device", "cuda"], "no adapter has the device 'cuda': they compute on the CPU"),
    "nothing": (["run", "--select", "nothing/*"], "nothing selected"),
    "shard": (["run", "--shard", "5/4"], "--shard takes i/n, as 1/4 to 4/4, not '5/4'"),
    "no shard": (["run", "--shard", "half"], "--shard takes i/n, as 1/4 to 4/4, not 'half'"),
    "time": (["run", "--time-limit", "0"], "'--time-limit'"),
    "combination": (["run", "--framework", "numpy", "--mode", "jit"], "nothing selected"),
    "workers": (["run", "-n", "many"], "not 'many'"),
    "unwritable": (["run", "--framework", "numpy", "-o", "/no/such/folder/x.jsonl"], "cannot write"),
    "option": (["run", "--frmework", "numpy"], "--framework"),
    "seed": (["run", "--seed", "x"], "not a valid integer"),
    "known": (["run", "--known-failures", "/no/such/file.toml"], "cannot read the known failures"),
    "list": (["list", "everything"], "not 'everything'"),
    "snippet": (["snippet", "a/b"], "no row is called 'a/b'"),
    "snippet of nothing": (["snippet", "ROW"], "no row is called 'ROW'"),
}


@pytest.mark.parametrize(("words", "said"), WRONG.values(), ids=WRONG)
def test_a_wrong_call_is_one_line_and_exit_code_2(words: list[str], said: str) -> None:
    done = gradparity_command(*words)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not done.stdout


def test_a_framework_that_is_not_installed_is_no_skip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Adapter, "absent", property(lambda self: [self.module]))
    with pytest.raises(GradparityError, match=r'pip install "gradparity\[torch\]"'):
        Selection(("torch",))
    assert catalogue.items(Selection()) == []


def test_list_answers_within_a_second_and_names_everything() -> None:
    start = time.perf_counter()
    shown = gradparity_command("list").stdout
    rows = gradparity_command("list", "rows", "--framework", "numpy").stdout
    assert time.perf_counter() - start < 10  # two starts on a machine that may be busy: a guard, not a benchmark
    assert all(op in shown for op in OPS)
    assert "cross_entropy/gradparity.adapters.numpy.cross_entropy_loop/eager/cpu/float64/scale-1/vjp.x" in rows


def test_run_ends_with_a_table_a_file_and_0(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    done = gradparity_command("run", "--framework", "numpy", "--op", "softmax", "-n", "1", "-o", str(path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "CONFORMING: numpy" in done.stdout
    assert "unsup" in done.stdout
    run = results.read(path)
    assert run.complete
    # shares of misrounded results aside: they are recorded of one kind of processor, and unsupported on another
    counts = Counter(row.status for row in run.rows if not row.is_share)
    assert counts == {"pass": 305, "unsupported": 321, "xfail": 1}
    assert sum(run.footer["counts"].values()) == len(run.rows)
    assert max(map(len, done.stdout.splitlines())) <= 80


BROKEN = """
import os
from dataclasses import replace
from gradparity.adapter import Implementation
from gradparity.adapters.numpy import ADAPTERS as NUMPY

def raises(x): raise RuntimeError("this framework is broken")
def dies(x): os.kill(os.getpid(), 9)
def hangs(x): __import__("time").sleep(1e6)
def hoards(x):
    __import__("gradparity.plugin").plugin.MOST_PER_WORKER = 0  # so that whatever it holds is too much
    print(os.getpid(), file=open(os.environ["PROCESSES"], "a"))
    return 1 / (1 + __import__("numpy").exp(-x))
def wrong(x): return 1 - 1 / (1 + __import__("numpy").exp(-x))
def keeps(x): return 1 / (1 + __import__("numpy").exp(-x))

def own(name, fn, framework):
    implementation = Implementation("sigmoid", "broken." + name, fn, vjp=lambda g, y, x: {"x": g * y * (1 - y)})
    return replace(NUMPY[0], framework=framework, implementations=(implementation,), module="broken", baseline=None)

def complains(): raise RuntimeError("this framework does not forget")

ADAPTERS = (own("raises", raises, "raising"), own("dies", dies, "dying"), own("wrong", wrong, "lying"),
            own("hangs", hangs, "hanging"), own("hoards", hoards, "hoarding"),
            replace(own("keeps", keeps, "keeping"), forget=complains))
"""


@pytest.fixture
def broken(tmp_path: Path) -> dict[str, str]:
    """Frameworks of a third party, installed beside ours: one raises, one's process is killed, one is wrong, one
    hangs, one holds too much memory, one cannot let go of what it compiled."""
    (tmp_path / "broken.py").write_text(BROKEN, encoding="utf-8")
    metadata = tmp_path / "broken-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n", encoding="utf-8")
    (metadata / "entry_points.txt").write_text("[gradparity.adapters]\nbroken = broken:ADAPTERS\n", encoding="utf-8")
    (metadata / "RECORD").write_text("broken.py,,\n", encoding="utf-8")
    return os.environ | {"PYTHONPATH": str(tmp_path)}


def broken_run(tmp_path: Path, environment: dict[str, str], *words: str) -> tuple[int, results.Run, str]:
    path = tmp_path / "run.jsonl"
    done = gradparity_command("run", *words, "-n", "2", "-o", str(path), env=environment)
    return done.returncode, results.read(path), done.stdout


def undeclared(row: Result) -> bool:
    """At an edge of which these frameworks declare nothing."""
    return row.status == "unsupported" and row.reason.startswith("what it does here is not declared")


def test_a_framework_that_raises_dies_or_lies_is_a_row_and_the_rest_goes_on(
    tmp_path: Path, broken: dict[str, str]
) -> None:
    frameworks = ("raising", "dying", "lying", "numpy")
    words = [f"--framework={name}" for name in frameworks] + ["--op", "sigmoid", "--op", "softmax"]
    code, run, shown = broken_run(tmp_path, broken, *words)
    assert code == 1, shown
    assert run.complete
    assert len(run.rows) == run.header["planned"]
    unsupported = [r for r in run.rows if r.status == "unsupported" and r.framework != "numpy"]
    assert {r.check for r in unsupported if not undeclared(r)} == {
        "invariant.two-classes", "value.misrounded", "vjp.x.misrounded", "same.transposed.value", "same.transposed.vjp",
    }  # fmt: skip
    judged = [r for r in run.rows if r not in unsupported]
    seen = {name: {(r.status, r.reason) for r in judged if r.framework == name} for name in frameworks}
    assert seen["raising"] == {("error", "exception")}
    assert seen["dying"] == {("error", "crash")}
    assert ("fail", "bound") in seen["lying"]
    assert {status for status, _ in seen["numpy"]} == {"pass", "unsupported", "xfail"}
    assert "NOT CONFORMING" in shown
    assert {r.exception for r in judged if r.framework == "raising"} == {"RuntimeError"}


def test_a_test_that_fails_though_no_row_does_is_no_success(tmp_path: Path, broken: dict[str, str]) -> None:
    """A framework that cannot let go of what it compiled, when the process goes on to the next one."""
    words = ("--framework=keeping,numpy", "--op=sigmoid,softmax", "--dtype=float32", "--select=*/scale-1/v*", "-n", "1")
    path = tmp_path / "run.jsonl"
    done = gradparity_command("run", *words, "-o", str(path), env=broken)
    assert done.returncode == cli.INCOMPLETE, done.stdout
    assert "pytest ended with code 1" in done.stdout
    assert "this framework does not forget" in done.stdout
    assert {row.framework for row in results.read(path).rows if row.status == "pass"} == {"keeping", "numpy"}
    assert not any(row.bad for row in results.read(path).rows)


def test_what_hangs_is_an_error_of_reason_timeout(tmp_path: Path, broken: dict[str, str]) -> None:
    words = ("--framework=hanging", "--dtype=float32", "--select=*/value", "--time-limit=3")
    code, run, _ = broken_run(tmp_path, broken, *words)
    assert code == 1
    assert run.complete
    assert {(row.status, row.reason) for row in run.rows} == {("error", "timeout")}
    assert "took more than 3 s (--time-limit), and its worker ended itself" in run.rows[0].message


def test_a_signal_that_is_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with runner.interruptible() as stop:
            signal.raise_signal(signal.SIGINT)
            assert not stop.is_set()
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.skipif(os.name != "posix", reason="SIGTERM ends a process outright where it is not POSIX")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_ended_keeps_what_came_and_leaves_no_process(
    number: int, tmp_path: Path, broken: dict[str, str]
) -> None:
    """By a CI, say, while an item hangs; the framework after it, which needs another process, is not begun."""
    path = tmp_path / "run.jsonl"
    words = ("--framework=hanging,numpy", "--op=sigmoid,softmax", "--dtype=float32", "-n", "2", "-o", str(path))
    command = [sys.executable, "-m", "gradparity", "run", *words]
    process = psutil.Popen(command, env=broken, stdout=subprocess.PIPE, text=True)
    while not path.exists() or path.read_text(encoding="utf-8").count("\n") < 20:
        assert process.poll() is None
        time.sleep(0.1)
    below = process.children(recursive=True)
    process.send_signal(number)
    shown, _ = process.communicate(timeout=60)
    assert process.returncode == cli.INCOMPLETE
    assert "INCOMPLETE" in shown
    run = results.read(path)
    assert not run.complete
    assert run.footer
    assert {row.framework for row in run.rows if row.status == "pass"} == {"numpy"}
    assert len(below) >= 3, "pytest and its workers"
    assert psutil.wait_procs(below, timeout=60)[1] == []


def test_a_worker_that_holds_too_much_is_replaced_and_no_row_is_lost(tmp_path: Path, broken: dict[str, str]) -> None:
    """Each of its items has a worker of its own; without the limit two would do."""
    processes = tmp_path / "processes"
    words = ("--framework=hoarding", "--dtype=float32,float64", "--select=*/scale-1/v*")
    code, run, shown = broken_run(tmp_path, broken | {"PROCESSES": str(processes)}, *words)
    assert code == 0, shown
    assert run.complete
    assert {row.status for row in run.rows} == {"pass"}
    assert len({row.id for row in run.rows}) == len(run.rows) == run.header["planned"]
    assert len(set(processes.read_text(encoding="utf-8").split())) == 4


def test_shards_are_parts_of_the_whole() -> None:
    """Disjoint, complete, the same whatever else is selected, and merged they are the run; one may be empty."""
    whole = {row for item in catalogue.items(Selection()) for row in item.rows}
    parts = [{r for i in catalogue.items(Selection(shard=(k, 3))) for r in i.rows} for k in range(3)]
    assert sorted(row for part in parts for row in part) == sorted(whole)
    assert min(map(len, parts)) > len(whole) / 4
    some = {row for item in catalogue.items(Selection(op=("hinge",), shard=(1, 3))) for row in item.rows}
    assert some == {row for row in parts[1] if row.startswith("hinge/")}


def test_merged_shards_are_the_run_and_an_empty_one_is_complete(tmp_path: Path) -> None:
    words = ["run", "--framework", "numpy", "--op", "cross_entropy", "--dtype", "float32", "-n", "1"]
    paths = [str(tmp_path / f"{k}.jsonl") for k in range(9)]
    assert gradparity_command(*words, "-o", paths[0]).returncode == 0
    for k in range(1, 9):
        assert gradparity_command(*words, "--shard", f"{k}/8", "-o", paths[k]).returncode == 0
    assert gradparity_command("merge", *paths[1:], "-o", str(tmp_path / "all.jsonl")).returncode == 0
    parts = [results.read(Path(path)) for path in paths]
    assert all(part.complete for part in parts)
    assert min(len(part.rows) for part in parts) == 0
    merged = results.read(tmp_path / "all.jsonl")
    assert merged.complete
    assert sorted(row.id for row in merged.rows) == sorted(row.id for row in parts[0].rows)
    assert gradparity_command("merge", *paths[2:], "-o", str(tmp_path / "some.jsonl")).returncode == cli.INCOMPLETE
    assert not results.read(tmp_path / "some.jsonl").complete, "one of the eight shards is not there"


def test_a_known_failures_file_of_ones_own(tmp_path: Path, broken: dict[str, str]) -> None:
    known = tmp_path / "own.toml"
    known.write_text(
        '[[raising]]\nid = "sigmoid/broken.raises/*"\nversions = ">=1"\nstatus = "error"\nkind = "exception"\n'
        'exception = "RuntimeError"\nreason = "it always raises"\n',
        encoding="utf-8",
    )
    code, run, shown = broken_run(tmp_path, broken, "--framework", "raising", "--known-failures", str(known))
    assert code == 0, shown
    looked_at = [r for r in run.rows if r.check != "invariant.two-classes" and ".transposed." not in r.check]
    assert {r.status for r in looked_at if not undeclared(r)} == {"xfail"}


def test_a_crash_that_is_known_is_expected(tmp_path: Path, broken: dict[str, str]) -> None:
    """Its row is written by the process that the worker left."""
    known = tmp_path / "own.toml"
    known.write_text('[[dying]]\nid = "*/broken.dies/*"\nversions = ">=1"\nstatus = "error"\nkind = "crash"\n'
                     'reason = "it kills its process"\n', encoding="utf-8")  # fmt: skip
    words = ("--framework=dying", "--dtype=float32", "--select=*/value", "--known-failures", str(known))
    code, run, shown = broken_run(tmp_path, broken, *words)
    assert code == 0, shown
    assert {(r.status, r.reason) for r in run.rows if not undeclared(r)} == {("xfail", "it kills its process")}


# --- bare pytest


def test_bare_pytest_takes_the_same_options_and_fails_with_the_message(tmp_path: Path, broken: dict[str, str]) -> None:
    command = [sys.executable, "-m", "pytest", "-p", "gradparity.plugin", "-p", "no:cacheprovider", "-c", os.devnull,
               "--rootdir", str(tmp_path), "--pyargs", "gradparity.tests.test_conformance", "--framework", "lying",
               "--select", "*/scale-1/*"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, env=broken, cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert "sigmoid/broken.wrong/eager/cpu/float64/scale-1/value on lying 1.0: [" in done.stdout
    assert "times the allowed error (class A" in done.stdout


def test_bare_pytest_refuses_what_it_does_not_know() -> None:
    command = [sys.executable, "-m", "pytest", "--framework", "pytroch", "tests/test_conformance.py"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 4
    assert "unknown framework 'pytroch'; did you mean torch?" in done.stderr


# --- one's own function


def right(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def right_vjp(g: Any, y: Any, x: Any) -> Any:
    return {"x": g * y * (1 - y)}


def test_assert_conforms_passes_what_is_right() -> None:
    with np.errstate(over="ignore"):
        gradparity.assert_conforms(right, op="sigmoid", framework="numpy", vjp=right_vjp)


def test_assert_conforms_names_op_case_element_and_factor() -> None:
    with pytest.raises(AssertionError) as caught:
        # in other cases nothing is rounded, and there is no factor
        gradparity.assert_conforms(
            lambda x: right(x) * 1.001, op="sigmoid", framework="numpy", vjp=right_vjp, select="*/scale-1/*"
        )
    words = str(caught.value)
    assert "sigmoid/" in words
    assert "times the allowed error (class A" in words
    assert "import numpy as np" in words


def test_check_function_gives_a_result_for_each_case_and_check() -> None:
    found = gradparity.check_function(right, op="sigmoid", framework="numpy", vjp=right_vjp, select="*/scale-1/*")
    invariants = [f"invariant.{name}" for name in ("permutation", "two-classes", "even-gradient")]
    assert [(r.dtype, r.check, r.status) for r in found] == [
        (dtype, name, "pass") for dtype in ("float64", "float32") for name in ("value", "vjp.x", *invariants)
    ]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"op": "sigmod"}, "did you mean sigmoid"),
        ({"framework": "nunpy"}, "did you mean numpy"),
        ({"dtypes": ["float8"]}, "unknown dtype"),
        ({"conventions": {"knik": 0}}, "unknown convention"),
        ({"precision": "D"}, "unknown precision class"),
        ({"mode": "jit"}, "unknown mode of numpy"),
        ({"road": "scenic"}, "unknown road of sigmoid"),
        ({"select": "x/*"}, "nothing selected"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_assert_conforms_refuses_what_it_does_not_know(options: dict[str, Any], words: str) -> None:
    with pytest.raises(GradparityError, match=words):
        gradparity.assert_conforms(right, **({"op": "sigmoid", "framework": "numpy", "vjp": right_vjp} | options))


# --- the oracle

FLUSH_TO_ZERO = """
import ctypes, ctypes.util
import gradparity, numpy as np
libm = ctypes.CDLL(ctypes.util.find_library("m"))
environment = (ctypes.c_uint32 * 8)()  # fenv_t of glibc on x86-64: the last word is MXCSR
libm.fegetenv(environment)
environment[7] |= 0x8040  # flush to zero, denormals are zero
libm.fesetenv(environment)
try:
    gradparity.check_function(lambda x: 1 / (1 + np.exp(-x)), op="sigmoid", framework="numpy", select="*/scale-1/value")
except gradparity.GradparityError as error:
    print(error)
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="sets the processor's mode as glibc on x86-64 keeps it")
def test_the_oracle_refuses_to_run_with_flush_to_zero() -> None:
    output = subprocess.check_output([sys.executable, "-W", "ignore", "-c", FLUSH_TO_ZERO], text=True)
    assert output.startswith("flush-to-zero is on in this thread")


# --- small things


def test_the_nearest_names_are_named() -> None:
    """And all, where they are few: what is no part of a list of the catalogue, as a tier, is named nowhere else."""
    assert nearest("jx", ["jax", "torch"], "tier") == "unknown tier 'jx'; did you mean jax? (all: jax, torch)"
    many = [f"op{k}" for k in range(20)]
    assert nearest("op17x", many, "op").endswith("? (all: 20, see gradparity list)")


def test_a_summary_shows_what_was_not_passed() -> None:
    from rich.console import Console

    run = results.Run({"planned": 2, "subject": {"torch": "2"}}, [FAILED], {"complete": False})
    console = Console(width=80, file=io.StringIO())
    console.print(report.summary(run, Path("x.jsonl")))
    shown = console.file.getvalue()
    assert "INCOMPLETE: 1 of 2 rows" in shown
    assert "1 FAIL" in shown


def test_a_summary_says_which_passes_are_of_a_part() -> None:
    from rich.console import Console

    passed = [changed(FAILED, status="pass", unbounded=part) for part in (0.0, 0.25, 0.5)]
    console = Console(width=80, file=io.StringIO())
    console.print(report.summary(results.Run({}, [*passed, FAILED], {"complete": True}), Path("x.jsonl")))
    assert "in 2 passed rows some bounds are infinite, at 50 % of the elements at most" in console.file.getvalue()


def test_a_summary_of_long_names_fits_80_columns_and_says_how_to_see_more() -> None:
    from rich.console import Console

    names = ("binary_cross_entropy", "binary_cross_entropy_with_logits", "negative_log_likelihood")
    rows = [changed(FAILED, op=op, framework=f"framework{k}") for op in names for k in range(7)]
    console = Console(width=80, file=io.StringIO())
    console.print(report.summary(results.Run({}, rows, {"complete": True}), Path("a b.jsonl")))
    shown = console.file.getvalue()
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= 80
    assert "page: gradparity report 'a b.jsonl' -o report.html" in shown


def test_a_summary_without_colour_says_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.console import Console

    monkeypatch.setenv("NO_COLOR", "1")
    console = Console(width=80, file=io.StringIO(), force_terminal=True)
    console.print(report.summary(results.Run({}, [FAILED], {"complete": True}), Path("x")))
    shown = console.file.getvalue()
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]", shown)
    assert "1 FAIL" in shown
    assert "NOT CONFORMING" in shown


def test_progress_in_a_log_says_how_long_it_will_take(monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.console import Console

    clock = iter(range(0, 10**6, 50))
    monkeypatch.setattr(runner.time, "monotonic", lambda: float(next(clock)))
    console = Console(width=80, file=io.StringIO())
    runner.show_progress(iter([0, 100, 100]), 1000, "rows", console)
    assert console.file.getvalue().splitlines() == [
        "1000 rows to judge", "0 of 1000 rows judged", "100 of 1000 rows judged, 30 min left",
        "200 of 1000 rows judged, 20 min left",
    ]  # fmt: skip
    assert runner.time_left(900, 1000, 90.0) == ", 10 s left"


MAPPED = {
    "gradparity": "src/gradparity",
    **{f"gradparity/{k}": k for k in ("reference", "adapters", "mutants", "tests")},
}


def test_the_wheel_holds_exactly_the_right_files(tmp_path: Path) -> None:
    """Built from a copy, since `build/` can hold stale files. tests/self is not shipped."""
    source = tmp_path / "source"
    for folder in MAPPED.values():
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("pyproject.toml", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    kinds = (".py", ".npz", ".toml", ".json", ".html", ".css", ".js", ".typed")
    wanted = {f"{there}/{file.name}" for there, here in MAPPED.items() for file in (ROOT / here).iterdir()
              if file.suffix in kinds}  # fmt: skip
    assert held == wanted


def test_the_digits_are_those_of_scikit_learn() -> None:
    from sklearn.datasets import load_digits

    from gradparity.reference.digits import data

    assert np.array_equal(data()["labels"], load_digits().target)
    assert np.mean(data()["logits"].argmax(1) == data()["labels"]) > 0.95


def test_results_are_json(tmp_path: Path) -> None:
    row = results.to_json(changed(FAILED, error=float("inf")))
    assert json.loads(json.dumps(row, allow_nan=False))["error"] == "inf"


def test_an_item_that_ended_without_rows_gives_an_error_for_each() -> None:
    item: Item = catalogue.items(Selection(("numpy",), op=("softmax",)))[0]
    rows = item.unjudged("crash", "worker gw0 crashed")
    assert [row.id for row in rows] == item.rows
    assert {(row.status, row.reason) for row in rows} == {("error", "crash")}


# --- classes


class CrossEntropy:
    def __init__(self, how: str) -> None:
        self.how = how

    def __call__(self, x: Any, t: Any) -> Any:
        return right_of(OPS["cross_entropy"].forward)(x=x, t=t, reduction=self.how)


def test_a_class_is_made_with_some_arguments_and_called_with_the_others() -> None:
    op, renames = OPS["cross_entropy"], {"reduction": "how"}
    cases = tuple(case for case in op.cases if case.name == "sum-scale-1")
    for made_with, status in ((("reduction",), "pass"), ((), "error")):
        mine = Implementation("cross_entropy", "mine", CrossEntropy, renames, made_with=made_with)
        assert [row.status for row in check(op, mine, NUMPY, "float64", "value", cases)] == [status]
    named = Implementation("cross_entropy", "some.CrossEntropy", None, renames, made_with=("reduction",))
    line = "call = lambda x, t: some.CrossEntropy(how='sum')(x=x, t=t)"
    assert call_lines(named, NUMPY, ("x", "t"), {"reduction": "sum"}) == [line]


# --- precision


def test_the_findings_of_the_adapters_are_the_declarations_that_are_wider_than_a_sibling() -> None:
    """A function that rounds more in one 16-bit dtype, or along one axis, than in another is a finding: it says why."""
    for adapter in catalogue.adapters():
        for implementation in adapter.implementations:
            for direction in ("value", "vjp"):
                declared = [
                    implementation.precision_of(dtype, direction, case.name)
                    for dtype in ("bfloat16", "float16")
                    for case in OPS[implementation.op].cases
                ]
                narrowest = min(p.cls for p in declared)
                silent = {str(p) for p in declared if p.cls > narrowest and not p.finding}
                assert not silent, f"{adapter.name} {implementation.api} {direction}: {silent} beside class {narrowest}"
