"""What metering and invoices can fail with."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from storage.errors import StorageError


class InvoiceError(StorageError):
    """Something about tenants, prices or invoices was refused; nothing has changed."""


class UnknownInvoice(InvoiceError):
    """No invoice has this id or number."""

    def __init__(self, invoice: object) -> None:
        self.invoice = invoice
        super().__init__(f"there is no invoice `{invoice}`")


class UnknownOrder(InvoiceError):
    """No order of a month's invoices has this id."""

    def __init__(self, order_id: object) -> None:
        self.order_id = order_id
        super().__init__(f"there is no order `{order_id}` of a month's invoices")


class UnknownTenant(InvoiceError):
    """No tenant has this name."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"there is no tenant `{name}`")


class MonthNotOver(InvoiceError):
    """A month is invoiced only once it has ended in the organisation's zone."""

    def __init__(self, month: date, zone: str) -> None:
        self.month = month
        super().__init__(f"{month:%Y-%m} is not over yet in {zone}; preview it, and issue it once it is")


class AlreadyIssued(InvoiceError):
    """The month has an invoice that stands."""

    def __init__(self, month: date, number: str) -> None:
        self.month = month
        self.number = number
        super().__init__(f"{month:%Y-%m} is invoiced already, as `{number}`; credit that one first to issue another")


class VatNumberMissing(InvoiceError):
    """Only who is in the register of VAT may charge it (Swiss VAT act, art. 27)."""

    def __init__(self) -> None:
        super().__init__(
            "the invoice would charge VAT, and its sender has no VAT number; name `vat_id` in the invoice file, or set "
            "the VAT rate to 0"
        )


class TooLargeToInvoice(InvoiceError):
    """What was used costs more than an invoice can hold; somebody told too much of it."""

    def __init__(self, organisation: str, what: str, amount: Decimal) -> None:
        self.organisation = organisation
        self.amount = amount
        super().__init__(f"{what} of `{organisation}` is {amount}, more than an invoice holds; look at its usage")


class ZoneFixed(InvoiceError):
    """An organisation's days stay where they are once one of them is on an invoice."""

    def __init__(self, zone: str) -> None:
        self.zone = zone
        super().__init__(f"days in `{zone}` are on invoices of this organisation already; its zone stays")


class NotCreditable(InvoiceError):
    """Only an invoice that was not credited yet can be."""

    def __init__(self, number: str, why: str) -> None:
        self.number = number
        super().__init__(f"`{number}` cannot be credited: {why}")


class PaymentRefused(InvoiceError):
    """A payment does not fit what is open."""

    def __init__(self, number: str, amount: Decimal, open_: Decimal, why: str) -> None:
        self.number = number
        self.amount = amount
        self.open = open_
        super().__init__(f"`{number}`: {amount} cannot be booked, {open_} is open: {why}")


class PriceRefused(InvoiceError):
    """A price would change what was invoiced already, or is none."""


class UsageRefused(InvoiceError):
    """Usage cannot be taken, and nothing of it was. `faults` holds a line for each reason, up to twenty."""

    def __init__(self, faults: tuple[str, ...]) -> None:
        self.faults = faults
        super().__init__("\n".join(["the usage cannot be taken, and nothing of it was:", *faults]))


class UnknownRequest(InvoiceError):
    """No request has this id."""

    def __init__(self, request_id: object) -> None:
        self.request_id = request_id
        super().__init__(f"there is no request `{request_id}`")


class RequestSettled(InvoiceError):
    """A request is decided once."""

    def __init__(self, request_id: object, state: str) -> None:
        self.request_id = request_id
        self.state = state
        super().__init__(f"the request `{request_id}` was {state} already")


class UnknownLetter(InvoiceError):
    """No letter about an invoice has this id."""

    def __init__(self, letter_id: object) -> None:
        self.letter_id = letter_id
        super().__init__(f"there is no letter `{letter_id}` about an invoice")


class LetterSettled(InvoiceError):
    """A letter waits for nobody: it left, is on its way, or was dropped."""

    def __init__(self, number: str) -> None:
        self.number = number
        super().__init__(f"this letter about `{number}` is neither unknown nor failed")
