"""Usage as its sources tell it: taken whole or not at all, once however often it is told, and never changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, text

from engine.invoicing.metered import UsageKind
from storage import clock
from storage.invoicing.errors import UsageRefused
from storage.invoicing.invoices import STANDS

MOST_FAULTS: Final = 20
TENANTS: Final = text(
    "SELECT c.tenant, c.server_id, c.customer_id, CAST(:now AT TIME ZONE coalesce(o.zone, u.zone) AS date) AS today "
    "FROM tenant_billing_lifecycle c JOIN customers u ON u.id = c.customer_id "
    "LEFT JOIN org_billing_config o ON o.customer_id = c.customer_id "
    "WHERE c.event = 'created' AND c.tenant = ANY(:names)"
)
# What became of the months of organisations. One that was credited whole, or failed, is issued anew.
MONTHS: Final = text(
    "SELECT i.customer_id, i.first_on, i.last_on, CASE WHEN "
    f"{STANDS} THEN 'invoiced' ELSE 'open' END AS what "
    "FROM invoices i WHERE i.kind = 'invoice' AND i.customer_id = ANY(:customers) UNION ALL "
    "SELECT r.customer_id, r.month, CAST(r.month + interval '1 month - 1 day' AS date), "
    "CASE r.outcome WHEN 'nothing' THEN 'passed' ELSE 'open' END FROM invoice_runs r "
    "WHERE r.customer_id = ANY(:customers) AND r.outcome IN ('nothing', 'failed')"
)
THERE: Final = text(
    "SELECT server_id, kind, used_on, quantity FROM tenant_usage WHERE source = :source AND server_id = ANY(:servers) "
    "AND used_on BETWEEN :first AND :last"
)
ADD: Final = text(
    "INSERT INTO tenant_usage (server_id, customer_id, kind, used_on, quantity, charged_on, source) "
    "SELECT n.server, n.customer, n.kind, n.used_on, n.quantity, n.charged_on, :source "
    "FROM unnest(CAST(:servers AS uuid[]), CAST(:customers AS uuid[]), CAST(:kinds AS text[]), CAST(:days AS date[]), "
    "CAST(:quantities AS numeric[]), CAST(:charged AS date[])) "
    "AS n(server, customer, kind, used_on, quantity, charged_on)"
)


class Told(NamedTuple):
    """So much of a kind that a tenant used on a day, and where that was told."""

    place: str
    """Such as `line 7`."""
    tenant: str
    kind: UsageKind
    used_on: date
    quantity: Decimal


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of an import."""

    added: int
    repeated: int
    """Rows that were told before, just so."""
    late: int = 0
    """Of those added, how many are of months that were passed over: they stand on the next invoice."""


@dataclass(slots=True)
class _Months:
    """What became of the months of one organisation."""

    invoiced: list[tuple[date, date]] = field(default_factory=list)
    """Those with an invoice that stands."""
    open: list[tuple[date, date]] = field(default_factory=list)
    """Those of which one is still to come: it was credited, or could not be issued."""
    closed: date | None = None
    """The last day of those that were billed, or found to hold nothing to pay for."""

    def is_invoiced(self, on: date) -> bool:
        """Tell whether a day is on an invoice."""
        return _within(self.invoiced, on)

    def charged_on(self, on: date) -> date | None:
        """Return the day whose invoice charges what is told of this one only now; None: its own."""
        if self.closed is None or on > self.closed or _within(self.open, on):
            return None
        return self.closed + timedelta(days=1)


def take(conn: Connection, told: Sequence[Told], *, source: str) -> Taken:
    """Write usage down, in the caller's transaction. Raises UsageRefused with every reason, up to twenty.

    A day that is on an invoice already is refused: usage that came late would never be charged without anybody knowing.
    So is one that is not over: what it had by now would stand for the whole. One of a month that was passed over, while
    a later one was billed, is charged with the next invoice.
    """
    if not told:
        return Taken(0, 0)
    # Whoever issues holds this row shared: what they have counted is seen below, or they count what is added here.
    conn.execute(text("SELECT 1 FROM platform_pricing FOR NO KEY UPDATE"))
    faults: list[str] = []
    names = sorted({each.tenant for each in told})
    known = {row.tenant: row for row in conn.execute(TENANTS, {"names": names, "now": clock.now(conn)})}
    servers = [row.server_id for row in known.values()]
    days = {"first": min(each.used_on for each in told), "last": max(each.used_on for each in told)}
    rows = conn.execute(THERE, {"source": source, "servers": servers, **days})
    before = {(row.server_id, row.kind, row.used_on): row.quantity for row in rows}
    months = _months(conn, {row.customer_id for row in known.values()})
    added: dict[tuple[UUID, str, date], _Added] = {}
    repeated = 0
    for each in told:
        tenant = known.get(each.tenant)
        if tenant is None:
            faults.append(f"{each.place}: there is no tenant `{each.tenant[:60]}`")
            continue
        key = (tenant.server_id, each.kind.value, each.used_on)
        if key in added:
            faults.append(f"{each.place}: {each.kind} of `{each.tenant}` on {each.used_on} is told twice")
        elif key in before:
            if before[key] == each.quantity:
                repeated += 1
            else:
                faults.append(f"{each.place}: was told as {before[key].normalize():f} before; what was told stays")
        elif each.used_on >= tenant.today:
            faults.append(f"{each.place}: {each.used_on} is not over yet, and what was told stays")
        elif months[tenant.customer_id].is_invoiced(each.used_on):
            faults.append(f"{each.place}: {each.used_on} is invoiced already; credit that invoice first")
        else:
            charged_on = months[tenant.customer_id].charged_on(each.used_on)
            added[key] = _Added(tenant.customer_id, each.quantity, charged_on)
    if faults:
        raise UsageRefused(tuple(faults[:MOST_FAULTS]))
    if added:
        conn.execute(ADD, {**_columns(added), "source": source})
    return Taken(len(added), repeated, sum(each.charged_on is not None for each in added.values()))


class _Added(NamedTuple):
    customer_id: UUID
    quantity: Decimal
    charged_on: date | None


def _months(conn: Connection, customers: set[UUID]) -> dict[UUID, _Months]:
    found = {customer: _Months() for customer in customers}
    for row in conn.execute(MONTHS, {"customers": list(customers)}):
        months = found[row.customer_id]
        if row.what == "open":
            months.open.append((row.first_on, row.last_on))
            continue
        if row.what == "invoiced":
            months.invoiced.append((row.first_on, row.last_on))
        months.closed = row.last_on if months.closed is None else max(months.closed, row.last_on)
    return found


def _within(periods: Sequence[tuple[date, date]], on: date) -> bool:
    return any(first_on <= on <= last_on for first_on, last_on in periods)


def _columns(added: Mapping[tuple[UUID, str, date], _Added]) -> dict[str, list[Any]]:
    return {
        "servers": [server for server, _, _ in added],
        "kinds": [kind for _, kind, _ in added],
        "days": [day for _, _, day in added],
        "customers": [each.customer_id for each in added.values()],
        "quantities": [each.quantity for each in added.values()],
        "charged": [each.charged_on for each in added.values()],
    }
