"""What the page of a large run costs: to make, to open and to filter in a browser, and its size.

Made-up rows, as in gate.py, with errors at random, of which every thousandth fails, or every one with --every 1. The
browser is the chromium that is installed.
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from random import Random

from command_line import Parser, positive
from gate import measured, moved, row, write
from playwright.sync_api import Browser, Page, sync_playwright

from gradparity.op import Result

MAKE_AIM, MEMORY_AIM, SIZE_AIM, OPEN_AIM, FILTER_AIM = 20.0, 1e9, 10e6, 2.0, 0.2  # seconds, bytes
REPEATED = 5
DRAW = Random(0)
# Until what was asked for is on the screen.
FILTER = """([name, value]) => new Promise((done) => {
  const field = document.getElementById("filters").elements[name], start = performance.now();
  field.value = value;
  field.dispatchEvent(new Event("input", { bubbles: true }));
  requestAnimationFrame(() => setTimeout(() => done((performance.now() - start) / 1000)));
})"""
FILTERS = (
    ("text", "function_7"), ("text", "case-1499-dominant"), ("text", "e"), ("text", "nothing like this"),
    ("text", "function_7/eager/cpu/float32/case-3-dominant/vjp.x"), ("text", "but the reference"), ("text", ""),
    ("status", "fail"), ("status", ""), ("op", "operation_3"), ("op", ""), ("sort", "worst"),
)  # fmt: skip


def drawn(k: int, every: int) -> Result:
    """The k-th row, its error drawn; moved() makes a failure of the number 0."""
    old = replace(row(k), error=DRAW.random())
    return moved(old, 0) if k % every == 0 else old


def line(name: str, found: float, aim: float, unit: str) -> bool:
    scale = 1e6 if unit == "MB" else 1.0
    print(f"{name:40} {found / scale:.3g} {unit} (aim {aim / scale:g}){'' if found < aim else '  MISSED'}", flush=True)
    return found < aim


def opened(browser: Browser, path: Path) -> tuple[Page, float]:
    page, start = browser.new_page(), time.perf_counter()
    page.goto(path.as_uri())
    page.wait_for_selector("body[data-ready]")
    return page, time.perf_counter() - start


def in_browser(path: Path) -> list[bool]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page, first = opened(browser, path)
        again = [opened(browser, path)[1] for _ in range(REPEATED)]
        good = [line("opens, the first time", first, OPEN_AIM, "s")]
        good.append(line("opens, median", statistics.median(again), OPEN_AIM, "s"))
        for name, value in FILTERS:
            found = statistics.median(page.evaluate(FILTER, [name, value]) for _ in range(REPEATED))
            good.append(line(f"{name} {value[:30]!r}", found, FILTER_AIM, "s"))
        browser.close()
    return good


def main(argv: list[str] | None = None) -> int:
    parser = Parser(__doc__)
    parser.add_argument("--rows", type=positive, default=300_000)
    parser.add_argument("--every", type=positive, default=1000, help="how many rows there are to a failure")
    given = parser.parse_args(argv)
    n = given.rows
    with tempfile.TemporaryDirectory() as folder:
        run, page = Path(folder, "run.jsonl.gz"), Path(folder, "page.html")
        write(run, (drawn(k, given.every) for k in range(n)), n)
        seconds, most, code = measured("report", str(run), "-o", str(page))
        good = [code == 0, line("made, CPU time", seconds, MAKE_AIM, "s"), line("memory", most, MEMORY_AIM, "MB")]
        good.append(line("size", page.stat().st_size, SIZE_AIM, "MB"))
        good += in_browser(page)
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
