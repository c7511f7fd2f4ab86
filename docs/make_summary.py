"""Make docs/summary.svg, the picture in the README, and the same as text, by a run of a few operations."""

import io
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from gradparity import report, results

COMMAND = "gradparity run --tier quick --framework torch,jax --op softmax,cross_entropy,hinge"


def main() -> None:
    console = Console(record=True, width=100, file=io.StringIO(), force_terminal=True, highlight=False)
    console.print(f"$ {COMMAND}", style="bold")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "gradparity-run.jsonl")
        done = subprocess.run([sys.executable, "-m", *shlex.split(COMMAND)], cwd=folder, check=False)
        if done.returncode not in (0, 1):
            sys.exit(done.returncode)
        report.show(console, results.read(path), Path(path.name))
    console.save_svg(str(Path(__file__).with_name("summary.svg")), title=COMMAND, clear=False)
    Path(__file__).with_name("summary.txt").write_text(console.export_text(), encoding="utf-8")


if __name__ == "__main__":
    main()
