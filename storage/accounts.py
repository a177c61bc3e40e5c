"""Customers and accounts: made, found and shown. What moves an account's states is in `storage.ledger`."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, text
from sqlalchemy.exc import DataError, IntegrityError

from engine.decide import blank
from engine.languages import ENGLISH
from engine.model import Policy
from storage.audit import AuditNote
from storage.errors import AlreadyTaken, PlanUnknown, UnknownAccount, UnknownCustomer, ZoneUnknown
from storage.gather import World
from storage.ledger import Recorded, lock, record

TOKEN_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Customer:
    """A person or organisation that signs in."""

    id: UUID
    email: str
    name: str
    zone: str
    """IANA name; instants in mail are told in it."""
    language: str
    """Of letters, such as `de`; English is read where the policy has no text in it."""


@dataclass(frozen=True, slots=True)
class NewCustomer:
    """A customer just made, with the bearer token: only its hash is kept, so it is seen this once."""

    id: UUID
    token: str


@dataclass(frozen=True, slots=True)
class ServerLine:
    """One server of an account, as the account's page shows it."""

    id: UUID
    name: str
    kind: str
    desired: str
    observed: str
    lifecycle: str
    server_billing_state: str
    states: Mapping[str, str]
    """Rungs of its own, by machine; empty: it stands where its account does."""


@dataclass(frozen=True, slots=True)
class AccountView:
    """An account's durable fields."""

    id: UUID
    customer_id: UUID
    stripe_customer_id: str | None
    stripe_subscription_id: str | None
    zone: str
    created_at: datetime
    billing_status: str
    server_billing_state: str
    server_billing_machine: str
    server_billing_code: str | None
    subscription_status: str
    plan: str | None
    has_active_plan: bool
    overdue_invoices: int
    past_due_since: datetime | None
    exempt_until: datetime | None
    warning_sent_at: datetime | None
    final_warning_sent_at: datetime | None
    backup_blocked_at: datetime | None
    suspended_at: datetime | None
    retention_until: datetime | None
    last_billing_event_at: datetime | None
    last_stripe_event_id: str | None
    last_enforcement_action: str | None
    standing_fetched_at: datetime | None
    policy_digest: str | None
    due_at: datetime | None
    held_until: datetime | None
    states: dict[str, str]
    episodes: dict[str, int]
    waiting: list[dict[str, Any]]
    servers: tuple[ServerLine, ...] = ()


VIEWED: Final = ", ".join(name for name in AccountView.__slots__ if name != "servers")


def create_customer(conn: Connection, email: str, name: str, zone: str = "UTC", language: str = ENGLISH) -> NewCustomer:
    """Make a customer and their token. Raises ZoneUnknown."""
    require_zone(conn, zone)
    token = secrets.token_urlsafe(TOKEN_BYTES)
    add = text(
        "INSERT INTO customers (email, name, zone, language, token_hash) "
        "VALUES (:email, :name, :zone, :language, :hash) RETURNING id"
    )
    given = {"email": email, "name": name, "zone": zone, "language": language, "hash": token_hash(token)}
    return NewCustomer(conn.execute(add, given).scalar_one(), token)


def require_zone(conn: Connection, zone: str) -> None:
    """Refuse a zone that only Python knows: every later query over this customer, and those beside it, would fail."""
    try:
        conn.execute(text("SELECT now() AT TIME ZONE :zone"), {"zone": zone})
    except DataError:
        raise ZoneUnknown(zone) from None


def token_hash(token: str) -> bytes:
    """Return what is kept of a token. It is long and random, so a plain hash cannot be guessed back."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def customer_by_token(conn: Connection, token: str) -> Customer | None:
    """Return whom a bearer token belongs to; None: nobody."""
    find = text("SELECT id, email, name, zone, language FROM customers WHERE token_hash = :hash")
    row = conn.execute(find, {"hash": token_hash(token)}).one_or_none()
    return None if row is None else Customer(*row)


def customer(conn: Connection, customer_id: UUID) -> Customer:
    """Return a customer. Raises UnknownCustomer."""
    find = text("SELECT id, email, name, zone, language FROM customers WHERE id = :id")
    row = conn.execute(find, {"id": customer_id}).one_or_none()
    if row is None:
        raise UnknownCustomer(customer_id)
    return Customer(*row)


def customers_by_email(conn: Connection, email: str) -> list[UUID]:
    """Return the customers with a mail address, two at most: whoever asks wants exactly one."""
    find = text("SELECT id FROM customers WHERE lower(email) = lower(:email) ORDER BY id LIMIT 2")
    return list(conn.execute(find, {"email": email.strip()}).scalars())


def live_in(conn: Connection, customer_id: UUID, zone: str) -> None:
    """Remember in which zone a customer reads dates, in letters about their accounts too. Raises ZoneUnknown."""
    require_zone(conn, zone)
    given = {"id": customer_id, "zone": zone}
    conn.execute(text("UPDATE customers SET zone = :zone WHERE id = :id"), given)
    conn.execute(text("UPDATE accounts SET zone = :zone WHERE customer_id = :id"), given)


def speak(conn: Connection, customer_id: UUID, language: str) -> None:
    """Remember in which language a customer reads letters."""
    conn.execute(text("UPDATE customers SET language = :tag WHERE id = :id"), {"id": customer_id, "tag": language})


def create_account(
    conn: Connection,
    policy: Policy,
    customer_id: UUID,
    *,
    stripe_customer_id: str | None = None,
    plan: str | None = None,
    stripe_subscription_id: str | None = None,
    zone: str | None = None,
    actor: str = "admin",
    world: World | None = None,
) -> UUID:
    """Make an account, decide it for the first time, and apply what was parked until it became known.

    A plan set so counts as active until a subscription event says otherwise; None: none yet, as for whoever has just
    registered. stripe_customer_id: None until Stripe knows them. zone: None takes the customer's.
    Raises UnknownCustomer, PlanUnknown, AlreadyTaken when the subscription belongs to another account.
    """
    if plan is not None and plan not in policy.standing.plans:
        raise PlanUnknown(plan, tuple(policy.standing.plans))
    states, episodes = blank(policy)
    add = text(
        "INSERT INTO accounts (customer_id, stripe_customer_id, stripe_subscription_id, zone, plan, has_active_plan, "
        "billing_status, states, episodes) VALUES (:customer, :stripe_customer, :subscription, :zone, :plan, :active, "
        ":status, CAST(:states AS jsonb), CAST(:episodes AS jsonb)) RETURNING id"
    )
    given = {
        "customer": customer_id,
        "stripe_customer": stripe_customer_id,
        "subscription": stripe_subscription_id,
        "zone": zone or customer(conn, customer_id).zone,
        "plan": plan,
        "active": plan is not None,
        "status": states[next(iter(policy.machines))],
        "states": json.dumps(states),
        "episodes": json.dumps(episodes),
    }
    try:
        with conn.begin_nested():
            account_id: UUID = conn.execute(add, given).scalar_one()
    except IntegrityError as error:
        raise AlreadyTaken("Stripe subscription", str(stripe_subscription_id)) from error
    note = AuditNote("admin", "create_account", actor, facts={"plan": plan, "stripe_customer_id": stripe_customer_id})
    record(conn, policy, account_id, actor=actor, evidence=note, world=world)
    from storage.stripe.inbox import Terms, unpark

    unpark(conn, account_id, policy=policy, terms=Terms(world=world or World()))
    return account_id


def link_stripe_customer(
    conn: Connection,
    policy: Policy,
    account_id: UUID,
    stripe_customer_id: str,
    *,
    actor: str,
    world: World | None = None,
) -> str:
    """Remember who an account is at Stripe, and apply what was parked until then. Raises UnknownAccount.

    Returns who it is: of two that come at once, the first stays.
    """
    lock(conn, [account_id])
    there = account_view(conn, account_id).stripe_customer_id
    if there is not None:
        return there
    set_it = text("UPDATE accounts SET stripe_customer_id = :customer WHERE id = :id")
    conn.execute(set_it, {"id": account_id, "customer": stripe_customer_id})
    facts = {"stripe_customer_id": stripe_customer_id}
    record(
        conn,
        policy,
        account_id,
        actor=actor,
        evidence=AuditNote("admin", "link_stripe_customer", actor, facts=facts),
        world=world,
    )
    from storage.stripe.inbox import Terms, unpark

    unpark(conn, account_id, policy=policy, terms=Terms(world=world or World()))
    return stripe_customer_id


def exempt(
    conn: Connection,
    policy: Policy,
    account_id: UUID,
    until: datetime | None,
    *,
    by: str,
    reason: str = "",
    world: World | None = None,
) -> Recorded:
    """Exempt an account from enforcement until an instant (None: no longer), and decide it. Raises UnknownAccount."""
    lock(conn, [account_id])
    conn.execute(text("UPDATE accounts SET exempt_until = :until WHERE id = :id"), {"id": account_id, "until": until})
    note = AuditNote("admin", "exempt", by, reason, facts={"exempt_until": until})
    return record(conn, policy, account_id, actor=by, evidence=note, world=world)


def account_view(conn: Connection, account_id: UUID) -> AccountView:
    """Return one account with its servers. Raises UnknownAccount."""
    found = _views(conn, "id = :id", {"id": account_id})
    if not found:
        raise UnknownAccount(account_id)
    return found[0]


def accounts_of(conn: Connection, customer_id: UUID) -> list[AccountView]:
    """Return a customer's accounts, oldest first."""
    return _views(conn, "customer_id = :id", {"id": customer_id})


def accounts(conn: Connection, *, after: UUID | None = None, limit: int = 100) -> list[AccountView]:
    """Return accounts in the order of their ids, a page at a time."""
    return _views(conn, "id > :id", {"id": after or UUID(int=0)}, limit)


def _views(conn: Connection, where: str, given: dict[str, Any], limit: int = 1000) -> list[AccountView]:
    order = "id" if where.startswith("id >") else "created_at, id"
    find = text(f"SELECT {VIEWED} FROM accounts WHERE {where} ORDER BY {order} LIMIT :limit")
    rows = list(conn.execute(find, {**given, "limit": limit}))
    servers: dict[UUID, list[ServerLine]] = {}
    find_servers = text(
        "SELECT s.account_id, s.id, s.name, s.kind, s.desired, s.observed, s.lifecycle, "
        "stricter(a.server_billing_state, s.own_billing_state) AS server_billing_state, s.states "
        "FROM servers s JOIN accounts a ON a.id = s.account_id "
        "WHERE s.account_id = ANY(:ids) AND s.lifecycle <> 'deleted' ORDER BY s.created_at, s.id"
    )
    for row in conn.execute(find_servers, {"ids": [each.id for each in rows]}):
        values = row._asdict()
        servers.setdefault(values.pop("account_id"), []).append(ServerLine(**values))
    return [AccountView(**row._asdict(), servers=tuple(servers.get(row.id, ()))) for row in rows]
