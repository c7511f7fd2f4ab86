"""Run files to compare with, kept small: of each framework the newest release of these runs and the one before it.

    tox -e jax-0.6.2,jax-0.10.2,tensorflow-2.18.1,tensorflow-2.21.0,torch-2.13.0 -- --dtype float32
    python benchmarks/baselines.py runs            # writes baselines/jax-0.10.2.jsonl.gz and so on

All rows are kept but those of cases whose inputs are no longer the suite's, which no gate would compare, or that the
default tier no longer takes, which would be gone from every new run; of one that passes, three figures of its error,
and not what was computed, where and in which time. Exit code 2 for a file that is no run, or an incomplete one. After a
change of cases or of the tier `python benchmarks/baselines.py baselines` takes out what cannot be compared any more.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

from versions import printed

from gradparity import results
from gradparity.cases import digests_of_inputs
from gradparity.op import Result
from gradparity.reference import OPS
from gradparity.results import Run, Writer
from gradparity.tiers import TIERS

FOLDER = Path(__file__).parents[1] / "baselines"
KEPT = 2  # releases of a framework


def small(row: Result) -> Result:
    """What a gate does not look at is taken out of a row that passes."""
    row = replace(row, seconds=0.0)
    if row.status != "pass" or row.is_share:
        return row
    return replace(row, error=float(f"{row.error:.3g}"), got="", want="", at=(), ulp=math.nan)


def current(inputs: Mapping[str, str]) -> dict[str, str]:
    """Those that are the suite's today, by op/dtype/case."""
    places = {tuple(place.split("/")[:2]) for place in inputs}
    today = {
        f"{op}/{dtype}/{case}": digest
        for op, dtype in places
        if op in OPS
        for case, digest in digests_of_inputs(OPS[op], dtype, 0).items()
    }
    return {place: digest for place, digest in inputs.items() if digest == today.get(place)}


@cache
def taken(op: str, mode: str, dtype: str, direction: str) -> frozenset[str]:
    """The cases that the default tier takes there."""
    return frozenset(case.name for case in TIERS["default"].cases(OPS[op], mode, dtype, direction))


def compared(row: Result, inputs: Mapping[str, str]) -> bool:
    """Whether a run of today has the row, of the same inputs."""
    of_today = f"{row.op}/{row.dtype}/{row.case}" in inputs
    return of_today and row.case in taken(row.op, row.mode, row.dtype, row.check.partition(".")[0])


def write(run: Run, path: Path) -> int:
    """The number of rows."""
    inputs = current(run.header["inputs"])
    rows = [small(row) for row in run.rows if compared(row, inputs)]
    with results.written_whole(path) as half, Writer(half) as writer:
        writer.line({**run.header, "inputs": inputs, "planned": len(rows)})
        writer.rows(rows)
        writer.close({}, complete=True)
    return len(rows)


def kept(runs: dict[str, list[Run]]) -> Iterator[str]:
    """What was written."""
    for framework, own in runs.items():
        for run in own[-KEPT:]:
            path = FOLDER / f"{framework}-{run.header['subject'][framework].partition('+')[0]}.jsonl.gz"
            yield f"{path.name}: {write(run, path):,} of {len(run.rows):,} rows, {path.stat().st_size // 1024} kB"


main = partial(printed, "baselines.py", kept)

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
