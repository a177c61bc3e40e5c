"""Sends invoices, reminders and credit notes by mail, each with its PDF and at most once, beside the tick."""

from __future__ import annotations

import logging

from engine.invoicing.document import from_document
from engine.model import Policy
from jobs.invoices.creditor import fonts_of
from jobs.invoices.papers import paper_of
from jobs.letters import forms
from jobs.logs import say
from jobs.mail import Letter, MailDelayed, Mailer, MailRefused, MailUncertain, pause_seconds
from storage import policies
from storage.database import Database
from storage.invoicing import reminders
from storage.invoicing.reminders import Reminder
from storage.settings import Settings

AT_ONCE = 20

log = logging.getLogger(__name__)


class ReminderSender:
    """Sends what waits in the outbox of letters about invoices."""

    def __init__(self, database: Database, mailer: Mailer, settings: Settings) -> None:
        self.database = database
        self.mailer = mailer
        self.settings = settings

    def send(self) -> int:
        """Send what waits, oldest first; return how many were dealt with."""
        for count in range(AT_ONCE):
            with self.database.begin() as conn:
                reminder = reminders.take(conn)
                if reminder is None:
                    return count
                policy = policies.in_force(conn)
            self._send(reminder, policy)
        return AT_ONCE

    def _send(self, reminder: Reminder, policy: Policy) -> None:
        if not reminder.wanted:
            with self.database.begin() as conn:
                reminders.dropped(conn, reminder, "the invoice was settled or has moved on")
            return
        try:
            letter = self._letter(reminder, policy)
            if letter.attached[1:]:  # a page of its own comes before the invoice
                with self.database.begin() as conn:
                    reminders.keep(conn, reminder, letter.attached[0].pdf)
            proof = self.mailer.send(letter)
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
                reminders.sent(conn, policy, reminder, proof)
        say(log, logging.INFO, "letter about an invoice", invoice=reminder.number, intent=reminder.intent)

    def _postpone(self, reminder: Reminder, why: str) -> None:
        pause = pause_seconds(reminder.tries)
        with self.database.begin() as conn:
            if pause is None:
                reminders.failed(conn, reminder, f"given up: {why}", may_have_left=False)
            else:
                reminders.postpone(conn, reminder, pause, why)

    def _letter(self, reminder: Reminder, policy: Policy) -> Letter:
        from jobs.invoices import letters  # seldom needed, and slow to import

        invoice = from_document(reminder.document)
        note = None if reminder.note is None else from_document(reminder.note)
        whole = paper_of(self.database, self.settings, reminder.invoice_id, note or invoice)
        standing = letters.Standing(invoice, reminder.paid, reminder.credited, reminder.to_name, note)
        written, paper = letters.written_letter(policy, reminder.intent, standing, self.settings, reminder.language)
        return Letter(
            reminder.key,
            reminder.to_name,
            reminder.to_email,
            written.subject,
            forms.text_of(paper),
            reminder.taken_at,
            forms.html_of(paper),
            letters.attached(standing, reminder.state, written, reminder.taken_at, whole, fonts_of(self.settings)),
        )
