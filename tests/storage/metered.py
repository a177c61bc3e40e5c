"""Organisations whose tenants have lived for a while, written down as events, for tests of invoices."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID, uuid4

from sqlalchemy import text

from engine.invoicing.creditor import Creditor
from storage.invoicing import organisations, prices
from storage.invoicing.invoices_issue import Billing
from tests.factories import party
from tests.storage.deployment import Deployment

CREDITOR = Creditor(party("Host AG", vat_id="CHE-123.456.788 MWST"), "CH5800791123000889012", 30, "F")


class Books:
    """The billing of a deployment: prices of 49.00 a month and 0.50 a day of `voice`, and 8.10 % VAT."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.billing = Billing(CREDITOR)
        self.month = self.ago(70).date().replace(day=1)
        with deployment.begin() as conn:
            since = self.month - timedelta(days=400)
            prices.change(conn, {"monthly_fee": Decimal("49.00")}, by="test", valid_from=since)
            prices.change_skill(conn, "voice", Decimal("0.50"), by="test", valid_from=since)

    def ago(self, days: float) -> datetime:
        """Return an instant so many days ago."""
        return self.deployment.now() - timedelta(days=days)

    def organisation(self, *tenants: str, zone: str = "Europe/Zurich", days: float = 200, **config: object) -> UUID:
        """Make an organisation that pays by invoice, with tenants that were created so long ago."""
        deployment = self.deployment
        customer = deployment.customer()
        with deployment.begin() as conn:
            conn.execute(text("UPDATE customers SET zone = :zone WHERE id = :id"), {"zone": zone, "id": customer})
            organisations.change(conn, customer, {"pay_by_invoice": True, **config})
        for name in tenants:
            self.tenant(customer, name, days=days)
        return customer

    def tenant(self, customer: UUID, name: str, *, days: float = 200) -> UUID:
        """Write down that a tenant was created; return its server."""
        server = uuid4()
        add = (
            "INSERT INTO tenant_billing_lifecycle (server_id, customer_id, account_id, organisation, tenant, event, "
            "at, source) VALUES (:server, :customer, :server, 'A', :name, 'created', :at, 'observed')"
        )
        given = {"server": server, "customer": customer, "name": name, "at": self.ago(days)}
        with self.deployment.begin() as conn:
            conn.execute(text(add), given)
        return server
