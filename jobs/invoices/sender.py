"""Sends invoices and reminders by mail, each with its PDF and at most once, beside the controller's tick."""

from __future__ import annotations

import logging

from engine.invoicing.document import from_document
from engine.invoicing.invoice import Invoice
from jobs.letters import forms
from jobs.logs import say
from jobs.mail import Attachment, Letter, MailDelayed, Mailer, MailRefused, MailUncertain, pause_seconds
from storage import policies, reminders
from storage.database import Database
from storage.reminders import Reminder
from storage.settings import Settings

AT_ONCE = 20
INVOICE = "send_invoice"
PAGE = "/billing"

log = logging.getLogger(__name__)


class ReminderSender:
    """Sends what waits in the outbox of letters about invoices."""

    def __init__(self, database: Database, mailer: Mailer, settings: Settings) -> None:
        self.database = database
        self.mailer = mailer
        self.page = f"{settings.portal_url}{PAGE}"
        self.ours = settings.our_urls

    def send(self) -> int:
        """Send what waits, oldest first; return how many were dealt with."""
        for count in range(AT_ONCE):
            with self.database.begin() as conn:
                reminder = reminders.take(conn)
            if reminder is None:
                return count
            self._send(reminder)
        return AT_ONCE

    def _send(self, reminder: Reminder) -> None:
        if not reminder.wanted:
            with self.database.begin() as conn:
                reminders.dropped(conn, reminder, "the invoice was settled or has moved on")
            return
        try:
            proof = self.mailer.send(self._letter(reminder))
        except MailDelayed as error:
            self._postpone(reminder, str(error))
        except (MailRefused, MailUncertain) as error:
            with self.database.begin() as conn:
                reminders.failed(conn, reminder, str(error), may_have_left=isinstance(error, MailUncertain))
        except Exception as error:
            log.exception("a letter about invoice %s could not be made", reminder.number)
            self._postpone(reminder, f"it could not be made: {error}")
        else:
            with self.database.begin() as conn:
                reminders.sent(conn, policies.in_force(conn), reminder, proof)
        say(log, logging.INFO, "letter about an invoice", invoice=reminder.number, intent=reminder.intent)

    def _postpone(self, reminder: Reminder, why: str) -> None:
        pause = pause_seconds(reminder.tries)
        with self.database.begin() as conn:
            if pause is None:
                reminders.failed(conn, reminder, f"given up: {why}", may_have_left=False)
            else:
                reminders.postpone(conn, reminder, pause, why)

    def _letter(self, reminder: Reminder) -> Letter:
        from jobs.invoices import words  # with its typesetter: seldom needed, and slow to import
        from jobs.invoices.pdf import pdf_of, reminder_pdf

        invoice = from_document(reminder.document)
        attached = [Attachment(_file(invoice, "invoice"), pdf_of(invoice))]
        if reminder.intent == INVOICE:
            subject, body = words.invoice_letter(invoice, self.page)
        else:
            subject, body = words.reminder_letter(invoice, reminder.state, reminder.paid, self.page)
            paper = reminder_pdf(invoice, words.title_of(reminder.state), reminder.paid, reminder.taken_at.date())
            attached.insert(0, Attachment(_file(invoice, reminder.state), paper))
        html = forms.html_of(forms.plain_letter(subject, body, self.ours))
        return Letter(
            reminder.key, reminder.to_name, reminder.to_email, subject, body, reminder.taken_at, html, tuple(attached)
        )


def _file(invoice: Invoice, what: str) -> str:
    return f"{what.replace('_', '-')}-{invoice.number}.pdf"
