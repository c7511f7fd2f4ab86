"""Which build of a framework is installed, without importing it."""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Mapping
from functools import cache

from gradparity.environment import instructions


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
def build_of(module: str) -> str:
    """A name for what this build compiles on this processor: jaxlib-0.10.2-0f3a. Two builds of one version differ in
    the hashes of their files, which pip writes down; a code for one processor may not run on another."""
    found = provider(module)
    files = (found and found.read_text("RECORD")) or ""
    digest = hashlib.blake2b(f"{files}\n{instructions()}".encode(), digest_size=4).hexdigest()
    return f"{module}-{version_of(module)}-{digest}".replace(" ", "-")
