"""Runs compared and joined: what is worse, what counts, what is refused, and how it is shown."""

from __future__ import annotations

import datetime
import io
import json
import math
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from commands import gradparity_command, written
from rich.console import Console

from gradparity import gate_report, merge, policy, results
from gradparity.gate import Change, Gate, gate
from gradparity.op import GradparityError, Result
from gradparity.policy import Policy, Waiver
from gradparity.results import Run

ROW = Result(
    "softmax", "t.softmax", "torch", "eager", "cpu", "float32", "a", "value", "pass", error=0.4, ulp=1.0, at=(1,),
    got="1", want="1", precision="class A", conventions="kink=0.0", bits="0a",
)  # fmt: skip
FAIL = replace(ROW, status="fail", reason="bound", error=3.0, bits="0b", message="a message")
ERROR = replace(ROW, status="error", reason="exception", exception="TypeError", error=math.nan, bits="")
KNOWN = replace(FAIL, status="xfail", reason="a known failure")
SHARE = replace(ROW, dtype="bfloat16", check="value.misrounded", got="10 of 100", want="20 %", error=0.5, bits="")
TODAY = datetime.date(2026, 11, 22)


def run_of(*rows: Result, complete: bool = True, **values: Any) -> Run:
    environment = {"cpu": "x", "cores": 2, "variables": {"torch eager": {"OMP_NUM_THREADS": "1"}}}
    header = results.header(
        {}, {"torch": "2.13.0"}, len(rows), inputs={"softmax/float32": "00"}, environment=environment
    )
    return Run(header | values, list(rows), {"complete": complete, "seconds": {"in all": 1.0}})


def gated(was: Result | None, now: Result | None, rules: Policy | None = None) -> Change | None:
    """The change from one row to another, beside a row that stays."""
    same = replace(ROW, case="same")
    a, b = (run_of(same, *filter(None, [row])) for row in (was, now))
    found = gate(a, b, rules or Policy(), today=TODAY)
    assert len(found.changes) < 2
    assert found.code == (1 if found.counted else 0)
    return next(iter(found.changes), None)


# --- buckets


@pytest.mark.parametrize(
    ("was", "now", "bucket", "kinds", "counted"),
    [
        (ROW, ROW, "", (), False),
        (ROW, replace(ROW, seconds=9.0), "", (), False),
        (ROW, FAIL, "regressed", ("status", "error"), True),
        (ROW, ERROR, "regressed", ("status",), True),
        (ROW, replace(ROW, status="unsupported", error=math.nan, bits=""), "regressed", ("status",), True),
        (ROW, KNOWN, "regressed", ("status", "error"), True),
        (ROW, replace(ROW, status="xpass"), "regressed", ("status",), True),
        (FAIL, ERROR, "regressed", ("status",), True),
        (KNOWN, FAIL, "regressed", ("status",), True),
        (ROW, replace(ROW, error=0.9, bits="ff"), "regressed", ("error",), True),
        (ROW, replace(ROW, error=math.nan, bits="ff"), "regressed", ("error",), True),
        (ROW, replace(ROW, precision="class B"), "regressed", ("precision",), True),
        (replace(ROW, precision="class A sharp"), ROW, "regressed", ("precision",), True),
        (ROW, replace(ROW, conventions="kink=1.0"), "regressed", ("convention",), True),
        (ROW, replace(ROW, road="two-terms"), "regressed", ("convention",), True),
        (ERROR, replace(ERROR, exception="ValueError"), "regressed", ("exception",), True),
        (FAIL, replace(FAIL, reason="shape", error=math.nan, bits=""), "regressed", ("error", "exception"), True),
        (ROW, None, "gone", ("gone",), True),
        (None, FAIL, "new", ("new",), True),
        (None, ROW, "new", (), False),
        (ROW, replace(ROW, bits="ff"), "bits", ("bits",), False),
        (ROW, replace(ROW, bits="ff", error=0.49), "bits", ("bits",), False),
        (replace(ROW, error=0.01), replace(ROW, bits="ff", error=0.3), "bits", ("bits",), False),  # below the floor
        (ROW, replace(ROW, error=0.9), "", (), False),  # the same bits: it is the bound that moved
        (FAIL, ROW, "fixed", ("status",), False),
        (KNOWN, replace(ROW, status="xpass"), "fixed", ("status",), False),
        (ERROR, FAIL, "improved", ("status",), False),
        (FAIL, replace(FAIL, error=1.4, bits="ff"), "improved", ("error",), False),
        (replace(ROW, precision="class B"), ROW, "improved", ("precision",), False),
        (ERROR, ERROR, "", (), False),
        (replace(FAIL, reason="shape", error=math.nan), replace(FAIL, reason="shape", error=math.nan), "", (), False),
    ],
)  # fmt: skip
def test_a_row_goes_to_the_bucket_where_it_belongs(
    was: Result | None, now: Result | None, bucket: str, kinds: tuple[str, ...], counted: bool
) -> None:
    change = gated(was, now)
    assert (change.bucket if change else "") == bucket
    if change:
        assert set(change.kinds) >= set(kinds)
        assert change.counted == counted
        assert change.words


def test_a_status_that_is_worse_counts_and_the_way_back_is_none_that_does() -> None:
    """Every pair of statuses: one way is worse, the other is not."""
    for was in ("pass", "xpass", "xfail", "unsupported", "fail", "error"):
        for now in ("pass", "xpass", "xfail", "unsupported", "fail", "error"):
            a, b = replace(ROW, status=was), replace(ROW, status=now)
            worse, back = gated(a, b), gated(b, a)
            if was == now:
                assert worse is None
            else:
                assert {bool(worse and worse.counted), bool(back and back.counted)} == {True, False}, (was, now)


def test_shares_that_are_not_recorded_with_a_version_are_judged_by_the_other() -> None:
    other = replace(SHARE, status="unsupported", reason="recorded with another", error=math.nan, want="")
    assert gated(SHARE, other) is None
    assert gated(other, SHARE) is None
    change = gated(SHARE, replace(other, got="25 of 100"))
    assert change
    assert (change.bucket, change.row.error) == ("regressed", 1.25)
    lost = gated(SHARE, replace(other, got=""))
    assert lost
    assert lost.kinds == ("status",)


def test_the_worst_comes_first() -> None:
    rows = [replace(ROW, case=f"{k}") for k in range(5)]
    now = [replace(rows[0], bits="ff"), replace(rows[1], error=0.9, bits="ff"),
           replace(rows[2], status="fail", error=2.0), replace(rows[3], status="fail", error=7.0),
           replace(rows[4], status="error", error=math.nan)]  # fmt: skip
    found = gate(run_of(*rows), run_of(*now), Policy())
    assert [change.row.case for change in found.changes] == ["4", "3", "2", "1", "0"]


# --- what cannot be compared


def test_other_inputs_are_not_compared_whatever_is_said() -> None:
    a, b = run_of(ROW), run_of(FAIL, inputs={"softmax/float32": "ff"}, seed=1)
    for across in (False, True):
        found = gate(a, b, Policy(), across)
        assert (found.code, found.changes) == (3, [])
    assert "seeds are 0 and 1" in gate_report.verdict(found)


def test_inputs_of_what_only_one_of_them_has_do_not_matter() -> None:
    assert gate(run_of(ROW), run_of(ROW, inputs={"softmax/float32": "00", "hinge/float32": "1"}), Policy()).code == 0


def other_environment(**values: Any) -> dict[str, Any]:
    return {"environment": run_of().header["environment"] | values}


@pytest.mark.parametrize(
    ("values", "name"),
    [
        (other_environment(variables={"torch eager": {"OMP_NUM_THREADS": "2"}}), "OMP_NUM_THREADS (torch eager)"),
        (other_environment(cpu="y"), "cpu"),
        (other_environment(flush_to_zero=True), "flush_to_zero"),
        ({"suite": "9.9"}, "gradparity"),
        ({"truth": {"float64": "itself"}}, "truth of float64"),
    ],
)
def test_another_environment_is_compared_only_if_one_says_so(values: dict[str, Any], name: str) -> None:
    a, b = run_of(ROW), run_of(FAIL, **values)
    found = gate(a, b, Policy())
    assert (found.code, list(found.environment), found.changes) == (3, [name], [])
    across = gate(a, b, Policy(), across=True)
    assert across.code == 1
    for form in gate_report.FORMATS.values():
        assert "".join(form(across, ("a", "b"))).count("[other environment]") >= len(across.changes)
    assert "[other environment]" in text(across)


def test_a_mode_that_ran_in_one_of_them_only_is_no_difference() -> None:
    more = {"torch eager": {"OMP_NUM_THREADS": "1"}, "torch compile": {"OMP_NUM_THREADS": "2"}}
    assert gate(run_of(ROW), run_of(ROW, **other_environment(variables=more)), Policy()).code == 0


def test_another_version_is_what_a_gate_is_for() -> None:
    found = gate(run_of(ROW), run_of(ROW, subject={"torch": "2.14.0", "jaxlib": "1"}), Policy())
    assert found.code == 0
    assert found.subject["torch"] == ("2.13.0", "2.14.0")
    assert found.subject["jaxlib"] == ("-", "1")
    assert "torch 2.13.0 -> 2.14.0" in text(found)


def test_an_incomplete_run_is_code_4_and_what_there_is_is_compared() -> None:
    for a, b in ((True, False), (False, True)):
        found = gate(run_of(ROW, complete=a), run_of(FAIL, complete=b), Policy())
        assert (found.code, len(found.counted)) == (4, 1)
        assert "INCOMPLETE" in gate_report.verdict(found)


def test_runs_that_share_no_row_are_refused() -> None:
    with pytest.raises(GradparityError, match="nothing was compared"):
        gate(run_of(ROW), run_of(replace(ROW, case="b")), Policy())


def test_a_run_compared_with_itself_is_said() -> None:
    run = run_of(FAIL)
    found = gate(run, run, Policy())
    assert found.code == 0
    assert "the same run" in found.notes[0]


# --- policy


def test_what_the_policy_does_not_count_is_shown_and_does_not_count() -> None:
    change = gated(ROW, FAIL, Policy(count=("gone",)))
    assert change
    assert (change.counted, change.waived) == (False, "the policy does not count it")
    strict = gated(ROW, replace(ROW, bits="ff"), Policy(count=("bits",)))
    assert strict
    assert strict.counted


def test_factor_and_floor() -> None:
    worse = replace(ROW, error=0.45, bits="ff")
    assert gated(ROW, worse, Policy(factor=1.1, floor=0.1)).bucket == "regressed"  # type: ignore[union-attr]
    assert gated(ROW, worse, Policy(factor=1.2, floor=0.1)).bucket == "bits"  # type: ignore[union-attr]
    assert gated(ROW, worse, Policy(factor=1.1, floor=0.5)).bucket == "bits"  # type: ignore[union-attr]


def test_a_waiver_holds_until_its_last_day() -> None:
    waiver = Waiver(("softmax/*/a/value",), "known upstream", TODAY, "p.toml, line 1")
    change = gated(ROW, FAIL, Policy(waivers=(waiver,)))
    assert change
    assert (change.bucket, change.counted, change.waived) == ("regressed", False, "until 2026-11-22: known upstream")
    tomorrow = TODAY + datetime.timedelta(1)
    found = gate(run_of(ROW), run_of(FAIL), Policy(waivers=(waiver,)), today=tomorrow)
    assert (found.code, found.notes) == (1, ["p.toml, line 1: expired on 2026-11-22, so it waives nothing"])


def test_a_waiver_of_nothing_is_said() -> None:
    found = gate(run_of(ROW), run_of(ROW), Policy(waivers=(Waiver(("x/*",), "r", TODAY, "p"),)), today=TODAY)
    assert found.notes == ["p: 'x/*' matches no row of these runs"]


GOOD = """# a policy
factor = 3
count = ["status", "bits"]

[[waiver]]
id = "a/*"
reason = "one"
expires = 2027-01-31

[[waiver]]
id = ["b/*", "c/*"]
reason = "two"
expires = 2027-02-28
"""


def test_a_policy_file(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    path.write_text(GOOD, encoding="utf-8")
    found = policy.read(path)
    assert (found.factor, found.floor, found.count) == (3, 0.5, ("status", "bits"))
    assert [(w.id, w.reason, str(w.expires)) for w in found.waivers] == [
        (("a/*",), "one", "2027-01-31"), (("b/*", "c/*"), "two", "2027-02-28"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("factor = 3", "facter = 3", "line 2: unknown key 'facter'; did you mean factor"),
        ("factor = 3", "factor = 0.5", "line 2: factor is a number from 1, not 0.5"),
        ("factor = 3", "factor = nan", "line 2: factor is a number from 1"),
        ("factor = 3", 'floor = "x"', "line 2: floor is a number from 0"),
        ('"bits"]', '"bit"]', "line 3: unknown kind 'bit'; did you mean bits"),
        ('count = ["status", "bits"]', 'count = "status"', "line 3: count is a list"),
        ("[[waiver]]\nid = [", "[[waivers]]\nid = [", "line 10: unknown key 'waivers'; did you mean waiver"),
        ('reason = "two"', 'raeson = "two"', "line 12: unknown key 'raeson'; did you mean reason"),
        ('reason = "two"', 'reason = " "', "line 12: the reason of a waiver is a text that says why"),
        ("expires = 2027-02-28", "", "line 10: the expires of a waiver is a date, as in 2027-01-31, and it is missing"),
        ("expires = 2027-02-28", 'expires = "soon"', "line 13: the expires of a waiver is a date"),
        ('id = "a/*"', "id = 3", "line 6: the id of a waiver is a glob"),
        ('id = "a/*"', "id = []", "line 6: the id of a waiver is a glob"),
        ('id = "a/*"', "id = [", "is no TOML"),
    ],
)
def test_a_typo_in_a_policy_is_named_with_line_and_key(tmp_path: Path, old: str, new: str, words: str) -> None:
    path = tmp_path / "p.toml"
    assert old in GOOD
    path.write_text(GOOD.replace(old, new), encoding="utf-8")
    with pytest.raises(GradparityError) as caught:
        policy.read(path)
    assert str(caught.value).startswith(str(path))
    assert words in str(caught.value)


# --- shown


def text(found: Gate) -> str:
    console = Console(width=80, file=io.StringIO())
    console.print(gate_report.text(found, ("a.jsonl", "b.jsonl")))
    shown: str = console.file.getvalue()  # type: ignore[attr-defined]
    return shown


def joined(lines: Iterable[str]) -> str:
    """As it is printed."""
    return "".join(f"{line}\n" for line in lines)


HOSTILE = "[bold red]x[/] ``` | <script>alert(1)</script> [a](javascript:x) @all & ]]> **b**"


def hostile() -> Gate:
    was = replace(ROW, api=HOSTILE.replace("/", ""), case="h")
    now = replace(was, status="fail", reason=HOSTILE, message=HOSTILE, error=2.0, exception=HOSTILE)
    return gate(run_of(was), run_of(now, subject={HOSTILE: HOSTILE}), Policy())


def test_the_terminal_shows_texts_and_no_markup_within_80_columns() -> None:
    shown = text(hostile())
    assert "[bold red]x[/]" in shown
    assert "\x1b" not in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_markdown_has_texts_in_code_spans_that_nothing_ends() -> None:
    shown = joined(gate_report.markdown(hostile(), (HOSTILE, "b")))
    outside = "".join(shown.split("`")[::2])
    assert shown.count("`") % 2 == 0
    assert not set("<[@&*") & set(outside)
    rows = [line for line in shown.splitlines() if line.startswith("| `")]
    assert rows
    assert all(line.count("|") == 3 for line in rows)


def test_junit_is_xml_with_a_test_for_each_implementation() -> None:
    found = gate(run_of(ROW, replace(ROW, dtype="float64")), run_of(FAIL, replace(ROW, dtype="float64")), Policy())
    suite = ElementTree.fromstring(joined(gate_report.junit(found, ("a", "b"))))[0]
    assert {k: suite.get(k) for k in ("tests", "failures", "errors", "skipped")} == {
        "tests": "3", "failures": "1", "errors": "0", "skipped": "0",
    }  # fmt: skip
    (failure,) = suite.iter("failure")
    assert ROW.id in str(failure.text)
    assert HOSTILE in str(
        next(ElementTree.fromstring(joined(gate_report.junit(hostile(), ("a", "b")))).iter("failure")).text
    )
    unlike = gate(run_of(ROW), run_of(ROW, seed=1, inputs={"softmax/float32": "f"}), Policy())
    assert len(list(ElementTree.fromstring(joined(gate_report.junit(unlike, ("a", "b")))).iter("error"))) == 1


def test_json_has_every_change_with_both_rows() -> None:
    shown = json.loads(joined(gate_report.as_json(hostile(), ("a", "b"))))
    (change,) = shown["changes"]
    assert (shown["code"], shown["counts"]["regressed"]) == (1, 1)
    assert (change["bucket"], change["counted"]) == ("regressed", True)
    assert (change["was"]["status"], change["now"]["status"]) == ("pass", "fail")
    assert change["now"]["message"] == HOSTILE
    nothing = json.loads(joined(gate_report.as_json(gate(run_of(ROW), run_of(ROW), Policy()), ("a", "b"))))
    assert (nothing["code"], nothing["changes"]) == (0, [])


def test_markdown_is_cut_to_fit_and_says_what_was_cut() -> None:
    rows = [replace(ROW, case=f"{k}") for k in range(9000)]
    now = [replace(r, status="fail", message="w" * 300, bits="") if k % 2 else replace(r, bits="f")
           for k, r in enumerate(rows)]  # fmt: skip
    shown = joined(gate_report.markdown(gate(run_of(*rows), run_of(*now), Policy()), ("a", "b")))
    assert 2**20 - 4096 < len(shown.encode()) <= 2**20
    kept = sum(line.startswith("| `softmax") for line in shown.splitlines())
    cut = [int(line.split()[2]) for line in shown.splitlines() if line.startswith("... and ")]
    assert len(cut) == 2
    assert kept + sum(cut) == 9000
    assert cut[1] == 4500  # the worst are shown


# --- merge


def merged(*runs: Run) -> Run:
    return merge.merged([(Path(f"{k}.jsonl"), run) for k, run in enumerate(runs)])


def parts() -> list[Run]:
    jax = replace(ROW, framework="jax", api="jax.softmax")
    other = other_environment(variables={"jax jit": {"XLA_FLAGS": "x"}})
    return [
        run_of(ROW, replace(ROW, case="b")),
        run_of(replace(ROW, case="b", seconds=9.0), replace(ROW, case="c")),
        run_of(jax, subject={"jax": "0.10.2"}, inputs={"softmax/float64": "11"}, **other),
    ]


def test_runs_are_joined_whatever_their_order() -> None:
    a, b = merged(*parts()), merged(*parts()[::-1])
    assert [row.id for row in a.rows] == [row.id for row in b.rows] == sorted({row.id for row in a.rows})
    assert (len(a.rows), a.header["planned"], a.complete) == (4, 4, True)
    assert set(a.header["subject"]) >= {"torch", "jax"}
    assert set(a.header["inputs"]) == {"softmax/float32", "softmax/float64"}
    assert set(a.header["environment"]["variables"]) == {"torch eager", "jax jit"}
    assert a.footer["seconds"] == {"in all": 3.0}
    assert {k: v for k, v in a.header.items() if k != "started"} == {
        k: v for k, v in b.header.items() if k != "started"
    }


def test_the_parts_are_left_as_they_are() -> None:
    first, *others = parts()
    before = repr(first.header)
    merged(first, *others)
    assert repr(first.header) == before


def test_what_is_joined_of_an_incomplete_run_is_incomplete() -> None:
    assert not merged(run_of(ROW), run_of(replace(ROW, case="b"), complete=False)).complete


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (run_of(replace(ROW, case="b"), subject={"torch": "2.14.0"}), "another version: torch 2.14.0 beside 2.13.0"),
        (run_of(replace(ROW, case="b"), inputs={"softmax/float32": "1"}), "has other inputs (softmax/float32)"),
        (run_of(replace(ROW, case="b"), seed=1), "has the seed 1 beside 0"),
        (run_of(replace(ROW, case="b"), **other_environment(cores=4)), "another environment: cores 4 beside 2"),
        (run_of(replace(ROW, error=0.5)), "a/value is in another run too, and is not the same there"),
    ],
)
def test_what_does_not_belong_together_is_not_joined(more: Run, words: str) -> None:
    for runs in ((run_of(ROW), more), (run_of(ROW), run_of(replace(ROW, case="c")), more)):
        with pytest.raises(GradparityError) as caught:
            merged(*runs)
        assert words in str(caught.value)
        assert f"{len(runs) - 1}.jsonl" in str(caught.value)


# --- the command line


def test_exit_codes_and_files(tmp_path: Path) -> None:
    """All five codes, and that a merged file is one that the gate reads."""
    other = replace(ROW, case="b")
    a, b = written(tmp_path / "a.jsonl", run_of(ROW)), written(tmp_path / "b.jsonl", run_of(other))
    whole = str(tmp_path / "whole.jsonl.gz")
    assert gradparity_command("merge", a, b, "-o", whole).returncode == 0
    assert [row.case for row in results.read(Path(whole)).rows] == ["a", "b"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl", "b.jsonl", "whole.jsonl.gz"]
    bad = written(tmp_path / "bad.jsonl", run_of(FAIL, other))
    cut = written(tmp_path / "cut.jsonl", run_of(ROW, other, complete=False))
    threads = {"torch eager": {"OMP_NUM_THREADS": "2"}}
    two = written(tmp_path / "two.jsonl", run_of(ROW, other, **other_environment(variables=threads)))
    paths = {"same": whole, "bad": bad, "cut": cut, "threads": two, "none": "no.jsonl"}
    codes = {name: gradparity_command("gate", whole, path).returncode for name, path in paths.items()}
    assert codes == {"same": 0, "bad": 1, "cut": 4, "threads": 3, "none": 2}
    text = Path(bad).read_text(encoding="utf-8")
    for damaged in ("", "no run", text.replace('"t.softmax"', "7", 1), text.replace('"error": 3.0', '"error": 0.3')):
        Path(a).write_text(damaged, encoding="utf-8")
        refused = gradparity_command("gate", whole, a)
        assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (2, "", 1)
    written(Path(a), run_of(ROW))
    shown = gradparity_command("gate", a, a)
    assert "the same run" in shown.stdout
    assert gradparity_command("merge", a, str(cut), "-o", str(tmp_path / "x.jsonl")).returncode == 4
    refused = gradparity_command("gate", whole, bad, "--policy", str(tmp_path / "none.toml"))
    assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1)
    for form in ("json", "junit", "markdown"):
        assert gradparity_command("gate", whole, bad, "--format", form).returncode == 1


def test_runs_with_other_numbers_of_threads_are_not_compared_unless_one_says_so(tmp_path: Path) -> None:
    runs = {n: str(tmp_path / f"{n}.jsonl") for n in ("1", "2")}
    few = ("--framework", "numpy", "--op", "softmax", "--dtype", "float32", "-n", "1")
    for n, path in runs.items():
        made = gradparity_command("run", *few, "--threads", n, "-o", path)
        assert made.returncode == 0, made.stderr
    assert results.read(Path(runs["2"])).header["environment"]["variables"]["numpy eager"]["OMP_NUM_THREADS"] == "2"
    refused = gradparity_command("gate", *runs.values())
    assert (refused.returncode, "OMP_NUM_THREADS (numpy eager) 1 -> 2" in refused.stdout) == (3, True)
    allowed = gradparity_command("gate", *runs.values(), "--across-environments")
    assert allowed.returncode == 0, allowed.stdout


@pytest.mark.parametrize("threads", ["0", "two"])
def test_a_number_of_threads_that_is_none_is_refused(threads: str) -> None:
    for words, environment in ((("--threads", threads), {}), ((), {"GRADPARITY_THREADS": threads})):
        refused = gradparity_command("run", "--op", "softmax", *words, env=os.environ | environment)
        assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1), refused.stderr
