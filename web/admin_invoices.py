"""For administrators: invoices previewed, issued, credited and paid, and the usage that they charge."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

from litestar import get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import RawBody
from sqlalchemy import Connection

from engine.invoicing.days import MOST_DAYS, month_of
from jobs.invoices.bank_file import read_bank_file
from jobs.invoices.creditor import creditor_of, previewer_of
from jobs.invoices.run import ended_somewhere
from jobs.invoices.usage import read_csv, read_json
from storage import clock
from storage.database import Database
from storage.invoicing import invoice_orders, invoices, invoices_pay, organisations, usage
from storage.invoicing.invoice_orders import Progress
from storage.invoicing.invoices import Issued
from storage.invoicing.invoices_issue import Billing
from web.admin_billing import customer_of
from web.auth import Caller
from web.billing_wire import plain, shown, whole
from web.inputs import (
    FIRST_YEAR,
    LAST_YEAR,
    Input,
    day,
    decode,
    given_reason,
    idempotency_key,
    identifier,
    identifier_field,
    line,
    page_size,
    query,
)
from web.problems import bad_input, conflict, nothing_here
from web.services import HttpRequest, PathId, TheServices

MONTH = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])")


class MonthWish(Input):
    """A month that is over, as `2030-01`."""

    month: str


class GenerateWish(Input):
    """A month that is over; `automatic`: only for organisations whose invoices are issued by themselves."""

    month: str
    automatic: bool = False


class NewPayment(Input):
    """What was paid, all that is open unless an amount is named. A negative one takes back what was booked wrongly."""

    amount: Decimal | None = None
    paid_on: date | None = None
    note: str = ""
    reason: str = ""


class CreditedLine(Input):
    """A line of an invoice by its place on it, from 1; all that is left of it, unless an amount is named."""

    line: int
    amount: Decimal | None = None


class NewCredit(Input):
    """Why a credit note is written, and of which lines; of all of them where none is named."""

    reason: str = ""
    lines: list[CreditedLine] | None = None


# ---- invoices --------------------------------------------------------------------------------------------------------


@get("/billing/organisations/{customer_id:str}/preview", sync_to_thread=True)
def preview_invoice(request: HttpRequest, services: TheServices, customer_id: PathId) -> dict[str, Any]:
    """Compute what a period costs: `?month=2030-01`, or `?from=` and `?until=`, both days within."""
    wanted = customer_of(customer_id)
    billing = Billing(previewer_of(services.settings))
    period = _period(request, services.database)
    with services.database.begin() as conn:
        return whole(billing.preview(conn, organisations.get(conn, wanted), *period))


@post("/billing/organisations/{customer_id:str}/issue", opt={"takes": MonthWish}, status_code=201, sync_to_thread=True)
def issue_invoice(request: HttpRequest, services: TheServices, customer_id: PathId, body: RawBody) -> dict[str, Any]:
    """Issue the invoice of a month that is over. 409 when there is nothing to pay for, or it is issued already."""
    wanted, month = customer_of(customer_id), _month(decode(MonthWish, body).month)
    caller: Caller = request.state.caller
    with services.database.begin() as conn:
        organisations.get(conn, wanted)
    billing = Billing(creditor_of(services.settings))

    made = services.database.transact("the invoice", lambda conn: billing.issue(conn, wanted, month, by=caller.actor))
    if made is None:
        words = f"There is nothing to pay for in {month:%Y-%m}. No number was used."
        raise conflict("NOTHING_TO_INVOICE", words)
    return {**shown(made), "withoutAddress": not made.invoice.debtor.has_place}


@post("/billing/generate", opt={"takes": GenerateWish}, status_code=202, sync_to_thread=True)
def generate_invoices(request: HttpRequest, services: TheServices, body: RawBody) -> dict[str, Any]:
    """Order a month's invoice for everybody who pays by invoice and has none yet; `url` tells how far it is.

    The controller issues them. A month that is on order already keeps its order: repeat it at will.
    """
    wish = decode(GenerateWish, body)
    month = _month(wish.month)
    caller: Caller = request.state.caller
    creditor_of(services.settings)  # the controller reads the same file: who orders is told now what is wrong
    with services.database.begin() as conn:
        ended_somewhere(conn, month)
        order, _ = invoice_orders.ask(conn, month, by=caller.actor, automatic=wish.automatic)
        return _order(invoice_orders.progress(conn, order.id))


@get("/billing/orders/{order_id:str}", sync_to_thread=True)
def show_order(services: TheServices, order_id: PathId) -> dict[str, Any]:
    """Show how far an order of a month's invoices is: `waiting`, `under_way`, `done`, or `refused` with the reason."""
    wanted = UUID(identifier(order_id, "order"))
    with services.database.begin() as conn:
        return _order(invoice_orders.progress(conn, wanted))


def _order(found: Progress) -> dict[str, Any]:
    """Write an order for the wire: the first hundred faults and invoices without an address are named."""
    order = found.order
    times = {name: getattr(order, name) for name in ("by", "asked_at", "begun_at", "ended_at")}
    about = {"orderId": str(order.id), "url": f"/api/admin/billing/orders/{order.id}", "month": f"{order.month:%Y-%m}"}
    counts = {"issued": found.issued, "nothing": found.nothing, "failed": found.failed, "left": found.left}
    lacking = [{"customerId": str(each.customer_id), "name": each.name} for each in found.warnings]
    faults = [{"customerId": str(each.customer_id), "reason": each.reason} for each in found.faults]
    more = {"warned": found.warned, "withoutAddress": lacking, "faults": faults, "outcome": order.outcome}
    state = {"automatic": order.automatic, "state": order.state}
    return {**about, **state, **plain(times), **counts, "total": str(found.total), **more}


@get("/billing/invoices", sync_to_thread=True)
def list_invoices(request: HttpRequest, services: TheServices) -> list[dict[str, Any]]:
    """List invoices and credit notes, newest first: `?customerId=`, `?limit=`, `?after=` the last id before."""
    about, after = query(request, "customerId", ""), query(request, "after", "")
    with services.database.begin() as conn:
        found = invoices.listed(
            conn,
            customer_id=UUID(identifier_field(about, "customerId")) if about else None,
            after=UUID(identifier_field(after, "after")) if after else None,
            limit=page_size(request),
        )
    return [shown(each) for each in found]


@get("/billing/invoices/{number:str}", sync_to_thread=True)
def show_invoice(services: TheServices, number: PathId) -> dict[str, Any]:
    """Show an invoice or credit note with its lines, payments and credit notes."""
    with services.database.begin() as conn:
        found = invoices.get(conn, _number(number))
        paid, notes = invoices.payments(conn, found.id), invoices.credit_notes(conn, found.id)
    names = ("amount", "paid_on", "source", "by", "note", "reason", "recorded_at")
    payments = [plain({name: getattr(each, name) for name in names}) for each in paid]
    more = {"payments": payments, "creditNotes": [shown(each) for each in notes]}
    return {**shown(found), "invoice": whole(found.invoice), **more}


@post("/billing/invoices/{number:str}/credit", opt={"takes": NewCredit}, status_code=201, sync_to_thread=True)
def credit_invoice(request: HttpRequest, services: TheServices, number: PathId, body: RawBody) -> dict[str, Any]:
    """Take an invoice back by a credit note, or some of its lines; its month may be invoiced anew once all of it is."""
    wish = decode(NewCredit, body) if body.strip() else NewCredit()
    reason = given_reason(wish.reason)
    parts = None if wish.lines is None else {each.line: each.amount for each in wish.lines}
    if parts is not None and wish.lines is not None and len(parts) < len(wish.lines):
        raise bad_input("A line is named twice.", field="lines")
    caller: Caller = request.state.caller

    def write(conn: Connection) -> Issued:
        wanted = invoices.get(conn, _number(number)).id
        return Billing(creditor_of(services.settings)).credit(conn, wanted, by=caller.actor, reason=reason, wish=parts)

    return shown(services.database.transact("the credit note", write))


@post("/billing/invoices/{number:str}/paid", opt={"takes": NewPayment}, status_code=200, sync_to_thread=True)
def pay_invoice(request: HttpRequest, services: TheServices, number: PathId, body: RawBody) -> dict[str, Any]:
    """Book a payment by hand, of all that is open or of a part; with an Idempotency-Key, once however often."""
    wish = decode(NewPayment, body) if body.strip() else NewPayment()
    caller: Caller = request.state.caller
    note, reason = line(wish.note, "note", 200) if wish.note else "", given_reason(wish.reason)
    paid_on = None if wish.paid_on is None else day(wish.paid_on, "paidOn")
    key = idempotency_key(request) if "idempotency-key" in request.headers else None

    def write(conn: Connection) -> Issued:
        found = invoices.get(conn, _number(number))
        more: dict[str, Any] = {"by": caller.actor, "paid_on": paid_on, "note": note, "reason": reason, "key": key}
        return invoices_pay.pay(conn, found.id, wish.amount, **more)

    return shown(services.database.transact("the payment", write))


@post("/billing/import", status_code=200, sync_to_thread=True)
def import_bank_file(request: HttpRequest, services: TheServices, body: RawBody) -> dict[str, Any]:
    """Book what a bank's camt.053 or camt.054 file reports, each payment once. The body is the file, taken whole."""
    caller: Caller = request.state.caller
    file = read_bank_file(body)

    def write(conn: Connection) -> invoices_pay.Imported:
        return invoices_pay.import_transfers(conn, file.payments, source="camt", by=caller.actor)

    found = services.database.transact("the bank's file", write)
    unmatched = [
        {
            "amount": str(each.transfer.amount),
            "currency": each.transfer.currency,
            "reference": each.transfer.reference,
            "payer": each.transfer.payer,
            "why": each.why,
            "line": each.transfer.line,
        }
        for each in found.unmatched
    ]
    booked = [{"number": number, "amount": str(amount)} for number, amount in found.booked]
    return {"booked": booked, "repeated": found.repeated, "leftOut": file.left_out, "unmatched": unmatched}


@post("/billing/usage", status_code=200, sync_to_thread=True)
def import_usage(request: HttpRequest, services: TheServices, body: RawBody) -> dict[str, int]:
    """Take usage in, as CSV (`tenant,kind,date,quantity`) or a JSON list of the same; `?source=` names who tells it."""
    source = line(query(request, "source", "api"), "source", 40)
    is_json = body.lstrip()[:1] == b"["
    told = read_json(body) if is_json else read_csv(body)
    taken = services.database.transact("usage", lambda conn: usage.take(conn, told, source=source))
    return {"added": taken.added, "repeated": taken.repeated, "late": taken.late}


def _number(words: str) -> str:
    if not words.isprintable() or len(words) > 60:
        raise nothing_here("invoice")
    return words


def _month(words: str) -> date:
    """Read a month such as `2030-01`; return its first day. Raises the 400."""
    found = MONTH.fullmatch(words)
    if found is None or not FIRST_YEAR <= int(found[1]) <= LAST_YEAR:
        raise bad_input("`month` is a month such as `2030-01`.", field="month")
    return month_of(int(found[1]), int(found[2]))[0]


def _period(request: HttpRequest, database: Database) -> tuple[date, date]:
    first, last = query(request, "from", ""), query(request, "until", "")
    if first or last:
        try:
            period = date.fromisoformat(first), date.fromisoformat(last)
        except ValueError:
            raise bad_input("`from` and `until` are days such as `2030-01-31`.", field="from") from None
        day(period[0], "from")
        day(period[1], "until")
        if not 0 <= (period[1] - period[0]).days < MOST_DAYS:
            raise bad_input("`until` is not before `from`, and at most ten years after it.", field="until")
        return period
    words = query(request, "month", "")
    if words:
        found = _month(words)
        return month_of(found.year, found.month)
    with database.begin() as conn:
        today = clock.now(conn).date()
    return month_of(today.year, today.month)


HANDLERS: tuple[HTTPRouteHandler, ...] = (
    preview_invoice,
    issue_invoice,
    generate_invoices,
    show_order,
    list_invoices,
    show_invoice,
    credit_invoice,
    pay_invoice,
    import_bank_file,
    import_usage,
)
