"""What the sending of a notice changes: a claim fixes the date that it tells, a delivery stamps."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from engine.compiled import compiled
from engine.due import promise_date
from engine.errors import EngineError
from engine.model import Policy, Value
from engine.settle_case import Case, latest
from engine.snapshot import Asked, NoticeState, NoticeStatus, Snapshot

ENDED = frozenset({NoticeStatus.DELIVERED, NoticeStatus.VOID})


def claimed(policy: Policy, snapshot: Snapshot, notice: str, round_: int, now: datetime) -> Snapshot:
    """Fix what the notice will tell, as a worker claims it for sending.

    The date is never earlier than one that was told before in this episode. Nothing changes for a notice that promises
    nothing but its time of claim, nor for a round that has been replaced or is over.
    """
    state = snapshot.notices.get(notice)
    if state is None or state.round != round_ or state.status in ENDED:
        return snapshot
    date = promise_date(policy, notice, snapshot, now)
    told = latest(state.promise_at, state.floor_at)
    promise_at = latest(date, told) if date is not None else None
    return _with_notice(snapshot, notice, replace(state, claimed_at=now, promise_at=promise_at))


def stamped(policy: Policy, snapshot: Snapshot, notice: str, episode: int, round_: int, at: datetime) -> Snapshot:
    """Take in that the notice was delivered: set its stamps, when the episode and the round are still the same.

    A late word about a round that was taken for unknown or failed counts; about a replaced one it changes nothing.
    """
    state = snapshot.notices.get(notice)
    if state is None or (state.episode, state.round) != (episode, round_) or state.status in ENDED:
        return snapshot
    if state.claimed_at is None:
        snapshot = claimed(policy, snapshot, notice, round_, at)
        state = snapshot.notices[notice]
    facts: dict[str, Value] = dict(snapshot.facts)
    for fact, plus in compiled(policy).delivered[notice]:
        facts[fact] = at + plus
    return _with_notice(replace(snapshot, facts=facts), notice, replace(state, status=NoticeStatus.DELIVERED))


def ended(snapshot: Snapshot, notice: str, episode: int, round_: int, status: NoticeStatus) -> Snapshot:
    """Take in that sending ended otherwise: `unknown` when the worker died in the middle, `failed` when it gave up."""
    state = snapshot.notices.get(notice)
    if state is None or (state.episode, state.round) != (episode, round_) or state.status in ENDED:
        return snapshot
    return _with_notice(snapshot, notice, replace(state, status=status))


def issued_again(policy: Policy, snapshot: Snapshot, notice: str, now: datetime) -> tuple[Snapshot, Asked]:
    """Ask for a further round because a person said so: the only way past one that is `unknown` or `failed`.

    Raises EngineError when no round of the running episode ended so.
    """
    state = snapshot.notices.get(notice)
    if state is None or state.status not in {NoticeStatus.UNKNOWN, NoticeStatus.FAILED}:
        raise EngineError(f"`{notice}` has no unknown or failed round")
    case = Case(compiled(policy), _with_notice(snapshot, notice, replace(state, status=NoticeStatus.FAILED)), now)
    (asked,) = case.ask_notice(notice, case.ready.by_name[state.machine])
    return case.outcome(), asked


def _with_notice(snapshot: Snapshot, notice: str, state: NoticeState) -> Snapshot:
    return replace(snapshot, notices={**snapshot.notices, notice: state})
