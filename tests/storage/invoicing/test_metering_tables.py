"""What was metered, priced and issued stays: the database itself refuses any change."""

from __future__ import annotations

from uuid import uuid4

import psycopg
import pytest

from storage.invoicing import organisations
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


TYPES = """
SELECT table_name || '.' || column_name, numeric_precision || ',' || numeric_scale FROM information_schema.columns
WHERE table_schema = 'public' AND data_type = 'numeric'
AND table_name ~ '^(platform_pricing|skill_pricing|org_|tenant_|invoice)'
"""


def test_money_has_the_columns_that_it_needs(deployment: Deployment) -> None:
    with deployment.session() as session:
        found = dict(session.execute(TYPES).fetchall())
    unit_prices = {name for name, kind in found.items() if kind == "10,5"}
    assert {name.partition(".")[2] for name in unit_prices} == {
        "per_message_price", "model_spend_factor", "daily_price", "unit_price",
    }  # fmt: skip
    others = {name: kind for name, kind in found.items() if name not in unit_prices and kind != "10,2"}
    assert {name.partition(".")[2]: kind for name, kind in others.items()} == {
        "vat_rate_chli": "5,2", "vat_percent": "5,2", "quantity": "15,5",
    }  # fmt: skip


def test_first_price_is_nothing_and_the_tax_of_today_and_there_is_one(deployment: Deployment) -> None:
    names = "currency, monthly_fee, setup_fee, per_message_price, model_spend_factor, vat_rate_chli"
    with deployment.session() as session:
        rows = session.execute(f"SELECT {names} FROM platform_pricing").fetchall()
        assert [tuple(map(str, row)) for row in rows] == [("CHF", "0.00", "0.00", "0.00000", "0.00000", "8.10")]
        for single in ("true", "false"):
            with pytest.raises((psycopg.errors.UniqueViolation, psycopg.errors.CheckViolation)):
                session.execute(f"INSERT INTO platform_pricing (single) VALUES ({single})")


def test_how_an_organisation_is_billed_is_made_when_it_is_first_read(deployment: Deployment) -> None:
    customer = deployment.customer()
    count = "SELECT count(*) FROM org_billing_config"
    assert deployment.scalar(count) == 0
    for _ in range(2):
        with deployment.begin() as conn:
            found = organisations.get(conn, customer)
        assert (found.pay_by_invoice, found.auto_invoices, found.auto_reminders) == (False, False, False)
        assert deployment.scalar(count) == 1


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
