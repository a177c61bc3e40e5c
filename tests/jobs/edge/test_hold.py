"""The hold page, for a policy that chooses it: what leads to a suspended server is moved there, and back afterwards."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from engine.load import bundle, load_texts
from engine.model import Policy
from jobs.edge import publish, withdraw
from jobs.edge.base import Driver, Edge, EdgeUnavailable, Entry, Site
from jobs.edge.catalog import edge_of
from jobs.edge.publication import hold
from jobs.edge.records import Dns
from jobs.edge.rfc2136 import NameServer, Tsig
from jobs.edge.velocity import Velocity
from jobs.edge.zonefile import ZoneFile
from storage import policies
from storage.intents_ask import ask_server
from storage.settings import SHIPPED_POLICY
from tests.doubles.cloudflare import CloudflareDouble
from tests.doubles.edge import DriverDouble
from tests.doubles.name_server import SECRET, NameServerDouble
from tests.doubles.velocity import PASSWORD, VelocityDouble
from tests.jobs.edge.entries import ZONE
from tests.jobs.edge.test_cloudflare import names_at
from tests.jobs.edge.test_publication import row_of
from tests.jobs.edge.test_velocity import FILE
from tests.jobs.floor import Floor

HERE, PAGE = Site("192.0.2.10", 25570), Site("203.0.113.20", 25999)
STOP = "{shutdown_suspended_server: each server}"


def choose(texts: dict[str, str]) -> dict[str, str]:
    """Make the choice, as the policy that ships says how."""
    intents = texts["intents.yaml"].replace("# move_edge_to_hold_page:", "move_edge_to_hold_page:")
    rules = texts["billing.yaml"].replace(STOP, f"{STOP}, {{move_edge_to_hold_page: each server}}")
    return {**texts, "intents.yaml": intents, "billing.yaml": rules}


@pytest.fixture(scope="module")
def chosen() -> tuple[Policy, dict[str, str]]:
    texts = choose(bundle(SHIPPED_POLICY))
    return load_texts(texts), texts


@pytest.fixture
def holding(floor: Floor, chosen: tuple[Policy, dict[str, str]]) -> Floor:
    """A floor whose policy makes the choice."""
    floor.policy, texts = chosen
    with floor.begin() as conn:
        policies.deploy(conn, floor.policy, texts, {}, "test")
    return floor


def published(floor: Floor, *drivers: Driver, page: Site | None = PAGE) -> UUID:
    """Return a server that these lead to."""
    names, proxy = (*drivers, None)[:2]
    edge = Edge({"local": HERE}, {"game": "_minecraft._tcp"}, names, proxy, hold=page)
    floor.context = replace(floor.context, edge=edge)
    server = floor.machine(floor.known_account())
    assert publish(floor.context, floor.seat(server))
    return server


def places(driver: DriverDouble) -> list[tuple[str, int]]:
    """Return where it leads."""
    return [(entry.address, entry.port) for entry in driver.entries.values()]


def test_what_is_suspended_leads_to_the_page_and_back_once_it_is_paid_for(
    holding: Floor, names: DriverDouble, proxy: DriverDouble
) -> None:
    server = published(holding, names, proxy)
    account = holding.seat(server).account_id
    holding.suspend_now(account)
    holding.carry_out()
    assert places(names) == places(proxy) == [("203.0.113.20", 25999)]
    assert row_of(holding, server).held_at is not None
    assert ("move_edge_to_hold_page", "done") in holding.statuses(account)
    holding.pay(account)
    holding.carry_out()
    assert places(names) == places(proxy) == [("192.0.2.10", 25570)]
    assert row_of(holding, server).held_at is None
    assert [verb for verb, _ in (*names.calls, *proxy.calls) if verb == "withdraw"] == []


def test_the_policy_that_ships_moves_nothing(floor: Floor, names: DriverDouble) -> None:
    server = published(floor, names)
    account = floor.seat(server).account_id
    floor.suspend_now(account)
    floor.carry_out()
    assert places(names) == [("192.0.2.10", 25570)]
    assert "move_edge_to_hold_page" not in {name for name, _ in floor.statuses(account)}


def test_a_server_that_nothing_leads_to_gets_nothing(holding: Floor, names: DriverDouble) -> None:
    server = published(holding, names)
    names.entries.clear()
    holding.rows("UPDATE edges SET published_at = NULL RETURNING 1")
    holding.suspend_now(holding.seat(server).account_id)
    holding.carry_out()
    assert names.entries == {}


def test_a_name_server_that_is_away_is_asked_again(holding: Floor, names: DriverDouble, proxy: DriverDouble) -> None:
    server = published(holding, names, proxy)
    account = holding.seat(server).account_id
    holding.suspend_now(account)
    names.trouble = EdgeUnavailable("names", "it is away")
    holding.apply_named(account, "move_edge_to_hold_page")
    assert (places(names), places(proxy)) == ([("192.0.2.10", 25570)], [("203.0.113.20", 25999)])
    names.trouble = None
    holding.advance(1)
    holding.carry_out()
    assert places(names) == [("203.0.113.20", 25999)]


def test_a_name_server_that_is_away_at_the_restoration_is_asked_again(holding: Floor, names: DriverDouble) -> None:
    server = published(holding, names)
    account = holding.seat(server).account_id
    holding.suspend_now(account)
    holding.carry_out()
    names.trouble = EdgeUnavailable("names", "it is away")
    holding.pay(account)
    holding.apply_named(account, "restore_access")
    names.trouble = None
    holding.carry_out()
    assert places(names) == [("192.0.2.10", 25570)]


def test_without_a_page_in_the_edge_file_people_are_told(holding: Floor, names: DriverDouble) -> None:
    server = published(holding, names, page=None)
    account = holding.seat(server).account_id
    holding.suspend_now(account)
    holding.apply_named(account, "move_edge_to_hold_page")
    assert ("move_edge_to_hold_page", "failed") in holding.statuses(account)
    assert "intent_failed" in holding.alerts()
    assert places(names) == [("192.0.2.10", 25570)]


def test_without_an_edge_file_nobody_is_led_anywhere_and_nothing_is_moved(holding: Floor) -> None:
    holding.context = replace(holding.context, edge=edge_of(holding.settings))
    account = holding.seat(holding.machine(holding.known_account())).account_id
    holding.suspend_now(account)
    holding.apply_named(account, "move_edge_to_hold_page")
    assert ("move_edge_to_hold_page", "done") in holding.statuses(account)
    assert "intent_failed" not in holding.alerts()


def test_a_payment_in_the_middle_of_the_move_wins(holding: Floor, names: DriverDouble) -> None:
    server = published(holding, names)
    account = holding.seat(server).account_id
    holding.suspend_now(account)

    def meanwhile() -> None:
        names.before = None
        holding.pay(account)
        holding.apply_named(account, "restore_access")

    names.before = meanwhile
    holding.apply_named(account, "move_edge_to_hold_page")
    assert places(names) == [("192.0.2.10", 25570)]
    assert row_of(holding, server).held_at is None


def test_a_suspension_in_the_middle_of_publishing_is_not_published_over(holding: Floor, names: DriverDouble) -> None:
    server = published(holding, names)

    def meanwhile() -> None:
        names.before = None
        holding.rows("UPDATE accounts SET server_billing_state = 'suspended_shutdown' RETURNING 1")
        assert hold(holding.context, holding.seat(server))

    names.before = meanwhile
    with holding.begin() as conn:
        (asked,) = ask_server(conn, holding.policy, server, "edge_republish", actor="controller", machine="repair")
    holding.apply(UUID(str(asked.intent_id)))
    assert places(names) == [("203.0.113.20", 25999)]


def test_what_its_owner_deletes_meanwhile_leads_nowhere(holding: Floor, names: DriverDouble) -> None:
    server = published(holding, names)
    account = holding.seat(server).account_id
    holding.suspend_now(account)

    def meanwhile() -> None:
        names.before = None
        withdraw(holding.context, holding.seat(server))

    names.before = meanwhile
    holding.apply_named(account, "move_edge_to_hold_page")
    assert names.entries == {}


@pytest.fixture
def shown(tmp_path: Path) -> Iterator[Callable[[str], tuple[Driver, Callable[[Entry], frozenset[str]]]]]:
    """Make a real driver, and what shows what it leads to."""
    with ExitStack() as stack:

        def make(kind: str) -> tuple[Driver, Callable[[Entry], frozenset[str]]]:
            if kind == "velocity":
                file = tmp_path / "velocity.toml"
                file.write_text(FILE)
                double = stack.enter_context(VelocityDouble(file))
                made: Driver = Velocity(file, double.console, PASSWORD, domain=ZONE.name)
            elif kind == "cloudflare":
                made = names_at(stack.enter_context(CloudflareDouble(ZONE.name)))
            elif kind == "rfc2136":
                server = stack.enter_context(NameServerDouble(ZONE.name))
                key = Tsig("forbear", "hmac-sha256", SECRET)
                made = Dns(ZONE, NameServer(ZONE, "127.0.0.1", server.port, key, 5.0))
            else:
                made = Dns(ZONE, ZoneFile(ZONE, tmp_path / "zone"))
            return made, lambda entry: made.observe_all().ours.get(entry.server_id, frozenset())

        yield make


@pytest.mark.parametrize("kind", ["zone_file", "rfc2136", "cloudflare", "velocity"])
def test_each_driver_moves_there_and_back_and_removes_nothing(
    floor: Floor, shown: Callable[[str], tuple[Driver, Callable[[Entry], frozenset[str]]]], kind: str, tmp_path: Path
) -> None:
    driver, seen = shown(kind)
    server = published(floor, driver)
    label = row_of(floor, server).label
    here = Entry(str(server), label, HERE.address, HERE.port, "_minecraft._tcp")
    there = replace(here, address=PAGE.address, port=PAGE.port)
    assert seen(here) == driver.expected(here)
    floor.rows("UPDATE accounts SET server_billing_state = 'suspended_shutdown' RETURNING 1")
    assert hold(floor.context, floor.seat(server))
    assert seen(here) == driver.expected(there)
    assert len(driver.expected(there)) == len(driver.expected(here))
    if kind == "velocity":
        assert tomllib.loads((tmp_path / "velocity.toml").read_text())["servers"][label] == "203.0.113.20:25999"
    floor.rows("UPDATE accounts SET server_billing_state = 'allowed' RETURNING 1")
    assert publish(floor.context, floor.seat(server))
    assert seen(here) == driver.expected(here)
