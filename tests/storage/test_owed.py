"""Where an account pays: the same page in mails and on pages."""

from __future__ import annotations

import pytest

from storage.owed import OwedInvoice, pay_url
from storage.settings import Settings

PLAIN = Settings(database_url="", portal_url="https://portal.example")
WITH_PAGE = Settings(database_url="", portal_url="https://portal.example", pay_url="https://pay.example")


@pytest.mark.parametrize(
    ("urls", "settings", "where"),
    [
        ([], PLAIN, "https://portal.example"),
        ([], WITH_PAGE, "https://pay.example"),
        ([None], WITH_PAGE, "https://pay.example"),
        (["https://stripe.example/1", "https://stripe.example/2"], WITH_PAGE, "https://stripe.example/1"),
        ([None, "https://stripe.example/2"], PLAIN, "https://stripe.example/2"),
    ],
)
def test_the_first_invoice_that_has_a_page_says_where(urls: list[str | None], settings: Settings, where: str) -> None:
    assert pay_url([OwedInvoice(None, 100, "eur", url) for url in urls], settings) == where
