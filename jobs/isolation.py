"""One thing's error stays its own: it is shown, and the rest goes on. Losing the lease or the database stops all."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection

from jobs.logs import say
from storage.database import is_lost
from storage.errors import Busy, FenceLost

log = logging.getLogger(__name__)


def made_anew_each_tick(conn: Connection) -> None:
    """Let this transaction's commit not wait for the disk: whatever it writes is found out and written again soon."""
    conn.exec_driver_sql("SET LOCAL synchronous_commit TO off")


@contextmanager
def by_itself(what: str) -> Iterator[None]:
    """Run the block; an error in it is logged and ends it, unless it concerns everything."""
    try:
        yield
    except FenceLost:
        raise
    except Busy as error:
        say(log, logging.INFO, f"{what} is busy and is looked at again", reason=error)
    except Exception as error:
        if is_lost(error):
            raise
        log.exception("%s failed; the rest goes on", what)
