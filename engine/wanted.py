"""Is an intent still wanted? Asked under lock, right before it is carried out; what is no longer wanted is dropped."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from engine.model import STOPPED_BILLING_STATES, IntentKind, Policy
from engine.servers import server_state
from engine.snapshot import NoticeStatus, Snapshot


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether an intent is wanted now; `reason` says why not, or by what."""

    ok: bool
    reason: str


def wanted(
    policy: Policy,
    snapshot: Snapshot,
    intent_name: str,
    machine: str,
    episode: int,
    now: datetime,
    *,
    round_: int | None = None,
    server_id: str | None = None,
) -> Verdict:
    """Judge an intent that `machine` asked for in this episode; all conditions that the policy gives must hold.

    server_id: the server that it is about, which may stand on rungs of its own.

    A notice belongs to its episode and, when `round_` is given, to its round. Effects are judged by what is, whichever
    episode asked: lifting a restriction of an older one is as right as ever.
    """
    intent = policy.intents.get(intent_name)
    if intent is None:
        return Verdict(False, f"the policy has no intent `{intent_name}`")
    if intent.wanted_in and not any(snapshot.states.get(of) == state for of, state in intent.wanted_in):
        of = dict.fromkeys(of for of, _ in intent.wanted_in)
        return Verdict(False, " and ".join(f"{name} is {snapshot.states.get(name)}" for name in of))
    if intent.wanted_for or intent.starts_servers:
        servers = server_state(policy, snapshot, server_id)
        if intent.wanted_for and servers.state not in intent.wanted_for:
            return Verdict(False, f"servers are {servers.state} by {servers.machine}")
        if intent.starts_servers and servers.state in STOPPED_BILLING_STATES:
            # INVARIANT: whatever the policy lists, a server that is suspended or retained is never started
            return Verdict(False, f"servers are {servers.state} by {servers.machine}; none is started")
    if intent.destructive and not (intent.wanted_in or intent.wanted_for):
        return Verdict(False, "it destroys, and nothing says in which state it may")
    if intent.kind is IntentKind.NOTICE:
        return _notice_wanted(snapshot, intent_name, machine, episode, round_)
    return Verdict(True, "its states hold")


def _notice_wanted(snapshot: Snapshot, name: str, machine: str, episode: int, round_: int | None) -> Verdict:
    running = snapshot.episodes.get(machine, 0)
    if running != episode:
        return Verdict(False, f"episode {episode} of {machine} is over; it is {running} now")
    notice = snapshot.notices.get(name)
    if round_ is not None and notice is not None and notice.episode == episode:
        if notice.round != round_:
            return Verdict(False, f"round {notice.round} has replaced round {round_}")
        if notice.status in {NoticeStatus.DELIVERED, NoticeStatus.VOID}:
            return Verdict(False, f"round {round_} is {notice.status.value} already")
    return Verdict(True, "its states hold")
