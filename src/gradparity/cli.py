"""The command line: run, report, merge, gate, accept, list, probe, compare, portability, snippet, mutants."""

from __future__ import annotations

import gc
import inspect
import os
import sys
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import click
from rich.console import Console

from gradparity import accept as accepting
from gradparity import (
    bisection,
    catalogue,
    compare,
    gate_report,
    invariances,
    kill_matrix,
    mutation,
    page,
    plugin,
    portability,
    probe,
    releases,
    report,
    repro,
    results,
    runner,
    throwaway,
    toml,
)
from gradparity import gate as gating
from gradparity import merge as merging
from gradparity import policy as policies
from gradparity.adapter import Adapter, Implementation
from gradparity.catalogue import Item, Selection
from gradparity.check import check
from gradparity.environment import cache_folder
from gradparity.judge import blank
from gradparity.mutants import MUTANTS
from gradparity.op import COMPARED, DIRECTIONS, FORMATS, GradparityError, Op, Result, nearest
from gradparity.reference import OPS
from gradparity.snippet import program, snippet

CONFORMING, NOT_CONFORMING, WRONG_CALL, INCOMPLETE = 0, 1, 2, 4


def main() -> None:
    """The entry point: click's own errors, and ours, are one line and exit code 2."""
    try:
        sys.exit(cli.main(standalone_mode=False))
    except click.exceptions.Abort:
        sys.exit(INCOMPLETE)
    except click.ClickException as error:
        refuse(error.format_message())
    except results.UnwritableError as error:
        refuse(str(error), INCOMPLETE)
    except GradparityError as error:
        refuse(str(error))


def refuse(words: str, code: int = WRONG_CALL) -> NoReturn:
    print(f"gradparity: {words}", file=sys.stderr)
    sys.exit(code)


def selected(selection: Selection, directions: Sequence[str] = DIRECTIONS) -> list[Item]:
    """The items of a selection. Raises GradparityError if there is none."""
    items = [item for item in catalogue.items(selection) if item.direction in directions]
    if not items:
        raise GradparityError("nothing selected: no row matches all of these options, see gradparity list")
    return items


def enter(adapters: Iterable[Adapter]) -> None:
    """Makes this process one for these adapters, before their frameworks are imported. Raises GradparityError if no
    process can be."""
    (variables, _), *others = catalogue.profiles(adapters)
    if others:
        apart = ", ".join(adapter.name for _, members in others for adapter in members)
        raise GradparityError(f"a process of its own is needed for {apart}: name one framework or mode at a time")
    os.environ.update(variables)


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, invoke_without_command=True)
@click.version_option(package_name="gradparity")
@click.pass_context
def cli(context: click.Context) -> None:
    """Are the losses and activations of PyTorch, TensorFlow and JAX right, and their gradients?

    Exit codes of run: 0 all as expected; 1 a failure, an error or an unexpected pass; 2 the call was wrong, a
    framework is not installed or nothing was selected; 4 the run is incomplete.
    """
    if context.invoked_subcommand is None:
        print(context.get_help())
        sys.exit(WRONG_CALL)


def selecting(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say what a run is about; the same as pytest's."""
    command = click.option("--seed", type=int, default=0, metavar="N", help="draw other inputs")(command)
    command = click.option("--tier", default=plugin.TIER, metavar="NAME", help=plugin.TIER_WORDS)(command)
    command = click.option("--select", default="", metavar="GLOB", help="only rows whose identity matches")(command)
    for name, words in reversed(plugin.NAMES.items()):
        command = click.option(f"--{name}", multiple=True, metavar="NAME", help=words)(command)
    return command


def selection_of(options: dict[str, Any]) -> Selection:
    names: dict[str, Any] = {name: plugin.split(list(options.pop(name))) for name in plugin.NAMES}
    return Selection(**names, **{name: options.pop(name) for name in ("select", "seed", "tier")})


@cli.command()
@selecting
@click.option("-n", "--workers", default="auto", metavar="N", help="processes; auto minds cores and memory")
@click.option(
    "-o", "--output", default="gradparity-run.jsonl", metavar="PATH", help="the result file (.jsonl, .jsonl.gz)"
)
@click.option("--known-failures", multiple=True, metavar="PATH", help="a TOML file of your own, beside the suite's")
@click.option("--shard", default="1/1", metavar="I/N", help="one of N parts that make up the whole (see merge)")
@click.option("--threads", type=click.IntRange(1), envvar="GRADPARITY_THREADS", default=1, metavar="N",
              help="of each process; by default 1, since results depend on it")  # fmt: skip
@click.option("--time-limit", type=click.FloatRange(0, min_open=True), default=plugin.TIME_LIMIT, metavar="SECONDS",
              help="for all cases of one function, dtype and direction: what takes longer is an error")  # fmt: skip
def run(
    workers: str, output: str, known_failures: tuple[str, ...], shard: str, threads: int, time_limit: float,
    **options: Any,
) -> int:  # fmt: skip
    """Check the frameworks that are installed, or those named, and write what was found to a file."""
    os.environ["GRADPARITY_THREADS"] = str(threads)
    whole = selection_of(options)
    if workers != "auto" and not (workers.isdigit() and int(workers)):
        raise GradparityError(f"-n takes auto or a number of processes from 1, not {workers!r}")
    selected(whole)
    selection = replace(whole, shard=plugin.shard_of(shard))
    items = catalogue.items(selection)  # none, where the shard of a small run is empty
    arguments = ["-n", workers, "--time-limit", str(time_limit)]
    arguments += [f"--known-failures={Path(path).resolve()}" for path in known_failures]
    plugin.Plan(selection, tuple(map(Path, known_failures))).known  # noqa: B018  # a typo in them is found here
    planned = sum(len(item.rows) for item in items)
    console = Console(highlight=False, soft_wrap=False)
    path = Path(output)
    with results.Writer(path) as writer:
        found = results.Run(plugin.header(selection, items))
        writer.line(found.header)
        with runner.interruptible() as stop:
            well = [
                runner.one_process(variables, adapters, selection, arguments, writer, found, console, stop)
                for variables, adapters in catalogue.profiles(item.adapter for item in items)
            ]
        complete = len(found.rows) == planned and all(well)
        writer.close(found.footer.get("seconds", {}), complete)
        found.footer["complete"] = complete
    report.show(console, found, path)
    if not complete:
        return INCOMPLETE
    return NOT_CONFORMING if any(row.bad for row in found.rows) else CONFORMING


@cli.command(name="list")
@click.argument("what", default="ops")
@selecting
def list_(what: str, **options: Any) -> int:
    """Show WHAT there is: ops (with implementations and modes), cases, or rows. Imports no framework."""
    selection = selection_of(options)
    lines = {"ops": ops_lines, "cases": cases_lines, "rows": rows_lines}
    if what not in lines:
        raise GradparityError(f"list shows ops, cases or rows, not {what!r}")
    for line in lines[what](selection):
        print(line)
    return CONFORMING


def ops_lines(selection: Selection) -> Iterator[str]:
    for op in chosen_ops(selection):
        yield f"{op.name}({', '.join(arguments(op))})  {len(op.cases) + len(op.edge_cases)} cases"
        for name, convention in op.conventions.items():
            yield f"    {name}: {', '.join(map(str, convention.values))}: {convention.meaning}"
        for name, edge in op.edges.items():
            yield f"    {name}: {', '.join(edge.values)}, raises: {edge.meaning}"
        for adapter in catalogue.adapters():
            if selection.takes("framework", adapter.framework) and selection.takes("mode", adapter.mode):
                absent = "" if adapter.installed else "  (not installed)"
                for implementation in adapter.implementations:
                    if implementation.op == op.name:
                        yield f"  {adapter.name:20} {implementation.api}{absent}"


def chosen_ops(selection: Selection) -> list[Op]:
    return [op for name, op in OPS.items() if selection.takes("op", name)]


def arguments(op: Op) -> list[str]:
    """The arguments that a function of one's own is called with."""
    parameters = inspect.signature(op.forward).parameters.values()
    return [p.name for p in parameters if p.name not in op.conventions and p.kind is not p.VAR_KEYWORD]


def cases_lines(selection: Selection) -> Iterator[str]:
    for op in chosen_ops(selection):
        yield op.name
        for case in (*op.cases, *op.edge_cases):
            words = [f"{k}={v}" for k, v in case.params.items()]
            words += [case.edge] if case.edge else []
            words += [case.layout] if case.layout != "contiguous" else []
            yield f"  {case.name:28} {', '.join(words)}"


def rows_lines(selection: Selection) -> Iterator[str]:
    return (row for item in selected(selection) for row in item.rows)


@cli.command(name="probe")
@click.argument("function", default="")
@click.option("--rename", multiple=True, metavar="OURS=THEIRS", help="an argument that the FUNCTION calls otherwise")
@selecting
def probe_(function: str, rename: tuple[str, ...], **options: Any) -> int:
    """Show the narrowest precision that holds beside the one that is declared, and the findings.

    With a FUNCTION (module.name, importable from here, or an API), one --op and one --framework: show the declaration
    that fits it, or which case decided against each.

    Exit codes: 0 what is declared holds, or a declaration fits; 1 somewhere it does not; 2 the call was wrong.
    """
    selection = selection_of(options)
    if function:
        return probe_function(function, rename, selection)
    items = selected(selection, COMPARED)
    enter(item.adapter for item in items)
    known = plugin.Plan(selection, ()).known
    holds = True
    for item in items:
        for trial in probe.trials(item, known):
            print(trial, flush=True)
            holds = holds and trial.narrowest is not None
    return CONFORMING if holds else NOT_CONFORMING


def probe_function(function: str, rename: tuple[str, ...], selection: Selection) -> int:
    if len(selection.op) != 1 or len(selection.framework) != 1 or not all("=" in pair for pair in rename):
        raise GradparityError(
            "a function is probed with one --op and one --framework, and --rename x=input if it calls x so"
        )
    mode, device = (next(iter(names), default) for names, default in ((selection.mode, ""), (selection.device, "cpu")))
    adapter = catalogue.adapter_of(selection.framework[0], mode, device)
    enter([adapter])
    sys.path.insert(0, os.getcwd())
    renames = dict(pair.split("=", 1) for pair in rename)
    found = probe.declaration(undeclared(function, selection.op[0], renames, adapter), adapter,
                              selection.dtype or catalogue.DTYPES)  # fmt: skip
    for line in found.lines:
        print(line)
    return CONFORMING if found.fits else NOT_CONFORMING


def undeclared(function: str, op: str, renames: dict[str, str], adapter: Adapter) -> Implementation:
    """The function as it is called, nothing declared of it. Raises GradparityError if it cannot be found."""
    own = [i for i in adapter.implementations if (i.op, i.api) == (op, function)]
    if own:
        return Implementation(op, function, own[0].fn, own[0].renames, vjp=own[0].vjp)
    implementation = Implementation(op, function, renames=renames)
    try:
        adapter.call(implementation, {})
    except (ImportError, AttributeError) as error:
        raise GradparityError(f"no function {function!r} can be imported: {error}") from None
    return implementation


@cli.command(name="compare")
@click.argument("first")
@click.argument("second")
def compare_(first: str, second: str) -> int:
    """Show whether the API SECOND may replace FIRST, and where not, the shortest input on which they differ.

    Exit codes: 0 interchangeable; 1 they differ somewhere; 2 the call was wrong, or they are different operations.
    """
    enter(api.adapter for name in (first, second) for api in compare.offered(name).values())
    found = compare.compare(first, second)
    for comparison in found:
        for line in comparison.lines:
            print(line)
    return CONFORMING if all(comparison.interchangeable for comparison in found) else NOT_CONFORMING


@cli.command(name="portability")
@click.option("--op", multiple=True, metavar="NAME", help="this operation only")
@click.option("--format", "form", type=click.Choice(("text", "markdown")), default="text")
def portability_(op: tuple[str, ...], form: str) -> int:
    """Show which API may replace which: what each declares, side by side. Imports no framework."""
    ops = [OPS[name] for name in chosen(op, list(OPS), "op")]
    if form == "text":
        portability.show(ops, Console())
        return CONFORMING
    for line in portability.markdown(ops):
        print(line)
    return CONFORMING


@cli.command(name="invariances")
@click.argument("run", metavar="RUN")
@click.argument("other", metavar="[OTHER]", default="")
def invariances_(run: str, other: str) -> int:
    """Print which functions of a RUN give the same bits however they are called, and in an OTHER run: Markdown."""
    for line in invariances.lines(results.read(Path(run)), results.read(Path(other)) if other else None):
        print(line)
    return CONFORMING


@cli.command(name="snippet")
@click.argument("identity")
@click.option("--seed", type=int, default=0, metavar="N", help="the seed of the run")
def snippet_(identity: str, seed: int) -> int:
    """Print a program of NumPy and one framework that shows the row IDENTITY (op/api/mode/device/dtype/case/check)."""
    item, case, name = catalogue.find(identity, seed)
    enter([item.adapter])
    rows = check(item.op, item.implementation, item.adapter, item.dtype, item.direction, (case,), seed)
    row = next(row for row in rows if row.id == identity)
    print(snippet(item.op, item.implementation, item.adapter, case, row, seed))
    print(f"# {name}: {row.status}" + (f", {row.message}" if row.message else f", error {row.error:.3g} of the bound"))
    return CONFORMING


@cli.command(name="repro")
@click.argument("run", metavar="RUN")
@click.argument("identity", metavar="ROW")
def repro_(run: str, identity: str) -> int:
    """Print a bug report for one ROW (op/api/mode/device/dtype/case/check) of RUN: Markdown, with a program."""
    place = repro.find(results.read(Path(run)), identity)
    enter([place.item.adapter])
    for line in repro.report(place):
        print(line)
    return CONFORMING


@cli.command(name="bisect")
@click.argument("package")
@click.option("--good", required=True, metavar="VERSION", help="a release with which the rows pass")
@click.option("--bad", required=True, metavar="VERSION", help="a release with which they do not")
@click.option("--select", required=True, metavar="GLOB", help="the rows, by their identities")
@click.option("--seed", type=int, default=0, metavar="N", help="the seed of the run")
@click.option("--cache", default="", metavar="PATH", help="where environments and runs are kept")
def bisect_(package: str, good: str, bad: str, select: str, seed: int, cache: str) -> int:
    """Find the release of PACKAGE with which rows began to fail (or to pass, if the good one is newer).

    Each release gets a virtual environment of its own, made with uv, or pip where there is no uv. The bug report goes
    to stdout, all else to stderr. Exit codes: 0 found; 2 the call was wrong, or the ends do not differ.
    """
    wanted = releases.package(package)
    passing, failing = releases.version(good), releases.version(bad)
    if passing == failing:
        raise GradparityError(f"--good and --bad are the same release, {good}")
    selection = Selection(select=select, seed=seed)
    names = [r for i in catalogue.catalogued(selection) if i.adapter.framework == wanted.framework for r in i.rows]
    if not names:
        raise GradparityError(f"nothing selected: no row of {wanted.framework} matches {select!r}, see gradparity list")
    there = releases.between(wanted.name, min(passing, failing), max(passing, failing))
    folder = Path(cache) if cache else cache_folder()
    if folder is None:
        raise GradparityError("a bisection keeps environments and runs: name a folder with --cache or GRADPARITY_CACHE")
    say = partial(print, file=sys.stderr, flush=True)
    say(f"{wanted.name} {there[0]} to {there[-1]}: {len(there)} releases, {len(names)} rows")
    say(f"at most {bisection.environments_needed(len(there))} environments, kept in {folder}")
    runs = bisection.Runs(wanted, throwaway.Environments(folder), select, seed)
    found = bisection.bisect(there, passing, failing, runs.judge, say)
    for line in bisection.answer(found, passing, failing):
        say(line)
    print(runs.report(found.after if passing < failing else found.before, found.rows[0]))
    return CONFORMING


@cli.command(name="report")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@click.option("-o", "--output", required=True, metavar="PATH", help="the page (.html)")
@click.option("--floor", is_flag=True, help="measure the detection floor too: a second or more for each operation")
def report_(runs: tuple[str, ...], output: str, floor: bool) -> int:
    """Show one run or several as a page for a browser, in one file that needs no network. A folder stands for the run
    files in it.

    Exit codes: 0 done; 2 the call was wrong, or a file is no run; 4 the page could not be written.
    """
    gc.disable()
    read = [page.Named(results.printable(path.name), results.read(path)) for path in run_files(runs)]
    text = page.of_runs(read, chapters({row.op for named in read for row in named.run.rows}, floor), program_of)
    with results.written_whole(Path(output)) as half:
        half.write_text(text, encoding="utf-8")
    print(f"{len(read)} runs, {sum(len(named.run.rows) for named in read)} rows: {output}")
    return CONFORMING


def run_files(names: Iterable[str]) -> Iterator[Path]:
    for path in map(Path, names):
        found = (
            sorted(p for p in path.iterdir() if p.name.endswith((".jsonl", ".jsonl.gz"))) if path.is_dir() else [path]
        )
        if not found:
            raise GradparityError(f"{path} has no run file (.jsonl, .jsonl.gz)")
        yield from found


def chapters(names: Container[str], floor: bool) -> list[page.Chapter]:
    """What this suite knows of these operations, whatever a run found."""
    ops = [op for name, op in OPS.items() if name in names]
    if not ops:
        return []
    where = [(op.name, dtype, direction) for op in ops for dtype in FORMATS for direction in COMPARED if floor]
    (floors,) = gathered(len(where), (mutation.floor(*place) for place in where)) if floor else [[]]
    return [portability.chapter(ops), kill_matrix.chapter(floors)]


def program_of(row: Result, seed: int) -> str:
    """What shows a row of somebody's file, made of its identity; nothing where this suite has no such row."""
    try:
        item, case, check = catalogue.find(row.id, seed)
        own = replace(blank(item.op, item.implementation, item.adapter, item.dtype), case=case.name, check=check)
        return program(item.op, item.implementation, item.adapter, case, replace(own, at=row.at), seed)
    except GradparityError:
        return ""


@cli.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@click.option("-o", "--output", required=True, metavar="PATH", help="the result file (.jsonl, .jsonl.gz)")
def merge(runs: tuple[str, ...], output: str) -> int:
    """Join the shards of a run, its process profiles, or the frameworks of one machine, into one run file.

    Exit codes: 0 done; 2 they do not belong together (two versions of one framework, other inputs, another
    environment, a row that is there twice and differs); 4 one of them is incomplete, and so is what was written.
    """
    gc.disable()  # rows refer to nothing that refers to them: it would only look at them again and again
    whole = merging.merged([(path, results.read(path)) for path in map(Path, runs)])
    with results.written_whole(Path(output)) as half, results.Writer(half) as writer:
        writer.line(whole.header)
        writer.rows(whole.rows)
        writer.close(whole.footer["seconds"], whole.complete)
    print(f"{len(runs)} runs, {len(whole.rows)} rows: {output}")
    return CONFORMING if whole.complete else INCOMPLETE


@cli.command()
@click.argument("baseline")
@click.argument("candidate")
@click.option("--policy", "policy_file", default="", metavar="PATH", help="a TOML file: what counts, and waivers")
@click.option("--across-environments", is_flag=True, help="compare though machine, threads, flags or suite differ")
@click.option("--format", "form", type=click.Choice(("text", *gate_report.FORMATS, "html")), default="text",
              help="a table; JSON; Markdown of at most 1 MiB; JUnit XML; a page for a browser")  # fmt: skip
def gate(baseline: str, candidate: str, policy_file: str, across_environments: bool, form: str) -> int:
    """Say what is worse in the run CANDIDATE than in the run BASELINE, and what is better.

    Exit codes: 0 nothing regressed; 1 something did; 2 the call was wrong, or a file is no run; 3 other inputs or
    another environment, so there is nothing to compare; 4 a run is incomplete.
    """
    gc.disable()
    policy = policies.read(Path(policy_file)) if policy_file else policies.Policy()
    a, b = Path(baseline), Path(candidate)
    known: results.Known = {}
    was = results.read(a, known)
    now = was if b.exists() and a.samefile(b) else results.read(b, known, fill=False)
    known.clear()
    found = gating.gate(was, now, policy, across_environments)
    names = (results.printable(baseline), results.printable(candidate))
    if form == "text":
        Console(highlight=False).print(gate_report.text(found, names))
    elif form == "html":
        sys.stdout.buffer.write(page.of_gate(found, names, program_of).encode())
    else:
        for line in gate_report.FORMATS[form](found, names):
            print(line)
    return found.code


@cli.command()
@click.argument("run", metavar="RUN")
@click.option("--known-failures", "file", required=True, metavar="PATH", help="the TOML file to rewrite, or a new one")
@click.option("--reason", default="", metavar="TEXT", help="why what is new fails")
def accept(run: str, file: str, reason: str) -> int:
    """Enter what fails in RUN into a known-failures file, take out what passes, and say each change.

    Exit codes: 0 done; 1 something is left to do: a reason to be written (run refuses the file until then); 2 the call
    was wrong; 4 the run is incomplete, and nothing was written.
    """
    found, path = results.read(Path(run)), Path(file)
    if not found.complete:
        refuse(f"{run} is incomplete: nothing is known of the rows that it lacks", INCOMPLETE)
    text = toml.text_of(path, "known failures") if path.exists() else ""
    accepted = accepting.accept(found, text, path, reason)
    if accepted.done:
        accepting.write(accepted.text, path)
    for line in [
        *(accepted.done or [f"{path}: nothing to change"]),
        *(f"LEFT TO DO: {line}" for line in accepted.left),
    ]:
        print(results.printable(line))
    return NOT_CONFORMING if accepted.left else CONFORMING


FORMS: dict[str, Callable[..., Iterable[Any]]] = {
    "text": lambda cells, wider, floors: kill_matrix.text(cells, wider, floors, Console().width),
    "lines": lambda cells, wider, floors: cells,
    "markdown": kill_matrix.markdown,
}


@cli.command()
@click.option("--op", multiple=True, metavar="NAME", help="mutants of this operation only")
@click.option("--dtype", multiple=True, metavar="NAME", help="in this dtype only")
@click.option("--select", default="*", metavar="GLOB", help="mutants only whose name, op/defect, matches")
@click.option("--format", "form", type=click.Choice(tuple(FORMS)), default="text",
              help="a table; a line for each mutant, dtype and direction; Markdown")  # fmt: skip
def mutants(op: tuple[str, ...], dtype: tuple[str, ...], select: str, form: str) -> int:
    """Show that the checks catch wrong implementations: the kill matrix, and the detection floor.

    Exit codes: 0 every mutant dies, or lives by a proof; 1 one does not do as declared; 2 the call was wrong.
    """
    dtypes, ops = chosen(dtype, list(FORMATS), "dtype"), chosen(op, list(OPS), "op")
    some = [m for m in MUTANTS if m.op in ops and fnmatchcase(m.id, select)]
    if not some:
        raise GradparityError(f"nothing selected: no mutant of {', '.join(ops)} matches {select!r}")
    fused = [name for name in dtypes if FORMATS[name].bits < 24]
    whole = [(name, d, direction) for name in ops for d in dtypes for direction in COMPARED if select == "*"]
    cells, wider, floors = gathered(
        sum(len(m.directions) for m in some) * len(dtypes + fused) + len(whole),
        mutation.matrix(some, dtypes),
        mutation.matrix(some, fused, "B", counted=True),
        (mutation.floor(*place) for place in whole),
    )
    for line in FORMS[form](cells, wider, floors):
        print(line)
    return CONFORMING if all(cell.as_declared for cell in cells) else NOT_CONFORMING


def gathered(planned: int, *sources: Iterator[Any]) -> list[list[Any]]:
    """What each of them gives, as a list; the progress goes to stderr."""
    found: list[list[Any]] = [[] for _ in sources]

    def steps() -> Iterator[int]:
        for into, source in zip(found, sources, strict=True):
            for one in source:
                into.append(one)
                yield 1

    runner.show_progress(steps(), planned, "cells", Console(stderr=True))
    return found


def chosen(names: tuple[str, ...], valid: list[str], what: str) -> list[str]:
    """These names, which must be valid, in the order of the valid ones; all where none is given."""
    given = plugin.split(list(names))
    for name in given:
        if name not in valid:
            raise GradparityError(nearest(name, valid, what))
    return [name for name in valid if name in given or not given]
