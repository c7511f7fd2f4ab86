"""Make docs/summary.svg, the picture in the README, and the same as text, from a run file.

gradparity run && python docs/make_summary.py gradparity-run.jsonl
"""

import io
import sys
from pathlib import Path

from rich.console import Console

from gradparity import report, results


def main(path: Path) -> None:
    console = Console(record=True, width=80, file=io.StringIO(), force_terminal=True, highlight=False)
    console.print("$ gradparity run", style="bold")
    report.show(console, results.read(path), path)
    console.save_svg(str(Path(__file__).with_name("summary.svg")), title="gradparity run", clear=False)
    Path(__file__).with_name("summary.txt").write_text(console.export_text(), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
