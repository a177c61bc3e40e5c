"""The invoices of an account on a timeline: issued, reminded of, paid; once overdue, evidence for the account."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from engine.lifecycle import due, lifecycle_machine, move, since
from engine.model import OVERDUE, Policy, Value
from engine.timeline.servers import ServerMove

InvoiceWord = Literal["issued", "paid", "taken_back", "reminded", "unreminded", "reminder_asked", "reminder_sent"]
FACTS: Mapping[InvoiceWord, Mapping[str, Value]] = {
    "paid": {"settled": True},
    "taken_back": {"settled": False},
    "reminded": {"reminds": True},
    "unreminded": {"reminds": False},
}
"""What the books show after a word; the other words are events, which people and the post send."""
PAYABLE = timedelta(days=30)


@dataclass(slots=True)
class Invoice:
    """One invoice as it is now. `entered_at` is when it entered its state."""

    state: str
    entered_at: datetime
    facts: dict[str, Value] = field(default_factory=dict)


class Invoices:
    """All invoices of the account; `moves` is where what happens to them is told."""

    def __init__(self, policy: Policy, moves: list[ServerMove]) -> None:
        self.policy = policy
        self.moves = moves
        self.all: dict[str, Invoice] = {}

    def take(self, name: str, word: InvoiceWord, now: datetime, *, mail_leaves: bool, by: str | None = None) -> None:
        """Let one word come true of an invoice. Issued is payable for thirty days, and its customer reminded."""
        if word == "issued":
            initial = lifecycle_machine(self.policy, "invoice").initial
            books: dict[str, Value] = {"settled": False, "reminds": True, "payable_until": now + PAYABLE}
            self.all[name] = Invoice(initial, now, {**books, **since(self.policy, initial, now, of="invoice")})
            return
        invoice = self.all[name]
        invoice.facts.update(FACTS.get(word, {}))
        if word in FACTS:
            return
        role = by or ("worker" if word == "reminder_sent" else "admin")
        if not self._move(name, word, now, role, mail_leaves=mail_leaves):
            reason = f"an invoice that is {invoice.state} does not take `{word}`"
            self.moves.append(ServerMove(name, "", "", invoice.state, invoice.state, word, reason=reason))

    def due_at(self) -> datetime | None:
        """Return when time alone moves the next invoice."""
        instants = (due(self.policy, each.state, each.facts, of="invoice") for each in self.all.values())
        return min((at for at in instants if at is not None), default=None)

    def pass_time(self, now: datetime, *, mail_leaves: bool) -> None:
        """Make the moves that are due; reminders leave at once where mail does."""
        for name, each in self.all.items():
            for _ in range(len(lifecycle_machine(self.policy, "invoice").moves)):
                at = due(self.policy, each.state, each.facts, of="invoice")
                if at is None or at > now or not self._move(name, None, now, "worker", mail_leaves=mail_leaves):
                    break

    def evidence(self) -> tuple[int, datetime | None]:
        """Return how many are overdue, and since when the first of them is."""
        instants = [each.entered_at for each in self.all.values() if each.state == OVERDUE]
        return len(instants), min(instants, default=None)

    def _move(self, name: str, event: str | None, now: datetime, role: str, *, mail_leaves: bool) -> bool:
        invoice = self.all[name]
        found = move(self.policy, invoice.state, invoice.facts, event, now, role, of="invoice")
        if found is None:
            return False
        start, read = invoice.state, dict(invoice.facts)
        invoice.state = found.to
        invoice.entered_at = invoice.entered_at if found.to == start else now
        invoice.facts.update(found.stamps)
        asked = tuple(ask.intent for ask in found.asks)
        self.moves.append(ServerMove(name, found.rule.name, found.place, start, found.to, event, asked, facts=read))
        if asked and mail_leaves:
            self._move(name, "reminder_sent", now, "worker", mail_leaves=True)
        return True
