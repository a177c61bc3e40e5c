"""Snapshots as JSON: what `explain` reads, and what a support case carries. Instants are ISO 8601 in UTC."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from engine.model import FactType, Policy, Value
from engine.snapshot import Hold, NoticeState, NoticeStatus, ServerFacts, Snapshot
from engine.timeline_items import Timeline, newcomer


class SnapshotUnreadable(Exception):
    """The text is no snapshot of an account under this policy; the message says where."""


def write_snapshot(snapshot: Snapshot, at: datetime) -> str:
    """Return the snapshot as JSON, with the instant at which it was so."""
    told = {
        "account": snapshot.account_id,
        "at": _instant(at),
        "zone": snapshot.zone,
        "states": dict(snapshot.states),
        "episodes": dict(snapshot.episodes),
        "facts": {n: _instant(v) if isinstance(v, datetime) else v for n, v in snapshot.facts.items()},
        "notices": {
            name: {
                "episode": notice.episode, "round": notice.round, "status": notice.status.value,
                "machine": notice.machine, "claimedAt": _instant(notice.claimed_at),
                "promiseAt": _instant(notice.promise_at), "floorAt": _instant(notice.floor_at),
            }
            for name, notice in snapshot.notices.items()
        },
        "holds": [{"kind": hold.kind, "until": _instant(hold.until)} for hold in snapshot.holds],
        "permits": dict(snapshot.permits),
        "servers": [{"id": s.server_id, "lifecycle": s.lifecycle, "observed": s.observed} for s in snapshot.servers],
        "recheckAt": _instant(snapshot.recheck_at),
        "senders": dict(snapshot.senders),
    }  # fmt: skip
    return json.dumps(told, indent=2, ensure_ascii=False)


def read_snapshot(policy: Policy, text: str) -> tuple[Snapshot, datetime | None]:
    """Return the snapshot and its instant. What is absent is as for a customer in good standing.

    Raises SnapshotUnreadable.
    """
    try:
        told = json.loads(text)
    except json.JSONDecodeError as error:
        raise SnapshotUnreadable(f"line {error.lineno}, column {error.colno}: {error.msg.lower()}") from None
    try:
        return _read(policy, told)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SnapshotUnreadable(f"it has another shape than expected: {error}") from None


def _read(policy: Policy, told: Mapping[str, Any]) -> tuple[Snapshot, datetime | None]:
    fresh = newcomer(policy, Timeline())
    states = {**fresh.states, **told.get("states", {})}
    for machine, state in states.items():
        if machine not in policy.machines or state not in policy.machines[machine].ladder:
            raise SnapshotUnreadable(f"the policy has no state `{machine}.{state}`")
    for name in told.get("facts", {}):
        if name not in policy.facts:
            raise SnapshotUnreadable(f"the policy has no fact `{name}`")
    snapshot = Snapshot(
        str(told.get("account", "account")),
        states,
        {**fresh.episodes, **told.get("episodes", {})},
        {**fresh.facts, **{name: _fact(policy, name, value) for name, value in told.get("facts", {}).items()}},
        {name: _notice(value) for name, value in told.get("notices", {}).items()},
        tuple(Hold(each["kind"], _parsed(each.get("until"))) for each in told.get("holds", ())),
        {**fresh.permits, **told.get("permits", {})},
        tuple(ServerFacts(each["id"], each["lifecycle"], each["observed"]) for each in told.get("servers", ())),
        told.get("zone", "UTC"),
        _parsed(told.get("recheckAt")),
        told.get("senders", {}),
    )
    return snapshot, _parsed(told.get("at"))


def _fact(policy: Policy, name: str, value: Any) -> Value:
    return _parsed(value) if policy.facts[name].type is FactType.INSTANT else value


def _notice(told: Mapping[str, Any]) -> NoticeState:
    return NoticeState(
        told["episode"], told["round"], NoticeStatus(told["status"]), _parsed(told.get("claimedAt")),
        _parsed(told.get("promiseAt")), told.get("machine", ""), _parsed(told.get("floorAt")),
    )  # fmt: skip


def _instant(at: datetime | None) -> str | None:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z") if at is not None else None


def _parsed(text: str | None) -> datetime | None:
    if text is None:
        return None
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise SnapshotUnreadable(f"`{text}` does not say its zone; write it as `2026-03-01T08:00:00Z`")
    return at.astimezone(UTC)
