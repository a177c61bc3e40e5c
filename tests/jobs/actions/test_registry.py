"""Every intent of the policy is carried out by something, or is known to be refused."""

from __future__ import annotations

from engine.effects import IMPLEMENTED
from engine.model import IntentKind
from jobs.actions import ACTIONS
from tests.factories import shipped_policy

REFUSED = {"delete_suspended_server", "wipe_server_data"}
LEFT_TO_OTHERS = {"move_edge_to_hold_page"}  # a choice, which the shipped policy does not make


def letters() -> set[str]:
    """Return what is carried out beside the queues: mails about one invoice, each with an outbox of its own."""
    return {name for name, intent in shipped_policy().intents.items() if intent.kind is IntentKind.LETTER}


def test_actions_cover_what_the_policy_may_ask_for() -> None:
    intents = shipped_policy().intents
    assert set(intents) - set(ACTIONS) - letters() == REFUSED
    assert set(ACTIONS) - set(intents) == LEFT_TO_OTHERS
    assert all(intents[name].destructive for name in REFUSED)


def test_the_engine_lets_a_policy_ask_for_exactly_these() -> None:
    assert set(ACTIONS) | letters() == IMPLEMENTED
    assert not set(ACTIONS) & letters()
