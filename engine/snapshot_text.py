"""Snapshots as JSON: what `explain` reads, and what a support case carries. Instants are ISO 8601 in UTC."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from engine.calendar import zone_of
from engine.durations import YEARS
from engine.faults import meant, shown
from engine.model import FactType, IntentKind, Policy, Value
from engine.snapshot import Hold, NoticeState, NoticeStatus, ServerFacts, Snapshot
from engine.timeline.items import Timeline, newcomer

LARGEST: Final = 2**31  # of what is counted: as in the database


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
        "servers": [_told(server) for server in snapshot.servers],
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
    except RecursionError:
        raise SnapshotUnreadable("it is nested too deeply") from None
    if not isinstance(told, dict):
        raise SnapshotUnreadable("expected a map, such as `--write` writes")
    return _read(policy, told)


def _read(policy: Policy, told: Mapping[str, Any]) -> tuple[Snapshot, datetime | None]:
    fresh = newcomer(policy, Timeline())
    zone = _text(told, "zone", "UTC")
    if zone_of(zone) is None:
        raise SnapshotUnreadable(f"there is no time zone `{shown(zone)}`; write it as `Europe/Zurich`")
    episodes = _map(told, "episodes")
    for machine, episode in episodes.items():
        _known("machine", machine, policy.machines)
        _count(f"episodes.{machine}", episode)
    permits = _map(told, "permits")
    for name, answer in permits.items():
        if answer is not None and not isinstance(answer, bool):
            raise SnapshotUnreadable(f"`permits.{name}` is true, false or null")
    senders = _map(told, "senders")
    snapshot = Snapshot(
        _text(told, "account", "account"),
        {**fresh.states, **_states(policy, _map(told, "states"))},
        {**fresh.episodes, **episodes},
        {**fresh.facts, **{name: _fact(policy, name, value) for name, value in _map(told, "facts").items()}},
        {name: _notice(policy, name, value) for name, value in _map(told, "notices").items()},
        tuple(Hold(_text(each, "kind"), _parsed(each.get("until"))) for each in _maps(told, "holds")),
        {**fresh.permits, **permits},
        tuple(_server(policy, each) for each in _maps(told, "servers")),
        zone,
        _parsed(told.get("recheckAt")),
        {event: _text(senders, event) for event in senders},
    )
    return snapshot, _parsed(told.get("at"))


def _states(policy: Policy, told: Mapping[str, Any]) -> Mapping[str, str]:
    for machine, state in told.items():
        if machine not in policy.machines or state not in policy.machines[machine].ladder:
            raise SnapshotUnreadable(f"the policy has no state `{shown(f'{machine}.{state}')}`")
    return told


def _fact(policy: Policy, name: str, value: Any) -> Value:
    _known("fact", name, policy.facts)
    fact = policy.facts[name]
    if value is None:
        return None
    if fact.type is FactType.INSTANT:
        return _parsed(value)
    if fact.type is FactType.INT:
        return _count(f"facts.{name}", value)
    fits = isinstance(value, bool) if fact.type is FactType.BOOL else value in fact.values
    if not fits:
        raise SnapshotUnreadable(f"`facts.{name}` is never `{shown(str(value))}`")
    known: Value = value
    return known


def _notice(policy: Policy, name: str, told: Any) -> NoticeState:
    _known("notice", name, [each.name for each in policy.intents.values() if each.kind is IntentKind.NOTICE])
    if not isinstance(told, dict):
        raise SnapshotUnreadable(f"expected a map at `notices.{name}`")
    status = _text(told, "status")
    _known("status of a notice", status, [each.value for each in NoticeStatus])
    return NoticeState(
        _count(f"notices.{name}.episode", told.get("episode")), _count(f"notices.{name}.round", told.get("round")),
        NoticeStatus(status), _parsed(told.get("claimedAt")), _parsed(told.get("promiseAt")),
        _text(told, "machine", ""), _parsed(told.get("floorAt")),
    )  # fmt: skip


def _server(policy: Policy, told: Mapping[str, Any]) -> ServerFacts:
    lifecycle = _text(told, "lifecycle")
    _known(
        "server's state", lifecycle, [state for m in policy.machines.values() if m.of == "server" for state in m.ladder]
    )
    states = _states(policy, _map(told, "states"))
    return ServerFacts(_text(told, "id"), lifecycle, _text(told, "observed"), states)


def _told(server: ServerFacts) -> dict[str, Any]:
    own = {"states": dict(server.states)} if server.states else {}
    return {"id": server.server_id, "lifecycle": server.lifecycle, "observed": server.observed, **own}


def _map(told: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = told.get(key, {})
    if not isinstance(value, dict):
        raise SnapshotUnreadable(f"expected a map at `{key}`")
    return value


def _maps(told: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    value = told.get(key, [])
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise SnapshotUnreadable(f"expected a list of maps at `{key}`")
    return value


def _text(told: Mapping[str, Any], key: str, default: str | None = None) -> str:
    value = told.get(key, default)
    if not isinstance(value, str):
        raise SnapshotUnreadable(f"expected a text at `{key}`")
    return value


def _count(where: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < LARGEST:
        raise SnapshotUnreadable(f"expected a whole number at `{where}`")
    return value


def _known(sort: str, name: str, names: Iterable[str]) -> None:
    listed = list(names)
    if name not in listed:
        raise SnapshotUnreadable(f"the policy has no {sort} `{shown(name)}`; {meant(name, listed)}".rstrip("; "))


def _instant(at: datetime | None) -> str | None:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z") if at is not None else None


def _parsed(text: Any) -> datetime | None:
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        raise SnapshotUnreadable(f"`{shown(str(text))}` is no instant; write it as `2026-03-01T08:00:00Z`") from None
    if at.tzinfo is None:
        raise SnapshotUnreadable(f"`{text}` does not say its zone; write it as `2026-03-01T08:00:00Z`")
    if at.year not in YEARS:
        raise SnapshotUnreadable(f"`{text}` lies outside the years {YEARS.start} to {YEARS.stop - 1}")
    return at.astimezone(UTC)
