"""What an admin may do, whoever brings the wish: the API's routes and the desk's forms call these. Nothing destroys."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Connection, text

from engine.consent import asks_two
from engine.model import Machine, Policy, RuleKind
from engine.snapshot import Command
from storage import accounts, brakes, clock, disputes, holds, intents, ledger, operations, operations_settle, policies
from storage.audit import AuditNote
from storage.errors import DestructiveRefused
from storage.intents_outbox import Outbox
from storage.operations import Operation
from storage.stripe import inbox, inbox_review
from web.auth import Caller
from web.gates import ask as ask_gate
from web.problems import Problem, bad_input, conflict, nothing_here
from web.services import Services

# Their actions need to be told which backup they are about.
ELSEWHERE = {"create_backup": "POST /api/servers/{serverId}/backups"}
# What takes two people takes the typed name too.
APPROVALS = "POST /api/admin/accounts/{accountId}/deletion/approve"


def ask(
    services: Services, caller: Caller, action: str, account_id: UUID, server_id: UUID | None, *, reason: str = ""
) -> tuple[Outbox, ...]:
    """Ask for an intent by its name; return what was asked. Raises DestructiveRefused, once the refusal is audited."""
    if action in ELSEWHERE:
        raise conflict("ASK_ELSEWHERE", f"`{action}` is asked for with `{ELSEWHERE[action]}`.")

    def write(conn: Connection) -> tuple[Outbox, ...] | DestructiveRefused:
        accounts.account_view(conn, account_id)  # one that does not exist is 404, not dropped
        more: dict[str, Any] = {"actor": caller.actor, "reason": reason, "world": services.world}
        return intents.ask(conn, policies.in_force(conn), action, account_id, server_id, **more)

    asked = services.database.transact(f"`{action}`", write)
    if isinstance(asked, DestructiveRefused):
        raise asked
    services.wake(asked)
    return asked


def set_hold(
    services: Services, caller: Caller, kind: str, account_id: UUID | None, until: datetime | None, *, reason: str
) -> UUID:
    """Pause enforcement for an account, or for everybody; return the hold. Raises the 400."""

    def write(conn: Connection) -> tuple[UUID, tuple[Outbox, ...]]:
        policy = policies.in_force(conn)
        known = holds.kinds(policy)
        if kind not in known:
            raise bad_input(f"`kind` must be {' or '.join(f'`{each}`' for each in known)}.", field="kind")
        if until is not None and until <= clock.now(conn):
            raise bad_input("`until` is over already.", field="until")
        if account_id is not None:
            accounts.account_view(conn, account_id)
        more: dict[str, Any] = {"by": caller.actor, "reason": reason, "world": services.world}
        return holds.set_hold(conn, policy, kind, account_id=account_id, until=until, **more)

    hold_id, asked = services.database.transact("the hold", write)
    services.wake(asked)
    return hold_id


def end_hold(services: Services, caller: Caller, hold_id: UUID, reason: str = "") -> None:
    """End a hold before its time. Nobody is restricted by that at once: dates are told again, and leave their time."""

    def write(conn: Connection) -> tuple[Outbox, ...]:
        more: dict[str, Any] = {"by": caller.actor, "reason": reason, "world": services.world}
        return holds.end_hold(conn, policies.in_force(conn), hold_id, **more)

    services.wake(services.database.transact("the hold", write))


def exempt(services: Services, caller: Caller, account_id: UUID, until: datetime | None, reason: str) -> None:
    """Exempt an account from being pressed for money until an instant; None ends it."""

    def write(conn: Connection) -> tuple[Outbox, ...]:
        more: dict[str, Any] = {"by": caller.actor, "reason": reason, "world": services.world}
        return accounts.exempt(conn, policies.in_force(conn), account_id, until, **more).intents

    services.wake(services.database.transact("the exemption", write))


def settle_dispute(
    services: Services, caller: Caller, dispute_id: str, reason: str, *, account_id: UUID | None = None
) -> None:
    """Count a lost dispute as settled: paid elsewhere, or not asked for any more. Settled twice, it is settled once.

    account_id: whose it has to be, where somebody has looked at that account.
    """

    def write(conn: Connection) -> tuple[Outbox, ...]:
        more: dict[str, Any] = {"by": caller.actor, "reason": reason, "world": services.world}
        recorded = disputes.settle(conn, policies.in_force(conn), dispute_id, account_id=account_id, **more)
        return recorded.intents if recorded is not None else ()

    services.wake(services.database.transact("the dispute", write))


# ---- commands to the ladders -----------------------------------------------------------------------------------------


def command(services: Services, caller: Caller, account_id: UUID, event: str, reason: str = "") -> ledger.Recorded:
    """Send a person's event to the account's ladders. One that moves nothing now is refused, with the reason."""

    def write(conn: Connection) -> ledger.Recorded:
        policy = policies.in_force(conn)
        if event not in (known := events_of(policy)):
            raise bad_input(f"`event` must be one of {', '.join(f'`{each}`' for each in known)}.", field="event")
        if event in two_ask(policy):
            raise conflict("ASK_ELSEWHERE", f"`{event}` takes two people, and is sent with `{APPROVALS}`.")
        return _send(conn, services, policy, caller, account_id, event, reason=reason)

    recorded = services.database.transact(f"account `{account_id}`", write)
    services.wake(recorded.intents)
    return recorded


def suspend(services: Services, caller: Caller, account_id: UUID, machine_name: str, reason: str) -> str:
    """Climb a ladder that people alone move, to its top, rung by rung and at once; return where that is."""

    def write(conn: Connection) -> tuple[str, list[Outbox]]:
        policy = policies.in_force(conn)
        machine = _by_hand(policy, machine_name)
        state = accounts.account_view(conn, account_id).states.get(machine.name, machine.initial)
        if state == machine.ladder[-1]:
            raise conflict("ALREADY_THERE", f"This account is {state} for {machine.cause} already.")
        asked: list[Outbox] = []
        for _ in machine.ladder:
            event = next((rule.event for rule in machine.pressure if state in rule.sources and rule.to), None)
            if event is None:
                break
            recorded = _send(conn, services, policy, caller, account_id, event, reason=reason)
            asked += recorded.intents
            state = recorded.settlement.snapshot.states[machine.name]
        return state, asked

    state, asked = services.database.transact(f"account `{account_id}`", write)
    services.wake(asked)
    return state


def lift(services: Services, caller: Caller, account_id: UUID, machine_name: str, reason: str) -> None:
    """Lift what a ladder that people alone move has imposed. Whatever else restricts the account goes on."""

    def write(conn: Connection) -> tuple[Outbox, ...]:
        policy = policies.in_force(conn)
        machine = _by_hand(policy, machine_name)
        state = accounts.account_view(conn, account_id).states.get(machine.name, machine.initial)
        event = next((rule.event for rule in machine.relief if state in rule.sources), None)
        if event is None:
            raise conflict("NOTHING_TO_LIFT", f"This account is not restricted for {machine.cause}.")
        return _send(conn, services, policy, caller, account_id, event, reason=reason).intents

    services.wake(services.database.transact(f"account `{account_id}`", write))


def _send(
    conn: Connection, services: Services, policy: Policy, caller: Caller, account_id: UUID, event: str, *, reason: str
) -> ledger.Recorded:
    said = [AuditNote("admin", event, caller.actor, reason)] if reason else []
    sent = Command(event, "admin", caller.actor)
    return ledger.record(
        conn, policy, account_id, command=sent, actor=caller.actor, evidence=said, world=services.world
    )


def events_of(policy: Policy) -> list[str]:
    """Return the events that an admin may send to an account."""
    rules = (rule for machine in policy.account_machines for rule in machine.rules if rule.kind is not RuleKind.MOVE)
    return sorted({rule.event for rule in rules if rule.event is not None and rule.by == "admin"})


def two_ask(policy: Policy) -> set[str]:
    """Return the events that another admin than the one before has to send."""
    return {str(rule.event) for machine in policy.account_machines for rule in machine.rules if asks_two(rule)}


def by_hand(policy: Policy) -> list[Machine]:
    """Return the ladders that admins alone move, by commands: no time and no payment reaches them."""
    return [
        machine
        for machine in policy.account_machines
        if machine.pressure and all(rule.event is not None and rule.by == "admin" for rule in machine.rules)
    ]


def _by_hand(policy: Policy, name: str) -> Machine:
    found = next((machine for machine in by_hand(policy) if machine.name == name), None)
    if found is None:
        raise nothing_here("cause")
    return found


# ---- what waits for a person -----------------------------------------------------------------------------------------


def resolve(
    services: Services, caller: Caller, intent_id: UUID, outcome: Literal["delivered", "again"], reason: str = ""
) -> None:
    """Settle what is unknown or failed, after a look at what really happened."""

    def write(conn: Connection) -> tuple[Outbox, ...]:
        if conn.execute(text("SELECT 1 FROM intents WHERE id = :id"), {"id": intent_id}).first() is None:
            raise nothing_here("intent")
        more: dict[str, Any] = {"actor": caller.actor, "reason": reason, "world": services.world}
        return intents.resolve(conn, policies.in_force(conn), intent_id, outcome, **more)

    services.wake(services.database.transact("the intent", write))


def release_brake(services: Services, caller: Caller, name: str, allowance: int | None, reason: str = "") -> None:
    """Let a tripped brake go, after a look at whom it holds. Raises the 400, 404 or 409."""
    if allowance is not None and not 0 <= allowance <= 1_000_000:
        raise bad_input("`allowance` is a whole number from 0 to 1000000.", field="allowance")

    def write(conn: Connection) -> bool:
        now = clock.now(conn)
        if name not in {brake.name for brake in brakes.states(conn, policies.in_force(conn), now)}:
            raise nothing_here("brake")
        return brakes.release(conn, name, caller.actor, now, allowance, reason)

    if not services.database.transact("the brake", write):
        raise Problem(409, "BRAKE_NOT_TRIPPED", "This brake has not tripped.")


def replay_event(services: Services, caller: Caller, event_id: str, reason: str) -> inbox.Taken:
    """Take an event of Stripe's again that was parked or quarantined; return what became of it."""
    terms = inbox.Terms.of(services.settings)

    def write(conn: Connection) -> inbox.Taken:
        policy = policies.in_force(conn)
        return inbox_review.replay(conn, policy, event_id, terms=terms, by=caller.actor, reason=reason)

    taken = services.database.transact("the event", write)
    services.wake(taken.intents)
    return taken


def dismiss_event(services: Services, caller: Caller, event_id: str, reason: str) -> None:
    """Set an event of Stripe's aside for good that was parked or quarantined; it stays in the log."""

    def write(conn: Connection) -> None:
        inbox_review.dismiss(conn, event_id, by=caller.actor, reason=reason)

    services.database.transact("the event", write)


def resume_operation(services: Services, caller: Caller, operation_id: UUID, reason: str) -> Operation:
    """Let a failed operation go on where it stands. Billing is asked as for anybody who starts a server."""

    def write(conn: Connection) -> tuple[Operation, tuple[Outbox, ...]]:
        found = operations.get(conn, operation_id)
        gate = operations_settle.GATE_OF.get(found.kind)
        if found.state == "failed" and found.server_id is not None and gate is not None:
            ask_gate(conn, services, caller, gate, server_id=str(found.server_id), lock=True, also_gone=True)
        more: dict[str, Any] = {"actor": caller.actor, "reason": reason, "world": services.world}
        return operations_settle.resume(conn, policies.in_force(conn), operation_id, **more)

    return _settled(services, write)


def clean_up_operation(services: Services, caller: Caller, operation_id: UUID, reason: str) -> Operation:
    """Take away what a failed order made: that alone, and never a server that has run."""

    def write(conn: Connection) -> tuple[Operation, tuple[Outbox, ...]]:
        more: dict[str, Any] = {"actor": caller.actor, "reason": reason, "world": services.world}
        return operations_settle.clean_up(conn, policies.in_force(conn), operation_id, **more)

    return _settled(services, write)


def _settled(services: Services, write: Callable[[Connection], tuple[Operation, tuple[Outbox, ...]]]) -> Operation:
    operation, asked = services.database.transact("the operation", write)
    services.wake(asked)
    return operation
