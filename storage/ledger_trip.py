"""The way of one server or invoice through its lifecycle: one event, and whatever follows from it by itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from engine.lifecycle import Move, due, move
from engine.model import Ask, Policy, Runner, Value
from storage.audit import AuditNote

MOST_MOVES: Final = 10  # that follow from one event without a further one


@dataclass(slots=True)
class Trip:
    """From the state that was read to where nothing more follows. No step changes the `evidence`."""

    policy: Policy
    of: Runner
    state: str
    stamps: dict[str, Value]
    evidence: Mapping[str, Value]
    now: datetime
    steps: list[tuple[Move, str]] = field(default_factory=list)
    """Each with the state before it."""
    due_at: datetime | None = None

    def run(self, event: str | None, role: str) -> None:
        """Move on as far as it goes."""
        for _ in range(MOST_MOVES):
            step = move(self.policy, self.state, self._facts(), event, self.now, role, of=self.of)
            if step is None:
                break
            self.steps.append((step, self.state))
            self.state = step.to
            self.stamps.update(step.stamps)
            event = None
        self.due_at = due(self.policy, self.state, self._facts(), of=self.of)

    @property
    def rules(self) -> tuple[str, ...]:
        """The names of the rules that fired, in order."""
        return tuple(step.rule.name for step, _ in self.steps)

    @property
    def asks(self) -> list[Ask]:
        """Every intent that the steps ask for, in order."""
        return [ask for step, _ in self.steps for ask in step.asks]

    def notes(self, actor: str, name: str, facts: Mapping[str, Value]) -> tuple[AuditNote, ...]:
        """Return what an account's audit says of it, a note for each step. name: of the server or invoice."""
        return tuple(
            AuditNote(
                self.of,
                step.mark or step.rule.id,
                actor,
                step.rule.name,
                before,
                step.to,
                step.place,
                facts,
                tuple(f"{ask.intent}:{name}" for ask in step.asks),
            )
            for step, before in self.steps
        )

    def _facts(self) -> dict[str, Value]:
        return {**self.stamps, **self.evidence}


def read_stamps(stamps: Mapping[str, str]) -> dict[str, Value]:
    """Return the instants that a row's JSON holds."""
    return {name: datetime.fromisoformat(at) for name, at in stamps.items()}


def stamps_text(stamps: Mapping[str, Value]) -> str:
    """Return instants as the JSON of a row; what is None is left out."""
    return json.dumps({name: at.isoformat() for name, at in stamps.items() if isinstance(at, datetime)})
