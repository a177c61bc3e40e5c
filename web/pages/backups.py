"""A server's backups in the browser: listed, made, put in place, downloaded, deleted."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.response import Stream

from storage import backups
from web.backups import about_one, archive, make
from web.pages.forms import form_of
from web.pages.render import go_to, page
from web.pages.server import shell, theirs, why_not
from web.pages.visitor import people_only
from web.services import HttpRequest, PathId, TheServices

STATES = {
    "queued": ("waits its turn", "soft"),
    "in_progress": ("being made", "soft"),
    "complete": ("complete", "good"),
    "failed": ("did not work", "bad"),
}


@get("/servers/{server_id:str}/backups", opt={"shows_verdicts": True}, guards=[people_only], sync_to_thread=True)
def show_backups(request: HttpRequest, services: TheServices, server_id: PathId) -> Response[Any]:
    """List the backups, newest first."""
    with services.database.begin() as conn:
        there = theirs(conn, request, server_id)
        shown = shell(conn, request, there)
        found = backups.of_server(conn, UUID(server_id))
        why = {
            what: why_not(conn, request, there, f"backups.{what}")
            for what in ("create", "restore", "delete", "prune", "download")
        }
    shown["waits"] = shown["waits"] or any(each.state in {"queued", "in_progress"} for each in found)
    return page(request, "backups.html", **shown, backups=found, why=why, states=STATES)


@post("/servers/{server_id:str}/backups/create", opt={"gate": "backups.create"}, guards=[people_only])
async def create_backup(request: HttpRequest, services: TheServices, server_id: PathId) -> Response[Any]:
    """Ask for a backup."""
    await form_of(request)
    await services.in_thread(make, request, services, server_id)
    return go_to(f"/servers/{server_id}/backups")


def _changes(verb: str) -> HTTPRouteHandler:
    """Make a route that does one thing with one backup."""
    path = f"/servers/{{server_id:str}}/backups/{{backup_id:str}}/{verb}"

    @post(path, name=f"page_backups_{verb}", opt={"gate": f"backups.{verb}"}, guards=[people_only])
    async def change(
        request: HttpRequest, services: TheServices, server_id: PathId, backup_id: PathId
    ) -> Response[Any]:
        await form_of(request)
        await services.in_thread(about_one, request, services, server_id, backup_id, f"{verb}_backup")
        return go_to(f"/servers/{server_id}/backups")

    return change


@get(
    "/servers/{server_id:str}/backups/{backup_id:str}/download",
    opt={"gate": "backups.download"},
    guards=[people_only],
    sync_to_thread=True,
)
def download_backup(request: HttpRequest, services: TheServices, server_id: PathId, backup_id: PathId) -> Stream:
    """Download one."""
    return archive(request, services, server_id, backup_id)


HANDLERS: tuple[HTTPRouteHandler, ...] = (
    show_backups,
    create_backup,
    _changes("restore"),
    _changes("delete"),
    download_backup,
)
