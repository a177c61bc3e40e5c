"""How the visitor is told: the language of letters, and the address that notices are posted to beside mail."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler

from engine.languages import named
from storage import accounts, hooks
from web.notices import languages, point, speak
from web.pages.forms import form_of
from web.pages.render import go_to, page
from web.pages.visitor import owner_of, people_only
from web.problems import Problem
from web.services import HttpRequest, Services, TheServices


@get("/notices", guards=[people_only], sync_to_thread=True)
def show_ways(request: HttpRequest, services: TheServices) -> Response[Any]:
    """Show how the visitor is told, and how the last posts went."""
    return _page(request, services, owner_of(request))


def _page(
    request: HttpRequest,
    services: Services,
    owner: UUID,
    *,
    url: str | None = None,
    secret: str = "",
    news: str = "",
    fault: str = "",
    status: int = 200,
) -> Response[Any]:
    with services.database.begin() as conn:
        customer, hook = accounts.customer(conn, owner), hooks.hook_of(conn, owner)
        given: dict[str, Any] = {
            "zone": customer.zone,
            "customer": customer,
            "hook": hook,
            "posts": hooks.latest(conn, owner),
            "languages": [(tag, named(tag)) for tag in sorted({customer.language, *languages(conn)})],
        }
    given |= {"url": url if url is not None else hook.url if hook else "", "secret": secret, "news": news}
    given["offers_hooks"] = services.settings.customer_hooks != "off"
    return page(request, "ways.html", status=status, fault=fault, **given)


@post("/notices/language", guards=[people_only])
async def set_language(request: HttpRequest, services: TheServices) -> Response[Any]:
    """Choose the language of letters."""
    form = await form_of(request)

    def work() -> Response[Any]:
        speak(services, owner_of(request), form.get("language", ""))
        return go_to("/notices")

    return await services.in_thread(work)


@post("/notices/hook", guards=[people_only])
async def set_hook(request: HttpRequest, services: TheServices) -> Response[Any]:
    """Have notices posted to an address too; the secret is shown on this answer alone."""
    form = await form_of(request)

    def work() -> Response[Any]:
        owner, url = owner_of(request), form.get("url", "").strip()
        try:
            secret = point(services, owner, url)
        except Problem as problem:
            words = problem.detail.replace("`url`", "The address")
            return _page(request, services, owner, url=url, fault=words, status=problem.status)
        return _page(request, services, owner, secret=secret)

    return await services.in_thread(work)


@post("/notices/hook/remove", guards=[people_only])
async def remove_hook(request: HttpRequest, services: TheServices) -> Response[Any]:
    """Have notices sent by mail alone."""
    await form_of(request)

    def work() -> Response[Any]:
        owner = owner_of(request)
        with services.database.begin() as conn:
            hooks.remove(conn, owner)
        return go_to("/notices")

    return await services.in_thread(work)


HANDLERS: tuple[HTTPRouteHandler, ...] = (show_ways, set_language, set_hook, remove_hook)
