"""What the routes work with, made once by each server process and passed down: settings, database, host, failure counts."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ParamSpec, TypeVar

import anyio
import anyio.to_thread

from engine.model import Policy
from jobs.hosts.base import Host
from storage import policies
from storage.database import Database
from storage.settings import Settings
from web.auth import FailureLimit

Asked = ParamSpec("Asked")
Answer = TypeVar("Answer")


@dataclass(slots=True)
class Services:
    """Everything that a handler may reach."""

    settings: Settings
    database: Database
    host: Host
    failures: FailureLimit = field(default_factory=FailureLimit)
    threads: anyio.CapacityLimiter | None = None  # made on the event loop's first use: it belongs to a loop

    def policy(self) -> Policy:
        """Return the policy in force."""
        with self.database.begin() as conn:
            return policies.in_force(conn)

    async def in_thread(self, work: Callable[Asked, Answer], *args: Asked.args, **kwargs: Asked.kwargs) -> Answer:
        """Run blocking work beside the event loop."""
        return await anyio.to_thread.run_sync(functools.partial(work, *args, **kwargs), limiter=self.threads)
