"""A deployment for each test of what is asked of Stripe."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.storage.billing import Billing


@pytest.fixture
def billing(database_url: str) -> Iterator[Billing]:
    """A fresh, migrated database that takes Stripe's events."""
    made = Billing(database_url)
    yield made
    made.database.close()
