"""`forbear controller --dry-run`: what one tick would decide now, shown and not written down."""

from __future__ import annotations

import click

from engine.decide import settle
from engine.errors import EngineError
from engine.repairs import recommend
from jobs.context import Context
from jobs.observe import fleet
from storage import clock, gather, intents, ledger, policies

MOST_SHOWN = 1_000


def show(context: Context) -> int:
    """Print each step that is due and each repair that is recommended; 0 when there is none, else 1."""
    with context.database.begin() as conn:
        policy, now = policies.in_force(conn), clock.now(conn)
        due = ledger.due(conn, now, MOST_SHOWN)
        snapshots = gather.snapshots(conn, policy, due, context.world)
        seats = fleet(conn)
        open_intents = intents.runnable(conn, now, MOST_SHOWN)
    found = 0
    for account_id, snapshot in snapshots.items():
        try:
            settlement = settle(policy, snapshot, now)
        except EngineError as error:
            click.echo(f"account {account_id}: cannot be decided: {error}")
            found += 1
            continue
        for step in settlement.steps:
            asks = f", asks for {', '.join(asked.intent for asked in step.asked)}" if step.asked else ""
            click.echo(f"account {account_id}: {step.from_} -> {step.to} because {step.because} ({step.place}){asks}")
            found += 1
    for seat in seats:
        advice = recommend(policy, seat.seen(now))
        if advice.do is not None:
            click.echo(f"server {seat.id}: {advice.do} because {advice.reason} ({advice.place})")
            found += 1
    for each in open_intents:
        click.echo(f"intent {each.intent_id}: {each.intent} would be worked by {each.queue}")
        found += 1
    return 1 if found else 0
