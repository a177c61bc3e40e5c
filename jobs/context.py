"""What actions work with, made once by each process and passed down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from jobs.hosts.base import Backups, HostMisconfigured, Lifecycle
from jobs.mail import Mailer, mailer_of
from jobs.presence import Presence
from storage.database import Database
from storage.gather import World
from storage.settings import Settings

if TYPE_CHECKING:
    import redis


class ServerHost(Lifecycle, Backups, Protocol):
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
    from jobs.hosts.local.host import LocalHost, default_commands
    from jobs.queues import connect

    database = Database(settings)
    return Context(
        settings,
        database,
        connect(settings.redis_url),
        {"local": LocalHost(settings.data_dir, default_commands())},
        mailer_of(settings),
        Presence(database, role),
    )
