"""What admins may do about an account that never paid: ask for its deletion, approve it as somebody else, withdraw it.

None of it destroys anything: that follows by the policy, days later, and a payment ends it until then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from engine.consent import asks_two
from engine.decide import settle
from engine.errors import EngineError
from engine.model import Machine, Policy
from engine.snapshot import Command, NoticeStatus, Snapshot
from storage import accounts, clock, gather, ledger, policies, servers
from storage.audit import AuditNote
from storage.gather import World
from web.auth import Caller
from web.problems import Problem, conflict
from web.services import Services

REQUESTED, APPROVED, WITHDRAWN = "deletion_requested", "deletion_approved", "deletion_withdrawn"
NOTICE = "send_deletion_notice"
MACHINE = "deletion"
SOMEBODY = "admin"  # whoever holds the shared token


@dataclass(frozen=True, slots=True)
class Deletion:
    """Where the deletion of an account stands, and what whoever looks may do about it."""

    rung: str
    """of the machine `deletion`; `requested` between the two admins."""
    switched_on: bool
    requested_by: str | None
    asked_by_you: bool
    approved_by: str | None
    noticed_at: datetime | None
    """When the last notice was delivered; null: it was not, or it is void."""
    not_before: datetime | None
    """What the last notice told its customer."""
    servers: int
    why_not_request: str | None
    why_not_approve: str | None
    may_withdraw: bool


def stands(conn: Connection, policy: Policy, account_id: UUID, world: World, caller: Caller) -> Deletion | None:
    """Return where an account's deletion stands; None under a policy that knows none."""
    machine = machine_of(policy)
    if machine is None:
        return None
    snapshot, now = gather.snapshots(conn, policy, [account_id], world)[account_id], clock.now(conn)
    rung = snapshot.states.get(machine.name, machine.initial)
    asked = REQUESTED in snapshot.senders and snapshot.states.get("billing") == "pending_deletion"
    notice = snapshot.notices.get(NOTICE)
    told = notice if rung != machine.initial else None
    return Deletion(
        rung="requested" if asked and rung == machine.initial else rung,
        switched_on=world.services.get(gather.DELETION_SWITCH) is True,
        requested_by=snapshot.senders.get(REQUESTED) if asked else None,
        asked_by_you=asked and snapshot.senders.get(REQUESTED) == caller.actor,
        approved_by=snapshot.senders.get(APPROVED) if rung != machine.initial else None,
        noticed_at=_delivered_at(policy, snapshot),
        not_before=told.promise_at if told is not None and told.status is NoticeStatus.DELIVERED else None,
        servers=len(snapshot.servers),
        why_not_request=_why_not(policy, snapshot, now, REQUESTED, caller),
        why_not_approve=_unknown_person(snapshot, caller) or _why_not(policy, snapshot, now, APPROVED, caller),
        may_withdraw=_why_not(policy, snapshot, now, WITHDRAWN, caller) is None,
    )


def request(services: Services, caller: Caller, account_id: UUID, typed: str, reason: str) -> ledger.Recorded:
    """Ask for the deletion of an account, whose customer's name was typed. Another admin has to approve it."""
    return _sent(services, caller, account_id, REQUESTED, typed, reason)


def approve(services: Services, caller: Caller, account_id: UUID, typed: str, reason: str) -> ledger.Recorded:
    """Approve what another admin has asked for. From here on the customer is told, and has time."""
    return _sent(services, caller, account_id, APPROVED, typed, reason)


def withdraw(services: Services, caller: Caller, account_id: UUID, reason: str) -> ledger.Recorded:
    """End a deletion that was asked for or approved; whoever is an admin may."""
    return _sent(services, caller, account_id, WITHDRAWN, None, reason)


def machine_of(policy: Policy) -> Machine | None:
    """Return the machine in which two admins agree; None when the policy has none."""
    found = (m for m in policy.account_machines if any(rule.event == APPROVED and asks_two(rule) for rule in m.rules))
    return next(found, None)


def _sent(
    services: Services, caller: Caller, account_id: UUID, event: str, typed: str | None, reason: str
) -> ledger.Recorded:
    if typed is not None and not caller.name:
        raise Problem(
            403,
            "NAMED_ADMIN_NEEDED",
            "This takes two people, and nobody knows who holds the shared token. Sign in at the desk.",
        )

    def write(conn: Connection) -> ledger.Recorded:
        policy = policies.in_force(conn)
        ledger.lock(conn, [account_id])
        view = accounts.account_view(conn, account_id)
        if typed is not None and typed != accounts.customer(conn, view.customer_id).name:
            raise conflict("NAME_DIFFERS", "That is not the name of this customer. Type it as it is shown.")
        if event == APPROVED:
            _check_approval(conn, services, policy, account_id, caller)
        said = AuditNote("admin", event, caller.actor, reason)
        sent = Command(event, "admin", caller.actor)
        return ledger.record(
            conn, policy, account_id, command=sent, actor=caller.actor, evidence=said, world=services.world
        )

    recorded = services.database.transact(f"account `{account_id}`", write)
    services.wake(recorded.intents)
    return recorded


def _check_approval(conn: Connection, services: Services, policy: Policy, account_id: UUID, caller: Caller) -> None:
    if not servers.of_account(conn, account_id):
        raise conflict("NOTHING_TO_DELETE", "This account has no servers; there is nothing to delete.")
    snapshot = gather.snapshots(conn, policy, [account_id], services.world)[account_id]
    if (why := _unknown_person(snapshot, caller)) is not None:
        raise conflict("COMMAND_REFUSED", why)


def _unknown_person(snapshot: Snapshot, caller: Caller) -> str | None:
    """Return why nobody can tell that these are two people."""
    if not caller.name:
        return "Whoever approves has to be signed in: nobody knows who holds the shared token."
    if snapshot.senders.get(REQUESTED) == SOMEBODY:
        return "It was asked for with the shared token, nobody knows by whom. Withdraw it, and ask for it signed in."
    return None


def _why_not(policy: Policy, snapshot: Snapshot, now: datetime, event: str, caller: Caller) -> str | None:
    """Return why the event would be refused now; None when it would be taken. Nothing is written."""
    try:
        settle(policy, snapshot, now, Command(event, "admin", caller.actor))
    except EngineError as error:
        return str(getattr(error, "reason", error))
    return None


def _delivered_at(policy: Policy, snapshot: Snapshot) -> datetime | None:
    facts: Mapping[str, object] = snapshot.facts
    for fact in policy.facts.values():
        if fact.of == NOTICE and isinstance(at := facts.get(fact.name), datetime):
            return at
    return None
