"""A server's backups: listed and downloaded here; made, restored, deleted and pruned by a worker, as operations."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID, uuid4

from litestar import Router, delete, get, post
from litestar.params import RawBody
from litestar.response import Stream
from sqlalchemy import Connection

from storage import backups, operations
from storage.backups import Backup
from storage.intents_ask import ask_server
from storage.intents_outbox import Outbox
from web.auth import Caller, signed_in
from web.files import streamed
from web.gates import Permitted, StillPermitted, locked, permitted
from web.inputs import Input, decode, idempotency_key, identifier
from web.instances import request_hash
from web.problems import bad_input, conflict
from web.services import HttpRequest, PathId, Services, TheServices
from web.wire import instant

UNFINISHED_AT_ONCE = 5
KEPT = 100
Prepare = Callable[[Connection, Permitted], None]  # refuses, or writes down what the operation is about


class Pruned(Input):
    """How many of the newest backups stay."""

    keep: int = 3


@get("/", opt={"gate": "backups.list"}, sync_to_thread=True)
def list_backups(request: HttpRequest, services: TheServices, server_id: PathId) -> list[dict[str, Any]]:
    """List the server's backups, newest first, with those that are being made."""
    allowed = permitted(request, server_id)
    with services.database.begin() as conn:
        return [shown(each) for each in backups.of_server(conn, _id(allowed))]


@post("/", opt={"gate": "backups.create"}, status_code=202, sync_to_thread=True)
def create_backup(request: HttpRequest, services: TheServices, server_id: PathId) -> dict[str, str | None]:
    """Make a backup of all files. It is listed at once and `complete` when its operation has succeeded."""
    return make(request, services, server_id)


def make(request: HttpRequest, services: Services, server_id: str) -> dict[str, str | None]:
    """Ask for a backup."""
    backup_id = uuid4()

    def prepare(conn: Connection, allowed: Permitted) -> None:
        there = backups.of_server(conn, _id(allowed))
        if sum(each.state in ("queued", "in_progress") for each in there) >= UNFINISHED_AT_ONCE:
            raise conflict("BACKUPS_UNDER_WAY", "Several backups are being made already. Wait until one is complete.")
        if len(there) >= KEPT:
            raise conflict("BACKUP_LIMIT_REACHED", f"There are {KEPT} backups already. Delete or prune some first.")
        backups.create(conn, _id(allowed), backup_id=backup_id)

    return ordered(request, services, server_id, "create_backup", {"backup_id": str(backup_id)}, prepare=prepare)


@post("/prune", opt={"gate": "backups.prune", "takes": Pruned}, status_code=202, sync_to_thread=True)
def prune_backups(
    request: HttpRequest, services: TheServices, server_id: PathId, body: RawBody
) -> dict[str, str | None]:
    """Delete all but the newest backups. Safety copies of restores are not among them; their newest five stay."""
    return prune(request, services, server_id, (decode(Pruned, body) if body.strip() else Pruned()).keep)


def prune(request: HttpRequest, services: Services, server_id: str, keep: int) -> dict[str, str | None]:
    """Order it. Raises the 400, 402 or 404."""
    if not 1 <= keep <= KEPT:
        raise bad_input(f"`keep` is a whole number from 1 to {KEPT}.", field="keep")
    return ordered(request, services, server_id, "prune_backups", {"keep": keep}, wish={"keep": keep})


@post("/{backup_id:str}/restore", opt={"gate": "backups.restore"}, status_code=202, sync_to_thread=True)
def restore_backup(
    request: HttpRequest,
    services: TheServices,
    server_id: PathId,
    backup_id: PathId,
) -> dict[str, str | None]:
    """Stop the server and put the backup in place of its files, which are kept as a safety copy first."""
    return about_one(request, services, server_id, backup_id, "restore_backup")


@delete("/{backup_id:str}", opt={"gate": "backups.delete"}, status_code=202, sync_to_thread=True)
def delete_backup(
    request: HttpRequest,
    services: TheServices,
    server_id: PathId,
    backup_id: PathId,
) -> dict[str, str | None]:
    """Delete one backup for good."""
    return about_one(request, services, server_id, backup_id, "delete_backup")


@get("/{backup_id:str}/download", opt={"gate": "backups.download"}, sync_to_thread=True)
def download_backup(
    request: HttpRequest,
    services: TheServices,
    server_id: PathId,
    backup_id: PathId,
) -> Stream:
    """Download a backup's archive (`.tar.gz`)."""
    return archive(request, services, server_id, backup_id)


def archive(request: HttpRequest, services: Services, server_id: str, backup_id: str) -> Stream:
    """Send a complete backup."""
    allowed = permitted(request, server_id)
    with services.database.begin() as conn:
        wanted = _complete(conn, allowed, backup_id)
    download = services.host(allowed.host).open_backup(allowed.spec, str(wanted.id))
    return streamed(download, StillPermitted(request, server_id))


def about_one(
    request: HttpRequest, services: Services, server_id: str, backup_id: str, action: str
) -> dict[str, str | None]:
    """Ask for something to be done with one backup."""
    about = {"backup_id": identifier(backup_id, "backup")}

    def prepare(conn: Connection, allowed: Permitted) -> None:
        _complete(conn, allowed, backup_id, also_failed=action == "delete_backup")

    return ordered(request, services, server_id, action, about, prepare=prepare, wish=about)


def _complete(conn: Connection, allowed: Permitted, backup_id: str, *, also_failed: bool = False) -> Backup:
    wanted = backups.get(conn, _id(allowed), UUID(identifier(backup_id, "backup")))
    if wanted.state != "complete" and not (also_failed and wanted.state == "failed"):
        words = "This backup failed." if wanted.state == "failed" else "This backup is not complete yet."
        raise conflict("BACKUP_NOT_COMPLETE", words)
    return wanted


def ordered(
    request: HttpRequest,
    services: Services,
    server_id: str,
    action: str,
    args: Mapping[str, Any],
    *,
    prepare: Prepare = lambda _, __: None,
    wish: Mapping[str, Any] | None = None,
    also_gone: bool = False,
) -> dict[str, str | None]:
    """Write an operation and the intent that carries it out, under the account's lock.

    args: for the action. wish: what the request asked for; with an Idempotency-Key, repeating it answers with the
    operation of the first. also_gone: as for `web.gates.ask`.
    """
    caller: Caller = request.state.caller
    key = idempotency_key(request) if "idempotency-key" in request.headers else f"-{secrets.token_hex(16)}"

    def write(conn: Connection, allowed: Permitted) -> tuple[operations.Operation, tuple[Outbox, ...]]:
        operation, new = operations.create(
            conn,
            customer_id=allowed.account["customer_id"],
            account_id=allowed.account["id"],
            idempotency_key=key,
            request_hash=request_hash(action, server_id, wish or {}),
            kind=action,
            args=args,
        )
        if not new:
            return operation, ()
        prepare(conn, allowed)
        operations.progress(conn, operation.id, "queued", server_id=_id(allowed))
        more = {**args, "operation_id": str(operation.id)}
        asked = ask_server(
            conn, allowed.policy, _id(allowed), action, actor=caller.actor, args=more, world=services.world
        )
        return operation, asked

    operation, asked = locked(request, write, server_id=server_id, also_gone=also_gone)
    services.wake(asked)
    return {"operationId": str(operation.id), "backupId": operation.args.get("backup_id")}


def shown(backup: Backup) -> dict[str, Any]:
    """Write a backup for the wire."""
    return {
        "backupId": str(backup.id),
        "state": backup.state,
        "sizeBytes": backup.size_bytes,
        "sha256": backup.sha256,
        "createdAt": instant(backup.created_at),
        "safety": backup.safety,
        "error": backup.error,
    }


def _id(allowed: Permitted) -> UUID:
    assert allowed.server is not None
    found: UUID = allowed.server["id"]
    return found


router = Router(
    "/api/servers/{server_id:str}/backups",
    route_handlers=[list_backups, create_backup, prune_backups, restore_backup, delete_backup, download_backup],
    guards=[signed_in],
    tags=["backups"],
)
