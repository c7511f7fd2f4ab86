"""The pytest side: options, one test for each item of the catalogue, rows recorded as they come."""

from __future__ import annotations

import faulthandler
import importlib
import math
import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import psutil
import pytest

from gradparity import catalogue, known_failures, results
from gradparity.adapter import Adapter, Memory, held
from gradparity.catalogue import Item, Selection
from gradparity.conform import failures
from gradparity.environment import cores, environment, threads
from gradparity.judge import SECONDS, timed
from gradparity.op import GradparityError, Result
from gradparity.tiers import TIERS

NAMES = {
    "framework": "check these frameworks only (comma separated, or given again)",
    "mode": "these modes only: eager, jit, function, compile, compile-aot, vmap, vmap-grad, xla",
    "device": "these devices only",
    "dtype": "these dtypes only",
    "op": "these operations only",
}
TIER = "default"
TIER_WORDS = "; ".join(f"{name}: {tier.words}" for name, tier in TIERS.items())
RELIEVED_AT = 1.5e9  # bytes: a worker that holds more after an item lets go of what was compiled
MOST_PER_WORKER = 2.5e9  # bytes: what holds more, whatever was let go of, ends itself (TensorFlow keeps XLA's programs)
TIME_LIMIT = 600.0  # seconds for one item; the slowest takes some 30
TEST = "test_conforms"


@dataclass(frozen=True)
class Plan:
    """What this pytest run is to judge."""

    selection: Selection
    known_files: tuple[Path, ...]

    @cached_property
    def profile(self) -> tuple[dict[str, str], list[Adapter]]:
        """One process holds one set of environment variables: the default one."""
        return catalogue.default_profile(item.adapter for item in catalogue.items(self.selection))

    @cached_property
    def items(self) -> dict[str, Item]:
        return {item.id: item for item in catalogue.items(self.selection, self.profile[1])}

    @cached_property
    def deselected(self) -> list[str]:
        """The modes that need a process of their own."""
        everything = {item.adapter.name for item in catalogue.items(self.selection)}
        return sorted(everything - {adapter.name for adapter in self.profile[1]})

    @cached_property
    def known(self) -> list[known_failures.KnownFailure]:
        versions = catalogue.versions(adapter for adapter in catalogue.adapters() if adapter.installed)
        files = {Path(a.known_failures) for a in catalogue.adapters() if a.known_failures}
        entries = known_failures.applicable([*sorted(files), *self.known_files], versions)
        # also of a backend that is not here: Keras's, beside TensorFlow alone
        known_failures.must_match(entries, catalogue.rows_from)
        return entries


def header(selection: Selection, items: Sequence[Item]) -> dict[str, Any]:
    """What stands at the top of the file of a run of these items."""
    adapters = list(dict.fromkeys(item.adapter for item in items))
    kept = {name: value for adapter in adapters for name, value in adapter.kept.items()}
    return results.header(
        asdict(selection), catalogue.versions(adapters), sum(len(item.rows) for item in items), seed=selection.seed,
        inputs=catalogue.inputs(items, selection.seed),
        environment=environment({adapter.name: adapter.on_record for adapter in adapters}, kept),
    )  # fmt: skip


PLAN = pytest.StashKey[Plan]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("gradparity", "conformance of losses and activations")
    for name, words in NAMES.items():
        group.addoption(f"--{name}", action="append", default=[], metavar="NAME", help=words)
    group.addoption("--select", default="", metavar="GLOB", help="only rows whose identity matches")
    group.addoption("--seed", type=int, default=0, metavar="N", help="draw other inputs")
    group.addoption("--tier", default=TIER, metavar="NAME", help=TIER_WORDS)
    group.addoption("--shard", default="1/1", metavar="I/N", help="one of N parts that make up the whole")
    group.addoption("--time-limit", type=float, default=TIME_LIMIT, metavar="SECONDS",
                    help="a worker that takes longer for one item ends itself: an error of reason timeout")  # fmt: skip
    group.addoption("--known-failures", action="append", default=[], metavar="PATH", help="a TOML file of your own")
    group.addoption("--run-file", default="", metavar="PATH", help="write the rows to this file (JSON Lines)")


def shard_of(text: str) -> tuple[int, int]:
    """(i - 1, n) of "i/n". Raises GradparityError for anything else."""
    i, _, n = text.partition("/")
    if not (i.isdigit() and n.isdigit() and 1 <= int(i) <= int(n)):
        raise GradparityError(f"--shard takes i/n, as 1/4 to 4/4, not {text!r}")
    return int(i) - 1, int(n)


def split(names: list[str]) -> tuple[str, ...]:
    return tuple(name for given in names for name in given.split(",") if name)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Neighbouring items share a framework and a reference: let workers take neighbours."""
    if getattr(config.option, "numprocesses", None) and config.option.dist == "no":
        config.option.dist = "worksteal"


def plan_of(config: pytest.Config) -> Plan:
    """As the options say. Raises pytest.UsageError where they cannot be followed."""
    if PLAN not in config.stash:
        option = config.option
        try:
            names = {name: split(getattr(option, name)) for name in NAMES}
            selection = Selection(
                **names, select=option.select, seed=option.seed, tier=option.tier, shard=shard_of(option.shard)
            )
            plan = config.stash[PLAN] = Plan(selection, tuple(map(Path, option.known_failures)))
            if (any(names.values()) or option.select) and not plan.items:
                raise GradparityError("nothing selected: no row matches all of these options, see gradparity list")
        except GradparityError as error:
            raise pytest.UsageError(str(error)) from None
    return config.stash[PLAN]


def pytest_configure(config: pytest.Config) -> None:
    plan = plan_of(config)
    os.environ.update(plan.profile[0])
    if not hasattr(config, "workerinput"):
        recorder = Recorder(plan, config.option.run_file, config.option.time_limit)
        config.pluginmanager.register(recorder, "gradparity-recorder")


def pytest_report_header(config: pytest.Config) -> list[str]:
    plan = config.stash[PLAN]
    versions = catalogue.versions(item.adapter for item in plan.items.values())
    absent = sorted({a.framework for a in catalogue.adapters() if not a.installed})
    lines = ["gradparity: " + ", ".join(f"{k} {v}" for k, v in versions.items())]
    lines += [f"not installed, so not checked: {', '.join(absent)}"] if absent else []
    lines += [f"deselected, a process of their own: {', '.join(plan.deselected)}"] if plan.deselected else []
    return lines


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "conformance_item" in metafunc.fixturenames:
        items = metafunc.config.stash[PLAN].items
        metafunc.parametrize("conformance_item", items.values(), ids=items)


@pytest.fixture(scope="session")
def memory() -> Memory:
    """Of this process."""
    return Memory(RELIEVED_AT)


@pytest.fixture
def conforms(request: pytest.FixtureRequest, memory: Memory) -> Callable[[Item], None]:
    """Judges an item, records its rows and fails the test if one of them is bad."""
    plan, option = request.config.stash[PLAN], request.config.option
    limit = option.time_limit if hasattr(request.config, "workerinput") else 0.0

    def judge(item: Item) -> None:
        before, start = dict(SECONDS), time.perf_counter()
        with ended_after(limit):
            with timed("import"):
                importlib.import_module(item.adapter.module)
            rows = known_failures.judged(item.run(), plan.known)
        spent = {k: v - before.get(k, 0.0) for k, v in SECONDS.items()} | {"in all": time.perf_counter() - start}
        payload = {"rows": [results.to_json(row) for row in rows], "seconds": spent}
        request.node.user_properties.append(("gradparity", payload))
        memory.after(item.adapter)
        if words := failures(item, rows):
            pytest.fail(words, pytrace=False)
        if not rows:
            pytest.fail(f"{item.id}: nothing was judged", pytrace=False)
        if all(row.status == "unsupported" for row in rows):
            pytest.xfail(f"unsupported: {rows[0].reason}")

    return judge


def pytest_runtest_teardown(item: pytest.Item) -> None:
    """A worker that holds too much ends itself once its rows are reported, and another takes its place."""
    judged = hasattr(item.config, "workerinput") and "memory" in getattr(item, "fixturenames", ())
    if judged and held() > MOST_PER_WORKER:
        os._exit(0)


@contextmanager
def ended_after(seconds: float) -> Iterator[None]:
    """Ends this process, however it hangs, if what is inside takes longer; 0 is for ever."""
    if seconds:
        faulthandler.dump_traceback_later(seconds, exit=True, file=2)  # stderr, whatever sys.stderr is
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """-n auto: see workers."""
    return workers(max((adapter.memory for adapter in plan_of(config).profile[1]), default=Adapter.memory))


def workers(most: float) -> int:
    """As many as keep the cores busy, but no more than fit into the memory that is free, of `most` bytes each."""
    return max(1, min(cores() // threads(), int(psutil.virtual_memory().available / most)))


class Recorder:
    """On the controller: collects rows from reports, which survive a worker that dies, and writes them."""

    def __init__(self, plan: Plan, path: str, time_limit: float) -> None:
        self.plan, self.time_limit = plan, time_limit
        self.counts: Counter[str] = Counter()
        self.seconds: dict[str, float] = defaultdict(float)
        self.judged: set[str] = set()
        self.started: dict[str, float] = {}
        self.writer: results.Writer | None = None
        if path:
            self.writer = results.Writer(Path(path))
            self.writer.line(header(plan.selection, list(plan.items.values())))
            self.writer.flush()

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.started[nodeid] = time.monotonic()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Before pytest counts it: what is known to crash, say, is an expected failure."""
        item = self.item_of(report.nodeid)
        if item is None or item.id in self.judged:
            return
        payload: Any = dict(report.user_properties).get("gradparity")
        if payload:
            for what, spent in payload["seconds"].items():
                self.seconds[what] += spent
            self.take(item, [results.from_json(row) for row in payload["rows"]])
        elif report.failed:
            rows = known_failures.judged(item.unjudged(*self.why(report)), self.plan.known)
            self.take(item, rows)
            if not any(row.bad for row in rows):
                report.outcome, report.wasxfail = "skipped", "a known failure"

    @pytest.hookimpl(optionalhook=True)
    def pytest_handlecrashitem(self, crashitem: str, report: pytest.TestReport) -> None:
        """What was judged did not crash: its worker ended itself."""
        item = self.item_of(crashitem)
        if item is not None and item.id in self.judged:
            report.when, report.outcome = "teardown", "passed"

    def why(self, report: pytest.TestReport) -> tuple[str, str]:
        """The reason that there are no rows, and what there is to say of it."""
        if report.when in ("setup", "call", "teardown"):
            return "exception", (report.longreprtext.strip().splitlines() or ["no report"])[-1]
        if 0 < self.time_limit <= time.monotonic() - self.started.get(report.nodeid, math.inf):
            return "timeout", f"took more than {self.time_limit:g} s (--time-limit), and its worker ended itself"
        return "crash", report.longreprtext.strip().splitlines()[-1]

    def item_of(self, nodeid: str) -> Item | None:
        _, _, rest = nodeid.partition(f"::{TEST}[")
        return self.plan.items.get(rest.removesuffix("]")) if rest else None

    def take(self, item: Item, rows: list[Result]) -> None:
        self.judged.add(item.id)
        self.counts.update(row.status for row in rows)
        if self.writer:
            self.writer.rows(rows)

    def pytest_sessionfinish(self) -> None:
        if self.writer:
            self.writer.close(self.seconds, complete=self.judged == set(self.plan.items))

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if self.counts:
            counts = ", ".join(f"{n} {status}" for status, n in sorted(self.counts.items()))
            terminalreporter.write_line(f"gradparity: {sum(self.counts.values())} rows judged: {counts}")
