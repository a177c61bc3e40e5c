"""Tells people what tenants did on days that were billed by then: invoices stay as they are, until credited."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

from storage import clock
from storage.alerts import raise_alert
from storage.invoicing.invoices import STANDS

MOST_NAMED: Final = 5
# Months that were billed, and those that a run found to hold nothing to pay for.
BILLED: Final = text(
    "SELECT l.customer_id, l.tenant, l.organisation, b.what, CAST(:at AT TIME ZONE o.zone AS date) AS day "
    "FROM tenant_billing_lifecycle l JOIN org_billing_config o ON o.customer_id = l.customer_id "
    "JOIN (SELECT i.customer_id, i.first_on, i.last_on + 1 AS over_on, 'invoice ' || i.number AS what FROM invoices i "
    f"WHERE i.kind = 'invoice' AND {STANDS} "
    "UNION ALL SELECT r.customer_id, r.month, CAST(r.month + interval '1 month' AS date), "
    "'the run of ' || to_char(r.month, 'YYYY-MM') || ', which found nothing' FROM invoice_runs r "
    "WHERE r.outcome = 'nothing' AND NOT EXISTS (SELECT FROM invoices i WHERE i.customer_id = r.customer_id "
    "AND i.first_on = r.month)) b ON b.customer_id = l.customer_id "
    "WHERE l.server_id = :server AND l.event = 'created' AND b.over_on::timestamp AT TIME ZONE o.zone > :at "
    "ORDER BY b.first_on, b.what"
)


def tell(conn: Connection, server_id: UUID, what: str, at: datetime) -> None:
    """Raise an alert if months were billed without what is recorded just now; once a day for the first of them."""
    found = conn.execute(BILLED, {"server": server_id, "at": at}).all()
    if not found:
        return
    first, billed = found[0], [row.what for row in found]
    named = "; ".join(billed[:MOST_NAMED]) + ("; and later ones" if len(billed) > MOST_NAMED else "")
    words = (
        f"tenant {first.tenant} of {first.organisation} was {what} on {first.day}, learnt only after {named}: "
        "preview these months, credit what differs and issue it again"
    )
    key = f"learnt_late:{first.customer_id}:{first.what}:{clock.now(conn):%Y-%m-%d}"
    raise_alert(conn, "account_failed", words, key=key)
