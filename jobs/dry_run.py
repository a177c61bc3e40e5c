"""`forbear controller --dry-run`: what one tick would decide now, shown and not written down.

It asks the hosts as a tick does, and reads the database in one read-only transaction: a controller that leads beside it
notices nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from uuid import UUID

import click
from sqlalchemy import Connection

from engine.decide import settle
from engine.errors import EngineError
from engine.model import Policy
from jobs.context import Context
from jobs.observe import Lookout, Seat, fleet
from jobs.repair import Need, judge, needs_of
from storage import brakes, clock, gather, intents, ledger, policies, repairs
from storage.impact import read_only
from storage.servers import Known

MOST_SHOWN = 1_000
KEPT_BACK: Mapping[str, str] = {
    repairs.DRY_RUN: "it would be asked for if its level were live",
    repairs.PAUSED: "it did not last before, and is asked for again later",
    repairs.RESTING: "a window of maintenance runs, and repairs rest",
}


@dataclass(frozen=True, slots=True)
class AccountStep:
    """A step that an account would take now; `to` is empty when it cannot be decided."""

    account: str
    state: str
    to: str
    asks: str
    why: str


@dataclass(frozen=True, slots=True)
class ServerRepair:
    """What is recommended for a server."""

    server: str
    host: str
    desired: str
    observed: str
    billing: str
    lifecycle: str
    recommendation: str
    level: str
    why: str


@dataclass(frozen=True, slots=True)
class WaitingIntent:
    """Work that a queue would be told of."""

    intent: str
    id: str
    queue: str


@dataclass(frozen=True, slots=True)
class Forecast:
    """Everything that one tick would do."""

    accounts: tuple[AccountStep, ...]
    servers: tuple[ServerRepair, ...]
    intents: tuple[WaitingIntent, ...]


def show(context: Context, form: str) -> None:
    """Print what one tick would do, as tables or as one JSON document."""
    found = forecast(context)
    if form == "json":
        click.echo(json.dumps(asdict(found), indent=2))
        return
    shown = [
        f"{title}\n{table}"
        for title, table in (
            ("accounts that would move", _table(found.accounts)),
            ("servers that something is recommended for", _table(found.servers)),
            ("intents that workers would be woken for", _table(found.intents)),
        )
        if table
    ]
    click.echo("\n\n".join(shown) or "nothing to do")


def forecast(context: Context) -> Forecast:
    """Look at everything that a tick looks at."""
    with context.database.begin() as conn:
        read_only(conn)
        seats = fleet(conn)
    lookout = Lookout(context)
    known = lookout.see(seats)
    lookout.close()
    with context.database.begin() as conn:
        read_only(conn)
        policy, now = policies.in_force(conn), clock.now(conn)
        waiting = intents.runnable(conn, now, MOST_SHOWN)
        return Forecast(
            tuple(_steps(conn, context, policy, now)),
            tuple(_repairs(conn, policy, seats, known, now)),
            tuple(WaitingIntent(each.intent, str(each.intent_id), each.queue) for each in waiting),
        )


def _steps(conn: Connection, context: Context, policy: Policy, now: datetime) -> Iterator[AccountStep]:
    due = ledger.due(conn, now, MOST_SHOWN)
    for account_id, snapshot in gather.snapshots(conn, policy, due, context.world).items():
        try:
            settlement = settle(policy, snapshot, now)
        except EngineError as error:
            yield AccountStep(str(account_id), "", "", "", f"cannot be decided: {error}")
            continue
        for step in settlement.steps:
            asks = ", ".join(asked.intent for asked in step.asked)
            yield AccountStep(str(account_id), step.from_, step.to, asks, f"{step.because} ({step.place})")


def _repairs(
    conn: Connection, policy: Policy, seats: Sequence[Seat], known: Mapping[UUID, Known], now: datetime
) -> Iterator[ServerRepair]:
    seen = [replace(seat, observed=known[seat.id][0], autostart=known[seat.id][1]) for seat in seats]
    needs = list(needs_of(policy, seen, repairs.standings(conn), now))
    outcomes = judge(conn, policy, needs, now)
    under_way = repairs.under_way(conn, [need.seat.id for need in needs], now)
    left = {name: brakes.left(conn, permit, now) for name, permit in brakes.of_repairs(policy).items()}
    for need in needs:
        seat, advice = need.seat, need.advice
        level = "always" if advice.level is None else f"{advice.level} {advice.mode}"
        yield ServerRepair(
            str(seat.id), seat.host, seat.desired, seat.observed, seat.billing_state, seat.lifecycle,
            advice.do or "nothing", level if advice.do is not None else "",
            f"{advice.repair} ({advice.place}): {_when(need, outcomes.get(need.key), under_way, left)}",
        )  # fmt: skip


def _when(need: Need, outcome: str | None, under_way: set[tuple[UUID, str]], left: dict[str, int]) -> str:
    """Say whether it would be asked for now, or what keeps it back. Takes from `left` what the brakes would give."""
    advice = need.advice
    if advice.do is None:
        return "it is left alone"
    if not need.agreed:
        return f"seen {need.standing.count} of {advice.agreeing} times in a row"
    if outcome is not None:
        return KEPT_BACK[outcome]
    if (need.seat.id, advice.do) in under_way:
        return "it is under way"
    if advice.brake is not None:
        left[advice.brake] -= 1
        if left[advice.brake] < 0:
            return f"the brake repairs.{advice.brake} holds it"
    return "now"


def _table(rows: Sequence[AccountStep | ServerRepair | WaitingIntent]) -> str:
    """Return rows in columns, under the names of their fields; nothing for no rows."""
    if not rows:
        return ""
    names = [each.name for each in fields(rows[0])]
    lines = [names, *([str(getattr(row, name)) for name in names] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(names))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )
