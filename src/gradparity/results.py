"""A run is a file of JSON Lines: a header, a row for each case and check, a footer. No footer: the run was cut.

Rows are written as they come and flushed, so that a killed run keeps what it had. NaN and infinity, which JSON does
not have, are the strings "nan", "inf" and "-inf". A name that ends in .gz is compressed, in one step at the end.
"""

from __future__ import annotations

import datetime
import gzip
import json
import math
import os
import platform
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np

from gradparity.op import GradparityError, Result, truth_of_float64

SCHEMA = 1
NUMBERS = ("error", "ulp")


def header(selection: Mapping[str, Any], frameworks: Mapping[str, str], rows: int) -> dict[str, Any]:
    """What the run is about: `subject` moves with the frameworks, `environment` is where they ran, and `truth` is what
    float64 was judged against there; what is shorter is judged against float64."""
    return {
        "kind": "header",
        "schema": SCHEMA,
        "suite": version("gradparity"),
        "started": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "selection": dict(selection),
        "planned": rows,
        "subject": {**frameworks, "numpy": np.__version__, "ml_dtypes": version("ml_dtypes")},
        "truth": {"float64": truth_of_float64()},
        "environment": {
            "python": platform.python_version(),
            "os": platform.platform(),
            "machine": platform.machine(),
            "long_double_bits": int(np.finfo(np.longdouble).nmant) + 1,
        },
    }


def footer(counts: Mapping[str, int], seconds: Mapping[str, float], complete: bool) -> dict[str, Any]:
    return {"kind": "footer", "rows": sum(counts.values()), "counts": dict(counts), "seconds": dict(seconds),
            "complete": complete}  # fmt: skip


def to_json(result: Result) -> dict[str, Any]:
    """A row without what is empty."""
    row = {k: v for k, v in result.as_dict().items() if v not in ("", ())}
    return row | {k: repr(row[k]) for k in NUMBERS if not math.isfinite(row[k])}


def from_json(row: Mapping[str, Any]) -> Result:
    known = {f.name for f in fields(Result)}
    values = {k: v for k, v in row.items() if k in known}
    values |= {k: float(values[k]) for k in NUMBERS if k in values}
    return Result(**values | {"at": tuple(values.get("at", ()))})


class Writer:
    """Writes a run. Opened before the run starts, so that a path that cannot be written is known then."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.plain = path.with_suffix("") if path.suffix == ".gz" else path
        self.counts: Counter[str] = Counter()
        try:
            self.file: IO[str] = self.plain.open("w", encoding="utf-8")
        except OSError as error:
            raise GradparityError(f"cannot write the result file {path}: {error.strerror}") from None

    def line(self, value: Mapping[str, Any]) -> None:
        self.file.write(json.dumps(value, ensure_ascii=False) + "\n")

    def rows(self, results: Iterable[Result]) -> None:
        for result in results:
            self.counts[result.status] += 1
            self.line(to_json(result))
        self.file.flush()

    def close(self, seconds: Mapping[str, float], complete: bool) -> None:
        self.line(footer(self.counts, seconds, complete))
        self.file.close()
        if self.plain != self.path:
            half = self.path.with_name(self.path.name + ".part")
            with self.plain.open("rb") as source, gzip.open(half, "wb") as target:
                shutil.copyfileobj(source, target)
            os.replace(half, self.path)
            self.plain.unlink()

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.file.closed:
            self.file.close()


@dataclass
class Run:
    """A run as it was read."""

    header: dict[str, Any] = field(default_factory=dict)
    rows: list[Result] = field(default_factory=list)
    footer: dict[str, Any] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        return bool(self.footer.get("complete"))

    def take(self, line: str) -> None:
        """One line of the file."""
        value = json.loads(line)
        if value.get("kind") == "header":
            self.header = value
        elif value.get("kind") == "footer":
            self.footer = value
        else:
            self.rows.append(from_json(value))


def read(path: Path) -> Run:
    """A run from its file. Raises GradparityError if it is none."""
    run = Run()
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                try:
                    run.take(line)
                except (ValueError, TypeError, AttributeError) as error:
                    raise GradparityError(f"{path}, line {number}: not a row of a run ({error})") from None
    except OSError as error:
        raise GradparityError(f"cannot read {path}: {error.strerror or error}") from None
    if run.header.get("schema") != SCHEMA:
        raise GradparityError(f"{path} has no header of schema {SCHEMA}: it is no run, or of another gradparity")
    return run
