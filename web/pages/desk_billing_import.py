"""A bank's file at the desk: uploaded, shown with what it would book, and then booked, whole or not at all.

Nothing is kept in between: the file itself goes along in the form, packed, and is read again when it is booked.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler

from jobs.invoices.bank_file import MOST_BYTES, BankFileWrong, read_bank_file
from jobs.invoices.words import amount_text
from storage import clock
from storage.invoicing import invoices, invoices_pay
from storage.invoicing.invoices import Issued
from storage.invoicing.invoices_pay import Imported
from web.auth import Caller
from web.pages.desk_billing import PAGE, billing
from web.pages.desk_words import deed
from web.pages.forms import form_of, form_with_files
from web.pages.visitor import admins_only
from web.problems import bad_input
from web.services import HttpRequest, Services, TheServices

PLACE = f"{PAGE}/import"
SOURCE = "camt"
FORM_BYTES = 10_000_000
SHOWN = 200


@dataclass(frozen=True, slots=True)
class Booking:
    """One payment as it would be booked, and how its invoice would stand then, other payments of the file included."""

    amount: Decimal
    invoice: Issued


@get(PLACE, guards=[admins_only], sync_to_thread=True)
def show_import(request: HttpRequest, services: TheServices) -> Response[Any]:
    """Show where to upload a file."""
    return _page(request, services)


def _page(
    request: HttpRequest, services: Services, *, faults: tuple[str, ...] = (), status: int = 200, **found: Any
) -> Response[Any]:
    with services.database.begin() as conn:
        now = clock.now(conn)
    given = {"imported": None, "bookings": [], "left_out": 0, "packed": "", **found}
    return billing(request, "desk_billing_import.html", now, status=status, faults=faults, shown=SHOWN, **given)


@post(PLACE, guards=[admins_only])
async def preview(request: HttpRequest, services: TheServices) -> Response[Any]:
    """Show what a file would book, and book nothing. Of a file that cannot be taken every fault is shown."""
    sent = await form_with_files(request)
    caller: Caller = request.state.caller

    def work() -> Response[Any]:
        if len(sent.files) != 1:
            return _page(request, services, faults=("choose one file",), status=400)
        content = sent.files[0][1]
        try:
            file = read_bank_file(content)
        except BankFileWrong as wrong:
            return _page(request, services, faults=wrong.faults, status=400)
        with services.database.begin() as conn:
            trial = conn.begin_nested()
            imported = invoices_pay.import_transfers(conn, file.payments, source=SOURCE, by=caller.actor)
            bookings = [Booking(amount, invoices.get(conn, number)) for number, amount in imported.booked[:SHOWN]]
            trial.rollback()
        more: dict[str, Any] = {
            "imported": imported,
            "bookings": bookings,
            "left_out": file.left_out,
            "packed": _packed(content),
        }
        return _page(request, services, **more)

    return await services.in_thread(work)


@post(f"{PLACE}/book", guards=[admins_only])
async def book(request: HttpRequest, services: TheServices) -> Response[Any]:
    """Book what was shown, each payment once however often its file is imported."""
    form = await form_of(request, most_bytes=FORM_BYTES)
    caller: Caller = request.state.caller

    def work() -> str:
        file = read_bank_file(_unpacked(form.get("packed", "")))

        def write(conn: Any) -> Imported:
            return invoices_pay.import_transfers(conn, file.payments, source=SOURCE, by=caller.actor)

        done = services.database.transact("the bank's file", write)
        total = amount_text(sum((amount for _, amount in done.booked), Decimal(0)))
        said = f"{len(done.booked)} booked, {total} together"
        said += f"; {done.repeated} were booked before" if done.repeated else ""
        return f"{said}; {len(done.unmatched)} are left for a person." if done.unmatched else f"{said}."

    return await services.in_thread(deed, request, PLACE, work)


def _packed(content: bytes) -> str:
    return base64.urlsafe_b64encode(zlib.compress(content, 9)).decode("ascii")


def _unpacked(packed: str) -> bytes:
    """Return the file that went along in the form, never more of it than is read. Raises the 400."""
    try:
        unpacker = zlib.decompressobj()
        content = unpacker.decompress(base64.urlsafe_b64decode(packed.encode("ascii")), MOST_BYTES + 1)
    except (binascii.Error, ValueError, zlib.error):
        raise bad_input("The file did not come along. Upload it again.") from None
    if not unpacker.eof and len(content) <= MOST_BYTES:
        raise bad_input("The file did not come along whole. Upload it again.")
    return content


HANDLERS: tuple[HTTPRouteHandler, ...] = (show_import, preview, book)
