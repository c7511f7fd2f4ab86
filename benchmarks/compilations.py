"""What inductor compiles in a run of PyTorch's mode compile, and what the cache of it saves.

    python benchmarks/compilations.py                               # all of the full tier: half an hour
    python benchmarks/compilations.py --op softmax --dtype float32  # a minute

Everything is run twice, each time in a new process: cold, with an empty cache, and warm, with what the first one left
there. For each operation and dtype: the graphs that torch.compile made; the compilations of inductor, one for a value
and two where there is a gradient, of which some are the same code as one before; CPU seconds, the compiler's among
them; and how many times as long the cold run took. Then the most memory that a process held. Exit code 1 if there are
more compilations than are allowed, or if the warm run compiled anything; 2 for a wrong option.
"""

from __future__ import annotations

import importlib
import os
import resource
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from command_line import Parser

from gradparity import catalogue
from gradparity.adapter import Memory
from gradparity.catalogue import Selection
from gradparity.op import GradparityError
from gradparity.plugin import RELIEVED_AT

MOST = 800
Counts = dict[tuple[str, str], Counter[str]]  # by operation and dtype


def process_of(selection: Selection) -> tuple[Counts, float]:
    """What each operation and dtype took, and the most bytes that this process held."""
    importlib.import_module("torch")
    counters = importlib.import_module("torch._dynamo.utils").counters
    importlib.import_module("torch._inductor.compile_fx")
    found: Counts = defaultdict(Counter)
    memory = Memory(RELIEVED_AT)
    for item in catalogue.items(selection):
        counters.clear()
        start = seconds()
        item.run()
        found[item.op.name, item.dtype].update(
            graphs=counters["stats"]["unique_graphs"], seconds=seconds() - start,
            compiled=counters["inductor"]["fxgraph_cache_miss"], found=counters["inductor"]["fxgraph_cache_hit"],
        )  # fmt: skip
        memory.after(item.adapter)
    return dict(found), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0


def seconds() -> float:
    """CPU time of this process, and of the compilers that it ran."""
    return sum(os.times()[:4])


def measured(selection: Selection, folder: str) -> tuple[Counts, float]:
    """In a new process whose cache is in this folder."""
    os.environ["GRADPARITY_CACHE"] = folder
    os.environ.update(catalogue.adapter_of("torch", "compile", "cpu").variables)
    with ProcessPoolExecutor(1, get_context("spawn")) as executor:
        return executor.submit(process_of, selection).result()


def table(cold: Counts, warm: Counts) -> list[str]:
    lines = [f"{'':45}{'graphs':>8}{'compiled':>10}{'again':>7}{'cold s':>9}{'warm s':>9}{'ratio':>7}"]
    rows = {f"{op} {dtype}": (cold[op, dtype], warm[op, dtype]) for op, dtype in cold}
    rows["in all"] = (sum(cold.values(), Counter()), sum(warm.values(), Counter()))
    for name, (first, second) in rows.items():
        times = f"{first['seconds']:9.2f}{second['seconds']:9.2f}{first['seconds'] / second['seconds']:7.1f}"
        lines.append(f"{name:45}{first['graphs']:8}{first['compiled']:10}{first['found']:7}{times}")
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    parser = Parser(__doc__)
    parser.add_argument("--op", action="append", default=[])
    parser.add_argument("--dtype", action="append", default=[])
    options = parser.parse_args(arguments)
    try:
        selection = Selection(("torch",), ("compile",), (), tuple(options.dtype), tuple(options.op))
    except GradparityError as error:
        parser.error(str(error))
    with tempfile.TemporaryDirectory() as folder:
        (cold, held), (warm, held_warm) = (measured(selection, folder) for _ in ("cold", "warm"))
    print("\n".join(table(cold, warm)))
    print(f"memory: {held / 1e9:.2f} GB cold, {held_warm / 1e9:.2f} GB warm")
    return outcome(cold, warm)


def outcome(cold: Counts, warm: Counts) -> int:
    """The exit code, said in a line."""
    compiled, again = (sum(c["compiled"] for c in counts.values()) for counts in (cold, warm))
    print(f"compilations: {compiled} (at most {MOST}), in the warm run {again}")
    return int(compiled > MOST or again > 0)


if __name__ == "__main__":
    sys.exit(main())
