"""The application: every router put together, errors in one shape, bodies bounded, no route without its gate."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import psycopg
from litestar import Litestar, Request
from litestar.datastructures import State
from litestar.datastructures.response_header import ResponseHeader
from litestar.di import Provide
from litestar.handlers import HTTPRouteHandler, WebsocketRouteHandler
from sqlalchemy.exc import DBAPIError

from jobs import queues
from jobs.hosts.catalog import catalog_of
from jobs.presence import SEEN_EVERY_SECONDS, Presence
from storage.database import Database
from storage.settings import Settings
from web import (
    account,
    admin,
    announcements,
    backups,
    billing,
    console,
    files,
    health,
    instances,
    metrics,
    notices,
    server_deletion,
    servers,
    support,
    tenant_requests,
    tenants,
)
from web.pages import router
from web.portal_tokens import PortalTokens
from web.problems import HANDLERS, SAFE_HEADERS, Problem
from web.schema import described
from web.services import Services
from web.webhook import WebhookPlugin

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

BODY_BYTES = 10_000_000
BODY_SECONDS = 60.0
TENANTS = "/api/servers/", "/api/instances", "/servers/"
POOL = 10

log = logging.getLogger("forbear.web")

ROUTERS: tuple[ControllerRouterHandler, ...] = (
    health.show_health,
    account.router,
    billing.router,
    announcements.router,
    instances.router,
    servers.router,
    server_deletion.router,
    console.router,
    files.router,
    backups.router,
    support.router,
    tenants.router,
    tenant_requests.router,
    notices.router,
    admin.router,
    metrics.router,
    router.router,
)


def create_app(settings: Settings) -> Litestar:
    """Make the application. Opens nothing until it serves."""
    catalog = catalog_of(settings)
    services = Services(
        settings=settings,
        database=Database(settings, pool_size=POOL),
        hosts=catalog.open(settings),
        catalog=catalog,
        redis=queues.connect(settings.redis_url),
        portal_tokens=PortalTokens(settings.jwt) if settings.jwt else None,
    )
    app = Litestar(
        route_handlers=ROUTERS,
        plugins=[WebhookPlugin(settings, services.database)],
        dependencies={"services": Provide(_services, sync_to_thread=False)},
        exception_handlers=HANDLERS,
        before_request=read_body,
        request_max_body_size=BODY_BYTES,
        lifespan=[_open_and_close],
        response_headers=[ResponseHeader(name=name, value=value) for name, value in SAFE_HEADERS.items()],
        state=State({"services": services}),
        openapi_config=described(),
        logging_config=None,
        debug=False,
    )
    refuse_ungated(app)
    return app


def gated_handlers(app: Litestar) -> Iterator[tuple[str, HTTPRouteHandler | WebsocketRouteHandler]]:
    """Find every handler below which a tenant's things are touched, with its path.

    A page that only shows what each gate says acts behind none of them.
    """
    for route in app.routes:
        if route.path.startswith(TENANTS):
            handlers = getattr(route, "route_handlers", None) or [route.route_handler]  # type: ignore[union-attr]
            for handler in handlers:
                if "OPTIONS" not in getattr(handler, "http_methods", ()) and not handler.opt.get("shows_verdicts"):
                    yield route.path, handler


def refuse_ungated(app: Litestar) -> None:
    """Refuse to serve when a tenant's route declares no gate, or one that no matrix can have."""
    forgotten = [f"{path} ({handler})" for path, handler in gated_handlers(app) if not handler.opt.get("gate")]
    if forgotten:
        raise RuntimeError(f"these routes ask no gate: {', '.join(forgotten)}")


async def read_body(request: Request[Any, Any, Any]) -> None:
    """Read the body before any handler runs, also where none is wanted: one that is too large never goes unnoticed."""
    if request.method == "GET" or request.route_handler.opt.get("streams"):
        return
    try:
        async with asyncio.timeout(BODY_SECONDS):
            await request.body()
    except TimeoutError:
        raise Problem(408, "BODY_TOO_SLOW", f"The body did not arrive within {BODY_SECONDS:.0f} s.") from None


def _services(state: State) -> Services:
    services: Services = state.services
    return services


@asynccontextmanager
async def _open_and_close(app: Litestar) -> AsyncIterator[None]:
    services: Services = app.state.services
    presence = asyncio.create_task(_be_present(services))
    try:
        yield
    finally:
        presence.cancel()
        await asyncio.wait([presence])
        await services.in_thread(services.database.close)


async def _be_present(services: Services) -> None:
    """Show that this process lives, which code it runs, and which policy it can read."""
    presence = Presence(services.database, "serve")
    try:
        while True:
            try:
                await services.in_thread(presence.keep)
            except (DBAPIError, psycopg.Error) as error:  # such as tables that are not there yet; health says so
                log.warning("this process cannot show that it lives: %s", type(error).__name__)
            await asyncio.sleep(SEEN_EVERY_SECONDS)
    finally:
        await asyncio.shield(services.in_thread(presence.leave))
