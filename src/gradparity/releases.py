"""Which releases of the frameworks there are to run on, and what each needs: releases.toml, and the package index."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version

from gradparity.op import GradparityError, nearest
from gradparity.throwaway import uv
from gradparity.toml import parsed


@dataclass(frozen=True)
class Package:
    """A framework as a package of the index.

    listed: version -> what it needs beside it
    """

    name: str
    framework: str
    listed: dict[Version, tuple[str, ...]]

    def requirements(self, version: Version) -> list[str]:
        """The release and what it needs: as the newest listed one that is not newer, or the oldest."""
        below = [v for v in self.listed if v <= version] or [min(self.listed)]
        return [f"{self.name}=={version}", *(words.format(version) for words in self.listed[max(below)])]


def packages() -> dict[str, Package]:
    table = files("gradparity").joinpath("releases.toml")
    tables = parsed(table.read_text(encoding="utf-8"), Path(str(table)))
    return {name: Package(name, table["framework"], listed(table["releases"])) for name, table in tables.items()}


def listed(releases: list[dict[str, Any]]) -> dict[Version, tuple[str, ...]]:
    return {Version(release["version"]): tuple(release.get("with", ())) for release in releases}


def package(name: str) -> Package:
    """By the name of the package or of the framework. Raises GradparityError for a name that is neither."""
    found = packages()
    for one in found.values():
        if name in (one.name, one.framework):
            return one
    raise GradparityError(nearest(name, list(found), "package"))


def version(text: str) -> Version:
    try:
        return Version(text)
    except InvalidVersion:
        raise GradparityError(f"{text!r} is no version such as 2.13.0 (PEP 440)") from None


def between(name: str, first: Version, last: Version) -> list[Version]:
    """The releases of the index from the first to the last, oldest first, pre-releases and yanked ones left out.
    Raises GradparityError if one of the two is not there."""
    there = sorted({Version(v.public) for v in released(name)})
    for end in (first, last):
        if Version(end.public) not in there:
            near = ", ".join(map(str, sorted(there, key=lambda v: abs(there.index(v) - insertion(there, end)))[:4]))
            raise GradparityError(f"{name} {end} is not in the package index for this Python; near it are {near}")
    return [v for v in there if first <= v <= last]


def insertion(there: list[Version], version: Version) -> int:
    return sum(v < version for v in there)


def released(name: str) -> list[Version]:
    """What pip finds, which knows of indexes, mirrors and folders as it is configured."""
    pip = [sys.executable, "-m", "pip"] if importlib.util.find_spec("pip") else [uv() or "uv", "tool", "run", "pip"]
    try:
        found = subprocess.run([*pip, "index", "versions", name], capture_output=True, text=True, check=False)
    except OSError as error:
        raise GradparityError(f"neither pip nor uv is here to ask for the releases of {name}: {error}") from None
    words = re.search(r"^Available versions: (.*)$", found.stdout, re.MULTILINE)
    if not words:
        why = (found.stderr.strip().splitlines() or ["no releases"])[-1]
        raise GradparityError(f"the package index does not say which releases of {name} there are: {why}")
    return [Version(text) for text in words[1].split(", ")]
