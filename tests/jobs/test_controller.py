"""The controller: one leads, a late one writes nothing, and each tick finds what there is to do anew."""

from __future__ import annotations

import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from engine.load import bundle, load_texts
from jobs.controller import LEASE_SECONDS, Controller
from jobs.drain import drain
from jobs.tick import Report
from storage import leases, ledger, policies, wakeups
from storage.errors import FenceLost
from storage.leases import Fence
from storage.settings import SHIPPED_POLICY
from tests.jobs.floor import Floor
from tests.jobs.processes import crew_on
from tests.jobs.rounds import grown_bytes
from tests.storage.deployment import eventually


def expire(floor: Floor) -> None:
    """Let the lease run out, as real time would."""
    floor.rows("UPDATE leases SET expires_at = clock_timestamp() - interval '1 s' RETURNING 1")


def takes_over(floor: Floor, second: Controller, reports: list[Report | None] | None = None) -> bool:
    """Let another controller lead in place of one that is frozen; tell whether it does."""
    expire(floor)  # again and again: a renewal of the frozen one may still have been on its way
    report = second.turn()
    if reports is not None:
        reports.append(report)
    return report is not None


def test_of_two_controllers_one_acts(floor: Floor) -> None:
    first, second = floor.controller(), floor.controller()
    floor.late()
    assert first.turn() is not None
    assert second.turn() is None
    assert second.fence is None
    expire(floor)
    assert second.turn() is not None
    assert first.turn() is None


def test_a_controller_that_was_frozen_past_its_lease_writes_nothing(floor: Floor) -> None:
    first, second = floor.controller(), floor.controller()
    floor.tick(first)
    stale = first.fence
    assert stale is not None
    expire(floor)
    floor.tick(second)
    account = floor.late()
    server = floor.machine(floor.known_account())
    with pytest.raises(FenceLost):
        first.tick(stale)
    with pytest.raises(FenceLost), floor.begin() as conn:
        ledger.record_many(conn, floor.policy, [account], fence=stale)
    assert floor.row(account)["billing_status"] == "active"
    assert floor.seat(server).observed_at is None
    assert floor.tick(second).swept == 1


def test_losing_the_lease_in_the_middle_of_a_tick_ends_it(floor: Floor, controller: Controller) -> None:
    floor.tick(controller)
    other = floor.controller()

    def meanwhile() -> None:
        floor.host.before.pop("observe_all")
        expire(floor)
        other.turn()

    floor.host.before["observe_all"] = meanwhile
    server = floor.machine(floor.known_account())
    assert controller.turn() is None
    assert controller.fence is None
    assert floor.seat(server).observed_at is not None, "the one that leads now has looked"


def test_the_lease_of_a_dead_controller_is_taken_at_once(floor: Floor) -> None:
    first, second = floor.controller(), floor.controller()
    floor.tick(first)
    first.context.presence.leave()
    began = time.monotonic()
    assert second.turn() is not None
    assert time.monotonic() - began < LEASE_SECONDS / 2


def test_a_controller_gives_its_lease_back_when_it_ends(floor: Floor) -> None:
    first, second = floor.controller(), floor.controller()
    floor.tick(first)
    first.stopping.set()
    first.run()
    assert second.turn() is not None


def test_a_deployed_policy_is_taken_up_by_the_next_tick(floor: Floor, controller: Controller) -> None:
    account = floor.known_account()
    floor.owe(account)
    floor.tick(controller)
    texts = bundle(SHIPPED_POLICY)
    overrides = {"BILLING_FINAL_WARNING_AFTER_HOURS": "96"}
    policy = load_texts(texts, overrides)
    with floor.begin() as conn:
        policies.deploy(conn, policy, texts, overrides, "test")
    floor.tick(controller)
    assert controller.digest == policy.digest
    assert floor.row(account)["policy_digest"] == policy.digest


def test_a_request_wakes_a_controller_that_sleeps(floor: Floor) -> None:
    controller = floor.controller()
    controller.context = replace(controller.context, settings=replace(floor.settings, tick_seconds=30.0))
    thread = threading.Thread(target=controller.run)
    thread.start()
    try:
        eventually(lambda: controller._session is not None, "it sleeps")
        began = time.monotonic()
        with floor.begin() as conn:
            number = wakeups.request(conn, "controller")

        def answered() -> bool:
            with floor.begin() as conn:
                return wakeups.read(conn, "controller").done >= number

        eventually(answered, "it looks when it is asked")
        assert time.monotonic() - began < 20, "by itself it would after thirty"
    finally:
        controller.stopping.set()
        thread.join(60)
    assert not thread.is_alive()


def test_a_step_that_fails_leaves_the_others_to_be_done(floor: Floor, controller: Controller) -> None:
    account = floor.late()
    with floor.database.engine.begin() as conn:
        conn.exec_driver_sql("ALTER TABLE observations RENAME TO observations_away")
    report = controller.turn()
    assert report is not None
    assert report.failed == ["repair"]
    assert floor.row(account)["billing_status"] == "overdue_warning"
    with floor.database.engine.begin() as conn:
        conn.exec_driver_sql("ALTER TABLE observations_away RENAME TO observations")


def test_two_real_controllers_and_workers_climb_the_ladder_once(floor: Floor, tmp_path: Path) -> None:
    account = floor.known_account()
    with crew_on(floor, tmp_path / "logs") as crew:
        first, _ = crew.controller(), crew.controller()
        worker = crew.worker()
        floor.owe(account)
        assert drain(floor.database).settled, crew.log()
        floor.context.redis.flushall()
        floor.advance(73)
        assert drain(floor.database).settled, crew.log()
        crew.kill(first)
        floor.advance(49)
        floor.context.redis.flushall()
        assert drain(floor.database).settled, crew.log()
        assert floor.row(account)["billing_status"] == "suspended"
        assert len(floor.letters()) == 3
        assert crew.ask_to_stop(worker) == 0

        with floor.begin() as conn:
            assert leases.acquire(conn, "controller", "somebody", 1) is None, "one leads"


def test_a_real_controller_that_is_frozen_and_wakes_up_late_stands_back(floor: Floor, tmp_path: Path) -> None:
    with crew_on(floor, tmp_path / "logs") as crew:
        frozen = crew.controller()
        eventually(lambda: "this controller leads" in crew.log(), "it leads")
        crew.signal(frozen, signal.SIGSTOP)
        stale = Fence("controller", floor.scalar("SELECT token FROM leases"))
        account = floor.late()
        second = floor.controller()
        reports: list[Report | None] = []

        eventually(lambda: takes_over(floor, second, reports), "the second one leads")
        assert reports[-1] is not None
        assert reports[-1].swept == 1
        with pytest.raises(FenceLost), floor.begin() as conn:
            ledger.record_many(conn, floor.policy, [account], fence=stale)
        crew.signal(frozen, signal.SIGCONT)
        eventually(lambda: "another controller leads" in crew.log(), f"it notices\n{crew.log()}")
        assert second.turn() is not None, "and the other one still leads"
        transitions = [row for row in floor.audit_of(account) if row["kind"] == "transition"]
        assert [row["to"] for row in transitions] == ["past_due", "overdue_warning"]
        asked = [(row["intent"], row["episode"], row["round"]) for row in floor.intents_of(account)]
        assert asked == [("send_billing_warning", 1, 1)], "each intent once"


def test_ticks_leave_nothing_in_memory(floor: Floor) -> None:
    servers = [floor.machine(floor.known_account(email=f"{n}@example.com")) for n in range(12)]
    grown = grown_bytes(floor, servers, ticks=10, warm=5, seed=1)
    assert grown < 32_000, f"{grown:,} bytes over 10 ticks"  # the servers' rows kept each tick are 98,000
