"""Several runs made one: the shards of a run, its process profiles, one framework and the next."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gradparity.differences import ABSENT, of_environment, of_inputs, of_subject, variables
from gradparity.op import GradparityError, Result
from gradparity.results import Run, added


def merged(runs: Sequence[tuple[Path, Run]]) -> Run:
    """All rows, by identity; whatever the order of the runs. Raises GradparityError if they do not belong together:
    two versions of one framework, other inputs, another environment, a row that is there twice and is not the same."""
    (first, run), *others = runs
    whole = Run(dict(run.header), [], {"complete": run.complete, "seconds": run.footer.get("seconds", {})})
    rows: dict[str, Result] = {}
    take(rows, run, first)
    for path, more in others:
        join(whole, more, path)
        take(rows, more, path)
    whole.rows = [rows[identity] for identity in sorted(rows)]
    whole.header["planned"] -= sum(len(more.rows) for _, more in runs) - len(rows)
    whole.header["selection"].sort(key=repr)
    whole.footer["complete"] &= not shards_missing(whole.header["selection"])
    return whole


def shards_missing(selections: Iterable[Mapping[str, Any]]) -> bool:
    """Whether there are some of a selection's shards, and not all."""
    there: dict[tuple[str, int], set[int]] = {}
    for selection in selections:
        i, n = selection.get("shard", (0, 1))
        there.setdefault((repr({**selection, "shard": ()}), n), set()).add(i)
    return any(len(found) < n for (_, n), found in there.items())


def take(rows: dict[str, Result], run: Run, path: Path) -> None:
    for row in run.rows:
        known = rows.setdefault(row.id, row)
        if known is not row and timeless(known) != timeless(row):
            raise GradparityError(f"{path}: the row {row.id} is in another run too, and is not the same there")


def timeless(row: Result) -> str:
    """All of a row but its time. (As text: two NaN are the same.)"""
    return repr(replace(row, seconds=0.0))


def join(whole: Run, more: Run, path: Path) -> None:
    """Header and footer of one more run."""
    refuse_unlike(whole, more, path)
    a, b = whole.header, more.header
    whole.header = a | {
        "started": min(a["started"], b["started"]),
        "selection": a["selection"] + [s for s in b["selection"] if s not in a["selection"]],
        "planned": a["planned"] + b["planned"],
        "subject": a["subject"] | b["subject"],
        "inputs": a["inputs"] | b["inputs"],
        "environment": a["environment"] | {"variables": variables(a) | variables(b)},
    }
    whole.footer = {
        "complete": whole.complete and more.complete,
        "seconds": added(whole.footer["seconds"], more.footer.get("seconds", {})),
    }


def refuse_unlike(whole: Run, more: Run, path: Path) -> None:
    a, b = whole.header, more.header
    if a["seed"] != b["seed"]:
        raise GradparityError(f"{path} has the seed {b['seed']} beside {a['seed']}: it is part of another run")
    if other := of_inputs(a, b):
        raise GradparityError(f"{path} has other inputs ({', '.join(other[:3])}): it is part of another run")
    versions = {k: v for k, v in of_subject(a, b).items() if ABSENT not in v}
    for what, found in (("version", versions), ("environment", of_environment(a, b))):
        for name, (one, other_one) in found.items():
            raise GradparityError(f"{path} is of another {what}: {name} {other_one} beside {one}")
