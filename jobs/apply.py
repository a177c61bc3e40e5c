"""The fourth step of the loop: claim an intent, carry it out while holding no lock, record how it ended."""

from __future__ import annotations

import logging
import time
from datetime import timedelta
from uuid import UUID

import psycopg
from sqlalchemy.exc import DBAPIError

from engine.errors import NoticeIncomplete
from engine.model import IntentKind
from jobs import queues
from jobs.actions import ACTIONS
from jobs.actions.delays import MOMENT, delay
from jobs.context import Context
from jobs.faults import pause
from jobs.hosts.base import BackupDamaged, BackupMissing, HostBusy, HostError
from jobs.logs import say
from storage import intents, policies
from storage.database import is_lost
from storage.errors import Busy, StorageError
from storage.intents import Again, Claim, Done, Finished, GiveUp, Outcome, Unknown

FINISH_PATIENCE_SECONDS = 60.0
CLAIM_SECONDS = 600.0
BUSY_PATIENCE = timedelta(minutes=15)

log = logging.getLogger(__name__)


def apply(context: Context, intent_id: str, *, claim_seconds: float = CLAIM_SECONDS) -> str:
    """Apply one intent and return its status; what is not open, not wanted or not due is left alone.

    claim_seconds: how long this may take, in real time, before the claim of a worker that lives counts as lost.

    INVARIANT: no lock and no transaction is held while the action runs: a host may hang, a mail server may be slow.
    """
    try:
        claim = context.database.transact(
            f"intent `{intent_id}`",
            lambda conn: intents.claim(
                conn,
                policies.in_force(conn),
                UUID(intent_id),
                context.presence.process_id,
                world=context.world,
                seconds=claim_seconds,
            ),
        )
    except (DBAPIError, psycopg.Error, StorageError) as error:
        if not isinstance(error, StorageError) and not is_lost(error):
            raise
        say(log, logging.WARNING, "an intent could not be claimed and stays open", intent=intent_id, reason=error)
        return "open"
    if claim is None:
        return "left alone"
    pause(context.settings, claim.intent, "before_act")
    began = time.monotonic()
    outcome = carry_out(context, claim)
    pause(context.settings, claim.intent, "after_act")
    finished = finish(context, claim, outcome)
    queues.enqueue(context.redis, [(each.intent_id, each.queue) for each in finished.intents])
    tell(claim, outcome, finished, time.monotonic() - began)
    return finished.status


def carry_out(context: Context, claim: Claim) -> Outcome:
    """Run the action; whatever it raises becomes one of the outcomes."""
    action = ACTIONS.get(claim.intent)
    if action is None:
        return GiveUp("nothing carries this out")
    try:
        return action(context, claim)
    except HostBusy as error:
        waited = claim.claimed_at - claim.created_at
        # what is busy for so long is stuck: from then on tries count, and people are told
        return Again(MOMENT, str(error), counts=False) if waited < BUSY_PATIENCE else Again(delay(claim), str(error))
    except (BackupMissing, BackupDamaged) as error:
        return GiveUp(str(error))
    except (HostError, NoticeIncomplete) as error:
        return Again(delay(claim), str(error))
    except (DBAPIError, psycopg.Error, StorageError) as error:
        return Again(delay(claim), f"the database: {type(error).__name__}")  # a letter's sending asks no database
    except Exception as error:
        log.exception("an action met an unexpected error", extra={"facts": {"intent": claim.intent}})
        reason = f"unexpected error: {type(error).__name__}"
        # A notice that fails so may be on its way. Before anything is sent its action raises only what is caught above.
        return Unknown(reason) if claim.kind is IntentKind.NOTICE else Again(delay(claim), reason)


def finish(context: Context, claim: Claim, outcome: Outcome) -> Finished:
    """Record the outcome, also when the database goes away in this very moment and comes back soon.

    Raises what the database raised once patience ends: then the claim runs out, an effect is done again, and a notice
    is shown as unknown.
    """
    give_up_at = time.monotonic() + FINISH_PATIENCE_SECONDS
    pause_seconds = 0.1
    while True:
        try:
            return context.database.transact(
                f"intent `{claim.intent_id}`",
                lambda conn: intents.finish(conn, policies.in_force(conn), claim, outcome, world=context.world),
            )
        except (DBAPIError, psycopg.Error, Busy) as error:
            if not (isinstance(error, Busy) or is_lost(error)) or time.monotonic() > give_up_at:
                raise
            say(log, logging.WARNING, "an outcome cannot be recorded yet, trying again", intent=claim.intent)
            time.sleep(pause_seconds)
            pause_seconds = min(pause_seconds * 2, 2.0)


def tell(claim: Claim, outcome: Outcome, finished: Finished, seconds: float) -> None:
    """Write the one line that says what was done."""
    why = outcome.what if isinstance(outcome, Done) else outcome.reason
    say(
        log,
        logging.INFO if isinstance(outcome, Done | Again) else logging.WARNING,
        f"{claim.intent} {finished.status}",
        account=claim.account_id,
        server=claim.server_id,
        tries=claim.tries,
        why=why or None,
        again_after_seconds=outcome.after.total_seconds() if isinstance(outcome, Again) else None,
        late=finished.late or None,
        took_ms=round(seconds * 1000),
    )
