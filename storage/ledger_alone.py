"""Puts one server on a rung of its own, or takes it off: the one writer of `servers.states`.

Its account stays where it is, and so do the account's other servers. The account's row is locked first, as for every
decision about it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

from engine import alone
from engine.model import STOPPED_BILLING_STATES, Policy, Value
from engine.servers import own_state
from engine.snapshot import Asked, Command
from storage import clock, policies
from storage.audit import AuditNote
from storage.errors import UnknownServer
from storage.gather import World
from storage.intents_outbox import Outbox
from storage.ledger_batch import Change, Order, lock, record_change
from storage.ledger_servers import move_server

OWNER: Final = text("SELECT account_id FROM servers WHERE id = :id AND lifecycle <> 'deleted'")
ASKED_LATELY: Final = World(stripe_key=True)  # nobody is suspended for debt by a deployment; the sweep decides that
READ: Final = text("SELECT states, round FROM servers WHERE id = :id FOR NO KEY UPDATE")
WRITE: Final = text(
    "UPDATE servers SET states = CAST(:states AS jsonb), own_billing_state = :state, own_billing_machine = :machine, "
    "own_billing_code = :code, round = :round WHERE id = :id"
)
OWNERS: Final = text("SELECT DISTINCT account_id FROM servers WHERE states <> '{}'::jsonb")
ALONE: Final = text(
    "SELECT id, account_id, lifecycle, states, round FROM servers WHERE states <> '{}'::jsonb "
    "ORDER BY id FOR NO KEY UPDATE"
)


@dataclass(frozen=True, slots=True)
class Commanded:
    """What a command made of one server."""

    server_id: UUID
    states: Mapping[str, str]
    """Its rungs of its own, by machine, where it is not on the first."""
    intents: tuple[Outbox, ...]


def command_server(
    conn: Connection, policy: Policy, server_id: UUID, command: Command, *, reason: str = "", world: World | None = None
) -> Commanded:
    """Let a person's command put one server on a rung of its own, or take it off, and ask for what follows.

    A server that is stopped by it is wanted stopped from now on, in the same transaction. Raises UnknownServer,
    and CommandRefused when no rule takes the command.
    """
    # INVARIANT: a policy that lacks a rung is refused while a server stands on it, so none comes into force meanwhile.
    policy = policies.deciding(conn, policy, policies.stay_in_force(conn))
    account_id = conn.execute(OWNER, {"id": server_id}).scalar_one_or_none()
    if account_id is None:
        raise UnknownServer(server_id)
    lock(conn, [account_id])
    row = conn.execute(READ, {"id": server_id}).one()
    step = alone.command_server(policy, row.states, command, clock.now(conn))
    stopped = _write(conn, policy, server_id, step.states, row.round + 1)
    name, machine = str(server_id), step.rule.machine
    asked = [Asked(each, policy.intents[each].kind, machine, 0, row.round + 1, name) for each in step.asks]
    told = tuple(f"{each}:{name}" for each in step.asks)
    facts = {"server_id": name}
    notes = [AuditNote("admin", command.event, command.actor, reason, facts=facts)] if reason else []
    notes += [
        AuditNote("server", step.rule.id, command.actor, step.rule.name, step.from_, step.to, step.place, facts, told)
    ]
    change = Change(notes=tuple(notes), orders=[Order(each) for each in asked])
    recorded = record_change(conn, policy, account_id, change, actor=command.actor, world=world)
    intents = recorded.intents
    if stopped:
        wish = move_server(
            conn, policy, server_id, None, role=command.role, actor=command.actor, desired="stopped", world=world
        )
        intents += wish.intents
    return Commanded(server_id, step.states, intents)


def read_anew(conn: Connection, policy: Policy, mapping: Mapping[tuple[str, str], str], by: str) -> None:
    """Say again, under a policy that comes into force, what the rungs of single servers mean.

    mapping: where those go whose rung the policy lacks, by machine and state. What no machine of the policy lets a
    single server have is taken away; that nobody was suspended by it is looked at before (`policies.deploy`).
    """
    lock(conn, list(conn.execute(OWNERS).scalars()))
    ladders = {machine.name: machine.ladder for machine in policy.account_machines if machine.each_server}
    for row in conn.execute(ALONE).all():
        led = {name: mapping.get((name, state), state) for name, state in row.states.items()}
        # Rungs that are unknown here are those of servers that are gone: they hold nothing up.
        states = {name: state for name, state in led.items() if state in ladders.get(name, ())[1:]}
        stopped = _write(conn, policy, row.id, states, row.round)
        if row.lifecycle == "deleted":
            continue
        facts: dict[str, Value] = {"server_id": str(row.id)}
        notes = [
            AuditNote("admin", "map_state", by, "the policy lacks the state", state, led[name], facts=facts)
            for name, state in row.states.items()
            if led[name] != state
        ]
        if notes:
            record_change(conn, policy, row.account_id, Change(notes=tuple(notes)), actor=by, world=ASKED_LATELY)
        if stopped:
            move_server(conn, policy, row.id, None, actor=by, desired="stopped", world=ASKED_LATELY)


def _write(conn: Connection, policy: Policy, server_id: UUID, states: Mapping[str, str], number: int) -> bool:
    """Write down the rungs of a server and what they say; tell whether it is to be stopped."""
    own = own_state(policy, states)
    said = {"state": own.state, "machine": own.machine if states else "", "code": own.code}
    conn.execute(WRITE, {"id": server_id, "states": json.dumps(dict(states)), "round": number, **said})
    return own.state in STOPPED_BILLING_STATES
