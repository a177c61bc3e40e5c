"""What is announced: by an admin to everybody, and to a customer while something restricts one of their accounts."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from litestar import Router, delete, get, post
from litestar.params import RawBody
from sqlalchemy import Connection, insert, select, update

from engine import maintenance
from engine.model import Policy
from storage import clock, policies
from storage.tables import announcements, customers
from web.auth import Caller, admins_only, signed_in
from web.inputs import Input, decode, identifier, instant, line
from web.problems import bad_input, nothing_here
from web.services import HttpRequest, PathId, TheServices
from web.told import Teller
from web.wire import instant as written

TEXT_CHARACTERS = 2_000


class Announced(Input):
    """An announcement to everybody. Without `endsAt` it stays until it is taken down."""

    title: str
    text: str
    starts_at: datetime | None = None
    ends_at: datetime | None = None


@get("/api/announcements", guards=[signed_in], sync_to_thread=True)
def list_announcements(request: HttpRequest, services: TheServices) -> list[dict[str, Any]]:
    """List what the caller should know now: their own accounts' first, then what concerns everybody, newest first."""
    caller: Caller = request.state.caller
    with services.database.begin() as conn:
        policy = policies.in_force(conn)
        own, zone = [], "UTC"
        if caller.customer_id is not None:
            own = Teller(conn, services.settings, policy).announcements(caller.customer_id)
            zone = conn.execute(select(customers.c.zone).where(customers.c.id == caller.customer_id)).scalar_one()
        return own + planned(policy, clock.now(conn), zone) + everybody(conn)


def planned(policy: Policy, now: datetime, zone: str) -> list[dict[str, Any]]:
    """Return the windows of maintenance that customers should know of now, in words for their zone."""
    return [
        {
            "id": f"{each.calendar}:{written(each.begins_at)}",
            "kind": "maintenance",
            "title": each.title,
            "text": each.text,
            "accountId": None,
            "startsAt": written(each.begins_at),
            "endsAt": written(each.ends_at),
        }
        for each in maintenance.told(policy, now, zone)
    ]


def everybody(conn: Connection) -> list[dict[str, Any]]:
    """Return the announcements to everybody that stand now."""
    now = clock.now(conn)
    standing = (
        select(announcements)
        .where(announcements.c.starts_at <= now)
        .where(announcements.c.ends_at.is_(None) | (announcements.c.ends_at > now))
        .order_by(announcements.c.starts_at.desc(), announcements.c.id)
        .limit(100)
    )
    return [
        {
            "id": str(row["id"]),
            "kind": "announcement",
            "title": row["title"],
            "text": row["text"],
            "accountId": None,
            "startsAt": written(row["starts_at"]),
            "endsAt": written(row["ends_at"]),
        }
        for row in conn.execute(standing).mappings()
    ]


@post("/api/admin/announcements", opt={"takes": Announced}, status_code=201, guards=[admins_only], sync_to_thread=True)
def announce(services: TheServices, body: RawBody) -> dict[str, str]:
    """Tell everybody something."""
    wish = decode(Announced, body)
    with services.database.begin() as conn:
        starts_at = instant(wish.starts_at, "startsAt") if wish.starts_at else clock.now(conn)
        ends_at = instant(wish.ends_at, "endsAt") if wish.ends_at else None
        if ends_at is not None and ends_at <= starts_at:
            raise bad_input("`endsAt` is not after the announcement begins.", field="endsAt")
        row = {
            "title": line(wish.title, "title"),
            "text": line(wish.text, "text", TEXT_CHARACTERS),
            "starts_at": starts_at,
            "ends_at": ends_at,
            "by": "admin",
        }
        made = conn.execute(insert(announcements).values(row).returning(announcements.c.id)).scalar_one()
    return {"announcementId": str(made)}


@delete("/api/admin/announcements/{announcement_id:str}", guards=[admins_only], status_code=204, sync_to_thread=True)
def take_down(services: TheServices, announcement_id: PathId) -> None:
    """End an announcement now."""
    wanted = identifier(announcement_id, "announcement")
    with services.database.begin() as conn:
        ended = conn.execute(
            update(announcements).where(announcements.c.id == wanted).values(ends_at=clock.now(conn))
        ).rowcount
    if not ended:
        raise nothing_here("announcement")


router = Router("/", route_handlers=[list_announcements, announce, take_down], tags=["announcements"])
