"""Explanations: why an account is where it is, and that what would change it really would."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from engine.decide import settle
from engine.explain import Explanation, explain
from engine.explain_tell import Saying, as_json
from engine.snapshot import Hold, Snapshot
from engine.snapshot_text import SnapshotUnreadable, read_snapshot, write_snapshot
from engine.timeline.play import Item, Timeline, play
from storage.commands.explain import explain as command
from tests.factories import START, at, hours, shipped_policy


def late(count: float, *items: Item) -> Snapshot:
    """Return an account so many hours after its payment failed."""
    first = Item(hours(0), set={"overdue_invoices": 1, "past_due_since": START})
    every = sorted([first, *items, Item(hours(count))], key=lambda item: item.at)
    return play(shipped_policy(), Timeline(START, "Europe/Zurich", tuple(every)))[-1].snapshot


def explained(count: float, *items: Item, action: str = "host.start") -> Explanation:
    """Return the explanation of such an account."""
    return explain(shipped_policy(), late(count, *items), at(count), (action,))


def test_denial_is_explained_by_the_column_that_imposed_it() -> None:
    (answer,) = explained(121).answers
    assert not answer.verdict.allow
    (cell,) = answer.cells
    assert (cell.allow, cell.code) == (False, "BILLING_SUSPENDED")
    assert cell.place.startswith("gates.yaml:")


def test_what_would_change_it_is_the_smallest_change_and_true() -> None:
    (answer,) = explained(121).answers
    assert answer.flips == ("if overdue_invoices = 0: allowed", "if exempt = true: allowed")


@pytest.mark.parametrize("action", ["instance.create", "host.start", "backups.create"])
def test_reason_of_a_limit_is_compared_value_by_value(action: str) -> None:
    policy = shipped_policy()
    limited = play(policy, Timeline(items=(Item(hours(0), set={"at_plan_limit": True}),)))[-1].snapshot
    (answer,) = explain(policy, limited, at(0), (action,)).answers
    assert answer.verdict.allow is (action != "instance.create")
    if action == "instance.create":
        compared = [c for cell in answer.cells for c in cell.compared if c.fact == "at_plan_limit"]
        assert [(c.value, c.needed, c.ok) for c in compared] == [(True, "= true", True)]
        assert "if at_plan_limit = false: allowed" in answer.flips


def test_account_that_was_not_decided_since_a_machine_was_added_rests_in_it() -> None:
    snapshot = late(100)
    without = replace(snapshot, states={name: state for name, state in snapshot.states.items() if name != "abuse"})
    assert explain(shipped_policy(), without, at(100)) == explain(shipped_policy(), snapshot, at(100))


def test_each_rule_says_what_it_waits_for() -> None:
    rules = {c.rule: c for s in explained(100).standings for c in s.candidates}
    assert rules["billing.suspend"].verdict == "later"
    assert rules["billing.suspend"].at == at(120)
    assert {w.what: w.ok for w in rules["billing.suspend"].waited} == {
        "past_due_since + suspend_after": False,
        "final_warning_sent_at + notice_before_suspension": False,
        "the date that was told": False,
    }
    assert rules["billing.paid"].verdict == "not so"
    assert rules["abuse.restrict"].verdict == "on event"


def test_rule_that_is_due_names_the_permit_that_withholds_it() -> None:
    brake = Item(hours(100), permits={"suspension_brake": False})
    found = explained(130, brake)
    rules = {c.rule: c for s in found.standings for c in s.candidates}
    assert rules["billing.suspend"].verdict == "withheld"
    assert rules["billing.suspend"].withheld == (("suspension_brake", None),)
    assert "if suspension_brake permitted it: billing suspended" in found.changes


def test_what_follows_is_what_settling_says() -> None:
    found = explained(100)
    assert [(n.at, n.rules) for n in found.ahead[:2]] == [
        (at(120), ("billing.suspend",)),
        (at(192), ("billing.retain",)),
    ]
    assert found.due_at == at(120) == settle(shipped_policy(), late(100), at(100)).due_at


def test_explaining_changes_nothing() -> None:
    snapshot = late(100)
    before = write_snapshot(snapshot, at(100))
    explain(shipped_policy(), snapshot, at(100))
    assert write_snapshot(snapshot, at(100)) == before


@pytest.mark.parametrize("count", [0, 73, 121, 200, 400])
def test_snapshot_that_is_written_is_read_again(count: float) -> None:
    hold = Item(hours(count / 2), holds={"extension": Hold("extension", None)})
    snapshot = late(count, hold)
    assert read_snapshot(shipped_policy(), write_snapshot(snapshot, at(count))) == (snapshot, at(count))


@pytest.mark.parametrize(
    "text",
    [
        "{", "[]", '{"states": {"billing": "gone"}}', '{"states": {"nothing": "gone"}}', '{"facts": {"gone": 1}}',
        '{"facts": {"past_due_since": "soon"}}', '{"facts": {"past_due_since": "2026-03-01T08:00"}}',
        '{"notices": {"send_final_warning": {}}}', '{"holds": [1]}', "null", '{"zone": "Mars/Olympus"}',
        '{"facts": {"overdue_invoices": "one"}}', '{"facts": {"overdue_invoices": -1}}', '{"facts": {"exempt": 1}}',
        '{"facts": {"subscription": "gone"}}', '{"facts": {"past_due_since": 5}}', '{"episodes": {"billing": "x"}}',
        '{"facts": {"past_due_since": "9999-12-31T23:00:00Z"}}', '{"episodes": {"gone": 1}}',
        '{"permits": {"a": "yes"}}',
        '{"states": "active"}', '{"senders": 5}', '{"at": 5}', '{"servers": [{"id": "s"}]}', '{"holds": [{"kind": 1}]}',
        '{"servers": [{"id": "s", "lifecycle": "gone", "observed": "stopped"}]}', '{"notices": {"gone": {}}}',
        pytest.param("[" * 100_000, id="deep"),
    ],
)  # fmt: skip
def test_what_is_no_snapshot_is_refused(text: str) -> None:
    with pytest.raises(SnapshotUnreadable) as refused:
        read_snapshot(shipped_policy(), text)
    assert not {"object", "attribute", "str", "mapping"} & set(re.findall(r"\w+", str(refused.value)))


def test_text_names_values_needs_and_lines() -> None:
    text = Saying(color=False).write(explained(121))
    for expected in (
        "billing is suspended, episode 1",
        "✓ overdue_invoices is 1, needs > 0  standing.yaml:",
        "pressure billing.retain → retained  not yet: 2026-03-09T08:00Z (in 2d23h)",
        "host.start by customer: denied, BILLING_SUSPENDED",
        "→ if overdue_invoices = 0: allowed",
    ):
        assert expected in text


def test_command_reads_a_snapshot_and_writes_json(tmp_path: Path) -> None:
    file = tmp_path / "account.json"
    file.write_text(write_snapshot(late(121), at(121)))
    told = json.loads(CliRunner().invoke(command, ["--snapshot", str(file), "--format", "json"]).output)
    assert told["servers"]["state"] == "suspended_shutdown"
    assert told == json.loads(as_json(explain(shipped_policy(), late(121), at(121))))


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--snapshot", "/nowhere.json"],
        ["--snapshot", "/dev/null"],
        ["--account", "seven"],
        ["--snapshot", "a.json", "--account", "b"],
    ],
)
def test_command_says_what_it_needs(arguments: list[str]) -> None:
    outcome = CliRunner().invoke(command, arguments)
    assert outcome.exit_code == 2
    assert "Error: " in outcome.output


def test_action_that_the_policy_does_not_have_is_met_with_the_likely_name(tmp_path: Path) -> None:
    file = tmp_path / "account.json"
    file.write_text(write_snapshot(late(121), at(121)))
    outcome = CliRunner().invoke(command, ["--snapshot", str(file), "--action", "host.strat"])
    assert outcome.exit_code == 2
    assert "no action `host.strat`; did you mean `host.start`?" in outcome.output
