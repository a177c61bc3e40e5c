"""The desk's first page: accounts by rung, what is next for each and when, and what waits for a person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from sqlalchemy import Connection

from engine.model import Policy
from storage import clock, figures, gather, policies, requests, tickets
from storage import desk as rows
from web.inputs import bounded_query
from web.pages.desk_words import Coming, coming, desk
from web.pages.visitor import admins_only
from web.services import HttpRequest, Services, TheServices


@dataclass(frozen=True, slots=True)
class Queued:
    """One account of the queue, with what is next."""

    line: rows.Line
    rungs: tuple[str, ...]
    """Where it is in every machine that has moved it."""
    next: Coming


@dataclass(frozen=True, slots=True)
class Waits:
    """Something that waits for a person: how much of it, and where to go."""

    number: int
    words: str
    place: str


@get("/admin", guards=[admins_only], sync_to_thread=True)
def show_desk(request: HttpRequest, services: TheServices) -> Response[Any]:
    """Show the accounts that some machine has moved, what is due first on top; or those that were looked for."""
    words, rung, number = bounded_query(request, "q", 254), bounded_query(request, "rung", 100), _page(request)
    machine, _, state = rung.partition(".")
    with services.database.begin() as conn:
        policy, now = policies.in_force(conn), clock.now(conn)
        known = rows.rungs(conn, policy)
        chosen = (machine, state) if (machine, state) in {each[:2] for each in known} else None
        found, more = rows.queue(
            conn, policy, words=words, rung=chosen, everybody=bounded_query(request, "all") == "1", page=number
        )
        queued = _queued(conn, services, policy, found)
        waits = _waits(conn, policy)
    return desk(
        request,
        "desk.html",
        now,
        rungs=known,
        at_rest={(machine.name, machine.initial) for machine in policy.account_machines},
        rung=rung if chosen else "",
        words=words,
        everybody=bounded_query(request, "all") == "1",
        queued=queued,
        waits=waits,
        number=number,
        more=more,
    )


def _page(request: HttpRequest) -> int:
    words = bounded_query(request, "page", 6)
    return max(1, min(int(words), rows.MOST_PAGES)) if words.isascii() and words.isdigit() else 1


def _queued(conn: Connection, services: Services, policy: Policy, found: list[rows.Line]) -> list[Queued]:
    snapshots = gather.snapshots(conn, policy, [line.id for line in found], services.world)
    now = clock.now(conn)
    return [
        Queued(line, moved(policy, line.states), coming(policy, snapshots[line.id], now))
        for line in found
        if line.id in snapshots
    ]


def moved(policy: Policy, states: Any) -> tuple[str, ...]:
    """Return `machine: state` for every machine that is not at rest."""
    initial = {machine.name: machine.initial for machine in policy.account_machines}
    return tuple(f"{name}: {state}" for name, state in states.items() if initial.get(name) != state)


def _waits(conn: Connection, policy: Policy) -> list[Waits]:
    read = figures.read(conn, policy)
    number_of = {each.status: each.count for each in read.unsettled}
    troubled = [each for each in read.intents if each.status in {"unknown", "failed"}]
    notices = sum(each.count for each in troubled if each.queue == "notices")
    found = [
        Waits(sum(brake.latched_at is not None for brake in read.brakes), "Brakes that have tripped", "brakes"),
        Waits(notices, "Notices unknown or failed", "notices"),
        Waits(sum(each.count for each in troubled) - notices, "Other intents that failed", "notices"),
        Waits(tickets.counts(conn).get("open", 0), "Tickets that wait for an answer", "tickets"),
        Waits(requests.count_open(conn), "Requests of customers", "requests"),
        Waits(number_of.get("parked", 0), "Parked events", "events"),
        Waits(number_of.get("quarantined", 0), "Quarantined events", "events"),
    ]
    return [each for each in found if each.number]


HANDLERS: tuple[HTTPRouteHandler, ...] = (show_desk,)
