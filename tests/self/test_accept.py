"""A known-failures file rewritten from a run: strict both ways, nothing lost and nothing silent."""

from __future__ import annotations

import datetime
import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from commands import gradparity_command

from gradparity import known_failures, results
from gradparity.accept import Accepted, accept, joined, rounded_up, split, write
from gradparity.op import GradparityError, Result
from gradparity.results import Run

PASS = Result("softmax", "t.softmax", "torch", "eager", "cpu", "float32", "a", "value", "pass", error=0.5)
FAIL = replace(PASS, status="fail", reason="bound", error=3.21)
CRASH = replace(PASS, status="error", reason="crash", error=math.nan)
TODAY = datetime.date(2026, 11, 22)
FILE = """# Known failures.

# Why this one: a long story.
[[torch]]
id = ["softmax/t.softmax/*/float32/*/value"]  # all of them
versions = ">=2"
status = "fail"
kind = "bound"
max_error = 10.0 # so far
reason = "because"

# Another framework.
[[jax]]
id = "softmax/*"
versions = ">=0.4"
status = "error"
kind = "crash"
reason = "it crashes"
link = "https://example.org"
"""


def run_of(*rows: Result, version: str = "2.13.0+cpu") -> Run:
    return Run(results.header({}, {"torch": version}, len(rows)), list(rows), {"complete": True})


def accepted(text: str, *rows: Result, reason: str = "", version: str = "2.13.0+cpu") -> Accepted:
    """What is accepted is as expected, and accepting it again changes nothing."""
    found = accept(run_of(*rows, version=version), text, Path("k.toml"), reason, TODAY)
    if not found.left:
        assert {row.bad for row in expected(found.text, *rows, version=version)} <= {False}
        again = accept(run_of(*rows, version=version), found.text, Path("k.toml"), reason, TODAY)
        assert (again.text, again.done) == (found.text, [])
    return found


def expected(text: str, *rows: Result, version: str = "2.13.0+cpu") -> list[Result]:
    """The rows as `gradparity run` judges them with this file."""
    entries = known_failures.entries_of(text, Path("k.toml")).get("torch", [])
    return known_failures.judged(rows, [known for known in entries if known.applies(version, TODAY)])


def test_what_fails_is_entered_with_the_reason_that_is_given() -> None:
    rows = [FAIL, replace(FAIL, case="b", error=7.0), replace(PASS, case="c"), replace(CRASH, case="d")]
    found = accepted("", *rows, reason="as it is")
    assert [row.status for row in expected(found.text, *rows)] == ["xfail", "xfail", "pass", "xfail"]
    assert found.done == ["added 1 rows of softmax/t.softmax: error (crash)",
                          "added 2 rows of softmax/t.softmax: fail (bound)"]  # fmt: skip
    assert 'versions = ">=2.13.0"' in found.text
    assert "max_error = 7.0" in found.text


def test_a_reason_that_is_missing_is_asked_for_and_refused_until_it_is_written() -> None:
    found = accepted("", FAIL)
    assert len(found.left) == 1
    with pytest.raises(GradparityError, match="the reason is still to be written"):
        known_failures.entries_of(found.text, Path("k.toml"))
    known_failures.entries_of(found.text.replace("TODO", "Done"), Path("k.toml"))


def test_what_is_as_expected_changes_nothing() -> None:
    known = replace(FAIL, status="xfail", reason="because")
    for rows in ([FAIL], [known], [], [replace(PASS, op="hinge")]):
        assert accepted(FILE, *rows) == Accepted(FILE, [], [])


def test_an_error_that_grew_raises_the_limit_and_nothing_else() -> None:
    found = accepted(FILE, replace(FAIL, error=12.345))
    assert found.text == FILE.replace("max_error = 10.0 # so far", "max_error = 13.0 # so far")
    assert found.done == ["raised max_error of k.toml, line 4, [[torch]] 1: 10 -> 13"]


def test_what_passes_is_taken_out_with_its_comment_and_said() -> None:
    for row in (PASS, replace(PASS, status="xpass")):
        found = accepted(FILE, row) if row is PASS else accept(run_of(row), FILE, Path("k.toml"), "", TODAY)
        assert "torch" not in found.text
        assert "Why this one" not in found.text
        assert FILE.partition("# Another")[2] in found.text
        assert len(found.done) == 1
        assert "removed k.toml, line 4, [[torch]] 1" in found.done[0]
        assert "because" in found.done[0]


def test_a_glob_that_fails_in_part_becomes_the_rows_that_fail() -> None:
    rows = [FAIL, replace(PASS, case="b"), replace(PASS, case="c", status="unsupported", error=math.nan)]
    found = accepted(FILE, *rows)
    assert [row.status for row in expected(found.text, *rows)] == ["xfail", "pass", "unsupported"]
    assert [row.status for row in expected(found.text, replace(FAIL, case="other"))] == ["fail"]
    assert "narrowed" in found.done[0]
    assert "# Why this one: a long story." in found.text
    assert 'reason = "because"' in found.text


def test_a_crash_is_no_wrong_number() -> None:
    """It gets an entry of its own, which the old one does not hide."""
    found = accepted(FILE, CRASH, replace(FAIL, case="b"), reason="it crashes now")
    assert len(found.done) == 2
    entries = known_failures.entries_of(found.text, Path("k.toml"))["torch"]
    assert [(known.status, known.kind, known.reason) for known in entries] == [
        ("fail", "bound", "because"), ("error", "crash", "it crashes now"),
    ]  # fmt: skip


def test_one_exception_is_not_another() -> None:
    one, other = (replace(CRASH, reason="exception", exception=name) for name in ("TypeError", "ValueError"))
    found = accepted("", one, replace(other, case="b"), reason="it raises")
    assert found.text.count("exception = ") == 2
    assert found.done == [f"added 1 rows of softmax/t.softmax: error (exception {name})"
                          for name in ("TypeError", "ValueError")]  # fmt: skip
    changed = accepted(found.text, replace(one, exception="ValueError"), replace(other, case="b"), reason="again")
    assert "TypeError" not in changed.text
    assert [known.exception for known in known_failures.entries_of(changed.text, Path("k.toml"))["torch"]] == [
        "ValueError", "ValueError"
    ]  # fmt: skip


def test_what_never_came_to_be_judged_gets_no_entry() -> None:
    row = replace(CRASH, case="b", reason="exception", message="no module named torch")
    found = accept(run_of(row, FAIL), "", Path("k.toml"), "because", TODAY)
    assert found.done == ["added 1 rows of softmax/t.softmax: fail (bound)"]
    assert found.left == [f"{row.id} is no verdict, and gets no entry: no module named torch"]


def test_entries_of_other_versions_frameworks_and_days_are_left_alone() -> None:
    assert accepted(FILE, PASS, version="1.9").text == FILE
    expired = FILE.replace('reason = "because"\n', 'reason = "because"\nexpires = 2026-11-21\n')
    assert accepted(expired, PASS).text == expired


def test_an_unexpected_pass_of_another_file_is_left_to_a_person() -> None:
    found = accepted("", replace(PASS, status="xpass", message="passes, but is a known failure (other.toml)"))
    assert (found.text.strip(), found.done) == ("", [])
    assert "other.toml" in found.left[0]


def test_an_identity_with_characters_of_globs_is_one_row() -> None:
    rows = [replace(FAIL, api="f[0]*"), replace(FAIL, api="f0anything")]
    found = accepted("", rows[0], reason="r")
    assert [row.status for row in expected(found.text, *rows)] == ["xfail", "fail"]


def test_texts_of_a_run_are_quoted() -> None:
    hostile = replace(FAIL, api='x"]\n[[jax]]\nid = ["*', reason="bound")
    assert set(known_failures.entries_of(accepted("", hostile, reason="r").text, Path("k.toml"))) == {"torch"}


def test_a_version_that_is_none_is_refused() -> None:
    with pytest.raises(GradparityError, match="which version of torch"):
        accept(run_of(FAIL, version="of unknown version"), "", Path("k.toml"))


@pytest.mark.parametrize(
    "text", ['torch = [{id = "x/*", versions = ">=2", status = "error", kind = "k", reason = "r"}]']
)
def test_a_file_written_in_another_way_is_refused(text: str) -> None:
    with pytest.raises(GradparityError, match="edit it by hand"):
        accept(run_of(FAIL), text, Path("k.toml"))


def test_the_suites_own_files_are_kept_to_the_letter() -> None:
    folder = Path(__file__).parents[2] / "adapters"
    for path in folder.glob("*.toml"):
        text = path.read_text(encoding="utf-8")
        prelude, blocks = split(text)
        assert blocks
        assert joined([prelude, *(block for _, block in blocks)]) == text


@pytest.mark.parametrize(
    ("error", "limit"), [(332.1, 340), (3.0, 3.0), (1.0001, 1.1), (9.99, 10), (math.inf, math.inf)]
)
def test_limits_are_rounded_up(error: float, limit: float) -> None:
    assert rounded_up(error) == limit
    assert rounded_up(error * (1 + 2**-50)) >= error * (1 + 2**-50)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            'reason = "it crashes"',
            'raeson = "it crashes"',
            "k.toml, line 18: unknown key 'raeson'; did you mean reason",
        ),
        ("max_error = 10.0", 'max_error = "10"', "k.toml, line 9: max_error should not be '10'"),
        ('id = "softmax/*"', "id = [1]", "k.toml, line 14: id should be a glob"),
        ('versions = ">=0.4"', "", "k.toml, line 13, [[jax]] 1: versions is missing"),
        ('status = "error"', 'status = "err"', "k.toml, line 13, [[jax]] 1: status 'err' is neither"),
    ],
)
def test_a_typo_in_known_failures_is_named_with_line_and_key(old: str, new: str, words: str) -> None:
    assert old in FILE
    with pytest.raises(GradparityError) as caught:
        known_failures.entries_of(FILE.replace(old, new), Path("k.toml"))
    assert str(caught.value).startswith(words)


# --- the file


def test_an_installed_package_is_not_written_to(tmp_path: Path) -> None:
    folder = tmp_path / "lib" / "site-packages" / "gradparity" / "adapters"
    folder.mkdir(parents=True)
    link = tmp_path / "link.toml"
    link.symlink_to(folder / "torch.toml")
    for path in (folder / "torch.toml", link):
        with pytest.raises(GradparityError, match="in an installed package"):
            write("", path)
    assert not list(folder.iterdir())


def test_a_file_that_cannot_be_written_whole_is_left_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "k.toml"
    path.write_text(FILE, encoding="utf-8")

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(results.UnwritableError, match="No space left"):
        write(FILE + "\n", path)
    with pytest.raises(GradparityError, match="is no TOML"):
        write("[[", path)
    assert [(p.name, p.read_text(encoding="utf-8")) for p in tmp_path.iterdir()] == [("k.toml", FILE)]


def test_exit_codes(tmp_path: Path) -> None:
    """A run with a failure; its file; the file with a reason; a run that was cut."""
    run, file = tmp_path / "run.jsonl", tmp_path / "k.toml"
    with results.Writer(run) as writer:
        writer.line(run_of(FAIL).header)
        writer.rows([FAIL])
        writer.close({}, complete=True)
    words = ("accept", str(run), "--known-failures", str(file))
    asked = gradparity_command(*words)
    assert (asked.returncode, "LEFT TO DO" in asked.stdout) == (1, True)
    refused = gradparity_command(*words)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    file.write_text(file.read_text(encoding="utf-8").replace("TODO: why", "Since"), encoding="utf-8")
    done = gradparity_command(*words)
    assert (done.returncode, "nothing to change" in done.stdout) == (0, True)
    run.write_bytes(b"".join(run.read_bytes().splitlines(keepends=True)[:-1]))
    assert gradparity_command(*words).returncode == 4
