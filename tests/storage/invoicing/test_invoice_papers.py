"""Papers of invoices: the first that is drawn stays, whoever else draws at the same time."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from storage.invoicing import invoice_papers
from tests.storage.deployment import Deployment, together
from tests.storage.metered import Books


def test_of_many_that_draw_at_once_one_is_kept_and_all_hand_it_out(deployment: Deployment) -> None:
    books = Books(deployment)
    customer = books.organisation("alpha")
    with deployment.begin() as conn:
        made = books.billing.issue(conn, customer, books.month, by="test")
        assert made is not None
        assert invoice_papers.find(conn, made.id) is None

    def draw(number: int) -> bytes:
        with deployment.begin() as conn:
            kept = invoice_papers.keep(conn, made.id, f"%PDF-{number}".encode())
            conn.execute(text("SELECT pg_sleep(0.01)"))  # so that the others come in the middle of it
            return kept

    handed_out = together(6, draw)
    assert len(set(handed_out)) == 1
    with deployment.begin() as conn:
        assert invoice_papers.find(conn, made.id) == handed_out[0]
        assert invoice_papers.keep(conn, made.id, b"later") == handed_out[0]


@pytest.mark.parametrize("change", ["UPDATE invoice_papers SET pdf = ''", "DELETE FROM invoice_papers"])
def test_no_paper_is_changed_or_removed(deployment: Deployment, change: str) -> None:
    with pytest.raises(IntegrityError, match="what was issued stays as it is"), deployment.begin() as conn:
        conn.execute(text(change))
