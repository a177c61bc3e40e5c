"""What its owner can lose a server's files by, in the browser: parting with it, setting it up anew, fewer backups."""

from __future__ import annotations

from typing import Any

from litestar import Response, post
from litestar.handlers import HTTPRouteHandler

from web.backups import prune
from web.gates import permitted
from web.pages.forms import form_of
from web.pages.render import go_to
from web.pages.visitor import people_only
from web.problems import bad_input
from web.server_deletion import keep_after_all, part_with, reinstall
from web.services import HttpRequest, PathId, TheServices


@post("/servers/{server_id:str}/reinstall", opt={"gate": "host.reinstall"}, guards=[people_only])
async def reinstall_server(request: HttpRequest, services: TheServices, server_id: PathId) -> Response[Any]:
    """Set the server up anew, over a backup that is made first. Its name is typed."""
    name = (await form_of(request)).get("name", "").strip()
    await services.in_thread(reinstall, request, services, server_id, name)
    return go_to(f"/servers/{server_id}")


@post("/servers/{server_id:str}/delete", opt={"gate": "server.delete"}, guards=[people_only])
async def delete_server(request: HttpRequest, services: TheServices, server_id: PathId) -> Response[Any]:
    """Delete the server. Its name is typed; until a worker begins it can be kept after all."""
    name = (await form_of(request)).get("name", "").strip()
    await services.in_thread(part_with, request, services, server_id, name)
    return go_to(f"/servers/{server_id}")


@post("/servers/{server_id:str}/undelete", opt={"gate": "server.undelete"}, guards=[people_only])
async def undelete_server(request: HttpRequest, services: TheServices, server_id: PathId) -> Response[Any]:
    """Keep it after all."""
    await form_of(request)
    await services.in_thread(keep_after_all, request, services, server_id)
    return go_to(f"/servers/{server_id}")


@post("/servers/{server_id:str}/backups/prune", opt={"gate": "backups.prune"}, guards=[people_only])
async def prune_backups(request: HttpRequest, services: TheServices, server_id: PathId) -> Response[Any]:
    """Keep only the newest backups."""
    keep = (await form_of(request)).get("keep", "").strip()
    await services.in_thread(permitted, request, server_id)  # whose it is comes before what was typed
    if not (keep.isascii() and keep.isdigit() and len(keep) < 4):
        raise bad_input("Say how many to keep, as a whole number.", field="keep")
    await services.in_thread(prune, request, services, server_id, int(keep))
    return go_to(f"/servers/{server_id}/backups")


HANDLERS: tuple[HTTPRouteHandler, ...] = (reinstall_server, delete_server, undelete_server, prune_backups)
