"""The executor: what it refuses, what it keeps, and how it speaks up when it sees things differently."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace

import pytest

from engine.compiled import Compiled, compiled
from engine.decide import settle
from engine.errors import Disagreement
from engine.executor import Executor, Subject
from engine.model import Policy, RuleKind, Value
from tests.factories import START, at, atom, machine, policy_of, rule, small_policy
from tests.story import Story

POLICY = small_policy()
BLOCKED: dict[str, Value] = {"warning_sent_at": START, "backup_blocked_at": START}
LATE: dict[str, Value] = {"overdue_invoices": 1, "subscription": "active", "exempt": False, "past_due_since": START}


def test_a_rule_moves_a_subject() -> None:
    subject = Subject("past_due", LATE, START)
    Executor(POLICY).fire("billing.warn", subject)
    assert subject.state == "overdue_warning"


def test_a_mark_leaves_the_subject_where_it_is() -> None:
    subject = Subject("past_due", {**LATE, "warning_sent_at": START}, at(72))
    Executor(POLICY).fire("billing.block_backups", subject)
    assert subject.state == "past_due"


@pytest.mark.parametrize(
    ("name", "subject"),
    [
        ("billing.warn", Subject("active", LATE, START)),  # from another state
        ("billing.warn", Subject("past_due", {**LATE, "exempt": True}, START)),  # its condition does not hold
        ("billing.warn", Subject("past_due", {**LATE, "past_due_since": None}, START)),  # null has not elapsed
        ("billing.warn", Subject("past_due", LATE, at(-1))),  # not yet
        ("billing.warn", Subject("past_due", LATE, START, told=at(1))),  # a notice told a later date
        ("billing.warn", Subject("nowhere", LATE, START)),  # an unknown state
        ("billing.block_backups", Subject("past_due", {**LATE, **BLOCKED}, at(72))),  # its mark is set
        ("abuse.restrict", Subject("clear", {}, START)),  # an event that nobody sent
        ("abuse.restrict", Subject("clear", {}, START, role="worker")),  # or sent in the wrong role
    ],
)  # fmt: skip
def test_what_the_model_would_not_do_the_executor_refuses(name: str, subject: Subject) -> None:
    before = subject.state
    with pytest.raises(Disagreement) as refused:
        Executor(POLICY).fire(name, subject)
    assert refused.value.rule == name
    assert subject.state == before


def decided_by_another_executor(policy: Policy, other: Policy) -> Compiled:
    """Return the policy's compiled form with the executor of another policy, as if the two had drifted apart."""
    ready = compiled(policy)
    ready.executor = Executor(other)
    return ready


def test_a_decision_that_the_executor_does_not_share_changes_nothing() -> None:
    policy = small_policy()
    story = Story(policy)
    strict = small_policy()
    billing = strict.machines["billing"]
    never = tuple(replace(r, when=atom("overdue_invoices", "gt", 99)) for r in billing.pressure)
    strict = replace(strict, machines={**strict.machines, "billing": replace(billing, pressure=never)})
    decided_by_another_executor(policy, strict)
    story.snapshot = replace(story.snapshot, facts={**story.snapshot.facts, **LATE})
    with pytest.raises(Disagreement, match=r"rule `billing\.late` fired from `active`, but its executor says"):
        settle(policy, story.snapshot, START)
    assert story.snapshot.states["billing"] == "active"


def test_a_rule_that_leads_elsewhere_is_a_disagreement() -> None:
    def ladder(to: str) -> Policy:
        return policy_of(
            machine("m", ("a", "b", "c"), (rule("m", "r", RuleKind.PRESSURE, ("a",) if to == "b" else ("b",), to),))
        )

    executor = Executor(ladder("b"))
    executor._expected["m.r"] = "c"
    with pytest.raises(Disagreement, match="it leads to `b`"):
        executor.fire("m.r", Subject("a", {}, START))


def test_trying_a_rule_moves_nothing() -> None:
    executor = Executor(POLICY)
    subject = Subject("past_due", LATE, START)
    assert executor.allows(POLICY.rule("billing.warn"), subject)
    assert not executor.allows(POLICY.rule("billing.suspend"), subject)
    assert subject.state == "past_due"


def test_the_executor_keeps_nothing_about_an_account_and_adds_nothing_to_it() -> None:
    executor = Executor(POLICY)
    machines = {id(event.__self__.machine): event.__self__.machine for event in executor._events.values()}  # type: ignore[attr-defined]
    subject = Subject("past_due", LATE, START)
    executor.fire("billing.warn", subject)
    assert all(each.models == [] and not each.has_queue for each in machines.values())
    assert not hasattr(subject, "__dict__")
    assert not hasattr(subject, "trigger")


def test_it_has_no_transitions_but_those_of_the_policy() -> None:
    events = set(Executor(POLICY)._events)
    assert events == {r.name for m in POLICY.machines.values() for r in m.rules}


def test_refusing_writes_nothing_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    executor = Executor(POLICY)
    with caplog.at_level(logging.WARNING), pytest.raises(Disagreement):
        executor.fire("billing.warn", Subject("active", LATE, START))
    assert caplog.records == []


def test_many_threads_share_one_executor() -> None:
    executor = Executor(POLICY)
    wrong: list[str] = []

    def work() -> None:
        for _ in range(300):
            subject = Subject("past_due", LATE, START)
            executor.fire("billing.warn", subject)
            if subject.state != "overdue_warning":
                wrong.append(subject.state)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
