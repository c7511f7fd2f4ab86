"""What share of an implementation's 16-bit results is not the nearest number: adapters/<framework>.misrounded.json.

    python benchmarks/misrounded.py                      # 20 seeds of all that is installed; minutes, mostly JAX
    python benchmarks/misrounded.py --framework torch --seeds 50
    python benchmarks/misrounded.py --op softmax         # what is recorded of other operations stays as it is
    python benchmarks/misrounded.py --framework torch --mode compile-aot   # and that of other modes

For each row called <check>.misrounded: the largest share of all seeds and 5 standard deviations (see
gradparity.misrounded.allowed), of the version that is installed, on this kind of processor. What a file has of other
processors stays; what it has of this one is written as a whole, unless operations or modes are named. Somebody else's
adapter has a file if it says baseline=recorded(__file__).
Exit code 0; 2 for a wrong option, or if a row gave nothing to count.
"""

from __future__ import annotations

import math
import os
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from command_line import Parser

from gradparity import catalogue, plugin
from gradparity.adapter import Adapter
from gradparity.catalogue import Selection
from gradparity.environment import processor
from gradparity.misrounded import allowed, sample
from gradparity.op import MISROUNDED, GradparityError

ROWS = f"*.{MISROUNDED}"
Samples = dict[str, list[tuple[int, int]]]


def counts(adapters: Sequence[Adapter], selection: Selection) -> Samples:
    """(misrounded, looked at) by row, beside no record."""
    items = catalogue.items(selection, [replace(adapter, baseline=None) for adapter in adapters])
    rows = [row for item in items for row in item.run()]
    if bad := [row for row in rows if row.status != "unsupported"]:
        raise GradparityError(f"{bad[0].id}: {bad[0].message}")
    return {row.id: [sample(row)] for row in rows if row.got}


def several(adapters: Sequence[Adapter], selection: Selection, seeds: int) -> Samples:
    found: Samples = defaultdict(list)
    for seed in range(seeds):
        for name, samples in counts(adapters, replace(selection, seed=seed)).items():
            found[name] += samples
        print(f"\r{', '.join(a.name for a in adapters)}: {seed + 1} of {seeds} seeds", end="", file=sys.stderr)
    print(file=sys.stderr)
    return found


def write(adapters: Sequence[Adapter], found: Samples, selection: Selection) -> None:
    """The record of these adapters, which are those of one framework: of what is selected, and else as it was."""
    shares = {name: rounded_up(allowed(samples)) for name, samples in found.items()}
    if full := [name for name, share in shares.items() if share >= 1]:
        raise GradparityError(f"{full[0]}: all of its results may be misrounded, which says nothing")
    for baseline in {a.baseline.path: a.baseline for a in adapters if a.baseline}.values():
        here = {"version": adapters[0].release, "processor": processor()}
        others = {row: share for row, share in baseline.shares.items() if not concerned(selection, row)}
        if others and baseline.elsewhere(adapters[0].release):
            raise GradparityError(f"{baseline.elsewhere(adapters[0].release)}: record all of it")
        replace(baseline, **here, shares=others | shares).write()


def concerned(selection: Selection, row: str) -> bool:
    """Whether a row is of the operations and modes that are selected."""
    op, _, mode, *_ = row.split("/")
    return selection.takes("op", op) and selection.takes("mode", mode)


def rounded_up(share: float) -> float:
    """To six decimals: a millionth is less than one result of any case."""
    return math.ceil(share * 1e6) / 1e6


def main() -> int:
    parser = Parser(__doc__)
    parser.add_argument("--seeds", type=int, default=20, help="how many")
    parser.add_argument("--framework", action="append", default=[], help=plugin.NAMES["framework"])
    parser.add_argument("--mode", action="append", default=[], help=plugin.NAMES["mode"])
    parser.add_argument("--op", action="append", default=[], help=plugin.NAMES["op"])
    args = parser.parse_args()
    if args.seeds < 2:
        parser.error("--seeds is at least 2: one says nothing of how much they vary")
    try:
        names = {name: plugin.split(getattr(args, name)) for name in ("framework", "mode", "op")}
        selection = Selection(**names, select=ROWS)
        adapters = dict.fromkeys(item.adapter for item in catalogue.items(selection) if item.adapter.baseline)
        for framework in dict.fromkeys(adapter.framework for adapter in adapters):
            own = [adapter for adapter in adapters if adapter.framework == framework]
            os.environ.update({k: v for adapter in own for k, v in adapter.variables.items()})
            write(own, several(own, selection, args.seeds), selection)
    except GradparityError as error:
        print(f"misrounded.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
