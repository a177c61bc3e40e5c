"""What the engine raises when it will not decide. Faults of a policy's text are `engine.faults`, not these.

Each fails closed: an account whose decision raises keeps its state, and a person is told.
"""

from __future__ import annotations


class EngineError(Exception):
    """The base of all refusals to decide."""


class CommandRefused(EngineError):
    """No rule takes this command now; nothing was changed."""

    def __init__(self, event: str, reason: str) -> None:
        self.event = event
        self.reason = reason
        super().__init__(f"`{event}` is refused: {reason}")


class Disagreement(EngineError):
    """The model allowed a rule and the executor generated from it did not, or went elsewhere."""

    def __init__(self, rule: str, state: str, found: str) -> None:
        self.rule = rule
        self.state = state
        self.found = found
        super().__init__(f"rule `{rule}` fired from `{state}`, but its executor says: {found}")


class UnknownState(EngineError):
    """An account is in a state that the policy in force does not have."""

    def __init__(self, machine: str, state: str) -> None:
        self.machine = machine
        self.state = state
        super().__init__(f"machine `{machine}` has no state `{state}`; map it before this policy is deployed")


class Unsettled(EngineError):
    """Relief and pressure keep undoing each other: the policy never comes to rest for these facts."""

    def __init__(self, account_id: str, rules: tuple[str, ...]) -> None:
        self.account_id = account_id
        self.rules = rules
        super().__init__(f"account `{account_id}` never comes to rest; its last rules were {', '.join(rules)}")


class UnsafePolicy(EngineError):
    """A policy that was not checked says what no decision may follow."""

    def __init__(self, place: str, reason: str) -> None:
        self.place = place
        self.reason = reason
        super().__init__(f"{place}: {reason}")


class NoticeIncomplete(EngineError):
    """A notice names a field that has no value now; a message with a hole in it is not sent."""

    def __init__(self, intent: str, fields: tuple[str, ...]) -> None:
        self.intent = intent
        self.fields = fields
        super().__init__(f"`{intent}` cannot be written without {', '.join(f'`{name}`' for name in fields)}")
