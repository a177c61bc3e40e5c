"""The controller for long: starts that race suspensions, a thousand ticks in the same memory, freezes anywhere."""

from __future__ import annotations

import random
import signal
from functools import partial
from pathlib import Path

import pytest

from tests.benchmarks.bench_controller import fill
from tests.jobs.floor import Floor
from tests.jobs.processes import crew_on
from tests.jobs.races import races
from tests.jobs.rounds import grown_bytes
from tests.jobs.test_controller import takes_over
from tests.storage.deployment import eventually

TRIES = 200
TICKS = 1_000
SERVERS = 200


@pytest.mark.timeout(1800)
def test_a_start_that_races_the_suspension_leaves_nothing_running(floor: Floor) -> None:
    races(floor, floor.controller(), TRIES, seed=random.randrange(2**32))


@pytest.mark.timeout(1800)
def test_memory_does_not_grow_over_a_thousand_ticks(floor: Floor) -> None:
    fill(floor, {"local": floor.host}, SERVERS)
    servers = [row["id"] for row in floor.rows("SELECT id FROM servers ORDER BY id")]
    grown = grown_bytes(floor, servers, ticks=TICKS // 3, warm=100, seed=random.randrange(2**32))
    assert grown < 100_000, f"{grown:,} bytes over {TICKS // 3} ticks"
    kept = floor.scalar("SELECT count(*) FROM observations")
    assert kept <= 2 * SERVERS


@pytest.mark.timeout(1800)
def test_a_controller_frozen_anywhere_in_a_tick_writes_nothing_late(floor: Floor, tmp_path: Path) -> None:
    accounts = []
    with crew_on(floor, tmp_path / "logs", FORBEAR_TICK_MILLISECONDS="1") as crew:
        frozen = crew.controller()
        for _ in range(20):
            eventually(lambda: floor.scalar("SELECT count(*) FROM leases WHERE holder IS NOT NULL"), "it leads")
            crew.signal(frozen, signal.SIGSTOP)  # wherever its tick happens to be, with whatever locks it holds
            accounts.append(floor.late())
            second = floor.controller()
            eventually(partial(takes_over, floor, second), "the second one leads")
            crew.signal(frozen, signal.SIGCONT)
            second.turn()
            second.stopping.set()
            second.run()
    for account in accounts:
        assert [(row["intent"], row["round"]) for row in floor.intents_of(account)] == [("send_billing_warning", 1)]
        moves = [row["to"] for row in floor.audit_of(account) if row["kind"] == "transition"]
        assert moves == ["past_due", "overdue_warning"]
