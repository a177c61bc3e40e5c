"""Usage as its sources tell it: taken whole or not at all, once however often it is told, and never changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
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
    "SELECT c.tenant, c.server_id, c.customer_id, CAST(:now AT TIME ZONE coalesce(o.zone, u.zone) AS date) AS today, "
    "(SELECT max(i.last_on) FROM invoices i WHERE i.customer_id = c.customer_id AND i.kind = 'invoice' "
    f"AND {STANDS}) AS invoiced "
    "FROM tenant_billing_lifecycle c JOIN customers u ON u.id = c.customer_id "
    "LEFT JOIN org_billing_config o ON o.customer_id = c.customer_id "
    "WHERE c.event = 'created' AND c.tenant = ANY(:names)"
)
THERE: Final = text(
    "SELECT server_id, kind, used_on, quantity FROM tenant_usage WHERE source = :source AND server_id = ANY(:servers) "
    "AND used_on BETWEEN :first AND :last"
)
ADD: Final = text(
    "INSERT INTO tenant_usage (server_id, customer_id, kind, used_on, quantity, source) "
    "SELECT n.server, n.customer, n.kind, n.used_on, n.quantity, :source FROM unnest(CAST(:servers AS uuid[]), "
    "CAST(:customers AS uuid[]), CAST(:kinds AS text[]), CAST(:days AS date[]), CAST(:quantities AS numeric[])) "
    "AS n(server, customer, kind, used_on, quantity)"
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


def take(conn: Connection, told: Sequence[Told], *, source: str) -> Taken:
    """Write usage down, in the caller's transaction. Raises UsageRefused with every reason, up to twenty.

    A day that is on an invoice already is refused: usage that came late would never be charged without anybody knowing.
    So is one that is not over: what it had by now would stand for the whole.
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
    added: dict[tuple[UUID, str, date], tuple[UUID, Decimal]] = {}
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
        elif tenant.invoiced is not None and each.used_on <= tenant.invoiced:
            faults.append(f"{each.place}: {each.used_on} is invoiced already; credit that invoice first")
        else:
            added[key] = (tenant.customer_id, each.quantity)
    if faults:
        raise UsageRefused(tuple(faults[:MOST_FAULTS]))
    if added:
        conn.execute(ADD, {**_columns(added), "source": source})
    return Taken(len(added), repeated)


def _columns(added: dict[tuple[UUID, str, date], tuple[UUID, Decimal]]) -> dict[str, list[Any]]:
    return {
        "servers": [server for server, _, _ in added],
        "kinds": [kind for _, kind, _ in added],
        "days": [day for _, _, day in added],
        "customers": [customer for customer, _ in added.values()],
        "quantities": [quantity for _, quantity in added.values()],
    }
