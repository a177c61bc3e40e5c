"""The contract of everything that leads people to a server: what is published, what is shown, and how a driver says no.

A driver changes and removes only what is marked as ours. It knows nothing of billing: it does what it is told, and an
answer that is not whole is an error, never "nothing is there".
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

from jobs.edge.labels import LABEL

SERVER_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
SERVICE: Final = re.compile(r"(_[a-z0-9]([a-z0-9-]{0,13}[a-z0-9])?\._(tcp|udp))?")
EdgeState = Literal["present", "missing", "dns_missing", "proxy_missing", "taken", "unknown"]


class EdgeError(Exception):
    """What leads to a server could not be changed or looked at."""


class EdgeUnavailable(EdgeError):
    """A name server or proxy cannot be asked, refuses for now, or its answer is not whole. Trying again may help."""

    def __init__(self, driver: str, reason: str) -> None:
        self.driver = driver
        self.reason = reason
        super().__init__(f"edge `{driver}` cannot be asked: {reason}")


class EdgeTaken(EdgeError):
    """Somebody else's entry stands under the name. It is left as it is; a person has to look."""

    def __init__(self, driver: str, name: str, what: str) -> None:
        self.driver = driver
        self.name = name
        self.what = what
        super().__init__(
            f"edge `{driver}`: `{name}` holds {what} that is not ours; it was left as it is, remove it there"
        )


class EdgeMisconfigured(EdgeError):
    """The edge lacks something that an operator has to provide."""

    def __init__(self, driver: str, missing: str) -> None:
        self.driver = driver
        self.missing = missing
        super().__init__(f"edge `{driver}` is not set up: {missing}")


@dataclass(frozen=True, slots=True)
class Entry:
    """Where one server is found."""

    server_id: str
    label: str
    """The first part of its name, and its name at the proxy: one hostname label, unique among servers."""
    address: str
    """An IP address of its host."""
    port: int
    """0: not known; then there is nothing that a service record or a proxy could point at."""
    service: str = ""
    """Such as `_minecraft._tcp`; empty: no service record."""

    def __post_init__(self) -> None:
        """INVARIANT: whoever made it, nothing in an entry can break out of a zone file, TOML or a console."""
        ipaddress.ip_address(self.address)
        for text, shape in ((self.label, LABEL), (self.server_id, SERVER_ID), (self.service, SERVICE)):
            if not shape.fullmatch(text):
                raise ValueError(f"`{text[:100]}` cannot stand in a name")


@dataclass(frozen=True, slots=True)
class Look:
    """Everything of ours that a driver shows."""

    ours: Mapping[str, frozenset[str]]
    """Server id -> lines, in the same words as `Driver.expected`."""
    taken: frozenset[str] = frozenset()
    """Labels under which somebody else's entry stands."""


class Driver(Protocol):
    """One name server or proxy."""

    @property
    def name(self) -> str:
        """What operators call it."""

    def expected(self, entry: Entry) -> frozenset[str]:
        """Return the lines that `observe_all` shows of an entry that is published as it should be."""

    def publish(self, entry: Entry) -> None:
        """Make the entry stand, once, however often this is called. Raises EdgeTaken, EdgeUnavailable."""

    def withdraw(self, entry: Entry) -> None:
        """Remove what is ours of the server; nothing there is as good. Raises EdgeUnavailable."""

    def observe_all(self) -> Look:
        """Return all that is ours, in one call. Raises EdgeUnavailable when the answer is not whole."""


@dataclass(frozen=True, slots=True)
class Site:
    """Where a host's servers are reached."""

    address: str
    port: int = 0
    """Of servers that have none of their own; 0: not known."""


@dataclass(frozen=True, slots=True)
class Edge:
    """The edge of this deployment: what is told about servers, and to whom."""

    sites: Mapping[str, Site] = field(default_factory=dict)
    """By host; servers of a host that is missing here are not published."""
    services: Mapping[str, str] = field(default_factory=dict)
    """Kind of server -> service name."""
    dns: Driver | None = None
    proxy: Driver | None = None
    look_every_seconds: float = 0.0
    leads_people: bool = True
    """Whether anybody is led by it. Where nobody is, ports that change with each start are not told on, and nothing has
    to lead to the hold page."""
    hold: Site | None = None
    """Where a page says why a server is stopped, for a policy that moves what leads there."""

    @property
    def drivers(self) -> tuple[Driver, ...]:
        """Those that there are, names first."""
        return tuple(driver for driver in (self.dns, self.proxy) if driver is not None)

    def port_of(self, asked: int, told: int | None) -> int:
        """Return under which port a server is told of: where its host says that it is, else where it was asked for."""
        return (told if self.leads_people else None) or asked

    def entry(self, server_id: str, kind: str, host: str, port: int, label: str) -> Entry | None:
        """Return where a server is found; `None` when nothing says where its host is."""
        site = self.sites.get(host)
        if site is None or not self.drivers:
            return None
        return Entry(server_id, label, site.address, port or site.port, self.services.get(kind, ""))

    def state(self, entry: Entry, dns: Look | None, proxy: Look | None) -> EdgeState:
        """Compare what is shown with what should be. A look of `None` at a driver that there is means not known."""
        seen = [_seen(driver, entry, look) for driver, look in ((self.dns, dns), (self.proxy, proxy))]
        if "unknown" in seen:
            return "unknown"
        if "taken" in seen:
            return "taken"
        if seen[0] == "missing":
            return "missing" if seen[1] == "missing" else "dns_missing"
        return "proxy_missing" if seen[1] == "missing" else "present"


NO_EDGE: Final = Edge()


def _seen(driver: Driver | None, entry: Entry, look: Look | None) -> Literal["present", "missing", "taken", "unknown"]:
    if driver is None:
        return "present"
    if look is None:
        return "unknown"
    if entry.label in look.taken:
        return "taken"
    return "present" if look.ours.get(entry.server_id, frozenset()) == driver.expected(entry) else "missing"
