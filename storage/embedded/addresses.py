"""Where the embedded servers of a data directory listen, for commands beside the `forbear up` that runs them."""

from __future__ import annotations

import contextlib
from pathlib import Path

from storage.embedded.folder import ServerFolder, is_free
from storage.embedded.postgres import Postgres
from storage.embedded.redis import Redis


def addresses_of(data: Path) -> dict[str, str]:
    """Return the environment variables that tell where they are; those that do not run are missing."""
    found = {}
    for name, kind, folder in (
        ("FORBEAR_DATABASE_URL", Postgres, data / "postgres"),
        ("FORBEAR_REDIS_URL", Redis, data / "redis"),
    ):
        server = kind(ServerFolder(kind.name, folder))
        with contextlib.suppress(OSError, ValueError):
            server.port = int((folder / "port").read_text(encoding="ascii"))
            if not is_free(server.port):
                found[name] = server.url
    return found
