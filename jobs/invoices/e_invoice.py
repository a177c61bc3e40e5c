"""An invoice as the XML that accounting programs read: EN 16931, in the syntax of UN/CEFACT CII (Factur-X, ZUGFeRD)."""

from __future__ import annotations

import re
from decimal import Decimal

from drafthorse.models.accounting import ApplicableTradeTax
from drafthorse.models.document import Document
from drafthorse.models.party import TaxRegistration, TradeParty
from drafthorse.models.payment import PaymentMeans, PaymentTerms
from drafthorse.models.tradelines import LineItem

from engine.invoicing.invoice import Invoice, InvoiceKind, Line, Party, VatLine
from jobs.invoices.labels import Untaxed, untaxed

PROFILE = "urn:cen.eu:en16931:2017"
SCHEMA = "FACTUR-X_EN16931"
TYPE_CODES = {InvoiceKind.INVOICE: "380", InvoiceKind.CREDIT_NOTE: "381"}
"""UNTDID 1001."""
UNIT_CODES = {"day": "DAY", "month": "MON"}
"""UN/ECE Recommendation 20; anything else is counted in pieces."""
NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
ENTERPRISE = re.compile(r"CHE-?([0-9]{3})\.?([0-9]{3})\.?([0-9]{3})(?![0-9])")
"""The number of a Swiss enterprise, with which its VAT number begins."""
REGISTER = "0183"
"""ISO 6523: the register of Swiss enterprises."""
NOT_SUBJECT = "VATEX-EU-O"
"""The code of the European list for what is outside of the VAT."""
CREDIT_TRANSFER = "30"
"""UNTDID 4461."""


def e_invoice(invoice: Invoice) -> bytes:
    """Return the XML of an issued invoice or credit note, checked against the schema of its profile.

    The same invoice gives the same bytes. Raises ValueError for a preview, which is no document yet.
    """
    if invoice.number is None or invoice.issued_on is None:
        raise ValueError("a preview has no number; issue it first")
    document = Document()
    document.context.guideline_parameter.id = PROFILE
    document.header.id = invoice.number
    document.header.type_code = TYPE_CODES[invoice.kind]
    document.header.issue_date_time = invoice.issued_on
    without = untaxed(invoice)
    for position, line in enumerate(invoice.lines, start=1):
        document.trade.items.add(_item(position, line, without))
    seller, buyer = document.trade.agreement.seller, document.trade.agreement.buyer
    for party, who in ((seller, invoice.creditor), (buyer, invoice.debtor)):
        _write_party(party, who)
        if without is None:
            _write_vat_number(party, who)
    if without is not None:
        _write_identifier(seller, invoice.creditor)
    buyer.id = _text(invoice.organisation)
    # BT-72: a service of a period is supplied when it ends. Without it the part would be empty, which nothing may be.
    document.trade.delivery.event.occurrence = invoice.last_on
    _write_settlement(document, invoice)
    written: bytes = document.serialize(schema=SCHEMA)
    return written


def _write_party(party: TradeParty, who: Party) -> None:
    party.name = _text(who.name)
    party.address.line_one = _text(f"{who.street} {who.house_number}".strip())
    party.address.postcode = _text(who.postal_code)
    party.address.city_name = _text(who.town)
    party.address.country_id = who.country
    if who.email is not None:
        party.electronic_address.uri_ID = ("EM", _text(who.email))


def _write_vat_number(party: TradeParty, who: Party) -> None:
    if who.vat_id is not None:
        registration = TaxRegistration()
        registration.id = ("VA", _text(who.vat_id))
        party.tax_registrations.add(registration)


def _write_identifier(seller: TradeParty, who: Party) -> None:
    """Name the seller otherwise than by a VAT number, which nobody may name who charges outside of the VAT.

    EN 16931, BR-O-02 and BR-CO-26: the number of the Swiss register of enterprises, which theirs holds, or the name.
    """
    number = ENTERPRISE.match(who.vat_id or "")
    if number is None:
        seller.id = _text(who.name)
    else:
        seller.legal_organization.id = (REGISTER, "CHE" + "".join(number.groups()))


def _item(position: int, line: Line, without: Untaxed | None) -> LineItem:
    item = LineItem()
    item.document.line_id = str(position)
    item.product.name = _text(line.text)
    if line.tenant is not None:
        item.product.description = _text(line.tenant)
    item.agreement.net.amount = line.unit_price
    item.delivery.billed_quantity = (line.quantity, UNIT_CODES.get(line.unit, "C62"))
    item.settlement.trade_tax.type_code = "VAT"
    _write_category(item.settlement.trade_tax, line.vat_percent, without)
    item.settlement.period.start = line.first_on
    item.settlement.period.end = line.last_on
    item.settlement.monetary_summation.total_amount = line.amount
    return item


def _write_settlement(document: Document, invoice: Invoice) -> None:
    settlement = document.trade.settlement
    settlement.currency_code = invoice.currency
    settlement.period.start = invoice.first_on
    settlement.period.end = invoice.last_on
    if invoice.reference is not None:
        settlement.payment_reference = invoice.reference
    if invoice.iban is not None:
        means = PaymentMeans()
        means.type_code = CREDIT_TRANSFER
        means.payee_account.iban = invoice.iban
        settlement.payment_means.add(means)
    for rate in invoice.vat_lines:
        settlement.trade_tax.add(_tax(rate, invoice))
    if invoice.due_on is not None:
        terms = PaymentTerms()
        terms.due = invoice.due_on
        settlement.terms.add(terms)
    if invoice.corrects is not None:
        settlement.invoice_referenced_document.issuer_assigned_id = invoice.corrects
    sums = settlement.monetary_summation
    sums.line_total = invoice.net
    sums.charge_total = sums.allowance_total = sums.prepaid_total = Decimal("0.00")
    sums.tax_basis_total = invoice.net
    sums.tax_total = (invoice.vat, invoice.currency)
    sums.grand_total = invoice.total
    sums.due_amount = invoice.total


def _tax(rate: VatLine, invoice: Invoice) -> ApplicableTradeTax:
    tax = ApplicableTradeTax()
    tax.type_code = "VAT"
    without = untaxed(invoice)
    _write_category(tax, rate.percent, without)
    if without is not None:
        tax.exemption_reason = without.reason
        tax.exemption_reason_code = NOT_SUBJECT
    tax.basis_amount = rate.net
    tax.calculated_amount = rate.vat
    return tax


def _text(words: str) -> str:
    """Return a text as XML can hold it (XML 1.0, 2.2)."""
    return NO_XML.sub("\N{REPLACEMENT CHARACTER}", words)


def _write_category(tax: ApplicableTradeTax, percent: Decimal, without: Untaxed | None) -> None:
    """UNCL 5305: `S` at a rate, `Z` at a rate of zero, `O` outside of the VAT, where there is no rate at all."""
    if without is not None:
        tax.category_code = "O"
        return
    tax.category_code = "S" if percent else "Z"
    tax.rate_applicable_percent = percent
