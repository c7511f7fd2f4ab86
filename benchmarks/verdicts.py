"""What a verdict costs beside what the framework computes: element verdicts a second, bounds included.

    python benchmarks/verdicts.py [--op softmax,hinge] [--sizes 128x1000] [--dtypes float32] [--rounds 5]

Each line is one call of gradparity.check.check on torch in eager mode, one case of rows x classes, on
one thread. Its time is taken apart by calling it again: what it does the first time and not the second, when the
reference is remembered, is to draw the inputs and to compute the truth and its bound; what it does the second time and
the framework alone does not is to compare.

    verdicts   elements of x a second: inputs, truth, bound and comparison, all but the framework's own time. (The value
               of a loss has one element a row, for which as many are computed.)
    framework  its own forward, or for a vjp its forward and backward, an element
    / it       inputs, truth, bound and comparison over the framework's time

Times are CPU times of the process, the median over rounds. Exit code 1 if an aim is missed: in float32 and 16 bits 5
million verdicts a second for values and 2 million for gradients, in the largest size.
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from checkers import cpu_time, sizes  # and one thread of each framework, which it sets
from command_line import Parser

OPERATIONS = ("softmax", "log_softmax", "cross_entropy", "sigmoid", "hinge", "binary_cross_entropy_with_logits")
SIZES = ("8x10", "128x1000", "64x32000")
DTYPES = ("float32", "bfloat16")
AIMS = {"value": 5e6, "vjp": 2e6}


@dataclass(frozen=True)
class Line:
    """Seconds of one call: what is drawn and computed by the reference, what compares, and what the framework takes."""

    op: str
    dtype: str
    direction: str
    size: tuple[int, int]
    reference: float
    comparison: float
    framework: float

    @property
    def elements(self) -> int:
        return self.size[0] * self.size[1]

    @property
    def ours(self) -> float:
        return self.reference + self.comparison

    @property
    def rate(self) -> float:
        return self.elements / self.ours

    def __str__(self) -> str:
        ns = [f"{1e9 * t / self.elements:8.1f}" for t in (self.reference, self.comparison, self.framework)]
        shape = "x".join(map(str, self.size))
        return (
            f"{self.op:33}{self.dtype:9} {self.direction:6}{shape:>9}{self.rate / 1e6:8.2f} M{''.join(ns)}"
            f"{self.ours / self.framework:8.1f}"
        )


HEAD = f"{'':49}{'size':>9}{'verdicts':>10}{'truth':>8}{'compare':>8}{'framew.':>8}{'/ it':>8}   (ns an element)"


def measured(name: str, dtype: str, direction: str, size: tuple[int, int], rounds: int) -> Line:
    from gradparity.adapters.torch import ADAPTERS
    from gradparity.op import Case
    from gradparity.reference import OPS
    from gradparity.reference.sizes import SIZES as MADE
    from gradparity.truth import REMEMBERED

    op, adapter = OPS[name], ADAPTERS[0]
    api, params = next(i for i in adapter.implementations if i.op == name), op.cases[0].params
    case = Case(f"verdicts-{size[0]}x{size[1]}", lambda draw: MADE[name].make(draw, size, params), params, alone=True)
    judged, own = (
        verdicts_of(op, api, adapter, dtype, direction, case),
        call_of(op, api, adapter, dtype, direction, case),
    )
    seen: list[tuple[float, float, float]] = []
    for _ in range(rounds + 1):  # the first one warms up
        REMEMBERED.clear()
        first, again, alone = (cpu_time(run)[0] for run in (judged, judged, own))
        seen.append((first - again, again - alone, alone))
    return Line(name, dtype, direction, size, *map(statistics.median, zip(*seen[1:], strict=True)))


def verdicts_of(op: Any, api: Any, adapter: Any, dtype: str, direction: str, case: Any) -> Callable[[], None]:
    """What is measured, which ends the program if a verdict is bad."""
    from gradparity.check import check

    def judged() -> None:
        bad = [row.message for row in check(op, api, adapter, dtype, direction, (case,)) if row.status != "pass"]
        if bad:
            sys.exit(f"verdicts.py: {bad[0]}")

    return judged


def call_of(op: Any, api: Any, adapter: Any, dtype: str, direction: str, case: Any) -> Callable[[], Any]:
    """The framework alone, given the same."""
    from gradparity.judge import value_of, vjp_of
    from gradparity.truth import cotangents, grouped

    (group,) = grouped(op, dtype, (case,), 0, direction)

    def value() -> Any:
        return value_of(op, adapter, api, group.laid_out(), case.params)

    g = cotangents(group, value()[0])
    return value if direction == "value" else lambda: vjp_of(op, adapter, api, g, group.laid_out(), case.params)


# --- the call


def among(names: tuple[str, ...]) -> Callable[[str], list[str]]:
    def chosen(text: str) -> list[str]:
        for name in text.split(","):
            if name not in names:
                raise argparse.ArgumentTypeError(f"{name!r} is not one of {', '.join(names)}")
        return text.split(",")

    return chosen


def count(text: str) -> int:
    if not re.fullmatch(r"[1-9]\d*", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return int(text)


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument("--op", type=among(OPERATIONS), default=list(OPERATIONS), help="comma-separated")
    parser.add_argument("--sizes", type=sizes, default=sizes(",".join(SIZES)), help="ROWSxCLASSES, comma-separated")
    dtypes = ("float64", *DTYPES, "float16")
    parser.add_argument("--dtypes", type=among(dtypes), default=list(DTYPES), help=f"of {', '.join(dtypes)}")
    parser.add_argument("--rounds", type=count, default=5)
    args = parser.parse_args()
    print(HEAD)
    missed = []
    largest = max(args.sizes, key=lambda size: size[0] * size[1])
    for direction, aim in AIMS.items():
        for name in args.op:
            for dtype in args.dtypes:
                for size in args.sizes:
                    line = measured(name, dtype, direction, size, args.rounds)
                    print(line, flush=True)
                    missed += [line] if size == largest and dtype != "float64" and line.rate < aim else []
    for line in missed:
        aim = AIMS[line.direction]
        print(
            f"missed: {line.op} {line.dtype} {line.direction}, {line.rate / 1e6:.2f} of {aim / 1e6:g} million a second"
        )
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
