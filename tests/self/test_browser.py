"""The page in a real browser: Debian's chromium, driven headless; .ci/run installs it where it is absent."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gradparity import catalogue, cli, known_failures, page, plugin
from gradparity.catalogue import Selection
from gradparity.gate import gate
from gradparity.page import Named
from gradparity.policy import Policy
from gradparity.results import Run

CHROMIUM = shutil.which("chromium")
playwright = pytest.importorskip("playwright.sync_api", reason="the dev extra is not installed")
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no chromium: apt-get install chromium")

DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 320, "height": 640}  # 320: 1280 at 400 %
SCRIPT = "document.title = 'owned'"
HOSTILE = f'</script><script>{SCRIPT}</script><img src=x onerror="{SCRIPT}"> \x1b[31m {{{{ 7 }}}}'


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        launched = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


def real_run() -> Run:
    """What two functions in NumPy give, of which one row is made a failure."""
    items = catalogue.items(Selection(("numpy",), op=("softmax", "ragged_centroid"), dtype=("float32", "bfloat16")))
    known = plugin.Plan(items[0].selection, ()).known
    rows = {row.id: row for item in items for row in known_failures.judged(item.run(), known)}
    old = rows[BROKEN]
    rows[BROKEN] = replace(old, status="fail", reason="bound", error=7.0, at=(0, 1), message=f"{BROKEN}: wrong")
    header = plugin.header(items[0].selection, items)
    return Run(header, list(rows.values()), {"complete": True, "seconds": {}})


def moved_of(run: Run) -> Run:
    """The same of another version, in which some results have other bits and are worse."""
    rows = [replace(row, bits="ff" * 8, error=0.9) if row.case == "scale-10" and row.bits else row for row in run.rows]
    return Run(run.header | {"subject": {"numpy": "9.9"}}, rows, run.footer)


BROKEN = "softmax/gradparity.adapters.numpy.softmax_pure_python/eager/cpu/float32/scale-1/value"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One of a real run, one of the same run with other results beside it, one of a gate, one hostile."""
    run, folder = real_run(), tmp_path_factory.mktemp("pages")
    chapters = cli.chapters({"softmax", "ragged_centroid"}, floor=False)
    new = moved_of(run)
    texts = {
        "real": page.of_runs([Named("run.jsonl", run)], chapters, cli.program_of),
        "two": page.of_runs([Named("a.jsonl", run), Named("b.jsonl", new)], chapters),
        "gate": page.of_gate(gate(run, new, Policy()), ("a.jsonl", "b.jsonl")),
        "hostile": page.of_runs([Named(HOSTILE, hostile(run))]),
    }
    for name, text in texts.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return {name: folder / f"{name}.html" for name in texts}


def hostile(run: Run) -> Run:
    """Hostile wherever a run file has a text; one of them is nearly as long as a line may be."""
    name, row = HOSTILE.replace("/", "|"), run.rows[0]
    texts = dict.fromkeys(("op", "api", "framework", "mode", "device", "dtype", "case", "check"), name)
    words = dict.fromkeys(("reason", "got", "want", "precision", "exception", "conventions", "road"), HOSTILE)
    long = HOSTILE + "x" * 10**6
    bad = replace(row, **texts, **words, status="fail", message=long, link=f"javascript:{SCRIPT}")
    named = [replace(bad, op=op, case=op) for op in ("__proto__", "constructor", "toString")]
    return Run(run.header | {"subject": {name: HOSTILE}, "suite": HOSTILE}, [bad, *named], run.footer)


class Opened:
    """A page in the browser; leaving it asserts that nothing was said on the console and nothing was requested."""

    def __init__(self, browser: Any, path: Path, fragment: str = "", **options: Any) -> None:
        self.context = browser.new_context(**{"viewport": DESKTOP} | options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(120_000)  # on a machine with much else to do
        self.said: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.url = path.as_uri() + fragment
        self.page.goto(self.url)
        self.page.wait_for_selector("body[data-ready]")

    def __enter__(self) -> Any:
        return self.page

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self.context.close()
        if kind is None:
            assert self.said == []
            assert [url for url in self.requests if url not in (self.url, self.url.split("#")[0], "data:,")] == []


def faults(opened: Any) -> list[str]:
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(opened).response["violations"]
    return [f"{fault['impact']} {fault['id']}: {fault['nodes'][0]['html'][:200]}" for fault in found]


def cell(opened: Any, name: str) -> Any:
    return opened.get_by_role("button", name=re.compile(name))


def count(opened: Any) -> str:
    return str(opened.locator("#count").inner_text())


# --- what one sees


def test_the_matrix_has_a_name_for_each_cell(browser: Any, pages: dict[str, Path]) -> None:
    with Opened(browser, pages["real"]) as opened:
        assert opened.get_by_role("heading", level=1).inner_text().startswith("NOT CONFORMING: ")
        assert opened.get_by_role("rowheader").all_inner_texts() == ["softmax", "ragged_centroid"]  # the bad one first
        name = cell(opened, "^softmax, numpy .* eager: 1 failure, .* passes, largest error 7 of its bound$")
        assert name.count() == 1
        lines = name.locator(".lines").inner_text()
        assert re.search(r"f32\s+✗1\s+~1\s+–\d+\s+✓\d+\s+7\s", lines)
        assert "bf16" in lines
        assert name.locator("svg .over").get_attribute("d")


def test_every_row_of_a_real_run_is_counted(browser: Any, pages: dict[str, Path]) -> None:
    run = real_run()
    with Opened(browser, pages["real"]) as opened:
        assert count(opened) == f"{len(run.rows):,} of {len(run.rows):,} rows, 2 of 2 operations"
        for status, words in (("fail", "failure"), ("unsupported", "unsupported"), ("pass", "pass")):
            opened.locator("select[name=status]").select_option(label=words)
            assert count(opened).startswith(f"{sum(row.status == status for row in run.rows):,} of ")


def test_filters(browser: Any, pages: dict[str, Path]) -> None:
    rows = real_run().rows
    with Opened(browser, pages["real"]) as opened:
        text = opened.get_by_label("Text")
        for words, number in (
            ("scale-1/VALUE", sum("/scale-1/value" in row.id for row in rows)),
            (BROKEN, 1),
            ("softmax bfloat16", sum(row.op == "softmax" and row.dtype == "bfloat16" for row in rows)),
            (": wrong", 1),
            ("no such thing", 0),
        ):
            text.fill(words)
            assert count(opened).startswith(f"{number:,} of "), words
        assert "nothing matches these filters" in count(opened)
        opened.get_by_role("button", name="Reset").click()
        opened.locator("select[name=op]").select_option("softmax")
        assert opened.get_by_role("rowheader").all_inner_texts() == ["softmax"]
        opened.locator("select[name=framework]").select_option("numpy")
        assert "1 of 2 operations" in count(opened)


def test_sort_by_the_worst(browser: Any, pages: dict[str, Path]) -> None:
    with Opened(browser, pages["real"]) as opened:
        opened.locator("select[name=sort]").select_option("by name")
        assert opened.get_by_role("rowheader").all_inner_texts() == ["ragged_centroid", "softmax"]


@pytest.mark.parametrize("name", ["two", "gate"])
def test_only_differences(browser: Any, pages: dict[str, Path], name: str) -> None:
    moved = sum(row.case == "scale-10" and bool(row.bits) for row in real_run().rows)
    assert moved
    with Opened(browser, pages[name]) as opened:
        box = opened.get_by_label("only differences")
        assert box.is_checked() == (name == "gate")
        box.check()
        assert count(opened).startswith(f"{2 * moved} of ")  # as it is, and as it was
        box.uncheck()
        assert count(opened).startswith(f"{2 * len(real_run().rows):,} of ")
        assert opened.get_by_role("columnheader").count() == 3


def test_cells_say_how_many_rows_are_worse_than_before(browser: Any, pages: dict[str, Path]) -> None:
    old = real_run()
    worse = sum(change.bucket == "regressed" for change in gate(old, moved_of(old), Policy(), across=True).changes)
    assert worse
    with Opened(browser, pages["two"]) as opened:
        assert "↓ worse than before" in opened.locator("#legend").inner_text()
        marks = "".join(opened.locator("#cells").all_inner_texts())
        assert sum(map(int, re.findall(r"↓(\d+)", marks))) == worse
        assert opened.locator("#cells td:nth-child(2)").filter(has_text="↓").count() == 0, "the older column"
        corner = opened.get_by_role("columnheader", name="Operation")
        assert corner.evaluate("(e) => [getComputedStyle(e).position, getComputedStyle(e).left]") == ["sticky", "0px"]
    with Opened(browser, pages["real"]) as opened:
        assert "than before" not in opened.locator("#legend").inner_text()


def test_a_cell_opens_with_its_cases_and_copies_the_program(browser: Any, pages: dict[str, Path]) -> None:
    with Opened(browser, pages["real"], permissions=["clipboard-read", "clipboard-write"]) as opened:
        cell(opened, "^softmax").click()
        dialog = opened.get_by_role("dialog")
        assert dialog.get_by_role("img").get_attribute("aria-label").endswith("1 beyond it")
        assert dialog.get_by_role("heading", level=3).inner_text() == BROKEN.split("/")[1]
        dialog.get_by_text("✗ failure").click()
        for words in (f"{BROKEN}: wrong", "Expected", "Got", "Precision", "[0, 1]"):
            dialog.get_by_text(words, exact=True).first.wait_for()
        dialog.get_by_role("button", name="Copy the program").click()
        dialog.get_by_text("Copied.").wait_for()
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            exec(opened.evaluate("navigator.clipboard.readText()"), {})
        assert 0 < float(said.getvalue()) < 1
        assert dialog.get_by_label("command").inner_text() == f"gradparity snippet '{BROKEN}'"
        dialog.get_by_text("plain passes: cases and errors").first.click()
        dialog.get_by_role("row").nth(10).wait_for()


def test_many_rows_are_shown_a_part_at_a_time(browser: Any, tmp_path: Path) -> None:
    run = real_run()
    row = run.rows[0]
    many = [replace(row, case=f"{k}", status="unsupported") for k in range(450)]
    path = tmp_path / "many.html"
    path.write_text(page.of_runs([Named("run.jsonl", Run(run.header, many, run.footer))]), encoding="utf-8")
    with Opened(browser, path) as opened:
        cell(opened, "450 unsupported").click()
        shown = opened.locator("#detail-body details details")
        for left, number in ((250, 200), (50, 400)):
            assert shown.count() == number
            opened.get_by_role("button", name=f"Show more ({left} are left)").click()
        assert shown.count() == 450
        assert opened.get_by_role("button", name="Show more").count() == 0


def test_the_pages_of_the_report(browser: Any, pages: dict[str, Path]) -> None:
    with Opened(browser, pages["real"]) as opened:
        for link, words in (("Portability", "softmax_pure_python"), ("How to read it", "unexpected pass")):
            opened.get_by_role("link", name=link).click()
            opened.locator("nav a[aria-current=page]", has_text=link).wait_for()
            assert opened.get_by_role("heading", name=link).is_visible()
            assert opened.locator("section:not([hidden])").get_by_text(words).first.is_visible()
            assert not opened.locator("#cells").is_visible()


def test_without_scripts_the_verdict_is_there_and_says_so(browser: Any, pages: dict[str, Path]) -> None:
    context = browser.new_context(java_script_enabled=False)
    opened = context.new_page()
    opened.goto(pages["real"].as_uri())
    assert opened.get_by_role("heading", level=1).inner_text().startswith("NOT CONFORMING")
    assert opened.get_by_text("The matrix is drawn by a script of this page").is_visible()
    context.close()


# --- for everybody


def test_by_keyboard_alone(browser: Any, pages: dict[str, Path]) -> None:
    def focused(what: str) -> Any:
        return opened.evaluate(f"document.activeElement.{what}")

    with Opened(browser, pages["two"]) as opened:
        seen = []
        for _ in range(20):
            opened.keyboard.press("Tab")
            seen.append(focused("name") or focused("className") or focused("textContent"))
            if focused("className").startswith("cell"):
                break
        assert seen[:3] == ["Matrix", "Portability", "Detection floor"]
        assert [name for name in ("op", "framework", "status", "text", "sort", "differences") if name not in seen] == []
        first = focused("ariaLabel")
        opened.keyboard.press("ArrowRight")
        assert focused("ariaLabel").split(",")[0] == first.split(",")[0] != focused("ariaLabel")
        opened.keyboard.press("ArrowLeft")
        opened.keyboard.press("ArrowDown")
        assert focused("ariaLabel").split(",")[0] != first.split(",")[0]
        opened.keyboard.press("ArrowUp")
        assert focused("ariaLabel") == first
        opened.keyboard.press("Enter")
        assert opened.get_by_role("dialog").is_visible()
        opened.keyboard.press("Tab")
        assert focused("textContent") == "Close"
        opened.keyboard.press("Tab")
        assert focused("tagName") == "SUMMARY"
        opened.keyboard.press("Escape")
        assert not opened.get_by_role("dialog").is_visible()
        assert focused("ariaLabel") == first


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_no_accessibility_fault_is_left(browser: Any, pages: dict[str, Path], scheme: str, size: Any) -> None:
    with Opened(browser, pages["real"], color_scheme=scheme, viewport=size) as opened:
        assert faults(opened) == []
        cell(opened, "^softmax").click()
        opened.locator("#detail").get_by_text("✗ failure").click()
        opened.get_by_text("plain passes: cases and errors").first.click()
        opened.locator("#detail td").first.wait_for()
        assert faults(opened) == []
        opened.keyboard.press("Escape")
        opened.get_by_role("link", name="Portability").click()
        assert faults(opened) == []


@pytest.mark.parametrize("fragment", ["", "#page-1", "#about"])
def test_nothing_is_wider_than_a_phone_or_400_percent(browser: Any, pages: dict[str, Path], fragment: str) -> None:
    with Opened(browser, pages["two"], fragment, viewport=PHONE) as opened:
        assert opened.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        if not fragment:
            assert cell(opened, "^softmax").first.is_visible()
            cell(opened, "^softmax").first.click()
            assert opened.evaluate("document.getElementById('detail').scrollWidth") <= PHONE["width"]


# --- texts of anybody


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_hostile_text_is_shown_as_text(browser: Any, pages: dict[str, Path], size: Any) -> None:
    with Opened(browser, pages["hostile"], viewport=size) as opened:
        shown = HOSTILE.replace("/", "|")
        for button in opened.locator(".cell").all():
            button.click()
            opened.locator("#detail-body summary").nth(1).click()
            opened.locator("#detail-body").get_by_text("more characters in the run file").first.wait_for()
            assert shown in opened.locator("#detail-body").inner_text()
            assert opened.locator("#detail-body a").count() == 0
            command = shlex.split(opened.get_by_label("command").first.inner_text())
            assert command == ["gradparity", "snippet", opened.locator("dd.mono").first.inner_text()]
            opened.keyboard.press("Escape")
        opened.locator("select[name=op]").select_option("__proto__")
        assert opened.get_by_role("rowheader").all_inner_texts() == ["__proto__"]
        opened.get_by_label("Text").fill("owned")
        assert count(opened).startswith("1 of 4 rows")
        assert not opened.title().startswith("owned")
        assert opened.locator("img, script:not(#data):not(:last-of-type)").count() == 0


def test_the_policy_stops_what_the_page_does_not_do(browser: Any, pages: dict[str, Path]) -> None:
    """So that a fault in the page's own script is no hole."""
    context = browser.new_context()
    opened = context.new_page()
    opened.goto(pages["real"].as_uri())
    opened.wait_for_selector("body[data-ready]")
    tried = """() => {
      try { document.body.innerHTML = "<b>x</b>"; return "taken"; } catch { return "refused"; }
    }"""
    assert opened.evaluate(tried) == "refused"
    scripted = """() => {
      const script = document.createElement("script");
      script.append(SCRIPT);
      document.body.append(script);
    }"""
    opened.evaluate(scripted.replace("SCRIPT", f'"{SCRIPT}"'))
    assert "owned" not in opened.title()
    assert opened.evaluate("fetch('https://example.org').then(() => 'fetched', () => 'refused')") == "refused"
    context.close()
