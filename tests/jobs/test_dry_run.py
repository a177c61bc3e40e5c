"""What a dry run shows is what a tick would do, and nothing is different afterwards."""

from __future__ import annotations

import json
from uuid import UUID

import pytest

from jobs.controller import Controller
from jobs.dry_run import ServerRepair, forecast, show
from tests.jobs.floor import Floor


@pytest.fixture
def server(floor: Floor) -> UUID:
    return floor.machine(floor.known_account())


def everything(floor: Floor) -> list[object]:
    """Return what a tick would write."""
    tables = ("servers", "observations", "repair_events", "intents", "leases", "audit", "processes", "clock", "alerts")
    return [floor.rows(f"SELECT * FROM {table} ORDER BY 1, 2") for table in tables]


def advice(floor: Floor) -> list[ServerRepair]:
    """Return what would be done about servers."""
    return list(forecast(floor.context).servers)


def test_beside_a_leader_it_changes_nothing_and_asks_hosts_as_a_tick_does(
    floor: Floor, controller: Controller, server: UUID
) -> None:
    floor.tick(controller)
    floor.late()
    floor.host.running[str(server)] = False
    floor.host.calls.clear()
    before = everything(floor)
    (found,) = advice(floor)
    assert everything(floor) == before
    assert [verb for verb, _ in floor.host.calls] == ["observe_all"]
    assert (found.server, found.host, found.desired, found.observed) == (str(server), "local", "running", "stopped")
    assert (found.billing, found.lifecycle, found.recommendation, found.level) == (
        "allowed",
        "running",
        "start_server",
        "always",
    )
    assert found.why.startswith("start_stopped (repairs.yaml:")
    assert found.why.endswith("seen 1 of 3 times in a row")
    assert controller.turn() is not None, "it leads as before"


def test_it_says_when_it_would_be_done_and_what_keeps_it_back(
    floor: Floor, controller: Controller, server: UUID
) -> None:
    others = [floor.machine(floor.known_account(email=f"{n}@example.com")) for n in range(3)]
    floor.tick(controller)
    for each in (server, *others):
        floor.host.running[str(each)] = False
    for _ in range(2):
        floor.tick(controller)
    assert sorted(each.why.partition(": ")[2] for each in advice(floor)) == [
        "now", "now", "now", "the brake repairs.repairs holds it",
    ]  # fmt: skip
    floor.tick(controller)
    assert {each.why.partition(": ")[2] for each in advice(floor)} == {
        "it did not last before, and is asked for again later", "the brake repairs.repairs holds it",
    }  # fmt: skip


def test_a_host_that_does_not_answer_is_shown_as_unknown_and_left_alone(floor: Floor, server: UUID) -> None:
    floor.host.offline = True
    (found,) = advice(floor)
    assert (found.observed, found.recommendation, found.level) == ("unknown", "nothing", "")
    assert found.why.endswith("it is left alone")


def test_it_is_a_table_for_people_and_json_for_programs(
    floor: Floor, server: UUID, capsys: pytest.CaptureFixture[str]
) -> None:
    account = floor.late()
    floor.host.running[str(server)] = False
    show(floor.context, "text")
    lines = capsys.readouterr().out.splitlines()
    head, row = lines[lines.index("servers that something is recommended for") + 1 :][:2]
    assert head.split() == [
        "server", "host", "desired", "observed", "billing", "lifecycle", "recommendation", "level", "why",
    ]  # fmt: skip
    assert row[head.index("recommendation") :].startswith("start_server")
    assert row[head.index("level") :].startswith("always")
    show(floor.context, "json")
    found = json.loads(capsys.readouterr().out)
    assert {step["account"] for step in found["accounts"]} == {str(account)}
    assert found["servers"][0]["server"] == str(server)


def test_with_nothing_to_do_it_says_so(floor: Floor, server: UUID, capsys: pytest.CaptureFixture[str]) -> None:
    show(floor.context, "text")
    assert capsys.readouterr().out == "nothing to do\n"
