"""Every kind of document that is issued keeps all business rules of EN 16931, and one that does not is found."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
import yaml

from engine.invoicing.compute import vat_of
from engine.invoicing.crediting import credit
from engine.invoicing.invoice import Invoice, Line, LineKind
from jobs.invoices.e_invoice import e_invoice
from tests.examples.test_invoices import FILES, computed
from tests.jobs.invoices.business_rules import broken_rules
from tests.jobs.invoices.papers import ACCOUNT, QR_ACCOUNT, QR_REFERENCE, REFERENCE, creditor, debtor, invoice, line
from tests.jobs.invoices.papers import untaxed as without_tax

ABROAD = debtor(country="DE", vat_id="DE123456789")
LONG = "Müller & Söhne «Gletscher» \N{SNOWFLAKE} <GmbH> " * 20


def issued(found: Invoice, **changes: Any) -> Invoice:
    """Issue what was computed."""
    own = {"number": "F2031-00007", "issued_on": date(2031, 1, 3), "due_on": date(2031, 2, 2), "iban": ACCOUNT}
    return replace(found, **{**own, "reference": REFERENCE, "creditor": creditor(), **changes})


def of_lines(*lines: Line, **changes: Any) -> Invoice:
    """Issue lines at whatever rates they have."""
    taxed = vat_of(lines)
    net, vat = sum((each.amount for each in lines), Decimal("0.00")), sum((each.vat for each in taxed), Decimal("0.00"))
    return invoice(*lines, vat_lines=taxed, net=net, vat=vat, total=net + vat, **changes)


def many() -> list[Line]:
    """Lines of all kinds, units and roundings, at two rates."""
    messages: dict[str, Any] = {
        "kind": LineKind.USAGE,
        "unit": "message",
        "quantity": Decimal(18234),
        "unit_price": Decimal("0.00150"),
    }
    days: dict[str, Any] = {
        "kind": LineKind.SKILL,
        "unit": "day",
        "quantity": Decimal(7),
        "unit_price": Decimal("0.33333"),
    }
    spend: dict[str, Any] = {
        "kind": LineKind.USAGE,
        "unit": "unit",
        "quantity": Decimal("12.34567"),
        "unit_price": Decimal("1.20000"),
    }
    each = [line("27.35", **messages), line("2.33", **days), line("14.81", **spend), line("99.00", unit="once")]
    return [replace(found, tenant=f"t{at}", vat_percent=rate) for at, rate in enumerate(RATES) for found in each]


RATES = [Decimal("8.10"), Decimal("7.70")]


def documents() -> Iterator[tuple[str, Invoice]]:
    """Return every kind of document, with what it is."""
    for path in FILES:
        given = yaml.safe_load(path.read_text("utf-8"))
        yield path.stem, issued(computed(given), debtor=debtor(country=given["country"]))
    whole = invoice(line("29.00"), line("49.00"), line("0.05"))
    yield "to a QR account", replace(whole, iban=QR_ACCOUNT, reference=QR_REFERENCE)
    yield "without an account", replace(whole, iban=None, reference=None)
    yield "in euros", replace(whole, currency="EUR")
    yield "in German", replace(whole, language="de")
    yield "many lines at two rates", of_lines(*many())
    yield "long and hostile names", replace(whole, debtor=debtor(name=LONG, town=LONG), organisation=LONG)
    yield "without an address", replace(whole, debtor=debtor(street="", house_number="", postal_code="", town=""))
    yield "at a rate of zero", without_tax()
    yield "abroad", without_tax(debtor=ABROAD)
    yield "by a sender without a VAT number", without_tax(creditor=creditor(vat_id=None))
    yield "paid at once", replace(whole, due_on=whole.issued_on)
    earlier: dict[str, Any] = {
        "first_on": date(2026, 8, 3),
        "last_on": date(2026, 8, 30),
        "text": "Messages, told late for 2026-08",
    }
    yield "usage told late", of_lines(line("29.00"), line("0.50", **earlier))
    yield "nothing to pay", of_lines(line("0.00", unit_price=Decimal("0.00")))
    yield "all of it credited", credit(whole, "F2026-00043", date(2026, 11, 9))
    yield "a line credited", credit(whole, "F2026-00043", date(2026, 11, 9), {3: Decimal("0.05")})
    taken = {1: Decimal("9.99"), 2: Decimal("0.03")}
    yield "an amount credited", credit(whole, "F2026-00043", date(2026, 11, 9), taken)
    yield "the rest credited", credit(whole, "F2026-00044", date(2026, 11, 9), {1: Decimal("19.01")}, taken)
    two = of_lines(*many())
    yield "of two rates a part", credit(two, "F2026-00045", date(2026, 11, 9), {1: Decimal("0.01"), 6: Decimal("2.00")})
    yield "abroad, credited", credit(without_tax(debtor=ABROAD), "F2026-00046", date(2026, 11, 9))


@pytest.mark.parametrize("document", [pytest.param(found, id=what) for what, found in documents()])
def test_it_keeps_every_rule(document: Invoice) -> None:
    assert broken_rules(e_invoice(document)) == []


VAT_NUMBER = b'<ram:SpecifiedTaxRegistration><ram:ID schemeID="VA">CHE1</ram:ID></ram:SpecifiedTaxRegistration>'
RATE = b"<ram:RateApplicablePercent>0</ram:RateApplicablePercent>"


@pytest.mark.parametrize(
    ("there", "instead", "broken"),
    [
        (rb"<ram:DuePayableAmount>[^<]*<", b"<ram:DuePayableAmount>1.00<", {"BR-CO-16"}),
        (rb"<ram:LineTotalAmount>31.35<", b"<ram:LineTotalAmount>31.36<", {"BR-CO-13", "BR-S-08"}),
        (rb"<ram:CalculatedAmount>[^<]*<", b"<ram:CalculatedAmount>9.99<", {"BR-CO-14", "BR-CO-17", "BR-S-09"}),
        (rb"<ram:TypeCode>380<", b"<ram:TypeCode>999<", {"FX-SCH-A-000555"}),
        (rb"<ram:GrandTotalAmount>([0-9.]*)<", rb"<ram:GrandTotalAmount>\g<1>1<", {"BR-DEC-14", "BR-CO-15"}),
        (rb"(<ram:ApplicableHeaderTradeDelivery>).*(</ram:ApplicableHeaderTradeDelivery>)", rb"\1\2",
         {"PEPPOL-EN16931-R008"}),
    ],
)  # fmt: skip
def test_what_breaks_a_rule_is_found(there: bytes, instead: bytes, broken: set[str]) -> None:
    xml = e_invoice(invoice(line("31.35")))
    changed = re.sub(there, instead, xml, flags=re.DOTALL)
    assert changed != xml
    assert broken <= set(broken_rules(changed))


@pytest.mark.parametrize(
    ("there", "instead", "broken"),
    [
        (rb"(<ram:CategoryCode>O</ram:CategoryCode>)(?=\s*</)", rb"\1" + RATE, "BR-O-05"),
        (rb"<ram:ExemptionReason(Code)?>[^<]*</ram:ExemptionReason(Code)?>", b"", "BR-O-10"),
        (rb"(</ram:SellerTradeParty>)", VAT_NUMBER + rb"\1", "BR-O-02"),
        (rb'<ram:ID schemeID="0183">[^<]*</ram:ID>', b"", "BR-CO-26"),
    ],
)
def test_what_is_wrong_outside_of_the_vat_is_found(there: bytes, instead: bytes, broken: str) -> None:
    assert broken in broken_rules(re.sub(there, instead, e_invoice(without_tax(debtor=ABROAD))))
