"""The payment part is set in a typeface that SIX allows, where a folder has one; otherwise in ours."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from jobs.invoices.creditor import fonts_of
from jobs.invoices.fonts import OURS, allowed_typeface, payment_typeface
from jobs.invoices.glyphs import FOLDER
from jobs.invoices.payment_part import qr_text
from jobs.invoices.pdf import pdf_of
from storage.settings import Settings
from tests.jobs.invoices.papers import codes, invoice

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "deploy" / "invoice.yaml"


def folder_with(where: Path, family: str) -> Path:
    """Our own fonts under another name of as many letters: to a reader of fonts, another typeface."""
    assert len(family) == len(OURS)
    where.mkdir()
    for weight in ("Regular", "Bold"):
        font = (FOLDER / f"SourceSansPro-{weight}.ttf").read_bytes()
        named = font.replace(OURS.encode("utf-16-be"), family.encode("utf-16-be")).replace(
            OURS.encode(), family.encode()
        )
        (where / f"{weight}.ttf").write_bytes(named)
    return where


def test_the_payment_part_is_set_in_an_allowed_typeface_where_there_is_one(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "fonts", "Liberation Sans")
    assert payment_typeface(folder) == "Liberation Sans"
    plain, better = pdf_of(invoice()), pdf_of(invoice(), folder)
    assert plain != better
    assert better.count(b"/FontFile") > plain.count(b"/FontFile")
    assert better == pdf_of(invoice(), folder)
    assert codes(better) == [qr_text(invoice())]


def test_without_one_the_default_stays(tmp_path: Path) -> None:
    (tmp_path / "Arial.ttf").write_bytes(b"no font at all")
    for folder in (None, tmp_path, tmp_path / "missing", folder_with(tmp_path / "fonts", "Comic Sans Mono")):
        assert payment_typeface(folder) == OURS
        assert pdf_of(invoice(), folder) == pdf_of(invoice())


@pytest.mark.parametrize(("line", "found"), [("", None), ("fonts: fonts", "Liberation Sans"), ("fonts: other", None)])
def test_the_invoice_file_names_the_folder_from_its_own_on(tmp_path: Path, line: str, found: str | None) -> None:
    folder_with(tmp_path / "fonts", "Liberation Sans")
    file = tmp_path / "invoice.yaml"
    file.write_text(f"{EXAMPLE.read_text('utf-8')}\n{line}\n", "utf-8")
    settings = replace(Settings(database_url=""), invoice_file=file)
    assert allowed_typeface(settings) == found
    assert fonts_of(settings) == (tmp_path / line.partition(": ")[2] if line else None)


def test_a_paper_is_drawn_whatever_the_invoice_file_says(tmp_path: Path) -> None:
    (tmp_path / "invoice.yaml").write_text("fonts: [", "utf-8")
    settings = Settings(database_url="", invoice_file=tmp_path / "invoice.yaml")
    assert fonts_of(settings) is None
    assert allowed_typeface(settings) is None
