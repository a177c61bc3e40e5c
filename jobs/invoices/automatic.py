"""The monthly run for those who want it by itself: the controller begins it once a month is over everywhere."""

from __future__ import annotations

import logging
import time
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import date, datetime, timedelta
from typing import Final

import psycopg
from sqlalchemy.exc import DBAPIError

from jobs.invoices.creditor import read_creditor
from jobs.invoices.run import Report, run
from jobs.logs import say
from jobs.operator_file import OperatorFileWrong
from storage import alerts, clock
from storage.database import Database
from storage.settings import Settings

EVERY_SECONDS: Final = 900.0
LAST_ZONE: Final = timedelta(hours=12)
"""How far the last zone on Earth is behind UTC: there a month ends last."""
BY: Final = "controller"

log = logging.getLogger(__name__)


class AutomaticRun:
    """Looks now and then, in a thread of its own. Without an invoice file it has nothing to do."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._file = settings.invoice_file
        self._database = database
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="invoices")
        self._running: Future[Report | None] | None = None
        self._next_at = time.monotonic() + EVERY_SECONDS / 60

    def nudge(self) -> None:
        """Begin a run when it is time and none is under way."""
        is_busy = self._running is not None and not self._running.done()
        if self._file is None or is_busy or time.monotonic() < self._next_at:
            return
        self._next_at = time.monotonic() + EVERY_SECONDS
        self._running = self._thread.submit(self.run_once)

    def close(self) -> None:
        """Begin no more. One that is cut short is gone on with by the next."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def run_once(self) -> Report | None:
        """Issue what is missing of the last month that is over; None: it could not be done. Failures raise an alert."""
        if self._file is None:
            return None
        try:
            creditor = read_creditor(self._file)
            with self._database.begin() as conn:
                month = last_month_over(clock.now(conn))
            report = run(self._database, creditor, month, by=BY, automatic=True)
            if report.failed:
                with self._database.begin() as conn:
                    alerts.raise_alert(conn, "account_failed", _told(report), key=f"invoices:{month}")
        except OperatorFileWrong as error:
            say(log, logging.WARNING, "no invoice is issued by itself", reason=str(error).replace("\n", " "))
            return None
        except (DBAPIError, psycopg.Error) as error:
            say(log, logging.WARNING, "the run of invoices stopped, and goes on later", reason=type(error).__name__)
            return None
        except Exception:
            log.exception("the run of invoices stopped; the next one goes on")
            return None
        if report.issued or report.failed:
            say(log, logging.INFO, f"invoices of {month:%Y-%m}", issued=report.issued, failed=report.failed)
        return report


def last_month_over(now: datetime) -> date:
    """Return a day of the last month that is over in every zone."""
    return (now - LAST_ZONE).date().replace(day=1) - timedelta(days=1)


def _told(report: Report) -> str:
    customer, reason = report.faults[0]
    return f"{report.failed} invoices of {report.month:%Y-%m} could not be issued; the first, of {customer}: {reason}"
