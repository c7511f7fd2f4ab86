"""The release in which rows change, found with few environments; and the bug report for a row."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from gradparity import catalogue, releases, repro, results, throwaway
from gradparity.bisection import Found, Rows, answer, bisect, environments_needed, goodness
from gradparity.catalogue import Selection
from gradparity.op import GradparityError, Result
from gradparity.results import Run
from gradparity.throwaway import Environments, UnusableError, command
from gradparity.toml import parsed

ROW = Result("softmax", "t.softmax", "jax", "jit", "cpu", "float32", "nan", "value", "pass", error=0.4)
FAIL = replace(ROW, status="fail", reason="nonfinite", message="[0] = 0, but the reference is nan")
OTHER = replace(ROW, case="zero")
TWELVE = [Version(f"0.{k}.0") for k in range(12)]


def rows(*found: Result) -> Rows:
    return {row.id: row for row in found}


def search(
    there: list[Version], first: Version, mended: bool = False, lost: Iterable[Version] = ()
) -> tuple[Found, list[Version]]:
    """The search, where rows change with the release `first`; and the releases that it judged."""
    asked: list[Version] = []

    def judge(version: Version) -> Rows:
        asked.append(version)
        if version in lost:
            raise UnusableError("no wheel")
        return rows(OTHER, FAIL if (version >= first) != mended else ROW)

    ends = (there[-1], there[0]) if mended else (there[0], there[-1])
    return bisect(there, *ends, judge, lambda words: None), asked


@pytest.mark.parametrize("mended", [False, True])
@pytest.mark.parametrize("first", range(1, 12))
def test_the_first_release_is_found_with_few_environments(first: int, mended: bool) -> None:
    found, asked = search(TWELVE, TWELVE[first], mended)
    assert (found.before, found.after) == (TWELVE[first - 1], TWELVE[first])
    assert found.rows == (ROW.id,)
    assert len(asked) == len(set(asked)) <= environments_needed(12) == 6


@pytest.mark.parametrize("count", range(2, 40))
def test_the_plan_is_never_too_small(count: int) -> None:
    there = [Version(f"1.{k}") for k in range(count)]
    assert max(len(search(there, first)[1]) for first in there[1:]) <= environments_needed(count)


def test_a_release_that_cannot_be_judged_is_left_out_and_named() -> None:
    found, _ = search(TWELVE, TWELVE[6], lost=TWELVE[5:8])
    assert (found.before, found.after) == (TWELVE[4], TWELVE[8])
    assert found.between == TWELVE[5:8]
    lines = answer(found, TWELVE[0], TWELVE[-1])
    assert lines[0] == "0.8.0 is the first release with which they fail; 0.4.0 is the last without"
    assert lines[1:4] == [f"or it is 0.{k}.0: no wheel" for k in (5, 6, 7)]
    assert lines[-2:] == [f"0.4.0: {ROW.id}: pass", f"0.8.0: {FAIL.message}"]


def test_where_the_good_end_is_newer_it_is_the_release_that_mended() -> None:
    found, _ = search(TWELVE, TWELVE[3], mended=True)
    assert answer(found, TWELVE[-1], TWELVE[0])[0].startswith("0.3.0 is the first release with which they pass")


@pytest.mark.parametrize(
    ("good", "bad", "words"),
    [
        (ROW, ROW, "0.1.0 is not bad (1 pass)"),
        (FAIL, FAIL, "0.0.0 is not good (1 fail)"),
        (FAIL, ROW, "0.0.0 is not good (1 fail)"),
        (replace(ROW, status="unsupported"), replace(ROW, status="unsupported"), "no row of these is judged with both"),
    ],
)
def test_ends_that_do_not_differ_are_refused(good: Result, bad: Result, words: str) -> None:
    seen = {TWELVE[0]: rows(good), TWELVE[1]: rows(bad)}
    with pytest.raises(GradparityError) as error:
        bisect(TWELVE[:2], *TWELVE[:2], seen.__getitem__, lambda line: None)
    assert words in str(error.value)


def test_a_known_failure_is_a_failure_and_what_is_unsupported_tells_nothing() -> None:
    assert goodness(rows(ROW, replace(OTHER, status="xpass")), [ROW.id, OTHER.id])
    assert not goodness(rows(ROW, replace(OTHER, status="xfail")), [ROW.id, OTHER.id])
    with pytest.raises(UnusableError, match="none of the rows"):
        goodness(rows(replace(ROW, status="unsupported")), [ROW.id])


# --- releases


def test_the_table_of_releases() -> None:
    """Oldest first; all have wheels for Python 3.11, which tox takes; the frameworks are those of the catalogue."""
    path = Path(releases.__file__).with_name("releases.toml")
    tables = parsed(path.read_text(encoding="utf-8"), path)
    for name, package in releases.packages().items():
        assert list(package.listed) == sorted(package.listed), name
        assert all("3.11" in SpecifierSet(release["python"]) for release in tables[name]["releases"])
        assert package.framework in {adapter.framework for adapter in catalogue.adapters()}


@pytest.mark.parametrize(
    ("name", "version", "needs"),
    [
        ("jax", "0.4.26", ["jax==0.4.26", "jaxlib==0.4.26", "numpy<2"]),
        ("jax", "0.4.29", ["jax==0.4.29", "jaxlib==0.4.29", "numpy<2"]),
        ("jax", "0.4.1", ["jax==0.4.1", "jaxlib==0.4.1", "numpy<2"]),
        ("jax", "0.4.31", ["jax==0.4.31"]),
        ("tensorflow", "2.21.0", ["tensorflow-cpu==2.21.0"]),
    ],
)
def test_a_release_needs_what_the_listed_one_before_it_does(name: str, version: str, needs: list[str]) -> None:
    assert releases.package(name).requirements(Version(version)) == needs


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["jaks", "--good", "0.4.26", "--bad", "0.4.30"], "unknown package 'jaks'; did you mean jax"),
        (["numpy", "--good", "1", "--bad", "2"], "unknown package 'numpy'"),
        (["jax", "--good", "latest", "--bad", "0.4.30"], "'latest' is no version such as 2.13.0 (PEP 440)"),
        (["jax", "--good", "0.4.26", "--bad", "0.4.26"], "the same release"),
        (["jax", "--good", "0.4.26", "--bad", "0.4.30", "--select", "nothing/*"], "no row of jax matches 'nothing/*'"),
    ],
)
def test_a_wrong_call_is_one_line_and_2(words: list[str], said: str) -> None:
    select = [] if "--select" in words else ["--select", "softmax/*"]
    arguments = [sys.executable, "-m", "gradparity", "bisect", *words, *select]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert said in done.stderr


# --- environments


def test_a_command_that_fails_or_hangs_says_why() -> None:
    with pytest.raises(UnusableError, match="ValueError: no such release"):
        command([sys.executable, "-c", "raise ValueError('no such release')"])
    with pytest.raises(UnusableError, match=r"took more than 0 s"):
        command([sys.executable, "-c", "import time; time.sleep(60)"], seconds=0.1)
    assert command([sys.executable, "-c", "print(1); exit(1)"], accepted=(0, 1)) == "1\n"


def test_an_environment_holds_this_gradparity_and_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real one, without a framework; another suite is put into the same environment."""
    environments = Environments(tmp_path)
    python = environments.python("empty", ["six==1.17.0"])
    assert "hinge(x, t)" in command([str(python), "-m", "gradparity", "list"])
    assert command([str(python), "-c", "import six; print(six.__version__)"]) == "1.17.0\n"
    marker = python.parent.parent / throwaway.READY
    before = marker.stat().st_mtime_ns
    monkeypatch.setattr(throwaway, "suite_digest", lambda: "another")
    assert Environments(tmp_path).python("empty", ["a-requirement-that-is-not-asked-for-again"]) == python
    assert marker.read_text() == "another"
    assert marker.stat().st_mtime_ns > before


def test_an_environment_that_cannot_be_made_is_said_to_be_so(tmp_path: Path) -> None:
    with pytest.raises(UnusableError, match=r"six"):
        Environments(tmp_path).python("none", ["six==0.0.0.1"])


# --- the bug report


def a_run() -> Run:
    """What the forms written in NumPy give for cross-entropy in float32."""
    selection = Selection(framework=("numpy",), op=("cross_entropy",), dtype=("float32",))
    items = catalogue.items(selection)
    found = [row for item in items for row in item.run()]
    versions = catalogue.versions(item.adapter for item in items)
    return Run(results.header({}, versions, len(found)), found, {"complete": True})


def test_a_report_has_a_program_that_shows_the_row(tmp_path: Path) -> None:
    run = a_run()
    row = next(row for row in run.rows if row.check == "vjp.x")
    text = "\n".join(repro.report(repro.find(run, row.id)))
    program = text.partition("```python\n")[2].partition("\n```")[0]
    path = tmp_path / "program.py"
    path.write_text(program)
    printed = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, check=True)
    assert printed.stdout.strip()
    assert f"row `{row.id}`, seed 0" in text
    assert "| `numpy` |" in text


def test_nothing_of_the_file_is_markup_and_nothing_of_it_is_run() -> None:
    run = a_run()
    evil = "```\n<script>` |# x\n```python\nimport os"
    rows = [
        replace(row, status="fail", reason="bound", got=evil, want=evil, message=evil, link=evil, error=3.0)
        for row in run.rows
    ]
    row = next(row for row in rows if row.check == "value")
    text = "\n".join(repro.report(repro.find(Run(run.header, rows, run.footer), row.id)))
    fence, _, rest = text.partition("<script>")
    assert "````text\n```\n" in fence
    assert rest.count("\n````\n") == 1
    program = text.partition("````\n")[2].partition("```python\n")[2].partition("\n```")[0]
    assert "import numpy as np" in program
    assert "import os" not in program
    assert "<script>" not in program


def test_a_row_that_the_run_has_not_is_named() -> None:
    with pytest.raises(
        GradparityError, match=r"unknown row of this run 'cross_entropy/x'; did you mean cross_entropy/"
    ):
        repro.find(a_run(), "cross_entropy/x")
