"""No false alarm: the default tier of everything in the catalogue, on the inputs of many seeds.

    python benchmarks/seeds.py                                   # 50 seeds, what is installed
    python benchmarks/seeds.py --seeds 5 --first 100 --framework torch,jax --op softmax --dtype float32

A violation is a row that fails or gives nothing to judge, known failures (adapters/*.toml) aside: on right
implementations there must be none. Printed as it is found, with the seed that `gradparity snippet` takes. At the end:
the largest ratio error / bound of the rows that pass, by operation and dtype, and what one seed costs each framework.
Exit code 0: no violation; 1: at least one; 2: a wrong option; 4: a process died, or a row did not come.

One task is one operation and dtype; in it one framework after the other takes all seeds, finds what it compiled for a
seed before, and lets go of it at the end. (Name one mode at a time of what holds more memory than MEMORY.) A row that
is known to fail and passes on the inputs of some seed is no violation here; on the default inputs `gradparity run` does
call it one.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

from command_line import Parser

from gradparity import catalogue, plugin
from gradparity.adapter import Adapter, Memory
from gradparity.catalogue import Selection
from gradparity.known_failures import KnownFailure, judged
from gradparity.op import GradparityError, Result

CONFORMING, VIOLATIONS, INCOMPLETE = 0, 1, 4
MEMORY = 6e9  # bytes a process may hold: jax, eager, holds 4e9 of what it compiled for one seed of ragged_centroid


@dataclass
class Tally:
    """What was seen of one operation in one dtype.

    seconds: by framework and mode, for each seed in turn; largest: (ratio, seed, identity) of a row that passes
    """

    op: str
    dtype: str
    counts: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    largest: tuple[float, int, str] = (-1.0, 0, "")
    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    missing: int = 0

    def take(self, seed: int, rows: Iterable[Result]) -> None:
        for row in rows:
            self.counts[row.status] += 1
            if row.status == "pass" and not row.is_share:
                self.largest = max(self.largest, (row.error, seed, row.id))
            elif row.status in ("fail", "error"):
                self.violations.append(f"seed {seed}: {row.message}")
                print(self.violations[-1], flush=True)

    @property
    def line(self) -> str:
        ratio, seed, row = self.largest
        seconds = sum(map(sum, self.seconds.values()))
        words = f"{self.counts.total()} rows, {len(self.violations)} violations, {seconds:.0f} s"
        return f"{self.op} {self.dtype}: {words}; largest ratio {ratio:.3f}, seed {seed}, {row}"


def tally(selection: Selection, names: frozenset[str], seeds: range, known: list[KnownFailure]) -> Tally:
    """All seeds of one operation and dtype; in a process that has the environment of these adapters. The modes of a
    framework take turns at each seed: what most of them declare is the same, and so is its reference."""
    seen = Tally(selection.op[0], selection.dtype[0])
    own = [adapter for adapter in catalogue.adapters() if adapter.name in names]
    for _, modes in groupby(own, lambda adapter: adapter.framework):
        turns = list(modes)
        for seed in seeds:
            for adapter in turns:
                if seconds := drawn(seen, replace(selection, seed=seed), adapter, known):
                    seen.seconds[adapter.name].append(seconds)
        for adapter in turns:
            adapter.forget()
    return seen


def drawn(seen: Tally, selection: Selection, adapter: Adapter, known: list[KnownFailure]) -> float:
    """One seed of one adapter: the CPU seconds, 0 where it has nothing to judge."""
    start, memory = time.process_time(), Memory(MEMORY)
    chosen = catalogue.items(selection, [adapter])
    if not chosen:
        return 0.0
    for item in chosen:
        rows = judged(item.run(), known)
        seen.missing += len(item.rows) - len(rows)
        seen.take(selection.seed, rows)
        memory.after(adapter)
    return time.process_time() - start


def tallies(selection: Selection, seeds: range, workers: int) -> Iterator[Tally]:
    """As they are finished, the processes of one set of environment variables after those of another."""
    items = catalogue.items(selection)
    known = plugin.Plan(selection, ()).known
    for variables, adapters in catalogue.profiles(item.adapter for item in items):
        os.environ.update(variables)
        with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), ends_with_its_parent) as pool:
            tasks = [pool.submit(tally, *task, seeds, known) for task in tasks_of(selection, adapters)]
            for done, task in enumerate(as_completed(tasks), 1):
                seen = task.result()
                print(f"[{done}/{len(tasks)}] {seen.line}", flush=True)
                yield seen


def ends_with_its_parent() -> None:
    """A process of the pool, when what started it is killed: it would go on for hours with nobody to tell."""

    def end() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
        os._exit(INCOMPLETE)

    threading.Thread(target=end, daemon=True).start()


def tasks_of(selection: Selection, adapters: list[Adapter]) -> list[tuple[Selection, frozenset[str]]]:
    """One for each operation and dtype; what takes longest first."""
    names = frozenset(adapter.name for adapter in adapters)
    sizes = Counter((item.op.name, item.dtype) for item in catalogue.items(selection, adapters) for _ in item.rows)
    return [(replace(selection, op=(op,), dtype=(dtype,)), names) for (op, dtype), _ in sizes.most_common()]


def report(seen: list[Tally], seeds: range) -> None:
    """Markdown: the largest ratio by operation and dtype, then the cost of a seed by framework and mode."""
    dtypes = [dtype for dtype in catalogue.DTYPES if any(tally.dtype == dtype for tally in seen)]
    largest = {(tally.op, tally.dtype): f"{tally.largest[0]:.3f}" for tally in seen}
    print(f"\n| largest ratio | {' | '.join(dtypes)} |\n|---|{'---|' * len(dtypes)}")
    for op in dict.fromkeys(tally.op for tally in sorted(seen, key=lambda tally: tally.op)):
        print(f"| {op} | {' | '.join(largest.get((op, dtype), '') for dtype in dtypes)} |")
    print("\n| seconds, all processes | first seed | a further seed | ratio |\n|---|---|---|---|")
    for name in sorted({name for tally in seen for name in tally.seconds}):
        by_seed = [sum(times) for times in zip(*(t.seconds[name] for t in seen if name in t.seconds), strict=True)]
        first, rest = by_seed[0], statistics.median(by_seed[1:] or by_seed)
        print(f"| {name} | {first:.1f} | {rest:.2f} | {first / rest:.1f} |")
    counts = sum((tally.counts for tally in seen), Counter())
    words = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
    print(f"\n{len(seeds)} seeds, {counts.total()} rows: {words}; {sum(len(t.violations) for t in seen)} violations")


def main() -> int:
    parser = Parser(__doc__)
    parser.add_argument("--seeds", type=int, default=50, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--workers", type=int, default=plugin.workers(MEMORY), help="processes")
    for name, words in plugin.NAMES.items():
        parser.add_argument(f"--{name}", action="append", default=[], help=words)
    parser.add_argument("--select", default="", metavar="GLOB", help="only rows whose identity matches")
    args = parser.parse_args()
    if min(args.seeds, args.workers) < 1:
        parser.error("--seeds and --workers are at least 1")
    seeds = range(args.first, args.first + args.seeds)
    try:
        names: dict[str, Any] = {name: plugin.split(getattr(args, name)) for name in plugin.NAMES}
        selection = Selection(**names, select=args.select, tier="default")
        if not catalogue.items(selection):
            parser.error("nothing selected: no row matches all of these options, see gradparity list")
        seen = list(tallies(selection, seeds, args.workers))
    except GradparityError as error:
        parser.error(str(error))
    except BrokenProcessPool:
        print("a process died: its rows were not judged", file=sys.stderr)
        return INCOMPLETE
    report(seen, seeds)
    if missing := sum(tally.missing for tally in seen):
        print(f"{missing} rows did not come", file=sys.stderr)
        return INCOMPLETE
    return VIOLATIONS if any(tally.violations for tally in seen) else CONFORMING


if __name__ == "__main__":
    sys.exit(main())
