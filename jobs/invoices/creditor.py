"""The operator's invoice file: who invoices are from, and how they are paid. Without it invoices are only previewed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

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
    if settings.invoice_file is None:
        return None
    try:
        given = OperatorFile("invoice", VARIABLE, settings.invoice_file).read(read_schema(SCHEMA)).plain().get("fonts")
    except OperatorFileWrong:
        return None
    return None if given is None else settings.invoice_file.parent / given


def read_creditor(path: Path) -> Creditor:
    """Read an invoice file. Raises OperatorFileWrong with every fault."""
    file = OperatorFile("invoice", VARIABLE, path)
    root = file.read(read_schema(SCHEMA))
    found: Mapping[str, Any] = root.plain()
    if not is_iban(found["iban"]):
        node = root.entries["iban"][1]
        file.faults.add("M421", node.place, "the check digits of the IBAN are wrong", "copy it from the bank's papers")
    file.stop_at_faults()
    return Creditor(
        Party(**{name: found[name] for name in ADDRESS if name in found}),
        compact(found["iban"]),
        found.get("payment_days", PAYMENT_DAYS),
        found.get("number_prefix", ""),
    )
