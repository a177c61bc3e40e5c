"""Start, stop and restart. The wish is written under the account's lock; a worker carries it out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from litestar import Router, post
from sqlalchemy import Connection

from storage import servers
from storage.ledger_servers import Moved
from web.auth import Caller, signed_in
from web.gates import Permitted, locked
from web.problems import nothing_here
from web.services import HttpRequest, PathId, Services, TheServices

WISHES: dict[str, Callable[..., Moved]] = {
    "start": servers.request_start,
    "stop": servers.request_stop,
    "restart": servers.request_restart,
}


def wish(request: HttpRequest, services: Services, server_id: str, *, kind: str | None) -> dict[str, str]:
    """Write down what is wanted of a server. Wanting what is so already changes nothing and is no error."""
    verb = request.url.path.rstrip("/").rpartition("/")[2]
    caller: Caller = request.state.caller

    def write(conn: Connection, allowed: Permitted) -> Moved:
        assert allowed.server is not None
        if kind is not None and allowed.server["kind"] != kind:
            raise nothing_here(f"{kind} server")
        request_it = WISHES[verb]
        role, actor = caller.role, caller.actor
        return request_it(conn, allowed.policy, UUID(server_id), actor=actor, role=role, world=services.world)

    moved = locked(request, write, server_id=server_id)
    services.wake(moved.intents)
    return {"serverId": str(moved.server_id), "wish": verb, "lifecycle": moved.to}


def _routes(prefix: str, kind: str | None) -> list[Any]:
    """Make the three routes of one prefix; `kind` limits them to servers of a kind."""

    @post(f"/{prefix}/start", name=f"{prefix}_start", opt={"gate": "host.start"}, status_code=202, sync_to_thread=True)
    def start(request: HttpRequest, services: TheServices, server_id: PathId) -> dict[str, str]:
        """Start the server. Starting what runs is no error."""
        return wish(request, services, server_id, kind=kind)

    @post(f"/{prefix}/stop", name=f"{prefix}_stop", opt={"gate": "host.stop"}, status_code=202, sync_to_thread=True)
    def stop(request: HttpRequest, services: TheServices, server_id: PathId) -> dict[str, str]:
        """Stop the server: it is asked to end, and is ended by force if it does not."""
        return wish(request, services, server_id, kind=kind)

    @post(
        f"/{prefix}/restart",
        name=f"{prefix}_restart",
        opt={"gate": "host.restart"},
        status_code=202,
        sync_to_thread=True,
    )
    def restart(request: HttpRequest, services: TheServices, server_id: PathId) -> dict[str, str]:
        """Stop the server and start it again; a stopped one is started."""
        return wish(request, services, server_id, kind=kind)

    return [start, stop, restart]


router = Router(
    "/api/servers/{server_id:str}",
    route_handlers=[*_routes("host", None), *_routes("game", "game")],
    guards=[signed_in],
    tags=["servers"],
)
