"""Backups: made, restored over a safety copy, deleted. Deleting and pruning are people's requests, never a rule's."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID, uuid5

from sqlalchemy import Connection

from jobs.actions.delays import MOMENT, delay, is_last
from jobs.actions.enforcement import STOP_SECONDS, is_down, unless_wanted
from jobs.actions.provision import operation_of
from jobs.actions.targets import locked_server, spec_of
from jobs.context import Context
from jobs.hosts.base import BackupDamaged, BackupMissing, HostBusy, HostError, HostFull
from jobs.observe import note_observation
from storage import backups, operations, policies
from storage.alerts import raise_alert
from storage.intents import Again, Claim, Done, GiveUp, Outcome
from storage.ledger_servers import move_server
from storage.servers import Server

KEPT_WHEN_PRUNED = 3
SORRY_BACKUP = "The backup could not be made. Your files are as they were; please try again, or write to us."
SORRY_RESTORE = "The backup could not be restored. Your files are as they were; please try again, or write to us."


def create_backup(context: Context, claim: Claim) -> Outcome:
    """Back a server up under the id that it was asked for with, so that doing it again is the same backup."""
    backup_id = backup_of(claim)
    server = locked_server(context, claim.server_id)
    if lapsed := unless_wanted(context, claim):
        return lapsed
    if not _enter(context, server, "backup_started", "backing_up"):
        return Again(MOMENT, f"it is {server.lifecycle}", counts=False)
    _row(context, claim, lambda conn: backups.set_state(conn, backup_id, "in_progress"), "in_progress", "copying")
    try:
        made = context.host(server.host).create_backup(spec_of(server), str(backup_id))
    except HostBusy as error:
        return Again(MOMENT, str(error), counts=False)
    except HostError as error:
        if not (is_last(claim) or isinstance(error, HostFull)):
            _leave(context, server, "backup_finished")
            return Again(delay(claim), str(error))
        _fail(context, claim, server, backup_id, "backup_finished", "backup_failed", str(error), SORRY_BACKUP)
        return GiveUp(str(error))
    _leave(
        context,
        server,
        "backup_finished",
        lambda conn: backups.complete(conn, backup_id, size_bytes=made.size_bytes, sha256=made.sha256),
    )
    _row(context, claim, None, "succeeded", "ready")
    return Done(f"{made.size_bytes} bytes, sha256 {made.sha256[:12]}")


def restore_backup(context: Context, claim: Claim) -> Outcome:
    """Stop the server, keep a safety copy of its files, and put the backup in their place.

    Whether it runs again afterwards is what is wanted of it: the lifecycle and the repairs see to that.
    """
    backup_id = backup_of(claim)
    if lapsed := unless_wanted(context, claim):
        return lapsed
    server = locked_server(context, claim.server_id)
    if not _enter(context, server, "restore_started", "restoring"):
        return Again(MOMENT, f"it is {server.lifecycle}", counts=False)
    _row(context, claim, None, "in_progress", "stopping")
    host = context.host(server.host)
    safety_id = uuid5(claim.intent_id, "safety")  # the same for each try: the first saves what was there
    seen = host.stop(spec_of(server), STOP_SECONDS)
    note_observation(context, server.id, "restoring", seen)
    if not is_down(server, seen):
        return Again(delay(claim), f"it was told to stop and is {seen.observed}: {seen.detail}")
    _row(context, claim, None, "in_progress", "restoring")
    try:
        safety = host.restore_backup(spec_of(server), str(backup_id), str(safety_id))
    except HostBusy as error:
        return Again(MOMENT, str(error), counts=False)
    except HostError as error:
        hopeless = isinstance(error, BackupMissing | BackupDamaged | HostFull)
        if not (is_last(claim) or hopeless):
            return Again(delay(claim), str(error))
        kind = "backup_damaged" if isinstance(error, BackupDamaged) else "backup_failed"
        _fail(context, claim, server, None, "restore_failed", kind, str(error), SORRY_RESTORE)
        return GiveUp(str(error))

    def keep_safety(conn: Connection) -> None:
        kept = backups.create(conn, server.id, safety=True, backup_id=safety_id)
        backups.complete(conn, kept.id, size_bytes=safety.size_bytes, sha256=safety.sha256)

    _leave(context, server, "restore_finished", keep_safety)
    _row(context, claim, None, "succeeded", "ready")
    return Done(f"restored; what was there is kept as {safety_id}")


def delete_backup(context: Context, claim: Claim) -> Outcome:
    """Remove one backup that its owner asked to remove."""
    if lapsed := unless_wanted(context, claim):
        return lapsed
    _delete(context, locked_server(context, claim.server_id), backup_of(claim))
    _row(context, claim, None, "succeeded", "ready")
    return Done("deleted on request")


def prune_backups(context: Context, claim: Claim) -> Outcome:
    """Remove the oldest of a server's whole backups, as its owner asked; the newest stay, and so do safety copies."""
    if lapsed := unless_wanted(context, claim):
        return lapsed
    keep = max(int(claim.args.get("keep", KEPT_WHEN_PRUNED)), 1)
    server = locked_server(context, claim.server_id)
    with context.database.begin() as conn:
        whole = [each for each in backups.of_server(conn, server.id) if each.state == "complete" and not each.safety]
    for each in whole[keep:]:
        _delete(context, server, each.id)
    _row(context, claim, None, "succeeded", "ready")
    return Done(f"{len(whole[keep:])} deleted on request, the newest {min(keep, len(whole))} kept")


def backup_of(claim: Claim) -> UUID:
    """Return the backup that a claim is about."""
    return UUID(str(claim.args["backup_id"]))


def _delete(context: Context, server: Server, backup_id: UUID) -> None:
    context.host(server.host).delete_backup(spec_of(server), str(backup_id))
    with context.database.begin() as conn:
        backups.set_state(conn, backup_id, "deleted")


def _enter(context: Context, server: Server, event: str, state: str) -> bool:
    """Put the lifecycle at a safe point; tell whether it is there. A try that died left it there already."""

    def work(conn: Connection) -> bool:
        moved = move_server(conn, policies.in_force(conn), server.id, event, actor="worker", world=context.world)
        return moved.to == state

    return context.database.transact(f"server `{server.id}`", work)


def _leave(context: Context, server: Server, event: str, also: Callable[[Connection], None] | None = None) -> None:
    """Take the lifecycle off its safe point, together with what came of it."""

    def work(conn: Connection) -> None:
        move_server(conn, policies.in_force(conn), server.id, event, actor="worker", world=context.world)
        if also is not None:
            also(conn)

    context.database.transact(f"server `{server.id}`", work)


def _fail(  # noqa: PLR0917 - everything that is told about one failure
    context: Context,
    claim: Claim,
    server: Server,
    backup_id: UUID | None,
    event: str,
    alert: str,
    reason: str,
    sorry: str,
) -> None:
    def note(conn: Connection) -> None:
        if backup_id is not None:
            backups.set_state(conn, backup_id, "failed", sorry)
        words = f"{claim.intent} of server {server.id} failed: {reason}"
        raise_alert(conn, alert, words, claim.account_id, key=f"{alert}:{claim.intent_id}")

    _leave(context, server, event, note)
    _row(context, claim, None, "failed", error=sorry)


def _row(  # noqa: PLR0917 - where, what, how far
    context: Context,
    claim: Claim,
    work: Callable[[Connection], None] | None,
    state: operations.State,
    phase: str | None = None,
    error: str | None = None,
) -> None:
    """Show how far it has come, on the backup and on the operation that somebody follows."""
    operation_id = operation_of(claim)
    with context.database.begin() as conn:
        if work is not None:
            work(conn)
        if operation_id is not None:
            operations.progress(conn, operation_id, state, phase=phase, server_id=claim.server_id, error=error)
