"""Making a server, in phases that its operation shows. A killed worker makes no second.

`create` and `start` are unsafe: nobody can tell whether one that failed has not happened after all. Neither is tried
again by itself; what is seen to have happened is not done again; an admin resumes the rest, or cleans it up.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Connection, text

from jobs import edge, queues
from jobs.actions.delays import MOMENT, delay, is_last
from jobs.actions.enforcement import STOP_SECONDS, autostart_off
from jobs.actions.progress import operation_of
from jobs.actions.targets import locked_server, may_run, spec_of, still_wanted
from jobs.context import Context
from jobs.faults import Moment, pause
from jobs.hosts.base import HostBusy, HostError, Observation
from storage import operations, operations_settle, policies, servers
from storage.errors import OperationRefused
from storage.intents import Again, Claim, Done, GiveUp, Outcome
from storage.invoicing import metering
from storage.invoicing.metering import Down
from storage.ledger_servers import move_server
from storage.operations import Operation
from storage.slots import slot

MADE: Final = frozenset({"starting", "running", "stopping", "stopped", "backing_up", "restoring"})
SORRY: Final = "The server could not be made. Nothing is charged for it; please try again, or write to us."
DIED: Final = "its worker died in the middle"
WAITS_TURN: Final = "waits until another server is made"
# What the host shows, in the words of operators.
LEFT: Final = {"missing": "nothing"}

LET_NEXT_GO: Final = text(
    "UPDATE intents SET not_before = NULL WHERE id = (SELECT id FROM intents WHERE status = 'open' AND outcome = :why "
    "ORDER BY created_at, id LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING id, queue"
)


def provision_server(context: Context, claim: Claim) -> Outcome:
    """Allocate, create, start and connect one server, and call it ready; so many at a time as the settings say.

    A suspension in the middle lets the phase in hand end and starts nothing: the server is made, and stands.
    """
    try:
        operation = _operation(context, claim)
    except OperationRefused as error:
        return GiveUp(str(error))
    if operation is not None and operation.state == "failed":
        return GiveUp("its operation has failed; resume it, or clean it up")
    if operation is not None and operation.state == "succeeded":
        return Done("it was made before")
    with slot(context.database, context.settings.provisioning_concurrency) as free:
        if not free:
            return Again(MOMENT, WAITS_TURN, counts=False)
        outcome = _Making(context, claim, operation).run()
    _let_next_go(context)
    return outcome


class _Making:
    """One try to make one server."""

    def __init__(self, context: Context, claim: Claim, operation: Operation | None) -> None:
        self.context = context
        self.claim = claim
        self.operation = operation
        self.server = locked_server(context, claim.server_id)
        self.host = context.host(self.server.host)
        self.spec = spec_of(self.server)
        self.phase = "allocate"
        self.packages: tuple[str, ...] = ()
        """What its host holds switched on, once it has said so."""

    def run(self) -> Outcome:
        """Walk the phases, from where a try that died has come to."""
        if self.server.lifecycle in {"deleting", "destroying", "deleted"}:
            return self._fail(f"it is {self.server.lifecycle}")
        began = self.operation.phase if self.operation is not None else None
        try:
            seen = self._allocate()
            if self._is_open(began, seen):
                self.phase = began or self.phase
                return self._fail(DIED)
            if began != "edge":
                seen = self._create(seen)
                self._switch_packages()
                seen = self._start(seen)
            self._edge(seen)
        except HostBusy as error:
            self._enter("allocate")  # another command holds the server: nothing was asked of its host
            return Again(MOMENT, str(error), counts=False)
        except HostError as error:
            if self.phase in operations.UNSAFE_PHASES or is_last(self.claim):
                return self._fail(str(error))
            return Again(delay(self.claim), str(error))
        self._ready(seen)
        return Done(f"made, observed {seen.observed}")

    # ---- the phases --------------------------------------------------------------------------------------------------

    def _allocate(self) -> Observation:
        """Write down that it is being made, and see that its host answers: so far nothing is asked of it."""
        if self.server.lifecycle not in MADE:
            self._move("provisioning_started")
        seen = self.host.observe(self.spec)
        self._at("in_allocate")
        return seen

    def _create(self, seen: Observation) -> Observation:
        if seen.observed != "missing":
            return seen
        self._enter("create")
        self._at("in_create")
        seen = self.host.create(self.spec)
        self._at("after_create")
        return seen

    def _switch_packages(self) -> None:
        wanted = self.operation.args.get("packages", []) if self.operation is not None else []
        if wanted:
            self.packages = self.host.set_packages(self.spec, wanted).packages

    def _start(self, seen: Observation) -> Observation:
        """Start it if it may run and should; a start that lost the race with a suspension or a stop is undone."""
        self._enter("start")
        if not self._may_start():
            return seen
        self._at("in_start")
        if seen.observed != "running":
            seen = self.host.start(self.spec)
        if seen.observed != "running":
            raise NotSeenRunning(seen)
        self._at("after_start")
        self.host.set_autostart(self.spec, on=True)
        if not may_run(locked_server(self.context, self.server.id)):
            autostart_off(self.context, self.server)
            return self.host.stop(self.spec, STOP_SECONDS)
        return self.host.observe(self.spec)

    def _edge(self, seen: Observation) -> None:
        """Let it be found. A name server that refuses is no fault of the server: it is told again later."""
        self._enter("edge")
        self._at("in_edge")
        with self.context.database.begin() as conn:
            servers.note_port(conn, self.server.id, seen.port)
        edge.publish(self.context, locked_server(self.context, self.server.id))

    def _ready(self, seen: Observation) -> None:
        """Write down together what was seen and that the server is made, so that no tick sees the one alone."""
        self._at("in_ready")
        runs = seen.observed == "running"

        def write(conn: Connection) -> None:
            policy = policies.in_force(conn)
            more: dict[str, Any] = {"actor": "worker", "world": self.context.world}
            move_server(conn, policy, self.server.id, "provisioned", **more)
            servers.observe(conn, {self.server.id: ("running" if runs else "stopped", seen.autostart, seen.port)})
            move_server(conn, policy, self.server.id, "observed_running" if runs else "observed_stopped", **more)
            if self.operation is not None:
                operations.progress(conn, self.operation.id, "succeeded", phase="ready", server_id=self.server.id)
            metering.harmlessly(conn, f"server `{self.server.id}`", lambda: self._meter(conn, runs))

        self.context.database.transact(f"server `{self.server.id}`", write)

    def _meter(self, conn: Connection, runs: bool) -> int:
        count = metering.created(conn, self.server.id) + metering.packages(conn, self.server.id, self.packages)
        return count + metering.suspensions(conn, [Down(self.server.id, not runs)])

    # ---- how far it has come -----------------------------------------------------------------------------------------

    def _is_open(self, began: str | None, seen: Observation) -> bool:
        """Tell whether a try has died before what it was about is seen to have happened."""
        if began in {"create", "edge"}:
            return seen.observed == "missing"
        return began == "start" and self._may_start() and seen.observed != "running"

    def _may_start(self) -> bool:
        return may_run(locked_server(self.context, self.server.id)) and still_wanted(self.context, self.claim).ok

    def _enter(self, phase: str) -> None:
        """Show the phase before anything of it happens: whoever finds it open knows where a try has died."""
        self.phase = phase
        if self.operation is not None:
            with self.context.database.begin() as conn:
                operations.progress(conn, self.operation.id, "in_progress", phase=phase, server_id=self.server.id)

    def _at(self, moment: Moment) -> None:
        pause(self.context.settings, self.claim.intent, moment)

    def _move(self, event: str) -> None:
        def write(conn: Connection) -> None:
            policy = policies.in_force(conn)
            move_server(conn, policy, self.server.id, event, actor="worker", world=self.context.world)
            if self.operation is not None and self.operation.state == "queued":
                operations.progress(conn, self.operation.id, "in_progress", phase="allocate", server_id=self.server.id)

        self.context.database.transact(f"server `{self.server.id}`", write)

    def _fail(self, reason: str) -> GiveUp:
        """End where it stands: the phase, the reason, and what is left at the host. Nothing starts it by itself."""
        left = self._left()

        def write(conn: Connection) -> None:
            policy = policies.in_force(conn)
            more: dict[str, Any] = {"actor": "worker", "desired": "stopped", "world": self.context.world}
            move_server(conn, policy, self.server.id, "provisioning_failed", **more)
            if self.operation is not None:
                words = {"error": SORRY, "reason": reason, "left_behind": left}
                operations.fail(conn, self.operation.id, phase=self.phase, **words)

        self.context.database.transact(f"server `{self.server.id}`", write)
        return GiveUp(f"{self.phase} failed: {reason}; at its host: {left}")

    def _left(self) -> str:
        try:
            seen = self.host.observe(self.spec)
        except HostError:
            return "unknown"
        return LEFT.get(seen.observed, seen.observed)


class NotSeenRunning(HostError):
    """The host took a start, and the server does not run."""

    def __init__(self, seen: Observation) -> None:
        self.seen = seen
        super().__init__(f"it was started and is {seen.observed}: {seen.detail}")


def _let_next_go(context: Context) -> None:
    """Wake the order that has waited longest for its turn."""
    with context.database.begin() as conn:
        found = [(row.id, row.queue) for row in conn.execute(LET_NEXT_GO, {"why": WAITS_TURN})]
    queues.enqueue(context.redis, found)


def _operation(context: Context, claim: Claim) -> Operation | None:
    """Return what shows how far it has come: the order, which a repair takes up where it was left.

    Raises OperationRefused when somebody else goes on with it.
    """
    operation_id = operation_of(claim)
    if operation_id is not None:
        with context.database.begin() as conn:
            return operations.get(conn, operation_id)
    server = locked_server(context, claim.server_id)

    def work(conn: Connection) -> Operation | None:
        return operations_settle.take_up(conn, policies.in_force(conn), server, actor="worker")

    return context.database.transact(f"server `{server.id}`", work)
