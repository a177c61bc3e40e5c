"""Invoices hold for whatever tenants do: against a count by hand, hour by hour, in zones whose clocks change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.invoicing.compute import lived, preview
from engine.invoicing.crediting import credit
from engine.invoicing.days import Days, month_of
from engine.invoicing.document import from_document, to_document
from engine.invoicing.invoice import Invoice, InvoiceKind, LineKind
from engine.invoicing.metered import PlatformPrice, Prices, SkillPrice, Switch, Tenant, Usage, UsageKind
from engine.invoicing.tariff import Tariff
from tests.factories import party

ZONES = ("Europe/Zurich", "America/New_York", "Pacific/Auckland")
YEAR = datetime(2030, 1, 1, tzinfo=UTC)
FIRST, LAST = date(2030, 1, 1), date(2030, 12, 31)
D = Decimal


def price(valid_from: date = date(2000, 1, 1), fee: str = "49.00", vat: str = "8.10") -> PlatformPrice:
    """Return a price of the platform."""
    return PlatformPrice(valid_from, D(fee), D("99.00"), D("0.00250"), D("1.2"), D(vat))


PRICES = Prices(
    "CHF",
    [price(), price(date(2030, 5, 11), "62.10"), price(date(2030, 9, 17), "62.10", "8.50")],
    {
        "voice": [SkillPrice(date(2000, 1, 1), D("0.5")), SkillPrice(date(2030, 7, 9), D("0.77777"))],
        "search": [SkillPrice(date(2000, 1, 1), D("0.35"))],
    },
)


def billed(tenants: Sequence[Tenant], first: date, last: date, zone: str, prices: Prices = PRICES) -> Invoice:
    """Return the invoice of a period."""
    tariff = Tariff(Days.of(first, last, zone), prices, "CH")
    return preview(tenants, tariff, organisation="O", creditor=party("Host"), debtor=party("O"))


# A year and a bit on either side, in odd steps: midnights of no zone, and sometimes of all three.
instants = st.one_of(
    st.integers(-40 * 24 * 60, 405 * 24 * 60).map(lambda minutes: YEAR + timedelta(minutes=minutes)),
    st.builds(
        lambda zone, days: datetime.combine(FIRST + timedelta(days=days), time(), ZoneInfo(zone)).astimezone(UTC),
        st.sampled_from(ZONES),
        st.integers(-3, 368),
    ),
)
switches = st.lists(st.builds(Switch, instants, st.booleans()), max_size=8)
usages = st.lists(
    st.builds(
        Usage,
        st.sampled_from(UsageKind),
        st.integers(0, 364).map(lambda days: FIRST + timedelta(days=days)),
        st.decimals(0, 10_000, places=3),
    ),
    max_size=4,
)


@st.composite
def tenants(draw: st.DrawFn, name: str = "alpha") -> Tenant:
    """Draw a tenant with any interleaving of what it may go through."""
    created = draw(instants)
    deleted = draw(st.none() | instants)
    if deleted is not None and deleted < created:
        created, deleted = deleted, created
    skills = draw(st.dictionaries(st.sampled_from(["voice", "search"]), switches))
    return Tenant(name, created, deleted, draw(switches), skills, draw(usages))


def _state(switched: Sequence[Switch], at: datetime) -> bool:
    before = [each for each in sorted(switched, key=lambda each: each.at) if each.at <= at]
    return before[-1].on if before else False


def by_hand(tenant: Tenant, day: date, zone: str) -> tuple[bool, bool, set[str]]:
    """Look at every moment of a day at which anything changes: did it live, is it billed, which skills were on."""
    start, end = (datetime.combine(on, time(), ZoneInfo(zone)).astimezone(UTC) for on in (day, day + timedelta(days=1)))
    changes = [each.at for switched in (tenant.suspensions, *tenant.skills.values()) for each in switched]
    moments = {start, *(at for at in (tenant.created_at, *changes) if start <= at < end)}
    living = [at for at in moments if tenant.created_at <= at and (tenant.deleted_at is None or at < tenant.deleted_at)]
    free = any(not _state(tenant.suspensions, at) for at in living)
    on = {skill for skill, switched in tenant.skills.items() if any(_state(switched, at) for at in living)}
    return bool(living), free, on if free else set()


@settings(max_examples=40)
@given(tenants(), st.sampled_from(ZONES))
def test_days_are_those_counted_by_hand(tenant: Tenant, zone: str) -> None:
    days = Days.of(FIRST, LAST, zone)
    there = lived(tenant, days)
    assert there.billed & ~there.alive == 0
    found = billed([tenant], FIRST, LAST, zone)
    count = {"voice": 0, "search": 0}
    for number in range(365):
        day = FIRST + timedelta(days=number)
        alive, free, on = by_hand(tenant, day, zone)
        assert (bool(there.alive >> number & 1), bool(there.billed >> number & 1)) == (alive, free), day
        for skill in on:
            count[skill] += 1
    charged = {skill: D(0) for skill in count}
    for line in found.lines:
        if line.kind is LineKind.SKILL:
            charged[line.text.split(" ")[0]] += line.quantity
    assert charged == count
    created_on = tenant.created_at.astimezone(ZoneInfo(zone)).date()
    assert sum(line.kind is LineKind.SETUP for line in found.lines) == (FIRST <= created_on <= LAST)
    paid = [(each.kind, each.quantity) for each in tenant.usage if there.billed >> (each.used_on - FIRST).days & 1]
    for kind, start in ((UsageKind.MESSAGES, "Messages"), (UsageKind.MODEL_SPEND, "Model spend")):
        told = sum(line.quantity for line in found.lines if line.text.startswith(start))
        assert told == sum(quantity for each, quantity in paid if each is kind)
    months = sum(line.quantity if line.unit == "day" else (line.last_on - line.first_on).days + 1
                 for line in found.lines if line.kind is LineKind.MONTHLY)  # fmt: skip
    assert months == there.billed.bit_count()


@settings(max_examples=60)
@given(st.lists(tenants(), max_size=3), st.sampled_from(ZONES))
def test_invoice_is_the_sum_of_its_lines_and_always_the_same_bytes(found: list[Tenant], zone: str) -> None:
    named = [Tenant(f"t{n}", t.created_at, t.deleted_at, t.suspensions, t.skills, t.usage) for n, t in enumerate(found)]
    invoice = billed(named, FIRST, LAST, zone)
    assert invoice.net == sum((line.amount for line in invoice.lines), D(0))
    assert all(line.amount == (line.quantity * line.unit_price).quantize(D("0.01"), "ROUND_HALF_UP")
               for line in invoice.lines)  # fmt: skip
    assert invoice.net == sum((each.net for each in invoice.vat_lines), D(0))
    assert invoice.total == invoice.net + sum((each.vat for each in invoice.vat_lines), D(0))
    again = billed(list(reversed(named)), FIRST, LAST, zone)
    assert to_document(again) == to_document(invoice)
    assert from_document(to_document(invoice)) == invoice


@settings(max_examples=60)
@given(tenants(), st.sampled_from(ZONES), st.integers(1, 12), st.integers(1, 27))
def test_month_in_two_previews_is_the_whole_up_to_rounding(tenant: Tenant, zone: str, month: int, day: int) -> None:
    first, last = month_of(2030, month)
    whole = billed([tenant], first, last, zone)
    parts = [
        billed([tenant], first, first.replace(day=day), zone),
        billed([tenant], first.replace(day=day + 1), last, zone),
    ]
    net = sum((part.net for part in parts), D(0))
    total = sum((part.total for part in parts), D(0))
    lines = len(whole.lines) + sum(len(part.lines) for part in parts)
    rates = len(whole.vat_lines) + sum(len(part.vat_lines) for part in parts)
    assert abs(net - whole.net) <= D("0.0052") * lines
    assert abs(total - whole.total) <= D("0.0057") * lines + D("0.005") * rates
    quantity = {kind: sum(line.quantity for line in whole.lines if line.kind is kind) for kind in LineKind}
    for kind in (LineKind.SETUP, LineKind.SKILL, LineKind.USAGE):
        assert quantity[kind] == sum(line.quantity for part in parts for line in part.lines if line.kind is kind)


@pytest.mark.parametrize(
    ("resumed", "days"),
    [("2030-06-10T23:59:59+02:00", 30), ("2030-06-11T00:00:00+02:00", 29), ("2030-06-11T00:00:01+02:00", 29)],
)
def test_suspended_day_is_one_that_was_suspended_to_its_end(resumed: str, days: int) -> None:
    suspensions = [
        Switch(datetime.fromisoformat(at), on) for at, on in (("2030-06-10T00:00:00+02:00", True), (resumed, False))
    ]
    tenant = Tenant("alpha", YEAR, suspensions=suspensions)
    there = lived(tenant, Days.of(*month_of(2030, 6), "Europe/Zurich"))
    assert there.billed.bit_count() == days


def test_day_that_a_zone_has_skipped_is_no_day() -> None:
    days = Days.of(date(2011, 12, 29), date(2011, 12, 31), "Pacific/Apia")
    assert days.real == 0b101
    assert lived(Tenant("alpha", datetime(2011, 1, 1, tzinfo=UTC)), days).billed == 0b101


def test_credit_note_takes_back_what_was_issued() -> None:
    invoice = billed([Tenant("alpha", YEAR)], *month_of(2030, 2), "Europe/Zurich")
    note = credit(invoice, "2030-2", date(2030, 3, 5))
    assert (note.kind, note.total, note.reference) == (InvoiceKind.CREDIT_NOTE, invoice.total, None)
    assert note.lines == invoice.lines


def test_period_of_no_or_too_many_days_is_refused() -> None:
    with pytest.raises(ValueError, match="no period"):
        Days.of(LAST, FIRST, "UTC")


@settings(max_examples=30)
@given(tenants(), st.integers(1, 11), st.sampled_from(ZONES))
def test_usage_that_is_told_late_costs_what_its_month_would_have_charged(tenant: Tenant, month: int, zone: str) -> None:
    first, last = month_of(2030, month)
    told = [each for each in tenant.usage if first <= each.used_on <= last]
    in_time = billed([replace(tenant, usage=told)], first, last, zone).lines
    late = billed([replace(tenant, usage=(), late=told)], date(2030, 12, 1), LAST, zone).lines
    found = [replace(each, text="") for each in late if "told late" in each.text]
    assert found == [replace(each, text="") for each in in_time if each.kind is LineKind.USAGE]
    assert all(each.text.endswith(f", told late for 2030-{month:02}") for each in late if each.kind is LineKind.USAGE)
