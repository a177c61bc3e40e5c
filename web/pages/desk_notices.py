"""Every notice as a customer would read it, in both forms, with made-up values: what is sent is `jobs.notices`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from engine.effects import CREDIT_NOTE
from engine.invoicing.days import month_of
from engine.invoicing.invoice import Invoice, InvoiceKind, Party
from engine.languages import ENGLISH
from engine.model import IntentKind, Policy
from engine.notices import FIELDS, FieldValue, fields_of, words_in, write
from jobs.invoices.letters import Standing, written_letter
from jobs.letters import forms
from jobs.letters.forms import Paper
from jobs.notices import amounts, invoice_lines
from storage import clock, policies
from storage.owed import OwedInvoice, pay_url
from storage.settings import Settings
from web.inputs import bounded_query
from web.pages.desk_words import desk
from web.pages.render import HEADERS, showing_frames
from web.pages.visitor import admins_only
from web.problems import nothing_here
from web.services import HttpRequest, PathId, TheServices

CUSTOMER = "Ada Example"
OWED = (OwedInvoice("A1B2C3D4-0007", 1900, "eur", None), OwedInvoice("A1B2C3D4-0008", 250, "eur", None))


@dataclass(frozen=True, slots=True)
class Preview:
    """One notice, written."""

    name: str
    subject: str
    text: str
    promises: str | None
    names: tuple[str, ...]
    """The fields that its words name: it waits while one is not known."""
    language: str
    """English where the one that was asked for has no text of it."""


@get("/admin/notices", guards=[admins_only], sync_to_thread=True)
def show_notices(request: HttpRequest, services: TheServices) -> Response[Any]:
    """Show every notice of the policy in force, written for a customer who does not exist."""
    with services.database.begin() as conn:
        policy, now = policies.in_force(conn), clock.now(conn)
    language = _language(request, policy)
    shown = desk(
        request,
        "desk_notices.html",
        now,
        previews=[preview(policy, name, services.settings, now, language) for name in policy.notices],
        languages=sorted({ENGLISH, *policy.letter_words}),
        language=language,
    )
    return showing_frames(shown)


@get("/admin/notices/{name:str}", guards=[admins_only], sync_to_thread=True)
def show_letter(request: HttpRequest, services: TheServices, name: PathId) -> Response[str]:
    """Show one notice as a mail program would, by itself: nothing is loaded and nothing runs in it."""
    with services.database.begin() as conn:
        policy, now = policies.in_force(conn), clock.now(conn)
    if name not in policy.notices:
        raise nothing_here("notice")
    html = forms.html_of(paper_of(policy, name, services.settings, now, _language(request, policy)))
    only = f"default-src 'none'; style-src {forms.style_source(html)}; sandbox; frame-ancestors 'self'"
    return Response(html, media_type="text/html", headers={**HEADERS, "Content-Security-Policy": only})


def _language(request: HttpRequest, policy: Policy) -> str:
    asked = bounded_query(request, "language", 10)
    return asked if asked in policy.letter_words else ENGLISH


def preview(policy: Policy, name: str, settings: Settings, now: datetime, language: str) -> Preview:
    """Write one notice of a policy."""
    used, words = words_in(policy.notices[name], language)
    paper = paper_of(policy, name, settings, now, language)
    promises = policy.intents[name].promises if name in policy.intents else None
    return Preview(name, paper.subject, forms.text_of(paper), promises, fields_of(words.whole), used)


def paper_of(policy: Policy, name: str, settings: Settings, now: datetime, language: str) -> Paper:
    """Write one notice of a policy as it would be sent; what is owed stands below those that are about a debt."""
    if policy.intents[name].kind is IntentKind.LETTER:
        return written_letter(policy, name, made_up_invoice(now, name), settings, language)[1]
    used, words = words_in(policy.notices[name], language)
    written = write(policy, name, made_up(settings, now, used), language=used)
    owed = OWED if "pay_url" in fields_of(words.whole) else ()
    return forms.notice(written, invoice_lines(owed, used), pay_url(owed, settings))


def made_up(settings: Settings, now: datetime, language: str = ENGLISH) -> dict[str, FieldValue]:
    """Return a value for every field that a notice may name."""
    of_kind: dict[str, FieldValue] = {
        "text": "…",
        "instant": now + timedelta(days=7),
        "list": ["overworld", "creative"],
    }
    values = {name: of_kind[kind] for name, kind in FIELDS.items()}
    known: dict[str, FieldValue] = {
        "customer_name": CUSTOMER,
        "account_id": "00000000-0000-4000-8000-000000000000",
        "plan": "game",
        "amount_due": amounts(OWED, language),
        "pay_url": pay_url(OWED, settings),
        "confirm_url": pay_url(OWED, settings),
        "portal_url": settings.portal_url,
        "support_email": settings.support_email,
    }
    return values | known


def made_up_invoice(now: datetime, letter: str) -> Standing:
    """Return an invoice of last month, of which a part is paid; for the letter about one, with a credit note."""
    first_on, last_on = month_of(*((now.year, now.month - 1) if now.month > 1 else (now.year - 1, 12)))
    sender = Party("Example Hosting AG", "Seestrasse", "12a", "8001", "Zürich", "CH")
    invoice = Invoice(
        kind=InvoiceKind.INVOICE,
        number=f"F{last_on.year}-00042",
        corrects=None,
        organisation=CUSTOMER,
        creditor=sender,
        debtor=replace(sender, name=CUSTOMER),
        iban="CH5800791123000889012",
        reference="RF18539007547034",
        currency="CHF",
        first_on=first_on,
        last_on=last_on,
        issued_on=last_on + timedelta(days=1),
        due_on=last_on + timedelta(days=31),
        lines=(),
        vat_lines=(),
        net=Decimal("49.00"),
        vat=Decimal("3.97"),
        total=Decimal("52.97"),
    )
    if letter != CREDIT_NOTE:
        return Standing(invoice, Decimal("20.00"), Decimal(0), CUSTOMER)
    note = replace(invoice, kind=InvoiceKind.CREDIT_NOTE, number=f"F{last_on.year}-00043", total=Decimal("9.73"))
    return Standing(invoice, Decimal("20.00"), note.total, CUSTOMER, note)


HANDLERS: tuple[HTTPRouteHandler, ...] = (show_notices, show_letter)
