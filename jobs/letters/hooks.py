"""Posts notices to the addresses that customers gave, each at most once, signed, and only to public addresses.

Fail-soft and bounded: an address that is slow, gone or hostile costs its own post a few seconds and nothing else.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import time
from dataclasses import dataclass

from jobs.certificates import certificates
from jobs.letters.public_address import AddressRefused, Target, public_address, target_of
from jobs.logs import say
from storage import hooks
from storage.database import Database
from storage.hooks import WaitingPost

AT_ONCE = 20
MOST_TRIES = 8
FIRST_PAUSE_SECONDS = 30.0
LONGEST_PAUSE_SECONDS = 3600.0
POST_SECONDS = 10.0  # all of one post, from the name to the answer's first line
NOT_NOW = frozenset({429, 503})  # the answers that say: not taken, come again

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one post ended; `again`: it surely was not taken, and may be tried later."""

    words: str
    again: bool = False


class HookSender:
    """Posts what waits in the outbox."""

    def __init__(self, database: Database, allows: str, post_seconds: float = POST_SECONDS) -> None:
        """Take which addresses are allowed: `off` none, `public` public ones by HTTPS, `any` all."""
        self.database = database
        self.allows = allows
        self.post_seconds = post_seconds

    def send(self) -> int:
        """Post what waits, oldest first and side by side; return how many were dealt with."""
        if self.allows == "off":
            return 0
        with self.database.begin() as conn:
            waiting = hooks.take(conn, AT_ONCE)
        if not waiting:
            return 0
        outcomes = asyncio.run(self._all(waiting))
        with self.database.begin() as conn:
            for post, outcome in zip(waiting, outcomes, strict=True):
                if outcome.again and post.tries < MOST_TRIES:
                    pause = min(FIRST_PAUSE_SECONDS * 4.0 ** (post.tries - 1), LONGEST_PAUSE_SECONDS)
                    hooks.postpone(conn, post.id, pause, outcome.words)
                else:
                    hooks.settle(conn, post.id, f"given up: {outcome.words}" if outcome.again else outcome.words)
        for outcome in outcomes:
            say(log, logging.INFO, "hook", outcome=outcome.words)
        return len(waiting)

    async def _all(self, waiting: list[WaitingPost]) -> list[Outcome]:
        return list(await asyncio.gather(*(self._one(post) for post in waiting)))

    async def _one(self, post: WaitingPost) -> Outcome:
        if post.url is None or post.secret is None:
            return Outcome("not posted: the address was taken away")
        import httpx

        begun = Sending()
        try:
            async with asyncio.timeout(self.post_seconds):
                return await self._post(post, post.url, post.secret, begun)
        except AddressRefused as refused:
            return Outcome(f"refused: {refused.reason}")
        except TimeoutError:
            return begun.failed("no answer in time")
        except (OSError, httpx.TransportError, httpx.InvalidURL) as error:
            return begun.failed("it cannot be reached" if not begun.connected else type(error).__name__)

    async def _post(self, post: WaitingPost, url: str, secret: str, begun: Sending) -> Outcome:
        import httpx

        anywhere = self.allows == "any"
        target = target_of(url, anywhere=anywhere)
        address = await public_address(target, anywhere=anywhere)
        limits = httpx.Limits(max_connections=1, max_keepalive_connections=0)
        async with httpx.AsyncClient(
            trust_env=False, follow_redirects=False, limits=limits, timeout=self.post_seconds, verify=certificates()
        ) as client:
            request = client.build_request(
                "POST",
                _pinned(target, address),
                content=post.body.encode(),
                headers={"Host": target.authority, **headers_of(post, secret, int(time.time()))},
                extensions={"sni_hostname": target.host, "trace": begun.trace},
            )
            answer = await client.send(request, stream=True)  # what it says beyond its status is nobody's business
            await answer.aclose()
        if answer.is_success:
            return Outcome(f"told, it answered {answer.status_code}")
        return Outcome(f"it answered {answer.status_code}", again=answer.status_code in NOT_NOW)


@dataclass(slots=True)
class Sending:
    """How far a post has come: before a connection stands, nothing has left."""

    connected: bool = False

    async def trace(self, event: str, _: object) -> None:
        """Note that the request is on its way."""
        if event.endswith("send_request_headers.started"):
            self.connected = True

    def failed(self, reason: str) -> Outcome:
        """Return what a failure means: again while nothing has left; what may have arrived is told no second time."""
        return Outcome(f"it may have arrived: {reason}") if self.connected else Outcome(reason, again=True)


def _pinned(target: Target, address: str) -> str:
    """Return the URL with the address in place of the name: what was looked at is what is connected to."""
    host = f"[{address}]" if ":" in address else address
    return f"{target.scheme}://{host}:{target.port}{target.path}"


def headers_of(post: WaitingPost, secret: str, now_seconds: int) -> dict[str, str]:
    """Return what a receiver checks: the time, and the HMAC-SHA256 of `time.body` under their secret."""
    signed = hmac.new(secret.encode(), f"{now_seconds}.{post.body}".encode(), hashlib.sha256).hexdigest()
    return {
        "Content-Type": "application/json",
        "User-Agent": "Forbear",
        "Forbear-Delivery": hashlib.sha256(post.key.encode()).hexdigest()[:40],
        "Forbear-Signature": f"t={now_seconds},v1={signed}",
    }
