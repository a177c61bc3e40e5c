"""Sessions that one test hands on to the next on the same database, each left as a new one is.

To begin one costs 7 ms of CPU on both sides, a floor has six, and what they know of tables need not be read again.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, QueuePool, event

from storage.database import Database
from storage.settings import Settings
from tests.databases import BETWEEN

MOST_ENGINES = 4  # a database that was dropped is never lent again
AS_NEW = f"""
UNLISTEN *; CLOSE ALL; DISCARD TEMP; DISCARD SEQUENCES; SELECT pg_advisory_unlock_all(); RESET ALL;
SET application_name = '{BETWEEN}'
"""

_engines: dict[str, Engine] = {}


class LastingDatabase(Database):
    """The pool of connections of a test. Closed, it waits for the next one on its database."""

    def __init__(self, settings: Settings, *, pool_size: int) -> None:
        kept = _engines.get(settings.database_url)
        if kept is not None:
            self.engine = kept
            return
        super().__init__(settings, pool_size=pool_size)
        event.listen(self.engine, "checkout", _count)
        _engines[settings.database_url] = self.engine
        while len(_engines) > MOST_ENGINES:
            _engines.pop(next(iter(_engines))).dispose()

    def close(self) -> None:
        """Leave the sessions as new ones are; end them all when somebody still uses one."""
        pool = self.engine.pool
        assert isinstance(pool, QueuePool)
        if pool.checkedout():
            self.engine.dispose()
            return
        for session in [self.engine.raw_connection() for _ in range(pool.checkedin())]:
            if session.info["uses"] > 1:  # this one not counted
                below = session.driver_connection
                assert below is not None
                below.autocommit = True
                below.execute(AS_NEW)
                below.autocommit = False
            session.info["uses"] = 0
            session.close()


def _count(_connection: Any, record: Any, _proxy: Any) -> None:
    record.info["uses"] = record.info.get("uses", 0) + 1
