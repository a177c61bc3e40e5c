"""How values look on the wire: instants in UTC with a Z, camelCase names, files and backups as customers see them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote
from uuid import UUID

from jobs.hosts.base import FileEntry


def instant(at: datetime | None) -> str | None:
    """Write an instant in UTC, to the second where nothing finer is known."""
    return None if at is None else at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def camel(name: str) -> str:
    """Turn snake_case into camelCase."""
    head, *tail = name.split("_")
    return head + "".join(part.capitalize() for part in tail)


def file_entry(entry: FileEntry) -> dict[str, Any]:
    """Show one name in a directory."""
    return {
        "name": entry.name,
        "kind": entry.kind,
        "sizeBytes": entry.size_bytes,
        "modifiedAt": instant(entry.modified_at),
    }


def attachment(name: str) -> str:
    """Return a Content-Disposition that saves under `name` in every browser, whatever characters it holds."""
    plain = "".join(c if c.isascii() and c.isprintable() and c not in '"\\%/' else "_" for c in name) or "download"
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def on_the_wire(value: Any) -> Any:
    """Write a value of ours: instants and ids as text, all else as JSON has it."""
    if isinstance(value, datetime):
        return instant(value)
    return str(value) if isinstance(value, UUID) else value
