"""What the routes work with, made once by each server process and passed down."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ParamSpec, TypeVar

from litestar.concurrency import sync_to_thread

from jobs.hosts.base import Host, HostMisconfigured
from storage.database import Database
from storage.settings import Settings
from web.auth import FailureLimit

Given = ParamSpec("Given")
Answer = TypeVar("Answer")


@dataclass(slots=True)
class Services:
    """Everything that a handler may reach."""

    settings: Settings
    database: Database
    hosts: Mapping[str, Host]
    failures: FailureLimit = field(default_factory=FailureLimit)
    console_streams: Counter[str] = field(
        default_factory=Counter
    )  # open ones by server; touched on the event loop alone

    def host(self, name: str) -> Host:
        """Return the host of that name. Raises HostMisconfigured."""
        try:
            return self.hosts[name]
        except KeyError:
            raise HostMisconfigured(name, "this process does not know it") from None

    async def in_thread(self, work: Callable[Given, Answer], *args: Given.args, **kwargs: Given.kwargs) -> Answer:
        """Run blocking work beside the event loop."""
        return await sync_to_thread(work, *args, **kwargs)
