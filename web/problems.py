"""How the API says no: one shape for every error (RFC 9457), one sentence that its reader can act on.

Nothing of Python, Litestar or the database shows in an answer; what nobody foresaw gets an id that is in the log.
"""

from __future__ import annotations

import logging
import secrets
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException, MethodNotAllowedException, NotFoundException
from litestar.status_codes import HTTP_404_NOT_FOUND

if TYPE_CHECKING:
    from collections.abc import Mapping

    from litestar.types import ExceptionHandlersMap

MEDIA_TYPE = "application/problem+json"
# Answers are one person's, and never a page: nothing keeps them, nothing runs them.
SAFE_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}
METHODS = ("DELETE", "GET", "PATCH", "POST", "PUT")

log = logging.getLogger("forbear.web")

TITLES = {
    400: "The request is not right",
    401: "Sign in first",
    402: "Not available for this account now",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    408: "The request took too long",
    409: "Not possible in the present state",
    411: "Length required",
    413: "Too large",
    429: "Too many requests",
    500: "Something went wrong on our side",
    503: "Temporarily unavailable",
    507: "No space left",
}


class Problem(Exception):
    """An answer that says no. `more` holds further members of the problem document, by their names on the wire."""

    def __init__(
        self, status: int, code: str, detail: str, *, headers: Mapping[str, str] | None = None, **more: object
    ) -> None:
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})
        self.more = more
        super().__init__(f"{status} {code}: {detail}")

    def document(self) -> dict[str, object]:
        """Return the problem document."""
        title = TITLES.get(self.status) or HTTPStatus(self.status).phrase
        return {
            "type": f"urn:forbear:problem:{self.code.lower().replace('_', '-')}",
            "title": title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            **self.more,
        }

    def response(self) -> Response[bytes]:
        """Return the answer as HTTP."""
        return Response(
            msgspec.json.encode(self.document()),
            status_code=self.status,
            media_type=MEDIA_TYPE,
            headers={**SAFE_HEADERS, **self.headers},
        )


def bad_input(detail: str, **more: object) -> Problem:
    """The request itself is wrong; sending it again changes nothing."""
    return Problem(400, "BAD_INPUT", detail, headers=None, **more)


def nothing_here(what: str) -> Problem:
    """There is no such thing, or it is another customer's: the two answers are the same to the byte."""
    return Problem(404, "NOT_FOUND", f"There is no such {what}.")


def conflict(code: str, detail: str) -> Problem:
    """The request is right, and the present state does not allow it."""
    return Problem(409, code, detail)


def sentence(words: str) -> str:
    """Turn a lower-layer message (lowercase, no full stop) into a sentence for a customer."""
    words = words.strip()
    if words[:1].islower():
        words = words[0].upper() + words[1:]
    return words if words.endswith((".", "!", "?")) else words + "."


def too_large(limit_bytes: int) -> Problem:
    """The body is larger than the door takes."""
    return Problem(413, "TOO_LARGE", f"The request is larger than {limit_bytes // 1_000_000} MB.")


def from_http(request: Request[Any, Any, Any], error: HTTPException) -> Problem:
    """Say in our words what the framework refused by itself."""
    status = error.status_code
    if isinstance(error, MethodNotAllowedException):
        allowed = ", ".join(methods_at(request))
        return Problem(
            405,
            "METHOD_NOT_ALLOWED",
            f"This address does not take {request.method}; it takes {allowed}.",
            headers={"Allow": allowed},
        )
    if isinstance(error, NotFoundException) or status == HTTP_404_NOT_FOUND:
        return Problem(404, "NOT_FOUND", "There is nothing at this address.")
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return too_large(10_000_000)
    if status in (HTTPStatus.BAD_REQUEST, HTTPStatus.UNSUPPORTED_MEDIA_TYPE):
        return bad_input("The request could not be read.")
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return unexpected(error)
    return Problem(status, HTTPStatus(status).name, f"{TITLES.get(status, 'The request was refused')}.")


def methods_at(request: Request[Any, Any, Any]) -> list[str]:
    """List the methods that the requested path takes."""
    found = []
    for method in METHODS:
        try:
            request.app.asgi_router.handle_routing(path=request.scope["path"], method=method)
        except HTTPException:
            continue
        found.append(method)
    return found


def unexpected(error: BaseException) -> Problem:
    """Log a failure of ours under a fresh id and answer with that id only."""
    failure_id = secrets.token_hex(6)
    log.error("unexpected failure %s", failure_id, exc_info=(type(error), error, error.__traceback__))
    return Problem(
        500,
        "UNEXPECTED",
        f"Something went wrong on our side. Nothing that you did caused it. Support can find it as {failure_id}.",
        failureId=failure_id,
    )


def on_problem(_: Request[Any, Any, Any], problem: Problem) -> Response[bytes]:
    """Answer with a problem that a handler raised."""
    return problem.response()


def on_http(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """Answer for an error of the framework."""
    return from_http(request, error).response()


def on_anything(_: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Answer for what nobody foresaw."""
    return translated(error).response()


def translated(error: Exception) -> Problem:
    """Find the answer to an exception of a lower layer."""
    from web.refusals import from_lower_layer

    return from_lower_layer(error) or unexpected(error)


HANDLERS: ExceptionHandlersMap = {Problem: on_problem, HTTPException: on_http, Exception: on_anything}
