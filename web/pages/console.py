"""A server's console in the browser: the last screenful and a line to type without JavaScript, live with it."""

from __future__ import annotations

from typing import Any

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler

from jobs.hosts.base import HostError
from web.console import type_line
from web.gates import Permitted, gate_of
from web.pages.forms import form_of
from web.pages.render import go_to, page
from web.pages.server import shell, theirs, why_not
from web.pages.visitor import people_only
from web.problems import translated
from web.services import HttpRequest, PathId, Services, TheServices

SHOWN_LINES = 200


@get("/servers/{server_id:str}/console", opt={"gate": "console.stream"}, guards=[people_only], sync_to_thread=True)
def show_console(request: HttpRequest, services: TheServices, server_id: PathId) -> Response[Any]:
    """Show what the server printed last, or why that cannot be shown."""
    with services.database.begin() as conn:
        there = theirs(conn, request, server_id)
        shown = shell(conn, request, there)
        why = why_not(conn, request, there, gate_of(request))
    lines: list[str] = []
    fault = ""
    if not why:
        lines, fault = _last_lines(services, there)
    shown["waits"] = False  # the console keeps itself fresh
    return page(request, "console.html", **shown, why=why, lines=lines, fault=fault)


def _last_lines(services: Services, there: Permitted) -> tuple[list[str], str]:
    """Return the last screenful; and, where the host cannot show it, a sentence."""
    try:
        _, lines = services.host(there.host).read_console(there.spec, None)
    except HostError as error:
        return [], translated(error).detail
    return lines[-SHOWN_LINES:], ""


@post("/servers/{server_id:str}/console/command", opt={"gate": "console.command"}, guards=[people_only])
async def type_command(request: HttpRequest, services: TheServices, server_id: PathId) -> Response[Any]:
    """Type one line."""
    form = await form_of(request)
    await services.in_thread(type_line, request, services, server_id, lambda: form.get("command", ""))
    return go_to(f"/servers/{server_id}/console")


HANDLERS: tuple[HTTPRouteHandler, ...] = (show_console, type_command)
