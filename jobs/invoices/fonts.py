"""The typefaces of an invoice: ours for the page; for the payment part one that SIX allows, where a folder has one."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

import typst

from jobs.invoices.creditor import fonts_of
from jobs.invoices.glyphs import FOLDER
from storage.settings import Settings

OURS: Final = "Source Sans Pro"
ALLOWED: Final = ("Arial", "Frutiger", "Helvetica", "Liberation Sans")
"""Style Guide QR-bill of SIX, 3.4. No package brings one of them, so the operator may."""


@cache
def fonts_with(folder: Path | None) -> typst.Fonts:
    """Return our fonts and a folder's alone: with a machine's, the same invoice would look different elsewhere.

    They are read once by each process.
    """
    folders = [FOLDER] if folder is None else [FOLDER, folder]
    return typst.Fonts(include_system_fonts=False, include_embedded_fonts=False, font_paths=folders)


def payment_typeface(folder: Path | None) -> str:
    """Return what the payment part is set in: the first of the allowed ones that the folder has, or ours."""
    found = fonts_with(folder).families()
    return next((family for family in ALLOWED if family in found), OURS)


def allowed_typeface(settings: Settings) -> str | None:
    """Return which of the allowed typefaces the payment part is set in; None: none of them is there."""
    found = payment_typeface(fonts_of(settings))
    return None if found == OURS else found
