"""Accounts for which something is asked, and what becomes of it."""

from __future__ import annotations

from uuid import UUID

from storage import intents
from tests.storage.deployment import Deployment


def warned(deployment: Deployment) -> UUID:
    """Return an account whose billing warning is asked for."""
    account = deployment.late(hours=0)
    deployment.record(account)
    return account


def about_to_be_told(deployment: Deployment) -> UUID:
    """Return an account whose final warning is asked for."""
    account = deployment.late(hours=0)
    deployment.settle()
    deployment.advance(73)
    deployment.sweep()
    return account


def suspended(deployment: Deployment) -> tuple[UUID, UUID]:
    """Return an account that is suspended with one server, and nothing of it carried out."""
    account = deployment.late(hours=0)
    server = deployment.server(account)
    deployment.settle()
    for hours in (73, 49):
        deployment.advance(hours)
        deployment.sweep()
        if hours == 73:
            deployment.work()
    assert deployment.row(account)["billing_status"] == "suspended"
    return account, server


def the(deployment: Deployment, account: UUID, name: str) -> UUID:
    """Return the id of the account's newest intent of this name."""
    return UUID(str(deployment.intents_of(account, name)[-1]["id"]))


def status(deployment: Deployment, intent_id: UUID) -> str:
    """Return how an intent stands."""
    return str(deployment.scalar("SELECT status FROM intents WHERE id = :id", id=intent_id))


def claimed(deployment: Deployment, intent_id: UUID, worker: int | None = None) -> intents.Claim:
    """Claim an intent that can be claimed."""
    claim = deployment.claim(intent_id, worker)
    assert claim is not None
    return claim


def ask(deployment: Deployment, action: str, account: UUID, server: UUID | None = None) -> object:
    """Ask as an admin."""
    with deployment.begin() as conn:
        return intents.ask(conn, deployment.policy, action, account, server, actor="ada")
