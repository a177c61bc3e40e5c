"""Servers: made, asked to start and stop, and what hosts show of them. Lifecycles move in `storage.ledger_servers`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy import Connection, text

from engine.lifecycle import due, lifecycle_machine, since
from engine.model import Policy
from storage import clock
from storage.errors import DeletionBegun, UnknownServer
from storage.gather import World
from storage.intents_ask import ask_server
from storage.intents_claim import WAITS_OBSERVED
from storage.intents_outbox import Outbox
from storage.leases import Fence, check
from storage.ledger_batch import lock
from storage.ledger_servers import Moved, move_server
from storage.ledger_trip import stamps_text
from storage.operations import DESTROYING

COLUMNS: Final = (
    "s.id, s.account_id, s.name, s.kind, s.host, s.port, s.desired, s.observed, s.observed_at, s.lifecycle, "
    "s.lifecycle_since, s.autostart, s.due_at, s.created_at, s.ran_at, s.published_port, a.customer_id, "
    "stricter(a.server_billing_state, s.own_billing_state)"
)
# An observation that is the same as before is written down again after this, so that its age says how fresh it is.
SHOWN_AGAIN: Final = timedelta(seconds=30)
PLACEMENT_LOCK: Final = 7_203_117  # the advisory lock of whoever chooses a host for a new server
Observed = Literal["running", "stopped", "unknown"]
Known = tuple[Observed, bool | None, int | None]
"""What is observed, whether the host would start it by itself, and the port on which it is reached; None: not told."""


@dataclass(frozen=True, slots=True)
class Server:
    """One server, with what its account says about it."""

    id: UUID
    account_id: UUID
    name: str
    kind: str
    host: str
    port: int
    desired: str
    observed: str
    observed_at: datetime | None
    lifecycle: str
    lifecycle_since: datetime
    autostart: bool | None
    due_at: datetime | None
    created_at: datetime
    ran_at: datetime | None
    """When it was first observed running; None: it never ran, and holds nobody's work."""
    published_port: int | None
    """Where its host last said that it is reached; None: it has not told."""
    customer_id: UUID
    server_billing_state: str


@dataclass(frozen=True, slots=True)
class Change:
    """What an observation changed about one server."""

    server_id: UUID
    account_id: UUID
    before: str
    observed: str
    desired: str
    lifecycle: str


@dataclass(frozen=True, slots=True)
class HostUse:
    """What is known of a host by its servers."""

    servers: int
    """How many should be on it."""
    silent: bool
    """It was asked about servers of ours, and at the last look showed none of them."""


def create(
    conn: Connection,
    policy: Policy,
    account_id: UUID,
    *,
    name: str,
    kind: str,
    actor: str,
    host: str = "local",
    port: int = 0,
    args: Mapping[str, Any] | None = None,
    world: World | None = None,
) -> tuple[UUID, tuple[Outbox, ...]]:
    """Write a server down that should run, and ask a worker to make it. The caller holds the account's lock.

    args: what the action is given, such as the operation's id.
    """
    machine = lifecycle_machine(policy)
    now = clock.now(conn)
    add = text(
        "INSERT INTO servers (account_id, name, kind, host, port, desired, lifecycle, lifecycle_since, stamps, due_at) "
        "VALUES (:account, :name, :kind, :host, :port, 'running', :lifecycle, :now, CAST(:stamps AS jsonb), :due_at) "
        "RETURNING id"
    )
    given = {
        "account": account_id,
        "name": name,
        "kind": kind,
        "host": host,
        "port": port,
        "lifecycle": machine.initial,
        "now": now,
        "stamps": stamps_text(since(policy, machine.initial, now)),
        "due_at": due(policy, machine.initial, {"desired": "running", "observed": "unknown"}),
    }
    server_id: UUID = conn.execute(add, given).scalar_one()
    because = f"{kind} server {name}"
    more = {**(args or {}), "server_id": str(server_id)}
    intents = ask_server(
        conn, policy, server_id, "provision_server", actor=actor, because=because, args=more, world=world
    )
    return server_id, intents


def get(conn: Connection, server_id: UUID) -> Server:
    """Return one server. Raises UnknownServer."""
    found = _servers(conn, "s.id = :id", {"id": server_id})
    if not found:
        raise UnknownServer(server_id)
    return found[0]


def of_account(conn: Connection, account_id: UUID) -> list[Server]:
    """Return an account's servers, oldest first, without deleted ones."""
    return _servers(conn, "s.account_id = :id AND s.lifecycle <> 'deleted'", {"id": account_id})


def uses_of_hosts(conn: Connection, *, lock: bool = False) -> Mapping[str, HostUse]:
    """Return how each host that has servers is used. lock: let nobody else ask so until this transaction ends."""
    if lock:
        conn.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": PLACEMENT_LOCK})
    rows = conn.execute(
        text(
            "SELECT host, count(*), "
            "coalesce(bool_and(observed = 'unknown') FILTER (WHERE observed_at IS NOT NULL), false) "
            "FROM servers WHERE lifecycle <> 'deleted' GROUP BY host"
        )
    )
    return {row[0]: HostUse(row[1], row[2]) for row in rows}


def request_start(
    conn: Connection, policy: Policy, server_id: UUID, *, actor: str, role: str = "customer", world: World | None = None
) -> Moved:
    """Want a server to run, and start it unless it runs. The gate was asked before, under the account's lock.

    Raises ServersStopped when billing keeps it stopped, whatever the gate has said.
    """
    return move_server(
        conn, policy, server_id, "start_requested", role=role, actor=actor, desired="running", world=world
    )


def request_stop(
    conn: Connection, policy: Policy, server_id: UUID, *, actor: str, role: str = "customer", world: World | None = None
) -> Moved:
    """Want a server to be stopped, and stop it unless it is."""
    return move_server(
        conn, policy, server_id, "stop_requested", role=role, actor=actor, desired="stopped", world=world
    )


def request_restart(
    conn: Connection, policy: Policy, server_id: UUID, *, actor: str, role: str = "customer", world: World | None = None
) -> Moved:
    """Want a server to run, and stop and start it; a stopped one is started."""
    given: dict[str, Any] = {"role": role, "actor": actor, "desired": "running", "world": world}
    moved = move_server(conn, policy, server_id, "restart_requested", **given)
    return moved if moved.rules else move_server(conn, policy, server_id, "start_requested", **given)


def request_deletion(
    conn: Connection, policy: Policy, server_id: UUID, *, actor: str, world: World | None = None
) -> Moved:
    """Want a server gone, as its owner. Nothing is taken away yet; where it cannot be deleted now, nothing moves."""
    more: dict[str, Any] = {"role": "customer", "actor": actor, "world": world}
    moved = move_server(conn, policy, server_id, "delete_requested", **more)
    if moved.rules:
        move_server(conn, policy, server_id, None, desired="stopped", **more)
    return moved


def withdraw_deletion(
    conn: Connection, policy: Policy, server_id: UUID, *, actor: str, world: World | None = None
) -> Moved:
    """Want a server kept after all. Raises DeletionBegun once a worker has taken it in hand."""
    lock(conn, [get(conn, server_id).account_id])
    begun = text(
        "SELECT 1 FROM intents i LEFT JOIN operations o ON o.id::text = i.args ->> 'operation_id' "
        "WHERE i.server_id = :id AND (i.intent = 'clean_up_server' "
        "OR (i.intent = 'delete_server' AND (i.status = 'started' OR o.phase = :destroying))) LIMIT 1"
    )
    if conn.execute(begun, {"id": server_id, "destroying": DESTROYING}).first() is not None:
        raise DeletionBegun(server_id)
    return move_server(conn, policy, server_id, "delete_withdrawn", role="customer", actor=actor, world=world)


def observe(
    conn: Connection,
    seen: Mapping[UUID, Known],
    *,
    fence: Fence | None = None,
) -> list[Change]:
    """Write down what hosts show of each server. A port that was told stays until another one is.

    Returns those whose observation is another one than before. Notices that waited for it are let go on.
    """
    if fence is not None:
        check(conn, fence)
    if not seen:
        return []
    write = text(
        """
        WITH news AS (
            SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:observed AS text[]), CAST(:autostart AS boolean[]),
                                 CAST(:ports AS integer[])) AS n(id, observed, autostart, port)
        ), before AS MATERIALIZED (
            SELECT s.id, s.observed AS was, n.observed, n.autostart, coalesce(n.port, s.published_port) AS port
            FROM servers s JOIN news n ON n.id = s.id
            WHERE (s.observed, s.autostart) IS DISTINCT FROM (n.observed, n.autostart)
               OR s.observed_at IS NULL OR s.observed_at < :stale OR n.port <> coalesce(s.published_port, 0)
            ORDER BY s.id FOR NO KEY UPDATE OF s
        )
        UPDATE servers s SET observed = b.observed, autostart = b.autostart, observed_at = :now,
               published_port = b.port,
               ran_at = coalesce(s.ran_at, CASE WHEN b.observed = 'running' THEN CAST(:now AS timestamptz) END)
        FROM before b WHERE s.id = b.id
        RETURNING s.id, s.account_id, b.was, b.observed, s.desired, s.lifecycle
        """
    )
    now = clock.now(conn)
    ids = sorted(seen)
    given = {
        "ids": ids,
        "observed": [seen[server_id][0] for server_id in ids],
        "autostart": [seen[server_id][1] for server_id in ids],
        "ports": [seen[server_id][2] for server_id in ids],
        "now": now,
        "stale": now - SHOWN_AGAIN,
    }
    changes = [Change(*row) for row in conn.execute(write, given) if row.was != row.observed]
    if changes:
        let_go = text(
            "UPDATE intents SET not_before = NULL "
            "WHERE status = 'open' AND outcome = :why AND account_id = ANY(:accounts)"
        )
        conn.execute(let_go, {"why": WAITS_OBSERVED, "accounts": sorted({each.account_id for each in changes})})
    return changes


def note_port(conn: Connection, server_id: UUID, port: int | None) -> None:
    """Write down where a host says that a server is reached; `None` says nothing."""
    if port is not None:
        conn.execute(text("UPDATE servers SET published_port = :port WHERE id = :id"), {"id": server_id, "port": port})


def _servers(conn: Connection, where: str, given: Mapping[str, Any]) -> list[Server]:
    find = text(
        f"SELECT {COLUMNS} FROM servers s JOIN accounts a ON a.id = s.account_id "
        f"WHERE {where} ORDER BY s.created_at, s.id"
    )
    return [Server(*row) for row in conn.execute(find, given)]


def counts(conn: Connection) -> Mapping[str, int]:
    """Count servers by lifecycle."""
    rows: Sequence[Any] = conn.execute(text("SELECT lifecycle, count(*) FROM servers GROUP BY lifecycle")).all()
    return {row[0]: row[1] for row in rows}
