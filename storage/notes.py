"""Notes that customers write for themselves. Every call names the owner: nobody reads or changes another's."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

MOST: Final = 200
COLUMNS: Final = "id, text, version, created_at, changed_at"


@dataclass(frozen=True, slots=True)
class Note:
    """One note."""

    id: UUID
    text: str
    version: int
    """Rises with each change; whoever saves says which one they saw."""
    created_at: datetime
    changed_at: datetime


def of_customer(conn: Connection, customer_id: UUID) -> list[Note]:
    """Return a customer's notes, the one changed last first."""
    find = text(f"SELECT {COLUMNS} FROM notes WHERE customer_id = :owner ORDER BY changed_at DESC, id")
    return [Note(*row) for row in conn.execute(find, {"owner": customer_id})]


def get(conn: Connection, customer_id: UUID, note_id: UUID) -> Note | None:
    """Return one note of this customer; None: they have no such note."""
    find = text(f"SELECT {COLUMNS} FROM notes WHERE id = :id AND customer_id = :owner")
    row = conn.execute(find, {"id": note_id, "owner": customer_id}).one_or_none()
    return None if row is None else Note(*row)


def write(conn: Connection, customer_id: UUID, words: str) -> UUID | None:
    """Keep a new note; None: there are as many as one may have."""
    add = text(
        "INSERT INTO notes (customer_id, text) SELECT :owner, :text "
        "WHERE (SELECT count(*) FROM notes WHERE customer_id = :owner) < :most RETURNING id"
    )
    found: UUID | None = conn.execute(add, {"owner": customer_id, "text": words, "most": MOST}).scalar_one_or_none()
    return found


def change(conn: Connection, customer_id: UUID, note_id: UUID, words: str, version: int) -> bool:
    """Change a note that is still as the writer saw it; tell whether it was."""
    keep = text(
        "UPDATE notes SET text = :text, version = version + 1, changed_at = now() "
        "WHERE id = :id AND customer_id = :owner AND version = :version"
    )
    given = {"id": note_id, "owner": customer_id, "text": words, "version": version}
    return conn.execute(keep, given).rowcount == 1


def delete(conn: Connection, customer_id: UUID, note_id: UUID) -> None:
    """Throw a note away. Doing it again is harmless."""
    gone = text("DELETE FROM notes WHERE id = :id AND customer_id = :owner")
    conn.execute(gone, {"id": note_id, "owner": customer_id})
