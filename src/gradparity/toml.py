"""TOML files that a person writes: what is wrong with one is named with its file, line and key."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gradparity.op import GradparityError, nearest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def text_of(path: Path, what: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise GradparityError(f"cannot read the {what} {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise GradparityError(f"{path} is no TOML: {error}") from None


def parsed(text: str, path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise GradparityError(f"{path} is no TOML: {error}") from None


def line(text: str, key: str, table: str = "", entry: int = 1) -> int:
    """The line where a key stands, in the entry-th table of this name (from 1); of the table itself for no key.
    0 if there is no such line, as where somebody wrote it in another way."""
    header = re.compile(rf"\s*\[+\s*{re.escape(table)}\s*\]+" if table else r"(?!)")
    wanted = re.compile(rf"""\s*\[*\s*["']?{re.escape(key)}["']?\s*[]=]""" if key else header.pattern)
    seen = 0 if table else 1
    for number, words in enumerate(text.splitlines(), 1):
        seen += bool(header.match(words))
        if seen == entry and wanted.match(words):
            return number
    return 0


def known_keys(raw: Mapping[str, Any], valid: Sequence[str], source: str, place: Callable[[str], int]) -> None:
    """Raises GradparityError for a key that is not one of these; place(key) is its line."""
    for key in raw:
        if key not in valid:
            raise GradparityError(f"{source}, line {place(key)}: {nearest(key, valid, 'key')}")
