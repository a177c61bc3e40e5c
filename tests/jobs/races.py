"""A customer who presses start while the account is being suspended: each time a little earlier or later."""

from __future__ import annotations

import random
import threading
import time
from datetime import timedelta
from enum import Enum
from uuid import UUID

from sqlalchemy import text

from jobs.controller import Controller
from storage import ledger, servers
from storage.errors import ServersStopped
from storage.intents import Outbox
from tests.jobs.floor import Floor

LONGEST_LEAD_SECONDS = 0.02


class Moment(Enum):
    """When the suspension begins, seen from the start."""

    ASKS = 1
    ASKED = 2
    STARTS = 3
    RUNS = 4


def warned(floor: Floor) -> UUID:
    """Make an account that owes for long, whose final warning has just left."""
    now = floor.now()
    return floor.account(
        states={"billing": "final_warning"},
        episodes='{"billing": 1}',
        overdue_invoices=1,
        past_due_since=now - timedelta(hours=130),
        warning_sent_at=now - timedelta(hours=130),
        final_warning_sent_at=now,
        backup_blocked_at=now,
    )


def suspend(floor: Floor, account: UUID) -> tuple[Outbox, ...]:
    """Let its notice be over, and decide: from here on nothing of it may run."""
    ago = text("UPDATE accounts SET final_warning_sent_at = final_warning_sent_at - interval '50 hours' WHERE id = :id")
    with floor.begin() as conn:
        ledger.lock(conn, [account])
        conn.execute(ago, {"id": account})
        return ledger.record(conn, floor.policy, account).intents


def race(floor: Floor, chance: random.Random, moment: Moment) -> UUID:
    """Let a start and a suspension, which begins at that moment of the start, run with a worker each."""
    account = warned(floor)
    server = floor.machine(account, runs=False)
    floor.rows("DELETE FROM brake_slots RETURNING 1")  # each try is the first of its hour
    leads = [chance.uniform(0, LONGEST_LEAD_SECONDS) for _ in range(3)]
    begun = threading.Event()

    def has_come(at: Moment) -> None:
        if at is moment:
            begun.set()
        time.sleep(leads[0])

    floor.host.before["start"] = lambda: has_come(Moment.STARTS)
    floor.host.before["autostart_on"] = lambda: has_come(Moment.RUNS)

    def customer() -> None:
        try:
            has_come(Moment.ASKS)
            with floor.begin() as conn:
                asked = servers.request_start(conn, floor.policy, server, actor="Ada").intents
            has_come(Moment.ASKED)
            for each in asked:
                floor.apply(each.intent_id)
        except ServersStopped:
            pass
        finally:
            begun.set()

    def billing() -> None:
        begun.wait()
        time.sleep(leads[1])
        asked = suspend(floor, account)
        time.sleep(leads[2])
        for each in asked:
            if each.intent != "send_suspended_notice":
                floor.apply(each.intent_id)

    threads = [threading.Thread(target=act) for act in (billing, customer)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert floor.row(account)["billing_status"] == "suspended"
    return server


def races(floor: Floor, controller: Controller, tries: int, seed: int) -> None:
    """Race so many times, let everything come to rest, and see that no server runs or will."""
    chance = random.Random(seed)
    raced = [race(floor, chance, tuple(Moment)[number % len(Moment)]) for number in range(tries)]
    assert len(floor.host.made("start")) >= tries // 4, "some starts were first"
    floor.advance(0.1)  # whatever waits to be tried again is due
    floor.run(controller)
    for server in raced:
        seat = floor.seat(server)
        assert (seat.desired, seat.observed) == ("stopped", "stopped"), f"seed {seed}: {seat}"
        assert floor.host.running[str(server)] is False, f"seed {seed}: {seat}"
        assert floor.host.autostart[str(server)] is False, f"seed {seed}: {seat}"
