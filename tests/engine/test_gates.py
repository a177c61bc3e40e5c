"""May this happen now: every cell, who may do more, limits, and what nobody thought of."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from engine.decide import compiled
from engine.gates import UNKNOWN_ACTION, UNKNOWN_STATE, GateVerdict, verdict
from engine.matrix import KEPT_VERDICTS
from engine.model import SERVER_BILLING_STATES, Place, Policy
from engine.model_gates import Also, Gates
from engine.snapshot import ServerState
from tests.factories import LADDER, atom, small_policy

PLACE = Place("gates.yaml", 7, 3)
ABUSE = ("clear", "restricted", "stopped")
CALM = {"billing": "active", "abuse": "clear"}
OPEN = ServerState("allowed", "billing", None)
BLOCKED = ServerState("backup_blocked", "billing", "BILLING_BACKUP_BLOCKED")
STOPPED = ServerState("suspended_shutdown", "abuse", "ABUSE_SUSPENDED")


def policy_with(gates: Gates) -> Policy:
    """Return the small policy with these gates."""
    return replace(small_policy(), gates=gates)


GATES = Gates(
    account={
        "instance.create": {("billing", rung): rung in LADDER[:2] for rung in LADDER}
        | {("abuse", rung): rung == "clear" for rung in ABUSE}
    },
    server={
        "host.stop": dict.fromkeys(SERVER_BILLING_STATES, True),
        "files.write": {state: state in SERVER_BILLING_STATES[:2] for state in SERVER_BILLING_STATES},
        "backups.create": {state: state == "allowed" for state in SERVER_BILLING_STATES},
        "backups.download": {"allowed": True, "backup_blocked": False},
    },
    codes={("billing", "overdue_warning"): "BILLING_PAST_GRACE", ("billing", "suspended"): "BILLING_SUSPENDED",
           ("abuse", "restricted"): "ABUSE_RESTRICTED", ("abuse", "stopped"): "ABUSE_SUSPENDED"},
    places=dict.fromkeys(("instance.create", "host.stop", "files.write", "backups.create"), PLACE),
    also=(
        Also("instance.create", "BILLING_NO_ACTIVE_PLAN", atom("has_active_plan", "eq", False), PLACE),
        Also("instance.create", "PLAN_LIMIT_REACHED", atom("at_plan_limit", "eq", True), PLACE),
        Also("backups.create", "TOO_MANY_BACKUPS", atom("at_plan_limit", "eq", True), PLACE),
    ),
    may_also={"admin": frozenset({"backups.create"})},
)  # fmt: skip
POLICY = policy_with(GATES)
PLAN = {"has_active_plan": True, "at_plan_limit": False}


def create(states: dict[str, str], actor: str = "customer", **facts: bool) -> GateVerdict:
    """Judge the making of a server."""
    return verdict(POLICY, states, OPEN, "instance.create", actor, {**PLAN, **facts})


def test_every_server_action_is_judged_by_the_servers_billing_state() -> None:
    for action, row in GATES.server.items():
        for state in SERVER_BILLING_STATES:
            judged = verdict(POLICY, CALM, ServerState(state, "billing", "CODE"), action)
            assert judged.allow is row.get(state, False)
            assert judged.allow or judged.code in {"CODE", UNKNOWN_STATE}


def test_every_account_action_is_judged_by_every_machine() -> None:
    for billing, abuse in itertools.product(LADDER, ABUSE):
        allowed = billing in LADDER[:2] and abuse == "clear"
        assert create({"billing": billing, "abuse": abuse}).allow is allowed


def test_a_denial_says_what_denied_it() -> None:
    judged = verdict(POLICY, CALM, STOPPED, "files.write")
    assert judged == GateVerdict(
        False, "ABUSE_SUSPENDED", "abuse", "servers are suspended_shutdown by abuse", "gates.yaml:7"
    )
    judged = create({"billing": "overdue_warning", "abuse": "clear"})
    assert judged == GateVerdict(False, "BILLING_PAST_GRACE", "billing", "billing is overdue_warning", "gates.yaml:7")


def test_billings_code_comes_before_anothers_and_before_limits() -> None:
    both = {"billing": "suspended", "abuse": "stopped"}
    assert create(both, at_plan_limit=True).code == "BILLING_SUSPENDED"
    assert create({"billing": "active", "abuse": "stopped"}, at_plan_limit=True).code == "ABUSE_SUSPENDED"
    assert create(CALM, at_plan_limit=True, has_active_plan=False).code == "BILLING_NO_ACTIVE_PLAN"
    assert create(CALM, at_plan_limit=True).code == "PLAN_LIMIT_REACHED"
    assert create(CALM).allow


def test_the_order_of_the_states_given_does_not_matter() -> None:
    both = (("abuse", "stopped"), ("billing", "suspended"))
    assert verdict(POLICY, both, OPEN, "instance.create").code == "BILLING_SUSPENDED"


def test_an_actor_that_is_listed_may_do_more_and_no_other_may() -> None:
    assert verdict(POLICY, CALM, BLOCKED, "backups.create", "admin").allow
    assert not verdict(POLICY, CALM, BLOCKED, "backups.create", "customer").allow
    assert not verdict(POLICY, CALM, BLOCKED, "backups.create", "Admin").allow
    assert not verdict(POLICY, CALM, STOPPED, "files.write", "admin").allow


def test_a_limit_binds_also_who_may_do_more() -> None:
    judged = verdict(POLICY, CALM, BLOCKED, "backups.create", "admin", {"at_plan_limit": True})
    assert judged.code == "TOO_MANY_BACKUPS"
    assert not verdict(POLICY, CALM, OPEN, "backups.create", "customer", {"at_plan_limit": True}).allow


@pytest.mark.parametrize("action", ["", "host.explode", "HOST.STOP", "host.stop ", "instance"])
@pytest.mark.parametrize("actor", ["customer", "admin"])
def test_an_unknown_action_is_denied(action: str, actor: str) -> None:
    judged = verdict(POLICY, CALM, OPEN, action, actor, PLAN)
    assert (judged.allow, judged.code) == (False, UNKNOWN_ACTION)


def test_an_unknown_state_is_denied() -> None:
    assert verdict(POLICY, CALM, ServerState("exploded", "billing", None), "host.stop").code == UNKNOWN_STATE
    assert verdict(POLICY, CALM, ServerState("retained", "billing", None), "backups.download").code == UNKNOWN_STATE
    assert create({"billing": "frozen", "abuse": "clear"}).code == UNKNOWN_STATE
    assert create({"billing": "active"}).code == UNKNOWN_STATE, "a machine that says nothing does not allow"


def test_an_actor_does_not_turn_an_unknown_action_into_a_known_one() -> None:
    policy = policy_with(replace(GATES, may_also={"admin": frozenset({"wipe.everything"})}))
    assert not verdict(policy, CALM, OPEN, "wipe.everything", "admin").allow


def test_what_is_remembered_is_bounded() -> None:
    gates = compiled(POLICY).gates
    for number in range(KEPT_VERDICTS + 10):
        assert not gates.account("instance.create", (("billing", f"state {number}"),)).allow
    assert len(gates._memory) <= KEPT_VERDICTS
    assert create(CALM).allow
