"""How decisions are made: order, episodes, stamps, and when an account looks at itself again."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from engine.decide import blank, settle
from engine.errors import CommandRefused, UnknownState, UnsafePolicy, Unsettled
from engine.model import FactType, Machine, Origin, Policy, RuleKind
from engine.snapshot import Command, Snapshot
from tests.factories import (
    NOTHING_OWED,
    OWING,
    STANDING_FACTS,
    START,
    at,
    atom,
    effect,
    fact,
    hours,
    machine,
    negated,
    notice,
    policy_of,
    rule,
    small_policy,
    snapshot_of,
)
from tests.story import Story, late_customer_after

POLICY = small_policy()


# ---- rest ------------------------------------------------------------------------------------------------------------


def test_an_account_that_nothing_happened_to_stays_as_it_is() -> None:
    snapshot = snapshot_of(POLICY)
    settlement = settle(POLICY, snapshot, START)
    assert settlement.steps == ()
    assert settlement.snapshot is snapshot
    assert settlement.due_at is None
    assert settlement.waiting == ()
    assert settlement.server.state == "allowed"


def test_a_blank_account_stands_on_the_lowest_rung_of_every_machine() -> None:
    assert blank(POLICY) == ({"billing": "active", "abuse": "clear"}, {"billing": 0, "abuse": 0})


def test_settling_again_does_nothing() -> None:
    story = late_customer_after(24 * 40)
    again = settle(POLICY, story.snapshot, story.now)
    assert again.steps == ()
    assert again.snapshot is story.snapshot
    assert again.due_at == story.last.due_at


def test_the_snapshot_that_came_in_is_never_written_on() -> None:
    story = late_customer_after(119)
    before = (dict(story.snapshot.states), dict(story.snapshot.facts), dict(story.snapshot.notices))
    settle(POLICY, story.snapshot, at(120))
    assert (story.snapshot.states, story.snapshot.facts, story.snapshot.notices) == before


@pytest.mark.parametrize(("seconds", "state"), [(-1, "final_warning"), (0, "suspended"), (1, "suspended")])
def test_a_rule_is_due_at_its_instant_and_not_before(seconds: int, state: str) -> None:
    story = late_customer_after(119)
    assert settle(POLICY, story.snapshot, at(120) + timedelta(seconds=seconds)).snapshot.states["billing"] == state


# ---- order -----------------------------------------------------------------------------------------------------------


def mirror_policy() -> Policy:
    """Return billing, and a machine after it whose relief and pressure read billing's state."""
    on_top = fact("billing_state", FactType.STATE, origin=Origin.MACHINE, of="billing")
    watcher = machine(
        "watcher",
        ("none", "watching", "acting"),
        (
            rule("watcher", "calm", RuleKind.RELIEF, ("watching", "acting"), "none",
                 when=atom("billing_state", "eq", "active")),
            rule("watcher", "watch", RuleKind.PRESSURE, ("none",), "watching",
                 when=atom("billing_state", "in", ("suspended", "retained"))),
            rule("watcher", "act", RuleKind.PRESSURE, ("watching",), "acting",
                 when=atom("billing_state", "eq", "suspended"), after={"suspended_at": hours(0)}),
        ),
        facts=(on_top,),
    )  # fmt: skip
    return small_policy(watcher)


def test_relief_runs_over_all_machines_to_completion_before_any_pressure() -> None:
    policy = mirror_policy()
    story = Story(policy)
    story.evidence(overdue_invoices=1, past_due_since=START)
    story.until(119)
    overdue = {**story.snapshot.states, "watcher": "watching", "billing": "suspended"}
    paid = {**story.snapshot.facts, "overdue_invoices": 0, "suspended_at": at(100)}
    settlement = settle(policy, replace(story.snapshot, states=overdue, facts=paid), at(120))
    assert [step.because for step in settlement.steps] == ["billing.paid", "watcher.calm"]
    assert settlement.snapshot.states["watcher"] == "none", "billing frees what hangs on it, and pressure never ran"


def test_relief_frees_a_machine_that_stands_before_the_one_it_waited_for() -> None:
    policy = mirror_policy()
    first = replace(policy, machines={"watcher": policy.machines["watcher"], **policy.machines})
    snapshot = replace(snapshot_of(first), states={"watcher": "acting", "billing": "suspended", "abuse": "clear"})
    settlement = settle(first, snapshot, START)
    assert [step.because for step in settlement.steps] == ["billing.paid", "watcher.calm"]


def test_a_machine_that_reads_anothers_state_sees_it_change_within_a_settlement() -> None:
    policy = mirror_policy()
    story = Story(policy)
    story.evidence(overdue_invoices=1, past_due_since=START)
    story.until(120)
    assert story.snapshot.states["watcher"] == "acting"
    assert "billing_state" not in story.snapshot.facts, "what is derived is not stored"


def test_one_rule_a_decision_and_relief_looks_again_before_the_next() -> None:
    """A rung whose entry makes another machine's relief possible is relieved before anything else climbs."""
    first = machine(
        "first",
        ("low", "high"),
        (rule("first", "climb", RuleKind.PRESSURE, ("low",), "high", when=atom("push", "eq", True)),),
        facts=(fact("push", FactType.BOOL),),
    )
    second = machine(
        "second",
        ("calm", "angry", "furious"),
        (
            rule("second", "soothe", RuleKind.RELIEF, ("angry",), "calm", when=atom("first_state", "eq", "high")),
            rule("second", "rage", RuleKind.PRESSURE, ("angry",), "furious", when=atom("push", "eq", True)),
        ),
        facts=(fact("first_state", FactType.STATE, origin=Origin.MACHINE, of="first"),),
    )
    policy = policy_of(first, second)
    snapshot = Snapshot("a", {"first": "low", "second": "angry"}, {"first": 0, "second": 1}, {"push": True})
    settlement = settle(policy, snapshot, START)
    assert [step.because for step in settlement.steps] == ["first.climb", "second.soothe"]


def test_leaving_the_lowest_rung_begins_an_episode_and_returning_ends_it() -> None:
    story = late_customer_after(0)
    assert story.snapshot.episodes == {"billing": 1, "abuse": 0}
    story.evidence(overdue_invoices=0)
    assert story.snapshot.episodes == {"billing": 1, "abuse": 0}
    restored = [asked for _, asked in story.asked if asked.intent == "send_restored_notice"]
    assert [asked.episode for asked in restored] == [1], "the farewell belongs to the episode that it ends"


def test_relief_that_descends_part_of_the_way_forgets_what_was_entered_above() -> None:
    ladder = ("low", "middle", "high")
    climbing = machine(
        "m",
        ladder,
        (
            rule("m", "ease", RuleKind.RELIEF, ("high",), "middle", when=atom("push", "eq", False)),
            rule("m", "one", RuleKind.PRESSURE, ("low",), "middle", when=atom("push", "eq", True)),
            rule("m", "two", RuleKind.PRESSURE, ("middle",), "high", when=atom("push", "eq", True)),
        ),
        facts=(
            fact("push", FactType.BOOL),
            fact("middle_at", origin=Origin.ENTERED, of="middle"),
            fact("high_at", origin=Origin.ENTERED, of="high", plus=hours(5)),
        ),
    )
    policy = policy_of(climbing)
    high = settle(policy, Snapshot("a", {"m": "low"}, {"m": 0}, {"push": True}), START).snapshot
    assert (high.facts["middle_at"], high.facts["high_at"]) == (START, at(5))
    eased = settle(policy, replace(high, facts={**high.facts, "push": False}), at(1)).snapshot
    assert (eased.facts["middle_at"], eased.facts["high_at"]) == (at(1), None)


def test_a_machine_that_is_new_in_the_policy_starts_on_its_lowest_rung() -> None:
    story = late_customer_after(0)
    without = {name: state for name, state in story.snapshot.states.items() if name != "abuse"}
    settlement = settle(POLICY, replace(story.snapshot, states=without), START, story.admin("abuse_reported"))
    assert settlement.snapshot.states["abuse"] == "restricted"
    unasked = settle(POLICY, replace(story.snapshot, states=without), START)
    assert unasked.steps == ()
    assert unasked.snapshot.states["abuse"] == "clear", "written down, so that gates find a column for it"


def test_a_state_that_the_policy_does_not_have_is_refused() -> None:
    snapshot = replace(snapshot_of(POLICY), states={"billing": "frozen", "abuse": "clear"})
    with pytest.raises(UnknownState, match="no state `frozen`"):
        settle(POLICY, snapshot, START)


def test_a_policy_that_never_comes_to_rest_is_refused_and_changes_nothing() -> None:
    restless = machine(
        "m",
        ("low", "high"),
        (
            rule("m", "down", RuleKind.RELIEF, ("high",), "low", when=atom("push", "eq", True)),
            rule("m", "up", RuleKind.PRESSURE, ("low",), "high", when=atom("push", "eq", True)),
        ),
        facts=(fact("push", FactType.BOOL),),
    )
    with pytest.raises(Unsettled, match=r"never comes to rest.*m\.up"):
        settle(policy_of(restless), Snapshot("a", {"m": "low"}, {"m": 0}, {"push": True}), START)


# ---- looking again ---------------------------------------------------------------------------------------------------


def test_an_exemption_that_will_end_is_looked_at_then() -> None:
    story = Story(POLICY)
    story.snapshot = replace(story.snapshot, recheck_at=at(50))
    assert story.settle().due_at == at(50)
    story.now = at(50)
    assert story.settle().due_at is None, "what is past is known already"


def test_the_next_instant_is_the_earliest_of_all_rules_from_here() -> None:
    story = late_customer_after(121)
    assert story.last.due_at == at(192)
    story.until(192)
    assert story.last.due_at == at(120 + 14 * 24 - 72)


def test_a_null_anchor_has_not_elapsed_and_is_never_due() -> None:
    story = late_customer_after(0)
    story.evidence(past_due_since=None)
    story.until(24 * 365)
    assert story.state() == "overdue_warning"
    assert story.last.due_at is None


def test_relief_that_waits_for_time_is_looked_at_then() -> None:
    cooling = machine(
        "m",
        ("low", "high"),
        (
            rule("m", "cool", RuleKind.RELIEF, ("high",), "low", after={"high_at": hours(3)}, when=NOTHING_OWED),
            rule("m", "heat", RuleKind.PRESSURE, ("low",), "high", when=OWING),
        ),
        facts=(*STANDING_FACTS, fact("high_at", origin=Origin.ENTERED, of="high")),
    )
    policy = policy_of(cooling, facts=STANDING_FACTS)
    story = Story(policy, snapshot_of(policy))
    story.evidence(overdue_invoices=1)
    story.evidence(overdue_invoices=0)
    assert (story.state("m"), story.last.due_at) == ("high", at(3))
    story.until(3)
    assert story.state("m") == "low"


# ---- what the check of a policy refuses, decisions refuse too --------------------------------------------------------


def one_rule(kind: RuleKind, source: str, to: str | None, **keys: str) -> Machine:
    """Return a machine of three rungs with one rule."""
    return machine("m", ("a", "b", "c"), (rule("m", "r", kind, (source,), to, **keys),))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (one_rule(RuleKind.PRESSURE, "a", "c"), "does not climb exactly one rung"),
        (one_rule(RuleKind.PRESSURE, "b", "a"), "does not climb exactly one rung"),
        (one_rule(RuleKind.RELIEF, "a", "b"), "does not descend"),
        (one_rule(RuleKind.PRESSURE, "a", None, mark="m"), "nothing remembers mark `m`"),
        (one_rule(RuleKind.PRESSURE, "a", None), "exactly one of `to` and `mark`"),
    ],
)
def test_a_rule_that_breaks_the_ladder_decides_nothing(bad: Machine, reason: str) -> None:
    with pytest.raises(UnsafePolicy, match=reason):
        settle(policy_of(bad), Snapshot("a", {"m": "a"}, {"m": 0}, {}), START)


DESTROY = effect("wipe", destructive=True)


def doomed(**keys: str) -> Policy:
    """A machine that destroys by itself on a rung to which a command of these keys leads."""
    agreed = rule("m", "agree", RuleKind.PRESSURE, ("a",), "b", **keys)  # type: ignore[arg-type]
    back = rule("m", "back", RuleKind.RELIEF, ("b", "c"), "a", event="back", by="admin")
    done = rule("m", "destroy", RuleKind.PRESSURE, ("b",), "c", do=("wipe",))
    return policy_of(machine("m", ("a", "b", "c"), (agreed, back, done)), intents=(DESTROY,))


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"event": "agree", "by": "admin"},
        {"event": "agree", "by": "worker", "other_than": "asked"},
        {"event": "agree", "by": "customer", "other_than": "asked"},
    ],
)
def test_a_rung_that_no_two_admins_agreed_to_destroys_nothing(keys: dict[str, str]) -> None:
    with pytest.raises(UnsafePolicy, match="`wipe` is destructive"):
        settle(doomed(**keys), Snapshot("a", {"m": "a"}, {"m": 0}, {}), START)


def test_behind_two_admins_what_destroys_may_be_asked_for() -> None:
    policy = doomed(event="agree", by="admin", other_than="asked")
    start = Snapshot("a", {"m": "a"}, {"m": 0}, {}, senders={"asked": "ada"})
    with pytest.raises(CommandRefused):
        settle(policy, start, START, Command("agree", "admin", "ada"))
    found = settle(policy, start, START, Command("agree", "admin", "grace"))
    assert [asked.intent for step in found.steps for asked in step.asked] == ["wipe"]


@pytest.mark.parametrize("keys", [{}, {"event": "go"}, {"event": "go", "by": "worker"}, {"by": "admin"}])
def test_nothing_destructive_is_asked_for_but_by_an_admins_command(keys: dict[str, str]) -> None:
    destroyer = machine(
        "m",
        ("a", "b"),
        (rule("m", "r", RuleKind.PRESSURE, ("a",), "b", do=("wipe",), **keys),),  # type: ignore[arg-type]
    )
    with pytest.raises(UnsafePolicy, match="`wipe` is destructive"):
        settle(policy_of(destroyer, intents=(DESTROY,)), Snapshot("a", {"m": "a"}, {"m": 0}, {}), START)


def test_an_admins_command_may_ask_for_what_destroys() -> None:
    destroyer = machine(
        "m", ("a", "b"), (rule("m", "r", RuleKind.PRESSURE, ("a",), "b", event="go", by="admin", do=("wipe",)),)
    )
    policy = policy_of(destroyer, intents=(DESTROY,))
    settlement = settle(policy, Snapshot("a", {"m": "a"}, {"m": 0}, {}), START, Command("go", "admin", "ada"))
    assert [asked.intent for step in settlement.steps for asked in step.asked] == ["wipe"]


# ---- facts -----------------------------------------------------------------------------------------------------------


def test_an_absent_fact_takes_its_default_and_is_not_stored() -> None:
    story = Story(POLICY)
    facts = {name: value for name, value in story.snapshot.facts.items() if name != "exempt"}
    story.snapshot = replace(story.snapshot, facts=facts)
    story.evidence(overdue_invoices=1, past_due_since=START)
    assert story.state() == "overdue_warning"
    assert "exempt" not in story.snapshot.facts


def test_a_notice_that_two_machines_ask_for_never_shares_a_key() -> None:
    told = notice("send_news")

    def half(name: str, push: str) -> Machine:
        return machine(
            name,
            ("low", "high"),
            (
                rule(name, "down", RuleKind.RELIEF, ("high",), "low", when=negated(atom(push, "eq", True))),
                rule(name, "up", RuleKind.PRESSURE, ("low",), "high", when=atom(push, "eq", True), do=("send_news",)),
            ),
            facts=(fact(push, FactType.BOOL),),
        )

    policy = policy_of(half("one", "push_one"), half("two", "push_two"), intents=(told,))
    story = Story(policy, Snapshot("a", *blank(policy), {}))
    for _ in range(3):
        story.evidence(push_one=True)
        story.evidence(push_two=True)
        story.evidence(push_one=False)
        story.evidence(push_two=False)
    keys = [asked.key("a") for _, asked in story.asked]
    assert len(keys) == len(set(keys)) == 6
