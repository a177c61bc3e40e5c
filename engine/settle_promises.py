"""Promises kept up: a notice whose date has moved later is void, and is issued again once nothing holds."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from engine.compiled import CompiledMachine, Promise
from engine.due import date_of, hold_on
from engine.model import Value
from engine.settle_case import Case, latest
from engine.snapshot import Asked, Hold, NoticeState, NoticeStatus, Step, StepKind


def uphold(case: Case) -> bool:
    """Void what no longer holds and reissue what may be told again. Return whether anything changed."""
    if not case.notices:
        return False
    before = len(case.steps)
    for promise in case.ready.promises:
        notice = case.notices.get(promise.notice)
        if notice is None or case.states[promise.rule.rule.machine] not in promise.rule.rule.sources:
            continue
        if notice.status is NoticeStatus.DELIVERED and _is_broken(case, promise, notice):
            notice = _void(case, promise, notice)
        if notice.status is NoticeStatus.VOID and _may_be_told(case, promise):
            _reissue(case, promise)
    return len(case.steps) > before


def next_upkeep_at(case: Case) -> datetime | None:
    """Return the earliest instant at which `uphold` would do something by the passing of time alone."""
    earliest: datetime | None = None
    if not case.notices:
        return None
    for promise in case.ready.promises:
        notice = case.notices.get(promise.notice)
        if notice is None or case.states[promise.rule.rule.machine] not in promise.rule.rule.sources:
            continue
        holding, end = hold_on(promise, case.snapshot.holds, case.now)
        if not holding:
            continue
        if notice.status is NoticeStatus.VOID:
            at = end
        else:
            at = notice.promise_at if notice.status is NoticeStatus.DELIVERED and end is None else None
        if at is not None and (earliest is None or at < earliest):
            earliest = at
    return earliest


def _is_broken(case: Case, promise: Promise, notice: NoticeState) -> bool:
    """Tell whether the told date can no longer be the day: it is later now, or nobody knows when it will be."""
    if notice.promise_at is None or notice.claimed_at is None:
        return False
    date = date_of(promise, case.facts, case.snapshot.holds, notice.claimed_at)
    if date is not None and date > notice.promise_at:
        return True
    holding, end = hold_on(promise, case.snapshot.holds, case.now)
    return holding and end is None and case.now >= notice.promise_at


def _may_be_told(case: Case, promise: Promise) -> bool:
    check = promise.rule.check
    return not hold_on(promise, case.snapshot.holds, case.now)[0] and (check is None or check(case.facts))


def _void(case: Case, promise: Promise, notice: NoticeState) -> NoticeState:
    facts, notices = case.draft()[2:]
    read = {name: facts.get(name) for name in promise.rule.reads} | {"promise_at": notice.promise_at}
    for fact, _ in promise.stamps:
        facts[fact] = None
    void = replace(
        notice,
        status=NoticeStatus.VOID,
        claimed_at=None,
        promise_at=None,
        floor_at=latest(notice.promise_at, notice.floor_at),
    )
    notices[promise.notice] = void
    notify = _notify(promise, notice, case.snapshot.holds, case.now)
    asked = case.ask_notice(notify, _machine(case, promise)) if notify is not None else ()
    _step(case, StepKind.VOID, promise, read, asked)
    return void


def _reissue(case: Case, promise: Promise) -> None:
    read = {name: case.facts.get(name) for name in promise.rule.reads}
    _step(case, StepKind.REISSUE, promise, read, case.ask_notice(promise.notice, _machine(case, promise)))


def _notify(promise: Promise, notice: NoticeState, holds: tuple[Hold, ...], now: datetime) -> str | None:
    """Return the notice that tells of the hold which broke the promise; None when something else did."""
    for permit in promise.voiding:
        for hold in holds:
            if permit.notify is None or hold.kind not in permit.holds:
                continue
            if hold.until is None or (
                hold.until > now and (notice.promise_at is None or hold.until > notice.promise_at)
            ):
                return permit.notify
    return None


def _machine(case: Case, promise: Promise) -> CompiledMachine:
    return case.ready.by_name[promise.rule.rule.machine]


def _step(case: Case, kind: StepKind, promise: Promise, read: dict[str, Value], asked: tuple[Asked, ...]) -> None:
    rule = promise.rule
    state = case.states[rule.rule.machine]
    case.steps.append(Step(kind, rule.rule.machine, promise.notice, rule.place, state, state, None, read, asked))
