"""How the headers of two runs differ: in what was judged, in where it ran, and in what it was given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Header = Mapping[str, Any]
Differences = dict[str, tuple[str, str]]  # by name: as it is in the one, and in the other

ABSENT = "-"


def of_subject(a: Header, b: Header) -> Differences:
    """The versions of what is under test, and of what moves with it."""
    return unlike(a["subject"], b["subject"])


def of_environment(a: Header, b: Header) -> Differences:
    """Whatever else moves results: the suite that judged, what it judged float64 against, machine, threads, flags.
    Variables are those of a process, and are compared where the same framework and mode ran in both."""
    return unlike(facts(a, b), facts(b, a))


def facts(header: Header, other: Header) -> dict[str, str]:
    common = variables(header).keys() & variables(other).keys()
    found = {"gradparity": header["suite"], **{f"truth of {k}": v for k, v in header["truth"].items()}}
    found |= {k: str(v) for k, v in header["environment"].items() if k != "variables"}
    return found | {f"{k} ({name})": v for name in sorted(common) for k, v in variables(header)[name].items()}


def variables(header: Header) -> dict[str, dict[str, str]]:
    """By adapter."""
    return dict(header["environment"].get("variables", {}))


def of_inputs(a: Header, b: Header) -> list[str]:
    """The cases, op/dtype/case, that both have with other inputs: of one that only one has, rows are new or gone."""
    return sorted(k for k in a["inputs"].keys() & b["inputs"].keys() if a["inputs"][k] != b["inputs"][k])


def unlike(a: Mapping[str, str], b: Mapping[str, str]) -> Differences:
    found = {k: (a.get(k, ABSENT), b.get(k, ABSENT)) for k in {**a, **b}}
    return {k: (one, other) for k, (one, other) in found.items() if one != other}
