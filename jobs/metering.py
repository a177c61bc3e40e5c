"""Compares what is metered with what hosts hold, and records what is missing: the backfill, and the controller's look.

A host that cannot be asked changes nothing about its tenants. Packages count from when they were first seen: nobody is
charged for days of which nobody knows.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple, Protocol
from uuid import UUID

from sqlalchemy import Connection, text

from jobs.hosts.base import HostError, NotOffered, Tenant
from jobs.logs import say
from storage import clock
from storage.database import Database
from storage.invoicing import metering
from storage.invoicing.metering import Down, Source

EVERY_SECONDS: Final = 60.0
BATCH: Final = 200
LIVES: Final = ["starting", "running", "stopping", "stopped", "backing_up", "restoring"]

# What was made: also what failed later. An order that failed was never made, and costs nothing.
ROWS: Final = text(
    "SELECT s.id, s.observed, coalesce(s.ran_at, s.created_at) AS since, "
    "EXISTS (SELECT FROM tenant_billing_lifecycle l WHERE l.server_id = s.id AND l.event = 'created') AS known, "
    "ARRAY(SELECT skill FROM (SELECT DISTINCT ON (skill) skill, event FROM tenant_skill_events e "
    "WHERE e.server_id = s.id ORDER BY skill, at DESC, e.id DESC) latest WHERE event = 'enabled' ORDER BY skill) AS on"
    ", EXISTS (SELECT FROM tenant_skill_events e WHERE e.server_id = s.id AND e.id > :newest) AS switched_since "
    "FROM servers s WHERE s.host = :host AND (s.lifecycle = ANY(:lives) OR (s.lifecycle = 'failed' "
    "AND s.ran_at IS NOT NULL)) AND s.id > :after ORDER BY s.id LIMIT :limit"
)
NEWEST: Final = text("SELECT coalesce(max(id), 0) FROM tenant_skill_events")
GONE: Final = text(
    "SELECT s.id, s.lifecycle_since FROM servers s JOIN tenant_billing_lifecycle c ON c.server_id = s.id "
    "AND c.event = 'created' WHERE s.lifecycle = 'deleted' AND NOT EXISTS (SELECT FROM tenant_billing_lifecycle d "
    "WHERE d.server_id = s.id AND d.event = 'deleted') ORDER BY s.id LIMIT :limit"
)

log = logging.getLogger(__name__)


class Tenancies(Protocol):
    """The part of a host that is asked."""

    def tenants(self) -> Sequence[Tenant]: ...


@dataclass(slots=True)
class Mirrored:
    """What was looked at, and how much of it was not recorded before."""

    examined: int = 0
    lifecycle: int = 0
    packages: int = 0
    suspensions: int = 0
    silent: tuple[str, ...] = ()
    """Hosts that could not be asked: nothing is known of their tenants."""


class _Shown(NamedTuple):
    """What a host holds by its id, None where it does not tell; and the newest switch that was recorded before."""

    tenants: Mapping[str, Tenant] | None
    newest: int


def mirror(database: Database, hosts: Mapping[str, Tenancies], source: Source) -> Mirrored:
    """Record what hosts hold and events do not tell. Repeating it records nothing more."""
    report = Mirrored()
    for name, host in hosts.items():
        with database.begin() as conn:
            newest: int = conn.execute(NEWEST).scalar_one()
        try:
            shown = _Shown({tenant.server_id: tenant for tenant in host.tenants()}, newest)
        except NotOffered:
            shown = _Shown(None, newest)  # such a host shows only what runs
        except HostError as error:
            say(log, logging.WARNING, f"host {name} does not tell its tenants", reason=str(error))
            report.silent += (name,)
            continue
        for ids in _pages(database, name):
            _record(database, name, ids, shown, source, report)

    def heal(conn: Connection) -> int:
        found = conn.execute(GONE, {"limit": 1000}).all()
        return sum(metering.deleted(conn, row.id, at=row.lifecycle_since, source=source) for row in found)

    report.lifecycle += database.transact("what is metered", heal)
    return report


def _pages(database: Database, host: str) -> Iterator[UUID]:
    """Return the id after which each page begins."""
    after: UUID | None = UUID(int=0)
    while after is not None:
        yield after
        with database.begin() as conn:
            found = [row.id for row in conn.execute(ROWS, _page(host, after))]
        after = found[-1] if len(found) == BATCH else None


def _page(host: str, after: UUID, newest: int = 0) -> dict[str, Any]:
    return {"host": host, "lives": LIVES, "after": after, "limit": BATCH, "newest": newest}


def _record(database: Database, host: str, after: UUID, shown: _Shown, source: Source, report: Mirrored) -> None:
    def work(conn: Connection) -> Mirrored:
        page = Mirrored()
        now = clock.now(conn)
        down: list[Down] = []
        for row in conn.execute(ROWS, _page(host, after, shown.newest)).all():
            tenant = None if shown.tenants is None else shown.tenants.get(str(row.id))
            if shown.tenants is not None and tenant is None:
                continue  # its host has lost it: that is no deletion that anybody asked for
            page.examined += 1
            since: datetime = min(tenant.created_at if tenant else row.since, now)
            if not row.known:
                page.lifecycle += metering.created(conn, row.id, at=since, source=source)
            # What was switched since the host was asked is newer than its answer.
            if tenant is not None and not row.switched_since and set(tenant.packages) != set(row.on):
                page.packages += metering.packages(conn, row.id, tenant.packages, source=source)
            stopped = row.observed == "stopped" if tenant is None else tenant.suspended_at is not None
            down.append(Down(row.id, stopped, tenant.suspended_at if tenant else None))
        page.suspensions = metering.suspensions(conn, down, source=source)
        return page

    page = database.transact(f"what is metered on `{host}`", work)
    report.examined += page.examined
    report.lifecycle += page.lifecycle
    report.packages += page.packages
    report.suspensions += page.suspensions


def compare(database: Database, hosts: Mapping[str, Tenancies]) -> Mirrored:
    """Record what is missing, and say so: events should have told it."""
    found = mirror(database, hosts, "reconcile")
    if missing := found.lifecycle + found.packages + found.suspensions:
        say(log, logging.WARNING, "events of tenants were missing and are recorded now", events=missing)
    return found
