"""`forbear policy explain` with the accounts of the database: reads one as decisions read it, and changes nothing."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

import click

from engine.commands.explain import command
from storage.beside import data_option

if TYPE_CHECKING:
    from engine.model import Policy
    from engine.snapshot import Snapshot


def load(account_id: str) -> tuple[Policy, Snapshot, datetime]:
    """Return the policy in force, the account under it, and the time of the database's clock."""
    from storage import clock, gather, policies
    from storage.commands.terminal import connected

    try:
        wanted = UUID(account_id)
    except ValueError:
        raise click.UsageError(f"`{account_id}` is no account's id") from None
    with connected() as (settings, conn):
        policy = policies.in_force(conn)
        found = gather.snapshots(conn, policy, [wanted], gather.World.of(settings))
        now = clock.now(conn)
    if wanted not in found:
        raise click.UsageError(f"the database has no account `{wanted}`")
    return policy, found[wanted], now


explain = data_option(command(load))
