"""The page of a run and of a gate: what is in it, and what of a hostile file is not. In a browser: test_browser.py."""

from __future__ import annotations

import base64
import json
import math
import re
import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from commands import gradparity_command, written

from gradparity import cli, page, results
from gradparity.gate import BUCKETS, gate
from gradparity.op import STATUSES, GradparityError, Result
from gradparity.page import Chapter, Named, Table
from gradparity.policy import Policy
from gradparity.results import Run

ROW = Result(
    "softmax", "t.softmax", "torch", "eager", "cpu", "float32", "a", "value", "pass", error=0.4, ulp=1.0, at=(1,),
    got="1", want="1", precision="class A", conventions="kink=0.0", bits="0a",
)  # fmt: skip
FAIL = replace(ROW, status="fail", reason="bound", error=3.0, bits="0b", message="a message", case="b")
UNSUPPORTED = replace(ROW, status="unsupported", reason="no weights", error=math.nan, case="c")
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)> {{ 7 * 7 }} \" ' & [31m"


def run_of(*rows: Result, complete: bool = True, version: str = "2.13.0", **values: Any) -> Run:
    header = results.header({}, {"torch": version}, len(rows), inputs={"softmax/float32": "00"})
    return Run(header | values, list(rows), {"complete": complete, "seconds": {}})


def shown(*runs: Run, **options: Any) -> str:
    return page.of_runs([Named(f"{k}.jsonl", run) for k, run in enumerate(runs)], **options)


def data_of(text: str) -> Any:
    """What the page's script reads."""
    packed = re.search(r'id="data">([^<]*)<', text)
    assert packed
    return json.loads(zlib.decompress(base64.b64decode(packed[1])))


def gate_page(was: Run, now: Run) -> str:
    return page.of_gate(gate(was, now, Policy()), ("a.jsonl", "b.jsonl"))


# --- what is in it


def test_every_row_is_there_with_its_status_and_error() -> None:
    rows = [replace(ROW, case=f"{k}", status=status, error=k / 8) for k, status in enumerate(STATUSES)]
    found = data_of(shown(run_of(*rows, replace(ROW, dtype="float64"), replace(ROW, op="hinge"))))
    groups = {(group["op"], group["dtype"]): group for group in found["groups"]}
    assert list(groups) == [("hinge", "float32"), ("softmax", "float64"), ("softmax", "float32")]
    group = groups["softmax", "float32"]
    assert [page.STATUSES[k] for k in group["statuses"]] == list(STATUSES)
    assert [found["places"][k] for k in group["places"]] == [f"{k}/value" for k in range(len(STATUSES))]
    assert group["errors"] == [k / 8 for k in range(len(STATUSES))]
    assert (found["rows"], found["ops"]) == (len(rows) + 2, ["hinge", "softmax"])
    assert group["declares"] == "class A; kink=0.0"


@pytest.mark.parametrize(
    ("error", "number"),
    [(0.0, 0.0), (0.12345, 0.123), (1.0, 1.0), (math.nextafter(1, 2), 1.01), (1.004, 1.01), (7.126, 7.13),
     (math.inf, "Infinity"), (math.nan, None)],
)  # fmt: skip
def test_an_error_beyond_its_bound_is_never_shown_as_within(error: float, number: Any) -> None:
    (group,) = data_of(shown(run_of(replace(ROW, error=error))))["groups"]
    assert group["errors"] == [number]


def test_what_is_no_plain_pass_has_its_details() -> None:
    (group,) = data_of(shown(run_of(ROW, FAIL, UNSUPPORTED)))["groups"]
    assert set(group["details"]) == {"1", "2"}
    assert group["details"]["1"] == {
        "reason": "bound", "got": "1", "want": "1", "message": "a message", "precision": "class A",
        "conventions": "kink=0.0", "at": "[1]", "ulp": "1",
    }  # fmt: skip


def test_what_has_no_bound_is_said_of_the_run_and_of_a_row() -> None:
    text = shown(run_of(replace(ROW, unbounded=0.25), replace(FAIL, unbounded=0.125)))
    assert "In 1 passed rows some bounds are infinite, at 25 % of the elements at most." in text
    (group,) = data_of(text)["groups"]
    assert group["details"]["1"]["unbounded"] == "12 %"


def test_the_worst_have_details_and_programs_where_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    worse = replace(FAIL, case="d", error=9.0)
    asked: list[str] = []

    def program(row: Result, seed: int) -> str:
        asked.append(row.case)
        return f"print({seed})"

    monkeypatch.setattr(page, "MOST_DETAILS", 2)
    monkeypatch.setattr(page, "MOST_PROGRAMS", 1)
    (group,) = data_of(shown(run_of(UNSUPPORTED, FAIL, worse, seed=7), program=program))["groups"]
    assert set(group["details"]) == {"1", "2"}
    assert asked == ["d"]
    assert group["details"]["2"]["program"] == "print(7)"
    assert "program" not in group["details"]["1"]


def test_what_is_unsupported_or_too_long_has_no_program() -> None:
    def program(row: Result, seed: int) -> str:
        assert row.status != "unsupported"
        return "#" * (page.LONGEST_PROGRAM + 1)

    (group,) = data_of(shown(run_of(FAIL, UNSUPPORTED), program=program))["groups"]
    assert not any("program" in detail for detail in group["details"].values())


def test_the_verdict_is_one_sentence() -> None:
    assert "<h1>CONFORMING: 1 passed</h1>" in shown(run_of(ROW))
    assert "<h1>NOT CONFORMING: 1 passed, 1 failed</h1>" in shown(run_of(ROW, FAIL))
    assert "<h1>INCOMPLETE: 2 runs, 2 passed</h1>" in shown(run_of(ROW), run_of(ROW, complete=False))
    for text in (shown(run_of(ROW, FAIL)), shown(run_of(ROW, complete=False))):
        assert '<header class="bad">' in text
    assert "1 of 9 rows" in shown(run_of(ROW, complete=False, planned=9))


def test_a_run_without_rows_is_refused() -> None:
    with pytest.raises(GradparityError, match="has no rows"):
        shown(run_of())


def test_the_chapters_are_pages_of_the_report() -> None:
    text = shown(run_of(ROW), chapters=[Chapter("A chapter", "words", [Table("t", ["x", "y"], [["<1>", "2"]], ["n"])])])
    assert re.search('<a href="#page-1">A chapter</a>', text)
    assert '<th scope="row">&lt;1&gt;</th><td>2</td>' in text


def test_what_ran_and_where_is_there() -> None:
    text = shown(run_of(ROW, environment={"cpu": "some processor", "variables": {"torch eager": {"OMP": "1"}}}))
    for words in ("some processor", "OMP (torch eager)", "2.13.0", "seed"):
        assert words in text


# --- several runs


def test_versions_stand_side_by_side_and_what_differs_is_marked() -> None:
    now = replace(ROW, status="fail", error=2.0, bits="ff")
    found = data_of(shown(run_of(ROW, FAIL), run_of(now, FAIL, version="2.14.0")))
    assert [column["label"] for column in found["columns"]] == ["torch 2.13.0 eager", "torch 2.14.0 eager"]
    old, new = found["groups"]
    assert (old["changed"], new["changed"]) == ({"0": "before"}, {"0": "regressed"})
    assert "pass -> fail" in new["details"]["0"]["change"]


def test_what_is_gone_is_marked_where_it_was() -> None:
    found = data_of(shown(run_of(ROW, FAIL), run_of(FAIL, version="2.14.0")))
    assert [group["changed"] for group in found["groups"]] == [{"0": "gone"}, {}]


def test_each_version_is_compared_with_the_one_before_it_whatever_the_order_of_the_runs() -> None:
    now = replace(ROW, bits="ff")
    found = data_of(shown(*(run_of(now, version=version) for version in ("2.14.0.dev1", "2.10.0", "2.9.1+cpu", "x"))))
    versions = [column["version"] for column in found["columns"]]
    assert versions == ["x", "2.9.1+cpu", "2.10.0", "2.14.0.dev1"]
    found = data_of(shown(run_of(now, version="2.10.0"), run_of(ROW, version="2.9.1")))
    assert [group["changed"] for group in found["groups"]] == [{"0": "before"}, {"0": "bits"}]
    text = shown(*(run_of(row, version=v) for row, v in ((now, "2.11.0"), (ROW, "2.9.1"), (now, "2.10.0"))))
    assert [group["changed"] for group in data_of(text)["groups"]] == [{"0": "before"}, {"0": "bits"}, {}]
    assert "torch 2.9.1, 2.10.0, 2.11.0" in text
    assert "Each run beside the one of the version before: 1 bits changed, no worse." in text


def test_each_run_is_compared_with_the_first_that_has_the_same_framework_and_mode() -> None:
    jax = replace(ROW, framework="jax", api="j.softmax")
    moved = replace(jax, bits="ff")
    found = data_of(shown(run_of(ROW), run_of(jax), run_of(ROW, moved)))
    changed = {found["columns"][group["column"]]["label"]: group["changed"] for group in found["groups"]}
    assert changed == {
        "jax eager 1.jsonl": {"0": "before"}, "jax eager 2.jsonl": {"0": "bits"},
        "torch 2.13.0 eager 0.jsonl": {}, "torch 2.13.0 eager 2.jsonl": {},
    }  # fmt: skip


def test_runs_with_other_inputs_are_not_compared_and_that_is_said() -> None:
    text = shown(run_of(ROW), run_of(FAIL, inputs={"softmax/float32": "ff"}, version="2.14.0"))
    assert "0.jsonl and 1.jsonl had other inputs (softmax/float32): they are not compared" in text
    assert not any(group["changed"] for group in data_of(text)["groups"])
    assert 'name="differences"' not in text


def test_another_environment_is_said() -> None:
    text = shown(run_of(ROW), run_of(ROW, environment={"cpu": "y"}))
    assert "ran in other environments (cpu), which moves bits too" in text
    assert 'name="differences"' in text


# --- a gate


def test_the_page_of_a_gate_says_what_it_found() -> None:
    now = replace(ROW, status="fail", error=2.0, bits="ff", message="a message")
    text = gate_page(run_of(ROW, FAIL), run_of(now, FAIL, version="2.14.0"))
    assert "<h1>REGRESSED: 1 rows count against it; 2 rows compared</h1>" in text
    assert "subject: torch 2.13.0 → 2.14.0" in text
    assert re.search('name="differences"[^>]* checked', text)
    assert [group["changed"] for group in data_of(text)["groups"]] == [{"0": "before"}, {"0": "regressed"}]
    assert '<header class="good">' in gate_page(run_of(ROW), run_of(ROW, version="2.14.0"))


def test_what_cannot_be_compared_is_no_good_page() -> None:
    text = gate_page(run_of(ROW), run_of(ROW, inputs={"softmax/float32": "ff"}))
    assert "<h1>NOT COMPARABLE: the runs had other inputs: softmax/float32</h1>" in text
    assert "inputs: softmax/float32 differ" in text
    assert '<header class="bad">' in text


# --- texts of anybody


def hostile() -> Run:
    """Hostile wherever a file has a text."""
    name = HOSTILE.replace("/", "|")
    row = Result(
        name, name, name, name, name, name, name, name, "fail", HOSTILE, 2.0, 1.0, (0,), HOSTILE, HOSTILE,
        HOSTILE + "x" * 10**6, HOSTILE, HOSTILE, "javascript:alert(3)", HOSTILE, HOSTILE, HOSTILE,
    )  # fmt: skip
    environment = {HOSTILE: HOSTILE, "variables": {HOSTILE: {HOSTILE: HOSTILE}}}
    ours = [replace(row, op=op, api=op, case=op) for op in ("__proto__", "constructor", "toString")]
    return run_of(row, *ours, subject={name: HOSTILE, HOSTILE: HOSTILE}, environment=environment, suite=HOSTILE)


def test_hostile_text_is_no_markup_and_not_evaluated() -> None:
    chapters = [Chapter(HOSTILE, HOSTILE, [Table(HOSTILE, [HOSTILE], [[HOSTILE]], [HOSTILE])])]
    texts = [page.of_runs([Named(HOSTILE, hostile()), Named(HOSTILE, hostile())], chapters)]
    passed = replace(hostile(), rows=[replace(row, status="pass", road="") for row in hostile().rows])
    texts.append(page.of_gate(gate(passed, hostile(), Policy()), (HOSTILE, HOSTILE)))
    for text in texts:
        assert re.findall("<script[^>]*>", text) == ['<script type="application/octet-stream" id="data">', "<script>"]
        assert "<img" not in text
        assert "{{ 7 * 7 }}" in text
        assert len(text) < 10**6


def test_a_long_text_is_cut_and_says_so() -> None:
    (group,) = data_of(shown(run_of(replace(FAIL, message="m" * 10**6))))["groups"]
    found = group["details"]["0"]["message"]
    assert len(found) < page.LONGEST_TEXT + 100
    assert found.endswith("... (998,000 more characters in the run file)")


def test_the_policy_allows_the_script_and_the_style_and_nothing_else() -> None:
    text = shown(run_of(FAIL))
    (policy,) = re.findall('http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    script, style = (
        re.findall("<script>(.*?)</script>", text, re.DOTALL),
        re.findall("<style>(.*?)</style>", text, re.DOTALL),
    )
    assert rules == {
        "default-src": "'none'", "script-src": f"'{page.hash_of(*script)}'", "style-src": f"'{page.hash_of(*style)}'",
        "img-src": "data:", "base-uri": "'none'", "form-action": "'none'", "require-trusted-types-for": "'script'",
    }  # fmt: skip


def test_nothing_is_fetched_and_nothing_is_taken_for_markup() -> None:
    text = shown(run_of(FAIL))
    assert not re.findall(
        r"""(?:src|href)=["']?(?![#"']|data:,)""", re.sub("<script.*?</script>", "", text, flags=re.DOTALL)
    )
    assert not re.findall(
        r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|fetch\(|import\(|@import|url\(", text
    )


# --- page.py and page.js


def names_in_script(constant: str) -> list[str]:
    (found,) = re.findall(rf"const {constant} = \{{(.*?)\}};", page.part("page.js"), re.DOTALL)
    return re.findall(r"(\w+): [\[\"]", found)


@pytest.mark.parametrize(("constant", "names"), [("STATUSES", page.STATUSES), ("CHANGES", (*BUCKETS, page.BEFORE))])
def test_the_script_knows_the_same_names_in_the_same_order(constant: str, names: tuple[str, ...]) -> None:
    assert names_in_script(constant) == list(names)
    assert set(page.STATUSES) == set(STATUSES)


def test_without_jinja_it_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(GradparityError, match=r'a page needs Jinja2: pip install "gradparity\[report\]"'):
        shown(run_of(ROW))


# --- the command line


NUMPY = Result(
    "softmax", "gradparity.adapters.numpy.softmax_pure_python", "numpy", "eager", "cpu", "float32", "scale-1", "value",
    "fail", "bound", 9.0, 9.0, (0, 1), "0.5", HOSTILE,
)  # fmt: skip


def test_a_program_is_made_of_the_identity_and_runs() -> None:
    """Nothing of it is read from the file but the place of the worst element."""
    text = cli.program_of(NUMPY, 0)
    assert "script" not in text
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=100, check=True)
    assert 0 < float(done.stdout) < 1
    assert cli.program_of(replace(NUMPY, case="axis-0", check="invariant.sums-to-one"), 3).startswith(
        "# f being gradparity.adapters.numpy"
    )
    share = replace(NUMPY, case="digits", dtype="float16", check="value.misrounded", at=())
    assert "not the nearest float16" in cli.program_of(share, 3)


def test_a_function_without_a_gradient_has_no_program_of_one() -> None:
    row = replace(NUMPY, check="vjp.x")
    assert cli.program_of(row, 0) == ""
    refused = gradparity_command("snippet", row.id)
    assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1)
    assert "softmax_pure_python has no gradient" in refused.stderr


@pytest.mark.parametrize("values", [{"op": "x"}, {"case": "x"}, {"check": "x"}, {"api": "x"}, {"dtype": "x"}])
def test_a_row_that_this_suite_does_not_have_has_no_program(values: dict[str, str]) -> None:
    assert cli.program_of(replace(NUMPY, **values), 0) == ""


def test_report_writes_a_page_and_refuses_what_is_no_run(tmp_path: Path) -> None:
    run, out = written(tmp_path / "a.jsonl.gz", run_of(NUMPY, FAIL)), tmp_path / "page.html"
    done = gradparity_command("report", run, "-o", str(out))
    assert (done.returncode, done.stdout) == (0, f"1 runs, 2 rows: {out}\n"), done.stderr
    text = out.read_text(encoding="utf-8")
    assert "Portability" in text
    assert "gradparity report --floor does it" in text
    programs = [detail.get("program", "") for group in data_of(text)["groups"] for detail in group["details"].values()]
    assert "import numpy as np" in "".join(programs)
    folder = tmp_path / "runs"
    folder.mkdir()
    (folder / "report.html").write_text("no run", encoding="utf-8")
    refused = gradparity_command("report", str(folder), "-o", str(out))
    assert (refused.returncode, refused.stderr) == (2, f"gradparity: {folder} has no run file (.jsonl, .jsonl.gz)\n")
    for name in ("b.jsonl.gz", "a.jsonl"):
        written(folder / name, run_of(NUMPY))
    done = gradparity_command("report", str(folder), "-o", str(tmp_path / "all.html"))
    assert done.stdout.startswith("2 runs, 2 rows: ")
    for words, code in (
        (["report", "none.jsonl", "-o", str(out)], 2),
        (["report", run, "-o", str(tmp_path / "no" / "x.html")], 2),
        (["report", run], 2),
        (["report", "-o", str(out)], 2),
    ):
        refused = gradparity_command(*words)
        assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (code, "", 1), words
    assert out.read_text(encoding="utf-8") == text


def test_gate_prints_a_page(tmp_path: Path) -> None:
    a, b = written(tmp_path / "a.jsonl", run_of(ROW)), written(tmp_path / "b.jsonl", run_of(replace(FAIL, case="a")))
    done = gradparity_command("gate", a, b, "--format", "html")
    assert done.returncode == 1, done.stderr
    assert "REGRESSED" in done.stdout
    assert [group["changed"] for group in data_of(done.stdout)["groups"]] == [{"0": "before"}, {"0": "regressed"}]


def test_the_detection_floor_is_measured_if_one_asks_for_it() -> None:
    _, floor = cli.chapters({"hinge"}, floor=True)
    (table,) = floor.tables
    assert len(table.heads) == 9
    ((name, *cells),) = table.rows
    assert name == "hinge"
    assert all(re.fullmatch(r"\d\.\de-\d\d \(-?\d+\)", cell) for cell in cells)
    assert cli.chapters({"nothing of ours"}, floor=True) == []
