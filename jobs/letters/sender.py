"""Sends letters that belong to no account, each at most once, beside the controller's tick."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from jobs.letters import forms
from jobs.logs import say
from jobs.mail import Letter, MailDelayed, Mailer, MailRefused, MailUncertain, pause_seconds
from storage import letters
from storage.database import Database
from storage.letters import WaitingLetter

AT_ONCE = 20

log = logging.getLogger(__name__)


class LetterSender:
    """Sends what waits in the outbox of letters."""

    def __init__(self, database: Database, mailer: Mailer, ours: Sequence[str]) -> None:
        """Take what addresses of ours begin with: those alone become links."""
        self.database = database
        self.mailer = mailer
        self.ours = tuple(ours)

    def send(self) -> int:
        """Send what waits, oldest first; return how many were dealt with."""
        for count in range(AT_ONCE):
            with self.database.begin() as conn:
                letter = letters.take(conn)
            if letter is None:
                return count
            self._send(letter)
        return AT_ONCE

    def _send(self, letter: WaitingLetter) -> None:
        html = forms.html_of(forms.plain_letter(letter.subject, letter.body, self.ours))
        whole = Letter(
            letter.key, letter.to_name, letter.to_email, letter.subject, letter.body, letter.created_at, html
        )
        try:
            outcome = self.mailer.send(whole)
        except MailDelayed as error:
            pause = pause_seconds(letter.tries)
            if pause is not None:
                with self.database.begin() as conn:
                    letters.postpone(conn, letter.id, pause, str(error))
                return
            outcome = f"given up: {error}"
        except (MailRefused, MailUncertain) as error:
            outcome = str(error)
        with self.database.begin() as conn:
            letters.settle(conn, letter.id, outcome)
        say(log, logging.INFO, "letter", key=letter.key.partition(":")[0], outcome=outcome)
