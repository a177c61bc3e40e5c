"""The operator's invoice file: who invoices are from, and how they are paid. Without it invoices are only previewed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from engine.calendar import zone_of
from engine.invoicing.creditor import Creditor
from engine.invoicing.invoice import Party
from engine.invoicing.reference import compact, is_iban
from jobs.operator_file import OperatorFile, OperatorFileWrong, read_schema
from storage.errors import SettingWrong
from storage.settings import Settings

SCHEMA: Final = Path(__file__).resolve().with_name("invoice.schema.json")
VARIABLE: Final = "FORBEAR_INVOICE_FILE"
PAYMENT_DAYS: Final = 30
ADDRESS: Final = ("name", "street", "house_number", "postal_code", "town", "country", "email", "vat_id")
NOBODY: Final = Creditor(Party("(no creditor yet)", "", "", "", "", "CH"), "", PAYMENT_DAYS)
"""Who previews are from where no file is named."""


def creditor_of(settings: Settings) -> Creditor:
    """Return who invoices are from. Raises SettingWrong without a file, OperatorFileWrong with every fault of it."""
    if settings.invoice_file is None:
        raise SettingWrong(VARIABLE, "is not set; invoices need to know who they are from and what they are paid to")
    return read_creditor(settings.invoice_file)


def previewer_of(settings: Settings) -> Creditor:
    """Return who previews are from: somebody is, also before there is a file."""
    return NOBODY if settings.invoice_file is None else read_creditor(settings.invoice_file)


def fonts_of(settings: Settings) -> Path | None:
    """Return the folder of fonts that the file names; None without one, also where the file cannot be read now.

    A paper that was issued is drawn whatever the file says: `forbear doctor` tells what it lacks.
    """
    given = _said(settings, "fonts")
    return None if given is None or settings.invoice_file is None else settings.invoice_file.parent / given


def price_zone_of(settings: Settings) -> str:
    """Return whose day it is for prices that change today: of the file's zone, or UTC."""
    given = _said(settings, "zone")
    return given if given is not None and zone_of(given) is not None else "UTC"


def _said(settings: Settings, name: str) -> str | None:
    """Return a text of the file; None where it has none, or there is no file that can be read."""
    if settings.invoice_file is None:
        return None
    try:
        root = OperatorFile("invoice", VARIABLE, settings.invoice_file).read(read_schema(SCHEMA))
    except OperatorFileWrong:
        return None
    found: str | None = root.plain().get(name)
    return found


def read_creditor(path: Path) -> Creditor:
    """Read an invoice file. Raises OperatorFileWrong with every fault."""
    file = OperatorFile("invoice", VARIABLE, path)
    root = file.read(read_schema(SCHEMA))
    found: Mapping[str, Any] = root.plain()
    if not is_iban(found["iban"]):
        node = root.entries["iban"][1]
        file.faults.add("M421", node.place, "the check digits of the IBAN are wrong", "copy it from the bank's papers")
    if "zone" in found and zone_of(found["zone"]) is None:
        node = root.entries["zone"][1]
        file.faults.add("M422", node.place, f"there is no zone `{found['zone']}`", "name one such as `Europe/Zurich`")
    file.stop_at_faults()
    return Creditor(
        Party(**{name: found[name] for name in ADDRESS if name in found}),
        compact(found["iban"]),
        found.get("payment_days", PAYMENT_DAYS),
        found.get("number_prefix", ""),
    )
