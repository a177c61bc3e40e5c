"""One invoice at the desk: lines, payments and letters; paying, taking back and crediting it, and the next reminder."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from sqlalchemy import Connection

from engine.invoicing.crediting import left_of
from jobs.invoices.creditor import creditor_of
from jobs.invoices.words import amount_text
from storage import clock, ledger_invoices, policies
from storage.invoicing import invoices, invoices_audit, invoices_pay, reminders_review
from storage.invoicing.invoices import Issued
from storage.invoicing.invoices_issue import Billing
from web.auth import Caller
from web.inputs import line
from web.pages.billing import number_in_path
from web.pages.billing_words import amount_of, day_of, paper
from web.pages.desk_billing import PAGE, billing
from web.pages.desk_words import deed, reason_of
from web.pages.forms import form_of
from web.pages.visitor import admins_only
from web.problems import bad_input, conflict
from web.services import HttpRequest, PathId, Services, TheServices

NOTE_CHARACTERS = 200
MOST_LINES = 2_000  # of an invoice that is credited in part by a form; others by the API
LINE = re.compile("line-[1-9][0-9]{0,4}")
NO_REMINDER = (
    "No reminder can be asked for now: the invoice is not due yet, is settled or overdue, or the reminder before "
    "has not left."
)


@get(f"{PAGE}/invoices/{{invoice:str}}", guards=[admins_only], sync_to_thread=True)
def show_invoice(request: HttpRequest, services: TheServices, invoice: PathId) -> Response[Any]:
    """Show an invoice or credit note: everything that is on it, and what became of it."""
    with services.database.begin() as conn:
        found = _invoice(conn, invoice)
        now = clock.now(conn)
        given = {
            "found": found,
            "payments": invoices.payments(conn, found.id),
            "credit_notes": invoices.credit_notes(conn, found.id),
            "left": left_of(found.invoice, invoices.taken(conn, found.id)) if found.kind == "invoice" else {},
            "letters": reminders_review.of_invoice(conn, found.id),
            "standing_of": reminders_review.state_of(conn, found.id),
            "corrected": None if found.corrects is None else invoices.get(conn, found.corrects),
        }
    return billing(request, "desk_billing_invoice.html", now, **given, invoice=found.invoice)


@get(f"{PAGE}/invoices/{{invoice:str}}/pdf", guards=[admins_only], sync_to_thread=True)
def download_invoice(services: TheServices, invoice: PathId) -> Response[bytes]:
    """Download an invoice or credit note."""
    with services.database.begin() as conn:
        found = _invoice(conn, invoice)
    return paper(found, services)


@post(f"{PAGE}/invoices/{{invoice:str}}/paid", guards=[admins_only])
async def pay(request: HttpRequest, services: TheServices, invoice: PathId) -> Response[Any]:
    """Book a payment by hand: all that is open, or a part."""
    form = await form_of(request)

    def work() -> str:
        amount = amount_of(form, "amount", "The amount")
        if amount is not None and amount <= 0:
            raise bad_input("A payment is more than 0. What was booked wrongly is taken back below.")
        found = _book(request, services, invoice, form, amount)
        return f"{found.number}: {amount_text(found.paid)} is paid, {amount_text(found.open)} is open."

    return await services.in_thread(deed, request, _page(invoice), work)


@post(f"{PAGE}/invoices/{{invoice:str}}/take-back", guards=[admins_only])
async def take_back(request: HttpRequest, services: TheServices, invoice: PathId) -> Response[Any]:
    """Take back a payment that was booked wrongly, or that the bank took back."""
    form = await form_of(request)

    def work() -> str:
        amount = amount_of(form, "amount", "The amount")
        if amount is None or amount <= 0:
            raise bad_input("Say how much is taken back, as an amount of more than 0.")
        found = _book(request, services, invoice, form, -amount)
        return f"{found.number}: {amount_text(amount)} is taken back, {amount_text(found.open)} is open."

    return await services.in_thread(deed, request, _page(invoice), work)


@post(f"{PAGE}/invoices/{{invoice:str}}/credit", guards=[admins_only])
async def credit(request: HttpRequest, services: TheServices, invoice: PathId) -> Response[Any]:
    """Take what is left of an invoice back by a credit note."""
    form = await form_of(request)
    return await services.in_thread(deed, request, _page(invoice), lambda: _credit(request, services, invoice, form))


@post(f"{PAGE}/invoices/{{invoice:str}}/credit-lines", guards=[admins_only])
async def credit_lines(request: HttpRequest, services: TheServices, invoice: PathId) -> Response[Any]:
    """Take amounts on lines of an invoice back by a credit note."""
    form = await form_of(request, most_fields=MOST_LINES)

    def work() -> str:
        return _credit(request, services, invoice, form, _parts(form))

    return await services.in_thread(deed, request, _page(invoice), work)


@post(f"{PAGE}/invoices/{{invoice:str}}/remind", guards=[admins_only])
async def remind(request: HttpRequest, services: TheServices, invoice: PathId) -> Response[Any]:
    """Ask for the next reminder. Never before the invoice is due, nor before the reminder before has left."""
    form = await form_of(request)
    caller: Caller = request.state.caller

    def work() -> str:
        reason = reason_of(form)

        def write(conn: Connection) -> ledger_invoices.InvoiceMoved:
            wanted = _invoice(conn, invoice)
            facts = {"invoice": wanted.number}
            invoices_audit.note(conn, wanted.id, "reminder_asked", by=caller.actor, reason=reason, facts=facts)
            given: dict[str, Any] = {"role": "admin", "actor": caller.actor, "world": services.world}
            policy = policies.in_force(conn)
            moved = ledger_invoices.move_invoice(conn, policy, wanted.id, "reminder_asked", **given)
            if moved is None or not any("ask_" in rule for rule in moved.rules):
                raise conflict("NO_REMINDER", NO_REMINDER)
            return moved

        moved = services.database.transact("the reminder", write)
        services.wake(moved.intents)
        return f"{invoice}: the {moved.to.replace('_', ' ')} is on its way by mail."

    return await services.in_thread(deed, request, _page(invoice), work)


def _book(
    request: HttpRequest, services: Services, number: str, form: Mapping[str, str], amount: Decimal | None
) -> Issued:
    """Book an amount, None for all that is open; a form that is sent twice counts once."""
    reason = reason_of(form)
    paid_on = day_of(form, "paid_on", "The day")
    note = line(form["note"], "note", NOTE_CHARACTERS) if form.get("note", "").strip() else ""
    caller: Caller = request.state.caller

    def write(conn: Connection) -> Issued:
        wanted, seen = _invoice(conn, number), amount_of(form, "seen", "What was paid")
        if seen is None:
            raise bad_input("The page did not say what was paid. Load it again.")
        more: dict[str, Any] = {"paid_on": paid_on, "note": note, "reason": reason, "seen": seen}
        return invoices_pay.pay(conn, wanted.id, amount, by=caller.actor, **more)

    return services.database.transact("the payment", write)


def _credit(
    request: HttpRequest,
    services: Services,
    number: str,
    form: Mapping[str, str],
    wish: Mapping[int, Decimal | None] | None = None,
) -> str:
    """Write a credit note, whole or as wished; whoever does so types the invoice's number."""
    reason = reason_of(form)
    if form.get("typed", "").strip() != number:
        raise bad_input("What was typed is not this invoice's number.")
    caller: Caller = request.state.caller
    maker = Billing(creditor_of(services.settings))

    def write(conn: Connection) -> tuple[Issued, Issued]:
        made = maker.credit(conn, _invoice(conn, number).id, by=caller.actor, reason=reason, wish=wish)
        return made, _invoice(conn, number)

    made, after = services.database.transact("the credit note", write)
    told = f"{number}: {amount_text(made.total)} is taken back by {made.number}"
    if after.credited_by:
        return f"{told}. Its month can be invoiced anew."
    return f"{told}, {amount_text(after.open)} is open."


def _parts(form: Mapping[str, str]) -> dict[int, Decimal | None]:
    """Read how much of which line is credited. Raises the 400."""
    fields = {name: int(name.removeprefix("line-")) for name in form if LINE.fullmatch(name)}
    read = {at: amount_of(form, name, f"The amount of line {at}") for name, at in fields.items()}
    found: dict[int, Decimal | None] = {at: amount for at, amount in read.items() if amount is not None}
    if not found:
        raise bad_input("Say how much of which line is credited.")
    return found


def _invoice(conn: Connection, number: str) -> Issued:
    return invoices.get(conn, number_in_path(number))


def _page(number: str) -> str:
    return f"{PAGE}/invoices/{number}"


HANDLERS: tuple[HTTPRouteHandler, ...] = (show_invoice, download_invoice, pay, take_back, credit, credit_lines, remind)
