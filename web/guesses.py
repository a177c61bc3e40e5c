"""How often passwords may be tried: by network address and person together, and by person from everywhere, but slower.

Nobody can lock a person out of a browser in which they have signed in before: that one is counted by itself. Addresses
that nobody has are counted alike, so the answer tells nothing of whom we know.
"""

from __future__ import annotations

import ipaddress
from datetime import timedelta
from typing import Final, Literal

from sqlalchemy import Connection

from storage import logins

WITHIN: Final = timedelta(minutes=15)
MOST_BY_PAIR: Final = 10  # from one network address as one person, or in one browser that is known
MOST_BY_CLIENT: Final = 100  # from one network address as anybody
MOST_AS_ONE: Final = 100  # as one person from everywhere, in a day
A_DAY: Final = timedelta(days=1)
SUBNET_BITS: Final = 64  # of IPv6: whoever has one address there has them all

Verdict = Literal["", "slow", "locked"]


def judge(conn: Connection, *, client: str, email: str, device: str | None) -> Verdict:
    """Count one try to sign in; say whether it may be made. What may not costs no more work, and is not counted."""
    if by_client(conn, client):
        return "slow"
    if logins.too_often(conn, pair_key(client, email, device), MOST_BY_PAIR, WITHIN):
        return "slow"
    if device is None and logins.too_often(conn, f"person:{logins.normal(email)}", MOST_AS_ONE, A_DAY):
        return "locked"
    return ""


def by_client(conn: Connection, client: str) -> bool:
    """Count one try of anything from a network address; tell whether there were too many."""
    return logins.too_often(conn, f"client:{network_of(client)}", MOST_BY_CLIENT, WITHIN)


def pair_key(client: str, email: str, device: str | None) -> str:
    """Return by what tries of one person are counted; whoever gets in is forgiven them."""
    return f"device:{device}" if device else f"sign-in:{network_of(client)}:{logins.normal(email)}"


def network_of(client: str) -> str:
    """Return what whoever has this network address has: the address, or its subnet in IPv6."""
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return client[:64]
    if address.version == 4:
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((int(address), SUBNET_BITS), strict=False))
