"""Months that were ordered, issued for everybody: beside the controller's tick, as the automatic run."""

from __future__ import annotations

import logging

from jobs.invoices.creditor import creditor_of
from jobs.invoices.run import Report, run
from jobs.logs import say
from jobs.operator_file import OperatorFileWrong
from storage.database import Database
from storage.errors import SettingWrong
from storage.invoicing import invoice_orders
from storage.invoicing.errors import MonthNotOver
from storage.settings import Settings

log = logging.getLogger(__name__)


def run_ordered(settings: Settings, database: Database) -> Report | None:
    """Carry out the oldest order; None: there is none, or nobody says who invoices are from.

    It ends when each organisation was tried once. A run that is cut short is gone on with by the next round.
    """
    with database.begin() as conn:
        order = invoice_orders.next_open(conn)
    if order is None:
        return None
    report, outcome = None, ""
    try:
        report = run(database, creditor_of(settings), order.month, by=order.by, automatic=order.automatic)
    except (OperatorFileWrong, SettingWrong, MonthNotOver) as error:
        outcome = str(error).partition("\n")[0]
    with database.begin() as conn:
        invoice_orders.end(conn, order, outcome)
    done = (0, 0) if report is None else (report.issued, report.failed)
    say(log, logging.INFO, f"invoices of {order.month:%Y-%m}, as ordered", issued=done[0], failed=done[1], why=outcome)
    return report
