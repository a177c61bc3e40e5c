"""The test clock: moving it, and letting everything that follows happen. For demos and tests; off, both refuse."""

from __future__ import annotations

import math
from typing import Any

from litestar import post
from litestar.handlers import HTTPRouteHandler
from litestar.params import RawBody
from sqlalchemy import Connection

from jobs.drain import drain
from storage import clock
from storage.errors import ClockFixed
from web.inputs import Input, decode
from web.problems import bad_input
from web.services import TheServices
from web.wire import instant

MOST_HOURS = 24 * 3660


class Advance(Input):
    """How far time goes on."""

    hours: float


@post("/clock/advance", opt={"takes": Advance}, status_code=200, sync_to_thread=True)
def advance_clock(services: TheServices, body: RawBody) -> dict[str, Any]:
    """Move the test clock forward, then do what drain does."""
    hours = decode(Advance, body).hours
    if not (math.isfinite(hours) and 0 <= hours <= MOST_HOURS):
        raise bad_input(f"`hours` is a number from 0 to {MOST_HOURS}.", field="hours")

    def move(conn: Connection) -> None:
        clock.advance(conn, hours, services.settings)

    services.database.transact("the clock", move)
    left = drain(services.database)
    with services.database.begin() as conn:
        return {"now": instant(clock.now(conn)), "waiting": left.waiting, "settled": left.settled}


@post("/drain", status_code=200, sync_to_thread=True)
def drain_all(services: TheServices) -> dict[str, Any]:
    """Work until nothing is left that can proceed now; say how much waits for an instant or a person."""
    if not services.settings.test_clock:
        raise ClockFixed
    left = drain(services.database)
    return {"waiting": left.waiting, "settled": left.settled}


HANDLERS: tuple[HTTPRouteHandler, ...] = (advance_clock, drain_all)
