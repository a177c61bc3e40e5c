"""The controller: one leader that finds what is due, hands work out, and keeps servers as they should be.

Any number may run; who holds the lease leads. Each write is checked against the lease's token, so that one that was
frozen and wakes up late writes nothing. What there is to do is found in the database anew each tick.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import asdict
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
from jobs.invoices import automatic, ordered
from jobs.invoices.sender import ReminderSender
from jobs.isolation import made_anew_each_tick
from jobs.letters.hooks import HookSender
from jobs.letters.sender import LetterSender
from jobs.logs import say
from jobs.rounds import Rounds, close_all
from jobs.tick import Report, Steps, Tick
from storage import clock, intents, leases, policies, processes, wakeups
from storage.database import is_lost
from storage.errors import FenceLost, NoPolicy
from storage.leases import Fence

LEASE_SECONDS = 10.0
RETRY_SECONDS = 1.0
HOLDER = "controller:"

log = logging.getLogger(__name__)


class Controller:
    """Leads while it holds the lease; waits for it otherwise."""

    def __init__(self, context: Context, alerts: AlertSender) -> None:
        self.context = context
        self.alerts = alerts
        self.stopping = threading.Event()
        self.fence: Fence | None = None
        self.steps = Steps(context)
        self.reminders = ReminderSender(context.database, context.mailer, context.settings)
        self.beside = self._beside()
        self.digest: str | None = None
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
            self.steps.close()
            close_all(self.beside)
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
        self.steps.take(Tick(policy, fence, asked.requested > asked.done, report, partial(self._renew, fence)))
        for rounds in self.beside:
            rounds.nudge()
        report.took_ms = round((time.monotonic() - began) * 1000)
        self._answer(fence, asked.requested, report)
        return report

    def _policy(self, conn: Connection) -> Policy:
        policy = policies.in_force(conn)
        if policy.digest != self.digest:
            say(log, logging.INFO, "policy in force", digest=policy.digest[:12])
            self.digest = policy.digest
        return policy

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
