"""Instants and amounts in languages: English as ever, others as they are written there."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from engine.languages import is_language, written_amount, written_instant

AT = datetime(2026, 3, 6, 8, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("en", "Friday, 6 March 2026, 09:05 (Europe/Zurich, UTC+1)"),
        ("de", "Freitag, 6. März 2026, 09:05 (Europe/Zurich, UTC+1)"),
        ("pt-BR", "sexta-feira, 6 de março de 2026, 09:05 (Europe/Zurich, UTC+1)"),
        ("fr", "vendredi 6 mars 2026, 09:05 (Europe/Zurich, UTC+1)"),
        ("xx", "Friday, 6 March 2026, 09:05 (Europe/Zurich, UTC+1)"),
    ],
)
def test_an_instant_in_a_language(language: str, expected: str) -> None:
    assert written_instant(AT, "Europe/Zurich", language) == expected


@pytest.mark.parametrize(
    ("cents", "currency", "language", "expected"),
    [
        (1900, "EUR", "en", "19.00 EUR"),
        (5, "EUR", "en", "0.05 EUR"),
        (123456789, "EUR", "de", "1.234.567,89 EUR"),
        (1900, "JPY", "de", "1.900 JPY"),
        (12340, "KWD", "en", "12.340 KWD"),
        (12340, "KWD", "de", "12,340 KWD"),
        (1900, "JPY", "en", "1900 JPY"),
        (1900, "", "en", "19.00"),
        (1900, "CHF", "xx", "19.00 CHF"),
    ],
)
def test_an_amount_in_a_language(cents: int, currency: str, language: str, expected: str) -> None:
    assert written_amount(cents, currency, language) == expected


@pytest.mark.parametrize(
    ("tag", "known"),
    [("en", True), ("de", True), ("pt-BR", True), ("xx", False), ("de_DE", False), ("../de", False), ("", False)],
)
def test_a_language_is_one_that_dates_can_be_written_in(tag: str, known: bool) -> None:
    assert is_language(tag) is known
