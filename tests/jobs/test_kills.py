"""`kill -9` in the middle of each action: afterwards each intent is done exactly once, or is shown as unknown."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from jobs import queues
from jobs.actions import ACTIONS
from jobs.actions.notices import send_notice
from jobs.faults import Moment
from jobs.hosts.local.host import LocalHost, default_commands
from storage import backups, operations, operations_settle
from tests.factories import shipped_policy
from tests.jobs.floor import Floor
from tests.jobs.kills import PREPARED, Bench, doomed, late, ordered
from tests.jobs.processes import Crew, crew_on


@pytest.fixture
def bench(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Bench]:
    data = tmp_path / "data"
    host = LocalHost(data, default_commands())
    floor = Floor(database_url, redis_url, data, hosts={"local": host})
    made = Bench(floor, host)
    yield made
    host.kill(made.spec)
    floor.close()


@pytest.fixture
def crew(bench: Bench, tmp_path: Path) -> Iterator[Crew]:
    with crew_on(bench.floor, tmp_path / "logs") as made:
        yield made


def test_every_action_is_killed_here() -> None:
    others = set(ACTIONS) & set(shipped_policy().intents) - set(PREPARED)
    assert {ACTIONS[name] for name in others} <= {send_notice}, "letters differ in their words alone"
    assert set(PREPARED) <= set(ACTIONS)


# What they do leads the account on, to where they are not wanted any more: there is nothing to be done again.
LEADING_ON = frozenset({"make_final_backups", "destroy_servers"})
NOTICES = sorted(name for name in PREPARED if name.startswith("send_"))


@pytest.mark.parametrize("moment", ["before_act", "after_act"])
@pytest.mark.parametrize("name", NOTICES)
def test_a_notice_killed_in_the_middle_is_unknown_and_not_sent_again(
    bench: Bench, crew: Crew, name: str, moment: Moment
) -> None:
    intent = PREPARED[name](bench)
    kill_in_the_middle(bench, crew, intent, moment)
    letters = len(bench.floor.letters())
    bench.floor.tick(bench.floor.controller())
    assert bench.status(intent) == "unknown"
    assert "notice_unknown" in bench.floor.alerts()
    assert bench.floor.apply(intent) == "left alone"
    assert len(bench.floor.letters()) == letters


@pytest.mark.parametrize("name", sorted(set(PREPARED) - set(NOTICES)))
def test_an_effect_killed_before_and_after_it_acted_is_there_once(bench: Bench, crew: Crew, name: str) -> None:
    intent = PREPARED[name](bench)
    controller = bench.floor.controller()
    moments: tuple[Moment, ...] = ("before_act", "after_act")
    for moment in moments:
        kill_in_the_middle(bench, crew, intent, moment)
        bench.floor.tick(controller)
        assert bench.status(intent) == "open"
    assert bench.floor.apply(intent) == ("left alone" if name in LEADING_ON else "done")
    assert bench.floor.apply(intent) == "left alone"
    assert bench.floor.scalar("SELECT tries FROM intents WHERE id = :id", id=intent) == 3 - (name in LEADING_ON)
    check(bench, name)


IN_PHASES: tuple[tuple[Moment, str], ...] = (
    # where its worker dies, and how the order stands once another worker has looked
    ("in_allocate", "succeeded"),
    ("in_create", "failed"),  # whether it was made cannot be told: nobody makes it again by himself
    ("after_create", "succeeded"),
    ("in_start", "failed"),
    ("after_start", "succeeded"),
    ("in_edge", "succeeded"),
    ("in_ready", "succeeded"),
)


@pytest.mark.parametrize(("moment", "state"), IN_PHASES, ids=[moment for moment, _ in IN_PHASES])
def test_an_order_whose_worker_is_killed_in_any_phase_ends_with_one_server(
    bench: Bench, crew: Crew, moment: Moment, state: str
) -> None:
    operation = ordered(bench)
    intent = bench.intent("provision_server")
    kill_in_the_middle(bench, crew, intent, moment)
    bench.floor.tick(bench.floor.controller())
    bench.floor.apply(intent)
    with bench.floor.begin() as conn:
        found = operations.get(conn, operation)
        assert found.state == state
        if state == "failed":
            assert found.phase == moment.removeprefix("in_")
            assert found.left_behind == ("nothing" if moment == "in_create" else "stopped")
            operations_settle.resume(conn, bench.floor.policy, operation, actor="admin", reason="looked")
    if state == "failed":
        assert bench.floor.apply(bench.intent("provision_server")) == "done"
    with bench.floor.begin() as conn:
        assert operations.get(conn, operation).state == "succeeded"
    assert bench.host.observe(bench.spec).observed == "running"
    folders = (bench.floor.settings.data_dir / "servers").iterdir()
    assert len([each for each in folders if not each.name.startswith(".")]) == 2, (
        "the one of the bench, and the new one"
    )


@pytest.mark.parametrize("paid", [False, True])
def test_a_worker_that_dies_as_a_server_goes_leaves_it_whole_or_gone(bench: Bench, crew: Crew, paid: bool) -> None:
    intent = doomed(bench, "destroy_servers")
    kill_in_the_middle(bench, crew, intent, "in_destroy")
    floor = bench.floor
    assert floor.seat(bench.server).lifecycle == "destroying"
    assert bench.host.observe(bench.spec).observed == "stopped", "its host was not told yet"
    if paid:
        floor.pay(bench.account)
    floor.tick(floor.controller())
    assert floor.apply(intent) == ("left alone" if paid else "done")
    if paid:
        assert floor.apply(bench.intent("spare_servers")) == "done"
        assert (bench.status(intent), floor.seat(bench.server).lifecycle) == ("dropped", "failed")
        notes = floor.settings.data_dir / "servers" / str(bench.server) / "files" / "notes.txt"
        assert notes.read_text() == "mine"
    else:
        assert bench.host.observe(bench.spec).observed == "missing"
        assert floor.row(bench.account)["states"]["deletion"] == "destroyed"
    assert len(bench.host.list_backups(bench.spec)) == 1


def kill_in_the_middle(bench: Bench, crew: Crew, intent: UUID, moment: Moment) -> None:
    """Let a worker take the intent, and kill it there."""
    row = bench.floor.rows("SELECT intent, queue FROM intents WHERE id = :id", id=intent)[0]
    worker = crew.worker(row["queue"], pause_at=f"{row['intent']}:{moment}")
    queues.enqueue(bench.floor.context.redis, [(intent, row["queue"])])
    mark = crew.wait_for_pause(row["intent"], moment)
    crew.kill(worker)
    mark.unlink()
    assert bench.status(intent) == "started"


def check(bench: Bench, name: str) -> None:
    """Look at the world for the effect, and that it is there once."""
    seen = bench.host.observe(bench.spec)
    folders = list((bench.floor.settings.data_dir / "servers").iterdir())
    if name in {"start_server", "restart_server", "provision_server"}:
        assert (seen.observed, seen.autostart) == ("running", True)
        assert len([each for each in folders if not each.name.startswith(".")]) == (2 if "provision" in name else 1)
    if name in {"stop_server", "force_stop_server", "shutdown_suspended_server", "mark_server_retained"}:
        assert seen.observed == "stopped"
    if name in {"suspend_customer_servers", "disable_autostart", "restore_access"}:
        assert seen.autostart is False
        assert seen.observed == "stopped"
    with bench.floor.begin() as conn:
        rows = backups.of_server(conn, bench.server)
    if name == "clear_stale_operation_lock":
        assert [each.state for each in rows] == ["failed"]
    if name == "reinstall_server":
        assert [each.safety for each in rows] == [True]
        assert len(bench.host.list_backups(bench.spec)) == 1
        assert [each.name for each in bench.host.list_files(bench.spec, "/").entries] == []
        assert bench.floor.seat(bench.server).lifecycle == "stopped"
    if name in {"clean_up_server", "delete_server"}:
        assert seen.observed == "missing"
        assert bench.floor.seat(bench.server).lifecycle == "deleted"
    if name in {"make_final_backups", "destroy_servers"}:
        assert [(each.state, each.safety) for each in rows] == [("complete", True)]
        assert len(bench.host.list_backups(bench.spec)) == 1
    if name == "destroy_servers":
        assert seen.observed == "missing"
        assert bench.floor.seat(bench.server).lifecycle == "deleted"
        assert bench.floor.row(bench.account)["states"]["deletion"] == "destroyed"
    if name == "spare_servers":
        assert seen.observed == "stopped"
        assert bench.floor.seat(bench.server).lifecycle == "failed"
    if name == "create_backup":
        assert [each.state for each in rows] == ["complete"]
        assert len(bench.host.list_backups(bench.spec)) == 1
    if name == "restore_backup":
        assert sorted(each.safety for each in rows) == [False, True]
        assert len(bench.host.list_backups(bench.spec)) == 2
        assert bench.floor.seat(bench.server).lifecycle == "stopped"
    if name == "delete_backup":
        assert rows == []
        assert list(bench.host.list_backups(bench.spec)) == []
    assert len(bench.floor.rows("SELECT 1 FROM intents WHERE intent = :name", name=name)) == 1


def test_worker_that_is_asked_to_stop_finishes_the_intent_in_hand(bench: Bench, crew: Crew) -> None:
    intent = late(bench, 0, "send_billing_warning")
    worker = crew.worker(pause_at="send_billing_warning:before_act")
    queues.enqueue(bench.floor.context.redis, [(intent, queues.BILLING_ENFORCEMENT)])
    mark = crew.wait_for_pause("send_billing_warning", "before_act")
    crew.signal(worker, signal.SIGTERM)
    crew.signal(worker, signal.SIGTERM)
    assert worker.is_alive()
    mark.unlink()
    assert crew.ended(worker) == 0
    assert bench.status(intent) == "done"
    assert len(bench.floor.letters()) == 1
    assert bench.floor.rows("SELECT 1 FROM processes WHERE role LIKE 'worker billing%'") == []
