"""Virtual environments with one release each and this very gradparity, kept in a folder for the next time. Made by uv
where it is installed, else by venv and pip."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import distributions, version
from importlib.resources import files
from pathlib import Path
from urllib.parse import unquote, urlparse

from gradparity.op import GradparityError

READY = "gradparity.ready"  # in a finished environment: the digest of the gradparity that is in it
LONGEST_RUN = 3600.0  # seconds
JUDGES = ("gradparity", "gradparity.reference", "gradparity.adapters", "gradparity.tests")
MOST_LINES, LONGEST_WORDS = 12, 400  # of what a command that fails says


class UnusableError(GradparityError):
    """A release that cannot be installed or run."""


@dataclass(frozen=True)
class Environments:
    """folder: where they are kept, and their runs"""

    folder: Path

    @cached_property
    def ours(self) -> str:
        """What to install: a wheel of the checkout that is running, or the release by its name."""
        source = checkout()
        if source is None:
            return f"gradparity=={version('gradparity')}"
        target = self.folder / "wheels" / suite_digest()
        if not (found := list(target.glob("*.whl"))):
            command([*wheel(), str(target), str(source)])
            found = list(target.glob("*.whl"))
        return str(found[0])

    def python(self, name: str, requirements: Sequence[str]) -> Path:
        """The Python of an environment of this name. Raises UnusableError if it cannot be made."""
        place = self.folder / "environments" / f"{name}-py{sys.version_info.major}.{sys.version_info.minor}"
        ready, python = place / READY, place / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        if not ready.exists():
            shutil.rmtree(place, ignore_errors=True)
            command([*venv(), str(place)])
            command([*install(python), *requirements, self.ours])
        elif ready.read_text() != suite_digest():
            command([*install(python), *again(), self.ours])
        ready.write_text(suite_digest())
        return python


@cache
def uv() -> str | None:
    """Where uv is, if it is there: as a package beside us, or on the path."""
    if importlib.util.find_spec("uv"):
        return str(importlib.import_module("uv").find_uv_bin())
    return shutil.which("uv")


def wheel() -> list[str]:
    if program := uv():
        return [program, "build", "--quiet", "--wheel", "--out-dir"]
    return [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir"]


def venv() -> list[str]:
    return (
        [program, "venv", "--quiet", "--python", sys.executable]
        if (program := uv())
        else [sys.executable, "-m", "venv"]
    )


def install(python: Path) -> list[str]:
    if program := uv():
        return [program, "pip", "install", "--quiet", "--compile-bytecode", "--python", str(python)]
    return [str(python), "-m", "pip", "install", "--quiet"]


def again() -> list[str]:
    """The options that put another build of the same version in its place."""
    return ["--no-deps", "--reinstall" if uv() else "--force-reinstall"]


def command(arguments: Sequence[str], accepted: Sequence[int] = (0,), seconds: float = LONGEST_RUN) -> str:
    """What it prints. Raises UnusableError, with its last words, if it fails or takes too long."""
    try:
        done = subprocess.run(
            arguments, env=environment(), capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        raise UnusableError(f"{Path(arguments[0]).name} took more than {seconds:.0f} s") from None
    if done.returncode not in accepted:
        lines = (done.stderr or done.stdout).split("\n")
        words = " ".join(" ".join(lines[-MOST_LINES:]).split()) or f"exit code {done.returncode}"
        raise UnusableError(words if len(words) <= LONGEST_WORDS else "... " + words[-LONGEST_WORDS:])
    return done.stdout


def environment() -> Mapping[str, str]:
    """Without what belongs to this process's own environment; uv looks where pip would."""
    own = ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE")
    found = {k: v for k, v in os.environ.items() if k not in own}
    for theirs, ours in (("UV_FIND_LINKS", "PIP_FIND_LINKS"), ("UV_DEFAULT_INDEX", "PIP_INDEX_URL")):
        if ours in found:
            found.setdefault(theirs, found[ours])
    return found


def checkout() -> Path | None:
    """The folder that gradparity was installed from, if it is still there. In that folder an egg-info, which has no
    URL, may come before what was installed."""
    texts = (found.read_text("direct_url.json") for found in distributions(name="gradparity"))
    paths = (Path(unquote(urlparse(json.loads(text)["url"]).path)) for text in texts if text)
    return next((path for path in paths if path.is_dir()), None)


def suite_digest() -> str:
    """Of everything that judges: the sources and data of this gradparity."""
    digest = hashlib.sha256()
    folders = [files(name) for name in JUDGES]
    for path in sorted((p for folder in folders for p in folder.iterdir() if p.is_file()), key=str):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]
