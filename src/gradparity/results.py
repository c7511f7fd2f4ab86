"""A run is a file of JSON Lines: a header, a row for each case and check, a footer. No footer: the run was cut.

Rows are written as they come and flushed, so that a killed run keeps what it had. NaN and infinity, which JSON does
not have, are the strings "nan", "inf" and "-inf". A name that ends in .gz is compressed, in one step at the end.
run.schema.json beside this module is the format as a JSON Schema, docs/gate.md describes it.

A file that is read may come from anywhere: it is bounded in size, each value must be of its type, what does not print
is taken out of every text, and the footer's digest must be that of the rows.
"""

from __future__ import annotations

import datetime
import gzip
import hashlib
import io
import json
import math
import os
import re
import shutil
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, dataclass, field, fields
from importlib.metadata import version
from operator import itemgetter
from pathlib import Path
from sys import intern
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import IO, Any

import numpy as np

from gradparity.op import STATUSES, GradparityError, Result, truth_of_float64

SCHEMA = 3
LONGEST_LINE = 2**20  # bytes
MOST_BYTES = 2**30  # of a file, decompressed: some three million rows
GZIP_LEVEL = 6  # of nine: twice as fast as the highest, and 3 % larger

DEFAULTS = {f.name: f.default for f in fields(Result)}
EMPTY = {name: "" if default is MISSING else default for name, default in DEFAULTS.items()}
NUMBERS = ("error", "ulp", "unbounded", "seconds")
TEXTS = tuple(name for name in DEFAULTS if name not in (*NUMBERS, "at"))
FEW = tuple(name for name in TEXTS if name not in ("got", "want", "message", "bits"))  # texts that many rows share
fields_of, texts_of, few_of = itemgetter(*DEFAULTS), itemgetter(*TEXTS), itemgetter(*FEW)

HEADER = {
    "suite": str, "started": str, "seed": int, "selection": list, "planned": int, "subject": dict, "truth": dict,
    "environment": dict, "inputs": dict,
}  # fmt: skip
FOOTER = {"rows": int, "digest": str, "counts": dict, "seconds": dict, "complete": bool}


# --- writing


def header(
    selection: Mapping[str, Any], subject: Mapping[str, str], rows: int, *, seed: int = 0,
    inputs: Mapping[str, str] | None = None, environment: Mapping[str, Any] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """What the run is about: `subject` moves with the frameworks, `environment` is where they ran, `inputs` are digests
    by operation and dtype, and `truth` is what float64 was judged against there; what is shorter is judged against
    float64. A run that was merged has several selections."""
    return {
        "kind": "header",
        "schema": SCHEMA,
        "suite": version("gradparity"),
        "started": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "seed": seed,
        "selection": [dict(selection)],
        "planned": rows,
        "subject": {**subject, "numpy": np.__version__, "ml_dtypes": version("ml_dtypes")},
        "truth": {"float64": truth_of_float64()},
        "environment": dict(environment or {}),
        "inputs": dict(inputs or {}),
    }


def to_json(result: Result) -> dict[str, Any]:
    """A row without what is as by default."""
    row = {name: value for name, default in DEFAULTS.items() if (value := getattr(result, name)) != default}
    return {"id": result.id} | row | {k: repr(row[k]) for k in NUMBERS if k in row and not math.isfinite(row[k])}


ENCODER = json.JSONEncoder(ensure_ascii=False)


def encoded(value: Mapping[str, Any]) -> bytes:
    """A line. Half of a surrogate pair, which UTF-8 does not have, is escaped."""
    return ENCODER.encode(value).encode(errors="backslashreplace") + b"\n"


class Writer:
    """Writes a run. Opened before the run starts, so that a path that cannot be written is known then."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.plain = path.with_name(f"{path.name}.part") if path.suffix == ".gz" else path
        self.counts: Counter[str] = Counter()
        self.digest = hashlib.sha256()
        try:
            self.file: IO[bytes] = self.plain.open("wb")
        except OSError as error:
            raise GradparityError(cannot_write(path, str(error.strerror))) from None

    def line(self, value: Mapping[str, Any]) -> None:
        with unwritable(self.path):
            self.file.write(encoded(value))

    def rows(self, results: Iterable[Result]) -> None:
        with unwritable(self.path):
            for result in results:
                line = encoded(to_json(result))
                self.file.write(line)
                self.counts[result.status] += 1
                self.digest.update(line)
            self.file.flush()

    def flush(self) -> None:
        with unwritable(self.path):
            self.file.flush()

    def close(self, seconds: Mapping[str, float], complete: bool) -> None:
        self.line({"kind": "footer", "rows": self.counts.total(), "digest": self.digest.hexdigest(),
                   "counts": dict(self.counts), "seconds": dict(seconds), "complete": complete})  # fmt: skip
        with unwritable(self.path):
            self.file.close()
        if self.plain != self.path:
            with written_whole(self.path) as half:
                compress(self.plain, half)
            self.plain.unlink()

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.file.closed:
            with unwritable(self.path):
                self.file.close()


def added(some: Mapping[str, float], more: Mapping[str, float]) -> dict[str, float]:
    """Sums by name."""
    return {name: some.get(name, 0) + more.get(name, 0) for name in {**some, **more}}


class UnwritableError(GradparityError):
    """A file could not be finished, as when a disk is full: no fault of the call."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(cannot_write(path, why))
        self.why = why


def cannot_write(path: Path, why: str) -> str:
    return f"cannot write {path}: {why}"


@contextmanager
def unwritable(path: Path) -> Iterator[None]:
    """Whatever cannot be written inside is said of this path, also a file that is to take its place."""
    try:
        yield
    except OSError as error:
        raise UnwritableError(path, str(error.strerror)) from None
    except UnwritableError as error:
        raise UnwritableError(path, error.why) from None


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A path of the same name to write to, in a folder beside; what is there takes the path's place in one step when
    all is written, and else nothing does."""
    try:
        folder = TemporaryDirectory(dir=path.parent, prefix=".gradparity-")
    except OSError as error:
        raise GradparityError(cannot_write(path, str(error.strerror))) from None
    with folder as name, unwritable(path):
        yield Path(name, path.name)
        os.replace(Path(name, path.name), path)


def compress(path: Path, to: Path) -> None:
    with path.open("rb") as source, gzip.open(to, "wb", GZIP_LEVEL) as target:
        shutil.copyfileobj(source, target, 2**20)


# --- reading


@dataclass
class Run:
    """A run as it was read."""

    header: dict[str, Any] = field(default_factory=dict)
    rows: list[Result] = field(default_factory=list)
    footer: dict[str, Any] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        return bool(self.footer.get("complete"))

    def take(self, line: str | bytes) -> None:
        """One line of the file. Raises ValueError or TypeError for what is none."""
        text = line if isinstance(line, str) else line.decode()
        value, end = DECODER.raw_decode(text)
        if text[end:].strip():
            raise ValueError("more than one value")
        if not isinstance(value, dict):
            raise TypeError(f"a line is an object, not {type(value).__name__}")
        kind = value.get("kind")
        if self.footer or bool(self.header) == (kind == "header"):
            raise ValueError("the header comes first, and once, and nothing follows the footer")
        if kind == "header":
            self.header = as_header(value)
        elif kind == "footer":
            self.footer = cleaned(of_types(value, FOOTER))
        else:
            self.rows.append(from_json(value))


def refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


DECODER = json.JSONDecoder(parse_constant=refuse_constant)


def from_json(row: Mapping[str, Any]) -> Result:
    """The row that was written. What this gradparity does not know is left out."""
    values = {**EMPTY, **row}
    try:
        prints = "".join(texts_of(values)).isprintable()
    except TypeError:
        name = next(name for name in TEXTS if type(values[name]) is not str)
        raise TypeError(f"{name} is a text, not {values[name]!r:.40}") from None
    if not prints:
        values |= {name: printable(values[name]) for name in TEXTS}
    values.update(zip(FEW, map(intern, few_of(values)), strict=True))
    for name in NUMBERS:
        if type(values[name]) is not float:
            values[name] = number(values[name], name)
    values["at"] = index(values["at"])
    result = Result(*fields_of(values))
    if result.status not in STATUSES or not result.framework or row.get("id") != result.id:
        raise ValueError(f"no row has the status {result.status!r} and the id {row.get('id')!r:.400}")
    return result


def printable(value: str) -> str:
    """Without what a terminal or a page could take for more than text: control characters and what is invisible."""
    return "".join(c if c.isprintable() else " " if c.isspace() else "" for c in value)


def number(value: Any, name: str) -> float:
    if type(value) in (int, float) or value in ("nan", "inf", "-inf"):
        return float(value)
    raise TypeError(f"{name} is a number, not {value!r:.40}")


def index(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list | tuple) or any(type(k) is not int for k in value):
        raise TypeError(f"at is a list of integers, not {value!r:.40}")
    return tuple(value)


def as_header(value: Mapping[str, Any]) -> dict[str, Any]:
    """Raises GradparityError for another schema than ours."""
    schema = value.get("schema")
    if type(schema) is not int or schema != SCHEMA:
        older = isinstance(schema, int) and schema < SCHEMA
        words = "of an older gradparity: make the run again" if older else "of a newer gradparity, or no run"
        raise GradparityError(f"the header is of schema {schema!r:.40} where this one reads {SCHEMA}, {words}")
    found: dict[str, Any] = cleaned(of_types(value, HEADER))
    processes = of_types(found["environment"].get("variables", {}), {})
    for texts in (found["subject"], found["truth"], found["inputs"], *processes.values()):
        of_types(texts, dict.fromkeys(texts, str))
    return found


def of_types(value: Mapping[str, Any], types: Mapping[str, type]) -> Mapping[str, Any]:
    """The same mapping, if each of these names is there, of its type."""
    for name, kind in types.items():
        if type(value.get(name)) is not kind:
            raise TypeError(f"{name} should be {kind.__name__}, not {value.get(name)!r:.40}")
    return value


def cleaned(value: Any) -> Any:
    """Every text in it made printable."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, Mapping):
        return {printable(k): cleaned(v) for k, v in value.items()}
    return [cleaned(v) for v in value] if isinstance(value, list) else value


# Rows by their lines, without the time at the end: where all else has the same bytes, it is the same row.
Known = dict[bytes, Result]
TIME = re.compile(rb', "seconds": [-+.e0-9]{1,24}\}\n\Z')
LONGEST_TIME = 40


def take_known(run: Run, line: bytes, known: Known, fill: bool) -> None:
    """Run.take, but a row that is known already is not made again: it is that one."""
    time = TIME.search(line, len(line) - LONGEST_TIME)
    key, before = line[: time.start()] if time else line, len(run.rows)
    if run.header and not run.footer and key in known:
        run.rows.append(known[key])
        return
    run.take(line)
    if fill and len(run.rows) > before:
        known[key] = run.rows[-1]


def read(path: Path, known: Known | None = None, fill: bool = True) -> Run:
    """A run from its file. Raises GradparityError if it is none, or not what was written.

    known: given for two runs, filled by the first, it makes the rows that they share the same ones, which saves time
    and memory; the times in them are the first run's.
    """
    run, digest = Run(), hashlib.sha256()
    for number, line in enumerate(lines_of(path), 1):
        whole = line.endswith(b"\n")
        try:
            run.take(line) if known is None else take_known(run, line, known, fill)
        except GradparityError as error:
            raise GradparityError(f"{path}: {error}") from None
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            if not whole and run.rows:
                break  # cut while it was being written: there is no footer either
            raise GradparityError(f"{path}, line {number}: not a row of a run ({error})") from None
        if run.rows and not run.footer:
            digest.update(line)
    if not run.header:
        raise GradparityError(f"{path} has no header: it is no run")
    if run.footer and (run.footer["rows"], run.footer["digest"]) != (len(run.rows), digest.hexdigest()):
        raise GradparityError(f"{path}: the rows are not those that the footer counts: it was changed or damaged")
    refuse_twice(run.rows, path)
    return run


def refuse_twice(rows: Sequence[Result], path: Path) -> None:
    seen: set[str] = set()
    for row in rows:
        if row.id in seen:
            raise GradparityError(f"{path}: the row {row.id} is there twice")
        seen.add(row.id)


def lines_of(path: Path) -> Iterator[bytes]:
    """Line by line, none longer and not more of them than a run can have, whatever a compressed file may hold."""
    size = 0
    try:
        with opened(path) as file:
            while line := file.readline(LONGEST_LINE + 1):
                size += len(line)
                if len(line) > LONGEST_LINE:
                    raise GradparityError(f"{path}: a line is longer than {LONGEST_LINE:,} bytes: it is no run")
                if size > MOST_BYTES:
                    raise GradparityError(f"{path}: longer than {MOST_BYTES:,} bytes")
                yield line
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise GradparityError(f"{path} is damaged: {error}") from None
    except OSError as error:
        raise GradparityError(f"cannot read {path}: {error.strerror or error}") from None


def opened(path: Path) -> IO[bytes]:
    return io.BufferedReader(gzip.open(path), 2**20) if path.suffix == ".gz" else path.open("rb", 2**20)
