"""Builders of invoices and of banks' files, for the tests of what invoices become."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pypdfium2
import zxingcpp

from engine.invoicing.invoice import Invoice, InvoiceKind, Line, LineKind, Party, VatLine, to_cents

ACCOUNT = "CH5800791123000889012"
QR_ACCOUNT = "CH4431999123000889012"
REFERENCE = "RF18539007547034"
QR_REFERENCE = "210000000003139471430009017"
RATE = Decimal("8.10")


def creditor(**changes: Any) -> Party:
    party = Party("Gletscher Hosting AG", "Bahnhofstrasse", "12a", "8001", "Zürich", "CH", "bills@gletscher.example")
    return replace(party, **{"vat_id": "CHE-123.456.788 MWST", **changes})


def debtor(**changes: Any) -> Party:
    return replace(Party("Müller & Söhne GmbH", "Rue du Marché", "5", "1204", "Genève", "CH"), **changes)


def line(amount: str, *, kind: LineKind = LineKind.MONTHLY, tenant: str | None = "alpha", **changes: Any) -> Line:
    first, last = date(2026, 10, 1), date(2026, 10, 31)
    whole = Line(kind, "Monthly fee", tenant, first, last, Decimal(1), "month", Decimal(amount), Decimal(amount), RATE)
    return replace(whole, **changes)


def invoice(*lines: Line, **changes: Any) -> Invoice:
    """An issued invoice of October 2026 whose sums follow from its lines."""
    charged = lines or (line("29.00"), line("49.00", tenant="beta", text="Setup", kind=LineKind.SETUP))
    net = sum((each.amount for each in charged), Decimal(0))
    vat = to_cents(net * RATE / 100)
    whole = Invoice(
        kind=InvoiceKind.INVOICE,
        number="2026-000042",
        corrects=None,
        organisation="customer-7",
        creditor=creditor(),
        debtor=debtor(),
        iban=ACCOUNT,
        reference=REFERENCE,
        currency="CHF",
        first_on=date(2026, 10, 1),
        last_on=date(2026, 10, 31),
        issued_on=date(2026, 11, 2),
        due_on=date(2026, 12, 2),
        lines=charged,
        vat_lines=(VatLine(RATE, net, vat),),
        net=net,
        vat=vat,
        total=net + vat,
    )
    return replace(whole, **changes)


def untaxed(**changes: Any) -> Invoice:
    """An invoice of which no line has a tax."""
    none, amount = Decimal("0.00"), Decimal("29.00")
    sums = {"vat_lines": (VatLine(none, amount, none),), "net": amount, "vat": none, "total": amount}
    return invoice(line("29.00", vat_percent=none), **{**sums, **changes})


def preview(*lines: Line) -> Invoice:
    return invoice(*lines, number=None, issued_on=None, due_on=None, reference=None)


def codes(pdf: bytes) -> list[str]:
    """What the codes on the pages say to a scanner."""
    pages = [page.render(scale=3).to_pil() for page in pypdfium2.PdfDocument(pdf)]
    return [code.text for page in pages for code in zxingcpp.read_barcodes(page)]


def payment_xml(amount: str = "84.32", reference: str | None = REFERENCE, own: str | None = "bank-1") -> str:
    """One payment in the details of a booking."""
    refs = f"<Refs><AcctSvcrRef>{own}</AcctSvcrRef></Refs>" if own else ""
    told = "" if reference is None else f"<RmtInf><Strd><CdtrRefInf><Ref>{reference}</Ref></CdtrRefInf></Strd></RmtInf>"
    payer = "<RltdPties><Dbtr><Pty><Nm>Müller &amp; Söhne GmbH</Nm></Pty></Dbtr></RltdPties>"
    return f'<TxDtls>{refs}<Amt Ccy="CHF">{amount}</Amt>{payer}{told}</TxDtls>'


def entry_xml(*payments: str, amount: str = "84.32", way: str = "CRDT", more: str = "") -> str:
    """One booking; `more` is put between its status and its details."""
    details = f"<NtryDtls>{''.join(payments)}</NtryDtls>" if payments else ""
    return (
        f'<Ntry><Amt Ccy="CHF">{amount}</Amt><CdtDbtInd>{way}</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts>{more}'
        f"<BookgDt><Dt>2026-11-20</Dt></BookgDt>{details}</Ntry>"
    )


def bank_xml(entries: Iterable[str], *, version: str = "camt.054.001.08") -> bytes:
    """A whole file of the bank, as camt.053 or camt.054."""
    message, report = ("BkToCstmrStmt", "Stmt") if "053" in version else ("BkToCstmrDbtCdtNtfctn", "Ntfctn")
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><Document xmlns="urn:iso:std:iso:20022:tech:xsd:{version}">'
        f"<{message}><GrpHdr><MsgId>message-1</MsgId></GrpHdr><{report}><Acct><Id><IBAN>{ACCOUNT}</IBAN></Id></Acct>"
        f"{''.join(entries)}</{report}></{message}></Document>"
    ).encode()
