"""What comparing and merging large runs costs: CPU time of a cold process, its start included, and its memory.

Made-up rows, as long as real ones; in the candidate every tenth has other bits and every thousandth fails.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from command_line import Parser, positive

from gradparity import results
from gradparity.op import Result

DTYPES = ("float64", "float32", "bfloat16", "float16")
CHECKS = ("value", "vjp.x", "invariant.sum", "invariant.permutation", "vjp.x.ones")
GATE_AIM, MERGE_AIM, MEMORY_AIM = 12.0, 15.0, 1e9  # seconds, seconds, bytes
SHARDS = 20
NOTHING_WORSE, WORSE = 0, 1


def row(k: int) -> Result:
    """The k-th row: fifty functions, four dtypes, five checks, and as many cases as it takes."""
    rest, check = divmod(k, len(CHECKS))
    rest, dtype = divmod(rest, len(DTYPES))
    case, function = divmod(rest, 50)
    return Result(
        f"operation_{function // 2}", f"framework.nn.functional.function_{function}", "framework", "eager", "cpu",
        DTYPES[dtype], f"case-{case}-dominant", CHECKS[check], "pass", error=(k * 7919 % 1000) / 1000, ulp=0.49,
        at=(k % 8, k % 10), got=f"{1 / (k + 1):.17g}", want=f"{1 / (k + 1):.17g}", precision="class A sharp",
        conventions="kink=1.0, nan_margin=0.0", bits=f"{k * 2654435761 % 2**64:016x}", seconds=1.2e-05,
    )  # fmt: skip


def moved(old: Result, k: int) -> Result:
    if k % 1000 == 0:
        words = f"{old.id} on framework 2.0: [1, 2] = {old.got}, but the reference is 1: 5.1 times the allowed error"
        return replace(old, status="fail", reason="bound", error=5.1, bits="0" * 16, message=words)
    return replace(old, bits="1" * 16) if k % 10 == 0 else old


def write(path: Path, rows: Iterator[Result], planned: int, version: str = "1.0") -> Path:
    with results.Writer(path) as writer:
        writer.line(results.header({}, {"framework": version}, planned))
        writer.rows(rows)
        writer.close({}, complete=True)
    return path


def measured(*words: str) -> tuple[float, int, int]:
    """CPU seconds, bytes at most, exit code; which is -1 if nothing was said, as by a program that crashed."""
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen([sys.executable, "-m", "gradparity", *words], stdout=said)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        code = process.returncode if said.seek(0, os.SEEK_END) else -1
    return used.ru_utime + used.ru_stime, used.ru_maxrss * 1024, code


def line(name: str, found: tuple[float, int, int], aim: float, code: int) -> bool:
    seconds, most, ended = found
    good = seconds < aim and most < MEMORY_AIM and ended == code
    words = f"{seconds:.1f} s (aim {aim:g}), {most / 1e6:.0f} MB (aim {MEMORY_AIM / 1e6:g}), exit code {ended}"
    print(f"{name:34} {words}{'' if good else '  MISSED'}", flush=True)
    return good


def main(argv: list[str] | None = None) -> int:
    parser = Parser(__doc__)
    parser.add_argument("--rows", type=positive, default=300_000, help="rows of a run; 20 shards share them")
    n = parser.parse_args(argv).rows
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        good = []
        for suffix in (".jsonl", ".jsonl.gz"):
            a = write(place / f"a{suffix}", map(row, range(n)), n)
            b = write(place / f"b{suffix}", (moved(row(k), k) for k in range(n)), n, "2.0")
            print(f"a run of {n:,} rows: {a.stat().st_size / 1e6:.1f} MB as {suffix}")
            for form in ("text", "json", "markdown", "junit", "html"):
                found = measured("gate", str(a), str(b), "--format", form)
                good.append(line(f"gate {suffix} {form}", found, GATE_AIM, WORSE))
        size = -(-n // SHARDS)
        parts = [range(k, min(k + size, n)) for k in range(0, n, size)]
        shards = [str(write(place / f"{k}.jsonl.gz", map(row, part), len(part))) for k, part in enumerate(parts)]
        found = measured("merge", *shards, "-o", str(place / "whole.jsonl.gz"))
        good.append(line(f"merge of {len(shards)} shards .jsonl.gz", found, MERGE_AIM, NOTHING_WORSE))
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
