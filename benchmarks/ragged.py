"""The ragged centroid loss at full size: the reference in float64 against torch, time and memory, one thread.

    python benchmarks/ragged.py [--points 100000] [--dim 64] [--classes 10000] [--rounds 7]

One item (B = 1), delta 0.5, forward and gradient. Four contestants: the reference on plain float64 arrays (no bounds);
torch as the adapter writes it; torch with labels that are dense class numbers already, which spares it the sorting of
label columns that takes half of its time; and the reference in the error arithmetic (long double and bounds).
Time: CPU time of the process (the cores may be shared), median over rounds in which the contestants take turns in one
process. Memory: each in a process of its own, the highest resident size less what was resident after the imports; the
inputs are in it.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from command_line import Parser, positive

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")

DELTA = 0.5
CONTESTANTS = ("reference", "torch", "torch-dense", "bounds")
WORDS = {
    "reference": "reference, float64",
    "torch": "torch, as in the adapter",
    "torch-dense": "torch, dense labels given",
    "bounds": "reference with bounds",
}
TIME_AIM, MEMORY_AIM = 3.0, 1000.0
Thunk = Callable[[], Any]


def inputs(count: int, dim: int, classes: int) -> tuple[Any, Any]:
    """Normal points and uniform labels, some of them unused perhaps."""
    import numpy as np

    rng = np.random.default_rng(0)
    return rng.standard_normal((1, count, dim)), rng.integers(0, classes, (1, count))


def contestant(name: str, x: Any, t: Any) -> Thunk:
    """A function that computes the loss and its gradient, and returns the gradient."""
    return {"reference": reference, "torch": torch_adapter, "torch-dense": torch_dense, "bounds": bounds}[name](x, t)


def reference(x: Any, t: Any) -> Thunk:
    import numpy as np

    from gradparity.reference.ragged_centroid import ragged_centroid, ragged_centroid_vjp

    def run() -> Any:
        loss, _ = ragged_centroid(x, t, DELTA)
        return ragged_centroid_vjp(np.ones_like(loss), loss, x, t, DELTA)["x"]

    return run


def torch_adapter(x: Any, t: Any) -> Thunk:
    import torch

    from gradparity.adapters.torch import ragged_centroid

    return through_autograd(lambda points: ragged_centroid(points, torch.from_numpy(t), DELTA, "sum", "none")[0], x)


def torch_dense(x: Any, t: Any) -> Thunk:
    """What remains if the labels of the one item are 0, 1, ... without a gap: the formula and nothing else."""
    import numpy as np
    import torch

    ids = torch.from_numpy(np.unique(t[0], return_inverse=True)[1])

    def loss(points: Any) -> Any:
        members = torch.bincount(ids).to(points.dtype)
        empty = points.new_zeros(len(members), points.shape[-1])
        c = empty.index_add(0, ids, points[0]) / members.unsqueeze(1)
        h = torch.relu(torch.linalg.vector_norm(points[0] - c[ids], dim=-1) - DELTA)
        return (empty[:, 0].index_add(0, ids, torch.square(h)) / members).sum().reshape(1)

    return through_autograd(loss, x)


def through_autograd(loss: Callable[[Any], Any], x: Any) -> Thunk:
    import torch

    torch.set_num_threads(1)

    def run() -> Any:
        points = torch.from_numpy(x).requires_grad_()
        y = loss(points)
        return torch.autograd.grad(y, points, torch.ones_like(y))[0].numpy()

    return run


def bounds(x: Any, t: Any) -> Thunk:
    """Truth and bound together, as gradparity.check takes them."""
    import numpy as np

    from gradparity.arithmetic import Arithmetic
    from gradparity.reference.ragged_centroid import ragged_centroid, ragged_centroid_vjp

    def run() -> Any:
        a = Arithmetic("float64")
        loss = a.store(ragged_centroid(a(x), t, a(DELTA))[0])
        g = a(np.ones(loss.shape))
        return a.store(ragged_centroid_vjp(g, loss, a(x), t, a(DELTA))["x"]).v.astype(np.float64)

    return run


def median_times(thunks: dict[str, Thunk], rounds: int) -> dict[str, float]:
    """Seconds; one round is left out as a warm-up."""
    times: dict[str, list[float]] = {name: [] for name in thunks}
    for _ in range(rounds + 1):
        for name, run in thunks.items():
            start = time.process_time()
            run()
            times[name].append(time.process_time() - start)
    return {name: statistics.median(seen[1:]) for name, seen in times.items()}


def peak_memory(name: str, sizes: tuple[int, int, int]) -> float:
    """Growth in MB, in a process of its own. To be called while this one is small: a child inherits its peak."""
    command = [sys.executable, __file__, "--memory-of", name, *map(str, sizes)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def growth(name: str, sizes: tuple[int, int, int]) -> float:
    """The imports, and what a first small call loads, are the baseline."""
    import psutil

    contestant(name, *inputs(10, 2, 3))()
    baseline = psutil.Process().memory_info().rss
    contestant(name, *inputs(*sizes))()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - baseline) / 1e6


def furthest(thunks: dict[str, Thunk]) -> float:
    """The largest distance of any gradient from the reference's: all compute the same function."""
    first, *others = (run() for run in thunks.values())
    return max(abs(first - other).max() for other in others)


def verdict(value: float, aim: float) -> str:
    return f"aim at most {aim:g}: {'met' if value <= aim else 'missed'}"


def table(sizes: tuple[int, int, int], rounds: int) -> None:
    print("N = {:,} points, d = {}, {:,} classes, float64, one thread".format(*sizes))
    memory = {name: peak_memory(name, sizes) for name in CONTESTANTS}
    thunks = {name: contestant(name, *inputs(*sizes)) for name in CONTESTANTS}
    apart = furthest(thunks)
    times = median_times({name: thunks[name] for name in CONTESTANTS if name != "bounds"}, rounds)
    times |= median_times({"bounds": thunks["bounds"]}, min(rounds, 2))
    print(f"{'':26} {'time':>10} {'reference / it':>15} {'peak memory':>13}")
    for name in CONTESTANTS:
        ratio = times["reference"] / times[name]
        print(f"{WORDS[name]:26} {times[name] * 1e3:7.0f} ms {ratio:15.2f} {memory[name]:10.0f} MB")
    for name in ("torch", "torch-dense"):
        ratio = times["reference"] / times[name]
        print(f"reference / {WORDS[name]}: {ratio:.2f} ({verdict(ratio, TIME_AIM)})")
    print(f"memory of the reference: {memory['reference']:.0f} MB ({verdict(memory['reference'], MEMORY_AIM)})")
    print(f"gradients agree to {apart:.1e}")


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument("--points", type=positive, default=100_000)
    parser.add_argument("--dim", type=positive, default=64)
    parser.add_argument("--classes", type=positive, default=10_000)
    parser.add_argument("--rounds", type=positive, default=7)
    if sys.argv[1:2] == ["--memory-of"]:
        print(growth(sys.argv[2], tuple(map(int, sys.argv[3:]))))
    else:
        args = parser.parse_args()
        table((args.points, args.dim, args.classes), args.rounds)


if __name__ == "__main__":
    main()
