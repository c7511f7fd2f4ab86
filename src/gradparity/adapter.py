"""How a framework is spoken to, and what it has to offer. An adapter module is data in these terms and a few verbs."""

from __future__ import annotations

import ctypes
import gc
import importlib
import importlib.util
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, TypeVar

import psutil

from gradparity.arithmetic import Precision
from gradparity.builds import build_of, version_of
from gradparity.environment import cache_folder, threads
from gradparity.misrounded import Baseline
from gradparity.op import (
    COMPARED,
    DERIVED,
    DIRECTIONS,
    Array,
    Arrays,
    Case,
    Convention,
    GradparityError,
    Op,
    Raises,
    UnsupportedError,
    nearest,
    outputs,
)
from gradparity.prelude import INSIDE, prelude_of

Fn = Callable[..., Any]
T = TypeVar("T")

# What most libraries take the number of their threads from.
THREADS = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NPROC"), "{threads}")

# Compiled functions that an adapter remembers: those of one operation, whatever its parameters, and some more.
COMPILED = 64


@dataclass(frozen=True, eq=False)
class Implementation:
    """One function of a framework that claims to compute an operation.

    api: its name as a user types it; where fn is None it is looked up by that name, and a composition of our own,
        which has no such name, is called by its dotted name in the adapter module
    renames: our argument -> theirs
    conventions: the values of the operation's conventions that it takes
    road: name in the operation's roads, where it takes another formula
    precision: "dtype/direction/case" glob -> Precision; what no glob matches is class A, loose
    vjp: its gradient, where the framework has no autograd: vjp(g, y, **arrays, **params) -> {argument: gradient}
    unsupported: "dtype/direction/case" glob -> why there is nothing to check
    edges: for each of the operation's edges what it does there: a value, or "mode/dtype/direction/case" glob -> value;
        Raises(type) is one. What is not declared is not checked
    made_with: where the API is a class, our arguments that it is made with; what is made is called with the others
    """

    op: str
    api: str = ""
    fn: Fn | None = None
    renames: Mapping[str, str] = field(default_factory=dict)
    conventions: Mapping[str, Any] = field(default_factory=dict)
    road: str = ""
    precision: Mapping[str, Precision] = field(default_factory=dict)
    vjp: Fn | None = None
    unsupported: Mapping[str, str] = field(default_factory=dict)
    edges: Mapping[str, Any] = field(default_factory=dict)
    made_with: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if not self.api and self.fn is not None:
            object.__setattr__(self, "api", f"{self.fn.__module__}.{self.fn.__qualname__}")

    def precision_of(self, dtype: str, direction: str, case: str = "") -> Precision:
        """As declared. Of a derivative that is not named in it the wider one of the value and of the gradient, of whose
        steps a framework makes it, one by one: every operation is rounded at least, and no step is the reference's."""
        if direction not in DERIVED:
            return first_match(self.precision, f"{dtype}/{direction}/{case}", Precision())
        own = {glob: p for glob, p in self.precision.items() if f"/{direction}/" in glob}
        widest = max((self.precision_of(dtype, d, case) for d in reversed(COMPARED)), key=lambda p: p.cls)
        step_by_step = replace(widest, cls=max(widest.cls, "B"), sharp=False, finding="")
        return first_match(own, f"{dtype}/{direction}/{case}", step_by_step)

    def by_precision(self, dtype: str, cases: Iterable[Case]) -> Iterator[tuple[Implementation, tuple[Case, ...]]]:
        """The cases that are computed with the same precision, and this implementation as it is for them."""

        def table(case: str) -> dict[str, Precision]:
            return {f"*/{d}/*": self.precision_of(dtype, d, case) for d in (*COMPARED, *DERIVED)}

        piles: dict[str, list[Case]] = {}
        for case in cases:
            piles.setdefault(repr(table(case.name)), []).append(case)
        for members in piles.values():
            own = table(members[0].name)
            yield self if own == table("") else replace(self, precision=own), tuple(members)

    def why_unsupported(self, dtype: str, direction: str, case: str) -> str:
        return first_match(self.unsupported, f"{dtype}/{direction}/{case}", "")

    def declared(self, op: Op) -> dict[str, Any]:
        """A value for each of the operation's conventions, and for the edge that it was settled at."""
        must_be_known(op, self.api, self.conventions, {**op.conventions, **op.edges})
        must_be_known(op, self.api, dict.fromkeys(self.edges), op.edges)
        return {name: c.default for name, c in op.conventions.items()} | dict(self.conventions)

    def due(self, op: Op, case: Case, place: str) -> Any:
        """What it declares for the edge that this case is at: a value, Raises, or None if nothing. place:
        mode/dtype/direction"""
        value = self.edges.get(case.edge)
        found = first_match(value, f"{place}/{case.name}", None) if isinstance(value, Mapping) else value
        if found is not None and not isinstance(found, Raises):
            must_be_known(op, self.api, {case.edge: found}, op.edges)
        return found

    def settled(self, edge: str, value: Any) -> Implementation:
        """As it is at that edge."""
        return replace(self, conventions={**self.conventions, edge: value}) if edge else self


def must_be_known(op: Op, api: str, values: Mapping[str, Any], conventions: Mapping[str, Convention]) -> None:
    """Raises GradparityError for a convention that the operation does not have, or a value that it cannot take."""
    for name, value in values.items():
        if name not in conventions:
            raise GradparityError(nearest(name, sorted(conventions), f"convention of {op.name}"))
        if value is not None and not any(value == v or (value != value and v != v) for v in conventions[name].values):
            valid = ", ".join(map(str, conventions[name].values))
            raise GradparityError(f"{api} declares {name}={value!r}; it can be {valid}")


def first_match(table: Mapping[str, T], name: str, default: T) -> T:
    return next((value for glob, value in table.items() if fnmatchcase(name, glob)), default)


def redeclared(
    implementations: Iterable[Implementation], changes: Mapping[str, Mapping[str, Any]]
) -> tuple[Implementation, ...]:
    """As a mode has them that does some things otherwise: "op/api" glob -> {field: its value; where that is a table,
    what stands before its own}."""

    def changed(i: Implementation) -> Implementation:
        new = first_match(changes, f"{i.op}/{i.api}", {})
        if not new:
            return i
        fields: dict[str, Any] = {k: {**v, **getattr(i, k), **v} if isinstance(v, dict) else v for k, v in new.items()}
        return replace(i, **fields)

    own = tuple(implementations)
    if unused := [glob for glob in changes if not any(fnmatchcase(f"{i.op}/{i.api}", glob) for i in own)]:
        raise GradparityError(f"nothing is called {unused[0]!r}, of which a mode declares something: op/api")
    return tuple(map(changed, own))


# edge -> (what is due there, "op/api" globs) of which the first that matches holds
AtEdges = Mapping[str, tuple[tuple[Any, tuple[str, ...]], ...]]


def at_edges(implementations: Iterable[Implementation], due: AtEdges) -> tuple[Implementation, ...]:
    """With what they declare at these edges too."""
    own = tuple(implementations)
    tables: dict[str, dict[str, Any]] = {edge: {} for edge in due}
    for edge, pairs in due.items():
        for value, globs in pairs:
            tables[edge] |= {glob: value for glob in globs if glob not in tables[edge]}
    for edge, table in tables.items():
        if unused := [glob for glob in table if not any(fnmatchcase(f"{i.op}/{i.api}", glob) for i in own)]:
            raise GradparityError(f"nothing is called {unused[0]!r}, of which {edge} is declared: op/api")

    def settled(i: Implementation) -> Implementation:
        found = {edge: first_match(table, f"{i.op}/{i.api}", None) for edge, table in tables.items()}
        return replace(i, edges={**i.edges, **{edge: value for edge, value in found.items() if value is not None}})

    return tuple(map(settled, own))


@dataclass(frozen=True, eq=False)
class Adapter:
    """A framework in one mode on one device.

    value(fn, arrays): the outputs of fn, NumPy in and out. An adapter that compiles remembers what it compiled for the
        last functions it was given: see Call
    value_and_vjp(fn, arrays, wrt, g): these, and {argument: gradient} for the cotangent g of the first output
    derived: of op.DERIVED those that it has: verb(fn, arrays, argument, tangent, g) gives that of the first output for
        one argument; for the jvp g is None
    forget(): lets go of what the framework compiled
    memory: bytes that a process of it may take: `-n auto` starts no more than fit
    module: the import name that shows whether the framework is there; alias: what users call it
    companions: import names of what it computes with besides, which has versions of its own
    process: environment variables that must be set before the framework is imported; in them {threads} is the number of
        threads that it computes with, and {several} whether they are more than one, true or false
    keeps: those by which it keeps what it compiled for the next run; {jaxlib} in them is the folder for what the
        installed build of the module jaxlib compiles: see cache_folder
    show: how a person writes it, for snippets: see gradparity.snippet
    default: the mode that is meant where none is named;  known_failures: path of its TOML file
    baseline: the recorded shares of misrounded results: see gradparity.misrounded; None where there is no record
    """

    framework: str
    mode: str
    module: str
    implementations: tuple[Implementation, ...]
    value: Callable[[Fn, Arrays], tuple[Array, ...]]
    value_and_vjp: Callable[[Fn, Arrays, tuple[str, ...], Array], tuple[tuple[Array, ...], Arrays]]
    show: Mapping[str, str]
    alias: str = ""
    device: str = "cpu"
    process: Mapping[str, str] = field(default_factory=dict)
    keeps: Mapping[str, str] = field(default_factory=dict)
    forget: Callable[[], None] = lambda: None
    memory: float = 1.5e9  # all three frameworks imported take 0.8 GB, the largest cases the rest
    derived: Mapping[str, Callable[[Fn, Arrays, str, Array, Array | None], Array]] = field(default_factory=dict)
    default: bool = False
    known_failures: str = ""
    baseline: Baseline | None = None
    companions: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.framework} {self.mode}" + ("" if self.device == "cpu" else f" {self.device}")

    @property
    def directions(self) -> tuple[str, ...]:
        """Those that it has."""
        return tuple(d for d in DIRECTIONS if d not in DERIVED or d in self.derived)

    @property
    def on_record(self) -> dict[str, str]:
        """What its process is started with that may change a result."""
        n = threads()
        return {k: v.format(threads=n, several=str(n > 1).lower()) for k, v in self.process.items()}

    @property
    def variables(self) -> dict[str, str]:
        """All that its process is started with. What is kept changes no result, and what the user has set about it
        stands."""
        return {**self.on_record, **{k: os.environ.get(k, v) for k, v in self.kept.items()}}

    @property
    def kept(self) -> dict[str, str]:
        """Those by which it keeps what it compiled, where the user has set none."""
        folder = cache_folder()
        return {k: v.format_map(Folders(folder)) for k, v in self.keeps.items()} if folder else {}

    @property
    def installed(self) -> bool:
        """Whether the framework can be imported, without importing it."""
        return not self.absent

    @property
    def absent(self) -> list[str]:
        """What it needs and is not here."""
        return [name for name in (self.module, *self.companions) if importlib.util.find_spec(name) is None]

    @property
    def version(self) -> str:
        return version_of(self.module)

    @property
    def release(self) -> str:
        """The version without what a build adds to it: 2.13.0 of 2.13.0+cpu."""
        return self.version.partition("+")[0]

    def offers(self, implementation: Implementation) -> bool:
        """Whether it is one of its own, not a function that somebody gave."""
        return (implementation.op, implementation.api) in [(i.op, i.api) for i in self.implementations]

    def call(self, implementation: Implementation, params: Mapping[str, Any], axis: int | None = None) -> Call:
        """The implementation as a function of our argument names, its parameters bound. axis: along which rows of its
        arrays and of its outputs belong together, apart from the others; None where there is none"""
        fn = implementation.fn or resolve(implementation.api, {self.alias: self.module})
        return Call(fn, implementation.renames, params, implementation.made_with, axis)


@dataclass(frozen=True)
class Folders:
    """Those of builds in this one, by the name of the module."""

    root: Path

    def __getitem__(self, module: str) -> Path:
        return self.root / build_of(module)


class Call:
    """A framework's function under our argument names, its parameters bound, and behind a prelude if one is among them.
    A value: what a framework compiled for one serves every equal one, of which each check makes its own."""

    def __init__(
        self, fn: Fn, renames: Mapping[str, str], params: Mapping[str, Any], made_with: tuple[str, ...] | None = None,
        axis: int | None = None,
    ) -> None:  # fmt: skip
        self.fn, self.renames, self.made_with, self.axis = fn, renames, made_with, axis
        self.prelude, self.params = prelude_of(params), {k: v for k, v in params.items() if k != INSIDE}
        self.key = (id(fn), repr(sorted(renames.items())), repr(sorted(params.items())), made_with, axis)

    def __call__(self, **arrays: Any) -> tuple[Any, ...]:
        given = {**self.before(arrays), **self.params}
        if self.made_with is None:
            return outputs(self.fn(**self.named(given)))
        made = self.fn(**self.named({k: given.pop(k) for k in self.made_with}))
        return outputs(made(**self.named(given)))

    def before(self, arrays: Arrays) -> Arrays:
        """What the function is given: the arrays, x as its prelude makes it if there is one."""
        return arrays if self.prelude is None else self.prelude.before(arrays)

    def named(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Under the framework's names."""
        return {self.renames.get(k, k): v for k, v in given.items()}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Call) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


def axis_of_rows(fn: Fn) -> int:
    """Along which fn can be mapped over its rows. Raises UnsupportedError if it has none."""
    axis: int | None = getattr(fn, "axis", None)
    if axis is None:
        raise UnsupportedError("it has no rows that are independent of one another, over which it could be mapped")
    return axis


@dataclass(frozen=True)
class Rule:
    """A gradient written by hand, as a function that an adapter can evaluate; a value like the call."""

    call: Call
    vjp: Fn
    wrt: tuple[str, ...]

    def __call__(self, g: Any, **arrays: Any) -> tuple[Any, ...]:
        call = self.call
        dx = self.vjp(g, call(**arrays)[0], **call.before(arrays), **call.params)
        if call.prelude is not None:
            dx = {**dx, "x": call.prelude.back(dx["x"], arrays)}
        return tuple(dx[k] for k in self.wrt)


ROOM = 0.5e9  # bytes: what is compiled of the largest operations


@dataclass
class Memory:
    """What a process holds. It lets go of what was compiled when it goes on to another framework, and when it holds
    more bytes than `most` and ROOM more than it was left with the last time: frameworks that hold `most` by
    themselves would else compile everything anew for each item (three times the time of a quick tier)."""

    most: float
    left: float = 0.0
    last: Adapter | None = None

    def after(self, adapter: Adapter) -> None:
        """An item of this adapter's was judged."""
        if self.last is not None and self.last.framework != adapter.framework:
            self.let_go(self.last)
        if held() > max(self.most, self.left + ROOM):
            self.let_go(adapter)
        self.last = adapter

    def let_go(self, adapter: Adapter) -> None:
        adapter.forget()
        gc.collect()
        give_memory_back()
        self.left = held()


def held() -> float:
    return float(psutil.Process().memory_info().rss)


def give_memory_back() -> None:
    """What was freed goes to the system: glibc keeps it in the arenas of many threads (1.8 GB of JAX's were 0.3 GB)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    if trim is not None:
        trim(0)


def resolve(api: str, aliases: Mapping[str, str]) -> Fn:
    """The function of this dotted name; its framework is imported by this."""
    root, *path = api.split(".")
    found = importlib.import_module(aliases.get(root, root))
    for depth, name in enumerate(path):
        if not hasattr(found, name):
            inner = ".".join([aliases.get(root, root), *path[: depth + 1]])
            found = importlib.import_module(inner)
        else:
            found = getattr(found, name)
    return found  # type: ignore[return-value]  # the last name is a function, the others are modules
