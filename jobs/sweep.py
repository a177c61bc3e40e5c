"""The sweep: finds accounts whose time has come and has the ledger decide them again, thousands in one transaction.

It only finds candidates: the ledger locks each row and decides on what is true then, so repeating is harmless.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import psycopg
from sqlalchemy.exc import DBAPIError

from engine.model import Policy
from jobs.context import Context
from jobs.logs import say
from storage import clock, ledger
from storage.alerts import raise_alert
from storage.database import is_lost
from storage.errors import Busy, FenceLost
from storage.leases import Fence

BATCH = 2_000
MOST_A_PASS = 20_000  # then the controller looks at other things; the next pass goes on
FAILED_PAUSE_SECONDS = 60.0

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Swept:
    """What one pass did."""

    decided: int = 0
    moved: int = 0
    failed: int = 0


@dataclass(slots=True)
class Sweep:
    """Remembers which accounts could not be decided, so that they neither stop nor slow the others."""

    failing: dict[UUID, float] = field(default_factory=dict)

    def run(
        self,
        context: Context,
        policy: Policy,
        fence: Fence,
        *,
        force: bool = False,
        between: Callable[[], None] = lambda: None,
    ) -> Swept:
        """Decide what is due, longest first.

        force: also what waits to be looked at again only later. between: called between batches; may raise to end it.
        """
        swept = Swept()
        self._forget()
        with context.database.begin() as conn:
            limit = MOST_A_PASS + len(self.failing)
            found = ledger.due(conn, clock.now(conn), limit, force=force)
        ids = [account_id for account_id in found if account_id not in self.failing]
        for start in range(0, len(ids), BATCH):
            self._decide(context, policy, fence, ids[start : start + BATCH], swept)
            between()
        if swept.moved or swept.failed:
            say(log, logging.INFO, "swept", decided=swept.decided, moved=swept.moved, failed=swept.failed)
        return swept

    def _decide(self, context: Context, policy: Policy, fence: Fence, ids: Sequence[UUID], swept: Swept) -> None:
        """Decide a batch in one transaction; when it fails, each half in its own, down to the one that fails alone."""
        what = f"account `{ids[0]}`" if len(ids) == 1 else f"{len(ids)} accounts"
        try:
            recorded = context.database.transact(
                what, lambda conn: ledger.record_many(conn, policy, ids, fence=fence, world=context.world)
            )
        except FenceLost:
            raise
        except Exception as error:
            if isinstance(error, DBAPIError | psycopg.Error) and is_lost(error):
                raise
            if len(ids) == 1:
                self._fail(context, ids[0], error, swept)
                return
            half = len(ids) // 2
            self._decide(context, policy, fence, ids[:half], swept)
            self._decide(context, policy, fence, ids[half:], swept)
            return
        swept.decided += len(recorded)
        swept.moved += sum(1 for each in recorded if each.settlement.steps)

    def _fail(self, context: Context, account_id: UUID, error: Exception, swept: Swept) -> None:
        swept.failed += 1
        self.failing[account_id] = time.monotonic() + FAILED_PAUSE_SECONDS
        if isinstance(error, Busy):
            say(log, logging.INFO, "an account is busy and decided later", account=account_id)
            return
        log.error("an account cannot be decided", exc_info=error, extra={"facts": {"account": account_id}})
        words = f"account {account_id} cannot be decided and keeps its state: {error}"
        with context.database.begin() as conn:
            day = clock.real_now(conn).date()
            raise_alert(conn, "account_failed", words, account_id, key=f"account_failed:{account_id}:{day}")

    def _forget(self) -> None:
        now = time.monotonic()
        for account_id in [each for each, until in self.failing.items() if until <= now]:
            del self.failing[account_id]
