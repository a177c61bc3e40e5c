"""A database whose sessions end at a chosen statement, as when the process or the network dies there."""

from __future__ import annotations

from typing import Any

import psycopg
from sqlalchemy import event

from storage.database import Database
from storage.settings import Settings


class Mortal(Database):
    """Counts statements, of the driver and of SQLAlchemy alike, and the commit; number `last` is never sent."""

    def __init__(self, settings: Settings, last: int) -> None:
        super().__init__(settings, pool_size=1)
        self.left = 0
        self.died = False
        event.listen(self.engine, "do_connect", self._connect)
        with self.begin():
            pass  # what SQLAlchemy asks a server at first is not counted
        self.left = last

    def _connect(self, dialect: Any, record: Any, args: Any, given: dict[str, Any]) -> psycopg.Connection[Any]:
        mortal = self

        class Cursor(psycopg.Cursor[Any]):
            def execute(self, *args: Any, **given: Any) -> Any:
                mortal.live(self.connection)
                return super().execute(*args, **given)

        class Connection(psycopg.Connection[Any]):
            def commit(self) -> None:
                mortal.live(self)
                super().commit()

        connection = Connection.connect(*args, **given)
        connection.cursor_factory = Cursor
        return connection

    def live(self, connection: psycopg.Connection[Any]) -> None:
        """Count one statement; end the session instead of sending the last."""
        self.left -= 1
        if self.left == 0:
            self.died = True
            connection.pgconn.finish()
