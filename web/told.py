"""What a customer is told of an account: the state in words, what they can do next and by when, and where to pay."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from engine import notices
from engine.model import STOPPED_BILLING_STATES, Machine, Policy
from engine.model_words import StateText
from storage import clock
from storage.owed import owed_invoices, pay_url
from storage.settings import Settings
from storage.subscribed import subscribed
from storage.tables import accounts, customers
from web.wire import instant

# Why an action is denied, by code. The policy's words for the state follow for codes that are not here.
WHY = {
    "BILLING_PAST_GRACE": "New servers cannot be created while an invoice is open. Pay it, and you can go on at once.",
    "BILLING_BACKUP_BLOCKED": "Backups are paused while an invoice is open. Those that you have are kept. "
    "Pay it, and they are available again at once.",
    "BILLING_SUSPENDED": "This is not possible while your servers are stopped for an open invoice. "
    "Your files and backups are kept. Pay it, and you have full access again at once.",
    "BILLING_RETAINED": "This is not possible while your servers are stopped for an open invoice. "
    "Your files and backups are kept for you. Pay it, and you have full access again at once.",
    "BILLING_PENDING_DELETION": "This is not possible while your servers are stopped for an open invoice. "
    "Your files and backups are still here. Pay it, and everything is yours again.",
    "BILLING_NO_ACTIVE_PLAN": "This needs an active plan. Choose one, and you can go on at once.",
    "PLAN_LIMIT_REACHED": "Your plan has no room for another server. Choose a larger one, and you can go on at once.",
}
DELETION = "deletion"  # the machine in which two admins give an account up
AccountRow = Mapping[Any, Any]
"""A row of `accounts` by column name: as it lies there, or as it is for one server (`web.gates`)."""
FROM_THE_ACCOUNT = ("plan", "past_due_since", "suspended_at", "retention_until", "subscription_ended_at")


@dataclass(frozen=True, slots=True)
class Teller:
    """Tells customers about their accounts under one policy, in one transaction."""

    conn: Connection
    settings: Settings
    policy: Policy

    def account(self, row: AccountRow) -> dict[str, Any]:
        """Return what the customer sees of one account."""
        owed = self.pay_url(row)
        texts = [text for machine in restricting(self.policy, row) if (text := self._text(machine, row, owed))]
        step = next((text.next_step for text in texts if text.next_step), None)
        how = subscribed(self.conn, row["id"])
        return {
            "accountId": str(row["id"]),
            "billingStatus": row["billing_status"],
            "serverBillingState": row["server_billing_state"],
            "title": texts[0].title if texts else "",
            "message": " ".join(text.message.strip() for text in texts),
            "nextStep": {"what": step, "at": instant(next_date(row, clock.now(self.conn)))} if step else None,
            "retentionUntil": instant(row["retention_until"]),
            "payUrl": owed,
            "plan": row["plan"],
            "subscriptionStatus": row["subscription_status"],
            "planBy": how.by,
            "exemptUntil": instant(how.exempt_until),
            "trialEndsAt": instant(how.trial_ends_at),
            "pausedBecause": how.pause,
            "resumesAt": instant(how.resumes_at),
        }

    def announcements(self, customer_id: str) -> list[dict[str, Any]]:
        """Return one announcement for each thing that restricts one of the customer's accounts now."""
        mine = (
            select(accounts).where(accounts.c.customer_id == customer_id).order_by(accounts.c.created_at, accounts.c.id)
        )
        return [each for row in self.conn.execute(mine).mappings() for each in self._announced(row)]

    def _announced(self, row: AccountRow) -> Iterator[dict[str, Any]]:
        owed = self.pay_url(row)
        for machine in restricting(self.policy, row):
            state = row["states"].get(machine.name, machine.initial)
            text = self._text(machine, row, owed)
            if state != machine.initial and text is not None:
                yield {
                    "id": f"{row['id']}:{machine.name}.{state}",
                    "kind": "billing",
                    "title": text.title,
                    "text": text.message.strip(),
                    "accountId": str(row["id"]),
                    "startsAt": None,
                    "endsAt": None,
                }

    def pay_url(self, row: AccountRow) -> str | None:
        """Return where the oldest owed invoice is paid; None while nothing is owed."""
        if not row["overdue_invoices"] and row["past_due_since"] is None:
            return None
        return pay_url(owed_invoices(self.conn, self.policy, row["id"]), self.settings)

    def _text(self, machine: Machine, row: AccountRow, owed: str | None) -> StateText | None:
        """Write a state's text for this customer; None when the policy has none."""
        state = row["states"].get(machine.name, machine.initial)
        if (machine.name, state) not in self.policy.state_texts:
            return None
        name = select(customers.c.name).where(customers.c.id == row["customer_id"])
        fields = {
            "customer_name": self.conn.execute(name).scalar_one(),
            "account_id": str(row["id"]),
            **{name: row[name] for name in FROM_THE_ACCOUNT},
            "trial_ends_at": _instant_of(row["rare_facts"].get("trial_ends_at")),
            "pay_url": owed or pay_url((), self.settings),
            "portal_url": self.settings.portal_url,
            "support_email": self.settings.support_email,
        }
        return notices.state_text(self.policy, machine.name, state, fields, row["zone"])


def _instant_of(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def restricting(policy: Policy, row: AccountRow) -> list[Machine]:
    """Return the machines that have something to say, the strictest first; billing's alone when all is well.

    That servers are about to be deleted comes before why they are stopped.
    """
    machines = policy.account_machines
    states: Mapping[str, str] = row["states"]
    moved = [machine for machine in machines if states.get(machine.name, machine.initial) != machine.initial]
    moved.sort(key=lambda machine: (machine.name != DELETION, machine.name != row["server_billing_machine"]))
    return moved or list(machines[:1])


def next_date(row: AccountRow, now: datetime) -> datetime | None:
    """Return the date beside the next step: how long data is kept, else what was promised, else what is due next."""
    promising = [
        notice for notice in row["notices"].values() if notice["status"] == "delivered" and notice.get("promise_at")
    ]
    if row["server_billing_state"] in STOPPED_BILLING_STATES:
        last = [datetime.fromisoformat(each["promise_at"]) for each in promising if each.get("machine") == DELETION]
        until: datetime | None = max(last, default=row["retention_until"])
        return until if until is not None and until > now else None  # nobody is asked to do something by a day of old
    told = [datetime.fromisoformat(each["promise_at"]) for each in promising]
    dates = [at for at in [*told, row["due_at"]] if at is not None and at > now]
    return max(told) if told and max(told) > now else min(dates, default=None)


def why_denied(code: str, message: str) -> str:
    """Return the sentence of a denial."""
    return WHY.get(code) or message or "This is not available for this account now."
