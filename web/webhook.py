"""POST /api/billing/webhook: verify the signature on the raw bytes, parse, and answer once the event is committed.

Exactly 200 means that it is taken and need not be sent again, whatever became of it. Whoever cannot sign gets 400 and
leaves no trace; when it is our fault the answer is 5xx and Stripe sends it again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import msgspec
from litestar import Litestar, Request, Response, post
from litestar.concurrency import sync_to_thread
from litestar.handlers import HTTPRouteHandler
from litestar.plugins import InitPlugin

from storage.database import Database, is_lost
from storage.errors import StorageError
from storage.settings import Settings
from storage.stripe.event import NotAnEvent, StripeEvent, parse
from storage.stripe.inbox import Taken, Terms
from storage.stripe.inbox_session import InboxSession
from web.problems import Problem, sentence, unexpected
from web.refusals import from_lower_layer
from web.webhook_alarm import Alarm
from web.writer import Writer, WriterRefused

if TYPE_CHECKING:
    from litestar.config.app import AppConfig

PATH: Final = "/api/billing/webhook"
BODY_BYTES: Final = 10_000_000
LARGE_BYTES: Final = 200_000  # parsed beside the event loop, which would stand still for milliseconds
TOLERANCE_SECONDS: Final = 300
HEADER_LENGTH: Final = 8_192
AGAIN: Final = {"Retry-After": "5"}

log = logging.getLogger("forbear.web")


class SignatureRefused(Exception):
    """The request is not signed by Stripe, or not now. `telling`: it looks like Stripe's; our secret may be wrong."""

    def __init__(self, reason: str, *, telling: bool = False) -> None:
        self.reason = reason
        self.telling = telling
        super().__init__(reason)


def verify(body: bytes, header: str | None, secrets: tuple[str, ...], now_seconds: float) -> None:
    """Check a Stripe-Signature header against the raw body. Raises SignatureRefused.

    now_seconds: the machine's real clock. The time is checked here, in both directions: the SDK lets future ones pass.
    """
    from stripe import SignatureVerificationError, WebhookSignature

    if not header:
        raise SignatureRefused("the Stripe-Signature header is missing")
    if len(header) > HEADER_LENGTH:
        raise SignatureRefused("the Stripe-Signature header is too long")
    for secret in secrets:
        try:
            WebhookSignature.verify_header(body, header, secret, tolerance=None)
            break
        except SignatureVerificationError:
            continue
        except (
            TypeError,
            ValueError,
            OverflowError,
        ):  # what the SDK makes of bytes and characters that it did not expect
            raise SignatureRefused("the Stripe-Signature header or the body cannot be read") from None
    else:
        raise SignatureRefused("no signature fits", telling="t=" in header and "v1=" in header)
    if abs(now_seconds - _stamp(header)) > TOLERANCE_SECONDS:
        raise SignatureRefused(f"it was signed more than {TOLERANCE_SECONDS} s away from now", telling=True)


def _stamp(header: str) -> int:
    """Return the time that was signed: the first `t`, as the SDK reads it."""
    return int(next(item.split("=", 2)[1] for item in header.split(",") if item.startswith("t=")))


class Door:
    """What stands behind the route: secrets, the writer thread and its session, the alarm."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._secrets = settings.stripe_webhook_secrets
        self._is_off = settings.stripe_mode == "poll"
        self._session = InboxSession(database, Terms.of(settings))
        self._writer: Writer[StripeEvent, Taken] = Writer(self._session.take, away=is_lost)
        self.alarm = Alarm(database)

    async def take(self, body: bytes, header: str | None) -> Taken:
        """Take one request's body. Raises Problem."""
        if self._is_off:
            words = "Events are read from Stripe's list here, and no webhook is taken: FORBEAR_STRIPE_MODE is `poll`."
            raise Problem(503, "WEBHOOK_OFF", words)
        if not self._secrets:
            words = "No webhook secret is configured. Set STRIPE_WEBHOOK_SECRET to the endpoint's signing secret."
            raise Problem(503, "WEBHOOK_NOT_CONFIGURED", words, headers=AGAIN)
        try:
            verify(body, header, self._secrets, time.time())
        except SignatureRefused as error:
            if error.telling:
                self.alarm.refused(error.reason)
                await self._tell()
            raise Problem(400, "SIGNATURE_REFUSED", sentence(f"the webhook is refused: {error.reason}")) from None
        try:
            event = await sync_to_thread(parse, body) if len(body) > LARGE_BYTES else parse(body)
        except NotAnEvent as error:
            raise Problem(400, "NOT_AN_EVENT", sentence(str(error))) from None
        return await self._commit(event, len(body))

    async def _commit(self, event: StripeEvent, size_bytes: int) -> Taken:
        try:
            taken = await self._writer.submit(event, size_bytes)
        except WriterRefused as error:
            log.warning("event %s is refused: %s", event.id, type(error).__name__)
            words = "Too much is coming in at the moment. Nothing was written. Send the event again."
            raise Problem(503, "BUSY", words, headers=AGAIN) from None
        except Exception as error:
            raise await self._failed(event, error) from None
        self.alarm.taken()
        if self.alarm.pending:
            await self._tell()
        return taken

    async def _failed(self, event: StripeEvent, error: Exception) -> Problem:
        """Say that this event was not taken, to Stripe and to a person."""
        self.alarm.failed(event.id, f"{type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else ''}")
        await self._tell()
        if isinstance(error, StorageError) and from_lower_layer(error) is None:
            log.error("event %s could not be taken: %s", event.id, error)
            return Problem(503, "BUSY", "The event could not be written at the moment. Send it again.", headers=AGAIN)
        known = from_lower_layer(error)
        return known if known is not None and known.status >= 500 else unexpected(error)

    async def _tell(self) -> None:
        try:
            await sync_to_thread(self.alarm.tell)
        except Exception:
            log.exception("an alert about failing webhooks could not be written")

    async def open(self) -> None:
        """Load Stripe's code before the first event has to wait for it."""
        await sync_to_thread(__import__, "stripe")

    async def close(self) -> None:
        """Answer everything that was accepted, then let go of the database."""
        await sync_to_thread(self._writer.stop)
        await sync_to_thread(self._session.close)


class WebhookPlugin(InitPlugin):
    """Adds the route to an application, and its opening and closing to the application's."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        """Add route and lifespan."""
        door = Door(self._settings, self._database)

        @asynccontextmanager
        async def lifespan(_: Litestar) -> AsyncIterator[None]:
            await door.open()
            try:
                yield
            finally:
                await door.close()

        app_config.route_handlers.append(route(door))
        app_config.lifespan.append(lifespan)
        return app_config


def route(door: Door) -> HTTPRouteHandler:
    """Make the route over a door."""

    @post(PATH, status_code=200, request_max_body_size=BODY_BYTES, name="stripe_webhook")
    async def stripe_webhook(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Take one Stripe event."""
        taken = await door.take(await request.body(), request.headers.get("stripe-signature"))
        body = msgspec.json.encode({"received": True, "status": taken.status})
        return Response(body, media_type="application/json", headers={"Cache-Control": "no-store"})

    return stripe_webhook
