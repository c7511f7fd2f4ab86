"""Certified numbers: what is true at frozen inputs, enclosed by ball arithmetic once and stored as data.

A file holds the certificates of one operation. Each number t in it is stored as (hi + lo) 2**k, |hi| between 1/2 and 1
or 0, within 2**-100 |t| of t, or within 2**-16600 where |t| is less than that: smaller than any long double.
Inputs are exact float64 numbers; where dtype says float32 they are float32 numbers too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from gradparity.op import Array, Arrays, GradparityError

NUMBER = np.dtype([("hi", "<f8"), ("lo", "<f8"), ("k", "<i2")])


@dataclass(frozen=True, eq=False)
class Certificate:
    """One frozen case: the arrays and parameters of an operation, the cotangent g of its first output, and by the name
    of its check (value, value.<output>, vjp.<argument>) what is true there, arrays of NUMBER."""

    name: str
    dtype: str
    params: Mapping[str, Any]
    arrays: Arrays
    g: Array
    truth: Mapping[str, Array]

    def frozen(self) -> Arrays:
        """Every array, by the name it has in a file."""
        return {**self.arrays, "g": self.g, **self.truth}


@dataclass(frozen=True, eq=False)
class Certificates:
    """The certificates of one operation. about: how they were made (precision in bits, the largest relative radius,
    versions); inputs: a digest of everything but the certified numbers."""

    op: str
    about: Mapping[str, Any]
    inputs: str
    cases: tuple[Certificate, ...]


def rounded(truth: Array, kind: Any) -> Array:
    """Certified numbers in a NumPy float type."""
    return np.ldexp(truth["hi"].astype(kind) + truth["lo"].astype(kind), truth["k"])


def gap(got: Array, truth: Array) -> Array:
    """|got - truth|, in long double. Where they agree to half of the digits of got, subtracting hi is exact."""
    scaled = np.ldexp(got.astype(np.longdouble), -truth["k"].astype(np.int32))
    return np.ldexp(np.abs(scaled - truth["hi"] - truth["lo"]), truth["k"])


def save(path: Path, op: str, about: Mapping[str, Any], cases: Sequence[Certificate]) -> None:
    """One array for each name, the cases' own flattened one after the other, and a header that says what is whose."""
    heads = [{"name": c.name, "dtype": c.dtype, "params": dict(c.params),
              "shapes": {k: list(a.shape) for k, a in c.frozen().items()}} for c in cases]  # fmt: skip
    names = sorted({name for head in heads for name in head["shapes"]})
    flat: Arrays = {k: np.concatenate([c.frozen()[k].ravel() for c in cases if k in c.frozen()]) for k in names}
    header = {"op": op, "about": dict(about), "inputs": digest(heads, inputs_of(flat)), "cases": heads}
    header["digest"] = digest(header, flat)
    np.savez_compressed(path, header=np.array(json.dumps(header)), **flat)


def load(path: Path) -> Certificates:
    """Raises GradparityError if the file is missing, is none, or is not as it was made."""
    again = f"make it with python {path.parent / 'make.py'} {path.stem}"
    try:
        flat = dict(np.load(BytesIO(path.read_bytes())))
        header = json.loads(str(flat.pop("header")))
        seal = header.pop("digest")
    except FileNotFoundError:
        raise GradparityError(f"there are no certificates of {path.stem}: {path} is missing; {again}") from None
    except Exception as exception:  # zipfile, zlib, NumPy and json raise a dozen kinds
        raise GradparityError(f"{path} is damaged ({type(exception).__name__}); {again}") from None
    if seal != digest(header, flat) or header["op"] != path.stem:
        raise GradparityError(f"{path} is not as it was made; {again}")
    return Certificates(header["op"], header["about"], header["inputs"], tuple(unpacked(header["cases"], flat)))


def unpacked(heads: Sequence[Mapping[str, Any]], flat: Arrays) -> Iterator[Certificate]:
    ends = dict.fromkeys(flat, 0)
    for head in heads:
        arrays = {}
        for k, shape in head["shapes"].items():
            start, ends[k] = ends[k], ends[k] + int(np.prod(shape))
            arrays[k] = flat[k][start : ends[k]].reshape(shape)
        truth = {k: arrays.pop(k) for k in list(arrays) if flat[k].dtype == NUMBER}
        yield Certificate(head["name"], head["dtype"], head["params"], arrays, arrays.pop("g"), truth)


def inputs_of(flat: Arrays) -> Arrays:
    return {k: a for k, a in flat.items() if a.dtype != NUMBER}


def digest(header: Any, flat: Arrays) -> str:
    """SHA-256 of a header and of the bytes of arrays."""
    sha = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for k in sorted(flat):
        sha.update(k.encode() + flat[k].tobytes())
    return sha.hexdigest()
