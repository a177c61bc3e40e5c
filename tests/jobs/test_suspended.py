"""A suspended server, across whatever may happen around it: it is never running at the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from jobs.controller import Controller
from storage import backups
from storage.intents_ask import ask_server
from tests.jobs.floor import Floor
from tests.jobs.races import races

TRIES = 20


@pytest.fixture
def server(floor: Floor) -> UUID:
    return floor.machine(floor.known_account())


def reboot(floor: Floor, server: UUID) -> None:
    """Let the host go down and come up as its own autostart says."""
    floor.host.running = {key: floor.host.autostart[key] for key in floor.host.running}


def reboot_that_starts_everything(floor: Floor, server: UUID) -> None:
    """Let a restart policy, a cluster or a hand bring up whatever there is, and keep it so."""
    for key in floor.host.running:
        floor.host.running[key] = floor.host.autostart[key] = True


def restart_of_the_controller(floor: Floor, server: UUID) -> None:
    """Let another controller lead, one that brings back what should run on a machine that came up with it."""
    other = floor.controller(settings=replace(floor.settings, up_pid=1))
    floor.run(other)
    other.stopping.set()
    other.run()


def wish_that_was_forgotten(floor: Floor, server: UUID) -> None:
    """Let it be wanted running, as no code of ours would write it."""
    floor.rows("UPDATE servers SET desired = 'running', lifecycle = 'failed' RETURNING 1")


def restore_of_a_backup(floor: Floor, server: UUID) -> None:
    """Let an admin put a backup back, which is allowed while suspended."""
    backup = uuid4()
    floor.host.backups[str(server)][str(backup)] = b"older world"
    with floor.begin() as conn:
        backups.create(conn, server, backup_id=backup)
        backups.complete(conn, backup, size_bytes=1, sha256="")
        ask_server(conn, floor.policy, server, "restore_backup", actor="admin", args={"backup_id": str(backup)})
    floor.carry_out()
    assert floor.host.files[str(server)] == b"older world"


@pytest.mark.parametrize(
    "happens",
    [reboot, reboot_that_starts_everything, restart_of_the_controller, wish_that_was_forgotten, restore_of_a_backup],
)
def test_a_suspended_server_does_not_run_after(
    floor: Floor, controller: Controller, server: UUID, happens: Callable[[Floor, UUID], None]
) -> None:
    account = floor.seat(server).account_id
    floor.suspend(account, controller)
    floor.advance(1)
    controller.stopping.set()
    controller.run()  # its lease is free for whoever comes next
    happens(floor, server)
    floor.run(floor.controller())
    assert floor.host.running[str(server)] is False
    assert floor.host.autostart[str(server)] is False
    assert floor.host.made("start") == []
    assert floor.seat(server).observed == "stopped"
    assert floor.row(account)["billing_status"] == "suspended"


def test_a_controller_that_dies_between_the_suspension_and_the_shutdown_leaves_nothing_running(
    floor: Floor, controller: Controller, server: UUID
) -> None:
    floor.tick(controller)
    floor.suspend_now(floor.seat(server).account_id)
    controller.context.presence.leave()  # as a kill would: nobody gives the lease back
    assert floor.host.running[str(server)] is True
    floor.context.redis.flushall()
    floor.run(floor.controller())
    assert floor.host.running[str(server)] is False


def test_a_repair_that_was_queued_before_the_suspension_starts_nothing(
    floor: Floor, controller: Controller, server: UUID
) -> None:
    floor.host.running[str(server)] = False
    for _ in range(3):
        floor.tick(controller)
    account = floor.seat(server).account_id
    assert ("start_server", "open") in floor.statuses(account)
    floor.suspend_now(account)
    floor.run(controller)
    assert ("start_server", "dropped") in floor.statuses(account)
    assert floor.host.running[str(server)] is False
    assert floor.host.made("start") == []


def test_a_start_that_races_the_suspension_leaves_nothing_running(floor: Floor, controller: Controller) -> None:
    races(floor, controller, TRIES, seed=1)
