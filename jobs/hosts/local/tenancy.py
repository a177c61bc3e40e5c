"""What metering asks of a server: since when there is one, what is switched on besides it, since when it is stopped."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from jobs.hosts.base import Tenant
from jobs.hosts.local import process
from jobs.hosts.local.entries import instant_of
from jobs.hosts.local.identity import launched_processes
from jobs.hosts.local.layout import ServerPlace, sync_directory, write_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from pathlib import Path


def read(place: ServerPlace, launched: Callable[[], Mapping[str, list[int]]] = launched_processes) -> Tenant | None:
    """Return what a server's directory says; `None` when there is none, or it was just taken away."""
    seen = process.observe(place, launched).observed
    if seen == "missing":
        return None
    try:
        packages = tuple(json.loads(place.packages.read_text("utf-8"))) if place.packages.exists() else ()
        # what runs is not suspended, whoever started it and whatever was written down before
        suspended_at = None if seen == "running" else _instant(place.suspended)
        return Tenant(place.server_id, place.read_spec().name, _created_at(place), packages, suspended_at)
    except FileNotFoundError:
        if place.home.is_dir():
            raise
        return None


def suspended(place: ServerPlace, *, anew: bool) -> None:
    """Remember that a server is stopped as it was told to be; unless it ran until now, that may be so for long."""
    if anew or not place.suspended.exists():
        write_whole(place.suspended, datetime.now(UTC).isoformat().encode())


def resumed(place: ServerPlace) -> None:
    """Remember that a server was started, also if it has ended by itself since."""
    place.suspended.unlink(missing_ok=True)
    sync_directory(place.home)


def write_packages(place: ServerPlace, packages: Collection[str]) -> None:
    """Replace what is switched on."""
    write_whole(place.packages, json.dumps(sorted(set(packages))).encode())


def _created_at(place: ServerPlace) -> datetime:
    if stamped := _instant(place.created):
        return stamped
    # made before servers were stamped: of what was made with it, what changed longest ago is nearest to the truth
    made = (place.spec, place.run, place.versions, place.incoming)
    return instant_of(min(each.stat().st_mtime for each in made))


def _instant(path: Path) -> datetime | None:
    try:
        return datetime.fromisoformat(path.read_text("ascii"))
    except FileNotFoundError:
        return None
