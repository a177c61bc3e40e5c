"""Scenarios: read with every fault at its place, played, and compared with what was expected."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from engine.commands import SHIPPED
from engine.commands.test import test as command
from engine.faults import PolicyFaults, PolicyUnreadable
from engine.scenario.read import MOST_SCENARIOS, Scenario, read_scenario, read_scenarios
from engine.scenario.run import Result, run_scenario
from engine.timeline.text import parse_offset, write_offset, write_timeline
from tests.engine.stories import STORIES, shipped_stories
from tests.factories import shipped_policy

LATE = "{overdue_invoices: 1, past_due_since: now}"


def scenario(*items: str, head: str = "") -> Scenario:
    """Return a scenario of these items."""
    lines = [head, "timeline:", *(f"  - {{{item}}}" for item in items)]
    return read_scenario(shipped_policy(), "scenarios/one.yaml", "\n".join(line for line in lines if line) + "\n")


def ran(*items: str, head: str = "") -> Result:
    """Return what becomes of a scenario of these items."""
    return run_scenario(shipped_policy(), scenario(*items, head=head))


def found(*items: str) -> list[tuple[str, str, str]]:
    """Return what did not come true."""
    return [(m.key, m.expected, m.found) for item in ran(*items).items for m in item.mismatches]


@pytest.mark.parametrize("name", STORIES)
def test_shipped_scenario_comes_true(name: str) -> None:
    result = run_scenario(shipped_policy(), shipped_stories()[name])
    assert [(m.place, m.key, m.expected, m.found) for item in result.items for m in item.mismatches] == []
    assert result.error is None


@pytest.mark.parametrize("name", STORIES)
def test_timeline_that_is_written_is_read_again(name: str) -> None:
    each = shipped_stories()[name]
    again = read_scenario(shipped_policy(), each.file, write_timeline(each.timeline, 'a "title" \\ with marks'))
    items = tuple(replace(item, place=None) for item in each.timeline.items)
    assert replace(again.timeline, items=tuple(replace(item, place=None) for item in again.timeline.items)) == replace(
        each.timeline, items=items
    )


# intents that are wanted of somebody who has just been warned, and not wanted everywhere
STATES = {(m.name, m.initial) for m in shipped_policy().account_machines if m.name != "billing"}
WANTED = {
    name
    for name, intent in shipped_policy().intents.items()
    if "allowed" in intent.wanted_for or (STATES | {("billing", "overdue_warning")}) & set(intent.wanted_in)
}


@pytest.mark.parametrize(
    ("item", "mismatch"),
    [
        ("expect: {state: final_warning}", ("state", "billing.final_warning", "billing.overdue_warning")),
        ("expect: {because: suspend}", ("because", "billing.suspend", "billing.late, billing.warn")),
        ("expect: {nothing: happens}", ("nothing", "no rule fires", "billing.late, billing.warn")),
        ("expect: {servers: retained}", ("servers", "retained", "allowed")),
        ("expect: {notices: []}", ("notices", "none", "send_billing_warning")),
        (
            "expect: {promised: {suspend: 120h}}",
            ("promised", "billing.suspend 5d (2026-03-06T08:00Z)", "billing.suspend none"),
        ),
        (
            "expect: {allow: [instance.create]}",
            ("allow", "instance.create allowed", "instance.create denied, BILLING_PAST_GRACE"),
        ),
        (
            "expect: {deny: {host.start: BILLING_SUSPENDED}}",
            ("deny", "host.start denied, BILLING_SUSPENDED", "host.start allowed"),
        ),
        ("expect: {intents: [block_backups]}", ("intents", "block_backups", "send_billing_warning")),
        (
            "expect: {never: [send_billing_warning]}",
            ("never", "no send_billing_warning", "send_billing_warning was asked for"),
        ),
        ("expect: {facts: {exempt: true}}", ("facts", "exempt true", "exempt false")),
        ("expect: {due: none}", ("due", "none", "3d (2026-03-04T08:00Z)")),
        ("expect: {waiting: [safe_point]}", ("waiting", "safe_point", "none")),
        ("expect: {lifecycle: stopped}", ("lifecycle", "s1 stopped", "s1 running")),
        ("expect: {repair: start_stopped}", ("repair", "s1 start_stopped", "s1 none")),
        ("expect: {wanted: []}", ("wanted", "none", ", ".join(sorted(WANTED)))),
        ("expect: {levels: {1: live}}", ("levels", "1 live", "1 dry_run")),
        (
            "expect: {takes: {deleting: {deletion_observed: admin}}}",
            (
                "takes",
                "deleting: deletion_observed from admin",
                "deleting: delete_withdrawn from customer, deletion_observed from worker",
            ),
        ),
        (
            "expect: {repairs: [{desired: running, observed: stopped, lifecycle: running, lines: []}]}",
            (
                "repairs",
                "desired running, observed stopped, servers allowed, lifecycle running: none",
                "desired running, observed stopped, servers allowed, lifecycle running: start_stopped",
            ),
        ),
        ("expect: {refused: because}", ("refused", "because", "the command is taken")),
    ],
)
def test_each_expectation_can_fail(item: str, mismatch: tuple[str, str, str]) -> None:
    assert found(f"at: 0h, set: {LATE}, {item}") == [mismatch]


def test_event_of_a_server_is_refused_from_whom_may_not_send_it() -> None:
    item = "at: 0h, server: stop_requested, by: customer, expect: {lifecycle: stopped}"
    assert found(item) == []
    item = "at: 0h, server: backup_started, by: customer, expect: {lifecycle: running, refused: does not take}"
    assert found(item) == []
    assert found(item.replace("customer", "worker")) != []


def test_state_must_be_reached_by_the_rule_that_is_named() -> None:
    result = found(f"at: 0h, set: {LATE}, expect: {{state: overdue_warning, because: late}}")
    assert result == [("because", "billing.overdue_warning by billing.late", "by billing.warn")]


def test_refused_command_is_a_mismatch_unless_it_is_expected() -> None:
    assert found("at: 0h, event: deletion_requested")[0][:2] == ("event", "the command is taken")
    assert found("at: 0h, event: deletion_requested, expect: {refused: billing is active}") == []


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        ("timeline:\n  - {at: soon}\n", "M401", 2),
        ("start: 2026-03-01\ntimeline:\n  - {at: 0h}\n", "M401", 1),
        ("zone: Europe/Zurch\ntimeline:\n  - {at: 0h}\n", "M401", 1),
        ("timeline:\n  - {at: 2h}\n  - {at: 1h}\n", "M403", 3),
        ("timeline:\n  - {at: 0h, set: {overdue: 1}}\n", "M301", 2),
        ("timeline:\n  - {at: 0h, set: {suspended_at: now}}\n", "M402", 2),
        ("timeline:\n  - {at: 0h, set: {overdue_invoices: -1}}\n", "M332", 2),
        ("timeline:\n  - {at: 0h, set: {subscription: gone}}\n", "M332", 2),
        ("timeline:\n  - {at: 0h, event: explode}\n", "M312", 2),
        ("timeline:\n  - {at: 0h, server: explode}\n", "M312", 2),
        ("timeline:\n  - {at: 0h, server: {s9: start_requested}}\n", "M404", 2),
        ("timeline:\n  - {at: 0h, permit: {no_such: yes}}\n", "M306", 2),
        ("timeline:\n  - {at: 0h, permit: {no_hold: maybe}}\n", "S204", 2),
        ("timeline:\n  - {at: 0h, hold: {holiday: open}}\n", "M306", 2),
        ("timeline:\n  - {at: 0h, notice: {send_nothing: again}}\n", "M305", 2),
        ("timeline:\n  - {at: 0h, expect: {state: gone}}\n", "M304", 2),
        ("timeline:\n  - {at: 0h, expect: {state: gone.gone}}\n", "M307", 2),
        ("timeline:\n  - {at: 0h, expect: {because: gone}}\n", "M308", 2),
        ("timeline:\n  - {at: 0h, expect: {notices: [block_backups]}}\n", "M305", 2),
        ("timeline:\n  - {at: 0h, expect: {deny: {host.fly: BILLING_SUSPENDED}}}\n", "M311", 2),
        ("timeline:\n  - {at: 0h, expect: {deny: {host.start: BILLING_SUSPENED}}}\n", "M363", 2),
        ("timeline:\n  - {at: 0h, expect: {waiting: [patience]}}\n", "M306", 2),
        ("settings: {suspend_afterr: 3h}\ntimeline:\n  - {at: 0h}\n", "M303", 1),
        ("timeline:\n  - {at: 0h, expct: {}}\n", "S202", 2),
        ("scenario: nothing\n", "S201", 1),
        ("timeline:\n  - {at: 0h\n", "P101", 3),
    ],
)
def test_fault_is_told_with_its_code_and_place(text: str, code: str, line: int) -> None:
    with pytest.raises(PolicyFaults) as raised:
        read_scenario(shipped_policy(), "scenarios/one.yaml", text)
    assert [(fault.code, fault.place.file) for fault in raised.value.faults] == [(code, "scenarios/one.yaml")]
    assert raised.value.faults[0].place.line in {line, line - 1}


@pytest.mark.parametrize(("text", "hours"), [("0h", 0), ("72h", 72), ("3d12h", 84), ("1d2h30m", 26.5), ("90m", 1.5)])
def test_offsets_add_up(text: str, hours: float) -> None:
    offset = parse_offset(text)
    assert offset == timedelta(hours=hours)
    assert parse_offset(write_offset(offset)) == offset


@pytest.mark.parametrize("text", ["", "h", "3", "-3h", "3 h", "3x", "999999d", "3h "])
def test_what_is_no_offset_is_refused(text: str) -> None:
    assert parse_offset(text) is None


def test_settings_of_a_story_change_its_numbers_and_no_other() -> None:
    late = f"at: 0h, set: {LATE}"
    other = ran(late, "at: 200h, expect: {state: final_warning}", head="settings: {suspend_after: 240h}")
    assert other.ok
    assert ran(late, "at: 200h, expect: {state: retained}").ok


# ---- the command -----------------------------------------------------------------------------------------------------


def test_command_tells_what_failed_where(tmp_path: Path) -> None:
    folder = tmp_path / "policy"
    shutil.copytree(SHIPPED, folder)
    billing = folder / "billing.yaml"
    billing.write_text(
        billing.read_text().replace("suspend_after:            {default: 120h", "suspend_after: {default: 130h")
    )
    outcome = CliRunner().invoke(command, [str(folder), "--only", "late_to_retained"])
    assert outcome.exit_code == 1
    assert "state: expected billing.suspended" in outcome.output
    assert f"{folder}/scenarios/late_to_retained.yaml:" in outcome.output
    told = json.loads(CliRunner().invoke(command, [str(folder), "--format", "json"]).output)
    assert told["ok"] is False
    first = next(each["mismatches"][0] for each in told["scenarios"] if each["mismatches"])
    assert {"file", "line", "column", "expected", "found", "why", "at", "key"} == first.keys()
    annotations = CliRunner().invoke(command, [str(folder), "--format", "github"]).output
    assert annotations.startswith("::error file=")


def test_command_passes_on_the_shipped_policy_with_all_of_it_covered() -> None:
    outcome = CliRunner().invoke(command, ["--coverage"])
    assert outcome.exit_code == 0, outcome.output
    assert "not reached" not in outcome.output


def test_command_says_when_there_is_nothing_to_test(tmp_path: Path) -> None:
    for arguments in ([str(tmp_path / "nowhere")], ["--only", "no such scenario"]):
        outcome = CliRunner().invoke(command, arguments)
        assert outcome.exit_code == 2
        assert "Traceback" not in outcome.output


def test_faults_of_all_scenarios_are_told_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "policy"
    shutil.copytree(SHIPPED, folder)
    (folder / "scenarios" / "a.yaml").write_text("timeline:\n  - {at: soon}\n")
    (folder / "scenarios" / "b.yaml").write_text("timeline:\n  - {at: 0h, event: explode}\n")
    outcome = CliRunner().invoke(command, [str(folder)])
    assert outcome.exit_code == 2
    assert "scenarios/a.yaml:2" in outcome.output
    assert "scenarios/b.yaml:2" in outcome.output


# ---- files -----------------------------------------------------------------------------------------------------------


def test_no_file_that_is_meant_to_be_a_scenario_is_passed_over(tmp_path: Path) -> None:
    home = tmp_path / "scenarios"
    home.mkdir()
    (home / "misnamed.yml").write_text("timeline:\n  - {at: 0h}\n")
    os.mkfifo(home / "pipe.yaml")
    (home / "lost.yaml").symlink_to("nowhere")
    with pytest.raises(PolicyFaults) as found:
        read_scenarios(shipped_policy(), tmp_path)
    assert [(fault.code, fault.place.file) for fault in found.value.faults] == [
        ("P116", "scenarios/lost.yaml"), ("S212", "scenarios/misnamed.yml"), ("P116", "scenarios/pipe.yaml"),
    ]  # fmt: skip


def test_too_many_scenarios_are_refused_and_not_cut_short(tmp_path: Path) -> None:
    (tmp_path / "scenarios").mkdir()
    for number in range(MOST_SCENARIOS + 1):
        (tmp_path / "scenarios" / f"{number}.yaml").touch()
    with pytest.raises(PolicyUnreadable, match="501 scenarios"):
        read_scenarios(shipped_policy(), tmp_path)
