"""Logins: who may sign in, with which address and password, and the tokens that are mailed to prove an address.

Real time throughout: sessions and tokens never live by the test clock.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from storage.accounts import create_customer, token_hash
from storage.errors import AlreadyTaken

Role = Literal["customer", "admin"]
Purpose = Literal["verify", "reset"]

TOKEN_BYTES: Final = 32
LIFETIMES: Final[dict[Purpose, timedelta]] = {"verify": timedelta(days=2), "reset": timedelta(hours=1)}
IDLE: Final = timedelta(days=14)  # a session that nobody used for so long is over
LONGEST: Final = timedelta(days=90)  # and every one ends after this
COLUMNS: Final = "l.id, l.email, l.name, l.role, l.customer_id, l.password_hash, l.verified_at"


@dataclass(frozen=True, slots=True)
class Login:
    """One person's way in."""

    id: UUID
    email: str
    name: str
    role: Role
    customer_id: UUID | None
    password_hash: str | None
    verified_at: datetime | None


def normal(email: str) -> str:
    """Return the address as logins are found by it."""
    return email.strip().lower()


def create(
    conn: Connection,
    email: str,
    name: str,
    *,
    role: Role = "customer",
    password_hash: str | None = None,
    zone: str = "UTC",
) -> Login:
    """Make a login, and for a customer the customer that it belongs to. Raises AlreadyTaken."""
    add = text(
        "INSERT INTO logins (email, name, role, customer_id, password_hash) "
        "VALUES (:email, :name, :role, :customer, :hash) RETURNING id"
    )
    try:
        with conn.begin_nested():
            customer_id = create_customer(conn, email, name, zone).id if role == "customer" else None
            given = {"email": normal(email), "name": name, "role": role, "customer": customer_id, "hash": password_hash}
            login_id = conn.execute(add, given).scalar_one()
    except IntegrityError as error:
        raise AlreadyTaken("address", email) from error
    return Login(login_id, normal(email), name, role, customer_id, password_hash, None)


def by_email(conn: Connection, email: str) -> Login | None:
    """Return the login of an address; None: nobody has it."""
    return _one(conn, f"SELECT {COLUMNS} FROM logins l WHERE l.email = :email", {"email": normal(email)})


def invited(conn: Connection, email: str) -> Login | None:
    """Return the login of an address, made now for a customer whom an admin made without one; None: nobody has it."""
    found = by_email(conn, email)
    if found is not None:
        return found
    add = text(
        "INSERT INTO logins (email, name, role, customer_id) SELECT :email, name, 'customer', id FROM customers "
        "WHERE lower(email) = :email ORDER BY created_at, id LIMIT 1 ON CONFLICT DO NOTHING"
    )
    conn.execute(add, {"email": normal(email)})
    return by_email(conn, email)


def set_password(conn: Connection, login_id: UUID, password_hash: str) -> None:
    """Choose a password, and end every session: whoever had the old one is out."""
    conn.execute(
        text("UPDATE logins SET password_hash = :hash WHERE id = :id"), {"hash": password_hash, "id": login_id}
    )
    conn.execute(text("DELETE FROM sessions WHERE login_id = :id"), {"id": login_id})


def verify(conn: Connection, login_id: UUID) -> None:
    """Note that the address was proved."""
    conn.execute(
        text("UPDATE logins SET verified_at = coalesce(verified_at, clock_timestamp()) WHERE id = :id"),
        {"id": login_id},
    )


# ---- mailed tokens ---------------------------------------------------------------------------------------------------


def issue_token(conn: Connection, login_id: UUID, purpose: Purpose) -> str:
    """Return a token to mail. Earlier ones stay good until one is used: whoever asks for another in somebody's name
    must not take from them the link that they have.
    """
    token = secrets.token_urlsafe(TOKEN_BYTES)
    given = {"login": login_id, "purpose": purpose, "hash": token_hash(token), "lifetime": LIFETIMES[purpose]}
    conn.execute(text("DELETE FROM login_tokens WHERE expires_at < clock_timestamp() - interval '1 day'"))
    conn.execute(
        text(
            "INSERT INTO login_tokens (token_hash, login_id, purpose, expires_at) "
            "VALUES (:hash, :login, :purpose, clock_timestamp() + :lifetime)"
        ),
        given,
    )
    return token


def holder(conn: Connection, token: str, purpose: Purpose) -> Login | None:
    """Return whose token this is, while it is good; uses nothing up."""
    find = (
        f"SELECT {COLUMNS} FROM login_tokens t JOIN logins l ON l.id = t.login_id WHERE t.token_hash = :hash "
        "AND t.purpose = :purpose AND t.used_at IS NULL AND t.expires_at > clock_timestamp()"
    )
    return _one(conn, find, {"hash": token_hash(token), "purpose": purpose})


def use_token(conn: Connection, token: str, purpose: Purpose) -> Login | None:
    """Use a token up, and all others for the same purpose; return whose it was. None: it is no longer good."""
    # One after the other: two links of one person that are used at once would wait for each other.
    first = text(
        "SELECT 1 FROM logins l JOIN login_tokens t ON t.login_id = l.id WHERE t.token_hash = :hash FOR UPDATE OF l"
    )
    conn.execute(first, {"hash": token_hash(token)})
    use = text(
        "UPDATE login_tokens SET used_at = clock_timestamp() WHERE token_hash = :hash AND purpose = :purpose "
        "AND used_at IS NULL AND expires_at > clock_timestamp() RETURNING login_id"
    )
    login_id = conn.execute(use, {"hash": token_hash(token), "purpose": purpose}).scalar_one_or_none()
    if login_id is None:
        return None
    others = text(
        "UPDATE login_tokens SET used_at = clock_timestamp() "
        "WHERE login_id = :id AND purpose = :purpose AND used_at IS NULL"
    )
    conn.execute(others, {"id": login_id, "purpose": purpose})
    return _one(conn, f"SELECT {COLUMNS} FROM logins l WHERE l.id = :id", {"id": login_id})


# ---- sessions --------------------------------------------------------------------------------------------------------


def begin_session(conn: Connection, login_id: UUID) -> str:
    """Return the cookie of a new session; old ones that nobody uses are forgotten."""
    cookie = secrets.token_urlsafe(TOKEN_BYTES)
    over = text(
        "DELETE FROM sessions WHERE seen_at < clock_timestamp() - :idle OR created_at < clock_timestamp() - :longest"
    )
    conn.execute(over, {"idle": IDLE, "longest": LONGEST})
    conn.execute(
        text("INSERT INTO sessions (token_hash, login_id) VALUES (:hash, :login)"),
        {"hash": token_hash(cookie), "login": login_id},
    )
    return cookie


def in_session(conn: Connection, cookie: str) -> Login | None:
    """Return who has this session; None: nobody, or it is over."""
    find = (
        f"SELECT {COLUMNS}, s.seen_at < clock_timestamp() - interval '1 minute' AS old FROM sessions s "
        "JOIN logins l ON l.id = s.login_id WHERE s.token_hash = :hash "
        "AND s.seen_at > clock_timestamp() - :idle AND s.created_at > clock_timestamp() - :longest"
    )
    given = {"hash": token_hash(cookie), "idle": IDLE, "longest": LONGEST}
    row = conn.execute(text(find), given).one_or_none()
    if row is None:
        return None
    if row.old:
        conn.execute(text("UPDATE sessions SET seen_at = clock_timestamp() WHERE token_hash = :hash"), given)
    return Login(*row[:-1])


def end_session(conn: Connection, cookie: str) -> None:
    """End a session. Doing it again is harmless."""
    conn.execute(text("DELETE FROM sessions WHERE token_hash = :hash"), {"hash": token_hash(cookie)})


# ---- how often -------------------------------------------------------------------------------------------------------


def too_often(conn: Connection, key: str, most: int, within: timedelta) -> bool:
    """Count one try of something and tell whether there were too many. The same for every process.

    One too many is not kept: whoever goes on neither fills the table nor puts off the end of the wait.
    """
    conn.execute(text("DELETE FROM attempts WHERE at < clock_timestamp() - interval '1 day'"))
    add = text("INSERT INTO attempts (key) VALUES (:key) RETURNING id")
    own: int = conn.execute(add, {"key": key[:300]}).scalar_one()
    count = text("SELECT count(*) FROM attempts WHERE key = :key AND at > clock_timestamp() - :within")
    found: int = conn.execute(count, {"key": key[:300], "within": within}).scalar_one()
    if found > most:
        conn.execute(text("DELETE FROM attempts WHERE id = :id"), {"id": own})
    return found > most


def forgive(conn: Connection, key: str) -> None:
    """Forget how often something was tried."""
    conn.execute(text("DELETE FROM attempts WHERE key = :key"), {"key": key[:300]})


def _one(conn: Connection, find: str, given: dict[str, Any]) -> Login | None:
    row = conn.execute(text(find), given).one_or_none()
    return None if row is None else Login(*row)
