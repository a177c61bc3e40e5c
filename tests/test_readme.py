"""The README says what is so: its policy, its decisions, its commands, its variables, its folders."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from engine.decide import blank, settle
from engine.load import load_policy
from engine.model import Policy
from engine.snapshot import NoticeState, NoticeStatus, Snapshot

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
NOW = datetime(2030, 6, 1, tzinfo=UTC)
DECISIONS = re.findall(r"^\| (\d+) h ago \| (\d+) h ago \| (yes|no) \| `(\w+)`", README, re.MULTILINE) + [
    (charged, None, owed, state)
    for charged, owed, state in re.findall(r"^\| (\d+) h ago \| never \| (yes|no) \| `(\w+)`", README, re.MULTILINE)
]


@pytest.fixture(scope="module")
def policy() -> Policy:
    return load_policy(ROOT / "policy")


def test_the_policy_it_shows_is_the_policy_that_ships() -> None:
    (shown,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    assert shown in (ROOT / "policy" / "billing.yaml").read_text(encoding="utf-8")
    assert len(shown.splitlines()) <= 10


def test_it_shows_five_decisions() -> None:
    assert len(DECISIONS) == 5


@pytest.mark.parametrize(("charged_hours", "warned_hours", "owed", "state"), DECISIONS)
def test_each_decision_is_what_the_policy_decides(
    policy: Policy, charged_hours: str, warned_hours: str | None, owed: str, state: str
) -> None:
    states, episodes = blank(policy)
    warned_at = NOW - timedelta(hours=int(warned_hours)) if warned_hours is not None else None
    late = owed == "yes"
    status = NoticeStatus.DELIVERED if warned_at else NoticeStatus.FAILED
    notice = NoticeState(episode=1, round=1, status=status, machine="billing")
    snapshot = Snapshot(
        "account",
        {**states, "billing": "final_warning"},
        {**episodes, "billing": 1},
        {
            "overdue_invoices": 1 if late else 0,
            "past_due_since": NOW - timedelta(hours=int(charged_hours)) if late else None,
            "subscription": "active",
            "exempt": False,
            "has_active_plan": True,
            "at_plan_limit": False,
            "warning_sent_at": NOW - timedelta(hours=int(charged_hours)),
            "backup_blocked_at": NOW - timedelta(hours=1),
            "final_warning_sent_at": warned_at,
        },
        notices={"send_final_warning": notice},
        permits=dict.fromkeys(policy.permits, True),
    )
    assert settle(policy, snapshot, NOW).snapshot.states["billing"] == state


def test_its_numbers_are_the_defaults(policy: Policy) -> None:
    settings = policy.machines["billing"].settings
    for name, hours in re.findall(r"`(\w+): (\d+)h`", README):
        assert settings[name].value == timedelta(hours=int(hours))


def test_its_overrides_are_all_that_the_policy_has(policy: Policy) -> None:
    known = {
        setting.env for machine in policy.machines.values() for setting in machine.settings.values() if setting.env
    }
    assert set(re.findall(r"BILLING_\w+", README)) == known


def test_its_variables_are_read_somewhere() -> None:
    code = "".join(path.read_text() for folder in ("storage", "jobs", "web") for path in (ROOT / folder).rglob("*.py"))
    for name in re.findall(r"`((?:FORBEAR|STRIPE)_\w+)`", README):
        assert f'"{name}"' in code, name


def test_its_make_targets_and_commands_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", README, re.MULTILINE):
        assert f"\n{target}: " in makefile, target
    import forbear

    commands = {command.name for command in forbear.COMMANDS}
    for command in re.findall(r"`?forbear (\w+)", README):
        assert command in commands, command


def test_every_folder_and_every_link_is_there() -> None:
    layout = re.findall(r"^\| `([a-z]\w+(?:/|\.py))` \|", README, re.MULTILINE)
    assert set(layout) >= {"policy/", "engine/", "storage/", "jobs/", "web/", "examples/", "tests/", "forbear.py"}
    for place in layout + re.findall(r"\]\(([\w./-]+)\)", README):
        assert (ROOT / place).exists(), place


def test_the_picture_shows_the_ladder_and_loads_nothing(policy: Policy) -> None:
    picture = (ROOT / "policy" / "ladder.svg").read_text(encoding="utf-8")
    names = {element.text for element in ET.fromstring(picture).iter() if element.get("class") == "name"}
    assert names == set(policy.machines["billing"].ladder)
    assert not re.search(r"(href|src|url\()", picture.replace("url(#h)", "").replace("url(#p)", ""))
    assert "<script" not in picture
