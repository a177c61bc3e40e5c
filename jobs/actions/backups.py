"""Backups: made, restored over a safety copy, deleted; and what needs one first. People ask for it, never a rule."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from uuid import UUID, uuid5

from sqlalchemy import Connection, text

from jobs.actions.delays import MOMENT, delay, is_last
from jobs.actions.enforcement import STOP_SECONDS, is_down, unless_wanted
from jobs.actions.progress import Also, operation_of, show
from jobs.actions.targets import locked_server, spec_of, still_permitted
from jobs.context import Context
from jobs.hosts.base import BackupDamaged, BackupInfo, BackupMissing, HostBusy, HostError, HostFull
from jobs.observe import note_observation
from storage import backups, clock, operations, policies
from storage.alerts import raise_alert
from storage.intents import Again, Claim, Done, GiveUp, Outcome
from storage.ledger_batch import lock
from storage.ledger_servers import move_server
from storage.servers import Server

KEPT_WHEN_PRUNED = 3
SAFETY_COPIES_KEPT = 5  # of each server; a person in a panic restores two or three times before they ask for help
HOPELESS = (BackupMissing, BackupDamaged, HostFull)
# On its way somewhere, for a time that the lifecycle's own timers bound; who is there for longer is stuck.
ON_THE_WAY = frozenset({"provisioning", "starting", "stopping", "backing_up", "restoring"})
STUCK_AFTER = timedelta(minutes=65)
SINCE = text("SELECT lifecycle_since FROM servers WHERE id = :id")
GATES: Mapping[str, str] = {
    "create_backup": "backups.create",
    "restore_backup": "backups.restore",
    "delete_backup": "backups.delete",
    "prune_backups": "backups.prune",
    "reinstall_server": "host.reinstall",
}
SORRY_DENIED = "This was not done, because it is not possible for this account any more. Nothing was changed."
SORRY_BACKUP = "The backup could not be made. Your files are as they were; please try again, or write to us."
SORRY_REINSTALL = (
    "The server could not be reinstalled. Its files are as they were, or kept as a backup; please write to us."
)
SORRY_RESTORE = "The backup could not be restored. Your files are as they were; please try again, or write to us."

# What takes a server off the safe point that it is put at; two of them share theirs.
WAY_OUT: Mapping[str, str] = {
    "create_backup": "backup_finished",
    "restore_backup": "restore_failed",
    "reinstall_server": "restore_failed",
}
SHARING = ("restore_backup", "reinstall_server")
REPLACING = frozenset({"restoring", "reinstalling"})  # the phases in which files are put in place of others

ANOTHER = text(
    "SELECT 1 FROM intents WHERE server_id = :server_id AND intent = ANY(:intents) AND status = 'started' AND id <> :id"
)


def create_backup(context: Context, claim: Claim) -> Outcome:
    """Back a server up under the id that it was asked for with, so that doing it again is the same backup."""
    backup_id, server = backup_of(claim), locked_server(context, claim.server_id)

    def failed(conn: Connection) -> None:
        backups.set_state(conn, backup_id, "failed", SORRY_BACKUP)

    if refused := _unless_permitted(context, claim, failed):
        return refused
    if (at := _enter(context, server, "backup_started")) != "backing_up":
        return _elsewhere(context, claim, at, SORRY_BACKUP, failed)
    show(context, claim, "copying", lambda conn: backups.set_state(conn, backup_id, "in_progress"))
    try:
        made = context.host(server.host).create_backup(spec_of(server), str(backup_id))
    except HostError as error:
        return _refused(context, claim, error, "backup_finished", SORRY_BACKUP, also=failed)

    def complete(conn: Connection) -> None:
        backups.complete(conn, backup_id, size_bytes=made.size_bytes, sha256=made.sha256)

    _end(context, claim, "backup_finished", complete)
    return Done(f"{made.size_bytes} bytes, sha256 {made.sha256[:12]}")


def restore_backup(context: Context, claim: Claim) -> Outcome:
    """Stop the server, keep a safety copy of its files, and put the backup in their place.

    Whether it runs again afterwards is what is wanted of it: the repairs see to that.
    """
    if refused := _unless_permitted(context, claim):
        return refused
    backup_id, server = backup_of(claim), locked_server(context, claim.server_id)
    safety_id = uuid5(claim.intent_id, "safety")  # the same for each try: the first saves what was there
    if (at := _enter(context, server, "restore_started")) != "restoring":
        return _elsewhere(context, claim, at, SORRY_RESTORE)
    show(context, claim, "stopping")
    host = context.host(server.host)
    try:
        seen = host.stop(spec_of(server), STOP_SECONDS)
        note_observation(context, server.id, "restoring", seen)
        if not is_down(server, seen):
            return Again(delay(claim), f"it was told to stop and is {seen.observed}: {seen.detail}")
        show(context, claim, "restoring")
        safety = host.restore_backup(spec_of(server), str(backup_id), str(safety_id))
    except HostError as error:
        return _refused(context, claim, error, "restore_failed", SORRY_RESTORE)

    _keep(context, server, safety_id, safety)
    gone = _thin_safety_copies(context, claim, server, spared=backup_id)
    _end(context, claim, "restore_finished")
    return Done(f"restored; what was there is kept as {safety_id}{gone}")


def reinstall_server(context: Context, claim: Claim) -> Outcome:
    """Stop the server, keep a safety backup of its files, and make it anew under the same id.

    INVARIANT: nothing is taken away before the backup is whole, not even of a server that its host does not show: its
    files may be there all the same. Whether it runs afterwards is what is wanted of it, as for a restore.
    """
    if refused := _unless_permitted(context, claim):
        return refused
    server = locked_server(context, claim.server_id)
    safety_id = uuid5(claim.intent_id, "safety")  # the same for each try: the first saves what was there
    if (at := _enter(context, server, "restore_started")) != "restoring":
        return _elsewhere(context, claim, at, SORRY_REINSTALL)
    host, spec = context.host(server.host), spec_of(server)
    try:
        show(context, claim, "stopping")
        seen = host.stop(spec, STOP_SECONDS)
        if seen.observed not in {"stopped", "missing"}:
            return Again(delay(claim), f"it was told to stop and is {seen.observed}: {seen.detail}")
        if seen.observed == "stopped":
            show(context, claim, "copying")
            _keep(context, server, safety_id, host.create_backup(spec, str(safety_id)))
        if _is_kept(context, server, safety_id):
            show(context, claim, "reinstalling")
            host.destroy(spec)
        elif server.ran_at is not None:
            raise NothingKept(str(server.id))
        note_observation(context, server.id, "restoring", host.create(spec))
    except HostError as error:
        return _refused(context, claim, error, "restore_failed", SORRY_REINSTALL)
    gone = _thin_safety_copies(context, claim, server, spared=safety_id)
    _end(context, claim, "restore_finished")
    return Done(f"made anew; what was there is kept as {safety_id}{gone}")


class NothingKept(HostError):
    """The host shows nothing that could be backed up of a server that has run."""

    def __init__(self, server_id: str) -> None:
        self.server_id = server_id
        super().__init__("the host does not show the server, so that nothing of it can be kept; nothing was taken away")


def delete_backup(context: Context, claim: Claim) -> Outcome:
    """Remove one backup that its owner asked to remove."""
    if refused := _unless_permitted(context, claim):
        return refused
    _delete(context, locked_server(context, claim.server_id), backup_of(claim))
    _end(context, claim)
    return Done("deleted on request")


def prune_backups(context: Context, claim: Claim) -> Outcome:
    """Remove the oldest of a server's whole backups, as its owner asked; the newest stay, and so do safety copies."""
    if refused := _unless_permitted(context, claim):
        return refused
    keep = max(int(claim.args.get("keep", KEPT_WHEN_PRUNED)), 1)
    server = locked_server(context, claim.server_id)
    with context.database.begin() as conn:
        whole = [each for each in backups.of_server(conn, server.id) if each.state == "complete" and not each.safety]
    for each in whole[keep:]:
        _delete(context, server, each.id)
    _end(context, claim)
    return Done(f"{len(whole[keep:])} deleted on request, the newest {min(keep, len(whole))} kept")


def backup_of(claim: Claim) -> UUID:
    """Return the backup that a claim is about."""
    return UUID(str(claim.args["backup_id"]))


def _unless_permitted(context: Context, claim: Claim, also: Also | None = None) -> Outcome | None:
    """Return how to end when it is no longer wanted, or when the gate that let it through has closed since."""
    if lapsed := unless_wanted(context, claim):
        return lapsed
    verdict = still_permitted(context, claim, GATES[claim.intent])
    if verdict.ok:
        return None
    if _has_begun(context, claim):
        return None  # no half of a server is left: a suspension waits for this, as for any safe point
    # a try that failed before the gate closed has left the server at its safe point
    _end(context, claim, WAY_OUT.get(claim.intent), also, SORRY_DENIED)
    return Done(f"not done: {verdict.reason}")


def _has_begun(context: Context, claim: Claim) -> bool:
    """Tell whether an earlier try may have put something in place of the server's files already."""
    operation_id = operation_of(claim)
    if operation_id is None:
        return False
    with context.database.begin() as conn:
        return operations.get(conn, operation_id).phase in REPLACING


def _keep(context: Context, server: Server, safety_id: UUID, made: BackupInfo) -> None:
    """List a safety copy among the server's backups."""
    with context.database.begin() as conn:
        backups.create(conn, server.id, safety=True, backup_id=safety_id)
        backups.complete(conn, safety_id, size_bytes=made.size_bytes, sha256=made.sha256)


def _is_kept(context: Context, server: Server, safety_id: UUID) -> bool:
    """Tell whether the safety copy is whole, be it from an earlier try."""
    with context.database.begin() as conn:
        return any(each.id == safety_id and each.state == "complete" for each in backups.of_server(conn, server.id))


def _thin_safety_copies(context: Context, claim: Claim, server: Server, spared: UUID) -> str:
    """Remove the oldest safety copies beyond those that are kept; return what to say about it.

    Each restore and reinstall makes one, and nobody would ever take them away: a disk would fill with them.
    INVARIANT: only where whoever asked for this restore may prune backups, so an admin's restore while billing blocks
    backups takes none away; and never the one that was just restored.
    """
    may_prune = still_permitted(context, claim, GATES["prune_backups"])
    with context.database.begin() as conn:
        copies = [each for each in backups.of_server(conn, server.id) if each.safety and each.state == "complete"]
    stale = [each.id for each in copies[SAFETY_COPIES_KEPT:] if each.id != spared]
    if not stale or not may_prune.ok:
        return ""
    try:
        for backup_id in stale:
            _delete(context, server, backup_id)
    except HostError as error:  # the restore itself has succeeded; the next one tries again
        return f"; an older safety copy could not be removed: {error}"
    return f"; {len(stale)} older safety copies removed"


def _delete(context: Context, server: Server, backup_id: UUID) -> None:
    context.host(server.host).delete_backup(spec_of(server), str(backup_id))
    with context.database.begin() as conn:
        backups.set_state(conn, backup_id, "deleted")


def _enter(context: Context, server: Server, event: str) -> str:
    """Put the lifecycle at a safe point; return where it stands then. A try that died has left it there already."""

    def work(conn: Connection) -> str:
        policy = policies.in_force(conn)
        return move_server(conn, policy, server.id, event, actor="worker", world=context.world).to

    return context.database.transact(f"server `{server.id}`", work)


def _elsewhere(context: Context, claim: Claim, at: str, sorry: str, also: Also | None = None) -> Outcome:
    """Wait while the server is on its way somewhere; else say that it cannot be done where it stands."""
    if at in ON_THE_WAY and not _is_stuck(context, claim):
        return Again(MOMENT, f"it is {at}", counts=False)
    _end(context, claim, None, also, sorry)
    return GiveUp(f"it is {at}")


def _is_stuck(context: Context, claim: Claim) -> bool:
    """Tell whether the server is where it is for longer than any timer lets it: waiting on would have no end."""
    with context.database.begin() as conn:
        since = conn.execute(SINCE, {"id": claim.server_id}).scalar_one()
        return bool(clock.now(conn) - since > STUCK_AFTER)


def _refused(
    context: Context, claim: Claim, error: HostError, event: str, sorry: str, *, also: Also | None = None
) -> Outcome:
    """Return what follows when a host could not: another try, or the end of them, which is written down and told."""
    if isinstance(error, HostBusy):
        return Again(MOMENT, str(error), counts=False)
    if not (is_last(claim) or isinstance(error, HOPELESS)):
        return Again(delay(claim), str(error))
    _tell(context, claim, error)
    _end(context, claim, event, also, sorry)
    return GiveUp(str(error))


def _end(
    context: Context, claim: Claim, event: str | None = None, also: Also | None = None, sorry: str | None = None
) -> None:
    """Write down what came of it, and take the lifecycle off its safe point unless another of its kind holds it there.

    sorry: what the customer is told when it failed.
    """
    operation_id = operation_of(claim)

    def work(conn: Connection) -> None:
        lock(conn, [claim.account_id])
        if also is not None:
            also(conn)
        if operation_id is not None and sorry is not None:
            operations.progress(conn, operation_id, "failed", error=sorry)
        elif operation_id is not None:
            operations.progress(conn, operation_id, "succeeded", phase="ready", server_id=claim.server_id)
        sharing = SHARING if claim.intent in SHARING else (claim.intent,)
        about = {"server_id": claim.server_id, "intents": list(sharing), "id": claim.intent_id}
        if event is not None and claim.server_id is not None and conn.execute(ANOTHER, about).first() is None:
            policy = policies.in_force(conn)
            move_server(conn, policy, claim.server_id, event, actor="worker", world=context.world)

    context.database.transact(f"server `{claim.server_id}`", work)


def _tell(context: Context, claim: Claim, error: HostError) -> None:
    """Wake somebody: a backup that cannot be made or restored puts data at risk."""
    kind = "backup_damaged" if isinstance(error, BackupDamaged) else "backup_failed"
    words = f"{claim.intent} of server {claim.server_id} failed: {error}"
    with context.database.begin() as conn:
        raise_alert(conn, kind, words, claim.account_id, key=f"{kind}:{claim.intent_id}")
