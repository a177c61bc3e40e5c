"""The certificates by which clients of HTTP recognise other machines, loaded once a process: each load takes 20 ms."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl


@cache
def certificates(*, trust_env: bool = False) -> ssl.SSLContext:
    """Return what a client takes as `verify`. trust_env: as of the client, whether the environment may name others."""
    import httpx

    return httpx.create_ssl_context(trust_env=trust_env)
