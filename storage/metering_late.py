"""Tells people what tenants did on days that are on issued invoices already: those stay as they are, until credited."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

from storage import clock
from storage.alerts import raise_alert

MOST_NAMED: Final = 5
ISSUED: Final = text(
    "SELECT l.tenant, l.organisation, i.number, CAST(:at AT TIME ZONE o.zone AS date) AS day "
    "FROM tenant_billing_lifecycle l JOIN org_billing_config o ON o.customer_id = l.customer_id "
    "JOIN invoices i ON i.customer_id = l.customer_id AND i.kind = 'invoice' "
    "WHERE l.server_id = :server AND l.event = 'created' AND (i.last_on + 1)::timestamp AT TIME ZONE o.zone > :at "
    "AND NOT EXISTS (SELECT FROM invoices n WHERE n.corrects = i.id) ORDER BY i.first_on, i.number"
)


def tell(conn: Connection, server_id: UUID, what: str, at: datetime) -> None:
    """Raise an alert if invoices were issued without what is recorded just now; each invoice is told of once a day."""
    found = conn.execute(ISSUED, {"server": server_id, "at": at}).all()
    if not found:
        return
    numbers = [row.number for row in found]
    named = ", ".join(numbers[:MOST_NAMED]) + (", and later ones" if len(numbers) > MOST_NAMED else "")
    whose = f"tenant {found[0].tenant} of {found[0].organisation}"
    words = (
        f"{whose} was {what} on {found[0].day}, which was learnt only after {named} had been issued: "
        "preview what they bill anew, and credit and issue again what differs"
    )
    raise_alert(conn, "account_failed", words, key=f"learnt_late:{numbers[0]}:{clock.now(conn):%Y-%m-%d}")
