"""The monthly run for those who want it by itself: the controller begins it once a month is over everywhere."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Final

from jobs.invoices.creditor import creditor_of
from jobs.invoices.run import Report, failed_before, passed_over, run, waiting
from jobs.logs import say
from jobs.metering import Tenancies, compare
from jobs.operator_file import OperatorFileWrong
from storage import alerts, clock
from storage.database import Database
from storage.errors import SettingWrong
from storage.settings import Settings

EVERY_SECONDS: Final = 900.0
LAST_ZONE: Final = timedelta(hours=12)
"""How far the last zone on Earth is behind UTC: there a month ends last."""
PATIENCE_DAYS: Final = 2
"""Of a new month, on which nothing is issued while a host cannot be asked what its tenants did in the last one."""
BY: Final = "controller"
PASSED_OVER: Final = (
    "no run has looked at {0:%Y-%m} for {1} organisations whose invoices are issued by themselves, as nothing ran for "
    "so long; `forbear invoice run --month {0:%Y-%m} --automatic` issues them"
)

log = logging.getLogger(__name__)


def run_by_itself(settings: Settings, database: Database, hosts: Mapping[str, Tenancies]) -> Report | None:
    """Issue what is missing of the last month that is over, once hosts have told what was not seen of it; and of those
    before it what could not be issued then. Months that nobody has looked at are for people to decide on.

    None: nobody waits for one, or it cannot be done now. A run that is cut short is gone on with by the next. Invoices
    that cannot be issued raise an alert, and so does that nobody has said who they are from.
    """
    with database.begin() as conn:
        now = clock.now(conn)
    month = last_month_over(now)
    for missing, count in passed_over(database, month).items():
        _alert(database, PASSED_OVER.format(missing, count), f"invoices_passed_over:{missing}")
    earlier = failed_before(database, month)
    if not (earlier or waiting(database, month, automatic=True)):
        return None
    try:
        creditor = creditor_of(settings)
    except (SettingWrong, OperatorFileWrong) as error:
        why = str(error).replace("\n", " ")
        say(log, logging.WARNING, f"invoices of {month:%Y-%m} are not issued by themselves", reason=why)
        words = f"invoices of {month:%Y-%m} are not issued by themselves: {why[:500]}"
        _alert(database, words, f"invoices_from:{month}")
        return None
    silent = compare(database, hosts).silent
    if silent and (now - LAST_ZONE).day <= PATIENCE_DAYS:
        say(log, logging.WARNING, f"invoices of {month:%Y-%m} wait for a host to tell", hosts=", ".join(silent))
        return None
    for each in earlier:
        _tell(database, run(database, creditor, each, by=BY, automatic=True, again=True), each)
    report = run(database, creditor, month, by=BY, automatic=True)
    _tell(database, report, month)
    return report


def last_month_over(now: datetime) -> date:
    """Return a day of the last month that is over in every zone."""
    return (now - LAST_ZONE).date().replace(day=1) - timedelta(days=1)


def _tell(database: Database, report: Report, month: date) -> None:
    if report.failed:
        _alert(database, _told(report), f"invoices:{month}")
    if report.issued or report.failed:
        say(log, logging.INFO, f"invoices of {month:%Y-%m}", issued=report.issued, failed=report.failed)


def _alert(database: Database, words: str, key: str) -> None:
    with database.begin() as conn:
        alerts.raise_alert(conn, "account_failed", words, key=key)


def _told(report: Report) -> str:
    customer, reason = report.faults[0]
    return f"{report.failed} invoices of {report.month:%Y-%m} could not be issued; the first, of {customer}: {reason}"
