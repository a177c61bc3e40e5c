"""Orders to issue a month for everybody: carried out by the controller, and how far each is.

How far is read off what became of each organisation (`invoice_runs`), so it is true also after a run that was killed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy import Connection, text

from storage import clock
from storage.invoicing.errors import UnknownOrder

State = Literal["waiting", "under_way", "done", "refused"]
NAMES: Final = "id, month, automatic, by, asked_at, begun_at, ended_at, outcome"
FIND: Final = f"SELECT {NAMES} FROM invoice_orders"
# One that is open stays as it is; only so does the statement return it, and hold it until this transaction ends.
ASK: Final = text(
    "INSERT INTO invoice_orders (month, automatic, by, asked_at) VALUES (:month, :automatic, :by, :now) "
    "ON CONFLICT (month, automatic) WHERE ended_at IS NULL DO UPDATE SET by = invoice_orders.by "
    f"RETURNING {NAMES}, xmax = 0 AS is_new"
)
BEGIN: Final = text("UPDATE invoice_orders SET begun_at = coalesce(begun_at, :now) WHERE id = :id")
END: Final = text("UPDATE invoice_orders SET ended_at = :now, outcome = :outcome WHERE id = :id AND ended_at IS NULL")
DONE: Final = text(
    "SELECT count(*) FILTER (WHERE r.outcome = 'issued'), count(*) FILTER (WHERE r.outcome = 'nothing'), "
    "count(*) FILTER (WHERE r.outcome = 'failed'), coalesce(sum(i.total), 0), "
    "count(*) FILTER (WHERE r.outcome = 'issued' AND r.reason <> '') FROM invoice_runs r "
    "JOIN org_billing_config o ON o.customer_id = r.customer_id AND (o.auto_invoices OR NOT :automatic) "
    "LEFT JOIN invoices i ON i.id = r.invoice_id WHERE r.month = :month AND r.at >= :since AND r.at <= :until"
)
LEFT: Final = text(
    "SELECT count(*) FROM org_billing_config o WHERE o.pay_by_invoice "
    "AND (o.auto_invoices OR NOT :automatic) "
    "AND NOT EXISTS (SELECT FROM invoices i WHERE i.customer_id = o.customer_id AND i.kind = 'invoice' "
    "AND i.first_on = :month) "
    "AND NOT EXISTS (SELECT FROM invoice_runs r WHERE r.customer_id = o.customer_id AND r.month = :month "
    "AND r.at >= :since)"
)
FAULTS: Final = text(
    "SELECT r.customer_id, c.name, r.reason FROM invoice_runs r JOIN customers c ON c.id = r.customer_id "
    "JOIN org_billing_config o ON o.customer_id = r.customer_id AND (o.auto_invoices OR NOT :automatic) "
    "WHERE r.month = :month AND r.outcome = :what AND (r.outcome = 'failed' OR r.reason <> '') "
    "AND r.at >= :since AND r.at <= :until "
    "ORDER BY c.name, c.id LIMIT :limit"
)


@dataclass(frozen=True, slots=True)
class Order:
    """One order. `outcome` says why it ended without a run; empty: it ran, or still does."""

    id: UUID
    month: date
    automatic: bool
    """Only for organisations whose invoices are issued by themselves."""
    by: str
    asked_at: datetime
    begun_at: datetime | None
    ended_at: datetime | None
    outcome: str

    @property
    def state(self) -> State:
        """Say how far it is."""
        if self.ended_at is not None:
            return "refused" if self.outcome else "done"
        return "waiting" if self.begun_at is None else "under_way"


@dataclass(frozen=True, slots=True)
class Fault:
    """An organisation whose invoice could not be issued, or was and has something wrong with it."""

    customer_id: UUID
    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an order is."""

    order: Order
    issued: int
    nothing: int
    """Organisations with nothing to pay for."""
    failed: int
    total: Decimal
    left: int
    """Organisations that nobody has come to yet; none once it has ended."""
    faults: tuple[Fault, ...]
    warned: int
    """Of those issued, how many lack something, such as the place of their recipient."""
    warnings: tuple[Fault, ...]


def ask(conn: Connection, month: date, *, by: str, automatic: bool = False) -> tuple[Order, bool]:
    """Order a month, by its first day; return the order, and whether it was not on order already."""
    row = conn.execute(ASK, {"month": month, "automatic": automatic, "by": by, "now": clock.now(conn)}).one()
    return Order(*row[:-1]), row.is_new


def next_open(conn: Connection) -> Order | None:
    """Return the oldest order that has not ended, noted as begun; again after whoever carried it out has died."""
    row = conn.execute(text(f"{FIND} WHERE ended_at IS NULL ORDER BY asked_at, id LIMIT 1")).one_or_none()
    if row is None:
        return None
    conn.execute(BEGIN, {"id": row.id, "now": clock.now(conn)})
    return Order(*row)


def end(conn: Connection, order: Order, outcome: str = "") -> None:
    """Note that an order was carried out, or why it was not."""
    conn.execute(END, {"id": order.id, "now": clock.now(conn), "outcome": outcome})


def newest(conn: Connection, *, faults: int = 20) -> Progress | None:
    """Return how far the newest order is, with its first faults and warnings; None: there never was one."""
    row = conn.execute(text(f"{FIND} ORDER BY asked_at DESC, id LIMIT 1")).one_or_none()
    return None if row is None else _progress(conn, Order(*row), faults)


def progress(conn: Connection, order_id: UUID, *, faults: int = 100) -> Progress:
    """Return how far an order is, with its first faults and warnings. Raises UnknownOrder."""
    row = conn.execute(text(f"{FIND} WHERE id = :id"), {"id": order_id}).one_or_none()
    if row is None:
        raise UnknownOrder(order_id)
    return _progress(conn, Order(*row), faults)


def _progress(conn: Connection, order: Order, faults: int) -> Progress:
    about: dict[str, Any] = {
        "automatic": order.automatic,
        "month": order.month,
        "since": order.asked_at,
        "until": order.ended_at or clock.now(conn),
    }
    issued, nothing, failed, total, warned = conn.execute(DONE, about).one()
    left: int = 0 if order.ended_at else conn.execute(LEFT, about).scalar_one()
    found, lacking = (
        tuple(Fault(*each) for each in conn.execute(FAULTS, {**about, "what": what, "limit": faults}))
        for what in ("failed", "issued")
    )
    return Progress(order, issued, nothing, failed, total, left, found, warned, lacking)
