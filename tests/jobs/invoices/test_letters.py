"""Letters about invoices: the policy's words in the customer's language, the same in both forms, with what is open."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from html import unescape
from pathlib import Path

import pypdfium2
import pytest

from engine.effects import CREDIT_NOTE
from engine.invoicing.crediting import credit
from engine.load import load_policy
from engine.model import IntentKind, Policy
from jobs.invoices.letters import Standing, attached, written_letter
from jobs.letters import forms
from storage.settings import Settings
from tests.factories import shipped_policy
from tests.jobs.invoices.papers import invoice

GENTLE = Path(__file__).resolve().parents[3] / "examples" / "policies" / "gentle"
LETTERS = sorted(name for name, each in shipped_policy().intents.items() if each.kind is IntentKind.LETTER)
SETTINGS = Settings(database_url="", portal_url="https://portal.example", support_email="help@portal.example")
AT = datetime(2026, 12, 20, 8, 0, tzinfo=UTC)
PDF = b"%PDF-1.7 as it was first drawn"
HOSTILE = "<script>alert(1)</script> @everyone {billing_url} \r\nBcc: all@example.com \u202e" + "x" * 10_000


# What each letter says of the day by which to pay; that about a credit note says only what is still to be paid.
DUE = dict.fromkeys(LETTERS, ("2 December 2026", "2. Dezember 2026")) | {CREDIT_NOTE: ("still", "bleiben")}


def standing(paid: str = "0.00", credited: str = "0.00", name: str = "Ada") -> Standing:
    return Standing(invoice(), Decimal(paid), Decimal(credited), name)


def about(name: str, *given: str) -> Standing:
    """Return what a letter of this name is about: that of a credit note brings one."""
    found = standing(*given)
    note = credit(found.invoice, "2026-000043", date(2026, 12, 19), {1: Decimal("3.99")})
    return replace(found, note=note) if name == CREDIT_NOTE else found


def forms_of(policy: Policy, name: str, about: Standing, language: str = "en") -> tuple[str, str, str]:
    """Return the subject, the text, and what a reader sees of the page."""
    written, paper = written_letter(policy, name, about, SETTINGS, language)
    shown = re.sub(r"<[^>]+>", " ", forms.html_of(paper).partition("<body>")[2])
    return written.subject, forms.text_of(paper), " ".join(unescape(shown).split())


@pytest.mark.parametrize("name", LETTERS)
def test_each_letter_says_what_is_open_and_where_to_pay_in_both_forms(name: str) -> None:
    subject, text, page = forms_of(shipped_policy(), name, about(name, "20.00", "4.32"))
    assert "2026-000042" in subject
    for said in (
        "Hello Ada,", DUE[name][0], "CHF 84.32", "CHF 20.00", "CHF 4.32", "CHF 60.00", "https://portal.example/billing",
        "CH58 0079 1123 0008 8901 2", "RF18 5390 0754 7034", "Paid so far", "Credited", "Still to be paid",
    ):  # fmt: skip
        assert said in text
        assert said in page
    assert "{" not in text


@pytest.mark.parametrize("name", LETTERS)
def test_a_customer_reads_it_in_their_language_with_days_as_it_writes_them(name: str) -> None:
    policy = load_policy(GENTLE)
    subject, text, page = forms_of(policy, name, about(name), "de-CH")
    assert subject.startswith(("Rechnung 2026-000042", "Erste ", "Zweite ", "Letzte ", "Gutschrift 2026-000043"))
    for said in ("Guten Tag Ada,", DUE[name][1], "Betrag der Rechnung", "Zahlbar an", "Warum wir schreiben"):
        assert said in text
        assert said in page
    assert "Noch zu bezahlen" not in text  # nothing was paid: the amount says it all
    assert forms_of(policy, name, about(name), "fr")[0] == forms_of(shipped_policy(), name, about(name))[0]


def test_hostile_names_change_no_header_and_run_nothing() -> None:
    for name in LETTERS:
        written, paper = written_letter(
            shipped_policy(), name, replace(about(name), customer_name=HOSTILE), SETTINGS, "en"
        )
        html = forms.html_of(paper)
        assert "<script>" not in html
        assert "\u202e" not in html + forms.text_of(paper)
        assert len(written.subject.splitlines()) == 1
        assert html.count('href="https://portal.example/billing"') == 1


def test_a_credit_note_is_brought_alone_and_says_what_is_open_now() -> None:
    standing = about(CREDIT_NOTE, "20.00", "4.32")
    written, _ = written_letter(shipped_policy(), CREDIT_NOTE, standing, SETTINGS, "en")
    assert written.subject == "Credit note 2026-000043: CHF 4.32 of invoice 2026-000042"
    assert "CHF 60.00 is still to be paid" in written.text
    (paper,) = attached(standing, "credit_note", written, AT, PDF)
    assert (paper.name, paper.pdf) == ("credit-note-2026-000043.pdf", PDF)
    paid = about(CREDIT_NOTE, "84.32", "4.32")
    assert "CHF 0.00 is still to be paid" in written_letter(shipped_policy(), CREDIT_NOTE, paid, SETTINGS, "en")[0].text


def test_a_reminder_brings_its_page_with_what_is_open_and_the_invoice_as_it_was() -> None:
    written, _ = written_letter(shipped_policy(), "send_first_reminder", standing("20.00"), SETTINGS, "en")
    reminder, whole = attached(standing("20.00"), "first_reminder", written, AT, PDF)
    assert [each.name for each in (reminder, whole)] == [
        "first-reminder-2026-000042.pdf", "invoice-2026-000042.pdf",
    ]  # fmt: skip
    said = " ".join(pypdfium2.PdfDocument(reminder.pdf)[0].get_textpage().get_text_range().split())
    assert "First reminder: invoice 2026-000042" in said
    assert "64.32" in said
    german, _ = written_letter(load_policy(GENTLE), "send_first_reminder", standing("20.00"), SETTINGS, "de")
    paper, beside = attached(standing("20.00"), "first_reminder", german, AT, PDF)
    said = " ".join(pypdfium2.PdfDocument(paper.pdf)[0].get_textpage().get_text_range().split())
    assert "Erste Erinnerung: Rechnung 2026-000042" in said
    assert "Noch zu bezahlen" in said
    assert beside == whole  # it was issued in English, and stays so
    assert whole.pdf == PDF
    written, _ = written_letter(shipped_policy(), "send_invoice", standing(), SETTINGS, "en")
    assert attached(standing(), "issued", written, AT, PDF) == (whole,)
