"""What is published about servers, under which label, and what was shown of it last."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

from engine.model import STOPPED_BILLING_STATES
from storage import clock
from storage.leases import Fence, check

# A server is looked after from when it is made until somebody deletes it.
LIVING: Final = ("starting", "running", "stopping", "stopped", "backing_up", "restoring")

# What a name server shows once may be old; what it shows twice in a row counts, as `jobs.observe` asks.
ENOUGH_LOOKS: Final = 2

COLUMNS: Final = "server_id, label, wanted, address, port, published_at, withdrawn_at, held_at, state, looks, seen_at"
WATCHED: Final = text(
    "SELECT s.id, s.name, s.kind, s.host, s.port, s.published_port, e.label, e.state, e.looks, "
    "CASE WHEN e.published_at IS NOT NULL THEN e.port END FROM servers s "
    "JOIN accounts a ON a.id = s.account_id LEFT JOIN edges e ON e.server_id = s.id "
    "WHERE s.lifecycle = ANY(:living) AND stricter(a.server_billing_state, s.own_billing_state) <> ALL(:stopped) "
    "AND e.wanted IS NOT FALSE"
)
CLAIM: Final = text("INSERT INTO edges (server_id, label) VALUES (:id, :label) ON CONFLICT DO NOTHING RETURNING label")


@dataclass(frozen=True, slots=True)
class Published:
    """One server's row."""

    server_id: UUID
    label: str
    wanted: bool
    address: str | None
    port: int | None
    published_at: datetime | None
    withdrawn_at: datetime | None
    held_at: datetime | None
    """Since when it leads to the hold page, while billing stops the server."""
    state: str | None
    looks: int
    seen_at: datetime | None


@dataclass(frozen=True, slots=True)
class Watched:
    """A server whose edge is looked after, with what was shown last. `label` is null before it is published."""

    id: UUID
    name: str
    kind: str
    host: str
    port: int
    published_port: int | None
    label: str | None
    state: str | None
    looks: int | None
    told_port: int | None
    """Under which it was last published; null before."""


def get(conn: Connection, server_id: UUID) -> Published | None:
    """Return what is known of a server's edge; `None` when it never had one."""
    row = conn.execute(text(f"SELECT {COLUMNS} FROM edges WHERE server_id = :id"), {"id": server_id}).one_or_none()
    return None if row is None else Published(*row)


def of_account(conn: Connection, account_id: UUID) -> Mapping[UUID, Published]:
    """Return what is known of the edges of an account's servers, by server."""
    find = text(f"SELECT {COLUMNS} FROM edges WHERE server_id IN (SELECT id FROM servers WHERE account_id = :id)")
    return {row.server_id: Published(*row) for row in conn.execute(find, {"id": account_id})}


def claim_label(conn: Connection, server_id: UUID, *candidates: str) -> str | None:
    """Return the server's label: the one that it has, or the first that nobody has had; `None` when all are taken."""
    for label in candidates:
        given = {"id": server_id, "label": label}
        if (claimed := conn.execute(CLAIM, given).scalar_one_or_none()) is not None:
            return str(claimed)
        if (row := get(conn, server_id)) is not None:
            return row.label
    return None


def note_published(conn: Connection, server_id: UUID, address: str, port: int) -> None:
    """Write down that the server's entry stands, as far as whoever was told has answered."""
    write = text(
        "UPDATE edges SET address = :address, port = :port, published_at = :now, withdrawn_at = NULL, held_at = NULL "
        "WHERE server_id = :id AND wanted"
    )
    conn.execute(write, {"id": server_id, "address": address, "port": port, "now": clock.now(conn)})


def hold(conn: Connection, server_id: UUID) -> Published | None:
    """Write down that what leads to a server is being moved to the hold page; `None`: nothing leads to it."""
    write = text(
        "UPDATE edges SET held_at = :now WHERE server_id = :id AND wanted AND published_at IS NOT NULL RETURNING "
        + COLUMNS
    )
    row = conn.execute(write, {"id": server_id, "now": clock.now(conn)}).one_or_none()
    return None if row is None else Published(*row)


def unwant(conn: Connection, server_id: UUID) -> Published | None:
    """Want the server's entry no more; return its row. From here on nothing publishes it again."""
    conn.execute(text("UPDATE edges SET wanted = false WHERE server_id = :id"), {"id": server_id})
    return get(conn, server_id)


def note_withdrawn(conn: Connection, server_id: UUID) -> None:
    """Write down that nothing of ours stands for the server any more."""
    write = text("UPDATE edges SET withdrawn_at = :now, state = NULL, looks = 0 WHERE server_id = :id AND NOT wanted")
    conn.execute(write, {"id": server_id, "now": clock.now(conn)})


def watched(conn: Connection) -> list[Watched]:
    """Return the servers whose edges are looked after. INVARIANT: none that billing has stopped is among them."""
    given = {"living": list(LIVING), "stopped": sorted(STOPPED_BILLING_STATES)}
    return [Watched(*row) for row in conn.execute(WATCHED, given)]


def observe(conn: Connection, seen: Mapping[UUID, str], *, fence: Fence | None = None) -> int:
    """Write down what was shown of servers that have a label, and how often in a row; return how many rows changed."""
    if fence is not None:
        check(conn, fence)
    if not seen:
        return 0
    write = text(
        """
        UPDATE edges e SET state = n.state, looks = CASE WHEN e.state = n.state THEN e.looks + 1 ELSE 1 END,
               seen_at = CASE WHEN e.state = n.state THEN e.seen_at ELSE :now END
        FROM unnest(CAST(:ids AS uuid[]), CAST(:states AS text[])) AS n(id, state)
        WHERE e.server_id = n.id AND (e.state IS DISTINCT FROM n.state OR e.looks < :enough)
        RETURNING 1
        """
    )
    ids = sorted(seen)
    given = {"ids": ids, "states": [seen[each] for each in ids], "now": clock.now(conn), "enough": ENOUGH_LOOKS}
    return len(conn.execute(write, given).all())


def forget(conn: Connection, fence: Fence) -> int:
    """Forget everything that was shown; return how many rows changed."""
    check(conn, fence)
    return conn.execute(text("UPDATE edges SET state = NULL, looks = 0 WHERE state IS NOT NULL")).rowcount
