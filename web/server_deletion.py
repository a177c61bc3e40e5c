"""What an owner can lose a server's files by: deleting it, and reinstalling it. Its name has to be typed for either."""

from __future__ import annotations

from uuid import UUID

from litestar import Router, delete, post
from litestar.params import RawBody
from sqlalchemy import Connection

from storage import servers
from storage.ledger_servers import Moved
from web.auth import Caller, signed_in
from web.backups import ordered
from web.gates import Permitted, locked
from web.inputs import Input, decode, line, query
from web.problems import conflict, nothing_here
from web.services import HttpRequest, PathId, Services, TheServices

BUSY = "The server is {} at the moment. Wait until that has ended, and ask again."


class TypedName(Input):
    """The server's own name, typed."""

    name: str


@post("/reinstall", opt={"gate": "host.reinstall", "takes": TypedName}, status_code=202, sync_to_thread=True)
def reinstall_server(
    request: HttpRequest, services: TheServices, server_id: PathId, body: RawBody
) -> dict[str, str | None]:
    """Stop the server, keep a backup of its files, and set it up anew, empty. Its other backups stay."""
    return reinstall(request, services, server_id, line(decode(TypedName, body).name, "name"))


def reinstall(request: HttpRequest, services: Services, server_id: str, name: str) -> dict[str, str | None]:
    """Order it, once the server's own name was typed. Raises the 402, 404 or 409."""

    def prepare(conn: Connection, allowed: Permitted) -> None:
        check_name(allowed, name)

    return ordered(request, services, server_id, "reinstall_server", {}, prepare=prepare, wish={"name": name})


@delete("/", opt={"gate": "server.delete", "takes": TypedName}, status_code=202, sync_to_thread=True)
def delete_server(
    request: HttpRequest, services: TheServices, server_id: PathId, body: RawBody
) -> dict[str, str | None]:
    """Delete the server and its files for good; name it in the body, or as `?name=`. Its backups stay for a time."""
    typed = decode(TypedName, body).name if body.strip() else query(request, "name")
    return part_with(request, services, server_id, line(typed, "name"))


def part_with(request: HttpRequest, services: Services, server_id: str, name: str) -> dict[str, str | None]:
    """Order the deletion, once the server's own name was typed. Raises the 402, 404 or 409."""
    caller: Caller = request.state.caller

    def prepare(conn: Connection, allowed: Permitted) -> None:
        want_gone(conn, services, caller, allowed, name)

    wish = {"name": name}
    return ordered(request, services, server_id, "delete_server", {}, prepare=prepare, wish=wish, also_gone=True)


@post("/undelete", opt={"gate": "server.undelete"}, status_code=202, sync_to_thread=True)
def undelete_server(request: HttpRequest, services: TheServices, server_id: PathId) -> dict[str, str]:
    """Keep a server after all that was to be deleted, until a worker has begun. It is stopped, and stays so."""
    moved = keep_after_all(request, services, server_id)
    return {"serverId": str(moved.server_id), "lifecycle": moved.to}


def keep_after_all(request: HttpRequest, services: Services, server_id: str) -> Moved:
    """Withdraw a deletion that no worker has begun. Raises the 404 or 409."""
    caller: Caller = request.state.caller

    def write(conn: Connection, allowed: Permitted) -> Moved:
        assert allowed.server is not None
        if allowed.server["lifecycle"] == "deleted":
            raise nothing_here("server")
        wanted = UUID(str(allowed.server["id"]))
        return servers.withdraw_deletion(conn, allowed.policy, wanted, actor=caller.actor, world=services.world)

    moved = locked(request, write, server_id=server_id, also_gone=True)
    services.wake(moved.intents)
    return moved


def want_gone(
    conn: Connection, services: Services, caller: Caller, allowed: Permitted, typed: str | None = None
) -> None:
    """Write down that a server is to be deleted, if it can be now. typed: its name, where that was asked for."""
    assert allowed.server is not None
    if (at := allowed.server["lifecycle"]) == "deleted":
        raise nothing_here("server")
    if typed is not None:
        check_name(allowed, typed)
    if at == "deleting":
        raise conflict("DELETION_UNDER_WAY", "The server is being deleted already.")
    wanted = UUID(str(allowed.server["id"]))
    moved = servers.request_deletion(conn, allowed.policy, wanted, actor=caller.actor, world=services.world)
    if moved.to != "deleting":
        raise conflict("SERVER_BUSY", BUSY.format(moved.to.replace("_", " ")))


def check_name(allowed: Permitted, typed: str) -> None:
    """Refuse unless the server's own name was typed."""
    assert allowed.server is not None
    if typed != allowed.server["name"]:
        raise conflict("NAME_DIFFERS", "That is not the name of this server. Type its name as it is shown.")


router = Router(
    "/api/servers/{server_id:str}",
    route_handlers=[reinstall_server, delete_server, undelete_server],
    guards=[signed_in],
    tags=["servers"],
)
