"""Every page behind one router: errors are pages too, and files are kept by browsers for ever."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from litestar import Response, Router, get
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler

from web.pages import (
    backups,
    billing,
    console,
    desk_pages,
    files,
    news,
    notes,
    order,
    overview,
    parting,
    pausing,
    plan,
    server,
    settings,
    signin,
    support,
    ways,
)
from web.pages.render import HEADERS, STATIC, go_to, page
from web.pages.visitor import SignInFirst, Visitor
from web.problems import TITLES, Problem, from_http, translated
from web.services import HttpRequest, PathId

KINDS = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


@get("/static/{name:str}", sync_to_thread=False)
def show_file(name: PathId) -> Response[bytes]:
    """Show one of our few files. Its address changes with its content, so that browsers may keep it for ever."""
    kind = KINDS.get(name.rpartition(".")[2])
    if kind is None or name not in {path.name for path in STATIC.iterdir()}:
        raise Problem(404, "NOT_FOUND", "There is nothing at this address.")
    headers = {**HEADERS, "Cache-Control": "public, max-age=31536000, immutable"}
    return Response((STATIC / name).read_bytes(), media_type=kind, headers=headers)


def _sign_in_first(request: HttpRequest, _: SignInFirst) -> Response[Any]:
    """Send whoever has not signed in to do so, and back afterwards."""
    back = request.url.path if request.method == "GET" else "/"
    return go_to(f"/sign-in?next={quote(back)}" if back != "/" else "/sign-in")


def _problem(request: HttpRequest, problem: Problem) -> Response[Any]:
    if not hasattr(request.state, "visitor"):
        request.state.visitor = Visitor("", False, None)
    shown = page(
        request,
        "told.html",
        status=problem.status,
        title=TITLES.get(problem.status, "This did not work"),
        text=problem.detail,
        kind="warn" if problem.status < 500 else "bad",
        failure_id=problem.more.get("failureId", ""),
        back=back_from(request.url.path),
        back_words="Back to the server" if back_from(request.url.path) != "/" else "",
    )
    shown.headers.update(problem.headers)
    return shown


def back_from(path: str) -> str:
    """Return where one goes on from a page that did not work: the server's page below it, else the overview."""
    parts = path.split("/")
    return "/".join(parts[:3]) if len(parts) > 3 and parts[1] == "servers" else "/"


def _http(request: HttpRequest, error: HTTPException) -> Response[Any]:
    return _problem(request, from_http(request, error))


def _anything(request: HttpRequest, error: Exception) -> Response[Any]:
    return _problem(request, translated(error))


PARTS = (
    signin,
    overview,
    plan,
    billing,
    order,
    server,
    console,
    files,
    backups,
    parting,
    pausing,
    notes,
    news,
    settings,
    support,
    ways,
    desk_pages,
)
PAGES: tuple[HTTPRouteHandler, ...] = (show_file, *(handler for part in PARTS for handler in part.HANDLERS))

router = Router(
    "/",
    route_handlers=list(PAGES),
    exception_handlers={
        SignInFirst: _sign_in_first,
        Problem: _problem,
        HTTPException: _http,
        Exception: _anything,
    },
    include_in_schema=False,
)
