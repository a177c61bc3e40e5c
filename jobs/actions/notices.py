"""Notices: write the letter from what is true now, hand it over once, and say honestly what came of it."""

from __future__ import annotations

import logging
from datetime import timedelta

from engine.errors import EngineError
from jobs.actions.delays import delay
from jobs.context import Context
from jobs.logs import say
from jobs.mail import Letter, MailDelayed, MailRefused, MailUncertain
from jobs.notices import letter_of
from storage import hooks
from storage.intents import Again, Claim, Done, GiveUp, Outcome, Unknown

FIRST_DELAY = timedelta(seconds=30)

log = logging.getLogger(__name__)


def send_notice(context: Context, claim: Claim) -> Outcome:
    """Send one round of one notice to the account's customer."""
    try:
        with context.database.begin() as conn:
            letter = letter_of(conn, claim, context.settings)
    except EngineError as error:
        return Again(delay(claim, FIRST_DELAY), str(error))
    except Exception as error:  # nothing was sent yet, whatever it is
        log.exception("a notice could not be written", extra={"facts": {"intent": claim.intent}})
        return Again(delay(claim, FIRST_DELAY), f"it could not be written: {type(error).__name__}")
    outcome = _hand_over(context, claim, letter)
    if not isinstance(outcome, Again):
        _tell_beside(context, claim, letter)
    return outcome


def _hand_over(context: Context, claim: Claim, letter: Letter) -> Outcome:
    try:
        receipt = context.mailer.send(letter)
    except MailDelayed as error:
        return Again(delay(claim, FIRST_DELAY), str(error))
    except MailRefused as error:
        return GiveUp(str(error))
    except MailUncertain as error:
        return Unknown(str(error))
    say(log, logging.INFO, "a letter has left", intent=claim.intent, receipt=receipt)
    return Done(receipt)


def _tell_beside(context: Context, claim: Claim, letter: Letter) -> None:
    """Let the customer's own address be told too, also where no mail arrives. Whatever fails here, the mail stands."""
    if context.settings.customer_hooks == "off":
        return
    try:
        with context.database.begin() as conn:
            hooks.write_notice(conn, claim, letter.subject, letter.text)
    except Exception:
        log.exception("a notice could not be told beside its mail", extra={"facts": {"intent": claim.intent}})
