"""What hosts show: one call a host for a whole tick, written down at once; and what follows from it for lifecycles.

A host that cannot be asked makes all of its servers unknown, one that answers in part those that it leaves out. Unknown
is not stopped and not gone.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, text

from engine.lifecycle import lifecycle_machine
from engine.model import STOPPED_BILLING_STATES, Policy
from engine.repairs import Seen
from jobs.context import Context
from jobs.hosts.base import HostError, HostUnavailable, Observation
from jobs.isolation import by_itself, made_anew_each_tick
from jobs.logs import say
from storage import clock, policies, servers
from storage.invoicing import metering
from storage.invoicing.metering import Down
from storage.leases import Fence
from storage.ledger_batch import lock
from storage.ledger_servers import Moved, due_servers, move_server
from storage.servers import Change, Known
from storage.stale_locks import HOLDERS

HOST_SECONDS = 4.0  # a host that takes longer is unknown, and is neither waited for nor asked again until it answers

# In these a server may not have been made: what the host does not know does not run either.
MAYBE_NOT_MADE = frozenset({"requested", "provisioning", "failed"})
TAKEN_AWAY = frozenset({"deleting", "destroying"})
EVENTS: Mapping[str, str] = {"running": "observed_running", "stopped": "observed_stopped"}

FLEET = text(
    "SELECT s.id, s.account_id, s.host, s.desired, s.observed, s.lifecycle, s.lifecycle_since, s.autostart, "
    "stricter(a.server_billing_state, s.own_billing_state), "
    "CASE WHEN e.wanted AND (e.state = 'present' OR e.looks >= 2) THEN e.state END, "
    "s.observed_at, held.since, s.published_port FROM servers s JOIN accounts a ON a.id = s.account_id "
    "LEFT JOIN edges e ON e.server_id = s.id LEFT JOIN (SELECT server_id, min(started_at) AS since FROM intents "
    "WHERE status IN ('open', 'started') AND tries > 0 AND intent = ANY(:holders) GROUP BY server_id) held "
    "ON held.server_id = s.id WHERE s.lifecycle <> 'deleted'"
)

LOOKED_AT_SINCE = text("SELECT id FROM servers WHERE observed_at > :began")
ASTRAY = text(
    "SELECT id, observed FROM servers WHERE (observed = 'running' AND lifecycle = ANY(:running)) "
    "OR (observed = 'stopped' AND lifecycle = ANY(:stopped)) ORDER BY id"
)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Seat:
    """One server as the controller goes through all of them."""

    id: UUID
    account_id: UUID
    host: str
    desired: str
    observed: str
    lifecycle: str
    lifecycle_since: datetime
    autostart: bool | None
    billing_state: str
    edge: str | None
    observed_at: datetime | None
    locked_since: datetime | None
    """Since when an operation that has begun, and is not tried again either, keeps others off it."""
    published_port: int | None = None

    def is_news(self, known: Known, now: datetime) -> bool:
        """Tell whether what is known now has to be written down: it is otherwise, or was written long ago."""
        stale = self.observed_at is None or self.observed_at < now - servers.SHOWN_AGAIN
        moved = known[2] is not None and known[2] != self.published_port
        return stale or moved or known[:2] != (self.observed, self.autostart)

    def seen(self, now: datetime) -> Seen:
        """Return what repairs are asked about it."""
        return Seen(
            self.desired,
            self.observed,
            self.billing_state,
            self.lifecycle,
            self.autostart,
            lifecycle_age=now - self.lifecycle_since,
            # INVARIANT: nothing is known of the edge of a suspended server, so that no line can ask to publish it
            edge=None if self.billing_state in STOPPED_BILLING_STATES else self.edge,
            lock_age=now - self.locked_since if self.locked_since is not None else None,
        )


def fleet(conn: Connection) -> list[Seat]:
    """Read every server, with what its account says about it."""
    return [Seat(*row) for row in conn.execute(FLEET, {"holders": list(HOLDERS)})]


class Lookout:
    """Asks the hosts, each in a thread of its own: one that hangs delays nothing but the knowledge about itself."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self._threads = ThreadPoolExecutor(max(len(context.hosts), 1), thread_name_prefix="host")
        self._asked: dict[str, Future[Mapping[str, Observation]]] = {}
        self._hanging: set[str] = set()
        self._trouble: dict[str, str] = {}

    def look(self, fence: Fence, seconds: float = HOST_SECONDS) -> list[Change]:
        """See every server and write it down; return those that are seen otherwise than before."""
        with self.context.database.begin() as conn:
            began = clock.now(conn)
            seats = fleet(conn)
        found = self.see(seats, seconds)
        known = {seat.id: found[seat.id] for seat in seats if seat.is_news(found[seat.id], began)}

        def write(conn: Connection) -> list[Change]:
            made_anew_each_tick(conn)
            # a worker that has looked since the hosts were asked knows better
            newer = set(conn.execute(LOOKED_AT_SINCE, {"began": began}).scalars())
            return servers.observe(conn, {key: seen for key, seen in known.items() if key not in newer}, fence=fence)

        return self.context.database.transact("observations", write)

    def see(self, seats: Sequence[Seat], seconds: float = HOST_SECONDS) -> dict[UUID, Known]:
        """Ask each host once and return what is known of every server; write nothing down."""
        answers = self._ask_all(seconds)
        absent = {name: _absent(name, seats, answer) for name, answer in answers.items()}
        for name, answer in answers.items():
            if answer is not None:
                count = absent[name]
                self._note(name, f"its answer lacks {count} servers that were made" if count else "")
        return {seat.id: _seen(seat, answers.get(seat.host), whole=not absent.get(seat.host)) for seat in seats}

    def close(self) -> None:
        """Ask no more. A host that hangs is left hanging."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _ask_all(self, seconds: float) -> dict[str, Mapping[str, Observation] | None]:
        for name, host in self.context.hosts.items():
            if name not in self._asked:
                self._asked[name] = self._threads.submit(host.observe_all)
        return {name: self._answer(name, seconds) for name in self.context.hosts}

    def _answer(self, name: str, seconds: float) -> Mapping[str, Observation] | None:
        """Return a host's whole answer; None: nothing is known. A call that hangs is waited for once, and made once."""
        try:
            answer = self._asked[name].result(timeout=0 if name in self._hanging else seconds)
        except NotYet:
            self._hanging.add(name)
            self._note(name, f"it did not answer within {seconds:.0f} s")
            return None
        except Exception as error:
            self._answered(name)
            reason = error.reason if isinstance(error, HostUnavailable) else str(error)
            self._note(name, reason)
            if not isinstance(error, HostError):
                log.exception("a host answered with an unexpected error")
            return None
        self._answered(name)
        return answer

    def _answered(self, name: str) -> None:
        del self._asked[name]
        self._hanging.discard(name)

    def _note(self, name: str, reason: str) -> None:
        if self._trouble.get(name, "") != reason:
            level, words = (logging.WARNING, "is unknown") if reason else (logging.INFO, "answers again")
            say(log, level, f"host {name} {words}", reason=reason or None)
            self._trouble[name] = reason


def _absent(host: str, seats: Sequence[Seat], answer: Mapping[str, Observation] | None) -> int:
    """Count the servers that were made on a host and that its answer does not name: it may have been cut short."""
    made = (seat for seat in seats if seat.host == host and seat.lifecycle not in MAYBE_NOT_MADE | TAKEN_AWAY)
    return sum(str(seat.id) not in answer for seat in made) if answer is not None else 0


def _seen(seat: Seat, answer: Mapping[str, Observation] | None, *, whole: bool) -> Known:
    if answer is None:
        return "unknown", None, None
    seen = answer.get(str(seat.id))
    if seen is None and not whole:
        return "unknown", None, None  # it may be in the part that is missing
    return as_known(seat.lifecycle, seen)


def as_known(lifecycle: str, seen: Observation | None) -> Known:
    """Turn what a host showed into what is known. A server that was made and that its host has lost is unknown."""
    if seen is None or seen.observed == "missing":
        return ("stopped" if lifecycle in MAYBE_NOT_MADE else "unknown"), None, None
    return seen.observed, seen.autostart, seen.port


def follow(context: Context, policy: Policy, fence: Fence) -> int:
    """Move the lifecycles that no longer agree with what was seen; return how many moved."""
    moves = lifecycle_machine(policy).moves
    sources = {
        seen: sorted({source for rule in moves if rule.event == event for source in rule.sources})
        for seen, event in EVENTS.items()
    }
    with context.database.begin() as conn:
        astray = conn.execute(ASTRAY, sources).all()
    return sum(_move(context, policy, server_id, EVENTS[observed], fence) for server_id, observed in astray)


def move_due(context: Context, policy: Policy, fence: Fence, limit: int = 1_000) -> int:
    """Move the servers whose time has come; return how many moved."""
    with context.database.begin() as conn:
        due = due_servers(conn, clock.now(conn), limit)
    return sum(_move(context, policy, server_id, None, fence) for server_id in due)


def _move(context: Context, policy: Policy, server_id: UUID, event: str | None, fence: Fence) -> int:
    """Let what was seen, or the passing of time, move one server; return how many moved."""

    def work(conn: Connection) -> Moved:
        return move_server(conn, policy, server_id, event, actor="controller", fence=fence, world=context.world)

    count = 0
    with by_itself(f"server {server_id}"):
        moved = context.database.transact(f"server `{server_id}`", work)
        if moved.rules:
            say(log, logging.INFO, f"server {moved.from_} -> {moved.to}", server=server_id, because=moved.rules[0])
            count = 1
    return count


def note_observation(context: Context, server_id: UUID, lifecycle: str, seen: Observation) -> None:
    """Write down what a worker saw of one server after it acted, with what follows for its lifecycle."""

    def write(conn: Connection) -> None:
        owner = conn.execute(text("SELECT account_id FROM servers WHERE id = :id"), {"id": server_id}).scalar_one()
        lock(conn, [owner])  # the account first, then the server: the order in which decisions take them
        known = as_known(lifecycle, seen)
        servers.observe(conn, {server_id: known})
        if event := EVENTS.get(known[0]):
            move_server(conn, policies.in_force(conn), server_id, event, actor="worker", world=context.world)
        shown = [Down(server_id, known[0] == "stopped")]
        metering.harmlessly(conn, f"server `{server_id}`", lambda: metering.suspensions(conn, shown))

    context.database.transact(f"server `{server_id}`", write)
