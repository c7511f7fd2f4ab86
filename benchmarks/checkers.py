"""What gradient checkers cost and what they see: the gradient of softmax cross-entropy, judged by five of them.

    python benchmarks/checkers.py [--sizes 8x10,128x1000] [--dtypes float64] [--budget 20] [--quick]

Each checker runs as its documentation has it, with its own default tolerances, on one thread. All judge the same
function, with integer labels; logits are normal with deviation 3, as in the suite's own cases. The reduction is "none",
but "sum" for both gradchecks: that is less work for them, and the fast one sees more.

    gradparity           gradparity.check.check on torch, float64 or float32 alike. Inputs, reference, bound, framework
                         and comparison are in its time, and nothing is remembered from one call to the next. Small
                         cases are stacked as the suite stacks them (up to 16 a call); above 2^18 elements each block
                         of rows is a case and a call of its own
    gradcheck            torch.autograd.gradcheck, every element (fast_mode=False): eps 1e-6, atol 1e-5, rtol 1e-3. It
                         is meant for float64; in float32 it is run all the same
    gradcheck fast       the same with fast_mode=True: one random projection
    check_grads          jax.test_util.check_grads(order=1, modes=["rev"]) of the jitted function: one random
                         direction, atol = rtol = 1e-5 (float64) or 2e-3 (float32)
    compute_gradient     tf.test.compute_gradient, every element, step 1/1024, eager (quicker here than tf.function). It
                         returns two Jacobians and judges nothing; here they may differ by 1e-3, as is customary

An error is planted in the gradient by an identity whose derivative is 1 + 2^-k: at one element, the label's in the
first row, which is the largest of its row (about -1, so the easiest to see), or at all of them. The smallest caught
is searched by bisection, which takes a checker to catch what is larger than that. gradparity searches in its first
call and keeps its reference meanwhile; fast gradcheck is kept from explaining a failure by the slow one. ">1": the
checker accepts a gradient that is twice as large as it should be (in ratios: 2); "<=" and "?": the budget ended the
search.

Times are CPU times of the process, since the cores may be shared: the median of up to five runs after a warm-up (which
compiles), or the first run where it takes over a quarter of the budget.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import signal
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from unittest import mock

from command_line import Parser

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NPROC"), "1")
os.environ |= {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
os.environ |= {"JAX_ENABLE_X64": "1", "JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"}

SIZES = ("8x10", "8x1000", "128x1000", "1024x32000")
BITS = {"float32": 23, "float64": 52}  # the smallest planted error is 2^-BITS, one unit in the last place
STACKED, BLOCK = 2**14, 2**18  # elements: a call has no more than STACKED in several cases, or BLOCK in one
COST_AIM, CAUGHT_AIM = 100, 1000
Thunk = Callable[[], Any]


@dataclass(frozen=True)
class Plant:
    """A relative error in the gradient."""

    size: float
    everywhere: bool

    def factor(self, x: Any, t: Any) -> Any:
        """What the gradient of x is multiplied by."""
        import numpy as np

        f = np.ones(x.shape, x.dtype)
        f[... if self.everywhere else (0, t[0])] += x.dtype.type(self.size)
        return f


@dataclass(frozen=True)
class Problem:
    """Logits of one shape and dtype."""

    rows: int
    classes: int
    dtype: str

    @property
    def elements(self) -> int:
        return self.rows * self.classes

    @property
    def name(self) -> str:
        return f"{self.rows}x{self.classes} {self.dtype}"

    def arrays(self) -> tuple[Any, Any]:
        """x and t."""
        case = self.case("single", self.rows)
        return tuple(case.arrays(self.draw(case)).values())

    def draw(self, case: Any) -> Any:
        from gradparity.cases import Draw

        return Draw(f"cross_entropy/{case.name}", self.dtype)

    def case(self, name: str, rows: int) -> Any:
        from gradparity.cases import logits
        from gradparity.op import Case
        from gradparity.reference.cross_entropy import labelled

        return Case(name, labelled(lambda draw: logits(draw, rows, self.classes, 3.0)), {"reduction": "none"})

    def calls(self) -> list[tuple[Any, ...]]:
        """The cases of each call of gradparity: several problems stacked, or one in blocks of rows."""
        if self.elements <= BLOCK:
            count = max(1, min(16, STACKED // self.elements))
            return [tuple(self.case(f"case-{k}", self.rows) for k in range(count))]
        rows = max(1, BLOCK // self.classes)
        starts = range(0, self.rows, rows)
        return [(self.case(f"rows-{start}", min(rows, self.rows - start)),) for start in starts]

    def judged(self) -> int:
        """How many elements of the gradient gradparity looks at."""
        return self.elements * (len(self.calls()[0]) if self.elements <= BLOCK else 1)


# --- the checkers: (problem, error planted or None) -> a function that says whether the gradient is accepted


def gradparity(problem: Problem, plant: Plant | None) -> Thunk:
    from gradparity.adapter import Implementation
    from gradparity.adapters.torch import ADAPTERS
    from gradparity.check import check
    from gradparity.reference.cross_entropy import OP
    from gradparity.truth import REMEMBERED

    renames = {"x": "input", "t": "target"}
    api = Implementation(OP.name, "torch.nn.functional.cross_entropy", partial(torch_loss, plant), renames)

    def fresh(cases: tuple[Any, ...]) -> bool:
        if plant is None:
            REMEMBERED.clear()
        return all(result.status == "pass" for result in check(OP, api, ADAPTERS[0], problem.dtype, "vjp", cases))

    calls = problem.calls()
    return lambda: all(fresh(cases) for cases in (calls if plant is None else calls[:1]))


def torch_loss(plant: Plant | None, input: Any, target: Any, reduction: str = "none") -> Any:
    import torch

    class Planted(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any, factor: Any) -> Any:
            ctx.save_for_backward(factor)
            return x.clone()

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * ctx.saved_tensors[0], None

    if plant:
        factor = plant.factor(input.detach().numpy(), target.numpy())
        input = Planted.apply(input, torch.from_numpy(factor))
    return torch.nn.functional.cross_entropy(input, target, reduction=reduction)


def torch_tensors(problem: Problem) -> list[Any]:
    import torch

    torch.set_num_threads(1)
    return [torch.from_numpy(a) for a in problem.arrays()]


def gradcheck(problem: Problem, plant: Plant | None, fast_mode: bool = False) -> Thunk:
    import torch

    x, t = torch_tensors(problem)
    loss = partial(torch_loss, plant, target=t, reduction="sum")
    return lambda: torch.autograd.gradcheck(loss, x.requires_grad_(), fast_mode=fast_mode, raise_exception=False)


def gradcheck_fast(problem: Problem, plant: Plant | None) -> Thunk:
    run = gradcheck(problem, plant, fast_mode=True)
    module = sys.modules["torch.autograd.gradcheck"]  # the name leads to the function
    return mock.patch.object(module, "_run_slow_mode_and_get_error", lambda *_: "")(run)  # noqa: PT008 no argument added


def jax_loss(problem: Problem, plant: Plant | None) -> tuple[Any, Any]:
    import jax

    from gradparity.adapters.jax import cross_entropy

    x, t = problem.arrays()
    planted = jax.custom_vjp(lambda x: x)
    factor = plant.factor(x, t) if plant else 1
    planted.defvjp(lambda x: (x, None), lambda _, g: (g * factor,))
    return jax.jit(lambda x: cross_entropy(planted(x) if plant else x, t, "none")), jax.numpy.asarray(x)


def check_grads(problem: Problem, plant: Plant | None) -> Thunk:
    from jax import test_util

    loss, x = jax_loss(problem, plant)

    def accepted() -> bool:
        try:
            test_util.check_grads(loss, (x,), order=1, modes=["rev"])
        except AssertionError:
            return False
        return True

    return accepted


def tensorflow_loss(problem: Problem, plant: Plant | None) -> tuple[Any, Any]:
    import tensorflow as tf

    from gradparity.adapters.tensorflow import cross_entropy

    x, t = problem.arrays()
    factor = plant.factor(x, t) if plant else 1
    planted = tf.custom_gradient(lambda x: (tf.identity(x), lambda g: g * factor))
    return lambda x: cross_entropy(planted(x) if plant else x, t, "none"), x


def compute_gradient(problem: Problem, plant: Plant | None) -> Thunk:
    import tensorflow as tf

    loss, x = tensorflow_loss(problem, plant)

    def accepted() -> bool:
        (theoretical,), (numerical,) = tf.test.compute_gradient(loss, [x])
        return bool(abs(theoretical - numerical).max() <= 1e-3)

    return accepted


def torch_forward(problem: Problem) -> Thunk:
    x, t = torch_tensors(problem)
    return lambda: torch_loss(None, x, t, "sum")


def tensorflow_forward(problem: Problem) -> Thunk:
    loss, x = tensorflow_loss(problem, None)
    return lambda: loss(x)


@dataclass(frozen=True)
class Checker:
    """every: it looks at every element by two evaluations of `forward` for each, so it takes at least that long."""

    name: str
    make: Callable[[Problem, Plant | None], Thunk]
    forward: Callable[[Problem], Thunk] | None = None

    @property
    def every(self) -> bool:
        return self.forward is not None

    def least(self, problem: Problem) -> float:
        """Seconds an element that it cannot do without."""
        if not self.forward:
            return 0.0
        run = self.forward(problem)
        return 2 * min(cpu_time(run)[0] for _ in range(4))


GRADPARITY = Checker("gradparity", gradparity)
OTHERS = (
    Checker("gradcheck", gradcheck, torch_forward),
    Checker("compute_gradient", compute_gradient, tensorflow_forward),
    Checker("gradcheck fast", gradcheck_fast),
    Checker("check_grads", check_grads),
)


# --- measuring


@dataclass(frozen=True)
class Row:
    """What was measured of one checker on one problem. one, everywhere: see smallest."""

    checker: Checker
    problem: Problem
    seconds: float | None = None
    cost: float = 0.0
    accepts: bool = True
    one: tuple[int, bool] | None = None
    everywhere: tuple[int, bool] | None = None
    memory: float | None = None


class OutOfTimeError(Exception):
    """The budget is spent."""


@contextmanager
def alarm(budget: float) -> Iterator[None]:
    """Raises OutOfTimeError after so many seconds of the clock: a timer of CPU time makes process_time too coarse."""

    def ring(*_: Any) -> None:
        raise OutOfTimeError

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, budget)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def cpu_time(run: Thunk) -> tuple[float, Any]:
    start = time.process_time()
    result = run()
    return time.process_time() - start, result


def timed(run: Thunk, budget: float) -> tuple[float, bool]:
    """Seconds, and the verdict: the median of at most five runs after the first, if that one was short."""
    start = time.perf_counter()
    first, accepted = cpu_time(run)
    seen = []
    while len(seen) < 5 and time.perf_counter() - start < budget * (0.5 if seen else 0.25):
        seen.append(cpu_time(run)[0])
    return statistics.median(seen or [first]), accepted


def smallest(checker: Checker, problem: Problem, everywhere: bool, budget: float) -> tuple[int, bool]:
    """The largest k such that an error of 2^-k is caught (-1: none), and whether the search came to its end."""
    caught, missed, start = -1, BITS[problem.dtype] + 1, time.process_time()
    while missed - caught > 1 and time.process_time() - start < budget:
        k = (caught + missed) // 2
        if checker.make(problem, Plant(2.0**-k, everywhere))():
            missed = k
        else:
            caught = k
    return caught, missed - caught == 1


def measured(checker: Checker, problem: Problem, budget: float) -> Row:
    """Time first, within the budget; then the search for each kind of error, if the right gradient was accepted."""
    row = Row(checker, problem, cost=checker.least(problem))
    if row.cost * problem.elements > budget:
        return row
    try:
        with alarm(budget):
            seconds, accepted = timed(checker.make(problem, None), budget)
    except OutOfTimeError:
        return row
    return searched(replace(row, seconds=seconds, cost=seconds / problem.elements, accepts=accepted), budget)


def searched(row: Row, budget: float) -> Row:
    if not row.accepts:
        return row
    one, everywhere = (smallest(row.checker, row.problem, kind, budget) for kind in (False, True))
    return replace(row, one=one, everywhere=everywhere)


def resident() -> int:
    """Bytes, once what gradparity and torch need is imported and loaded."""
    import psutil

    gradparity(Problem(2, 3, "float64"), None)()
    return psutil.Process().memory_info().rss


def measured_here(problem: Problem, budget: float, before: int) -> Row:
    """gradparity: always to its end, with the growth of memory so far. Before the others, lest their peak hide it."""
    seconds, accepted = timed(gradparity(problem, None), budget)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    row = Row(GRADPARITY, problem, seconds, seconds / problem.judged(), accepted, memory=(peak - before) / 1e6)
    return searched(row, budget)


# --- printing


def duration(seconds: float) -> str:
    for unit, scale in (("ns", 1e-9), ("us", 1e-6), ("ms", 1e-3), ("s", 1.0), ("h", 3600.0)):
        if seconds < 1000 * scale or unit == "h":
            return f"{seconds / scale:.3g} {unit}"
    return ""


def power(found: tuple[int, bool] | None) -> str:
    if found is None:
        return "-"
    k, ended = found
    if k < 0:
        return ">1" if ended else "?"
    return f"{'' if ended else '<='}2^-{k}"


def note(row: Row, budget: float) -> str:
    if row.seconds is None:
        least = f"; in all {duration(row.cost * row.problem.elements)} or more" if row.cost else ""
        return f"did not finish (> {budget:g} s){least}"
    if not row.accepts:
        return "rejects the right gradient"
    if row.memory is None:
        return ""
    calls = row.problem.calls()
    return f"calls: {len(calls)}, cases in each: {len(calls[0])}, memory so far: +{row.memory:.0f} MB"


def line(row: Row, budget: float) -> str:
    seconds = "" if row.seconds is None else duration(row.seconds)
    cost = f"{'>= ' if row.seconds is None else ''}{duration(row.cost)}" if row.cost else ""
    found = power(row.one), power(row.everywhere)
    return "  {:17}{:>9} {:>11} {:>7} {:>7}  {}".format(row.checker.name, seconds, cost, *found, note(row, budget))


def print_rows(rows: list[Row], budget: float) -> None:
    print(f"\n{rows[0].problem.name}")
    for row in rows:
        print(line(row, budget).rstrip(), flush=True)


def least(ratios: list[tuple[Problem, float]], aim: float) -> str:
    """The smallest ratio of each shape, and how many reach the aim."""
    seen: dict[str, float] = {}
    for problem, ratio in ratios:
        shape = f"{problem.rows}x{problem.classes}"
        seen[shape] = min(ratio, seen.get(shape, ratio))
    shapes = ", ".join(f"{shape}: {ratio:.3g}" for shape, ratio in seen.items())
    return f"{shapes or 'nothing to compare'} ({sum(r >= aim for _, r in ratios)} of {len(ratios)} at least {aim:g})"


def headlines(rows: list[Row]) -> None:
    """Each ratio is taken within one problem: theirs divided by gradparity's; a search that did not end is left out."""
    ours = {row.problem: row for row in rows if row.checker is GRADPARITY}
    others = [row for row in rows if row.checker is not GRADPARITY]
    cost = [(row.problem, row.cost / ours[row.problem].cost) for row in others if row.checker.every]
    print("\nCost an element, checkers of every element / gradparity, least of each shape:\n  " + least(cost, COST_AIM))
    for words, kind in (("one element", "one"), ("all elements", "everywhere")):
        found = [(row.problem, getattr(row, kind) or (0, False)) for row in others if not row.checker.every]
        ratios = [(problem, 2.0 ** (getattr(ours[problem], kind)[0] - k)) for problem, (k, ended) in found if ended]
        print(f"Smallest error caught in {words}, checkers of a projection / gradparity, least of each shape:")
        print("  " + least(ratios, CAUGHT_AIM))


# --- the call


def sizes(text: str) -> list[tuple[int, int]]:
    for size in text.split(","):
        if not re.fullmatch(r"[1-9]\d*x[1-9]\d*", size):
            raise argparse.ArgumentTypeError(f"{size!r} is not ROWSxCLASSES, as in {SIZES[0]}")
    return [tuple(map(int, size.split("x"))) for size in text.split(",")]


def dtypes(text: str) -> list[str]:
    for dtype in text.split(","):
        if dtype not in BITS:
            raise argparse.ArgumentTypeError(f"{dtype!r} is not one of {', '.join(BITS)}")
    return text.split(",")


def seconds(text: str) -> float:
    if not re.fullmatch(r"\d+(\.\d+)?", text) or float(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number of seconds")
    return float(text)


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument("--sizes", type=sizes, default=sizes(",".join(SIZES)), help="ROWSxCLASSES, comma-separated")
    parser.add_argument("--dtypes", type=dtypes, default=list(BITS), help="of float64, float32, comma-separated")
    parser.add_argument("--budget", type=seconds, default=20.0, help="seconds for each checker on each problem")
    parser.add_argument("--quick", action="store_true", help="8x10 only, with a budget of 3 s")
    args = parser.parse_args()
    if args.quick:
        args.sizes, args.budget = sizes("8x10"), 3.0
    problems = [Problem(*size, dtype) for size in sorted(args.sizes) for dtype in sorted(args.dtypes)]
    warnings.filterwarnings("ignore", "Input #0 requires gradient and is not a double precision")
    print(f"  {'checker':17}{'time':>9} {'an element':>11} {'one':>7} {'all':>7}")
    before = resident()
    ours = {problem: measured_here(problem, args.budget, before) for problem in problems}
    everything = []
    for problem in problems:
        rows = [ours[problem], *(measured(checker, problem, args.budget) for checker in OTHERS)]
        print_rows(rows, args.budget)
        everything += rows
    headlines(everything)


if __name__ == "__main__":
    main()
