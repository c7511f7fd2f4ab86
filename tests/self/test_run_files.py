"""Run files: what is written, and what is refused of a file that may come from anywhere."""

from __future__ import annotations

import contextlib
import gzip
import importlib.resources
import json
import os
import re
import resource
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from commands import gradparity_command

from gradparity import catalogue, check_function, plugin, results
from gradparity.catalogue import Selection
from gradparity.op import GradparityError, Result

ROW = Result("softmax", "t.softmax", "torch", "eager", "cpu", "float32", "a", "value", "pass", error=0.5, bits="0f")
SCHEMA = json.loads((importlib.resources.files("gradparity") / "run.schema.json").read_text(encoding="utf-8"))


def header(**values: Any) -> dict[str, Any]:
    return results.header({}, {"torch": "2.13.0"}, 1) | values


def written(path: Path, *rows: Result, **values: Any) -> Path:
    with results.Writer(path) as writer:
        writer.line(header(**values))
        writer.rows(rows)
        writer.close({}, complete=True)
    return path


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


# --- what is written


def real_run(tmp_path: Path) -> Path:
    items = catalogue.items(Selection(("numpy",), op=("ragged_centroid", "softmax"), dtype=("float32", "bfloat16")))
    rows = [row for item in items for row in item.run()]
    rows += items[0].unjudged("crash", "worker gw0 crashed")
    with results.Writer(tmp_path / "run.jsonl") as writer:
        writer.line(plugin.header(items[0].selection, items))
        writer.rows({row.id: row for row in rows}.values())
        writer.close({"framework": 1.0}, complete=True)
    return tmp_path / "run.jsonl"


def test_a_real_run_is_as_the_schema_says(tmp_path: Path) -> None:
    import jsonschema

    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    validator = jsonschema.Draft202012Validator(SCHEMA)
    for line in lines(real_run(tmp_path)):
        validator.validate(json.loads(line))
    assert not validator.is_valid({"kind": "row"})


def test_the_schema_has_every_property_of_a_row() -> None:
    assert set(SCHEMA["$defs"]["row"]["properties"]) == {"id", *(f.name for f in fields(Result))}
    assert set(SCHEMA["$defs"]["header"]["required"]) == {"kind", "schema", *results.HEADER}
    assert set(SCHEMA["$defs"]["footer"]["required"]) == {"kind", *results.FOOTER}
    assert SCHEMA["$defs"]["header"]["properties"]["schema"]["const"] == results.SCHEMA


def test_a_row_says_what_was_declared_what_came_and_how_long_it_took(tmp_path: Path) -> None:
    run = results.read(real_run(tmp_path))
    assert all(row.precision for row in run.rows if row.status == "pass")
    compared = [row for row in run.rows if row.status in ("pass", "fail") and not row.exception]
    # what came where an exception was due, or in another dtype, is not compared
    mismatched = ("convention", "dtype")
    judged = [row for row in compared if row.check in ("value", "vjp.x") and row.reason not in mismatched]
    assert judged
    assert all(re.fullmatch("[0-9a-f]{16}", row.bits) and row.seconds > 0 for row in judged)
    assert not any(row.bits for row in run.rows if row.check.startswith("invariant.") or row.is_share)


def test_a_row_says_which_conventions_it_declared() -> None:
    def own_hinge(**arguments: Any) -> Any:
        raise NotImplementedError

    select = "*/scale-1/value"
    found = check_function(own_hinge, "hinge", "numpy", conventions={"kink": 1.0}, road="", select=select)
    assert {(row.status, row.conventions) for row in found} == {("error", "kink=1.0, nan_margin=0.0")}


def test_the_digest_of_the_bits_is_that_of_the_bits() -> None:
    """Twice the same; another where one bit is another, be it the sign of 0."""
    import numpy as np

    from gradparity.comparison import digest

    x = np.arange(8, dtype=np.float32)
    assert digest(x.tobytes()) == digest(x.copy().tobytes())
    assert len({digest(a.tobytes()) for a in (x, -x, np.nextafter(x, 1), np.zeros(8), -np.zeros(8))}) == 5
    item = catalogue.items(Selection(("numpy",), op=("softmax",), dtype=("float32",)))[0]
    assert [row.bits for row in item.run()] == [row.bits for row in item.run()]


def test_the_header_says_what_moves_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    monkeypatch.setenv("SECRET_TOKEN", "x")
    items = catalogue.items(Selection(("numpy",), op=("softmax",), dtype=("float32",), seed=3))
    found = plugin.header(items[0].selection, items)
    assert found["seed"] == 3
    assert set(found["inputs"]) == {f"softmax/float32/{case.name}" for case in items[0].op.every_case("float32")}
    variables = found["environment"]["variables"]["numpy eager"]
    assert (variables["TF_ENABLE_ONEDNN_OPTS"], variables["OMP_NUM_THREADS"]) == ("0", "1")
    assert "SECRET_TOKEN" not in variables
    assert found["environment"]["flush_to_zero"] is False


def test_inputs_are_those_of_an_operation_whatever_is_selected_of_it() -> None:
    """So that the shards of a run have the same."""
    part = catalogue.items(Selection(("numpy",), op=("softmax",), select="*/float32/scale-1/value"))
    whole = catalogue.items(Selection(("numpy",), op=("softmax",), dtype=("float32",)))
    assert catalogue.inputs(part) == catalogue.inputs(whole)
    assert catalogue.inputs(part, 1) != catalogue.inputs(part)


# --- what is refused


def test_a_row_reads_as_it_was_written(tmp_path: Path) -> None:
    row = replace(ROW, error=float("inf"), ulp=float("nan"), at=(1, 2), got="nan", road="r", seconds=1e-5)
    assert repr(results.read(written(tmp_path / "x.jsonl", row)).rows) == repr([row])


def test_rows_that_two_runs_share_are_read_once_and_no_others(tmp_path: Path) -> None:
    """What differs by its time alone is shared. What hides something after the time is not."""
    rows = [replace(ROW, case=case, seconds=1e-5) for case in "abc"] + [replace(ROW, case="d")]
    moved = [replace(rows[0], seconds=2.5), replace(rows[1], error=0.6), *rows[2:]]
    known: results.Known = {}
    a, b = (results.read(written(tmp_path / name, *some), known).rows for name, some in (("a", rows), ("b", moved)))
    assert [one is other for one, other in zip(a, b, strict=True)] == [True, False, True, True]
    assert repr(a) == repr(rows)
    assert b[1].error == 0.6
    hiding = json.dumps(results.to_json(rows[2]), ensure_ascii=False).removesuffix("}") + ', "status": "fail"}\n'
    run = results.Run(header())
    for line in (hiding.encode(), b"{}\n"):
        with contextlib.suppress(ValueError):
            results.take_known(run, line, known, fill=True)
    assert [row.status for row in run.rows] == ["fail"]
    with pytest.raises(ValueError, match="the header comes first"):
        results.take_known(results.Run(), next(iter(known)) + b', "seconds": 1}\n', known, fill=True)


def test_a_run_without_rows_is_one(tmp_path: Path) -> None:
    assert results.read(written(tmp_path / "x.jsonl")).complete


def edited(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    return lambda data: data.replace(old, new)


DAMAGED: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "an older schema": (edited(b'"schema": 3', b'"schema": 2'), "schema 2 where this one reads 3, of an older"),
    "a newer schema": (edited(b'"schema": 3', b'"schema": 4'), "of a newer gradparity"),
    "a schema that is none": (edited(b'"schema": 3', b'"schema": [2]'), "schema [2]"),
    "a header without inputs": (edited(b', "inputs": {}', b""), "inputs should be dict"),
    "a version that is a number": (edited(b'"torch": "2.13.0"', b'"torch": 2.13'), "torch should be str"),
    "a number where text belongs": (edited(b'"api": "t.softmax"', b'"api": 1'), "api is a text"),
    "text where a number belongs": (edited(b'"error": 0.5', b'"error": "small"'), "error is a number"),
    "NaN": (edited(b'"error": 0.5', b'"error": NaN'), "NaN is no JSON"),
    "a status that is none": (edited(b'"status": "pass"', b'"status": "perfect"'), "no row has the status"),
    "another identity": (edited(b'"id": "softmax/', b'"id": "hinge/'), "no row has the status 'pass' and the id"),
    "a row that was changed": (edited(b'"error": 0.5', b'"error": 0.1'), "changed or damaged"),
    "a row that was cut out": (lambda data: re.sub(rb'{"id".*\n', b"", data), "changed or damaged"),
    "no header": (lambda data: data.partition(b"\n")[2], "line 1"),
    "no JSON": (lambda data: b"torch: all good\n", "line 1"),
    "nothing": (lambda data: b"", "no header"),
    "two runs": (lambda data: data + data, "nothing follows the footer"),
    "a long line": (lambda data: data + b" " * 2**20 + b"\n", "a line is longer than 1,048,576 bytes"),
    "depth": (lambda data: data[: data.index(b"\n") + 1] + b"[" * 10**5 + b"\n", "line 2"),
    "no UTF-8": (edited(b"t.softmax", b"t.\xff"), "line 2"),
    "a huge integer": (edited(b'"error": 0.5', b'"error": ' + b"9" * 4000), "line 2"),
}


@pytest.mark.parametrize("name", DAMAGED)
@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz"])
def test_what_was_damaged_is_refused_in_one_line(tmp_path: Path, name: str, suffix: str) -> None:
    damage, words = DAMAGED[name]
    data = damage(written(tmp_path / "good.jsonl", ROW).read_bytes())
    path = tmp_path / f"x{suffix}"
    path.write_bytes(gzip.compress(data) if suffix.endswith(".gz") else data)
    with pytest.raises(GradparityError) as caught:
        results.read(path)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 400


def test_the_same_row_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GradparityError, match="/a/value is there twice"):
        results.read(written(tmp_path / "x.jsonl", ROW, replace(ROW, error=0.1)))


def test_a_run_that_is_cut_is_incomplete_wherever_it_is_cut(tmp_path: Path) -> None:
    whole = written(tmp_path / "x.jsonl", ROW, replace(ROW, case="b"))
    data, footer = whole.read_bytes(), lines(whole)[-1]
    for removed in (len(footer), len(footer) + 30):
        whole.write_bytes(data[:-removed])
        run = results.read(whole)
        assert not run.complete
        assert len(run.rows) == (2 if removed == len(footer) else 1)


def test_a_compressed_run_that_is_cut_is_damaged(tmp_path: Path) -> None:
    path = written(tmp_path / "x.jsonl.gz", ROW)
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(GradparityError, match="is damaged"):
        results.read(path)


def test_a_compressed_run_leaves_an_uncompressed_one_beside_it_alone(tmp_path: Path) -> None:
    plain = written(tmp_path / "x.jsonl", ROW)
    before = plain.read_bytes()
    assert results.read(written(tmp_path / "x.jsonl.gz", replace(ROW, case="b"))).rows[0].case == "b"
    assert plain.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.jsonl", "x.jsonl.gz"]


def test_a_gzip_bomb_is_refused_before_it_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "MOST_BYTES", 10**6)
    row = results.to_json(ROW)
    rows = (json.dumps(row | {"case": f"{k}", "id": ROW.id.replace("/a/", f"/{k}/")}) + "\n" for k in range(10**4))
    with gzip.open(tmp_path / "x.jsonl.gz", "wt") as file:
        file.write(json.dumps(header()) + "\n")
        file.writelines(rows)
    assert (tmp_path / "x.jsonl.gz").stat().st_size < 10**5
    with pytest.raises(GradparityError, match="longer than 1,000,000 bytes"):
        results.read(tmp_path / "x.jsonl.gz")


def test_what_a_terminal_would_obey_is_taken_out(tmp_path: Path) -> None:
    hostile = "a\x1b[31mred\x07 \u202eback\u0000\ud800\nline"
    row = replace(ROW, message=hostile, reason=hostile, status="fail")
    run = results.read(written(tmp_path / "x.jsonl", row, subject={"torch": hostile, hostile: "1"}))
    clean = "a[31mred back line"
    assert (run.rows[0].message, run.rows[0].reason) == (clean, clean)
    assert run.header["subject"] == {"torch": clean, clean: "1"}


# --- what cannot be written


def small_disk() -> None:
    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))


def test_a_full_disk_is_said_and_leaves_a_good_file_alone(tmp_path: Path) -> None:
    good = written(tmp_path / "good.jsonl", ROW)
    before = good.read_bytes()
    rows = [replace(ROW, case=f"{k}") for k in range(100)]
    big = written(tmp_path / "big.jsonl", *rows)
    no_bytecode = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}  # Python would leave half-written files of it
    done = gradparity_command("merge", str(big), "-o", str(good), preexec_fn=small_disk, env=no_bytecode)
    assert done.returncode == 4, done.stderr
    assert f"cannot write {good}: " in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert good.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["big.jsonl", "good.jsonl"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full")
def test_a_disk_that_fills_up_during_a_run_ends_it() -> None:
    done = gradparity_command("run", "--framework", "numpy", "--op", "softmax", "-n", "1", "-o", "/dev/full")
    assert done.returncode == 4, done.stderr
    assert "gradparity: cannot write /dev/full: No space left on device" in done.stderr
