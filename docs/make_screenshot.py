"""Make docs/report.png, the picture of the page in the README, from a run file; and further views to look at.

gradparity run && python docs/make_screenshot.py gradparity-run.jsonl           # docs/report.png
python docs/make_screenshot.py gradparity-run.jsonl --all /tmp/views            # light, dark, narrow; cell and pages
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

from gradparity import cli, page, results

WIDE, NARROW = {"width": 1280, "height": 800}, {"width": 375, "height": 800}
OPEN_CELL = """() => {
  const cells = [".bad.cell", ".known.cell", ".cell"].map((kind) => document.querySelector(kind));
  cells.find(Boolean).click();
  document.querySelector("#detail-body details details").open = true;
}"""


def shot(browser: Browser, path: Path, to: Path, fragment: str = "", script: str = "", **options: Any) -> None:
    context = browser.new_context(**{"viewport": WIDE} | options)
    opened = context.new_page()
    opened.goto(path.as_uri() + fragment)
    opened.wait_for_selector("body[data-ready]")
    if script:
        opened.evaluate(script)
        opened.wait_for_timeout(200)
    opened.screenshot(path=to)
    context.close()


def views(browser: Browser, path: Path, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for scheme in ("light", "dark"):
        for name, size in (("wide", WIDE), ("narrow", NARROW)):
            look: dict[str, Any] = {"color_scheme": scheme, "viewport": size}
            shot(browser, path, folder / f"{scheme}-{name}.png", **look)
            shot(browser, path, folder / f"{scheme}-{name}-cell.png", script=OPEN_CELL, **look)
            shot(browser, path, folder / f"{scheme}-{name}-portability.png", "#page-1", **look)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--all", type=Path, metavar="FOLDER", help="further views, into this folder")
    given = parser.parse_args()
    run = results.read(given.run)
    text = page.of_runs([page.Named(given.run.name, run)], cli.chapters({row.op for row in run.rows}, False))
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        path = Path(folder, "report.html")
        path.write_text(text, encoding="utf-8")
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        if given.all:
            views(browser, path, given.all)
        else:
            shot(browser, path, Path(__file__).with_name("report.png"))
        browser.close()


if __name__ == "__main__":
    main()
