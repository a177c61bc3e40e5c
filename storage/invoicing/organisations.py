"""How each organisation is billed: by invoice or not, where invoices go, and what it pays with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, text

from engine.invoicing.invoice import Party
from storage.accounts import require_zone
from storage.errors import UnknownCustomer
from storage.invoicing.errors import ZoneFixed

CHANGEABLE: Final = frozenset(
    {
        "pay_by_invoice",
        "stripe_customer_id",
        "auto_invoices",
        "auto_reminders",
        "street",
        "house_number",
        "postal_code",
        "town",
        "country",
        "email",
        "vat_id",
        "payment_days",
        "zone",
    }
)


@dataclass(frozen=True, slots=True)
class Organisation:
    """One organisation as it is billed. Fields as in `storage.tables.metering.org_billing_config`."""

    customer_id: UUID
    name: str
    zone: str
    customer_email: str
    language: str
    """That the customer reads."""
    pay_by_invoice: bool
    stripe_customer_id: str | None
    auto_invoices: bool
    auto_reminders: bool
    street: str
    house_number: str
    postal_code: str
    town: str
    country: str
    email: str | None
    vat_id: str | None
    payment_days: int | None

    @property
    def party(self) -> Party:
        """Return whom invoices are made out to."""
        return Party(
            self.name,
            self.street,
            self.house_number,
            self.postal_code,
            self.town,
            self.country,
            self.email or self.customer_email,
            self.vat_id,
        )


@dataclass(frozen=True, slots=True)
class PaymentMethod:
    """One way in which an organisation pays."""

    id: UUID
    kind: str
    label: str
    stripe_payment_method_id: str | None
    is_default: bool
    created_at: datetime


OF_CUSTOMER: Final = {"customer_id", "name", "zone", "customer_email", "language"}
COLUMNS: Final = "c.id, c.name, o.zone, c.email, c.language, " + ", ".join(
    f"o.{name}" for name in Organisation.__slots__ if name not in OF_CUSTOMER
)
FIND: Final = text(
    f"SELECT {COLUMNS} FROM customers c JOIN org_billing_config o ON o.customer_id = c.id WHERE c.id = :id"
)
MAKE: Final = text(
    "INSERT INTO org_billing_config (customer_id, zone) SELECT id, zone FROM customers WHERE id = :id "
    "ON CONFLICT DO NOTHING"
)


def get(conn: Connection, customer_id: UUID) -> Organisation:
    """Return how an organisation is billed; made on first sight, not by invoice. Raises UnknownCustomer."""
    found = conn.execute(FIND, {"id": customer_id}).one_or_none()
    if found is None:
        conn.execute(MAKE, {"id": customer_id})
        found = conn.execute(FIND, {"id": customer_id}).one_or_none()
    if found is None:
        raise UnknownCustomer(customer_id)
    return Organisation(*found)


def of(conn: Connection, customer_ids: Sequence[UUID]) -> list[Organisation]:
    """Return several that were looked at before, in the order of their ids as given."""
    find = f"SELECT {COLUMNS} FROM customers c JOIN org_billing_config o ON o.customer_id = c.id WHERE c.id = ANY(:ids)"
    found = {row[0]: Organisation(*row) for row in conn.execute(text(find), {"ids": list(customer_ids)})}
    return [found[customer_id] for customer_id in customer_ids]


def change(conn: Connection, customer_id: UUID, wish: Mapping[str, Any]) -> Organisation:
    """Change how an organisation is billed; what is not named stays. Issued invoices stay as they are.

    Raises UnknownCustomer; ZoneFixed when the zone changes after an invoice: an hour on either side of a month's end
    would be billed twice, or never.
    """
    if unknown := set(wish) - CHANGEABLE:
        raise ValueError(f"these cannot be changed: {sorted(unknown)}")
    before = get(conn, customer_id)
    if wish.get("zone", before.zone) != before.zone:
        conn.execute(text("SELECT 1 FROM platform_pricing FOR UPDATE"))  # whoever issues at this moment comes first
        billed = text("SELECT EXISTS (SELECT FROM invoices WHERE customer_id = :id)")
        if conn.execute(billed, {"id": customer_id}).scalar_one():
            raise ZoneFixed(before.zone)
        require_zone(conn, wish["zone"])
    if wish:
        assignments = ", ".join(f"{name} = :{name}" for name in sorted(wish))
        update = f"UPDATE org_billing_config SET {assignments}, updated_at = now() WHERE customer_id = :customer"
        conn.execute(text(update), {**wish, "customer": customer_id})
    return get(conn, customer_id)


def listed(conn: Connection, *, after: UUID | None = None, limit: int = 100) -> list[Organisation]:
    """Return organisations in the order of their ids, a page at a time."""
    page = {"after": after or UUID(int=0), "limit": limit}
    make = (
        "INSERT INTO org_billing_config (customer_id, zone) SELECT id, zone FROM customers WHERE id > :after "
        "ORDER BY id LIMIT :limit ON CONFLICT DO NOTHING"
    )
    conn.execute(text(make), page)
    find = (
        f"SELECT {COLUMNS} FROM customers c JOIN org_billing_config o ON o.customer_id = c.id WHERE c.id > :after "
        "ORDER BY c.id LIMIT :limit"
    )
    return [Organisation(*row) for row in conn.execute(text(find), page)]


def search(conn: Connection, words: str, *, limit: int = 100) -> list[Organisation]:
    """Return organisations whose name or address for mail holds these words; those that pay by invoice stand first."""
    like = "%" + words.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
    find = text(
        "SELECT c.id FROM customers c LEFT JOIN org_billing_config o ON o.customer_id = c.id "
        "WHERE c.name ILIKE :like OR c.email ILIKE :like "
        "ORDER BY coalesce(o.pay_by_invoice, false) DESC, c.name, c.id LIMIT :limit"
    )
    ids = list(conn.execute(find, {"like": like, "limit": limit}).scalars())
    make = (
        "INSERT INTO org_billing_config (customer_id, zone) SELECT id, zone FROM customers WHERE id = ANY(:ids) "
        "ON CONFLICT DO NOTHING"
    )
    conn.execute(text(make), {"ids": ids})
    found = conn.execute(
        text(
            f"SELECT {COLUMNS} FROM customers c JOIN org_billing_config o ON o.customer_id = c.id "
            "WHERE c.id = ANY(:ids) ORDER BY o.pay_by_invoice DESC, c.name, c.id"
        ),
        {"ids": ids},
    )
    return [Organisation(*row) for row in found]


# ---- payment methods -------------------------------------------------------------------------------------------------


def payment_methods(conn: Connection, customer_id: UUID) -> list[PaymentMethod]:
    """Return what an organisation pays with, oldest first."""
    find = (
        "SELECT id, kind, label, stripe_payment_method_id, is_default, created_at FROM org_payment_methods "
        "WHERE customer_id = :id AND removed_at IS NULL ORDER BY created_at, id"
    )
    return [PaymentMethod(*row) for row in conn.execute(text(find), {"id": customer_id})]


def add_payment_method(
    conn: Connection, customer_id: UUID, kind: str, label: str, *, stripe_id: str | None = None, default: bool = False
) -> UUID:
    """Add a way to pay; as the default it takes the place of the one before."""
    get(conn, customer_id)
    if default:
        # Of two that come at once, the later one is the default, and none fails.
        conn.execute(text("SELECT 1 FROM org_billing_config WHERE customer_id = :id FOR UPDATE"), {"id": customer_id})
        undo = "UPDATE org_payment_methods SET is_default = false WHERE customer_id = :id AND is_default"
        conn.execute(text(undo), {"id": customer_id})
    add = text(
        "INSERT INTO org_payment_methods (customer_id, kind, label, stripe_payment_method_id, is_default) "
        "VALUES (:id, :kind, :label, :stripe, :default) RETURNING id"
    )
    given = {"id": customer_id, "kind": kind, "label": label, "stripe": stripe_id, "default": default}
    made: UUID = conn.execute(add, given).scalar_one()
    return made


def remove_payment_method(conn: Connection, customer_id: UUID, method_id: UUID) -> bool:
    """Remove a way to pay; tell whether it was there."""
    remove = text(
        "UPDATE org_payment_methods SET removed_at = now(), is_default = false "
        "WHERE id = :id AND customer_id = :customer AND removed_at IS NULL"
    )
    return conn.execute(remove, {"id": method_id, "customer": customer_id}).rowcount == 1
