"""The end of an account that two admins gave up: its last backups, then its servers, each one asked about again.

INVARIANT: right before each server, under the account's lock, all that led here has to hold still; a payment that was
committed before is seen, one that comes later ends it before the next server.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import timedelta

from sqlalchemy import Connection, text

from engine.errors import CommandRefused
from engine.executor import marks_of
from engine.model import Value
from engine.snapshot import Command
from engine.upheld import upheld
from engine.wanted import Verdict, wanted
from jobs import edge
from jobs.actions.backups import NothingKept
from jobs.actions.delays import MOMENT, delay
from jobs.actions.delete import NotGone
from jobs.actions.enforcement import NOW, unless_wanted
from jobs.actions.final_backups import checked, final_backup_id, keep, kept
from jobs.actions.targets import spec_of
from jobs.context import Context
from jobs.faults import pause
from jobs.hosts.base import StillRunning
from jobs.stripe.client import StandingPoll, StandingUnknown
from storage import audit, gather, ledger, policies, servers
from storage.alerts import raise_alert
from storage.audit import AuditNote
from storage.backups import Backup
from storage.intents import Again, Claim, Done, Outcome
from storage.ledger_servers import move_server
from storage.servers import Server

LOOK_AGAIN = timedelta(minutes=10)
TRY_SECONDS = 240.0  # less than half of what a claim lasts: a backup that has begun may take its time
ACTOR = "worker"
BACKED_UP = "final_backups_made"
DESTROYED = "servers_destroyed"
HELD = "destruction_held"
UNDER_WAY = text(
    "SELECT 1 FROM intents WHERE account_id = :account AND intent = 'destroy_servers' AND status = 'started' LIMIT 1"
)


def make_final_backups(context: Context, claim: Claim) -> Outcome:
    """Back every server up once more, read each backup back, and then say that all are there."""
    until = time.monotonic() + TRY_SECONDS
    owned = _owned(context, claim)
    for server in owned:
        if lapsed := unless_wanted(context, claim) or _over(until):
            return lapsed
        if refused := _back_up(context, claim, server):
            return refused
    if lapsed := unless_wanted(context, claim):
        return lapsed
    refused_report = _report(context, claim, BACKED_UP)
    if refused_report is not None and not _is_marked(context, claim, BACKED_UP):
        return Again(LOOK_AGAIN, refused_report, counts=False)
    return Done(f"{len(owned)} servers are backed up, and each backup was read back")


def destroy_servers(context: Context, claim: Claim) -> Outcome:
    """Take the account's servers away, one after the other, each after asking everything again. Their backups stay."""
    until = time.monotonic() + TRY_SECONDS
    for server in _owned(context, claim):
        if lapsed := unless_wanted(context, claim) or _over(until):
            return lapsed
        if refused := _take_away(context, claim, server):
            return refused
    if lapsed := unless_wanted(context, claim):
        return lapsed
    _report(context, claim, DESTROYED)
    return Done("all servers are gone; their last backups are kept")


def _back_up(context: Context, claim: Claim, server: Server) -> Outcome | None:
    """Make a server's last backup, unless it is there; return how to end when it could not be made yet."""
    if kept(context, claim.account_id, claim.episode, server) is not None:
        return None
    host, spec = context.host(server.host), spec_of(server)
    seen = host.observe(spec)
    if seen.observed == "missing" and server.ran_at is None:
        return None  # it was never made: there is nothing to keep
    if seen.observed == "missing":
        raise NothingKept(str(server.id))
    if seen.observed != "stopped":
        return Again(delay(claim), f"`{server.name}` is {seen.observed}: {seen.detail}")
    backup_id = final_backup_id(claim.account_id, claim.episode, server.id)
    host.create_backup(spec, str(backup_id))
    keep(context, server, backup_id, checked(host, spec, backup_id))
    return None


def _take_away(context: Context, claim: Claim, server: Server) -> Outcome | None:
    """Take one server away; return how to end when it has to be left alone for now."""
    if (unknown := _asked_stripe(context, claim)) is not None:
        return Again(delay(claim), unknown)
    host, spec = context.host(server.host), spec_of(server)
    seen = host.observe(spec)
    if seen.observed not in {"stopped", "missing"}:
        raise StillRunning(str(server.id))
    backup = kept(context, claim.account_id, claim.episode, server)
    if backup is None and (seen.observed != "missing" or server.ran_at is not None):
        raise NothingKept(str(server.id))
    if backup is not None:
        checked(host, spec, backup.id, backup.sha256)
    verdict = _begin(context, claim, server, backup)
    if not verdict.ok:
        return Again(LOOK_AGAIN, f"`{server.name}` is left alone: {verdict.reason}", counts=False)
    pause(context.settings, claim.intent, "in_destroy")
    host.destroy(spec)
    if host.observe(spec).observed != "missing":
        raise NotGone(str(server.id))
    _gone(context, claim, server)
    return None


def _over(until: float) -> Outcome | None:
    """Return how to end once a try has taken long: a claim lasts only so long, and the rest is the next one's."""
    return Again(NOW, "there are more", counts=False) if time.monotonic() > until else None


def spare_servers(context: Context, claim: Claim) -> Outcome:
    """Look after what a deletion that has ended left half done: what is gone is written down, the rest given back."""
    with context.database.begin() as conn:
        if conn.execute(UNDER_WAY, {"account": claim.account_id}).first() is not None:
            return Again(MOMENT, "a worker is still at it", counts=False)
    cut_short = [server for server in _owned(context, claim) if server.lifecycle == "destroying"]
    for server in cut_short:
        seen = context.host(server.host).observe(spec_of(server))
        if seen.observed == "missing":
            _gone(context, claim, server)
        elif seen.observed == "stopped":
            _give_back(context, claim, server)
        else:
            return Again(delay(claim), f"`{server.name}` is {seen.observed}: {seen.detail}")
    return Done(f"{len(cut_short)} servers were half taken away" if cut_short else "nothing had been begun")


def _owned(context: Context, claim: Claim) -> Sequence[Server]:
    """Return the servers that are not gone; one that was begun comes first."""
    with context.database.begin() as conn:
        found = servers.of_account(conn, claim.account_id)
    return sorted(found, key=lambda server: (server.lifecycle != "destroying", server.created_at, server.id))


def _asked_stripe(context: Context, claim: Claim) -> str | None:
    """Ask Stripe again, where there is a key; return why it gave no answer. Without one the mirror is all there is."""
    if not context.settings.stripe_api_key:
        return None
    try:
        StandingPoll(context.settings, context.database).refresh(claim.policy, claim.account_id)
    except StandingUnknown as error:
        return str(error)
    return None


def _begin(context: Context, claim: Claim, server: Server, backup: Backup | None) -> Verdict:
    """Ask everything again, and write down that this server goes now; or that it does not."""

    def work(conn: Connection) -> Verdict:
        policy = policies.in_force(conn)
        recorded = ledger.record(conn, policy, claim.account_id, actor=ACTOR, world=context.world)
        snapshot, now = recorded.settlement.snapshot, recorded.at
        verdict = wanted(policy, snapshot, claim.intent, claim.machine, claim.episode, now, round_=claim.round)
        if verdict.ok and snapshot.episodes.get(claim.machine) != claim.episode:
            verdict = Verdict(False, "another deletion than the one that asked for it")
        if not verdict.ok:
            return verdict
        verdict = upheld(policy, snapshot, claim.machine, claim.intent, now)
        if not verdict.ok:
            if snapshot.holds:  # somebody was given time: people decide anew
                held = Command(HELD, "worker", ACTOR)
                ledger.record(conn, policy, claim.account_id, command=held, actor=ACTOR, world=context.world)
            return verdict
        return _written_down(conn, context, claim, server, backup, snapshot.senders)

    return context.database.transact(f"server `{server.id}`", work)


def _written_down(
    conn: Connection, context: Context, claim: Claim, server: Server, backup: Backup | None, by: Mapping[str, str]
) -> Verdict:
    """Audit who wanted it and what is kept, and let the server's lifecycle say that it goes."""
    policy = policies.in_force(conn)
    if server.lifecycle != "destroying":
        moved = move_server(conn, policy, server.id, "destruction_started", actor=ACTOR, world=context.world)
        if moved.to != "destroying":
            return Verdict(False, f"it is {moved.to}")
    facts: dict[str, Value] = {
        "server_id": str(server.id),
        "name": server.name,
        "requested_by": by.get("deletion_requested"),
        "approved_by": by.get("deletion_approved"),
        "backup_id": str(backup.id) if backup is not None else None,
        "backup_sha256": backup.sha256 if backup is not None else None,
    }
    note = AuditNote("server", "destroy_server", ACTOR, "two admins have agreed, and nothing has ended it", facts=facts)
    audit.append(conn, claim.account_id, [note], policy.digest)
    return Verdict(True, "it goes now")


def _gone(context: Context, claim: Claim, server: Server) -> None:
    """Write down that its host shows nothing of it any more, and take back what leads to it."""

    def work(conn: Connection) -> None:
        policy = policies.in_force(conn)
        move_server(conn, policy, server.id, "deletion_observed", actor=ACTOR, world=context.world)
        if not _goes_on(conn, context, claim):
            _tell(conn, context, claim, server, "was taken away in the moment in which its deletion ended")

    context.database.transact(f"server `{server.id}`", work)
    edge.withdraw(context, server)


def _give_back(context: Context, claim: Claim, server: Server) -> None:
    """Give back what a deletion left of a server. Nothing is restored over it: people look at what is there first."""

    def work(conn: Connection) -> None:
        move_server(conn, policies.in_force(conn), server.id, "destruction_ended", actor=ACTOR, world=context.world)
        _tell(conn, context, claim, server, "may be damaged: its deletion ended while it was being taken away")

    context.database.transact(f"server `{server.id}`", work)


def _goes_on(conn: Connection, context: Context, claim: Claim) -> bool:
    """Tell whether the deletion that asked for this goes on."""
    policy = policies.in_force(conn)
    snapshot = gather.snapshots(conn, policy, [claim.account_id], context.world)[claim.account_id]
    same = snapshot.episodes.get(claim.machine) == claim.episode
    return same and snapshot.states.get(claim.machine) != policy.machines[claim.machine].initial


def _tell(conn: Connection, context: Context, claim: Claim, server: Server, what: str) -> None:
    backup = kept(context, claim.account_id, claim.episode, server, conn)
    last = f"its last backup is {backup.id}" if backup is not None else "it has no last backup"
    words = f"server {server.id} (`{server.name}`) {what}; {last}; please look at it and write to its customer"
    raise_alert(conn, "enforcement_failed", words, claim.account_id, key=f"spared:{claim.episode}:{server.id}")


def _report(context: Context, claim: Claim, event: str) -> str | None:
    """Tell the machine what was done; return why it does not take it."""
    command = Command(event, "worker", ACTOR, machine=claim.machine)

    def work(conn: Connection) -> None:
        ledger.record(
            conn, policies.in_force(conn), claim.account_id, command=command, actor=ACTOR, world=context.world
        )

    try:
        context.database.transact(f"account `{claim.account_id}`", work)
    except CommandRefused as error:
        return error.reason
    return None


def _is_marked(context: Context, claim: Claim, mark: str) -> bool:
    """Tell whether the mark stands: an earlier try may have died right after it set it."""
    with context.database.begin() as conn:
        policy = policies.in_force(conn)
        snapshot = gather.snapshots(conn, policy, [claim.account_id], context.world)[claim.account_id]
    fact = marks_of(policy).get((claim.machine, mark))
    return fact is not None and snapshot.facts.get(fact) is not None
