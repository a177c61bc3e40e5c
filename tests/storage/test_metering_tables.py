"""What was metered, priced and issued stays: the database itself refuses any change."""

from __future__ import annotations

from uuid import uuid4

import psycopg
import pytest

from tests.storage.deployment import Deployment

GROWING = (
    "tenant_billing_lifecycle",
    "tenant_skill_events",
    "tenant_suspension_events",
    "tenant_usage",
    "platform_pricing_history",
    "skill_pricing_history",
)
ISSUED = ("invoices", "invoice_lines", "invoice_payments")
LINE = (
    "INSERT INTO invoice_lines (invoice_id, position, kind, text, first_on, last_on, quantity, unit, unit_price, "
    "amount, vat_percent) VALUES (%s, %s, 'monthly', 'x', '2030-01-01', '2030-01-31', 3, 'day', 1.5, 4.50, 8.10)"
)
INVOICE = (
    "INSERT INTO invoices (id, customer_id, kind, number, first_on, last_on, issued_on, due_on, currency, net, vat, "
    "total, document, issued_at, issued_by) VALUES (%s, %s, 'invoice', %s, '2030-01-01', '2030-01-31', '2030-02-01', "
    "'2030-03-03', 'CHF', %s, 0, %s, '{}', now(), 'test')"
)


def test_nothing_recorded_can_be_changed_or_removed(deployment: Deployment) -> None:
    with deployment.session() as session:
        for table in GROWING + ISSUED:
            words = "only grows" if table in GROWING else "stays as it is"
            column = "amount" if table == "invoice_payments" else "text" if table == "invoice_lines" else "by"
            column = {"invoices": "number", "tenant_usage": "source"}.get(table, column)
            column = "source" if table.startswith("tenant") else column
            for statement in (
                f"UPDATE {table} SET {column} = {column} WHERE false",
                f"DELETE FROM {table}",
                f"TRUNCATE {table} CASCADE",
            ):
                with pytest.raises(psycopg.errors.RestrictViolation, match=words):
                    session.execute(statement)


def test_invoice_is_what_its_lines_are_and_takes_no_more_of_them(deployment: Deployment) -> None:
    customer, invoice = deployment.customer(), uuid4()
    with deployment.session() as session:
        with session.transaction():
            session.execute(LINE, (invoice, 1))
            session.execute(INVOICE, (invoice, customer, "2030-1", "4.50", "4.50"))
        with pytest.raises(psycopg.errors.RestrictViolation, match="a further line"):
            session.execute(LINE, (invoice, 2))
        with pytest.raises(psycopg.errors.CheckViolation, match=r"the lines are 0, not 4.50"):
            session.execute(INVOICE, (uuid4(), customer, "2030-2", "4.50", "4.50"))
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            session.execute(LINE, (uuid4(), 1))
