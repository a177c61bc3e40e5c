"""What is read for an invoice is all that matters for it: the same comes of the rows as of the events themselves."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest

from engine.invoicing.compute import preview
from engine.invoicing.days import Days, month_of
from engine.invoicing.document import to_document
from engine.invoicing.metered import Switch, Tenant, Usage, UsageKind
from engine.invoicing.tariff import Tariff
from storage.invoicing import organisations, prices
from tests.storage.deployment import Deployment
from tests.storage.metered import CREDITOR, Books

ZONES = ("Europe/Zurich", "America/New_York", "Pacific/Auckland")
LIFE = (
    "INSERT INTO tenant_billing_lifecycle "
    "(server_id, customer_id, account_id, organisation, tenant, event, at, source) "
    "VALUES (%s, %s, %s, 'A', %s, %s, %s, 'observed')"
)
SKILL = (
    "INSERT INTO tenant_skill_events (server_id, customer_id, skill, event, at, source) "
    "VALUES (%s, %s, %s, %s, %s, 'observed')"
)
STOP = (
    "INSERT INTO tenant_suspension_events (server_id, customer_id, event, cause, at, source) "
    "VALUES (%s, %s, %s, 'host', %s, 'observed')"
)
USED = (
    "INSERT INTO tenant_usage (server_id, customer_id, kind, used_on, quantity, source) "
    "VALUES (%s, %s, %s, %s, %s, 'meter')"
)


class Chance:
    """Draws events around a month, often at the very instants with which it begins and ends."""

    def __init__(self, seed: int, start: datetime, end: datetime) -> None:
        self.draw = random.Random(seed)
        self.start, self.end = start, end

    def instant(self) -> datetime:
        if self.draw.random() < 0.3:
            edge = self.draw.choice((self.start, self.end))
            return edge + timedelta(microseconds=self.draw.choice((-1, 0, 1)))
        return self.start + timedelta(minutes=self.draw.randrange(-45 * 1440, 75 * 1440))

    def switches(self) -> list[Switch]:
        return [Switch(self.instant(), self.draw.random() < 0.5) for _ in range(self.draw.randrange(6))]

    def tenant(self, name: str) -> Tenant:
        created, deleted = sorted((self.instant(), self.instant()))
        on = {each.used_on: each for each in (self.usage() for _ in range(4))}
        skills = {skill: self.switches() for skill in ("voice", "search")}
        end = deleted if self.draw.random() < 0.5 else None
        return Tenant(name, created, end, self.switches(), skills, list(on.values()))

    def usage(self) -> Usage:
        on = (self.start + timedelta(days=self.draw.randrange(-3, 34))).date()
        return Usage(self.draw.choice(list(UsageKind)), on, Decimal(self.draw.randrange(100_000)).scaleb(-2))


def write(deployment: Deployment, customer: UUID, tenants: Sequence[Tenant]) -> None:
    """Write down what tenants did, in the order in which their events are listed."""
    with deployment.session() as session, session.transaction():
        for tenant in tenants:
            server = uuid4()
            session.execute(LIFE, (server, customer, server, tenant.name, "created", tenant.created_at))
            if tenant.deleted_at is not None:
                session.execute(LIFE, (server, customer, server, tenant.name, "deleted", tenant.deleted_at))
            for at, on in tenant.suspensions:
                session.execute(STOP, (server, customer, "suspended" if on else "resumed", at))
            for skill, switches in tenant.skills.items():
                for at, on in switches:
                    session.execute(SKILL, (server, customer, skill, "enabled" if on else "disabled", at))
            for kind, used_on, quantity in tenant.usage:
                session.execute(USED, (server, customer, kind.value, used_on, quantity))


@pytest.mark.parametrize("zone", ZONES)
def test_invoice_of_what_is_stored_is_that_of_the_events(deployment: Deployment, zone: str) -> None:
    books = Books(deployment)
    first, last = month_of(books.month.year, books.month.month)
    days = Days.of(first, last, zone)
    start, end = days.bounds[0], days.bounds[-1]
    assert start == datetime.combine(first, time(), ZoneInfo(zone)).astimezone(UTC)
    with deployment.begin() as conn:
        more = {
            "setup_fee": Decimal("99.00"),
            "per_message_price": Decimal("0.00250"),
            "model_spend_factor": Decimal(1),
        }
        prices.change(conn, more, by="test", valid_from=first - timedelta(days=400))
        prices.change_skill(conn, "voice", Decimal("0.77777"), by="test", valid_from=first + timedelta(days=11))
    for seed in range(2):
        chance = Chance(seed, start, end)
        customer = books.organisation(zone=zone)
        tenants = [chance.tenant(f"{seed}-{number}") for number in range(12)]
        write(deployment, customer, tenants)
        with deployment.begin() as conn:
            organisation = organisations.get(conn, customer)
            found = books.billing.preview(conn, organisation, first, last)
            tariff = Tariff(days, prices.prices(conn), organisation.country)
        wanted = preview(
            tenants, tariff, organisation=organisation.name, creditor=CREDITOR.party, debtor=organisation.party
        )
        assert len(wanted.lines) > 12
        assert to_document(found) == to_document(wanted), f"seed {seed}"
