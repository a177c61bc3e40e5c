"""The controller: one leader that finds what is due, hands work out, and keeps servers as they should be.

Any number may run; who holds the lease leads. Each write is checked against the lease's token, so that one that was
frozen and wakes up late writes nothing. What there is to do is found in the database anew each tick.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import psycopg
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, PendingRollbackError

from engine.model import Policy
from jobs import metering
from jobs.alerts import AlertSender
from jobs.context import Context
from jobs.drain import CONTROLLER
from jobs.edge.watch import FORCED_SECONDS, EdgeWatch
from jobs.endings import end_operations
from jobs.invoices import automatic, ordered
from jobs.invoices.moves import move_invoices
from jobs.invoices.sender import ReminderSender
from jobs.isolation import by_itself, made_anew_each_tick
from jobs.letters.hooks import HookSender
from jobs.letters.sender import LetterSender
from jobs.logs import say
from jobs.observe import Lookout, follow, move_due
from jobs.relay import relay
from jobs.repair import boot, look_back, repair
from jobs.rounds import Rounds
from jobs.stripe.charges import ChargePoll
from jobs.stripe.client import StandingPoll
from jobs.stripe.reader import EventReader
from jobs.stripe.thin import ThinFetcher
from jobs.sweep import Sweep
from storage import clock, intents, leases, policies, processes, wakeups
from storage.database import is_lost
from storage.errors import FenceLost, NoPolicy
from storage.leases import Fence
from storage.stripe import inbox

LEASE_SECONDS = 10.0
RETRY_SECONDS = 1.0
PARKED_EVERY_SECONDS = 10.0
PRUNE_EVERY_SECONDS = 600.0
HOLDER = "controller:"

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Report:
    """What one tick found and did; drain reads it."""

    busy: int = 0
    """Intents that were runnable or under way when it began."""
    taken_back: int = 0
    swept: int = 0
    seen: int = 0
    moved: int = 0
    repairs: int = 0
    parked: int = 0
    ended: int = 0
    """Operations whose intents were dropped or given up."""
    read: int = 0
    """Stripe's events that were found in its list, and new."""
    fetched: int = 0
    """Accounts about which Stripe was asked."""
    woken: int = 0
    pending: int = 0
    """Repairs that wait to be seen again, and readings of Stripe that go on in the next tick."""
    failed: list[str] = field(default_factory=list)
    took_ms: int = 0

    @property
    def changed(self) -> int:
        """How much is different after it."""
        return (
            self.taken_back
            + self.swept
            + self.seen
            + self.moved
            + self.repairs
            + self.parked
            + self.read
            + self.fetched
            + self.ended
        )


class Controller:
    """Leads while it holds the lease; waits for it otherwise."""

    def __init__(self, context: Context, alerts: AlertSender) -> None:
        self.context = context
        self.alerts = alerts
        self.stopping = threading.Event()
        self.fence: Fence | None = None
        self.sweep = Sweep()
        self.standing = StandingPoll(context.settings, context.database)
        self.events = EventReader(context.settings, context.database)
        self.thin = ThinFetcher(context.settings, context.database)
        self.charges = ChargePoll(context.settings, context.database)
        self.lookout = Lookout(context)
        self.edge_watch = EdgeWatch(context)
        self.reminders = ReminderSender(context.database, context.mailer, context.settings)
        self.beside = self._beside()
        self.digest: str | None = None
        self.booted = False
        self._parked_at = float("-inf")
        self._pruned_at = float("-inf")
        self._renewed_at = float("-inf")
        self._session: psycopg.Connection[Any] | None = None

    def _beside(self) -> tuple[Rounds, ...]:
        settings, database = self.context.settings, self.context.database
        compare = partial(metering.compare, database, self.context.hosts)
        bill = partial(automatic.run_by_itself, settings, database, self.context.hosts)
        letters = LetterSender(database, self.context.mailer, settings.our_urls)
        hooks = HookSender(database, settings.customer_hooks)
        return (
            Rounds("what is metered", compare, every_seconds=metering.EVERY_SECONDS),
            Rounds("invoices", bill, every_seconds=automatic.EVERY_SECONDS),
            Rounds("ordered invoices", partial(ordered.run_ordered, settings, database)),
            Rounds("alerts", self.alerts.send),
            Rounds("letters", letters.send),
            Rounds("hooks", hooks.send),
            Rounds("letters about invoices", self.reminders.send),
        )

    def run(self) -> None:
        """Tick until asked to stop, then give the lease back."""
        try:
            while not self.stopping.is_set():
                self.turn()
                self._wait(self.context.settings.tick_seconds)
        finally:
            self._step_down()
            self.lookout.close()
            self.edge_watch.close()
            for rounds in self.beside:
                rounds.close()
            self._hang_up()

    def turn(self) -> Report | None:
        """Lead for one tick if that is ours to do; None when it is not, or when the database is away."""
        try:
            if not self.context.presence.keep() or not self._lead():
                return None
            assert self.fence is not None
            return self.tick(self.fence)
        except FenceLost as error:
            say(log, logging.WARNING, "the lease is lost, another controller leads", reason=error)
            self.fence = None
        except NoPolicy as error:
            say(log, logging.WARNING, str(error))
        except (DBAPIError, PendingRollbackError, psycopg.Error) as error:
            if not is_lost(error):
                log.exception("the tick failed; the next one looks at everything anew")
            else:
                say(log, logging.WARNING, "the database went away in the middle of a tick", reason=type(error).__name__)
        except Exception:
            log.exception("the tick failed; the next one looks at everything anew")
        return None

    # ---- one tick ----------------------------------------------------------------------------------------------------

    def tick(self, fence: Fence) -> Report:
        """Do everything once, in the order in which one thing makes the next; report it. Raises FenceLost."""
        began = time.monotonic()
        report = Report()
        context = self.context
        with context.database.begin() as conn:
            made_anew_each_tick(conn)
            leases.check(conn, fence)
            clock.mark(conn)
            asked = wakeups.read(conn, CONTROLLER)
            policy = self._policy(conn)
            counts = intents.counts(conn, clock.now(conn))
        report.busy = counts.runnable + counts.started
        forced = asked.requested > asked.done

        def sweep() -> None:
            swept = self.sweep.run(context, policy, fence, force=forced, between=lambda: self._renew(fence))
            report.swept = swept.moved

        def read_events() -> None:
            report.read = self.events.run(policy, fence, force=forced, between=lambda: self._renew(fence))
            report.pending += self.events.reading is not None
            if self.events.has_ended_deep():
                self.standing.walk()

        def ask_stripe() -> None:
            report.fetched = self.standing.run(policy, fence)
            report.pending += self.standing.walks and report.fetched > 0

        def observe() -> None:
            report.seen = len(self.lookout.look(fence))

        def look_at_edge() -> None:
            report.seen += self.edge_watch.look(fence, wait_seconds=FORCED_SECONDS if forced else 0.0)

        def move() -> None:
            report.moved = move_due(context, policy, fence) + follow(context, policy, fence)

        def bill() -> None:
            report.moved += move_invoices(context, policy, fence)

        def mend() -> None:
            look_back(context, fence, prune=self._is_time_to_prune())
            report.repairs = self._boot(policy, fence)
            repaired = repair(context, policy, fence)
            report.repairs += repaired.asked
            report.pending += repaired.pending

        def parked() -> None:
            report.parked = self.thin.run(policy, fence)
            report.parked += self._retry_parked(policy, fence, force=forced)

        def end() -> None:
            report.ended = end_operations(context, policy, fence)

        def hand_out() -> None:
            relayed = relay(context, policy, fence)
            report.taken_back, report.woken = relayed.taken_back, relayed.woken

        steps = (("events", read_events), ("parked", parked), ("sweep", sweep), ("stripe", ask_stripe),
                 ("observe", observe), ("edge", look_at_edge), ("move", move), ("invoices", bill), ("repair", mend),
                 ("end", end), ("relay", hand_out))  # fmt: skip
        for name, step in steps:
            self._do(name, step, report)
            self._renew(fence)
        for rounds in self.beside:
            rounds.nudge()
        report.took_ms = round((time.monotonic() - began) * 1000)
        self._answer(fence, asked.requested, report)
        return report

    def _do(self, name: str, step: Callable[[], None], report: Report) -> None:
        """Take one step; when it fails, the others are taken all the same."""
        report.failed.append(name)
        with by_itself(f"the controller's step `{name}`"):
            step()
            report.failed.remove(name)

    def _policy(self, conn: Connection) -> Policy:
        policy = policies.in_force(conn)
        if policy.digest != self.digest:
            say(log, logging.INFO, "policy in force", digest=policy.digest[:12])
            self.digest = policy.digest
        return policy

    def _boot(self, policy: Policy, fence: Fence) -> int:
        """Bring servers back whose machine came up with us: `forbear up` stopped them when it ended."""
        if self.booted or self.context.settings.up_pid is None:
            return 0
        self.booted = True
        return sum(boot(self.context, policy, fence, name) for name in sorted(self.context.local_hosts))

    def _is_time_to_prune(self) -> bool:
        if time.monotonic() - self._pruned_at < PRUNE_EVERY_SECONDS:
            return False
        self._pruned_at = time.monotonic()
        return True

    def _retry_parked(self, policy: Policy, fence: Fence, *, force: bool) -> int:
        """Look again at events whose account was not known, now and then: making the account applies them at once."""
        if not force and time.monotonic() - self._parked_at < PARKED_EVERY_SECONDS:
            return 0
        self.charges.run(fence)

        def work(conn: Connection) -> int:
            leases.check(conn, fence)
            return len(inbox.retry_parked(conn, policy, terms=inbox.Terms.of(self.context.settings)))

        count = self.context.database.transact("parked events", work)
        self._parked_at = time.monotonic()
        return count

    def _answer(self, fence: Fence, number: int, report: Report) -> None:
        """Tell whoever asked for a look that it was had. A tick in which a step failed has not looked at everything."""
        if report.failed:
            say(log, logging.WARNING, "the tick was not whole", failed=",".join(report.failed))
            number = 0
            if not report.changed:
                return
        with self.context.database.begin() as conn:
            made_anew_each_tick(conn)
            leases.check(conn, fence)
            if not report.failed:
                leases.worked(conn, fence)
            if not (number or report.changed):
                return
            wakeups.report(conn, CONTROLLER, number, {**asdict(report), "changed": report.changed})

    # ---- leading -----------------------------------------------------------------------------------------------------

    def _lead(self) -> bool:
        """Renew the lease, or take it when it is free, expired, or held by a process that has died."""
        self._renewed_at = time.monotonic()
        if self.fence is not None:
            with self.context.database.begin() as conn:
                made_anew_each_tick(conn)
                if leases.renew(conn, self.fence, LEASE_SECONDS):
                    return True
        # Taking it has to last: a token that a crash forgets would be given out twice.
        with self.context.database.begin() as conn:
            _release_the_dead(conn)
            fence = leases.acquire(conn, CONTROLLER, f"{HOLDER}{self.context.presence.process_id}", LEASE_SECONDS)
        if fence is not None and fence != self.fence:
            say(log, logging.INFO, "this controller leads", token=fence.token)
        elif fence is None and self.fence is not None:
            say(log, logging.WARNING, "the lease is lost, another controller leads")
        self.fence = fence
        return fence is not None

    def _renew(self, fence: Fence) -> None:
        """Lengthen the lease in the middle of a tick, when the tick takes long."""
        if time.monotonic() - self._renewed_at < LEASE_SECONDS / 4:
            return
        with self.context.database.begin() as conn:
            made_anew_each_tick(conn)
            if not leases.renew(conn, fence, LEASE_SECONDS):
                raise FenceLost(fence.name, fence.token)
        self._renewed_at = time.monotonic()

    def _step_down(self) -> None:
        fence, self.fence = self.fence, None
        if fence is None:
            return
        try:
            with self.context.database.begin() as conn:
                leases.release(conn, fence)
        except (DBAPIError, psycopg.Error):
            say(log, logging.WARNING, "the lease could not be given back and runs out by itself")

    # ---- waiting -----------------------------------------------------------------------------------------------------

    def _wait(self, seconds: float) -> None:
        """Sleep until somebody asks for a look, or for so long; a signal ends it within a moment."""
        until = time.monotonic() + seconds
        try:
            if self._session is None:
                self._session = self.context.database.connect()
                self._session.execute(f"LISTEN {CONTROLLER}")
                if self._is_asked():
                    return
            while not self.stopping.is_set() and (left := until - time.monotonic()) > 0:
                for _ in self._session.notifies(timeout=min(left, 0.2), stop_after=1):
                    return
        except (psycopg.Error, DBAPIError):
            self._hang_up()
            self.stopping.wait(RETRY_SECONDS)

    def _is_asked(self) -> bool:
        """Look once after beginning to listen: what was asked before was not heard."""
        with self.context.database.begin() as conn:
            asked = wakeups.read(conn, CONTROLLER)
        return asked.requested > asked.done

    def _hang_up(self) -> None:
        if self._session is not None:
            self._session.close()
        self._session = None


def _release_the_dead(conn: Connection) -> None:
    """Free the lease of a controller whose process is gone, rather than wait until it runs out."""
    row = conn.execute(
        text("SELECT token, holder FROM leases WHERE name = :name AND holder IS NOT NULL"), {"name": CONTROLLER}
    ).one_or_none()
    if row is None or not row.holder.startswith(HOLDER):
        return
    living = {str(process.id) for process in processes.listed(conn) if process.alive}
    if row.holder.removeprefix(HOLDER) not in living:
        leases.release(conn, Fence(CONTROLLER, row.token))
