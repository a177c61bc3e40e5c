"""Publishing again and taking back, asked for by repairs and people."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest

from jobs.edge.base import Edge, EdgeUnavailable, Site
from jobs.edge.publication import publish, withdraw
from storage.intents_ask import ask_server
from tests.doubles.edge import DriverDouble
from tests.jobs.floor import Floor

BOTH = ["names", "proxy"]


@pytest.fixture
def drivers(floor: Floor) -> dict[str, DriverDouble]:
    names, proxy = DriverDouble("names"), DriverDouble("proxy")
    floor.context = replace(floor.context, edge=Edge({"local": Site("192.0.2.10", 25565)}, {}, names, proxy))
    return {"names": names, "proxy": proxy}


@pytest.fixture
def server(floor: Floor) -> UUID:
    return floor.machine(floor.known_account())


def ask(floor: Floor, server: UUID, action: str) -> str:
    """Let the controller ask, and a worker answer."""
    with floor.begin() as conn:
        (asked,) = ask_server(conn, floor.policy, server, action, actor="controller", machine="repair")
    return floor.apply(UUID(str(asked.intent_id)))


@pytest.mark.parametrize(
    ("action", "told"), [("edge_republish", BOTH), ("dns_republish", ["names"]), ("velocity_reregister", ["proxy"])]
)
def test_each_repair_tells_those_that_it_is_about(
    floor: Floor, drivers: dict[str, DriverDouble], server: UUID, action: str, told: list[str]
) -> None:
    assert ask(floor, server, action) == "done"
    assert [name for name, driver in drivers.items() if driver.entries] == told


@pytest.mark.parametrize("action", ["edge_republish", "dns_republish", "velocity_reregister"])
def test_a_suspended_server_is_not_republished(
    floor: Floor, drivers: dict[str, DriverDouble], server: UUID, action: str
) -> None:
    floor.suspend_now(floor.seat(server).account_id)
    ask(floor, server, action)
    assert (action, "dropped") in floor.statuses(floor.seat(server).account_id)
    assert [driver.calls for driver in drivers.values()] == [[], []]


def test_a_republish_that_was_asked_for_before_the_suspension_is_dropped(
    floor: Floor, drivers: dict[str, DriverDouble], server: UUID
) -> None:
    account = floor.seat(server).account_id
    with floor.begin() as conn:
        ask_server(conn, floor.policy, server, "edge_republish", actor="controller", machine="repair")
    floor.suspend_now(account)
    floor.apply_named(account, "edge_republish")
    assert ("edge_republish", "dropped") in floor.statuses(account)
    assert drivers["names"].calls == []


def test_a_driver_that_is_away_is_asked_again_later(
    floor: Floor, drivers: dict[str, DriverDouble], server: UUID
) -> None:
    drivers["names"].trouble = EdgeUnavailable("names", "it is away")
    assert ask(floor, server, "edge_republish") == "open"
    assert drivers["proxy"].entries != {}, "the other one was told"


@pytest.mark.parametrize("suspended", [False, True])
def test_nothing_is_taken_back_from_a_server_that_its_owner_has_not_deleted(
    floor: Floor, drivers: dict[str, DriverDouble], server: UUID, suspended: bool
) -> None:
    publish(floor.context, floor.seat(server))
    if suspended:
        floor.suspend_now(floor.seat(server).account_id)
    assert ask(floor, server, "withdraw_edge") == "failed"
    assert all(driver.entries for driver in drivers.values())


def test_taking_back_what_is_gone_is_done(floor: Floor, drivers: dict[str, DriverDouble], server: UUID) -> None:
    publish(floor.context, floor.seat(server))
    withdraw(floor.context, floor.seat(server))
    assert ask(floor, server, "withdraw_edge") == "done"
    assert ask(floor, server, "edge_republish") == "failed"
    assert all(driver.entries == {} for driver in drivers.values())
