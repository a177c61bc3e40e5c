"""Making servers: one, whole, in phases, and nothing started that billing stopped meanwhile."""

from __future__ import annotations

import pytest

from jobs import edge
from jobs.controller import Controller
from jobs.hosts.base import HostBusy, HostUnavailable
from storage import operations
from storage.slots import slot
from tests.jobs.floor import Floor
from tests.jobs.orders import at, ordered


def unavailable() -> None:
    raise HostUnavailable("double", "the connection was cut")


def test_a_server_is_made_and_runs(floor: Floor, controller: Controller, monkeypatch: pytest.MonkeyPatch) -> None:
    account = floor.known_account()
    server, operation = ordered(floor, account)
    shown = [at(floor, operation)[:2]]

    def look(*_: object) -> None:
        if at(floor, operation)[:2] != shown[-1]:
            shown.append(at(floor, operation)[:2])

    for verb in ("observe", "create", "start"):
        floor.host.before[verb] = look
    monkeypatch.setattr(edge, "publish", look)
    floor.run(controller)
    look()
    seat = floor.seat(server)
    assert (seat.lifecycle, seat.observed, seat.autostart) == ("running", "running", True)
    under_way = [("in_progress", phase) for phase in ("allocate", "create", "start", "edge")]
    assert shown == [("queued", None), *under_way, ("succeeded", "ready")]
    assert at(floor, operation)[2] is None
    assert floor.host.made("create") == [str(server)]


def test_suspended_in_the_middle_it_is_made_and_stands(floor: Floor, controller: Controller) -> None:
    account = floor.known_account()
    server, operation = ordered(floor, account)
    floor.host.before["create"] = lambda: floor.rows(
        "UPDATE accounts SET server_billing_state = 'suspended_shutdown', states = states || "
        """'{"abuse": "stopped"}' WHERE id = :id RETURNING 1""",
        id=account,
    )
    floor.carry_out()
    assert floor.host.made("start") == []
    assert at(floor, operation)[0] == "succeeded"
    assert floor.seat(server).observed == "stopped"


def test_suspended_while_it_starts_it_is_stopped_again(floor: Floor, controller: Controller) -> None:
    account = floor.known_account()
    server, _ = ordered(floor, account)

    def meanwhile() -> None:
        floor.host.before.pop("start")
        floor.rows("UPDATE servers SET desired = 'stopped' RETURNING 1")

    floor.host.before["start"] = meanwhile
    floor.run(controller)
    assert floor.host.running[str(server)] is False
    assert floor.host.autostart[str(server)] is False
    assert floor.seat(server).lifecycle == "stopped"


STOPPED_FOR_ABUSE = """
    WITH theirs AS (UPDATE servers SET desired = 'stopped' WHERE account_id = :id)
    UPDATE accounts SET server_billing_state = 'suspended_shutdown', states = states || '{"abuse": "stopped"}'
    WHERE id = :id RETURNING 1
"""


@pytest.mark.parametrize("phase", ["observe", "create", "start", "autostart_on", "edge"])
def test_what_is_stopped_in_any_phase_is_made_once_at_most_and_does_not_run(
    floor: Floor, controller: Controller, monkeypatch: pytest.MonkeyPatch, phase: str
) -> None:
    account = floor.known_account()
    server, operation = ordered(floor, account)

    def stop(*_: object) -> None:
        floor.host.before.pop(phase, None)
        floor.rows(STOPPED_FOR_ABUSE, id=account)

    if phase == "edge":
        monkeypatch.setattr(edge, "publish", stop)
    else:
        floor.host.before[phase] = stop
    floor.apply_named(account, "provision_server")
    if phase != "edge":  # nothing is started any more, and what was is undone by the worker itself
        assert floor.host.running.get(str(server), False) is False
        assert len(floor.host.made("start")) == (phase in {"start", "autostart_on"})
    floor.run(controller)
    assert at(floor, operation)[0] == "succeeded"
    assert floor.host.made("create") == [str(server)]
    assert floor.host.running[str(server)] is False
    assert floor.host.autostart[str(server)] is False
    assert (floor.seat(server).lifecycle, floor.seat(server).observed) == ("stopped", "stopped")


def test_a_start_that_fails_is_not_tried_again_and_says_where_and_why(floor: Floor, controller: Controller) -> None:
    account = floor.known_account()
    server, operation = ordered(floor, account)
    floor.host.broken.add(str(server))
    for _ in range(5):
        floor.run(controller)
        floor.advance(0.15)
    with floor.begin() as conn:
        found = operations.get(conn, operation.id)
    assert (found.state, found.phase, found.left_behind) == ("failed", "start", "stopped")
    assert found.error is not None
    assert "it is broken" in (found.reason or "")
    assert "broken" not in found.error
    assert floor.host.made("start") == [str(server)], "nothing and nobody tries again"
    assert "intent_failed" in floor.alerts()
    assert (floor.seat(server).lifecycle, floor.seat(server).desired) == ("failed", "stopped")


def test_a_create_that_fails_is_not_tried_again_either(floor: Floor, controller: Controller) -> None:
    account = floor.known_account()
    _, operation = ordered(floor, account)
    floor.host.before["create"] = unavailable
    for _ in range(3):
        floor.run(controller)
        floor.advance(1)
    assert len(floor.host.made("create")) == 1
    assert at(floor, operation)[:2] == ("failed", "create")


def test_a_host_that_is_away_before_anything_was_asked_is_waited_for(floor: Floor, controller: Controller) -> None:
    account = floor.known_account()
    _, operation = ordered(floor, account)
    floor.host.offline = True
    floor.run(controller)
    assert at(floor, operation)[:2] == ("in_progress", "allocate")
    floor.host.offline = False
    floor.advance(0.1)
    floor.run(controller)
    assert at(floor, operation)[0] == "succeeded"


def test_a_busy_server_is_waited_for_in_any_phase(floor: Floor, controller: Controller) -> None:
    account = floor.known_account()
    server, operation = ordered(floor, account)

    def busy() -> None:
        floor.host.before.pop("start")
        raise HostBusy(str(server), "backup")

    floor.host.before["start"] = busy
    floor.carry_out()
    assert at(floor, operation)[:2] == ("in_progress", "allocate")
    floor.advance(0.01)
    floor.run(controller)
    assert at(floor, operation)[0] == "succeeded"
    assert floor.host.made("create") == [str(server)]


def test_another_order_waits_until_the_first_is_made_and_goes_on_then(floor: Floor, controller: Controller) -> None:
    account, other = floor.known_account(), floor.known_account("Bo", "bo@example.com")
    (first, one), (second, two) = ordered(floor, account), ordered(floor, other)
    seen: list[tuple[str, tuple[str, str | None, str | None]]] = []

    def meanwhile() -> None:
        floor.host.before.pop("start")
        seen.append((floor.apply_named(other, "provision_server"), at(floor, two)))

    floor.host.before["start"] = meanwhile
    assert floor.apply_named(account, "provision_server") == "done"
    assert seen == [("open", ("queued", None, None))]
    assert floor.host.made("create") == [str(first)]
    assert floor.apply_named(other, "provision_server") == "done", "let go by the first, at once"
    assert floor.host.made("create") == [str(first), str(second)]
    assert [at(floor, each)[0] for each in (one, two)] == ["succeeded", "succeeded"]


def test_as_many_are_made_at_once_as_the_settings_say(floor: Floor) -> None:
    with slot(floor.database, 2) as one, slot(floor.database, 2) as two, slot(floor.database, 2) as three:
        assert (one, two, three) == (True, True, False)
    with slot(floor.database, 1) as again:
        assert again


def test_an_order_that_is_no_longer_possible_ends(floor: Floor, controller: Controller) -> None:
    account = floor.known_account()
    server, operation = ordered(floor, account)
    floor.suspend_now(account)
    floor.run(controller)
    assert floor.host.made("create") == []
    assert at(floor, operation)[0] == "failed"
    assert floor.seat(server).lifecycle == "failed"
