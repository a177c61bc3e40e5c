"""The policy that ships: its numbers, its digest, its words, and that everything which it names exists."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from engine.compiled import compiled
from engine.consent import consented
from engine.effects import IMPLEMENTED
from engine.faults import Faults, PolicyFaults
from engine.load import bundle, load_policy, load_texts
from engine.matrix import ALLOWED
from engine.model import SERVER_BILLING_STATES, STOPPED_BILLING_STATES, IntentKind, Policy
from engine.notices import fields_for, fields_of
from engine.shape import SCHEMAS, schema_of
from engine.snapshot import ServerState
from engine.source import parse

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "policy"
TEXTS = bundle(SHIPPED)
POLICIES = [SHIPPED, *sorted(each for each in (ROOT / "examples" / "policies").iterdir() if each.is_dir())]
FREE_OTHERWISE = (
    ("deletion", "none"), ("dispute", "none"), ("abuse", "clear"), ("ended", "none"), ("admin", "clear"),
    ("confirmation", "none"), ("trial", "none"), ("tenant", "in_use"),
)  # fmt: skip


@pytest.fixture(scope="module")
def policy() -> Policy:
    return load_policy(SHIPPED)


def hours(count: int) -> timedelta:
    return timedelta(hours=count)


# ---- numbers ---------------------------------------------------------------------------------------------------------


def test_the_default_times_are_those_that_customers_were_promised(policy: Policy) -> None:
    settings = {name: setting.value for name, setting in policy.machines["billing"].settings.items()}
    assert settings["warning_after"] == hours(0)
    assert settings["final_warning_after"] == hours(72)
    assert settings["backup_block_after"] == hours(72)
    assert settings["suspend_after"] == hours(120)
    assert settings["notice_before_suspension"] == hours(48)
    assert settings["retain_after"] == hours(72)
    assert settings["retention"] == timedelta(days=14)
    assert policy.facts["retention_until"].plus == timedelta(days=14)


OVERRIDES = [
    ("BILLING_WARNING_GRACE_HOURS", "24", "warning_after", hours(24)),
    ("BILLING_FINAL_WARNING_AFTER_HOURS", "96", "final_warning_after", hours(96)),
    ("BILLING_BACKUP_BLOCK_AFTER_HOURS", "0", "backup_block_after", hours(0)),
    ("BILLING_SUSPEND_AFTER_HOURS", "240", "suspend_after", hours(240)),
    ("BILLING_RETENTION_DAYS", "30", "retention", timedelta(days=30)),
]


@pytest.mark.parametrize(("variable", "value", "setting", "expected"), OVERRIDES)
def test_an_override_is_resolved_into_the_policy(
    policy: Policy, variable: str, value: str, setting: str, expected: timedelta
) -> None:
    changed = load_texts(TEXTS, {variable: value, "HOME": "/root"})
    found = changed.machines["billing"].settings[setting]
    assert (found.value, found.env) == (expected, variable)
    assert found.default == policy.machines["billing"].settings[setting].value
    assert changed.digest != policy.digest


def test_an_override_reaches_every_rule_that_uses_the_setting() -> None:
    changed = load_texts(TEXTS, {"BILLING_RETENTION_DAYS": "30", "BILLING_SUSPEND_AFTER_HOURS": "240"})
    assert changed.facts["retention_until"].plus == timedelta(days=30)
    timers = {timer.anchor: timer.duration for timer in changed.rule("billing.suspend").after}
    assert timers == {"past_due_since": hours(240), "final_warning_sent_at": hours(48)}


@pytest.mark.parametrize("variable", [variable for variable, *_ in OVERRIDES])
def test_an_empty_override_and_the_default_itself_change_nothing(policy: Policy, variable: str) -> None:
    setting = next(each for each in policy.machines["billing"].settings.values() if each.env == variable)
    unit = hours(1) if setting.env_unit == "hours" else timedelta(days=1)
    for value in ("", "  ", str(setting.default // unit), f" {setting.default // unit} "):
        assert load_texts(TEXTS, {variable: value}).digest == policy.digest


NO_NUMBERS = [
    ("BILLING_RETENTION_DAYS", value) for value in ("1.5", "-3", "1e3", "72h", "0x10", "٣", "12345678", "1 2")
]


@pytest.mark.parametrize(("variable", "value"), [*((variable, "x") for variable, *_ in OVERRIDES), *NO_NUMBERS])
def test_an_override_that_is_no_whole_number_is_a_fault_that_names_it(variable: str, value: str) -> None:
    with pytest.raises(PolicyFaults) as found:
        load_texts(TEXTS, {variable: value})
    (fault,) = found.value.faults
    assert fault.code == "M381"
    assert f"`{variable}`" in fault.message


@pytest.mark.parametrize(
    ("env", "fine"),
    [
        ({"BILLING_SUSPEND_AFTER_HOURS": "23"}, False),
        ({"BILLING_SUSPEND_AFTER_HOURS": "24"}, True),
        ({"BILLING_RETENTION_DAYS": "6"}, False),
        ({"BILLING_RETENTION_DAYS": "7"}, True),
        ({"BILLING_WARNING_GRACE_HOURS": "72"}, True),
        ({"BILLING_WARNING_GRACE_HOURS": "73"}, False),
        ({"BILLING_WARNING_GRACE_HOURS": "73", "BILLING_FINAL_WARNING_AFTER_HOURS": "73"}, True),
        ({"BILLING_RETENTION_DAYS": "3660"}, True),
        ({"BILLING_RETENTION_DAYS": "3661"}, False),
        ({"BILLING_ADDRESS": "somewhere"}, True),
    ],
)
def test_overrides_have_bounds(env: dict[str, str], fine: bool) -> None:
    if fine:
        load_texts(TEXTS, env)
        return
    with pytest.raises(PolicyFaults) as found:
        load_texts(TEXTS, env)
    assert {fault.code for fault in found.value.faults} == {"M382"}
    assert next(iter(env)) in str(found.value.faults[0].message)


# ---- digest ----------------------------------------------------------------------------------------------------------


def test_layout_and_comments_do_not_change_the_digest(policy: Policy) -> None:
    for reformatted in (
        {file: re.sub(r"(?m)\s+# .*$", "", text) for file, text in TEXTS.items()},
        {file: f"# first\n\n{text}\n\n# last\n" for file, text in TEXTS.items()},
        {file: yaml.safe_dump(_plain(file, text), width=60, sort_keys=False) for file, text in TEXTS.items()},
        {file: json.dumps(_plain(file, text), indent=1) for file, text in TEXTS.items()},
    ):
        assert load_texts(reformatted).digest == policy.digest


def test_the_order_of_keys_does_not_change_the_digest(policy: Policy) -> None:
    turned = {file: json.dumps(_turned(_plain(file, text))) for file, text in TEXTS.items()}
    assert load_texts(turned).digest == policy.digest


MEANINGS = [
    ("billing.yaml", "{default: 120h,", "{default: 121h,"),
    ("billing.yaml", "event: deletion_withdrawn", "event: deletion_taken_back"),
    ("billing.yaml", "    needs: suspending\n", ""),
    ("gates.yaml", "host.restart:        [yes,     yes, ", "host.restart:        [yes,     no,  "),
    ("notices.yaml", "Thank you, your payment", "Thanks, your payment"),
    ("permits.yaml", "share: 2%", "share: 3%"),
    ("repairs.yaml", "agreeing_observations: 3", "agreeing_observations: 4"),
    ("alerts.yaml", "policy_deployed:          audit-log", "policy_deployed:          alerts-billing"),
    ("maintenance.yaml", "holidays: []", "holidays: [2030-12-25]"),
    ("standing.yaml", "servers: 10}", "servers: 11}"),
    ("intents.yaml", "at_most: 1h", "at_most: 2h"),
]


@pytest.mark.parametrize(("file", "old", "new"), MEANINGS)
def test_another_meaning_is_another_digest(policy: Policy, file: str, old: str, new: str) -> None:
    text = TEXTS[file]
    assert old in text
    changed = text.replace(old, new, 1)
    texts = TEXTS | {file: changed}
    if "deletion_wished" in new and "guarantees.yaml" in texts:
        texts["guarantees.yaml"] = texts["guarantees.yaml"].replace("deletion_requested", "deletion_wished")
    assert load_texts(texts).digest != policy.digest


def _plain(file: str, text: str) -> Any:
    root = parse(file, text, Faults())
    assert root is not None
    return root.plain()


def _turned(value: Any) -> Any:
    """Turn the order of all keys around, but where order has a meaning: nowhere in maps, only in lists."""
    if isinstance(value, dict):
        return {key: _turned(value[key]) for key in reversed(value)}
    return [_turned(item) for item in value] if isinstance(value, list) else value


# ---- what it says ----------------------------------------------------------------------------------------------------


def test_every_rung_stops_what_it_should(policy: Policy) -> None:
    gates = compiled(policy).gates
    always = {"host.stop", "server.undelete", "files.list", "files.read", "files.download", "backups.list"}
    backups = {"backups.create", "backups.restore", "backups.delete", "backups.prune", "backups.download"}
    for action in policy.gates.server:
        for state in SERVER_BILLING_STATES:
            verdict = gates.server(action, ServerState(state, "billing", "CODE"))
            stopped = state in STOPPED_BILLING_STATES
            expected = action in always or state == "allowed" or (not stopped and action not in backups)
            assert verdict.allow is expected, (action, state)
            if action in {"backups.create", "backups.restore"}:
                assert gates.server(action, ServerState(state, "billing", "CODE"), "admin") is ALLOWED


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ("active", None),
        ("past_due", None),
        ("overdue_warning", "BILLING_PAST_GRACE"),
        ("final_warning", "BILLING_PAST_GRACE"),
        ("suspended", "BILLING_SUSPENDED"),
        ("retained", "BILLING_RETAINED"),
        ("pending_deletion", "BILLING_PENDING_DELETION"),
    ],
)
def test_new_servers_are_denied_from_the_overdue_warning_on(policy: Policy, state: str, code: str | None) -> None:
    states = (("billing", state), *FREE_OTHERWISE)
    facts = {"has_active_plan": True, "at_plan_limit": False}
    verdict = compiled(policy).gates.account("instance.create", states, "customer", facts)
    assert (verdict.allow, verdict.code) == (code is None, code)


def test_billing_says_first_why_a_server_cannot_be_made(policy: Policy) -> None:
    gates = compiled(policy).gates
    free = (("billing", "active"), *FREE_OTHERWISE)
    over = tuple((name, "stopped" if name == "ended" else state) for name, state in free)
    none = {"has_active_plan": False, "at_plan_limit": True}
    assert gates.account("instance.create", free, "customer", none).code == "BILLING_NO_ACTIVE_PLAN"
    full = {"has_active_plan": True, "at_plan_limit": True}
    assert gates.account("instance.create", free, "customer", full).code == "PLAN_LIMIT_REACHED"
    assert gates.account("instance.create", over, "customer", full).code == "BILLING_NO_ACTIVE_PLAN"


def test_what_destroys_is_asked_for_by_one_rule_alone_behind_two_admins(policy: Policy) -> None:
    asked = {
        (ask.intent, rule.name) for machine in policy.machines.values() for rule in machine.rules for ask in rule.do
    }
    destructive = {name for name, intent in policy.intents.items() if intent.destructive}
    assert {
        "delete_suspended_server",
        "wipe_server_data",
        "prune_backups",
        "restore_backup",
        "delete_backup",
        "clean_up_server",
        "delete_server",
        "destroy_servers",
        "reinstall_server",
    } == destructive
    assert {each for each in asked if each[0] in destructive} == {("destroy_servers", "deletion.destroy")}
    assert consented(policy.machines["deletion"]) == {"approved", "destroying", "destroyed"}


@pytest.mark.parametrize("folder", POLICIES, ids=lambda folder: folder.name)
def test_nothing_stops_servers_by_itself_on_a_standing_that_was_not_just_asked_for(folder: Path) -> None:
    policy = load_policy(folder)
    services = {name for name, permit in policy.permits.items() if permit.service == "standing"}
    stopping = [
        rule
        for machine in policy.account_machines
        for rule in machine.rules
        if rule.event is None and any(ask.intent == "shutdown_suspended_server" for ask in rule.do)
    ]
    assert stopping
    assert [rule.name for rule in stopping if not services & set(rule.needs)] == []


def test_no_account_rule_and_no_lift_starts_a_server(policy: Policy) -> None:
    starting = {name for name, intent in policy.intents.items() if intent.starts_servers}
    assert starting == {"start_server", "restart_server", "provision_server"}
    for machine in policy.account_machines:
        assert not starting & {ask.intent for rule in machine.rules for ask in rule.do}


def test_every_rule_climbs_one_rung_and_relief_descends(policy: Policy) -> None:
    for machine in policy.account_machines:
        steps = {(first, second) for first, second in pairwise(machine.ladder)}
        climbs = {(source, rule.to) for rule in machine.pressure if rule.to for source in rule.sources}
        assert climbs == steps


def test_every_cause_is_lifted_by_its_own_cure(policy: Policy) -> None:
    assert {machine.name: machine.cause for machine in policy.account_machines} == {
        "billing": "debt", "deletion": "debt", "confirmation": "debt", "dispute": "dispute", "trial": "ended",
        "abuse": "abuse", "ended": "ended", "admin": "admin", "tenant": "tenant",
    }  # fmt: skip
    cures = (("abuse", "abuse_cleared"), ("admin", "admin_lifted"), ("tenant", "resumption_approved"))
    for machine, event in cures:
        (lift,) = policy.machines[machine].relief
        assert (lift.event, lift.by, lift.when) == (event, "admin", None)


def test_what_is_implemented_is_what_the_policy_declares(policy: Policy) -> None:
    refused = {"delete_suspended_server", "wipe_server_data"}
    left_to_others = {"move_edge_to_hold_page"}  # a choice, which examples/policies/gentle makes
    assert set(policy.intents) - refused == IMPLEMENTED - left_to_others


def test_every_word_to_customers_is_plain_and_complete(policy: Policy) -> None:
    kinds = {name: intent.kind for name, intent in policy.intents.items()}
    told = {name for name, kind in kinds.items() if kind in {IntentKind.NOTICE, IntentKind.LETTER}}
    assert told == set(policy.notices)
    assert {(m.name, state) for m in policy.account_machines for state in m.ladder} == set(policy.state_texts)
    for notice in policy.notices.values():
        assert set(fields_of(notice.words.whole)) <= set(fields_for(notice.intent, kinds[notice.intent]))
        assert notice.words.text.startswith("Hello {customer_name},\n")
        assert max(len(line) for line in notice.words.text.splitlines()) <= 120
        harsh = r"(?i)\b(delinquent|violation|failure to|immediately|must|terminate|!!)\b|!"
        assert not re.search(harsh, notice.words.whole)
        assert notice.words.reason
        assert notice.words.next
    subjects = [notice.words.subject for notice in policy.notices.values()]
    assert len(set(subjects)) == len(subjects)


def test_a_date_is_told_only_where_it_was_promised(policy: Policy) -> None:
    promises = {intent.name: intent.promises for intent in policy.intents.values() if intent.promises}
    assert promises == {
        "send_final_warning": "billing.suspend",
        "send_dispute_lost_notice": "dispute.stop",
        "send_retention_warning": "billing.ask_deletion",
        "send_subscription_ended_notice": "ended.stop",
        "send_deletion_notice": "deletion.back_up",
    }


def test_every_alert_that_the_code_raises_has_a_channel(policy: Policy) -> None:
    raised = {kind for folder in ("storage", "jobs", "web") for kind in _alerts_raised(ROOT / folder)}
    assert raised
    assert raised <= set(policy.alerts)


def _alerts_raised(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == "raise_alert":
                for argument in node.args[1:2]:
                    if isinstance(argument, ast.Constant):
                        yield str(argument.value)


# ---- schemas ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", sorted(TEXTS))
def test_every_file_names_its_schema_for_editors(file: str) -> None:
    root = parse(file, TEXTS[file], Faults())
    assert root is not None
    first = TEXTS[file].splitlines()[0]
    assert first == f"# yaml-language-server: $schema=schema/{schema_of(file, root)}.schema.json"
    assert (SHIPPED / "schema" / f"{schema_of(file, root)}.schema.json").is_file()


@pytest.mark.parametrize("path", sorted(SCHEMAS.glob("*.json")), ids=lambda path: path.name)
def test_every_schema_is_one_and_describes_its_keys(path: Path) -> None:
    schema = json.loads(path.read_text())
    Draft202012Validator.check_schema(schema)
    common = json.loads((SCHEMAS / "common.schema.json").read_text())["$defs"]
    undescribed = [
        name for name, part in _properties(schema) if not _description(part, {**common, **schema.get("$defs", {})})
    ]
    assert undescribed == []


@pytest.mark.parametrize("path", sorted(SCHEMAS.glob("*.json")), ids=lambda path: path.name)
def test_no_schema_hides_a_part_of_the_common_one(path: Path) -> None:
    if path.name != "common.schema.json":
        common = json.loads((SCHEMAS / "common.schema.json").read_text())["$defs"]
        assert not set(json.loads(path.read_text()).get("$defs", {})) & set(common)


def _properties(schema: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(schema, dict):
        for name, part in schema.get("properties", {}).items():
            if isinstance(part, dict):
                yield name, part
        for part in schema.values():
            yield from _properties(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from _properties(part)


def _description(part: dict[str, Any], parts: dict[str, Any]) -> str | None:
    if "description" in part:
        return str(part["description"])
    reference = part.get("$ref", "").rpartition("/")[2]
    return str(parts[reference].get("description", "")) if reference in parts else None
