"""What the leading controller does in a tick: steps, in the order in which one makes the next. Each may fail alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from sqlalchemy import Connection

from engine.model import Policy
from jobs.context import Context
from jobs.edge.watch import FORCED_SECONDS, EdgeWatch
from jobs.endings import end_operations
from jobs.invoices.moves import move_invoices
from jobs.isolation import by_itself
from jobs.observe import Lookout, follow, move_due
from jobs.relay import relay
from jobs.repair import boot, look_back, repair
from jobs.stripe.charges import ChargePoll
from jobs.stripe.client import StandingPoll
from jobs.stripe.reader import EventReader
from jobs.stripe.thin import ThinFetcher
from jobs.sweep import Sweep
from storage import leases
from storage.leases import Fence
from storage.stripe import inbox

PARKED_EVERY_SECONDS = 10.0
PRUNE_EVERY_SECONDS = 600.0


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


@dataclass(frozen=True, slots=True)
class Tick:
    """One tick on its way."""

    policy: Policy
    fence: Fence
    forced: bool
    """Somebody asked for it: what is done now and then is done now."""
    report: Report
    renew: Callable[[], None]
    """Lengthens the lease in the midst of what takes long. Raises FenceLost."""


class Steps:
    """Takes the steps of each tick, and keeps what they remember from one to the next."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.sweep = Sweep()
        self.standing = StandingPoll(context.settings, context.database)
        self.events = EventReader(context.settings, context.database)
        self.thin = ThinFetcher(context.settings, context.database)
        self.charges = ChargePoll(context.settings, context.database)
        self.lookout = Lookout(context)
        self.edge_watch = EdgeWatch(context)
        self._is_booted = False
        self._parked_at = float("-inf")
        self._pruned_at = float("-inf")

    def take(self, tick: Tick) -> None:
        """Take every step; when one fails, the others are taken all the same. Raises FenceLost."""
        steps = (("events", self._read_events), ("parked", self._take_parked), ("sweep", self._sweep),
                 ("stripe", self._ask_stripe), ("observe", self._observe), ("edge", self._look_at_edge),
                 ("move", self._move), ("invoices", self._move_invoices), ("repair", self._repair),
                 ("end", self._end), ("relay", self._relay))  # fmt: skip
        for name, step in steps:
            tick.report.failed.append(name)
            with by_itself(f"the controller's step `{name}`"):
                step(tick)
                tick.report.failed.remove(name)
            tick.renew()

    def close(self) -> None:
        """Ask hosts and drivers no more."""
        self.lookout.close()
        self.edge_watch.close()

    def _read_events(self, tick: Tick) -> None:
        tick.report.read = self.events.run(tick.policy, tick.fence, force=tick.forced, between=tick.renew)
        tick.report.pending += self.events.reading is not None
        if self.events.has_ended_deep():
            self.standing.walk()

    def _take_parked(self, tick: Tick) -> None:
        tick.report.parked = self.thin.run(tick.policy, tick.fence)
        tick.report.parked += self._retry_parked(tick)

    def _retry_parked(self, tick: Tick) -> int:
        """Look again at events whose account was not known, now and then: making the account applies them at once."""
        if not tick.forced and time.monotonic() - self._parked_at < PARKED_EVERY_SECONDS:
            return 0
        self.charges.run(tick.fence)

        def work(conn: Connection) -> int:
            leases.check(conn, tick.fence)
            return len(inbox.retry_parked(conn, tick.policy, terms=inbox.Terms.of(self.context.settings)))

        count = self.context.database.transact("parked events", work)
        self._parked_at = time.monotonic()
        return count

    def _sweep(self, tick: Tick) -> None:
        swept = self.sweep.run(self.context, tick.policy, tick.fence, force=tick.forced, between=tick.renew)
        tick.report.swept = swept.moved

    def _ask_stripe(self, tick: Tick) -> None:
        tick.report.fetched = self.standing.run(tick.policy, tick.fence)
        tick.report.pending += self.standing.walks and tick.report.fetched > 0

    def _observe(self, tick: Tick) -> None:
        tick.report.seen = len(self.lookout.look(tick.fence))

    def _look_at_edge(self, tick: Tick) -> None:
        tick.report.seen += self.edge_watch.look(tick.fence, wait_seconds=FORCED_SECONDS if tick.forced else 0.0)

    def _move(self, tick: Tick) -> None:
        tick.report.moved = move_due(self.context, tick.policy, tick.fence)
        tick.report.moved += follow(self.context, tick.policy, tick.fence)

    def _move_invoices(self, tick: Tick) -> None:
        tick.report.moved += move_invoices(self.context, tick.policy, tick.fence)

    def _repair(self, tick: Tick) -> None:
        look_back(self.context, tick.fence, prune=self._is_time_to_prune())
        tick.report.repairs = self._boot(tick)
        repaired = repair(self.context, tick.policy, tick.fence)
        tick.report.repairs += repaired.asked
        tick.report.pending += repaired.pending

    def _boot(self, tick: Tick) -> int:
        """Bring servers back whose machine came up with us: `forbear up` stopped them when it ended."""
        if self._is_booted or self.context.settings.up_pid is None:
            return 0
        self._is_booted = True
        return sum(boot(self.context, tick.policy, tick.fence, name) for name in sorted(self.context.local_hosts))

    def _is_time_to_prune(self) -> bool:
        if time.monotonic() - self._pruned_at < PRUNE_EVERY_SECONDS:
            return False
        self._pruned_at = time.monotonic()
        return True

    def _end(self, tick: Tick) -> None:
        tick.report.ended = end_operations(self.context, tick.policy, tick.fence)

    def _relay(self, tick: Tick) -> None:
        relayed = relay(self.context, tick.policy, tick.fence)
        tick.report.taken_back, tick.report.woken = relayed.taken_back, relayed.woken
