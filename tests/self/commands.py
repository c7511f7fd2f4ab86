"""What several test files do: call gradparity as a user does, and write a run file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from gradparity import results
from gradparity.results import Run


def gradparity_command(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gradparity", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, **options)


def written(path: Path, run: Run) -> str:
    """The path. An incomplete run has no footer."""
    with results.Writer(path) as writer:
        writer.line(run.header)
        writer.rows(run.rows)
        if run.complete:
            writer.close({}, complete=True)
    return str(path)
