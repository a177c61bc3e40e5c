"""Which addresses of strangers we talk to: public ones alone, and those of the very answer that was looked at.

A name that a customer gives may lead to this machine, to its network, or to another place by the time it is used.
INVARIANT: whoever connects uses the address that `public_address` returned, and never resolves the name again.
"""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import urlsplit

MOST_CHARACTERS = 500
# Global unicast, less what carries an IPv4 address inside that somebody on the way turns back into one.
UNICAST = ip_network("2000::/3")
SPECIAL = (ip_network("192.0.0.0/24"), ip_network("192.88.99.0/24"))  # not told by every version of the library
CARRIERS = (ip_network("2002::/16"), ip_network("2001::/32"), ip_network("64:ff9b::/96"))


class AddressRefused(Exception):
    """We do not talk to this address."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class Target:
    """Where a URL leads."""

    scheme: str
    host: str
    """In ASCII, as certificates and `Host` have it."""
    port: int
    path: str

    @property
    def authority(self) -> str:
        """What stands in `Host`."""
        named = f"[{self.host}]" if ":" in self.host else self.host
        usual = {"https": 443, "http": 80}[self.scheme]
        return named if self.port == usual else f"{named}:{self.port}"


def target_of(url: str, *, anywhere: bool = False) -> Target:
    """Read a URL. Raises AddressRefused. anywhere: plain HTTP, and addresses of our own network, are fine too."""
    if len(url) > MOST_CHARACTERS or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise AddressRefused(f"it is not an address of at most {MOST_CHARACTERS} plain characters")
    try:
        parts = urlsplit(url)
        port, host = parts.port, (parts.hostname or "").encode("idna").decode("ascii")
    except (ValueError, UnicodeError):
        raise AddressRefused("it is not an address that can be read") from None
    if parts.scheme not in ({"https", "http"} if anywhere else {"https"}):
        raise AddressRefused("it does not begin with `https://`")
    if not host or parts.username is not None or parts.password is not None:
        raise AddressRefused("it names no host, or holds a name or password")
    port = port or {"https": 443, "http": 80}[parts.scheme]
    if not anywhere and port < 1024 and port != 443:
        raise AddressRefused("its port is not 443 or above 1023")
    literal = _literal(host)
    if literal is not None and not anywhere and not is_public(literal):
        raise AddressRefused("it is not a public address")
    query = f"?{parts.query}" if parts.query else ""
    return Target(parts.scheme, host, port, f"{parts.path or '/'}{query}")


async def public_address(target: Target, *, anywhere: bool = False) -> str:
    """Return the address to connect to. Raises AddressRefused when any of the name's is not public, and OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    addresses = [ip_address(str(each[4][0]).partition("%")[0]) for each in found]
    if not anywhere and not all(map(is_public, addresses)):
        raise AddressRefused("its name leads to an address that is not public")
    if not addresses:
        raise OSError("the name leads nowhere")
    return str(min(addresses, key=lambda each: each.version))


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Tell whether an address is anybody's on the internet: not this machine's, its network's or a special one."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if address not in UNICAST or any(address in network for network in CARRIERS):
            return False
    elif any(address in network for network in SPECIAL):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host.partition("%")[0])
    except ValueError:
        return None
