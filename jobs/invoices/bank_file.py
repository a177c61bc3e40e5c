"""Payments as a bank reports them: camt.053 (statement) and camt.054 (notification) files of ISO 20022, versions 02 on.

A file is hostile until checked, and taken whole or not at all. What its payments pay is for others to find out.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from lxml import etree

from engine.invoicing.reference import compact, is_iban, is_qr_iban

MOST_BYTES = 20 * 1024 * 1024
MOST_PAYMENTS = 100_000
MOST_FAULTS = 20
KINDS = {"BkToCstmrStmt": "Stmt", "BkToCstmrDbtCdtNtfctn": "Ntfctn"}
"""The message of each kind of file, and what it calls one report about one account."""
AMOUNT = re.compile(r"[0-9]{1,13}(\.[0-9]{1,5})?")
YEARS = (2000, 2200)
NOT_PROVIDED = "NOTPROVIDED"
"""What banks write where a field is demanded and they have nothing for it."""
TRUE = ("true", "1")
CURRENCY = re.compile(r"[A-Z]{3}")


class BankFileWrong(Exception):
    """The file cannot be taken, and nothing of it was. `faults` holds a line for each reason, its place first."""

    def __init__(self, faults: tuple[str, ...]) -> None:
        self.faults = faults
        super().__init__("\n".join(["the bank's file cannot be used, and nothing of it was taken:", *faults]))


@dataclass(frozen=True, slots=True)
class BankPayment:
    """Money that was booked to our account; with a negative amount money that the bank took back from it.

    `identity` is the same in every file that reports this payment again. `account` is what the payer paid to: the
    QR-IBAN where the bank names it, else the account of the report. `reference` is the creditor reference that the
    payer gave, without blanks; None when they gave none. `payer` is whom the bank names, for people to read. `line` is
    where the file says it. `reverses` is None, or the identity of what is taken back, where the bank calls both alike;
    a positive amount is then a debit of the account that was given back.
    """

    identity: str
    account: str
    booked_on: date
    amount: Decimal
    currency: str
    reference: str | None
    payer: str | None
    line: int
    reverses: str | None = None


@dataclass(frozen=True, slots=True)
class BankFile:
    """What one file says: `payments` in its order; `left_out` counts debits and what is not booked yet."""

    message: str
    payments: tuple[BankPayment, ...]
    left_out: int


def read_bank_file(content: bytes) -> BankFile:
    """Read a camt.053 or camt.054 file. Raises BankFileWrong with every reason, up to twenty."""
    return _Reading(_tree_of(content)).result()


def _tree_of(content: bytes) -> etree._Element:
    if len(content) > MOST_BYTES:
        raise BankFileWrong((f"it has {len(content):,} bytes; at most {MOST_BYTES:,} are read",))
    parser = etree.XMLParser(resolve_entities=False, load_dtd=False, no_network=True, huge_tree=False)
    try:
        root = etree.fromstring(content, parser)
    except etree.XMLSyntaxError as wrong:
        raise BankFileWrong(
            (f"line {wrong.lineno or 1}: it is not XML; export camt.053 or camt.054 at the bank",)
        ) from None
    if root.getroottree().docinfo.internalDTD is not None:
        raise BankFileWrong(("line 1: it declares a document type, which no bank does",))
    return root


@dataclass(frozen=True, slots=True)
class _Entry:
    """One booking, and where it stands: `position` is its own in the report, with its payment's after a dot."""

    element: etree._Element
    account: str
    booked_on: date
    position: str
    shares_reference: bool = False
    """Several of its payments have one reference of the bank's together."""


class _Reading:
    """One pass over one file, which notes faults and goes on, so that all of them can be told at once."""

    def __init__(self, root: etree._Element) -> None:
        self._root = root
        self._faults: list[str] = []
        self._payments: dict[str, BankPayment] = {}
        self._left_out = 0

    def result(self) -> BankFile:
        message = next((child for child in self._root if _name(child) in KINDS), None)
        if _name(self._root) != "Document" or message is None:
            found = _name(self._root)
            raise BankFileWrong((f"line {self._root.sourceline}: expected camt.053 or camt.054, found `{found}`",))
        for report in _all(message, KINDS[_name(message)]):
            account = _text(report, "Acct", "Id", "IBAN")
            if account is None:
                self._fault(report, "the report names no IBAN")
            for position, element in enumerate(_all(report, "Ntry")):
                self._read_entry(element, account or "", position)
                if len(self._faults) >= MOST_FAULTS:
                    break
        if self._faults:
            raise BankFileWrong(tuple(self._faults))
        return BankFile(_text(message, "GrpHdr", "MsgId") or "", tuple(self._payments.values()), self._left_out)

    def _read_entry(self, element: etree._Element, account: str, position: int) -> None:
        if not _is_told(element):
            self._left_out += 1
            return
        booked_on = self._day_of(element)
        total = self._amount_of(element, _one(element, "Amt"))
        if total is None or booked_on is None:
            return
        entry = _Entry(element, account, booked_on, str(position))
        details = [detail for group in _all(element, "NtryDtls") for detail in _all(group, "TxDtls")]
        if len(details) <= 1:
            # A single payment: the entry's own amount is what reached the account.
            self._take(entry, details[0] if details else None, total)
            return
        amounts = [self._amount_of(detail, _transaction_amount(detail)) for detail in details]
        known = [amount for amount in amounts if amount is not None]
        own = [found for detail in details if (found := _bank_reference(detail, "Refs")) is not None]
        entry = replace(entry, shares_reference=len(set(own)) < len(own))
        if len(known) == len(details) and sum(value for value, _ in known) != total[0]:
            self._fault(element, f"its {len(details)} payments do not add up to {total[0]} {total[1]}")
        for number, (detail, amount) in enumerate(zip(details, amounts, strict=True)):
            if amount is not None:
                self._take(replace(entry, position=f"{position}.{number}"), detail, amount)

    def _take(self, entry: _Entry, detail: etree._Element | None, amount: tuple[Decimal, str]) -> None:
        identity = _identity(entry, detail, amount)
        taken_back = _text(entry.element, "RvslInd") in TRUE
        payment = BankPayment(
            identity=_reversal_of(identity) if taken_back else identity,
            account=_paid_to(entry, detail),
            booked_on=entry.booked_on,
            amount=amount[0] if _text(entry.element, "CdtDbtInd") == "CRDT" else -amount[0],
            currency=amount[1],
            reference=_reference(detail),
            payer=_payer(detail),
            line=_line_of(entry.element if detail is None else detail),
            reverses=identity if taken_back else None,
        )
        if payment.identity in self._payments:
            self._fault(entry.element, "the same payment stands twice in the file")
        elif len(self._payments) >= MOST_PAYMENTS:
            self._fault(entry.element, f"more than {MOST_PAYMENTS:,} payments; split the file")
        self._payments[payment.identity] = payment

    def _amount_of(self, where: etree._Element, amount: etree._Element | None) -> tuple[Decimal, str] | None:
        text = "" if amount is None else (amount.text or "").strip()
        currency = "" if amount is None else amount.get("Ccy", "")
        if not AMOUNT.fullmatch(text) or not CURRENCY.fullmatch(currency):
            self._fault(where, f"expected an amount with its currency, found `{text[:40]} {currency[:40]}`")
            return None
        value = Decimal(text)
        if value != value.quantize(Decimal("0.01")) or value == 0:
            self._fault(where, f"expected an amount in cents above zero, found `{text}`")
            return None
        return value.quantize(Decimal("0.01")), currency

    def _day_of(self, entry: etree._Element) -> date | None:
        text = _text(entry, "BookgDt", "Dt") or (_text(entry, "BookgDt", "DtTm") or "")[:10]
        try:
            found = date.fromisoformat(text[:10])
        except ValueError:
            found = date.min
        if not YEARS[0] <= found.year <= YEARS[1]:
            self._fault(entry, f"expected a booking date, found `{text[:40]}`")
            return None
        return found

    def _fault(self, where: etree._Element, what: str) -> None:
        self._faults.append(f"line {where.sourceline}: {what}")


def _is_told(entry: etree._Element) -> bool:
    """Whether it is booked, and either a credit or the end of one, which is a debit with the indicator.

    ISO 20022, message definition report of camt.053: the way of a reversal is its own, not that of what it undoes.
    """
    status = _text(entry, "Sts", "Cd") or _text(entry, "Sts") or "BOOK"
    way = _text(entry, "CdtDbtInd")
    return status == "BOOK" and (way == "CRDT" or (way == "DBIT" and _text(entry, "RvslInd") in TRUE))


def _line_of(element: etree._Element) -> int:
    line: object = element.sourceline  # none where nothing was parsed, whatever the stubs say
    return line if isinstance(line, int) else 0


def _reversal_of(identity: str) -> str:
    """Name the end of a payment, which banks often call as they called the payment."""
    return hashlib.sha256(f"reversal\n{identity}".encode()).hexdigest()


def _transaction_amount(detail: etree._Element) -> etree._Element | None:
    """Since version 04 beside the payment, before in its details."""
    beside = _one(detail, "Amt")
    return beside if beside is not None else _one(detail, "AmtDtls", "TxAmt", "Amt")


def _identity(entry: _Entry, detail: etree._Element | None, amount: tuple[Decimal, str]) -> str:
    """Name a payment by the bank's reference, which statement and notification share; else by all that is known."""
    own = None if detail is None else _bank_reference(detail, "Refs")
    of_entry = _bank_reference(entry.element)
    if own is None and "." not in entry.position:
        own = of_entry
    if own is not None:
        # Some banks name a collective booking, and all payments in it alike.
        facts = [entry.account, own, *([entry.position.partition(".")[2]] if entry.shares_reference else ())]
    else:
        # The entry's own reference is no name: often a number that each statement begins anew, or the account.
        end_to_end = None if detail is None else _text(detail, "Refs", "EndToEndId")
        of_entry = of_entry or _text(entry.element, "NtryRef")
        known = (of_entry, entry.booked_on, *amount, end_to_end, _reference(detail), entry.position)
        facts = [entry.account, *(str(fact) for fact in known)]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()


def _bank_reference(parent: etree._Element, *path: str) -> str | None:
    found = _text(parent, *path, "AcctSvcrRef")
    return None if found == NOT_PROVIDED else found


def _paid_to(entry: _Entry, detail: etree._Element | None) -> str:
    """A QR-IBAN is another name of an account: the report is about the account, and names it beside a payment.

    SIX, Swiss implementation guidelines for cash management: as the entry's reference, or as the creditor's account.
    """
    beside = None if detail is None else _text(detail, "RltdPties", "CdtrAcct", "Id", "IBAN")
    named = (beside, _text(entry.element, "NtryRef"))
    return next((compact(one) for one in named if one is not None and is_iban(one) and is_qr_iban(one)), entry.account)


def _reference(detail: etree._Element | None) -> str | None:
    if detail is None:
        return None
    structured = _all(detail, "RmtInf", "Strd")
    found = next((text for each in structured if (text := _text(each, "CdtrRefInf", "Ref"))), None)
    return None if found is None else found.replace(" ", "").upper()[:35]


def _payer(detail: etree._Element | None) -> str | None:
    if detail is None:
        return None
    named = _text(detail, "RltdPties", "Dbtr", "Nm") or _text(detail, "RltdPties", "Dbtr", "Pty", "Nm")
    return None if named is None else " ".join(named.split())[:140]


def _name(element: etree._Element) -> str:
    tag: object = element.tag  # of a comment it is a function, whatever the stubs say
    return etree.QName(element).localname if isinstance(tag, str) else ""


def _all(parent: etree._Element, *path: str) -> list[etree._Element]:
    """Return what lies at a path of local names: versions differ in their namespace alone."""
    found = [parent]
    for name in path:
        found = [child for each in found for child in _children(each, name)]
    return found


def _children(parent: etree._Element, name: str) -> Iterator[etree._Element]:
    return (child for child in parent if _name(child) == name)


def _one(parent: etree._Element, *path: str) -> etree._Element | None:
    found = _all(parent, *path)
    return found[0] if found else None


def _text(parent: etree._Element, *path: str) -> str | None:
    found = _one(parent, *path)
    text = "" if found is None else (found.text or "").strip()
    return text or None
