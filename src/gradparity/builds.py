"""Which build of a framework is installed, without importing it."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
from collections.abc import Mapping
from functools import cache

from gradparity.environment import instructions, threads


@cache
def distributions() -> Mapping[str, list[str]]:
    """What provides each module: looked up once, it reads every distribution's list of files."""
    return importlib.metadata.packages_distributions()


def provider(module: str) -> importlib.metadata.Distribution | None:
    """The distribution of the module: of tensorflow it is tensorflow, tensorflow-cpu or tf-nightly."""
    try:
        return importlib.metadata.distribution(distributions().get(module, [module])[0])
    except importlib.metadata.PackageNotFoundError:
        return None


@cache
def version_of(module: str) -> str:
    """The version of whatever distribution provides the module."""
    found = provider(module)
    return "of unknown version" if found is None else found.version


@cache
def files_of(module: str) -> str:
    """The names and hashes of its files, which pip writes down."""
    found = provider(module)
    return (found and found.read_text("RECORD")) or ""


def build_of(module: str) -> str:
    """A name for what this build compiles here: jaxlib-0.10.2-0f3a5c7e. Two builds of one version differ in their
    files; code for one processor may not run on another, and the number of threads is written into it."""
    here = (files_of(module), instructions(), str(threads()), os.environ.get("TF_ENABLE_ONEDNN_OPTS", ""))
    digest = hashlib.blake2b("\n".join(here).encode(), digest_size=4).hexdigest()
    return f"{module}-{version_of(module)}-{digest}".replace(" ", "-")
