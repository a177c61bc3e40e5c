"""Adapters that tell usage: CSV, and an address that answers with CSV or JSON. Hostile until checked, and bounded."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final

from engine.invoicing.metered import UsageKind
from storage.invoicing.errors import UsageRefused
from storage.invoicing.usage import MOST_FAULTS, Told

if TYPE_CHECKING:
    import httpx

MOST_BYTES: Final = 8_000_000
MOST_ROWS: Final = 100_000
COLUMNS: Final = ("tenant", "kind", "date", "quantity")
PATIENCE_SECONDS: Final = 30.0
MOST_DIGITS: Final = 20
QUANTITY: Final = re.compile(r"[0-9]{1,10}(\.[0-9]{1,5})?")
DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def read_csv(content: bytes) -> list[Told]:
    """Read `tenant,kind,date,quantity`, with these names in the first line. Raises UsageRefused with every reason."""
    text = _text(content)
    if "\x00" in text:
        raise UsageRefused(("it holds a character that no text has",))
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        head = next(reader, [])
        if tuple(name.strip().lower() for name in head) != COLUMNS:
            raise UsageRefused((f"line 1: expected the columns {', '.join(COLUMNS)}",))
        return _checked(_rows_of(reader))
    except csv.Error as wrong:
        raise UsageRefused((f"line {reader.line_num}: {str(wrong)[:100]}",)) from None


def read_json(content: bytes) -> list[Told]:
    """Read a list of objects with the same names. Quantities may be numbers or texts. Raises UsageRefused."""
    try:
        found = json.loads(_text(content), parse_float=Decimal, parse_int=Decimal)
    except (ValueError, RecursionError, InvalidOperation):
        raise UsageRefused(("it is not JSON",)) from None
    if not isinstance(found, list):
        raise UsageRefused(("expected a list of objects",))
    return _checked((f"entry {number}", each) for number, each in enumerate(found, 1))


def fetch(url: str, *, token: str = "", transport: httpx.BaseTransport | None = None) -> list[Told]:
    """Ask an address for usage; it answers with CSV or JSON, and is not followed elsewhere. Raises UsageRefused."""
    import httpx

    headers = {"Accept": "application/json, text/csv"} | ({"Authorization": f"Bearer {token}"} if token else {})
    content = bytearray()
    try:
        with (
            httpx.Client(timeout=PATIENCE_SECONDS, follow_redirects=False, transport=transport) as client,
            client.stream("GET", url, headers=headers) as answer,
        ):
            if answer.status_code != httpx.codes.OK:
                raise UsageRefused((f"the address answered {answer.status_code}",))
            for chunk in answer.iter_bytes():
                content += chunk
                if len(content) > MOST_BYTES:
                    raise _too_large()
            kind = answer.headers.get("content-type", "").partition(";")[0].strip()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise UsageRefused((f"the address cannot be asked: {type(error).__name__}",)) from None
    return read_csv(bytes(content)) if kind == "text/csv" else read_json(bytes(content))


def _text(content: bytes) -> str:
    if len(content) > MOST_BYTES:
        raise _too_large()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as wrong:
        raise UsageRefused((f"byte {wrong.start}: it is not UTF-8",)) from None


def _too_large() -> UsageRefused:
    return UsageRefused((f"it is larger than {MOST_BYTES:,} bytes; tell it in parts",))


def _rows_of(reader: Any) -> Iterator[tuple[str, Any]]:
    for row in reader:
        if row:
            named = dict(zip(COLUMNS, row, strict=True)) if len(row) == len(COLUMNS) else None
            yield f"line {reader.line_num}", named


def _checked(rows: Iterable[tuple[str, Any]]) -> list[Told]:
    found: list[Told] = []
    faults: list[str] = []
    for number, (place, row) in enumerate(rows, 1):
        if number > MOST_ROWS:
            faults.append(f"{place}: more than {MOST_ROWS:,} rows; tell it in parts")
            break
        told = _told(place, row)
        if isinstance(told, str):
            faults.append(f"{place}: {told}")
            if len(faults) == MOST_FAULTS:
                break
        else:
            found.append(told)
    if faults:
        raise UsageRefused(tuple(faults))
    return found


def _told(place: str, row: Any) -> Told | str:
    """Return what a row tells, or what is wrong with it."""
    if not isinstance(row, Mapping) or set(row) != set(COLUMNS):
        return f"expected {', '.join(COLUMNS)}, and nothing else"
    tenant, kind, day, quantity = (row[name] for name in COLUMNS)
    if not isinstance(tenant, str) or not 1 <= len(tenant) <= 200 or not tenant.isprintable():
        return "the tenant is no name"
    if kind not in tuple(UsageKind):
        return f"the kind is one of {', '.join(UsageKind)}"
    if not isinstance(day, str) or not DAY.fullmatch(day):
        return "the date is written as 2030-01-31"
    # Written out only within bounds: `1e999999999` is short, and a gigabyte of zeros.
    is_sane = isinstance(quantity, Decimal) and quantity.is_finite() and abs(quantity.adjusted()) < MOST_DIGITS
    words = f"{quantity:f}" if is_sane else quantity
    if not isinstance(words, str) or not QUANTITY.fullmatch(words):
        return "the quantity is a number such as 12.5, of at most 10 digits before the point and 5 after it"
    try:
        return Told(place, tenant, UsageKind(kind), date.fromisoformat(day), Decimal(words))
    except (ValueError, InvalidOperation):
        return f"`{day}` is no day"
