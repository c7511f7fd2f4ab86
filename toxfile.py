"""tox's environments of the releases in src/gradparity/releases.toml: torch-2.13.0, and py312-torch-2.13.0 for another
Python than the one for which all releases have wheels."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from packaging.specifiers import SpecifierSet
from tox.config.loader.memory import MemoryLoader
from tox.plugin import impl

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TABLE = Path(__file__).parent / "src" / "gradparity" / "releases.toml"
EVERYWHERE = "3.11"
OTHERS = ("3.10", "3.12", "3.13")


def releases() -> Iterator[tuple[str, str, list[str]]]:
    """Name of the environment, its Python, and what is installed."""
    for package, table in tomllib.loads(TABLE.read_text(encoding="utf-8")).items():
        for release in table["releases"]:
            version, name = release["version"], f"{table['framework']}-{release['version']}"
            needs = [f"{package}=={version}", *(words.format(version) for words in release.get("with", []))]
            yield name, EVERYWHERE, needs
            for python in SpecifierSet(release["python"]).filter(OTHERS):
                yield f"py{python.replace('.', '')}-{name}", python, needs


@impl
def tox_extend_envs() -> list[str]:
    return [name for name, _, _ in releases()]


@impl
def tox_add_core_config(core_conf: Any, state: Any) -> None:
    for name, python, needs in releases():
        loader = MemoryLoader(base_python=[f"python{python}"], deps=needs, extras=[])
        state.conf.memory_seed_loaders[name].append(loader)
