"""Publishing and taking back: written down, never for a suspended server, and no driver's trouble is the server's."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from jobs.context import Context
from jobs.edge import publish, withdraw
from jobs.edge.base import EdgeTaken, EdgeUnavailable
from jobs.edge.catalog import edge_of
from storage import edge as rows
from tests.doubles.edge import DriverDouble
from tests.jobs.floor import Floor
from tests.jobs.orders import at, ordered


@pytest.fixture
def context(edged: Floor) -> Context:
    return edged.context


@pytest.fixture
def server(floor: Floor) -> UUID:
    return floor.machine(floor.known_account())


def row_of(floor: Floor, server: UUID) -> rows.Published:
    with floor.begin() as conn:
        found = rows.get(conn, server)
    assert found is not None
    return found


def stop_by_billing(floor: Floor, server: UUID) -> None:
    account = floor.seat(server).account_id
    floor.rows("UPDATE accounts SET server_billing_state = 'retained' WHERE id = :id RETURNING 1", id=account)


def test_a_published_server_stands_everywhere_and_is_written_down(
    floor: Floor, context: Context, server: UUID, names: DriverDouble, proxy: DriverDouble
) -> None:
    assert publish(context, floor.seat(server))
    row = row_of(floor, server)
    assert row.label.endswith(f"-{str(server)[:8]}{str(server)[9:11]}")
    assert (row.wanted, row.address, row.port) == (True, "192.0.2.10", 25565)
    assert row.published_at is not None
    for driver in (names, proxy):
        assert [entry.label for entry in driver.entries.values()] == [row.label]


def test_a_suspended_server_is_not_published(floor: Floor, context: Context, server: UUID, names: DriverDouble) -> None:
    stop_by_billing(floor, server)
    assert not publish(context, floor.seat(server))
    assert names.calls == []


def test_a_deleted_server_is_never_published_again_and_its_label_stays_its_own(
    floor: Floor, context: Context, server: UUID, names: DriverDouble
) -> None:
    publish(context, floor.seat(server))
    label = row_of(floor, server).label
    assert withdraw(context, floor.seat(server))
    assert names.entries == {}
    assert row_of(floor, server).withdrawn_at is not None
    assert not publish(context, floor.seat(server))
    assert names.entries == {}
    other = floor.machine(floor.known_account(email="other@example.com"))
    with floor.begin() as conn:
        assert rows.claim_label(conn, other, label) is None
        assert rows.claim_label(conn, other, label, "another") == "another"


@pytest.mark.usefixtures("context")
@pytest.mark.parametrize("refuses", [False, True])
def test_a_server_that_is_deleted_while_it_is_published_leads_nowhere(
    floor: Floor, server: UUID, names: DriverDouble, proxy: DriverDouble, refuses: bool
) -> None:
    publish(floor.context, floor.seat(server))

    def meanwhile() -> None:
        names.before = None
        assert withdraw(floor.context, floor.seat(server))
        if refuses:
            proxy.trouble = EdgeUnavailable("proxy", "the connection was cut")

    names.before = meanwhile
    publish(floor.context, floor.seat(server))
    assert names.entries == {}
    proxy.trouble = None
    floor.carry_out()
    assert proxy.entries == {}


def test_a_name_server_that_is_away_keeps_no_server_from_being_made(
    floor: Floor, context: Context, names: DriverDouble, proxy: DriverDouble
) -> None:
    account = floor.known_account()
    server, operation = ordered(floor, account)
    names.trouble = EdgeUnavailable("names", "it is away")
    floor.apply_named(account, "provision_server")
    assert at(floor, operation)[0] == "succeeded"
    assert list(proxy.entries) == [str(server)]
    assert ("edge_republish", "open") in floor.statuses(account)
    names.trouble = None
    floor.apply_named(account, "edge_republish")
    assert ("edge_republish", "done") in floor.statuses(account)
    assert list(names.entries) == [str(server)]


def test_a_name_server_that_is_away_is_asked_again_to_take_back(
    floor: Floor, context: Context, server: UUID, names: DriverDouble, proxy: DriverDouble
) -> None:
    publish(context, floor.seat(server))
    names.trouble = EdgeUnavailable("names", "it is away")
    assert not withdraw(context, floor.seat(server))
    account = floor.seat(server).account_id
    names.trouble = None
    floor.apply_named(account, "withdraw_edge")
    assert floor.statuses(account)[-1] == ("withdraw_edge", "done")
    assert (names.entries, proxy.entries) == ({}, {})


def test_somebody_elses_name_ends_the_tries(floor: Floor, context: Context, server: UUID, names: DriverDouble) -> None:
    names.trouble = EdgeTaken("names", "x", "a record")
    publish(context, floor.seat(server))
    account = floor.seat(server).account_id
    floor.apply_named(account, "edge_republish")
    assert floor.statuses(account)[-1] == ("edge_republish", "failed")


def test_a_server_that_was_made_while_suspended_is_published_when_it_is_given_back(
    floor: Floor, context: Context, server: UUID, names: DriverDouble, proxy: DriverDouble
) -> None:
    account = floor.seat(server).account_id
    earlier = floor.machine(account)
    publish(context, floor.seat(earlier))
    floor.suspend_now(account)
    assert not publish(context, floor.seat(server))
    names.entries.clear()
    floor.pay(account)
    floor.carry_out()
    assert list(proxy.entries) == [str(earlier), str(server)]
    assert list(names.entries) == [str(server)], "what was published before is left to repairs"


def test_servers_of_a_host_that_nothing_is_said_about_are_left_alone(
    floor: Floor, context: Context, server: UUID, names: DriverDouble
) -> None:
    floor.rows("UPDATE servers SET host = 'elsewhere' RETURNING 1")
    assert not publish(context, floor.seat(server))
    assert (names.calls, floor.statuses(floor.seat(server).account_id)) == ([], [])


def test_two_labels_that_would_be_the_same_become_two(floor: Floor, context: Context) -> None:
    account = floor.known_account()
    first, second = floor.machine(account), floor.machine(account)
    with floor.begin() as conn:
        taken = f"{floor.seat(second).name}-{second.hex[:10]}"
        assert rows.claim_label(conn, first, taken) == taken
    publish(context, floor.seat(second))
    assert row_of(floor, second).label.endswith(second.hex[:22])


def test_without_an_edge_file_names_go_to_a_zone_file(floor: Floor, server: UUID) -> None:
    floor.context = replace(floor.context, edge=edge_of(floor.settings))
    assert publish(floor.context, floor.seat(server))
    text = (floor.settings.data_dir / "edge" / "servers.internal.zone").read_text()
    assert row_of(floor, server).label in text
    assert str(uuid4()) not in text
    assert withdraw(floor.context, floor.seat(server))
    assert str(server) not in (floor.settings.data_dir / "edge" / "servers.internal.zone").read_text()
