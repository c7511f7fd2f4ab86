"""Everything there is to check: operations, implementations, modes and cases. Known without importing a framework."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase, translate
from functools import cache, cached_property
from importlib.metadata import entry_points

from gradparity.adapter import Adapter, Implementation
from gradparity.builds import version_of
from gradparity.cases import digests_of_inputs
from gradparity.check import check
from gradparity.judge import blank
from gradparity.op import FORMATS, Case, GradparityError, Op, Result, nearest
from gradparity.reference import OPS
from gradparity.tiers import TIERS

DTYPES = tuple(FORMATS)


@cache
def adapters() -> tuple[Adapter, ...]:
    """All adapters: every entry point of the group gradparity.adapters is a tuple of them, ours and anybody's."""
    points = sorted(entry_points(group="gradparity.adapters"), key=lambda point: point.name)
    return tuple(adapter for point in points for adapter in point.load())


def adapter_of(framework: str, mode: str, device: str) -> Adapter:
    """The adapter of this framework, mode and device; the framework's default mode if none is named."""
    own = [a for a in adapters() if a.framework == framework]
    for adapter in own:
        if adapter.device == device and (adapter.mode == mode or (adapter.default and not mode)):
            return adapter
    valid = sorted({f"{a.mode} on {a.device}" for a in own})
    raise GradparityError(nearest(f"{mode or 'eager'} on {device}", valid, f"mode of {framework}"))


# What people ask for and no adapter has: (option, glob) -> why not.
NOT_CHECKED: Mapping[tuple[str, str], str] = {
    ("device", "*"): "they compute on the CPU",
    ("dtype", "float8_*"): "on a CPU only JAX computes in 8 bits, and adds up in them: sums of nine have no bound",
}


def not_checked(what: str, name: str) -> str:
    """One line for what people ask for and no adapter has; "" for anything else."""
    for (option, glob), why in NOT_CHECKED.items():
        if option == what and fnmatchcase(name, glob):
            return f"no adapter has the {what} {name!r}: {why}"
    return ""


@dataclass(frozen=True)
class Selection:
    """What a run is about; an empty tuple means everything that is installed. `select` matches row identities.

    tier: name in gradparity.tiers.TIERS, what is taken where these do not say.
    shard: (i, n), one of n parts, by a hash of op/api/mode/device/dtype/direction, whatever else is selected: what one
    compilation serves stays together, and a row is in the same part in every run of n.
    """

    framework: tuple[str, ...] = ()
    mode: tuple[str, ...] = ()
    device: tuple[str, ...] = ()
    dtype: tuple[str, ...] = ()
    op: tuple[str, ...] = ()
    select: str = ""
    seed: int = 0
    tier: str = "full"
    shard: tuple[int, int] = (0, 1)

    def __post_init__(self) -> None:
        """Raises GradparityError for a name that is not known or a framework that is not installed."""
        valid = {
            "framework": sorted({a.framework for a in adapters()}),
            "mode": sorted({a.mode for a in adapters()}),
            "device": sorted({a.device for a in adapters()}),
            "dtype": list(DTYPES),
            "op": sorted(OPS),
        }
        if self.tier not in TIERS:
            raise GradparityError(nearest(self.tier, list(TIERS), "tier"))
        for what, names in valid.items():
            for name in getattr(self, what):
                if name not in names:
                    raise GradparityError(not_checked(what, name) or nearest(name, names, what))
        for name in self.framework:
            chosen = [a for a in adapters() if a.framework == name and self.takes("mode", a.mode)]
            if chosen and not any(a.installed for a in chosen):
                missing = ",".join(chosen[0].absent)
                raise GradparityError(f'{chosen[0].name} is not installed here: pip install "gradparity[{missing}]"')

    def takes(self, what: str, name: str) -> bool:
        """A name that is chosen, or is in the tier where none is."""
        chosen = getattr(self, what)
        return name in chosen if chosen else TIERS[self.tier].takes(what, name)

    def in_shard(self, item_id: str) -> bool:
        i, n = self.shard
        return zlib.crc32(item_id.encode()) % n == i

    @cached_property
    def pattern(self) -> re.Pattern[str] | None:
        return re.compile(translate(self.select)) if self.select else None

    def matches(self, identity: str) -> bool:
        return self.pattern is None or self.pattern.match(identity) is not None


@cache
def row_checks(op: Op, case: Case, direction: str, dtype: str) -> tuple[str, ...]:
    """Of the operation: every implementation, mode and device has the same."""
    return tuple(op.row_checks(case, direction, dtype))


@dataclass(frozen=True, eq=False)
class Item:
    """What one test judges: all cases of one direction of one implementation, in one mode, device and dtype."""

    op: Op
    implementation: Implementation
    adapter: Adapter
    dtype: str
    direction: str
    selection: Selection

    @property
    def id(self) -> str:
        return f"{self.prefix}/{self.direction}"

    @cached_property
    def prefix(self) -> str:
        adapter = self.adapter
        return "/".join((self.op.name, self.implementation.api, adapter.mode, adapter.device, self.dtype))

    def identities(self, case: Case) -> list[str]:
        """The rows that this case gives, those that are selected."""
        start = f"{self.prefix}/{case.name}/"
        names = [start + check for check in row_checks(self.op, case, self.direction, self.dtype)]
        return [name for name in names if self.selection.matches(name)] if self.selection.select else names

    def looks_at(self, case: Case) -> bool:
        """Whether one of its rows is selected."""
        if self.selection.select:
            return bool(self.identities(case))
        return bool(row_checks(self.op, case, self.direction, self.dtype))

    @cached_property
    def cases(self) -> tuple[Case, ...]:
        tier, adapter = TIERS[self.selection.tier], self.adapter
        taken = tier.cases(self.op, adapter.mode, self.dtype, self.direction, self.selection.seed)
        return tuple(case for case in taken if self.looks_at(case))

    @cached_property
    def rows(self) -> list[str]:
        return [name for case in self.cases for name in self.identities(case)]

    def run(self) -> list[Result]:
        results = check(
            self.op, self.implementation, self.adapter, self.dtype, self.direction, self.cases, self.selection.seed
        )
        return [result for result in results if self.selection.matches(result.id)]

    def unjudged(self, reason: str, words: str) -> list[Result]:
        """A row of status error for everything that this item would have judged, had it ended."""
        a, row = self.adapter, blank(self.op, self.implementation, self.adapter, self.dtype)
        return [
            replace(row, case=case.name, check=name.rpartition("/")[2], status="error", reason=reason,
                    message=f"{name} on {a.framework} {a.version}: {words}")
            for case in self.cases for name in self.identities(case)
        ]  # fmt: skip


def items(selection: Selection, among: Iterable[Adapter] | None = None) -> list[Item]:
    """Every item that is selected and whose framework is installed, by framework, so that a worker which takes
    neighbours imports few, then by operation and dtype, so that modes and functions share a reference. Deterministic:
    xdist compares the lists of its workers."""
    present = [adapter for adapter in (adapters() if among is None else among) if adapter.installed]
    return catalogued(selection, present)


def catalogued(selection: Selection, among: Iterable[Adapter] | None = None) -> list[Item]:
    """Every item that is selected, whether its framework is installed or not."""
    found = [item for item in possible(selection, among) if selection.in_shard(item.id) and item.cases]
    return sorted(found, key=lambda item: (item.adapter.framework, item.op.name, item.dtype, item.id))


def possible(selection: Selection, among: Iterable[Adapter] | None = None) -> Iterator[Item]:
    """The same, whether there are cases for it or not, which takes longer to know."""
    return (
        Item(OPS[implementation.op], implementation, adapter, dtype, direction, selection)
        for adapter in (adapters() if among is None else among)
        if selection.takes("framework", adapter.framework)
        and selection.takes("mode", adapter.mode) and selection.takes("device", adapter.device)
        for implementation in adapter.implementations
        if selection.takes("op", implementation.op)
        for dtype in DTYPES if selection.takes("dtype", dtype)
        for direction in adapter.directions
    )  # fmt: skip


@cache
def everything(among: tuple[Adapter, ...]) -> tuple[Item, ...]:
    """All that there could be, in every tier, whether the frameworks are installed or not."""
    return tuple(possible(Selection(), among))


def rows_from(start: str) -> Iterator[str]:
    """The identities of all rows that there are which begin so."""
    for item in everything(adapters()):
        place = item.prefix + "/"
        if place.startswith(start) or start.startswith(place):
            yield from (row for row in item.rows if row.startswith(start))


def profiles(chosen: Iterable[Adapter]) -> list[tuple[dict[str, str], list[Adapter]]]:
    """Adapters by the environment variables that their process needs: those that do not contradict share one."""
    found: list[tuple[dict[str, str], list[Adapter]]] = []
    for adapter in dict.fromkeys(chosen):
        for variables, members in found:
            if all(variables.get(k, v) == v for k, v in adapter.variables.items()):
                variables.update(adapter.variables)
                members.append(adapter)
                break
        else:
            found.append((adapter.variables, [adapter]))
    return found


def default_profile(chosen: Iterable[Adapter]) -> tuple[dict[str, str], list[Adapter]]:
    """What a bare pytest runs: one process can hold one profile."""
    return next(iter(profiles(chosen)), ({}, []))


def versions(chosen: Iterable[Adapter]) -> Mapping[str, str]:
    """The frameworks of these adapters, and what moves with them, with their versions."""
    found = dict.fromkeys(chosen)
    beside = {name: version_of(name) for adapter in found for name in adapter.companions}
    return {adapter.framework: adapter.version for adapter in found} | beside


def inputs(chosen: Iterable[Item], seed: int = 0) -> dict[str, str]:
    """Digests of the inputs that these items' operations have in these dtypes, whichever cases are selected:
    "op/dtype/case" -> what its arrays, parameters, layout and cotangents hash to."""
    places = sorted({(item.op.name, item.dtype) for item in chosen})
    return {
        f"{name}/{dtype}/{case}": digest
        for name, dtype in places
        for case, digest in digests_of_inputs(OPS[name], dtype, seed).items()
    }


def find(identity: str, seed: int = 0) -> tuple[Item, Case, str]:
    """The item, case and check of a row. Raises GradparityError if there is no such row."""
    op, check = identity.partition("/")[0], identity.rpartition("/")[2]
    for item in catalogued(Selection(op=(op,), seed=seed)) if op in OPS else ():
        if identity.startswith(item.prefix + "/"):
            for case in item.cases:
                if identity in item.identities(case):
                    return item, case, check
    raise GradparityError(f"no row is called {identity!r}: op/api/mode/device/dtype/case/check, see gradparity list")
