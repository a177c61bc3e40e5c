"""The monthly run: every organisation that pays by invoice gets the month's invoice once, a few in each transaction.

It can be stopped anywhere and begun again: who has their invoice is passed over. Organisations are read a page at a
time, so the run takes the same memory for any number of them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from engine.invoicing.creditor import Creditor
from engine.invoicing.days import month_of
from storage import clock
from storage.database import Database, is_lost
from storage.errors import StorageError
from storage.garbage import no_collecting
from storage.invoicing import organisations
from storage.invoicing.errors import MonthNotOver
from storage.invoicing.invoices_issue import Billing, Made
from storage.invoicing.organisations import Organisation

PAGE: Final = 200
BATCH: Final = 20
FAULTS_KEPT: Final = 100
NO_PLACE: Final = "it names no place of its recipient"
FIRST_ZONE: Final = timedelta(hours=14)
"""How far the first zone on Earth is ahead of UTC: there a month ends first."""
log = logging.getLogger(__name__)
WAITING: Final = (
    "FROM org_billing_config o WHERE o.pay_by_invoice AND (o.auto_invoices OR NOT :automatic) AND NOT EXISTS "
    "(SELECT FROM invoices i WHERE i.customer_id = o.customer_id AND i.kind = 'invoice' AND i.first_on = :month) "
    "AND (NOT :again OR EXISTS (SELECT FROM invoice_runs r WHERE r.customer_id = o.customer_id AND r.month = :month "
    "AND r.outcome = 'failed'))"
)
NEXT: Final = text(f"SELECT o.customer_id {WAITING} AND o.customer_id > :after ORDER BY o.customer_id LIMIT :limit")
COUNT: Final = text(f"SELECT count(*) {WAITING}")
FAILED: Final = text(
    "SELECT DISTINCT r.month FROM invoice_runs r JOIN org_billing_config o ON o.customer_id = r.customer_id "
    "WHERE r.outcome = 'failed' AND r.month < :month AND o.pay_by_invoice AND o.auto_invoices AND NOT EXISTS "
    "(SELECT FROM invoices i WHERE i.customer_id = r.customer_id AND i.kind = 'invoice' AND i.first_on = r.month) "
    "ORDER BY r.month"
)
# Months between the one that somebody was billed for last and this one, in which a tenant of theirs lived.
PASSED_OVER: Final = text(
    "SELECT CAST(m.at AS date) AS month, count(*) AS number FROM org_billing_config o "
    "JOIN (SELECT customer_id, max(month) AS newest FROM invoice_runs WHERE month < :month GROUP BY customer_id) n "
    "ON n.customer_id = o.customer_id CROSS JOIN LATERAL "
    "generate_series(n.newest + interval '1 month', :month - interval '1 month', interval '1 month') AS m(at) "
    "WHERE o.pay_by_invoice AND o.auto_invoices AND NOT EXISTS (SELECT FROM invoices i "
    "WHERE i.customer_id = o.customer_id AND i.kind = 'invoice' AND i.first_on = CAST(m.at AS date)) "
    "AND EXISTS (SELECT FROM tenant_billing_lifecycle l WHERE l.customer_id = o.customer_id AND l.event = 'created' "
    "AND l.at < m.at + interval '1 month' AND NOT EXISTS (SELECT FROM tenant_billing_lifecycle d "
    "WHERE d.server_id = l.server_id AND d.event = 'deleted' AND d.at < m.at)) GROUP BY m.at ORDER BY m.at"
)
NOTE: Final = text(
    "INSERT INTO invoice_runs (month, customer_id, outcome, invoice_id, reason, at) "
    "VALUES (:month, :customer, :outcome, :invoice, :reason, :now) ON CONFLICT (month, customer_id) DO UPDATE SET "
    "outcome = excluded.outcome, invoice_id = excluded.invoice_id, reason = excluded.reason, at = excluded.at "
    "WHERE invoice_runs.outcome <> 'issued'"
)


@dataclass(slots=True)
class Report:
    """What a run did."""

    month: date
    issued: int = 0
    nothing: int = 0
    """Organisations with nothing to pay for."""
    failed: int = 0
    warned: int = 0
    """Of those issued, how many name no place of their recipient."""
    total: Decimal = Decimal("0.00")
    warnings: list[tuple[UUID, str]] = field(default_factory=list)
    """The first hundred of these organisations, and their names."""
    faults: list[tuple[UUID, str]] = field(default_factory=list)
    """The first hundred that failed, and why; the next run tries them again."""

    @property
    def done(self) -> int:
        """Return how many organisations were looked at."""
        return self.issued + self.nothing + self.failed


def waiting(database: Database, month: date, *, automatic: bool = False) -> int:
    """Count the organisations that have no invoice for a month yet."""
    with database.begin() as conn:
        given = {"month": first_of(month), "automatic": automatic, "again": False}
        found: int = conn.execute(COUNT, given).scalar_one()
    return found


def failed_before(database: Database, month: date) -> list[date]:
    """Return the earlier months of which an invoice could not be issued by itself, and is still missing."""
    with database.begin() as conn:
        return list(conn.execute(FAILED, {"month": first_of(month)}).scalars())


def passed_over(database: Database, month: date) -> dict[date, int]:
    """Return the earlier months that no run has looked at for somebody, and for how many: nobody ran for so long."""
    with database.begin() as conn:
        return {row.month: row.number for row in conn.execute(PASSED_OVER, {"month": first_of(month)})}


def run(
    database: Database,
    creditor: Creditor,
    month: date,
    *,
    by: str,
    automatic: bool = False,
    again: bool = False,
    tell: Callable[[Report], None] = lambda _: None,
) -> Report:
    """Issue the invoices of a month that is over. automatic: only for those whose invoices are issued by themselves.

    again: only for those for whom it failed before. tell: is called after each batch. A month that is not over yet
    somewhere fails there, and there alone. Raises MonthNotOver where it is over nowhere.
    """
    report = Report(first_of(month))
    with database.begin() as conn:
        ended_somewhere(conn, month)
    billing = Billing(creditor)
    for page in _pages(database, report.month, automatic=automatic, again=again):
        for batch in (page[start : start + BATCH] for start in range(0, len(page), BATCH)):
            if not _issue(database, billing, batch, report, by):
                for customer in batch:
                    _issue(database, billing, [customer], report, by)
            tell(report)
    return report


def first_of(month: date) -> date:
    """Return the first day of the month of a day."""
    return month_of(month.year, month.month)[0]


def ended_somewhere(conn: Connection, month: date) -> None:
    """Raise MonthNotOver for a month that is not over anywhere on Earth."""
    _, last_on = month_of(month.year, month.month)
    if (clock.now(conn) + FIRST_ZONE).date() <= last_on:
        raise MonthNotOver(month, "any zone")


def _pages(database: Database, month: date, *, automatic: bool, again: bool) -> Iterator[list[UUID]]:
    after = UUID(int=0)
    while True:
        with database.begin() as conn:
            given = {"month": month, "automatic": automatic, "again": again, "after": after, "limit": PAGE}
            page = list(conn.execute(NEXT, given).scalars())
        if page:
            yield page
        if len(page) < PAGE:
            return
        after = page[-1]


def _issue(database: Database, billing: Billing, customers: Sequence[UUID], report: Report, by: str) -> bool:
    """Issue for some organisations in one transaction; of several, none where one of them cannot be. Tell whether."""

    def work(conn: Connection) -> list[tuple[Organisation, Made | None]]:
        found = organisations.of(conn, customers)
        with no_collecting():
            made = billing.issue_many(conn, found, report.month, by=by)
        rows = [
            _row(
                report.month,
                organisation.customer_id,
                "issued" if each else "nothing",
                each,
                _warning(organisation, each),
            )
            for organisation, each in zip(found, made, strict=True)
        ]
        now = clock.now(conn)
        conn.execute(NOTE, [{**row, "now": now} for row in rows])
        return list(zip(found, made, strict=True))

    try:
        made = database.transact(f"invoices of {report.month:%Y-%m}", work)
    except Exception as error:
        # Whatever is wrong with one organisation, known or not, keeps no other from its invoice.
        if is_lost(error):
            raise
        if len(customers) > 1:
            return False
        if not isinstance(error, StorageError | IntegrityError):
            log.exception("the invoice of organisation %s could not be made", customers[0])
        _failed(database, customers[0], report, error)
        return True
    for organisation, each in made:
        if each is None:
            report.nothing += 1
        else:
            report.issued += 1
            report.total += each.total
            if _warning(organisation, each):
                report.warned += 1
                if len(report.warnings) < FAULTS_KEPT:
                    report.warnings.append((organisation.customer_id, organisation.name))
    return True


def _warning(organisation: Organisation, made: Made | None) -> str:
    """Return what is wrong with an invoice that was issued all the same; empty: nothing."""
    return "" if made is None or organisation.party.has_place else NO_PLACE


def _failed(database: Database, customer: UUID, report: Report, error: Exception) -> None:
    """Note why an organisation has no invoice; one that somebody else issued at this moment has one."""
    if "invoices_month" in str(error):
        return
    reason = str(error).partition("\n")[0]
    with database.begin() as conn:
        row = _row(report.month, customer, "failed", None, reason)
        conn.execute(NOTE, {**row, "now": clock.now(conn)})
    report.failed += 1
    if len(report.faults) < FAULTS_KEPT:
        report.faults.append((customer, reason))


def _row(month: date, customer: UUID, outcome: str, made: Made | None, reason: str = "") -> dict[str, object]:
    about = {"month": month, "customer": customer, "outcome": outcome, "reason": reason}
    return {**about, "invoice": made.id if made else None}
