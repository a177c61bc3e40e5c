"""Which policy is in force: its texts with the overrides resolved, kept in the database, the same for every process."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import Connection, Engine, text

from engine.model import Machine, Policy
from engine.snapshot import Snapshot
from storage import audit
from storage.alerts import raise_alert
from storage.audit import AuditNote
from storage.database import engine_of
from storage.errors import NoPolicy, PolicyMoved, StateVanished
from storage.settings import OVERRIDE_PREFIX

KEPT: Final = 8
NO_MAPPING: Final[Mapping[tuple[str, str], str]] = MappingProxyType({})
_kept: OrderedDict[str, Policy] = OrderedDict()
_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class Deployed:
    """One policy that was deployed."""

    digest: str
    deployed_at: datetime
    deployed_by: str
    note: str
    env: Mapping[str, str]


def deploy_folder(
    where: str | Engine,
    folder: Path,
    env: Mapping[str, str],
    by: str,
    *,
    note: str = "",
    mapping: Mapping[tuple[str, str], str] = NO_MAPPING,
) -> tuple[Policy, bool]:
    """Check a policy folder and put it in force; return it and whether anything changed.

    env: the environment; its `BILLING_…` overrides are resolved now, once, and become part of the digest. Every account
    is decided again under the new policy by the sweeps that follow. Raises PolicyFaults with every fault, and
    StateVanished when an account or server is in a state that the new policy lacks: nothing has changed then.
    """
    from engine.load import bundle, load_texts

    overrides = {name: value for name, value in sorted(env.items()) if name.startswith(OVERRIDE_PREFIX)}
    texts = bundle(folder)
    policy = load_texts(texts, overrides)
    engine = engine_of(where, pool_size=1) if isinstance(where, str) else where
    try:
        with engine.begin() as conn:
            return policy, deploy(conn, policy, texts, overrides, by, note=note, mapping=mapping)
    finally:
        if isinstance(where, str):
            engine.dispose()


def deploy(
    conn: Connection,
    policy: Policy,
    texts: Mapping[str, str],
    overrides: Mapping[str, str],
    by: str,
    *,
    note: str = "",
    mapping: Mapping[tuple[str, str], str] = NO_MAPPING,
    over: str | None = None,
) -> bool:
    """Put a checked policy in force; tell whether it was another one. Raises StateVanished.

    mapping: where accounts go that are in a state which the policy lacks, by machine and state; added to the policy's
    own. over: the digest that was in force when the effect was looked at. Raises PolicyMoved when it no longer is.
    """
    # Whoever decides reads this row without a lock, and its epoch tells afterwards which accounts to decide again.
    find = text("SELECT digest FROM policy_in_force FOR UPDATE")
    before = conn.execute(find).scalar_one()
    if before == policy.digest:
        return False
    if over is not None and before != over:
        raise PolicyMoved(over, before)
    mapping = {**mapping_of(policy), **mapping}
    _refuse_vanished(conn, policy, before, mapping)
    _keep(policy)
    store = text(
        "INSERT INTO policies (digest, texts, env, deployed_by, note) "
        "VALUES (:digest, CAST(:texts AS jsonb), CAST(:env AS jsonb), :by, :note) "
        "ON CONFLICT (digest) DO UPDATE "
        "SET deployed_at = now(), deployed_by = excluded.deployed_by, note = excluded.note"
    )
    values = {"digest": policy.digest, "texts": _json(texts), "env": _json(overrides), "by": by, "note": note}
    conn.execute(store, values)
    move = text("UPDATE policy_in_force SET digest = :digest, epoch = epoch + 1, since = now()")
    conn.execute(move, {"digest": policy.digest})
    said = AuditNote("policy", "deploy_policy", by, because=note, from_=before, to=policy.digest, facts=overrides)
    audit.append(conn, None, [said], policy.digest)
    raise_alert(conn, "policy_deployed", f"{by} put policy {policy.digest[:12]} in force{': ' if note else ''}{note}")
    _map(conn, policy, mapping, by)
    _read_servers_anew(conn, policy, mapping, by)
    return True


def mapping_of(policy: Policy) -> dict[tuple[str, str], str]:
    """Return where the policy itself leads accounts whose state it lacks, by machine and state."""
    return {(each.name, old): to for each in policy.machines.values() for old, to in each.mapping.items()}


def mapped(snapshot: Snapshot, mapping: Mapping[tuple[str, str], str]) -> Snapshot:
    """Return the account with each state that the mapping names replaced."""
    states = {machine: mapping.get((machine, state), state) for machine, state in snapshot.states.items()}
    return snapshot if states == snapshot.states else replace(snapshot, states=states)


def _map(conn: Connection, policy: Policy, mapping: Mapping[tuple[str, str], str], by: str) -> None:
    """Move the accounts whose state is gone, in the same transaction, and decide them under the new policy."""
    from storage.gather import World
    from storage.ledger import record_many
    from storage.ledger_batch import Change

    asked_lately = World(stripe_key=True)  # nobody is suspended by the move itself; the sweep decides what waits
    for (machine, state), to in mapping.items():
        find = text("SELECT id FROM accounts WHERE states ->> :machine = :state ORDER BY id")
        ids = list(conn.execute(find, {"machine": machine, "state": state}).scalars())
        said = AuditNote("admin", "map_state", by, because="the policy lacks the state", from_=state, to=to)
        change = Change(notes=(said,), apply=lambda snapshot, _now: mapped(snapshot, mapping))
        if ids:
            record_many(conn, policy, ids, actor=by, changes=dict.fromkeys(ids, change), world=asked_lately)


def _read_servers_anew(conn: Connection, policy: Policy, mapping: Mapping[tuple[str, str], str], by: str) -> None:
    from storage.ledger_alone import read_anew

    read_anew(conn, policy, mapping, by)


def in_force(conn: Connection) -> Policy:
    """Return the policy that decides now. Raises NoPolicy.

    Reading the digest costs one short query; the policy itself is loaded once a process.
    """
    digest = conn.execute(text("SELECT digest FROM policy_in_force")).scalar_one()
    if digest is None:
        raise NoPolicy
    return load(conn, digest)


def stay_in_force(conn: Connection) -> str | None:
    """Return the digest of the policy in force, and let no other come into force until the transaction ends.

    To be asked before an account is locked, as a deployment locks in this order too.
    """
    digest: str | None = conn.execute(text("SELECT digest FROM policy_in_force FOR SHARE")).scalar_one()
    return digest


def digest_in_force(conn: Connection) -> str | None:
    """Return the digest of the policy in force; None: none was deployed."""
    digest: str | None = conn.execute(text("SELECT digest FROM policy_in_force")).scalar_one()
    return digest


def deciding(conn: Connection, policy: Policy, digest: str | None) -> Policy:
    """Return the policy with this digest, the one in force; the given one where none was deployed."""
    return policy if digest is None or digest == policy.digest else load(conn, digest)


def load(conn: Connection, digest: str) -> Policy:
    """Return a policy that was deployed once, from memory if it is there."""
    with _lock:
        kept = _kept.get(digest)
    if kept is not None:
        return kept
    from engine.load import load_texts

    row = conn.execute(text("SELECT texts, env FROM policies WHERE digest = :digest"), {"digest": digest}).one_or_none()
    if row is None:
        raise NoPolicy
    policy = load_texts(row[0], row[1], judging=False)
    _keep(policy)
    # An engine of another version may read the same texts as another meaning: what was deployed is what is in force.
    _keep(policy, digest)
    return policy


def texts_of(conn: Connection, digest: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return the files of a policy that was deployed, and the overrides that were resolved into it."""
    row = conn.execute(text("SELECT texts, env FROM policies WHERE digest = :digest"), {"digest": digest}).one_or_none()
    if row is None:
        raise NoPolicy
    return row[0], row[1]


def forget() -> None:
    """Forget what is kept in memory, as a process does that starts anew."""
    with _lock:
        _kept.clear()


def history(conn: Connection, limit: int = 50) -> list[Deployed]:
    """Return the policies that were deployed, newest first."""
    find = text(
        "SELECT digest, deployed_at, deployed_by, note, env FROM policies ORDER BY deployed_at DESC LIMIT :limit"
    )
    return [Deployed(*row) for row in conn.execute(find, {"limit": limit})]


def _keep(policy: Policy, digest: str | None = None) -> None:
    with _lock:
        _kept[digest or policy.digest] = policy
        while len(_kept) > KEPT:
            _kept.popitem(last=False)


def _json(texts: Mapping[str, str]) -> str:
    return json.dumps(dict(texts))


def _refuse_vanished(
    conn: Connection, policy: Policy, before: str | None, mapping: Mapping[tuple[str, str], str]
) -> None:
    """Look for accounts and servers in states that the new policy lacks; where a gone machine rested does not count."""
    if before is None:
        return
    occupied = []
    for machine in load(conn, before).machines.values():
        kept = policy.machines.get(machine.name)
        if kept is None:
            lost = [state for state in machine.ladder if state != machine.initial]
        else:
            lost = [state for state in machine.ladder if state not in kept.ladder]
        for state in lost:
            if machine.of == "account" and (machine.name, state) in mapping:
                continue
            if machine.of == "server":
                found = conn.execute(text("SELECT id FROM servers WHERE lifecycle = :state LIMIT 1"), {"state": state})
            else:
                find = text("SELECT id FROM accounts WHERE states ->> :machine = :state LIMIT 1")
                found = conn.execute(find, {"machine": machine.name, "state": state})
            one: Any = found.scalar_one_or_none()
            if one is not None:
                occupied.append((machine.name, state, f"{machine.of} {one}"))
        occupied += _alone(conn, machine, kept, mapping)
    if occupied:
        raise StateVanished(occupied)


def _alone(
    conn: Connection, machine: Machine, kept: Machine | None, mapping: Mapping[tuple[str, str], str]
) -> list[tuple[str, str, str]]:
    """Return the rungs of a machine, with a server each, on which single servers stand and may not stand any more."""
    if not machine.each_server:
        return []
    find = text(
        "SELECT states ->> :machine, min(id::text) FROM servers "
        "WHERE states ? :machine AND states <> '{}'::jsonb AND lifecycle <> 'deleted' GROUP BY 1 ORDER BY 1"
    )
    left = kept.ladder if kept is not None and kept.each_server else ()
    return [
        (machine.name, state, f"server {one}")
        for state, one in conn.execute(find, {"machine": machine.name})
        if state not in left and not (left and (machine.name, state) in mapping)
    ]
