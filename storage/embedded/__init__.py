"""PostgreSQL and Redis without anything installed: the wheels' own binaries, started, watched and stopped by us.

Both listen on loopback only, behind a password, live in one folder each, and end with the process that started them.
"""

from storage.embedded.addresses import addresses_of
from storage.embedded.errors import EmbeddedError
from storage.embedded.postgres import Postgres
from storage.embedded.redis import Redis

__all__ = ["EmbeddedError", "Postgres", "Redis", "addresses_of"]
