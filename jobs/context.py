"""What actions work with, made once by each process and passed down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from jobs.edge.base import NO_EDGE, Edge
from jobs.hosts.base import Backups, HostMisconfigured, Lifecycle, Tenancy
from jobs.mail import Mailer, mailer_of
from jobs.presence import Presence
from storage.database import Database
from storage.gather import World
from storage.settings import Settings

if TYPE_CHECKING:
    import redis


class ServerHost(Lifecycle, Backups, Tenancy, Protocol):
    """The half of a host that jobs use; files and consoles are the web's."""


@dataclass(frozen=True, slots=True)
class Context:
    """Everything that an action may reach."""

    settings: Settings
    database: Database
    redis: redis.Redis
    hosts: Mapping[str, ServerHost]
    mailer: Mailer
    presence: Presence
    local_hosts: frozenset[str] = frozenset({"local"})
    """Names of the hosts whose servers `forbear up` stops when it ends, and brings back when it starts again."""
    edge: Edge = NO_EDGE

    @property
    def world(self) -> World:
        """What permits ask beyond the account."""
        return World.of(self.settings)

    def host(self, name: str) -> ServerHost:
        """Return the host of that name. Raises HostMisconfigured."""
        try:
            return self.hosts[name]
        except KeyError:
            raise HostMisconfigured(name, "this process does not know it") from None


def context_of(settings: Settings, role: str) -> Context:
    """Put together what a worker or the controller needs; opens no connection yet."""
    from jobs.edge.catalog import edge_of
    from jobs.hosts.catalog import catalog_of
    from jobs.queues import connect

    catalog = catalog_of(settings)
    database = Database(settings)
    return Context(
        settings,
        database,
        connect(settings.redis_url),
        catalog.open(settings),
        mailer_of(settings),
        Presence(database, role),
        catalog.local_names,
        edge=edge_of(settings),
    )
