"""Observing: one call a host, set-based, and the newest look counts."""

from __future__ import annotations

import threading

import pytest

from jobs.controller import Controller
from jobs.hosts.base import Observation
from jobs.observe import Lookout, as_known, note_observation
from tests.jobs.floor import Floor
from tests.storage.deployment import eventually


def asked(floor: Floor) -> int:
    """Count how often the host was asked about all of its servers."""
    return [verb for verb, _ in floor.host.calls].count("observe_all")


def test_one_call_a_host_for_a_whole_tick(floor: Floor, controller: Controller) -> None:
    for number in range(5):
        floor.machine(floor.known_account(email=f"{number}@example.com"))
    floor.tick(controller)
    assert [verb for verb, _ in floor.host.calls] == ["observe_all"]


def test_a_host_that_hangs_is_unknown_and_not_asked_twice(floor: Floor, controller: Controller) -> None:
    server = floor.machine(floor.known_account())
    floor.tick(controller)
    released = threading.Event()
    floor.host.before["observe_all"] = lambda: released.wait(20)
    lookout = Lookout(controller.context)
    assert controller.fence is not None
    lookout.look(controller.fence, seconds=0.1)
    eventually(lambda: asked(floor) == 2, "its thread has come to ask")
    lookout.look(controller.fence, seconds=0.1)
    assert floor.seat(server).observed == "unknown"
    assert asked(floor) == 2
    floor.host.before.pop("observe_all")
    released.set()
    fence = controller.fence
    eventually(
        lambda: lookout.look(fence, seconds=5) is not None and floor.seat(server).observed == "running", "it answers"
    )
    lookout.close()


def test_a_workers_newer_look_is_not_overwritten_by_an_older_answer(floor: Floor, controller: Controller) -> None:
    server = floor.machine(floor.known_account())
    floor.tick(controller)

    def meanwhile() -> None:
        floor.host.before.pop("observe_all")
        note_observation(floor.context, server, "running", Observation("stopped", False, "a worker stopped it"))

    floor.host.before["observe_all"] = meanwhile
    assert controller.fence is not None
    controller.steps.lookout.look(controller.fence)
    assert floor.seat(server).observed == "stopped"


def test_lifecycles_follow_what_is_seen(floor: Floor, controller: Controller) -> None:
    server = floor.machine(floor.known_account())
    floor.rows("UPDATE servers SET desired = 'stopped' RETURNING 1")
    floor.host.running[str(server)] = False
    floor.run(controller)
    assert floor.seat(server).lifecycle == "stopped"
    floor.host.running[str(server)] = True
    floor.run(controller)
    assert floor.seat(server).lifecycle == "running"


def test_what_was_never_made_does_not_run_and_what_was_lost_is_unknown() -> None:
    assert as_known("requested", None) == ("stopped", None, None)
    assert as_known("failed", Observation("missing", None, "")) == ("stopped", None, None)
    assert as_known("running", None) == ("unknown", None, None)
    assert as_known("stopped", Observation("missing", None, "")) == ("unknown", None, None)
    assert as_known("running", Observation("running", True, "")) == ("running", True, None)


@pytest.mark.parametrize("listed", [0, 1], ids=["an empty answer", "an answer cut short"])
def test_what_an_answer_leaves_out_is_unknown_and_never_gone(floor: Floor, controller: Controller, listed: int) -> None:
    account = floor.known_account()
    made = [floor.machine(account) for _ in range(3)]
    failed = floor.server(account, lifecycle="failed", observed="stopped")
    floor.tick(controller)
    assert floor.seat(failed).observed == "stopped", "the host has answered in full, and knows of no such server"
    floor.host.hidden.update(str(server) for server in made[listed:])
    for _ in range(4):
        floor.tick(controller)
    observed = [floor.seat(server).observed for server in (*made, failed)]
    assert observed == ["running"] * listed + ["unknown"] * (4 - listed)
    assert [floor.seat(server).lifecycle for server in made] == ["running"] * 3
    assert {verb for verb, _ in floor.host.calls} == {"observe_all"}


def test_a_server_that_is_being_deleted_makes_no_answer_partial(floor: Floor, controller: Controller) -> None:
    account = floor.known_account()
    floor.server(account, lifecycle="deleting", observed="stopped")
    failed = floor.server(account, lifecycle="failed", observed="unknown")
    floor.tick(controller)
    assert floor.seat(failed).observed == "stopped"
