"""One tenant suspended alone, across whatever may happen around it: it is never running at the end, and others are."""

from __future__ import annotations

from uuid import UUID

from engine.snapshot import Command
from jobs.controller import Controller
from storage import ledger
from storage.invoicing import metering
from tests.jobs.floor import Floor

PAUSE = Command("suspension_requested", "customer", "customer:ada")
RESUME = Command("resumption_approved", "admin", "admin:grace")


def send(floor: Floor, server: UUID, command: Command) -> None:
    with floor.begin() as conn:
        ledger.command_server(conn, floor.policy, server, command)


def both(floor: Floor) -> tuple[UUID, UUID]:
    account = floor.known_account()
    one, other = floor.machine(account), floor.machine(account)
    with floor.begin() as conn:
        for server in (one, other):
            metering.created(conn, server)
    return one, other


def suspensions(floor: Floor, server: UUID) -> list[tuple[object, ...]]:
    found = "SELECT event, cause FROM tenant_suspension_events WHERE server_id = :id ORDER BY id"
    return [tuple(row.values()) for row in floor.rows(found, id=server)]


def test_it_is_seen_stopped_and_stays_so_while_the_other_runs(floor: Floor, controller: Controller) -> None:
    one, other = both(floor)
    send(floor, one, PAUSE)
    floor.run(controller)
    assert (floor.host.running[str(one)], floor.host.running[str(other)]) == (False, True)
    assert floor.host.autostart[str(one)] is False
    floor.host.running[str(one)] = floor.host.autostart[str(one)] = True  # a reboot, or a hand
    floor.run(controller)
    assert (floor.host.running[str(one)], floor.host.autostart[str(one)]) == (False, False)
    assert floor.host.running[str(other)] is True
    assert (suspensions(floor, one), suspensions(floor, other)) == ([("suspended", "tenant")], [])


def test_it_is_given_back_without_being_started_and_counts_again(floor: Floor, controller: Controller) -> None:
    one, _ = both(floor)
    send(floor, one, PAUSE)
    floor.run(controller)
    send(floor, one, RESUME)
    floor.run(controller)
    assert floor.host.running[str(one)] is False
    assert suspensions(floor, one) == [("suspended", "tenant"), ("resumed", "tenant")]
    asked = {row["intent"]: row["status"] for row in floor.rows("SELECT intent, status FROM intents")}
    assert asked == {"shutdown_suspended_server": "done", "restore_access": "done"}


def test_what_was_asked_for_before_does_not_start_it(floor: Floor, controller: Controller) -> None:
    account = floor.known_account()
    one = floor.machine(account, runs=False)
    with floor.begin() as conn:
        ledger.move_server(conn, floor.policy, one, "start_requested", role="customer", desired="running")
    send(floor, one, PAUSE)
    floor.run(controller)
    assert floor.host.running[str(one)] is False
    (row,) = floor.rows("SELECT status, outcome FROM intents WHERE intent = 'start_server'")
    assert (row["status"], row["outcome"]) == (
        "dropped",
        "no longer wanted: servers are suspended_shutdown by tenant",
    )
    (row,) = floor.rows("SELECT lifecycle FROM servers WHERE id = :id", id=one)
    assert row["lifecycle"] == "stopped", "a start that came to nothing because of us is no failure"


def test_an_account_that_goes_on_does_not_free_what_its_owner_suspended(floor: Floor, controller: Controller) -> None:
    one, other = both(floor)
    (row,) = floor.rows("SELECT account_id FROM servers WHERE id = :id", id=one)
    account = UUID(str(row["account_id"]))
    send(floor, one, PAUSE)
    halt = Command("admin_suspended", "admin", "admin:grace")
    floor.record(account, command=halt, actor="admin:grace")
    floor.run(controller)
    assert not any(floor.host.running.values())
    floor.record(account, command=Command("admin_lifted", "admin", "admin:grace"), actor="admin:grace")
    floor.run(controller)
    ended = floor.rows("SELECT server_id, status FROM intents WHERE intent = 'restore_access' ORDER BY status")
    assert [(each["server_id"], each["status"]) for each in ended] == [(other, "done"), (one, "dropped")]
