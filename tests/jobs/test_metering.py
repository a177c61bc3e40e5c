"""What is metered is what hosts committed: recorded where it was seen, healed by comparing, and in nobody's way."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from engine.snapshot import Command
from jobs.controller import Controller
from jobs.hosts.base import HostUnavailable, Tenant
from jobs.invoices.automatic import run_by_itself
from jobs.metering import Mirrored, mirror
from storage.invoicing import metering, organisations
from tests.jobs.floor import Floor
from tests.jobs.orders import order, ordered
from tests.storage.metered import Books

EXAMPLE = Path(__file__).parents[2] / "examples" / "deploy" / "invoice.yaml"

LIFE = "SELECT tenant, event, source FROM tenant_billing_lifecycle WHERE server_id = :id ORDER BY id"
STOPS = "SELECT event, cause, source FROM tenant_suspension_events WHERE server_id = :id ORDER BY id"
SKILLS = "SELECT skill, event, source FROM tenant_skill_events WHERE server_id = :id ORDER BY id"


def life(floor: Floor, server: UUID) -> list[tuple[str, ...]]:
    return [tuple(row.values()) for row in floor.rows(LIFE, id=server)]


def stops(floor: Floor, server: UUID) -> list[tuple[str, ...]]:
    return [tuple(row.values()) for row in floor.rows(STOPS, id=server)]


def skills(floor: Floor, server: UUID) -> list[tuple[str, ...]]:
    return [tuple(row.values()) for row in floor.rows(SKILLS, id=server)]


def looked(floor: Floor) -> tuple[int, int, int, int]:
    found = mirror(floor.database, floor.context.hosts, "backfill")
    return found.examined, found.lifecycle, found.packages, found.suspensions


def test_life_of_a_tenant_is_recorded_as_it_happens(floor: Floor, controller: Controller) -> None:
    account = floor.known_account()
    server, _ = ordered(floor, account)
    assert life(floor, server) == []  # asked for, and nothing committed
    floor.run(controller)
    assert life(floor, server) == [("new", "created", "observed")]
    floor.suspend(account, controller)
    assert stops(floor, server) == [("suspended", "debt", "observed")]
    floor.pay(account)
    floor.run(controller)
    assert stops(floor, server)[1:] == [("resumed", "debt", "observed")]
    order(floor, server, "delete_server")
    floor.run(controller)
    assert life(floor, server)[1:] == [("new", "deleted", "observed")]
    with floor.begin() as conn:
        (gone,) = metering.listed(conn, also_deleted=True)
        assert metering.listed(conn) == []
    assert (gone.organisation, gone.name) == ("Ada Lovelace", "new")
    assert gone.deleted_at is not None
    assert gone.created_at < gone.deleted_at
    assert looked(floor) == (0, 0, 0, 0)


def test_second_tenant_of_a_name_is_told_apart_for_ever(floor: Floor, controller: Controller) -> None:
    account = floor.known_account()
    first, _ = ordered(floor, account)
    second, _ = ordered(floor, account)
    floor.run(controller)
    names = {life(floor, server)[0][0] for server in (first, second)}
    assert names in ({"new", f"new-{str(second)[:8]}"}, {"new", f"new-{str(first)[:8]}"})


def test_failure_to_record_stops_nothing_and_is_healed(floor: Floor, controller: Controller) -> None:
    with floor.session() as session:
        for table in ("tenant_billing_lifecycle", "tenant_suspension_events"):
            session.execute(f"ALTER TABLE {table} ADD CONSTRAINT poison CHECK (false)")
    account = floor.known_account()
    server, _ = ordered(floor, account)
    floor.run(controller)
    assert floor.seat(server).lifecycle == "running"
    floor.suspend(account, controller)
    assert floor.seat(server).observed == "stopped"
    assert (life(floor, server), stops(floor, server)) == ([], [])
    with floor.session() as session:
        for table in ("tenant_billing_lifecycle", "tenant_suspension_events"):
            session.execute(f"ALTER TABLE {table} DROP CONSTRAINT poison")
    assert looked(floor) == (1, 1, 0, 1)
    assert life(floor, server) == [("new", "created", "backfill")]
    assert stops(floor, server) == [("suspended", "debt", "backfill")]
    assert looked(floor) == (1, 0, 0, 0)


def test_backfill_mirrors_what_the_host_holds_once(floor: Floor) -> None:
    account = floor.known_account()
    plain, dressed, down, lost = (floor.machine(account, runs=runs) for runs in (True, True, False, True))
    with floor.session() as session:
        for number, server in enumerate((plain, dressed, down, lost)):
            session.execute("UPDATE servers SET name = %s, desired = 'running' WHERE id = %s", (f"s{number}", server))
    floor.host.packages[str(dressed)] = ("search", "voice")
    floor.host.suspended_at[str(down)] = datetime(2026, 3, 5, tzinfo=UTC)
    floor.host.hidden.add(str(lost))
    assert looked(floor) == (3, 3, 2, 1)
    assert skills(floor, dressed) == [("search", "enabled", "backfill"), ("voice", "enabled", "backfill")]
    assert stops(floor, down) == [("suspended", "host", "backfill")]
    made = floor.scalar("SELECT at FROM tenant_billing_lifecycle WHERE server_id = :id", id=down)
    since = floor.scalar("SELECT at FROM tenant_suspension_events WHERE server_id = :id", id=down)
    assert (made, since) == (datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 5, tzinfo=UTC))
    assert looked(floor) == (3, 0, 0, 0)
    floor.host.packages[str(dressed)] = ("voice",)
    floor.host.running[str(down)] = True
    assert looked(floor) == (3, 0, 1, 1)
    assert skills(floor, dressed)[2:] == [("search", "disabled", "backfill")]
    assert stops(floor, down)[1:] == [("resumed", "host", "backfill")]


def test_packages_that_are_switched_while_a_host_is_asked_are_not_switched_back(floor: Floor) -> None:
    server = floor.machine(floor.known_account())
    floor.host.packages[str(server)] = ("voice",)
    assert looked(floor) == (1, 1, 1, 0)

    class Meanwhile:
        def tenants(self) -> list[Tenant]:
            told = list(floor.host.tenants())
            floor.host.packages[str(server)] = ()
            with floor.begin() as conn:
                metering.packages(conn, server, ())
            return told

    assert mirror(floor.database, {"local": Meanwhile()}, "reconcile").packages == 0
    assert skills(floor, server) == [("voice", "enabled", "backfill"), ("voice", "disabled", "observed")]
    assert looked(floor) == (1, 0, 0, 0)


def test_owners_own_stop_is_no_suspension(floor: Floor) -> None:
    server = floor.machine(floor.known_account(), runs=False)
    assert looked(floor) == (1, 1, 0, 0)
    assert stops(floor, server) == []


def test_host_that_cannot_be_asked_changes_nothing(floor: Floor) -> None:
    floor.machine(floor.known_account())

    class Away:
        def tenants(self) -> list[Tenant]:
            raise HostUnavailable("local", "no route")

    found = mirror(floor.database, {"local": Away()}, "reconcile")
    assert found == Mirrored(silent=("local",))


@pytest.fixture
def paying(floor: Floor) -> tuple[Books, UUID, UUID]:
    """Books, an account billed by invoice without anybody's doing, and a tenant on it that has long run."""
    account = floor.known_account()
    server = floor.machine(account)
    books, customer = Books(floor), UUID(str(floor.row(account)["customer_id"]))
    with floor.session() as session:
        session.execute("UPDATE servers SET desired = 'running' WHERE id = %s", (server,))
        session.execute("UPDATE customers SET zone = 'Pacific/Auckland' WHERE id = %s", (customer,))
    with floor.begin() as conn:
        organisations.change(conn, customer, {"pay_by_invoice": True, "auto_invoices": True})
        metering.created(conn, server, at=books.ago(200))
    return books, account, server


def down(floor: Floor, server: UUID, since: datetime) -> None:
    """Let a host have suspended a tenant without anybody's having seen it."""
    floor.host.running[str(server)] = False
    floor.host.suspended_at[str(server)] = since


def test_what_hosts_tell_is_recorded_before_the_month_is_billed_by_itself(
    floor: Floor, paying: tuple[Books, UUID, UUID]
) -> None:
    books, _, server = paying
    down(floor, server, books.ago(100))
    report = run_by_itself(replace(floor.settings, invoice_file=EXAMPLE), floor.database, floor.context.hosts)
    assert report is not None
    assert (report.issued, report.nothing) == (0, 1)
    assert stops(floor, server) == [("suspended", "host", "reconcile")]


def test_what_is_learnt_after_its_month_was_issued_is_told_to_a_person(
    floor: Floor, paying: tuple[Books, UUID, UUID]
) -> None:
    books, account, server = paying
    customer = UUID(str(floor.row(account)["customer_id"]))
    other = floor.machine(account)
    with floor.session() as session:
        session.execute("UPDATE servers SET desired = 'running', name = 'other' WHERE id = %s", (other,))
    with floor.begin() as conn:
        metering.created(conn, other, at=books.ago(200))
        issued = books.billing.issue(conn, customer, books.month, by="test")
        assert issued is not None
    over_at = datetime.combine(issued.last_on + timedelta(days=1), time(), ZoneInfo("Pacific/Auckland"))
    down(floor, server, over_at)
    assert (looked(floor)[3], floor.alerts()) == (1, [])
    down(floor, other, over_at - timedelta(microseconds=1))
    assert looked(floor)[3] == 1
    assert floor.alerts() == ["account_failed"]
    told = str(floor.scalar("SELECT text FROM alerts"))
    assert f"was suspended on {issued.last_on}" in told
    assert issued.number in told


def test_what_is_learnt_after_its_month_was_found_to_hold_nothing_is_told_too(
    floor: Floor, paying: tuple[Books, UUID, UUID]
) -> None:
    books, account, server = paying
    down(floor, server, books.ago(150))
    report = run_by_itself(replace(floor.settings, invoice_file=EXAMPLE), floor.database, floor.context.hosts)
    assert report is not None
    assert (report.nothing, floor.alerts()) == (1, [])
    other = floor.machine(account)
    with floor.session() as session:
        session.execute("UPDATE servers SET name = 'other' WHERE id = %s", (other,))
    with floor.begin() as conn:
        metering.created(conn, other, at=books.ago(90))
    told = str(floor.scalar("SELECT text FROM alerts"))
    assert f"the run of {report.month:%Y-%m}, which found nothing" in told


def test_packages_of_an_order_are_switched_on_before_it_is_started(floor: Floor, controller: Controller) -> None:
    server, operation = ordered(floor, floor.known_account())
    floor.rows("""UPDATE operations SET args = '{"packages": ["voice"]}' WHERE id = :id RETURNING 1""", id=operation.id)
    held: list[object] = []
    floor.host.before["start"] = lambda: held.append(floor.host.packages.get(str(server)))
    floor.run(controller)
    assert set(held) == {("voice",)}
    assert skills(floor, server) == [("voice", "enabled", "observed")]


def test_owners_wish_is_recorded_once_the_host_has_stopped_it_and_once_it_is_given_back(
    floor: Floor, controller: Controller
) -> None:
    account = floor.known_account()
    server, _ = ordered(floor, account)
    floor.run(controller)
    floor.record(account, command=Command("suspension_requested", "customer", "Ada"), actor="Ada")
    assert stops(floor, server) == []  # asked for, and nothing committed
    floor.run(controller)
    assert stops(floor, server) == [("suspended", "tenant", "observed")]
    floor.record(account, command=Command("resumption_approved", "admin", "Grace"), actor="Grace")
    floor.run(controller)
    assert stops(floor, server)[1:] == [("resumed", "tenant", "observed")]
    assert looked(floor) == (1, 0, 0, 0)
