"""What the routes work with, made once by each server process and passed down."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeAlias, TypeVar

import redis
from litestar import Request
from litestar.concurrency import sync_to_thread
from litestar.di import NamedDependency
from litestar.params import FromPath
from sqlalchemy import Connection

from jobs import queues
from jobs.hosts.base import Host, HostMisconfigured
from jobs.hosts.catalog import Catalog
from storage import servers
from storage.database import Database
from storage.gather import World
from storage.intents_outbox import Outbox
from storage.settings import Settings
from web.auth import FailureLimit
from web.portal_tokens import PortalTokens

Given = ParamSpec("Given")
Answer = TypeVar("Answer")


@dataclass(slots=True)
class Services:
    """Everything that a handler may reach."""

    settings: Settings
    database: Database
    hosts: Mapping[str, Host]
    catalog: Catalog
    redis: redis.Redis
    failures: FailureLimit = field(default_factory=FailureLimit)
    portal_tokens: PortalTokens | None = None
    """Reads what another portal signs; None: none does."""
    console_streams: Counter[str] = field(
        default_factory=Counter
    )  # open ones by server; touched on the event loop alone

    def host(self, name: str) -> Host:
        """Return the host of that name. Raises HostMisconfigured."""
        try:
            return self.hosts[name]
        except KeyError:
            raise HostMisconfigured(name, "this process does not know it") from None

    def place(self, conn: Connection, kind: str) -> str | None:
        """Return the host that a new server of this kind goes to; `None` when all that may take it are full.

        Orders are placed one after the other until they commit, so that two cannot take the same last place.
        """
        return self.catalog.choose(kind, servers.uses_of_hosts(conn, lock=self.catalog.is_bounded))

    @property
    def world(self) -> World:
        """What permits ask beyond the account."""
        return World.of(self.settings)

    def wake(self, intents: Iterable[Outbox]) -> None:
        """Wake a worker for each new intent, after its commit. If Redis is lost, the relay does it within a tick."""
        queues.enqueue(self.redis, [(each.intent_id, each.queue) for each in intents])

    async def in_thread(self, work: Callable[Given, Answer], *args: Given.args, **kwargs: Given.kwargs) -> Answer:
        """Run blocking work beside the event loop."""
        return await sync_to_thread(work, *args, **kwargs)


# How handlers ask for what they are given.
TheServices: TypeAlias = NamedDependency[Services]
PathId: TypeAlias = FromPath[str]
HttpRequest: TypeAlias = Request[Any, Any, Any]
