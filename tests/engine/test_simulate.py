"""Simulation: one account in words, JSON and a picture, and a population that a seed determines."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from engine.commands import SHIPPED
from engine.commands.simulate import simulate as command
from engine.scenario.read import FOLDER
from engine.simulate.account import simulate
from engine.simulate.items import NotUnderstood, Said, timeline_of
from engine.simulate.many import Dice, play_many
from engine.simulate.many_tell import as_json
from engine.snapshot import Hold
from engine.timeline.play import Timeline
from tests.engine.stories import STORIES
from tests.factories import START, at, hours, shipped_policy

SKETCH = [
    "--fail", "2026-03-01T08:00Z", "--hold", "extension:+100h..+200h", "--pay", "+249h", "--zone", "Europe/Zurich",
]  # fmt: skip


def told(*arguments: str) -> Result:
    """Run the command."""
    return CliRunner().invoke(command, list(arguments))


def test_story_says_what_happens_what_is_told_and_what_is_blocked() -> None:
    output = told(*SKETCH).output
    for expected in (
        "Sun 01 Mar 2026 09:00        +0h  ● a payment has failed",
        "✉ Please pay by Friday, 6 March 2026, 09:00 (Europe/Zurich, UTC+1) to keep your servers running",
        "✉ Good news: the date we told you no longer applies",
        "Wed 11 Mar 2026 17:00     +10d8h  ▲ billing: final_warning → suspended  billing.suspend, billing.yaml:",
        "⊘ BILLING_BACKUP_BLOCKED: backups.create",
        "▼ billing: suspended → active",
        "✓ allowed again: instance.create, host.start",
        "6 notices were delivered. Nothing more follows by itself.",
    ):
        assert expected in output
    assert "\x1b" not in output


def test_json_holds_the_same_story() -> None:
    moments = json.loads(told(*SKETCH, "--format", "json").output)["moments"]
    because = [step["because"] for moment in moments for step in moment["steps"] if step["kind"] == "transition"]
    assert because == ["billing.late", "billing.warn", "billing.warn_finally", "billing.suspend", "billing.paid"]
    final = [n for m in moments for n in m["notices"] if n["intent"] == "send_final_warning"]
    assert [n["promiseAt"] for n in final] == ["2026-03-06T08:00Z", "2026-03-11T16:00Z"]
    assert all(n["text"] and n["subject"] for m in moments for n in m["notices"])


def test_timeline_that_is_written_tells_the_same_story(tmp_path: Path) -> None:
    file = tmp_path / "timeline.yaml"
    file.write_text(told(*SKETCH, "--format", "timeline").output)
    assert told("--timeline", str(file)).output == told(*SKETCH).output


@pytest.mark.parametrize("name", STORIES)
def test_every_scenario_can_be_told_and_drawn(name: str) -> None:
    file = str(SHIPPED / FOLDER / f"{name}.yaml")
    assert told("--timeline", file).exit_code == 0
    drawn = told("--timeline", file, "--format", "svg").output
    root = ET.fromstring(drawn)
    assert root.tag.endswith("svg")
    numbers = [float(n) for n in re.findall(r' (?:x|x1|x2|cx)="(-?[\d.]+)"', drawn)]
    assert all(-1 <= n <= float(root.attrib["width"]) + 1 for n in numbers)


def test_picture_follows_the_readers_colours_and_loads_nothing() -> None:
    drawn = told(*SKETCH, "--format", "svg").output
    assert "prefers-color-scheme: dark" in drawn
    assert "<script" not in drawn
    assert re.findall(r"(?:href|src|url)\s*[=(]", drawn) == []


def test_invoices_add_up_and_the_oldest_counts() -> None:
    timeline = timeline_of(shipped_policy(), Said(fail=("+0h", "+24h"), pay=("+48h",)))
    assert [dict(item.set) for item in timeline.items] == [
        {"overdue_invoices": 1, "past_due_since": START},
        {"overdue_invoices": 2},
        {"overdue_invoices": 0, "past_due_since": None},
    ]


def test_every_option_becomes_an_item() -> None:
    said = Said(
        fail=("+1h",), hold=("extension:+2h..+5h", "processor_outage:+3h.."), exempt=("+4h..+6h",), cancel=("+7h",),
        renew=("+8h",), event=("abuse_reported@+9h",), set=("subscription=paused@+10h", "overdue_invoices=3@+11h"),
        permit=("no_hold=unknown@+12h",), notices=("failed@+13h",), server=("stop_requested@+14h",),
    )  # fmt: skip
    items = timeline_of(shipped_policy(), said).items
    assert [item.at for item in items] == [hours(n) for n in (1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14)]
    assert items[1].holds == {"extension": Hold("extension", at(5))}
    assert items[2].holds == {"processor_outage": Hold("processor_outage", None)}
    assert items[9].set == {"overdue_invoices": 3}


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--fail", "soon"],
        ["--fail", "-3h"],
        ["--hold", "extension"],
        ["--hold", "holiday:+1h..+2h"],
        ["--event", "explode@+1h"],
        ["--event", "abuse_reported"],
        ["--set", "overdue=1@+1h"],
        ["--set", "subscription=gone@+1h"],
        ["--set", "exempt=perhaps@+1h"],
        ["--permit", "patience=no@+1h"],
        ["--permit", "no_hold=maybe@+1h"],
        ["--fail", "+0h", "--zone", "Europe/Zurch"],
        ["--fail", "+0h", "--until", "later"],
        ["--timeline", "/nowhere.yaml"],
        ["--population", "10", "--format", "svg"],
        ["--population", "10", "--pay", "+5h"],
        ["--hold", "extension:+5h..+1h"],
        ["--exempt", "+5h..+5h"],
        ["--fail", "9999-12-31T23:00Z"],
        ["--fail", "1969-12-31T23:59Z"],
        ["--fail", "+0h", "--start", "3000-01-01T00:00Z"],
        ["/nowhere", "--fail", "+0h"],
    ],
)
def test_what_is_not_understood_is_said_without_a_traceback(arguments: list[str]) -> None:
    outcome = told(*arguments)
    assert outcome.exit_code == 2
    assert "Error: " in outcome.output
    assert "Traceback" not in outcome.output


def test_faults_of_a_timeline_are_told_where_the_file_is(tmp_path: Path) -> None:
    file = tmp_path / "timeline.yaml"
    file.write_text("timeline:\n  - {at: soon}\n")
    assert told("--timeline", str(file)).output.startswith(f"{file}:2:10: M401 ")


def test_unknown_fact_is_met_with_the_likely_name() -> None:
    with pytest.raises(NotUnderstood, match="did you mean `overdue_invoices`"):
        timeline_of(shipped_policy(), Said(set=("overdue_invoice=1@+1h",)))


def test_story_ends_where_nothing_more_follows() -> None:
    story = simulate(shipped_policy(), Timeline(items=timeline_of(shipped_policy(), Said(fail=("+0h",))).items))
    assert story.ends_at == at(16 * 24)
    assert story.rows[-1].due_at is None


# ---- populations -----------------------------------------------------------------------------------------------------


def test_seed_decides_and_processes_do_not() -> None:
    policy = shipped_policy()
    one = as_json(play_many(policy, 5000, 7, 1, progress=False), 7)
    assert one == as_json(play_many(policy, 5000, 7, 2, progress=False), 7)
    assert one != as_json(play_many(policy, 5000, 8, 1, progress=False), 7)


def test_population_keeps_its_promises_and_adds_up() -> None:
    totals = play_many(shipped_policy(), 4000, 3, 1, progress=False)
    assert totals.accounts == 4000 == sum(totals.notices.values())
    assert totals.debts == sum(totals.paid_in.values()) + sum(totals.ends_in.values())
    assert totals.stopped > 0
    assert min(totals.late_days) >= 5
    assert totals.shortest_notice_hours is not None
    assert totals.shortest_notice_hours >= 48
    assert sum(n * count for n, count in totals.notices.items()) == sum(totals.kinds.values())


def test_dice_are_fair_and_differ_between_accounts() -> None:
    shares = [Dice(1, account).share() for account in range(4000)]
    assert len(set(shares)) == 4000
    assert 0.48 < sum(shares) / 4000 < 0.52
    assert all(0 <= share < 1 for share in shares)


def test_population_command_tells_distributions() -> None:
    output = told("--population", "3000", "--seed", "5", "--processes", "1").output
    for expected in ("3,000 account-years", "days late when servers were stopped", "where a debt is paid", "assumed:"):
        assert expected in output
