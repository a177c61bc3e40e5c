"""How one server looks to its owner: its state in their words, and how far what they asked for has come.

A server that billing has stopped looks suspended, whatever its host shows: never broken, never offline.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.engine import RowMapping

from engine.model import STOPPED_BILLING_STATES
from storage.operations import Operation
from web.told import AccountRow

SUSPENDED = "Server suspended due to billing status"
BILLING_MACHINES = frozenset({"billing", "ended"})
UNDER_WAY = frozenset(
    {"requested", "provisioning", "starting", "stopping", "backing_up", "restoring", "deleting", "destroying"}
)

# Lifecycle to heading, grade, sentence.
WORDS = {
    "requested": ("Ordered", "plain", "We make your server as soon as it is its turn."),
    "provisioning": ("Being set up", "plain", "Your server is being made. It takes a moment; you can leave this page."),
    "starting": ("Starting", "plain", "Your server is starting."),
    "running": ("Running", "good", "Your server runs."),
    "stopping": ("Stopping", "plain", "Your server saves its work and stops."),
    "stopped": ("Stopped", "plain", "Your server is stopped. Its files are all there."),
    "backing_up": ("Making a backup", "plain", "A backup is being made."),
    "restoring": ("Restoring a backup", "plain", "A backup is being put in place; the server stays stopped till then."),
    "failed": ("Needs a look", "warn", "The last thing that was asked of it did not work. Try again, or write to us."),
    "deleting": ("Being deleted", "warn", "You asked for this server to be deleted."),
    "destroying": ("Being deleted", "bad", "This server is being deleted, as we have written to you."),
}

SERVER_KINDS = {"game": "Game server", "dev": "Development server"}

KINDS = {
    "create_server": "Setting up your server",
    "create_backup": "Making a backup",
    "restore_backup": "Restoring a backup",
    "delete_backup": "Deleting a backup",
    "prune_backups": "Deleting old backups",
    "reinstall_server": "Setting the server up anew",
    "delete_server": "Deleting the server",
}
SETTING_UP = {
    "queued": "Ordered",
    "allocate": "Finding a place",
    "create": "Making it",
    "start": "Starting it",
    "edge": "Connecting its address",
    "ready": "Ready",
}


@dataclass(frozen=True, slots=True)
class Look:
    """What stands at the top of a server's page."""

    heading: str
    grade: str
    text: str
    is_under_way: bool
    is_suspended: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One phase of what is under way: `done`, `now`, `later` or `failed`."""

    words: str
    state: str


def heading(billing_status: str, server_billing_state: str, machine: str, told: Mapping[str, Any]) -> str:
    """Return an account's state in the words that customers read everywhere.

    machine: what imposes the state of its servers. A cause that is not billing has a title of its own.
    """
    for_billing = machine in BILLING_MACHINES if server_billing_state != "allowed" else billing_status != "active"
    if not for_billing and told["nextStep"] and told["title"]:
        return str(told["title"])
    if server_billing_state in STOPPED_BILLING_STATES:
        return SUSPENDED
    if server_billing_state == "backup_blocked":
        return "Backups disabled due to billing status"
    if billing_status in {"overdue_warning", "final_warning"}:
        return "Payment required"
    return "Account past due" if billing_status == "past_due" else "Everything is in order"


def look_of(server: RowMapping, account: AccountRow, told: Mapping[str, Any]) -> Look:
    """Return how a server looks. told: what the customer is told of the account."""
    under_way = server["lifecycle"] in UNDER_WAY
    state = account["server_billing_state"]
    if state in STOPPED_BILLING_STATES:
        for_billing = account["server_billing_machine"] in BILLING_MACHINES
        heading = SUSPENDED if for_billing else told["title"] or "Server suspended"
        grade = "kept" if state == "retained" else "bad"
        return Look(heading, grade, told["message"], under_way, is_suspended=True)
    if server["lifecycle"] == "running" and server["observed"] == "unknown":
        words = "We cannot see this server at the moment. It most likely runs on; we keep looking."
        return Look("Running, as far as we know", "plain", words, False)
    heading, grade, text = WORDS.get(server["lifecycle"], ("Unknown", "plain", ""))
    return Look(heading, grade, text, under_way)


def steps_of(operation: Operation) -> list[Step]:
    """Return the phases of a server's making; none for other operations."""
    if operation.kind != "create_server":
        return []
    phases = list(SETTING_UP)
    at = phases.index(operation.phase) if operation.phase in SETTING_UP else 0
    states = [
        "done" if place < at or operation.state == "succeeded" else "later" if place > at else "now"
        for place in range(len(phases))
    ]
    if operation.state == "failed":
        states[at] = "failed"
    return [Step(SETTING_UP[phase], state) for phase, state in zip(phases, states, strict=True)]
