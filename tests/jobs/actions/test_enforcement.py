"""Enforcement: stopped means observed stopped, a payment in between wins, and nothing is started or deleted."""

from __future__ import annotations

from uuid import UUID

import pytest

from jobs.controller import Controller
from jobs.hosts.base import HostBusy, HostUnavailable
from tests.jobs.floor import Floor


def on_the_brink(floor: Floor, controller: Controller) -> tuple[UUID, UUID]:
    """Return a suspended account with a running server, nothing of the suspension carried out yet."""
    account = floor.known_account()
    server = floor.machine(account)
    floor.owe(account)
    floor.run(controller)
    floor.advance(73)
    floor.run(controller)
    floor.advance(49)
    floor.sweep()
    assert floor.row(account)["billing_status"] == "suspended"
    return account, server


def test_suspension_stops_the_server_and_turns_autostart_off(floor: Floor, controller: Controller) -> None:
    account, server = on_the_brink(floor, controller)
    floor.run(controller)
    assert floor.host.running[str(server)] is False
    assert floor.host.autostart[str(server)] is False
    seat = floor.seat(server)
    assert (seat.desired, seat.observed, seat.lifecycle) == ("stopped", "stopped", "stopped")
    assert floor.row(account)["last_enforcement_action"] is not None
    assert floor.host.made("destroy") == []
    assert floor.alerts().count("enforcement_done") >= 3


def test_payment_between_claim_and_shutdown_leaves_the_server_running(floor: Floor, controller: Controller) -> None:
    account, server = on_the_brink(floor, controller)
    shutdown = UUID(str(floor.intents_of(account, "shutdown_suspended_server")[0]["id"]))
    claim = floor.claim(shutdown)
    assert claim is not None
    floor.pay(account)

    from jobs.apply import carry_out, finish

    outcome = carry_out(floor.context, claim)
    assert floor.host.running[str(server)] is True
    assert finish(floor.context, claim, outcome).status == "open"
    assert floor.apply(shutdown) == "left alone"
    assert floor.intents_of(account, "shutdown_suspended_server")[0]["status"] == "dropped"
    assert floor.host.made("stop") == []


def test_a_stop_that_has_begun_is_not_undone_by_a_start(floor: Floor, controller: Controller) -> None:
    account, server = on_the_brink(floor, controller)
    floor.host.before["stop"] = lambda: floor.pay(account)
    assert floor.apply_named(account, "shutdown_suspended_server") == "done"
    floor.run(controller)
    assert floor.row(account)["billing_status"] == "active"
    assert floor.host.running[str(server)] is False
    assert floor.host.made("start") == []
    assert floor.seat(server).desired == "stopped"


def test_a_server_that_goes_on_running_is_not_called_stopped(floor: Floor, controller: Controller) -> None:
    account, server = on_the_brink(floor, controller)
    floor.host.stubborn.add(str(server))
    assert floor.apply_named(account, "shutdown_suspended_server") == "open"
    assert floor.row(account)["billing_status"] == "suspended"
    assert floor.seat(server).observed == "running"
    floor.host.stubborn.clear()
    floor.advance(0.1)
    floor.run(controller)
    assert floor.seat(server).observed == "stopped"


def test_an_offline_host_is_tried_again_and_told_and_the_account_stays_suspended(
    floor: Floor, controller: Controller
) -> None:
    account, server = on_the_brink(floor, controller)
    floor.host.offline = True
    for _ in range(4):
        floor.apply_named(account, "shutdown_suspended_server")
        floor.advance(1)
    assert "enforcement_failed" in floor.alerts()
    assert floor.row(account)["billing_status"] == "suspended"
    floor.tick(controller)
    assert floor.seat(server).observed == "unknown"
    floor.host.offline = False
    floor.advance(1)
    floor.run(controller)
    assert floor.host.running[str(server)] is False


def test_a_server_that_is_busy_for_long_is_told(floor: Floor, controller: Controller) -> None:
    account, server = on_the_brink(floor, controller)

    def busy() -> None:
        raise HostBusy(str(server), "backup")

    floor.host.before["autostart_off"] = busy
    for _ in range(10):  # for a while, nothing is amiss
        assert floor.apply_named(account, "shutdown_suspended_server") == "open"
        floor.advance(0.02)
    assert "enforcement_failed" not in floor.alerts()
    for _ in range(4):
        floor.advance(0.5)
        floor.apply_named(account, "shutdown_suspended_server")
    assert "enforcement_failed" in floor.alerts()
    assert floor.seat(server).observed != "stopped"


def test_server_is_stopped_although_its_autostart_cannot_be_written(floor: Floor, controller: Controller) -> None:
    account, server = on_the_brink(floor, controller)

    def refuse() -> None:
        raise HostUnavailable("double", "its configuration cannot be written")

    floor.host.before["autostart_off"] = refuse
    assert floor.apply_named(account, "shutdown_suspended_server") == "open"
    assert floor.host.running[str(server)] is False
    del floor.host.before["autostart_off"]
    floor.advance(1)
    assert floor.apply_named(account, "shutdown_suspended_server") == "done"
    assert floor.host.autostart[str(server)] is False


@pytest.mark.parametrize("lifecycle", ["backing_up", "restoring", "provisioning"])
def test_work_at_a_safe_point_is_not_cut_short(floor: Floor, controller: Controller, lifecycle: str) -> None:
    account, server = on_the_brink(floor, controller)
    floor.rows("UPDATE servers SET lifecycle = :at WHERE id = :id RETURNING 1", at=lifecycle, id=server)
    assert floor.apply_named(account, "shutdown_suspended_server") == "open"
    assert floor.host.running[str(server)] is True


def test_shutdown_waits_for_a_start_that_is_on_its_way(floor: Floor, controller: Controller) -> None:
    account = floor.known_account()
    server = floor.machine(account, runs=False)
    from storage import servers

    with floor.begin() as conn:
        servers.request_start(conn, floor.policy, server, actor="Ada")
    start = floor.claim(UUID(str(floor.intents_of(account, "start_server")[0]["id"])))
    assert start is not None
    floor.suspend_now(account)
    assert floor.apply_named(account, "shutdown_suspended_server") == "open"

    from jobs.apply import carry_out, finish

    finish(floor.context, start, carry_out(floor.context, start))
    assert floor.host.running[str(server)] is False
    floor.advance(0.01)
    assert floor.apply_named(account, "shutdown_suspended_server") == "done"


def test_paid_gives_access_back_and_starts_nothing(floor: Floor, controller: Controller) -> None:
    account, server = on_the_brink(floor, controller)
    floor.run(controller)
    floor.pay(account)
    floor.run(controller)
    assert floor.row(account)["server_billing_state"] == "allowed"
    assert ("restore_access", "done") in floor.statuses(account)
    assert floor.host.running[str(server)] is False
    assert floor.host.made("start") == []
    for _ in range(5):
        floor.tick(controller)
    assert floor.host.made("start") == []


def test_each_enforcement_outcome_is_told_to_the_audit_log(floor: Floor, controller: Controller) -> None:
    on_the_brink(floor, controller)
    floor.run(controller)
    told = floor.rows("SELECT text FROM alerts WHERE kind = 'enforcement_done' ORDER BY id")
    assert {row["text"].split()[0] for row in told} >= {
        "block_backups",
        "suspend_customer_servers",
        "shutdown_suspended_server",
    }
    assert floor.policy.alerts["enforcement_done"] == "audit-log"
