"""Prices with their validity: what holds now, every change that was ever made, and when each begins to hold.

INVARIANT: no change reaches a day that an issued invoice covers, so that a month recomputes with its own prices.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, text

from engine.invoicing.metered import PlatformPrice, Prices, SkillPrice
from storage import audit, clock
from storage.audit import AuditNote
from storage.invoicing.errors import PriceRefused

FIELDS: Final = ("monthly_fee", "setup_fee", "per_message_price", "model_spend_factor", "vat_rate_chli")
NAMES: Final = ", ".join(FIELDS)
AMOUNT_DIGITS: Final = {"monthly_fee": 2, "setup_fee": 2, "vat_rate_chli": 2}
UNIT_DIGITS: Final = 5
BOUNDS: Final = {"monthly_fee": Decimal(100_000), "setup_fee": Decimal(100_000), "vat_rate_chli": Decimal(100)}
MOST: Final = Decimal(100_000)
UTC: Final = "UTC"

VERSION: Final = text(
    "SELECT (SELECT currency FROM platform_pricing), (SELECT max(id) FROM platform_pricing_history), "
    "(SELECT max(id) FROM skill_pricing_history)"
)


@dataclass(frozen=True, slots=True)
class PlatformPricing:
    """The one row: what holds today."""

    currency: str
    monthly_fee: Decimal
    setup_fee: Decimal
    per_message_price: Decimal
    model_spend_factor: Decimal
    vat_rate_chli: Decimal


class PriceBook:
    """Every price that ever held, read again only when one was added."""

    def __init__(self) -> None:
        self.version: tuple[Any, ...] | None = None
        self._prices: Prices | None = None

    def read(self, conn: Connection) -> Prices:
        """Return the prices, which stay so until this transaction ends: whoever changes one waits."""
        conn.execute(text("SELECT 1 FROM platform_pricing FOR SHARE"))
        version = tuple(conn.execute(VERSION).one())
        if self._prices is None or version != self.version:
            self._prices, self.version = prices(conn), version
        return self._prices


def prices(conn: Connection) -> Prices:
    """Return every price that ever held, in the order in which they were set."""
    platform = conn.execute(text(f"SELECT valid_from, {NAMES} FROM platform_pricing_history ORDER BY id"))
    skills: dict[str, list[SkillPrice]] = {}
    found = conn.execute(text("SELECT skill, valid_from, daily_price FROM skill_pricing_history ORDER BY id"))
    for skill, valid_from, daily_price in found:
        skills.setdefault(skill, []).append(SkillPrice(valid_from, daily_price))
    currency = conn.execute(text("SELECT currency FROM platform_pricing")).scalar_one()
    return Prices(currency, [PlatformPrice(*row) for row in platform], skills)


def current(conn: Connection, *, zone: str = UTC) -> PlatformPricing:
    """Return what holds today in a zone. A change that was made for a day that has come by now is in force."""
    _catch_up(conn, _today(conn, zone))
    return PlatformPricing(*conn.execute(text(f"SELECT currency, {NAMES} FROM platform_pricing")).one())


def skills(conn: Connection, *, zone: str = UTC) -> dict[str, Decimal]:
    """Return what a day of each skill costs today."""
    _catch_up(conn, _today(conn, zone))
    return {row[0]: row[1] for row in conn.execute(text("SELECT skill, daily_price FROM skill_pricing ORDER BY skill"))}


def change(
    conn: Connection,
    wish: Mapping[str, Decimal],
    *,
    by: str,
    valid_from: date | None = None,
    currency: str | None = None,
    reason: str = "",
    zone: str = UTC,
) -> date:
    """Change prices from a day on, today in the zone unless told otherwise; what is not named stays. Return that day.

    Who did so, and why, stays with the change and is audited.

    Raises PriceRefused when the day is covered by an issued invoice, or the currency changes after the first one.
    """
    today, since = _begin(conn, valid_from, zone)
    for name, amount in wish.items():
        _check(name, amount, AMOUNT_DIGITS.get(name, UNIT_DIGITS), BOUNDS.get(name, MOST))
    if currency is not None:
        _change_currency(conn, currency)
    before = conn.execute(
        text(
            f"SELECT {NAMES} FROM platform_pricing_history WHERE valid_from <= :since "
            "ORDER BY valid_from DESC, id DESC LIMIT 1"
        ),
        {"since": since},
    ).one()
    add = text(
        f"INSERT INTO platform_pricing_history (valid_from, {NAMES}, by, reason) VALUES (:since, "
        f"{', '.join(f':{name}' for name in FIELDS)}, :by, :reason)"
    )
    conn.execute(add, {**before._asdict(), **wish, "since": since, "by": by, "reason": reason})
    conn.execute(text("UPDATE platform_pricing SET updated_at = now(), updated_by = :by"), {"by": by})
    _catch_up(conn, today)
    _note(conn, by, reason, since, dict(wish) if currency is None else {**wish, "currency": currency})
    return since


def change_skill(
    conn: Connection,
    skill: str,
    daily_price: Decimal,
    *,
    by: str,
    valid_from: date | None = None,
    reason: str = "",
    zone: str = UTC,
) -> date:
    """Set what a day of a skill costs from a day on, today in the zone unless told otherwise. Return that day."""
    today, since = _begin(conn, valid_from, zone)
    _check("daily_price", daily_price, UNIT_DIGITS, MOST)
    given = {"skill": skill, "since": since, "price": daily_price, "by": by, "reason": reason}
    add = (
        "INSERT INTO skill_pricing_history (skill, valid_from, daily_price, by, reason) "
        "VALUES (:skill, :since, :price, :by, :reason)"
    )
    conn.execute(text(add), given)
    there = "INSERT INTO skill_pricing (skill, updated_by) VALUES (:skill, :by) ON CONFLICT (skill) DO UPDATE SET "
    conn.execute(text(there + "updated_at = now(), updated_by = :by"), {"skill": skill, "by": by})
    _catch_up(conn, today)
    _note(conn, by, reason, since, {"skill": skill, "daily_price": daily_price})
    return since


def history(conn: Connection) -> list[dict[str, Any]]:
    """Return every change of a price, newest first."""
    nulls = ", ".join(["NULL"] * len(FIELDS))
    find = (
        f"SELECT NULL AS skill, valid_from, {NAMES}, NULL AS daily_price, by, recorded_at, reason "
        "FROM platform_pricing_history UNION ALL "
        f"SELECT skill, valid_from, {nulls}, daily_price, by, recorded_at, reason "
        "FROM skill_pricing_history ORDER BY recorded_at DESC, valid_from DESC LIMIT 1000"
    )
    return [dict(row) for row in conn.execute(text(find)).mappings()]


def _note(conn: Connection, by: str, reason: str, since: date, changed: Mapping[str, object]) -> None:
    """Write a change of prices into the audit; it concerns no account more than others."""
    facts = {name: str(value) for name, value in {"valid_from": since, **changed}.items()}
    audit.append(conn, None, [AuditNote("admin", "prices_changed", by, reason, facts=facts)])


def _today(conn: Connection, zone: str) -> date:
    return clock.now(conn).astimezone(ZoneInfo(zone)).date()


def _begin(conn: Connection, wanted: date | None, zone: str) -> tuple[date, date]:
    """Let nobody issue meanwhile; return today, and from when on the change holds."""
    conn.execute(text("SELECT 1 FROM platform_pricing FOR UPDATE"))
    today = _today(conn, zone)
    billed: date | None = conn.execute(text("SELECT max(last_on) FROM invoices WHERE kind = 'invoice'")).scalar_one()
    first_free = date.min if billed is None else billed + timedelta(days=1)
    since = wanted or max(today, first_free)
    if since < first_free:
        raise PriceRefused(
            f"prices until {billed} are on issued invoices and stay; let the change be valid from {first_free} or later"
        )
    return today, since


def _check(name: str, amount: Decimal, digits: int, most: Decimal) -> None:
    if not amount.is_finite() or not 0 <= amount < most:
        raise PriceRefused(f"`{name}` is `{amount}`, expected 0 or more, and less than {most}")
    if amount != amount.quantize(Decimal(1).scaleb(-digits)):
        raise PriceRefused(f"`{name}` is `{amount}`, expected at most {digits} digits after the point")


def _change_currency(conn: Connection, currency: str) -> None:
    there = conn.execute(text("SELECT currency FROM platform_pricing")).scalar_one()
    if currency == there:
        return
    if conn.execute(text("SELECT EXISTS (SELECT FROM invoices)")).scalar_one():
        raise PriceRefused(f"invoices are out in {there}; the currency of this installation stays")
    conn.execute(text("UPDATE platform_pricing SET currency = :currency"), {"currency": currency})


def _catch_up(conn: Connection, today: date) -> None:
    """Let the rows that say what holds now say so."""
    assignments = ", ".join(f"{name} = h.{name}" for name in FIELDS)
    differs = f"({', '.join(f'p.{name}' for name in FIELDS)}) <> ({', '.join(f'h.{name}' for name in FIELDS)})"
    conn.execute(
        text(
            f"UPDATE platform_pricing p SET {assignments} FROM (SELECT * FROM platform_pricing_history "
            f"WHERE valid_from <= :today ORDER BY valid_from DESC, id DESC LIMIT 1) h WHERE {differs}"
        ),
        {"today": today},
    )
    conn.execute(
        text(
            "UPDATE skill_pricing p SET daily_price = h.daily_price "
            "FROM (SELECT DISTINCT ON (skill) skill, daily_price FROM skill_pricing_history "
            "WHERE valid_from <= :today ORDER BY skill, valid_from DESC, id DESC) h "
            "WHERE p.skill = h.skill AND p.daily_price <> h.daily_price"
        ),
        {"today": today},
    )
