"""Events of tenants, which invoices are made from: written from what hosts committed, never from what was asked.

A failure to record never stops the work that it is about: it is logged, and the next look at the hosts heals it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

import psycopg
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from engine.model import STOPPED_BILLING_STATES
from storage import clock, policies
from storage.database import is_lost
from storage.invoicing import metering_late
from storage.invoicing.errors import UnknownTenant

Source = Literal["observed", "reconcile", "backfill"]
HOST: Final = "host"
"""The cause of a suspension that nothing of ours asked for."""
SERVER_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
log = logging.getLogger(__name__)

# A name is given to one tenant only, for ever: whoever comes second with it is told apart by its id.
CREATED: Final = text(
    "INSERT INTO tenant_billing_lifecycle "
    "(server_id, customer_id, account_id, organisation, tenant, event, at, source) "
    "SELECT s.id, a.customer_id, a.id, c.name, CASE WHEN :apart THEN s.name || '-' || left(CAST(s.id AS text), 8) "
    "ELSE s.name END, 'created', :at, :source "
    "FROM servers s JOIN accounts a ON a.id = s.account_id JOIN customers c ON c.id = a.customer_id "
    "WHERE s.id = :id AND NOT EXISTS (SELECT FROM tenant_billing_lifecycle l WHERE l.server_id = s.id "
    "AND l.event = 'created') ON CONFLICT DO NOTHING"
)
DELETED: Final = text(
    "INSERT INTO tenant_billing_lifecycle "
    "(server_id, customer_id, account_id, organisation, tenant, event, at, source) "
    "SELECT l.server_id, l.customer_id, l.account_id, coalesce(c.name, l.organisation), l.tenant, 'deleted', "
    "greatest(l.at, :at), :source FROM tenant_billing_lifecycle l LEFT JOIN customers c ON c.id = l.customer_id "
    "WHERE l.server_id = :id AND l.event = 'created' ON CONFLICT DO NOTHING"
)
LIVING: Final = (
    "tenant_billing_lifecycle l WHERE l.server_id = {0} AND l.event = 'created' AND NOT EXISTS "
    "(SELECT FROM tenant_billing_lifecycle d WHERE d.server_id = {0} AND d.event = 'deleted')"
)
SWITCHED_ON: Final = text(
    "SELECT skill FROM (SELECT DISTINCT ON (skill) skill, event FROM tenant_skill_events WHERE server_id = :id "
    "ORDER BY skill, at DESC, id DESC) latest WHERE event = 'enabled'"
)
SWITCH: Final = text(
    "INSERT INTO tenant_skill_events (server_id, customer_id, skill, event, at, source) "
    "SELECT l.server_id, l.customer_id, n.skill, n.event, greatest(l.at, :at), :source "
    "FROM unnest(CAST(:skills AS text[]), CAST(:events AS text[])) AS n(skill, event), " + LIVING.format(":id")
)
# Kept down by a machine and seen down is suspended; no longer kept down is resumed, whether or not its owner starts it.
# Down because its host was told so, while it should run, is suspended too. Its owner's own stop is no suspension.
SUSPENSIONS: Final = text(
    "SELECT s.id, l.customer_id, strict.machine, strict.kept, now.on, "
    "coalesce(e.event = 'suspended', false) AS was, e.cause, greatest(l.at, e.at) AS not_before "
    "FROM servers s JOIN accounts a ON a.id = s.account_id "
    "JOIN unnest(CAST(:ids AS uuid[]), CAST(:down AS boolean[]), CAST(:told AS boolean[])) AS n(id, down, told) "
    "ON n.id = s.id "
    "JOIN tenant_billing_lifecycle l ON l.server_id = s.id AND l.event = 'created' "
    "LEFT JOIN LATERAL (SELECT event, cause, at FROM tenant_suspension_events e WHERE e.server_id = s.id "
    "ORDER BY at DESC, id DESC LIMIT 1) e ON true "
    "CROSS JOIN LATERAL (SELECT stricter(a.server_billing_state, s.own_billing_state) = ANY(:kept) AS kept, "
    "CASE WHEN stricter(a.server_billing_state, s.own_billing_state) = a.server_billing_state "
    "THEN a.server_billing_machine ELSE s.own_billing_machine END AS machine) strict "
    "CROSS JOIN LATERAL (SELECT CASE WHEN strict.kept THEN n.down "
    "OR coalesce(e.event = 'suspended', false) ELSE n.told AND s.desired = 'running' END AS on) now "
    "WHERE NOT EXISTS (SELECT FROM tenant_billing_lifecycle d WHERE d.server_id = s.id AND d.event = 'deleted') "
    "AND now.on <> coalesce(e.event = 'suspended', false) ORDER BY s.id"
)
SUSPEND: Final = text(
    "INSERT INTO tenant_suspension_events (server_id, customer_id, event, cause, at, source) "
    "VALUES (:server, :customer, :event, :cause, :at, :source)"
)


@dataclass(frozen=True, slots=True)
class Down:
    """What a host shows of one tenant, as far as suspensions go."""

    server_id: UUID
    down: bool
    """Nothing of it runs."""
    since: datetime | None = None
    """Since when, by the host's clock; None: it cannot tell."""


@dataclass(frozen=True, slots=True)
class TenantRow:
    """One tenant, living or deleted: what remains of it for the final invoice."""

    server_id: UUID
    customer_id: UUID
    account_id: UUID
    organisation: str
    name: str
    created_at: datetime
    deleted_at: datetime | None


def created(conn: Connection, server_id: UUID, *, at: datetime | None = None, source: Source = "observed") -> int:
    """Record that a tenant was made; return 1 unless that was recorded before. at: now, unless known better."""
    since = at or clock.now(conn)
    given = {"id": server_id, "at": since, "source": source}
    made = conn.execute(CREATED, {**given, "apart": False}).rowcount
    made = made or conn.execute(CREATED, {**given, "apart": True}).rowcount
    if made:
        metering_late.tell(conn, server_id, "created", since)
    return made


def deleted(conn: Connection, server_id: UUID, *, at: datetime | None = None, source: Source = "observed") -> int:
    """Record that a tenant is gone, as an anchor for its final invoice; of one that never was, nothing is recorded."""
    since = at or clock.now(conn)
    made = conn.execute(DELETED, {"id": server_id, "at": since, "source": source}).rowcount
    if made:
        metering_late.tell(conn, server_id, "deleted", since)
    return made


def packages(
    conn: Connection,
    server_id: UUID,
    found: Iterable[str],
    *,
    at: datetime | None = None,
    source: Source = "observed",
) -> int:
    """Record which packages a host holds switched on; return how many are otherwise than recorded."""
    on = set(conn.execute(SWITCHED_ON, {"id": server_id}).scalars())
    wanted = set(found)
    changes = [(name, "enabled") for name in sorted(wanted - on)] + [(name, "disabled") for name in sorted(on - wanted)]
    if not changes:
        return 0
    given: dict[str, Any] = {"id": server_id, "at": at or clock.now(conn), "source": source}
    skills, events = zip(*changes, strict=True)
    return conn.execute(SWITCH, {**given, "skills": list(skills), "events": list(events)}).rowcount


def suspensions(conn: Connection, seen: Sequence[Down], *, source: Source = "observed") -> int:
    """Record which tenants are suspended or no longer so; return how many are otherwise than recorded."""
    if not seen:
        return 0
    ids = [each.server_id for each in seen]
    since = {each.server_id: each.since for each in seen}
    given = {"ids": ids, "down": [each.down for each in seen], "told": [each.since is not None for each in seen]}
    changed = conn.execute(SUSPENSIONS, {**given, "kept": list(STOPPED_BILLING_STATES)}).all()
    if not changed:
        return 0
    now = clock.now(conn)
    machines = policies.in_force(conn).machines
    for row in changed:
        machine = machines.get(row.machine)
        cause = (machine.cause if machine is not None and row.kept else None) or HOST
        known = since[row.id] if row.on else None
        event = {
            "server": row.id,
            "customer": row.customer_id,
            "event": "suspended" if row.on else "resumed",
            "cause": cause if row.on else row.cause,
            "at": max(min(known or now, now), row.not_before),
            "source": source,
        }
        conn.execute(SUSPEND, event)
        metering_late.tell(conn, row.id, str(event["event"]), event["at"])
    return len(changed)


def harmlessly(conn: Connection, what: str, record: Callable[[], int]) -> None:
    """Record in a part of the transaction that may fail alone: what it is about goes on, and is recorded later."""
    try:
        with conn.begin_nested():
            record()
    except (DBAPIError, psycopg.Error) as error:
        if is_lost(error):
            raise
        log.exception("metering failed for %s; the next look at its host heals it", what)


def find(conn: Connection, name: str, *, customer_id: UUID | None = None) -> TenantRow:
    """Return the living tenant of this name, or else of this server's id; of this customer alone, where one is given.

    By its id a tenant is found whatever its name holds: not every name can stand in an address. Raises UnknownTenant.
    """
    found = listed(conn, name=name, customer_id=customer_id)
    if not found and SERVER_ID.fullmatch(name):
        found = listed(conn, server_id=UUID(name), customer_id=customer_id)
    if not found:
        raise UnknownTenant(name)
    return found[0]


def listed(
    conn: Connection,
    *,
    name: str | None = None,
    server_id: UUID | None = None,
    customer_id: UUID | None = None,
    also_deleted: bool = False,
    after: str = "",
    limit: int = 1000,
) -> list[TenantRow]:
    """Return tenants by name, a page at a time."""
    query = text(
        "SELECT c.server_id, c.customer_id, c.account_id, c.organisation, c.tenant, c.at, d.at "
        "FROM tenant_billing_lifecycle c LEFT JOIN tenant_billing_lifecycle d "
        "ON d.server_id = c.server_id AND d.event = 'deleted' WHERE c.event = 'created' AND c.tenant > :after "
        "AND (CAST(:name AS text) IS NULL OR c.tenant = :name) "
        "AND (CAST(:server AS uuid) IS NULL OR c.server_id = :server) "
        "AND (CAST(:customer AS uuid) IS NULL OR c.customer_id = :customer) AND (:gone OR d.at IS NULL) "
        "ORDER BY c.tenant LIMIT :limit"
    )
    given: dict[str, Any] = {"name": name, "server": server_id, "customer": customer_id, "gone": also_deleted}
    given |= {"after": after, "limit": limit}
    return [TenantRow(*row) for row in conn.execute(query, given)]


def packages_of(conn: Connection, server_id: UUID) -> list[str]:
    """Return the packages that are switched on, as recorded."""
    return sorted(conn.execute(SWITCHED_ON, {"id": server_id}).scalars())
