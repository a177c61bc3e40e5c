"""Looking at what leads to servers: one call a driver now and then, beside the controller's ticks.

A driver that cannot be asked, or answers in part, makes its half of every edge unknown, never missing. Servers that
billing has stopped are left out: nothing is learned about them, so nothing is repaired.
"""

from __future__ import annotations

import logging
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from uuid import UUID

from sqlalchemy import Connection

from jobs.context import Context
from jobs.edge.base import Driver, EdgeError, Look
from jobs.edge.publication import labelled, tell_again
from jobs.isolation import by_itself, made_anew_each_tick
from jobs.logs import say
from storage import edge as rows
from storage.leases import Fence, check

PATIENCE_SECONDS = 30.0  # a driver that takes longer is unknown, and is not asked again until it answers
FORCED_SECONDS = 4.0  # how long somebody who asked for a look waits for it

log = logging.getLogger(__name__)


class EdgeWatch:
    """Asks the drivers, each in a thread of its own, and never keeps a tick waiting."""

    def __init__(self, context: Context) -> None:
        self.context = context
        edge = context.edge
        roles = {"dns": edge.dns, "proxy": edge.proxy}
        self._drivers: dict[str, Driver] = {role: driver for role, driver in roles.items() if driver is not None}
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="edge")
        self._asked: dict[str, Future[Look]] = {}
        self._since = 0.0
        self._next_at = float("-inf")
        self._is_forgotten = False
        self._trouble: dict[str, str] = {}

    def look(self, fence: Fence, *, wait_seconds: float = 0.0, patience_seconds: float = PATIENCE_SECONDS) -> int:
        """Write down what is shown once every driver has answered; return how many rows changed.

        wait_seconds: above 0, look now, and wait for the answers so long; else only when it is time.
        """
        if not self._drivers:
            return self._forget(fence)
        now = time.monotonic()
        if wait_seconds > 0.0:
            self._finish_before(wait_seconds)
        if self._since == 0.0:
            if now < self._next_at and wait_seconds == 0.0:
                return 0
            self._since = now
            for role, driver in self._drivers.items():
                if role not in self._asked:
                    self._asked[role] = self._threads.submit(driver.observe_all)
        _, waiting = wait(self._asked.values(), timeout=wait_seconds)
        if waiting and time.monotonic() - self._since < patience_seconds:
            return 0
        self._since = 0.0
        self._next_at = now + self.context.edge.look_every_seconds
        looks = {role: self._answer(role) for role in self._drivers}
        changed, moved = self.context.database.transact("the edge", lambda conn: self._write(conn, looks, fence))
        for server_id in moved:
            # no repair, which the policy may leave out: what we have told ourselves is no longer so
            with by_itself(f"the edge of server {server_id}"):
                work = partial(self._tell_again, server_id=server_id, fence=fence)
                self.context.database.transact(f"server `{server_id}`", work)
        return changed

    def close(self) -> None:
        """Ask no more. A driver that hangs is left hanging."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _finish_before(self, seconds: float) -> None:
        """Let go of answers to what was asked before now: whoever wants a look wants what is there from now on."""
        done, _ = wait(self._asked.values(), timeout=seconds)
        self._asked = {role: future for role, future in self._asked.items() if future not in done}
        self._since = 0.0

    def _answer(self, role: str) -> Look | None:
        """Return a driver's whole answer; None: nothing is known."""
        future = self._asked[role]
        if not future.done():
            self._note(role, "it does not answer")
            return None
        del self._asked[role]
        try:
            answer = future.result()
        except Exception as error:
            self._note(role, str(error))
            if not isinstance(error, EdgeError):
                log.exception("the edge answered with an unexpected error")
            return None
        self._note(role, "")
        return answer

    def _tell_again(self, conn: Connection, *, server_id: UUID, fence: Fence) -> None:
        check(conn, fence)
        tell_again(conn, self.context, server_id, "its host reaches it on another port than before")

    def _write(self, conn: Connection, looks: dict[str, Look | None], fence: Fence) -> tuple[int, list[UUID]]:
        """Write down what was shown; return how many rows changed, and whose port is another one than was told."""
        made_anew_each_tick(conn)
        edge = self.context.edge
        seen: dict[UUID, str] = {}
        moved: list[UUID] = []
        for server in rows.watched(conn):
            if server.host not in edge.sites:
                continue
            label = server.label or labelled(conn, server)
            port = edge.port_of(server.port, server.published_port)
            entry = edge.entry(str(server.id), server.kind, server.host, port, label) if label else None
            if entry is not None:
                seen[server.id] = edge.state(entry, looks.get("dns"), looks.get("proxy"))
                if port and server.told_port not in {None, port}:
                    moved.append(server.id)
        return rows.observe(conn, seen, fence=fence), moved

    def _forget(self, fence: Fence) -> int:
        """Without an edge nothing is known of it: what was seen by an earlier one says nothing any more."""
        if self._is_forgotten:
            return 0
        self._is_forgotten = True
        return self.context.database.transact("the edge", lambda conn: rows.forget(conn, fence))

    def _note(self, role: str, reason: str) -> None:
        if self._trouble.get(role, "") != reason:
            level, words = (logging.WARNING, "is unknown") if reason else (logging.INFO, "answers again")
            say(log, level, f"edge {self._drivers[role].name} {words}", reason=reason or None)
            self._trouble[role] = reason
