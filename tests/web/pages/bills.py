"""Organisations that pay by invoice on a running site, with invoices of theirs."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID

from sqlalchemy import text

from jobs.invoices.creditor import read_creditor
from storage import clock, ledger_invoices, policies
from storage.invoicing import organisations, prices
from storage.invoicing.invoices import Issued
from storage.invoicing.invoices_issue import Billing
from tests.web.site import Site, Tenant

EXAMPLE = Path(__file__).parents[3] / "examples" / "deploy" / "invoice.yaml"
ADDRESS = {"street": "Rheinweg", "house_number": "7", "postal_code": "4051", "town": "Basel"}


class Bills:
    """The billing of a site: 49.00 a month, 8.10 % VAT, and a creditor."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.creditor = read_creditor(EXAMPLE)
        services = site.app.state.services
        services.settings = replace(services.settings, invoice_file=EXAMPLE)
        with site.database.begin() as conn:
            self.today = clock.now(conn).date()
            self.month = (self.today.replace(day=1) - timedelta(days=1)).replace(day=1)
            since = self.month - timedelta(days=400)
            prices.change(conn, {"monthly_fee": Decimal("49.00")}, by="test", valid_from=since)

    def payer(self, **config: object) -> Tenant:
        """Make an organisation that pays by invoice, with a tenant that has lived for long."""
        tenant = self.site.tenant()
        with self.site.database.begin() as conn:
            conn.execute(text("ALTER TABLE tenant_billing_lifecycle DISABLE TRIGGER USER"))
            old = "UPDATE tenant_billing_lifecycle SET at = at - interval '100 days' WHERE server_id = :id"
            conn.execute(text(old), {"id": tenant.server_id})
            conn.execute(text("ALTER TABLE tenant_billing_lifecycle ENABLE TRIGGER USER"))
            organisations.change(conn, UUID(tenant.customer_id), {"pay_by_invoice": True, **ADDRESS, **config})
        return tenant

    def issue(self, tenant: Tenant, month: date | None = None) -> Issued:
        """Issue a tenant's invoice of 52.97 and let its life begin."""
        with self.site.database.begin() as conn:
            made = Billing(self.creditor).issue(conn, UUID(tenant.customer_id), month or self.month, by="test")
            assert made is not None
            ledger_invoices.begin_invoice(conn, policies.in_force(conn), made.id)
        return made
