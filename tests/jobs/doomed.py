"""Accounts at the end of the ladder, on a deployment that has switched deletion on."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from engine.snapshot import Command
from tests.jobs.floor import Floor

ADA, GRACE = "admin:ada@desk.example", "admin:grace@desk.example"
COOLING_OFF_HOURS = 7 * 24


def switch_on(floor: Floor, *, on: bool = True) -> None:
    """Switch deletion on, or off, for every worker from here on."""
    floor.settings = replace(floor.settings, deletion=on)
    floor.context = replace(floor.context, settings=floor.settings)


def given_up(floor: Floor) -> UUID:
    """Make an account whose deletion was asked for by Ada, after all that comes before."""
    account = floor.account()
    give_up(floor, account)
    return account


def give_up(floor: Floor, account: UUID) -> None:
    """Put an account where Ada has just asked for its deletion."""
    long_ago = (floor.now() - timedelta(days=40)).isoformat()
    values = {
        "billing_status": "pending_deletion",
        "overdue_invoices": 1,
        "past_due_since": long_ago,
        "warning_sent_at": long_ago,
        "final_warning_sent_at": long_ago,
        "backup_blocked_at": long_ago,
        "suspended_at": long_ago,
        "retention_until": (floor.now() - timedelta(days=26)).isoformat(),
        "server_billing_state": "retained",
        "server_billing_code": "BILLING_PENDING_DELETION",
        "senders": json.dumps({"deletion_requested": ADA}),
        "stamps": json.dumps({"retention_told_at": long_ago, "retention_warned_at": long_ago}),
    }
    more = 'states = states || \'{"billing": "pending_deletion"}\', episodes = episodes || \'{"billing": 1}\''
    put = f"UPDATE accounts SET {', '.join(f'{name} = :{name}' for name in values)}, {more} WHERE id = :id RETURNING 1"
    floor.rows(put, id=account, **values)


def approve(floor: Floor, account: UUID, who: str = GRACE) -> None:
    """Let another admin approve it."""
    floor.record(account, command=Command("deletion_approved", "admin", who), world=floor.context.world)


def condemned(floor: Floor, account: UUID) -> None:
    """Let it be approved and told, the time pass, and the last backups be made: its servers are about to go."""
    approve(floor, account)
    floor.apply_named(account, "send_deletion_notice")
    floor.advance(COOLING_OFF_HOURS)
    floor.record(account, world=floor.context.world)
    assert floor.apply_named(account, "make_final_backups") == "done"
    assert floor.row(account)["states"]["deletion"] == "destroying"
