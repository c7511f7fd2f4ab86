"""A run in processes of its own: pytest for each set of environment variables, its rows taken as they come."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event

import psutil
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from gradparity import results
from gradparity.adapter import Adapter
from gradparity.catalogue import Selection

MANY = "100000"  # crashed workers: each is an item's result, and no reason to stop
POLL = 0.2  # seconds between looks at the rows that have come
PLAIN_EVERY = 10.0  # seconds between lines of progress where there is no terminal


@contextmanager
def interruptible() -> Iterator[Event]:
    """Set by Ctrl-C, and by SIGTERM, with which a CI or a batch system ends what takes too long. It is looked at
    between two batches of rows, so that none is half written. The second time either does what it does without this;
    one that is ignored, as Ctrl-C is by what a script has put into the background, stays so."""
    stop, handlers = Event(), {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    before = {number: handler for number, handler in handlers.items() if handler is not signal.SIG_IGN}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def interrupt(number: int, frame: object) -> None:
        stop.set()
        restore()

    for number in before:
        signal.signal(number, interrupt)
    try:
        yield stop
    finally:
        restore()


def one_process(
    variables: dict[str, str], adapters: list[Adapter], selection: Selection, options: Sequence[str],
    writer: results.Writer, found: results.Run, console: Console, stop: Event,
) -> bool:  # fmt: skip
    """Runs pytest with one set of environment variables, and takes its rows as they come, until `stop` is set; then no
    process stays. True if it ended well: pytest fails where a row is bad, and nowhere else."""
    if stop.is_set():
        return False
    with tempfile.TemporaryDirectory() as folder:
        part, log = Path(folder, "rows.jsonl"), Path(folder, "pytest.log")
        config = Path(folder, "pytest.ini")
        config.write_text("[pytest]\naddopts =\n", encoding="utf-8")
        command = pytest_command(adapters, selection, options, config, part)
        environment = os.environ | variables | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""}
        with log.open("w", encoding="utf-8") as output:
            process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT, cwd=folder)
            try:
                came = results.Run()
                batches = (take(lines, came, writer, found) for lines in follow(process, part, stop))
                show_progress(batches, int(found.header["planned"]), "rows", console)
            finally:
                end(process)
        well = process.returncode == (1 if any(row.bad for row in came.rows) else 0)
        if not (well or stop.is_set()):
            tail = "\n".join(log.read_text(encoding="utf-8").strip().splitlines()[-15:])
            console.print(f"pytest ended with code {process.returncode}:\n{tail}", markup=False)
        return well


def pytest_command(
    adapters: list[Adapter], selection: Selection, options: Sequence[str], config: Path, part: Path
) -> list[str]:  # fmt: skip
    """The suite as pytest runs it, with further options: its own configuration, and no plugin but xdist."""
    command = [sys.executable, "-m", "pytest", "-p", "gradparity.plugin", "-p", "xdist", "-p", "no:cacheprovider",
               "-c", str(config), "--rootdir", str(config.parent), "--pyargs", "gradparity.tests.test_conformance",
               "-q", *options, "--dist", "worksteal", "--max-worker-restart", MANY, "--run-file", str(part),
               "--seed", str(selection.seed), "--select", selection.select, "--tier", selection.tier,
               "--shard", f"{selection.shard[0] + 1}/{selection.shard[1]}"]  # fmt: skip
    for name in ("framework", "mode", "device"):
        command += [f"--{name}={value}" for value in sorted({getattr(a, name) for a in adapters})]
    return command + [f"--{name}={value}" for name in ("dtype", "op") for value in getattr(selection, name)]


def end(process: subprocess.Popen[bytes]) -> None:
    """It, which would replace its workers, and then these, which would go on with their items; nothing if it has
    ended."""
    workers = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    process.kill()
    process.wait()
    for worker in workers:
        with suppress(psutil.NoSuchProcess):
            worker.kill()


def follow(process: subprocess.Popen[bytes], path: Path, stop: Event) -> Iterator[list[str]]:
    """The whole lines that were added to a file, until the process has ended or it is told to stop."""
    at, ended = 0, False
    while not (ended or stop.is_set()):
        ended = process.poll() is not None
        if path.exists():
            with path.open("rb") as file:
                file.seek(at)
                whole = file.read().rpartition(b"\n")[0]
            at += len(whole) + 1 if whole else 0
            yield whole.decode().splitlines()
        if not ended:
            stop.wait(POLL)


def take(lines: list[str], came: results.Run, writer: results.Writer, found: results.Run) -> int:
    """Rows to the result file; header and footer of what came only lend their times. The number of rows."""
    before = len(came.rows)
    for line in lines:
        came.take(line)
    rows = came.rows[before:]
    writer.rows(rows)
    found.rows += rows
    if lines and came.footer:
        found.footer["seconds"] = results.added(found.footer.get("seconds", {}), came.footer["seconds"])
    return len(rows)


def show_progress(batches: Iterator[int], planned: int, what: str, console: Console) -> None:
    """A bar on a terminal, a line now and then in a log."""
    if console.is_terminal:
        columns = (BarColumn(), MofNCompleteColumn(), TextColumn(what), TimeRemainingColumn())
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task("", total=planned)
            for count in batches:
                bar.advance(task, count)
        return
    console.print(f"{planned} {what} to judge")
    done, last = 0, (start := time.monotonic())
    for count in batches:
        done += count
        if time.monotonic() - last > PLAIN_EVERY:
            last = time.monotonic()
            console.print(f"{done} of {planned} {what} judged{time_left(done, planned, last - start)}")


def time_left(done: int, planned: int, seconds: float) -> str:
    """By what was done in so many seconds."""
    if not done:
        return ""
    left = seconds * (planned - done) / done
    return f", {left:.0f} s left" if left < 100 else f", {left / 60:.0f} min left"
